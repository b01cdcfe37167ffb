"""O que, no texto de uma entrega, pede o olhar de uma pessoa."""

import pytest
from nbformat.v4 import new_code_cell

from grading.suspicion import shadowing_files, suspicious_names


def kinds(source):
    return [note.sentence for note in suspicious_names([new_code_cell(source)])]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import sys\nsys._getframe(1)", "_getframe"),
        ("from ctypes import c_int", "ctypes"),
        ("import ctypes.util", "ctypes"),
        ("class A:\n    def __eq__(self, other):\n        return True", "__eq__"),
        ("getattr(sys, '_getframe')", "_getframe"),
        ("%time x\nsys._getframe()", "_getframe"),
        ("get_ipython().run_cell_async = None", "run_cell_async"),
    ],
)
def test_a_name_that_tricks_use_is_shown(source, name):
    assert any(f"«{name}»" in sentence for sentence in kinds(source)), kinds(source)


@pytest.mark.parametrize(
    "source",
    [
        "# cuidado com _getframe\nx = 1",
        "def create_balanced_dataset(df):\n    return df.sample(frac=1, random_state=123)",
        "assert total == 3, 'o total'",
        "import torch\nmodel.eval()",
        "",
    ],
)
def test_an_ordinary_answer_raises_nothing(source):
    assert kinds(source) == []


def test_the_real_answers_of_the_course_raise_nothing():
    import nbformat

    from .conftest import ROOT

    for path in sorted((ROOT / "solutions").glob("*/*.ipynb")):
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        answers = [cell for cell in cells if not cell.metadata.get("nbgrader", {}).get("grade")]
        assert suspicious_names(answers) == [], path.name


def test_each_name_is_shown_once_and_none_is_serious():
    cells = [new_code_cell("import ctypes", id="a"), new_code_cell("ctypes.CDLL(None)", id="b")]
    notes = suspicious_names(cells)
    assert [(note.cell, note.serious) for note in notes] == [("a", False)]


def test_a_file_with_the_name_of_a_library_is_shown():
    names = ["torch.py", "llmdefinitions/__init__.py", "sitecustomize.py", "minhas_funcoes.py", "dados.csv", "json.txt"]
    found = [note.sentence.split("»")[0].removeprefix("O arquivo «") for note in shadowing_files(names)]
    assert found == ["torch.py", "llmdefinitions/__init__.py", "sitecustomize.py"]

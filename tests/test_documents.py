"""O que o README, o guia do estudante e o glossário dizem das lições é o que as lições dizem de si."""

import re
import unicodedata

import nbformat
import pytest
from traitlets.config import PyFileConfigLoader

from .conftest import LESSONS, ROOT

README, STUDENT_GUIDE, GLOSSARY = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "notebooks/README.md", "GLOSSARIO.md")
)


def rows(document):
    """As linhas de tabela de um documento, como listas de células, sem cabeçalhos."""
    table = [line.strip().strip("|").split("|") for line in document.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in cells] for cells in table]


def lesson_row(document, lesson):
    """A linha da tabela que fala de uma lição."""
    return next(cells for cells in rows(document) if lesson in cells[0])


def text_of(path):
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_minutes_and_weights(path):
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    minutes = re.search(r"\*\*Duração:\*\* cerca de (\d+) minutos", text_of(path))[1]
    weight = str(config.FinalGrade.weights[path.stem])
    assert lesson_row(README, path.stem)[-2:] == [minutes, weight]
    assert lesson_row(STUDENT_GUIDE, path.stem)[-2:] == [minutes, weight]


def test_every_lesson_of_the_guides_exists():
    for document in (README, STUDENT_GUIDE):
        named = {name for cells in rows(document) for name in re.findall(r"\b\d\d_\w+", cells[0])}
        assert named == {path.stem for path in LESSONS}
    for link in re.findall(r"\]\((.*?\.ipynb)\)", STUDENT_GUIDE):
        assert (ROOT / "notebooks" / link).is_file(), link


def glossary():
    return [cells for cells in rows(GLOSSARY) if cells[-1].isdigit()]


def test_the_glossary_is_in_alphabetical_order():
    terms = [unicodedata.normalize("NFD", cells[0].casefold()).encode("ascii", "ignore") for cells in glossary()]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("cells", glossary(), ids=lambda cells: cells[0])
def test_each_term_is_used_where_the_glossary_says(cells):
    term, english, sentence, lesson = cells
    assert english.startswith("*")
    assert english.endswith("*")
    assert sentence.endswith(".")
    text = " ".join(text_of(LESSONS[int(lesson) - 1]).casefold().split())
    assert term.casefold() in text, f"a lição {lesson} não fala em «{term}»"

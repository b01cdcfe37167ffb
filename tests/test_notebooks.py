"""Os cadernos e o nbgrader, com os comandos que um professor digita."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.utils import is_grade, is_solution

from grading.course import copy_configuration
from grading.execution import execute

from . import example_lesson
from .conftest import LESSONS, ROOT, SHARED_DATA


def run(*command, cwd):
    # O nbgrader chama o comando alembic: os programas deste ambiente têm de estar no PATH.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        command, cwd=cwd, env=os.environ | {"PATH": programs}, capture_output=True, text=True, check=True
    )


def copy_course(folder):
    """Uma cópia do curso só com o que o nbgrader usa."""
    copy_configuration(ROOT, folder)
    shutil.copytree(ROOT / "solutions", folder / "solutions")
    return folder


def contents(folder):
    ignored = {"resultados", ".ipynb_checkpoints"}
    files = (path for path in folder.rglob("*") if path.is_file() and not ignored & set(path.parts))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_student_notebooks_are_what_the_source_gives(tmp_path):
    """Se falha: ``make notebooks``, e grave o resultado no repositório."""
    course = copy_course(tmp_path)
    run("nbgrader", "generate_assignment", "*", "--no-db", cwd=course)
    generated, committed = contents(course / "notebooks"), contents(ROOT / "notebooks")
    assert committed.pop("README.md"), "o guia do estudante é escrito à mão"
    assert committed.keys() == generated.keys()
    assert [name for name in generated if generated[name] != committed[name]] == []
    assert not (course / "gradebook.db").exists()


def points(path):
    """O id e os pontos de cada célula que o nbgrader corrige sozinho."""
    cells = nbformat.read(path, as_version=4).cells
    graded = [cell.metadata.nbgrader for cell in cells if is_grade(cell) and not is_solution(cell)]
    return {metadata.grade_id: metadata.points for metadata in graded}


def grade(course, name):
    """O caminho inteiro: gerar, conferir, corrigir e devolver duas entregas, a do professor e a em branco.

    Returns:
        Por entrega, ``{id: pontos}``.
    """
    run("nbgrader", "generate_assignment", name, cwd=course)
    for student, origin in (("professora", "solutions"), ("em branco", "notebooks")):
        shutil.copytree(course / origin / name, course / "submitted" / student / name)
    validated = run("nbgrader", "validate", f"notebooks/{name}/{name}.ipynb", cwd=course).stdout
    assert "CÉLULA(S) AVALIADAS NÃO PASSARAM" in validated
    validated = run("nbgrader", "validate", f"solutions/{name}/{name}.ipynb", cwd=course).stdout
    assert "Success!" in validated
    # Os testes rodam dois a dois: uma célula da aula pode demorar bem mais que num computador livre.
    run("nbgrader", "autograde", name, "--Execute.timeout=600", cwd=course)
    run("nbgrader", "generate_feedback", name, cwd=course)
    scores = {}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for student in ("professora", "em branco"):
            submission = gradebook.find_submission_notebook(name, name, student)
            scores[student] = {one.name: one.auto_score for one in submission.grades if one.auto_score is not None}
    return scores


def check_course(course, name):
    scores = grade(course, name)
    assert scores["professora"] == points(course / "solutions" / name / f"{name}.ipynb")
    assert set(scores["em branco"].values()) == {0}
    assert scores["em branco"].keys() >= scores["professora"].keys()

    blank = nbformat.read(course / "autograded" / "em branco" / name / f"{name}.ipynb", as_version=4)
    code = [cell for cell in blank.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code), "o caderno em branco não foi até o fim"
    lecture = [cell for cell in code if not is_grade(cell) and not is_solution(cell)]
    failed = [cell.source for cell in lecture if any(output.output_type == "error" for output in cell.outputs)]
    assert failed == [], "células da aula que dependem da resposta do estudante"

    feedback = (course / "feedback" / "em branco" / name / f"{name}.html").read_text(encoding="utf-8")
    assert "ainda não foi escrita: troque a linha" in " ".join(feedback.split())


@pytest.mark.lento
def test_the_whole_way_of_the_example(tmp_path):
    check_course(example_lesson.write_course(tmp_path / "curso com espaço"), example_lesson.NAME)


@pytest.mark.lento
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_whole_way_of_each_lesson(path, tmp_path):
    check_course(copy_course(tmp_path), path.stem)


@pytest.mark.lento
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_lesson_runs_with_the_whole_data(path, tmp_path, uci_file):
    """Só as variáveis de ambiente mudam: a coleção inteira da UCI e o emotion, onde estão à mão."""
    folder = shutil.copytree(path.parent, tmp_path / path.stem)
    notebook = nbformat.read(path, as_version=4)
    environment = {"LLMDEFINITIONS_FONTE": "local", "LLMDEFINITIONS_DADOS": str(SHARED_DATA)}
    execute(notebook, folder, environment, timeout=600)
    assert notebook.cells != nbformat.read(path, as_version=4).cells, "os dados não mudaram nada"


SHORT_LECTURE_MODEL = {
    "LLMDEFINITIONS_FONTE": "embutida",
    "LLMDEFINITIONS_MODELO": "gpt2-small (124M)",
    "LLMDEFINITIONS_PESOS": "sorteados",
    "LLMDEFINITIONS_LOTES": "2",
}


@pytest.mark.lento
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_lesson_runs_with_the_model_of_the_lecture(path, tmp_path):
    """A arquitetura de 124M, com pesos sorteados, em poucos lotes: só as variáveis de ambiente mudam."""
    folder = shutil.copytree(path.parent, tmp_path / path.stem)
    execute(nbformat.read(path, as_version=4), folder, SHORT_LECTURE_MODEL, timeout=600)


LESSON_WITH_MODEL = """
from pathlib import Path
import torch
from llmdefinitions import (SpamDataset, build_model, calc_loss_batch, chosen_model, count_parameters,
    create_data_loaders, find_sms_spam, get_tokenizer, load_spam_data, map_labels, prepare_for_classification)

map_labels(load_spam_data(find_sms_spam().path)[:60]).to_csv("mensagens.csv", index=None)
dataset = SpamDataset("mensagens.csv", get_tokenizer(), max_length=20)
loaders = create_data_loaders(dataset, dataset, dataset)
model, origin = build_model()
loss = calc_loss_batch(*next(iter(loaders[0])), prepare_for_classification(model), "cpu")
loss.backward()
print(chosen_model(), "|", origin, "|", count_parameters(model), "|", [len(loader) for loader in loaders])
"""


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LLMDEFINITIONS_FONTE": "embutida"}, "gpt2-mini (12M) | pesos pré-treinados por este curso (embutidos)"),
        (SHORT_LECTURE_MODEL, "gpt2-small (124M) | pesos sorteados (semente 123), sem pré-treinamento"),
    ],
)
def test_a_lesson_with_a_model_changes_it_by_environment_only(tmp_path, environment, expected):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LESSON_WITH_MODEL)])
    execute(notebook, tmp_path, environment, timeout=300)
    printed = "".join(output.text for output in notebook.cells[0].outputs if output.name == "stdout")
    assert expected in printed
    assert ("[2, 2, 2]" if "LLMDEFINITIONS_LOTES" in environment else "[7, 8, 8]") in printed


@pytest.mark.lento
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_numbers_in_the_text_are_those_of_the_notebook(path):
    """Se falha: ``python scripts/executar_licao.py`` com o nome da lição."""
    run(sys.executable, "scripts/executar_licao.py", path.stem, "--conferir", cwd=ROOT)


def test_lab_copies_the_student_notebooks(tmp_path):
    run(sys.executable, "-m", "llmdefinitions.lab", "--destino", str(tmp_path), "--so-copiar", cwd=ROOT)
    assert contents(tmp_path) == contents(ROOT / "notebooks")

"""Os ataques que tentam subir a nota: sobem a do nbgrader puro, e não sobem a daqui."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from grading.batch import grade_all
from grading.course import copy_configuration
from grading.kernels import imported_modules, kernel_environment, warm_kernels
from grading.results import Settings, State, Submission
from grading.sandbox import best_level
from grading.source import prepare_source
from grading.worker import grade
from scripts.nova_licao import write_notebook

from .ataques import LESSON, MAXIMUM, Attack, lesson_cells
from .ataques.nota import ATTACKS, HONEST
from .conftest import ROOT
from .example_lesson import course_directory

BLANK = Attack("em_branco", "O caderno como foi recebido.", lambda notebook: None)
GOOD = [Attack(name, "Uma entrega honesta.", transform, score=MAXIMUM) for name, transform in HONEST.items()]
IDS = {"ids": lambda attack: attack.name}


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """Um curso só com a lição dos ataques."""
    folder = tmp_path_factory.mktemp("ataques")
    copy_configuration(ROOT, folder)
    write_notebook(folder / "solutions" / LESSON / f"{LESSON}.ipynb", lesson_cells())
    return folder


@pytest.fixture(scope="session")
def source(course):
    [source] = prepare_source(course_directory(course), LESSON)
    return source


@pytest.fixture(scope="session")
def settings(source):
    """O melhor nível de isolamento desta máquina, com um processo aquecido."""
    plain = Settings(
        cell_seconds=20, isolation=best_level("limites"), environment=tuple(kernel_environment(os.environ).items())
    )
    modules = imported_modules([nbformat.reads(source.notebook, as_version=4)])
    with warm_kernels(plain, modules) as address:
        yield replace(plain, kernels=address)


@pytest.fixture(scope="session")
def graded(source, settings, tmp_path_factory):
    """Corrige uma entrega."""
    folder = tmp_path_factory.mktemp("entregas")

    def grade_one(attack):
        place = folder / attack.name / LESSON
        attack.submit(source.distributed, place)
        return grade(Submission(attack.name, LESSON, place), source, settings)

    return grade_one


def kinds(result):
    return {note.kind for note in (*result.flags, *result.changes)}


def told(result):
    return [(note.kind, note.sentence) for note in (*result.flags, *result.changes)]


@pytest.mark.parametrize("attack", ATTACKS, **IDS)
def test_the_attack_does_not_raise_the_score(graded, attack):
    result = graded(attack)
    assert result.earned == attack.score, f"{attack.sentence} A nota aqui: {result.earned}. {told(result)}"
    assert result.state == attack.state, f"{attack.sentence} {told(result)}"
    assert attack.kinds <= kinds(result), f"{attack.sentence} Faltou um sinal: {told(result)}"
    if attack.state == State.TAMPERED:
        assert any(note.serious for note in result.flags), f"{attack.sentence} O sinal não é grave: {told(result)}"
        assert {cell.state for cell in result.cells} == {State.TAMPERED}


@pytest.mark.parametrize("honest", GOOD, **IDS)
def test_an_honest_submission_keeps_its_score_and_gets_no_flag(graded, honest):
    result = graded(honest)
    assert (result.earned, result.state) == (MAXIMUM, State.PASSED), [cell.sentence for cell in result.cells]
    assert not told(result)


def test_the_blank_notebook_scores_zero(graded):
    assert graded(BLANK).earned == 0


@pytest.mark.lento
def test_the_rest_of_the_batch_is_graded(source, settings, tmp_path):
    """Um lote com todos os ataques e, no meio deles e no fim, duas entregas honestas; em dois processos."""
    middle = len(ATTACKS) // 2
    batch = [*ATTACKS[:middle], GOOD[0], *ATTACKS[middle:], GOOD[1]]
    for attack in batch:
        attack.submit(source.distributed, tmp_path / attack.name / LESSON)
    submissions = [Submission(attack.name, LESSON, tmp_path / attack.name / LESSON) for attack in batch]
    earned = {result.student: result.earned for result in grade_all(submissions, [source], settings, processes=2)}
    assert earned == {attack.name: attack.score for attack in batch}


# --- o controle: o nbgrader puro


@pytest.fixture(scope="session")
def plain_scores(course, source, tmp_path_factory):
    """As notas que ``nbgrader autograde`` dá a todas as entregas, numa rodada e numa base só."""
    folder = tmp_path_factory.mktemp("puro") / "curso"
    shutil.copytree(course, folder)
    generated = run_nbgrader("generate_assignment", folder)
    assert generated.returncode == 0, generated.stderr
    for attack in (BLANK, *GOOD[:1], *(one for one in ATTACKS if one.raises_score)):
        attack.submit(source.distributed, folder / "submitted" / attack.name / LESSON)
    run_nbgrader("autograde", folder)  # a saída não é zero: basta uma das entregas derrubar o kernel
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        return {one.student.id: one.score for one in gradebook.assignment_submissions(LESSON)}


def run_nbgrader(command, folder):
    scripts = Path(sys.executable).parent
    environment = {
        "PATH": f"{scripts}:/usr/bin:/bin",
        "HOME": str(folder),
        "CURSO": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [scripts / "nbgrader", command, LESSON],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.lento
def test_plain_nbgrader_grades_the_honest_as_we_do(plain_scores):
    assert plain_scores["em_branco"] == 0
    assert plain_scores[GOOD[0].name] == MAXIMUM


@pytest.mark.lento
@pytest.mark.parametrize("attack", [one for one in ATTACKS if one.raises_score], **IDS)
def test_the_attack_works_on_plain_nbgrader(plain_scores, attack):
    assert plain_scores[attack.name] > plain_scores["em_branco"], attack.sentence

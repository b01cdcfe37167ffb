"""Quem só fez a lição recebe a nota que merece, e a mesma que o nbgrader puro dá onde ele dá a certa."""

import pytest

from grading.results import State

from .entregas.honestas import HONEST
from .entregas.licao import LESSON, POINTS, grader, nbgrader, plain_scores, write_course, write_submissions

TWO_CELLS = "de duas células com o mesmo grade_id ele esvazia os metadados de uma, e a conferência seguinte os recusa"

DIFFERENT = {
    "avisos": (8, "ele dá zero ao teste durante o qual algo foi escrito na saída de erro"),
    "célula copiada": (None, TWO_CELLS),
    "cópia em branco": (None, TWO_CELLS),
}
"""Onde o nbgrader puro dá outra nota: a que ele dá (``None``: nenhuma, e interrompe a turma) e por quê."""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = write_course(tmp_path_factory.mktemp("curso"))
    write_submissions(folder, HONEST)
    return folder


@pytest.fixture(scope="module")
def grade(course):
    with grader(course) as grade:
        yield grade


def by_name(entry):
    return entry.name


@pytest.mark.parametrize("entry", HONEST, ids=by_name)
def test_the_score_is_the_deserved_one(grade, entry):
    result = grade(entry.name)
    assert (result.state, result.earned, result.points) == (entry.state, entry.earned, POINTS), result.cells
    assert {note.kind for note in result.changes} == entry.changes
    assert not any(note.serious for note in (*result.changes, *result.flags)), "um estudante honesto não é suspeito"
    automatic = [cell for cell in result.cells if cell.state != State.MANUAL]
    assert all(bool(cell.sentence) == (cell.state == State.FAILED) for cell in automatic)


@pytest.fixture(scope="module")
def plain_course(course):
    assert nbgrader(course, "generate_assignment", LESSON)
    return course


@pytest.mark.lento
@pytest.mark.parametrize("entry", HONEST, ids=by_name)
def test_plain_nbgrader_gives_the_same_or_the_table_says_why(plain_course, grade, entry):
    scores = plain_scores(plain_course, entry.name)
    ours = {cell.grade_id: cell.score for cell in grade(entry.name).cells}
    if entry.name in DIFFERENT:
        expected, reason = DIFFERENT[entry.name]
        assert scores != ours, f"deixou de ser verdade que {reason}"
        total = None if scores is None else sum(filter(None, scores.values()))
        assert total == expected
    else:
        assert scores == ours

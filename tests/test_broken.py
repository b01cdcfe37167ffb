"""Uma entrega que não é bem um caderno vira uma linha no resultado, com uma frase; ou é lida assim mesmo."""

import time

import pytest

from grading.results import State

from .entregas.licao import LESSON, POINTS, grader, nbgrader, plain_scores, write_course, write_submissions
from .entregas.quebradas import BROKEN

STOPS = "ele para com um erro, e a entrega fica sem nota"

DIFFERENT = {
    "UTF-16": (None, STOPS),
    "marca de UTF-8": (None, STOPS),
    "tipos trocados": (None, STOPS),
    "surrogates soltos": (None, STOPS),
    "teste duplicado": (None, "ele interrompe a turma inteira"),
    "sem células": (0, "ele não grava nota alguma, nem zero"),
    "arquivos no caminho": (None, STOPS),
    "atalho": (12, "ele segue o atalho, que leva ao caderno do professor"),
    "fila no lugar do caderno": (None, "ele espera para sempre por quem escreva nela"),
}
"""Onde o nbgrader puro faz outra coisa: os pontos que ele dá (``None``: nenhum) e por quê.

As entregas ilegíveis que não estão aqui são como ``STOPS`` diz: aqui valem zero, com a frase.
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = write_course(tmp_path_factory.mktemp("curso com espaço"))
    write_submissions(folder, BROKEN)
    return folder


@pytest.fixture(scope="module")
def grade(course):
    with grader(course) as grade:
        yield grade


def by_name(entry):
    return entry.name


@pytest.mark.parametrize("entry", BROKEN, ids=by_name)
def test_every_broken_submission_has_a_result(grade, entry):
    start = time.monotonic()
    result = grade(entry.name)
    unreadable = entry.state == State.UNREADABLE
    assert (result.state, result.earned) == (entry.state, entry.earned), (result.sentence, result.cells)
    assert result.points == POINTS
    assert bool(result.sentence) == unreadable
    assert {note.kind for note in result.changes} == entry.changes
    assert not any(note.serious for note in (*result.changes, *result.flags)), "estragado não é suspeito"
    assert (result.student, result.lesson, result.name) == (entry.name, LESSON, LESSON)
    assert len(result.cells) == 6
    assert time.monotonic() - start < 30


@pytest.fixture(scope="module")
def plain_course(course):
    assert nbgrader(course, "generate_assignment", LESSON)
    return course


@pytest.mark.lento
@pytest.mark.parametrize("entry", BROKEN, ids=by_name)
def test_what_plain_nbgrader_does_with_it(plain_course, grade, entry):
    scores = plain_scores(plain_course, entry.name, timeout=30)
    ours = {cell.grade_id: cell.score for cell in grade(entry.name).cells}
    if entry.name in DIFFERENT:
        expected, reason = DIFFERENT[entry.name]
        assert scores != ours, f"deixou de ser verdade que {reason}"
        total = None if scores is None else sum(filter(None, scores.values()))
        assert total == expected
    elif entry.state == State.UNREADABLE:
        assert scores is None
    else:
        assert scores == ours

"""A turma de mentira de ``benchmarks/turma.py``, e uma pequena corrigida de verdade: cada um recebe o que merece."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import click
import nbformat
import pytest
from nbgrader.api import Gradebook

from grading.ledger import read_results
from grading.results import CellResult, Note, Result, State

from .conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import turma
from correcao import fit_line, lesson_row
from respostas import SAMPLE, Lesson, write_course
from turma import BLANK, BROKEN, MUTANT, OTHERWISE, PERFECT, Expected, make_class, problems, read_class, student_names

from grading.command import run

REAL = "03_preparacao_dos_dados"


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """Um curso sem entregas."""
    folder = tmp_path_factory.mktemp("vazio") / "curso"
    write_course(folder, [SAMPLE, REAL])
    return folder


@pytest.fixture
def course(empty, tmp_path):
    return shutil.copytree(empty, tmp_path / "curso")


def contents(folder):
    """O que há numa pasta: dicionário do caminho para os bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_makes_the_same_class(course, empty, tmp_path):
    other, third = (shutil.copytree(empty, tmp_path / name) for name in ("outro", "terceiro"))
    make_class(course, [SAMPLE, REAL], 8, seed=5)
    make_class(other, [REAL, SAMPLE], 8, seed=5)
    make_class(third, [SAMPLE, REAL], 8, seed=6)
    assert contents(course / "submitted") == contents(other / "submitted"), "a ordem das lições não muda nada"
    assert contents(course / "submitted") != contents(third / "submitted")


def test_names_are_brazilian_different_and_have_accents_and_spaces():
    names = student_names(400, seed=1)
    assert len({turma.unicodedata.normalize("NFC", name).casefold() for name in names}) == 400
    assert all(name.count(" ") >= 2 for name in names)
    assert sum(not name.isascii() for name in names) > 300
    assert names == sorted(student_names(400, seed=1))
    assert names != student_names(400, seed=2)


@pytest.mark.parametrize(
    ("number", "shares", "whole"),
    [
        (60, turma.SHARES, [15, 9, 24, 6, 6]),
        (1, {"a": 1, "b": 2}, [0, 1]),
        (10, {"a": 1, "b": 1, "c": 1}, [4, 3, 3]),
        (7, {"a": 0, "b": 0.5}, [0, 7]),
    ],
)
def test_a_class_is_divided_exactly(number, shares, whole):
    assert list(turma.split(number, shares).values()) == whole


def test_each_lesson_has_its_shares(course):
    shares = {PERFECT: 2, OTHERWISE: 1, MUTANT: 4, BLANK: 1, BROKEN: 2}
    expected = make_class(course, [SAMPLE, REAL], 10, shares=shares)
    for lesson in (SAMPLE, REAL):
        assert Counter(one.kind for one in expected if one.lesson == lesson) == shares
    assert read_class(course) == expected
    assert not (course / "submitted" / turma.EXPECTED).exists()


def test_there_is_something_right_and_something_wrong_in_a_mutant(course):
    expected = make_class(course, [REAL], 20, shares={MUTANT: 1})
    lesson = Lesson(course, REAL)
    mistakes = [mistake for one in expected for mistake in one.detail]
    assert len(set(mistakes)) == len(mistakes), "os erros se revezam antes de se repetirem"
    for one in expected:
        assert one.full
        assert one.lost
        path = course / "submitted" / one.student / REAL / f"{REAL}.ipynb"
        cells = {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}
        for grade_id, answer in lesson.answers.items():
            source = cells[grade_id.replace("_", "-")].source
            assert "### BEGIN SOLUTION" not in source
            assert (source == answer) is (f"{grade_id}_teste" in one.full)


def test_nothing_is_written_over_a_class(course):
    make_class(course, [SAMPLE], 3)
    before = contents(course)
    with pytest.raises(click.ClickException, match="não escrevo por cima"):
        make_class(course, [REAL], 3, seed=4)
    (course / turma.EXPECTED).unlink()
    with pytest.raises(click.ClickException, match="submitted"):
        make_class(course, [REAL], 3, seed=4)
    assert contents(course).items() <= before.items()


def test_a_lesson_that_is_not_there_is_said_before_anything_is_written(course):
    with pytest.raises(click.ClickException, match="98_outra"):
        make_class(course, [SAMPLE, "98_outra"], 3)
    assert not (course / "submitted").exists()


def test_the_command_makes_a_course_and_its_class(tmp_path, capsys):
    arguments = [str(tmp_path / "novo"), "--alunos", "4", "--licao", SAMPLE, "--perfeitas", "1", "--em-branco", "1"]
    zeros = ["--outro-modo", "0", "--mutantes", "0", "--quebradas", "0"]
    assert run(turma.command, [*arguments, *zeros]) == 0
    assert "4 entregas em" in (out := capsys.readouterr().out)
    assert "perfeita 2, em branco 2." in out
    assert len(list((tmp_path / "novo" / "submitted").iterdir())) == 4
    assert run(turma.command, arguments) == 1
    assert "não escrevo por cima" in capsys.readouterr().err
    assert run(turma.command, [*arguments[:5], *zeros, "--perfeitas", "0", "--em-branco", "0"]) == 1
    assert run(turma.command, ["--help"]) == 0
    assert "Uso: python benchmarks/turma.py [OPÇÕES] PASTA" in capsys.readouterr().out


# --- o que se confere


GOOD = Result(
    "Zoé", "L", "L", State.PASSED, cells=(CellResult("a", 4, 4, State.PASSED), CellResult("b", 6, 0, State.FAILED))
)


def changed(position, **values):
    cells = list(GOOD.cells)
    cells[position] = replace(cells[position], **values)
    return replace(GOOD, cells=tuple(cells))


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([GOOD], None),
        ([], "há 0"),
        ([replace(GOOD, state=State.TAMPERED)], "adulterada"),
        ([replace(GOOD, flags=(Note("quadros", "Olhou a pilha.", serious=True),))], "Olhou a pilha"),
        ([replace(GOOD, cells=GOOD.cells[:1])], "outras"),
        ([changed(0, score=3)], "a deveria ter 4 pontos"),
        ([changed(1, score=6)], "b deveria perder"),
        ([changed(1, score=None)], "b deveria perder"),
        ([changed(1, score=2)], None),
    ],
)
def test_what_was_not_deserved_is_said(results, said):
    found = problems(Expected("Zoé", "L", MUTANT, (), ("a",), ("b",)), results)
    assert len(found) == bool(said)
    assert not said or said in found[0]


def test_blank_and_broken_submissions_deserve_nothing():
    result = changed(0, score=1)
    blank = Expected("Zoé", "L", BLANK, (), (), ("a", "b"))
    assert problems(blank, [result]) == ["a deveria perder pontos; tem 1 de 4"]
    assert problems(blank, [changed(0, score=0)]) == []
    assert "ilegível" in problems(replace(blank, kind=BROKEN), [changed(0, score=0)])[0]


@pytest.mark.lento
def test_everyone_in_a_class_gets_what_they_deserve(course):
    shares = {PERFECT: 1, OTHERWISE: 1, MUTANT: 2, BLANK: 1, BROKEN: 1}
    expected = make_class(course, [SAMPLE, REAL], 6, seed=11, shares=shares)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for lesson in (SAMPLE, REAL):
        command = [sys.executable, "-m", "grading", lesson]
        process = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
    for lesson in (SAMPLE, REAL):
        row = lesson_row(course, lesson, expected)
        assert row["surpresas"] == []
        assert row["entregas"] == {"passou": 5, "ilegível": 1}
        assert row["celulas"]["não passou"] >= 4
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for one in expected:
            [result] = read_results(course / "autograded" / one.student / one.lesson)[1]
            assert gradebook.find_submission(one.lesson, one.student).score == result.earned


# --- a medida


def test_what_went_wrong_in_a_lesson_is_counted_and_named(course):
    expected = make_class(course, [SAMPLE], 2, shares={MUTANT: 1})
    row = lesson_row(course, SAMPLE, expected)
    assert row["entregas"] == {}
    assert [surprise.partition(" (")[0] for surprise in row["surpresas"]] == [one.student for one in expected]
    assert all("esperava uma correção; há 0" in surprise for surprise in row["surpresas"])


def test_the_line_of_a_cost_that_grows_with_the_class_is_found():
    line = fit_line([(10, 12.0), (100, 57.0), (400, 207.0)])
    assert (line["fixo"], line["por_entrega"]) == pytest.approx((7, 0.5))
    assert line["desvio"] < 1e-6
    assert fit_line([(10, 12.0), (100, 57.0), (400, 800.0)])["desvio"] > 0.1

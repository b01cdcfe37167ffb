"""O comando do curso inteiro, sobre a lição de amostra: kernel, ``corrigir`` e base de notas de verdade."""

import io
import subprocess
import sys

import nbformat
import pytest
from rich.console import Console

from scripts import curso

from . import example_lesson
from .conftest import ROOT
from .test_notebooks import run

LESSON = example_lesson.NAME


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Um curso só com a lição de amostra, distribuída, no lugar do verdadeiro."""
    folder = example_lesson.write_course(tmp_path / "curso com espaço")
    run("nbgrader", "generate_assignment", LESSON, "--no-db", cwd=folder)
    monkeypatch.setattr(curso, "ROOT", folder)
    return folder


def edit(path, cell_id, **changes):
    notebook = nbformat.read(path, as_version=4)
    cell = example_lesson.find(notebook.cells, cell_id)
    cell.source = changes.pop("source", cell.source)
    cell.metadata |= changes
    nbformat.write(notebook, path)


def run_it(tmp_path):
    """Executa e corrige a lição; devolve o relatório e o que foi mostrado."""
    scratch, screen = tmp_path / "execução", io.StringIO()
    scratch.mkdir()
    (report,) = curso.run_course([LESSON], scratch, Console(file=screen, width=120))
    return report, screen.getvalue()


@pytest.mark.lento
def test_a_lesson_is_run_and_its_submissions_graded(course, tmp_path):
    path = curso.notebook_path(course / "solutions", LESSON)
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["curso"] = {"acuracia": "f'{len(texts)} textos'"}
    nbformat.write(notebook, path)
    before = path.read_bytes()
    report, screen = run_it(tmp_path)
    assert report.problems == []
    assert report.points == {"perfeita": (90, 90), "pela metade": (60, 90), "em branco": (0, 90)}
    assert report.accuracy == "2 textos"
    assert f"✓ {LESSON}: executada em" in screen
    assert path.read_bytes() == before, "o caderno do professor mudou"


@pytest.mark.lento
def test_a_wrong_answer_of_the_teacher_is_said(course, tmp_path):
    path = curso.notebook_path(course / "solutions", LESSON)
    edit(path, "99-media", source="def mean_length(texts):\n    return 0.0")
    edit(path, "99-media-teste", source="# Confere.\nassert mean_length(['oi', 'tudo bem']) == 5, 'A média é 5.'")
    report, screen = run_it(tmp_path)
    assert "executando" in report.problems[0]
    assert "A média é 5." in report.problems[0]
    assert "as respostas do professor ganharam 30 de 90 pontos" in report.problems
    assert f"✗ {LESSON}: " in screen


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ((90, 40, 0), None),
        ((80, 40, 0), "as respostas do professor ganharam 80 de 90 pontos"),
        ((90, 40, 5), "o caderno em branco ganhou 5 pontos"),
        ((90, 90, 0), "a entrega pela metade ganhou 90 de 90 pontos"),
        ((90, 0, 0), "a entrega pela metade ganhou 0 de 90 pontos"),
    ],
)
def test_points_that_no_submission_deserves(points, problem):
    report = curso.Report(LESSON, points={name: (one, 90) for name, one in zip(curso.STUDENTS, points, strict=True)})
    curso.check_points(report)
    assert report.problems == ([problem] if problem else [])


def test_the_table_shows_also_a_lesson_that_stopped():
    screen = io.StringIO()
    done = curso.Report("01_uma", 90, 30, "97,7%", dict.fromkeys(curso.STUDENTS, (50, 100)))
    stopped = curso.Report("02_outra", problems=["executando: o kernel morreu"])
    Console(file=screen, width=120).print(curso.summary([done, stopped]))
    shown = screen.getvalue()
    assert [word in shown for word in ("1,5 min", "0,5 min", "50/100", "97,7%", "02_outra")] == [True] * 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["99_nada"], "Não há a lição 99_nada"), (["--guardar", "."], "já existe"), (["--guarda"], "Não conheço")],
)
def test_mistakes_in_the_command_line(arguments, sentence, tmp_path):
    process = subprocess.run(
        [sys.executable, ROOT / "scripts" / "curso.py", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode in (1, 2)
    assert sentence in process.stderr
    assert "Traceback" not in process.stderr


def test_help_is_in_portuguese():
    process = subprocess.run(
        [sys.executable, ROOT / "scripts" / "curso.py", "--help"], capture_output=True, text=True, check=True
    )
    assert process.stdout.startswith("Uso: python scripts/curso.py [OPÇÕES] [LIÇÃO]...\n")

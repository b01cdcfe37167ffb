"""O comando ``corrigir``, como um professor o digita: kernels, isolamento e base de verdade."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib

import nbformat
import pytest
from nbgrader.api import Gradebook

from . import example_lesson
from .conftest import ROOT
from .example_lesson import NAME, find

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
RIGHT, BLANK, SLOW = "Zoë d'Ávila", "em branco", "lenta"


def correct(course, *arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "grading", *map(str, arguments)],
        cwd=cwd or course,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def submit(course, student, answers=()):
    """Uma entrega com o caderno do professor, menos o que ``answers`` troca: ``{id da célula: texto}``."""
    folder = course / "submitted" / student / NAME
    shutil.copytree(course / "solutions" / NAME, folder)
    notebook = nbformat.read(folder / f"{NAME}.ipynb", as_version=4)
    for cell_id, text in dict(answers).items():
        find(notebook.cells, cell_id).source = text
    nbformat.write(notebook, folder / f"{NAME}.ipynb")
    return folder


def grades(course):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        submissions = gradebook.assignment_submissions(NAME)
        return {one.student.id: (one.score, one.needs_manual_grade) for one in submissions}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Um curso com entregas de toda sorte, corrigido uma vez de fora da pasta dele."""
    course = example_lesson.write_course(tmp_path_factory.mktemp("turma") / "curso com espaço e acentuação")
    submit(course, RIGHT)
    submit(course, BLANK, {"99-media": "pass", "99-escolha": "pass"})
    submit(course, SLOW, {"99-media": "def mean_length(texts):\n    while True: pass"})
    (submit(course, "quebrado") / f"{NAME}.ipynb").write_bytes(b"\x00\xff{")
    (submit(course, "sem caderno") / f"{NAME}.ipynb").unlink()
    (course / "submitted" / "atalho").symlink_to(course / "submitted" / RIGHT)
    (submit(course, "\x1b[31mvermelho [bold]") / f"{NAME}.ipynb").unlink()
    return course, correct(
        course, NAME, "--curso", course, "--tempo-celula", "3", "--processos", "2", cwd=tmp_path_factory.mktemp("fora")
    )


def row(process, student):
    """A linha da tabela de um aluno."""
    table = process.stdout[process.stdout.index("\naluno") :]
    return " ".join(next(line for line in table.splitlines() if line.startswith(student)).split())


def test_every_submission_is_a_row_and_the_exit_is_zero(graded):
    _, process = graded
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert row(process, RIGHT).startswith(f"{RIGHT} 90/90 corrigida")
    assert row(process, BLANK).startswith(f"{BLANK} 0/90 corrigida")
    assert row(process, SLOW).startswith(f"{SLOW} 30/90 tempo esgotado (1)")
    assert "quebrado: O arquivo não é um caderno do Jupyter" in process.stdout
    assert "sem caderno: O caderno não está na entrega." in process.stdout
    assert "atalho: A pasta da entrega é um link simbólico" in process.stdout


def test_without_a_terminal_there_is_a_line_for_each(graded):
    _, process = graded
    counted = re.findall(r"^\[(\d+)/7\] ", process.stdout, re.MULTILINE)
    assert counted == [str(number) for number in range(1, 8)]
    assert "\x1b" not in process.stdout, "o nome de um aluno mandou no terminal"
    assert "[31mvermelho [bold]" in process.stdout


def test_the_summary_says_where_everything_is(graded):
    course, process = graded
    assert re.search(r"^7 entregas em \d+,\d s, com isolamento (bubblewrap|espacos-de-nomes)\.$", process.stdout, re.M)
    assert f"Cadernos corrigidos: {course / 'autograded'}\n" in process.stdout
    assert f"Base de notas: {course / 'gradebook.db'}\n" in process.stdout


def test_grades_are_in_the_base(graded):
    course, _ = graded
    found = grades(course)
    assert len(found) == 7
    assert found[RIGHT] == (90, True), "o texto espera pelo professor"
    assert found[BLANK][0] == 0
    assert {found[name] for name in ("quebrado", "sem caderno", "atalho")} == {(0, True)}


def test_each_submission_has_its_folder(graded):
    course, _ = graded
    folder = course / "autograded" / RIGHT / NAME
    assert {path.name for path in folder.iterdir()} == {f"{NAME}.ipynb", "corrigir.json"}
    (result,) = json.loads((folder / "corrigir.json").read_text())["results"]
    assert sum(cell["score"] or 0 for cell in result["cells"]) == 90
    assert (course / "autograded" / "quebrado" / NAME / "corrigir.json").is_file()


def test_one_student_again_with_details(graded):
    """Corrigir de novo dá o mesmo; com detalhes aparece o que cada exercício disse."""
    course, _ = graded
    before = grades(course)
    process = correct(course, NAME, "--aluno", BLANK, "--detalhes")
    assert process.returncode == 0, process.stderr
    assert "1 entrega em" in process.stdout
    assert re.search(f"^{BLANK}: 99_media_teste, não passou: ", process.stdout, re.MULTILINE)
    assert grades(course) == before


@pytest.mark.lento
def test_a_terminal_gets_a_bar(graded):
    course, _ = graded
    program = f"import os; os.chdir({str(course)!r}); import sys; from grading.cli import main; sys.exit(main())"
    command = f"import pty, os, sys; sys.exit(pty.spawn([sys.executable, '-c', {program!r}, *sys.argv[1:]]))"
    environment = ENVIRONMENT | {"TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.run(
        [sys.executable, "-c", command, NAME, "--aluno", RIGHT, "--aluno", "quebrado"],
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    text = process.stdout.decode()
    assert "corrigindo" in text
    assert "0/2" in text
    assert "faltam" in text
    assert "ilegível" in text
    assert process.returncode == 0, text


def test_interruption_keeps_what_was_done(tmp_path):
    course = example_lesson.write_course(tmp_path / "curso")
    submit(course, "ana")
    submit(course, "bia", {"99-media": "while True: pass"})
    command = [sys.executable, "-m", "grading", NAME, "--processos", "1"]
    with subprocess.Popen(
        command, cwd=course, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "[1/2] ana: 90/90, corrigida\n"
        second = correct(course, NAME)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Interrompido: faltam 1 de 2 entregas" in out
    assert err.strip() == "Erro: Interrompido."
    assert grades(course) == {"ana": (90, True)}
    assert second.returncode == 1
    assert second.stderr.startswith(f"Erro: Outro comando está corrigindo {NAME}. Espere")
    assert second.stdout == "", "o segundo comando começou a corrigir o que o primeiro corrigia"
    after = correct(course, NAME, "--aluno", "ana")
    assert after.returncode == 0, "a trava de um comando interrompido ficou fechada"


# --- a linha de comando


@pytest.fixture
def course(tmp_path):
    return example_lesson.write_course(tmp_path / "curso")


def test_a_place_that_takes_no_writing_is_said_before_anything_is_corrected(course):
    submit(course, "ana")
    (course / "autograded").write_text("um arquivo no lugar da pasta")
    process = correct(course, NAME)
    assert process.returncode == 1
    assert process.stderr.startswith(f"Erro: Não consigo escrever em {course / 'autograded'}: ")
    assert process.stdout == ""


def test_help_is_portuguese():
    process = correct(ROOT, "--help")
    assert process.returncode == 0
    assert process.stdout.startswith("Uso: corrigir [OPÇÕES] LIÇÃO\n")
    for option in (
        "processos",
        "tempo-celula",
        "tempo-total",
        "memoria",
        "isolamento-minimo",
        "aluno",
        "curso",
        "help",
    ):
        assert f"--{option}" in process.stdout
    assert not re.search(r"\b(Usage|Options|Show this|default|TEXT|INTEGER|FLOAT)\b", process.stdout)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Falta LIÇÃO."),
        (["--lento", NAME], "Não conheço a opção --lento."),
        ([NAME, "--processos", "0"], "O valor dado a --processos não serve; esperava um número inteiro a partir de 1."),
        ([NAME, "--tempo-celula", "já"], "O valor dado a --tempo-celula não serve; esperava um número maior que 0."),
        ([NAME, "--isolamento-minimo", "total"], "esperava um de: nenhum, limites, espacos-de-nomes, bubblewrap."),
    ],
)
def test_a_wrong_command_line_is_one_sentence(course, arguments, sentence):
    process = correct(course, *arguments)
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert line.startswith("Erro: ")
    assert sentence in line
    assert line.endswith("Veja: corrigir --help")


@pytest.mark.parametrize(
    ("arguments", "config", "sentence"),
    [
        (["98_outra"], "", "Não há uma lição 98_outra"),
        ([NAME], "", "Não há entregas. Elas devem estar em"),
        ([NAME, "--aluno", "bia"], "", "Não há entregas de bia."),
        ([NAME, "--curso", "nada"], "", "Não há uma pasta"),
        ([NAME], "c.Execute.timeout = (", "A configuração do nbgrader em"),
        ([NAME], "c.CourseDirectory.source_directory = 3", "A configuração do nbgrader em"),
        ([NAME], "1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_graded_is_one_sentence(course, arguments, config, sentence):
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{config}\n")
    process = correct(course, *arguments)
    assert process.returncode == 1
    assert process.stderr.startswith("Erro: ")
    assert sentence in process.stderr
    assert "Traceback" not in process.stderr
    assert not (course / "gradebook.db").exists()


def test_a_lesson_whose_cells_changed_after_grading(graded, tmp_path):
    course = shutil.copytree(graded[0], tmp_path / "curso", symlinks=True)
    path = course / "solutions" / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    find(notebook.cells, "99-media-teste").metadata.nbgrader.grade_id = "outro"
    nbformat.write(notebook, path)
    process = correct(course, NAME)
    assert process.returncode == 1
    assert "a mais, outro; a menos, 99_media_teste" in process.stderr


def test_a_base_that_is_not_one_is_said_and_the_exit_is_not_zero(graded, tmp_path):
    """Ninguém pode pensar que as notas foram gravadas."""
    course = shutil.copytree(graded[0], tmp_path / "curso", symlinks=True)
    (course / "gradebook.db").write_bytes(b"isto nao e uma base " * 100)
    process = correct(course, NAME, "--aluno", RIGHT)
    assert process.returncode == 1
    assert "Não consigo usar a base de notas" in process.stderr


def test_the_command_is_installed_by_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"]["corrigir"] == "grading.cli:main"

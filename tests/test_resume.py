"""Interromper e recomeçar: o que já foi corrigido não é executado de novo, e a base acaba igual à de quem não parou."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from sqlalchemy import MetaData, create_engine, select

from grading.course import open_course, open_gradebook
from grading.gradebook import GradebookWriter
from grading.ledger import RESULTS, CorrectionKeys, read_results
from grading.results import Settings, Source, State, Submission
from grading.source import prepare_source
from grading.status import GRADED, lesson_status

from . import example_lesson
from .example_lesson import NAME
from .test_corrigir import ENVIRONMENT, correct, submit

KILLS = 20
STEPS = 70
"""Quantos passos tem, no máximo, a gravação de uma entrega."""

WRONG = "def mean_length(texts):\n    return 0"


@pytest.fixture(scope="module")
def two_graded(tmp_path_factory):
    course = example_lesson.write_course(tmp_path_factory.mktemp("registro") / "curso")
    submit(course, "ana")
    submit(course, "bia", {"99-media": WRONG})
    process = correct(course, NAME)
    assert process.returncode == 0, process.stderr
    return course


@pytest.fixture
def course(two_graded, tmp_path):
    return shutil.copytree(two_graded, tmp_path / "curso")


def graded_students(process):
    """Quem foi corrigido de verdade, pelas linhas de progresso."""
    return set(re.findall(r"^\[\d+/\d+\] (.+?): ", process.stdout, re.MULTILINE))


# --- o registro


def test_what_did_not_change_is_shown_and_not_run(course):
    process = correct(course, NAME)
    assert graded_students(process) == set()
    assert "ana     90/90  corrigida              —" in process.stdout
    assert "bia     30/90  corrigida              —" in process.stdout
    assert "0 entregas em" in process.stdout
    assert "; 2 sem mudança desde a última correção." in process.stdout


def change_answer(course):
    path = course / "submitted" / "bia" / NAME / f"{NAME}.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("return 0", "return 1"), encoding="utf-8")


def add_file(course):
    (course / "submitted" / "bia" / NAME / "dados.csv").write_text("a")


def change_source(course):
    path = course / "solutions" / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if cell.cell_type == "markdown").source += "\nOutra frase."
    nbformat.write(notebook, path)


def lose_the_base(course):
    (course / "gradebook.db").unlink()


def lose_the_folder(course):
    shutil.rmtree(course / "autograded" / "bia")


def remove_the_submission(course):
    command = ["nbgrader", "db", "assignment", "remove", NAME, "--force"]
    environment = ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, cwd=course, env=environment, check=True, capture_output=True)


def spoil_the_results(course):
    path = course / "autograded" / "bia" / NAME / RESULTS
    path.chmod(0o644)
    path.write_text('{"key": 3}')


def to_grade(course):
    """Os alunos cuja correção não vale mais."""
    opened = open_course(course)
    with open_gradebook(opened.coursedir) as gradebook:
        return {student for student, state, _, _ in lesson_status(opened, gradebook, NAME) if state != GRADED}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_answer, {"bia"}),
        (add_file, {"bia"}),
        (lose_the_folder, {"bia"}),
        (spoil_the_results, {"bia"}),
        (change_source, {"ana", "bia"}),
        (lose_the_base, {"ana", "bia"}),
        (remove_the_submission, {"ana", "bia"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_changed_is_noticed(course, change, expected):
    assert to_grade(course) == set()
    change(course)
    assert to_grade(course) == expected


def test_what_changed_is_run_again_and_an_old_copy_of_the_base_is_noticed(course):
    """Com a cópia, a pasta diz que a entrega nova foi corrigida, e a base tem a nota da velha."""
    shutil.copy(course / "gradebook.db", course / "copia.db")
    change_answer(course)
    process = correct(course, NAME)
    assert process.returncode == 0, process.stderr
    assert graded_students(process) == {"bia"}
    assert to_grade(course) == set()
    shutil.move(course / "copia.db", course / "gradebook.db")
    assert to_grade(course) == {"bia"}


def test_other_settings_run_everything_again(course):
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write("\nc.Execute.timeout = 77\n")
    assert graded_students(correct(course, NAME)) == {"ana", "bia"}


def test_redo_runs_what_did_not_change(course):
    process = correct(course, "refazer", "bia")
    assert process.returncode == 0, process.stderr
    assert graded_students(process) == {"bia"}
    assert graded_students(correct(course, "refazer", "ana", NAME)) == {"ana"}
    process = correct(course, "refazer", "zeca")
    assert (process.returncode, process.stderr) == (1, "Erro: Não há entregas de zeca em nenhuma lição.\n")


def test_status_says_what_is_missing_and_grades_nothing(course):
    change_answer(course)
    submit(course, "caio")
    before = sorted(course.rglob("*"))
    process = correct(course, "status")
    assert re.search(rf"^{NAME} +3 +1 +1 +1 +2$", process.stdout, re.MULTILINE), process.stdout
    process = correct(course, "status", NAME)
    found = [line.split() for line in process.stdout.splitlines()[2:]]
    assert found == [
        ["ana", "90/90", "corrigida", "falta"],
        ["bia", "30/90", "mudou", "depois", "de", "corrigida", "falta"],
        ["caio", "—", "por", "corrigir"],
    ]
    assert sorted(course.rglob("*")) == before
    assert "Não há uma lição 98_nada" in correct(course, "status", "98_nada").stderr


def test_a_failure_of_the_correction_is_not_done(course):
    """O que falhou fica gravado, mas sem a chave: da próxima vez é corrigido de novo."""
    opened = open_course(course)
    key, (result,) = read_results(course / "autograded" / "ana" / NAME)
    assert (bool(key), result.earned) == (True, 90)
    failed = replace(result, state=State.INFRASTRUCTURE, notebook="")
    submission = Submission("ana", NAME, course / "submitted" / "ana" / NAME)
    with GradebookWriter(opened.coursedir) as writer:
        writer.prepare(prepare_source(opened.coursedir, NAME))
        writer.write(submission, [failed], key)
    assert read_results(course / "autograded" / "ana" / NAME) == ("", [failed])
    assert to_grade(course) == {"ana"}


# --- a chave


@pytest.fixture
def submission(tmp_path):
    folder = tmp_path / "submitted" / "ana" / NAME
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("bc")
    return Submission("ana", NAME, folder)


def key_of(submission, settings=None, **changes):
    return CorrectionKeys([Source(NAME, NAME, '{"cells": []}', **changes)], settings or Settings()).of(submission)


def test_the_key_covers_names_and_contents(submission):
    before = key_of(submission)
    (submission.folder / "a.txt").rename(submission.folder / "ab.txt")
    (submission.folder / "ab.txt").write_text("c")
    assert key_of(submission) != before
    (submission.folder / "ab.txt").unlink()
    (submission.folder / "a.txt").write_text("bc")
    assert key_of(submission) == before


def test_the_key_covers_source_and_settings_and_not_the_address_of_the_kernels(submission):
    before = key_of(submission)
    assert key_of(submission, Settings(kernels="pool:torch")) == before
    assert key_of(submission, Settings(memory_mb=100)) != before
    assert key_of(submission, files=(("dados.csv", b"1"),)) != before
    assert key_of(submission, distributed="{}").partition("-")[2] == before.partition("-")[2]


def test_links_and_pipes_are_not_followed(submission, tmp_path):
    before = key_of(submission)
    (tmp_path / "segredo").write_text("x")
    (submission.folder / "atalho").symlink_to(tmp_path / "segredo")
    os.mkfifo(submission.folder / "cano")
    assert key_of(submission) == before
    link = tmp_path / "link"
    link.symlink_to(submission.folder)
    assert key_of(Submission("bia", NAME, link)) == ""


# --- o SIGKILL


@pytest.fixture(scope="module")
def class_of_thirty(tmp_path_factory):
    course = example_lesson.write_course(tmp_path_factory.mktemp("trinta") / "curso")
    for number in range(30):
        student = f"aluno {number:02}"
        match number % 5:
            case 0 | 1:
                submit(course, student)
            case 2:
                submit(course, student, {"99-media": WRONG})
            case 3:
                submit(course, student, {"99-media": "pass", "99-escolha": "1 / 0"})
            case 4:
                (submit(course, student) / f"{NAME}.ipynb").write_bytes(b"\x00{")
    return course


def rows(course):
    """As linhas de todas as tabelas da base, sem os ids sorteados: uma chave estrangeira vale pela linha a que leva."""
    engine = create_engine(f"sqlite:///{course / 'gradebook.db'}")
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        tables = {name: connection.execute(select(table)).mappings().all() for name, table in metadata.tables.items()}
    engine.dispose()

    def describe(table, row):
        described = []
        for column in table.columns:
            if column.foreign_keys:
                (key,) = column.foreign_keys
                target = metadata.tables[key.column.table.name]
                found = [one for one in tables[target.name] if one[key.column.name] == row[column.name]]
                described.append((column.name, [describe(target, one) for one in found]))
            elif column.name != "id" or table.name in ("student", "course"):
                described.append((column.name, row[column.name]))
        return repr(described)

    return {name: sorted(describe(metadata.tables[name], row) for row in found) for name, found in tables.items()}


def folders(course):
    """O que há em ``autograded/``, menos os tempos; as ``.NOME.nova`` e ``.NOME.anterior`` não podem sobrar."""
    found = {}
    for path in sorted((course / "autograded").rglob("*")):
        name = str(path.relative_to(course))
        found[name] = ""
        if path.name == RESULTS:
            found[name] = re.sub(r'"seconds": [\d.e-]+', "", path.read_text(encoding="utf-8"))
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


@pytest.mark.lento
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(class_of_thirty, tmp_path):
    """Vinte SIGKILL num lote de trinta, mais da metade durante uma gravação."""
    whole = shutil.copytree(class_of_thirty, tmp_path / "inteiro")
    assert correct(whole, NAME, "--processos", 2).returncode == 0
    course = shutil.copytree(class_of_thirty, tmp_path / "curso")
    luck, deaths = random.Random(123), []  # noqa: S311
    for number in range(KILLS):
        moment = f"{luck.uniform(0.5, 6):.2f}" if number % 3 == 0 else f"{luck.randint(1, 2)}:{luck.randint(1, STEPS)}"
        command = [sys.executable, "-m", "tests.interrupted", NAME, "--processos", "2", moment]
        process = subprocess.run(command, cwd=course, env=ENVIRONMENT, capture_output=True, check=False, timeout=300)
        assert process.returncode == -signal.SIGKILL, (moment, process.stdout, process.stderr)
        deaths.append((course / "morte.txt").read_text(encoding="utf-8"))
    print(json.dumps(deaths, ensure_ascii=False, indent=1))
    inside = Counter(death.split(": ")[-1] for death in deaths if death.startswith("gravação"))
    assert inside.total() >= 5, deaths
    assert len(inside) >= 5, "os momentos deviam ser diferentes"
    last = correct(course, NAME, "--processos", 2)
    assert last.returncode == 0, last.stderr
    assert graded_students(correct(course, NAME)) == set()
    assert rows(course) == rows(whole)
    assert len(rows(whole)["submitted_assignment"]) == 30
    assert folders(course) == folders(whole)

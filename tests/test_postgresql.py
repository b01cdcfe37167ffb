"""A base de notas num servidor PostgreSQL de verdade: as mesmas notas que no SQLite, linha por linha."""

import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import click
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI

from grading.batch import find_submissions
from grading.course import GradebookError, open_course, open_gradebook, without_password
from grading.gradebook import GradebookWriter
from grading.ledger import recorded
from grading.results import Result, State
from grading.source import prepare_source
from scripts.nova_licao import write_notebook

from . import example_lesson
from .example_lesson import NAME
from .postgresql_server import USER, running_postgresql
from .test_corrigir import BLANK, ENVIRONMENT, RIGHT, correct, submit

CRASHES, BROKEN, LATE = "derruba", "quebrado", "atrasada"
EVERYONE = {RIGHT, LATE, BLANK, CRASHES, BROKEN}
SECOND = "98_outra"
GRADE = [
    "name",
    "cell_type",
    "auto_score",
    "manual_score",
    "extra_credit",
    "score",
    "max_score",
    "needs_manual_grade",
    "failed_tests",
]


@pytest.fixture(scope="module")
def server():
    with running_postgresql() as server:
        yield server


@pytest.fixture
def course(tmp_path):
    return example_lesson.write_course(tmp_path / "curso")


def rows(url):
    """Tudo o que o nbgrader guarda das notas, menos os identificadores, que são sorteados."""
    with Gradebook(url, "") as gradebook:
        notebooks = [one for submission in gradebook.assignment_submissions(NAME) for one in submission.notebooks]
        grades = [
            (one.student.id, *(getattr(grade, column) for column in GRADE)) for one in notebooks for grade in one.grades
        ]
        comments = [
            (one.student.id, comment.name, comment.auto_comment, comment.manual_comment)
            for one in notebooks
            for comment in one.comments
        ]
        totals = [(one.student.id, one.score, one.max_score, one.late_submission_penalty) for one in notebooks]
        sources = [(cell.name, cell.source, cell.locked) for cell in gradebook.find_notebook(NAME, NAME).source_cells]
        return sorted(grades, key=str), sorted(comments, key=str), sorted(totals), sorted(sources)


def formgrader(course, url=None):
    """O que as páginas do formgrader perguntam à base."""
    api = NbGraderAPI(open_course(course, url).coursedir)
    with api.gradebook:
        assignment = api.get_assignment(NAME)
        return {
            "assignment": {name: assignment[name] for name in ("num_submissions", "average_score", "max_score")},
            "students": {one["id"]: one["score"] for one in api.get_students()},
            "submissions": {one["student"]: one["score"] for one in api.get_submissions(NAME)},
            "notebooks": {one["student"]: one["score"] for one in api.get_notebook_submissions(NAME, NAME)},
            "mine": [one["score"] for one in api.get_student_submissions(BLANK)],
        }


def nbgrader(course, *arguments):
    process = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process


# --- o caminho inteiro


@pytest.fixture(scope="module")
def graded(server, tmp_path_factory):
    """Uma turma corrigida duas vezes, com as notas no SQLite e com as notas no PostgreSQL."""
    course = example_lesson.write_course(tmp_path_factory.mktemp("turma") / "curso")
    submit(course, RIGHT)
    submit(course, BLANK, {"99-media": "pass", "99-escolha": "pass"})
    submit(course, CRASHES, {"99-media": "import os\nos._exit(0)"})
    (submit(course, LATE) / "timestamp.txt").write_text("2025-03-01 12:00:00 UTC")
    (submit(course, BROKEN) / f"{NAME}.ipynb").write_bytes(b"\x00\xff{")
    url = server.create("turma")
    return course, url, correct(course, NAME), correct(course, NAME, "--db", url)


@pytest.mark.lento
def test_the_scores_are_the_same_row_by_row(graded):
    course, url, sqlite, postgresql = graded
    assert (sqlite.returncode, postgresql.returncode) == (0, 0), postgresql.stderr
    assert postgresql.stderr == ""
    expected = rows(f"sqlite:///{course / 'gradebook.db'}")
    assert [len(one) for one in expected] == [15, 15, 5, 5]
    assert rows(url) == expected
    assert f"Base de notas: postgresql://{USER}@127.0.0.1:" in postgresql.stdout


@pytest.mark.lento
def test_plain_nbgrader_works_on_it(graded):
    """O formgrader (as consultas dele), a exportação e o feedback, com o endereço na configuração."""
    course, url, *_ = graded
    with (course / "nbgrader_config.py").open("a") as file:
        file.write(f"\nc.CourseDirectory.db_url = {url.replace('postgresql:', 'postgresql+psycopg:')!r}\n")
        file.write(f"c.FinalGrade.weights = {{{NAME!r}: 1}}\n")
    found = formgrader(course)
    assert found == formgrader(course, f"sqlite:///{course / 'gradebook.db'}")
    assert found["students"].keys() == EVERYONE
    assert found["students"][CRASHES] == 30
    nbgrader(course, "export")
    with (course / "notas.csv").open(encoding="utf-8-sig") as file:
        assert {row["aluno"] for row in csv.DictReader(file)} == EVERYONE
    nbgrader(course, "generate_feedback", NAME, "--student", RIGHT)
    assert (course / "feedback" / RIGHT / NAME / f"{NAME}.html").is_file()


@pytest.mark.lento
def test_what_was_graded_is_known_and_a_regrade_keeps_what_was_given_by_hand(graded, server):
    course, url, *_ = graded
    status = correct(course, "status", NAME, "--db", url)
    assert status.stdout.count(" corrigida ") == 5
    with Gradebook(url, "") as gradebook:
        notebook = gradebook.find_submission_notebook(NAME, NAME, RIGHT)
        (by_hand,) = [one for one in notebook.grades if one.needs_manual_grade]
        by_hand.manual_score = 7.5
        notebook.comments[0].manual_comment = "Bom exemplo, João!"
        name = by_hand.name
        gradebook.db.commit()
    before = rows(url)
    done = correct(course, "refazer", RIGHT, "--db", url)
    assert done.returncode == 0, done.stderr
    assert "1 entrega em" in done.stdout
    assert rows(url) == before
    grades, comments, *_ = before
    assert [row[4] for row in grades if row[:2] == (RIGHT, name)] == [7.5]
    assert "Bom exemplo, João!" in [row[3] for row in comments]
    assert server.password not in status.stdout + done.stdout


# --- vários ao mesmo tempo, e o que pode faltar


def test_commands_that_start_together_do_not_get_in_the_way(server, course):
    """Na base vazia, dois comandos criam as tabelas e os mesmos alunos, cada um com a sua lição."""
    write_notebook(course / "solutions" / SECOND / f"{SECOND}.ipynb", example_lesson.cells())
    students = [f"aluno {number}" for number in range(6)]
    for student in students:
        for lesson in (NAME, SECOND):
            (course / "submitted" / student / lesson).mkdir(parents=True)
    url = server.create("juntos")
    own = open_course(course, url)
    sources = {lesson: prepare_source(own.coursedir, lesson) for lesson in (NAME, SECOND)}
    start = Barrier(2)

    def grade(lesson):
        coursedir = open_course(course, url).coursedir
        start.wait()
        with GradebookWriter(coursedir) as writer:
            writer.prepare(sources[lesson])
            for one in find_submissions(coursedir, lesson):
                result = Result(one.student, lesson, lesson, State.UNREADABLE, "O caderno não está na entrega.")
                writer.write(one, [result], "chave")
            return writer.lost

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(grade, [NAME, SECOND])) == [[], []]
    with open_gradebook(own.coursedir) as gradebook:
        assert [student.id for student in gradebook.students] == students
        assert [len(gradebook.assignment_submissions(lesson)) for lesson in (NAME, SECOND)] == [6, 6]


def test_a_server_that_restarts_or_refuses_loses_only_what_it_refused(server, course):
    long = "nome " * 30
    for student in ("ana", "bia", "caio", long):
        submit(course, student)
    coursedir = open_course(course, server.create("reiniciada")).coursedir
    ana, bia, caio, too_long = find_submissions(coursedir, NAME)
    with GradebookWriter(coursedir) as writer:
        writer.prepare(prepare_source(coursedir, NAME))
        writer.write(ana, [Result("ana", NAME, NAME, State.UNREADABLE)], "a")
        server.stop()
        server.start()
        (written,) = writer.write(bia, [Result("bia", NAME, NAME, State.UNREADABLE)], "b")
        assert (written.state, writer.lost) == (State.UNREADABLE, [])
        server.stop()
        (written,) = writer.write(caio, [Result("caio", NAME, NAME, State.UNREADABLE)], "c")
        assert (written.state, writer.lost) == (State.INFRASTRUCTURE, ["caio"])
        assert server.password not in written.sentence
        server.start()
        (written,) = writer.write(too_long, [Result(long, NAME, NAME, State.UNREADABLE)], "d")
        assert "value too long for type character varying(128)" in written.sentence
    with open_gradebook(coursedir) as gradebook:
        assert set(recorded(gradebook, coursedir, NAME)) == {"ana", "bia"}


def test_a_server_that_does_not_answer_is_one_sentence_without_the_password(server, course):
    process = correct(course, "status", "--db", server.url("nenhuma"))
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith(
        f"Erro: Não consigo usar a base de notas postgresql://{USER}@127.0.0.1:{server.port}/nenhuma"
    )
    assert 'database "nenhuma" does not exist' in line
    assert server.password not in line


def test_what_cannot_be_opened_says_why_without_the_password(server, course):
    wrong = server.url("postgres", "errada")
    closed = f"postgresql://{USER}:{server.password}@127.0.0.1:1/notas"
    for url, why in ((wrong, "password authentication failed"), (closed, "Connection refused")):
        with (
            pytest.raises(GradebookError, match=why) as caught,
            open_gradebook(open_course(course, url).coursedir),
        ):
            pass
        assert not any(secret in str(caught.value) for secret in (server.password, "errada"))
    for url in (f"postgresql://{USER}:{server.password}@127.0.0.1:porta/notas", server.password):
        with pytest.raises(click.ClickException, match="Não entendi o endereço da base") as caught:
            open_course(course, url)
        assert server.password not in str(caught.value)


def test_without_the_driver_the_sentence_says_what_to_install(course, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with (
        pytest.raises(GradebookError, match=r"pip install 'psycopg\[binary\]'"),
        open_gradebook(open_course(course, "postgresql://127.0.0.1:1/notas").coursedir),
    ):
        pass


def test_the_driver_is_always_psycopg_and_the_wait_is_short(course):
    for url in ("postgresql://ana@servidor/notas", "postgres://ana@servidor/notas"):
        assert open_course(course, url).coursedir.db_url == "postgresql+psycopg://ana@servidor/notas?connect_timeout=10"
    chosen = "postgresql+psycopg://ana:a%40b@servidor/notas?connect_timeout=3"
    assert open_course(course, chosen).coursedir.db_url == chosen
    assert open_course(course, "sqlite:////notas.db").coursedir.db_url == "sqlite:////notas.db"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql+psycopg://ana:a%40b@servidor:5432/notas?connect_timeout=10",
            "postgresql://ana@servidor:5432/notas",
        ),
        ("postgresql://servidor/notas?user=ana&password=segredo", "postgresql://servidor/notas"),
        ("sqlite:////home/ana@casa/gradebook.db", "/home/ana@casa/gradebook.db"),
    ],
)
def test_an_address_is_shown_without_the_password(url, shown):
    assert without_password(url) == shown

"""O escritor da base: bases SQLite de verdade, cadernos executados de verdade e os comandos do nbgrader em cima."""

import csv
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from sqlalchemy import text
from traitlets.config import Config

from grading.course import GradebookError
from grading.execution import execute
from grading.gradebook import GradebookWriter
from grading.ledger import RESULTS
from grading.results import CellResult, Note, Result, State, Submission
from grading.source import prepare_source

from . import example_lesson
from .example_lesson import NAME, find
from .simple_grading import to_result

MEAN, CHOICE, TEXT = "99_media_teste", "99_escolha_teste", "99_texto"
STUDENT = "Zoë d'Ávila"


@pytest.fixture
def course(tmp_path, empty_gradebook):
    folder = example_lesson.write_course(tmp_path / "curso com espaço")
    shutil.copy(empty_gradebook, folder)
    return folder


def directory(course, **options):
    config = Config({"CourseDirectory": {"source_directory": "solutions", **options}})
    config.ClearSolutions.code_stub = {"python": "raise NotImplementedError()"}
    config.IncludeHeaderFooter.header = "grading/cabecalho.ipynb"
    return CourseDirectory(config=config, root=str(course))


@pytest.fixture
def coursedir(course):
    return directory(course)


@pytest.fixture
def sources(coursedir):
    return prepare_source(coursedir, NAME)


@pytest.fixture
def submission(course):
    folder = course / "submitted" / STUDENT / NAME
    shutil.copytree(course / "solutions" / NAME, folder)
    return Submission(STUDENT, NAME, folder)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Os cadernos executados de quem acertou tudo e de quem não fez nada."""
    course = example_lesson.write_course(tmp_path_factory.mktemp("executado") / "curso")
    (source,) = prepare_source(directory(course), NAME)
    blank = nbformat.reads(source.notebook, as_version=4)
    right = nbformat.reads(source.notebook, as_version=4)
    answers = nbformat.read(course / "solutions" / NAME / f"{NAME}.ipynb", as_version=4)
    for cell_id in ("99-media", "99-escolha", "99-texto"):
        find(right.cells, cell_id).source = find(answers.cells, cell_id).source
    find(right.cells, "99-texto").source = "A média esconde as mensagens muito longas."
    return {
        name: nbformat.writes(execute(notebook, course, allow_errors=True))
        for name, notebook in (("certo", right), ("em branco", blank))
    }


@pytest.fixture
def right(executed, submission, sources):
    return to_result(submission, sources[0], nbformat.reads(executed["certo"], as_version=4))


@pytest.fixture
def blank(executed, submission, sources):
    return to_result(submission, sources[0], nbformat.reads(executed["em branco"], as_version=4))


def write(coursedir, sources, submission, *results):
    """Grava resultados da mesma entrega, um depois do outro; devolve o último como ficou."""
    with GradebookWriter(coursedir) as writer:
        writer.prepare(sources)
        for result in results:
            (written,) = writer.write(submission, [result])
    return written


@contextmanager
def notebook_of(coursedir, student=STUDENT):
    with Gradebook(coursedir.db_url) as gradebook:
        yield gradebook.find_submission_notebook(NAME, NAME, student)
        gradebook.db.commit()


def grades(coursedir, student=STUDENT):
    with notebook_of(coursedir, student) as notebook:
        return {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in notebook.grades}


def autograded(course, student=STUDENT):
    return course / "autograded" / student / NAME


def everything_is(score):
    return dict.fromkeys((MEAN, CHOICE, TEXT), (score, True))


def change(result, grade_id, **values):
    cells = (replace(cell, **values) if cell.grade_id == grade_id else cell for cell in result.cells)
    return replace(result, cells=tuple(cells))


# --- as notas


def test_right_answers(coursedir, sources, submission, right):
    assert write(coursedir, sources, submission, right) == right
    assert grades(coursedir) == {MEAN: (60, False), CHOICE: (30, False), TEXT: (None, True)}


def test_blank_answers(coursedir, sources, submission, blank):
    write(coursedir, sources, submission, blank)
    assert grades(coursedir) == {MEAN: (0, False), CHOICE: (0, False), TEXT: (0, False)}
    with notebook_of(coursedir) as notebook:
        assert {comment.name: comment.auto_comment for comment in notebook.comments}[TEXT] == "No response."


def test_what_the_teacher_gave_survives_a_regrade(coursedir, sources, submission, right, blank):
    write(coursedir, sources, submission, right)
    with notebook_of(coursedir) as notebook:
        for grade in notebook.grades:
            if grade.name == TEXT:
                grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 7, 1.5, False
        for comment in notebook.comments:
            comment.manual_comment = f"Sobre {comment.name}: muito bem."
    write(coursedir, sources, submission, right, blank, right)
    with notebook_of(coursedir) as notebook:
        (text,) = (grade for grade in notebook.grades if grade.name == TEXT)
        assert (text.manual_score, text.extra_credit, text.score) == (7, 1.5, 8.5)
        assert notebook.score == 98.5
        assert {comment.comment for comment in notebook.comments} == {
            f"Sobre {comment.name}: muito bem." for comment in notebook.comments
        }


def test_a_new_submission_replaces_the_old_grade(coursedir, sources, submission, right, blank):
    write(coursedir, sources, submission, right, blank)
    assert grades(coursedir) == {MEAN: (0, False), CHOICE: (0, False), TEXT: (0, False)}


@pytest.mark.parametrize(("state", "score"), [(State.INFRASTRUCTURE, None), (State.UNREADABLE, 0), (State.TAMPERED, 0)])
def test_a_submission_without_grades_waits_for_a_person(coursedir, sources, submission, right, state, score):
    """Também quando já havia uma nota: a velha não fica."""
    without = Result(STUDENT, NAME, NAME, state, "O que houve.")
    write(coursedir, sources, submission, right, without)
    assert grades(coursedir) == everything_is(score)
    assert sorted(path.name for path in autograded(Path(coursedir.root)).iterdir()) == [RESULTS]


def test_a_tampered_notebook_is_worth_nothing_but_its_text_is_read(coursedir, sources, submission, right):
    write(coursedir, sources, submission, replace(right, state=State.TAMPERED))
    assert grades(coursedir) == {MEAN: (0, True), CHOICE: (0, True), TEXT: (None, True)}
    assert (autograded(Path(coursedir.root)) / f"{NAME}.ipynb").is_file()


def test_a_cell_that_the_correction_could_not_grade(coursedir, sources, submission, right):
    failed = change(right, MEAN, score=None, state=State.INFRASTRUCTURE)
    write(coursedir, sources, submission, right, failed)
    assert grades(coursedir) == {MEAN: (None, True), CHOICE: (30, False), TEXT: (None, True)}


def test_a_tampered_cell(coursedir, sources, submission, right):
    write(coursedir, sources, submission, change(right, MEAN, score=0.0, state=State.TAMPERED))
    assert grades(coursedir) == {MEAN: (0, True), CHOICE: (30, False), TEXT: (None, True)}


@pytest.mark.parametrize("where", ["flags", "changes"])
@pytest.mark.parametrize(("serious", "waits"), [(True, True), (False, False)])
def test_a_serious_note_makes_every_grade_wait(coursedir, sources, submission, right, where, serious, waits):
    note = Note("quadros", "Olhou a memória.", "", serious)
    write(coursedir, sources, submission, replace(right, **{where: (note,)}))
    assert grades(coursedir) == {MEAN: (60, waits), CHOICE: (30, waits), TEXT: (None, True)}


@pytest.mark.parametrize("outputs", ["0.5", "1000", None], ids=["em parte", "além do máximo", "sem o texto"])
def test_a_score_that_the_outputs_do_not_tell_is_a_failure(coursedir, sources, submission, right, outputs):
    notebook = nbformat.reads(right.notebook, as_version=4)
    data = {"text/plain": outputs} if outputs else {"image/png": ""}
    find(notebook.cells, "99-media-teste").outputs = [new_output("execute_result", data=data, execution_count=1)]
    written = write(coursedir, sources, submission, replace(right, notebook=nbformat.writes(notebook)))
    cell = written.cells[0]
    assert (cell.state, cell.score) == (State.INFRASTRUCTURE, None)
    assert "não conferem" in cell.sentence
    assert grades(coursedir)[MEAN] == (None, True)


def test_a_cell_that_is_not_in_the_results_has_no_grade(coursedir, sources, submission, right):
    """No caderno ela passou; se a correção não diz que passou, ninguém sabe."""
    write(coursedir, sources, submission, right, replace(right, cells=right.cells[1:]))
    assert grades(coursedir)[MEAN] == (None, True)


def test_half_characters_do_not_stop_the_writing(coursedir, sources, submission, right):
    notebook = nbformat.reads(right.notebook, as_version=4)
    find(notebook.cells, "99-texto").source = "meio caractere: \ud800"
    strange = replace(right, notebook=nbformat.writes(notebook), sentence="\udfff")
    assert write(coursedir, sources, submission, strange) == strange
    assert grades(coursedir)[MEAN] == (60, False)


# --- a data da entrega


def test_a_late_submission_is_penalized_as_in_nbgrader(course, submission, right):
    coursedir = directory(course)
    coursedir.config.LateSubmissionPlugin.penalty_method = "zero"
    sources = prepare_source(coursedir, NAME)
    (submission.folder / "timestamp.txt").write_text("2026-03-02 12:00:00 UTC")
    with GradebookWriter(coursedir) as writer, Gradebook(coursedir.db_url) as gradebook:
        gradebook.update_or_create_assignment(NAME, duedate="2026-03-01 12:00:00 UTC")
        writer.prepare(sources)
        writer.write(submission, [right])
    with notebook_of(coursedir) as notebook:
        assert notebook.assignment.timestamp == datetime(2026, 3, 2, 12)
        assert (notebook.score, notebook.late_submission_penalty) == (90, 90)
    with Gradebook(coursedir.db_url) as gradebook:
        gradebook.update_or_create_assignment(NAME, duedate="2026-04-01 12:00:00 UTC")
    write(coursedir, sources, submission, right)
    with notebook_of(coursedir) as notebook:
        assert notebook.late_submission_penalty is None


@pytest.mark.parametrize(
    "content",
    [b"", b"ontem", b"\xff\xfe\x00", b"1" * 90, b"9" * 5_000_000, b"0001-01-01 00:00 +2359", "pasta", "fila", "atalho"],
    ids=lambda content: content if isinstance(content, str) else f"{content[:8]!r}",
)
def test_a_strange_timestamp_is_a_flag(coursedir, sources, submission, right, content):
    path = submission.folder / "timestamp.txt"
    match content:
        case "pasta":
            path.mkdir()
        case "fila":
            os.mkfifo(path)
        case "atalho":
            path.symlink_to("/dev/zero")
        case _:
            path.write_bytes(content)
    written = write(coursedir, sources, submission, right)
    assert [flag.kind for flag in written.flags] == ["data_ilegivel"]
    assert grades(coursedir)[MEAN] == (60, False)
    assert not (autograded(Path(coursedir.root)) / "timestamp.txt").is_file(), "o nbgrader não saberia lê-lo"


# --- a lição na base


def edit_source(course, cell_id, **changes):
    path = course / "solutions" / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = find(notebook.cells, cell_id)
    for name, value in changes.items():
        if name == "source":
            cell.source = value
        else:
            cell.metadata.nbgrader[name] = value
    nbformat.write(notebook, path)


def test_the_lesson_is_updated_and_the_manual_grades_stay(course, coursedir, sources, submission, right):
    write(coursedir, sources, submission, right)
    with notebook_of(coursedir) as notebook:
        next(grade for grade in notebook.grades if grade.name == TEXT).manual_score = 7
    edit_source(course, "99-media-teste", points=80)
    changed = prepare_source(coursedir, NAME)
    with GradebookWriter(coursedir) as writer:
        writer.prepare(changed)
    with notebook_of(coursedir) as notebook:
        assert notebook.max_score == 120
        assert notebook.score == 97


def test_cells_that_come_or_go_are_refused_in_portuguese(course, coursedir, sources, submission, right):
    write(coursedir, sources, submission, right)
    edit_source(course, "99-media-teste", grade_id="99_media_novo")
    with GradebookWriter(coursedir) as writer, pytest.raises(GradebookError) as caught:
        writer.prepare(prepare_source(coursedir, NAME))
    assert "a mais, 99_media_novo; a menos, 99_media_teste" in str(caught.value)
    assert f"nbgrader db assignment remove {NAME} --force" in str(caught.value)
    assert grades(coursedir)[MEAN] == (60, False)


def test_cells_may_change_while_nothing_was_graded(course, coursedir, sources):
    for _ in range(2):
        with GradebookWriter(coursedir) as writer:
            writer.prepare(sources)
    edit_source(course, "99-media-teste", grade_id="99_media_novo")
    with GradebookWriter(coursedir) as writer:
        writer.prepare(prepare_source(coursedir, NAME))
    with Gradebook(coursedir.db_url) as gradebook:
        names = {cell.name for cell in gradebook.find_notebook(NAME, NAME).grade_cells}
    assert names == {"99_media_novo", CHOICE, TEXT}


def test_notebooks_that_come_or_go(course, coursedir, sources, submission, right):
    with GradebookWriter(coursedir) as writer:
        writer.prepare([replace(sources[0], name="velho")])
    write(coursedir, sources, submission, right)
    with GradebookWriter(coursedir) as writer, pytest.raises(GradebookError, match="a mais, outro"):
        writer.prepare([*sources, replace(sources[0], name="outro")])


def test_a_base_that_is_not_one(course, coursedir):
    (course / "gradebook.db").write_text("isto não é uma base de dados, é só um texto comprido" * 10)
    with pytest.raises(GradebookError, match="Não consigo usar a base de notas"), GradebookWriter(coursedir):
        pass


def test_the_base_made_here_is_the_one_nbgrader_makes(course, coursedir, sources, monkeypatch):
    """Com a versão do alembic, e sem que o PATH de quem chama mude."""
    (course / "gradebook.db").unlink()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with GradebookWriter(coursedir) as writer:
        writer.prepare(sources)
        with writer._gradebook.engine.connect() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    assert os.environ["PATH"] == "/usr/bin:/bin"


# --- uma queda no meio


class Fall(BaseException):
    """Uma queda que ninguém trata, como o fim do processo."""


@pytest.mark.parametrize("moment", ["_save_exceptions", "_publish"])
def test_a_fall_leaves_no_half_grade(course, coursedir, sources, submission, right, blank, monkeypatch, moment):
    """Antes de a transação terminar, fica tudo como estava; depois, a pasta velha ou nenhuma, e a nota nova."""
    write(coursedir, sources, submission, right)
    before = grades(coursedir)

    def fall(*_):
        raise Fall

    with monkeypatch.context() as patch:
        target = GradebookWriter if moment == "_publish" else sys.modules["grading.gradebook"]
        patch.setattr(target, moment, fall)
        with pytest.raises(Fall):
            write(coursedir, sources, submission, blank)
    after = {MEAN: (0, False), CHOICE: (0, False), TEXT: (0, False)}
    assert grades(coursedir) == (after if moment == "_publish" else before)
    assert json.loads((autograded(course) / RESULTS).read_text())["results"][0]["cells"][0]["score"] == 60
    write(coursedir, sources, submission, blank)
    assert grades(coursedir) == after
    assert [path.name for path in autograded(course).parent.iterdir()] == [NAME], "sobrou uma pasta temporária"


KILLED = """
import os, sys
from nbgrader.coursedir import CourseDirectory
from sqlalchemy import text
from grading import gradebook
from tests.test_gradebook import directory
from grading.source import prepare_source
from grading.results import *
from pathlib import Path
gradebook._save_exceptions = lambda *_: os._exit(9)
coursedir = directory(Path(sys.argv[1]))
submission = Submission(sys.argv[2], sys.argv[3], Path(sys.argv[1]) / "submitted" / sys.argv[2] / sys.argv[3])
with gradebook.GradebookWriter(coursedir) as writer:
    writer.prepare(prepare_source(coursedir, sys.argv[3]))
    text = Path(sys.argv[4]).read_text(encoding="utf-8")
    writer.write(submission, [Result(sys.argv[2], sys.argv[3], sys.argv[3], State.PASSED, notebook=text)])
"""


def test_a_process_that_dies_while_it_writes(course, coursedir, sources, submission, right, blank):
    write(coursedir, sources, submission, right)
    (course / "em-branco.ipynb").write_text(blank.notebook, encoding="utf-8")
    arguments = [sys.executable, "-c", KILLED, course, STUDENT, NAME, course / "em-branco.ipynb"]
    assert subprocess.run(arguments, check=False).returncode == 9
    assert grades(coursedir) == {MEAN: (60, False), CHOICE: (30, False), TEXT: (None, True)}
    write(coursedir, sources, submission, blank)
    assert grades(coursedir)[MEAN] == (0, False)


def test_a_regrade_that_cannot_be_written_leaves_no_old_grade(course, coursedir, sources, submission, right):
    """O complemento do professor que calcula a multa levanta um erro: a entrega é uma linha, e a nota velha some."""
    write(coursedir, sources, submission, right)
    (submission.folder / "timestamp.txt").write_text("2026-03-02 12:00:00 UTC")
    with Gradebook(coursedir.db_url) as gradebook:
        gradebook.update_or_create_assignment(NAME, duedate="2026-03-01 12:00:00 UTC")
    broken = directory(course)
    broken.config.AssignLatePenalties.plugin_class = "tests.test_gradebook.BrokenPlugin"
    written = write(broken, sources, submission, right)
    assert written.state is State.INFRASTRUCTURE
    assert written.sentence == "A correção não pôde ser gravada: multa de propósito."
    assert grades(coursedir) == everything_is(None)
    assert not autograded(course).exists()


def __getattr__(name):
    """O complemento só é criado se pedido: o nbgrader não precisa carregar para os outros testes."""
    if name != "BrokenPlugin":
        raise AttributeError(name)
    from nbgrader.plugins import LateSubmissionPlugin

    class BrokenPlugin(LateSubmissionPlugin):
        def late_submission_penalty(self, *_):
            raise RuntimeError("multa de propósito")

    return BrokenPlugin


# --- a pasta autograded


def test_the_folder_has_what_nbgrader_puts_there(course, coursedir, submission, right):
    source_folder = course / "solutions" / NAME
    (source_folder / "dados").mkdir()
    (source_folder / "dados" / "frases.csv").write_text("do professor")
    (submission.folder / "dados").mkdir()
    (submission.folder / "dados" / "frases.csv").write_text("do estudante")
    (submission.folder / "dados" / "açaí.txt").write_text("meu")
    (submission.folder / "rascunho.ipynb").write_text("{}")
    (submission.folder / "__pycache__").mkdir()
    (submission.folder / "__pycache__" / "a.pyc").write_text("")
    (submission.folder / "timestamp.txt").write_text("2026-03-02 12:00:00 UTC")
    write(coursedir, prepare_source(coursedir, NAME), submission, right)
    folder = autograded(course)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {f"{NAME}.ipynb", RESULTS, "dados/frases.csv", "dados/açaí.txt", "timestamp.txt"}
    assert files["dados/frases.csv"].read_text() == "do professor"
    assert files[f"{NAME}.ipynb"].read_text(encoding="utf-8") == right.notebook
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o444}


def test_the_results_are_there_without_the_notebook(coursedir, sources, submission, right):
    write(coursedir, sources, submission, right)
    (described,) = json.loads((autograded(Path(coursedir.root)) / RESULTS).read_text())["results"]
    assert "notebook" not in described
    assert described["student"] == STUDENT
    assert described["state"] == "passou"
    cells = tuple(CellResult(**{**cell, "state": State(cell["state"])}) for cell in described["cells"])
    assert cells == right.cells


def test_a_new_correction_replaces_the_whole_folder(course, coursedir, sources, submission, right):
    (submission.folder / "antigo.txt").write_text("da primeira entrega")
    write(coursedir, sources, submission, right)
    (submission.folder / "antigo.txt").unlink()
    write(coursedir, sources, submission, right)
    assert not (autograded(course) / "antigo.txt").exists()


def test_links_and_special_files_are_not_copied(course, coursedir, sources, submission, right, tmp_path):
    (tmp_path / "segredo.txt").write_text("do professor")
    (submission.folder / "atalho.txt").symlink_to(tmp_path / "segredo.txt")
    (submission.folder / "pasta").symlink_to(tmp_path)
    os.mkfifo(submission.folder / "fila")
    write(coursedir, sources, submission, right)
    assert {path.name for path in autograded(course).iterdir()} == {f"{NAME}.ipynb", RESULTS}


@pytest.mark.parametrize("name", ["dados.csv/x", RESULTS, f"{RESULTS}/x", f"{NAME}.ipynb/x", "pasta"])
def test_names_that_are_taken_are_not_the_students(course, coursedir, submission, right, name):
    (course / "solutions" / NAME / "dados.csv").write_text("do professor")
    (course / "solutions" / NAME / "pasta").mkdir()
    (course / "solutions" / NAME / "pasta" / "a.txt").write_text("do professor")
    if name.startswith(f"{NAME}.ipynb"):
        (submission.folder / f"{NAME}.ipynb").unlink()
    (submission.folder / name).parent.mkdir(exist_ok=True)
    (submission.folder / name).write_text("do estudante")
    write(coursedir, prepare_source(coursedir, NAME), submission, right)
    texts = [path.read_text() for path in autograded(course).rglob("*") if path.is_file()]
    assert "do estudante" not in texts
    assert texts.count("do professor") == 2


def test_what_is_too_big_stays_out_and_is_said(course, sources, submission, right):
    coursedir = directory(course, max_dir_size=1000)
    with (submission.folder / "b-enorme.bin").open("wb") as file:
        file.truncate(50 * 2**30)
    (submission.folder / "a-pequeno.txt").write_text("cabe")
    (submission.folder / "c-pequeno.txt").write_text("cabe")
    written = write(coursedir, sources, submission, right)
    assert [flag.sentence for flag in written.flags] == [
        "1 arquivo(s) da entrega não foram copiados para autograded: passam de 1 MB."
    ]
    copied = {path.name for path in autograded(course).iterdir()}
    assert copied == {f"{NAME}.ipynb", RESULTS, "a-pequeno.txt", "c-pequeno.txt"}


def test_a_folder_nested_beyond_what_python_recurses(coursedir, sources, submission, right):
    before = os.getcwd()
    os.chdir(submission.folder)
    for _ in range(3000):
        os.mkdir("a")
        os.chdir("a")
    os.chdir(before)
    assert write(coursedir, sources, submission, right).state is State.PASSED
    subprocess.run(["rm", "-rf", submission.folder / "a"], check=True)


# --- o nbgrader em cima


def nbgrader(course, *arguments):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(["nbgrader", *arguments], cwd=course, env=os.environ | {"PATH": path}, check=True)


@pytest.mark.lento
def test_feedback_and_export_work_on_the_result(course, coursedir, sources, submission, right, blank):
    write(coursedir, sources, submission, right)
    other = Submission("em branco", NAME, course / "submitted" / "em branco" / NAME)
    other.folder.mkdir(parents=True)
    (other.folder / "timestamp.txt").write_text("ontem")
    write(coursedir, sources, other, replace(blank, student="em branco"))
    nbgrader(course, "generate_feedback", NAME)
    nbgrader(course, "export", "--exporter=nbgrader.plugins.CsvExportPlugin")
    assert "90.0 / 100.0" in (course / "feedback" / STUDENT / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    assert "0.0 / 100.0" in (course / "feedback" / "em branco" / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    with (course / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert rows == {STUDENT: 90.0, "em branco": 0.0}

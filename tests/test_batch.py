"""O lote: pastas de verdade e processos de verdade, que morrem de verdade."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from nbgrader.coursedir import CourseDirectory

from grading import batch
from grading.batch import find_submissions, grade_all
from grading.results import Settings, Source, State, Submission

from .conftest import ROOT
from .simple_grading import by_name

LESSON = "99_exemplo"
SOURCES = [Source(LESSON, LESSON, "{}")]


def submit(course, *students):
    for student in students:
        (course / "submitted" / student / LESSON).mkdir(parents=True)


def names(submissions):
    return [submission.student for submission in submissions]


def grade(course, *students, processes=2, new_executor=batch.one_process):
    """Corrige com ``by_name``; devolve ``{aluno: resultado}``."""
    submit(course, *students)
    submissions = find_submissions(CourseDirectory(root=str(course)), LESSON)
    results = list(grade_all(submissions, SOURCES, Settings(), processes, by_name, new_executor))
    assert len(results) == len(submissions)
    return {result.student: result for result in results}


def attempts(course, student):
    return len(list((course / "submitted" / student / LESSON).iterdir()))


# --- achar


def test_submissions_are_found_in_order(tmp_path):
    submit(tmp_path, "zeca", "Ana Luísa", "Ávila", "bia", ".oculta", "outra lição")
    (tmp_path / "submitted" / "outra lição" / LESSON).rmdir()
    (tmp_path / "submitted" / "lista.txt").write_text("")
    (tmp_path / "submitted" / "solto").mkdir()
    (tmp_path / "submitted" / "solto" / LESSON).write_text("um arquivo no lugar da pasta")
    found = find_submissions(CourseDirectory(root=str(tmp_path)), LESSON)
    assert names(found) == ["Ana Luísa", "Ávila", "bia", "zeca"]
    assert found[0] == Submission("Ana Luísa", LESSON, tmp_path / "submitted" / "Ana Luísa" / LESSON)


def test_only_the_students_that_were_asked_for(tmp_path):
    submit(tmp_path, "Joa\u0303o", "Maria", "bia")  # o nome como o macOS o escreve
    found = find_submissions(CourseDirectory(root=str(tmp_path)), LESSON, ["Jo\u00e3o", "bia"])
    assert names(found) == ["bia", "Joa\u0303o"]


def test_the_layout_and_the_exclusions_of_the_configuration_are_followed(tmp_path):
    structure = str(Path("{nbgrader_step}", "{assignment_id}", "{student_id}"))
    coursedir = CourseDirectory(
        root=str(tmp_path), directory_structure=structure, submitted_directory="entregas", student_id_exclude="bia,ana"
    )
    for student in ("ana", "caio"):
        (tmp_path / "entregas" / LESSON / student).mkdir(parents=True)
    assert find_submissions(coursedir, LESSON) == [Submission("caio", LESSON, tmp_path / "entregas" / LESSON / "caio")]


def test_no_submissions(tmp_path):
    assert find_submissions(CourseDirectory(root=str(tmp_path)), LESSON) == []
    assert list(grade_all([], SOURCES, Settings(), 2, by_name)) == []


# --- corrigir


def test_links_become_a_row_and_are_not_opened(tmp_path):
    submit(tmp_path, "bia")
    (tmp_path / "fora" / LESSON).mkdir(parents=True)
    (tmp_path / "submitted" / "aluno").symlink_to(tmp_path / "fora")
    (tmp_path / "submitted" / "caio").mkdir()
    (tmp_path / "submitted" / "caio" / LESSON).symlink_to(tmp_path / "fora" / LESSON)
    results = grade(tmp_path)
    assert {student: result.state for student, result in results.items()} == {
        "bia": State.PASSED,
        "aluno": State.UNREADABLE,
        "caio": State.UNREADABLE,
    }
    assert "link simbólico" in results["caio"].sentence
    assert list((tmp_path / "fora" / LESSON).iterdir()) == []


def test_a_name_that_is_not_text_becomes_a_row(tmp_path):
    submit(tmp_path, "bia")
    os.makedirs(os.fsencode(tmp_path) + b"/submitted/jo\xe3o/" + LESSON.encode())
    states = {result.state for result in grade(tmp_path).values()}
    assert states == {State.PASSED, State.UNREADABLE}


def test_a_dead_process_loses_no_submission_and_blames_no_other(tmp_path):
    """Um mata sempre o processo; os outros, corrigidos ao mesmo tempo, nem são repetidos."""
    others = [f"aluno {number}" for number in range(8)]
    results = grade(tmp_path, "mata", "mata-uma-vez", *others)
    assert results["mata"].state is State.INFRASTRUCTURE
    assert results["mata"].sentence == "O processo que a corrigia morreu, em 3 tentativas."
    assert results["mata-uma-vez"].state is State.PASSED
    assert {results[student].state for student in others} == {State.PASSED}
    assert [attempts(tmp_path, student) for student in ("mata", "mata-uma-vez")] == [3, 2]
    assert {attempts(tmp_path, student) for student in others} == {1}


def test_only_failures_of_the_correction_are_repeated(tmp_path):
    results = grade(tmp_path, "levanta", "falha", "falha-duas-vezes", "sinal")
    assert {student: result.state for student, result in results.items()} == {
        "levanta": State.INFRASTRUCTURE,
        "falha": State.INFRASTRUCTURE,
        "falha-duas-vezes": State.PASSED,
        "sinal": State.PASSED,
    }
    assert results["levanta"].sentence == "A correção parou com ValueError: de propósito"
    assert {student: attempts(tmp_path, student) for student in results} == {
        "levanta": 3,
        "falha": 3,
        "falha-duas-vezes": 3,
        "sinal": 1,
    }


def test_processes_are_reused(tmp_path):
    grade(tmp_path, *(f"aluno {number}" for number in range(6)), processes=2)
    processes = {path.name.split("-")[-1] for path in tmp_path.glob("submitted/*/*/tentativa-*")}
    assert 1 <= len(processes) <= 2
    assert str(os.getpid()) not in processes


def broken(executor):
    """O executor só percebe que o processo morreu depois de um instante."""
    try:
        executor.submit(os.getpid)
    except BrokenExecutor:
        return True
    return False


def test_a_process_killed_while_it_waits_is_replaced(tmp_path):
    submit(tmp_path, "ana", "bia", "caio")
    submissions = find_submissions(CourseDirectory(root=str(tmp_path)), LESSON)
    executor = batch.one_process()
    os.kill(executor.submit(os.getpid).result(), signal.SIGKILL)
    while not broken(executor):
        time.sleep(0.1)
    executors = iter([executor])
    results = grade_all(
        submissions, SOURCES, Settings(), 1, by_name, lambda: next(executors, None) or batch.one_process()
    )
    assert {result.state for result in results} == {State.PASSED}
    assert attempts(tmp_path, "ana") == 1


def test_any_executor_serves(tmp_path):
    """O do Dask (``Client.get_executor``) é um destes: o que se usa dele é ``submit`` e ``shutdown``."""
    results = grade(tmp_path, "ana", "levanta", new_executor=lambda: ThreadPoolExecutor(1))
    assert {student: result.state for student, result in results.items()} == {
        "ana": State.PASSED,
        "levanta": State.INFRASTRUCTURE,
    }


# --- parar


PROGRAM = f"""
import sys
from pathlib import Path
from nbgrader.coursedir import CourseDirectory
from grading.batch import find_submissions, grade_all
from grading.results import Settings, Source
from tests.simple_grading import by_name

if __name__ == "__main__":
    submissions = find_submissions(CourseDirectory(root=sys.argv[1]), "{LESSON}")
    for result in grade_all(submissions, [Source("{LESSON}", "{LESSON}", "")], Settings(), 2, by_name):
        print(result.student, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "SIGKILL"])
def test_nothing_is_left_running(tmp_path, how):
    submit(tmp_path, "ana", "demora 1", "demora 2", "zeca")
    (tmp_path / "programa.py").write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, tmp_path / "programa.py", tmp_path]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ana\n"
        while not attempts(tmp_path, "demora 2"):
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.send_signal(how)
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
        assert process.wait(30) != 0
    assert attempts(tmp_path, "zeca") == 0

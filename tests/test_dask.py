"""Corrigir num cluster Dask de verdade: um escalonador e dois workers, em processos seus, que morrem de verdade."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from distributed import Client, KilledWorker
from nbgrader.api import Gradebook

from grading import remote
from grading.batch import UnreachableError, find_submissions
from grading.kernels import KernelError, kernel_environment
from grading.machines import _Place, open_cluster
from grading.rebuild import UnreadableError
from grading.remote import close_templates, describe, differences, grade_package, pack
from grading.results import Settings, State
from grading.sandbox import IsolationError, best_level
from grading.source import prepare_source

from . import example_lesson
from .example_lesson import NAME, cells, find
from .test_corrigir import ENVIRONMENT, correct, submit

HELPER = "apoio.txt"
NEEDS_FILE = f"assert open({HELPER!r}).read() == 'oi'\n" + find(cells(), "99-media").source
ANSWERS = {
    "certa": {},
    "com arquivo": {"99-media": NEEDS_FILE},
    "em branco": {"99-media": "pass", "99-escolha": "pass"},
    "derruba": {"99-media": "import os\nos._exit(0)"},
}


def hand_in(course, kind, number=0):
    folder = submit(course, f"{kind} {number}", ANSWERS[kind])
    if kind == "com arquivo":
        (folder / HELPER).write_text("oi")


def rows(course):
    """As linhas da base, por aluno: o nome e a nota de cada célula."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: sorted(
                (grade.name, grade.auto_score, grade.score, grade.needs_manual_grade)
                for notebook in submission.notebooks
                for grade in notebook.grades
            )
            for submission in gradebook.assignment_submissions(NAME)
        }


# --- o cluster


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:], "--no-dashboard"],
        env=ENVIRONMENT | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def start_worker(address, folder, threads=1, **environment):
    options = ["--no-nanny", "--nthreads", str(threads), "--local-directory", str(folder), "--host", "127.0.0.1"]
    return start("dask_worker", address, *options, **environment)


def stop(process):
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """O endereço do escalonador, o processo dele e os dos dois workers; o primeiro tem duas linhas de execução."""
    folder = tmp_path_factory.mktemp("dask")
    address = free_address()
    scheduler = start_scheduler(address)
    workers = [start_worker(address, folder, threads) for threads in (2, 1)]
    try:
        with watching(address) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, scheduler, workers
    finally:
        for process in (*workers, scheduler):
            stop(process)


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def start_scheduler(address):
    return start("dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2])


@contextmanager
def watching(address):
    with Client(address, timeout=60, set_as_default=False) as client:
        yield client


@contextmanager
def correcting(course, address):
    """O ``corrigir`` em andamento."""
    command = [sys.executable, "-m", "grading", NAME, "--dask", address]
    with subprocess.Popen(
        command, cwd=course, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def tasks_of(client):
    """Quantas tarefas o escalonador conhece."""
    return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))


def worker_of(client, process):
    """O endereço do worker que está num processo."""
    return next(address for address, pid in client.run(os.getpid).items() if pid == process.pid)


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def course(tmp_path):
    return example_lesson.write_course(tmp_path / "curso")


@pytest.mark.lento
def test_a_killed_worker_loses_no_submission_and_the_scores_are_the_local_ones(course, cluster, tmp_path):
    address, _, (_, doomed) = cluster
    local = example_lesson.write_course(tmp_path / "local")
    for kind in ANSWERS:
        hand_in(local, kind)
        for number in range(3):
            hand_in(course, kind, number)
    (submit(course, "sem caderno") / f"{NAME}.ipynb").unlink()
    (submit(course, "binária") / f"{NAME}.ipynb").write_bytes(b"\x00\xff{")
    with watching(address) as client:
        victim = worker_of(client, doomed)
        with correcting(course, address) as process:
            lines = [process.stdout.readline() for _ in range(3)]  # duas não têm o que executar
            until(lambda: client.processing([victim])[victim])
            stop(doomed)
            out, err = process.communicate(timeout=300)
        assert tasks_of(client) == 0
    assert (process.returncode, err) == (0, "")
    numbered = re.findall(r"^\[(\d+)/14\] .*$", "".join(lines) + out, re.MULTILINE)
    assert numbered == [str(number) for number in range(1, 15)]
    assert "falha da correção" not in out
    done = correct(local, NAME)
    assert done.returncode == 0, done.stderr
    expected, found = rows(local), rows(course)
    assert len(found) == 14
    for kind in ANSWERS:
        assert {str(found[f"{kind} {number}"]) for number in range(3)} == {str(expected[f"{kind} 0"])}
    assert expected["com arquivo 0"] == expected["certa 0"] != expected["em branco 0"]
    assert {score for _, score, *_ in found["sem caderno"]} == {0}
    again = correct(course, NAME)
    assert "0 entregas em" in again.stdout, "a correção do cluster não vale a mesma coisa que a local"


@pytest.mark.lento
def test_another_environment_is_refused_in_one_sentence(course, cluster, tmp_path):
    address, *_ = cluster
    submit(course, "ana")
    other = tmp_path / "outros pacotes"
    (other / "click-0.0.1.dist-info").mkdir(parents=True)
    (other / "click-0.0.1.dist-info" / "METADATA").write_text("Name: click\nVersion: 0.0.1\n")
    environment = {"PYTHONPATH": f"{other}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"}
    with watching(address) as client:
        before = len(client.nthreads())
        worker = start_worker(address, tmp_path / "dask", **environment)
        try:
            client.wait_for_workers(before + 1, timeout=60)
            process = correct(course, NAME, "--dask", address)
        finally:
            stop(worker)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("Erro: A máquina ")
    assert "click é 0.0.1, e aqui é " in line
    assert not (course / "autograded").exists()


@pytest.fixture
def two(course):
    """Uma entrega sem caderno, que sai logo, e uma que fica no cluster."""
    (submit(course, "ana") / f"{NAME}.ipynb").unlink()
    submit(course, "bia", {"99-media": "while True: pass"})
    return course


@pytest.mark.lento
def test_interruption_takes_back_what_was_sent(two, cluster):
    address, *_ = cluster
    with watching(address) as client, correcting(two, address) as process:
        assert process.stdout.readline().startswith("[1/2] ana: 0/90, ilegível")
        until(lambda: tasks_of(client))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert tasks_of(client) == 0
    assert (process.returncode, err.strip()) == (130, "Erro: Interrompido.")
    assert "Interrompido: faltam 1 de 2 entregas" in out
    assert rows(two).keys() == {"ana"}


@pytest.mark.lento
def test_a_lost_scheduler_is_one_sentence_and_what_was_done_counts(two, cluster):
    """O último teste com o cluster, que perde o escalonador."""
    address, scheduler, _ = cluster
    with correcting(two, address) as process:
        assert process.stdout.readline().startswith("[1/2] ana: 0/90, ilegível")
        with watching(address) as client:
            until(lambda: tasks_of(client))
        stop(scheduler)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith(f"Erro: O escalonador do Dask em {address} saiu do ar.")
    assert len(err.splitlines()) == 1
    assert rows(two).keys() == {"ana"}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:1", "Não consegui falar com o escalonador do Dask em tcp://127.0.0.1:1: "),
        ("nada://127.0.0.1:1", "Não consegui falar com o escalonador do Dask em nada://127.0.0.1:1: "),
        ("tls://127.0.0.1:1", "Para tls:// faltam os certificados"),
    ],
)
def test_an_address_that_does_not_answer_is_one_sentence(address, reason, monkeypatch):
    monkeypatch.setattr("grading.machines.CONNECT_SECONDS", 1)
    with pytest.raises(UnreachableError, match=re.escape(reason)) as caught, open_cluster(address):
        pass
    assert "\n" not in str(caught.value)


@pytest.fixture
def cluster_without_workers():
    address = free_address()
    scheduler = start_scheduler(address)
    try:
        with watching(address):
            yield address
    finally:
        stop(scheduler)


def test_without_machines_the_sentence_says_so(cluster_without_workers, monkeypatch):
    monkeypatch.setattr("grading.machines.CONNECT_SECONDS", 2)
    with (
        pytest.raises(UnreachableError, match="não tem nenhuma máquina; inicie um worker"),
        open_cluster(cluster_without_workers) as cluster,
    ):
        cluster.isolation("limites", [])


# --- o que roda na máquina


@pytest.fixture
def coursedir(course):
    return example_lesson.course_directory(course)


@pytest.fixture
def settings():
    return Settings(isolation=best_level("limites"), environment=tuple(kernel_environment().items()))


def only(coursedir):
    (submission,) = find_submissions(coursedir, NAME)
    (source,) = prepare_source(coursedir, NAME)
    return submission, source


@pytest.mark.lento
def test_a_package_needs_nothing_else(course, coursedir, settings, tmp_path, monkeypatch):
    """Sem a pasta da entrega, e com a pasta de dados da máquina no lugar da de quem pediu."""
    hand_in(course, "com arquivo")
    asked = replace(settings, environment=(*settings.environment, ("LLMDEFINITIONS_DADOS", "/de/quem/pediu")))
    package = pack(*only(coursedir), asked)
    shutil.rmtree(course / "submitted")
    (tmp_path / "dados").mkdir()
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path / "dados"))
    used = []
    original = remote.grade
    monkeypatch.setattr(remote, "grade", lambda *arguments: used.append(arguments[2]) or original(*arguments))
    try:
        results = [grade_package(package) for _ in range(2)]
        assert [(result.earned, result.points, result.state) for result in results] == [(90, 90, State.PASSED)] * 2
        assert used[0].kernels == used[1].kernels, "o processo aquecido serve a mais de uma entrega"
        assert dict(used[0].environment)["LLMDEFINITIONS_DADOS"] == str(tmp_path / "dados")
        assert used[0].readable == (tmp_path / "dados",)
    finally:
        close_templates()
    assert not os.path.exists(used[0].kernels)


def test_what_does_not_fit_or_is_not_a_file_does_not_travel(course, coursedir, settings, monkeypatch):
    folder = submit(course, "ana")
    (folder / "pequeno.txt").write_bytes(b"1" * 10)
    (folder / "enorme.txt").write_bytes(b"1" * 1000)
    (folder / "atalho").symlink_to("/etc/passwd")
    (folder / "pasta").mkdir()
    (folder / "pasta" / "outro.txt").write_text("2")
    monkeypatch.setattr("grading.worker.MAX_FOLDER_BYTES", 100)
    files = {str(path): content for path, content in pack(*only(coursedir), settings).files}
    assert files.keys() == {f"{NAME}.ipynb", "pequeno.txt", "pasta/outro.txt"}
    assert files["pasta/outro.txt"] == b"2"
    (folder / f"{NAME}.ipynb").unlink()
    (folder / f"{NAME}.ipynb").symlink_to("/etc/passwd")
    with pytest.raises(UnreadableError, match="não é um arquivo comum"):
        pack(*only(coursedir), settings)


def test_a_machine_that_does_not_isolate_refuses(course, coursedir, settings, monkeypatch):
    def refuse(level):
        raise IsolationError("falta o bwrap")

    submit(course, "ana")
    remote._require_level.cache_clear()
    monkeypatch.setattr(remote, "try_level", refuse)
    result = grade_package(pack(*only(coursedir), replace(settings, isolation="bubblewrap")))
    assert result.failed
    assert "as entregas não podem ser isoladas no nível bubblewrap (falta o bwrap)" in result.sentence


def test_a_warm_process_that_failed_is_replaced(course, coursedir, settings, monkeypatch):
    """Se ficasse, a máquina seria a mais rápida do cluster, e todas as entregas iriam falhar nela."""
    submit(course, "ana")
    package = pack(*only(coursedir), replace(settings, isolation="nenhum"))
    opened = []

    @contextmanager
    def warm(settings, modules):
        opened.append("aberto")
        yield f"endereço {len(opened)}"
        opened.append("fechado")

    def fail(submission, source, settings):
        raise KernelError(f"não responde: {settings.kernels}")

    monkeypatch.setattr(remote, "warm_kernels", warm)
    monkeypatch.setattr(remote, "grade", fail)
    sentences = [grade_package(package).sentence for _ in range(2)]
    assert [sentence.rpartition(": ")[2] for sentence in sentences] == ["endereço 1", "endereço 3"]
    assert opened == ["aberto", "fechado"] * 2


def test_workers_that_keep_dying_are_a_failure_of_the_correction(course, coursedir, settings):
    def die(timeout):
        raise KilledWorker("tarefa", None, 3)

    submit(course, "ana")
    outcome = Future()
    place = _Place(client=None, address="tcp://127.0.0.1:1")
    place._deliver(outcome, pack(*only(coursedir), settings), SimpleNamespace(result=die))
    assert outcome.result().failed
    assert outcome.result().sentence == "Os processos do cluster que a corrigiam morreram, em 3 tentativas."


def test_an_error_on_the_way_back_is_for_the_batch_to_repeat(course, coursedir, settings):
    def fail(timeout):
        raise OSError("a rede caiu")

    submit(course, "ana")
    outcome = Future()
    _Place(client=None, address="tcp://127.0.0.1:1")._deliver(
        outcome, pack(*only(coursedir), settings), SimpleNamespace(result=fail)
    )
    assert str(outcome.exception()) == "a rede caiu"


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UnreachableError, match="pip install distributed"), open_cluster("tcp://127.0.0.1:1"):
        pass


def test_the_warm_process_of_another_lesson_leaves_after_a_while(course, coursedir, settings, monkeypatch):
    submit(course, "ana")
    package = pack(*only(coursedir), replace(settings, isolation="nenhum"))
    other = replace(package, settings=replace(package.settings, environment=(("OUTRA", "1"),)))
    closed = []

    @contextmanager
    def warm(settings, modules):
        yield "endereço"
        closed.append("OUTRA" in dict(settings.environment))

    monkeypatch.setattr(remote, "warm_kernels", warm)
    monkeypatch.setattr(remote, "grade", lambda submission, source, settings: SimpleNamespace(failed=False))
    for one in (other, package):
        grade_package(one)
    assert closed == []
    monkeypatch.setattr(remote, "IDLE_SECONDS", -1)
    grade_package(package)
    assert closed == [True]
    close_templates()
    assert closed == [True, False]


def test_machines_are_compared_by_what_may_change_a_score():
    here = describe(["json", "grading", "modulo_que_nao_ha"], "nenhum")
    assert (here["missing"], here["own"]["json"]) == (["modulo_que_nao_ha"], "")
    assert differences(here, here) == []
    other = here["packages"] | dict.fromkeys(("click", "numpy", "pandas", "torch", "rich"), "0") | {"novo": "1"}
    there = here | {
        "python": "3.9.1",
        "packages": other,
        "own": here["own"] | {"grading": "outro"},
        "missing": ["json", "modulo_que_nao_ha"],
        "isolation": "",
        "reason": "bubblewrap: não achei o bwrap",
    }
    found = differences(here, there)
    assert found[0].startswith("o Python é 3.9.1, e aqui é 3.")
    assert [sentence.split()[0] for sentence in found[1:4]] == ["click", "numpy", "pandas"]
    assert found[4:] == [
        "outros 2 pacotes têm outra versão",
        "falta json",
        "o curso é de outra versão (grading)",
        "as entregas não podem ser isoladas (bubblewrap: não achei o bwrap)",
    ]

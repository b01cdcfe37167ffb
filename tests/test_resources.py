"""Entregas hostis que não querem nota: cada uma custa só a célula em que está, e nada dela sobra."""

import os
import signal
import socket
import time
from dataclasses import replace

import nbformat
import psutil
import pytest

from grading.kernels import kernel_environment, warm_kernels
from grading.results import Settings, State
from grading.sandbox import IsolationError, try_level
from grading.worker import grade

from .ataques.recursos import (
    ATTACKS,
    FILL,
    HALF_MESSAGE,
    LESSON,
    PROBES,
    SECRET,
    SOURCE,
    TRACER,
    explorer,
    lesson,
    submit,
)
from .ataques.recursos import GOOD as HONEST
from .conftest import ROOT

STRONG = ("bubblewrap", "espacos-de-nomes")


def works(level):
    try:
        try_level(level)
    except IsolationError:
        return False
    return True


BEST = next(filter(works, STRONG), None)
"""O nível em que os ataques rodam. Sem espaços de nomes, o que mata todos os processos mataria os da máquina."""
MARKS = [pytest.param(one, id=one.name, marks=[pytest.mark.lento] if one.slow else []) for one in ATTACKS]


@pytest.fixture(scope="module")
def warm():
    """As ``Settings`` com um processo aquecido, apertadas para que os ataques acabem logo."""
    if BEST is None:
        pytest.fail("esta máquina não isola as entregas: instale o bubblewrap, ou permita os espaços de nomes")
    environment = kernel_environment({"LLMDEFINITIONS_FONTE": "embutida", "SEGREDO_DO_PROFESSOR": "abc"})
    settings = Settings(
        cell_seconds=2, total_seconds=40, memory_mb=1024, processes=48, environment=tuple(environment.items())
    )
    with warm_kernels(settings, ["numpy"]) as address:
        yield replace(settings, kernels=address, isolation=BEST)


@pytest.fixture(autouse=True)
def alarm():
    """Nenhum ataque prende os testes: passado um minuto, o teste falha."""

    def ring(*_):
        pytest.fail("a correção não terminou em um minuto")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def printed(result, cell=2):
    """O que uma célula mostrou; confere também que o caderno se grava e se lê."""
    result.notebook.encode()
    notebook = nbformat.reads(result.notebook, as_version=4)
    nbformat.validate(notebook)
    return "\n".join(
        str(one.get("text") or one.get("evalue") or one.get("data")) for one in notebook.cells[cell].outputs
    )


def check_neighbors(result):
    """Os exercícios honestos, antes e depois do ataque, têm a nota inteira."""
    first, attacked, last = result.cells
    assert [first.state, last.state] == [State.PASSED, State.PASSED], [one.sentence for one in result.cells]
    return attacked


def living(command):
    """Os processos vivos em cuja linha de comando há um texto; espera um pouco por sua morte."""
    for _ in range(50):
        found = []
        for one in psutil.process_iter():
            try:
                if one.status() != psutil.STATUS_ZOMBIE and command in " ".join(one.cmdline()):
                    found.append(one)
            except psutil.Error:
                continue
        if not found:
            break
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("attack", MARKS)
def test_an_attack_costs_only_its_cell(attack, warm, tmp_path):
    settings = replace(warm, **attack.settings)
    start = time.monotonic()
    result = grade(submit(tmp_path, attack.answer), SOURCE, settings)
    assert time.monotonic() - start < settings.total_seconds + 20
    assert result.state == State.PASSED, result.sentence
    attacked = check_neighbors(result)
    assert attacked.state == attack.state, attacked
    assert attack.sentence in attacked.sentence
    assert attack.printed in printed(result)
    attacked.sentence.encode()
    assert not living("7654")


@pytest.mark.parametrize("level", [*filter(works, STRONG), "limites"])
def test_daemons_do_not_survive_in_any_level(level, warm, tmp_path):
    [daemons] = [one for one in ATTACKS if one.name == "daemons"]
    result = grade(submit(tmp_path, daemons.answer), SOURCE, replace(warm, isolation=level))
    assert check_neighbors(result).state == State.PASSED
    assert not living("7654")


def test_the_total_time_stops_a_slow_submission(warm, tmp_path):
    settings = replace(warm, total_seconds=3)
    start = time.monotonic()
    result = grade(
        submit(tmp_path, "import time\nwhile True:\n    time.sleep(9)"), SOURCE, replace(settings, cell_seconds=9)
    )
    assert time.monotonic() - start < 15
    assert result.cells[0].state == State.PASSED
    assert [one.state for one in result.cells[1:]] == [State.TIMEOUT, State.TIMEOUT]
    assert "no total" in result.cells[2].sentence


def test_half_a_message_to_the_guard_voids_the_submission_without_hanging(warm, tmp_path):
    result = grade(submit(tmp_path, HALF_MESSAGE), SOURCE, warm)
    assert result.state == State.TAMPERED
    assert result.earned == 0
    assert "adulteracao" in [flag.kind for flag in result.flags if flag.serious]
    after = grade(submit(tmp_path, HONEST, "bia"), SOURCE, warm)
    assert after.earned == 3


def test_what_a_submission_writes_is_limited_and_not_on_the_teachers_disk(warm, tmp_path):
    result = grade(submit(tmp_path, FILL), SOURCE, replace(warm, cell_seconds=20))
    assert check_neighbors(result).state == State.PASSED
    assert printed(result).split() == [
        *(".", "256", "/tmp", "128", "/dev/shm", "64", "/canal", "0"),  # noqa: S108
        *("/home/estudante", "64", "/", "0", "/usr", "0"),
    ]


@pytest.fixture
def secrets(tmp_path, warm, monkeypatch):
    """O que o professor tem e a entrega não pode alcançar: arquivos, soquetes e variáveis de verdade."""
    monkeypatch.setenv("SEGREDO_DO_PROFESSOR", "abc")
    gradebook = tmp_path / "gradebook.db"
    gradebook.write_text("notas")
    for folder in ("bia", "casa"):
        (tmp_path / folder).mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        path, name = f"/tmp/recursos-{os.getpid()}", f"recursos-{os.getpid()}"  # noqa: S108
        named.bind(path)
        named.listen()
        abstract.bind("\0" + name)
        abstract.listen()
        yield {
            "root": str(ROOT),
            "home": str(tmp_path / "casa"),
            "folder": str(tmp_path / "bia"),
            "gradebook": str(gradebook),
            "pid": str(os.getpid()),
            "port": server.getsockname()[1],
            "socket": path,
            "abstract": name,
            "warm": warm.kernels,
        }
        os.unlink(path)


@pytest.mark.parametrize("level", STRONG)
def test_an_isolated_submission_reaches_nothing(level, warm, tmp_path, secrets):
    if not works(level):
        with pytest.raises(IsolationError):
            try_level(level)
        return
    result = grade(submit(tmp_path, explorer(**secrets)), SOURCE, replace(warm, isolation=level))
    assert check_neighbors(result).state == State.PASSED
    assert printed(result) == ""


def test_the_control_reaches_what_the_isolation_hides(warm, tmp_path, secrets):
    """Sem isolamento as mesmas tentativas funcionam: é o isolamento que as impede, e não um engano delas."""
    harmless = {name for name in PROBES if not name.startswith("escrever") and "internet" not in name and name != "UDP"}
    code = explorer(**secrets)
    for name in PROBES.keys() - harmless:
        code = code.replace(PROBES[name].format(**secrets), "raise OSError")
    result = grade(submit(tmp_path, code), SOURCE, replace(warm, isolation="nenhum"))
    reached = {line.removeprefix("CONSEGUIU ") for line in printed(result).splitlines()}
    hidden = {"ler o segredo do ambiente", "ler o ambiente por /proc"} | (
        set() if os.geteuid() == 0 else {"ler /etc/shadow"}
    )
    assert reached == harmless - hidden


def test_a_child_cannot_read_the_kernels_memory(warm, tmp_path):
    result = grade(submit(tmp_path, TRACER), SOURCE, warm)
    assert check_neighbors(result).state == State.PASSED
    assert printed(result).split() == ["tentou", "tudo"]


def test_the_course_variables_pass_and_the_hidden_test_does_not(warm, tmp_path):
    code = "import os\nprint(os.environ.get('LLMDEFINITIONS_FONTE'))\n"
    code += "for folder, _, names in os.walk('/entrega'):\n    for name in names:\n"
    code += f"        print('{SECRET}' in open(os.path.join(folder, name)).read())\n{HONEST}"
    result = grade(submit(tmp_path, code), SOURCE, warm)
    assert printed(result).split() == ["embutida"]


def test_strange_files_in_the_submission_are_left_out(warm, tmp_path):
    code = f"import os\nprint(sorted(os.listdir('.')))\nprint(open('dados/a.csv').read())\n{HONEST}"
    submission = submit(tmp_path, code)
    folder = submission.folder
    os.mkfifo(folder / "fila")
    (folder / "atalho").symlink_to("/etc/passwd")
    (folder / "volta").symlink_to(folder)
    (folder / "dados").write_text("um arquivo onde a lição tem uma pasta")
    (folder / "acentuação e espaço.txt").write_text("oi")
    (folder / "linha\nnova.txt").write_text("oi")
    (folder / os.fsdecode(b"bytes\xff.txt")).write_text("oi")
    deep = folder / "/".join(["p"] * 300)
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(folder / "soquete"))
        result = grade(submission, lesson({}, (("dados/a.csv", b"da fonte"),)), warm)
    assert check_neighbors(result).state == State.PASSED
    shown, content = printed(result).splitlines()[:2]
    assert content == "da fonte"
    for name in ("fila", "atalho", "volta", "soquete", LESSON):
        assert repr(name) not in shown
    assert "acentuação e espaço.txt" in shown


@pytest.mark.parametrize("kind", ["fila", "atalho", "pasta"])
def test_a_strange_notebook_is_unreadable_and_does_not_hang(kind, warm, tmp_path):
    submission = submit(tmp_path, HONEST)
    path = submission.folder / f"{LESSON}.ipynb"
    path.unlink()
    {"fila": os.mkfifo, "atalho": lambda one: one.symlink_to("/dev/zero"), "pasta": os.mkdir}[kind](path)
    result = grade(submission, SOURCE, warm)
    assert result.state == State.UNREADABLE
    assert result.earned == 0


def test_a_library_only_the_submission_imports_is_not_tampering(warm, tmp_path):
    result = grade(submit(tmp_path, f"import pandas\n{HONEST}"), SOURCE, replace(warm, cell_seconds=30))
    assert (result.state, result.earned) == (State.PASSED, 3)
    assert not [flag for flag in result.flags if flag.serious]

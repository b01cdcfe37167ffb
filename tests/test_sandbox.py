"""Cada nível de isolamento, aberto de verdade: o que se vê, onde se escreve, a rede e os limites."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from grading import sandbox
from grading.sandbox import LEVELS, IsolationError, Sandbox, Space, best_level, try_level

from .conftest import ROOT

STRONG = ("bubblewrap", "espacos-de-nomes")

UNPRIVILEGED = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
"""Um processo sem privilégios nem dentro nem fora, mesmo onde os testes rodam como root."""
NOSUID_TMP = ["bwrap", "--unshare-user", "--uid", "1000", "--gid", "1000", "--bind", "/", "/", "--dev-bind", "/dev"]
NOSUID_TMP += ["/dev", "--proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108
for _folder in (str(ROOT), sys.prefix):  # o projeto pode estar sob a /tmp que foi encoberta
    NOSUID_TMP += ["--bind", _folder, _folder]
"""O mesmo, com uma ``/tmp`` que não aceita setuid, como a de muitas distribuições."""
USERS = {"quem roda os testes": [], "sem privilégios": UNPRIVILEGED}
if shutil.which("bwrap"):
    USERS["sem privilégios, /tmp nosuid"] = NOSUID_TMP

INSIDE = """
import json, os, resource, sys
from grading.sandbox import close_channel, enter, settle
plan = json.loads(sys.argv[1])
before = os.geteuid()
enter(plan)
child = os.fork()
if child:
    os.waitpid(child, 0)
    sys.exit()
settle(plan)
exec(sys.argv[2])
"""
LOOK = """
def attempt(action, *arguments):
    try:
        return action(*arguments) or True
    except Exception:
        return False
import socket
print(json.dumps({
    "folder": sorted(os.listdir(".")),
    "home": os.environ["HOME"],
    "writes": [
        path for path in (".", "/tmp", "/dev/shm", "/usr", "/", sys.prefix) if attempt(open, path + "/prova", "w")
    ],
    "sees": [path for path in (PROJECT + "/solutions", PROJECT + "/llmdefinitions") if os.path.exists(path)],
    "secrets": bool(attempt(open, "/etc/shadow")),
    "network": bool(attempt(socket.create_connection, ("127.0.0.1", PORT), 2)),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "nproc": resource.getrlimit(resource.RLIMIT_NPROC)[0],
    "memory": resource.getrlimit(resource.RLIMIT_DATA)[0],
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
}))
"""


@pytest.fixture
def space(tmp_path):
    origin, channel = tmp_path / "origem", tmp_path / "canal"
    origin.mkdir()
    channel.mkdir()
    (origin / "dados.csv").write_text("a,b")
    return Space(origin, channel, (), memory_mb=512, processes=64)


def run(plan, code):
    """Executa um texto dentro de um isolamento aberto e devolve o que ele mostrou."""
    command = [sys.executable, "-c", INSIDE, json.dumps(plan), code]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.stderr, done.stderr
    return done.stdout


def look(level, space):
    with socket.create_server(("127.0.0.1", 0)) as server, Sandbox(level, space) as opened:
        values = f"PROJECT, PORT = {str(ROOT)!r}, {server.getsockname()[1]}\n"
        return json.loads(run(opened.plan, values + LOOK))


def missing(level):
    """Por que um nível não funciona aqui; vazio se funciona."""
    try:
        try_level(level)
    except IsolationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("level", STRONG)
def test_the_strong_levels_show_only_what_the_submission_needs(level, space):
    if reason := missing(level):
        assert "bwrap" in reason or "unshare" in reason
        return
    seen = look(level, space)
    assert seen["folder"] == ["dados.csv"]
    assert seen["home"] == sandbox.HOME
    assert seen["writes"] == [".", "/tmp", "/dev/shm"]  # noqa: S108
    assert seen["sees"] == [f"{ROOT}/llmdefinitions"]
    assert not seen["secrets"]
    assert not seen["network"]
    assert seen["processes"] < 6
    assert (seen["nproc"], seen["memory"]) == (64, 512 * 2**20)
    assert seen["capabilities"] == ["0" * 16]


def test_limits_only_limit(space):
    seen = look("limites", space)
    assert seen["folder"] == ["dados.csv"]
    assert seen["network"]
    assert f"{ROOT}/solutions" in seen["sees"]
    assert seen["memory"] == 512 * 2**20


def test_none_limits_nothing(space):
    seen = look("nenhum", space)
    assert seen["folder"] == ["dados.csv"]
    assert seen["network"]
    assert seen["memory"] != 512 * 2**20


@pytest.mark.parametrize("level", STRONG)
def test_closing_ends_whoever_is_inside(level, space):
    if missing(level):
        return
    with Sandbox(level, space) as opened:
        command = [sys.executable, "-c", INSIDE, json.dumps(opened.plan), "import time; time.sleep(600)"]
        process = subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)})
        while not psutil.Process(process.pid).children():
            time.sleep(0.02)
        holder = psutil.Process(opened.holder)
    assert process.wait(10) == 0
    psutil.wait_procs([holder], timeout=10)
    assert not holder.is_running()


def test_the_scratch_folder_of_the_weak_levels_goes_away(space):
    with Sandbox("limites", space) as opened:
        run(opened.plan, "open('lixo', 'w')")
        folder = Path(opened.plan["folder"])
        assert (folder / "lixo").exists()
    assert not folder.parent.exists()


# --- escolher o nível


def choose(code, prefix=(), **environment):
    """Executa um texto que usa ``grading.sandbox`` num processo novo."""
    program = f"import os, sys\nfrom grading.sandbox import *\n{code}"
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    command = [*prefix, sys.executable, "-c", program]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
try:
    print(best_level({minimum!r}))
except IsolationError as error:
    print(error)
"""


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("level", STRONG)
def test_each_user_opens_each_level_or_hears_what_is_missing(user, level):
    """Como root e sem privilégios; onde o sistema não deixa, a mensagem diz o programa que falhou."""
    code = f"try:\n    try_level({level!r})\n    print(os.geteuid(), 'abriu')\n"
    code += "except IsolationError as error:\n    print(error)"
    said = choose(code, USERS[user])
    if shutil.which("bwrap") is None and level == "bubblewrap":
        assert said.startswith("não consegui executar bwrap")
    else:
        assert said == f"{1000 if USERS[user] else os.geteuid()} abriu"


def test_the_strongest_level_that_works_is_chosen():
    working = [level for level in LEVELS if not missing(level)]
    assert best_level("nenhum") == working[-1]


def test_without_the_programs_it_says_what_is_missing_and_what_to_do(tmp_path):
    code = f"import grading.sandbox\ngrading.sandbox._PLAIN['PATH'] = {str(tmp_path)!r}\n"
    said = choose(code + ASK.format(minimum="espacos-de-nomes"), PATH=str(tmp_path))
    assert "bubblewrap: não consegui executar bwrap" in said
    assert "espacos-de-nomes: não consegui executar unshare" in said
    assert "apt install bubblewrap" in said
    assert "--isolamento-minimo nenhum" in said


def test_without_the_programs_a_lower_minimum_is_accepted(tmp_path):
    code = f"import grading.sandbox\ngrading.sandbox._PLAIN['PATH'] = {str(tmp_path)!r}\n"
    assert choose(code + ASK.format(minimum="limites"), PATH=str(tmp_path)) == "limites"


@pytest.mark.parametrize(("platform", "name"), [("darwin", "macOS"), ("win32", "Windows")])
def test_other_systems_need_the_teachers_word(platform, name):
    code = f"sys.platform = {platform!r}\n"
    said = choose(code + ASK.format(minimum="espacos-de-nomes"))
    assert f"só existe no Linux, e este sistema é {name}" in said
    assert "--isolamento-minimo nenhum" in said
    assert choose(code + ASK.format(minimum="nenhum")) == "nenhum"

"""Isolar uma entrega: o que ela vê do computador, o quanto pode gastar e a certeza de que nada dela sobra.

São níveis, do mais fraco ao mais forte:

- ``nenhum``: só o tempo é limitado. É o que há no Windows e no macOS.
- ``limites``: memória e arquivos limitados pelo sistema (``setrlimit``); a entrega ainda vê o disco e a rede.
- ``espacos-de-nomes``: os espaços de nomes do Linux, pelo ``unshare`` do util-linux. A entrega tem um sistema de
  arquivos seu, só de leitura, sem rede e sem os processos dos outros; só quatro pastas na memória aceitam escrita.
- ``bubblewrap``: o mesmo, montado pelo ``bwrap``, que é o programa mantido para isso.

Nos dois últimos um processo guarda os espaços de nomes abertos e o kernel, que já nasceu de um processo aquecido, entra
neles (``setns(2)``). Matar quem os guarda mata tudo o que estiver dentro (``pid_namespaces(7)``).
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from .seccomp import refuse_calls

if sys.platform != "win32":
    import resource

LEVELS = ("nenhum", "limites", "espacos-de-nomes", "bubblewrap")

HOME, FOLDER, ORIGIN, CHANNEL = "/home/estudante", "/entrega", "/origem", "/canal"
"""Dentro do isolamento: a pasta do usuário, a do caderno, a cópia do que foi entregue e a dos soquetes do kernel."""

NOBODIES = range(61184, 65520)
"""Quem o root vira lá dentro, um por entrega: os números que o systemd reserva a usuários passageiros."""

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)  # fmt: skip — linux/sched.h
_NO_NEW_PRIVS, _SET_DUMPABLE, _DROP_BOUND, _SUBREAPER = 38, 4, 24, 36  # linux/prctl.h
_CAPABILITY_VERSION = 0x20080522  # linux/capability.h
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 1, 32, 4096  # linux/mount.h

_SYSTEM = [Path("/", name) for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")]
_ETC = [Path("/etc", name) for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "fonts", "alternatives")]
_WAIT = ["/bin/sh", "-c", "echo pronto; exec sleep infinity"]


class IsolationError(RuntimeError):
    """Não dá para isolar as entregas como foi pedido; a mensagem diz o que falta."""


@dataclass(frozen=True)
class Space:
    """O espaço de uma entrega.

    Attributes:
        origin: a pasta com os arquivos dela, que só será lida.
        channel: a pasta, de caminho curto, em que o kernel abre os seus soquetes.
        readable: outras pastas que ela pode ler.
        memory_mb: a memória de todos os processos dela; as pastas na memória têm, juntas, metade disso.
        processes: quantos processos e linhas de execução ela pode ter.
    """

    origin: Path
    channel: Path
    readable: tuple[Path, ...]
    memory_mb: int
    processes: int


class Sandbox:
    """Um isolamento aberto: um gerenciador de contexto. Ao fechar, nenhum processo da entrega continua vivo."""

    def __init__(self, level, space):
        self.level, self.space = level, space
        self._holder = None
        self._pid = None
        self._scratch = None

    def __enter__(self):
        if self.level in ("bubblewrap", "espacos-de-nomes"):
            self._open_namespaces()
        else:
            self._scratch = Path(tempfile.mkdtemp(prefix="entrega-"))
        return self

    def __exit__(self, *_):
        if self._holder:
            self._holder.kill()
            self._holder.communicate()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def plan(self):
        """O que ``enter`` precisa saber, só com tipos do JSON."""
        folders = (FOLDER, HOME, ORIGIN, CHANNEL)
        if self._scratch:
            folders = (
                str(self._scratch / "entrega"),
                str(self._scratch / "casa"),
                self.space.origin,
                self.space.channel,
            )
        return {
            "level": self.level,
            "pid": self._pid,
            "user_namespace": not _is_root(),
            "processes": self.space.processes,
            "memory_mb": self.space.memory_mb,
            **dict(zip(("folder", "home", "origin", "channel"), map(str, folders), strict=True)),
        }

    @property
    def holder(self):
        """O identificador do processo que guarda os espaços de nomes; ``None`` nos níveis que não os usam."""
        return self._pid

    def _open_namespaces(self):
        command = _bubblewrap(self.space) if self.level == "bubblewrap" else _unshare(self.space)
        try:
            self._holder = subprocess.Popen(  # noqa: S603 — o comando é deste módulo
                command, env=_PLAIN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise IsolationError(f"não consegui executar {command[0]}: {error.strerror}") from None
        if self._holder.stdout.readline() != b"pronto\n":
            self._holder.kill()
            reason = self._holder.communicate()[1].decode(errors="replace").strip().splitlines()
            raise IsolationError(reason[-1] if reason else f"{command[0]} não abriu os espaços de nomes")
        self._pid = psutil.Process(self._holder.pid).children()[0].pid


_PLAIN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def best_level(minimum="espacos-de-nomes"):
    """Experimenta os níveis, do mais forte ao mais fraco, e devolve o primeiro que funciona nesta máquina.

    Args:
        minimum: o mais fraco que se aceita, um de ``LEVELS``.

    Returns:
        O nome do nível.

    Raises:
        IsolationError: se nenhum dos aceitos funciona; a mensagem diz por que cada um falhou e o que fazer.
    """
    accepted = LEVELS[LEVELS.index(minimum) :]
    reasons = []
    for level in reversed(accepted):
        try:
            try_level(level)
        except (IsolationError, OSError) as error:
            reasons.append(f"  {level}: {error}")
        else:
            return level
    raise IsolationError(
        "Não consigo isolar as entregas nesta máquina, e elas são código de outras pessoas.\n"
        + "\n".join(reasons)
        + "\nNo Linux, instale o bubblewrap (por exemplo, apt install bubblewrap). No macOS e no Windows, corrija numa "
        "máquina virtual com Linux ou, se confia em quem entregou, use --isolamento-minimo nenhum."
    )


def try_level(level):
    """Abre e fecha um isolamento de verdade, com um processo dentro.

    Raises:
        IsolationError: com o que falta, se este nível não funciona aqui.
    """
    if level == "nenhum":
        return
    if sys.platform != "linux":
        system = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
        raise IsolationError(f"só existe no Linux, e este sistema é {system}")
    with tempfile.TemporaryDirectory(prefix="corrigir-") as folder:
        origin, channel = Path(folder, "origem"), Path(folder, "canal")
        origin.mkdir()
        channel.mkdir()
        space = Space(origin, channel, (), memory_mb=512, processes=64)
        with Sandbox(level, space) as sandbox:
            _try_to_enter(sandbox.plan)


def _try_to_enter(plan):
    program = (
        "import json, os, sys\n"
        "from grading.sandbox import close_channel, enter, settle\n"
        "plan = json.loads(sys.argv[1])\n"
        "enter(plan)\n"
        "child = os.fork()\n"
        "if child:\n"
        "    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "    close_channel(plan)\n"
        "    sys.exit(code)\n"
        "settle(plan)\n"
        "open('prova.txt', 'w').close()\n"
        "os.listdir(os.path.dirname(os.__file__))\n"
    )
    environment = {**_PLAIN, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", program, json.dumps(plan)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        raise IsolationError(reason[-1] if reason else f"o processo de prova saiu com {done.returncode}")


# --- a vista do sistema de arquivos


def _python_folders():
    """As pastas de onde este Python lê módulos, menos a do projeto: nela estão as soluções."""
    package = Path(__file__).parents[1] / "llmdefinitions"
    paths = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, *sysconfig.get_paths().values()}
    existing = {Path(path) for path in paths if Path(path).is_dir()} | {package}
    return sorted(path for path in existing if not any(other in path.parents for other in existing))


def _links():
    """As pastas da raiz que são atalhos, como ``/bin`` → ``usr/bin``, e para onde apontam."""
    return [(str(path), os.readlink(path)) for path in _SYSTEM if path.is_symlink()]


def _visible(space):
    """Pares de caminho do computador e caminho dentro do isolamento, só de leitura."""
    folders = [path for path in (*_python_folders(), *space.readable) if not path.is_relative_to("/usr")]
    pairs = [(path.resolve(), path) for path in (*_SYSTEM, *_ETC, *folders) if path.exists() and not path.is_symlink()]
    return [(str(source), str(target)) for source, target in [*pairs, (space.origin, ORIGIN)]]


def _in_memory(space):
    """As pastas que aceitam escrita, todas na memória, e o tamanho máximo de cada uma, em bytes."""
    unit = space.memory_mb * 2**20 // 16
    return {FOLDER: 4 * unit, "/tmp": 2 * unit, "/dev/shm": unit, HOME: unit}  # noqa: S108


def _bubblewrap(space):
    command = ["bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    command += ["--unshare-uts", "--hostname", "correcao", "--proc", "/proc", "--dev", "/dev"]
    if not _is_root():
        # Com outro número, o bwrap aninha um segundo espaço de usuários, de onde não se fecha a pasta dos soquetes.
        command += ["--unshare-user", "--uid", "0", "--gid", "0"]
    for link, target in _links():
        command += ["--symlink", target, link]
    for folder, size in _in_memory(space).items():
        command += ["--perms", "1777", "--size", str(size), "--tmpfs", folder]
    visible = _visible(space)  # depois das pastas na memória: o curso pode estar sob /tmp
    parents = {str(parent) for _, target in visible for parent in Path(target).parents} - {"/"}
    for parent in sorted(parents):
        command += ["--perms", "0755", "--dir", parent]  # sem dizer, só o dono atravessa as que ele cria
    for source, target in visible:
        command += ["--ro-bind", source, target]
    return [*command, "--bind", str(space.channel), CHANNEL, "--remount-ro", "/dev", "--remount-ro", "/", *_WAIT]


def _unshare(space):
    command = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    if not _is_root():
        command += ["--user", "--map-root-user"]
    view = {
        "links": _links(),
        "visible": _visible(space),
        "in_memory": _in_memory(space),
        "channel": (str(space.channel), CHANNEL),
        "command": _WAIT,
    }
    return [*command, sys.executable, "-I", str(Path(__file__).with_name("mounts.py")), json.dumps(view)]


def _is_root():
    return hasattr(os, "geteuid") and os.geteuid() == 0


# --- entrar, do lado do kernel


def enter(plan):
    """Leva este processo para os espaços de nomes de um isolamento; vale inteiro para os filhos que ele tiver depois.

    Args:
        plan: o ``Sandbox.plan``.

    Raises:
        IsolationError: se o sistema não deixa.
    """
    if plan["level"] in ("nenhum", "limites"):
        if sys.platform == "linux":
            _prctl(_SUBREAPER, 1)  # os órfãos da entrega ficam com este processo, que os encerra
        return
    kinds = _NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS | (_NEWUSER if plan["user_namespace"] else 0)
    handle = os.pidfd_open(plan["pid"])
    if _libc().setns(handle, kinds):
        raise IsolationError(f"setns: {os.strerror(ctypes.get_errno())}")
    os.close(handle)


def settle(plan):
    """Acomoda o processo em que a entrega vai rodar: copia os arquivos, põe os limites e larga os privilégios.

    Args:
        plan: o ``Sandbox.plan``; a pasta de trabalho deste processo passa a ser ``plan["folder"]``.

    Raises:
        IsolationError: se um dos passos não é possível.
    """
    folder, home = Path(plan["folder"]), Path(plan["home"])
    isolated = plan["level"] in ("bubblewrap", "espacos-de-nomes")
    shutil.copytree(plan["origin"], folder, dirs_exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ["HOME"] = str(home)
    if plan["level"] != "nenhum":
        _limit(plan)
    if isolated:
        _drop_privileges(plan, [folder, home, *folder.rglob("*"), Path(plan["channel"])])
    if plan["level"] != "nenhum" and sys.platform == "linux":
        _prctl(_SET_DUMPABLE, 0)  # nem o próprio processo abre /proc/self/mem, e os filhos dele não o leem por fora
        refuse_calls()


def close_channel(plan):
    """Fecha a pasta dos soquetes a novas escritas: o kernel já os abriu, e o disco do professor não é da entrega."""
    if plan["level"] in ("bubblewrap", "espacos-de-nomes"):
        # Um usuário comum não pode tirar estas opções, que têm o mesmo número em statvfs(3) e em mount(2).
        kept = os.statvfs(plan["channel"]).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)
        _mount(None, plan["channel"], None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def _limit(plan):
    size = plan["memory_mb"] * 2**20
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: size,
        resource.RLIMIT_NOFILE: 1024,
    }
    if sys.platform == "linux":
        limits[resource.RLIMIT_DATA] = size
    if plan["level"] != "limites":  # sem espaço de nomes, a conta é de todos os processos do usuário
        limits[resource.RLIMIT_NPROC] = plan["processes"]
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _drop_privileges(plan, owned):
    if not plan["user_namespace"]:
        nobody = NOBODIES[plan["pid"] % len(NOBODIES)]  # o limite de processos é contado por usuário
        for path in owned:
            os.chown(path, nobody, nobody, follow_symlinks=False)
        os.setgroups([])
        os.setresgid(nobody, nobody, nobody)
        os.setresuid(nobody, nobody, nobody)
    else:
        for capability in range(64):
            _libc().prctl(_DROP_BOUND, capability, 0, 0, 0)
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        if _libc().capset(header, (ctypes.c_uint32 * 6)()):
            raise IsolationError(f"capset: {os.strerror(ctypes.get_errno())}")
    _prctl(_NO_NEW_PRIVS, 1)


def _prctl(option, value):
    if _libc().prctl(option, value, 0, 0, 0):
        raise IsolationError(f"prctl: {os.strerror(ctypes.get_errno())}")


def _mount(source, target, kind, flags, data=None):
    encode = [None if value is None else str(value).encode() for value in (source, target, kind)]
    if _libc().mount(*encode, ctypes.c_ulong(flags), data and data.encode()):
        raise IsolationError(f"mount {target}: {os.strerror(ctypes.get_errno())}")


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def end_descendants():
    """Encerra os processos que a entrega deixou, nos níveis em que matar quem guarda os espaços de nomes não basta."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            with suppress(psutil.Error):
                child.send_signal(signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

"""Kernels aquecidos, vistos da correção: obter um, mandar-lhe células e testes, e saber o que houve com ele."""

import ast
import json
import marshal
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Listener
from pathlib import Path

import platformdirs
import psutil
from jupyter_client import BlockingKernelClient

from .outputs import Outputs
from .results import State
from .sandbox import Sandbox, Space
from .sealing import SealError, seal, unseal

START_SECONDS = 60
"""Quanto se espera por um kernel; um já aquecido demora menos de um décimo de segundo."""
GRACE_SECONDS = 3
"""Depois de interrompida, o tempo que uma célula tem para parar por si."""
WATCH_SECONDS = 0.25
"""De quanto em quanto tempo se medem a memória e os processos de uma entrega."""
TRIGGER = "__import__('sys').audit('correcao.celula')"

CAN_FORK = sys.platform == "linux"


class KernelError(RuntimeError):
    """O kernel não começou: uma falha da correção, e não da entrega."""


@dataclass
class Execution:
    """O que houve ao executar uma célula.

    Attributes:
        outputs: as saídas, como as do caderno.
        state: ``PASSED`` se chegou ao fim, com ou sem erro; senão ``TIMEOUT``, ``OUT_OF_MEMORY`` ou ``KERNEL_DIED``.
        seconds: quanto demorou.
    """

    outputs: list = field(default_factory=list)
    state: State = State.PASSED
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """A resposta autenticada da guarda a um teste.

    Attributes:
        name, message: a exceção com que o teste parou; vazios se ele foi até o fim.
        value: o número que a última linha deu, ou ``None``.
        swapped: o que da biblioteca estava trocado.
        canaries: se cada canário passou.
    """

    name: str
    message: str
    value: float | None
    swapped: tuple[str, ...]
    canaries: tuple[bool, ...]


# --- o processo aquecido


def imported_modules(notebooks):
    """O que as células de uns cadernos importam, para o processo aquecido importar antes.

    Args:
        notebooks: cadernos (``NotebookNode``) da fonte.

    Returns:
        Nomes de módulos, ou ``módulo:nome`` para ``from módulo import nome``, em ordem.
    """
    found = set()
    for cell in (cell for notebook in notebooks for cell in notebook.cells if cell.cell_type == "code"):
        with suppress(SyntaxError):  # uma célula com comandos do IPython
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    found |= {f"{node.module}:{alias.name}" for alias in node.names if alias.name != "*"}
    return sorted(found)


def kernel_environment(variables=os.environ):
    """As variáveis com que os kernels rodam: as do curso e as que fixam o que poderia variar; as do professor, não."""
    course = {name: value for name, value in variables.items() if name.startswith("LLMDEFINITIONS_")}
    for folder in data_folders(variables):
        course["LLMDEFINITIONS_DADOS"] = str(folder)  # lá dentro o HOME é outro, e o cache não seria achado
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "USER": "estudante",
        "LOGNAME": "estudante",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "CUDA_VISIBLE_DEVICES": "",
        "NBGRADER_EXECUTION": "autograde",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
        **course,
    }


def data_folders(variables=os.environ):
    """As pastas de dados do curso, que os kernels leem: a de ``LLMDEFINITIONS_DADOS`` ou, sem ela, a do cache."""
    named = variables.get("LLMDEFINITIONS_DADOS", "").strip()
    folder = Path(named) if named else platformdirs.user_cache_path("llmdefinitions", appauthor=False)
    return (folder.resolve(),) if folder.is_dir() else ()


@contextmanager
def warm_kernels(settings, modules):
    """Mantém, enquanto o bloco dura, o processo de que os kernels saem prontos.

    Args:
        settings: as ``Settings``; ``environment`` vale para ele e para os kernels.
        modules: o que importar (veja ``imported_modules``).

    Returns:
        O endereço a pôr em ``Settings.kernels``; onde duplicar processos não é possível, um texto que começa por
        ``pool:``, e cada executor mantém os seus.

    Raises:
        KernelError: se o processo não começa.
    """
    if not CAN_FORK:
        yield "pool:" + ",".join(modules)
        return
    folder = tempfile.mkdtemp(prefix="corrigir-", dir=_short_folder())
    address = f"{folder}/aquecido"
    process = _start_template([address, *modules], settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if process.stdout.readline() != b"pronto\n":
            raise KernelError("o processo que aquece os kernels não começou: a instalação do curso está inteira?")
        yield address
    finally:
        process.stdin.close()
        process.terminate()
        process.wait()
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def _start_template(arguments, settings, **streams):
    kept = {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME", "SYSTEMROOT") if name in os.environ}
    root = str(Path(__file__).parents[1])
    environment = {**kept, **dict(settings.environment or kernel_environment()), "PYTHONPATH": root}
    command = [sys.executable, "-P", "-m", "grading.template", *arguments]
    return subprocess.Popen(command, env=environment, **streams)  # noqa: S603


class Pool:
    """Kernels já iniciados, um de reserva, para onde não se pode duplicar um processo aquecido."""

    def __init__(self, settings, modules):
        self._settings, self._modules = settings, modules
        self._spare = self._start()

    def take(self):
        """Devolve a conexão e o processo de um kernel aquecido, e começa a aquecer o próximo."""
        listener, process, folder = self._spare
        try:
            connection = listener.accept()
        finally:
            listener.close()
            shutil.rmtree(folder, ignore_errors=True)
        self._spare = self._start()
        if not connection.poll(START_SECONDS):
            process.kill()
            raise KernelError("o kernel não começou no tempo esperado")
        connection.recv_bytes()
        return connection, process

    def close(self):
        """Encerra o de reserva."""
        listener, process, folder = self._spare
        process.kill()
        process.wait()
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)

    def _start(self):
        folder = tempfile.mkdtemp(prefix="corrigir-", dir=_short_folder())
        listener = Listener(None if sys.platform == "win32" else f"{folder}/kernel")
        process = _start_template(["--uma-vez", listener.address, *self._modules], self._settings)
        return listener, process, folder


def _short_folder():
    """Onde criar soquetes: o caminho de um não passa de cerca de cem letras, e o ``TMPDIR`` pode ser longo."""
    return "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108


# --- um kernel


class Kernel:
    """Um kernel isolado, com uma entrega dentro: um gerenciador de contexto.

    Args:
        settings: as ``Settings``.
        origin: a pasta com os arquivos da entrega.
        pool: o ``Pool``, onde não há processo aquecido a duplicar.

    Raises:
        KernelError, IsolationError: ao entrar, se ele não começa.
    """

    def __init__(self, settings, origin, pool=None):
        self._settings, self._origin, self._pool = settings, origin, pool
        self._key = secrets.token_bytes(32)
        self._sent = self._received = 0
        self.signals = []
        """Pares (tipo, detalhe) do que a guarda contou."""
        self.broken_channel = False
        """Se alguém mexeu no canal da guarda."""
        self._client = self._connection = self._process = self._owner = None

    def __enter__(self):
        self._channel = Path(tempfile.mkdtemp(prefix="k-", dir=_short_folder()))
        space = Space(
            self._origin,
            self._channel,
            self._settings.readable,
            self._settings.memory_mb,
            self._settings.processes,
        )
        self._sandbox = Sandbox(self._settings.isolation, space)
        try:
            self._sandbox.__enter__()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def alive(self):
        """Se o processo do kernel ainda existe."""
        with suppress(psutil.Error):
            return self._process is not None and self._process.status() != psutil.STATUS_ZOMBIE
        return False

    def close(self):
        """Encerra o kernel e tudo o que a entrega tenha iniciado."""
        if self._client:
            self._client.stop_channels()
            self._client = None
        if self._process:
            with suppress(psutil.Error):
                self._process.kill()
            self._process = None
        if self._owner:  # nos níveis sem espaços de nomes, é ele que encerra os órfãos
            with suppress(psutil.Error):
                self._owner.wait(5)
            self._owner = None
        if self._connection:
            self._connection.close()
            self._connection = None
        self._sandbox.__exit__()
        shutil.rmtree(self._channel, ignore_errors=True)

    def _start(self):
        plan = self._sandbox.plan
        ports = {f"{name}_port": number for number, name in enumerate(("shell", "iopub", "stdin", "hb", "control"), 1)}
        info = {"transport": "ipc", **ports, "key": secrets.token_hex(16), "signature_scheme": "hmac-sha256"}
        inside = f"{plan['channel']}/k"
        (self._channel / "kernel.json").write_text(json.dumps({**info, "ip": inside}), encoding="utf-8")
        self._connection = self._pool.take()[0] if self._pool else self._connect()
        message = {
            "sandbox": plan,
            "connection_file": f"{plan['channel']}/kernel.json",
            "key": self._key.hex(),
            "seed": self._settings.seed,
            "environment": dict(self._settings.environment or kernel_environment()),
        }
        self._connection.send_bytes(json.dumps(message).encode())
        answer = self._wait_for_answer()
        if answer["failure"]:
            raise KernelError(answer["failure"])
        self._process = psutil.Process(answer["pid"])
        if sys.platform != "win32":  # quem escreve meia mensagem não faz a correção esperar pela outra metade
            os.set_blocking(self._connection.fileno(), False)
        if not self._pool:
            self._owner = self._process.parent()
        self._client = BlockingKernelClient()
        self._client.load_connection_info({**info, "ip": f"{self._channel}/k"})
        self._client.start_channels(stdin=False, hb=False, control=False)
        self._wait_until_heard()

    def _connect(self):
        try:
            return Client(self._settings.kernels)
        except OSError as error:
            raise KernelError(f"o processo que aquece os kernels não responde ({error.strerror})") from None

    def _wait_for_answer(self):
        try:
            if self._connection.poll(START_SECONDS):
                return json.loads(self._connection.recv_bytes())
        except (EOFError, OSError, ValueError):
            raise KernelError("o kernel terminou antes de começar") from None
        raise KernelError("o kernel não começou no tempo esperado")

    def _wait_until_heard(self):
        """Espera que as mensagens do kernel cheguem: quem assina um canal perde as que vieram antes."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive:
            self._client.kernel_info()
            with suppress(queue.Empty):
                self._client.get_iopub_msg(timeout=0.2)
                return
        raise KernelError("o kernel não respondeu")

    # --- executar

    def execute(self, code, seconds):
        """Executa uma célula da entrega.

        Args:
            code: o texto dela.
            seconds: quanto pode demorar; ao passar disso é interrompida e, se não para, o kernel é encerrado.

        Returns:
            Uma ``Execution``.
        """
        start = time.monotonic()
        collected = Outputs(self._settings.output_kb * 1024)
        request = self._client.execute(code, allow_stdin=False, stop_on_error=False)
        state = self._follow(request, collected, start + seconds)
        if state == State.TIMEOUT and self.alive:
            with suppress(psutil.Error):
                self._process.send_signal(signal.SIGINT)
            if self._follow(request, collected, time.monotonic() + GRACE_SECONDS) != State.PASSED:
                self._stop()
        self._listen()
        return Execution(collected.outputs, state, time.monotonic() - start)

    def test(self, request, seconds):
        """Manda um teste à guarda.

        Args:
            request: o de ``grading.cells.compile_test``, com os códigos dos canários em ``canaries``.
            seconds: quanto pode demorar.

        Returns:
            A ``Execution`` e o ``Report``; ``None`` no lugar dele se nenhuma resposta autêntica chegou.
        """
        self._report = None
        with suppress(OSError):  # o kernel pode já não estar lá, e então não haverá resposta
            self._connection.send_bytes(seal(self._key, "ida", self._sent, marshal.dumps(request)))
            self._sent += 1
        execution = self.execute(TRIGGER, seconds)
        return execution, self._report

    def _follow(self, request, collected, deadline):
        """Recolhe as mensagens de um pedido até o kernel dizer que o terminou."""
        watched = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= deadline:
                return State.TIMEOUT
            if now - watched > WATCH_SECONDS:
                watched = now
                if self._over_limits():
                    self._stop()
                    return State.OUT_OF_MEMORY
            try:
                message = self._client.get_iopub_msg(timeout=min(WATCH_SECONDS, deadline - now))
            except queue.Empty:
                if not self.alive:
                    return State.KERNEL_DIED
                continue
            except Exception:  # noqa: S112 — o que o Jupyter não entende foi o código da entrega que mandou
                continue
            parent, content = message["parent_header"], message["content"]
            if not (isinstance(parent, dict) and isinstance(content, dict)) or parent.get("msg_id") != request:
                continue
            if message["msg_type"] == "status" and content.get("execution_state") == "idle":
                return State.PASSED
            collected.add(message)

    def _over_limits(self):
        memory = processes = 0
        for one in self._processes():
            with suppress(psutil.Error):
                memory += _memory(one)
                processes += 1
        return memory > self._settings.memory_mb * 2**20 or processes > self._settings.processes

    def _processes(self):
        found = []
        for pid in (self._process and self._process.pid, self._sandbox.holder):
            with suppress(psutil.Error):
                if pid:
                    root = psutil.Process(pid)
                    found += [root, *root.children(recursive=True)]
        return found

    def _stop(self):
        with suppress(psutil.Error):
            self._process.kill()
            self._process.wait(5)

    def _listen(self):
        """Lê o que a guarda tem a dizer; o que não for dela quebra o canal."""
        try:
            while self._connection.poll(0):
                sealed = self._connection.recv_bytes(2**20)
                kind, *content = ast.literal_eval(unseal(self._key, "volta", self._received, sealed).decode())
                self._received += 1
                if kind == "sinal":
                    self.signals.append(tuple(content))
                else:
                    outcome, swapped, canaries = content
                    self._report = Report(**outcome, swapped=tuple(swapped), canaries=tuple(canaries))
        except EOFError:
            self.broken_channel |= self.alive
        except (OSError, SealError, ValueError, SyntaxError):
            self.broken_channel = True


def _memory(process):
    """A memória de um processo, em bytes; no Linux, a que não é de arquivos, mesmo a que ele divide com outros."""
    if sys.platform != "linux":
        return process.memory_info().rss
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return 1024 * sum(map(int, re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+)", status, re.MULTILINE)))

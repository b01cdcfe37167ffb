"""Entregas que não querem nota: querem derrubar a correção, gastar a máquina, olhar o que não é delas ou fugir.

A lição tem três exercícios, ``dobro``, ``triplo`` e ``quadrado``. O ataque vem na célula do ``triplo``; os outros dois
são honestos, e é por eles que se vê que um ataque custa só a célula em que está.
"""

from dataclasses import dataclass, field

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from grading.results import Source, State, Submission

LESSON = "90_recursos"
SECRET = "o-teste-oculto-do-professor"

_TEST = """assert {name}(2) == {small}
### BEGIN HIDDEN TESTS
assert {name}(50) == {large}, "{secret}"
### END HIDDEN TESTS"""
_EXERCISES = {"dobro": (4, 100), "triplo": (6, 150), "quadrado": (4, 2500)}
HONEST = {
    "dobro": "def dobro(x):\n    return 2 * x",
    "triplo": "def triplo(x):\n    return 3 * x",
    "quadrado": "def quadrado(x):\n    return x * x",
}


def _cell(name, source, grade):
    cell = new_code_cell(source, id=name)
    cell.metadata.nbgrader = {
        "grade_id": name,
        "grade": grade,
        "solution": not grade,
        "locked": grade,
        "task": False,
        "schema_version": 3,
        "cell_type": "code",
        **({"points": 1} if grade else {}),
    }
    return cell


def lesson(answers, files=()):
    """A ``Source`` da lição, com o texto que se quiser em cada célula de resposta."""
    cells = []
    for name, (small, large) in _EXERCISES.items():
        cells.append(_cell(name, answers.get(name, "raise NotImplementedError"), grade=False))
        test = _TEST.format(name=name, small=small, large=large, secret=SECRET)
        cells.append(_cell(f"teste_{name}", test, grade=True))
    return Source(LESSON, LESSON, nbformat.writes(new_notebook(cells=cells)), files)


SOURCE = lesson({})


def submit(folder, answer, student="ana"):
    """Escreve uma entrega com a resposta dada no lugar do ``triplo``.

    Args:
        folder: onde criar a pasta dela.
        answer: o texto da célula do ``triplo``.
        student: de quem é.

    Returns:
        A ``Submission``.
    """
    place = folder / student / LESSON
    place.mkdir(parents=True)
    notebook = nbformat.reads(lesson({**HONEST, "triplo": answer}).notebook, as_version=4)
    for test in notebook.cells[1::2]:
        test.source = test.source.partition("### BEGIN")[0]
    nbformat.write(notebook, place / f"{LESSON}.ipynb")
    return Submission(student, LESSON, place)


@dataclass(frozen=True)
class Attack:
    """Um ataque e o que ele tem de dar.

    Attributes:
        name: para ler no nome do teste.
        answer: o que vai na célula do ``triplo``.
        state: o estado do teste do ``triplo``.
        sentence: um pedaço da frase dele.
        printed: um pedaço das saídas da célula do ``triplo``.
        settings: o que muda nas ``Settings``.
        slow: se demora mais de uns segundos.
    """

    name: str
    answer: str
    state: State
    sentence: str = ""
    printed: str = ""
    settings: dict = field(default_factory=dict)
    slow: bool = False


MISSING, DIED = "triplo não existe", "O Python caiu"
LIMIT = "Passou do limite de 1024 MB"
LATE = "Passou de 2 segundos"
GOOD = HONEST["triplo"]

_MALFORMED = r"""import json
kernel = get_ipython().kernel
parent = kernel.get_parent()["header"]
mine = json.loads(json.dumps(parent, default=str))
header = {"msg_id": "1", "msg_type": "stream", "username": "", "session": "", "date": "", "version": "5"}
contents = (b"{}", b"[]", b"null", b"7", b'{"name": ["stdout"], "text": 3}', b'{"data": 5, "metadata": []}',
            b'{"data": {"text/plain": {"a": 1}}, "metadata": {}}', b'{"execution_state": []}',
            b'{"ename": 1, "evalue": {}, "traceback": "a"}',
            b'{"metadata": {}, "data": {"text/plain": ' + b"[" * 900 + b"]" * 900 + b"}}",
            b'{"name": "stdout", "text": ' + b"[" * 100000 + b"]" * 100000 + b"}",
            b'{"name": "stdout", "text": "' + b"\\" + b'ud800"}')
kinds = ("stream", "display_data", "execute_result", "error", "status", "", 5, [])
cases = [({**header, "msg_type": kind}, mine, content) for kind in kinds for content in contents]
cases += [(start, origin, b"{}") for start in (header, [], "x", {}) for origin in ([], "x", 5, {"msg_id": []})]
for start, origin, content in cases:
    parts = [json.dumps(start).encode(), json.dumps(origin).encode(), b"{}", content]
    kernel.iopub_socket.send_multipart([b"stream", b"<IDS|MSG>", kernel.session.sign(parts), *parts])
kernel.iopub_socket.send_multipart([b"lixo"])
kernel.iopub_socket.send_multipart([b"a", b"<IDS|MSG>"])
"""
_FORGED = """kernel = get_ipython().kernel
for _ in range({times}):
    content = {{"data": {{"text/html": "<b>" * {size}}}, "metadata": {{}}}}
    kernel.session.send(kernel.iopub_socket, "display_data", content, parent=kernel.get_parent())
"""
_NEW_NAMESPACE = """import subprocess
command = "mount -t tmpfs -o size=3g x /tmp && head -c 2000000000 /dev/zero > /tmp/x && echo CONSEGUIU"
done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
                      capture_output=True, text=True)
print(done.stdout, done.stderr)
"""

ATTACKS = (
    Attack("os._exit na célula", "import os\nos._exit(0)", State.FAILED, MISSING, DIED),
    Attack("os._exit no teste", "import os\ndef triplo(x):\n    os._exit(0)", State.KERNEL_DIED, DIED),
    Attack("SIGKILL em si mesmo", "import os\ndef triplo(x):\n    os.kill(os.getpid(), 9)", State.KERNEL_DIED, DIED),
    Attack(
        "falha de segmentação", "import faulthandler as f\ndef triplo(x):\n    f._sigsegv()", State.KERNEL_DIED, DIED
    ),
    Attack("exit()", f"exit()\nimport time\n{GOOD}\ntime.sleep(0.5)", State.PASSED),
    Attack("quit() no teste", "def triplo(x):\n    quit()", State.FAILED),
    Attack("sys.exit", f"{GOOD}\nimport sys\nsys.exit(3)", State.PASSED),
    Attack("input()", "def triplo(x):\n    return int(input())", State.FAILED),
    Attack(
        "laço com SIGINT ignorado",
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass",
        State.FAILED,
        MISSING,
        LATE,
        slow=True,
    ),
    Attack(
        "laço que engole tudo, no teste",
        "def triplo(x):\n    while True:\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass",
        State.TIMEOUT,
        LATE,
        slow=True,
    ),
    Attack(
        "bomba de processos",
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        State.FAILED,
        MISSING,
        LIMIT,
    ),
    Attack("bytearray de 20 GB", "def triplo(x):\n    return bytearray(20 << 30)", State.OUT_OF_MEMORY, LIMIT),
    Attack("NumPy de 20 GB", "import numpy\nnumpy.ones(20 << 27)", State.FAILED, MISSING, "Unable to allocate"),
    Attack("torch de 20 GB", "import torch\ntorch.ones(20 << 28)", State.FAILED, MISSING, "memory", slow=True),
    Attack(
        "memória dividida",
        "import mmap\ndef triplo(x):\n    region = mmap.mmap(-1, 6 << 30)\n    block = bytes(1 << 20)\n"
        "    for _ in range(6 << 10):\n        region.write(block)",
        State.OUT_OF_MEMORY,
        LIMIT,
        settings={"cell_seconds": 20},
        slow=True,
    ),
    Attack("memfd", "import os\ndef triplo(x):\n    os.memfd_create('x')", State.FAILED, "PermissionError"),
    Attack("espaço de nomes novo", _NEW_NAMESPACE + GOOD, State.PASSED, printed="unshare failed"),
    Attack(
        "memória de muitos processos",
        "import os, time\nfor _ in range(20):\n    if os.fork() == 0:\n        block = b'x' * (200 << 20)\n"
        "        time.sleep(60)\ntime.sleep(60)",
        State.FAILED,
        MISSING,
        LIMIT,
        slow=True,
    ),
    Attack(
        "60 MB de texto",
        GOOD + "\nfor _ in range(60):\n    print('x' * (1 << 20))",
        State.PASSED,
        printed="foi cortado",
    ),
    Attack("60 MB de uma vez", GOOD + "\nprint('x' * (60 << 20))", State.PASSED, printed="foi cortado", slow=True),
    Attack(
        "60 MB forjados",
        _FORGED.format(times=60, size=(1 << 20) // 3) + GOOD,
        State.PASSED,
        printed="foi cortado",
        slow=True,
    ),
    Attack(
        "60 MB forjados, de uma vez", _FORGED.format(times=1, size=20 << 20) + GOOD, State.PASSED, printed="foi cortado"
    ),
    Attack("mensagens malformadas", GOOD + "\n" + _MALFORMED, State.PASSED),
    Attack("meio caractere no erro", "def triplo(x):\n    raise ValueError(chr(0xd800))", State.FAILED, "ValueError"),
    Attack("descritores fechados", "import os\nos.closerange(3, 1024)", State.FAILED, MISSING, DIED),
    Attack(
        "descritores fechados no teste",
        "import os\ndef triplo(x):\n    os.closerange(3, 1024)",
        State.KERNEL_DIED,
        DIED,
    ),
    Attack("recursão", "def triplo(x):\n    return triplo(x)", State.FAILED, "RecursionError"),
    Attack(
        "recursão sem limite, em C",
        "import sys\nsys.setrecursionlimit(10**9)\ndef triplo(x):\n    nested = []\n    for _ in range(10**6):\n"
        "        nested = [nested]\n    return repr(nested)",
        State.KERNEL_DIED,
        DIED,
        settings={"cell_seconds": 20},
        slow=True,
    ),
    Attack(
        "milhares de linhas de execução",
        "import threading, time\ntry:\n    for _ in range(20000):\n"
        "        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "except RuntimeError as error:\n    print(error)\n" + GOOD,
        State.PASSED,
        printed="can't start new thread",
    ),
    Attack(
        "milhares de arquivos abertos",
        "files = []\ntry:\n    while True:\n        files.append(open(f'a{len(files)}', 'w'))\n"
        "except OSError as error:\n    print(error)\n" + GOOD,
        State.PASSED,
        printed="Too many open files",
    ),
    Attack("mata todos", "import os\nos.kill(-1, 9)\n" + GOOD, State.PASSED),
    Attack("reescreve o próprio arquivo", f"open('{LESSON}.ipynb', 'w').write('x')\n{GOOD}", State.PASSED),
    Attack(
        "daemons",
        "import os, subprocess, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        time.sleep(7654)\n    os._exit(0)\n"
        "subprocess.Popen(['nohup', 'sleep', '7654'], start_new_session=True)\n"
        "subprocess.Popen('(setsid sleep 7654 &)', shell=True)\n" + GOOD,
        State.PASSED,
    ),
)

HALF_MESSAGE = f"""import os, stat
for number in range(3, 200):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            os.write(number, bytes([0, 0, 0, 32]) + b"abc")
    except OSError:
        pass
{GOOD}"""

FILL = f"""import os
for folder in (".", "/tmp", "/dev/shm", "/canal", os.path.expanduser("~"), "/", "/usr"):
    written = 0
    try:
        for number in range(40):
            with open(f"{{folder}}/lixo{{number}}", "wb") as file:
                for _ in range(50):
                    written += file.write(bytes(1 << 20))
    except OSError as error:
        print(folder, written >> 20)
    else:
        print(folder, "CONSEGUIU")
{GOOD}"""

PROBES = {
    "ler /etc/shadow": "open('/etc/shadow').read()",
    "ler solutions": "os.listdir({root!r} + '/solutions')",
    "ler a correção": "os.listdir({root!r} + '/grading')",
    "ler a casa do professor": "os.listdir({home!r})",
    "ler as outras entregas": "os.listdir({folder!r})",
    "ler a base de notas": "open({gradebook!r}).read()",
    "ler o segredo do ambiente": "os.environ['SEGREDO_DO_PROFESSOR']",
    "ler o ambiente por /proc": "open('/proc/self/environ').read().index('SEGREDO_DO_PROFESSOR')",
    "ver os processos dos outros": "[one for one in os.listdir('/proc') if one == {pid!r}][0]",
    "escrever em /usr": "open('/usr/lixo', 'w')",
    "escrever na venv": "open(os.path.join(sys.prefix, 'lixo'), 'w')",
    "escrever no projeto": "open({root!r} + '/llmdefinitions/lixo.py', 'w')",
    "TCP do professor": "socket.create_connection(('127.0.0.1', {port}), 2)",
    "TCP da internet": "socket.create_connection(('1.1.1.1', 53), 2)",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))",
    "soquete do host": "socket.socket(socket.AF_UNIX).connect({socket!r})",
    "soquete abstrato do host": "socket.socket(socket.AF_UNIX).connect(chr(0) + {abstract!r})",
    "soquete do processo aquecido": "socket.socket(socket.AF_UNIX).connect({warm!r})",
}
"""O que uma entrega isolada não pode fazer; com o nível ``nenhum`` várias destas funcionam, e é o controle."""


def explorer(**values):
    """O texto de uma célula que tenta cada uma das ``PROBES`` e diz quais conseguiu."""
    lines = ["import os, socket, sys"]
    for name, code in PROBES.items():
        lines += [
            "try:",
            f"    {code.format(**values)}",
            f"    print('CONSEGUIU {name}')",
            "except Exception:",
            "    pass",
        ]
    return "\n".join([*lines, GOOD])


_CHILD = r"""
import ctypes, os
libc, target = ctypes.CDLL(None, use_errno=True), os.getppid()
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
room = ctypes.create_string_buffer(8)
mine, theirs = Piece(ctypes.addressof(room), 8), Piece(id(object), 8)
if libc.process_vm_readv(target, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0) == 8:
    print("CONSEGUIU process_vm_readv")
for name in ("mem", "environ", "maps"):
    try:
        open(f"/proc/{target}/{name}", "rb")
        print("CONSEGUIU", name)
    except OSError:
        pass
if libc.ptrace(16, target, 0, 0) == 0:
    print("CONSEGUIU ptrace")
print("tentou tudo")
"""
TRACER = f"""import subprocess, sys
print(subprocess.run([sys.executable, "-c", {_CHILD!r}], capture_output=True, text=True).stdout)
{GOOD}"""

"""Corrigir em outra máquina: o pacote que viaja com a tarefa e o que roda num processo (*worker*) do Dask.

Nada precisa ser dividido entre as máquinas: os arquivos da entrega e a fonte vão no pacote, e o ``Result`` volta. De
cada máquina são o Python, o isolamento, os kernels aquecidos e a pasta de dados. Este módulo não importa o Dask.
"""

import atexit
import platform
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread

import nbformat

from .kernels import KernelError, data_folders, imported_modules, warm_kernels
from .ledger import module_key
from .rebuild import read_regular_file
from .results import Result, Settings, Source, State, Submission
from .sandbox import IsolationError, best_level, try_level
from .worker import copy_files, grade

IDLE_SECONDS = 60
"""Quanto tempo um processo aquecido espera por outra entrega, quando chegam as de outra lição."""


# --- o pacote


@dataclass(frozen=True)
class Package:
    """Tudo o que é preciso para corrigir uma entrega longe da pasta dela.

    Attributes:
        student: de quem.
        source, settings: como em ``grading.worker.grade``.
        files: pares de caminho relativo e conteúdo: o caderno e o que ``grade`` copiaria da pasta, até o mesmo limite.
    """

    student: str
    source: Source
    settings: Settings
    files: tuple[tuple[Path, bytes], ...]


def pack(submission, source, settings):
    """Põe uma entrega num pacote; a pasta dela só é lida.

    Args:
        submission, source, settings: como em ``grading.worker.grade``.

    Returns:
        O ``Package``.

    Raises:
        UnreadableError: se o caderno não está lá ou não é um arquivo que se leia.
    """
    name = Path(f"{source.name}.ipynb")
    notebook = read_regular_file(submission.folder / name)
    with tempfile.TemporaryDirectory(prefix="entrega-") as folder:
        copied = copy_files(submission.folder, replace(source, files=()), Path(folder))
        files = ((path, Path(folder, path).read_bytes()) for path in copied)
        return Package(submission.student, source, settings, ((name, notebook), *files))


def grade_package(package):
    """Corrige a entrega de um pacote, nesta máquina.

    Args:
        package: o ``Package``.

    Returns:
        O ``Result`` de ``grading.worker.grade``; com ``INFRASTRUCTURE`` se esta máquina não isola as entregas no nível
        pedido, ou se os kernels dela não começam.
    """
    source, settings = package.source, _at_home(package.settings)
    try:
        _require_level(settings.isolation)
        with _warm(settings, source.notebook) as template, tempfile.TemporaryDirectory(prefix="entrega-") as folder:
            for path, content in package.files:
                Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
                Path(folder, path).write_bytes(content)
            submission = Submission(package.student, source.lesson, Path(folder))
            result = grade(submission, source, replace(settings, kernels=template.address))
            template.healthy &= not result.failed
            return result
    except (IsolationError, KernelError) as error:
        sentence = f"Na máquina {platform.node()}: {error}"
        return Result(package.student, source.lesson, source.name, State.INFRASTRUCTURE, sentence)


def _at_home(settings):
    """As configurações com a pasta de dados desta máquina, no lugar da de quem pediu."""
    environment = {name: value for name, value in settings.environment if name != "LLMDEFINITIONS_DADOS"}
    folders = data_folders()
    if folders:
        environment["LLMDEFINITIONS_DADOS"] = str(folders[0])
    return replace(settings, environment=tuple(environment.items()), readable=folders)


@cache
def _require_level(level):
    try:
        try_level(level)
    except (IsolationError, OSError) as error:
        raise IsolationError(f"as entregas não podem ser isoladas no nível {level} ({error}).") from None


# --- os processos aquecidos


class _Template:
    """Um processo aquecido e quem o está usando."""

    def __init__(self, settings, modules):
        self.healthy = True
        self.users = 0
        self.used = time.monotonic()
        self._open = ExitStack()
        self.address = self._open.enter_context(warm_kernels(settings, modules))

    def close(self):
        self._open.close()


_templates = {}
_lock = Lock()


@contextmanager
def _warm(settings, notebook):
    """O processo aquecido de uma lição, que fica para a próxima entrega; um que falhou é trocado por outro."""
    modules = tuple(imported_modules([nbformat.reads(notebook, as_version=4)]))
    key = settings.environment, modules
    with _lock:
        _retire(lambda other, one: other != key and not one.users and time.monotonic() - one.used > IDLE_SECONDS)
        if key not in _templates:
            _templates[key] = _Template(settings, modules)
        template = _templates[key]
        template.users += 1
    try:
        yield template
    except KernelError:
        template.healthy = False
        raise
    finally:
        with _lock:
            template.users -= 1
            template.used = time.monotonic()
            if not template.healthy and _templates.get(key) is template:
                del _templates[key]
            if not template.users and _templates.get(key) is not template:
                template.close()


def _retire(chosen):
    for key in [key for key, one in _templates.items() if chosen(key, one)]:
        template = _templates.pop(key)
        if not template.users:  # senão, quem o usa por último o encerra
            template.close()


def close_templates():
    """Encerra os processos aquecidos; os que estão em uso, quando deixarem de estar."""
    with _lock:
        _retire(lambda *_: True)


def close_templates_later():
    """O mesmo, sem esperar: no Dask, quem chama é a linha de execução que atende o escalonador."""
    Thread(target=close_templates, daemon=True).start()


atexit.register(close_templates)


# --- o que há nesta máquina


def describe(modules, minimum):
    """O que decide se esta máquina corrige como as outras.

    Args:
        modules: os nomes dos módulos que a lição importa.
        minimum: o nível mais fraco de isolamento que se aceita.

    Returns:
        Dicionário: ``machine``, o nome dela; ``python``, ``packages`` (``{nome: versão}``) e ``own`` (``{módulo:
        resumo}`` dos que não estão instalados), que têm de ser iguais aos das outras; ``missing``, os módulos que
        faltam; ``isolation``, o melhor nível, ou vazio, com o porquê em ``reason``.
    """
    level, reason = "", ""
    try:
        level = best_level(minimum)
    except IsolationError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:-1])
    return {
        "machine": platform.node(),
        "python": platform.python_version(),
        "packages": {one.name.lower(): one.version for one in reversed([*distributions()])},  # vale o primeiro
        "own": {name: module_key(name) for name in ("grading", *modules)},
        "missing": [name for name in modules if find_spec(name) is None],
        "isolation": level,
        "reason": reason,
    }


def differences(here, there):
    """O que há de diferente entre duas máquinas e pode mudar uma nota; as duas como ``describe`` as descreve.

    Returns:
        Lista de frases curtas; vazia se uma corrige como a outra.
    """
    found = []
    if here["python"] != there["python"]:
        found.append(f"o Python é {there['python']}, e aqui é {here['python']}")
    both = here["packages"].keys() & there["packages"].keys()
    packages = [name for name in sorted(both) if here["packages"][name] != there["packages"][name]]
    found += [f"{one} é {there['packages'][one]}, e aqui é {here['packages'][one]}" for one in packages[:3]]
    if len(packages) > 3:
        found.append(f"outros {len(packages) - 3} pacotes têm outra versão")
    missing = [name for name in there["missing"] if name not in here["missing"]]
    if missing:
        found.append(f"falta {', '.join(missing)}")
    changed = [name for name, key in here["own"].items() if name not in missing and there["own"][name] != key]
    if changed:
        found.append(f"o curso é de outra versão ({', '.join(changed)})")
    if not there["isolation"]:
        found.append(f"as entregas não podem ser isoladas ({there['reason']})")
    return found

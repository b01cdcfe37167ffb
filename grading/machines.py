"""Onde se corrige: nos processadores deste computador ou nas máquinas de um cluster Dask."""

import logging
from concurrent.futures import Executor, Future
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial

import nbformat

from .batch import ATTEMPTS, UnreachableError, grade_all
from .kernels import imported_modules, warm_kernels
from .rebuild import UnreadableError
from .remote import close_templates_later, describe, differences, grade_package, pack
from .results import Result, State
from .sandbox import LEVELS, best_level

CONNECT_SECONDS = 10
"""Quanto se espera por um escalonador que não responde, e por uma primeira máquina."""

GATHER_SECONDS = 120
"""Quanto se espera por um resultado que já está pronto, na máquina que o tem."""

PER_THREAD = 2
"""Entregas dadas a cada linha de execução do cluster: a que ela corrige e uma que já está lá quando essa termina."""


def lesson_modules(sources):
    """O que os cadernos de uma lição importam, como ``imported_modules``."""
    return imported_modules([nbformat.reads(source.notebook, as_version=4) for source in sources])


class ThisMachine:
    """Os processadores deste computador.

    Args:
        processes: quantas entregas corrigir ao mesmo tempo.
    """

    def __init__(self, processes):
        self._processes = processes

    def isolation(self, minimum, sources):
        """O melhor nível de isolamento que há; como ``best_level``."""
        return best_level(minimum)

    @contextmanager
    def grade(self, submissions, sources, settings):
        """Corrige, enquanto o bloco dura.

        Args:
            submissions, sources, settings: como em ``grade_all``.

        Yields:
            O iterador de ``grade_all``.
        """
        with (
            warm_kernels(settings, lesson_modules(sources)) as address,
            closing(grade_all(submissions, sources, replace(settings, kernels=address), self._processes)) as results,
        ):
            yield results


@contextmanager
def open_cluster(address, processes=None):
    """Liga-se a um cluster Dask.

    Args:
        address: o do escalonador, como ``tcp://10.0.0.5:8786``.
        processes: quantas entregas dar ao cluster de uma vez; sem isto, ``PER_THREAD`` por linha de execução dele.

    Yields:
        O ``Cluster``.

    Raises:
        UnreachableError: se o escalonador não responde, ou não tem máquinas.
    """
    try:
        import dask
        from distributed import Client, Security
    except ImportError:
        raise UnreachableError("Para o --dask falta um pacote. Instale-o com: pip install distributed") from None
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # o que há a dizer é dito em português
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        if address.startswith("tls://") and not Security().get_connection_args("client").get("ssl_context"):
            raise UnreachableError(
                "Para tls:// faltam os certificados, na configuração do Dask: veja docs/servidores.md."
            )
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).partition("\n")[0].removesuffix(".")
            raise UnreachableError(f"Não consegui falar com o escalonador do Dask em {address}: {reason}.") from error
        try:
            yield Cluster(client, address, processes)
        finally:
            with suppress(Exception):
                if client.status == "running":
                    client.run(close_templates_later)
            client.close(timeout=CONNECT_SECONDS)


class Cluster:
    """As máquinas de um cluster, com os mesmos métodos de ``ThisMachine``."""

    def __init__(self, client, address, processes):
        self._client, self._address, self._processes = client, address, processes

    def isolation(self, minimum, sources):
        """Confere cada máquina e devolve o nível de isolamento que todas alcançam.

        Raises:
            UnreachableError: se não há máquinas, ou uma delas corrigiria de outro modo; a mensagem diz qual e por quê.
        """
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise UnreachableError(
                f"O escalonador {self._address} não tem nenhuma máquina; inicie um worker."
            ) from None
        modules = sorted({entry.partition(":")[0].partition(".")[0] for entry in lesson_modules(sources)})
        found = self._client.run(describe, modules, minimum, on_error="return")
        here = describe(modules, LEVELS[0])
        for address, there in found.items():
            if isinstance(there, Exception):
                problems = [f"o curso não está instalado nela, ou é de outra versão ({type(there).__name__}: {there})"]
                machine = address
            else:
                problems, machine = differences(here, there), f"{there['machine']} ({address})"
            if problems:
                raise UnreachableError(
                    f"A máquina {machine} não corrigiria como esta: {'; '.join(problems)}. Deixe-a igual a esta e "
                    "reinicie o worker, ou tire-a do cluster."
                )
        return min((there["isolation"] for there in found.values()), key=LEVELS.index)

    @contextmanager
    def grade(self, submissions, sources, settings):
        """Como ``ThisMachine.grade``.

        Raises:
            UnreachableError: ao percorrer os resultados, se o escalonador sai do ar; os que já vieram valem.
        """
        places = self._processes or PER_THREAD * sum(self._client.nthreads().values())
        new_place = partial(_Place, self._client, self._address)
        with closing(grade_all(submissions, sources, settings, places, new_executor=new_place)) as results:
            yield results


class _Place(Executor):
    """Um lugar no cluster: uma entrega por vez, empacotada ao ser mandada."""

    def __init__(self, client, address):
        self._client, self._address = client, address
        self._future = None

    def submit(self, grade, submission, source, settings):
        outcome = Future()
        try:
            package = pack(submission, source, settings)
        except UnreadableError:  # sem caderno não há o que executar: a frase sai daqui mesmo
            outcome.set_result(grade(submission, source, settings))
            return outcome
        if self._client.status != "running":
            raise UnreachableError(self._lost())
        self._future = self._client.submit(grade_package, package, pure=False)
        self._future.add_done_callback(partial(self._deliver, outcome, package))
        return outcome

    def _deliver(self, outcome, package, future):
        from distributed import CancelledError, KilledWorker

        try:
            outcome.set_result(future.result(timeout=GATHER_SECONDS))
        except KilledWorker:
            source = package.source
            sentence = f"Os processos do cluster que a corrigiam morreram, em {ATTEMPTS} tentativas."
            outcome.set_result(Result(package.student, source.lesson, source.name, State.INFRASTRUCTURE, sentence))
        except CancelledError:
            outcome.set_exception(UnreachableError(self._lost()))
        except Exception as error:  # quem espera pelo resultado é que sabe o que fazer com ela
            outcome.set_exception(error)

    def _lost(self):
        return (
            f"O escalonador do Dask em {self._address} saiu do ar. As correções que já apareceram estão gravadas; "
            "quando ele voltar, repita o comando."
        )

    def shutdown(self, wait=True, *, cancel_futures=False):
        if self._future and not self._future.done() and self._client.status == "running":
            self._client.cancel([self._future], asynchronous=False)

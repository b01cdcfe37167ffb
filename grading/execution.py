"""Executar um caderno, do começo ao fim, num kernel do mesmo ambiente de quem chama."""

import json
import os
from subprocess import DEVNULL

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

EMBEDDED = {
    "LLMDEFINITIONS_FONTE": "embutida",
    "LLMDEFINITIONS_DADOS": "",
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}
"""O ambiente em que os números e as saídas das lições são sempre os mesmos."""


class _ThisEnvironment(AsyncKernelManager):
    """O kernel deste Python: o que está instalado como ``python3`` pode ser o de outro ambiente."""

    @property
    def kernel_spec(self):
        return KernelSpec(**get_kernel_dict())


def execute(notebook, folder, environment=None, allow_errors=False, timeout=120, on_cell=None):
    """Executa as células de um caderno e guarda nele as saídas.

    Args:
        notebook: o caderno (``NotebookNode``); é alterado.
        folder: a pasta em que o kernel trabalha.
        environment: variáveis de ambiente a acrescentar às deste processo.
        allow_errors: se ``True``, uma célula que falha não interrompe as seguintes.
        timeout: segundos por célula; ao passar disso ela é interrompida, com ``KeyboardInterrupt``.
        on_cell: função chamada com cada célula de código, depois de executada.

    Returns:
        O próprio caderno.

    Raises:
        nbclient.exceptions.CellExecutionError: se uma célula falha e ``allow_errors`` é ``False``.
        nbclient.exceptions.DeadKernelError: se o kernel morre.
    """
    client = NotebookClient(
        notebook,
        kernel_manager_class=_ThisEnvironment,  # de um gerente pronto (km=…) o nbclient não encerra o kernel
        resources={"metadata": {"path": str(folder)}},
        allow_errors=allow_errors,
        timeout=timeout,
        startup_timeout=120,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": "KeyboardInterrupt", "evalue": f"passou de {timeout} s", "traceback": []},
        record_timing=False,
        coalesce_streams=True,  # como no JupyterLab: a saída não depende de quando o kernel mandou cada pedaço
        on_cell_executed=lambda cell, **_: on_cell and on_cell(cell),
    )
    # O que o próprio kernel diz na saída de erro não é do caderno: o que as células escrevem lá vem nas saídas delas.
    return client.execute(env={**os.environ, **(environment or {})}, stderr=DEVNULL)


def execute_and_ask(notebook, folder, expressions, **options):
    """Executa um caderno com os dados embutidos e calcula expressões, como se fossem a sua última célula.

    Args:
        notebook: o caderno (``NotebookNode``); recebe as saídas.
        folder: a pasta em que o kernel trabalha.
        expressions: lista de expressões em Python, com valor que o JSON saiba escrever.
        options: as de ``execute``.

    Returns:
        A lista dos valores, na ordem das expressões.

    Raises:
        nbclient.exceptions.CellExecutionError: se uma célula, ou uma expressão, falha.
    """
    values = ", ".join(f"({expression})" for expression in expressions)
    question = new_code_cell(f"import json; print(json.dumps([{values}]))")
    notebook.cells.append(question)
    try:
        execute(notebook, folder, EMBEDDED, **options)
    finally:
        notebook.cells.remove(question)
    return json.loads("".join(output.text for output in question.outputs))

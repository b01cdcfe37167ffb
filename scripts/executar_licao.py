"""Executa o caderno de uma lição, grava nele as saídas e escreve os números do texto.

Um número do texto é uma expressão num comentário, calculada depois da última célula::

    Sobram <!--= len(train_df) -->898<!--/--> mensagens de treino.

Um inteiro é escrito à brasileira (1.284); o resto já deve vir como texto, por ``decimal`` ou ``percent``.

    python scripts/executar_licao.py 03_preparacao_dos_dados             # grava em solutions/
    python scripts/executar_licao.py 03_preparacao_dos_dados --conferir  # só diz se algum número mudou
"""

import re
import sys
from pathlib import Path

import click
import nbformat

from grading.execution import execute_and_ask
from llmdefinitions.command import PortugueseCommand, run_command
from llmdefinitions.progress import thousands

SOLUTIONS = Path(__file__).resolve().parents[1] / "solutions"
MARK = re.compile(r"<!--=(?P<expression>.*?)-->(?P<value>.*?)<!--/-->", re.DOTALL)


def marks(notebook):
    """Os números do texto, na ordem: pares ``(expressão, valor escrito)``."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    return [(mark["expression"].strip(), mark["value"]) for cell in cells for mark in MARK.finditer(cell.source)]


def run_lesson(notebook, folder):
    """Executa o caderno com os dados embutidos e calcula os números do texto.

    Args:
        notebook: o caderno; recebe as saídas.
        folder: a pasta dele.

    Returns:
        A lista dos números, já escritos, na ordem de ``marks``.
    """
    expressions = [expression for expression, _ in marks(notebook)]
    answers = execute_and_ask(notebook, folder, expressions, timeout=600)
    # A versão do Python de quem executou não interessa a ninguém, e mudaria o arquivo à toa.
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata.pop("widgets", None)  # o estado das barras de progresso, com nomes sorteados a cada execução
    return [_written(*pair) for pair in zip(expressions, answers, strict=True)]


def _written(expression, value):
    if isinstance(value, int) and not isinstance(value, bool):
        return thousands(value)
    if isinstance(value, str):
        return value
    raise click.ClickException(f"{expression}: esperava um inteiro ou um texto; vale {value!r}.")


def fill(notebook, values):
    """Põe os números calculados entre as marcas do texto."""
    remaining = iter(values)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = MARK.sub(lambda mark: f"<!--={mark['expression']}-->{next(remaining)}<!--/-->", cell.source)


@click.command(
    "python scripts/executar_licao.py",
    cls=PortugueseCommand,
    help="Executa solutions/LIÇÃO/LIÇÃO.ipynb com os dados embutidos, grava as saídas e os números do texto.",
)
@click.argument("licao")
@click.option("--conferir", is_flag=True, help="Não grava: falha se algum número do texto mudou.")
def main(licao, conferir):
    path = SOLUTIONS / licao / f"{licao}.ipynb"
    if not path.is_file():
        raise click.ClickException(f"Não encontrei {path}.")
    notebook = nbformat.read(path, as_version=4)
    written = marks(notebook)
    values = run_lesson(notebook, path.parent)
    changed = [
        f"{expression}: o texto diz {old}, mas vale {new}"
        for (expression, old), new in zip(written, values, strict=True)
        if old != new
    ]
    if conferir:
        if changed:
            raise click.ClickException("\n".join(changed))
        click.echo(f"{licao}: os {len(values)} números do texto conferem.")
        return
    fill(notebook, values)
    nbformat.write(notebook, path)
    click.echo("\n".join([*changed, f"{licao}: números no texto: {len(values)}; mudaram: {len(changed)}."]))


if __name__ == "__main__":
    sys.exit(run_command(main))

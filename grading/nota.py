"""``pytest --nota CADERNO.ipynb``: quanto vale cada exercício de um caderno, e o que dizem os que não passaram.

O caderno é executado inteiro, numa cópia em memória; o arquivo não muda. O que aparece de um exercício é a mensagem
dele, e nunca o rastro do erro nem o texto do teste.
"""

import re
import shutil
import sys
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import nbformat
from nbclient.exceptions import DeadKernelError
from nbformat.reader import NotJSONError, ValidationError
from nbgrader.utils import determine_grade, is_grade, is_solution
from tqdm import tqdm

from .execution import execute

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Score:
    """A nota de uma célula.

    Attributes:
        grade_id: o id da célula.
        earned: pontos ganhos, ou ``None`` se quem corrige é o professor.
        points: quanto ela vale.
        message: o que dizer ao estudante; vazia se passou.
    """

    grade_id: str
    earned: float | None
    points: float
    message: str

    @property
    def passed(self):
        return self.earned is None or self.earned == self.points


def score_cell(cell, executed=True):
    """Dá a nota de uma célula avaliada.

    Args:
        cell: a célula, com as saídas da execução.
        executed: se ela chegou a ser executada; para o nbgrader, uma célula sem saídas passou.

    Returns:
        Um ``Score``.
    """
    grade_id, points = cell.metadata.nbgrader.grade_id, float(cell.metadata.nbgrader.points)
    if is_solution(cell) or cell.cell_type == "markdown":
        return Score(grade_id, None, points, "o professor corrige")
    if not executed:
        return Score(grade_id, 0.0, points, "Não foi executada: o Python caiu antes dela, ou o texto da célula sumiu.")
    earned, _ = determine_grade(cell)
    return Score(grade_id, earned, points, "" if earned == points else explain(cell))


def explain(cell):
    """Diz, numa frase, por que uma célula de teste executada não ganhou todos os pontos."""
    for output in cell.outputs:
        if output.output_type == "error":
            return explain_error(output.ename, ESCAPES.sub("", output.evalue))
        if output.output_type == "stream" and output.name == "stderr":
            return f"O teste escreveu na saída de erro, e isso conta como falha: {output.text.strip()}"
    return "Passou em parte das conferências."


def explain_error(name, value):
    match name:
        case "CheckError" | "LibraryUsedError" | "AssertionError":
            return value
        case "NameError" if missing := re.search("'(.+?)'", value):
            return f"{missing[1]} não existe: falta escrever a célula que o define, ou ela parou com um erro."
        case "NotImplementedError":
            return "Ainda não foi escrita: troque a linha do raise NotImplementedError pelo seu código."
        case "KeyboardInterrupt":
            return "O teste passou do tempo e foi interrompido. Há um laço que não termina?"
        case _:
            return f"O teste parou com {name}: {value}"


def grade_notebook(path):
    """Executa um caderno e dá a nota de cada célula avaliada.

    Args:
        path: o caderno.

    Returns:
        A lista dos ``Score``, na ordem do caderno.

    Raises:
        click.ClickException: se o caminho não é o de um caderno com células avaliadas.
    """
    notebook = _read(path)
    graded = [cell for cell in notebook.cells if is_grade(cell)]
    if not graded:
        raise click.ClickException(f"{path} não tem células avaliadas. É mesmo o caderno de uma lição?")
    executed = []
    with tqdm(total=len(notebook.cells), desc="executando", unit=" célula", leave=False, disable=None) as bar:

        def on_cell(cell):
            executed.append(cell)
            bar.update(notebook.cells.index(cell) + 1 - bar.n)

        with suppress(DeadKernelError):  # o que não chegou a ser executado vale zero, e a mensagem o diz
            execute(notebook, path.parent, allow_errors=True, on_cell=on_cell)
    return [score_cell(cell, executed=any(cell is one for one in executed)) for cell in graded]


def _read(path):
    if not path.is_file():
        raise click.ClickException(f"Não encontrei {path}. Confira o caminho, a partir da pasta em que você está.")
    try:
        return nbformat.read(path, as_version=4)
    except (NotJSONError, ValidationError, UnicodeDecodeError, KeyError, AttributeError, TypeError):
        raise click.ClickException(f"{path} não é um caderno do Jupyter, ou está estragado.") from None


def find_notebooks(names):
    """Os cadernos que uns caminhos indicam; de uma pasta, todos os que estão dentro dela."""
    for name in names:
        path = Path(name)
        found = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        yield from (notebook for notebook in found if ".ipynb_checkpoints" not in notebook.parts)


def format_scores(path, scores):
    """Escreve a nota de um caderno para o terminal."""
    width = max(len(score.grade_id) for score in scores)
    lines = [str(path)]
    for score in scores:
        mark = "…" if score.earned is None else "✓" if score.passed else "✗"
        earned = "–" if score.earned is None else f"{score.earned:g}"
        lines.append(f"  {mark} {score.grade_id:{width}}  {earned:>3} de {score.points:g}")
        if score.message:
            columns = max(40, shutil.get_terminal_size().columns - 6)
            lines.append(textwrap.indent(textwrap.fill(score.message, columns), "      "))
    automatic = [score for score in scores if score.earned is not None]
    earned, points = sum(score.earned for score in automatic), sum(score.points for score in automatic)
    by_hand = sum(score.points for score in scores) - points
    lines.append(
        f"Total: {earned:g} de {points:g} pontos" + (f", mais {by_hand:g} que o professor corrige" * bool(by_hand))
    )
    return "\n".join(lines)


def main(names):
    """Mostra a nota dos cadernos; devolve o código de saída: 0 se tudo passou, 1 se não, 2 se um não pôde ser lido."""
    sys.stdout.reconfigure(errors="replace")
    paths = list(find_notebooks(names))
    if not paths:
        click.echo(f"Erro: não há cadernos em {', '.join(map(str, names))}.", err=True)
        return 2
    passed = True
    for path in paths:
        try:
            scores = grade_notebook(path)
        except click.ClickException as error:
            click.echo(f"Erro: {error.message}", err=True)
            return 2
        click.echo(format_scores(path, scores))
        passed &= all(score.passed for score in scores)
    click.echo("Na correção os mesmos exercícios são conferidos também com outras entradas.")
    return 0 if passed else 1

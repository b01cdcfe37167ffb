"""O que ``corrigir`` mostra no terminal: a barra, a tabela e as frases."""

import sys
from collections import Counter
from contextlib import contextmanager

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .results import State

SCORED = {State.PASSED, State.PARTIAL, State.FAILED, State.MANUAL}
"""O que acontece com uma célula numa correção sem sobressaltos."""


def open_console():
    """O terminal; num arquivo não há largura, e uma linha não se parte."""
    return Console() if sys.stdout.isatty() else Console(width=200)


@contextmanager
def show_progress(total, doing="corrigindo", line=None):
    """A barra, num terminal; fora dele, uma linha por entrega, ou as que ``line`` fizer do que se dá a ``advance``."""
    console = open_console()
    if not console.is_terminal:
        count = 0

        def advance(results):
            nonlocal count
            count += 1
            for text in (line or _progress_lines)(results):
                click.echo(f"[{count}/{total}] {text}")

        yield advance
        return
    columns = (
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("· faltam"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda _: progress.advance(task)


def _progress_lines(results):
    return [f"{plain(result.student)}: {points(result)}, {_state(result)}" for result in results]


def new_table(console, *columns):
    """Uma tabela como as de todos os comandos; uma coluna cujo nome começa com ``>`` se alinha à direita."""
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


def plain(text):
    """Um texto que veio de uma entrega, sem o que faria o terminal obedecer a ela."""
    return "".join(character if character.isprintable() else " " for character in text)


def points(result):
    """Os pontos de uma entrega, como ``72/90``."""
    return f"{result.earned:g}/{result.points:g}".replace(".", ",")


def seconds(value):
    """Segundos, como ``3,5 s``."""
    return f"{value:.1f} s".replace(".", ",")


def _state(result):
    """O estado da entrega e, se foi corrigida, o que aconteceu de extraordinário nas células."""
    if result.state is not State.PASSED:
        return str(result.state)
    unusual = Counter(cell.state for cell in result.cells if cell.state not in SCORED)
    return ", ".join(f"{state} ({count})" for state, count in unusual.items()) or "corrigida"


def _signals(result):
    kinds = Counter(flag.kind for flag in result.flags)
    return ", ".join(f"{kind} ({count})" if count > 1 else kind for kind, count in kinds.items())


def show_results(console, results, details, unchanged=()):
    """Mostra a tabela das correções e, abaixo dela, o que pede o olhar do professor.

    Args:
        console: o de ``open_console``.
        results: os ``Result``.
        details: se diz também cada exercício errado e cada mudança feita nos cadernos.
        unchanged: os alunos cuja correção é de antes, e que desta vez não foi executada.
    """
    several = len({result.name for result in results}) > 1
    table = new_table(console, "aluno", *["caderno"] * several, ">pontos", "estado", "sinais", ">tempo")
    for result in results:
        row = [result.student, *[result.name] * several, points(result), _state(result), _signals(result)]
        row.append("—" if result.student in unchanged else seconds(result.seconds))
        style = "yellow" if result.state is not State.PASSED or result.flags else ""
        table.add_row(*(Text(plain(one)) for one in row), style=style)
    console.print(table)
    for result in results:
        for sentence in _sentences(result, details):
            console.print(Text(plain(f"{result.student}: {sentence}")))


def _sentences(result, details):
    """O que dizer de uma entrega, abaixo da tabela: o que pede o olhar do professor e, com detalhes, o resto."""
    if result.sentence:
        yield result.sentence
    for flag in result.flags:
        yield flag.sentence
    for cell in result.cells:
        if cell.sentence not in ("", result.sentence) and (details or cell.state not in SCORED):
            yield f"{cell.grade_id}, {cell.state}: {cell.sentence}"
    if details:
        yield from (change.sentence for change in result.changes)

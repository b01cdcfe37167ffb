"""``corrigir LIÇÃO``: corrige as entregas de uma turma e mostra uma tabela."""

import os
import sys
import time
from collections import Counter, defaultdict
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import click
import nbformat
from nbgrader.apps import NbGrader
from nbgrader.preprocessors import Execute
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .batch import find_submissions, grade_all
from .command import Command, run
from .gradebook import GradebookError, GradebookWriter
from .kernels import KernelError, data_folders, imported_modules, kernel_environment, warm_kernels
from .results import Settings, State
from .sandbox import LEVELS, IsolationError, best_level
from .source import prepare_source

DEFAULTS = Settings()
SCORED = {State.PASSED, State.PARTIAL, State.FAILED, State.MANUAL}
"""O que acontece com uma célula numa correção sem sobressaltos."""


class Course(NbGrader):
    """A configuração de um curso, lida como o nbgrader a lê, mas da pasta do curso e não da pasta corrente."""

    load_cwd_config = False
    raise_config_file_errors = True

    def __init__(self, folder):
        super().__init__()
        self.log.disabled = True  # o que há a dizer está na tabela, em português
        self.folder = folder
        try:
            self.initialize([], root=str(folder))
        except Exception as error:  # o arquivo de configuração é um programa do professor
            raise _config_error(folder, error) from error

    def init_syspath(self):
        sys.path.insert(0, str(self.folder))

    def exit(self, exit_status=0):
        """O traitlets encerraria o programa ao encontrar uma opção errada."""
        raise _config_error(self.folder, sys.exception())


def _config_error(folder, error):
    if isinstance(error, click.ClickException):
        return error
    return click.ClickException(f"A configuração do nbgrader em {folder} tem um erro. {type(error).__name__}: {error}")


def _processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command(
    "corrigir",
    cls=Command,
    help="Corrige as entregas de uma lição, em submitted/ALUNO/LIÇÃO: cada uma isolada do resto do computador, várias "
    "ao mesmo tempo. As notas vão para a base do nbgrader e os cadernos corrigidos para autograded/; as notas e os "
    "comentários que você deu à mão ficam. O problema de uma entrega é uma linha da tabela e não para as outras.",
)
@click.argument("licao", metavar="LIÇÃO")
@click.option("--curso", default=".", metavar="PASTA", help="A pasta do curso.  [padrão: a pasta em que você está]")
@click.option("--aluno", multiple=True, metavar="NOME", help="Só a entrega deste aluno; pode ser repetida.")
@click.option(
    "--processos",
    type=click.IntRange(1),
    metavar="N",
    help="Quantas entregas corrigir ao mesmo tempo.  [padrão: o número de processadores]",
)
@click.option(
    "--tempo-celula",
    type=click.FloatRange(0, min_open=True),
    metavar="SEGUNDOS",
    help="Tempo de cada célula.  [padrão: c.Execute.timeout da configuração]",
)
@click.option(
    "--tempo-total",
    type=click.FloatRange(0, min_open=True),
    default=DEFAULTS.total_seconds,
    metavar="SEGUNDOS",
    help=f"Tempo de uma entrega inteira.  [padrão: {DEFAULTS.total_seconds:g}]",
)
@click.option(
    "--memoria",
    type=click.IntRange(64),
    default=DEFAULTS.memory_mb,
    metavar="MB",
    help=f"Memória de uma entrega.  [padrão: {DEFAULTS.memory_mb}]",
)
@click.option(
    "--isolamento-minimo",
    type=click.Choice(LEVELS),
    default="espacos-de-nomes",
    metavar="NÍVEL",
    help=f"O mais fraco que se aceita, um de: {', '.join(LEVELS)}.  [padrão: espacos-de-nomes]",
)
@click.option("--detalhes", is_flag=True, help="Diz também cada mudança feita nos cadernos e cada exercício errado.")
def command(licao, curso, aluno, processos, tempo_celula, tempo_total, memoria, isolamento_minimo, detalhes):
    start = time.monotonic()
    course = Course(_folder(curso))
    sources = prepare_source(course.coursedir, licao)
    submissions = _find(course.coursedir, licao, aluno)
    try:
        settings = Settings(
            cell_seconds=tempo_celula or Execute(parent=course).timeout or tempo_total,
            total_seconds=tempo_total,
            memory_mb=memoria,
            isolation=best_level(isolamento_minimo),
            environment=tuple(kernel_environment().items()),
            readable=data_folders(),
        )
        results, missing, lost = _grade(course.coursedir, submissions, sources, settings, processos or _processors())
    except (GradebookError, IsolationError, KernelError) as error:
        raise click.ClickException(str(error)) from error
    console = _console()
    _show(console, results, detalhes)
    console.print(_summary(course.coursedir, results, settings, time.monotonic() - start), highlight=False)
    if missing:
        console.print(f"Interrompido: faltam {missing} de {len(submissions)} entregas. As que estão na tabela valem.")
        raise KeyboardInterrupt
    if lost:
        raise click.ClickException(f"Não pude gravar a correção de: {plain(', '.join(lost))}. O motivo está acima.")


def _folder(name):
    folder = Path(name).resolve()
    if not folder.is_dir():
        raise click.ClickException(f"Não há uma pasta {folder}.")
    return folder


def _find(coursedir, lesson, students):
    submissions = find_submissions(coursedir, lesson, students)
    place = coursedir.format_path(coursedir.submitted_directory, "ALUNO", lesson)
    if not submissions:
        whose = f" de {', '.join(students)}" if students else ""
        raise click.ClickException(f"Não há entregas{whose}. Elas devem estar em {place}.")
    return submissions


def _grade(coursedir, submissions, sources, settings, processes):
    """Corrige e grava; devolve os resultados, quantas entregas ficaram por corrigir e as que não deu para gravar."""
    notebooks = [nbformat.reads(source.notebook, as_version=4) for source in sources]
    by_student = {submission.student: submission for submission in submissions}
    pending, written = defaultdict(list), []
    with GradebookWriter(coursedir) as writer:
        writer.prepare(sources)
        with (
            warm_kernels(settings, imported_modules(notebooks)) as address,
            _progress(len(submissions)) as advance,
            closing(grade_all(submissions, sources, replace(settings, kernels=address), processes)) as graded,
        ):
            try:
                for result in graded:
                    ready = pending[result.student]
                    ready.append(result)
                    if len(ready) == len(sources):
                        results = writer.write(by_student[result.student], ready)
                        written += results
                        advance(results)
            except KeyboardInterrupt:
                pass
    written.sort(key=lambda result: (result.student, result.name))
    return written, len(submissions) - len(written) // len(sources), writer.lost


def _console():
    # Num arquivo não há largura: uma linha não se parte.
    return Console() if sys.stdout.isatty() else Console(width=200)


@contextmanager
def _progress(total):
    """A barra, num terminal; fora dele, uma linha por entrega."""
    console = _console()
    if not console.is_terminal:
        count = 0

        def advance(results):
            nonlocal count
            count += 1
            for result in results:
                click.echo(f"[{count}/{total}] {plain(result.student)}: {_points(result)}, {_state(result)}")

        yield advance
        return
    columns = (
        TextColumn("corrigindo"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("· faltam"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda _: progress.advance(task)


def plain(text):
    """Um texto que veio de uma entrega, sem o que faria o terminal obedecer a ela."""
    return "".join(character if character.isprintable() else " " for character in text)


def _points(result):
    return f"{result.earned:g}/{result.points:g}".replace(".", ",")


def _seconds(value):
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


def _show(console, results, details):
    several = len({result.name for result in results}) > 1
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    table.add_column("aluno")
    if several:
        table.add_column("caderno")
    table.add_column("pontos", justify="right")
    table.add_column("estado")
    table.add_column("sinais")
    table.add_column("tempo", justify="right")
    for result in results:
        row = [result.student, *[result.name] * several, _points(result), _state(result), _signals(result)]
        style = "yellow" if result.state is not State.PASSED or result.flags else ""
        table.add_row(*(Text(plain(one)) for one in (*row, _seconds(result.seconds))), style=style)
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


def _summary(coursedir, results, settings, seconds):
    folder = coursedir.format_path(coursedir.autograded_directory, "", "").rstrip(os.sep)
    count = len({result.student for result in results})
    return Text(
        f"\n{count} entrega{'s' * (count != 1)} em {_seconds(seconds)}, com isolamento {settings.isolation}.\n"
        f"Cadernos corrigidos: {folder}\n"
        f"Base de notas: {coursedir.db_url.removeprefix('sqlite:///')}"
    )


def main():
    """O comando ``corrigir``; devolve o código de saída."""
    return run(command)

"""``corrigir LIÇÃO``: corrige as entregas de uma turma e mostra uma tabela."""

import os
import sys
import time
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace
from pkgutil import resolve_name

import click
from nbgrader.preprocessors import Execute
from rich.text import Text

from .batch import UnreachableError, find_submissions, name_order
from .command import Command, run
from .console import open_console, plain, seconds, show_progress, show_results
from .course import (
    GradebookError,
    base_option,
    course_option,
    lesson_names,
    only_correction,
    open_course,
    without_password,
)
from .gradebook import GradebookWriter
from .incoming import REFUSED
from .kernels import KernelError, data_folders, kernel_environment
from .ledger import CorrectionKeys
from .machines import ThisMachine, open_cluster
from .receiving import receive
from .results import Settings
from .sandbox import LEVELS, IsolationError
from .source import prepare_source

DEFAULTS = Settings()

OTHERS = {
    "status": ("grading.status:command", "o que foi corrigido e o que falta"),
    "refazer": ("grading.cli:redo", "corrige de novo o que não mudou"),
    "feedback": ("grading.feedback:command", "a página que cada aluno recebe"),
    "relatorio": ("grading.report:command", "a turma inteira numa página, para você"),
    "exportar": ("grading.lms:command", "as notas, para o Moodle, o Canvas ou uma planilha"),
    "pacote-aluno": ("grading.package:command", "um zip do curso para os estudantes"),
}
"""Os outros comandos: onde está cada um e o que faz."""


def _processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


GRADING_OPTIONS = (
    course_option,
    base_option,
    click.option(
        "--processos",
        type=click.IntRange(1),
        metavar="N",
        help="Quantas entregas corrigir ao mesmo tempo.  [padrão: o número de processadores]",
    ),
    click.option(
        "--dask",
        metavar="ENDEREÇO",
        help="Corrige nas máquinas de um cluster Dask, como tcp://10.0.0.5:8786; veja docs/servidores.md.",
    ),
    click.option(
        "--tempo-celula",
        type=click.FloatRange(0, min_open=True),
        metavar="SEGUNDOS",
        help="Tempo de cada célula.  [padrão: c.Execute.timeout da configuração]",
    ),
    click.option(
        "--tempo-total",
        type=click.FloatRange(0, min_open=True),
        default=DEFAULTS.total_seconds,
        metavar="SEGUNDOS",
        help=f"Tempo de uma entrega inteira.  [padrão: {DEFAULTS.total_seconds:g}]",
    ),
    click.option(
        "--memoria",
        type=click.IntRange(64),
        default=DEFAULTS.memory_mb,
        metavar="MB",
        help=f"Memória de uma entrega.  [padrão: {DEFAULTS.memory_mb}]",
    ),
    click.option(
        "--isolamento-minimo",
        type=click.Choice(LEVELS),
        default="espacos-de-nomes",
        metavar="NÍVEL",
        help=f"O mais fraco que se aceita, um de: {', '.join(LEVELS)}.  [padrão: espacos-de-nomes]",
    ),
    click.option(
        "--detalhes", is_flag=True, help="Diz também cada mudança feita nos cadernos e cada exercício errado."
    ),
)
"""As opções de tudo o que corrige."""


def grading_options(function):
    """Põe num comando as ``GRADING_OPTIONS``."""
    for option in reversed(GRADING_OPTIONS):
        function = option(function)
    return function


@click.command(
    "corrigir",
    cls=Command,
    others={name: sentence for name, (_, sentence) in OTHERS.items()},
    help="Corrige as entregas de uma lição, em submitted/ALUNO/LIÇÃO: cada uma isolada do resto do computador, várias "
    "ao mesmo tempo. As notas vão para a base do nbgrader e os cadernos corrigidos para autograded/; as notas e os "
    "comentários que você deu à mão ficam. O problema de uma entrega é uma linha da tabela e não para as outras. O que "
    "já foi corrigido e não mudou não é executado de novo; interrompido, é só repetir o comando.",
)
@click.argument("licao", metavar="LIÇÃO")
@click.option("--aluno", multiple=True, metavar="NOME", help="Só a entrega deste aluno; pode ser repetida.")
@click.option(
    "--zip",
    "archive",
    metavar="ARQUIVO",
    help="Antes, põe em submitted/ as entregas deste zip: o que o Moodle ou o Canvas dão a quem baixa todas de uma "
    "vez. Uma entrega que outra substitui é guardada em submitted/.anteriores.",
)
@click.option(
    "--horario-do-zip",
    "dated",
    is_flag=True,
    help="As datas dos arquivos do zip são as das entregas, no fuso horário deste computador; contam para o atraso.",
)
@grading_options
def command(licao, curso, db, aluno, archive, dated, **options):
    course = open_course(curso, db)
    if dated and not archive:
        raise click.ClickException("--horario-do-zip só vale com --zip.")
    refused = _receive(course.coursedir, licao, archive, dated) if archive else []
    _correct(course, licao, aluno, **options)
    if refused:
        click.echo(f"Do zip ficaram de fora, pelo motivo dito no começo: {plain(', '.join(refused))}.")


@click.command(
    "corrigir refazer",
    cls=Command,
    help="Corrige de novo a entrega de um aluno, mesmo que não tenha mudado: numa lição ou em todas as que ele "
    "entregou. As notas e os comentários que você deu à mão ficam.",
)
@click.argument("aluno", metavar="ALUNO")
@click.argument("licao", nargs=-1, metavar="[LIÇÃO]…")
@grading_options
def redo(aluno, licao, curso, db, **options):
    course = open_course(curso, db)
    names = lesson_names(course.coursedir)
    lessons = licao or [name for name in names if find_submissions(course.coursedir, name, [aluno])]
    if not lessons:
        raise click.ClickException(f"Não há entregas de {plain(aluno)} em nenhuma lição.")
    for lesson in lessons:
        _correct(course, lesson, [aluno], again=True, **options)


def _receive(coursedir, lesson, archive, dated):
    """Põe no lugar as entregas de um zip; devolve os alunos que ficaram de fora."""
    prepare_source(coursedir, lesson)  # uma lição que não existe não recebe entregas
    try:
        arrivals = receive(coursedir, lesson, archive, dated)
    except GradebookError as error:
        raise click.ClickException(str(error)) from error
    return [arrival.student for arrival in arrivals if arrival.state == REFUSED]


def _correct(course, lesson, students, again=False, **options):
    """Corrige as entregas de uma lição e mostra o que houve."""
    start = time.monotonic()
    sources = prepare_source(course.coursedir, lesson)
    submissions = _find(course.coursedir, lesson, students)
    try:
        with _machines(options) as machines:
            settings = Settings(
                cell_seconds=options["tempo_celula"] or Execute(parent=course).timeout or options["tempo_total"],
                total_seconds=options["tempo_total"],
                memory_mb=options["memoria"],
                isolation=machines.isolation(options["isolamento_minimo"], sources),
                environment=tuple(kernel_environment().items()),
                readable=data_folders(),
            )
            results, unchanged, lost = _grade(course.coursedir, submissions, sources, settings, machines, again)
    except (GradebookError, IsolationError, KernelError, UnreachableError) as error:
        raise click.ClickException(str(error)) from error
    console = open_console()
    show_results(console, results, options["detalhes"], unchanged)
    spent = time.monotonic() - start
    console.print(_summary(course.coursedir, results, unchanged, settings, spent), highlight=False)
    if missing := len(submissions) - len(results) // len(sources):
        console.print(f"Interrompido: faltam {missing} de {len(submissions)} entregas. As que estão na tabela valem.")
        raise KeyboardInterrupt
    if lost:
        raise click.ClickException(f"Não pude gravar a correção de: {plain(', '.join(lost))}. O motivo está acima.")


def _machines(options):
    """Onde corrigir."""
    if options["dask"]:
        return open_cluster(options["dask"], options["processos"])
    return nullcontext(ThisMachine(options["processos"] or _processors()))


def _find(coursedir, lesson, students):
    submissions = find_submissions(coursedir, lesson, students)
    place = coursedir.format_path(coursedir.submitted_directory, "ALUNO", lesson)
    if not submissions:
        whose = f" de {', '.join(students)}" if students else ""
        raise click.ClickException(f"Não há entregas{whose}. Elas devem estar em {place}.")
    return submissions


def _grade(coursedir, submissions, sources, settings, machines, again):
    """Corrige e grava; devolve os resultados, os alunos cuja correção de antes vale e os que não deu para gravar."""
    keys = CorrectionKeys(sources, settings)
    key_of = {submission.student: keys.of(submission) for submission in submissions}
    with only_correction(coursedir, sources[0].lesson), GradebookWriter(coursedir) as writer:
        writer.prepare(sources)
        recorded = {} if again else writer.recorded(sources[0].lesson)
        kept = {student: results for student, (key, results) in recorded.items() if key == key_of.get(student)}
        unchanged = {one.student for one in submissions if one.student in kept and writer.keep(one)}
        waiting = [submission for submission in submissions if submission.student not in unchanged]
        results = [result for student in unchanged for result in kept[student]]
        if waiting:
            results += _grade_waiting(writer, waiting, sources, settings, machines, key_of)
        lost = writer.lost
    return sorted(results, key=lambda result: (name_order(result.student), result.name)), unchanged, lost


def _grade_waiting(writer, submissions, sources, settings, machines, key_of):
    """Corrige e grava as entregas que mudaram; interrompido, devolve os resultados que há."""
    by_student = {submission.student: submission for submission in submissions}
    pending, written = defaultdict(list), []
    with (
        show_progress(len(submissions)) as advance,
        machines.grade(submissions, sources, settings) as graded,
    ):
        try:
            for result in graded:
                ready = pending[result.student]
                ready.append(result)
                if len(ready) == len(sources):
                    results = writer.write(by_student[result.student], ready, key_of[result.student])
                    del pending[result.student]
                    written += [replace(one, notebook="") for one in results]  # já gravado; a turma toda não cabe
                    advance(results)
        except KeyboardInterrupt:
            pass
    return written


def _summary(coursedir, results, unchanged, settings, spent):
    folder = coursedir.format_path(coursedir.autograded_directory, "", "").rstrip(os.sep)
    graded = {result.student for result in results} - unchanged
    done = f"{len(graded)} entrega{'s' * (len(graded) != 1)} em {seconds(spent)}, com isolamento {settings.isolation}"
    if unchanged:
        done += f"; {len(unchanged)} sem mudança desde a última correção"
    return Text(f"\n{done}.\nCadernos corrigidos: {folder}\nBase de notas: {without_password(coursedir.db_url)}")


def main():
    """O comando ``corrigir``; devolve o código de saída."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in OTHERS:
        return run(command)
    place, _ = OTHERS[name]
    return run(resolve_name(place), arguments)

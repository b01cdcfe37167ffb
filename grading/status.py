"""``corrigir status``: o que já foi corrigido, o que mudou depois disso e o que falta."""

from pathlib import Path

import click
from nbgrader.api import MissingEntry
from rich.text import Text

from .batch import find_submissions
from .command import Command
from .console import new_table, open_console, plain, points
from .course import GradebookError, base_option, course_option, lesson_names, open_course, open_gradebook
from .ledger import CorrectionKeys, content_of, recorded
from .source import prepare_source

GRADED, CHANGED, MISSING = "corrigida", "mudou depois de corrigida", "por corrigir"


def lesson_status(course, gradebook, lesson):
    """O que há de cada entrega de uma lição.

    Args:
        course: o ``Course``.
        gradebook: o ``nbgrader.api.Gradebook`` aberto.
        lesson: o nome da lição.

    Returns:
        Lista de ``(student, state, results, by_hand)``: o aluno; ``GRADED``, ``CHANGED`` ou ``MISSING``; os ``Result``
        da última correção; e se há algo à espera do professor.

    Raises:
        click.ClickException: se a lição não existe ou não pode ser preparada.
    """
    keys = CorrectionKeys(prepare_source(course.coursedir, lesson))
    done = recorded(gradebook, course.coursedir, lesson)
    rows = []
    for submission in find_submissions(course.coursedir, lesson):
        key, results = done.get(submission.student, ("", []))
        state = MISSING if not key else GRADED if content_of(key) == content_of(keys.of(submission)) else CHANGED
        rows.append((submission.student, state, results, _waits(gradebook, lesson, submission.student)))
    return rows


def _waits(gradebook, lesson, student):
    try:
        return gradebook.find_submission(lesson, student).needs_manual_grade
    except MissingEntry:
        return False


@click.command(
    "corrigir status",
    cls=Command,
    help="Mostra o que já foi corrigido, o que mudou depois disso e o que falta: um resumo de todas as lições ou, das "
    "que você disser, cada entrega. Não corrige nada.",
)
@click.argument("licao", nargs=-1, metavar="[LIÇÃO]…")
@course_option
@base_option
def command(licao, curso, db):
    course = open_course(curso, db)
    lessons = licao or lesson_names(course.coursedir)
    if not lessons:
        raise click.ClickException(f"Não há lições em {Path(course.folder, course.coursedir.source_directory)}.")
    console = open_console()
    try:
        with open_gradebook(course.coursedir) as gradebook:
            found = {lesson: lesson_status(course, gradebook, lesson) for lesson in lessons}
    except GradebookError as error:
        raise click.ClickException(str(error)) from error
    if licao:
        for lesson, rows in found.items():
            _show_lesson(console, lesson, rows)
    else:
        _show_summary(console, found)


def _show_summary(console, found):
    table = new_table(console, "lição", ">entregas", f">{GRADED}s", ">mudaram", f">{MISSING}", ">à mão")
    for lesson, rows in found.items():
        states = [state for _, state, _, _ in rows]
        counts = (len(rows), *map(states.count, (GRADED, CHANGED, MISSING)), sum(waits for *_, waits in rows))
        table.add_row(lesson, *map(str, counts))
    console.print(table)


def _show_lesson(console, lesson, rows):
    table = new_table(console, "aluno", ">pontos", "estado", "à mão")
    for student, state, results, waits in rows:
        scores = ", ".join(map(points, results)) or "—"
        cells = (student, scores, state, "falta" if waits else "")
        table.add_row(*(Text(plain(cell)) for cell in cells), style="" if state == GRADED else "yellow")
    console.print(f"{lesson}: {len(rows)} entrega{'s' * (len(rows) != 1)}", highlight=False)
    console.print(table)

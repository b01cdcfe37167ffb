"""``corrigir relatorio``: a turma inteira numa página, para o professor."""

import tempfile
from datetime import datetime
from pathlib import Path

import click
import jinja2
from traitlets import TraitError

from . import sections
from .classroom import read_answers, read_lesson
from .command import Command
from .console import open_console, plain
from .course import GradebookError, base_option, course_option, lesson_names, open_course, open_gradebook
from .exports import FinalGrade
from .figures import decimal, percent
from .late import refresh_penalties
from .similarity import GRAM, LEAST_SHARE, LEAST_SHARED, similar_answers
from .statistics import LEAST_STUDENTS

MARK = '<meta name="generator" content="corrigir relatorio">'
"""O que diz que um arquivo é um destes relatórios, e pode ser trocado por outro."""


def report(lessons, everyone, weights, matches, name):
    """Monta a página.

    Args:
        lessons: as ``Lesson``, de ``grading.classroom``.
        everyone: os alunos da turma, tenham ou não entregado.
        weights: dicionário da lição para o peso na nota final.
        matches: os pares parecidos, como ``similar_answers`` os devolve, com a célula ``(lição, caderno, id)``.
        name: como chamar o curso.

    Returns:
        O HTML, num arquivo só, sem programas e sem nada de fora.
    """
    loader = jinja2.PackageLoader("grading", "modelos")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"decimal": decimal, "percent": percent, "shown": sections.shown, "code": code}
    described = [sections.describe_lesson(lesson, everyone) for lesson in lessons]
    titles = {(lesson.name, *key): title for lesson in lessons for key, title in lesson.titles.items()}
    signals = sections.flags(lessons)
    context = {
        "mark": MARK,
        "name": name,
        "when": datetime.now().astimezone(),
        "lessons": described,
        "students": len(everyone),
        "total": {key: sum(lesson["counts"][key] for lesson in described) for key in described[0]["counts"]},
        "overview": sections.overview(lessons) if len(lessons) > 1 else None,
        "final": sections.final(lessons, everyone, weights),
        "times": sections.times(lessons),
        "faults": sections.faults(lessons),
        "flags": signals,
        "missing": sections.missing(lessons, everyone),
        "pairs": [sections.pair(pair, found, titles) for pair, found in list(matches.items())[: sections.SHOWN_PAIRS]],
        "n_pairs": len(matches),
        "attention": sections.attention(described, signals),
        "least": {"students": LEAST_STUDENTS, "gram": GRAM, "shared": LEAST_SHARED, "share": LEAST_SHARE},
    }
    return environment.get_template("relatorio.html").render(context)


def code(text):
    """Um pedaço de código que veio de uma entrega, com as linhas dele."""
    return "\n".join(plain(line.expandtabs(4)) for line in text.split("\n"))


@click.command(
    "corrigir relatorio",
    cls=Command,
    help="Grava uma página sobre a turma: notas, exercícios, erros mais comuns, tempos, falhas, sinais, entregas que "
    "faltam e respostas parecidas. Sem dizer as lições, todas as que têm entregas corrigidas. É um arquivo só, que "
    "abre sem internet; tem dados pessoais, e por isso é só para você.",
)
@click.argument("licao", nargs=-1, metavar="[LIÇÃO]…")
@click.option("--para", metavar="ARQUIVO", help="Onde gravar.  [padrão: relatorio.html, na pasta do curso]")
@course_option
@base_option
def command(licao, para, curso, db):
    course = open_course(curso, db)
    path = Path(para) if para else course.folder / "relatorio.html"
    _refuse_other(path)
    try:
        weights = FinalGrade(parent=course).weights
        with open_gradebook(course.coursedir) as gradebook:
            names = licao or _graded_lessons(course.coursedir, gradebook)
            refresh_penalties(course.coursedir, gradebook, names)
            lessons = [read_lesson(course, gradebook, name) for name in dict.fromkeys(names)]
            everyone = {student.id for student in gradebook.students}
    except (GradebookError, TraitError) as error:
        raise click.ClickException(str(error)) from error
    if waiting := [lesson.name for lesson in lessons if not lesson.marks]:
        raise click.ClickException(f"Não há entregas corrigidas de {', '.join(waiting)}.")
    if not lessons:
        raise click.ClickException("Não há entregas corrigidas. Corrija primeiro: corrigir LIÇÃO")
    everyone.update(student for lesson in lessons for student in lesson.states)
    answers = [answer for lesson in lessons for answer in read_answers(course.coursedir, lesson)]
    matches = similar_answers(answers, {text for lesson in lessons for text in lesson.known})
    _write(path, report(lessons, everyone, weights, matches, course.folder.name))
    graded = sum(len(lesson.marks) for lesson in lessons)
    summary = f"{sections.count(len(everyone), 'aluno')}, {sections.count(graded, 'entrega')} com nota"
    open_console().print(f"{summary}.\nRelatório: {path}", highlight=False, markup=False)


def _graded_lessons(coursedir, gradebook):
    """As lições que têm notas na base; a fonte das outras pode ainda estar sendo escrita."""
    graded = {assignment.name for assignment in gradebook.assignments if assignment.num_submissions}
    return [name for name in lesson_names(coursedir) if name in graded]


def _refuse_other(path):
    """Só um relatório é trocado por outro."""
    if not path.parent.is_dir():
        raise click.ClickException(f"Não há uma pasta {path.parent}.")
    if path.is_dir() or (path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:2000]):
        raise click.ClickException(f"{path} já existe e não é um relatório; escolha outro nome com --para.")


def _write(path, page):
    """Grava de uma vez, e só para quem o gravou: são dados pessoais."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".relatorio-") as folder:
            new = Path(folder, path.name)
            new.touch(mode=0o600)
            new.write_text(page, encoding="utf-8", errors="replace")
            new.replace(path)
    except OSError as error:
        raise click.ClickException(f"Não pude gravar {path}: {error.strerror}.") from error

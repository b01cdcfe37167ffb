"""``corrigir feedback``: uma página por aluno e lição, onde o nbgrader põe o feedback.

A do ``nbgrader generate_feedback`` traz o caderno corrigido inteiro, com o texto dos testes, também o da parte oculta;
esta diz, de cada exercício, a nota, a mensagem e o que rever.
"""

import os
import tempfile
import time
from pathlib import Path

import click
from nbgrader.api import MissingEntry
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from .batch import find_submissions
from .command import Command
from .console import new_table, open_console, plain, seconds, show_progress
from .course import (
    GradebookError,
    base_option,
    course_option,
    graded_folder,
    lesson_names,
    open_course,
    open_gradebook,
    reason,
    unusable,
)
from .exercises import find_exercises, hidden_lines
from .feedback_page import Mark, Section, make_page
from .gradebook import WITHOUT_SCORE
from .late import refresh_penalties
from .ledger import CorrectionKeys, content_of, read_results, recorded
from .results import State
from .source import prepare_source

NO_ANSWER = "No response."
"""O que o nbgrader comenta, em inglês, numa resposta que ficou como veio."""

STATES = MISSING, FAILED, CHANGED, WAITING = (
    "por corrigir",
    "falha da correção",
    "mudou depois de corrigida",
    "espera o professor",
)
"""O que pode faltar numa página."""


class LessonFeedback:
    """As páginas de uma lição.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``.
        gradebook: o ``nbgrader.api.Gradebook`` aberto.
        sources: os cadernos da lição, de ``grading.source.prepare_source``.
    """

    def __init__(self, coursedir, gradebook, sources):
        self.lesson = sources[0].lesson
        self._coursedir, self._gradebook = coursedir, gradebook
        self._keys = CorrectionKeys(sources)
        self._notebooks = {source.name: (*find_exercises(source), hidden_lines(source)) for source in sources}
        self._recorded = recorded(gradebook, coursedir, self.lesson)

    def page(self, submission):
        """Faz a página de uma entrega.

        Args:
            submission: a ``Submission``.

        Returns:
            ``(html, state)``: a página, e o que falta nela, um de ``STATES``; vazio se nada.
        """
        key, results = self._results(submission.student)
        results = {result.name: result for result in results}
        submitted = self._find(submission.student) if results else None
        notebooks = {notebook.name: notebook for notebook in submitted.notebooks} if submitted else {}
        sections = []
        for name, (title, exercises, hidden) in self._notebooks.items():
            result = results.get(name) if name in notebooks else None
            marks = _marks(notebooks[name], exercises, result) if result else {}
            sections.append(Section(title, exercises, hidden, result, marks))
        penalty = sum(notebook.late_submission_penalty or 0.0 for notebook in notebooks.values())
        changed = bool(key) and content_of(key) != content_of(self._keys.of(submission))
        name = _full_name(submitted.student) if submitted else submission.student
        return make_page(self.lesson, name, sections, penalty, changed), _state(sections, changed)

    def _results(self, student):
        """A correção que vale; de uma que falhou, o que ela deixou."""
        if student in self._recorded:
            return self._recorded[student]
        _, results = read_results(graded_folder(self._coursedir, student, self.lesson))
        return "", results if any(result.failed for result in results) else []

    def _find(self, student):
        try:
            return self._gradebook.find_submission(self.lesson, student)
        except MissingEntry:
            return None


def _state(sections, changed):
    graded = [section for section in sections if section.result]
    if not graded:
        return MISSING
    if any(section.result.failed for section in graded):
        return FAILED
    if changed:
        return CHANGED
    return WAITING if any(mark.waiting for section in graded for mark in section.marks.values()) else ""


def _full_name(student):
    """O id e, se a base tem um que não seja ele, o nome da pessoa."""
    name = " ".join(filter(None, (student.first_name, student.last_name)))
    return student.id if name in ("", student.id) else f"{name} ({student.id})"


def _marks(notebook, exercises, result):
    grades = {grade.name: grade for grade in notebook.grades}
    comments = {comment.name: comment for comment in notebook.comments}
    states = {cell.grade_id: cell.state for cell in result.cells}
    return {
        exercise.grade_id: _mark(
            grades[exercise.grade_id],
            [comments[name] for name in exercise.answers if name in comments],
            result.state if result.state in WITHOUT_SCORE else states.get(exercise.grade_id, State.INFRASTRUCTURE),
        )
        for exercise in exercises
        if exercise.grade_id in grades
    }


def _mark(grade, comments, state):
    by_teacher = grade.manual_score is not None
    without = grade.auto_score is None or (state in WITHOUT_SCORE and grade.needs_manual_grade)
    texts = [comment.comment for comment in comments]
    return Mark(
        score=grade.score if by_teacher or not without else None,
        points=grade.max_score,
        by_teacher=by_teacher,
        waiting=grade.needs_manual_grade,
        comment="\n".join(text for text in texts if text and text != NO_ANSWER),
        blank=NO_ANSWER in texts,
    )


def write_page(coursedir, student, lesson, html):
    """Grava a página de um aluno, de uma vez: quem a abre vê a de antes ou a nova, inteira.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``.
        student: o aluno.
        lesson: a lição.
        html: a página.

    Returns:
        O caminho dela.

    Raises:
        OSError: se não pode ser gravada, ou se a pasta do aluno é um link simbólico.
    """
    parts = Path(coursedir.format_path(coursedir.feedback_directory, "*", lesson)).parts
    place = parts.index("*")
    folder = Path(*parts[:place])
    for part in (student, *parts[place + 1 :]):
        folder /= part
        if folder.is_symlink():
            raise OSError(f"{folder} é um link simbólico, que pode levar a qualquer lugar deste computador")
        if not folder.is_dir():
            folder.mkdir(parents=True)
            if coursedir.groupshared:
                folder.chmod(folder.stat().st_mode | 0o2770)
    path = folder / f"{lesson}.html"
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".", encoding="utf-8", delete=False) as file:
        try:
            file.write(html)
            file.close()
            os.chmod(file.name, 0o664 if coursedir.groupshared else 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return path


@click.command(
    "corrigir feedback",
    cls=Command,
    help="Grava, para cada aluno, uma página em português com a nota de cada exercício, a mensagem da primeira "
    "conferência que não passou, o que rever e os seus comentários, em feedback/ALUNO/LIÇÃO/LIÇÃO.html: das lições que "
    "você disser ou de todas. O texto dos testes não aparece. Uma página de antes é trocada pela nova.",
)
@click.argument("licao", nargs=-1, metavar="[LIÇÃO]…")
@click.option("--aluno", multiple=True, metavar="NOME", help="Só as páginas deste aluno; pode ser repetida.")
@course_option
@base_option
def command(licao, aluno, curso, db):
    start = time.monotonic()
    course = open_course(curso, db)
    work = _find(course, licao, aluno)
    total = sum(len(submissions) for _, submissions in work)
    try:
        with (
            open_gradebook(course.coursedir) as gradebook,
            show_progress(total, "escrevendo", lambda line: [line]) as advance,
        ):
            refresh_penalties(course.coursedir, gradebook, [sources[0].lesson for sources, _ in work])
            states, lost = _write_all(course.coursedir, gradebook, work, advance)
    except SQLAlchemyError as error:
        raise click.ClickException(str(unusable(course.coursedir, error))) from error
    except GradebookError as error:
        raise click.ClickException(str(error)) from error
    console = open_console()
    _show(console, states)
    for student, why in lost:
        console.print(Text(plain(f"{student}: {why}")))
    place = Path(course.coursedir.format_path(course.coursedir.feedback_directory, "ALUNO", "LIÇÃO"), "LIÇÃO.html")
    written = total - len(lost)
    console.print(Text(f"\n{written} página{'s' * (written != 1)} em {seconds(time.monotonic() - start)}: {place}"))
    if lost:
        raise click.ClickException(f"{len(lost)} página(s) não foram gravadas. O motivo está acima.")


def _find(course, lessons, students):
    """Os cadernos e as entregas de cada lição: das que foram ditas, ou de todas."""
    coursedir = course.coursedir
    names = lessons or lesson_names(coursedir)
    if not names:
        raise click.ClickException(f"Não há lições em {Path(course.folder, coursedir.source_directory)}.")
    work = [(prepare_source(coursedir, name), find_submissions(coursedir, name, students)) for name in names]
    work = [(sources, submissions) for sources, submissions in work if submissions]
    if not work:
        whose = f" de {plain(', '.join(students))}" if students else ""
        place = coursedir.format_path(coursedir.submitted_directory, "ALUNO", "LIÇÃO")
        raise click.ClickException(f"Não há entregas{whose}. Elas devem estar em {place}.")
    return work


def _write_all(coursedir, gradebook, work, advance):
    """Grava as páginas; devolve o estado de cada entrega, por lição, e ``(aluno, motivo)`` das que não deu."""
    states, lost = {}, []
    for sources, submissions in work:
        feedback = LessonFeedback(coursedir, gradebook, sources)
        states[feedback.lesson] = []
        for submission in submissions:
            html, state = feedback.page(submission)
            said = state or "pronta"
            try:
                write_page(coursedir, submission.student, feedback.lesson, html)
            except OSError as error:
                said = f"a página não foi gravada: {reason(error)}"
                lost.append((submission.student, said))
            states[feedback.lesson].append(state)
            advance(plain(f"{feedback.lesson}, {submission.student}: {said}"))
    return states, lost


def _show(console, states):
    table = new_table(console, "lição", ">páginas", *(f">{state}" for state in STATES))
    for lesson, ones in states.items():
        table.add_row(lesson, *map(str, (len(ones), *map(ones.count, STATES))))
    console.print(table)

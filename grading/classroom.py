"""O que há de uma turma numa lição: as notas, que são as da base, e o que a correção deixou em ``corrigir.json``."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

import nbformat
from nbgrader.api import Assignment, Grade, GradeCell, Notebook, SubmittedAssignment, SubmittedNotebook, TaskCell
from nbgrader.utils import is_grade, is_solution, is_task
from sqlalchemy import func, select

from .batch import find_submissions
from .course import graded_folder
from .ledger import CorrectionKeys, content_of, read_results, recorded
from .rebuild import UnreadableError, read_submission
from .similarity import Answer
from .source import prepare_source
from .status import CHANGED, GRADED, MISSING

_FENCED = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)

LEAST_OTHERS = 2
"""Com um só outro exercício com nota, o resto da lição diz pouco de um aluno."""


@dataclass(frozen=True)
class Exercise:
    """Uma célula que vale pontos: o caderno, o id dela, o título que tem na lição e quanto vale."""

    notebook: str
    grade_id: str
    title: str
    points: float

    @property
    def key(self):
        return self.notebook, self.grade_id


@dataclass(frozen=True)
class Mark:
    """A nota de uma célula, como está na base; ``waiting`` se espera por uma pessoa."""

    earned: float
    points: float
    waiting: bool


@dataclass
class Lesson:
    """Uma lição e a turma.

    Attributes:
        name: o nome dela.
        exercises: os ``Exercise``, na ordem da lição.
        titles: dicionário de ``(caderno, id)`` de cada célula avaliada ou de resposta para o título dela.
        states: dicionário de cada aluno que entregou para ``GRADED``, ``CHANGED`` ou ``MISSING``.
        results: dicionário do aluno para os ``Result`` da última correção.
        marks: dicionário do aluno para o de ``Exercise.key`` para ``Mark``.
        penalties: dicionário do aluno para os pontos da multa por atraso.
        known: os textos de código que todos receberam ou que são da solução do professor.
    """

    name: str
    exercises: list = field(default_factory=list)
    titles: dict = field(default_factory=dict)
    states: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    marks: dict = field(default_factory=dict)
    penalties: dict = field(default_factory=dict)
    known: list = field(default_factory=list)

    @cached_property
    def grades(self):
        """Dicionário do aluno para a nota dele, de 0 a 1, como a de ``nbgrader export``."""
        return {student: self._grade(student) for student in self.marks}

    def _grade(self, student):
        marks = self.marks[student].values()
        points = sum(mark.points for mark in marks)
        earned = max(0.0, sum(mark.earned for mark in marks) - self.penalties.get(student, 0))
        return earned / points if points else 0.0

    @cached_property
    def waiting(self):
        """Os alunos cuja nota espera, em parte, por uma pessoa."""
        return {student for student, marks in self.marks.items() if any(mark.waiting for mark in marks.values())}

    def shares(self, exercise):
        """Dicionário do aluno para a fração dos pontos de um exercício; sem os que esperam por uma pessoa."""
        return {
            student: mark.earned / mark.points
            for student, marks in self.marks.items()
            if (mark := marks.get(exercise.key)) and mark.points and not mark.waiting
        }

    def rest(self, exercise):
        """Dicionário do aluno para a fração dos pontos dos outros exercícios, sem o que espera por uma pessoa.

        Só os alunos com nota em ao menos ``LEAST_OTHERS`` deles.
        """
        found = {}
        for student, marks in self.marks.items():
            others = [mark for key, mark in marks.items() if key != exercise.key and not mark.waiting and mark.points]
            if len(others) >= LEAST_OTHERS:
                found[student] = sum(mark.earned for mark in others) / sum(mark.points for mark in others)
        return found

    def title(self, notebook, cell):
        """Como chamar uma célula: o título do exercício ou, se não há, o id."""
        return self.titles.get((notebook, cell), cell)


def read_lesson(course, gradebook, name):
    """Reúne o que há de uma lição.

    Args:
        course: o ``Course``.
        gradebook: o ``nbgrader.api.Gradebook`` aberto.
        name: o nome da lição.

    Returns:
        A ``Lesson``.

    Raises:
        click.ClickException: se a lição não existe ou não pode ser preparada.
    """
    sources = prepare_source(course.coursedir, name)
    lesson = Lesson(name)
    for source in sources:
        _read_source(lesson, source, _teacher_notebook(course.coursedir, source))
    keys, done = CorrectionKeys(sources), recorded(gradebook, course.coursedir, name)
    for submission in find_submissions(course.coursedir, name):
        key, results = done.get(submission.student, ("", []))
        state = MISSING if not key else GRADED if content_of(key) == content_of(keys.of(submission)) else CHANGED
        lesson.states[submission.student] = state
        lesson.results[submission.student] = (
            results or read_results(graded_folder(course.coursedir, submission.student, name))[1]
        )
    _read_marks(lesson, gradebook)
    return lesson


def _teacher_notebook(coursedir, source):
    folder = coursedir.format_path(coursedir.source_directory, ".", source.lesson)
    return nbformat.read(Path(folder, f"{source.name}.ipynb"), as_version=4)


def _read_source(lesson, source, solved):
    distributed = nbformat.reads(source.distributed, as_version=4)
    title = ""
    seen = set(lesson.titles.values())
    for cell in nbformat.reads(source.notebook, as_version=4).cells:
        if cell.cell_type == "markdown" and not is_solution(cell):
            title = next(reversed(_HEADING.findall(_FENCED.sub("", cell.source))), title)
        if not (is_grade(cell) or is_solution(cell) or is_task(cell)):
            continue
        grade_id = cell.metadata.nbgrader.grade_id
        lesson.titles[source.name, grade_id] = title or grade_id
        if is_grade(cell) or is_task(cell):
            unique = f"{title} ({grade_id})" if title in seen else title or grade_id
            seen.add(title)
            lesson.titles[source.name, grade_id] = unique
            lesson.exercises.append(Exercise(source.name, grade_id, unique, float(cell.metadata.nbgrader.points)))
    lesson.known += [cell.source for cell in chain(distributed.cells, solved.cells)]


def _read_marks(lesson, gradebook):
    """As notas de uma lição, em duas consultas: pelos objetos do nbgrader seriam milhares."""
    submitted = (
        select(SubmittedAssignment.student_id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Notebook, SubmittedNotebook.notebook_id == Notebook.id)
        .where(Assignment.name == lesson.name)
    )
    marks = defaultdict(dict)
    for kind in (GradeCell, TaskCell):
        found = submitted.join(Grade, Grade.notebook_id == SubmittedNotebook.id).join(kind, Grade.cell_id == kind.id)
        columns = (Notebook.name, kind.name, Grade.score, kind.max_score, Grade.needs_manual_grade)
        for student, notebook, cell, score, points, waiting in gradebook.db.execute(found.add_columns(*columns)):
            marks[student][notebook, cell] = Mark(score, points, waiting)
    penalty = func.coalesce(func.sum(SubmittedNotebook.late_submission_penalty), 0.0)
    lesson.penalties = dict(
        gradebook.db.execute(submitted.add_columns(penalty).group_by(SubmittedAssignment.student_id)).all()
    )
    lesson.marks = dict(sorted(marks.items()))


def read_answers(coursedir, lesson):
    """As respostas da turma, como foram executadas.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``.
        lesson: a ``Lesson``.

    Returns:
        Lista de ``Answer``; a célula é ``(lição, caderno, id)``. O que não pode ser lido fica de fora.
    """
    answers = []
    for student, results in lesson.results.items():
        for result in results:
            path = graded_folder(coursedir, student, lesson.name) / f"{result.name}.ipynb"
            try:
                notebook = read_submission(path)
            except UnreadableError:
                continue
            answers += [_answer(lesson, student, result, cell) for cell in notebook.cells if is_solution(cell)]
    return answers


def _answer(lesson, student, result, cell):
    where = lesson.name, result.name, cell.metadata.nbgrader.grade_id
    return Answer(student, where, cell.source, cell.cell_type == "code")

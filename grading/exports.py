"""A nota final de cada aluno, com o peso de cada lição: o que ``nbgrader export`` e ``corrigir exportar`` gravam."""

import csv
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import MissingEntry, Student
from nbgrader.plugins import ExportPlugin
from traitlets import Dict, Float, TraitError, Unicode, validate

from .batch import name_order

SCALE = 10
"""A nota final vai de 0 a isto."""


@dataclass(frozen=True)
class Grades:
    """As notas de um aluno.

    Attributes:
        student: o ``nbgrader.api.Student``.
        marks: dicionário da lição para a fração dos pontos que ele ganhou, ou ``None`` se não entregou.
        final: a nota final, de 0 a ``SCALE``; o que não foi entregue vale zero.
        waiting: as lições em que algo espera a correção à mão.
    """

    student: Student
    marks: dict[str, float | None]
    final: float
    waiting: list[str]


def class_grades(gradebook, weights, lessons):
    """As notas de todos os alunos da base.

    Args:
        gradebook: o ``nbgrader.api.Gradebook`` aberto.
        weights: o peso de cada lição.
        lessons: as lições que contam.

    Returns:
        Lista de ``Grades``, em ordem alfabética.
    """
    total = sum(weights[lesson] for lesson in lessons)
    everyone = []
    for student in sorted(gradebook.students, key=lambda student: name_order(student.id)):
        found = {lesson: _mark(gradebook, lesson, student.id) for lesson in lessons}
        marks = {lesson: grade for lesson, (grade, _) in found.items()}
        final = sum(weights[lesson] * (grade or 0) for lesson, grade in marks.items()) / total if total else 0
        waiting = [lesson for lesson, (_, is_waiting) in found.items() if is_waiting]
        everyone.append(Grades(student, marks, SCALE * final, waiting))
    return everyone


def csv_rows(grades, lessons):
    """As linhas da planilha do professor: a nota de cada lição (0 a 100), a final (0 a 10) e o que falta corrigir."""
    yield ["aluno", *lessons, "nota final", "falta corrigir"]
    for one in grades:
        marks = (f"{100 * (mark or 0):.1f}" for mark in one.marks.values())
        yield [harmless(one.student.id), *marks, f"{one.final:.2f}", ", ".join(one.waiting)]


def write_csv(path, rows, encoding="utf-8-sig"):
    """Grava um CSV; a codificação é a que tem a marca com que o Excel lê os acentos, a menos que se diga outra."""
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)


class FinalGrade(ExportPlugin):
    """Grava um CSV com uma linha por aluno: a nota de cada lição (0 a 100), a final (0 a 10) e o que falta corrigir.

    A nota final é a média das lições com os pesos de ``weights``. Uma lição não entregue vale zero; a multa por atraso
    já está descontada. O que espera a correção à mão é dito na última coluna, porque a nota ainda pode subir.
    """

    weights = Dict(
        key_trait=Unicode(), value_trait=Float(), help="O peso de cada lição na nota final: {lição: peso}."
    ).tag(config=True)

    @validate("weights")
    def _valid_weights(self, proposal):
        weights = proposal["value"]
        if any(weight < 0 for weight in weights.values()) or not sum(weights.values()):
            raise TraitError("FinalGrade.weights: os pesos não podem ser negativos nem somar zero.")
        return weights

    def export(self, gradebook):
        """Grava o CSV em ``--to`` (sem isto, em ``notas.csv``).

        Args:
            gradebook: o ``nbgrader.api.Gradebook`` aberto.

        Raises:
            ValueError: se o curso não diz os pesos.
        """
        if not self.weights:
            raise ValueError("Faltam os pesos das lições: defina c.FinalGrade.weights em nbgrader_config.py.")
        known = {assignment.name for assignment in gradebook.assignments}
        if missing := [lesson for lesson in self.weights if lesson not in known]:
            self.log.warning("Ainda não estão na base de notas, e por isso valem zero: %s", ", ".join(missing))
        lessons = [lesson for lesson in self.weights if not self.assignment or lesson in self.assignment]
        path = Path(self.to or "notas.csv")
        grades = class_grades(gradebook, self.weights, lessons)
        wanted = [one for one in grades if not self.student or one.student.id in self.student]
        write_csv(path, csv_rows(wanted, lessons))
        self.log.info("Notas gravadas em %s", path)


def _mark(gradebook, lesson, student):
    """Devolve ``(grade, is_waiting)``: a fração dos pontos que o aluno ganhou (``None`` se não entregou) e se
    falta corrigir algo à mão."""
    try:
        submission = gradebook.find_submission(lesson, student)
    except MissingEntry:
        return None, False
    points = max(0.0, submission.score - (submission.late_submission_penalty or 0))
    return (points / submission.max_score if submission.max_score else 0.0), submission.needs_manual_grade


def harmless(name):
    """Um nome de pasta que a planilha não toma por uma fórmula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name

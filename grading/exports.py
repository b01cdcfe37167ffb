"""A nota final de cada aluno, com o peso de cada lição: o que ``nbgrader export`` grava neste curso."""

import csv
from pathlib import Path

from nbgrader.api import MissingEntry
from nbgrader.plugins import ExportPlugin
from traitlets import Dict, Float, TraitError, Unicode, validate

SCALE = 10
"""A nota final vai de 0 a isto."""


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
        with path.open("w", encoding="utf-8-sig", newline="") as file:  # com a marca, o Excel lê os acentos
            writer = csv.writer(file)
            writer.writerow(["aluno", *lessons, "nota final", "falta corrigir"])
            for student in gradebook.students:
                if not self.student or student.id in self.student:
                    writer.writerow(self._row(gradebook, student.id, lessons))
        self.log.info("Notas gravadas em %s", path)

    def _row(self, gradebook, student, lessons):
        marks = {lesson: _mark(gradebook, lesson, student) for lesson in lessons}
        total = sum(self.weights[lesson] for lesson in lessons)
        final = sum(self.weights[lesson] * grade for lesson, (grade, _) in marks.items()) / total if total else 0
        waiting = ", ".join(lesson for lesson, (_, is_waiting) in marks.items() if is_waiting)
        grades = (f"{100 * grade:.1f}" for grade, _ in marks.values())
        return [_harmless(student), *grades, f"{SCALE * final:.2f}", waiting]


def _mark(gradebook, lesson, student):
    """Devolve ``(grade, is_waiting)``: a fração dos pontos que o aluno ganhou e se falta corrigir algo à mão."""
    try:
        submission = gradebook.find_submission(lesson, student)
    except MissingEntry:
        return 0.0, False
    points = max(0.0, submission.score - (submission.late_submission_penalty or 0))
    return (points / submission.max_score if submission.max_score else 0.0), submission.needs_manual_grade


def _harmless(name):
    """Um nome de pasta que a planilha não toma por uma fórmula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name

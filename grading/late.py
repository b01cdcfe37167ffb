"""O atraso: os prazos e quanto se desconta, escritos na configuração do curso.

Quem aplica é o ``AssignLatePenalties`` do nbgrader, e por isso ``nbgrader autograde`` desconta o mesmo. O momento da
entrega é o do ``timestamp.txt`` dela; sem esse arquivo, não há atraso.
"""

import math
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy.exc import SQLAlchemyError
from traitlets import Dict, Float, TraitError, Unicode, validate

from .course import GradebookError, reason, unusable

SECONDS_PER_DAY = 24 * 60 * 60


class DailyPenalty(LateSubmissionPlugin):
    """Desconta uma parte da nota por dia de atraso, contado a partir do primeiro segundo do dia."""

    deadlines = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="O prazo de cada lição: {lição: 'AAAA-MM-DD HH:MM'}. Uma que não está aqui tem o prazo do formgrader.",
    ).tag(config=True)
    timezone = Unicode("America/Sao_Paulo", help="O fuso horário dos prazos.").tag(config=True)
    percent_per_day = Float(10, min=0, max=100, help="Quantos por cento da nota se perdem por dia.").tag(config=True)
    grace_minutes = Float(0, min=0, help="Minutos de tolerância depois do prazo.").tag(config=True)

    @validate("deadlines")
    def _valid_deadlines(self, proposal):
        for lesson, text in proposal["value"].items():
            try:
                datetime.fromisoformat(text)
            except ValueError as error:
                sentence = f"DailyPenalty.deadlines: o prazo de {lesson}, {text!r}, não tem a forma AAAA-MM-DD HH:MM."
                raise TraitError(sentence) from error
        return proposal["value"]

    @validate("timezone")
    def _valid_timezone(self, proposal):
        try:
            ZoneInfo(proposal["value"])
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise TraitError(f"DailyPenalty.timezone: não conheço o fuso {proposal['value']!r}.") from error
        return proposal["value"]

    def deadline(self, lesson):
        """O prazo de uma lição, com o fuso horário; ``None`` se não está na configuração."""
        if lesson not in self.deadlines:
            return None
        moment = datetime.fromisoformat(self.deadlines[lesson])
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.timezone))

    def late_submission_penalty(self, student_id, score, total_seconds_late):
        """O desconto: ``score`` vezes a parte por dia, vezes os dias começados; no máximo, tudo.

        Args:
            student_id: o aluno; não conta.
            score: os pontos do caderno.
            total_seconds_late: segundos depois do prazo.

        Returns:
            Pontos a descontar; ``None`` se está dentro da tolerância.
        """
        late = total_seconds_late - 60 * self.grace_minutes
        if late <= 0:
            return None
        return score * min(1.0, self.percent_per_day / 100 * math.ceil(late / SECONDS_PER_DAY))


def late_plugin(coursedir):
    """A peça que o curso escolheu para descontar o atraso."""
    penalties = AssignLatePenalties(parent=coursedir)
    penalties.init_plugin()
    return penalties.plugin_inst


def update_penalty(coursedir, submitted, notebook):
    """Calcula de novo o desconto de um caderno, que muda com o prazo e com os pontos dados à mão.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``.
        submitted: o ``nbgrader.api.SubmittedAssignment``.
        notebook: o ``nbgrader.api.SubmittedNotebook``; o desconto dele é alterado.
    """
    late = submitted.total_seconds_late
    penalty = (
        late_plugin(coursedir).late_submission_penalty(submitted.student.id, notebook.score, late) if late else None
    )
    notebook.late_submission_penalty = penalty and min(max(penalty, 0), notebook.score)


def refresh_submission(coursedir, submitted):
    """Calcula de novo os descontos de uma entrega, se a base sabe quando ela veio e o prazo; senão, não mexe neles."""
    if submitted.timestamp is None or submitted.duedate is None:
        return
    for notebook in submitted.notebooks:
        update_penalty(coursedir, submitted, notebook)


def refresh_penalties(coursedir, gradebook, lessons):
    """Calcula de novo os descontos de lições, antes de as notas saírem da base.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``.
        gradebook: o ``nbgrader.api.Gradebook`` aberto.
        lessons: os nomes das lições.

    Raises:
        GradebookError: se a base não pode ser usada, ou se o complemento que desconta o atraso, que pode ser do
            professor, não consegue.
    """
    try:
        for lesson in lessons:
            for submitted in gradebook.assignment_submissions(lesson):
                refresh_submission(coursedir, submitted)
        gradebook.db.commit()
    except SQLAlchemyError as error:
        raise unusable(coursedir, error) from error
    except Exception as error:
        raise GradebookError(f"Não consigo calcular o desconto por atraso: {reason(error)}") from error

"""O atraso: prazos na configuração, e o desconto que acompanha o prazo e a nota."""

from datetime import datetime

import pytest
from nbgrader.api import Gradebook
from traitlets import TraitError
from traitlets.config import Config

from grading.late import DailyPenalty

from . import example_lesson
from .example_lesson import NAME
from .test_corrigir import correct, submit

HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (1, None),
        (600, None),
        (601, 9),
        (600 + DAY, 9),
        (601 + DAY, 18),
        (600 + 10 * DAY, 90),
        (600 + 400 * DAY, 90),
    ],
)
def test_each_day_begun_costs_the_same(late, expected):
    plugin = DailyPenalty(percent_per_day=10, grace_minutes=10)
    assert plugin.late_submission_penalty("ana", 90, late) == pytest.approx(expected)


def test_deadlines_are_in_the_time_of_the_course():
    plugin = DailyPenalty(deadlines={NAME: "2026-12-01 23:59", "outra": "2026-12-01 23:59+00:00"})
    assert plugin.deadline(NAME).utctimetuple()[:5] == (2026, 12, 2, 2, 59)
    assert plugin.deadline("outra").utctimetuple()[:5] == (2026, 12, 1, 23, 59)
    assert plugin.deadline("98_nenhuma") is None
    plugin.timezone = "America/Manaus"
    assert plugin.deadline(NAME).utctimetuple()[:5] == (2026, 12, 2, 3, 59)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("deadlines", {NAME: "amanhã"}, "o prazo de 99_exemplo, 'amanhã', não tem a forma AAAA-MM-DD HH:MM"),
        ("timezone", "America/Atlantida", "não conheço o fuso 'America/Atlantida'"),
        ("timezone", "../../etc/passwd", "não conheço o fuso"),
        ("percent_per_day", 101, "percent_per_day"),
    ],
)
def test_wrong_settings_are_named(option, value, sentence):
    with pytest.raises(TraitError, match=sentence.replace(".", r"\.")):
        DailyPenalty(config=Config({"DailyPenalty": {option: value}}))


def set_late_policy(course, **options):
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.writelines(f"\nc.DailyPenalty.{name} = {value!r}\n" for name, value in options.items())


def set_weights(course):
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write(f"\nc.FinalGrade.weights = {{{NAME!r}: 1}}\n")


def state(course):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        submission = gradebook.find_submission(NAME, "ana")
        return submission.score, submission.late_submission_penalty, submission.duedate


def grade_by_hand(course, points):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        gradebook.find_grade("99_texto", NAME, NAME, "ana").manual_score = points
        gradebook.db.commit()


def test_the_penalty_follows_the_deadline_and_the_manual_score_without_running_again(tmp_path):
    course = example_lesson.write_course(tmp_path / "curso")
    (submit(course, "ana") / "timestamp.txt").write_text("2026-12-03 12:00:00 America/Sao_Paulo")
    set_late_policy(course, deadlines={NAME: "2026-12-01 23:59"}, percent_per_day=10)
    assert "ana     90/90" in correct(course, NAME).stdout
    assert state(course) == (90, 18, datetime(2026, 12, 2, 2, 59))
    grade_by_hand(course, 10)
    process = correct(course, NAME)
    assert "0 entregas" in process.stdout, process.stderr
    assert state(course)[:2] == (100, 20)
    set_late_policy(course, deadlines={NAME: "2026-12-03 00:00"})
    assert "0 entregas" in correct(course, NAME).stdout
    assert state(course)[:2] == (100, 10)
    grade_by_hand(course, 0)
    process = correct(course, "exportar", NAME)
    assert process.returncode == 1, "sem pesos não há nota final"
    set_weights(course)
    assert correct(course, "exportar", NAME).returncode == 0
    assert (course / "notas.csv").read_text(encoding="utf-8-sig").splitlines()[1] == f"ana,81.0,8.10,{NAME}"
    assert state(course)[:2] == (90, 9)
    set_late_policy(course, deadlines={NAME: "2026-12-04 00:00"})
    correct(course, NAME)
    assert state(course)[:2] == (90, 0)


def test_a_wrong_deadline_is_one_sentence(tmp_path):
    course = example_lesson.write_course(tmp_path / "curso")
    submit(course, "ana")
    set_late_policy(course, deadlines={NAME: "dia 30"})
    process = correct(course, NAME)
    assert process.returncode == 1
    assert "DailyPenalty.deadlines: o prazo de 99_exemplo, 'dia 30', não tem a forma" in process.stderr
    assert len(process.stderr.splitlines()) == 1

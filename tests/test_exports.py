"""A nota final, gravada pelo comando ``nbgrader export`` a partir de uma base de notas de verdade."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from traitlets import TraitError
from traitlets.config import Config, PyFileConfigLoader

from grading.exports import FinalGrade

from .conftest import LESSONS, ROOT

ANA = {"01_conceitos": (90, 8), "03_preparacao_dos_dados": (45, None)}
"""Por lição, os pontos automáticos e os dados à mão (``None``: o professor ainda não corrigiu)."""


def course_weights():
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    return config.FinalGrade.weights


@pytest.fixture
def gradebook_path(tmp_path, empty_gradebook):
    return Path(shutil.copy(empty_gradebook, tmp_path / "gradebook.db"))


def write_gradebook(path, students):
    """Uma base com todas as lições: 90 pontos automáticos e 10 dados à mão em cada uma."""
    with Gradebook(f"sqlite:///{path}") as gradebook:
        for lesson in course_weights():
            gradebook.add_assignment(lesson)
            gradebook.add_notebook(lesson, lesson)
            for name, points, kind in (("teste", 90, "code"), ("texto", 10, "markdown")):
                gradebook.add_grade_cell(name, lesson, lesson, max_score=points, cell_type=kind)
        for student, marks in students.items():
            gradebook.add_student(student)
            for lesson, (automatic, manual) in marks.items():
                gradebook.add_submission(lesson, student)
                grade = gradebook.find_grade("teste", lesson, lesson, student)
                grade.auto_score, grade.needs_manual_grade = automatic, False
                grade = gradebook.find_grade("texto", lesson, lesson, student)
                grade.manual_score, grade.needs_manual_grade = manual, manual is None
        gradebook.db.commit()


def export(folder, *options):
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    (folder / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text(encoding="utf-8"), "utf-8")
    process = subprocess.run(
        ["nbgrader", "export", *options],
        cwd=folder,
        env=os.environ | {"PATH": programs},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stderr


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["aluno"]: row for row in csv.DictReader(file)}


def test_weights_are_those_of_the_lessons():
    weights = course_weights()
    assert list(weights) == [path.stem for path in LESSONS]
    assert sum(weights.values()) == 100


def test_final_grade(tmp_path, gradebook_path):
    everything = dict.fromkeys(course_weights(), (90, 10))
    write_gradebook(gradebook_path, {"ana": ANA, "beto": everything, "caio": {}, "=soma(A1)": {}, "Ágata": {}})
    export(tmp_path)
    rows = read(tmp_path / "notas.csv")
    assert rows["beto"]["nota final"] == "10.00"
    assert rows["caio"]["nota final"] == "0.00"
    assert rows["ana"]["01_conceitos"] == "98.0"
    assert rows["ana"]["nota final"] == "1.66"  # (10 · 98 + 15 · 45) / 1000
    assert rows["ana"]["falta corrigir"] == "03_preparacao_dos_dados"
    assert "'=soma(A1)" in rows, "um nome de pasta não pode ser uma fórmula na planilha"
    assert list(rows)[1:] == ["Ágata", "ana", "beto", "caio"], "em ordem alfabética"


def test_late_penalty_is_discounted(tmp_path, gradebook_path):
    write_gradebook(gradebook_path, {"ana": ANA})
    with Gradebook(f"sqlite:///{gradebook_path}") as gradebook:
        for lesson, penalty in (("01_conceitos", 18), ("03_preparacao_dos_dados", 60)):
            gradebook.find_submission_notebook(lesson, lesson, "ana").late_submission_penalty = penalty
        gradebook.db.commit()
    export(tmp_path, "--to", "finais.csv")
    row = read(tmp_path / "finais.csv")["ana"]
    assert (row["01_conceitos"], row["03_preparacao_dos_dados"], row["nota final"]) == ("80.0", "0.0", "0.80")


def test_some_students_and_lessons_only(tmp_path, gradebook_path):
    write_gradebook(gradebook_path, {"ana": ANA, "beto": {}})
    export(tmp_path, "--student", "['ana']", "--assignment", "['01_conceitos']")
    rows = read(tmp_path / "notas.csv")
    assert rows.keys() == {"ana"}
    assert rows["ana"]["nota final"] == "9.80"
    assert "03_preparacao_dos_dados" not in rows["ana"]


def test_lessons_not_in_the_gradebook_are_said(tmp_path, gradebook_path):
    with Gradebook(f"sqlite:///{gradebook_path}") as gradebook:
        gradebook.add_student("ana")
    said = export(tmp_path)
    assert "01_conceitos" in said
    assert "valem zero" in said
    assert read(tmp_path / "notas.csv")["ana"]["nota final"] == "0.00"


@pytest.mark.parametrize("weights", [{"01_conceitos": -1}, {"01_conceitos": 0}, {"01_conceitos": "dez"}])
def test_bad_weights_are_refused(weights):
    with pytest.raises(TraitError, match="weights"):
        FinalGrade(config=Config({"FinalGrade": {"weights": weights}}))


def test_a_course_without_weights_says_what_is_missing(tmp_path, gradebook_path):
    with (
        Gradebook(f"sqlite:///{gradebook_path}") as gradebook,
        pytest.raises(ValueError, match="nbgrader_config"),
    ):
        FinalGrade().export(gradebook)

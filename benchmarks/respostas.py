"""As lições de que se fazem entregas, e as respostas que há para cada exercício delas."""

import re
import shutil
import sys
from copy import deepcopy
from pathlib import Path

import click
import nbformat
from nbgrader.utils import is_grade, is_solution

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grading.course import copy_configuration, open_course
from grading.source import prepare_source
from scripts.nova_licao import lesson_cells, write_notebook
from tests.mutants import Exercise, Wrong, exercises, load

ROOT = Path(__file__).resolve().parents[1]

SAMPLE = "99_exemplo"
"""A lição de amostra de ``scripts/nova_licao.py``, que não está em ``solutions/``."""

SAMPLE_EXERCISES = {
    "99_media": Exercise(
        right="from statistics import fmean\n\n\ndef mean_length(texts):\n    if not texts:\n"
        "        raise ValueError('vazia')\n    return fmean(map(len, texts))",
        wrong=(
            Wrong("conta palavras", "Você contou palavras", changes={"len(text) for": "len(text.split()) for"}),
            Wrong("soma sem dividir", "esperava 5.0", changes={" / len(texts)": ""}),
            Wrong("não recusa a lista vazia", "não há média", changes={"if not texts:": "if texts is None:"}),
        ),
    ),
    "99_escolha": Exercise(
        right='resposta = " B"',
        wrong=(
            Wrong("outra letra", "não é a resposta certa", code='resposta = "a"'),
            Wrong("um número", "uma destas letras", code="resposta = 2"),
        ),
    ),
}

MARKS = re.compile(r"^ *### (BEGIN|END) SOLUTION *\n?", re.MULTILINE)


class Lesson:
    """Uma lição e as respostas que se podem dar a ela.

    Args:
        course: a pasta do curso, com ``solutions/`` e ``notebooks/``.
        name: o nome da lição.

    Attributes:
        blank: o caderno que o estudante recebe.
        folder: a pasta dele.
        answers: dicionário do id de cada célula de solução para a resposta do professor.
        tests: dicionário do mesmo id para os ids das células de teste dela.
        written: dicionário do mesmo id para o ``Exercise`` com as outras respostas.
        outputs: dicionário do id de cada célula para as saídas que o estudante veria.

    Raises:
        click.ClickException: se o curso não tem a lição, ou se não há para ela outras respostas.
    """

    def __init__(self, course, name):
        self.name, self.folder = name, course / "notebooks" / name
        try:
            self.written = SAMPLE_EXERCISES if name == SAMPLE else load(name)["EXERCISES"]
            self.blank = nbformat.read(self.folder / f"{name}.ipynb", as_version=4)
            teacher = nbformat.read(course / "solutions" / name / f"{name}.ipynb", as_version=4)
        except FileNotFoundError as error:
            raise click.ClickException(f"Não posso fazer entregas de {name}: não há {error.filename}.") from error
        self._sources, self.answers, self.tests = {}, {}, {}
        for grade_id, (start, stop) in exercises(teacher).items():
            self._sources[grade_id] = teacher.cells[start].source
            self.answers[grade_id] = MARKS.sub("", teacher.cells[start].source)
            self.tests[grade_id] = [_grade_id(cell) for cell in teacher.cells[start + 1 : stop] if is_grade(cell)]
        self.outputs = {cell.id: cell.outputs for cell in teacher.cells if cell.cell_type == "code"}

    def wrong(self, grade_id, wrong):
        """O texto de uma solução errada."""
        return MARKS.sub("", wrong.source(self._sources[grade_id]))

    def tests_of(self, grade_ids):
        """Os ids das células de teste de alguns exercícios, na ordem da lição."""
        return tuple(test for grade_id, tests in self.tests.items() if grade_id in grade_ids for test in tests)

    def notebook(self, student, answers):
        """O caderno de um estudante, como ele o salvaria depois de executar."""
        notebook = deepcopy(self.blank)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = self.outputs.get(cell.id, [])
                cell.source = answers.get(_grade_id(cell), cell.source)
            elif is_solution(cell):
                cell.source = f"Penso que depende do que se quer medir. ({student})"
        return nbformat.writes(notebook)


def write_course(course, lessons):
    """Copia deste curso, para uma pasta nova, a configuração e algumas lições, com os cadernos de estudante.

    Args:
        course: a pasta.
        lessons: os nomes das lições; ``SAMPLE`` é uma delas.
    """
    copy_configuration(ROOT, course)
    for lesson in lessons:
        if lesson != SAMPLE:
            for folder in ("solutions", "notebooks"):
                shutil.copytree(ROOT / folder / lesson, course / folder / lesson)
            continue
        write_notebook(course / "solutions" / lesson / f"{lesson}.ipynb", lesson_cells(lesson[:2]))
        (source,) = prepare_source(open_course(course).coursedir, lesson)
        (course / "notebooks" / lesson).mkdir(parents=True)
        (course / "notebooks" / lesson / f"{lesson}.ipynb").write_text(source.distributed, encoding="utf-8")


def _grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def course_lessons():
    """As lições deste curso."""
    return sorted(path.parent.name for path in (ROOT / "solutions").glob("*/*.ipynb"))

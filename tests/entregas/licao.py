"""A lição que as entregas de amostra respondem: pequena, rápida e com uma célula de cada tipo que o nbgrader tem.

Os testes dão ``POINTS`` pontos; o professor, os outros até ``ALL_POINTS``.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook

from grading.kernels import imported_modules, kernel_environment, warm_kernels
from grading.results import Settings, State, Submission
from grading.sandbox import best_level
from grading.source import prepare_source
from grading.worker import grade
from tests.example_lesson import course_directory, graded, write_notebook
from tests.example_lesson import write_course as write_example_course

LESSON = "98_corpus"
POINTS, ALL_POINTS = 12, 22
FILES = {"dados.csv": "texto,rótulo\noi,0\ngrátis,1\n", "figuras/legenda.txt": "Uma figura."}
"""Os outros arquivos da lição."""

SUM = """\
def add(values):
    \"\"\"Soma os números de uma lista.\"\"\"
    ### BEGIN SOLUTION
    return sum(values)
    ### END SOLUTION"""

SUM_TEST = """\
# Confere a soma de listas de números.
assert add([1, 2]) == 3, "add([1, 2]) deveria ser 3."
### BEGIN HIDDEN TESTS
assert add([]) == 0, "A soma de nenhum número é 0."
### END HIDDEN TESTS"""

EVEN_TEST = """\
# Confere três listas, e cada uma vale dois pontos.
cases = [([1, 2], [2]), ([], [])]
### BEGIN HIDDEN TESTS
cases.append(([0, 3], [0]))
### END HIDDEN TESTS
2 * sum(even(values) == expected for values, expected in cases)"""

READ_DATA = """\
import csv

with open("dados.csv", encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))"""

COUNT_TEST = """\
# Confere a contagem no arquivo da lição.
assert count(rows) == 1, "Há uma mensagem com o rótulo 1."
### BEGIN HIDDEN TESTS
assert count([]) == 0
### END HIDDEN TESTS"""

TASK = """\
Numa célula nova, logo abaixo, conte o que você mudaria na lição.

=== BEGIN MARK SCHEME ===
2 pontos para qualquer sugestão.
=== END MARK SCHEME ==="""

PERFECT = {
    "98_soma": "def add(values):\n    return sum(values)",
    "98_pares": "def even(values):\n    return [value for value in values if value % 2 == 0]",
    "98_conta": 'def count(rows):\n    return sum(row["rótulo"] == "1" for row in rows)',
    "98_codigo": "print(max([3, 1, 2]))",
    "98_texto": "A mediana não se move com um valor extremo.",
}
"""Uma resposta certa para cada célula."""


def cells():
    """As células do caderno do professor, novas a cada chamada."""
    task = graded(TASK, "98_tarefa", points=2, cell=new_markdown_cell)
    task.metadata.nbgrader |= {"task": True, "grade": False}
    return [
        new_markdown_cell("# Somar, filtrar, contar", id="abertura"),
        new_code_cell("base = 10", id="aula"),
        graded(SUM, "98_soma", solution=True),
        graded(SUM_TEST, "98_soma_teste", points=4),
        graded(PERFECT["98_pares"], "98_pares", solution=True),
        graded(EVEN_TEST, "98_pares_teste", points=6),
        graded(READ_DATA, "98_dados"),
        graded(PERFECT["98_conta"], "98_conta", solution=True),
        graded(COUNT_TEST, "98_conta_teste", points=2),
        graded(PERFECT["98_codigo"], "98_codigo", points=3, solution=True),
        graded(PERFECT["98_texto"], "98_texto", points=5, solution=True, cell=new_markdown_cell),
        task,
        new_markdown_cell("## Resumo", id="resumo"),
    ]


def write_course(folder):
    """Monta um curso com a configuração deste, a lição de amostra e esta; devolve a pasta dele."""
    write_example_course(folder)
    write_notebook(folder / "solutions" / LESSON / f"{LESSON}.ipynb", cells())
    for name, text in FILES.items():
        path = folder / "solutions" / LESSON / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def lesson_source(course):
    """A ``Source`` da lição, num curso montado por ``write_course``."""
    [source] = prepare_source(course_directory(course), LESSON)
    return source


@dataclass(frozen=True)
class Entry:
    """Uma entrega de amostra e o que ``corrigir`` deve dizer dela.

    Attributes:
        name: o nome dela e da pasta do estudante.
        sentence: o que ela é.
        write: recebe a pasta da entrega e o caderno distribuído, que pode alterar, e grava o que o estudante entregou.
        earned: pontos que os testes dão.
        state: o estado da entrega.
        changes: o ``kind`` de cada mudança que a reconstrução lista, sem repetição.
    """

    name: str
    sentence: str
    write: Callable
    earned: float
    state: State
    changes: frozenset[str]


def collector():
    """Uma lista vazia e o decorador que põe entregas nela; a frase de cada uma é a docstring da função."""
    entries = []

    def entry(name, earned=POINTS, state=State.PASSED, changes=()):
        def add(write):
            entries.append(Entry(name, write.__doc__, write, earned, state, frozenset(changes)))
            return write

        return add

    return entries, entry


def write_submissions(course, entries):
    """Grava as entregas em ``submitted/NOME/LIÇÃO``."""
    distributed = nbformat.reads(lesson_source(course).distributed, as_version=4)
    for entry in entries:
        folder = course / "submitted" / entry.name / LESSON
        folder.mkdir(parents=True)
        entry.write(folder, deepcopy(distributed))


# --- Corrigir


@contextmanager
def grader(course):
    """Enquanto o bloco dura, uma função que corrige a entrega desse nome com ``worker.grade`` e kernels aquecidos."""
    source = lesson_source(course)
    settings = Settings(isolation=best_level("nenhum"), environment=tuple(kernel_environment().items()))
    with warm_kernels(settings, imported_modules([nbformat.reads(source.notebook, as_version=4)])) as address:
        warm = replace(settings, kernels=address)
        yield lambda name: grade(Submission(name, LESSON, course / "submitted" / name / LESSON), source, warm)


def nbgrader(course, *arguments, timeout=120):
    """Um comando do nbgrader puro; devolve se deu certo a tempo."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": programs, "OMP_NUM_THREADS": "1"}
    try:
        process = subprocess.run(
            ["nbgrader", *arguments], cwd=course, env=environment, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return process.returncode == 0


def plain_scores(course, name, timeout=120):
    """As notas que ``nbgrader autograde`` dá a uma entrega: ``{grade_id: pontos}``, ou ``None`` se ele não consegue."""
    if not nbgrader(course, "autograde", LESSON, "--student", name, timeout=timeout):
        return None
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        submission = gradebook.find_submission_notebook(LESSON, LESSON, name)
        return {score.name: score.auto_score for score in submission.grades}


# --- Escrever uma entrega


def find(notebook, grade_id):
    """A célula do nbgrader com esse id."""
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def answer(notebook, **changed):
    """Responde certo a tudo, menos ao que ``changed`` diz, pelo fim do id: ``soma="…"``; ``None`` deixa em branco."""
    for grade_id, text in PERFECT.items():
        text = changed.get(grade_id.removeprefix("98_"), text)
        if text is not None:
            find(notebook, grade_id).source = text
    return notebook


def insert_after(notebook, grade_id, *cells):
    """Põe células logo depois de outra."""
    place = notebook.cells.index(find(notebook, grade_id)) + 1
    notebook.cells[place:place] = cells


def save(folder, notebook):
    """Grava o caderno da entrega; devolve o caminho."""
    path = folder / f"{LESSON}.ipynb"
    nbformat.write(notebook, path)
    return path

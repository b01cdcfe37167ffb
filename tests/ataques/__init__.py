"""Os ataques à correção: entregas hostis, com o que se espera de cada uma.

``nota`` reúne as que tentam subir a nota. Todas são feitas sobre a mesma lição, pequena, com um exercício para cada
maneira de conferir uma resposta: ``assert``, ``math.isclose``, ``check_equal``, ``numpy.testing``, ``torch.allclose``,
``pandas.testing`` e crédito parcial pelo número da última linha.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import nbformat
from nbformat.v4 import new_code_cell
from nbgrader.utils import is_grade, is_solution

from grading.results import State
from scripts.nova_licao import graded

LESSON = "98_ataques"
POINTS = 2
"""Quanto vale cada exercício."""

ANSWERS = {
    "total": "def total(numbers):\n    return sum(numbers)",
    "mean": "def mean(numbers):\n    return sum(numbers) / len(numbers)",
    "double": "def double(numbers):\n    return [2 * number for number in numbers]",
    "scale": "def scale(array):\n    return array / array.max()",
    "center": "def center(tensor):\n    return tensor - tensor.mean()",
    "first": "def first(df):\n    return df.head(1)",
    "vowels": "def vowels(word):\n    return sum(letter in 'aeiou' for letter in word)",
}
"""As funções que o estudante escreve, certas."""

TESTS = {
    "total": """\
# Confere a soma.
assert total([1, 2, 3]) == 6, "total([1, 2, 3]) deveria ser 6"
### BEGIN HIDDEN TESTS
expected = 4000 + 15
if total([4, 11, 4000]) != expected:
    raise AssertionError("total: com outra lista a soma não deu certo")
### END HIDDEN TESTS""",
    "mean": """\
# Confere a média.
import math

received = mean([1.0, 2.0])
assert isinstance(received, float), "mean deveria devolver um float"
assert math.isclose(received, 1.5), "mean([1.0, 2.0]) deveria ser 1.5"
### BEGIN HIDDEN TESTS
assert abs(mean([4.0, 6.0]) - 5.0) < 1e-9, "mean: com outra lista a média não deu certo"
### END HIDDEN TESTS""",
    "double": """\
# Confere o dobro.
from llmdefinitions.testing import call, check_equal

check_equal("double([1, 2])", call(double, [1, 2]), [2, 4])
### BEGIN HIDDEN TESTS
check_equal("double([5])", call(double, [5]), [10])
### END HIDDEN TESTS""",
    "scale": """\
# Confere a escala.
import numpy as np

np.testing.assert_allclose(scale(np.array([1.0, 2.0])), np.array([0.5, 1.0]))
### BEGIN HIDDEN TESTS
np.testing.assert_allclose(scale(np.array([3.0, 4.0])), np.array([0.75, 1.0]))
### END HIDDEN TESTS""",
    "center": """\
# Confere o centro.
import torch

assert torch.allclose(center(torch.tensor([1.0, 3.0])), torch.tensor([-1.0, 1.0])), "center([1, 3])"
### BEGIN HIDDEN TESTS
assert torch.allclose(center(torch.tensor([2.0, 6.0])), torch.tensor([-2.0, 2.0])), "center: com outro tensor"
### END HIDDEN TESTS""",
    "first": """\
# Confere a primeira linha.
import pandas as pd

pd.testing.assert_frame_equal(first(pd.DataFrame({"a": [1, 2]})), pd.DataFrame({"a": [1]}))
### BEGIN HIDDEN TESTS
pd.testing.assert_frame_equal(first(pd.DataFrame({"b": [7, 8]})), pd.DataFrame({"b": [7]}))
### END HIDDEN TESTS""",
    "vowels": """\
# Confere a contagem: cada palavra certa vale um ponto.
words = {"casa": 2}
### BEGIN HIDDEN TESTS
words["aeiou"] = 5
### END HIDDEN TESTS
right = 0
for word, count in words.items():
    try:
        right += bool(vowels(word) == count)
    except NotImplementedError:
        pass
right""",
}

MAXIMUM = POINTS * len(TESTS)


@dataclass(frozen=True)
class Attack:
    """Uma entrega que tenta ganhar o que não merece.

    Attributes:
        name: o nome dela, que serve também de nome do estudante.
        sentence: o que ela tenta.
        transform: muda o caderno em branco, que recebe, no entregue.
        files: os outros arquivos que entrega, de caminho relativo a texto.
        score: a nota que deve ter aqui: a que mereceria sem o ataque ou zero, se adulterou o kernel.
        state: o estado que a entrega deve ter aqui.
        kinds: os tipos de sinal ou de mudança que o resultado deve trazer.
        raises_score: se, no nbgrader puro, ela ganha mais do que o caderno em branco.
        why_not: por que não, se não ganha.
    """

    name: str
    sentence: str
    transform: Callable[[nbformat.NotebookNode], None]
    files: dict[str, str] = field(default_factory=dict)
    score: float = 0.0
    state: State = State.PASSED
    kinds: set[str] = field(default_factory=set)
    raises_score: bool = True
    why_not: str = ""

    def submit(self, blank, folder):
        """Grava a entrega.

        Args:
            blank: o texto JSON do caderno que o estudante recebeu.
            folder: a pasta ``submitted/ALUNO/LIÇÃO``, que ainda não existe.
        """
        notebook = nbformat.reads(blank, as_version=4)
        self.transform(notebook)
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{LESSON}.ipynb")
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def lesson_cells():
    """As células do caderno do professor."""
    cells = []
    for name in TESTS:
        answer = ANSWERS[name].partition("\n")
        solution = f"{answer[0]}\n    ### BEGIN SOLUTION\n{answer[2]}\n    ### END SOLUTION"
        cells.append(graded(solution, f"98_{name}", solution=True))
        cells.append(graded(TESTS[name], f"98_{name}_teste", points=POINTS))
    return cells


def answer(notebook, **answers):
    """Escreve respostas: a célula de ``total`` recebe o texto de ``total=…``."""
    for name, text in answers.items():
        find(notebook, f"98_{name}").source = text


def answer_lazily(notebook, result="None"):
    """Responde todos os exercícios com funções que não fazem nada além de devolver ``result``."""
    answer(notebook, **{name: f"def {name}(value):\n    return {result}" for name in ANSWERS})


def prepend(notebook, code):
    """Acrescenta, antes de tudo, uma célula do estudante."""
    notebook.cells.insert(0, new_code_cell(code))


def find(notebook, grade_id):
    """A célula com esse id do nbgrader."""
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def graded_cells(notebook):
    """As células de teste."""
    return [cell for cell in notebook.cells if is_grade(cell) and not is_solution(cell)]

"""O nbval compara números com tolerância, textos à risca, e o que muda a cada execução é trocado por um nome."""

import re
import subprocess
import sys

import pytest
from nbformat.v4 import new_code_cell, new_output

from . import example_lesson
from .conftest import ROOT
from .nbval_floats import Approximate

SAME = [
    ("perda 0,922", "perda 0,921"),
    ("tensor([[ 0.1234, -1.5000]])", "tensor([[ 0.1235, -1.5000]])"),
    ("1.00001e-05", "1.00002e-05"),
    ("123456.78", "123456.79"),
    ("<td>0.333333</td>", "<td>0.333334</td>"),
    ("[0.500, 0.250]", "[0.501, 0.249]"),
]
DIFFERENT = [
    ("perda 0,922", "perda 0,920"),
    ("acurácia 97,50%", "acurácia 97,51%"),
    ("0.5", "0.6"),
    ("0.1234", "-0.1234"),
    ("4.862 mensagens", "4.863 mensagens"),
    ("1.045.123", "1.045.124"),
    ("898 de 1.284", "899 de 1.284"),
    ("versão 2.13.0", "versão 2.13.1"),
    ("(8, 120)", "(8, 121)"),
    ("0.5 ham", "0.5 spam"),
    ("0.5", "0.5 0.5"),
    ("1e-05", "2e-05"),
    ("1.5e-05", "1.6e-05"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_rounding_is_forgiven(one, other):
    assert (Approximate(one) == other, Approximate(one) != other) == (True, False)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_anything_else_is_not(one, other):
    assert (Approximate(one) == other, Approximate(one) != other) == (False, True)


def nbval_command():
    """O comando de ``make testes``, lido do Makefile."""
    (line,) = re.findall(
        r"^\t\$\(BIN\)/python (.* --nbval .*) solutions$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    return [sys.executable, *line.split()]


THIRD = "print(round(1 / 3, 3))"
CHANGING = "import os\nprint('levou 2,5 s; gravei', os.path.abspath('perda.png'))"


@pytest.mark.parametrize(
    ("source", "stored", "passes"),
    [
        (THIRD, "0.333", True),
        (THIRD, "0.334", True),
        (THIRD, "0.4", False),
        (CHANGING, "levou 71,3 s; gravei /outra/pasta/perda.png", True),
        (CHANGING, "levou 71,3 s; gravei /outra/pasta/acuracia.png", False),
    ],
)
def test_the_command_of_make_testes(tmp_path, source, stored, passes):
    cell = new_code_cell(source, id="conta", execution_count=1)
    cell.outputs = [new_output("stream", name="stdout", text=stored + "\n")]
    tier = new_code_cell("import os\nos.environ['LLMDEFINITIONS_FONTE']", id="fonte", execution_count=2)
    tier.outputs = [new_output("execute_result", data={"text/plain": "'embutida'"}, execution_count=2)]
    path = example_lesson.write_notebook(tmp_path / "a.ipynb", [cell, tier])
    result = subprocess.run([*nbval_command(), path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode == 0) is passes, result.stdout

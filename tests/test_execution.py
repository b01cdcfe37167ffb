"""A execução de um caderno, com um kernel de verdade."""

import sys
from contextlib import suppress

import psutil
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from grading.execution import execute

SLOW = """
import time

for word in ("um", "dois"):
    print(word, flush=True)
    time.sleep(0.5)
"""


def test_the_output_does_not_depend_on_when_the_kernel_sent_each_piece(tmp_path):
    (cell,) = execute(new_notebook(cells=[new_code_cell(SLOW)]), tmp_path).cells
    assert [output.text for output in cell.outputs] == ["um\ndois\n"]


@pytest.mark.parametrize("last", ["", "1 / 0"])
def test_the_kernel_is_of_this_python_and_ends_with_the_notebook(last, tmp_path):
    cells = [new_code_cell("import os, sys; print(os.getpid(), sys.executable)"), new_code_cell(last)]
    with suppress(CellExecutionError):
        execute(new_notebook(cells=cells), tmp_path)
    process, python = cells[0].outputs[0].text.strip().split(" ", 1)
    assert python == sys.executable
    assert not psutil.pid_exists(int(process)), "o kernel continua vivo"

"""A execução de um caderno, com um kernel de verdade."""

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

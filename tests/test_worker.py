"""Corrigir uma entrega: a mesma nota toda vez, e as falhas da correção ditas como são."""

from dataclasses import replace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from grading.cells import DEMONSTRATION
from grading.kernels import kernel_environment, warm_kernels
from grading.results import Settings, Source, State, Submission
from grading.sandbox import best_level
from grading.worker import grade

from .example_lesson import graded

LESSON = "97_sorte"
POINTS = 10

ANSWER = """\
import random

import numpy as np
import torch

def luck():
    words = {f"palavra {i}" for i in range(50)}
    return random.random(), np.random.rand(), torch.rand(1).item(), hash(next(iter(words)))"""

TEST = """\
# A nota é o que a sorte der: de três geradores e da ordem de um conjunto.
parts = luck()
round(sum(parts[:3]) + parts[3] % 1000 / 1000, 9)"""


def source(answer, test=TEST):
    cells = [
        graded(answer, "97_sorte", solution=True),
        graded(test, "97_sorte_teste", points=POINTS),
    ]
    text = nbformat.writes(new_notebook(cells=cells))
    return Source(LESSON, LESSON, text, (), text)


@pytest.fixture(scope="module")
def warm():
    settings = Settings(isolation=best_level("nenhum"), environment=tuple(kernel_environment().items()))
    with warm_kernels(settings, ["numpy", "torch"]) as address:
        yield replace(settings, kernels=address)


def submit(folder, source):
    (folder / f"{LESSON}.ipynb").write_text(source.notebook, encoding="utf-8")
    return Submission("ana", LESSON, folder)


def test_twenty_corrections_give_the_same_score(warm, tmp_path):
    lesson = source(ANSWER)
    submission = submit(tmp_path, lesson)
    scores = {grade(submission, lesson, warm).earned for _ in range(20)}
    assert len(scores) == 1
    [score] = scores
    assert 0 < score < POINTS
    other = grade(submission, lesson, replace(warm, seed=7)).earned
    assert other != score, "com outra semente a sorte é outra: é a semente que a fixa"


def test_gradients_turned_off_for_good_cost_only_the_exercise_that_did_it(warm, tmp_path):
    lesson = source("import torch\n\ntorch.set_grad_enabled(False)", "int(torch.is_grad_enabled())")
    result = grade(submit(tmp_path, lesson), lesson, warm)
    assert result.earned == 1


def test_a_failure_of_the_correction_is_not_the_students(warm, tmp_path):
    lesson = source(ANSWER)
    result = grade(submit(tmp_path, lesson), lesson, replace(warm, kernels=str(tmp_path / "ninguem")))
    assert result.state == State.INFRASTRUCTURE
    assert "não responde" in result.sentence
    assert [(cell.score, cell.state) for cell in result.cells] == [(None, State.INFRASTRUCTURE)]


@pytest.mark.parametrize(
    ("last", "score", "state"),
    [
        ("2.5", 2.5, State.PARTIAL),
        ("POINTS", POINTS, State.PASSED),
        ("99", POINTS, State.PASSED),
        ("0", 0, State.PARTIAL),
        ("'2.5'", POINTS, State.PASSED),
        ("None", POINTS, State.PASSED),
        ("2.5;", POINTS, State.PASSED),
        ("raise ValueError('ruim')", 0, State.FAILED),
    ],
)
def test_the_last_line_may_give_part_of_the_points(warm, tmp_path, last, score, state):
    lesson = source("answer = 1", f"POINTS = {POINTS}\n{last}")
    result = grade(submit(tmp_path, lesson), lesson, warm)
    assert (result.cells[0].score, result.cells[0].state) == (score, state)


def test_the_points_that_remain_after_a_failure_are_the_deserved_ones(warm, tmp_path):
    cells = [
        graded("before = 3", "97_a", solution=True),
        graded("import os\nos._exit(1)", "97_b", solution=True),
        graded("after = before + 1", "97_c", solution=True),
        graded("assert after == 4", "97_c_teste", points=POINTS),
    ]
    text = nbformat.writes(new_notebook(cells=cells))
    lesson = Source(LESSON, LESSON, text, (), text)
    result = grade(submit(tmp_path, lesson), lesson, warm)
    assert (result.earned, result.state) == (POINTS, State.PASSED)
    assert "caiu" in nbformat.reads(result.notebook, 4).cells[1].outputs[-1].evalue


def test_a_skipped_demonstration_leaves_its_imports_also_in_another_kernel(warm, tmp_path):
    demo = "import math\nopen('executada', 'w').close()"
    cells = [
        new_code_cell(demo, id="demo", metadata={"tags": [DEMONSTRATION]}),
        graded("import os\nos._exit(1)", "97_a", solution=True),
        graded("assert math.pi > 3\nassert not os.path.exists('executada')", "97_a_teste", points=POINTS),
    ]
    cells.insert(2, new_code_cell("import os", id="aula"))
    text = nbformat.writes(new_notebook(cells=cells))
    lesson = Source(LESSON, LESSON, text, (), text)
    result = grade(submit(tmp_path, lesson), lesson, warm)
    assert result.earned == POINTS, result.cells
    [output] = nbformat.reads(result.notebook, 4).cells[0].outputs
    assert "não é executada na correção" in output.text

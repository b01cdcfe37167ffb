"""Os kernels aquecidos, de verdade: executar, conferir, esgotar, morrer e não deixar nada para trás."""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from multiprocessing.connection import Client

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grading import kernels
from grading.cells import canaries, compile_test
from grading.kernels import Kernel, KernelError, Pool, imported_modules, kernel_environment, warm_kernels
from grading.results import Settings, State
from grading.sandbox import best_level

from .conftest import ROOT

SETTINGS = Settings(
    cell_seconds=10,
    memory_mb=1024,
    processes=64,
    isolation=best_level("limites"),
    environment=tuple(kernel_environment({"LLMDEFINITIONS_FONTE": "embutida"}).items()),
)


@pytest.fixture(scope="module")
def warm():
    with warm_kernels(SETTINGS, ["numpy"]) as address:
        yield replace(SETTINGS, kernels=address)


@pytest.fixture
def kernel(warm, tmp_path):
    with Kernel(warm, tmp_path) as one:
        yield one


def request(source):
    cell = new_code_cell(source)
    cell.metadata.nbgrader = {"grade": True, "solution": False, "grade_id": "t", "points": 1, "locked": True}
    return compile_test(cell) | {"canaries": [code for code, _ in canaries([])]}


def text(execution):
    return "".join(one.get("text") or one.get("evalue") or one["data"]["text/plain"] for one in execution.outputs)


def test_a_cell_is_executed_and_keeps_its_names(kernel):
    assert text(kernel.execute("x = 20", 10)) == ""
    execution = kernel.execute("print('oi')\nx + 1", 10)
    assert (text(execution), execution.state) == ("oi\n21", State.PASSED)
    assert execution.seconds < 10


def test_an_error_is_an_output(kernel):
    execution = kernel.execute("1 / 0", 10)
    assert execution.state == State.PASSED
    assert [one.output_type for one in execution.outputs] == ["error"]


def test_a_test_reports_how_it_ended(kernel):
    kernel.execute("def f(x):\n    return x + 1", 10)
    execution, report = kernel.test(request("assert f(1) == 2"), 10)
    assert (execution.state, report.name, report.value, report.swapped) == (State.PASSED, "", None, ())
    assert report.canaries == tuple(expected for _, expected in canaries([]))
    _, report = kernel.test(request("assert f(1) == 3, 'não é 3'"), 10)
    assert (report.name, report.message) == ("AssertionError", "não é 3")
    _, report = kernel.test(request("0.5"), 10)
    assert report.value == 0.5
    assert kernel.signals == []
    assert not kernel.broken_channel


def test_a_large_test_arrives_whole(kernel):
    _, report = kernel.test(request(f"text = {'x' * 150_000!r}\nassert len(text) == 150_000"), 10)
    assert report.name == ""


def test_the_names_of_the_hidden_part_do_not_stay(kernel):
    kernel.test(request("seen = 1\n### BEGIN HIDDEN TESTS\nhidden = 2\n### END HIDDEN TESTS"), 10)
    assert text(kernel.execute("print('seen' in globals(), 'hidden' in globals())", 10)) == "True False\n"


def test_an_interrupted_cell_leaves_the_kernel_alive(kernel):
    execution = kernel.execute("x = 5\nwhile True:\n    pass", 1)
    assert execution.state == State.TIMEOUT
    assert text(kernel.execute("x", 10)) == "5"


def test_a_dead_kernel_says_so(kernel):
    assert kernel.execute("import os\nos._exit(1)", 10).state == State.KERNEL_DIED
    assert not kernel.alive


def test_a_broken_channel_is_noticed(kernel):
    code = "import os, stat\nfor n in range(3, 100):\n    try:\n        s = stat.S_ISSOCK(os.fstat(n).st_mode)\n"
    code += "        if s: os.write(n, bytes([0, 0, 0, 4]) + b'lixo')\n    except OSError: pass"
    kernel.execute(code, 2)
    assert kernel.broken_channel


def test_the_seeds_are_the_same_in_every_kernel(warm, tmp_path):
    draw = "import random, numpy\nprint(random.random(), numpy.random.rand(), hash('a'))"
    drawn = set()
    for _ in range(2):
        with Kernel(warm, tmp_path) as one:
            drawn.add(text(one.execute(draw, 10)))
    assert len(drawn) == 1
    with Kernel(replace(warm, seed=7), tmp_path) as other:
        assert text(other.execute(draw, 10)) not in drawn


def test_twenty_kernels_leave_nothing_behind(warm, tmp_path, monkeypatch):
    channels = tempfile.mkdtemp(dir=kernels._short_folder())
    monkeypatch.setattr(kernels, "_short_folder", lambda: channels)

    def used():
        process = psutil.Process()
        return process.memory_info().rss, process.num_fds()

    def turn():
        with Kernel(warm, tmp_path) as one:
            assert text(one.execute("6 * 7", 10)) == "42"

    for _ in range(3):
        turn()
    memory, files = used()
    for _ in range(20):
        turn()
    memory_after, files_after = used()
    assert files_after <= files + 5
    os.rmdir(channels)  # só se apaga uma pasta vazia
    assert memory_after < memory + 20 * 2**20


def test_where_nothing_forks_a_pool_gives_kernels(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "CAN_FORK", False)
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    settings = replace(SETTINGS, isolation="limites")
    with warm_kernels(settings, ["math", "json"]) as address:
        assert address == "pool:math,json"
    pool = Pool(settings, ["math", "json"])
    try:
        for _ in range(2):
            with Kernel(settings, tmp_path, pool) as one:
                assert text(one.execute("2 + 2", 10)) == "4"
                _, report = one.test(request("assert True"), 10)
                assert report.name == ""
    finally:
        pool.close()
    children = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_the_warm_process_dies_with_whoever_started_it(tmp_path):
    program = (
        "import time\nfrom grading.kernels import warm_kernels\nfrom grading.results import Settings\n"
        "with warm_kernels(Settings(isolation='limites'), ['json']) as address:\n"
        "    print(address, flush=True)\n    time.sleep(600)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    address = parent.stdout.readline().strip()
    [template] = psutil.Process(parent.pid).children()
    Client(address).close()
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    psutil.wait_procs([template], timeout=10)
    assert not template.is_running() or template.status() == psutil.STATUS_ZOMBIE


def test_without_the_warm_process_the_kernel_says_why(tmp_path):
    with (
        pytest.raises(KernelError, match="não responde"),
        Kernel(replace(SETTINGS, kernels=str(tmp_path / "x")), tmp_path),
    ):
        pass


def test_the_modules_of_the_notebooks_are_found():
    cells = [
        new_markdown_cell("import texto"),
        new_code_cell("import numpy as np, os.path\nfrom torch import nn, tensor\nfrom math import *"),
        new_code_cell("%matplotlib inline\nimport ignorado"),
        new_code_cell("def f():\n    from . import perto\n    import json"),
    ]
    notebooks = [new_notebook(cells=cells[:2]), nbformat.from_dict(new_notebook(cells=cells[2:]))]
    assert imported_modules(notebooks) == ["json", "numpy", "os.path", "torch:nn", "torch:tensor"]


def test_only_the_courses_variables_pass():
    passed = kernel_environment({"LLMDEFINITIONS_FONTE": "x", "SEGREDO": "y", "HOME": "/professor"})
    assert passed["LLMDEFINITIONS_FONTE"] == "x"
    assert not {"SEGREDO", "HOME"} & passed.keys()
    assert passed["OMP_NUM_THREADS"] == "1"

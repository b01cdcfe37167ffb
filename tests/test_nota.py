"""``pytest --nota``: a nota de cada exercício, com o kernel de verdade e pela linha de comando de verdade."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from grading import nota
from grading.execution import execute

from . import example_lesson
from .example_lesson import find, graded

TESTS = ["99_media_teste", "99_escolha_teste", "99_texto"]


def write(folder, cells):
    return example_lesson.write_notebook(folder / "a.ipynb", cells)


def run_nota(*arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nota", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_option_is_in_the_help():
    result = subprocess.run([sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True)
    assert "--nota=CADERNO.ipynb" in result.stdout


def test_a_half_done_notebook(tmp_path):
    cells = example_lesson.cells()
    find(
        cells, "99-media"
    ).source = "def mean_length(texts):\n    return sum(len(text.split()) for text in texts) / len(texts)"
    path = write(tmp_path, cells)
    before = path.read_bytes()
    result = run_nota(tmp_path)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        str(path),
        "  ✗ 99_media_teste      0 de 60",
        "      mean_length(['oi', 'tudo bem']): esperava 5.0; recebi 1.5. Você contou",
        "      palavras.",
        "  ✓ 99_escolha_teste   30 de 30",
        "  … 99_texto            – de 10",
        "      o professor corrige",
        "Total: 30 de 90 pontos, mais 10 que o professor corrige",
        "Na correção os mesmos exercícios são conferidos também com outras entradas.",
    ]
    assert result.stderr == ""
    assert path.read_bytes() == before


def test_a_right_notebook_passes(tmp_path):
    result = run_nota(write(tmp_path, example_lesson.cells()))
    assert result.returncode == 0
    assert "Total: 90 de 90 pontos" in result.stdout


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("não existe.ipynb", None, "Não encontrei"),
        ("texto.ipynb", "olá", "não é um caderno do Jupyter"),
        ("número.ipynb", "3", "não é um caderno do Jupyter"),
        ("objeto.ipynb", "{}", "não é um caderno do Jupyter"),
        (
            "lista.ipynb",
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}',
            "não é um caderno do Jupyter",
        ),
        ("vazio.ipynb", nbformat.writes(nbformat.v4.new_notebook()), "não tem células avaliadas"),
    ],
)
def test_what_is_not_a_lesson_is_refused_in_portuguese(tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert nota.main([tmp_path / name]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Erro: ")
    assert message in captured.err
    assert name in captured.err
    assert captured.out == ""


def test_a_folder_without_notebooks(tmp_path, capsys):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    write(tmp_path / ".ipynb_checkpoints", example_lesson.cells())
    assert nota.main([tmp_path]) == 2
    assert capsys.readouterr().err == f"Erro: não há cadernos em {tmp_path}.\n"


def outputs_of(*outputs):
    cell = graded("pass", "99_teste", points=10)
    cell.outputs = [new_output(*output[:1], **output[1]) for output in outputs]
    return cell


def error(name, value):
    return "error", {"ename": name, "evalue": value, "traceback": []}


@pytest.mark.parametrize(
    ("outputs", "earned", "message"),
    [
        ([], 10, ""),
        ([("stream", {"name": "stdout", "text": "oi"})], 10, ""),
        ([error("CheckError", "f(1): esperava 2")], 0, "f(1): esperava 2"),
        ([error("AssertionError", "\x1b[31mvermelho\x1b[0m")], 0, "vermelho"),
        ([error("NameError", "name 'f' is not defined")], 0, "f não existe: falta escrever a célula que o define, "),
        ([error("NotImplementedError", "")], 0, "Ainda não foi escrita"),
        ([error("KeyboardInterrupt", "")], 0, "O teste passou do tempo"),
        ([error("KeyError", "'Label'")], 0, "O teste parou com KeyError: 'Label'"),
        ([("stream", {"name": "stderr", "text": "cuidado\n"})], 0, "O teste escreveu na saída de erro, "),
        ([("execute_result", {"data": {"text/plain": "4"}, "execution_count": 1})], 4, "Passou em parte"),
    ],
)
def test_every_way_of_not_passing_has_its_sentence(outputs, earned, message):
    score = nota.score_cell(outputs_of(*outputs))
    assert score.earned == earned
    assert score.message.startswith(message)
    assert bool(score.message) == (earned < 10)


def test_what_did_not_run_is_worth_nothing(tmp_path):
    cells = example_lesson.cells()
    find(cells, "99-media-teste").metadata["tags"] = ["skip-execution"]
    find(cells, "99-escolha").source = "import os; os._exit(1)"
    scores = nota.grade_notebook(write(tmp_path, cells))
    assert [(score.grade_id, score.earned) for score in scores] == list(zip(TESTS, [0, 0, None], strict=True))
    assert all(score.message.startswith("Não foi executada") for score in scores[:2])


def test_an_endless_cell_is_interrupted(tmp_path):
    cells = [new_code_cell("while True: pass", id="laco"), new_code_cell("print('segue')", id="segue")]
    notebook = nbformat.read(write(tmp_path, cells), as_version=4)
    execute(notebook, tmp_path, allow_errors=True, timeout=1)
    endless, following = notebook.cells
    assert endless.outputs[0].ename == "KeyboardInterrupt"
    assert following.outputs[0].text == "segue\n"


NOISY = """\
def mean_length(texts):
    import logging, os, subprocess, sys, warnings
    from tqdm import tqdm
    warnings.warn("cuidado")
    logging.getLogger().warning("registro")
    print("erro", file=sys.stderr)
    os.write(2, b"escrito em C\\n")
    subprocess.run([sys.executable, "-c", "import sys; print('outro', file=sys.stderr)"])
    return sum(len(text) for text in tqdm(texts)) / len(texts)"""


def test_noise_costs_no_points(tmp_path):
    cells = example_lesson.cells()
    find(cells, "99-media").source = NOISY.replace(
        "import logging", "if not texts: raise ValueError('vazia')\n    import logging"
    )
    scores = nota.grade_notebook(write(tmp_path, cells))
    assert scores[0].passed, scores[0].message


def test_a_copied_library_function_is_found_out(tmp_path):
    """Importada na célula do estudante, antes do teste, e com outro nome."""
    cells = example_lesson.cells()
    find(cells, "99-media").source = (
        "from llmdefinitions import find_duplicates as mine\n"
        "def mean_length(texts):\n    try: mine(texts, texts)\n    except Exception: return 5.0"
    )
    scores = nota.grade_notebook(write(tmp_path, cells))
    assert scores[0].message.startswith("find_duplicates é o que este exercício recria")

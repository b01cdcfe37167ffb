"""A fonte da correção, comparada com o que o nbgrader de verdade grava na base e distribui."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook
from nbgrader.utils import is_grade, is_locked, is_solution, is_task

from grading.course import open_course
from grading.source import prepare_source

from . import example_lesson
from .conftest import ROOT
from .example_lesson import NAME, course_directory, find, graded

LESSON_03 = "03_preparacao_dos_dados"


def generate(course, lesson):
    """``nbgrader generate_assignment`` de verdade, com a base de notas."""
    scripts = Path(sys.executable).parent
    subprocess.run(
        [scripts / "nbgrader", "generate_assignment", lesson],
        cwd=course,
        env={"PATH": f"{scripts}:/usr/bin:/bin", "HOME": str(course)},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Um curso com a lição de amostra e a lição 03, gerado pelo nbgrader."""
    folder = example_lesson.write_course(tmp_path_factory.mktemp("curso com espaço"))
    shutil.copytree(ROOT / "solutions" / LESSON_03, folder / "solutions" / LESSON_03)
    for lesson in (NAME, LESSON_03):
        generate(folder, lesson)
    return folder


@pytest.fixture
def small_course(tmp_path):
    return example_lesson.write_course(tmp_path / "curso")


def only_source(course, lesson=NAME):
    [source] = prepare_source(course_directory(course), lesson)
    return source


@pytest.mark.parametrize("lesson", [NAME, LESSON_03])
def test_the_cells_are_those_nbgrader_saves(course, lesson):
    notebook = nbformat.reads(only_source(course, lesson).notebook, as_version=4)
    saved_kinds = (is_grade, is_solution, is_locked, is_task)
    prepared = {
        cell.metadata.nbgrader.grade_id: (
            cell.source,
            cell.cell_type,
            is_locked(cell),
            cell.metadata.nbgrader.get("checksum"),
        )
        for cell in notebook.cells
        if any(kind(cell) for kind in saved_kinds)
    }
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        saved = gradebook.find_notebook(lesson, lesson)
        expected = {cell.name: (cell.source, cell.cell_type, cell.locked, cell.checksum) for cell in saved.source_cells}
        kernelspec = json.loads(saved.kernelspec)
    assert prepared == expected
    assert notebook.metadata.kernelspec == kernelspec


@pytest.mark.parametrize("lesson", [NAME, LESSON_03])
def test_the_distributed_notebook_is_the_one_nbgrader_writes(course, lesson):
    written = (course / "notebooks" / lesson / f"{lesson}.ipynb").read_text(encoding="utf-8")
    assert json.loads(only_source(course, lesson).distributed) == json.loads(written)


def test_header_blank_answers_and_whole_tests(course):
    notebook = nbformat.reads(only_source(course).notebook, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].id == "como-entregar"
    assert "raise NotImplementedError" in find(notebook.cells, "99-media").source
    assert "sum(" not in find(notebook.cells, "99-media").source
    assert "BEGIN HIDDEN TESTS" in find(notebook.cells, "99-media-teste").source
    assert find(notebook.cells, "99-texto").source == "*Escreva aqui a sua resposta, no lugar desta linha.*"
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")


def test_the_command_prepares_it_with_the_whole_configuration_of_the_course(small_course):
    [ours] = prepare_source(open_course(small_course).coursedir, NAME)
    assert ours == only_source(small_course)
    assert "Escreva aqui a sua resposta" in ours.distributed


def test_every_notebook_of_the_lesson_and_the_same_every_time(small_course):
    cells = [new_markdown_cell("# Só texto", id="texto")]
    example_lesson.write_notebook(small_course / "solutions" / NAME / "anexo.ipynb", cells)
    example_lesson.write_notebook(small_course / "solutions" / NAME / ".ipynb_checkpoints" / "velho.ipynb", cells)
    sources = prepare_source(course_directory(small_course), NAME)
    assert [(source.lesson, source.name) for source in sources] == [(NAME, NAME), (NAME, "anexo")]
    assert sources == prepare_source(course_directory(small_course), NAME)


def test_the_other_files_of_the_lesson(small_course):
    folder = small_course / "solutions" / NAME
    for name in ("dados.csv", "sub pasta/ação.txt", "aluno.py", "resultados/a.txt", "__pycache__/a.pyc"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x00\xff")
    with (small_course / "nbgrader_config.py").open("a") as config:
        config.write(f'\nc.Autograde.exclude_overwriting = {{"{NAME}": ["aluno.py"]}}\n')
    expected = (("dados.csv", b"\x00\xff"), ("sub pasta/ação.txt", b"\x00\xff"))
    assert only_source(small_course).files == expected


def test_cells_without_ids_receive_stable_ones(small_course):
    path = small_course / "solutions" / NAME / f"{NAME}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["nbformat_minor"] = 4
    for cell in notebook["cells"]:
        del cell["id"]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    source = only_source(small_course)
    ids = [cell.id for cell in nbformat.reads(source.notebook, as_version=4).cells]
    assert ids[:3] == ["como-entregar", "celula-1", "celula-2"]
    assert len(set(ids)) == len(ids)
    assert source == only_source(small_course)


@pytest.mark.parametrize("lesson", ["98_outra", "", "../solutions/99_exemplo", "*"])
def test_a_lesson_that_does_not_exist(small_course, lesson):
    with pytest.raises(click.ClickException) as raised:
        prepare_source(course_directory(small_course), lesson)
    assert raised.value.message.endswith(f"As que existem: {NAME}.")


def test_a_folder_that_is_not_a_course(tmp_path):
    with pytest.raises(click.ClickException, match="Você está na pasta do curso"):
        prepare_source(course_directory(tmp_path), NAME)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([graded("1", "99_a", points=1), graded("2", "99_a", points=1)], "validate"),
        ([new_code_cell("### BEGIN SOLUTION\n1", id="a")], "no end solution"),
    ],
)
def test_a_notebook_nbgrader_refuses(small_course, cells, reason):
    example_lesson.write_notebook(small_course / "solutions" / NAME / "b.ipynb", cells)
    with pytest.raises(click.ClickException, match=reason) as raised:
        prepare_source(course_directory(small_course), NAME)
    assert raised.value.message.startswith("O nbgrader não conseguiu preparar ")
    assert "b.ipynb" in raised.value.message


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"nbformat": 4, "nbformat_minor": 5, "cells": 3}'])
def test_a_file_that_is_not_a_notebook(small_course, content):
    (small_course / "solutions" / NAME / "b.ipynb").write_bytes(content)
    with pytest.raises(click.ClickException, match=r"b\.ipynb"):
        prepare_source(course_directory(small_course), NAME)


def test_a_header_that_is_missing(small_course):
    (small_course / "grading" / "cabecalho.ipynb").unlink()
    with pytest.raises(click.ClickException, match=r"cabecalho\.ipynb"):
        prepare_source(course_directory(small_course), NAME)

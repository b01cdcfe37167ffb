"""A lição de amostra de ``scripts/nova_licao.py``, com que se experimentam as ferramentas."""

from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config, PyFileConfigLoader

from grading.course import copy_configuration
from scripts.nova_licao import SOLUTION, graded, lesson_cells, write_notebook

from .conftest import ROOT

NAME = "99_exemplo"

__all__ = ["NAME", "SOLUTION", "cells", "course_directory", "find", "graded", "write_course", "write_notebook"]


def cells():
    return lesson_cells("99")


def find(notebook_cells, cell_id):
    """A célula com esse id."""
    return next(cell for cell in notebook_cells if cell.id == cell_id)


def write_course(folder):
    """Monta um curso com a configuração deste e uma só lição; devolve a pasta dele."""
    copy_configuration(ROOT, folder)
    write_notebook(folder / "solutions" / NAME / f"{NAME}.ipynb", cells())
    return folder


def course_directory(folder):
    """O ``CourseDirectory`` de um curso, com a configuração que está na pasta dele."""
    path = folder / "nbgrader_config.py"
    config = PyFileConfigLoader(path.name, path=str(folder)).load_config() if path.exists() else Config()
    return CourseDirectory(config=config, root=str(folder))

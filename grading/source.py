"""O lado do professor: de ``solutions/LIÇÃO`` aos cadernos com que as entregas são reconstruídas.

Quem prepara os cadernos são os preprocessadores do nbgrader, na ordem e com a configuração de ``nbgrader
generate_assignment``. A fonte não passa pelos que tiram a parte oculta dos testes; o caderno distribuído, por todos.
"""

import json
from contextlib import chdir
from glob import glob
from pathlib import Path

import click
import nbformat
from jsonschema import ValidationError
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, SaveCells
from nbgrader.utils import find_all_files

from .results import Source

KEEPING_HIDDEN = (SaveCells, ClearHiddenTests, ClearMarkScheme)
"""O que não se aplica à fonte: a parte oculta fica, e quem escreve na base de notas é ``grading.gradebook``."""


def prepare_source(coursedir, lesson):
    """Prepara os cadernos de uma lição para corrigir as entregas dela.

    Muda a pasta corrente do processo enquanto trabalha, como o nbgrader: o cabeçalho é um caminho relativo ao curso.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``, já configurado.
        lesson: o nome da lição, como ``03_preparacao_dos_dados``.

    Returns:
        Uma lista de ``Source``, uma por caderno, na ordem do nome.

    Raises:
        click.ClickException: se a lição não existe, ou se um caderno dela não pode ser preparado.
    """
    folder = _lesson_folder(coursedir, lesson)
    files = _other_files(coursedir, lesson, folder)
    converter = GenerateAssignment(coursedir=coursedir, parent=coursedir)
    complete = _exporter(converter, without=KEEPING_HIDDEN)
    distributed = _exporter(converter, without=(SaveCells,))
    with chdir(coursedir.root):
        return [
            Source(lesson, path.stem, _export(complete, path), files, _export(distributed, path))
            for path in _notebooks(folder)
        ]


def _lesson_folder(coursedir, lesson):
    sources = Path(coursedir.format_path(coursedir.source_directory, ".", "*"))
    lessons = {folder.name: folder for folder in map(Path, sorted(glob(str(sources)))) if _notebooks(folder)}
    if lesson in lessons:
        return lessons[lesson]
    if not lessons:
        raise click.ClickException(f"Não há lições em {sources.parent}. Você está na pasta do curso?")
    raise click.ClickException(f"Não há uma lição {lesson} em {sources.parent}. As que existem: {', '.join(lessons)}.")


def _notebooks(folder):
    return [folder / name for name in sorted(glob("*.ipynb", root_dir=folder))]


def _other_files(coursedir, lesson, folder):
    kept_from_student = Autograde(coursedir=coursedir, parent=coursedir).exclude_overwriting.get(lesson, [])
    paths = {
        Path(path).relative_to(folder).as_posix(): Path(path)
        for path in find_all_files(str(folder), [*coursedir.ignore, "*.ipynb"])
    }
    return tuple((name, path.read_bytes()) for name, path in sorted(paths.items()) if name not in kept_from_student)


def _exporter(converter, without):
    exporter = converter.exporter_class(parent=converter, config=converter.config)
    for preprocessor in converter.preprocessors:
        if preprocessor not in without:
            exporter.register_preprocessor(preprocessor)
    return exporter


def _export(exporter, path):
    try:
        text, _ = exporter.from_filename(str(path))
    # O que o nbgrader e o nbformat levantam para um caderno que não entendem.
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError, ValidationError) as error:
        raise click.ClickException(f"O nbgrader não conseguiu preparar {path}: {_first_line(error)}") from error
    notebook = json.loads(text)
    _give_ids(notebook)
    return nbformat.writes(nbformat.from_dict(notebook))


def _first_line(error):
    return next(iter(str(error).splitlines()), type(error).__name__)


def _give_ids(notebook):
    """Dá ids às células de um caderno de antes do nbformat 4.5, e às que o cabeçalho repete: são a identidade delas."""
    notebook["nbformat_minor"] = max(5, notebook["nbformat_minor"])
    seen = set()
    for position, cell in enumerate(notebook["cells"]):
        if cell.get("id") in {None, *seen}:
            cell["id"] = f"celula-{position}"
        seen.add(cell["id"])

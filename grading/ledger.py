"""O que já foi corrigido: a chave de cada correção e os resultados dela, para que uma interrupção não custe nada.

A chave é um resumo (sha256) de tudo o que decide a nota: a entrega, a fonte, as configurações e o ambiente. Ela fica
em dois lugares: na base, gravada na transação das notas, e no ``corrigir.json`` de ``autograded/``, que só está lá com
a pasta inteira. Uma correção vale se os dois dizem a chave de agora. Interrompida em qualquer ponto, ao menos um não
diz, e a entrega é corrigida de novo. Assim também quando a base ou a pasta são trocadas por uma cópia antiga.
"""

import hashlib
import json
import os
import platform
import stat
import sys
import sysconfig
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import nbformat
from sqlalchemy import Column, MetaData, String, Table, delete, insert, inspect, select

from .batch import refusal
from .course import graded_folder
from .kernels import imported_modules
from .results import CellResult, Note, Result, State

RESULTS = "corrigir.json"
"""O arquivo, em ``autograded/ALUNO/LIÇÃO/``, com os resultados da entrega; existe quando ela está inteira gravada."""

KEYS = Table(
    "corrigir_chaves",
    MetaData(),
    Column("lesson", String, primary_key=True),
    Column("student", String, primary_key=True),
    Column("key", String, nullable=False),
)
"""A tabela, na base do nbgrader, com a chave de cada correção gravada."""

LARGEST_READ = 200_000_000  # bytes; de um arquivo maior, que a correção nem copia, contam o tamanho e a data


def submission_key(folder):
    """O resumo de uma entrega: os nomes e o conteúdo dos arquivos comuns, sem seguir links.

    Args:
        folder: a pasta ``submitted/ALUNO/LIÇÃO``.

    Returns:
        Um texto em hexadecimal.

    Raises:
        OSError: se um arquivo não pode ser lido.
    """
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        information = path.lstat()
        _add(digest, os.fsencode(path.relative_to(folder)))
        if information.st_size > LARGEST_READ:
            _add(digest, f"{information.st_size} {information.st_mtime_ns}".encode())
            continue
        with path.open("rb") as file:
            _add(digest, hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _files(folder):
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in ("__pycache__", ".ipynb_checkpoints")]
        for name in names:
            path = Path(place, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _add(digest, piece):
    digest.update(len(piece).to_bytes(8, "big") + piece)


class CorrectionKeys:
    """As chaves das correções de uma lição, feitas de um modo.

    Args:
        sources: os cadernos da lição, de ``grading.source.prepare_source``.
        settings: as ``Settings``; o endereço dos kernels aquecidos não conta, porque é outro a cada vez. Sem elas
            a chave só tem a parte da entrega e da fonte.
    """

    def __init__(self, sources, settings=None):
        self._source = _summary([asdict(source) for source in sources])
        self._conditions = _conditions(settings, sources) if settings else ""

    def of(self, submission):
        """A chave da correção de uma entrega: ``CONTEÚDO-CONDIÇÕES``; vazia se a entrega não é para ser aberta."""
        if refusal(submission):
            return ""
        try:
            return f"{_summary([self._source, submission_key(submission.folder)])}-{self._conditions}"
        except OSError:  # a correção dirá o que houve
            return ""


def content_of(key):
    """A parte de uma chave que só depende da entrega e da fonte."""
    return key.partition("-")[0]


def _conditions(settings, sources):
    """Como se corrige: as configurações, o Python, os pacotes e os módulos que mudam sem mudar de versão."""
    modules = imported_modules([nbformat.reads(source.notebook, as_version=4) for source in sources])
    own = [module_key(name) for name in sorted({"grading", *modules})]
    return _summary([asdict(replace(settings, kernels="")), _installed(), own])


@cache
def _installed():
    packages = sorted({f"{one.name}=={one.version}" for one in distributions()})
    return [platform.python_implementation(), sys.version, platform.machine(), packages]


@cache
def module_key(name):
    """O resumo dos arquivos de um módulo que não está entre os pacotes instalados: o de um curso em desenvolvimento."""
    try:
        spec = find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.has_location:
        return ""
    origin = Path(spec.origin)
    if any(origin.is_relative_to(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib")):
        return ""
    paths = origin.parent.rglob("*.py") if spec.submodule_search_locations else [origin]
    return _summary([path.read_text(encoding="utf-8") for path in sorted(paths)])


def _summary(contents):
    text = json.dumps(contents, sort_keys=True, default=_as_text, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _as_text(value):
    return value.hex() if isinstance(value, bytes) else str(value)


# --- o que está gravado


def recorded(gradebook, coursedir, lesson):
    """As correções que valem: inteiras na base e na pasta, e sem falha da correção.

    Args:
        gradebook: o ``nbgrader.api.Gradebook`` aberto.
        coursedir: o ``nbgrader.coursedir.CourseDirectory``.
        lesson: o nome da lição.

    Returns:
        Dicionário do aluno para ``(key, results)``: a chave com que foi corrigido e os ``Result``.
    """
    with gradebook.engine.connect() as connection:
        if not inspect(connection).has_table(KEYS.name):
            return {}
        keys = dict(connection.execute(select(KEYS.c.student, KEYS.c.key).where(KEYS.c.lesson == lesson)).all())
    submitted = {one.student_id for one in gradebook.assignment_submissions(lesson)}
    found = {student: read_results(graded_folder(coursedir, student, lesson)) for student in keys}
    return {
        student: (key, results)
        for student, (key, results) in found.items()
        if key and key == keys[student] and student in submitted
    }


def save_key(gradebook, submission, key):
    """Grava a chave de uma correção, na transação aberta; uma vazia apaga a que houver."""
    whose = {"lesson": submission.lesson, "student": submission.student}
    gradebook.db.execute(delete(KEYS).filter_by(**whose))
    if key:
        gradebook.db.execute(insert(KEYS).values(key=key, **whose))


def write_results(folder, key, results):
    """Grava o ``corrigir.json`` de uma entrega.

    Args:
        folder: a pasta onde fica.
        key: a chave da correção.
        results: os ``Result``, um por caderno.
    """
    described = [{name: value for name, value in asdict(one).items() if name != "notebook"} for one in results]
    (folder / RESULTS).write_text(json.dumps({"key": key, "results": described}, indent=1), encoding="utf-8")


def read_results(folder):
    """Lê o ``corrigir.json`` de uma entrega corrigida.

    Args:
        folder: a pasta ``autograded/ALUNO/LIÇÃO``.

    Returns:
        ``(key, results)``: a chave da correção e os ``Result``, sem o caderno executado, que é o ``.ipynb`` ao lado.
        ``("", [])`` se a entrega não foi corrigida, ou se o arquivo não é um destes.
    """
    try:
        contents = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        return contents["key"], [_result(one) for one in contents["results"]]
    except (OSError, ValueError, KeyError, TypeError):
        return "", []


def _result(described):
    cells = [CellResult(**{**cell, "state": State(cell["state"])}) for cell in described["cells"]]
    notes = {name: tuple(Note(**note) for note in described[name]) for name in ("changes", "flags")}
    return Result(**{**described, "state": State(described["state"]), "cells": tuple(cells), **notes})

"""Entregas que não são bem um caderno, ou não são o da lição; nenhuma pode parar a turma."""

import json
import os
from copy import deepcopy

import nbformat
from nbformat.v4 import new_output

from grading.rebuild import MAX_BYTES, Change
from grading.results import State

from .licao import LESSON, answer, collector, find, save

BROKEN, entry = collector()
"""Todas, como ``Entry``."""

UNREADABLE = {"earned": 0, "state": State.UNREADABLE}


def path_in(folder):
    return folder / f"{LESSON}.ipynb"


def saved_text(folder, notebook):
    return save(folder, answer(notebook)).read_text(encoding="utf-8")


@entry("vazia", **UNREADABLE)
def empty(folder, notebook):
    """Um arquivo sem nada."""
    path_in(folder).touch()


@entry("binária", **UNREADABLE)
def binary(folder, notebook):
    """Bytes quaisquer, com nome de caderno."""
    path_in(folder).write_bytes(bytes(range(128, 256)) * 1000)


@entry("truncada", **UNREADABLE)
def truncated(folder, notebook):
    """Um caderno cortado no meio, como um envio que caiu."""
    text = saved_text(folder, notebook)
    path_in(folder).write_text(text[: len(text) // 2], encoding="utf-8")


@entry("UTF-16")
def utf_16(folder, notebook):
    """Um caderno certo, salvo em UTF-16 por um editor de texto."""
    path_in(folder).write_text(saved_text(folder, notebook), encoding="utf-16")


@entry("marca de UTF-8")
def utf_8_mark(folder, notebook):
    """Um caderno certo, com a marca de ordem de bytes no começo."""
    path_in(folder).write_text(saved_text(folder, notebook), encoding="utf-8-sig")


@entry("Latin-1", **UNREADABLE)
def latin_1(folder, notebook):
    """Um caderno salvo na codificação antiga do Windows."""
    path_in(folder).write_bytes(saved_text(folder, notebook).encode("latin-1", "replace"))


@entry("kernel errado", changes=[Change.KERNEL])
def wrong_kernel(folder, notebook):
    """Um caderno certo que pede o kernel de outra linguagem."""
    notebook.metadata.kernelspec = {"name": "julia-1.9", "display_name": "Julia 1.9", "language": "julia"}
    save(folder, answer(notebook))


@entry("nbformat 3")
def nbformat_3(folder, notebook):
    """Um caderno certo no formato de 2013."""
    old = nbformat.convert(answer(notebook), 3)
    path_in(folder).write_text(nbformat.writes(old, version=3), encoding="utf-8")


@entry("nbformat 3 estragado", **UNREADABLE)
def broken_nbformat_3(folder, notebook):
    """Um caderno no formato de 2013 cujas células não têm o que deviam."""
    path_in(folder).write_text(json.dumps({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code"}]}]}))


@entry("caderno faltando", **UNREADABLE)
def missing(folder, notebook):
    """Uma pasta com outro arquivo, sem o caderno."""
    (folder / "leia-me.txt").write_text("Professor, envio amanhã.", encoding="utf-8")


@entry("outro nome", **UNREADABLE)
def renamed(folder, notebook):
    """O caderno com outro nome, com acentos e espaços."""
    save(folder, answer(notebook)).rename(folder / "Lição 98 – versão final.ipynb")


@entry("João da Silva")
def accents_and_spaces(folder, notebook):
    """Um caderno certo na pasta de um estudante com acentos e espaços no nome, com arquivos assim também."""
    save(folder, answer(notebook))
    (folder / "minhas anotações").mkdir()
    (folder / "minhas anotações" / "açaí & cia's.txt").write_text("açaí", encoding="utf-8")


@entry("50 MB")
def fifty_megabytes(folder, notebook):
    """Um caderno certo com cinquenta megabytes de saídas."""
    answer(notebook)
    find(notebook, "98_soma").outputs = [new_output("stream", name="stdout", text="x" * 50_000_000)]
    save(folder, notebook)


@entry("grande demais", **UNREADABLE)
def too_large(folder, notebook):
    """Um arquivo maior do que o que se lê."""
    path_in(folder).touch()
    os.truncate(path_in(folder), MAX_BYTES + 1)


@entry("aninhada", **UNREADABLE)
def nested(folder, notebook):
    """JSON com listas dentro de listas, cem mil vezes."""
    path_in(folder).write_text('{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}")


@entry("aninhada nos metadados", **UNREADABLE)
def nested_metadata(folder, notebook):
    """Um caderno certo, menos um metadado com cem mil níveis."""
    text = saved_text(folder, notebook)
    path_in(folder).write_text(
        text.replace('"metadata"', '"metadata": ' + '{"a":' * 100_000 + "0" + "}" * 100_000 + ', "b"', 1)
    )


@entry("lista no lugar do caderno", **UNREADABLE)
def list_instead(folder, notebook):
    """JSON que não é um caderno."""
    path_in(folder).write_text("[1, 2]")


@entry("células que não são lista", **UNREADABLE)
def cells_not_a_list(folder, notebook):
    """Um caderno em que ``cells`` é um texto."""
    path_in(folder).write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": "nada"}))


@entry("tipos trocados")
def wrong_types(folder, notebook):
    """Um caderno certo com tipos errados no que não faz falta: metadados, saídas, contagens."""
    content = json.loads(saved_text(folder, notebook)) | {"metadata": [], "nbformat": "4", "nbformat_minor": None}
    for cell in content["cells"]:
        cell |= {"outputs": 3, "execution_count": "dez", "attachments": ["a"], "extra": None}
        cell["metadata"] |= {"tags": 3, "collapsed": []}
    content["cells"] += [None, 3, "célula", [], {}, {"cell_type": 3, "source": 3, "metadata": 3}]
    path_in(folder).write_text(json.dumps(content), encoding="utf-8")


@entry("surrogates soltos")
def lone_surrogates(folder, notebook):
    """Um caderno certo com meio caractere no texto de uma célula, que nenhum arquivo em UTF-8 pode ter."""
    content = json.loads(saved_text(folder, notebook))
    content["cells"][0]["source"] = "meio \ud83d caractere"
    path_in(folder).write_text(json.dumps(content))


@entry("teste duplicado", changes=[Change.DUPLICATED])
def duplicated_test(folder, notebook):
    """Um caderno certo com uma célula de teste repetida."""
    notebook.cells.append(deepcopy(find(answer(notebook), "98_soma_teste")))
    notebook.cells[-1].id = "copia"
    save(folder, notebook)


@entry("sem células", earned=0, changes=[Change.MISSING])
def no_cells(folder, notebook):
    """Um caderno sem nenhuma célula."""
    notebook.cells = []
    save(folder, notebook)


@entry("pasta com nome de caderno", **UNREADABLE)
def a_folder(folder, notebook):
    """Uma pasta no lugar do caderno."""
    path_in(folder).mkdir()


@entry("atalho", **UNREADABLE)
def symbolic_link(folder, notebook):
    """Um atalho para um arquivo de fora da entrega."""
    path_in(folder).symlink_to(folder.parents[2] / "solutions" / LESSON / f"{LESSON}.ipynb")


@entry("fila no lugar do caderno", **UNREADABLE)
def named_pipe(folder, notebook):
    """Um FIFO: quem o abrisse para ler esperaria para sempre."""
    os.mkfifo(path_in(folder))


@entry("arquivos no caminho")
def files_in_the_way(folder, notebook):
    """Um caderno certo, com um arquivo onde a lição tem uma pasta e uma pasta onde ela tem um arquivo."""
    save(folder, answer(notebook))
    (folder / "figuras").write_text("um arquivo", encoding="utf-8")
    (folder / "dados.csv").mkdir()
    (folder / "dados.csv" / "a.txt").write_text("uma pasta", encoding="utf-8")

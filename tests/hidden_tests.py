"""A parte oculta dos testes, lida da fonte pelos seus marcadores, e as linhas dela que um texto deixa ver."""

import html

import nbformat
from nbgrader.utils import is_grade

BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
SHORTEST = 12


def hidden_test_lines(path):
    """As linhas ocultas de um caderno do professor que não estão também à vista.

    Args:
        path: o caderno.

    Returns:
        O conjunto delas, sem as pontas e sem as de menos de ``SHORTEST`` caracteres.
    """
    hidden, visible = set(), set()
    for cell in nbformat.read(path, as_version=4).cells:
        inside = False
        for line in map(str.strip, cell.source.splitlines()):
            if line in (BEGIN, END):
                assert is_grade(cell), cell.id
                inside = line == BEGIN
            elif len(line) >= SHORTEST:
                (hidden if inside else visible).add(line)
    return hidden - visible


def shown_lines(lines, page):
    """As linhas que aparecem numa página HTML."""
    text = html.unescape(page)
    return {line for line in lines if line in text}

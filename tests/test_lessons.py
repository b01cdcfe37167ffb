"""Toda lição segue o padrão do curso, e cada regra do padrão percebe a lição que não a segue."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from . import example_lesson, lesson_pattern
from .conftest import LESSONS
from .example_lesson import find


@pytest.mark.parametrize("rule", lesson_pattern.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_lesson_follows_the_pattern(path, rule):
    assert list(rule(nbformat.read(path, as_version=4))) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_lesson_has_its_name(path):
    assert path.stem == path.parent.name


@pytest.fixture
def notebook():
    """A lição de exemplo, como se tivesse sido executada."""
    cells = example_lesson.cells()
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
    return new_notebook(cells=cells)


@pytest.mark.parametrize("rule", lesson_pattern.RULES, ids=lambda rule: rule.__name__)
def test_the_example_follows_the_pattern(notebook, rule):
    assert list(rule(notebook)) == []


def replaced(cell_id, old, new):
    def spoil(notebook):
        cell = find(notebook.cells, cell_id)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return spoil


def added(*cells):
    def spoil(notebook):
        notebook.cells[2:2] = cells

    return spoil


def printed(cell_id, output_type, **fields):
    def spoil(notebook):
        find(notebook.cells, cell_id).outputs = [new_output(output_type, **fields)]

    return spoil


def marked(notebook):
    find(notebook.cells, "aula").metadata["tags"] = ["nbval-skip"]


def worth(points):
    def spoil(notebook):
        find(notebook.cells, "99-texto").metadata.nbgrader.points = points

    return spoil


def out_of_order(notebook):
    notebook.cells.insert(1, notebook.cells.pop())


LONG = "\n".join(f"x{number} = {number}" for number in range(16))
SILENT_FIGURE = {"data": {"text/html": '<img src="data:image/png;base64,AAAA">'}}
FIGURE = {"data": {"text/html": '<img alt="Um gato" src="data:image/png;base64,AAAA">', "text/plain": "Um gato"}}

SPOILED = [
    (lesson_pattern.opening_and_closing, replaced("abertura", "# Título", "Título"), "não começa pelo título"),
    (lesson_pattern.opening_and_closing, replaced("abertura", "75 minutos", "pouco"), "quantos minutos"),
    (lesson_pattern.opening_and_closing, replaced("resumo", "## Resumo", ""), "falta a seção ## Resumo"),
    (lesson_pattern.opening_and_closing, out_of_order, "não estão nesta ordem"),
    (lesson_pattern.short_cells, added(new_code_cell(LONG, id="longa")), "longa: 16 linhas; o limite é 15"),
    (lesson_pattern.short_cells, replaced("99-media", "def ", "\n" * 26 + "def "), None),
    (lesson_pattern.short_cells, replaced("99-media", "def ", "#\n" * 26 + "def "), "99-media: 28 linhas"),
    (lesson_pattern.short_cells, added(new_code_cell("1", id="u"), new_code_cell("2", id="v")), "3 células de código"),
    (lesson_pattern.figures, added(new_markdown_cell("![](a.png)", id="m")), "sem texto alternativo"),
    (
        lesson_pattern.figures,
        added(new_markdown_cell("![um gato](a.png) <img src='b.png'>", id="m")),
        "<img src='b.png'>",
    ),
    (lesson_pattern.figures, printed("aula", "display_data", data={"image/png": "AAAA"}), "há uma figura solta"),
    (lesson_pattern.figures, printed("aula", "display_data", **SILENT_FIGURE), "sem texto alternativo: <img src"),
    (lesson_pattern.figures, printed("aula", "display_data", **FIGURE), None),
    (lesson_pattern.exercise_cards, replaced("cartao-1", "●○○○○", ""), "99_media: falta a dificuldade"),
    (lesson_pattern.exercise_cards, replaced("cartao-2", "3 minutos", ""), "99_escolha: falta os minutos"),
    (lesson_pattern.exercise_cards, replaced("cartao-3", "<details>", ""), "99_texto: falta as dicas"),
    (lesson_pattern.exercise_cards, replaced("cartao-1", "Estou vendo", "Vi"), "falta «Estou vendo o erro»"),
    (lesson_pattern.exercise_cards, replaced("cartao-1", "```python", "```"), "falta um exemplo"),
    (lesson_pattern.grades, worth(5), "os pontos somam 95"),
    (lesson_pattern.grades, worth(20), "20 pontos são corrigidos à mão"),
    (lesson_pattern.grades, added(example_lesson.graded("pass", "99_media", points=0)), "nota 99_media aparece 2"),
    (lesson_pattern.grades, added(example_lesson.graded("pass", "outra_teste", points=0)), "começar pelo número"),
    (lesson_pattern.grades, added(example_lesson.graded("pass", "99_soma", points=0)), "é o da solução mais _teste"),
    (lesson_pattern.grades, added(new_markdown_cell("x", id="aula")), "o id de célula aula aparece 2 vezes"),
    (lesson_pattern.test_cells, replaced("99-media-teste", "# Confere", "# confere"), "não é uma frase"),
    (lesson_pattern.test_cells, replaced("99-media-teste", "### BEGIN HIDDEN TESTS", ""), "não há testes ocultos"),
    (lesson_pattern.test_cells, printed("99-media-teste", "stream", name="stdout", text="ok"), "não é silencioso"),
    (lesson_pattern.test_cells, replaced("99-media-teste", "received = ", "assert "), "assert sem mensagem"),
    (lesson_pattern.test_cells, replaced("99-texto", "MARK SCHEME", "RUBRICA"), "99_texto: falta a rubrica"),
    (lesson_pattern.quiz, replaced("pergunta-1", "- **c)** 10", ""), "pergunta-1: as opções são a, b"),
    (lesson_pattern.quiz, replaced("pergunta-2", "- **c)** É a soma", "- É a soma"), "pergunta-2: nem toda opção"),
    (lesson_pattern.quiz, lambda notebook: notebook.cells.pop(-2), "de ### Pergunta 1 a ### Pergunta 5"),
    (lesson_pattern.stored_outputs, added(new_code_cell("1", id="nova")), "não foram executadas uma vez"),
    (lesson_pattern.stored_outputs, printed("aula", "stream", name="stderr", text="x"), "aula: a saída gravada tem"),
    (
        lesson_pattern.stored_outputs,
        replaced("aula", "texts =", "# NBVAL_IGNORE_OUTPUT\ntexts ="),
        "não são usadas aqui",
    ),
    (lesson_pattern.stored_outputs, marked, "não são usadas aqui"),
    (lesson_pattern.finished_text, replaced("aula", "texts =", "# TO" + "DO\ntexts ="), "o texto tem"),
    (lesson_pattern.finished_text, replaced("numeros", "-->2<", "--><"), "len(texts): falta o número"),
    (lesson_pattern.finished_text, replaced("numeros", "São <!--=", "São\n<!--="), "partiria o parágrafo"),
]


@pytest.mark.parametrize(("rule", "spoil", "problem"), SPOILED)
def test_each_rule_sees_what_is_missing(notebook, rule, spoil, problem):
    spoil(notebook)
    problems = list(rule(notebook))
    assert any(problem in one for one in problems) if problem else problems == []

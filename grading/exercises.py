"""Os exercícios de um caderno como o estudante os vê: o título, a seção e as dicas de cada célula avaliada.

Tudo sai do caderno distribuído, que não tem a parte oculta dos testes nem o critério de correção.
"""

import re
from dataclasses import dataclass, replace

import nbformat
from bleach.sanitizer import Cleaner
from markupsafe import Markup
from nbconvert.filters import markdown2html
from nbgrader.utils import is_grade, is_solution, is_task

_TAGS = {"blockquote", "br", "code", "em", "li", "ol", "p", "pre", "strong", "sub", "sup", "ul"}
_TABLE = {"table", "tbody", "td", "th", "thead", "tr"}
_blocks = Cleaner(tags=_TAGS | _TABLE, attributes={}, strip=True)
_inline = Cleaner(tags={"code", "em", "strong", "sub", "sup"}, attributes={}, strip=True)

_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*")
_DETAILS = re.compile(r"<details[^>]*>(?:\s*<summary[^>]*>.*?</summary>)?(.*?)</details>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Exercise:
    """Uma célula avaliada, e onde ela está no caderno.

    Attributes:
        grade_id: o id dela.
        title: o título mais próximo acima dela, em HTML seguro; o id, se não há um.
        section: o título da seção em que esse está; vazio se não está numa.
        hints: o que está nos ``<details>`` do enunciado, em HTML seguro; vazio se não há.
        answers: os ids das células de resposta a que a nota se refere, nas quais o professor comenta.
        by_hand: se quem a corrige é o professor.
    """

    grade_id: str
    title: Markup
    section: Markup
    hints: Markup
    answers: tuple[str, ...]
    by_hand: bool


def find_exercises(source):
    """Acha os exercícios de um caderno.

    Args:
        source: a ``Source``, de ``grading.source.prepare_source``.

    Returns:
        ``(title, exercises)``: o título do caderno, em HTML seguro, ou vazio; e a lista dos ``Exercise``, na ordem.
    """
    notebook = nbformat.reads(source.distributed, as_version=4)
    path, statement, answers, exercises = [], "", [], []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for level, text in _headings(cell.source):
                path = [(other, title) for other, title in path if other < level] + [(level, text)]
                statement = ""
            statement += cell.source
        if is_solution(cell):
            answers.append(cell.metadata.nbgrader.grade_id)
        if is_grade(cell) or is_task(cell):
            exercises.append(_exercise(cell, path, statement, answers))
            answers = []
    if answers and exercises:  # respostas sem nota, no fim do caderno: os comentários delas não se perdem
        exercises[-1] = replace(exercises[-1], answers=(*exercises[-1].answers, *answers))
    title = next((text for cell in notebook.cells for level, text in _cell_headings(cell) if level == 1), "")
    return _to_inline(title), _number_repeated(exercises)


def hidden_lines(source):
    """As linhas da fonte que não estão no caderno distribuído: a parte oculta dos testes.

    Args:
        source: a ``Source``.

    Returns:
        O conjunto delas, sem as pontas e sem as curtas, que se acham em qualquer texto.
    """
    complete, distributed = (nbformat.reads(text, as_version=4) for text in (source.notebook, source.distributed))
    return _lines(complete) - _lines(distributed)


SHORTEST = 12
"""Caracteres da menor linha que se procura."""


def _lines(notebook):
    lines = {line.strip() for cell in notebook.cells for line in cell.source.splitlines()}
    return {line for line in lines if len(line) >= SHORTEST}


def _exercise(cell, path, statement, answers):
    grade_id = cell.metadata.nbgrader.grade_id
    titles = [_to_inline(text) for level, text in path if level > 1]
    return Exercise(
        grade_id=grade_id,
        title=titles[-1] if titles else Markup.escape(grade_id),
        section=titles[-2] if len(titles) > 1 else Markup(),
        hints=_to_blocks("\n\n".join(_DETAILS.findall(statement))),
        answers=tuple(answers) or (grade_id,),
        by_hand=is_task(cell) or is_solution(cell),
    )


def _number_repeated(exercises):
    """Distingue os exercícios que têm o mesmo título: o enunciado de um pode ter várias células avaliadas."""
    titles = [exercise.title for exercise in exercises]
    numbered = []
    for index, exercise in enumerate(exercises):
        if (copies := titles.count(exercise.title)) > 1:
            part = titles[: index + 1].count(exercise.title)
            exercise = replace(exercise, title=exercise.title + f", parte {part} de {copies}")
        numbered.append(exercise)
    return numbered


def _cell_headings(cell):
    return _headings(cell.source) if cell.cell_type == "markdown" else ()


def _headings(text):
    """Pares ``(nível, título)``; um ``#`` num bloco de código não é um título."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and (found := _HEADING.fullmatch(line)):
            yield len(found[1]), found[2]


def _to_inline(text):
    text = re.sub(r"^(\d+)([.)])", r"\1\\\2", text)  # «1. Título» não é uma lista
    return Markup(_inline.clean(markdown2html(text)).strip())  # noqa: S704 — acabou de passar pelo bleach


def _to_blocks(text):
    return Markup(_blocks.clean(markdown2html(text)).strip()) if text.strip() else Markup()  # noqa: S704 — idem

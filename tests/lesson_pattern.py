"""O padrão das lições, em regras que se conferem: cada uma recebe um caderno do professor e diz o que falta."""

import ast
import itertools
import re
from collections import Counter

from nbgrader.utils import is_grade, is_solution

from grading.cells import DEMONSTRATION

LECTURE_LINES = 15
GRADED_LINES = 25
"""Quantas linhas uma célula de código mostra ao estudante: da aula e avaliada."""

SECTIONS = ["Objetivos", "Pré-requisitos", "Resumo", "Perguntas", "Referências"]
HIDDEN = re.compile(r"^ *### BEGIN (SOLUTION|HIDDEN TESTS).*?### END \1$\n?", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"^- \*\*([a-e])\)\*\* ", re.MULTILINE)


def is_code(cell):
    return cell.cell_type == "code"


def is_test(cell):
    return is_code(cell) and is_grade(cell)


def is_manual(cell):
    return is_grade(cell) and is_solution(cell)


def is_lecture(cell):
    return is_code(cell) and not is_grade(cell) and not is_solution(cell)


def grade_id(cell):
    return cell.metadata.nbgrader.grade_id


def text_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def opening_and_closing(notebook):
    """Título, seções na ordem e a duração em minutos."""
    first = notebook.cells[0].source
    if not first.startswith("# "):
        yield "a primeira célula não começa pelo título (# …)"
    titles = re.findall(r"^## (.+)$", text_of(notebook), re.MULTILINE)
    places = [next((i for i, title in enumerate(titles) if title.startswith(name)), None) for name in SECTIONS]
    for name, place in zip(SECTIONS, places, strict=True):
        if place is None:
            yield f"falta a seção ## {name}"
    found = [place for place in places if place is not None]
    if found != sorted(found):
        yield f"as seções {', '.join(SECTIONS)} não estão nesta ordem"
    opening = "".join(cell.source for cell in itertools.takewhile(lambda cell: not is_code(cell), notebook.cells))
    if not re.search(r"\d+ minutos", opening):
        yield "a abertura não diz quantos minutos a lição leva"


def short_cells(notebook):
    """Células de código curtas, e nunca muitas sem uma palavra."""
    for cell in filter(is_code, notebook.cells):
        lines = len(HIDDEN.sub("", cell.source).strip().splitlines())
        limit = LECTURE_LINES if is_lecture(cell) else GRADED_LINES
        if lines > limit:
            yield f"{cell.id}: {lines} linhas; o limite é {limit}"
    for code, group in itertools.groupby(notebook.cells, key=is_code):
        cells = list(group)
        if code and len(cells) > 2:
            yield f"{cells[0].id}: {len(cells)} células de código seguidas, sem texto"


def figures(notebook):
    """Toda figura tem texto alternativo."""
    for alt in re.findall(r"!\[(.*?)\]\(", text_of(notebook)):
        if not alt.strip():
            yield "uma figura do texto está sem texto alternativo"
    outputs = [output for cell in filter(is_code, notebook.cells) for output in cell.outputs]
    for page in (text_of(notebook), *(output.get("data", {}).get("text/html", "") for output in outputs)):
        for tag in re.findall(r"<img[^>]*>", page):
            if not re.search(r'alt="[^"]+"', tag):
                yield f"sem texto alternativo: {tag[:60]}"
    # O HTML do nbconvert e o JupyterLab não leem o texto alternativo dos metadados de uma imagem solta.
    if any("image/png" in output.get("data", {}) for output in outputs):
        yield "há uma figura solta, sem texto alternativo: mostre-a por uma função de llmdefinitions.plotting"


def exercise_cards(notebook):
    """Antes de cada resposta, o cartão: dificuldade, minutos, pontos, exemplo e dicas dobradas."""
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if not is_solution(cell):
            continue
        needed = {"a dificuldade (●●○○○)": "[●○]{5}", "os minutos": r"\d+ minutos", "as dicas": "<details>"}
        if is_code(cell):
            needed |= {"um exemplo em ```python": "```python", "«Estou vendo o erro»": "(?i)estou vendo o erro"}
        for what, pattern in needed.items():
            if before.cell_type != "markdown" or not re.search(pattern, before.source):
                yield f"{grade_id(cell)}: falta {what} no cartão"


def grades(notebook):
    """Ids únicos, com o número da lição; 100 pontos, no máximo 10 deles à mão."""
    names = [grade_id(cell) for cell in notebook.cells if is_grade(cell) or is_solution(cell)]
    for kind, counted in (("célula", [cell.id for cell in notebook.cells]), ("nota", names)):
        for name, times in Counter(counted).items():
            if times > 1:
                yield f"o id de {kind} {name} aparece {times} vezes"
    for name in names:
        if not re.match(r"\d\d_", name):
            yield f"{name}: o id deve começar pelo número da lição"
    for cell in filter(is_test, notebook.cells):
        if grade_id(cell).removesuffix("_teste") not in names or not grade_id(cell).endswith("_teste"):
            yield f"{grade_id(cell)}: o id do teste é o da solução mais _teste"
    total = sum(cell.metadata.nbgrader.points for cell in notebook.cells if is_grade(cell))
    by_hand = sum(cell.metadata.nbgrader.points for cell in notebook.cells if is_manual(cell))
    if total != 100:
        yield f"os pontos somam {total}, e não 100"
    if by_hand > 10:
        yield f"{by_hand} pontos são corrigidos à mão; o máximo é 10"


def test_cells(notebook):
    """Uma frase que diz o que confere, testes ocultos, silêncio e nenhuma conferência sem mensagem."""
    for cell in filter(is_test, notebook.cells):
        name = grade_id(cell)
        if not re.match(r"# [A-ZÀ-Ú].*\.$", cell.source.splitlines()[0]):
            yield f"{name}: a primeira linha não é uma frase que diz o que o teste confere"
        if "### BEGIN HIDDEN TESTS" not in cell.source:
            yield f"{name}: não há testes ocultos"
        if cell.outputs:
            yield f"{name}: o teste não é silencioso"
        if any(isinstance(node, ast.Assert) and node.msg is None for node in ast.walk(ast.parse(cell.source))):
            yield f"{name}: há um assert sem mensagem"
    for cell in filter(is_manual, notebook.cells):
        if "=== BEGIN MARK SCHEME ===" not in cell.source:
            yield f"{grade_id(cell)}: falta a rubrica (MARK SCHEME)"


def quiz(notebook):
    """Cinco perguntas, com uma explicação dobrada para cada opção."""
    questions = [cell for cell in notebook.cells if cell.source.startswith("### Pergunta ")]
    if [cell.source[len("### Pergunta ")] for cell in questions] != [*"12345"]:
        yield "esperava cinco células, de ### Pergunta 1 a ### Pergunta 5"
    for cell in questions:
        asked, _, explained = cell.source.partition("<details>")
        options, explanations = OPTION.findall(asked), OPTION.findall(explained)
        if options != list("abcde"[: len(options)]) or len(options) < 3:
            yield f"{cell.id}: as opções são {', '.join(options) or 'nenhuma'}; esperava a, b, c…"
        if explanations != options or not explained.rstrip().endswith("</details>"):
            yield f"{cell.id}: nem toda opção é explicada em <details>"


def stored_outputs(notebook):
    """Saídas de uma execução do começo ao fim, sem erros nem avisos, e conferidas todas."""
    code = [cell for cell in notebook.cells if is_code(cell)]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "as células não foram executadas uma vez, na ordem: rode scripts/executar_licao.py"
    for cell in code:
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"{cell.id}: a saída gravada tem um erro ou um aviso"
        if set(cell.metadata.get("tags", ())) - {DEMONSTRATION} or re.search("NBVAL|PYTEST_VALIDATE", cell.source):
            yield f"{cell.id}: as marcas que tiram uma célula da conferência não são usadas aqui"


def finished_text(notebook):
    """Nada por fazer e nenhum número por preencher."""
    everything = "\n".join(cell.source for cell in notebook.cells)
    for mark in re.findall(r"\b(?:T[O]DO|FIXM[E]|X{3})\b", everything):
        yield f"o texto tem {mark}"
    for expression, value in re.findall(r"<!--=(.*?)-->(.*?)<!--/-->", everything, re.DOTALL):
        if not value.strip():
            yield f"{expression.strip()}: falta o número; rode scripts/executar_licao.py"
    for expression in re.findall(r"^ *<!--=(.*?)-->", everything, re.MULTILINE):
        yield f"{expression.strip()}: a marca no começo da linha partiria o parágrafo, ou colaria o número à palavra"


RULES = (
    opening_and_closing,
    short_cells,
    figures,
    exercise_cards,
    grades,
    test_cells,
    quiz,
    stored_outputs,
    finished_text,
)

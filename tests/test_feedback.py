"""O feedback: correções, base e páginas de verdade; o que cada aluno lê, e o que não pode ler."""

import base64
import hashlib
import html
import os
import re
import shutil
import sqlite3
import stat
from contextlib import contextmanager
from html.parser import HTMLParser
from itertools import pairwise

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook

from grading.cli import OTHERS
from grading.course import copy_configuration, open_course
from grading.exercises import find_exercises, hidden_lines
from grading.feedback import command, write_page
from grading.feedback_page import (
    CHANGED,
    LONGEST,
    NOT_GRADED,
    OUR_FAULT,
    WITH_TEACHER,
    WITHHELD,
    WRITE_IT,
    Mark,
    Section,
    clean,
    make_page,
    number,
)
from grading.gradebook import GradebookWriter
from grading.results import CellResult, Result, State, Submission
from grading.source import prepare_source
from scripts.nova_licao import graded as graded_cell

from . import example_lesson
from .conftest import LESSONS, ROOT
from .example_lesson import NAME, find
from .hidden_tests import hidden_test_lines, shown_lines
from .mutants import exercises as solutions_of
from .simple_grading import to_result
from .test_corrigir import correct, submit
from .test_mutants import load, solution_sources

RIGHT, HOSTILE = "Zoë d'Ávila", "<script>alert(1)<b onclick='x'>"
MEAN, CHOICE, TEXT = "99_media_teste", "99_escolha_teste", "99_texto"
STUB = '    raise NotImplementedError("Escreva aqui a sua resposta e apague esta linha.")'
VOID = ("area", "base", "br", "col", "hr", "img", "input", "link", "meta", "rect", "source", "wbr")
HIDDEN_ONLY = "def mean_length(texts):\n    return sum(map(len, texts)) / max(1, len(texts))"
SHOUT = "def mean_length(texts):\n    raise ValueError('<script>alert(2)</script>\\n<img src=x onerror=alert(3)>')"
PEEK = "import sys\ndef mean_length(texts):\n    sys._getframe(1)\n    return sum(map(len, texts)) / len(texts)"
SWAP = "import llmdefinitions.testing as t\nt.check_equal = lambda *a, **k: None\ndef mean_length(texts): return 1.0"


def feedback(course, *arguments):
    """O comando, neste processo."""
    return CliRunner().invoke(command, [*map(str, arguments), "--curso", str(course)])


def page_path(course, student):
    return course / "feedback" / student / NAME / f"{NAME}.html"


def read_page(course, student):
    return page_path(course, student).read_text(encoding="utf-8")


def text_of(page):
    """O que se lê de uma página, numa linha só."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page[page.index("<body") :])).split())


def article(page, title):
    """O texto do exercício com esse título."""
    return next(text_of(f"<body>{one}") for one in re.findall(r"<article.*?</article>", page, re.S) if title in one)


@contextmanager
def notebook_in_base(course, student):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        yield gradebook.find_submission_notebook(NAME, NAME, student)
        gradebook.db.commit()


def mark_by_hand(course, student, scores, comments=(), penalty=None):
    """O que um professor faz no formgrader."""
    with notebook_in_base(course, student) as notebook:
        for grade in notebook.grades:
            if grade.name in scores:
                grade.manual_score, grade.needs_manual_grade = scores[grade.name], False
        for comment in notebook.comments:
            comment.manual_comment = dict(comments).get(comment.name)
        notebook.late_submission_penalty = penalty


@pytest.fixture(scope="module")
def graded(tmp_path_factory, empty_gradebook):
    """Uma turma corrigida pelo ``corrigir``, com as páginas feitas pelo ``corrigir feedback``."""
    course = example_lesson.write_course(tmp_path_factory.mktemp("turma") / "curso com espaço")
    shutil.copy(empty_gradebook, course)
    stub = find(example_lesson.cells(), "99-media").source.partition("    ### BEGIN")[0] + STUB
    answers = {
        RIGHT: {"99-texto": "A mediana não se move."},
        "oculta": {"99-media": HIDDEN_ONLY, "99-escolha": 'resposta = "c"', "99-texto": "Não sei."},
        "em branco": {
            "99-media": stub,
            "99-escolha": stub,
            "99-texto": "*Escreva aqui a sua resposta, no lugar desta linha.*",
        },
        "lenta": {"99-media": "def mean_length(texts):\n    while True: pass"},
        "caída": {"99-media": "def mean_length(texts):\n    import os; os.kill(os.getpid(), 9)"},
        "espia": {"99-media": PEEK},
        "troca": {"99-media": SWAP},
        HOSTILE: {"99-media": SHOUT, "99-texto": "<script>alert(4)</script>"},
    }
    for student, texts in answers.items():
        submit(course, student, texts)
    (submit(course, "quebrada") / f"{NAME}.ipynb").write_bytes(b"\x00\xff{")
    process = correct(course, NAME, "--tempo-celula", "3")
    assert process.returncode == 0, process.stderr
    submit(course, "depois")
    return course, feedback(course, NAME)


@pytest.fixture
def course(graded, tmp_path):
    """Uma cópia da turma, para mudar."""
    return shutil.copytree(graded[0], tmp_path / "curso")


# --- o que cada um lê


def test_everyone_gets_a_page_where_nbgrader_puts_it(graded):
    course, outcome = graded
    assert outcome.exit_code == 0, outcome.output
    students = {path.name for path in (course / "submitted").iterdir()}
    assert {path.name for path in (course / "feedback").iterdir()} == students
    assert re.search(r"^\[10/10\] 99_exemplo, Zoë d'Ávila: espera o professor$", outcome.output, re.M)
    assert "10 páginas em" in outcome.output
    assert outcome.output.rstrip().endswith("feedback/ALUNO/LIÇÃO/LIÇÃO.html")
    mode = page_path(course, RIGHT).stat().st_mode
    assert stat.S_IMODE(mode) == 0o644
    assert [path.name for path in page_path(course, RIGHT).parent.iterdir()] == [f"{NAME}.html"]


def test_the_one_who_got_everything_right(graded):
    text = text_of(read_page(graded[0], RIGHT))
    assert text.startswith(f"Correção de {RIGHT} Título da lição Muito bem: tudo o que já foi corrigido está certo.")
    assert "90 de 100 pontos" in text
    assert "Ainda sem nota: 10 dos 100 pontos. A sua nota pode subir." in text
    assert "Exercício 3: com suas palavras Na seção «O comprimento de uma mensagem» … À espera do professor" in text
    assert "O professor ainda não corrigiu esta resposta." in text
    assert "As dicas do enunciado" not in text


def test_who_fails_a_hidden_check_reads_its_message_and_the_hints(graded):
    page = read_page(graded[0], "oculta")
    mean = article(page, "Exercício 1: comprimento médio")
    assert "Na seção «O comprimento de uma mensagem» ✗ Ainda não · 0 de 60" in mean
    assert "De uma lista vazia não há média." in mean
    assert "O que olhar. Execute a sua célula só com a entrada que a mensagem cita" in mean
    assert "<code>len(text)</code> conta caracteres." in page
    assert "Some os comprimentos antes e depois, e divida." in article(page, "Exercício 2")
    assert "a correção experimenta também casos que você não vê" in text_of(page)
    assert shown_lines(hidden_test_lines(graded[0] / "solutions" / NAME / f"{NAME}.ipynb"), page) == set()


def test_a_blank_notebook(graded):
    page = read_page(graded[0], "em branco")
    assert "A sua entrega chegou e foi lida até o fim." in text_of(page)
    assert WRITE_IT in article(page, "Exercício 1")
    assert "✗ Ainda não · 0 de 10 A resposta ficou em branco." in article(page, "Exercício 3")
    assert "No response" not in page


@pytest.mark.parametrize(
    ("student", "sentences"),
    [
        ("lenta", ["Passou de 3 segundos e foi interrompida.", "Procure um laço que não termina"]),
        ("caída", ["O Python caiu durante esta célula", "O Python foi encerrado no meio da conta."]),
    ],
)
def test_each_fault_has_its_own_advice(graded, student, sentences):
    page = read_page(graded[0], student)
    for sentence in sentences:
        assert sentence in article(page, "Exercício 1")
    assert "Muito bem: 1 dos 3 exercícios está certo." in text_of(page)


@pytest.mark.parametrize("student", ["espia", "troca"])
def test_a_flag_is_not_an_accusation(graded, student):
    course, _ = graded
    text = text_of(read_page(course, student))
    assert f"{WITH_TEACHER} Até lá, a nota pode mudar." in text
    assert not re.search("adulter|suspeit|quadro|pilha|trocad|mexeu|biblioteca|fraude|cola", text, re.I)


def test_a_notebook_set_aside_has_no_zeros(graded):
    text = text_of(read_page(graded[0], "troca"))
    assert "0 de" not in text
    assert text.count("… À espera do professor") == 3


def test_when_the_teacher_has_looked_the_warning_is_gone(course):
    mark_by_hand(course, "troca", {MEAN: 0, CHOICE: 30, TEXT: 5})
    assert feedback(course, NAME, "--aluno", "troca").exit_code == 0
    text = text_of(read_page(course, "troca"))
    assert WITH_TEACHER not in text
    assert "35 de 100 pontos" in text


def test_an_unreadable_submission_says_what_to_do(graded):
    text = text_of(read_page(graded[0], "quebrada"))
    assert "O arquivo não é um caderno do Jupyter" in text
    assert f"salve e entregue de novo, com o nome {NAME}.ipynb" in text
    assert "pontos" not in text


def test_a_submission_not_graded_yet(graded):
    course, outcome = graded
    assert NOT_GRADED in text_of(read_page(course, "depois"))
    assert "depois: por corrigir" in outcome.output


def test_a_new_version_is_not_confused_with_the_graded_one(course):
    path = course / "submitted" / RIGHT / NAME / f"{NAME}.ipynb"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "mudou depois de corrigida" in feedback(course, NAME, "--aluno", RIGHT).output
    assert CHANGED in text_of(read_page(course, RIGHT))


def test_a_failure_of_the_grading_is_ours(course, empty_gradebook):
    directory = open_course(course).coursedir
    submission = Submission(RIGHT, NAME, course / "submitted" / RIGHT / NAME)
    cells = (
        CellResult(MEAN, 60, None, State.INFRASTRUCTURE, "kernel"),
        CellResult(CHOICE, 30, None, State.INFRASTRUCTURE, "kernel"),
        CellResult(TEXT, 10, None, State.MANUAL),
    )
    result = Result(RIGHT, NAME, NAME, State.INFRASTRUCTURE, "ZMQError: socket", cells)
    with GradebookWriter(directory) as writer:
        writer.prepare(prepare_source(directory, NAME))
        writer.write(submission, [result])
    assert "falha da correção" in feedback(course, NAME, "--aluno", RIGHT).output
    text = text_of(read_page(course, RIGHT))
    assert OUR_FAULT in text
    assert "ZMQError" not in text
    shutil.copy(empty_gradebook, course / "gradebook.db")
    feedback(course, NAME, "--aluno", RIGHT)
    assert NOT_GRADED in text_of(read_page(course, RIGHT)), "a base já não sabe dessa correção"


def test_what_the_teacher_gave_counts_and_is_shown(course):
    comments = {TEXT: "Boa ideia!\nFalta o <b>exemplo</b>.", "99_media": "Veja a aula & refaça."}
    mark_by_hand(course, "oculta", {MEAN: 45.5, TEXT: 7.25}, comments, penalty=5)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        gradebook.update_or_create_student("oculta", first_name="Ocúlia", last_name="Sá")
    outcome = feedback(course, NAME, "--aluno", "oculta")
    page = read_page(course, "oculta")
    text = text_of(page)
    assert "Correção de Ocúlia Sá (oculta)" in text
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:  # como o zip do Moodle o grava
        gradebook.update_or_create_student("oculta", first_name="oculta", last_name="")
    feedback(course, NAME, "--aluno", "oculta")
    assert text_of(read_page(course, "oculta")).startswith("Correção de oculta Título da lição")
    assert "47,75 de 100 pontos" in text
    assert "Correção automática: 0 Dados pelo professor: 52,75 Desconto pelo atraso: −5" in text
    mean = article(page, "Exercício 1")
    assert "½ Em parte · 45,5 de 60 Nota dada pelo professor." in mean
    assert "Comentário do professor Veja a aula & refaça." in mean
    assert "Boa ideia!\nFalta o &lt;b&gt;exemplo&lt;/b&gt;." in page
    assert outcome.output.splitlines()[0] == "[1/1] 99_exemplo, oculta: pronta"


def test_a_regraded_manual_score_will_be_reviewed(course):
    mark_by_hand(course, RIGHT, {TEXT: 8})
    with notebook_in_base(course, RIGHT) as notebook:
        next(grade for grade in notebook.grades if grade.name == TEXT).needs_manual_grade = True
    feedback(course, NAME, "--aluno", RIGHT)
    assert "Você entregou de novo depois dela, e ele vai revê-la." in article(read_page(course, RIGHT), "Exercício 3")


# --- a página


class Page(HTMLParser):
    """Lê uma página, exigindo que as marcas se fechem na ordem."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.style = [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.style += data

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.mark.parametrize("student", [RIGHT, "oculta", "quebrada", "troca", HOSTILE, "depois"])
def test_a_page_is_whole_safe_and_fits_a_phone(graded, student):
    page = Page(read_page(graded[0], student))
    assert page.named("html") == [{"lang": "pt-BR"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.named("meta")
    assert len(page.named("h1")) == len(page.named("title")) == len(page.named("main")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    policy = next(one["content"] for one in page.named("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article"}
    allowed |= {"h1", "h2", "h3", "p", "div", "span", "strong", "em", "code", "pre", "bdi", "ul", "ol", "li", "a"}
    assert {tag for tag, _ in page.tags} <= allowed | {"details", "summary", "svg", "rect"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset")]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {one["href"] for one in page.named("a")} <= {f"#{one}" for one in ids}
    assert not re.search(r"https?:|url\(|@import|//", page.style)


def test_nothing_is_wider_than_the_screen():
    style = (ROOT / "grading" / "modelos" / "feedback.css").read_text(encoding="utf-8")
    widths = re.findall(r"(?<![-\w])(?:min-)?width:\s*([^;}]+)", style)
    assert set(widths) <= {"1px", "100%", "1.25em"}, "uma largura fixa não cabe num celular"
    assert "overflow-wrap: anywhere" in style
    assert len(re.findall("white-space: pre-wrap", style)) == 2


def test_every_colour_can_be_read():
    """O contraste de cada cor do texto, nos dois fundos e nos dois temas: 4,5 ou mais (WCAG 2.1, 1.4.3)."""

    def luminance(colour):
        digits = colour.lstrip("#")
        digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    style = (ROOT / "grading" / "modelos" / "feedback.css").read_text(encoding="utf-8")
    themes = re.findall(r":root \{(.*?)\}", style, re.S)
    assert len(themes) == 3
    for theme in themes:
        colours = dict(re.findall(r"--([\w]+): (#\w+)", theme))
        for text in ("texto", "fraco", "certo", "parte", "errado", "espera"):
            for back in ("fundo", "papel", "codigo"):
                light, dark = sorted((luminance(colours[text]), luminance(colours[back])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, back)


def test_a_hostile_name_and_a_hostile_message_are_only_text(graded):
    page = read_page(graded[0], HOSTILE)
    assert "<script" not in page
    assert "<img" not in page
    assert f"Correção de {HOSTILE}" in html.unescape(re.sub(r"</?bdi>", "", page))
    assert "<script>alert(2)</script>" in html.unescape(page)


def test_texts_lose_what_a_page_cannot_have():
    assert clean("a\x00b\ud800c\u202ed\te\nf") == "a b?c d e\nf"
    assert clean("x" * (LONGEST + 1)) == "x" * LONGEST + "…"
    assert [number(value) for value in (7.0, 7.5, 0.333, 100, -1e-9)] == ["7", "7,5", "0,33", "100", "0"]


# --- os exercícios


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ((10, 10, 10), "Parabéns: você acertou tudo."),
        ((10, 10, None), "Muito bem: tudo o que já foi corrigido está certo."),
        ((10, 12, 3), "Muito bem: 2 dos 3 exercícios estão certos. Abaixo está o que rever nos outros."),
        ((4, 0, None), "Você já ganhou pontos. Nenhum exercício está completo ainda;"),
        ((0, 0, 0), "A sua entrega chegou e foi lida até o fim."),
        ((None, None, None), "Exercício por exercício"),
    ],
)
def test_the_page_begins_by_what_went_well(graded, scores, sentence):
    (source,) = prepare_source(open_course(graded[0]).coursedir, NAME)
    title, exercises = find_exercises(source)
    ids = [one.grade_id for one in exercises]
    marks = {name: Mark(score, 10, waiting=score is None) for name, score in zip(ids, scores, strict=True)}
    cells = tuple(
        CellResult(name, 10, score, State.PARTIAL if score else State.MANUAL)
        for name, score in zip(ids, scores, strict=True)
    )
    result = Result("ana", NAME, NAME, State.PASSED, cells=cells)
    page = make_page(NAME, "ana", [Section(title, exercises, hidden_lines(source), result, marks)], penalty=100)
    assert text_of(page).startswith(f"Correção de ana Título da lição {sentence}")
    assert ("0 de 30 pontos" in text_of(page)) == any(score is not None for score in scores)


def lesson_source(tmp_path, cells, name="01_outra"):
    folder = example_lesson.write_course(tmp_path / "curso")
    example_lesson.write_notebook(folder / "solutions" / name / f"{name}.ipynb", cells)
    return prepare_source(open_course(folder).coursedir, name)[0]


def test_titles_sections_and_hints_of_any_notebook(tmp_path):
    ids = iter(range(100))

    def markdown(text):
        return new_markdown_cell(text, id=f"texto-{next(ids)}")

    task = graded_cell("## Tarefa\n\nFaça um desenho.", "tarefa", points=2, cell=new_markdown_cell)
    task.metadata.nbgrader |= {"task": True, "grade": False, "solution": False}
    cells = [
        graded_cell("x = 1  # sem título", "solto", solution=True),
        graded_cell("assert x", "solto_teste", points=1),
        markdown("# A lição <script>alert(1)</script>"),
        markdown("```python\n# isto não é um título\n```\n## 1. A *primeira* parte"),
        markdown(
            "### Dois testes `a<b` ###\n\n<details><summary>D</summary>\n\nUse [isto](http://x.org).\n\n</details>"
        ),
        graded_cell("y = 1", "dois", solution=True),
        graded_cell("assert y", "dois_a", points=1),
        graded_cell("assert y == 1", "dois_b", points=1),
        task,
        new_code_cell("1", id="solta"),
        graded_cell("z = 1", "sem_nota", solution=True),
    ]
    title, (loose, first, second, drawn) = find_exercises(lesson_source(tmp_path, cells))
    assert title == "A lição alert(1)"
    assert (loose.title, loose.section, loose.hints, loose.answers) == ("solto_teste", "", "", ("solto",))
    assert (first.title, second.title) == tuple(
        f"Dois testes <code>a&lt;b</code>, parte {part} de 2" for part in (1, 2)
    )
    assert first.section == "1. A <em>primeira</em> parte"
    assert first.hints == second.hints == "<p>Use isto.</p>"
    assert (first.answers, second.answers) == (("dois",), ("dois_b",))
    assert (drawn.title, drawn.section, drawn.by_hand, drawn.answers) == ("Tarefa", "", True, ("tarefa", "sem_nota"))
    assert not first.by_hand


def test_a_lesson_of_two_notebooks_is_one_page_with_two_sections(tmp_path, empty_gradebook):
    course = example_lesson.write_course(tmp_path / "curso")
    shutil.copy(empty_gradebook, course)
    extra = [
        new_markdown_cell("# Segundo caderno", id="titulo"),
        new_markdown_cell("## Exercício 9", id="nove"),
        graded_cell("### BEGIN SOLUTION\nw = 9\n### END SOLUTION", "nove_resposta", solution=True),
        graded_cell("assert w == 9, 'w não é 9'", "nove_teste", points=4),
    ]
    example_lesson.write_notebook(course / "solutions" / NAME / "extra.ipynb", extra)
    directory = open_course(course).coursedir
    sources = prepare_source(directory, NAME)
    with GradebookWriter(directory) as writer:
        writer.prepare(sources)
        for student in ("ana", "bia"):
            submission = Submission(student, NAME, submit(course, student))
            # Para o nbgrader, um teste sem saídas passou.
            results = [to_result(submission, one, nbformat.reads(one.notebook, as_version=4)) for one in sources]
            if student == "ana":
                cells = (CellResult("nove_teste", 4, 0.0, State.UNREADABLE),)
                missing = Result("ana", NAME, "extra", State.UNREADABLE, "O caderno não está na entrega.", cells)
                results = [one for one in results if one.name != "extra"] + [missing]
            writer.write(submission, results, "chave")
    assert feedback(course).exit_code == 0
    for student, sentences in {
        "ana": ["90 de 104 pontos", "Segundo caderno O caderno não está na entrega.", "com o nome extra.ipynb"],
        "bia": ["94 de 104 pontos", "Segundo caderno Exercício 9 ✓ Certo · 4 de 4"],
    }.items():
        text = text_of(read_page(course, student))
        assert text.startswith(f"Correção de {student} {NAME} ")
        for sentence in ["Título da lição Exercício 1", *sentences]:
            assert sentence in text


# --- o texto dos testes ocultos


class WrongAnswers:
    """As páginas de quem não passou em nada, num caderno."""

    def __init__(self, source):
        self.hidden, (self.title, self.exercises) = hidden_lines(source), find_exercises(source)

    def page(self, *sentences):
        """A página com uma mensagem em cada exercício; a última, nos que sobram."""
        padded = [*sentences, *[sentences[-1]] * len(self.exercises)]
        cells = tuple(
            CellResult(one.grade_id, 10, 0.0, State.FAILED, sentence)
            for one, sentence in zip(self.exercises, padded, strict=False)
        )
        marks = {one.grade_id: Mark(0.0, 10) for one in self.exercises}
        result = Result("ana", "lição", "caderno", State.PASSED, cells=cells)
        return make_page("lição", "ana", [Section(self.title, self.exercises, self.hidden, result, marks)])


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_message_that_brings_a_hidden_line_is_withheld(path):
    """Ainda que uma entrega descubra um teste e o ponha na mensagem de um erro; linha por linha, em cada lição."""
    (source,) = prepare_source(open_course(ROOT).coursedir, path.stem)
    lines = hidden_test_lines(path)
    assert len(lines) > 50
    wrong = WrongAnswers(source)
    assert lines <= wrong.hidden
    assert len(wrong.exercises) >= 5
    assert all(one.title.startswith("Exercício") and one.section and one.hints for one in wrong.exercises)
    assert shown_lines(lines, wrong.page("Uma mensagem.")) == set(), "nos enunciados e nas dicas"
    by_code = sum(not one.by_hand for one in wrong.exercises)
    for some in batched(sorted(lines), by_code):
        page = wrong.page(*(f"O teste parou com ValueError: {line}" for line in some))
        assert page.count(WITHHELD) == by_code
        assert shown_lines(lines, page) == set()


def batched(values, size):
    return [values[at : at + size] for at in range(0, len(values), size)]


@pytest.mark.lento
@pytest.mark.parametrize("lesson", ["01_conceitos", "03_preparacao_dos_dados"])
def test_real_failures_of_hidden_checks_show_no_test(lesson, tmp_path, empty_gradebook):
    """Uma entrega em que cada exercício passa no que se vê e não passa no que está oculto, corrigida de verdade."""
    course = tmp_path / "curso"
    copy_configuration(ROOT, course)
    shutil.copy(empty_gradebook, course)
    shutil.copytree(ROOT / "solutions" / lesson, course / "solutions" / lesson)
    path = course / "submitted" / "ana" / lesson / f"{lesson}.ipynb"
    shutil.copytree(ROOT / "solutions" / lesson, path.parent)
    expected = write_wrong_answers(path, lesson)
    assert len(expected) >= 3
    assert correct(course, lesson).returncode == 0
    assert feedback(course, lesson).exit_code == 0
    page = (course / "feedback" / "ana" / lesson / f"{lesson}.html").read_text(encoding="utf-8")
    assert shown_lines(hidden_test_lines(ROOT / "solutions" / lesson / f"{lesson}.ipynb"), page) == set()
    assert WITHHELD not in page
    assert "Traceback" not in page
    for message in expected:
        assert message in html.unescape(page)


def write_wrong_answers(path, lesson):
    """Troca cada resposta que dá por uma que só um teste oculto percebe; devolve o que as mensagens delas dizem."""
    notebook = nbformat.read(path, as_version=4)
    sources, written, expected = solution_sources(path), load(lesson)["EXERCISES"], []
    for grade_id, (start, stop) in solutions_of(notebook).items():
        tests = "".join(cell.source for cell in notebook.cells[start + 1 : stop])
        visible, _, hidden = tests.partition("### BEGIN HIDDEN TESTS")
        for wrong in written[grade_id].wrong:
            if wrong.message in hidden and wrong.message not in visible:
                notebook.cells[start].source = wrong.source(sources[grade_id])
                expected.append(wrong.message)
                break
    nbformat.write(notebook, path)
    return expected


# --- gravar


@pytest.mark.parametrize("place", ["aluno", "lição"])
def test_a_link_in_place_of_the_students_folder_is_refused(course, tmp_path, place):
    away = tmp_path / "longe"
    shutil.move(course / "feedback" / RIGHT, away)
    link = course / "feedback" / RIGHT
    if place == "lição":
        link.mkdir()
        link /= NAME
    link.symlink_to(away, target_is_directory=True)
    before = sorted(away.rglob("*"))
    outcome = feedback(course, NAME, "--aluno", RIGHT, "--aluno", "oculta")
    assert outcome.exit_code == 1
    assert re.search(
        f"^{RIGHT}: a página não foi gravada: .*{NAME if place == 'lição' else RIGHT} é um link", outcome.output, re.M
    )
    assert "1 página(s) não foram gravadas" in outcome.output
    assert "1 página em" in outcome.output
    assert sorted(away.rglob("*")) == before


def test_a_link_in_place_of_the_page_is_replaced_and_not_followed(course, tmp_path):
    target = tmp_path / "alvo"
    target.write_text("intacto")
    page_path(course, RIGHT).unlink()
    page_path(course, RIGHT).symlink_to(target)
    assert feedback(course, NAME, "--aluno", RIGHT).exit_code == 0
    assert target.read_text() == "intacto"
    assert not page_path(course, RIGHT).is_symlink()


def test_an_interrupted_write_leaves_the_page_of_before(graded, course):
    before = read_page(course, RIGHT)
    with pytest.raises(UnicodeEncodeError):
        write_page(open_course(course).coursedir, RIGHT, NAME, "metade \ud800")
    assert read_page(course, RIGHT) == before
    assert os.listdir(page_path(course, RIGHT).parent) == [f"{NAME}.html"]


def test_a_shared_course_shares_the_pages(course):
    with (course / "nbgrader_config.py").open("a") as file:
        file.write("\nc.CourseDirectory.groupshared = True\n")
    shutil.rmtree(course / "feedback")
    feedback(course, NAME, "--aluno", RIGHT)
    path = page_path(course, RIGHT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    assert all(folder.stat().st_mode & 0o2770 == 0o2770 for folder in (path.parent, path.parents[1]))


# --- a linha de comando


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["98_outra"], "Não há uma lição 98_outra"),
        (["--aluno", "ninguém"], "Não há entregas de ninguém. Elas devem estar em"),
        (["--db", "sqlite:////nada/existe/aqui.db"], "Não consigo usar a base de notas"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(graded, arguments, sentence):
    outcome = feedback(graded[0], *arguments)
    assert outcome.exit_code == 1
    assert sentence in outcome.output


def test_a_course_without_lessons(tmp_path):
    assert "Não há lições em" in feedback(tmp_path).output


def test_a_base_of_another_program_is_said(course):
    (course / "gradebook.db").write_bytes(b"isto nao e uma base " * 100)
    outcome = feedback(course, NAME)
    assert outcome.exit_code == 1
    assert "Não consigo usar a base de notas" in outcome.output


def test_a_base_without_a_column_is_said(course):
    with sqlite3.connect(course / "gradebook.db") as base:
        base.execute("ALTER TABLE submitted_notebook DROP COLUMN late_submission_penalty")
    outcome = feedback(course, NAME)
    assert outcome.exit_code == 1
    assert re.search("Não consigo usar a base de notas .*late_submission_penalty", outcome.output)


def test_it_is_one_of_the_commands():
    process = correct(ROOT, "feedback", "--help")
    assert process.stdout.startswith("Uso: corrigir feedback [OPÇÕES] [LIÇÃO]…\n")
    assert OTHERS["feedback"] == ("grading.feedback:command", "a página que cada aluno recebe")

"""``corrigir relatorio``: uma turma corrigida de verdade, e a página que sai dela."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser

import nbformat
import pytest
from nbgrader.api import Gradebook
from traitlets.config import Config

from grading import sections
from grading.classroom import Exercise, Lesson, Mark, read_lesson
from grading.cli import OTHERS
from grading.command import run
from grading.course import open_course, open_gradebook
from grading.exports import FinalGrade
from grading.figures import decimal, plot_grades, plot_success
from grading.report import MARK, command, report
from grading.results import CellResult, Note, Result, State
from grading.similarity import Answer, similar_answers
from grading.status import CHANGED, GRADED, MISSING

from . import example_lesson
from .conftest import ROOT
from .example_lesson import NAME
from .test_corrigir import correct, submit

HOSTILE = "<img src=x onerror=alert(1)>&\u202e"
LOOP = (
    "def mean_length(texts):\n    if len(texts) == 0:\n        raise ValueError('nada')\n    total = 0\n"
    "    for text in texts:\n        total = total + len(text)\n    return float(total) / float(len(texts))"
)
COPY = (
    "def mean_length(lista):\n    # confiro antes\n    if len(lista) == 0:\n        raise ValueError('vazia!')\n"
    "    soma = 0\n    for item in lista:\n        soma = soma + len(item)\n    return float(soma) / float(len(lista))"
)
WORDS = "def mean_length(texts):\n    return sum(len(text.split()) for text in texts) / len(texts)"


@pytest.fixture
def make(capsys):
    """Executa ``corrigir relatorio`` neste processo; devolve o código, a saída e a saída de erro."""

    def run_here(course, *arguments):
        code = run(command, [*map(str, arguments), "--curso", str(course)])
        return code, *capsys.readouterr()

    return run_here


class Page(HTMLParser):
    """O que há numa página: etiquetas com os atributos, e os textos de cada parte."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.sections, self._open = [], {"": ""}, []
        self.part = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)
        if tag in ("th", "td", "b", "span"):
            self.sections[self.part] += " "  # vizinhos na página, e não no mesmo texto
        if tag == "h2" and "id" in dict(attrs):
            self.part = dict(attrs)["id"]
            self.sections[self.part] = ""

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> fecha outra coisa"

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.sections[self.part] += data

    def text(self, part):
        return " ".join(self.sections[part].split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def course(tmp_path_factory, empty_gradebook):
    """Doze entregas corrigidas pelo comando: certas, erradas, uma cópia, uma que não termina, uma quebrada."""
    course = example_lesson.write_course(tmp_path_factory.mktemp("turma") / "Turma <A>")
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write(f"\nc.FinalGrade.weights = {{'{NAME}': 10}}\n")
    shutil.copy(empty_gradebook, course / "gradebook.db")
    for student in ("Bia", "Caio", "Davi", "Érica"):
        submit(course, student, {"99-texto": "Depende."})
    submit(course, "Fábio", {"99-media": LOOP})
    submit(course, "Gil", {"99-media": COPY})
    for student, answer in (("Hugo", "a"), ("Iara", "c"), (HOSTILE, "a")):
        submit(course, student, {"99-media": WORDS, "99-escolha": f"resposta = '{answer}'"})
    submit(course, "Ávila", {"99-media": "def mean_length(texts):\n    while True: pass"})
    submit(course, "Lia", {"99-media": f"def mean_length(texts):\n    raise ValueError({HOSTILE!r})"})
    (submit(course, "Maria") / f"{NAME}.ipynb").write_bytes(b"\x00\xff{")
    path = submit(course, "Nina") / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    example_lesson.find(notebook.cells, "99-media-teste").metadata.tags = ["skip-execution"]
    nbformat.write(notebook, path)
    process = correct(course, NAME, "--tempo-celula", "3", "--processos", "2")
    assert process.returncode == 0, process.stderr
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        gradebook.add_student("Zeca Nunca")
        grade = gradebook.find_grade("99_texto", NAME, NAME, "Bia")
        grade.manual_score, grade.needs_manual_grade = 8, False
        gradebook.db.commit()
    return course


@pytest.fixture(scope="module")
def page(course):
    process = correct(course, "relatorio")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert process.stdout == f"14 alunos, 13 entregas com nota.\nRelatório: {course / 'relatorio.html'}\n"
    return Page((course / "relatorio.html").read_text(encoding="utf-8"))


def test_the_summary(page):
    found = re.findall(r"([a-zà-ú ]+?)\s*(\d+)", page.text("")[page.text("").index("alunos") :])
    assert {name.strip(): int(number) for name, number in found} == {
        "alunos": 14,
        "entregas": 13,
        "corrigidas": 13,
        "notas à espera da sua correção": 12,
        "entregas com falhas": 2,
        "entregas com sinais": 1,
    }


def test_the_structure(page):
    assert ("html", {"lang": "pt-BR"}) in page.tags
    parts = ["atencao", f"licao-{NAME}", "tempo", "falhas", "sinais", "faltam", "parecidas", "contas"]
    assert [part for part in page.sections if part] == parts
    assert len(page.all("h1")) == len(page.all("title")) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for attributes in page.all("a")}
    assert links <= {f"#{one}" for one in ids}


def test_nothing_comes_from_outside_and_nothing_runs(course, page):
    html = (course / "relatorio.html").read_text(encoding="utf-8")
    assert not re.search(r"(?i)(https?:)?//[a-z]|url\(|@import|javascript:", re.sub(r"base64,[^\"]+", "", html))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "svg", "base"})
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_hostile_names_and_messages_are_only_text(page):
    assert len(page.all("img")) == 3, "as três figuras e mais nada"
    assert "<img src=x onerror=alert(1)>&" in page.text(f"licao-{NAME}")
    assert "\u202e" not in "".join(page.sections.values())
    assert "Turma <A>" in page.text("")


def test_every_figure_says_what_it_shows(page):
    for image in page.all("img"):
        head, _, data = image["src"].partition(",")
        assert head == "data:image/svg+xml;base64"
        assert b"<svg" in base64.b64decode(data)
        assert len(re.findall(r"\d", image["alt"])) >= 5
    histogram, success, times = (image["alt"] for image in page.all("img"))
    # 90 e uma de 98; Ávila e Lia só acertaram a escolha; Hugo, Iara e o hostil erraram tudo, e a de Maria não abre.
    assert histogram == (
        "Histograma de 13 notas, de 0 a 100, na lição 99_exemplo: 4 de 0 a 10; 2 de 30 a 40; 7 de 90 a 100. "
        "Mediana 90,0, média 53,7; 12 ainda podem subir."
    )
    assert "Exercício 1: comprimento médio: 55%; Exercício 2: o que a média esconde: 73%" in success
    assert re.search(r"99_exemplo: mediana \d+,\d s, 90% até \d+,\d s, a mais lenta \d+,\d s\.$", times)


def test_the_exercises(page):
    text = page.text(f"licao-{NAME}")
    assert "Exercício 1: comprimento médio 60 11 55% — não calculado (2 notas esperam por você)" in text
    assert "Exercício 3: com suas palavras 10 1 80% — não calculado (12 notas esperam por você)" in text


def test_the_common_mistakes(page):
    text = page.text(f"licao-{NAME}")
    assert "3 alunos mean_length(['oi', 'tudo bem']): esperava 5.0; recebi 1.5. Você contou palavras." in text
    assert "2 alunos resposta: 'a' não é a resposta certa" in text
    assert "E mais 1 mensagem, de 1 aluno" in text


def test_faults_are_named(page):
    text = page.text("falhas")
    assert re.search(r"Ávila 99_exemplo Exercício 1: comprimento médio tempo esgotado\. .*Maria", text), "em ordem"
    assert "Maria 99_exemplo a entrega inteira ilegível. O arquivo não é um caderno do Jupyter" in text
    assert "Bia" not in text


def test_flags_are_named_and_do_not_accuse(page):
    text = page.text("sinais")
    assert "não acusa ninguém" in text
    assert re.search(r"Nina 99_exemplo Grave\. A célula de teste 99_media_teste tinha a etiqueta skip-execution", text)


def test_who_did_not_submit(page):
    assert page.text("faltam").startswith("Entregas que faltam 1 aluno da base de notas")
    assert "Zeca Nunca 99_exemplo" in page.text("faltam")


def test_similar_answers_are_shown_side_by_side(page):
    text = page.text("parecidas")
    assert "Isto não é uma acusação" in text
    assert "causas honestas" in text
    assert re.search(r"Fábio e Gil 99_exemplo: Exercício 1: comprimento médio \d+ \d+ e \d+ \d+%", text)
    assert "total = total + len(text)" in text
    assert "soma = soma + len(item)" in text
    assert len(page.all("details")) >= 1
    assert "Bia" not in text, "quem respondeu como o professor não se parece com ninguém"


def test_only_the_owner_reads_it_and_it_is_made_again(course, page, make):
    path = course / "relatorio.html"
    assert path.stat().st_mode & 0o077 == 0
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("Gil", ""), encoding="utf-8")
    assert make(course, NAME)[0] == 0
    assert "Gil" in path.read_text(encoding="utf-8")
    assert not list(course.glob(".relatorio-*"))


def test_git_ignores_reports_and_not_the_template():
    names = ["relatorio.html", "relatorio-2026.html", "grading/modelos/relatorio.html"]
    process = subprocess.run(
        ["git", "check-ignore", "--no-index", *names], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == names[:2]


def test_another_file_is_not_overwritten(course, tmp_path, make):
    other = tmp_path / "carta.html"
    other.write_text("querida turma", encoding="utf-8")
    code, _, error = make(course, "--para", other)
    assert code == 1
    assert error == f"Erro: {other} já existe e não é um relatório; escolha outro nome com --para.\n"
    assert other.read_text(encoding="utf-8") == "querida turma"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--para", "nada/relatorio.html"], "Não há uma pasta nada."),
        (["--para", "/proc/relatorio.html"], "Não pude gravar /proc/relatorio.html:"),
        (["98_outra"], "Não há uma lição 98_outra"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(course, make, arguments, sentence):
    code, _, error = make(course, *arguments)
    assert code == 1
    assert error.startswith(f"Erro: {sentence}")
    assert error.count("\n") == 1


def test_without_grades_there_is_no_report(tmp_path, empty_gradebook, make):
    course = example_lesson.write_course(tmp_path / "curso")
    shutil.copy(empty_gradebook, course / "gradebook.db")
    submit(course, "ana")
    assert "Erro: Não há entregas corrigidas. Corrija primeiro" in make(course)[2]
    assert f"Erro: Não há entregas corrigidas de {NAME}." in make(course, NAME)[2]
    (course / "gradebook.db").write_bytes(b"isto nao e uma base " * 100)
    assert "Não consigo usar a base de notas" in make(course)[2]
    assert not (course / "relatorio.html").exists()


def test_help_is_portuguese(make):
    code, text, _ = make(".", "--help")
    assert code == 0
    assert text.startswith("Uso: corrigir relatorio [OPÇÕES] [LIÇÃO]…\n")
    assert "dados pessoais" in text
    assert "relatorio" in OTHERS


def test_grades_are_those_of_the_export(course, tmp_path):
    opened = open_course(course)
    with open_gradebook(opened.coursedir) as gradebook:
        gradebook.find_submission(NAME, "Bia").notebooks[0].late_submission_penalty = 5
        gradebook.db.commit()
        lesson = read_lesson(opened, gradebook, NAME)
        FinalGrade(config=Config(FinalGrade={"weights": {NAME: 10}}), to=str(tmp_path / "notas.csv")).export(gradebook)
    rows = [line.split(",") for line in (tmp_path / "notas.csv").read_text("utf-8-sig").splitlines()[1:]]
    exported = {row[0]: row[1] for row in rows if row[0] != "Zeca Nunca"}
    assert {student: f"{100 * grade:.1f}" for student, grade in lesson.grades.items()} == exported
    assert exported["Bia"] == "93.0"


def test_what_changed_after_grading_is_said(course, tmp_path, make):
    copied = shutil.copytree(course, tmp_path / "curso", symlinks=True)
    path = copied / "submitted" / "Caio" / NAME / f"{NAME}.ipynb"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    (copied / "autograded" / "Davi" / NAME / f"{NAME}.ipynb").unlink()
    submit(copied, "Novo")
    assert make(copied, "--para", tmp_path / "r.html")[0] == 0
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "1 entrega mudou depois de corrigida. 1 ainda não foi corrigida." in page.text(f"licao-{NAME}")
    assert f"{NAME}: 2 entregas por corrigir. Execute corrigir {NAME}" in page.text("atencao")


# --- o que doze entregas não mostram


def lesson(name, students, exercises=("um", "dois", "três"), waiting=()):
    """Uma lição com um aluno por item de ``students``: as frações que ele ganhou em cada exercício."""
    made = [Exercise(name, one, f"Exercício {one} $x_", 10.0) for one in exercises]
    return Lesson(
        name,
        exercises=made,
        titles={one.key: one.title for one in made},
        states=dict.fromkeys(students, GRADED),
        results={student: [Result(student, name, name, State.PASSED, seconds=2.0)] for student in students},
        marks={
            student: {
                one.key: Mark(10 * share, 10.0, student in waiting) for one, share in zip(made, shares, strict=True)
            }
            for student, shares in students.items()
        },
    )


def class_of(number, shares):
    return {f"aluno {one:02}": shares(one / (number - 1)) for one in range(number)}


def test_two_lessons_are_compared_and_weighted():
    one = lesson("01_a", class_of(12, lambda skill: (skill > 0.3, skill > 0.5, skill > 0.7)))
    two = lesson("02_b", class_of(11, lambda skill: (1, 0, skill)), waiting=["aluno 03"])
    everyone = {f"aluno {number:02}" for number in range(13)}
    page = Page(report([one, two], everyone, {"01_a": 1, "02_b": 3, "07_z": 9}, {}, "curso"))
    text = page.text("licoes")
    assert "01_a (1), 02_b (3)." in text
    assert "01_a 12 12 0 0 1" in text
    alts = [image["alt"] for image in page.all("img")]
    assert alts[0].startswith("Barras com a fração dos pontos que a turma ganhou. 01_a: 50%; 02_b: 5")
    assert alts[1].startswith("Histograma de 13 notas, de 0 a 10, da média ponderada: ")
    assert alts[1].endswith("; 1 ainda podem subir.")
    assert "aluno 11 02_b aluno 12 01_a, 02_b" in page.text("faltam")
    assert "Nenhuma" in page.text("falhas")
    assert "Nenhum" in page.text("sinais")
    assert "Nenhum par" in page.text("parecidas")
    assert "Nenhuma resposta foi reprovada" in page.text("licao-01_a")


def test_discrimination_is_of_the_other_exercises():
    """12 alunos, 3,24 lugares em cada ponta: no resto, os quatro piores só têm zeros e os quatro melhores, tudo."""
    shares = [(0, 0, 0)] * 4 + [(1, 1, 0)] * 4 + [(1, 1, 1)] * 4
    one = lesson("01_a", {f"{number:02}": share for number, share in enumerate(shares)})
    exercises = sections.describe_lesson(one, set(one.states))["exercises"]
    assert [exercise["index"] for exercise in exercises] == pytest.approx([1, 1, 0.5])
    # No terceiro, o resto de oito alunos é igual: os lugares de cima se repartem entre eles, e metade acertou.
    assert "separa muito bem" in exercises[0]["reading"]


def test_two_exercises_are_too_few_to_discriminate():
    one = lesson("01_a", class_of(20, lambda skill: (skill, skill)), exercises=("um", "dois"))
    assert [exercise["index"] for exercise in sections.describe_lesson(one, set())["exercises"]] == [None, None]


def test_what_asks_for_attention():
    one = lesson("01_a", class_of(20, lambda skill: (skill > 0.8, skill > 0.5, skill < 0.5)))
    wrong = CellResult("um", 10, 0, State.FAILED, "esperava 1; recebi 2.")
    for number in range(5):
        student = f"aluno {number:02}"
        one.results[student] = [Result(student, "01_a", "01_a", State.PASSED, cells=(wrong,))]
    one.states["aluno 00"], one.states["aluno 01"] = CHANGED, MISSING
    described = [sections.describe_lesson(one, set(one.states))]
    found = list(sections.attention(described, {"x": [("01_a", Note("quadros", "frase", serious=True))]}))
    said = {(subject, anchor): sentence for subject, anchor, sentence in found}
    assert said["01_a", "licao-01_a"] == "2 entregas por corrigir. Execute corrigir 01_a"
    first = said["01_a, Exercício um $x_", "licao-01_a"]
    assert "A turma ganhou 20% dos pontos." in first
    assert "5 alunos erraram do mesmo jeito: esperava 1; recebi 2." in first
    assert "separa ao contrário" in said["01_a, Exercício três $x_", "licao-01_a"]
    assert "1 aluno com um grave" in said["Sinais", "sinais"]


def test_nothing_was_executed():
    one = lesson("01_a", class_of(3, lambda skill: (0, 0, 0)), waiting=[f"aluno {number:02}" for number in range(3)])
    for student in one.results:
        one.results[student] = [Result(student, "01_a", "01_a", State.UNREADABLE, "Vazio.")]
    page = Page(report([one], set(one.states), {}, {}, "curso"))
    assert "Nenhuma entrega foi executada." in page.text("tempo")
    assert "Exercício um $x_: sem notas ainda" in page.all("img")[1]["alt"]


def test_long_hostile_texts_are_cut():
    assert sections.shown("a\n\n b\x1b[31m" + "c" * 10_000).startswith("a b [31mccc")
    assert len(sections.shown("c" * 10_000)) == 601
    code = "\n".join(f"variavel = funcao({number}, variavel) + {number}" for number in range(2000))
    matches = similar_answers([Answer(student, ("01_a", "01_a", "um"), code) for student in ("a", "b")])
    one = lesson("01_a", {"a": (1, 1, 1), "b": (1, 1, 1)})
    page = Page(report([one], {"a", "b"}, {}, matches, "curso"))
    assert "variavel = funcao(1, variavel)" in page.text("parecidas")
    assert "…" in page.text("parecidas")
    assert len(page.text("parecidas")) < 16_000


def test_many_pairs_are_counted_and_not_all_shown():
    matches = {}
    text = "def f(a):\n" + "\n".join(f"    a = [b * {number} for b in a if b > {number}]" for number in range(20))
    for number in range(50):
        cell = "01_a", "01_a", f"c{number}"
        matches |= similar_answers([Answer(f"{number}{side}", cell, text) for side in "xy"])
    one = lesson("01_a", {"a": (1, 1, 1)})
    page = Page(report([one], {"a"}, {}, matches, "curso"))
    assert "São 50 pares; aqui estão os 40" in page.text("parecidas")


def test_the_picture_of_grades_does_not_slip_to_the_bin_below():
    picture = plot_grades([10 * (0.1 + 0.7), 8.0], [10.0], 10, "de teste")
    assert "2 de 8 a 9; 1 de 9 a 10" in picture.alt


def test_pictures_are_the_same_every_time_and_take_any_title():
    names = ["$\\frac{$", "um título muito comprido " * 6]
    assert plot_success(names, [0.1, None]) == plot_success(names, [0.1, None])


def test_decimal_is_brazilian():
    assert decimal(-0.25, 2) == "−0,25"
    assert decimal(-0.0001, 2) == "0,00"


def test_the_mark_opens_the_page(page, course):
    assert MARK in (course / "relatorio.html").read_text(encoding="utf-8")[:2000]


def test_titles_ignore_code_and_repeat_only_with_the_id(tmp_path, empty_gradebook):
    course = example_lesson.write_course(tmp_path / "curso")
    shutil.copy(empty_gradebook, course / "gradebook.db")
    path = course / "solutions" / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    example_lesson.find(notebook.cells, "cartao-2").source = "```python\n# isto não é um título\n```"
    nbformat.write(notebook, path)
    opened = open_course(course)
    with open_gradebook(opened.coursedir) as gradebook:
        titles = [exercise.title for exercise in read_lesson(opened, gradebook, NAME).exercises]
    first = "Exercício 1: comprimento médio"
    assert titles == [first, f"{first} (99_escolha_teste)", "Exercício 3: com suas palavras"]


def test_bad_weights_are_one_sentence(course, tmp_path, make):
    copied = shutil.copytree(course, tmp_path / "curso", symlinks=True)
    with (copied / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write(f"\nc.FinalGrade.weights = {{'{NAME}': -1}}\n")
    code, _, error = make(copied)
    assert code == 1
    assert "os pesos não podem ser negativos" in error

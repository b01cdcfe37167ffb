"""``corrigir exportar``: as notas de uma base de verdade, nos formatos que o Moodle e o Canvas importam."""

import csv
import shutil
import sqlite3
from contextlib import closing

import pytest
from nbgrader.api import Gradebook

from grading.command import run
from grading.lms import command

from .conftest import ROOT
from .test_exports import ANA, course_weights, write_gradebook

LESSONS = list(course_weights())
DATA = "03_preparacao_dos_dados"


@pytest.fixture
def course(tmp_path, empty_gradebook):
    folder = tmp_path / "curso"
    folder.mkdir()
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    shutil.copy(empty_gradebook, folder / "gradebook.db")
    everything = dict.fromkeys(LESSONS, (90, 10))
    write_gradebook(folder / "gradebook.db", {"ana": ANA, "beto": everything, "=soma(A1)": {}})
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        gradebook.update_or_create_student("ana", first_name="Ana", last_name="d'Ávila", lms_user_id="45")
        gradebook.update_or_create_student("beto", email="beto@x.br")
        gradebook.find_submission_notebook(DATA, DATA, "ana").late_submission_penalty = 5
        gradebook.db.commit()
    return folder


@pytest.fixture
def export(course, capsys):
    """Exporta; devolve o código de saída e o que foi dito."""

    def call(*arguments):
        code = run(command, ["--curso", str(course), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def read(path, encoding="utf-8"):
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.reader(file))


def test_for_the_teacher(course, export):
    code, said = export()
    assert code == 0
    rows = {row[0]: row for row in read(course / "notas.csv", "utf-8-sig")}
    assert rows["aluno"] == ["aluno", *LESSONS, "nota final", "falta corrigir"]
    # (10 · 98 + 15 · 40) / 1000: a multa está descontada, e o que não foi entregue vale zero
    assert rows["ana"] == ["ana", "98.0", "0.0", "40.0", *["0.0"] * 4, "1.58", DATA]
    assert rows["beto"] == ["beto", *["100.0"] * 7, "10.00", ""]
    assert rows["'=soma(A1)"][-2:] == ["0.00", ""]
    assert f"Falta corrigir à mão em {DATA}: ana." in said
    assert "Falta corrigir à mão em 01_conceitos" not in said
    table = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line}
    assert table["01_conceitos"] == ["10", "2", "99,0", "0"]
    assert table[DATA] == ["15", "2", "70,0", "1"]
    assert table["nota"] == ["final", "3", "3,9", "1"]


def test_the_same_file_as_nbgrader_export(course, export, monkeypatch):
    from nbgrader.apps import ExportApp

    monkeypatch.chdir(course)
    export()
    ours = (course / "notas.csv").read_bytes()
    (course / "notas.csv").unlink()
    app = ExportApp()
    app.initialize([])
    app.start()
    assert (course / "notas.csv").read_bytes() == ours


def test_for_moodle(course, export):
    code, said = export("--formato", "moodle", DATA, "01_conceitos")
    assert code == 0
    content = (course / "notas-moodle.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf"), "o Excel lê os acentos, e o Moodle ignora a marca"
    assert sorted(read(course / "notas-moodle.csv", "utf-8-sig")[1:]) == [
        ["'=soma(A1)", "'=soma(A1)", "", "-", "-", "0.00"],
        ["ana", "Ana d'Ávila", "", "98.00", "40.00", "6.32"],
        ["beto", "beto", "beto@x.br", "100.00", "100.00", "10.00"],
    ]
    assert "Sem e-mail: " in said
    assert "beto" not in said[said.index("Sem e-mail") :].split(".")[0]


def test_for_canvas(course, export):
    code, said = export("--formato", "canvas", "01_conceitos")
    assert code == 0
    assert "e-mail" not in said
    assert not (course / "notas-canvas.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    header, possible, *rows = read(course / "notas-canvas.csv")
    assert header == ["Student", "ID", "SIS Login ID", "Section", "01_conceitos", "nota final"]
    assert possible == ["    Points Possible", "", "", "", "100", "10"]
    assert sorted(rows) == [
        ["'=soma(A1)", "", "'=soma(A1)", "", "", "0.00"],
        ["beto", "", "beto", "", "100.00", "10.00"],
        ["d'Ávila, Ana", "45", "", "", "98.00", "9.80"],
    ]


@pytest.mark.parametrize("kind", ["moodle", "canvas"])
def test_zero_for_who_did_not_submit(course, export, kind):
    export("--formato", kind, "--vazio-e-zero", "01_conceitos")
    rows = read(course / f"notas-{kind}.csv", "utf-8-sig")
    assert next(row for row in rows if "soma" in row[0])[-2:] == ["0.00", "0.00"]


@pytest.mark.parametrize(
    "text",
    [
        "Nome,Sobrenome,Endereço de e-mail\nANA,D'Ávila,ana@x.br\nRui,Lima,rui@x.br\nBeto,,outro@x.br\n",
        "\ufeffFirst name;Surname;ID number;Email address\nAna;d'Ávila;1;ana@x.br\n",
        "Nome completo\tEndereço de email\nAna d'Ávila\tana@x.br\nSem Correio\t\n",
    ],
)
def test_emails_from_the_list_of_participants(course, export, text):
    (course / "lista.csv").write_text(text, encoding="utf-8")
    _, said = export("--formato", "moodle", "--participantes", course / "lista.csv", "01_conceitos")
    emails = {row[0]: row[2] for row in read(course / "notas-moodle.csv", "utf-8-sig")}
    assert emails["ana"] == "ana@x.br"
    assert emails["beto"] == "beto@x.br", "vale o que está na base"
    assert "Sem e-mail: =soma(A1)." in said


@pytest.mark.parametrize("whose", ["na lista", "na base"])
def test_homonyms_get_no_email(course, export, whose):
    """Uma nota com o e-mail de outra pessoa é pior do que uma nota sem e-mail."""
    names = ["Ana,d'Ávila,ana@x.br", "Ana,d'Ávila,outra@x.br"][: 2 if whose == "na lista" else 1]
    (course / "lista.csv").write_text("\n".join(["Nome,Sobrenome,Email", *names]), encoding="utf-8")
    if whose == "na base":
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
            gradebook.add_student("ana 2", first_name="Ana", last_name="d'Ávila")
    _, said = export("--formato", "moodle", "--participantes", course / "lista.csv", "01_conceitos")
    assert "ana" in said[said.index("Sem e-mail") :]
    assert {row[2] for row in read(course / "notas-moodle.csv", "utf-8-sig")[1:]} == {"", "beto@x.br"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "Não consigo ler"),
        (b"", "não tem as colunas"),
        (b"a,b\n1,2\n", "não tem as colunas"),
        (b"Nome,Sobrenome\n1,2\n", "não tem as colunas"),
        ("Nome,Email\nJosé,x\n".encode("latin-1"), "Não consigo ler"),
        (b"Nome,Email\n" + b"a" * 200_000 + b",x\n", "Não consigo ler"),
    ],
)
def test_a_list_that_is_not_one(course, export, content, sentence):
    path = course / "lista.csv"
    if content is not None:
        path.write_bytes(content)
    code, said = export("--formato", "moodle", "--participantes", path)
    assert code == 1
    assert sentence in said
    assert not (course / "notas-moodle.csv").exists()


def test_nothing_is_overwritten_unasked(course, export):
    path = course / "minhas notas.csv"
    assert export("--para", path)[0] == 0
    first = path.read_bytes()
    assert export("--para", path)[0] == 0, "as mesmas notas"
    path.write_bytes(b"meu")
    code, said = export("--para", path)
    assert code == 1
    assert "--substituir" in said
    assert path.read_bytes() == b"meu"
    assert export("--para", path, "--substituir")[0] == 0
    assert path.read_bytes() == first
    assert {one.name for one in course.iterdir()} >= {path.name}
    assert not list(course.glob(".exportando*"))


def test_a_lesson_that_was_not_graded_yet_is_said(course, export):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        gradebook.remove_assignment("07_classificador")
    assert "Ainda não estão na base de notas, e por isso valem zero: 07_classificador." in export()[1]


@pytest.mark.parametrize(
    ("arguments", "config", "sentence"),
    [
        (["98_outra"], "", "Não têm peso em c.FinalGrade.weights: 98_outra. As que têm: 01_conceitos, "),
        ([], "c.FinalGrade.pop('weights')", "Faltam os pesos"),
        ([], "c.FinalGrade.weights = {'a': -1}", "não podem ser negativos"),
        (["--para", "nada/notas.csv"], "", "Não consigo gravar nada/notas.csv"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(course, export, arguments, config, sentence):
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{config}\n")
    code, said = export(*arguments)
    assert code == 1
    (line,) = said.splitlines()
    assert line.startswith("Erro: ")
    assert sentence in line


def test_without_students_or_a_base(course, export):
    with closing(sqlite3.connect(course / "gradebook.db")) as connection, connection:
        for table in ("grade", "comment", "submitted_notebook", "submitted_assignment", "student"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
    assert "ainda não tem alunos" in export()[1]
    (course / "gradebook.db").write_bytes(b"isto nao e uma base " * 100)
    assert "Não consigo usar a base de notas" in export()[1]

"""``corrigir --zip``: zips como os do Moodle e do Canvas, honestos e armados, abertos de verdade."""

import io
import os
import re
import sqlite3
import stat
import struct
import subprocess
import sys
import unicodedata
import zipfile
from contextlib import closing
from pathlib import Path

import click
import nbformat
import pytest
from nbgrader.api import Gradebook

from grading import archives, incoming, receiving
from grading.batch import find_submissions
from grading.cli import command
from grading.command import run
from grading.course import open_course
from grading.incoming import folder_name
from grading.receiving import receive

from . import example_lesson
from .conftest import ROOT
from .example_lesson import NAME

BOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
OTHER = BOOK.replace(b"[]", b"[ ]")


@pytest.fixture
def course(tmp_path, empty_gradebook):
    folder = example_lesson.write_course(tmp_path / "curso com espaço")
    (folder / "gradebook.db").write_bytes(empty_gradebook.read_bytes())
    return open_course(folder)


def make_zip(files, path=None, date=(2026, 3, 1, 12, 0, 0)):
    """Um zip; as chaves são nomes ou ``ZipInfo``, e um valor com par é ``(conteúdo, data)``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            content, when = content if isinstance(content, tuple) else (content, date)
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name, when)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    if path:
        path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def moodle(name, number, file=f"{NAME}.ipynb", ending="_"):
    return f"{name}_{number}_assignsubmission_file{ending}/{file}"


def receive_files(course, files, capsys=None, dated=False):
    """Recebe um zip; devolve ``{aluno: (estado, frase)}``."""
    path = course.folder / "entregas.zip"
    if isinstance(files, bytes):
        path.write_bytes(files)
    else:
        make_zip(files, path)
    arrivals = receive(course.coursedir, NAME, path, dated)
    assert not list(Path(course.folder, "submitted").glob(".chegando*")), "ficou algo pela metade"
    return {one.student: (one.state, one.sentence) for one in arrivals}


def states(found):
    return {student: state for student, (state, _) in found.items()}


def submitted(course):
    """Tudo o que está em ``submitted/``: do caminho para o conteúdo."""
    root = course.folder / "submitted"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def students(course):
    with Gradebook(f"sqlite:///{course.folder / 'gradebook.db'}") as gradebook:
        return {one.id: (one.first_name, one.last_name, one.lms_user_id) for one in gradebook.students}


# --- os nomes


def test_moodle_in_folders(course, capsys):
    found = receive_files(
        course,
        [
            (moodle("João da Silva", 123), BOOK),
            (moodle("Zoë d'Ávila", 124, "meu caderno.ipynb", ending=""), BOOK),
            ("Zoë d'Ávila_124_assignsubmission_onlinetext/onlinetext.html", b"oi"),
            ("Rui_125_assignsubmission_onlinetext_/onlinetext.html", b"oi"),
            ("__MACOSX/._lixo", b""),
        ],
    )
    assert states(found) == {"João da Silva": "nova", "Rui": "fora", "Zoë d'Ávila": "nova"}
    assert "só um texto" in found["Rui"][1]
    assert submitted(course) == {
        f"João da Silva/{NAME}/{NAME}.ipynb": BOOK,
        f"Zoë d'Ávila/{NAME}/{NAME}.ipynb": BOOK,
    }
    assert students(course)["João da Silva"] == ("João", "da Silva", None), "o número do Moodle é o da tarefa"
    assert "Moodle: 3 entregas no zip: 2 novas, 1 ficou de fora." in capsys.readouterr().out


def test_moodle_flat_group_and_repacked(course):
    files = [
        ("turma/Ana Lima_7_assignsubmission_file_a_1_2.ipynb", BOOK),
        ("turma/Grupo padrão_assignsubmission_file_/x/y.ipynb", BOOK),
        ("turma/Ana Lima_7_assignsubmission_file_dados.csv", b"1"),
    ]
    assert states(receive_files(course, files)) == {"Ana Lima": "nova", "Grupo padrão": "nova"}
    assert set(submitted(course)) == {
        f"Ana Lima/{NAME}/{NAME}.ipynb",
        f"Ana Lima/{NAME}/dados.csv",
        f"Grupo padrão/{NAME}/{NAME}.ipynb",
    }


def test_canvas(course, capsys):
    found = receive_files(
        course,
        [
            (f"silvajoão_LATE_45_678_{NAME}-1.ipynb", BOOK),
            (f"silvajoão_LATE_45_670_{NAME}.ipynb", b"antigo"),
            ("silvajoão_LATE_45_671_dados.csv", b"1"),
            ("silvajoão_LATE_45_672_dados.csv", b"2"),
            ("souza_jr_46_680_12_x.ipynb", BOOK),
            ("anon_aB3xY_690_x.ipynb", BOOK),
            ("47_691_x.ipynb", BOOK),
            ("lima_48_text.html", b"oi"),
        ],
    )
    assert states(found) == {
        "47": "nova",
        "anon_aB3xY": "nova",
        "lima": "fora",
        "silvajoão": "nova",
        "souza_jr": "nova",
    }
    assert submitted(course)[f"silvajoão/{NAME}/{NAME}.ipynb"] == BOOK
    assert {f"silvajoão/{NAME}/dados.csv", f"silvajoão/{NAME}/672_dados.csv"} <= set(submitted(course))
    assert students(course)["souza_jr"] == (None, None, "46")
    assert students(course)["anon_aB3xY"][2] is None
    assert "Com atraso, diz o Canvas: silvajoão." in capsys.readouterr().out


def test_the_same_person_of_canvas_under_another_name(course):
    receive_files(course, [("silvaana_45_1_a.ipynb", BOOK)])
    assert states(receive_files(course, [("limaana_45_2_a.ipynb", OTHER)])) == {"silvaana": "nova versão"}
    found = receive_files(course, [("silvaana_46_3_a.ipynb", BOOK)])
    assert states(found) == {"silvaana 46": "nova"}, "o mesmo nome, outra pessoa"


def test_homonyms_get_the_number(course, capsys):
    files = [(moodle("Ana Silva", 1), BOOK), (moodle("ana  silva", 2), OTHER), (moodle("Ana", 3), BOOK)]
    assert set(receive_files(course, files)) == {"Ana Silva 1", "ana silva 2", "Ana"}
    assert "mesmo nome; estes levaram o número: Ana Silva 1, ana silva 2." in capsys.readouterr().out
    assert set(receive_files(course, [(moodle("Ana Silva", 9), BOOK)])) == {"Ana Silva 9"}, "qual das duas?"


def test_a_student_of_the_class_list_keeps_the_id(course):
    with Gradebook(f"sqlite:///{course.folder / 'gradebook.db'}") as gradebook:
        gradebook.add_student("ra1", first_name="Ana", last_name="Silva", email="ana@x.br")
        gradebook.add_student("ra2", first_name="Rui", last_name="Lima")
        gradebook.add_student("sem nome")
        gradebook.add_student("Maria Dias", first_name="Maria", last_name="Dias da Costa")
    files = [(moodle(name, number), BOOK) for number, name in enumerate(("ANA Silva", "Sem Nome", "Maria Dias"))]
    assert set(receive_files(course, files)) == {"ra1", "sem nome", "Maria Dias"}
    assert set(receive_files(course, [("limarui_45_1_a.ipynb", BOOK)])) == {"ra2"}
    assert students(course) == {
        "ra1": ("Ana", "Silva", None),
        "ra2": ("Rui", "Lima", "45"),
        "sem nome": ("Sem", "Nome", None),
        "Maria Dias": ("Maria", "Dias da Costa", None),
    }


def test_two_names_of_the_same_student_do_not_share_a_folder(course):
    with Gradebook(f"sqlite:///{course.folder / 'gradebook.db'}") as gradebook:
        gradebook.add_student("Ana Silva", first_name="Ana", last_name="Souza")
    found = receive_files(course, [(moodle("Ana Silva", 1), BOOK), (moodle("Ana Souza", 2), OTHER)])
    assert states(found) == {"Ana Silva": "nova", "Ana Souza 2": "nova"}


def test_accents_written_as_macos_does(course):
    name = unicodedata.normalize("NFD", "João")
    (course.folder / "submitted" / name / NAME).mkdir(parents=True)
    assert states(receive_files(course, [(moodle("João", 1), BOOK)])) == {name: "nova versão"}
    assert set(receive_files(course, [(moodle(unicodedata.normalize("NFD", "Zoë"), 1), BOOK)])) == {"Zoë"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("  João \t da\nSilva. ", "João da Silva"),
        ('a<b>:"|?*c', "a b c"),
        ("...", "aluno"),
        (".oculto", "oculto"),
        ("con", "aluno con"),
        ("Con.txt", "aluno Con.txt"),
        ("é" * 200, "é" * 50),
        ("\u202eana", "ana"),
    ],
)
def test_folder_names(name, folder):
    assert folder_name(name) == folder


def test_utf8_names_without_the_mark(course):
    """Muitos programas gravam UTF-8 sem o dizer, e o ``zipfile`` lê outra coisa."""
    marked = make_zip([(moodle("João", 1), BOOK)])
    name = moodle("João", 1).encode()
    unmarked = bytearray(marked)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = unmarked.index(signature) + flags
        unmarked[place : place + 2] = b"\0\0"
    assert set(receive_files(course, bytes(unmarked))) == {"João"}
    latin = bytes(unmarked).replace(name, "JoÆÆo".encode("cp437")[:3] + b"\xc6\xc6" + name[5:])
    with pytest.raises(click.ClickException, match="não é um texto em UTF-8"):
        receive_files(course, latin)
    with pytest.raises(click.ClickException, match="não é um texto em UTF-8"):
        receive_files(course, marked.replace(name, b"Jo\xff\xffo" + name[5:]))


# --- o caderno


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        ({"a.ipynb": BOOK}, "nova"),
        ({"A.IPYNB": BOOK}, "nova"),
        ({f"{NAME}.ipynb": BOOK, "rascunho.ipynb": OTHER}, "nova"),
        ({f"{NAME.upper()}.ipynb": BOOK, "rascunho.ipynb": OTHER}, "nova"),
        ({f"x/{NAME}.ipynb": BOOK, f"x/y/{NAME}.ipynb": OTHER}, "nova"),
        ({"tudo.zip": make_zip([("pasta/a.ipynb", BOOK), ("pasta/.ipynb_checkpoints/a.ipynb", OTHER)])}, "nova"),
        ({"a.ipynb": BOOK, "tudo.zip": make_zip([("b.ipynb", OTHER)])}, "nova"),
        ({"tudo.zip": make_zip([("dentro.zip", make_zip([("a.ipynb", BOOK)]))])}, "não tem um caderno"),
        ({"a.ipynb": BOOK, "b.ipynb": BOOK}, "tem 2 cadernos"),
        ({f"x/{NAME}.ipynb": BOOK, f"y/{NAME}.ipynb": OTHER}, "tem 2 cadernos"),
        ({"a.zip": make_zip([("a.ipynb", BOOK)]), "b.zip": make_zip([("b.ipynb", BOOK)])}, "tem 2 cadernos"),
        ({"a.pdf": b"%PDF"}, "não tem um caderno"),
        ({"a.zip": b"PK quebrado"}, "não é um zip"),
        ({"a.zip": make_zip([("LiXXo.ipynb", BOOK)]).replace(b"XX", b"\x87\xc6")}, "nova"),  # cp850, do Windows
    ],
)
def test_which_notebook(course, files, answer):
    found = receive_files(course, [(moodle("ana", 1, name), content) for name, content in files.items()])
    state, sentence = found["ana"]
    if answer == "nova":
        assert state == "nova", sentence
        assert submitted(course)[f"ana/{NAME}/{NAME}.ipynb"] == BOOK
    else:
        assert state == "fora"
        assert sentence.startswith("O que foi entregue ")
        assert answer in sentence
        assert submitted(course) == {}


def test_other_files_come_along_but_not_a_date(course):
    inner = make_zip([("t/a.ipynb", BOOK), ("t/d/x.csv", b"1"), ("t/TimeStamp.txt", b"2000"), ("fora.csv", b"2")])
    receive_files(course, [(moodle("ana", 1, "a.zip"), inner), (moodle("rui", 2), BOOK)])
    receive_files(course, [(moodle("rui", 2, "timestamp.txt"), b"2000-01-01"), (moodle("rui", 2), BOOK)])
    assert set(submitted(course)) == {f"ana/{NAME}/{NAME}.ipynb", f"ana/{NAME}/d/x.csv", f"rui/{NAME}/{NAME}.ipynb"}


def test_a_new_version_keeps_the_old(course, capsys):
    files = [(moodle("ana", 1), BOOK), (moodle("rui", 2), BOOK)]
    receive_files(course, files)
    checkpoint = course.folder / "submitted" / "ana" / NAME / ".ipynb_checkpoints"
    checkpoint.mkdir()
    (checkpoint / "a.ipynb").write_bytes(b"do professor, ao olhar")
    assert states(receive_files(course, files)) == {"ana": "sem mudança", "rui": "sem mudança"}
    found = receive_files(course, [(moodle("ana", 1), OTHER), (moodle("rui", 2), BOOK)])
    assert states(found) == {"ana": "nova versão", "rui": "sem mudança"}
    assert "1 nova versão, 1 sem mudança." in capsys.readouterr().out
    old = Path(re.search(r"está em (.+)\.$", found["ana"][1])[1])
    assert old.is_relative_to(course.folder / "submitted" / ".anteriores" / NAME / "ana")
    assert (old / f"{NAME}.ipynb").read_bytes() == BOOK
    assert submitted(course)[f"ana/{NAME}/{NAME}.ipynb"] == OTHER
    assert {one.student for one in find_submissions(course.coursedir, NAME)} == {"ana", "rui"}


def test_a_folder_that_is_a_link_is_left_alone(course, tmp_path):
    outside = tmp_path / "fora"
    outside.mkdir()
    (course.folder / "submitted").mkdir()
    (course.folder / "submitted" / "ana").symlink_to(outside)
    found = receive_files(course, [(moodle("ana", 1), BOOK)])
    assert "link simbólico" in found["ana"][1]
    assert not list(outside.iterdir())


def test_a_place_taken_by_a_file(course):
    (course.folder / "submitted").mkdir()
    (course.folder / "submitted" / "ana").write_text("é do professor", encoding="utf-8")
    assert "não pode ser posto em" in receive_files(course, [(moodle("ana", 1), BOOK)])["ana"][1]
    assert submitted(course) == {"ana": "é do professor".encode()}


# --- as datas


def test_dates_only_when_asked(course):
    files = [
        (moodle("ana", 1), (BOOK, (2026, 3, 1, 12, 0, 0))),
        (moodle("rui", 2), (BOOK, (2026, 3, 2, 12, 0, 0))),
        (moodle("sem data", 3), (BOOK, (1980, 1, 1, 0, 0, 0))),
        (moodle("mês zero", 4), (BOOK, (2026, 0, 1, 0, 0, 0))),
    ]
    receive_files(course, files)
    assert not [name for name in submitted(course) if name.endswith("timestamp.txt")]
    assert set(states(receive_files(course, files, dated=True)).values()) == {"sem mudança"}
    receive_files(course, files, dated=True)
    dates = {name.split("/")[0]: text for name, text in submitted(course).items() if name.endswith("timestamp.txt")}
    assert set(dates) == {"ana", "rui"}
    assert re.fullmatch(rb"2026-03-0[12] \d\d:00:00 UTC\n", dates["ana"])
    assert set(states(receive_files(course, files)).values()) == {"sem mudança"}, "a data não é uma nova versão"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([("a_1_2_a.ipynb", BOOK)], "é do Canvas"),
        ([(moodle("ana", 1), BOOK), (moodle("rui", 2), BOOK)], "todos os arquivos com a mesma data"),
    ],
)
def test_dates_that_are_not_of_the_submissions(course, files, sentence):
    with pytest.raises(click.ClickException, match=sentence):
        receive_files(course, files, dated=True)
    assert submitted(course) == {}


# --- os zips armados


def entry(name, mode=0, flags=0):
    info = zipfile.ZipInfo(name, (2026, 3, 1, 12, 0, 0))
    info.external_attr, info.flag_bits = mode << 16, flags
    return info


GOOD = (moodle("ana", 1), BOOK)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([("../../fora.ipynb", BOOK)], "leva para fora"),
        ([("/tmp/fora.ipynb", BOOK)], "leva para fora"),  # noqa: S108
        ([(moodle("ana", 1, "../../fora.ipynb"), BOOK)], "leva para fora"),
        ([(moodle("ana", 1, "./a.ipynb"), BOOK)], "leva para fora"),
        ([("C:/fora.ipynb", BOOK)], "leva para fora"),
        ([(r"ana_1_assignsubmission_file_\..\fora.ipynb", BOOK)], "leva para fora"),
        ([("fora/../", b"")], "leva para fora"),
        ([(entry(moodle("rui", 2), stat.S_IFLNK | 0o777), b"/etc/passwd")], "link simbólico"),
        ([(entry(moodle("rui", 2), stat.S_IFIFO | 0o777), b"")], "link simbólico"),
        ([(entry(moodle("rui", 2, "f/"), stat.S_IFLNK), b"")], "link simbólico"),
        ([GOOD], "dois arquivos com o mesmo nome"),
        ([(moodle("r\x1b[31mui", 2), BOOK)], "nome de aluno com caracteres de controle"),
        ([(moodle("rui", 2, "a" * 2000), BOOK)], "mais de 1000 caracteres"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_archive_is_refused_whole(course, tmp_path, files, sentence):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(click.ClickException, match=sentence) as error:
        receive_files(course, [GOOD, *files])
    assert "\x1b" not in error.value.message
    after = [path for path in sorted(tmp_path.rglob("*")) if path.name != "entregas.zip"]
    assert after == before, "algo foi gravado"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([("a.txt", b"oi"), ("b/c.ipynb", BOOK)], "não tem entregas do Moodle"),
        ([], "não tem entregas do Moodle"),
        (b"", "não é um zip"),
        (b"PK\x03\x04" + b"\0" * 500, "não é um zip"),
        (make_zip([GOOD])[:-30], "não é um zip"),
    ],
)
def test_what_is_not_an_archive_of_submissions(course, files, sentence):
    with pytest.raises(click.ClickException, match=sentence):
        receive_files(course, files)
    assert submitted(course) == {}


def test_there_is_no_place_for_submissions(course):
    (course.folder / "submitted").write_text("é do professor", encoding="utf-8")
    assert "não pode ser gravado" in receive_files(course, [GOOD])["ana"][1]


def test_an_archive_without_its_beginning(course):
    found = receive_files(course, make_zip([GOOD])[40:])
    assert "estragado" in found["ana"][1]


def test_an_encrypted_archive(course):
    data = bytearray(make_zip([GOOD]))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    with pytest.raises(click.ClickException, match="protegido por senha"):
        receive_files(course, bytes(data))


def test_a_huge_directory(course, monkeypatch):
    """O índice de um zip é lido inteiro para a memória; o tamanho dele quem diz é o zip."""
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 1000)
    with pytest.raises(click.ClickException, match="não é um zip"):
        receive_files(course, [(moodle("ana", number), BOOK) for number in range(20)])


def test_too_many_entries(course, monkeypatch):
    monkeypatch.setattr(archives, "MOST_ENTRIES", 2)
    with pytest.raises(click.ClickException, match="mais de 2 arquivos"):
        receive_files(course, [(moodle("ana", number), BOOK) for number in range(3)])


def test_a_class_too_large(course, monkeypatch):
    monkeypatch.setattr(receiving, "LARGEST_CLASS", 100)
    with pytest.raises(click.ClickException, match="GB de entregas"):
        receive_files(course, [(moodle("ana", number), BOOK) for number in range(3)])


def lie_about_size(data, size):
    """O mesmo zip, com outro tamanho declarado para o primeiro arquivo."""
    data = bytearray(data)
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(signature) + place
        data[start : start + 4] = struct.pack("<I", size)
    return bytes(data)


BOMB = b"0" * 3_000_000


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ([(moodle("rui", 2), BOMB)], "bomba de descompressão"),
        ([(moodle("rui", 2, "a.zip"), make_zip([("a.ipynb", BOMB)]))], "bomba de descompressão"),
        ([(moodle("rui", 2), os.urandom(300_000))], "passa de 0 MB"),
        ([(moodle("rui", 2, f"{number}.ipynb"), os.urandom(150_000)) for number in range(2)], "passa de 0 MB"),
        ([(moodle("rui", 2, f"{number}.ipynb"), BOOK) for number in range(6)], "passa de 5 arquivos"),
        ([(moodle("rui", 2, "a.zip"), make_zip([(f"{n}.ipynb", BOOK) for n in range(6)]))], "passa de 5 arquivos"),
        ([(moodle("rui", 2, "a\x1b[31m.ipynb"), BOOK)], "caracteres de controle"),
        ([(moodle("rui", 2, "a.zip"), make_zip([("a\n.ipynb", BOOK)]))], "caracteres de controle"),
        ([(moodle("rui", 2, "a.zip"), make_zip([("../a.ipynb", BOOK)]))], "leva para fora"),
        ([(moodle("rui", 2, "a.zip"), make_zip([(entry("a.ipynb", stat.S_IFLNK), b"/etc/passwd")]))], "link simbólico"),
        ([(moodle("rui", 2, "n" * 300 + ".ipynb"), BOOK)], "não pode ser gravado"),
        ([(moodle("rui", 2, "a"), b"1"), (moodle("rui", 2, "a/b.ipynb"), BOOK)], "não pode ser gravado|mesmo nome"),
        ([(moodle("rui", 2, "a/b.ipynb"), BOOK), (moodle("rui", 2, "a"), b"1")], "não pode ser gravado|mesmo nome"),
    ],
)
def test_a_hostile_submission_costs_only_itself(course, monkeypatch, bad, sentence):
    monkeypatch.setattr(incoming, "LARGEST_SUBMISSION", 200_000 if "0 MB" in sentence else 100_000_000)
    monkeypatch.setattr(incoming, "MOST_FILES", 5)
    found = receive_files(course, [*bad, GOOD])
    assert states(found) == {"ana": "nova", "rui": "fora"}
    assert re.search(sentence, found["rui"][1]), found["rui"][1]
    assert set(submitted(course)) == {f"ana/{NAME}/{NAME}.ipynb"}


def test_what_comes_out_is_counted(course, monkeypatch):
    """O tamanho declarado não vale: o zip diz que o arquivo tem 10 bytes."""
    monkeypatch.setattr(incoming, "LARGEST_SUBMISSION", 50_000)
    found = receive_files(course, lie_about_size(make_zip([(moodle("rui", 2), b"ab" * 50_000), GOOD]), 10))
    assert states(found) == {"ana": "nova", "rui": "fora"}
    assert "estragado" in found["rui"][1]


def test_a_damaged_entry(course):
    data = bytearray(make_zip([(moodle("rui", 2), os.urandom(500)), GOOD]))
    data[200] ^= 0xFF
    found = receive_files(course, bytes(data))
    assert states(found) == {"ana": "nova", "rui": "fora"}
    assert "estragado no zip" in found["rui"][1]


def test_an_unusual_compression(course):
    path = course.folder / "entregas.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(moodle("rui", 2), BOOK)
    assert "comprimido de um jeito" in receive_files(course, path.read_bytes())["rui"][1]


# --- a linha de comando


def correct(course, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "grading", NAME, *map(str, arguments)],
        cwd=course.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_from_the_archive_to_the_grades(course, tmp_path):
    right = (course.folder / "solutions" / NAME / f"{NAME}.ipynb").read_bytes()
    blank = nbformat.reads(right.decode(), as_version=4)
    example_lesson.find(blank.cells, "99-media").source = "pass"
    path = tmp_path / "baixado do moodle.zip"
    files = [
        (moodle("Zoë d'Ávila", 5, "entrega.ipynb"), right),
        (moodle("João", 6), nbformat.writes(blank).encode()),
        (moodle("Rui", 7, "a.pdf"), b"%PDF"),
    ]
    make_zip(files, path)
    process = correct(course, "--zip", path)
    assert process.returncode == 0, process.stderr
    assert "Moodle: 3 entregas no zip: 2 novas, 1 ficou de fora." in process.stdout
    assert "Rui: O que foi entregue não tem um caderno (.ipynb)." in process.stdout
    assert re.search(r"^Zoë d'Ávila +90/90 ", process.stdout, re.MULTILINE)
    assert re.search(r"^João +30/90 ", process.stdout, re.MULTILINE)
    assert process.stdout.endswith("Do zip ficaram de fora, pelo motivo dito no começo: Rui.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--zip", "nada.zip"], "O arquivo nada.zip não pode ser lido"),
        (["--horario-do-zip"], "--horario-do-zip só vale com --zip."),
    ],
)
def test_a_wrong_command_is_one_sentence(course, capsys, arguments, sentence):
    assert run(command, [NAME, "--curso", str(course.folder), *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Erro: {sentence}")


def test_a_lesson_that_does_not_exist_receives_nothing(course, capsys):
    path = course.folder / "a.zip"
    make_zip([GOOD], path)
    assert run(command, ["98_outra", "--curso", str(course.folder), "--zip", str(path)]) == 1
    assert "Não há uma lição 98_outra" in capsys.readouterr().err
    assert submitted(course) == {}


@pytest.mark.parametrize("damage", ["arquivo", "gatilho"])
def test_a_base_that_is_not_one(course, capsys, damage):
    base, path = course.folder / "gradebook.db", course.folder / "a.zip"
    make_zip([GOOD], path)
    if damage == "arquivo":
        base.write_bytes(b"isto nao e uma base " * 100)
    else:
        with closing(sqlite3.connect(base)) as connection:
            connection.execute("CREATE TRIGGER t BEFORE INSERT ON student BEGIN SELECT RAISE(ABORT, 'não'); END")
    assert run(command, [NAME, "--curso", str(course.folder), "--zip", str(path)]) == 1
    assert "Não consigo usar a base de notas" in capsys.readouterr().err
    assert submitted(course) == {}

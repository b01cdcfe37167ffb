"""A reconstrução do caderno: o que vem da fonte, o que vem da entrega e o que é listado."""

import json
import os
import random
from copy import deepcopy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from nbgrader.utils import compute_checksum

from grading import rebuild as module
from grading.rebuild import Change, UnreadableError, clean, read_submission, rebuild
from grading.results import Source
from grading.source import prepare_source

from . import example_lesson
from .conftest import ROOT
from .example_lesson import NAME, course_directory, find, graded

TEST, ANSWER, MANUAL = "99_media_teste", "99_media", "99_texto"
SEEDS = range(300)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A lição de amostra, preparada."""
    course = example_lesson.write_course(tmp_path_factory.mktemp("curso"))
    [prepared] = prepare_source(course_directory(course), NAME)
    return prepared


@pytest.fixture
def submitted(source):
    """O caderno que o estudante recebeu, para cada teste mudar à vontade."""
    return read_text(source.distributed)


def read_text(text):
    return nbformat.reads(text, as_version=4)


def original(source):
    return read_text(source.notebook)


def position(notebook, cell_id):
    return [cell.id for cell in notebook.cells].index(cell_id)


def kinds(notes):
    return [str(note.kind) for note in notes]


def variant(cell, **changes):
    return nbformat.NotebookNode(deepcopy(cell), **changes)


def without_ids(notebook):
    """O mesmo caderno em nbformat 4.4, como o JSON o traz."""
    content = json.loads(nbformat.writes(notebook))
    content["nbformat_minor"] = 4
    for cell in content["cells"]:
        del cell["id"]
    return clean(content)


# --- O que não muda nada


def test_the_source_itself_changes_nothing(source):
    assert rebuild(source, original(source)) == (original(source), ())


def test_what_the_student_received_changes_nothing(source, submitted):
    before = deepcopy(submitted)
    assert rebuild(source, submitted) == (original(source), ())
    assert submitted == before


def test_the_lesson_in_the_repository_changes_nothing():
    lesson = "03_preparacao_dos_dados"
    [source] = prepare_source(course_directory(ROOT), lesson)
    submitted = read_submission(ROOT / "notebooks" / lesson / f"{lesson}.ipynb")
    assert rebuild(source, submitted) == (original(source), ())
    assert rebuild(source, without_ids(read_text(source.distributed))) == (original(source), ())


def test_without_the_distributed_notebook_the_source_is_compared(source):
    alone = Source(source.lesson, source.name, source.notebook)
    assert rebuild(alone, original(source)) == (original(source), ())


def test_what_editors_do_by_themselves_is_not_a_change(source, submitted):
    for cell in submitted.cells:
        cell.source = cell.source.replace("\n", "  \r\n") + "\r\n\r\n"
        cell.metadata |= {"collapsed": True, "execution": {"iopub.status.busy": "2026"}, "tags": ["hide-input"]}
    submitted.metadata |= {"kernelspec": {"name": "meu-ambiente", "language": "Python"}, "widgets": {"a": 1}}
    notebook, notes = rebuild(source, clean(json.loads(nbformat.writes(submitted))))
    assert notes == ()
    assert find(notebook.cells, "99-media-teste") == find(original(source).cells, "99-media-teste")
    assert [cell.metadata for cell in notebook.cells] == [cell.metadata for cell in original(source).cells]
    assert notebook.metadata == original(source).metadata


# --- De onde vem cada coisa


def test_answers_come_from_the_submission_and_nothing_else_of_them(source, submitted):
    cell = find(submitted.cells, "99-media")
    cell.source = "def mean_length(texts):\n    return 5.0"
    cell.outputs = [new_output("stream", text="de antes")]
    cell.execution_count = 7
    find(submitted.cells, "99-texto").source = "A mediana."
    notebook, notes = rebuild(source, submitted)
    expected = original(source)
    find(expected.cells, "99-media").source = cell.source
    find(expected.cells, "99-texto").source = "A mediana."
    assert (notebook, notes) == (expected, ())


def test_a_pasted_image_is_part_of_the_answer(source, submitted):
    image = {"image/png": "aGVsbG8="}
    hostile = {"text/html": "<script>", 'image/png" onerror="x': "aGVsbG8=", "image/gif": '"><script>'}
    find(submitted.cells, "99-texto").attachments = {"a.png": image | hostile, "b.png": {}}
    submitted.cells.append(new_markdown_cell("![](attachment:c.png)", attachments={"c.png": image}))
    notebook, _ = rebuild(source, clean(json.loads(nbformat.writes(submitted))))
    assert find(notebook.cells, "99-texto").attachments == {"a.png": image}
    assert notebook.cells[-1].attachments == {"c.png": image}
    nbformat.validate(notebook)


def test_a_changed_lecture_cell_keeps_the_students_text(source, submitted):
    find(submitted.cells, "aula").source = "texts = []"
    notebook, notes = rebuild(source, submitted)
    assert find(notebook.cells, "aula").source == "texts = []"
    assert notes == ()


def test_helpers_stay_where_they_were_without_tags_or_metadata(source, submitted):
    helper = new_code_cell("x = 1", id="do-estudante", metadata={"deletable": False, "tags": ["meu"]})
    helper.outputs = [new_output("stream", text="de antes")]
    submitted.cells.insert(0, new_markdown_cell("# Anotações"))
    submitted.cells.insert(position(submitted, "99-media-teste"), helper)
    submitted.cells.append(new_code_cell("y = 2"))
    notebook, notes = rebuild(source, submitted)
    assert [cell.source for cell in notebook.cells] == [
        "# Anotações",
        *[cell.source for cell in original(source).cells[:6]],
        "x = 1",
        *[cell.source for cell in original(source).cells[6:]],
        "y = 2",
    ]
    assert [cell.id for cell in notebook.cells if cell.id.startswith("auxiliar-")] == [
        "auxiliar-1",
        "auxiliar-2",
        "auxiliar-3",
    ]
    assert find(notebook.cells, "auxiliar-2") == new_code_cell("x = 1", id="auxiliar-2")
    assert notes == ()


def test_the_new_ids_do_not_collide(source, submitted):
    taken = original(source)
    taken.cells[1].id = "auxiliar-1"
    notebook, _ = rebuild(
        Source(NAME, NAME, nbformat.writes(taken)), new_notebook(cells=[*submitted.cells, new_code_cell("z")])
    )
    assert notebook.cells[-1].id == "auxiliar-2"


# --- O que falta volta, e é listado


def test_missing_cells_come_back_blank(source, submitted):
    submitted.cells = [cell for cell in submitted.cells if cell.id not in ("99-media", "99-media-teste", "resumo")]
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [(note.kind, note.cell, note.serious) for note in notes] == [
        (Change.MISSING, ANSWER, False),
        (Change.MISSING, TEST, False),
        (Change.MISSING, "resumo", False),
    ]
    assert notes[1].sentence == "A célula de teste 99_media_teste não estava na entrega; voltou a original."
    assert "«## Resumo»" in notes[2].sentence


def test_an_empty_notebook(source):
    notebook, notes = rebuild(source, new_notebook())
    assert notebook == original(source)
    assert set(kinds(notes)) == {"celula_faltando"}
    assert "14 células de aula" in notes[-1].sentence


def test_an_edited_test_is_the_original_again(source, submitted):
    find(submitted.cells, "99-media-teste").source = "pass"
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [(note.kind, note.cell, note.serious) for note in notes] == [(Change.EDITED, TEST, False)]


def test_a_test_duplicated_is_one_again(source, submitted):
    copy = deepcopy(find(submitted.cells, "99-media-teste"))
    copy.source, copy.id = "raise SystemExit", "copia"
    submitted.cells += [copy, deepcopy(copy)]
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [(note.kind, note.cell) for note in notes] == [(Change.DUPLICATED, TEST)]
    assert "3 vezes" in notes[0].sentence


@pytest.mark.parametrize(
    ("texts", "answer", "helpers"),
    [
        (["a = 1", "a = 2"], "a = 1", ["a = 2"]),  # o que se executa é o que o estudante viu
        ([None, "a = 2"], "a = 2", []),
        (["a = 1", None], "a = 1", []),
        (["", "a = 2", "a = 2"], "a = 2", []),
        ([None, None], None, []),
        (["", ""], "", []),
    ],
)
def test_the_first_answer_that_is_not_blank_counts(source, submitted, texts, answer, helpers):
    blank = find(original(source).cells, "99-media").source
    place = position(submitted, "99-media")
    cell = submitted.cells.pop(place)
    for text in reversed(texts):
        submitted.cells.insert(place, variant(cell, source=blank if text is None else text))
    notebook, notes = rebuild(source, submitted)
    assert find(notebook.cells, "99-media").source == (blank if answer is None else answer)
    assert [cell.source for cell in notebook.cells if cell.id.startswith("auxiliar")] == helpers
    assert [(note.kind, note.cell, note.serious) for note in notes] == [(Change.DUPLICATED, ANSWER, False)]


def test_cells_of_another_type_go_back_and_keep_the_answer(source, submitted):
    for cell_id, new_cell in (
        ("99-media", new_raw_cell),
        ("99-media-teste", new_markdown_cell),
        ("aula", new_raw_cell),
    ):
        place = position(submitted, cell_id)
        submitted.cells[place] = new_cell(
            "a = 1" if cell_id == "99-media" else submitted.cells[place].source,
            id=cell_id,
            metadata=submitted.cells[place].metadata,
        )
    notebook, notes = rebuild(source, submitted)
    expected = original(source)
    find(expected.cells, "99-media").source = "a = 1"
    assert notebook == expected
    assert [(note.kind, note.cell) for note in notes] == [
        (Change.RETYPED, "aula"),
        (Change.RETYPED, ANSWER),
        (Change.RETYPED, TEST),
    ]


def test_the_order_goes_back(source, submitted):
    submitted.cells.insert(2, submitted.cells.pop(position(submitted, "99-media-teste")))
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [note.kind for note in notes] == [Change.REORDERED]
    assert "célula de teste 99_media_teste; voltou" in notes[0].sentence


def test_a_notebook_upside_down(source, submitted):
    submitted.cells.reverse()
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [note.kind for note in notes] == [Change.REORDERED]
    assert f" e mais {len(submitted.cells) - 4};" in notes[0].sentence


@pytest.mark.parametrize(("cell_id", "serious"), [("99-media-teste", True), ("99-media", False), ("aula", False)])
@pytest.mark.parametrize("tag", ["skip-execution", "raises-exception"])
def test_tags_that_change_the_run_go_away(source, submitted, cell_id, serious, tag):
    find(submitted.cells, cell_id).metadata["tags"] = ["meu", tag]
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [(note.kind, note.serious) for note in notes] == [(Change.TAGGED, serious)]
    assert tag in notes[0].sentence


def test_a_tag_on_a_helper(source, submitted):
    submitted.cells.append(new_code_cell("1", metadata={"tags": ["skip-execution"]}))
    _, notes = rebuild(source, submitted)
    assert [(note.kind, note.serious) for note in notes] == [(Change.TAGGED, False)]


@pytest.mark.parametrize(
    ("cell_id", "change", "serious"),
    [
        ("99-media-teste", {"points": 1000}, True),
        ("99-media-teste", {"points": None}, True),
        ("99-media-teste", {"grade": False}, True),
        ("99-media-teste", {"solution": True}, True),
        ("99-texto", {"locked": True}, True),
        ("99-media", {"solution": False}, False),
    ],
)
def test_points_and_role_come_from_the_source(source, submitted, cell_id, change, serious):
    cell = find(submitted.cells, cell_id)
    cell.metadata.nbgrader |= change
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [(note.kind, note.cell, note.serious) for note in notes] == [
        (Change.METADATA, cell.metadata.nbgrader.grade_id, serious)
    ]


def test_metadata_that_a_converter_lost(source, submitted):
    for cell in submitted.cells:
        cell.metadata = nbformat.NotebookNode()
    find(submitted.cells, "99-media").source = "a = 1"
    notebook, notes = rebuild(source, submitted)
    expected = original(source)
    find(expected.cells, "99-media").source = "a = 1"
    assert notebook == expected
    assert {(note.kind, note.serious) for note in notes} == {(Change.METADATA, False)}
    assert [note.cell for note in notes] == [
        cell.metadata.nbgrader.grade_id for cell in expected.cells if "nbgrader" in cell.metadata
    ]


def test_a_test_whose_metadata_were_removed_is_not_run(source, submitted):
    cell = find(submitted.cells, "99-media-teste")
    cell.metadata = nbformat.NotebookNode()
    cell.source = "print('editado')"
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [note.kind for note in notes] == [Change.EDITED, Change.METADATA]


def test_an_unknown_grade_id_is_a_helper(source, submitted):
    submitted.cells.append(graded("x = 1", "99_outra", points=50))
    submitted.cells[-1].metadata.nbgrader.grade_id += "\x1b[31m" + "x" * 100
    notebook, notes = rebuild(source, submitted)
    assert notebook.cells[-1] == new_code_cell("x = 1", id="auxiliar-1")
    assert [note.kind for note in notes] == [Change.UNKNOWN_ID]
    assert "\x1b" not in notes[0].sentence
    assert len(notes[0].sentence) < 150


def test_a_copied_test_is_a_helper_worth_nothing(source, submitted):
    submitted.cells.append(new_code_cell(find(submitted.cells, "99-media-teste").source))
    notebook, notes = rebuild(source, submitted)
    assert notebook.cells[-1].metadata == {}
    assert [(note.kind, note.cell, note.serious) for note in notes] == [(Change.COPIED_TEST, TEST, False)]


def test_raw_cells_go_away(source, submitted):
    submitted.cells += [new_raw_cell("isto não executa"), new_raw_cell("  \n")]
    notebook, notes = rebuild(source, submitted)
    assert notebook == original(source)
    assert [note.kind for note in notes] == [Change.DROPPED]


@pytest.mark.parametrize(
    ("metadata", "listed"),
    [
        ({"kernelspec": {"name": "julia-1.9", "display_name": "Julia", "language": "julia"}}, True),
        ({"language_info": {"name": "R"}}, True),
        ({"kernelspec": {"name": "outro", "display_name": "Outro", "language": "python"}}, False),
        ({}, False),
    ],
)
def test_another_kernel_is_listed(source, submitted, metadata, listed):
    submitted.metadata = nbformat.from_dict(metadata)
    notebook, notes = rebuild(source, clean(submitted))
    assert notebook.metadata == original(source).metadata
    assert kinds(notes) == [Change.KERNEL] * listed


# --- Sem ids


def test_without_ids_changed_lecture_cells_are_found_by_position(source, submitted):
    find(submitted.cells, "aula").source = "texts = []"
    find(submitted.cells, "cartao-1").source = "Mudei este."
    notebook, notes = rebuild(source, without_ids(submitted))
    expected = original(source)
    find(expected.cells, "aula").source = "texts = []"
    find(expected.cells, "cartao-1").source = "Mudei este."
    assert (notebook, notes) == (expected, ())


def test_ids_drawn_again_are_as_none(source, submitted):
    find(submitted.cells, "aula").source = "texts = []"
    for number, cell in enumerate(submitted.cells):
        cell.id = f"sorteado-{number}"
    notebook, notes = rebuild(source, submitted)
    assert find(notebook.cells, "aula").source == "texts = []"
    assert notes == ()


def test_without_ids_a_helper_does_not_take_a_tests_place(source, submitted):
    place = position(submitted, "99-media-teste")
    submitted.cells[place] = new_code_cell("x = 1")
    notebook, notes = rebuild(source, without_ids(submitted))
    assert [cell.source for cell in notebook.cells if cell.id.startswith("auxiliar")] == ["x = 1"]
    assert [(note.kind, note.cell) for note in notes] == [(Change.MISSING, TEST)]


def test_a_helper_beside_a_changed_cell_loses_neither(source, submitted):
    find(submitted.cells, "aula").source = "texts = []"
    submitted.cells.insert(position(submitted, "aula") + 1, new_code_cell("x = 1"))
    notebook, _ = rebuild(source, without_ids(submitted))
    texts = [cell.source for cell in notebook.cells]
    assert {"texts = []", "x = 1"} <= set(texts)


def test_a_lecture_cell_cut_and_pasted_is_found_by_its_text(source, submitted):
    find(submitted.cells, "aula").id = "novo"
    notebook, notes = rebuild(source, submitted)
    assert (notebook, notes) == (original(source), ())


# --- Células task e só de leitura


def lesson_with(*cells, distributed=None):
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    notebooks = [new_notebook(cells=list(some), metadata=metadata) for some in (cells, distributed or cells)]
    return Source("99", "99", nbformat.writes(notebooks[0]), (), nbformat.writes(notebooks[1]))


def task(text, locked):
    cell = graded(text, "99_tarefa", points=5, cell=new_markdown_cell)
    cell.metadata.nbgrader |= {"task": True, "grade": False, "locked": locked}
    return cell


def test_a_locked_task_keeps_its_statement_and_the_answer_written_over_it():
    source = lesson_with(task("Faça.\n=== MARK SCHEME ===", locked=True), distributed=[task("Faça.", locked=True)])
    assert rebuild(source, new_notebook(cells=[task("Faça.", locked=True)])) == (original(source), ())
    notebook, notes = rebuild(source, new_notebook(cells=[task("Faça. Fiz assim.", locked=True)]))
    assert [cell.source for cell in notebook.cells] == ["Faça.\n=== MARK SCHEME ===", "Faça. Fiz assim."]
    assert [(note.kind, note.cell) for note in notes] == [(Change.EDITED, "99_tarefa")]
    assert rebuild(source, notebook) == (notebook, ())


def test_an_unlocked_task_is_an_answer():
    source = lesson_with(task("Faça.", locked=False))
    notebook, notes = rebuild(source, new_notebook(cells=[task("Fiz assim.", locked=False)]))
    assert [cell.source for cell in notebook.cells] == ["Fiz assim."]
    assert notes == ()


def test_a_read_only_cell_is_the_original():
    cell = graded("import os", "99_leitura")
    source = lesson_with(cell)
    notebook, notes = rebuild(source, new_notebook(cells=[variant(cell, source="import sys")]))
    assert notebook == original(source)
    assert [(note.kind, note.sentence) for note in notes] == [
        (Change.EDITED, "O texto da célula travada 99_leitura foi mudado; vale o original.")
    ]


# --- Propriedades, com entregas sorteadas


def delete(draw, cells):
    del cells[draw.randrange(len(cells)) :][: draw.randint(1, 3)]


def swap(draw, cells):
    one, other = draw.randrange(len(cells)), draw.randrange(len(cells))
    cells[one], cells[other] = cells[other], cells[one]


def duplicate(draw, cells):
    cells.insert(draw.randrange(len(cells) + 1), deepcopy(draw.choice(cells)))


def edit(draw, cells):
    draw.choice(cells)["source"] = draw.choice(["", "x = 1", ["a\r\n", "b"], 7, None, "\ud800", "é" * 50])


def retype(draw, cells):
    draw.choice(cells)["cell_type"] = draw.choice(["code", "markdown", "raw", "heading", 3, None])


def strip_metadata(draw, cells):
    draw.choice(cells)["metadata"] = draw.choice([{}, [], None, {"nbgrader": []}, {"nbgrader": {"grade_id": 3}}])


def retag(draw, cells):
    draw.choice(cells)["metadata"] = {"tags": draw.choice([["skip-execution"], "skip-execution", [3], {"a": 1}])}


def rename(draw, cells):
    grade_id = draw.choice([TEST, ANSWER, "99_outra", "", "a" * 500])
    draw.choice(cells)["metadata"] = {"nbgrader": {"grade_id": grade_id, "points": "mil", "grade": 3}}


def change_id(draw, cells):
    draw.choice(cells)["id"] = draw.choice([None, 3, "aula", "99-media", "auxiliar-1", "", "é"])


def insert_helper(draw, cells):
    kind = draw.choice(["code", "markdown", "raw"])
    cells.insert(draw.randrange(len(cells) + 1), {"cell_type": kind, "source": "auxiliar", "metadata": {}})


def drop_ids(draw, cells):
    for cell in cells:
        cell.pop("id", None)


MUTATIONS = [
    delete,
    swap,
    duplicate,
    edit,
    retype,
    strip_metadata,
    retag,
    rename,
    change_id,
    insert_helper,
    insert_helper,
    drop_ids,
]


def mutated(source, seed):
    """O caderno distribuído, com algumas das mudanças acima sorteadas."""
    draw = random.Random(seed)  # noqa: S311 — é um sorteio que se repete, não um segredo
    content = json.loads(source.distributed)
    for _ in range(draw.randint(1, 15)):
        draw.choice(MUTATIONS)(draw, content["cells"])
    return content


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_submitted(source, seed):
    submitted = clean(mutated(source, seed))
    before = deepcopy(submitted)
    notebook, notes = rebuild(source, submitted)
    assert submitted == before, "a entrega não pode ser alterada"

    expected = original(source)
    ours = [cell for cell in notebook.cells if not cell.id.startswith("auxiliar-")]
    assert [(cell.id, cell.cell_type, cell.metadata) for cell in ours] == [
        (cell.id, cell.cell_type, cell.metadata) for cell in expected.cells
    ]
    for cell, its_source in zip(ours, expected.cells, strict=True):
        if its_source.metadata.get("nbgrader", {}).get("locked"):
            assert cell == its_source
            assert cell.metadata.nbgrader.checksum == compute_checksum(cell)
    helpers = [cell for cell in notebook.cells if cell.id.startswith("auxiliar-")]
    assert all(cell.metadata == {} and cell.cell_type != "raw" for cell in helpers)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    nbformat.validate(nbformat.reads(nbformat.writes(notebook), as_version=4))
    assert notebook.metadata == expected.metadata
    assert all(note.sentence and note.kind in set(Change) for note in notes)
    hidden = "A média de um só texto"
    assert not any(hidden in note.sentence for note in notes)

    again, notes_again = rebuild(source, notebook)
    assert again == notebook, "reconstruir o reconstruído não muda nada"
    assert set(kinds(notes_again)) <= {Change.COPIED_TEST}


def test_the_text_of_a_submitted_test_never_runs(source):
    for seed in SEEDS:
        content = mutated(source, seed)
        for cell in content["cells"]:
            claimed = cell["metadata"].get("nbgrader", {}) if isinstance(cell["metadata"], dict) else {}
            if isinstance(claimed, dict) and str(claimed.get("grade_id")).endswith("_teste"):
                cell["source"] = "VENENO"
        notebook, _ = rebuild(source, clean(content))
        assert not any("VENENO" in cell.source for cell in notebook.cells), f"semente {seed}"


# --- Ler uma entrega


def write(tmp_path, content):
    path = tmp_path / "entrega é.ipynb"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_encoding_is_read(tmp_path, source, encoding):
    path = write(tmp_path, source.distributed.encode(encoding))
    assert rebuild(source, read_submission(path)) == (original(source), ())


NESTED = b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "está vazio"),
        (b" \n\t", "está vazio"),
        (bytes(range(128, 256)) * 100, "não está em UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "não está em UTF-8"),
        ('{"cells": [{"source": "é"}]}'.encode("latin-1"), "não está em UTF-8"),
        (b"PK\x03\x04 um zip", "não é um caderno do Jupyter, ou está incompleto"),
        (b'{"cells": [{"cell_ty', r"incompleto \(linha 1\)"),
        (b'{"cells": ' + b"9" * 5000 + b"}", "incompleto"),
        (NESTED, "listas dentro de listas"),
        (b'"texto"', "não o de um caderno"),
        (b"[]", "não o de um caderno"),
        (b"null", "não o de um caderno"),
        (b"{}", "não tem uma lista de células"),
        (b'{"cells": {}}', "não tem uma lista de células"),
        (b'{"cells": null}', "não tem uma lista de células"),
        ({"nbformat": 3, "worksheets": [3]}, "formato antigo"),
        ({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code"}]}]}, "formato antigo"),
        ({"cells": [{}] * 5001}, "5001 células"),
        ({"cells": [{"cell_type": "code", "source": "x" * 11_000_000}] * 2}, "grande demais"),
        (b"[" + b"[]," * 5_000_001 + b"[]]", "saídas demais"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, content, sentence):
    with pytest.raises(UnreadableError, match=sentence):
        read_submission(write(tmp_path, content))


def test_a_huge_file_is_refused_without_reading_it(tmp_path, monkeypatch):
    path = write(tmp_path, b"")
    os.truncate(path, module.MAX_BYTES + 1)
    monkeypatch.setattr(module, "_parse", None)
    with pytest.raises(UnreadableError, match="O arquivo tem 100 MB"):
        read_submission(path)


def symbolic_link(path):
    path.with_name("segredo").write_text("{}")
    path.symlink_to("segredo")


def broken_link(path):
    path.symlink_to("nada")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "não está na entrega"),
        (lambda path: path.mkdir(), "não é um arquivo comum"),
        (os.mkfifo, "não é um arquivo comum"),
        (symbolic_link, "não é um arquivo comum"),
        (broken_link, "não é um arquivo comum"),
    ],
)
def test_only_regular_files_are_opened(tmp_path, make, sentence):
    path = tmp_path / "a.ipynb"
    make(path)
    with pytest.raises(UnreadableError, match=sentence):
        read_submission(path)


def test_a_device_is_refused():
    with pytest.raises(UnreadableError, match="não é um arquivo comum"):
        read_submission("/dev/zero")


def test_a_name_that_cannot_be_opened(tmp_path):
    with pytest.raises(UnreadableError, match="não pôde ser aberto"):
        read_submission(tmp_path / ("a" * 300))


def test_nbformat_3_is_converted(tmp_path, source, submitted):
    find(submitted.cells, "99-media").source = "a = 1"
    old = nbformat.convert(deepcopy(submitted), 3)
    read = read_submission(write(tmp_path, nbformat.writes(old, version=3).encode()))
    notebook, notes = rebuild(source, read)
    expected = original(source)
    find(expected.cells, "99-media").source = "a = 1"
    assert notebook == expected
    assert notes == ()


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 4])
def test_older_versions_without_ids(tmp_path, source, minor):
    content = json.loads(source.distributed) | {"nbformat_minor": minor}
    for cell in content["cells"]:
        del cell["id"]
    assert rebuild(source, read_submission(write(tmp_path, content))) == (original(source), ())


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ({"source": ["a\n", "b"]}, "a\nb"),
        ({"source": ["a\n", 3, None, ["b"]]}, "a\n"),
        ({"source": 3}, ""),
        ({"source": {"a": 1}}, ""),
        ({}, ""),
        ({"source": "a\r\nb"}, "a\nb"),
        ({"source": "a\ud800b"}, "a\ufffdb"),
        ({"source": "\ud83d\ude00 \udc00"}, "😀 \ufffd"),
        ({"source": "a\x00"}, "a\x00"),
    ],
)
def test_text_of_any_type(cell, text):
    [cleaned] = clean({"cells": [cell | {"cell_type": "code"}]}).cells
    assert cleaned.source == text
    cleaned.source.encode()


@pytest.mark.parametrize(
    "value", [None, 3, "texto", [], [[]], [3], {}, {"a": 1}, {"nbgrader": {"grade_id": "a"}}, True]
)
@pytest.mark.parametrize(
    "key", ["cell_type", "source", "metadata", "id", "attachments", "nbgrader", "tags", "grade_id"]
)
def test_any_type_anywhere(source, key, value):
    content = json.loads(source.distributed)
    for cell in content["cells"]:
        place = cell
        if key in ("nbgrader", "tags"):
            place = cell["metadata"]
        elif key == "grade_id":
            place = cell["metadata"].setdefault("nbgrader", {})
        place[key] = value
    content["cells"] += [value]
    notebook, _ = rebuild(source, clean(content))
    nbformat.validate(notebook)


@pytest.mark.parametrize("value", [None, 3, "texto", [], {"kernelspec": 3}, {"kernelspec": {"language": []}}])
def test_any_metadata_of_the_notebook(source, value):
    content = json.loads(source.distributed) | {"metadata": value, "nbformat": value, "nbformat_minor": value}
    assert rebuild(source, clean(content)) == (original(source), ())

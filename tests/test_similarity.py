"""Respostas parecidas: as cópias disfarçadas aparecem; duas respostas feitas por conta própria, não."""

import ast
import re
import runpy
import time
from functools import cache

import nbformat
import pytest

from grading.similarity import LEAST_SHARED, Answer, similar_answers

from .conftest import LESSONS, ROOT
from .mechanical_mutants import mechanical_mutants
from .mutants import exercises


@cache
def written():
    """``{id: (solução do professor, outra certa)}`` de todas as lições."""
    found = {}
    for path in LESSONS:
        notebook = nbformat.read(path, as_version=4)
        others = runpy.run_path(str(ROOT / "tests" / "mutantes" / f"{path.stem}.py"))["EXERCISES"]
        for grade_id, (start, _) in exercises(notebook).items():
            found[grade_id] = notebook.cells[start].source, others[grade_id].right
    return found


IDS = [pytest.param(grade_id, id=grade_id) for grade_id in written()]
SHORT = {"01_abordagem"}
"""As que não chegam a ter marcas que bastem."""


def disguise(code):
    """A cópia de quem troca os nomes, os comentários, as mensagens e os espaços."""
    tree = ast.parse(code)
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names = (stored | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}) - {"self"}
    for number, name in enumerate(sorted(names)):
        code = re.sub(rf"""(?<![\w."'])\b{name}\b(?!["'])""", f"minha_{number}", code)
    code = code.replace("    return", "    # e por fim\n\n    return").replace(" = ", "  =  ")
    return f'"""Feito por mim."""\n# minha solução\n{code}'


def pairs(*texts, known=(), is_code=True):
    answers = [Answer(f"aluno {number:03}", "célula", text, is_code) for number, text in enumerate(texts)]
    return similar_answers(answers, known)


@pytest.mark.parametrize("grade_id", IDS)
def test_a_disguised_copy_is_found(grade_id):
    reference, right = written()[grade_id]
    found = pairs(right, disguise(right), known=[reference])
    if grade_id in SHORT:
        assert not found
        return
    ((match,),) = found.values()
    assert match.share > 0.9
    assert match.shared >= LEAST_SHARED


@pytest.mark.parametrize("grade_id", IDS)
def test_two_answers_written_apart_are_not(grade_id):
    """Nem sem descontar a solução do professor, que é uma delas."""
    reference, right = written()[grade_id]
    assert not pairs(reference, right)


@pytest.mark.parametrize("grade_id", IDS)
def test_what_is_the_teachers_is_everyones(grade_id):
    reference, _ = written()[grade_id]
    assert not pairs(reference, reference, disguise(reference), known=[reference])


def test_an_edited_copy_is_found():
    """Uma mudança mecânica qualquer, que até faz a cópia errar, não a esconde."""
    _, right = written()["03_divisao"]
    changed = list(mechanical_mutants(f"### BEGIN SOLUTION\n{right}\n### END SOLUTION").values())
    assert len(changed) > 10
    assert all(pairs(right, disguise(one)) for one in changed)


def test_a_copy_that_does_not_compile_is_found():
    _, right = written()["03_divisao"]
    assert pairs(right, disguise(right) + "\n    if (")
    assert pairs(right, right.replace("random", "'random", 1))


def test_a_copied_piece_of_a_longer_answer_is_found():
    right, other = written()["03_divisao"][1], written()["04_geracao"][1]
    ((match,),) = pairs(right, f"{other}\n\n{disguise(right)}").values()
    assert match.share > 0.9
    assert match.sizes[1] > match.sizes[0]


def test_what_many_wrote_is_everyones():
    """Com cinco iguais numa turma pequena é um jeito comum de resolver; com quatro ainda vale mostrar."""
    _, right = written()["03_divisao"]
    others = [other for grade_id, (_, other) in written().items() if grade_id.startswith(("04", "06", "07"))]
    assert len(pairs(*[right] * 4, *others)) == 6
    assert not pairs(*[right] * 5, *others)


def test_blank_and_short_answers_are_never_similar():
    stub = 'def f(a, b):\n    """Soma."""\n    raise NotImplementedError("Escreva aqui")'
    assert not pairs(stub, stub, known=[stub])
    assert not pairs("resposta = 'b'", "resposta = 'b'")
    assert not pairs("", "", "#" * 50, "#" * 50)


def test_only_the_same_cell_is_compared():
    _, right = written()["03_divisao"]
    assert not similar_answers([Answer("a", "um", right), Answer("b", "outro", right)])


ESSAY = (
    "A mediana diz mais do que a média quando um valor muito distante dos outros puxa a conta: entre salários de dois, "
    "três e cem, a média fala de alguém que não existe, e a mediana continua no meio das pessoas de verdade."
)
OTHER_ESSAY = (
    "Quando há valores extremos prefiro a mediana, porque ela só depende da ordem; a média muda com cada valor, por "
    "exemplo numa turma em que um aluno só demorou uma hora e todos os outros demoraram cinco minutos."
)


def test_copied_prose_is_found_and_own_prose_is_not():
    assert pairs(ESSAY, f"Olha,  {ESSAY.upper()}\n\nFim.", is_code=False)
    assert not pairs(ESSAY, OTHER_ESSAY, is_code=False)
    assert not pairs(ESSAY, ESSAY, known=[ESSAY], is_code=False)


def test_the_pieces_make_the_text_again_and_show_what_is_shared():
    _, right = written()["03_divisao"]
    own = (
        "def so_minha(x):\n    while x < 3 and x not in (7, 8, 9):\n        x += 4 ** 2 // 5 - x % 6\n    return [x]\n"
    )
    ((match,),) = pairs(right, own + disguise(right)).values()
    for answer, pieces in zip((match.first, match.second), match.fragments(), strict=True):
        assert "".join(text for text, _ in pieces) == answer.text
    shared = "".join(text for text, is_shared in match.fragments()[1] if is_shared)
    assert "so_minha" not in shared
    assert "shuffle" in shared


def test_the_pairs_with_more_in_common_come_first():
    longer, shorter = written()["03_divisao"][1], written()["02_media"][1]
    answers = [Answer(name, "1", shorter) for name in ("ana", "bia")]
    answers += [Answer(name, "2", text) for name, text in (("caio", longer), ("davi", longer))]
    answers += [Answer(name, "3", longer) for name in ("bia", "ana")] + [Answer("eva", "1", "x = 1")]
    found = similar_answers(answers)
    assert list(found) == [("ana", "bia"), ("caio", "davi")]
    assert len(found["ana", "bia"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "'" * 60_001,
        '"\\' * 40_000,
        "'''" * 30_000,
        " " * 40_000 + "'a'" * 9_000,
        "\ud800\x00" * 30_000,
        "1+a " * 40_000,
    ],
    ids=["aspas", "barras", "aspas triplas", "espaços", "lixo", "longa"],
)
def test_hostile_texts_take_no_time(text):
    start = time.process_time()
    for match in [one for found in pairs(text, text + "!").values() for one in found]:
        assert "".join(piece for piece, _ in match.fragments()[0]) == text
    assert time.process_time() - start < 5


def test_a_large_class_takes_seconds():
    """400 alunos num exercício: cada um com a sua resposta, feita de pedaços de outras."""
    lines = [line for _, right in written().values() for line in right.splitlines() if line.strip()]
    answers = [
        Answer(str(one), "1", "\n".join(lines[(one * 37 + part * 101) % len(lines)] for part in range(25)))
        for one in range(400)
    ]
    start = time.process_time()
    similar_answers(answers)
    assert time.process_time() - start < 5

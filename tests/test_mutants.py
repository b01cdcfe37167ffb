"""As células de teste das lições: reprovam as soluções erradas, com a mensagem de cada erro, e aprovam as certas."""

import os

import nbformat
import pytest

from . import example_lesson
from .conftest import LESSONS
from .example_lesson import find
from .hidden_tests import hidden_test_lines, shown_lines
from .mechanical_mutants import mechanical_mutants
from .mutants import Exercise, Wrong, exercises, load, try_solutions

KILLED = 0.85


@pytest.fixture(autouse=True, scope="module")
def _fork():
    if not hasattr(os, "fork"):
        pytest.skip("este sistema não tem os.fork; as soluções são experimentadas onde ele existe")


def solution_sources(path):
    notebook = nbformat.read(path, as_version=4)
    return {grade_id: notebook.cells[start].source for grade_id, (start, _) in exercises(notebook).items()}


def labelled_results(path, alternatives):
    """Pares ``((id, rótulo), mensagens)`` das soluções de ``{id: {rótulo: texto}}``."""
    results = try_solutions(path, {grade_id: list(codes.values()) for grade_id, codes in alternatives.items()})
    for grade_id, codes in alternatives.items():
        for label, messages in zip(codes, results[grade_id], strict=True):
            yield (grade_id, label), messages


def problems_of_written_solutions(path, written):
    """Diz que soluções escritas à mão o teste da célula não trata como devia."""
    sources = solution_sources(path)
    alternatives = {
        grade_id: {"certa": exercise.right}
        | {wrong.mistake: wrong.source(sources[grade_id]) for wrong in exercise.wrong}
        for grade_id, exercise in written.items()
    }
    expected = {(grade_id, wrong.mistake): wrong for grade_id, exercise in written.items() for wrong in exercise.wrong}
    hidden, problems = hidden_test_lines(path), []
    for label, messages in labelled_results(path, alternatives):
        if shown := shown_lines(hidden, "\n".join(messages)):
            problems.append(f"{label}: a mensagem mostra o teste oculto, {sorted(shown)}")
        if label not in expected and messages:
            problems.append(f"{label}: deveria passar, mas {messages}")
        if label in expected and not any(expected[label].message in message for message in messages):
            problems.append(f"{label}: faltou «{expected[label].message}» em {messages}")
    return problems


def surviving_mutants(path):
    """Devolve ``(quantas variações mecânicas, as que o teste não percebe)``."""
    alternatives = {grade_id: mechanical_mutants(source) for grade_id, source in solution_sources(path).items()}
    results = list(labelled_results(path, alternatives))
    return len(results), {label for label, messages in results if not messages}


@pytest.mark.lento
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_written_solutions_get_what_they_deserve(path):
    written = load(path.stem)["EXERCISES"]
    assert written.keys() == solution_sources(path).keys()
    for grade_id, exercise in written.items():
        assert len(exercise.wrong) >= 3, grade_id
    assert problems_of_written_solutions(path, written) == []


@pytest.mark.lento
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_most_mechanical_mutants_die_and_the_others_are_explained(path):
    explained = load(path.stem)["SURVIVORS"]
    total, survivors = surviving_mutants(path)
    print(f"{path.stem}: {total - len(survivors)} de {total} variações reprovadas")
    assert survivors == explained.keys()
    assert all(len(reason) > 20 for reason in explained.values())
    assert 1 - len(survivors) / total >= KILLED


# --- e o que confere tudo isso não aprova qualquer coisa


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    path = tmp_path_factory.mktemp("curso") / "99_exemplo" / "99_exemplo.ipynb"
    return example_lesson.write_notebook(path, example_lesson.cells())


WORDS = Wrong("conta palavras", "Você contou palavras", changes={"len(text) for": "len(text.split()) for"})
RIGHT = "import numpy as np\ndef mean_length(texts):\n    if len(texts) == 0: raise ValueError('vazia')\n" + (
    "    return float(np.mean([len(text) for text in texts]))"
)


def test_a_good_exercise_has_no_problems(example):
    constant = Wrong("devolve sempre 5", "esperava 2.0; recebi 5.0", code="def mean_length(texts): return 5.0")
    other = Wrong("outra letra", "Some os comprimentos", changes={'resposta = "b"': 'resposta = "c"'})
    written = {"99_media": Exercise(RIGHT, (WORDS, constant)), "99_escolha": Exercise("resposta = 'B '", (other,))}
    assert problems_of_written_solutions(example, written) == []


def test_a_weak_or_unfair_test_is_reported(example):
    written = {
        "99_media": Exercise(
            right="def mean_length(texts): return 5.0",
            wrong=(
                Wrong("não é erro", "Você contou", changes={"sum(": "1 * sum("}),
                Wrong("outra mensagem", "Você contou linhas", changes=WORDS.changes),
                Wrong("derruba o processo", "não terminou", code="import os\ndef mean_length(texts): os._exit(1)"),
            ),
        )
    }
    right, survivor, message = problems_of_written_solutions(example, written)
    assert "('99_media', 'certa'): deveria passar, mas" in right
    assert "('99_media', 'não é erro'): faltou «Você contou» em []" in survivor
    assert "faltou «Você contou linhas» em " in message


def test_a_message_that_quotes_a_hidden_line_is_reported(tmp_path):
    cells = example_lesson.cells()
    line = "if mean_length(['oi']) != 2: raise AssertionError(quote)"
    test = find(cells, "99-media-teste")
    test.source = f"# Confere.\n### BEGIN HIDDEN TESTS\nquote = {line!r}\n{line}\n### END HIDDEN TESTS"
    path = example_lesson.write_notebook(tmp_path / "a" / "a.ipynb", cells)
    five = Wrong("cinco", "mean_length", code="def mean_length(texts): return 5.0")
    (problem,) = problems_of_written_solutions(path, {"99_media": Exercise(RIGHT, (five,))})
    assert "('99_media', 'cinco'): a mensagem mostra o teste oculto" in problem


def test_the_change_must_apply_to_the_solution():
    with pytest.raises(ValueError, match="aparece 0 vezes"):
        WORDS.source("def mean_length(texts): pass")


def test_the_example_kills_its_mechanical_mutants(example):
    total, survivors = surviving_mutants(example)
    assert total == 6
    assert survivors == set()


def test_a_notebook_whose_own_solution_fails_is_refused(tmp_path):
    cells = example_lesson.cells()
    solution = example_lesson.find(cells, "99-media")
    solution.source = solution.source.replace("/ len(texts)", "/ 2 - 1")
    path = example_lesson.write_notebook(tmp_path / "a" / "a.ipynb", cells)
    with pytest.raises(RuntimeError, match="a célula 99-media-teste do caderno do professor falhou: CheckError"):
        try_solutions(path, {})


def test_every_kind_of_variation_is_made():
    source = '''def f(df, n=1):
    """Um texto."""
    ### BEGIN SOLUTION
    if len(df) < n * 2 and not n:
        raise ValueError(f"df: {n + 1}")
    for x in df[1:n].sum(axis=0):
        n += max(x, -n)
    return df if n else True
    ### END SOLUTION'''
    variations = mechanical_mutants(source)
    for expected in (
        "if len(df) < n * 2 and (not n): → if len(df) <= n * 2 and (not n):",
        "if len(df) < n * 2 and (not n): → if len(df) < n // 2 and (not n):",
        "if len(df) < n * 2 and (not n): → if len(df) < n * 3 and (not n):",
        "if len(df) < n * 2 and (not n): → if len(df) < n * 2 or not n:",
        "if len(df) < n * 2 and (not n): → if len(df) < n * 2 and n:",
        "if len(df) < n * 2 and (not n): → pass",
        "raise ValueError(f'df: {n + 1}') → pass",
        "for x in df[1:n].sum(axis=0): → for x in df[1:n].sum(axis=1):",
        "for x in df[1:n].sum(axis=0): → for x in df[1:n].sum():",
        "for x in df[1:n].sum(axis=0): → for x in df[1:].sum(axis=0):",
        "n += max(x, -n) → n -= max(x, -n)",
        "n += max(x, -n) → n += max(-n, x)",
        "n += max(x, -n) → n += max(x, n)",
        "return df if n else True → return df if not n else True",
        "return df if n else True → return df if n else False",
    ):
        assert expected in variations
    assert not any("n + 2" in code or "n=2" in code for code in variations.values())
    assert all(compile(code, "célula", "exec") for code in variations.values())

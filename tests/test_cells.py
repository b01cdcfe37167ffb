"""As células de teste compiladas, e os canários."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from grading.cells import COMPARE, DEMONSTRATION, canaries, compile_test, skippable, visible_part


def cell(source):
    metadata = {"grade": True, "solution": False, "locked": True, "grade_id": "t", "points": 1, "schema_version": 3}
    return new_code_cell(source, metadata={"nbgrader": metadata})


def compare(one, other, equal):
    """Faz o que a guarda faria com valores comuns."""
    return (one == other) is equal if isinstance(equal, bool) else one


HIDDEN = "visible = 1\n### BEGIN HIDDEN TESTS\nsecret = 2\n### END HIDDEN TESTS\nimport math as m\nfrom os import path"


def test_only_the_names_of_the_visible_part_are_kept():
    assert compile_test(cell(HIDDEN))["keep"] == ["m", "path", "visible"]
    assert "secret" not in visible_part(cell(HIDDEN))


def test_the_last_expression_is_separate_and_a_semicolon_silences_it():
    space = {COMPARE: compare}
    request = compile_test(cell("score = 2\nscore / 4"))
    exec(request["code"], space)  # noqa: S102
    assert eval(request["last"], space) == 0.5  # noqa: S307
    assert compile_test(cell("score = 2\nscore / 4;"))["last"] is None
    assert compile_test(cell("assert True"))["last"] is None
    assert compile_test(cell(""))["last"] is None


@pytest.mark.parametrize(
    ("expression", "calls"),
    [
        ("a == b", [(1, 2, True)]),
        ("a != b", [(1, 2, False)]),
        ("a < b", [(1, None, None), (2, None, None)]),
        ("0 < a < b", [(1, None, None), (2, None, None)]),
        ("a - b", [(1, None, None), (2, None, None)]),
        ("f()", [([], None, "chamada")]),
        ("len('ab')", []),
        ("a is b", []),
    ],
)
def test_what_a_test_compares_goes_through_the_guard(expression, calls):
    seen = []

    def watch(*arguments):
        seen.append(arguments)
        return compare(*arguments)

    exec(compile_test(cell(f"x = {expression}"))["code"], {"a": 1, "b": 2, "f": list, COMPARE: watch})  # noqa: S102
    assert seen == calls


def test_the_commands_of_ipython_are_understood():
    assert "get_ipython" in compile_test(cell("%matplotlib inline\nx = 1"))["code"].co_names


def test_a_canary_passes_exactly_when_it_should():
    modules = ["numpy", "pandas", "torch:nn", "llmdefinitions.testing:check"]
    pairs = canaries(modules)
    assert len(pairs) > 20
    for code, expected in pairs:
        passed = True
        try:
            exec(code, {COMPARE: compare})  # noqa: S102
        except Exception:
            passed = False
        assert passed is expected, f"{code.co_consts} deveria {'passar' if expected else 'falhar'}"


def test_canaries_are_not_the_same_twice():
    assert [code for code, _ in canaries([])] != [code for code, _ in canaries([])]


def test_only_the_packages_of_the_lesson_have_canaries():
    assert len(canaries(["os"])) == len(canaries([]))


def test_the_cell_read_from_a_file_compiles_the_same(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell(HIDDEN)]), path)
    assert compile_test(nbformat.read(path, 4).cells[0])["code"].co_names == compile_test(cell(HIDDEN))["code"].co_names


def lecture(cell_id, source, *tags):
    return new_code_cell(source, id=cell_id, metadata={"tags": list(tags)})


@pytest.mark.parametrize(
    ("after", "changed", "skipped"),
    [
        ("print(1)", False, {"demo"}),
        ("print(total)", False, set()),
        ("globals()['total']", False, set()),
        ("print(1)", True, set()),
        ("print(", False, set()),
    ],
    ids=["ninguém usa", "alguém usa", "alguém usa pelo nome", "o estudante mudou", "não se lê"],
)
def test_a_demonstration_is_skipped_only_when_nothing_can_depend_on_it(after, changed, skipped):
    demo = lecture("demo", "total = sum(range(10**9))", DEMONSTRATION)
    reference = nbformat.v4.new_notebook(cells=[demo])
    rebuilt = lecture("demo", "total = 1", DEMONSTRATION) if changed else demo
    notebook = nbformat.v4.new_notebook(cells=[rebuilt, lecture("a", after)])
    assert skippable(notebook, reference) == skipped


def test_an_ordinary_lecture_cell_is_never_skipped():
    notebook = nbformat.v4.new_notebook(cells=[lecture("aula", "total = 1"), lecture("fim", "print(1)")])
    assert skippable(notebook, notebook) == set()


def test_a_demonstration_that_only_another_one_uses_is_skipped_too():
    cells = [lecture("a", "total = 1", DEMONSTRATION), lecture("b", "half = total / 2", DEMONSTRATION)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert skippable(notebook, notebook) == {"a", "b"}

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


def skipped_when(after, demo="total = sum(range(10**9))", before="pass"):
    """Os ids das células puladas quando a demonstração vem entre duas outras."""
    cells = [lecture("antes", before), lecture("demo", demo, DEMONSTRATION), lecture("depois", after)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    return skippable(notebook, notebook).keys()


@pytest.mark.parametrize(
    "after",
    [
        "print(total)",
        "globals()['total']",
        "total += 1",
        "del total",
        "def f():\n    return total",
        "class C:\n    double = 2 * total",
        "def f():\n    global total\n    total += 1",
        "[total for _ in 'ab']",
        "if total_is_known:\n    total = 1\nprint(total)",
        "for total in []:\n    pass\nprint(total)",
        "known = False and (total := 1)\nprint(total)",
        "print(total)\ntotal = 1",
        "def f(x=total):\n    total = x",
        "total[0] = 1",
        "total: int\nprint(total)",
        "print(",
        "await total",
    ],
)
def test_a_demonstration_that_may_be_used_is_executed(after):
    assert skipped_when(after) == set()


@pytest.mark.parametrize(
    "after",
    [
        "print(1)",
        "total = 1",
        "total = 1\nprint(total)",
        "other, (total, _) = 1, (2, 3)\nprint(total)",
        "import math as total\nprint(total)",
        "def total():\n    return 1\nprint(total())",
        "def f(values):\n    total = sum(values)\n    return total",
        "def f():\n    for total in range(3):\n        pass",
        "[total for total in range(3)]",
        "a.total",
        "f(total=1)",
    ],
)
def test_a_demonstration_whose_names_only_coincide_with_others_is_skipped(after):
    assert skipped_when(after) == {"demo"}


def test_a_function_from_before_may_use_a_demonstration_when_it_is_called():
    assert skipped_when("f()", before="def f():\n    return total") == set()
    assert skipped_when("f()", before="def f(total):\n    return total") == {"demo"}


@pytest.mark.parametrize(
    ("after", "skipped"),
    [
        ("print('o total')", {"demo"}),
        ("model.eval()\nlist(model.modules())\nprint('total')", {"demo"}),
        ("globals()['total']", set()),
        ("eval('total')", set()),
        ("get_ipython().user_ns['total']", set()),
        ("%time total", set()),
        ("df.query('n > @total')", set()),
        ("df.eval(expr='total + 1')", set()),
        ("f.__globals__['total']", set()),
        ("vars(sys.modules['__main__'])['total']", set()),
        ("from operator import attrgetter\nimport __main__\nattrgetter('total')(__main__)", set()),
        ("import sys\nattrgetter('total')(sys.modules['__main__'])", set()),
    ],
)
def test_a_word_in_quotes_is_a_name_if_something_may_look_for_it(after, skipped):
    assert skipped_when(after) == skipped


def test_a_student_may_look_in_one_cell_for_the_name_given_in_another():
    demo, last = lecture("demo", "total = 1", DEMONSTRATION), lecture("depois", "find('total')")
    reference = nbformat.v4.new_notebook(cells=[lecture("antes", "pass"), demo, last])
    finder = lecture("antes", "def find(name):\n    return globals()[name]")
    assert skippable(nbformat.v4.new_notebook(cells=[finder, demo, last]), reference) == {}
    assert skippable(reference, reference) == {"demo": ""}


def test_a_demonstration_the_student_changed_is_executed():
    reference = nbformat.v4.new_notebook(cells=[lecture("demo", "total = 1", DEMONSTRATION)])
    notebook = nbformat.v4.new_notebook(cells=[lecture("demo", "total = 2", DEMONSTRATION), lecture("a", "print(1)")])
    assert skippable(notebook, reference) == {}


def test_what_a_demonstration_imports_is_imported_even_if_it_is_skipped():
    demo = "import numpy as np\nfrom time import sleep, time\n\ntotal = np.arange(10**9).sum()\nsleep(total)"
    notebook = nbformat.v4.new_notebook(cells=[lecture("demo", demo, DEMONSTRATION), lecture("a", "np.zeros(time())")])
    assert skippable(notebook, notebook) == {"demo": "import numpy as np\nfrom time import sleep, time"}


def test_an_import_that_may_not_happen_counts_as_any_other_name():
    demo = "try:\n    import tomllib as toml\nexcept ImportError:\n    toml = None"
    assert skipped_when("toml.loads('')", demo) == set()


def test_the_warnings_about_the_code_of_a_student_are_not_for_the_teacher(recwarn):
    assert skipped_when("print('\\d' is 5)") == {"demo"}
    assert [str(one.message) for one in recwarn] == []


def test_an_ordinary_lecture_cell_is_never_skipped():
    notebook = nbformat.v4.new_notebook(cells=[lecture("aula", "total = 1"), lecture("fim", "print(1)")])
    assert skippable(notebook, notebook) == {}


def test_a_demonstration_that_only_another_one_uses_is_skipped_too():
    cells = [lecture("a", "total = 1", DEMONSTRATION), lecture("b", "half = total / 2", DEMONSTRATION)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert skippable(notebook, notebook) == {"a": "", "b": ""}

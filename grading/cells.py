"""As células de teste como a guarda as recebe: compiladas, e só elas."""

import ast
import builtins
import dis
import random
import re
import symtable
import warnings
from types import CodeType
from typing import NamedTuple

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests

COMPARE = "__comparar__"
"""O nome com que um teste compilado chama a comparação da guarda."""


def compile_test(cell):
    """Compila uma célula de teste.

    Args:
        cell: a célula da fonte, com a parte oculta.

    Returns:
        Um dicionário para ``marshal``: ``code``, o que executar; ``last``, a última expressão (o nbgrader toma um
        número ali por crédito parcial) ou ``None``; ``keep``, os nomes que a parte visível define; ``compare``, o nome
        com que o código chama a comparação da guarda.

    Raises:
        SyntaxError: se a célula do professor não é Python.
    """
    name = f"<teste {cell.metadata.nbgrader.grade_id}>"
    tree = _parse(cell.source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    if last is not None and cell.source.rstrip().endswith(";"):
        tree.body.append(last)  # o IPython não mostra uma expressão seguida de ponto e vírgula
        last = None
    return {
        "code": compile(tree, name, "exec"),
        "last": last and compile(ast.Expression(last.value), name, "eval"),
        "keep": _names(visible_part(cell)),
        "compare": COMPARE,
    }


def visible_part(cell):
    """O texto de uma célula de teste sem a parte oculta, como o estudante a recebe."""
    copy = NotebookNode(cell_type="code", source=cell.source, metadata=cell.metadata)
    return ClearHiddenTests().preprocess_cell(copy, {}, 0)[0].source


def canaries(modules):
    """Conferências de resultado conhecido, com valores sorteados.

    Args:
        modules: os nomes dos módulos que as células de teste importam.

    Returns:
        Uma lista de pares ``(código compilado, se deve passar)``; cada conferência vem duas vezes, certa e errada.
    """
    packages = {name.partition(".")[0] for name in modules}
    templates = [*_CANARIES, *(one for name in packages for one in _HELPER_CANARIES.get(name, ()))]
    one = random.SystemRandom().randrange(2, 10**6)
    return [
        (compile(_parse(template.format(one=one, other=other), "<canário>"), "<canário>", "exec"), one == other)
        for template in templates
        for other in (one, one + 1)
    ]


_CANARIES = (
    "assert {one} == {other}",
    "assert [{one}, 'a'] == [{other}, 'a'], 'listas'",
    "if {one} != {other}:\n    raise ValueError('diferentes')",
    "import math\nassert math.isclose({one}, {other})",
    "import unittest\nunittest.TestCase().assertEqual({one}, {other})",
)
_HELPER_CANARIES = {
    "numpy": (
        "import numpy\nassert numpy.allclose([{one}.0], [{other}.0], rtol=0)",
        "import numpy\nnumpy.testing.assert_allclose({one}.0, {other}.0, rtol=0)",
        "import numpy\nnumpy.testing.assert_array_equal([{one}], [{other}])",
    ),
    "pandas": (
        "import pandas\npandas.testing.assert_series_equal(pandas.Series([{one}]), pandas.Series([{other}]))",
        "import pandas\nassert pandas.Series([{one}]).equals(pandas.Series([{other}]))",
    ),
    "torch": (
        "import torch\nassert torch.equal(torch.tensor([{one}]), torch.tensor([{other}]))",
        "import torch\nassert torch.allclose(torch.tensor([{one}.0]), torch.tensor([{other}.0]), rtol=0)",
        "import torch\ntorch.testing.assert_close(torch.tensor([{one}]), torch.tensor([{other}]))",
    ),
    "llmdefinitions": (
        "from llmdefinitions.testing import check_equal\ncheck_equal('canário', {one}, {other})",
        "from llmdefinitions.testing import check\ncheck({one} == {other}, 'canário')",
    ),
}


DEMONSTRATION = "demonstracao"
"""A etiqueta com que o professor diz que uma célula de aula só mostra algo, e que nada depende dela."""


def skippable(notebook, reference):
    """As demonstrações da aula que a correção não precisa executar.

    Uma célula com a etiqueta ``DEMONSTRATION``, que o estudante não mudou e da qual nenhuma das que serão executadas
    depois lê um nome. Os nomes que ela importa não contam: as importações são executadas assim mesmo. Na dúvida (uma
    célula que não se consegue ler, por exemplo), tudo é executado.

    Args:
        notebook: o caderno reconstruído.
        reference: o da fonte.

    Returns:
        Dicionário do id de cada uma para as importações dela, um texto que pode ser vazio.
    """
    texts = {cell.id: cell.source for cell in reference.cells if DEMONSTRATION in cell.metadata.get("tags", ())}
    ours = {cell.source for cell in reference.cells}
    cells = [(cell, texts.get(cell.id) == cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    try:
        with warnings.catch_warnings(action="ignore"):  # o que o Python acha do código do estudante
            readings = [_read(cell.source) for cell, _ in cells]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    anywhere = any(one.looks for (cell, _), one in zip(cells, readings, strict=True) if cell.source not in ours)
    # Uma função pode ser chamada bem depois de definida.
    used = set().union(*(one.late for (_, demo), one in zip(cells, readings, strict=True) if not demo))
    skipped = {}
    for (cell, demo), reading in reversed(list(zip(cells, readings, strict=True))):
        imports, rest = _split_imports(cell.source) if demo else ("", "")
        if demo and not used & set(_names(rest)):
            skipped[cell.id] = imports
        else:
            used |= reading.names | (reading.words if anywhere or reading.looks else set())
    return skipped


class _Reading(NamedTuple):
    """O que um texto lê de outras células.

    Attributes:
        names: os nomes que lê sem os ter definido antes.
        late: desses, os que só as funções dele leem.
        words: as palavras entre aspas, que podem ser nomes.
        looks: se nele algo procura um nome dado por um texto.
    """

    names: set
    late: set
    words: set
    looks: bool


def _read(source):
    """Lê um texto. Uma célula para na primeira exceção: o que uma instrução define as seguintes não leem de outra."""
    tree = ast.parse(TransformerManager().transform_cell(source))
    names, late, own = set(), set(), set()
    for statement in tree.body:
        code = compile(ast.Module([statement], []), "<leitura>", "exec")
        names |= _globals_read(code) - own
        late = late.union(*map(_globals_read, _inner(code))) - own
        own |= _certainly_defined(statement)
    nodes = list(ast.walk(tree))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return _Reading(names, late, set(re.findall(r"\w+", " ".join(texts))), any(map(_looks_by_text, nodes)))


_BY_TEXT = {
    "globals",
    "locals",
    "vars",
    "eval",
    "exec",
    "get_ipython",
    "getattr",
    "__dict__",
    "__globals__",
    "__main__",
}


def _looks_by_text(node):
    """Se um pedaço de código procura um nome dado por um texto."""
    match node:
        case ast.Name(id=name) | ast.Constant(value=str(name)) | ast.alias(name=name):
            return name in _BY_TEXT
        case ast.Call(func=ast.Attribute(attr="eval" | "query")):  # do pandas; o model.eval() não recebe nada
            return bool(node.args or node.keywords)
        case ast.Attribute(attr=name):
            return name in _BY_TEXT - {"eval"}
    return False


_READING = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_NAME", "DELETE_GLOBAL")


def _globals_read(code):
    """Os nomes globais que um código lê ou apaga, também dentro das funções e classes dele."""
    found = {one.argval for one in dis.get_instructions(code) if one.opname.startswith(_READING)}
    return found.union(*map(_globals_read, _inner(code)))


def _inner(code):
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))


def _certainly_defined(statement):
    """Os nomes que estão definidos se uma instrução chega ao fim; na dúvida, nenhum."""
    match statement:
        case ast.Assign():
            nodes = (node for target in statement.targets for node in ast.walk(target))
            return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
    return set()


def _split_imports(source):
    """As importações do nível mais alto de um texto, e o resto dele."""
    body = ast.parse(TransformerManager().transform_cell(source)).body
    imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    rest = [node for node in body if node not in imports]
    return tuple(ast.unparse(ast.Module(nodes, [])) for nodes in (imports, rest))


def _parse(source, name):
    tree = ast.parse(TransformerManager().transform_cell(source), name)
    return ast.fix_missing_locations(_Comparisons().visit(tree))


class _Comparisons(ast.NodeTransformer):
    """Faz as comparações, as contas e o resultado de cada chamada passarem pela guarda."""

    def visit_Compare(self, node):
        self.generic_visit(node)
        if len(node.ops) == 1 and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            return _through_guard(node, node.left, node.comparators[0], isinstance(node.ops[0], ast.Eq))
        if not any(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
            node.left, *node.comparators = map(_checked, [node.left, *node.comparators])
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        node.left, node.right = _checked(node.left), _checked(node.right)
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute):  # torch.allclose, np.testing.assert_allclose…
            node.args = [one if isinstance(one, ast.Starred) else _checked(one) for one in node.args]
        if isinstance(node.func, ast.Name) and node.func.id in vars(builtins):
            return node
        return _through_guard(node, node, ast.Constant(None), "chamada")

    def visit_Subscript(self, node):
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        return _through_guard(node, node, ast.Constant(None), "chamada")


def _checked(node):
    return node if isinstance(node, ast.Constant) else _through_guard(node, node, ast.Constant(None), None)


def _through_guard(node, one, other, equal):
    return ast.copy_location(ast.Call(ast.Name(COMPARE, ast.Load()), [one, other, ast.Constant(equal)], []), node)


def _names(source):
    """Os nomes que um texto define no seu nível mais alto."""
    symbols = symtable.symtable(TransformerManager().transform_cell(source), "<visível>", "exec").get_symbols()
    return sorted(symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported())

"""Estraga uma solução de todos os modos simples: um operador, um número, um argumento ou uma linha por vez.

As bibliotecas que fazem isto (mutmut, cosmic-ray) trabalham sobre módulos e a suíte inteira de testes, e não sobre a
célula de um caderno; o que se usa delas aqui é a lista de operadores.
"""

import ast
import copy

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def mechanical_mutants(source):
    """Gera as variações de uma célula de solução.

    Só muda o que está entre as marcas ``BEGIN SOLUTION`` e ``END SOLUTION``, menos os textos das mensagens de erro.

    Args:
        source: o texto da célula.

    Returns:
        Dicionário da descrição de cada variação, ``"linha antes → linha depois"``, para o texto da célula.
    """
    tree = ast.parse(source)
    solution = set(_solution_lines(source))
    before = ast.unparse(tree)
    found = {}
    for node in _changeable(tree):
        if getattr(node, "lineno", 0) in solution:
            for variant in _variants(node):
                after = _replaced(tree, node, variant)
                if after != before:
                    found.setdefault(_first_difference(before, after), after)
    return found


def _solution_lines(source):
    inside = False
    for number, line in enumerate(source.splitlines(), 1):
        if "### BEGIN SOLUTION" in line or "### END SOLUTION" in line:
            inside = not inside
        elif inside:
            yield number


def _first_difference(before, after):
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    old, new = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{old.strip()} → {new.strip()}"


def _changeable(tree):
    """Os nós na ordem do texto, sem os que estão dentro de um ``raise`` ou são texto solto."""
    for node in ast.iter_child_nodes(tree):
        yield node
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, ast.Raise) and not is_text:
            yield from _changeable(node)


def _variants(node):
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield _changed(node, ops=[COMPARISONS[type(op)]()])
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield _changed(node, op=OPERATORS[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield _changed(node, value=not node.value)
        case ast.Constant(value=int() | float()):
            yield _changed(node, value=node.value + 1)
            yield _changed(node, value=node.value - 1)
        case ast.Slice():
            for edge in ("lower", "upper"):
                if getattr(node, edge) is not None:
                    yield _changed(node, **{edge: None})
        case ast.Call():
            yield from _call_variants(node)
        case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.UnaryOp):
            yield _changed(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.stmt) and not isinstance(node, ast.Pass | ast.FunctionDef | ast.ClassDef | ast.Import):
        yield ast.Pass()


def _call_variants(node):
    if len(node.args) >= 2 and not any(isinstance(argument, ast.Starred) for argument in node.args[:2]):
        first, second, *others = node.args
        yield _changed(node, args=[second, first, *others])
    for index in range(len(node.keywords)):
        yield _changed(node, keywords=node.keywords[:index] + node.keywords[index + 1 :])


def _changed(node, **fields):
    variant = copy.copy(node)
    for name, value in fields.items():
        setattr(variant, name, value)
    return variant


def _replaced(tree, target, variant):
    class Replacement(ast.NodeTransformer):
        def visit(self, node):
            return variant if node is target else super().visit(node)

    memo = {id(node): node for node in (target, variant)}  # na cópia, os dois continuam sendo os mesmos objetos
    return ast.unparse(ast.fix_missing_locations(Replacement().visit(copy.deepcopy(tree, memo))))

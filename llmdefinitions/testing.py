"""As conferências das células de teste: quando algo não confere, a mensagem diz com que entrada e o que olhar.

Uma célula de teste de um caderno se escreve assim::

    # Confere que mean_length conta caracteres, e não palavras.
    from llmdefinitions.testing import call, check_equal, without_library

    with without_library("find_duplicates"):
        received = call(mean_length, ["oi", "tudo bem"])
    check_equal("mean_length(['oi', 'tudo bem'])", received, 5.0, mistakes=[(1.5, "Você contou palavras.")])

``call`` executa a função do estudante em silêncio e explica o que a fez parar; ``check_equal`` compara sem confiar
no ``==`` do objeto recebido; ``without_library`` impede que o exercício seja resolvido chamando a resposta pronta.
"""

import copy
import logging
import math
import os
import reprlib
import textwrap
import traceback
from contextlib import ExitStack, contextmanager, redirect_stderr
from importlib import import_module
from operator import attrgetter
from pathlib import PurePath
from types import FunctionType

import numpy as np
import pandas as pd
import torch
from torch.overrides import TorchFunctionMode

import llmdefinitions

_NUMPY_TYPES = set(np.sctypeDict.values())
_INTEGERS = {int, *(kind for kind in _NUMPY_TYPES if issubclass(kind, np.integer))}
_NUMBERS = {float, *_INTEGERS, *(kind for kind in _NUMPY_TYPES if issubclass(kind, np.floating))}

# Para cada tipo esperado: como chamá-lo e que tipos servem no lugar dele. São comparados com type(), e não com
# isinstance: uma subclasse pode redefinir == e se dizer igual a tudo.
_KINDS = {
    type(None): ("None", {type(None)}),
    bool: ("True ou False", {bool, np.bool_}),
    int: ("um número inteiro", _INTEGERS),
    float: ("um número", _NUMBERS),
    str: ("um texto", {str, np.str_}),
    bytes: ("uma sequência de bytes", {bytes}),
    list: ("uma lista", {list}),
    tuple: ("uma tupla", {tuple, torch.Size}),
    set: ("um conjunto (set)", {set, frozenset}),
    dict: ("um dicionário", {dict}),
    np.ndarray: ("um array do NumPy", {np.ndarray}),
    torch.Tensor: ("um tensor", {torch.Tensor, torch.nn.Parameter}),
    torch.dtype: ("um tipo do PyTorch (dtype)", {torch.dtype}),
    pd.Series: ("uma coluna (Series)", {pd.Series}),
    pd.DataFrame: ("uma tabela (DataFrame)", {pd.DataFrame}),
}

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


class CheckError(AssertionError):
    """Uma conferência que não passou; no caderno aparece só a frase, sem o rastro do código da conferência."""

    def _render_traceback_(self):
        return textwrap.wrap(f"✗ {self}", width=85)  # o Jupyter não quebra as linhas de um erro


class LibraryUsedError(CheckError):
    """O código conferido chamou a função da biblioteca que ele deveria recriar."""


# --- executar


def call(function, *args, **kwargs):
    """Chama a função (ou a classe) do estudante e devolve o resultado dela.

    O que ela escreve na saída de erro (avisos, barras de progresso, registros) não aparece, porque o nbgrader toma
    qualquer texto ali por uma falha.

    Args:
        function: a função do estudante.
        args, kwargs: os argumentos; aparecem, resumidos, na mensagem de erro.

    Returns:
        O que a função devolver. Um gerador ou um carregador só executa ao ser percorrido: ``call(list, loader)``.

    Raises:
        CheckError: se a função levanta uma exceção; a mensagem diz qual, com que entrada e em que linha.
    """
    try:
        with quiet():
            return function(*args, **kwargs)
    except CheckError:
        raise
    except (Exception, SystemExit) as error:
        raise CheckError(f"{describe_call(function, *args, **kwargs)} {_describe_stop(error)}") from None


@contextmanager
def quiet():
    """Descarta o que for escrito na saída de erro, por qualquer caminho: Python, ``logging`` ou código em C."""
    disabled = logging.root.manager.disable
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as sink, redirect_stderr(sink):
        logging.disable(logging.CRITICAL)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            logging.disable(disabled)


def describe_call(function, *args, **kwargs):
    """Escreve uma chamada como se a lê num caderno, com os argumentos grandes resumidos.

    >>> describe_call(len, pd.DataFrame({"Text": ["oi", "olá"]}))
    'len(<tabela de 2 linhas>)'
    """
    arguments = [_describe_argument(value) for value in args]
    arguments += [f"{name}={_describe_argument(value)}" for name, value in kwargs.items()]
    return f"{getattr(function, '__qualname__', type(function).__name__)}({', '.join(arguments)})"


def _describe_argument(value):
    match value:
        case pd.DataFrame():
            return f"<tabela de {len(value)} linhas>"
        case torch.Tensor() | np.ndarray():
            return f"<{type(value).__name__} de forma {tuple(value.shape)}>"
        case PurePath():
            return repr(value.name)
        case str() | int() | float() | list() | tuple() | dict() | set() | None:
            return _short.repr(value)
        case _:
            return getattr(value, "__name__", f"<{type(value).__name__}>")


def _describe_stop(error):
    if isinstance(error, NotImplementedError):
        return "ainda não foi escrita: troque a linha do raise NotImplementedError pelo seu código."
    # As células do caderno são as únicas cujo "arquivo" não existe e cujo texto o Python conhece assim mesmo.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.line]
    cell_frames = [frame for frame in frames if not os.path.exists(frame.filename)]
    where = f", na linha {cell_frames[-1].lineno} da célula: {cell_frames[-1].line}" if cell_frames else ""
    return f"parou com {''.join(traceback.format_exception_only(error)).strip().rstrip('.')}{where}"


# --- comparar


def check(condition, message):
    """Confere uma condição calculada pelo teste (não por um objeto do estudante).

    Raises:
        CheckError: com ``message``, se ``condition`` é falsa.
    """
    if not condition:
        raise CheckError(message)


def check_equal(name, received, expected, hint="", mistakes=(), tolerance=1e-6):
    """Confere que um valor é o esperado, sem confiar no ``==`` do que foi recebido.

    Compara ``None``, booleanos, números, textos, listas, tuplas, conjuntos, dicionários, arrays, tensores (também a
    forma e se são de inteiros), colunas e tabelas do pandas (também o índice). Tipos do NumPy servem no lugar dos do
    Python, e inteiros no lugar de ``float``. ``NaN`` é igual a ``NaN``.

    Args:
        name: o que está sendo conferido, com a entrada: ``"mean_length(['oi'])"``.
        received: o que veio do código do estudante.
        expected: o valor certo.
        hint: uma frase que diz o que olhar; vai no fim da mensagem.
        mistakes: pares ``(valor errado, frase)``; se o recebido é um deles, a frase dele vai no lugar de ``hint``.
        tolerance: diferença aceita entre números que não são inteiros, relativa ou absoluta.

    Raises:
        CheckError: se não é; a mensagem diz o nome, o esperado, o recebido e a frase.
    """
    difference = _difference(received, expected, tolerance)
    if difference is None:
        return
    for wrong, explanation in mistakes:
        if _difference(received, wrong, tolerance) is None:
            hint = explanation
            break
    raise CheckError(f"{name}: {difference}. {hint}".rstrip())


def check_type(name, received, expected_type, hint=""):
    """Confere o tipo de um valor antes de usá-lo.

    Args:
        name: o que está sendo conferido, com a entrada.
        received: o que veio do código do estudante.
        expected_type: o tipo; os que ``check_equal`` compara têm de ser exatos, os outros podem ser subclasses.
        hint: uma frase que diz o que olhar.

    Returns:
        O próprio ``received``.

    Raises:
        CheckError: se o tipo é outro; com ``None``, a mensagem lembra do ``return``.
    """
    description, accepted = _KINDS.get(expected_type, (f"um {expected_type.__name__}", set()))
    if type(received) in accepted or (not accepted and isinstance(received, expected_type)):
        return received
    raise CheckError(f"{name}: esperava {description}; recebi {_describe_value(received)}. {hint}".rstrip())


def check_parts(name, received, *parts, hint=""):
    """Confere que uma função devolveu vários valores, para que o teste possa separá-los.

    >>> df, n_discarded = check_parts("read_messages('a.tsv')", (pd.DataFrame(), 2), "df", "n_discarded")

    Args:
        name: a chamada.
        received: o que ela devolveu.
        parts: o nome de cada valor esperado.
        hint: uma frase que diz o que olhar.

    Returns:
        Uma tupla com os valores.

    Raises:
        CheckError: se não é uma tupla (ou lista) com esse tanto de valores.
    """
    if type(received) not in (tuple, list) or len(received) != len(parts):
        what = f"os {len(parts)} valores ({', '.join(parts)})"
        raise CheckError(f"{name}: esperava {what}; recebi {_describe_value(received)}. {hint}".rstrip())
    return tuple(received)


def check_raises(error_type, function, *args, mentions=(), hint="", **kwargs):
    """Confere que uma chamada recusa uma entrada que não serve.

    Args:
        error_type: a exceção que ela deve levantar, com uma mensagem dentro.
        function, args, kwargs: a chamada.
        mentions: textos que a mensagem da exceção deve citar, por exemplo ``["7"]``.
        hint: uma frase que diz por que a entrada não serve.

    Raises:
        CheckError: se a chamada não levanta nada, se levanta outra exceção ou uma sem mensagem.
    """
    described = describe_call(function, *args, **kwargs)
    try:
        with quiet():
            received = function(*args, **kwargs)
    except CheckError:
        raise
    except NotImplementedError as error:
        raise CheckError(f"{described} {_describe_stop(error)}") from None
    except error_type as error:
        check(str(error).strip(), f"{described}: o {error_type.__name__} veio sem mensagem. Diga o que não serve.")
        missing = [text for text in mentions if text not in str(error)]
        check(not missing, f"{described}: a mensagem do erro, «{error}», deveria citar {', '.join(missing)}. {hint}")
    except (Exception, SystemExit) as error:
        expected = f"deveria levantar {error_type.__name__}, mas"
        raise CheckError(f"{described} {expected} {_describe_stop(error)}. {hint}".rstrip()) from None
    else:
        raise CheckError(
            f"{described} deveria levantar {error_type.__name__}; em vez disso devolveu "
            f"{_describe_value(received)}. {hint}".rstrip()
        )


@contextmanager
def unchanged(name, value, hint="A função mexe no que recebeu: trabalhe numa cópia."):
    """Confere que o bloco não altera ``value``, de um tipo que ``check_equal`` compare.

    Args:
        name: o que não pode mudar, com a chamada: ``"df, depois de balance(df)"``.
        value: a tabela, a lista, o tensor.
        hint: uma frase que diz o que olhar.

    Raises:
        CheckError: se mudou.
    """
    before = copy.deepcopy(value)
    yield
    check_equal(name, value, before, hint=hint)


def check_choice(name, answer, options, key=None, hint=""):
    """Confere uma questão de escolha: no teste visível só o formato; no oculto, com ``key``, também a resposta.

    Args:
        name: o nome da variável que o estudante preenche.
        answer: o que ele escreveu; maiúsculas e espaços em volta não contam.
        options: as letras possíveis, por exemplo ``"abcd"``.
        key: a letra certa. Nunca aparece na mensagem.
        hint: uma frase que diz o que reler.

    Raises:
        CheckError: se não é uma das letras ou não é a certa.
    """
    letters = ", ".join(options)
    if type(answer) is not str or answer.strip().lower() not in list(options):
        raise CheckError(f"{name}: esperava uma destas letras, entre aspas: {letters}; recebi {_short.repr(answer)}.")
    if key is not None and answer.strip().lower() != key:
        raise CheckError(f"{name}: {answer.strip().lower()!r} não é a resposta certa. {hint}".rstrip())


def _difference(received, expected, tolerance):
    """Diz, numa frase, onde dois valores diferem; ``None`` se não diferem."""
    kind = next((kind for kind, (_, accepted) in _KINDS.items() if type(expected) in accepted), None)
    if kind is None:
        raise TypeError(f"expected: não sei comparar {type(expected).__name__}.")
    description, accepted = _KINDS[kind]
    if type(received) not in accepted:
        return f"esperava {description}, {_short.repr(expected)}; recebi {_describe_value(received)}"
    match expected:
        case list() | tuple():
            return _sequence_difference(received, expected, tolerance, "na posição")
        case dict():
            return _dict_difference(received, expected, tolerance)
        case torch.Tensor() | np.ndarray():
            return _array_difference(received, expected, tolerance)
        case pd.Series():
            return _series_difference(received, expected, tolerance)
        case pd.DataFrame():
            return _table_difference(received, expected, tolerance)
        case float() | np.floating():
            same = math.isclose(received, expected, rel_tol=tolerance, abs_tol=tolerance)
            same = same or (math.isnan(received) and math.isnan(expected))
        case set() | frozenset():
            same = set(map(_typed, received)) == set(map(_typed, expected))
        case _:
            same = received == expected  # aqui os dois são de tipos do Python ou do NumPy, e não de subclasses
    return None if same else f"esperava {_short.repr(_plain(expected))}; recebi {_short.repr(_plain(received))}"


def _sequence_difference(received, expected, tolerance, where):
    if len(received) != len(expected):
        return (
            f"esperava {len(expected)} itens, {_short.repr(expected)}; recebi {len(received)}, {_short.repr(received)}"
        )
    for index, (one, other) in enumerate(zip(received, expected, strict=True)):
        if difference := _difference(one, other, tolerance):
            return f"{where} {index}, {difference}"
    return None


def _dict_difference(received, expected, tolerance):
    if set(map(_typed, received)) != set(map(_typed, expected)):
        return f"esperava as chaves {_short.repr(list(expected))}; recebi {_short.repr(list(received))}"
    for key, value in expected.items():
        if difference := _difference(received[key], value, tolerance):
            return f"em {key!r}, {difference}"
    return None


def _typed(value):
    return type(value), value


def _array_difference(received, expected, tolerance):
    if tuple(received.shape) != tuple(expected.shape):
        return f"esperava a forma {tuple(expected.shape)}; recebi {tuple(received.shape)}"
    ours, theirs = _as_array(expected), _as_array(received)
    if theirs.dtype.kind != ours.dtype.kind:
        return f"esperava elementos {expected.dtype}; recebi {received.dtype}"
    if ours.dtype.kind not in "biuf":
        return _sequence_difference(theirs.ravel().tolist(), ours.ravel().tolist(), tolerance, "na posição")
    equal = np.isclose(theirs, ours, rtol=tolerance, atol=tolerance, equal_nan=True)
    if equal.all():
        return None
    where = tuple(np.argwhere(~equal)[0].tolist())
    position = f"na posição {where if len(where) > 1 else where[0]}, " if where else ""
    return f"{position}esperava {ours[where]}; recebi {theirs[where]}"


def _as_array(value):
    if isinstance(value, np.ndarray):
        return value
    value = value.detach().cpu()
    return (value.double() if value.is_floating_point() else value).numpy()


def _series_difference(received, expected, tolerance):
    if difference := _sequence_difference(received.tolist(), expected.tolist(), tolerance, "na linha"):
        return difference
    if difference := _difference(received.index.tolist(), expected.index.tolist(), tolerance):
        return f"no índice, {difference}"
    return None


def _table_difference(received, expected, tolerance):
    columns, expected_columns = (list(map(str, table.columns)) for table in (received, expected))
    if columns != expected_columns:
        return f"esperava as colunas {', '.join(expected_columns)}; recebi {', '.join(columns) or 'nenhuma'}"
    if len(received) != len(expected):
        return f"esperava {len(expected)} linhas; recebi {len(received)}"
    for column in expected.columns:
        if difference := _series_difference(received[column], expected[column], tolerance):
            return f"na coluna {column}, {difference}"
    return None


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _describe_value(value):
    if value is None:
        return "None (faltou o return?)"
    return f"{_short.repr(_plain(value))} ({type(value).__name__})"


# --- sem a resposta pronta


@contextmanager
def without_library(*names):
    """Faz funções e classes da biblioteca se recusarem a funcionar durante o bloco.

    Vale para qualquer nome com que o estudante as tenha importado, e também antes do bloco: é a própria função (ou
    cada método da classe) que muda por dentro. Por isso o bloco envolve só as chamadas ao código do estudante; o que
    o teste precisa da biblioteca ele calcula antes. Quem a chama e esconde o erro com ``try`` também é descoberto, na
    saída do bloco.

    Args:
        names: nomes públicos (``"random_split"``) ou, para o que só existe no módulo, com ele
            (``"datasets.pad_or_truncate"``).

    Raises:
        LibraryUsedError: se o código do bloco usou uma delas.
    """
    already = len(_uses)
    with ExitStack() as stack:
        for name in names:
            value = _find(name)
            functions = [value] if isinstance(value, FunctionType) else vars(value).values()
            for function in functions:
                if isinstance(function, FunctionType):
                    stack.enter_context(_refusing(function, name))
        yield
    if len(_uses) > already:
        raise _uses[already]


@contextmanager
def without_torch(*names):
    """Faz funções do PyTorch se recusarem a funcionar durante o bloco, como ``without_library`` faz com as do curso.

    Vale para qualquer nome com que o estudante as tenha importado e para as camadas que as chamam, mas não para outra
    função do PyTorch que as chame por dentro: recuse também essa (``softmax``, ``nn.functional.softmax`` e
    ``Tensor.softmax`` são três). O que o teste precisa delas ele calcula antes do bloco.

    Args:
        names: nomes a partir de ``torch``: ``"softmax"``, ``"nn.functional.softmax"``, ``"Tensor.softmax"``.

    Raises:
        LibraryUsedError: se o código do bloco usou uma delas.
    """
    already = len(_uses)
    with _RefusingTorch({attrgetter(name)(torch): f"torch.{name}" for name in names}):
        yield
    if len(_uses) > already:
        raise _uses[already]


class _RefusingTorch(TorchFunctionMode):
    """Enquanto ativo, recebe cada chamada ao PyTorch antes dele."""

    def __init__(self, refused):
        super().__init__()
        self.refused = refused

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in self.refused:
            _refuse(self.refused[func])
        return func(*args, **(kwargs or {}))


_uses = []
"""As recusas que já houve, na ordem."""


def _find(name):
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(f"llmdefinitions.{module}") if module else llmdefinitions, attribute)


@contextmanager
def _refusing(function, name):
    original, refusal = function.__code__, _refusal.__code__
    function.__code__ = refusal.replace(
        co_consts=tuple(name if constant == "NOME" else constant for constant in refusal.co_consts),
        co_freevars=original.co_freevars,  # o Python só aceita a troca entre códigos com tantas variáveis livres
    )
    try:
        yield
    finally:
        function.__code__ = original


def _refusal(*args, **kwargs):
    """O código que uma função bloqueada passa a ter; executa no módulo dela, e por isso importa o que usa."""
    from llmdefinitions.testing import _refuse

    _refuse("NOME")


def _refuse(name):
    _uses.append(
        LibraryUsedError(f"{name} é o que este exercício recria: escreva você o código, sem chamar a da biblioteca.")
    )
    raise _uses[-1]

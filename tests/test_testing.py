"""As conferências dos cadernos: o que está certo passa, o que está errado é explicado, e nada se deixa enganar."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tqdm import tqdm

import llmdefinitions
from llmdefinitions.testing import (
    CheckError,
    LibraryUsedError,
    call,
    check,
    check_choice,
    check_equal,
    check_parts,
    check_raises,
    check_type,
    describe_call,
    quiet,
    unchanged,
    without_library,
    without_torch,
)


class EqualToAll:
    """O objeto que o nbgrader toma por qualquer resposta certa."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __hash__(self):
        return hash("accuracy")

    def __bool__(self):
        return True

    def __float__(self):
        return 0.75

    def __len__(self):
        return 2


class FloatEqualToAll(EqualToAll, float):
    pass


class StrEqualToAll(EqualToAll, str):
    __slots__ = ()


class TableEqualToAll(pd.DataFrame):
    def __eq__(self, other):
        return pd.DataFrame(True, index=other.index, columns=other.columns)

    def equals(self, other):
        return True


TABLE = pd.DataFrame({"Label": ["ham", "spam"], "Text": ["oi", "prêmio"]})

EQUAL = [
    (None, None),
    (True, True),
    (np.bool_(True), True),
    (3, 3),
    (np.int64(3), 3),
    (0.75, 0.75),
    (0.1 + 0.2, 0.3),
    (1, 1.0),
    (np.float32(0.1), 0.1),
    (float("nan"), float("nan")),
    (float("inf"), float("inf")),
    ("olá", "olá"),
    (np.str_("olá"), "olá"),
    (b"x", b"x"),
    ([1, [2.0, "a"]], [1, [2.0, "a"]]),
    (torch.Size([8, 120]), (8, 120)),
    ({"b": 1, "a": 0.5}, {"a": 0.5, "b": 1}),
    ({1, "a"}, {"a", 1}),
    (np.array([1.0, np.nan]), np.array([1.0, np.nan])),
    (np.array(["a", "b"]), np.array(["a", "b"])),
    (torch.tensor([[1, 2]]), torch.tensor([[1, 2]])),
    (torch.tensor([0.1], requires_grad=True), torch.tensor([0.1])),
    (torch.nn.Parameter(torch.tensor(0.5, dtype=torch.bfloat16)), torch.tensor(0.5)),
    (torch.long, torch.int64),
    (pd.Series([1, 2]), pd.Series([1, 2])),
    (TABLE.astype(object), TABLE.astype("string[python]")),
]


@pytest.mark.parametrize(("received", "expected"), EQUAL)
def test_equal_values_pass_whatever_their_flavour(received, expected):
    check_equal("f()", received, expected)


DIFFERENT = [
    (None, 3, "esperava um número inteiro, 3; recebi None (faltou o return?)"),
    (True, 1, "esperava um número inteiro, 1; recebi True (bool)"),
    (1, True, "esperava True ou False, True; recebi 1 (int)"),
    (2.0, 2, "esperava um número inteiro, 2; recebi 2.0 (float)"),
    (2, 3, "esperava 3; recebi 2"),
    (np.int64(2), 3, "esperava 3; recebi 2"),
    (0.5, 0.75, "esperava 0.75; recebi 0.5"),
    (float("nan"), 0.75, "esperava 0.75; recebi nan"),
    (torch.tensor(0.75), 0.75, "esperava um número, 0.75; recebi tensor(0.7500) (Tensor)"),
    ("Olá", "olá", "esperava 'olá'; recebi 'Olá'"),
    ((1, 2), [1, 2], "esperava uma lista, [1, 2]; recebi (1, 2) (tuple)"),
    ([1], [1, 2], "esperava 2 itens, [1, 2]; recebi 1, [1]"),
    ([1, 3], [1, 2], "na posição 1, esperava 2; recebi 3"),
    ({"a": 1}, {"b": 1}, "esperava as chaves ['b']; recebi ['a']"),
    ({"a": 2}, {"a": 1}, "em 'a', esperava 1; recebi 2"),
    ({1, 2}, {1, 3}, "esperava {1, 3}; recebi {1, 2}"),
    (np.zeros(2), np.zeros((1, 2)), "esperava a forma (1, 2); recebi (2,)"),
    (np.zeros(2), np.array([0.0, 1.0]), "na posição 1, esperava 1.0; recebi 0.0"),
    (torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]), "na posição (0, 1), esperava 1.0; recebi 0.0"),
    (torch.tensor(1.0), torch.tensor(2.0), "esperava 2.0; recebi 1.0"),
    (torch.zeros(2), torch.zeros(2).long(), "esperava elementos torch.int64; recebi torch.float32"),
    (torch.float, torch.long, "esperava torch.int64; recebi torch.float32"),
    (pd.Series([1, 2]), pd.Series([1, 3]), "na linha 1, esperava 3; recebi 2"),
    (TABLE[["Text", "Label"]], TABLE, "esperava as colunas Label, Text; recebi Text, Label"),
    (TABLE[:1], TABLE, "esperava 2 linhas; recebi 1"),
    (TABLE.assign(Text="oi"), TABLE, "na coluna Text, na linha 1, esperava 'prêmio'; recebi 'oi'"),
    (TABLE.set_axis([5, 9]), TABLE, "na coluna Label, no índice, na posição 0, esperava 0; recebi 5"),
]


@pytest.mark.parametrize(("received", "expected", "message"), DIFFERENT)
def test_different_values_are_told_apart_and_explained(received, expected, message):
    with pytest.raises(CheckError) as failure:
        check_equal("f(2)", received, expected, hint="Olhe o laço.")
    assert str(failure.value) == f"f(2): {message}. Olhe o laço."


@pytest.mark.parametrize("forged", [EqualToAll(), FloatEqualToAll(0.5), StrEqualToAll("x"), TableEqualToAll(TABLE[:1])])
@pytest.mark.parametrize(
    "expected", [None, True, 2, 0.75, "c", [1, 2], (1, 2), {"accuracy": 1}, torch.ones(2), TABLE, TABLE["Text"]]
)
def test_an_object_equal_to_everything_is_not(forged, expected):
    for received in (forged, [forged, forged], {"accuracy": forged}):
        with pytest.raises(CheckError):
            check_equal("f()", received, expected)


def test_a_known_mistake_gets_its_own_sentence():
    mistakes = [(0.5, "Você dividiu pelo número de lotes."), ([0.5], "Faltou o índice.")]
    for received, sentence in ((0.5, "Você dividiu pelo número de lotes."), (0.1, "Confira a conta.")):
        with pytest.raises(CheckError, match=sentence):
            check_equal("f()", received, 0.75, hint="Confira a conta.", mistakes=mistakes)


def test_a_type_that_cannot_be_compared_is_the_authors_error():
    with pytest.raises(TypeError, match=r"não sei comparar .*Path"):
        check_equal("f()", Path("a"), Path("a"))


def test_check_type_and_parts():
    assert check_type("f()", TABLE, pd.DataFrame) is TABLE
    dataset = torch.utils.data.TensorDataset(torch.ones(2))
    assert check_type("f()", dataset, torch.utils.data.Dataset) is dataset
    with pytest.raises(CheckError, match=r"f\(\): esperava um Dataset; recebi None \(faltou o return\?\)\. Herde"):
        check_type("f()", None, torch.utils.data.Dataset, hint="Herde de Dataset.")
    with pytest.raises(CheckError, match="esperava uma tabela"):
        check_type("f()", TableEqualToAll(TABLE), pd.DataFrame)
    assert check_parts("f()", [1, 2], "a", "b") == (1, 2)
    for received in (None, TABLE, (1,), (1, 2, 3), EqualToAll()):
        with pytest.raises(CheckError, match=r"f\(\): esperava os 2 valores \(a, b\); recebi "):
            check_parts("f()", received, "a", "b")


def test_check_says_its_message():
    check(True, "nunca aparece")
    with pytest.raises(CheckError, match=r"^Faltou embaralhar\.$"):
        check(False, "Faltou embaralhar.")


# --- executar a função do estudante


def unfinished(df):
    raise NotImplementedError("Escreva aqui.")


def leaves(df):
    sys.exit(3)


def test_call_describes_what_stopped_the_function():
    with pytest.raises(CheckError) as failure:
        call(unfinished, TABLE)
    assert str(failure.value) == (
        "unfinished(<tabela de 2 linhas>) ainda não foi escrita: troque a linha do raise NotImplementedError pelo seu "
        "código."
    )
    first, second = failure.value._render_traceback_()
    assert f"{first} {second}" == f"✗ {failure.value}"
    with pytest.raises(CheckError, match=r"leaves\(1\) parou com SystemExit: 3"):
        call(leaves, 1)
    assert call(sorted, [2, 1], reverse=True) == [2, 1]


def test_the_line_of_the_cell_is_named(tmp_path):
    """Como o IPython faz: o texto da célula está no linecache, sob um nome que não é de um arquivo."""
    import linecache

    source = "def mean_length(texts):\n    return sum(texts) / 0\n"
    linecache.cache["<célula>"] = (len(source), None, source.splitlines(True), "<célula>")
    namespace = {}
    exec(compile(source, "<célula>", "exec"), namespace)  # noqa: S102
    with pytest.raises(CheckError, match=r"ZeroDivisionError: .*, na linha 2 da célula: return sum\(texts\) / 0$"):
        call(namespace["mean_length"], [1])


def test_arguments_are_summarised():
    described = describe_call(
        TABLE.head, Path("/uma/pasta/aspas.tsv"), torch.ones(2, 3), len, TABLE, texts=["a" * 99] * 9, tokenizer=object()
    )
    text = f"'{'a' * 27}...{'a' * 28}', "
    assert described == (
        "NDFrame.head('aspas.tsv', <Tensor de forma (2, 3)>, len, <tabela de 2 linhas>, "
        f"texts=[{text * 6}...], tokenizer=<object>)"
    )


def noisy(x):
    print("na tela")
    print("um aviso", file=sys.stderr)
    logging.getLogger("aluno").warning("registro")
    list(tqdm(range(2)))
    os.write(2, b"escrito pelo C\n")
    subprocess.run([sys.executable, "-c", "import sys; print('outro processo', file=sys.stderr)"], check=True)
    return x


def test_nothing_reaches_stderr_and_everything_is_restored(capfd):
    handler = logging.StreamHandler()
    logging.getLogger("aluno").addHandler(handler)
    before = sys.stderr
    assert call(noisy, 1) == 1
    with pytest.raises(CheckError):
        call(lambda: noisy(1) / 0)
    with quiet():
        noisy(1)
    logging.getLogger("aluno").removeHandler(handler)
    captured = capfd.readouterr()
    assert captured.err == ""
    assert captured.out == "na tela\n" * 3
    assert sys.stderr is before
    os.write(2, b"de volta")
    assert capfd.readouterr().err == "de volta"
    assert logging.root.manager.disable == logging.NOTSET


def refuses(message):
    def function(x):
        raise ValueError(message)

    return function


def test_check_raises():
    check_raises(ValueError, refuses("x: esperava um número até 7."), 1, mentions=["7"])
    with pytest.raises(CheckError, match=r"«x: esperava um número\.», deveria citar 7, 12"):
        check_raises(ValueError, refuses("x: esperava um número."), 1, mentions=["7", "x", "12"])
    for function, message in (
        (refuses(" "), "o ValueError veio sem mensagem"),
        (abs, r"abs\(-1\) deveria levantar ValueError; em vez disso devolveu 1 \(int\)\. Não há ham"),
        (len, "deveria levantar ValueError, mas parou com TypeError: .*Não há ham"),
        (unfinished, "ainda não foi escrita"),
    ):
        with pytest.raises(CheckError, match=message):
            check_raises(ValueError, function, -1, hint="Não há ham que chegue.")


def test_unchanged():
    df = TABLE.copy()
    with unchanged("df", df):
        df.assign(Length=1)
    explained = pytest.raises(CheckError, match=r"^df: esperava as colunas Label, Text; .*trabalhe numa cópia")
    with explained, unchanged("df", df):
        df["Length"] = 1


def test_a_choice_question():
    check_choice("resposta", " B ", "abcd")
    check_choice("resposta", "b", "abcd", key="b")
    for answer in (None, 2, "e", "ab", "", EqualToAll(), StrEqualToAll("b")):
        with pytest.raises(CheckError, match="resposta: esperava uma destas letras, entre aspas: a, b, c, d; recebi"):
            check_choice("resposta", answer, "abcd")
    with pytest.raises(CheckError) as failure:
        check_choice("resposta", "A", "abcd", key="c", hint="Releia a seção 2.")
    assert str(failure.value) == "resposta: 'a' não é a resposta certa. Releia a seção 2."


# --- sem a resposta pronta

CALLABLES = [
    name for name in llmdefinitions.__all__ if callable(getattr(llmdefinitions, name)) and name != "SourceError"
]


@pytest.mark.parametrize("name", CALLABLES)
def test_every_public_name_can_be_refused(name):
    value = getattr(llmdefinitions, name)
    method = (
        next((m for m in vars(value).values() if hasattr(m, "__code__")), None) if isinstance(value, type) else value
    )
    original = method.__code__
    with pytest.raises(LibraryUsedError, match=f"^{name} é o que este exercício recria"), without_library(name):
        method()
    assert method.__code__ is original


def test_every_way_in_is_closed(embedded_df):
    from llmdefinitions import random_split as mine

    ways = [
        lambda: llmdefinitions.random_split(embedded_df, 0.7, 0.1),
        lambda: llmdefinitions.datasets.random_split(embedded_df, 0.7, 0.1),
        lambda: mine(embedded_df, 0.7, 0.1),
        lambda: llmdefinitions.__getattr__("random_split")(embedded_df, 0.7, 0.1),
    ]
    for way in ways:
        with pytest.raises(LibraryUsedError), without_library("random_split", "datasets.pad_or_truncate"):
            call(way)
        assert len(way()) == 3


def test_hiding_the_refusal_does_not_help():
    def sly(ids):
        try:
            return llmdefinitions.datasets.pad_or_truncate(ids, 2)
        except Exception:
            return ids[:2]

    with pytest.raises(LibraryUsedError), without_library("datasets.pad_or_truncate"):
        call(sly, [1, 2, 3])
    with pytest.raises(LibraryUsedError), without_library("datasets.pad_or_truncate"):
        check_raises(ValueError, llmdefinitions.datasets.pad_or_truncate, [1], "dois")
    with without_library("datasets.encode_message"):
        assert call(sly, [1, 2, 3]) == [1, 2]


def test_a_subclass_of_the_answer_is_refused(spam_csv, tokenizer):
    class Mine(llmdefinitions.SpamDataset):
        pass

    with pytest.raises(LibraryUsedError), without_library("SpamDataset"):
        call(Mine, spam_csv, tokenizer)
    assert len(Mine(spam_csv, tokenizer)) == 40


# --- sem a função pronta do PyTorch


def test_every_way_to_a_torch_function_is_closed():
    from torch.nn.functional import scaled_dot_product_attention as mine

    x = torch.ones(1, 3, 4)
    attention = llmdefinitions.MultiHeadAttention(4, 4, context_length=3, dropout=0.0, num_heads=2)
    for way in (lambda: mine(x, x, x), lambda: torch.nn.functional.scaled_dot_product_attention(x, x, x), attention):
        arguments = (x,) if way is attention else ()
        refusal = "^torch.nn.functional.scaled_dot_product_attention é o que este exercício recria"
        with (
            pytest.raises(LibraryUsedError, match=refusal),
            without_torch("nn.functional.scaled_dot_product_attention"),
        ):
            call(way, *arguments)
        assert way(*arguments).shape == (1, 3, 4)


def test_hiding_the_refusal_of_torch_does_not_help():
    def sly(x):
        try:
            return torch.nn.functional.softmax(x, dim=-1)
        except Exception:
            return x.exp() / x.exp().sum()

    blocked = without_torch("nn.functional.softmax")
    with pytest.raises(LibraryUsedError, match=r"^torch\.nn\.functional\.softmax"), blocked:
        call(sly, torch.zeros(2))
    with without_torch("softmax"):
        assert call(sly, torch.zeros(2)).tolist() == [0.5, 0.5]

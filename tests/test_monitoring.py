"""Acompanhar um classificador: o que se mede das mensagens e o que dá alarme."""

import math

import pandas as pd
import pytest

from llmdefinitions import drift, message_statistics


def test_statistics_by_hand():
    table = message_statistics(["Oi, ANA 12", "", "é"])
    assert table.loc[0].to_dict() == {
        "characters": 10,
        "words": 3,
        "digits": 0.2,
        "uppercase": 0.8,
        "non_ascii": 0,
    }
    assert table.loc[1].eq(0).all()
    assert table.loc[2].to_dict() == {"characters": 1, "words": 1, "digits": 0, "uppercase": 0, "non_ascii": 1}


def test_statistics_take_a_column_and_an_iterator(embedded_df):
    texts = embedded_df["Text"][:20]
    assert message_statistics(texts).equals(message_statistics(iter(texts)))


@pytest.mark.parametrize(
    ("texts", "message"),
    [("oi", "texts: esperava vários textos"), (3, "texts: esperava vários"), (["a", None], r"texts\[1\]: esperava")],
)
def test_statistics_refuse_what_is_not_texts(texts, message):
    with pytest.raises(TypeError, match=message):
        message_statistics(texts)


def test_statistics_need_a_text():
    with pytest.raises(ValueError, match="texts: esperava ao menos um texto"):
        message_statistics([])


def test_drift_is_measured_in_standard_deviations():
    before = pd.DataFrame({"a": [1.0, 3.0], "b": [0.0, 4.0], "c": [5.0, 5.0], "d": [5.0, 5.0]})
    table = drift(before, pd.DataFrame({"d": [6.0], "c": [5.0], "b": [1.2], "a": [2.5], "e": [9.0]}))
    assert table["difference"].tolist() == pytest.approx([0.5, -0.4, 0, math.inf])
    assert table["alarm"].tolist() == [True, False, False, True]
    assert table["reference"].tolist() == [2, 2, 5, 5]
    assert table["recent"].tolist() == [2.5, 1.2, 5, 6]
    assert drift(before, before, limit=0.1)["alarm"].sum() == 0
    assert drift(before[["b"]], pd.DataFrame({"b": [1.2]}), limit=0.3)["alarm"].all()


def test_another_mixture_is_seen(embedded_df):
    spam = message_statistics(embedded_df["Text"][embedded_df["Label"] == "spam"])
    ham = message_statistics(embedded_df["Text"][embedded_df["Label"] == "ham"])
    half = len(ham) // 2
    assert not drift(ham[:half], ham[half:])["alarm"].any()
    assert drift(ham, spam)["alarm"]["digits"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})), "recent: falta a coluna a"),
        ((pd.DataFrame({"a": []}), pd.DataFrame({"a": [1]})), "reference: a tabela está vazia"),
        ((pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}), -1), "limit: esperava no mínimo 0"),
        (([1], pd.DataFrame({"a": [1]})), "reference: esperava um DataFrame"),
    ],
)
def test_drift_refuses_bad_input(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        drift(*arguments)

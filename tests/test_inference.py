"""Classificar em lotes: as respostas de ``classify_review``, na ordem, sem ler tudo de uma vez."""

import copy
from itertools import count, islice

import pytest
import torch

from llmdefinitions import (
    LABEL_NAMES,
    classify_review,
    classify_texts,
    inference,
    prepare_for_classification,
    score_texts,
)
from llmdefinitions.datasets import encode_message, pad_or_truncate

CPU = torch.device("cpu")


@pytest.fixture
def undecided(tiny_config):
    """Um classificador cujas respostas dependem muito da mensagem: nem todas iguais."""
    from llmdefinitions import GPTModel

    torch.manual_seed(3)
    model = GPTModel(tiny_config)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.4)
    prepare_for_classification(model)
    torch.nn.init.zeros_(model.out_head.bias)
    return model


@pytest.mark.parametrize("max_length", [None, 1, 20, 32])
def test_answers_are_those_of_one_by_one(undecided, tokenizer, embedded_df, max_length):
    texts = ["", *embedded_df["Text"][:150], "ação 😀 " * 40, "<|endoftext|>"]
    expected = [classify_review(text, undecided, tokenizer, CPU, max_length) for text in texts]
    assert list(classify_texts(texts, undecided, tokenizer, CPU, max_length)) == expected
    assert len(set(expected)) == 2 or max_length == 1


def test_other_names_and_windows(undecided, tokenizer, embedded_df, monkeypatch):
    monkeypatch.setattr(inference, "WINDOW", 7)
    texts = embedded_df["Text"][:30]
    names = ["legítima", "golpe"]
    expected = [classify_review(text, undecided, tokenizer, CPU, label_names=names) for text in texts]
    assert list(classify_texts(iter(texts), undecided, tokenizer, CPU, label_names=names)) == expected
    assert list(classify_texts([], undecided, tokenizer, CPU)) == []


def test_texts_are_read_little_by_little(undecided, tokenizer):
    read = count()
    endless = (f"mensagem {next(read)}" for _ in count())
    assert len(list(islice(classify_texts(endless, undecided, tokenizer, CPU), 5))) == 5
    assert next(read) == inference.WINDOW


def test_an_open_file_serves(undecided, tokenizer, tmp_path):
    path = tmp_path / "linhas.txt"
    path.write_text("primeira linha\nsegunda linha\n", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        answers = list(classify_texts(file, undecided, tokenizer, CPU))
    assert answers == [
        classify_review(text, undecided, tokenizer, CPU) for text in ("primeira linha\n", "segunda linha\n")
    ]


def test_lower_precision_keeps_nearly_every_answer(tokenizer, embedded_df, monkeypatch):
    from llmdefinitions import build_model
    from llmdefinitions.config import DEFAULT_MODEL

    monkeypatch.setattr(inference, "fast_dtype", lambda device: torch.bfloat16)
    model = prepare_for_classification(build_model(DEFAULT_MODEL, 123, True)[0])
    texts = embedded_df["Text"][:60]
    exact = list(classify_texts(texts, model, tokenizer, CPU))
    fast = list(classify_texts(texts, model, tokenizer, CPU, fast=True))
    assert sum(one == other for one, other in zip(exact, fast, strict=True)) >= 57


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": "um texto só"}, "texts: esperava vários textos"),
        ({"texts": 3}, "texts: esperava vários textos"),
        ({"model": torch.nn.Linear(2, 2)}, "model: esperava um GPTModel"),
        ({"tokenizer": None}, "tokenizer: esperava um tokenizador"),
        ({"max_length": 33}, "max_length: esperava no máximo 32"),
        ({"label_names": ["só um"]}, "label_names: esperava 2 nomes"),
        ({"pad_token_id": -1}, "pad_token_id: esperava no mínimo 0"),
    ],
)
def test_wrong_arguments_are_named_at_once(undecided, tokenizer, change, message):
    good = {"texts": ["oi"], "model": undecided, "tokenizer": tokenizer, "device": CPU}
    with pytest.raises((TypeError, ValueError), match=message):
        classify_texts(**good | change)


def test_a_wrong_text_is_named_by_its_place(undecided, tokenizer):
    with pytest.raises(TypeError, match=r"texts\[2\]: esperava um texto \(str\); recebi None"):
        list(classify_texts(["a", "b", None], undecided, tokenizer, CPU))


@pytest.mark.parametrize("max_length", [None, 20])
def test_scores_are_the_softmax_of_one_by_one(undecided, tokenizer, embedded_df, max_length, monkeypatch):
    monkeypatch.setattr(inference, "WINDOW", 9)
    texts = ["", *embedded_df["Text"][:40], "<|endoftext|>"]
    scores = list(score_texts(iter(texts), undecided, tokenizer, CPU, max_length))
    for text, score in zip(texts, scores, strict=True):
        ids = encode_message(text, tokenizer)[:32]
        ids = pad_or_truncate(ids, max_length or max(1, len(ids)))
        with torch.no_grad():
            expected = undecided(torch.tensor([ids]))[0, -1].softmax(dim=-1)[1].item()
        assert score == pytest.approx(expected, abs=1e-5)
    answers = classify_texts(texts, undecided, tokenizer, CPU, max_length)
    assert [LABEL_NAMES[score > 0.5] for score in scores] == list(answers)


def test_scores_need_two_classes_and_numbers(undecided, tokenizer):
    with pytest.raises(TypeError, match="texts: esperava vários textos"):
        score_texts("um só", undecided, tokenizer, CPU)
    three = prepare_for_classification(copy.deepcopy(undecided), num_classes=3)
    with pytest.raises(ValueError, match="model: esperava um classificador de duas classes; a cabeça tem 3"):
        score_texts(["oi"], three, tokenizer, CPU)
    lost = copy.deepcopy(undecided)
    torch.nn.init.constant_(lost.out_head.bias, float("nan"))
    with pytest.raises(ValueError, match="há NaN"):
        list(score_texts(["oi"], lost, tokenizer, CPU))

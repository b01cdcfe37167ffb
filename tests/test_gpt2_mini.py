"""O gpt2-mini: o treinamento calcula o que diz, retoma de onde parou, e os pesos distribuídos funcionam."""

import csv
import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from llmdefinitions.config import model_config
from llmdefinitions.gpt import GPTModel
from llmdefinitions.tokenizer import get_tokenizer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import avaliar_gpt2_mini as evaluation  # noqa: E402
import pretrain_gpt2_mini as pretrain  # noqa: E402
import sms_gpt2_mini as sms  # noqa: E402
from corpus_gpt2_mini import END_OF_TEXT, load_manifest  # noqa: E402

ASSETS = pretrain.DEFAULT_ASSETS
PASSAGE = (
    "I bought this camera last week and I am very happy with it. The pictures are clear, the battery lasts all "
    "day, and it is easy to use. My only problem is that the screen is a little small."
)


@pytest.fixture(scope="module")
def corpora():
    """Documentos de tokens aleatórios, curtos e longos, em corpora que o treinamento conhece."""
    rng = np.random.default_rng(0)
    return {
        name: [
            np.append(rng.integers(0, 300, size=rng.integers(1, 160)), END_OF_TEXT).astype(np.uint16) for _ in range(40)
        ]
        for name in pretrain.PADDED_SHARES
    }


# ---------------------------------------------------------------- dados


def test_token_stream_resumes_where_it_stopped(corpora):
    stream = pretrain.TokenStream(corpora, seed=1)
    for _ in range(100):
        stream.rows(8, 64)
    resumed = pretrain.TokenStream(corpora, 1, stream.epoch, stream.offset)
    assert stream.epoch > 0
    np.testing.assert_array_equal(stream.rows(4, 32), resumed.rows(4, 32))


def test_token_stream_rows_overlap_by_one_token(corpora):
    rows = pretrain.TokenStream(corpora, seed=1).rows(3, 16)
    assert rows.shape == (3, 17)
    np.testing.assert_array_equal(rows[1:, 0], rows[:-1, -1])


def test_padded_rows_look_like_the_lecture(corpora):
    rarity = np.ones(50257)
    inputs, targets, weights = pretrain.padded_rows(corpora, 50, 128, rarity, np.random.default_rng(0))
    for row_inputs, row_targets, row_weights in zip(inputs, targets, weights, strict=True):
        length = int(np.argmax(row_inputs == END_OF_TEXT))
        text = row_inputs[:length]
        assert 1 <= length <= 100
        assert (row_inputs[length:] == END_OF_TEXT).all()
        np.testing.assert_array_equal(row_targets[: length - 1], text[1:])
        assert row_weights[: length - 1].all()
        assert row_weights[length - 1 : length + 1].sum() == 0
        summary = row_weights[length + 1 :] > 0
        assert summary.sum() == pretrain.SUMMARY_TARGETS
        assert set(row_targets[length + 1 :][summary]) <= set(text)


def test_batches_train_every_position(corpora):
    stream = pretrain.TokenStream(corpora, seed=1)
    rarity = np.ones(50257)
    short = pretrain.make_batch(stream, corpora, rarity, step=0, seed=1)
    long = pretrain.make_batch(stream, corpora, rarity, step=pretrain.LONG_EVERY - 1, seed=1)
    assert [tuple(t.shape) for t in short] == [(32, 128)] * 3
    assert [tuple(t.shape) for t in long] == [(16, 256)] * 3


# ---------------------------------------------------------------- contas


def test_fast_path_computes_what_the_model_computes():
    torch.manual_seed(0)
    model = GPTModel(model_config())
    x = torch.randn(2, 40, 192)
    with torch.no_grad():
        expected = model.final_norm(model.trf_blocks(x))
        fast = pretrain.hidden_states(model, x)
    assert F.cosine_similarity(fast, expected, dim=-1).min() > 0.999


def test_candidate_cross_entropy_is_the_cross_entropy():
    torch.manual_seed(0)
    hidden = torch.randn(2100, 16, requires_grad=True)
    vectors = (0.3 * torch.randn(50, 16)).requires_grad_()
    targets = torch.randint(50, (2100,))
    weights = (torch.rand(2100) < 0.8).float()
    loss = pretrain.CandidateCrossEntropy.apply(hidden, vectors, torch.zeros(50), targets, weights)
    found = torch.autograd.grad(loss, (hidden, vectors))
    reference = (F.cross_entropy(hidden @ vectors.T, targets, reduction="none") * weights).sum() / weights.sum()
    expected = torch.autograd.grad(reference, (hidden, vectors))
    assert loss.item() == pytest.approx(reference.item(), abs=2e-3)
    for ours, exact in zip(found, expected, strict=True):
        assert F.cosine_similarity(ours.flatten(), exact.flatten(), dim=0) > 0.999
        assert float(ours.norm()) == pytest.approx(float(exact.norm()), rel=0.01)


def test_sampled_denominator_is_unbiased():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 1000, size=50257)
    sampler = pretrain.CandidateSampler(counts, seed=3)
    logits = torch.tensor(rng.normal(size=50257))
    targets = torch.tensor(rng.integers(0, 50257, size=600))
    estimates = []
    for step in range(60):
        ids, offsets, index = sampler(targets, step)
        assert torch.equal(ids[index], targets)
        assert len(torch.unique(ids)) == len(ids) == pretrain.FREQUENT_TOKENS + pretrain.SAMPLED_TOKENS
        estimates.append(float((logits[ids] + offsets).exp().sum()))
    exact = float(logits.exp().sum())
    assert np.mean(estimates) == pytest.approx(exact, rel=0.01)


def test_initial_embeddings_make_a_unigram():
    counts = np.arange(1, 1001)[::-1].copy()
    base = pretrain.initial_embeddings(torch.randn(1000, 384), counts, 192)
    assert base.shape == (1000, 192)
    bias = base[:, 0] * pretrain.FREQUENCY_SHIFT
    torch.testing.assert_close(
        torch.softmax(bias, dim=0), torch.tensor(counts / counts.sum()).float(), rtol=0.06, atol=1e-5
    )


def test_only_frequent_tokens_have_their_own_adjustment():
    embedding = pretrain.MappedEmbedding(torch.randn(6, 4), torch.tensor([0, 1, 0, 1, 1, 0]).bool())
    embedding(torch.arange(6)).square().sum().backward()
    assert embedding.adjustment.shape == (4, 4)
    assert embedding.adjustment.grad[0].abs().sum() == 0
    assert (embedding.adjustment.grad[1:].abs().sum(dim=1) > 0).all()
    torch.testing.assert_close(embedding.full(), embedding.base)


def test_learning_rate_rises_and_reaches_zero():
    factors = [pretrain.learning_rate_factor(p) for p in np.linspace(0, 1, 101)]
    assert factors[0] < 0.01
    assert max(factors) == pytest.approx(1, abs=0.01)
    assert factors[-1] == pytest.approx(0, abs=1e-9)
    assert pretrain.learning_rate_factor(1.2) == pytest.approx(0, abs=1e-9)


# ---------------------------------------------------------------- retomada


TRAINING_SCRIPT = """
import os, signal, sys
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
import pretrain_gpt2_mini as pretrain
torch.set_num_threads(1)
torch.compile = lambda function, **options: function
pretrain.SHORT_ROWS, pretrain.PADDED_ROWS, pretrain.LONG_ROWS = 4, 2, 2
pretrain.FREQUENT_TOKENS, pretrain.SAMPLED_TOKENS = 250, 200
rng = np.random.default_rng(0)
corpora = {
    name: [np.append(rng.integers(0, 300, 60), 50256).astype(np.uint16) for _ in range(40)]
    for name in pretrain.PADDED_SHARES
}
tokens = {"treino": corpora, "validacao": {"abc": corpora["abc"]}}
vectors = torch.randn(50257, 384, generator=torch.Generator().manual_seed(0))
trainer = pretrain.Trainer(tokens, vectors, 1e-3, 5)
trainer.validation = trainer.validation[:2]
die_at = int(sys.argv[3])
step = trainer.train_step
def train_step(*arguments):
    if trainer.step == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)
trainer.train_step = train_step
pretrain.fit(trainer, sys.argv[2], minutes=1, steps=10, log_every=5, save_minutes=1e-9)
print("soma", float(trainer.export_model().trf_blocks[3].att.W_key.weight.double().abs().sum()))
"""


def train_in_another_process(folder, die_at):
    return subprocess.run(
        [sys.executable, "-c", TRAINING_SCRIPT, str(ROOT / "scripts"), str(folder), str(die_at)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.lento
def test_training_killed_and_resumed_gives_the_same_weights(tmp_path):
    whole = train_in_another_process(tmp_path / "inteiro", -1)
    killed = train_in_another_process(tmp_path / "morto", 7)
    assert killed.returncode == -signal.SIGKILL
    resumed = train_in_another_process(tmp_path / "morto", -1)
    assert "Retomando do passo 7" in resumed.stdout
    sums = [float(run.stdout.split("soma")[1]) for run in (whole, resumed)]
    assert sums[0] == pytest.approx(sums[1], rel=1e-6)


def test_interrupted_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "ponto.pt"
    pretrain.save_atomic({"passo": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        pretrain.save_atomic({"passo": lambda: None}, path)
    assert torch.load(path) == {"passo": 1}


# ---------------------------------------------------------------- medidas


def test_bigram_probabilities_sum_to_one(monkeypatch):
    monkeypatch.setattr(evaluation, "END_OF_TEXT", 9)
    rng = np.random.default_rng(0)
    bigram = evaluation.KneserNeyBigram([np.append(rng.integers(0, 8, 30), 9) for _ in range(5)], 10)
    for previous in (3, 8):  # 8 nunca apareceu no treino
        first = bigram.loss([[previous]])
        probabilities = [math.exp(first - 2 * bigram.loss([[previous, word]])) for word in range(10)]
        assert sum(probabilities) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("reading", sms.READINGS)
def test_cached_activations_give_the_model_itself(reading):
    model = sms.random_model(0)
    texts = ["Free entry! Call 0800 now", "ok", "See you at home tonight then"]
    messages = sms.encode_messages(texts, [1, 0, 0], get_tokenizer())
    torch.manual_seed(1)
    classifier = sms.Classifier(model, 5, reading)
    with torch.no_grad():
        activations = sms.frozen_activations(model, messages.ids, 5)
        cached = classifier(activations, messages.last)
        hidden = model.trf_blocks(model.tok_emb(messages.ids) + model.pos_emb.weight[:120])
        position = messages.last if reading == sms.READINGS[1] else torch.full((3,), 119)
        direct = classifier.head(model.final_norm(hidden[torch.arange(3), position]))
    torch.testing.assert_close(cached, direct, rtol=1e-4, atol=1e-4)


def test_run_cache_computes_once(tmp_path):
    path = tmp_path / "sms.json"
    assert sms.RunCache(path).get("a", lambda: {"teste": 1}) == {"teste": 1}
    assert sms.RunCache(path).get("a", lambda: pytest.fail("calculou de novo")) == {"teste": 1}


def test_fill_card_needs_every_marker():
    text = "x <!-- início: a -->\nvelho\n<!-- fim: a --> y"
    assert evaluation.fill_card(text, {"a": "novo"}) == "x <!-- início: a -->\nnovo\n<!-- fim: a --> y"
    with pytest.raises(ValueError, match="'b'"):
        evaluation.fill_card(text, {"b": "novo"})


@pytest.mark.parametrize("script", ["corpus_gpt2_mini", "pretrain_gpt2_mini", "avaliar_gpt2_mini"])
def test_commands_have_help_and_refuse_a_missing_folder(script):
    path = ROOT / "scripts" / f"{script}.py"
    shown = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, check=True)
    assert "--corpus" in shown.stdout
    failed = subprocess.run(
        [sys.executable, path, "--corpus", "pasta-que-nao-existe"], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert "Traceback" not in failed.stderr


# ---------------------------------------------------------------- pesos distribuídos


def test_shipped_folder_is_small_and_complete():
    names = {path.name for path in ASSETS.iterdir()}
    assert {"model.safetensors", "config.json", "MODEL_CARD.md", "curva.csv", "curva.png", "avaliacao.json"} <= names
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 26_000_000


def test_shipped_text_names_no_folder_of_the_training_machine():
    for path in ASSETS.iterdir():
        if path.suffix in {".md", ".json", ".csv"}:
            text = path.read_text(encoding="utf-8")
            for folder in ("/work", "/root", "/home"):
                assert folder not in text


def test_transformers_loads_the_folder_and_agrees():
    from transformers import GPT2LMHeadModel

    reference, info = GPT2LMHeadModel.from_pretrained(ASSETS, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    model = evaluation.load_shipped_model(ASSETS)
    ids = torch.randint(50257, (2, 256), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (model(ids) - reference.eval()(ids).logits).abs().max()
    assert difference < 1e-4


def test_shipped_model_knows_english():
    model = evaluation.load_shipped_model(ASSETS)
    ids = torch.tensor([[END_OF_TEXT, *get_tokenizer().encode(PASSAGE)]])
    with torch.no_grad():
        loss = F.cross_entropy(model(ids)[0, :-1], ids[0, 1:])
        shuffled = ids[:, torch.randperm(ids.shape[1], generator=torch.Generator().manual_seed(0))]
        shuffled_loss = F.cross_entropy(model(shuffled)[0, :-1], shuffled[0, 1:])
    assert loss < 5
    assert shuffled_loss > loss + 1.5


def test_evaluation_shows_what_the_course_claims():
    measured = json.loads((ASSETS / "avaliacao.json").read_text(encoding="utf-8"))
    for row in measured["linguagem"]:
        assert row["gpt2_mini"] < row["bigrama"] < row["sem_treino"]
    last_position = {
        row["pesos"]: row["medidas"]["teste"]["media"]
        for row in measured["sms"]["experimentos"]
        if row["treinado"] == "fim do modelo" and row["leitura"] == sms.READINGS[0]
    }
    assert last_position["pré-treinados"] > last_position["sorteados"] + 2


def test_model_card_numbers_come_from_the_measurements():
    measured = json.loads((ASSETS / "avaliacao.json").read_text(encoding="utf-8"))
    training = json.loads((ASSETS / "treinamento.json").read_text(encoding="utf-8"))
    card = (ASSETS / "MODEL_CARD.md").read_text(encoding="utf-8")
    blocks = evaluation.card_blocks(measured, training, load_manifest(), (ASSETS / "model.safetensors").stat().st_size)
    assert evaluation.fill_card(card, blocks) == card


def test_loss_curve_goes_down_to_the_end():
    with (ASSETS / "curva.csv").open(encoding="utf-8") as file:
        losses = [float(row["perda_validacao"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0] - 1.5
    assert losses[-1] <= min(losses) + 0.02

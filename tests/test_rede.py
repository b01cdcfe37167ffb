"""As fontes de verdade e os resultados impressos na aula, com o GPT-2 de verdade. Só com ``pytest -m rede``.

Baixa cerca de 800 MB e repete o ajuste fino da aula: numa CPU, perto de uma hora.
"""

import contextlib
import io
import re

import pytest
from rich.console import Console
from rich.table import Table

from llmdefinitions import (
    MODEL_CONFIGS,
    download_and_load_gpt2,
    features,
    find_sms_spam,
    get_tokenizer,
    model_config,
    sources,
)
from llmdefinitions.datasets import load_emotion
from llmdefinitions.progress import decimal
from llmdefinitions.tokenizer import VOCABULARY_URL
from llmdefinitions.weights import read_settings, size_of

from .test_lecture import CELLS

pytestmark = [pytest.mark.rede, pytest.mark.enable_socket]


@pytest.fixture(autouse=True)
def _from_the_internet(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "internet")
    for module in (sources, features):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")


def test_sms_messages():
    source = find_sms_spam()
    assert source.tier == "internet"
    assert sources.sha256_of(source.path) == sources.UCI_SHA256


def test_emotion():
    emotions, _ = load_emotion()
    assert {part: len(rows) for part, rows in emotions.items()} == {"train": 16000, "validation": 2000, "test": 2000}
    assert emotions["train"].features["label"].names == ["sadness", "joy", "love", "anger", "fear", "surprise"]


def test_encoder():
    tokenizer, model, origin = features.load_encoder()
    assert origin.startswith("distilbert-base-uncased")
    assert tokenizer.vocab_size == 30522
    assert features.extract_features(["i feel happy"], tokenizer, model).shape == (1, 768)


@pytest.mark.parametrize("name", sources.EMBEDDED_VOCABULARY)
def test_vocabulary_is_the_embedded_one(name, tmp_path):
    from tiktoken.load import read_file

    path = tmp_path / name
    path.write_bytes(read_file(VOCABULARY_URL + name))
    assert sources.sha256_of(path) == sources.EMBEDDED_VOCABULARY[name].sha256


@pytest.mark.parametrize("choose_model", [name for name in MODEL_CONFIGS if size_of(name) in sources.GPT2_REPOSITORIES])
def test_published_sizes_are_ours(choose_model, tmp_path):
    folder = sources.fetch_hub_files(sources.GPT2_REPOSITORIES[size_of(choose_model)], ["config.json"], tmp_path)
    assert read_settings(folder / "config.json", model_config(choose_model))


def run_lecture(folder, monkeypatch):
    """Roda as células da aula com o GPT-2 de 124M; devolve as variáveis e o que foi impresso."""
    monkeypatch.chdir(folder)
    get_tokenizer()  # põe os arquivos do vocabulário onde o tiktoken da aula os encontra
    names = {
        "CHOOSE_MODEL": "gpt2-small (124M)",
        "MAX_LENGTH": None,
        "NUM_EPOCHS": 5,
        "download_and_load_gpt2": download_and_load_gpt2,
    }
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for cell in CELLS:
            exec(compile(cell, cell.strip()[:60], "exec"), names)  # noqa: S102 — as células de test_lecture.py
    return names, printed.getvalue()


def compare(names, printed):
    """Lista ``(medida, valor da aula, valor daqui, tolerância)``.

    Outro processador arredonda de outro modo: antes do treinamento isso muda poucos milésimos (duas mensagens das 80,
    se caírem na fronteira); depois de 650 passos, alguns décimos de ponto.
    """
    logits = names["outputs"][0, -1].tolist()
    before = [float(value) for value in re.findall(r"^\w+ accuracy: ([\d.]+)%$", printed, re.MULTILINE)]
    after = [100 * names[f"{part}_accuracy"] for part in ("train", "val", "test")]
    parts = ("treino", "validação", "teste")
    return [
        ("logit de “não spam”", -3.5983, logits[0], 0.01),
        ("logit de “spam”", 3.9902, logits[1], 0.01),
        *zip((f"acurácia antes, {part} (%)" for part in parts), (46.25, 45.0, 48.75), before, (2.5,) * 3, strict=True),
        ("perda antes, treino", 2.453, names["train_loss"], 0.02),
        ("perda antes, validação", 2.583, names["val_loss"], 0.02),
        ("perda antes, teste", 2.322, names["test_loss"], 0.02),
        ("perda no passo 0, treino", 2.153, names["train_losses"][0], 0.02),
        ("perda no passo 0, validação", 2.392, names["val_losses"][0], 0.02),
        *zip((f"acurácia depois, {part} (%)" for part in parts), (97.21, 97.32, 95.67), after, (2.0,) * 3, strict=True),
    ]


def show(rows):
    table = Table("medida", "aula", "aqui", "tolerância", "", title="aula × aqui")
    for name, lecture, here, tolerance in rows:
        mark = "ok" if abs(here - lecture) <= tolerance else "FORA"
        table.add_row(name, decimal(lecture, 4), decimal(here, 4), f"± {decimal(tolerance, 2)}", mark)
    Console().print(table)


def test_the_lectures_results_with_the_real_gpt2(tmp_path, monkeypatch, capsys):
    names, printed = run_lecture(tmp_path, monkeypatch)
    rows = compare(names, printed)
    with capsys.disabled():
        show(rows)
    assert "Every effort moves you forward.\n\nThe first step is to understand the importance of your work\n" in printed
    assert (
        "Answer with 'yes' or 'no'. Answer with 'yes' or 'no'. Answer with 'yes' or 'no'. Answer with 'yes'\n"
        in printed
    )
    assert printed.endswith("\nspam\nnot spam\n")
    assert not [name for name, lecture, here, tolerance in rows if abs(here - lecture) > tolerance]

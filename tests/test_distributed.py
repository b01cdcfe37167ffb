"""O treino com vários processos: dois processos de verdade (gloo, na CPU) dão o resultado de um."""

import json
import os
import subprocess
import sys

import pytest
import torch

from .conftest import ROOT

SCRIPT = ROOT / "exemplos" / "treino_distribuido.py"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--nproc_per_node=2")

pytestmark = pytest.mark.lento


def run(*options, processes=1):
    launcher = TORCHRUN if processes == 2 else ()
    return subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), "--cpu", *map(str, options)],
        cwd=ROOT,
        # Sem as instruções de bfloat16, o modo rápido escolhe sempre float32: a escolha vem de uma medida, que oscila.
        env=os.environ | {"OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=600,
    )


def train(folder, *options, processes=1):
    process = run("--epocas", 1, "--pasta", folder, *options, processes=processes)
    assert process.returncode == 0, process.stderr
    return json.loads((folder / "treino.json").read_text(encoding="utf-8")), process.stdout


def measured_losses(report):
    return [measure[name] for measure in report["medidas"] for name in ("perda_treino", "perda_validacao")]


def assert_same_training(one, two):
    """As perdas diferem no máximo 1e-5 do seu valor; com outra semente num dos processos, nenhuma das 112 confere."""
    assert (one["processos"], two["processos"]) == (1, 2)
    assert len(one["perdas_por_passo"]) == 112
    assert two["perdas_por_passo"] == pytest.approx(one["perdas_por_passo"], rel=1e-5, abs=1e-6)
    assert measured_losses(two) == pytest.approx(measured_losses(one), rel=1e-5, abs=1e-6)
    assert two["previsoes_no_teste"] == one["previsoes_no_teste"]
    assert len(two["previsoes_no_teste"]) == 258


@pytest.fixture(scope="module")
def exact_runs(tmp_path_factory):
    folders = tmp_path_factory.mktemp("um"), tmp_path_factory.mktemp("dois")
    return folders, [train(folder, processes=number) for number, folder in enumerate(folders, start=1)]


def test_two_processes_train_like_one(exact_runs):
    _, ((one, _), (two, _)) = exact_runs
    assert_same_training(one, two)


def test_two_processes_save_the_weights_of_one(exact_runs):
    from llmdefinitions import load_classifier

    folders, _ = exact_runs
    one, two = (load_classifier(folder / "classificador.pth")[0].state_dict() for folder in folders)
    for name, weight in one.items():
        # O viés das chaves não muda a atenção: seu gradiente é puro arredondamento, que o AdamW amplia.
        if not name.endswith("W_key.bias"):
            torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-4, msg=name)


def test_one_process_trains_like_the_lecture(exact_runs, tmp_path, embedded_df, tokenizer):
    """Que um e dois processos concordem não basta: os lotes têm de ser os de ``train_classifier_simple``."""
    from llmdefinitions import (
        SpamDataset,
        create_balanced_dataset,
        create_data_loaders,
        map_labels,
        prepare_for_classification,
        random_split,
    )
    from llmdefinitions.frozen import train_classifier_frozen
    from llmdefinitions.weights import build_model

    datasets = []
    for number, part in enumerate(random_split(map_labels(create_balanced_dataset(embedded_df)), 0.7, 0.1)):
        part.to_csv(tmp_path / f"{number}.csv", index=None)
        datasets.append(SpamDataset(tmp_path / f"{number}.csv", tokenizer, 120))
    train_loader, val_loader, _ = create_data_loaders(*datasets)
    model = prepare_for_classification(build_model()[0])
    torch.manual_seed(123)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=3e-4, weight_decay=0.1)
    train_losses, val_losses, *_ = train_classifier_frozen(
        model, train_loader, val_loader, optimizer, "cpu", num_epochs=1, eval_freq=50, eval_iter=5
    )
    _, ((one, _), _) = exact_runs
    lecture = [loss for pair in zip(train_losses, val_losses, strict=True) for loss in pair]
    assert measured_losses(one) == pytest.approx(lecture, rel=1e-4)


def test_two_processes_speak_with_one_voice(exact_runs):
    _, ((_, one), (_, two)) = exact_runs
    for sentence in ("Processos: ", "passo 000050", "Acurácia no teste", "Pronto: treino.json"):
        assert one.count(sentence) == two.count(sentence) == 1
    assert "Processos: 2 (cpu)" in two


def test_two_processes_in_fast_mode(tmp_path):
    (one, _), (two, _) = (
        train(tmp_path / str(number), "--rapido", "--ativacoes", tmp_path / "ativacoes", processes=number)
        for number in (1, 2)
    )
    assert_same_training(one, two)


def test_existing_results_are_kept(tmp_path):
    (tmp_path / "treino.json").write_text("meu", encoding="utf-8")
    process = run("--pasta", tmp_path, processes=2)
    assert process.returncode != 0
    assert process.stderr.count("já tem resultados; escolha outra --pasta ou use --substituir.") == 1
    assert (tmp_path / "treino.json").read_text(encoding="utf-8") == "meu"


def test_help_and_errors_are_in_portuguese():
    assert "Uso: treino_distribuido.py [OPÇÕES]" in run("--help").stdout
    process = run("--epocas", "zero")
    assert (process.returncode, process.stderr.count("Erro: O valor dado a --epocas não serve")) == (2, 1)

"""Ajusta o classificador com vários processos (várias GPUs, várias máquinas) e chega ao resultado de um só.

Os três comandos fazem a mesma conta::

    python exemplos/treino_distribuido.py
    torchrun --nproc_per_node=2 exemplos/treino_distribuido.py
    accelerate launch --num_processes 2 exemplos/treino_distribuido.py

Em duas máquinas de quatro GPUs, em cada uma delas (``--node_rank`` é 0 na primeira e 1 na segunda)::

    torchrun --nnodes=2 --node_rank=0 --nproc_per_node=4 --master_addr=ENDEREÇO_DA_PRIMEIRA --master_port=29500 \
        exemplos/treino_distribuido.py --modelo "gpt2-xl (1558M)"

**Por que o resultado é o mesmo.** A perda de um lote é a média das perdas de suas mensagens. Cada processo recebe
uma fatia igual do lote da aula, e a média dos gradientes das fatias é o gradiente do lote inteiro: é o que o
``DistributedDataParallel`` calcula depois de cada ``backward``. Os processos sorteiam os lotes com a mesma semente e só
então ficam com a sua fatia; por isso os carregadores não passam por ``accelerator.prepare``, que trocaria o
sorteio da aula por outro. Só muda a ordem das somas, e com ela os últimos algarismos.

**Onde ficam as ativações congeladas** (veja ``llmdefinitions.frozen``). Os lotes são sorteados: todo processo precisa
de todas as mensagens. Em cada máquina um processo as calcula numa pasta e os demais leem o arquivo pronto, uma cópia só
na memória para todos. As máquinas não precisam de disco em comum nem trocam ativações pela rede; o preço é que as
outras GPUs esperam por essa única passagem, que as épocas e os experimentos seguintes não repetem.
"""

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.data_loader import BatchSamplerShard
from accelerate.utils import broadcast_object_list, gather_object
from torch.utils.data import DataLoader, Subset

from llmdefinitions.classifier import prepare_for_classification, save_classifier
from llmdefinitions.command import PortugueseCommand, run_command, training_options
from llmdefinitions.config import DEFAULT_MODEL, LECTURE_LEARNING_RATE, MINI_LEARNING_RATES
from llmdefinitions.datasets import (
    SpamDataset,
    clean_spam_data,
    create_balanced_dataset,
    create_data_loaders,
    load_spam_data,
    map_labels,
    random_split,
)
from llmdefinitions.evaluation import predict_loader
from llmdefinitions.frozen import ActivationCache, fast_dtype, prepare_frozen
from llmdefinitions.progress import decimal, percent
from llmdefinitions.sources import find_sms_spam, write_whole
from llmdefinitions.tokenizer import get_tokenizer
from llmdefinitions.training import calc_accuracy_loader, calc_loss_batch, evaluate_model
from llmdefinitions.weights import build_model

BATCH_SIZE = 8
"""Mensagens por passo, somados todos os processos: as da aula."""

MAX_LENGTH = 120
EVAL_FREQ, EVAL_ITER = 50, 5
RESULT_FILES = ("treino.json", "classificador.pth")

PATIENCE = timedelta(hours=12)
"""Quanto um processo espera por outro: num modelo grande, as ativações demoram mais que os minutos do padrão."""


def create_loaders(seed):
    """Prepara as mensagens como na aula; devolve a descrição da fonte e os carregadores dos lotes inteiros."""
    source = find_sms_spam()
    messages = map_labels(create_balanced_dataset(clean_spam_data(load_spam_data(source.path))))
    datasets = []
    with TemporaryDirectory() as folder:
        for number, part in enumerate(random_split(messages, 0.7, 0.1)):
            path = Path(folder) / f"{number}.csv"
            part.to_csv(path, index=None)
            datasets.append(SpamDataset(path, get_tokenizer(), MAX_LENGTH))
    return source.description, create_data_loaders(*datasets, batch_size=BATCH_SIZE, seed=seed)


def take_share(loader, accelerator):
    """Devolve um carregador dos mesmos lotes, na mesma ordem, só com a fatia deste processo."""
    share = BatchSamplerShard(
        loader.batch_sampler,
        num_processes=accelerator.num_processes,
        process_index=accelerator.process_index,
        split_batches=True,
    )
    return DataLoader(loader.dataset, batch_sampler=share, collate_fn=loader.collate_fn)


def mean_over_processes(values, accelerator):
    """Devolve, em todos os processos, a média de cada número: fatias iguais, logo a média do lote inteiro."""
    return accelerator.reduce(torch.tensor(values, device=accelerator.device), "mean").tolist()


def train(accelerator, tail, optimizer, train_loader, val_loader, num_epochs):
    """Treina como ``train_classifier_simple``, cada processo com sua fatia de cada lote.

    Os sorteios acontecem nos mesmos momentos que lá, inclusive os das medidas: os lotes são os da aula.

    Returns:
        ``(step_losses, measures)``: a perda de cada passo e a lista das medidas, já médias de todos os processos.
    """
    device = accelerator.device
    tail_in_sync, optimizer = accelerator.prepare(tail, optimizer)
    train_share, val_share = (take_share(loader, accelerator) for loader in (train_loader, val_loader))
    eval_iter = min(EVAL_ITER, len(val_loader.dataset) // BATCH_SIZE)  # um lote incompleto não tem fatias iguais

    step_losses, measures = [], []
    for epoch in range(1, num_epochs + 1):
        tail_in_sync.train()
        for input_batch, target_batch in train_share:
            optimizer.zero_grad()
            loss = calc_loss_batch(input_batch, target_batch, tail_in_sync, device)
            accelerator.backward(loss)  # aqui os gradientes dos processos viram um só, a média
            optimizer.step()
            step_losses.append(loss.item())

            step = len(step_losses) - 1
            if step % EVAL_FREQ == 0:
                losses = evaluate_model(tail, train_share, val_share, device, eval_iter)
                train_loss, val_loss = mean_over_processes(losses, accelerator)
                measures.append({"passo": step, "perda_treino": train_loss, "perda_validacao": val_loss})
                accelerator.print(
                    f"Época {epoch} (passo {step:06d}): "
                    f"perda no treino {decimal(train_loss)} | na validação {decimal(val_loss)}"
                )
        accuracies = [calc_accuracy_loader(share, tail, device, eval_iter) for share in (train_share, val_share)]
        train_accuracy, val_accuracy = mean_over_processes(accuracies, accelerator)
        accelerator.print(f"Acurácia no treino {percent(train_accuracy)} | na validação {percent(val_accuracy)}")
    return mean_over_processes(step_losses, accelerator), measures


def predict(accelerator, tail, loader):
    """Reparte as mensagens entre os processos; devolve a todos as classes previstas, na ordem do carregador."""
    with accelerator.split_between_processes(list(range(len(loader.dataset)))) as mine:
        share = DataLoader(Subset(loader.dataset, mine), batch_size=BATCH_SIZE, collate_fn=loader.collate_fn)
        return gather_object(predict_loader(share, tail, accelerator.device))


def check_launch(folder, replace):
    """Recusa, antes de qualquer conta, uma pasta com resultados e um número de processos que não divide o lote."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if BATCH_SIZE % processes:
        raise click.ClickException(
            f"Um lote de {BATCH_SIZE} mensagens não se reparte por igual entre {processes} processos; use 1, 2, 4 ou 8."
        )
    if not replace and any((folder / name).exists() for name in RESULT_FILES):
        raise click.ClickException(f"{folder} já tem resultados; escolha outra --pasta ou use --substituir.")


def agree_on_dtype(accelerator):
    """Devolve a precisão do modo rápido medida pelo primeiro processo: outra em cada um misturaria os resultados."""
    return broadcast_object_list([fast_dtype(accelerator.device)])[0]


@click.command(
    "treino_distribuido.py",
    cls=PortugueseCommand,
    help="Ajusta um GPT-2 para reconhecer spam com quantos processos o torchrun ou o accelerate launch iniciarem, e o "
    "resultado é o de um só. Usa as GPUs NVIDIA, uma por processo; sem elas, a CPU.",
)
@training_options
@click.option("--rapido", is_flag=True, help="Lê o último token de cada mensagem e não calcula o preenchimento.")
@click.option("--cpu", is_flag=True, help="Calcula na CPU, mesmo havendo GPU.")
@click.option(
    "--pasta",
    default="resultados/distribuido",
    metavar="PASTA",
    help="Onde gravar treino.json e classificador.pth.  [padrão: resultados/distribuido]",
)
@click.option("--substituir", is_flag=True, help="Substitui os resultados que já estejam na pasta.")
@click.option(
    "--ativacoes",
    metavar="PASTA",
    help="Onde guardar as ativações, em cada máquina; sem isto, em ativacoes, dentro de --pasta.",
)
def main(modelo, epocas, taxa, semente, sem_pretreino, rapido, cpu, pasta, substituir, ativacoes):
    folder = Path(pasta)
    if os.environ.get("RANK", "0") == "0":  # os outros esperam por este em Accelerator(): a frase sai uma vez só
        check_launch(folder, substituir)
    accelerator = Accelerator(
        cpu=cpu or not torch.cuda.is_available(),
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    if taxa is None and modelo == DEFAULT_MODEL:
        taxa = MINI_LEARNING_RATES["random" if sem_pretreino else "pretrained"]
    dtype = agree_on_dtype(accelerator) if rapido else None

    start = time.perf_counter()
    with accelerator.local_main_process_first():  # o primeiro de cada máquina baixa e calcula; os outros encontram
        data, (train_loader, val_loader, test_loader) = create_loaders(semente)
        model, weights = build_model(modelo, semente, pretrained=not sem_pretreino)
        prepare_for_classification(model, seed=semente).to(accelerator.device)
        tail, train_loader, val_loader, test_loader = prepare_frozen(
            model,
            train_loader,
            val_loader,
            test_loader,
            device=accelerator.device,
            fast=rapido,
            cache=ActivationCache(ativacoes or folder / "ativacoes"),
            dtype=dtype,
        )
    prepared = time.perf_counter()
    accelerator.print(f"Dados: {data}")
    accelerator.print(f"Modelo: {modelo}, {weights}")
    accelerator.print(f"Processos: {accelerator.num_processes} ({accelerator.device.type})")

    optimizer = torch.optim.AdamW(
        (parameter for parameter in tail.parameters() if parameter.requires_grad),
        lr=taxa or LECTURE_LEARNING_RATE,
        weight_decay=0.1,
    )
    torch.manual_seed(semente)
    step_losses, measures = train(accelerator, tail, optimizer, train_loader, val_loader, epocas)
    trained = time.perf_counter()
    predictions = predict(accelerator, tail, test_loader)
    labels = test_loader.dataset.labels.tolist()
    accuracy = sum(map(int.__eq__, predictions, labels)) / len(labels)
    seconds = {"preparo": prepared - start, "treinamento": trained - prepared}
    accelerator.print(f"Acurácia no teste: {percent(accuracy)}")
    accelerator.print("Segundos: " + ", ".join(f"{name} {decimal(value, 1)}" for name, value in seconds.items()))

    if accelerator.is_main_process:
        report = {
            "processos": accelerator.num_processes,
            "dispositivo": accelerator.device.type,
            "modelo": modelo,
            "pesos": weights,
            "dados": data,
            "modo": "rápido" if rapido else "exato",
            "epocas": epocas,
            "taxa_de_aprendizado": taxa or LECTURE_LEARNING_RATE,
            "semente": semente,
            "perdas_por_passo": step_losses,
            "medidas": measures,
            "previsoes_no_teste": predictions,
            "acuracia_no_teste": accuracy,
            "segundos": {name: round(value, 2) for name, value in seconds.items()},
        }
        folder.mkdir(parents=True, exist_ok=True)
        save_classifier(folder / "classificador.pth", model, MAX_LENGTH, overwrite=substituir)
        text = json.dumps(report, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        write_whole(folder / "treino.json", lambda partial: Path(partial).write_text(text, encoding="utf-8"))
        print(f"Pronto: {' e '.join(RESULT_FILES)} em {folder}")
        if rapido:
            print("Este classificador lê o último token: em classify_review, use max_length=None.")
    accelerator.end_training()


if __name__ == "__main__":
    sys.exit(run_command(main))

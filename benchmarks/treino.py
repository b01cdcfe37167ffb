"""Mede o ajuste fino da aula de ponta a ponta, ao lado do código que uma pessoa usaria no lugar deste curso.

O trabalho é o da aula com o GPT-2 small (124M) e as mensagens da fonte em uso (para a coleção inteira,
``LLMDEFINITIONS_FONTE=local LLMDEFINITIONS_DADOS=pasta``): último bloco, norma final e cabeça treinados por cinco
épocas em lotes de 8; perdas medidas a cada 50 passos e acurácias a cada época, em 5 lotes de cada parte; no fim, a
acurácia em todas as mensagens das três partes. Os pesos são sorteados: o tempo não depende deles.

- ``exato`` e ``rápido``: ``llmdefinitions.frozen``, as cinco épocas inteiras, e um segundo experimento (outra semente
  e outra taxa) com as mesmas ativações;
- ``llms-from-scratch``: o código do livro, mensagens preenchidas até a mais longa;
- ``transformers``: ``GPT2ForSequenceClassification`` com ``Trainer``, as mesmas camadas treinadas, cada lote preenchido
  até sua mensagem mais longa, que é o que ele faz por padrão.

Dos dois últimos mede-se uma parte (``--passos``) e multiplica-se pelo número de passos e de lotes avaliados. Cada modo
roda num processo novo; os vizinhos são medidos antes e depois dos nossos, para que se veja se a máquina mudou.

Uso: ``python benchmarks/treino.py``. Imprime as tabelas e grava ``resultados/benchmarks/treino.json``.
"""

import csv
import io
import statistics
import tempfile
import time
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path

import click
from measuring import Stages, decimal, in_new_process, matrix_product_gflops, spread, write_report
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

MODEL = "gpt2-small (124M)"
EPOCHS, BATCH_SIZE, EVAL_FREQ, EVAL_ITER = 5, 8, 50, 5
RATE, OTHER_RATE = 5e-5, 1e-4
TIMED_STEPS, PROFILED_MESSAGES = 30, 64
COURSE_WAYS = ("exato", "rápido")
PEERS = ("llms-from-scratch", "transformers")
SECOND = "2º: "
OPERATIONS = {
    "atenção": ("scaled_dot_product",),
    "produtos de matrizes": ("addmm", "mm", "bmm", "linear"),
    "normas e GELU": ("layer_norm", "gelu"),
    "cópias e conversões": ("copy", "cat", "index", "fill", "clone"),
}


# --- o trabalho


def prepare_loaders():
    """Prepara as mensagens como na aula; devolve a descrição da fonte e os três carregadores."""
    from llmdefinitions import (
        SpamDataset,
        create_balanced_dataset,
        create_data_loaders,
        find_sms_spam,
        get_tokenizer,
        load_spam_data,
        map_labels,
        random_split,
    )

    source = find_sms_spam()
    messages = load_spam_data(source.path, quoting=csv.QUOTE_MINIMAL)
    datasets = []
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(random_split(map_labels(create_balanced_dataset(messages)), 0.7, 0.1)):
            path = Path(folder) / f"{number}.csv"
            part.to_csv(path, index=None)
            max_length = datasets[0].max_length if datasets else None
            datasets.append(SpamDataset(path, get_tokenizer(), max_length))
    return source.description, create_data_loaders(*datasets, batch_size=BATCH_SIZE)


def evaluation_batches(loaders):
    """Conta quantos lotes são avaliados ao todo: perdas, acurácias de cada época e as do fim."""
    steps = EPOCHS * len(loaders[0])
    return 2 * EVAL_ITER * (-(-steps // EVAL_FREQ) + EPOCHS) + sum(map(len, loaders))


def build_classifier(seed):
    """Monta o classificador: pesos sorteados sempre iguais, cabeça sorteada por ``seed``."""
    import torch

    from llmdefinitions import GPTModel, model_config, prepare_for_classification

    torch.manual_seed(0)
    return prepare_for_classification(GPTModel(model_config(MODEL)), seed=seed)


def trained_optimizer(model, rate):
    """Cria o AdamW da aula, só com o que treina."""
    import torch

    return torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=rate, weight_decay=0.1)


# --- os modos


def quietly(function, *args):
    """Executa uma função sem o andamento que ela imprime."""
    with redirect_stdout(io.StringIO()):
        return function(*args)


def measure_course(fast):
    """Roda o trabalho inteiro com ``llmdefinitions.frozen``, duas vezes com as mesmas ativações."""
    from llmdefinitions import ActivationCache, calc_accuracy_loader, prepare_frozen, train_classifier_simple
    from llmdefinitions.frozen import FrozenPrefix

    product = matrix_product_gflops()
    description, loaders = prepare_loaders()
    cache, stage = ActivationCache(), Stages()
    for title, seed, rate in (("", 123, RATE), (SECOND, 7, OTHER_RATE)):
        model = build_classifier(seed)
        with stage(f"{title}ativações"):
            tail, *frozen = prepare_frozen(model, *loaders, device="cpu", fast=fast, cache=cache)
        with stage(f"{title}treino"):
            optimizer = trained_optimizer(model, rate)
            train_classifier_simple(tail, *frozen[:2], optimizer, "cpu", EPOCHS, EVAL_FREQ, EVAL_ITER)
        with stage(f"{title}avaliação"):
            for loader in frozen:
                calc_accuracy_loader(loader, tail, "cpu")
    again = matrix_product_gflops()
    dataset, prefix = loaders[0].dataset, FrozenPrefix(model)
    return {
        "fonte": description,
        "etapas": stage.measures,
        "segundos": sum(stage.measures[name]["segundos"] for name in ("ativações", "treino", "avaliação")),
        "segundos_do_segundo": sum(m["segundos"] for name, m in stage.measures.items() if name.startswith(SECOND)),
        "produto_de_matrizes_gflops": {name: max(product[name], again[name]) for name in product},
        "trabalho": count_work(loaders, frozen, fast),
        "perfil_das_ativacoes": profile(lambda: run_prefix(prefix, dataset, range(PROFILED_MESSAGES), fast)),
        "passo": time_steps(tail, frozen[0], optimizer),
        "por_comprimento": time_by_length(prefix, dataset, fast),
    }


def measure_book(steps):
    """Mede passos e avaliações do código do livro; devolve segundos por passo e por lote avaliado."""
    import torch
    from llms_from_scratch.ch06 import calc_loss_batch, calc_loss_loader

    description, loaders = prepare_loaders()
    model = book_classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    batches = [batch for batch, _ in zip(loaders[0], range(steps + 1), strict=False)]
    per_step = []
    for input_batch, target_batch in batches:
        start = time.perf_counter()
        optimizer.zero_grad()
        calc_loss_batch(input_batch, target_batch, model, "cpu").backward()
        optimizer.step()
        per_step.append(time.perf_counter() - start)
    model.eval()
    start = time.perf_counter()
    with torch.no_grad():
        calc_loss_loader(batches, model, "cpu")
    per_evaluation = (time.perf_counter() - start) / len(batches)
    return extrapolate(description, loaders, per_step[1:], per_evaluation)


def book_classifier():
    """Monta o modelo do livro com a cabeça e o congelamento da aula."""
    import torch
    from llms_from_scratch.ch04 import GPTModel

    from llmdefinitions import model_config

    torch.manual_seed(0)
    model = GPTModel(model_config(MODEL))
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.out_head = torch.nn.Linear(768, 2)
    for module in (model.trf_blocks[-1], model.final_norm):
        for parameter in module.parameters():
            parameter.requires_grad = True
    return model


def measure_transformers(steps):
    """Mede passos e avaliações do ``Trainer``; devolve segundos por passo e por lote avaliado."""
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

    from llmdefinitions import END_OF_TEXT

    starts = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            starts.append(time.perf_counter())

    description, loaders = prepare_loaders()
    torch.manual_seed(0)
    model = GPT2ForSequenceClassification(GPT2Config(pad_token_id=END_OF_TEXT, num_labels=2))
    for parameter in model.parameters():
        parameter.requires_grad = False
    for module in (model.transformer.h[-1], model.transformer.ln_f, model.score):
        for parameter in module.parameters():
            parameter.requires_grad = True
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=steps + 2,
            per_device_train_batch_size=BATCH_SIZE,
            per_device_eval_batch_size=BATCH_SIZE,
            learning_rate=RATE,
            weight_decay=0.1,
            seed=123,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        dataset = unpadded(loaders[0].dataset)
        trainer = Trainer(model, arguments, train_dataset=dataset, data_collator=pad_to_longest, callbacks=[Clock()])
        trainer.train()
        some = dataset[: steps * BATCH_SIZE]
        start = time.perf_counter()
        trainer.predict(some)
        per_evaluation = (time.perf_counter() - start) / -(-len(some) // BATCH_SIZE)
    # Do começo de um passo ao do seguinte: conta também a montagem do lote, como nos outros modos.
    per_step = [after - before for before, after in pairwise(starts[1:])]
    return extrapolate(description, loaders, per_step, per_evaluation)


def unpadded(dataset):
    """Converte um ``SpamDataset`` para o que o ``Trainer`` espera, sem o preenchimento."""
    from llmdefinitions import get_tokenizer
    from llmdefinitions.datasets import encode_message

    tokenizer = get_tokenizer()
    return [
        {"input_ids": encode_message(text, tokenizer)[: dataset.max_length], "label": int(label)}
        for text, label in zip(dataset.data["Text"], dataset.data["Label"], strict=True)
    ]


def pad_to_longest(examples):
    """Monta um lote preenchido até a mensagem mais longa, como o ``DataCollatorWithPadding``."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from llmdefinitions import END_OF_TEXT

    ids = [torch.tensor(example["input_ids"]) for example in examples]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=END_OF_TEXT),
        "attention_mask": pad_sequence([torch.ones_like(message) for message in ids], batch_first=True),
        "labels": torch.tensor([example["label"] for example in examples]),
    }


def extrapolate(description, loaders, per_step, per_evaluation):
    """Calcula o trabalho inteiro de um vizinho a partir da parte medida."""
    import psutil

    steps, evaluations = EPOCHS * len(loaders[0]), evaluation_batches(loaders)
    return {
        "fonte": description,
        "passos_medidos": len(per_step),
        "fracao_medida": len(per_step) / steps,
        "segundos_por_passo": per_step,
        "segundos_por_lote_avaliado": per_evaluation,
        "segundos": statistics.mean(per_step) * steps + per_evaluation * evaluations,
        "pico_bytes": psutil.Process().memory_info().rss,
    }


# --- o que a conta exige e para onde vai o resto


def count_work(loaders, frozen, fast):
    """Conta posições e operações de cada etapa.

    Por posição, um bloco faz ``24 C²`` operações nas matrizes e, na atenção causal, ``4 C`` por posição vista; a última
    posição de ``block_at`` faz ``24 C²`` e mais ``4 H C`` por posição consultada. Para trás são duas vezes as de ida.

    Returns:
        Por etapa, ``posicoes`` (na da avaliação e na do treino, as consultadas) e ``operacoes``.
    """
    from llmdefinitions import MODEL_CONFIGS

    cfg = MODEL_CONFIGS[MODEL]
    width, heads, n_frozen = cfg["emb_dim"], cfg["n_heads"], cfg["n_layers"] - 1

    def prefix(lengths):
        return n_frozen * sum(24 * width**2 * t + 2 * width * t * (t + 1) for t in lengths)

    def tail(lengths):
        return sum(24 * width**2 + 4 * heads * width * t for t in lengths)

    lengths = [loader.dataset.lengths.tolist() for loader in frozen]
    everything = [t for part in lengths for t in part]
    mean_train = sum(lengths[0]) / len(lengths[0])
    seen_in_training = EPOCHS * len(loaders[0]) * BATCH_SIZE
    seen_in_evaluations = (evaluation_batches(loaders) - sum(map(len, loaders))) * BATCH_SIZE
    training = 3 * seen_in_training + seen_in_evaluations
    return {
        "ativações": {"posicoes": sum(everything), "operacoes": prefix(everything)},
        "treino": {
            "posicoes": round((seen_in_training + seen_in_evaluations) * mean_train),
            "operacoes": round(training * tail([mean_train])),
        },
        "avaliação": {"posicoes": sum(everything), "operacoes": tail(everything)},
        "tipo": "bfloat16" if fast and uses_bfloat16() else "float32",
    }


def uses_bfloat16():
    """Diz se o modo rápido usa ``bfloat16`` nesta máquina."""
    import torch

    from llmdefinitions.frozen import fast_dtype

    return fast_dtype(torch.device("cpu")) == torch.bfloat16


def run_prefix(prefix, dataset, rows, fast):
    """Calcula as ativações de algumas mensagens, fora de qualquer cache; devolve as posições calculadas."""
    import torch
    from torch.utils.data import Subset

    from llmdefinitions.frozen import ActivationCache, FrozenDataset, fast_dtype

    dtype = fast_dtype(torch.device("cpu")) if fast else None
    frozen = FrozenDataset(Subset(dataset, rows), prefix, "cpu", ActivationCache(), fast, dtype=dtype)
    return int(frozen.lengths.sum())


def profile(function):
    """Reparte o tempo de uma função entre tipos de operação, em frações do total, como o PyTorch o mede."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as torch_profile

    with torch_profile(activities=[ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        function()
        total = time.perf_counter() - start
    shares = dict.fromkeys(OPERATIONS, 0.0)
    for event in profiler.key_averages():
        kind = next((kind for kind, words in OPERATIONS.items() if any(word in event.key for word in words)), None)
        if kind:
            shares[kind] += event.self_cpu_time_total / 1e6 / total
    return shares | {"Python e o resto": 1 - sum(shares.values())}


def time_steps(tail, loader, optimizer):
    """Reparte o tempo de um passo de treino: segundos, em média, de cada parte."""
    from llmdefinitions import calc_loss_batch

    names = ("montar o lote", "ida", "volta", "otimizador")
    totals = dict.fromkeys(names, 0.0)
    batches = iter(loader)
    for _ in range(TIMED_STEPS):
        marks = [time.perf_counter()]
        activations, labels = next(batches)
        marks.append(time.perf_counter())
        optimizer.zero_grad()
        loss = calc_loss_batch(activations, labels, tail, "cpu")
        marks.append(time.perf_counter())
        loss.backward()
        marks.append(time.perf_counter())
        optimizer.step()
        marks.append(time.perf_counter())
        for name, before, after in zip(names, marks, marks[1:], strict=False):
            totals[name] += (after - before) / TIMED_STEPS
    return totals


def time_by_length(prefix, dataset, fast):
    """Mede a velocidade nas mensagens de cada quarto de comprimento, das curtas às longas.

    Returns:
        Lista de ``{"tokens_por_mensagem", "posicoes", "segundos"}``.
    """
    from llmdefinitions.config import END_OF_TEXT
    from llmdefinitions.frozen import read_messages, real_lengths

    lengths = real_lengths(read_messages(dataset)[0], END_OF_TEXT)
    groups = []
    for quarter in lengths.argsort().chunk(4):
        rows = quarter[:: 1 if fast else 8].tolist()
        start = time.perf_counter()
        positions = run_prefix(prefix, dataset, rows, fast)
        seconds = time.perf_counter() - start
        tokens = float(lengths[rows].float().mean())
        groups.append({"tokens_por_mensagem": tokens, "posicoes": positions, "segundos": seconds})
    return groups


# --- o relatório


def show_stages(results, console):
    """Imprime, por etapa dos nossos modos, tempo, velocidade, fração do produto de matrizes e memória."""
    table = Table(title="Nossas etapas")
    for name in ("modo", "etapa", "segundos", "posições/s", "GFLOP/s", "% do produto", "mínimo (s)", "pico (GB)"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("modo", "etapa") else "right")
    for way, runs in results.items():
        for run in runs if way in COURSE_WAYS else ():
            for name, measure in run["etapas"].items():
                table.add_row(way, name, *stage_cells(run, name, measure), decimal(measure["pico_bytes"] / 1e9))
    console.print(table)


def stage_cells(run, name, measure):
    """Escreve as medidas de uma etapa; onde as ativações já estavam prontas não há contas a contar."""
    seconds = measure["segundos"]
    work = run["trabalho"].get(name.removeprefix(SECOND))
    if name == f"{SECOND}ativações":
        return decimal(seconds, 1), "—", "—", "—", "—"
    gflops = run["produto_de_matrizes_gflops"][run["trabalho"]["tipo"] if "ativações" in name else "float32"]
    speed = work["operacoes"] / seconds / 1e9
    return (
        decimal(seconds, 1),
        decimal(work["posicoes"] / seconds, 0),
        decimal(speed, 0),
        decimal(100 * speed / gflops, 0),
        decimal(work["operacoes"] / gflops / 1e9, 1),
    )


def show_profile(results, console):
    """Imprime para onde vai o tempo: as ativações por operação, o passo por parte, a velocidade por comprimento."""
    for way in COURSE_WAYS:
        run = results[way][-1]
        shares = ", ".join(f"{name} {decimal(100 * share, 0)}%" for name, share in run["perfil_das_ativacoes"].items())
        parts = ", ".join(f"{name} {decimal(1000 * value, 1)} ms" for name, value in run["passo"].items())
        lengths = ", ".join(
            f"{decimal(group['tokens_por_mensagem'], 0)} tokens: {decimal(group['posicoes'] / group['segundos'], 0)}/s"
            for group in run["por_comprimento"]
        )
        console.print(
            f"[bold]{way}[/bold]\n  ativações: {shares}\n  um passo: {parts}\n  posições/s por quarto: {lengths}"
        )


def show_comparison(results, console):
    """Imprime o tempo de ponta a ponta de cada modo e quantas vezes ele é mais rápido que os vizinhos."""
    seconds = {way: [run["segundos"] for run in runs] for way, runs in results.items()}
    for way in COURSE_WAYS:
        seconds[f"{way}, 2º experimento"] = [run["segundos_do_segundo"] for run in results[way]]
    table = Table(title=f"Cinco épocas de {MODEL}, de ponta a ponta")
    table.add_column("modo", no_wrap=True)
    for name in ("segundos", *(f"× {peer}" for peer in PEERS)):
        table.add_column(name, justify="right")
    for way, values in seconds.items():
        ratios = (decimal(statistics.median(seconds[peer]) / statistics.median(values), 1) for peer in PEERS)
        table.add_row(way, spread(values, 1), *ratios)
    console.print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help", "--ajuda"]})
@click.option("--passos", default=15, show_default=True, type=click.IntRange(2), help="Passos medidos dos vizinhos.")
@click.option("--repeticoes", default=1, show_default=True, type=click.IntRange(1), help="Medidas dos nossos modos.")
def main(passos, repeticoes):
    """Mede o ajuste fino da aula, exato e rápido, ao lado de outras duas bibliotecas."""
    ways = {
        "exato": (measure_course, False),
        "rápido": (measure_course, True),
        "llms-from-scratch": (measure_book, passos),
        "transformers": (measure_transformers, passos),
    }
    results = {way: [] for way in ways}
    with Progress(transient=True) as progress:
        for way in progress.track([*PEERS, *COURSE_WAYS, *PEERS] * repeticoes, description="medindo"):
            results[way].append(in_new_process(quietly, *ways[way]))
    console = Console()
    console.print(f"Dados: {results['exato'][0]['fonte']}")
    show_stages(results, console)
    show_profile(results, console)
    show_comparison(results, console)
    fraction = results["transformers"][0]["fracao_medida"]
    console.print(
        f"Dos vizinhos mediram-se {passos} passos ({decimal(100 * fraction, 1)}%) e outros tantos lotes avaliados."
    )
    console.print(f"Gravado em {write_report('treino', {'modelo': MODEL, 'medidas': results})}")


if __name__ == "__main__":
    main()

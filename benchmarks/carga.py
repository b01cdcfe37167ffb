"""Mede o tempo e a memória de montar um GPT-2 e carregar seus pesos, ao lado de outras duas bibliotecas.

Os pesos são sorteados e gravados numa pasta temporária, no formato publicado. Cada medida é a de um processo novo,
com as bibliotecas já importadas e o arquivo já no cache do disco; os modos se alternam, para que o ruído da máquina
atinja todos por igual. O modo do livro recebe os pesos como a função de download da aula os entrega: matrizes do
NumPy na memória. A memória é a anônima (``RssAnon``), a que não pode ser devolvida ao disco. Como quem só mapeia o
arquivo adia a leitura, o tempo até o primeiro resultado (os logits de oito tokens) vem ao lado do de carregar.

Uso: ``python benchmarks/carga.py``. Imprime uma tabela e grava ``resultados/benchmarks/carga.json``.
"""

import json
import math
import shutil
import struct
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import psutil
from measuring import decimal, in_new_process, spread, watched_memory, write_report
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

MODELS = {"124M": "gpt2-small (124M)", "1558M": "gpt2-xl (1558M)"}
BLOCK = 1 << 20


def prepare_course(size, models_dir):
    """O modo do curso: o modelo nasce sem memória e recebe os pesos."""
    from llmdefinitions import build_model

    return lambda: build_model(MODELS[size], models_dir=models_dir)[0]


def prepare_lecture(size, models_dir):
    """As três linhas da aula, com as funções do curso: o modelo nasce com pesos sorteados."""
    from llmdefinitions import GPTModel, download_and_load_gpt2, load_weights_into_gpt, model_config

    def load():
        _, params = download_and_load_gpt2(size, models_dir)
        model = GPTModel(model_config(MODELS[size]))
        load_weights_into_gpt(model, params)
        return model

    return load


def prepare_book(size, models_dir):
    """As mesmas três linhas com o ``llms-from-scratch``."""
    from llms_from_scratch.ch04 import GPTModel
    from llms_from_scratch.ch05 import load_weights_into_gpt

    from llmdefinitions import download_and_load_gpt2, model_config

    def load():
        params = in_memory(download_and_load_gpt2(size, models_dir)[1])
        model = GPTModel(model_config(MODELS[size]))
        load_weights_into_gpt(model, params)
        return model

    return load


def prepare_transformers(size, models_dir):
    """``GPT2LMHeadModel.from_pretrained``, da transformers."""
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    return lambda: GPT2LMHeadModel.from_pretrained(Path(models_dir) / size, local_files_only=True)


WAYS = {
    "curso": prepare_course,
    "curso, como na aula": prepare_lecture,
    "llms-from-scratch": prepare_book,
    "transformers": prepare_transformers,
}


def in_memory(params):
    """Copia para a memória todas as matrizes de um dicionário aninhado."""
    if isinstance(params, dict):
        return {key: in_memory(value) for key, value in params.items()}
    if isinstance(params, list):
        return [in_memory(value) for value in params]
    return np.array(params)


def anonymous_bytes():
    """Lê a memória anônima deste processo, em bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


def measure(way, size, models_dir):
    """Carrega o modelo uma vez e o usa.

    Returns:
        ``(segundos para carregar, segundos até o primeiro resultado, pico de memória anônima em bytes)``; o pico não
        conta o que já estava em uso antes.
    """
    import torch

    load = WAYS[way](size, models_dir)
    with watched_memory(anonymous_bytes) as readings:
        start = time.perf_counter()
        model = load()
        loaded = time.perf_counter() - start
        with torch.no_grad():
            model(torch.arange(8).unsqueeze(0))
        used = time.perf_counter() - start
    return loaded, used, max(readings) - readings[0]


def write_random_gpt2(size, models_dir, advance):
    """Grava um GPT-2 de pesos sorteados, aos pedaços, sem tê-lo inteiro na memória."""
    from llmdefinitions import model_config
    from llmdefinitions.weights import tensor_shapes

    cfg = model_config(MODELS[size])
    header, end = {}, 0
    for name, shape in tensor_shapes(cfg).items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    block = np.random.default_rng(123).normal(scale=0.02, size=BLOCK).astype(np.float32).tobytes()
    folder = Path(models_dir) / size
    folder.mkdir()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for start in range(0, end, len(block)):
            advance(file.write(block[: end - start]))
    config = {
        "model_type": "gpt2",
        "vocab_size": cfg["vocab_size"],
        "n_positions": cfg["context_length"],
        "n_embd": cfg["emb_dim"],
        "n_layer": cfg["n_layers"],
        "n_head": cfg["n_heads"],
    }
    (folder / "config.json").write_text(json.dumps(config))


def warm(path):
    """Lê um arquivo inteiro, para que esteja no cache do disco."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 24)
        while file.readinto(buffer):
            pass


def weights_bytes(size):
    """Calcula quantos bytes ocupam os pesos de um tamanho em FP32."""
    from llmdefinitions import model_config
    from llmdefinitions.weights import tensor_shapes

    return 4 * sum(map(math.prod, tensor_shapes(model_config(MODELS[size])).values()))


def check_disk(sizes, folder):
    """Recusa-se a começar sem espaço para o maior arquivo."""
    needed = max(map(weights_bytes, sizes)) + 10**9
    if shutil.disk_usage(folder).free < needed:
        raise click.ClickException(f"falta espaço em {folder}: preciso de {needed / 1e9:.1f} GB. Use --pasta.")


def check_memory(size):
    """Recusa-se a medir sem memória para o modo que mais gasta, em vez de deixar o sistema matar um processo."""
    needed = 2.3 * weights_bytes(size) + 10**9
    if psutil.virtual_memory().available < needed:
        raise click.ClickException(f"falta memória: preciso de {needed / 1e9:.1f} GB livres. Use --tamanhos 124M.")


def show(size, rows):
    """Imprime a tabela de um tamanho: por modo, mediana e extremos dos tempos e o maior pico de memória."""
    table = Table(title=MODELS[size])
    for name in ("modo", "carregar (s)", "até o 1º resultado (s)", "pico (GB)", "÷ pesos"):
        table.add_column(name, no_wrap=name == "modo", justify="left" if name == "modo" else "right")
    for row in rows:
        peak = max(row["pico_bytes"])
        cells = (spread(row["segundos"]), spread(row["segundos_ate_o_primeiro_resultado"]))
        table.add_row(row["modo"], *cells, decimal(peak / 1e9), decimal(peak / row["pesos_bytes"]))
    Console().print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help", "--ajuda"]})
@click.option("--tamanhos", default="124M,1558M", show_default=True, help="Tamanhos a medir, separados por vírgula.")
@click.option("--repeticoes", default=3, show_default=True, type=click.IntRange(1), help="Medidas de cada modo.")
@click.option(
    "--pasta",
    default=tempfile.gettempdir(),
    type=click.Path(exists=True, file_okay=False, writable=True),
    help="Onde gravar os pesos sorteados (até 7 GB), apagados no fim. Sem ela, a pasta temporária do sistema.",
)
def main(tamanhos, repeticoes, pasta):
    """Mede o tempo e a memória de carregar um GPT-2 de pesos sorteados, ao lado de outras bibliotecas."""
    sizes = tamanhos.split(",")
    if unknown := set(sizes) - MODELS.keys():
        raise click.BadParameter(f"não conheço {', '.join(sorted(unknown))}; escolha entre {', '.join(MODELS)}.")
    if not Path("/proc/self/status").exists():
        raise click.ClickException("a memória anônima é medida em /proc, que só o Linux tem.")
    check_disk(sizes, pasta)

    rows = {}
    with tempfile.TemporaryDirectory(dir=pasta, prefix="carga-") as models_dir, Progress(transient=True) as progress:
        for size in sizes:
            writing = progress.add_task(f"gravando {size}", total=weights_bytes(size))
            write_random_gpt2(size, models_dir, lambda n, task=writing: progress.advance(task, n))
            progress.remove_task(writing)
            measures = {way: [] for way in WAYS}
            for way in progress.track(list(WAYS) * repeticoes, description=f"medindo {size}"):
                check_memory(size)
                warm(Path(models_dir) / size / "model.safetensors")
                measures[way].append(in_new_process(measure, way, size, models_dir))
            shutil.rmtree(Path(models_dir) / size)
            names = ("segundos", "segundos_ate_o_primeiro_resultado", "pico_bytes")
            rows[size] = [
                {"modo": way, "pesos_bytes": weights_bytes(size)}
                | dict(zip(names, zip(*values, strict=True), strict=True))
                for way, values in measures.items()
            ]
    for size in sizes:
        show(size, rows[size])

    write_report("carga", {"medidas": rows})


if __name__ == "__main__":
    main()

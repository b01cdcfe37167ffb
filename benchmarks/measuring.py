"""O que as medidas deste diretório têm em comum: processos novos, memória, a máquina e o relatório."""

import json
import os
import platform
import statistics
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]


def in_new_process(function, *args):
    """Executa uma função num processo novo e devolve o resultado."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


@contextmanager
def watched_memory(read_bytes, interval=0.005):
    """Acompanha a memória deste processo enquanto o bloco roda.

    Args:
        read_bytes: função que lê a memória em uso, em bytes.
        interval: segundos entre leituras.

    Yields:
        A lista das leituras, que termina com a do fim do bloco.
    """
    readings, done = [read_bytes()], threading.Event()

    def watch():
        while not done.wait(interval):
            readings.append(read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield readings
    finally:
        readings.append(read_bytes())
        done.set()
        watcher.join()


class Stages:
    """Mede as etapas de um trabalho: segundos e pico de memória residente de cada uma."""

    def __init__(self):
        self.measures = {}

    @contextmanager
    def __call__(self, name):
        """Mede o bloco e guarda o resultado sob ``name``."""
        with watched_memory(psutil.Process().memory_info, interval=0.05) as readings:
            start = time.perf_counter()
            yield
            seconds = time.perf_counter() - start
        self.measures[name] = {"segundos": seconds, "pico_bytes": max(reading.rss for reading in readings)}


def matrix_product_gflops():
    """Mede o produto de matrizes da máquina, em bilhões de operações por segundo.

    Returns:
        Dicionário com ``float32`` e ``bfloat16``: o melhor de 10 produtos ``(512, 768) × (768, 3072)``, a forma mais
        comum no GPT-2 small.
    """
    import torch
    from torch.nn import functional as F

    best = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.randn(512, 768).to(dtype), torch.randn(3072, 768).to(dtype)
        F.linear(x, weight)
        times = []
        for _ in range(10):
            start = time.perf_counter()
            F.linear(x, weight)
            times.append(time.perf_counter() - start)
        best[str(dtype).removeprefix("torch.")] = 2 * 512 * 768 * 3072 / min(times) / 1e9
    return best


def machine():
    """Descreve a máquina e o que mais ela fazia no momento da medida."""
    return {
        "processadores": os.cpu_count(),
        "carga_media": os.getloadavg(),
        "sistema": platform.platform(),
        "python": sys.version.split()[0],
        "linhas_de_execucao": os.environ.get("OMP_NUM_THREADS", "todas"),
    }


def write_report(name, contents):
    """Grava ``resultados/benchmarks/<name>.json`` e devolve o caminho a partir da raiz do projeto."""
    path = ROOT / "resultados" / "benchmarks" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"maquina": machine()} | contents, indent=2, ensure_ascii=False), encoding="utf-8")
    return path.relative_to(ROOT)


def decimal(value, places=2):
    """Escreve um número com vírgula decimal."""
    return f"{value:.{places}f}".replace(".", ",")


def spread(values, places=2):
    """Escreve uma mediana seguida dos extremos; de um valor só, o valor."""
    if len(values) == 1:
        return decimal(values[0], places)
    extremes = f"{decimal(min(values), places)}–{decimal(max(values), places)}"
    return f"{decimal(statistics.median(values), places)} ({extremes})"

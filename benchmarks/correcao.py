"""Mede ``corrigir`` ao lado de ``nbgrader autograde``, nas mesmas entregas e na mesma execução.

Duas lições: a de amostra de ``scripts/nova_licao.py``, que importa o PyTorch e quase não calcula (o que se mede é o
custo de corrigir), e a 03, inteira, em que as células da aula também custam. As entregas alternam a resposta certa e o
caderno em branco. Depois, com a lição de amostra, a memória de cada processo com poucas e com muitas entregas.

Uso: ``python benchmarks/correcao.py``; ``--help`` mostra as opções. Imprime tabelas e grava
``resultados/benchmarks/correcao.json``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import click
import psutil
from measuring import ROOT, decimal, spread, write_report
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(ROOT))

from scripts.nova_licao import lesson_cells, write_notebook

SAMPLE, REAL = "99_exemplo", "03_preparacao_dos_dados"


def write_course(folder, lesson):
    """Monta um curso com uma lição e gera os cadernos de estudante e a base de notas."""
    (folder / "grading").mkdir(parents=True)
    for name in ("nbgrader_config.py", "grading/cabecalho.ipynb"):
        shutil.copy(ROOT / name, folder / name)
    if lesson == SAMPLE:
        write_notebook(folder / "solutions" / lesson / f"{lesson}.ipynb", lesson_cells("99"))
    else:
        shutil.copytree(ROOT / "solutions" / lesson, folder / "solutions" / lesson)
    run(folder, "nbgrader", "generate_assignment", lesson)


def submit(folder, lesson, number):
    """Põe no curso as entregas, metade certa e metade em branco."""
    shutil.rmtree(folder / "submitted", ignore_errors=True)
    for index in range(number):
        origin = folder / ("solutions" if index % 2 == 0 else "notebooks") / lesson
        shutil.copytree(origin, folder / "submitted" / f"aluno{index:03}" / lesson)


def run(folder, program, *arguments):
    """Executa um programa do ambiente, sem nada do que ele já tivesse corrigido; devolve os segundos."""
    shutil.rmtree(folder / "autograded", ignore_errors=True)
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)  # noqa: S603
    return time.perf_counter() - start


def watched(folder, *arguments):
    """Executa ``corrigir`` acompanhando a memória: segundos e o pico, em bytes, de cada tipo de processo."""
    peaks, done = defaultdict(int), threading.Event()
    command = [str(Path(sys.executable).with_name("corrigir")), *arguments]
    shutil.rmtree(folder / "autograded", ignore_errors=True)
    start = time.perf_counter()
    process = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def watch():
        while not done.wait(0.1):
            with suppress(psutil.Error):
                for one in [process, *process.children(recursive=True)]:
                    with suppress(psutil.Error):
                        peaks[role(process, one)] = max(peaks[role(process, one)], one.memory_full_info().uss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    if code:
        raise click.ClickException(f"corrigir saiu com {code}")
    return seconds, dict(peaks)


def role(main, process):
    """O papel de um processo na correção."""
    command = " ".join(process.cmdline())
    if process.pid == main.pid:
        return "comando"
    if "grading.template" in command:
        return "aquecido" if process.ppid() == main.pid else "kernel"
    return "executor" if "spawn_main" in command else "outros"


def overheads(folder, lesson):
    """Segundos de cada entrega corrigida, segundo o próprio ``corrigir``."""
    paths = sorted(folder.glob(f"autograded/*/{lesson}/corrigir.json"))
    found = [json.loads(path.read_text(encoding="utf-8"))["results"] for path in paths]
    return [sum(result["seconds"] for result in results) for results in found]


@click.command()
@click.option("--alunos", default=10, show_default=True, help="Entregas em cada comparação.")
@click.option("--muitos", default=100, show_default=True, help="Entregas na medida de memória.")
@click.option("--processos", default=2, show_default=True, help="Processos do corrigir.")
@click.option("--rodadas", default=2, show_default=True, help="Quantas vezes cada comparação.")
def main(alunos, muitos, processos, rodadas):
    """Mede corrigir ao lado de nbgrader autograde."""
    results, options = [], ("--processos", str(processos))
    with tempfile.TemporaryDirectory() as temporary, Progress(transient=True) as progress:
        task = progress.add_task("medindo", total=4 * rodadas + 2)
        for lesson in (SAMPLE, REAL):
            folder = Path(temporary, lesson)
            write_course(folder, lesson)
            submit(folder, lesson, alunos)
            plain, ours, each = [], [], []
            for _ in range(rodadas):
                plain.append(run(folder, "nbgrader", "autograde", lesson))
                progress.advance(task)
                ours.append(run(folder, "corrigir", lesson, *options))
                each += overheads(folder, lesson)
                progress.advance(task)
            results.append({"licao": lesson, "nbgrader": plain, "corrigir": ours, "por_entrega": each})
        memory = {}
        for number in (alunos, muitos):
            submit(Path(temporary, SAMPLE), SAMPLE, number)
            memory[number] = watched(Path(temporary, SAMPLE), SAMPLE, *options)
            progress.advance(task)

    console = Console()
    table = Table(title=f"{alunos} entregas, {rodadas} rodadas, {processos} processos: mediana e extremos")
    for column in ("lição", "nbgrader (s)", "corrigir (s)", "× nbgrader", "uma entrega (s)"):
        table.add_column(column, justify="left" if column == "lição" else "right")
    for result in results:
        ratios = [one / other for one, other in zip(result["nbgrader"], result["corrigir"], strict=True)]
        values = (result["nbgrader"], result["corrigir"], ratios, result["por_entrega"])
        table.add_row(
            result["licao"], *(spread(value, 1 if value is not result["por_entrega"] else 2) for value in values)
        )
    console.print(table)

    roles = sorted({name for _, peaks in memory.values() for name in peaks})
    table = Table(title="Pico de memória própria de um processo (MB), lição de amostra")
    for column in ("entregas", "segundos", "por entrega (s)", *roles):
        table.add_column(column, justify="right")
    for number, (seconds, peaks) in memory.items():
        megabytes = [f"{peaks.get(name, 0) / 2**20:.0f}" for name in roles]
        table.add_row(str(number), decimal(seconds, 1), decimal(seconds / number), *megabytes)
    console.print(table)
    contents = {"comparacao": results, "memoria": {str(number): values for number, values in memory.items()}}
    console.print(f"Gravado em {write_report('correcao', contents)}")


if __name__ == "__main__":
    main()

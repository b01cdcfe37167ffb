"""Mede ``corrigir``: ao lado de ``nbgrader autograde``, com uma turma inteira e com turmas cada vez maiores.

- ``comparacao``: as mesmas entregas, corrigidas pelos dois. Duas lições: a de amostra de ``scripts/nova_licao.py``, que
  importa o PyTorch e quase não calcula (o que se mede é o custo de corrigir), e a 03, inteira, em que as células da
  aula também custam. As entregas alternam a resposta certa e o caderno em branco.
- ``escala``: a lição de amostra com turmas de vários tamanhos; o tempo deve crescer em linha reta, e a memória não.
- ``turma``: uma turma de ``benchmarks/turma.py``, lição por lição, e se cada entrega recebeu o que merecia. Com
  sessenta alunos e as sete lições, cerca de uma hora; só é feita se pedida.

Uso: ``python benchmarks/correcao.py``; ``--help`` mostra as opções. Imprime tabelas e grava, de cada parte,
``resultados/benchmarks/correcao-PARTE.json``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import psutil
from measuring import decimal, spread, write_report
from respostas import SAMPLE, course_lessons, write_course
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from turma import make_class, problems

from grading.cli import DEFAULTS
from grading.command import Command
from grading.command import run as run_command
from grading.ledger import read_results
from grading.results import State

REAL = "03_preparacao_dos_dados"
PARTS = ("comparacao", "escala", "turma")
SIZES = (10, 50, 100, 200, 400)


def submit(folder, lesson, number):
    """Põe no curso as entregas, metade certa e metade em branco."""
    shutil.rmtree(folder / "submitted", ignore_errors=True)
    for index in range(number):
        origin = folder / ("solutions" if index % 2 == 0 else "notebooks") / lesson
        shutil.copytree(origin, folder / "submitted" / f"aluno{index:03}" / lesson)


def run(folder, program, *arguments):
    """Executa um programa do ambiente, sem nada do que ele já tivesse corrigido; devolve os segundos."""
    shutil.rmtree(folder / "autograded", ignore_errors=True)
    command = [_program(program), *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)  # noqa: S603
    return time.perf_counter() - start


def _program(name):
    return str(Path(sys.executable).with_name(name))


def watched(folder, *arguments):
    """Executa ``corrigir`` acompanhando a memória: segundos e o pico, em bytes, de cada tipo de processo."""
    peaks, done = defaultdict(int), threading.Event()
    command = [_program("corrigir"), *arguments]
    shutil.rmtree(folder / "autograded", ignore_errors=True)
    start = time.perf_counter()
    process = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def watch():
        while not done.wait(0.5):
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


def compare(students, rounds, processes, progress, console):
    """``corrigir`` e ``nbgrader autograde`` nas mesmas entregas; devolve o que vai para o JSON."""
    task = progress.add_task("comparação", total=4 * rounds)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for lesson in (SAMPLE, REAL):
            folder = Path(temporary, lesson)
            write_course(folder, [lesson])
            run(folder, "nbgrader", "generate_assignment", lesson)  # o autograde precisa das células na base
            submit(folder, lesson, students)
            plain, ours, each = [], [], []
            for _ in range(rounds):
                plain.append(run(folder, "nbgrader", "autograde", lesson))
                progress.advance(task)
                ours.append(run(folder, "corrigir", lesson, "--processos", str(processes)))
                each += overheads(folder, lesson)
                progress.advance(task)
            results.append({"licao": lesson, "nbgrader": plain, "corrigir": ours, "por_entrega": each})
    title = f"{students} entregas, {rounds} rodadas, {processes} processos: mediana e extremos"
    table = new_table(title, "lição", ">nbgrader (s)", ">corrigir (s)", ">× nbgrader", ">uma entrega (s)")
    for result in results:
        ratios = [one / other for one, other in zip(result["nbgrader"], result["corrigir"], strict=True)]
        values = spread(result["nbgrader"], 1), spread(result["corrigir"], 1), spread(ratios, 1)
        table.add_row(result["licao"], *values, spread(result["por_entrega"]))
    console.print(table)
    return {"comparacao": results}


def scale(sizes, processes, progress, console):
    """A lição de amostra com turmas de vários tamanhos; devolve o que vai para o JSON, que é gravado a cada tamanho."""
    task, measures = progress.add_task("escala", total=sum(sizes)), {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "curso")
        write_course(folder, [SAMPLE])
        for number in sizes:
            submit(folder, SAMPLE, number)
            (folder / "gradebook.db").unlink(missing_ok=True)
            seconds, peaks = watched(folder, SAMPLE, "--processos", str(processes))
            measures[number] = {"segundos": seconds, "picos": peaks}
            write_report("correcao-escala", {"escala": measures})
            progress.advance(task, number)
    names = sorted({name for measure in measures.values() for name in measure["picos"]})
    table = new_table(
        f"{SAMPLE}, {processes} processos: tempo e pico de memória própria de um processo",
        *(">entregas", ">segundos", ">por entrega (s)", *(f">{name} (MB)" for name in names)),
    )
    for number, measure in measures.items():
        megabytes = [f"{measure['picos'].get(name, 0) / 2**20:.0f}" for name in names]
        table.add_row(str(number), decimal(measure["segundos"], 1), decimal(measure["segundos"] / number), *megabytes)
    console.print(table)
    contents = {"escala": measures}
    if len(sizes) > 1:
        contents["reta"] = line = fit_line([(number, one["segundos"]) for number, one in measures.items()])
        small, large = (measures[number]["picos"]["comando"] for number in (min(sizes), max(sizes)))
        console.print(
            f"Reta: {decimal(line['fixo'], 1)} s, mais {decimal(line['por_entrega'], 3)} s por entrega; a maior "
            f"distância até ela é de {decimal(100 * line['desvio'], 1)}%. Memória do comando: de {min(sizes)} a "
            f"{max(sizes)} entregas, {decimal(large / small)} vez."
        )
    return contents


def fit_line(points):
    """A reta que melhor passa por pares ``(entregas, segundos)``, e a maior distância relativa até ela."""
    numbers, seconds = np.array(points, dtype=float).T
    slope, intercept = np.polyfit(numbers, seconds, 1, w=1 / seconds)  # o erro relativo: senão os grandes mandam
    deviation = np.abs(intercept + slope * numbers - seconds) / seconds
    return {"fixo": float(intercept), "por_entrega": float(slope), "desvio": float(deviation.max())}


def whole_class(students, lessons, seed, processes, limits, progress, console):
    """Uma turma inteira, lição por lição; devolve o que vai para o JSON, que é gravado a cada lição."""
    task, rows = progress.add_task("turma", total=students * len(lessons)), []
    contents = {"turma": rows, "alunos": students, "semente": seed, "processos": processes}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "curso")
        write_course(folder, lessons)
        expected = make_class(folder, lessons, students, seed)
        for lesson in lessons:
            seconds, peaks = watched(folder, lesson, "--processos", str(processes), *limits)
            rows.append(lesson_row(folder, lesson, expected) | {"segundos": seconds, "picos": peaks})
            console.print(
                f"{lesson}: {decimal(seconds, 1)} s; {'; '.join(rows[-1]['surpresas']) or 'como se esperava'}"
            )
            write_report("correcao-turma", contents)
            progress.advance(task, students)
    table = new_table(
        f"{students} alunos, {processes} processos",
        *("lição", ">segundos", ">por entrega (s)", ">kernel (MB)", "entregas", "células de teste", ">surpresas"),
    )
    for row in rows:
        memory = f"{row['picos'].get('kernel', 0) / 2**20:.0f}"
        counts = describe(row["entregas"]), describe(row["celulas"]), str(len(row["surpresas"]))
        each = decimal(row["segundos"] / students)
        table.add_row(row["licao"], decimal(row["segundos"], 1), each, memory, *counts)
    total, number = sum(row["segundos"] for row in rows), students * len(rows)
    states = sum((Counter(row["entregas"]) for row in rows), Counter())
    cells = sum((Counter(row["celulas"]) for row in rows), Counter())
    surprises = str(sum(len(row["surpresas"]) for row in rows))
    table.add_section()
    table.add_row("total", decimal(total, 1), decimal(total / number), "", describe(states), describe(cells), surprises)
    console.print(table)
    return contents


def lesson_row(folder, lesson, expected):
    """O que houve com as entregas de uma lição: quantas de cada estado, e o que não saiu como devia."""
    states, cells, surprises = Counter(), Counter(), []
    for one in expected:
        if one.lesson != lesson:
            continue
        _, results = read_results(folder / "autograded" / one.student / lesson)
        states.update(str(result.state) for result in results)
        cells.update(str(cell.state) for result in results for cell in result.cells if cell.state != State.MANUAL)
        whose = f"{one.student} ({one.kind}{': ' * bool(one.detail)}{', '.join(one.detail)})"
        surprises += [f"{whose}: {sentence}" for sentence in problems(one, results)]
    return {"licao": lesson, "entregas": states, "celulas": cells, "surpresas": surprises}


def describe(counts):
    """Quantas de cada estado, numa frase."""
    return ", ".join(f"{state} {count}" for state, count in sorted(counts.items()))


def new_table(title, *columns):
    """Uma tabela; uma coluna cujo nome começa com ``>`` se alinha à direita."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


@click.command("python benchmarks/correcao.py", cls=Command, help="Mede a correção: o tempo e a memória de corrigir.")
@click.option(
    "--parte",
    "parts",
    multiple=True,
    type=click.Choice(PARTS),
    default=PARTS[:2],
    metavar="NOME",
    help=f"Uma de: {', '.join(PARTS)}; pode ser repetida.  [padrão: comparacao e escala]",
)
@click.option("--processos", "processes", default=2, metavar="N", help="Processos do corrigir.  [padrão: 2]")
@click.option("--alunos", "students", default=10, metavar="N", help="Entregas na comparação.  [padrão: 10]")
@click.option("--rodadas", "rounds", default=2, metavar="N", help="Vezes que se compara.  [padrão: 2]")
@click.option(
    "--tamanho",
    "sizes",
    multiple=True,
    type=click.IntRange(1),
    default=SIZES,
    metavar="N",
    help=f"Entregas na escala; pode ser repetida.  [padrão: {', '.join(map(str, SIZES))}]",
)
@click.option("--turma", "class_size", default=60, metavar="N", help="Alunos da turma.  [padrão: 60]")
@click.option("--licao", "lessons", multiple=True, metavar="LIÇÃO", help="Lições da turma.  [padrão: todas]")
@click.option("--semente", "seed", default=123, metavar="N", help="A semente da turma.  [padrão: 123]")
@click.option(
    "--folga",
    "slack",
    default=1.0,
    metavar="X",
    help="Na turma, quantas vezes o tempo que corrigir dá a uma entrega: numa máquina ocupada, um relógio de parede "
    "reprovaria respostas certas.  [padrão: 1]",
)
def command(parts, processes, students, rounds, sizes, class_size, lessons, seed, slack):
    limits = [
        "--tempo-celula",
        str(DEFAULTS.cell_seconds * slack),
        "--tempo-total",
        str(DEFAULTS.total_seconds * slack),
    ]
    console = Console(width=None if sys.stdout.isatty() else 200)
    measures = {
        "comparacao": lambda progress: compare(students, rounds, processes, progress, console),
        "escala": lambda progress: scale(sizes, processes, progress, console),
        "turma": lambda progress: whole_class(
            class_size, lessons or course_lessons(), seed, processes, limits, progress, console
        ),
    }
    with Progress(console=console, transient=True) as progress:
        for part in parts:
            console.print(f"Gravado em {write_report(f'correcao-{part}', measures[part](progress))}")


if __name__ == "__main__":
    sys.exit(run_command(command))

"""Mede quanto custa ``import llmdefinitions``, ao lado do PyTorch e de um Python vazio.

Cada medida é a de um processo novo; as três se alternam, para que o ruído da máquina atinja todas por igual.
Uso: ``python benchmarks/importacao.py``. Imprime uma tabela e grava ``resultados/benchmarks/importacao.json``.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
REPETITIONS = 15
STATEMENTS = {"Python vazio": "pass", "import llmdefinitions": "import llmdefinitions", "import torch": "import torch"}


def seconds_of(statement):
    """Mede, em segundos, um processo do Python que só executa ``statement``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)  # noqa: S603 — comandos deste arquivo
    return time.perf_counter() - start


def main():
    times = {name: [] for name in STATEMENTS}
    for statement in STATEMENTS.values():  # aquece o cache do disco
        seconds_of(statement)
    for _ in track(range(REPETITIONS), description="medindo"):
        for name, statement in STATEMENTS.items():
            times[name].append(seconds_of(statement))

    empty = statistics.median(times["Python vazio"])
    table = Table("processo", "mediana (ms)", "mín.–máx. (ms)", "além do Python (ms)")
    for name, values in times.items():
        median = statistics.median(values)
        spread = f"{1000 * min(values):.0f}–{1000 * max(values):.0f}"
        table.add_row(name, f"{1000 * median:.0f}", spread, f"{1000 * (median - empty):.0f}")
    Console().print(table)

    report = ROOT / "resultados" / "benchmarks" / "importacao.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps({"repeticoes": REPETITIONS, "segundos": times}, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()

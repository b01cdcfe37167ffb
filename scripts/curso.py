"""O curso inteiro, com um comando: executa as lições e corrige três entregas de mentira de cada uma.

    python scripts/curso.py                      # ou make curso
    python scripts/curso.py 03_preparacao_dos_dados 05_cabeca_de_classificacao
    python scripts/curso.py --guardar resultados/licoes

As três entregas são a ``perfeita`` (as respostas do professor), a feita ``pela metade`` (só a primeira metade delas) e
a ``em branco`` (o caderno como o estudante o recebe). A acurácia de uma lição é a que o caderno dela calcula: a
expressão está nos metadados dele, em ``curso.acuracia``.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import nbformat
from nbgrader.api import Gradebook
from nbgrader.utils import is_grade, is_solution
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from grading.course import copy_configuration
from grading.execution import execute_and_ask
from llmdefinitions.command import PortugueseCommand, run_command
from llmdefinitions.progress import decimal

ROOT = Path(__file__).resolve().parents[1]
STUDENTS = ("perfeita", "pela metade", "em branco")
CELL_SECONDS = 600
"""Tempo de uma célula: folgado, porque aqui ninguém é mal-intencionado e o computador pode ser lento."""


@dataclass
class Report:
    """O que aconteceu com uma lição.

    Attributes:
        lesson: o nome dela.
        running, grading: segundos da execução e da correção.
        accuracy: a acurácia que ela mede, já escrita; vazia se não mede nenhuma.
        points: por entrega, o par ``(ganhos, possíveis)``, sem o que se corrige à mão.
        problems: o que não saiu como devia, uma frase por problema.
    """

    lesson: str
    running: float = 0.0
    grading: float = 0.0
    accuracy: str = ""
    points: dict[str, tuple[float, float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def notebook_path(folder, lesson):
    return folder / lesson / f"{lesson}.ipynb"


def is_answer(cell):
    """Se é uma célula em que o estudante escreve código."""
    return cell.cell_type == "code" and is_solution(cell)


def half_done(teacher, blank):
    """Devolve o caderno em branco com a primeira metade das respostas de código copiadas do caderno do professor."""
    answers = {cell.metadata.nbgrader.grade_id: cell.source for cell in teacher.cells if is_answer(cell)}
    cells = [cell for cell in blank.cells if is_answer(cell)]
    for cell in cells[: len(cells) // 2]:
        cell.source = answers[cell.metadata.nbgrader.grade_id]
    return blank


def write_submissions(course, lesson):
    """Grava as três entregas de uma lição em ``submitted/ALUNO/LIÇÃO``."""
    for student in STUDENTS:
        origin = "solutions" if student == "perfeita" else "notebooks"
        shutil.copytree(course / origin / lesson, course / "submitted" / student / lesson)
    path = notebook_path(course / "submitted" / "pela metade", lesson)
    teacher, blank = (
        nbformat.read(notebook_path(course / name, lesson), as_version=4) for name in ("solutions", "notebooks")
    )
    nbformat.write(half_done(teacher, blank), path)


def run_lesson(course, report, advance):
    """Executa o caderno do professor, na pasta dele, e anota o tempo e a acurácia."""
    path = notebook_path(course / "solutions", report.lesson)
    notebook = nbformat.read(path, as_version=4)
    accuracy = notebook.metadata.get("curso", {}).get("acuracia")
    start = time.monotonic()
    answers = execute_and_ask(
        notebook, path.parent, [accuracy] if accuracy else [], timeout=CELL_SECONDS, on_cell=lambda _: advance()
    )
    report.running = time.monotonic() - start
    report.accuracy = answers[0] if answers else ""
    nbformat.write(notebook, path)


def grade_lesson(course, report, advance):
    """Faz as três entregas, corrige-as com ``corrigir`` e anota os pontos."""
    write_submissions(course, report.lesson)
    command = [sys.executable, "-m", "grading", report.lesson, "--curso", str(course)]
    command += [
        "--isolamento-minimo",
        "nenhum",
        "--tempo-celula",
        str(CELL_SECONDS),
        "--tempo-total",
        str(CELL_SECONDS),
    ]
    start = time.monotonic()
    with subprocess.Popen(  # noqa: S603 — um comando deste curso
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("["):  # [1/3] aluno: pontos, estado
                advance()
    report.grading = time.monotonic() - start
    if process.returncode:
        report.problems.append(f"corrigir parou: {lines[-1].strip() if lines else 'sem dizer por quê'}")
        return
    teacher = nbformat.read(notebook_path(course / "solutions", report.lesson), as_version=4)
    automatic = {cell.metadata.nbgrader.grade_id for cell in teacher.cells if is_grade(cell) and not is_solution(cell)}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for student in STUDENTS:
            grades = gradebook.find_submission_notebook(report.lesson, report.lesson, student).grades
            scores = [(grade.auto_score, grade.max_score) for grade in grades if grade.name in automatic]
            report.points[student] = tuple(map(sum, zip(*scores, strict=True)))


def check_points(report):
    """Anota as notas que não são as que cada entrega merece."""
    if not report.points:
        return
    (perfect, possible), (half, _), (blank, _) = (report.points[student] for student in STUDENTS)
    if perfect != possible:
        report.problems.append(f"as respostas do professor ganharam {perfect:g} de {possible:g} pontos")
    if blank:
        report.problems.append(f"o caderno em branco ganhou {blank:g} pontos")
    if not blank < half < perfect:
        report.problems.append(f"a entrega pela metade ganhou {half:g} de {possible:g} pontos")


def run_course(lessons, course, console):
    """Executa e corrige cada lição numa cópia do curso.

    Args:
        lessons: os nomes das lições, na ordem.
        course: uma pasta vazia.
        console: o ``rich.console.Console`` em que mostrar o andamento.

    Returns:
        A lista dos ``Report``.
    """
    copy_configuration(ROOT, course)
    for name in ("solutions", "notebooks"):
        for lesson in lessons:
            shutil.copytree(ROOT / name / lesson, course / name / lesson, ignore=shutil.ignore_patterns("resultados"))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    reports, gradings = [], []
    with Progress(*columns, console=console, transient=True) as progress, ThreadPoolExecutor(max_workers=1) as grader:
        whole = progress.add_task(f"{len(lessons)} lições", total=2 * len(lessons))

        def attempt(work, verb, report, total):
            task = progress.add_task(f"{verb} {report.lesson}", total=total)
            try:
                work(course, report, lambda: progress.advance(task))
            except Exception as error:  # uma lição que para não esconde as outras
                report.problems.append(f"{verb}: {plain_error(error)}")
            progress.remove_task(task)
            progress.advance(whole)

        def grade(report):
            attempt(grade_lesson, "corrigindo", report, len(STUDENTS))
            check_points(report)
            progress.console.print(sentence(report), highlight=False, soft_wrap=True)

        # Enquanto uma lição é corrigida, a seguinte já é executada.
        for lesson in lessons:
            reports.append(Report(lesson))
            attempt(run_lesson, "executando", reports[-1], count_code_cells(course, lesson))
            gradings.append(grader.submit(grade, reports[-1]))
        for grading in gradings:
            grading.result()
    return reports


def count_code_cells(course, lesson):
    notebook = nbformat.read(notebook_path(course / "solutions", lesson), as_version=4)
    return sum(cell.cell_type == "code" for cell in notebook.cells)


def plain_error(error):
    """A última linha de um erro: a que diz o que aconteceu, sem as cores do terminal do kernel."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()[-1]


def minutes(seconds):
    return f"{decimal(seconds / 60, 1)} min"


def sentence(report):
    """A linha que se mostra assim que uma lição termina."""
    if report.problems:
        return f"✗ {report.lesson}: {'; '.join(report.problems)}."
    return f"✓ {report.lesson}: executada em {minutes(report.running)}, corrigida em {minutes(report.grading)}"


def summary(reports):
    """Devolve a tabela do curso inteiro."""
    table = Table(title="O curso inteiro", show_footer=True)
    running, grading = (sum(getattr(report, name) for report in reports) for name in ("running", "grading"))
    table.add_column("lição", footer="ao todo")
    table.add_column("execução", justify="right", footer=minutes(running))
    table.add_column("correção", justify="right", footer=minutes(grading))
    for student in STUDENTS:
        table.add_column(student, justify="right")
    table.add_column("acurácia no teste", justify="right")
    for report in reports:
        points = (
            f"{earned:g}/{possible:g}"
            for earned, possible in (report.points.get(student, (0, 0)) for student in STUDENTS)
        )
        table.add_row(report.lesson, minutes(report.running), minutes(report.grading), *points, report.accuracy or "—")
    return table


@click.command(
    "python scripts/curso.py",
    cls=PortugueseCommand,
    help="Executa as lições com os dados embutidos, corrige de cada uma três entregas de mentira (perfeita, pela "
    "metade e em branco) e mostra, numa tabela, os tempos, os pontos e a acurácia. Sem LIÇÃO, todas.",
)
@click.argument("licoes", metavar="[LIÇÃO]...", nargs=-1)
@click.option("--guardar", metavar="PASTA", help="Deixa nesta pasta, nova, os cadernos executados e a base de notas.")
def main(licoes, guardar):
    existing = sorted(path.stem for path in (ROOT / "solutions").glob("*/*.ipynb"))
    if unknown := [name for name in licoes if name not in existing]:
        raise click.ClickException(f"Não há a lição {unknown[0]}. As que há: {', '.join(existing)}.")
    console = Console() if sys.stdout.isatty() else Console(width=120)
    # Com uma linha de execução por kernel, o tempo (e o arredondamento) depende menos do que mais a máquina faz.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    start = time.monotonic()
    with TemporaryDirectory(prefix="curso-") as scratch:
        course = Path(scratch)
        if guardar:
            course = Path(guardar).resolve()
            if course.exists():
                raise click.ClickException(
                    f"{course} já existe. Escolha outra pasta: nada do que está nela seria apagado."
                )
            course.mkdir(parents=True)
        reports = run_course(licoes or existing, course, console)
    console.print(summary(reports))
    console.print(
        f"{len(reports)} {'lição' if len(reports) == 1 else 'lições'} em {minutes(time.monotonic() - start)}.",
        highlight=False,
    )
    if guardar:
        console.print(f"Cadernos executados, entregas e base de notas: {course}", highlight=False)
    if any(report.problems for report in reports):
        raise click.ClickException("Nem tudo saiu como devia; as linhas marcadas com ✗ dizem o quê.")


if __name__ == "__main__":
    sys.exit(run_command(main))

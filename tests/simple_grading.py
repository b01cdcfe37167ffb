"""Uma correção de verdade, mas sem isolamento, e as que dão errado: o que um processo do lote pode importar."""

import os
import signal
import tempfile
import time

import nbformat
from nbgrader.utils import determine_grade, is_grade, is_solution

from grading.execution import execute
from grading.results import CellResult, Note, Result, State


def answers(submission, source):
    """O caderno da fonte, com as respostas da entrega."""
    notebook = nbformat.reads(source.notebook, as_version=4)
    submitted = nbformat.read(submission.folder / f"{source.name}.ipynb", as_version=4)
    texts = {cell.id: cell.source for cell in submitted.cells}
    for cell in notebook.cells:
        if is_solution(cell):
            cell.source = texts[cell.id]
    return notebook


def to_result(submission, source, notebook):
    """O ``Result`` de um caderno executado."""
    cells = []
    for cell in filter(is_grade, notebook.cells):
        points, score = float(cell.metadata.nbgrader.points), determine_grade(cell)[0]
        state = State.PASSED if score == points else State.FAILED
        if is_solution(cell):
            score, state = None, State.MANUAL
        cells.append(CellResult(cell.metadata.nbgrader.grade_id, points, score, state))
    text = nbformat.writes(notebook)
    return Result(submission.student, source.lesson, source.name, State.PASSED, cells=tuple(cells), notebook=text)


def grade(submission, source, settings):
    """Executa o caderno e dá as notas, como o nbgrader."""
    if not (submission.folder / f"{source.name}.ipynb").exists():
        return Result(submission.student, source.lesson, source.name, State.UNREADABLE, "Não há caderno na entrega.")
    with tempfile.TemporaryDirectory() as folder:
        return to_result(submission, source, execute(answers(submission, source), folder, allow_errors=True))


def by_name(submission, source, settings):
    """O nome do aluno diz o que acontece com o processo que corrige a entrega dele.

    Cada tentativa deixa um arquivo na pasta da entrega: é por eles que se contam as tentativas.
    """
    attempts = len(list(submission.folder.glob("tentativa-*")))
    (submission.folder / f"tentativa-{attempts}-{os.getpid()}").touch()
    state, flags = State.PASSED, ()
    match submission.student.split()[0]:
        case "mata":
            os.kill(os.getpid(), signal.SIGKILL)
        case "mata-uma-vez" if attempts == 0:
            os._exit(1)
        case "levanta":
            raise ValueError("de propósito")
        case "falha-duas-vezes" if attempts < 2:
            state = State.INFRASTRUCTURE
        case "falha":
            state = State.INFRASTRUCTURE
        case "demora":
            time.sleep(60)
        case "sinal":
            flags = (Note("quadros", "Procurou os testes na memória.", serious=True),)
    return Result(submission.student, source.lesson, source.name, state, flags=flags)

"""Corrigir uma entrega: da pasta do aluno ao resultado.

``grade`` depende só da entrega, da fonte e das configurações, e por isso roda igual neste processo, num conjunto de
processos ou em outra máquina. O que uma entrega faça de errado vira resultado; exceção, aqui, só de falha da correção.
"""

import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nbformat
from nbformat.v4 import new_output
from nbgrader.utils import determine_grade, is_grade, is_solution, is_task

from .cells import canaries, compile_test, skippable
from .kernels import Kernel, KernelError, Pool, imported_modules
from .nota import ESCAPES, explain_error
from .outputs import clean_markdown
from .rebuild import UnreadableError, read_submission, rebuild
from .results import CellResult, Note, Result, State
from .sandbox import IsolationError
from .suspicion import shadowing_files, suspicious_names

MAX_FOLDER_BYTES = 100_000_000
"""O que se copia da pasta de uma entrega, além do caderno."""

SENTENCES = {
    State.TIMEOUT: "Passou de {seconds:g} segundos e foi interrompida. Há um laço que não termina?",
    State.OUT_OF_MEMORY: "Passou do limite de {memory} MB de memória (ou de {processes} processos) e foi encerrada.",
    State.KERNEL_DIED: "O Python caiu durante esta célula: foi encerrado pelo código ou por um erro de memória.",
    State.TAMPERED: "O código da entrega mexeu no que confere as respostas. O professor vai olhar.",
}

SKIPPED = "[demonstração da aula, de que nenhuma resposta depende: não é executada na correção]\n"

_FLAG_SENTENCES = {
    "quadros": "Durante um teste, o código tentou olhar a pilha de chamadas ({detail}), onde está o teste.",
    "memoria": "O código tentou procurar objetos na memória do processo ({detail}).",
    "processos": "Durante um teste, o código tentou duplicar o processo ({detail}).",
    "biblioteca": "O código tentou trocar uma função da biblioteca por dentro ({detail}).",
    "igualdade": "Um teste recebeu um objeto da classe {detail}, da entrega, que decide sozinho a que é igual.",
}


def grade(submission, source, settings):
    """Corrige uma entrega.

    Args:
        submission: a ``Submission``; a pasta dela só é lida.
        source: a ``Source`` da lição.
        settings: as ``Settings``.

    Returns:
        O ``Result``. Uma falha da correção (um kernel que não começa) dá ``State.INFRASTRUCTURE``, que vale repetir.
    """
    start = time.monotonic()
    reference = nbformat.reads(source.notebook, as_version=4)
    identity = {"student": submission.student, "lesson": source.lesson, "name": source.name}
    try:
        submitted = read_submission(submission.folder / f"{source.name}.ipynb")
    except UnreadableError as error:
        cells = _blank_results(reference, State.UNREADABLE, 0.0, str(error))
        return Result(**identity, state=State.UNREADABLE, sentence=str(error), cells=cells)
    notebook, changes = rebuild(source, submitted)
    ours = {cell.source for cell in reference.cells}
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source not in ours:
            cell.source = clean_markdown(cell.source)
    with tempfile.TemporaryDirectory(prefix="entrega-") as folder:
        copied = copy_files(submission.folder, source, Path(folder))
        flags = [*shadowing_files(copied), *suspicious_names(_student_cells(notebook))]
        run = _Run(notebook, reference, settings, Path(folder))
        try:
            run.execute()
        except (KernelError, IsolationError) as error:
            cells = _blank_results(reference, State.INFRASTRUCTURE, None, str(error))
            return Result(**identity, state=State.INFRASTRUCTURE, sentence=str(error), cells=cells)
    return Result(
        **identity,
        state=State.TAMPERED if run.tampered else State.PASSED,
        sentence=SENTENCES[State.TAMPERED] if run.tampered else "",
        cells=tuple(run.results()),
        notebook=nbformat.writes(notebook),
        changes=changes,
        flags=(*run.flags(), *flags),
        isolation=settings.isolation,
        seconds=time.monotonic() - start,
    )


class _Run:
    """A execução de um caderno reconstruído, com quantos kernels forem precisos."""

    def __init__(self, notebook, reference, settings, folder):
        self.tampered = False
        self._notebook, self._settings, self._folder = notebook, settings, folder
        self._skipped = skippable(notebook, reference)
        self._deadline = time.monotonic() + settings.total_seconds
        self._kernel = None
        self._done = []
        self._signals = {}
        self._tampering = []
        self._results = {}
        self._canaries = canaries(imported_modules([reference]))  # a guarda não conhece o que só a entrega importa

    def execute(self):
        """Executa as células na ordem; as saídas ficam no caderno."""
        try:
            for cell in self._notebook.cells:
                if cell.cell_type == "code" and _is_test(cell):
                    self._test(cell)
                elif cell.cell_type == "code":
                    self._run(cell)
        finally:
            self._close()
        if self.tampered:
            self._void()

    def results(self):
        """Os resultados das células avaliadas, na ordem."""
        for cell in self._notebook.cells:
            if is_task(cell):
                yield CellResult(_grade_id(cell), float(cell.metadata.nbgrader.points), None, State.MANUAL)
            elif is_grade(cell) and is_solution(cell):
                score, points = determine_grade(cell)
                yield CellResult(_grade_id(cell), points, score, State.MANUAL)
            elif is_grade(cell):
                yield self._results[_grade_id(cell)]

    def flags(self):
        """O que a guarda viu, uma nota de cada."""
        for detail in sorted(set(self._tampering)):
            yield Note("adulteracao", detail, serious=True)
        for (kind, detail), cell in self._signals.items():
            yield Note(kind, _FLAG_SENTENCES[kind].format(detail=detail), cell, serious=True)

    def _run(self, cell):
        seconds = self._seconds()
        source = self._skipped.get(cell.id, cell.source)
        if cell.id in self._skipped:
            cell.outputs = [new_output("stream", name="stdout", text=SKIPPED)]
        if seconds <= 0 or not source.strip():
            return
        kernel = self._ready_kernel()
        execution = kernel.execute(source, seconds)
        if cell.id not in self._skipped:
            cell.outputs = execution.outputs
        self._watch(cell)
        if execution.state != State.PASSED:
            sentence = self._sentence(execution.state, seconds)
            cell.outputs.append(new_output("error", ename=execution.state.name, evalue=sentence, traceback=[sentence]))
        if kernel.alive:
            self._done.append(source)
        else:
            self._close()

    def _test(self, cell):
        points = float(cell.metadata.nbgrader.points)
        seconds = self._seconds()
        if seconds <= 0:
            sentence = f"A entrega passou de {self._settings.total_seconds:g} segundos no total e parou antes daqui."
            self._record(cell, CellResult(_grade_id(cell), points, 0.0, State.TIMEOUT, sentence))
            return
        start = time.monotonic()
        kernel = self._ready_kernel()
        request = compile_test(cell) | {"canaries": [code for code, _ in self._canaries]}
        execution, report = kernel.test(request, seconds)
        self._watch(cell)
        state, score, sentence = self._judge(execution, report, points, seconds)
        cell.outputs = [output for output in execution.outputs if output.get("name") == "stdout"]
        self._record(cell, CellResult(_grade_id(cell), points, score, state, sentence, time.monotonic() - start))
        if not kernel.alive:
            self._close()

    def _judge(self, execution, report, points, seconds):
        """Estado, nota e frase de um teste."""
        if execution.state != State.PASSED:
            return execution.state, 0.0, self._sentence(execution.state, seconds)
        if report is None:
            self._tampering.append("Um teste foi pedido e não houve resposta autêntica de que ele tenha terminado.")
            self.tampered = True
            return State.TAMPERED, 0.0, SENTENCES[State.TAMPERED]
        if report.swapped:
            self._tampering.append(f"Funções da biblioteca estavam trocadas: {', '.join(report.swapped)}.")
            self.tampered = True
        if report.canaries != tuple(expected for _, expected in self._canaries):
            self._tampering.append("As conferências deixaram de conferir: um teste de resultado conhecido deu o outro.")
            self.tampered = True
        if report.name:
            return *_failure(report), self._explain(report)
        if report.value is None or report.value < 0:
            return State.PASSED, points, ""
        score = min(float(report.value), points)
        return State.PASSED if score == points else State.PARTIAL, score, ""

    def _explain(self, report):
        if report.name == "MemoryError":
            return self._sentence(State.OUT_OF_MEMORY, 0)
        message = report.message.encode("utf-8", "replace").decode()  # uma metade de caractere não se grava
        return explain_error(report.name, ESCAPES.sub("", message)) or "A conferência não passou."

    def _record(self, cell, result):
        """Guarda o resultado e põe no caderno uma saída de que o nbgrader tira a mesma nota."""
        self._results[result.grade_id] = result
        cell.outputs = list(cell.get("outputs", ()))
        if result.state == State.PARTIAL:
            data = {"text/plain": repr(result.score)}
            cell.outputs.append(new_output("execute_result", data, execution_count=None))
        elif result.state != State.PASSED:
            cell.outputs.append(
                new_output("error", ename=result.state.name, evalue=result.sentence, traceback=[result.sentence])
            )

    def _void(self):
        """Num kernel adulterado nenhum teste vale: todos ficam em zero, à espera de uma pessoa."""
        for cell in filter(_is_test, self._notebook.cells):
            before = self._results[_grade_id(cell)]
            sentence = SENTENCES[State.TAMPERED]
            cell.outputs = []
            self._record(cell, replace(before, score=0.0, state=State.TAMPERED, sentence=sentence))

    def _ready_kernel(self):
        """O kernel em uso ou, se o anterior caiu, um novo em que as células já executadas são repetidas."""
        while self._kernel is None:
            self._kernel = Kernel(self._settings, self._folder, _pool(self._settings)).__enter__()
            for source in list(self._done):
                self._kernel.execute(source, max(1.0, self._seconds()))
                if not self._kernel.alive:  # caiu ao ser repetida: fica de fora da próxima vez
                    self._done.remove(source)
                    self._close()
                    break
        return self._kernel

    def _watch(self, cell):
        for kind, detail in self._kernel.signals:
            self._signals.setdefault((kind, detail), cell.get("id", ""))
        if self._kernel.broken_channel:
            self._tampering.append("Alguém escreveu no canal por onde os testes chegam, ou o fechou.")
            self.tampered = True

    def _close(self):
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _seconds(self):
        return min(self._settings.cell_seconds, self._deadline - time.monotonic())

    def _sentence(self, state, seconds):
        memory, processes = self._settings.memory_mb, self._settings.processes
        return SENTENCES[state].format(seconds=round(seconds), memory=memory, processes=processes)


def _failure(report):
    return (State.OUT_OF_MEMORY if report.name == "MemoryError" else State.FAILED), 0.0


def _is_test(cell):
    return is_grade(cell) and not is_solution(cell)


def _grade_id(cell):
    return cell.metadata.nbgrader.grade_id


def _student_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not _is_test(cell)]


def _blank_results(reference, state, score, sentence):
    """O resultado de cada célula avaliada de uma entrega que não chegou a ser executada."""
    return tuple(
        CellResult(_grade_id(cell), float(cell.metadata.nbgrader.points), score, state, sentence)
        if _is_test(cell)
        else CellResult(_grade_id(cell), float(cell.metadata.nbgrader.points), None, State.MANUAL)
        for cell in reference.cells
        if is_grade(cell) or is_task(cell)
    )


def copy_files(origin, source, target):
    """Copia o que acompanha o caderno de uma entrega, sem seguir atalhos, até ``MAX_FOLDER_BYTES``.

    Args:
        origin: a pasta da entrega.
        source: a ``Source``; os arquivos da lição vêm antes e ficam.
        target: a pasta para onde vão.

    Returns:
        Os caminhos relativos do que veio da entrega.
    """
    for name, content in source.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    copied, room = [], MAX_FOLDER_BYTES
    for folder, folders, names in os.walk(origin):
        folders[:] = [name for name in folders if name not in ("__pycache__", ".ipynb_checkpoints")]
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(origin)
            with suppress(OSError):  # um arquivo ilegível, ou com o nome de uma pasta da lição
                status = path.lstat()
                if not stat.S_ISREG(status.st_mode) or name == f"{source.name}.ipynb" or status.st_size > room:
                    continue
                if (target / relative).exists():
                    continue
                room -= status.st_size
                (target / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target / relative, follow_symlinks=False)
                copied.append(relative)
    return copied


_pools = {}


def _pool(settings):
    """O ``Pool`` deste processo, onde o endereço diz que não há processo aquecido a duplicar."""
    kind, _, modules = settings.kernels.partition("pool:")
    if kind or not settings.kernels:
        return None
    if settings.kernels not in _pools:
        _pools[settings.kernels] = Pool(settings, modules.split(",") if modules else [])
    return _pools[settings.kernels]

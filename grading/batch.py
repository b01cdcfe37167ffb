"""Uma turma: achar as entregas de uma lição e reparti-las entre processos, sem que nenhuma se perca pelo caminho."""

import os
import signal
import sys
import time
import unicodedata
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread

from .results import Result, Source, State, Submission

ATTEMPTS = 3
"""Quantas vezes, ao todo, se tenta corrigir uma entrega quando a falha é da correção."""

PATIENCE = 5  # segundos para um processo interrompido fechar o isolamento da entrega que tinha nas mãos


def name_order(name):
    """A chave da ordem alfabética de quem lê português: Ávila vem antes de Barros."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").lower(), name


def find_submissions(coursedir, lesson, students=None):
    """Acha as entregas de uma lição, na organização de pastas do nbgrader.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``, já configurado.
        lesson: o nome da lição.
        students: só as destes alunos; sem isto, as de todos.

    Returns:
        A lista das ``Submission``, na ordem do nome do aluno. O que não é pasta, o que começa com ponto e quem está em
        ``c.CourseDirectory.student_id_exclude`` ficam de fora.
    """
    pattern = Path(coursedir.format_path(coursedir.submitted_directory, "*", lesson)).parts
    place = pattern.index("*")
    everyone = Path(*pattern[:place])
    excluded = coursedir.student_id_exclude.split(",")
    wanted = students and {_normal(name) for name in students}
    return [
        Submission(folder.name, lesson, folder.joinpath(*pattern[place + 1 :]))
        for folder in sorted(everyone.glob("*"), key=lambda folder: name_order(folder.name))
        if folder.joinpath(*pattern[place + 1 :]).is_dir()
        and not folder.name.startswith(".")
        and folder.name not in excluded
        and (not wanted or _normal(folder.name) in wanted)
    ]


def _normal(name):
    """Um nome com acentos pode estar escrito de duas maneiras em Unicode; a do macOS não é a do teclado."""
    return unicodedata.normalize("NFC", name)


def refusal(submission):
    """Diz por que uma entrega não será aberta; vazio se não há por quê."""
    if submission.folder.is_symlink() or submission.folder.parent.is_symlink():
        return "A pasta da entrega é um link simbólico, que pode levar a qualquer lugar deste computador."
    try:
        submission.student.encode()
    except UnicodeEncodeError:
        return "O nome da pasta do aluno não é um texto em UTF-8: troque o nome dela."
    return ""


@dataclass
class _Job:
    submission: Submission
    source: Source
    attempts: int = 0

    def result(self, state, sentence):
        return Result(self.submission.student, self.source.lesson, self.source.name, state, sentence)


class UnreachableError(RuntimeError):
    """Quem corrige não está ao alcance: o lote para, e a mensagem diz o que fazer."""


def one_process():
    """Um executor de um processo só: quando o processo morre, sabe-se de que entrega foi a culpa."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin)


def grade_all(submissions, sources, settings, processes, grade=None, new_executor=one_process):
    """Corrige entregas, várias ao mesmo tempo, e devolve cada correção assim que fica pronta.

    Uma entrega cuja correção falha (o processo morreu, a função levantou uma exceção, uma célula terminou em
    ``INFRASTRUCTURE``) volta para o fim da fila, até ``ATTEMPTS`` vezes ao todo.

    Args:
        submissions: as entregas.
        sources: os cadernos da lição.
        settings: as ``Settings``.
        processes: quantas correções ao mesmo tempo.
        grade: a função que corrige; sem isto, ``grading.worker.grade``. Outro processo a importa pelo nome.
        new_executor: devolve um ``concurrent.futures.Executor``, um para cada lugar da roda. Um lugar só recebe uma
            entrega por vez e, se o executor dele se quebra, ganha outro. Os de um cluster são de ``grading.machines``.

    Yields:
        Um ``Result`` por entrega e caderno, na ordem em que terminam. Deixar de percorrê-los encerra os processos.

    Raises:
        UnreachableError: se um executor diz que não há mais quem corrija.
    """
    if grade is None:
        from .worker import grade
    waiting = deque(_Job(submission, source) for submission in submissions for source in sources)
    others = set(active_children())
    idle = [new_executor() for _ in range(min(processes, len(waiting)))]
    running = {}

    def submit(job):
        executor = idle.pop()
        arguments = grade, job.submission, job.source, settings
        try:
            return executor.submit(*arguments), executor
        except BrokenProcessPool:  # o processo morreu enquanto esperava
            executor = _replace(executor, new_executor)
            return executor.submit(*arguments), executor

    try:
        while waiting or running:
            finished = _start(waiting, idle, running, submit)
            done = wait(running, return_when=FIRST_COMPLETED).done if running and not finished else ()
            for future in done:
                job, executor = running.pop(future)
                result, broken = _outcome(job, future)
                idle.append(_replace(executor, new_executor) if broken else executor)
                if result.failed and job.attempts < ATTEMPTS:
                    waiting.append(job)
                else:
                    finished.append(result)
            finished += _start(waiting, idle, running, submit)
            yield from finished
    finally:
        _stop([*idle, *(executor for _, executor in running.values())], set(active_children()) - others, bool(running))


def _start(waiting, idle, running, submit):
    """Dá uma entrega a cada lugar vago; devolve os resultados das que nem se abrem."""
    refused = []
    while waiting and idle:
        job = waiting.popleft()
        if reason := refusal(job.submission):
            refused.append(job.result(State.UNREADABLE, reason))
            continue
        job.attempts += 1
        future, executor = submit(job)
        running[future] = job, executor
    return refused


def _outcome(job, future):
    """Devolve ``(result, broken)``: a correção, e se o executor ficou inútil."""
    try:
        return future.result(), False
    except BrokenProcessPool:
        return job.result(State.INFRASTRUCTURE, f"O processo que a corrigia morreu, em {ATTEMPTS} tentativas."), True
    except UnreachableError:
        raise
    except Exception as error:  # a correção de uma entrega não derruba a das outras
        sentence = f"A correção parou com {type(error).__name__}: {error}"
        return job.result(State.INFRASTRUCTURE, sentence), False


def _replace(executor, new_executor):
    executor.shutdown(wait=False)
    return new_executor()


def _stop(executors, children, interrupted):
    for executor in executors:
        executor.shutdown(wait=False, cancel_futures=True)
    if not interrupted:
        return
    for child in children:
        child.terminate()
    for child in children:
        child.join(PATIENCE)
        child.kill()


def _begin():
    """Num processo novo: o Ctrl-C é de quem o criou, e se esse morre, ou manda terminar, a entrega aberta é fechada."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def follow_parent():
        parent_process().join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)  # o executor apanha o SystemExit e ficaria à espera de outra entrega
        os._exit(1)

    Thread(target=follow_parent, daemon=True).start()

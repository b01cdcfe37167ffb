"""O único escritor: as notas na base do nbgrader e, em ``autograded/``, o que o formgrader e o feedback leem.

Quem dá a nota de cada célula, o aviso de resposta em branco e a multa por atraso são as peças do nbgrader
(``SaveCells``, ``SaveAutoGrades`` e, por ``grading.late``, ``AssignLatePenalties``), aplicadas ao caderno executado. O
que é daqui é o resto: o que escrever quando não houve nota, tudo de uma entrega numa transação só, e a pasta trocada
inteira.

A transação é a de https://docs.sqlalchemy.org/en/20/orm/session_transaction.html, em "Joining a Session into an
External Transaction": os ``commit`` que o nbgrader faz pelo caminho só valem quando a transação de fora termina.
"""

import fnmatch
import os
import shutil
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import nbformat
from nbgrader.api import InvalidEntry, MissingEntry, TaskCell
from nbgrader.preprocessors import SaveAutoGrades, SaveCells
from nbgrader.utils import determine_grade, is_grade, is_solution, is_task, parse_utc, rmtree
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import scoped_session, sessionmaker

from .course import GradebookError, alone, graded_folder, open_gradebook, reason, unusable
from .late import DailyPenalty, late_plugin, refresh_submission, update_penalty
from .ledger import KEYS, recorded, save_key, write_results
from .results import Note, State

WITHOUT_SCORE = {State.UNREADABLE: 0.0, State.TAMPERED: 0.0, State.INFRASTRUCTURE: None}
"""O que se grava, à espera de uma pessoa, no lugar da nota de uma célula ou de uma entrega que não a tem."""

TIMESTAMP = "timestamp.txt"
LONGEST_TIMESTAMP = 100  # bytes


class GradebookWriter:
    """Grava correções: um gerenciador de contexto, aberto enquanto o lote corre.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory`` do curso, já configurado.

    Attributes:
        lost: os alunos cuja correção não pôde ser gravada.

    Raises:
        GradebookError: ao abrir, se a base de notas não pode ser usada.
    """

    def __init__(self, coursedir):
        self.coursedir = coursedir
        self.lost = []
        self._files = {}
        self._open = ExitStack()

    def __enter__(self):
        with ExitStack() as opening:
            self._gradebook = opening.enter_context(open_gradebook(self.coursedir))
            try:
                with alone(self._gradebook.engine):
                    KEYS.create(self._gradebook.engine, checkfirst=True)
            except SQLAlchemyError as error:
                raise unusable(self.coursedir, error) from error
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_):
        self._open.close()

    def prepare(self, sources):
        """Põe a lição na base, ou atualiza o que está nela; as notas e os comentários que existem ficam.

        Args:
            sources: os cadernos da lição, de ``grading.source.prepare_source``.

        Raises:
            GradebookError: se a base não aceita escrita, ou se células avaliadas apareceram ou sumiram da fonte depois
                que entregas foram corrigidas.
        """
        lesson = sources[0].lesson
        self._files[lesson] = dict(sources[0].files)
        try:
            with alone(self._gradebook.engine):
                self._match_notebooks(lesson, {source.name for source in sources})
                for source in sources:
                    self._save_cells(source)
        except (SQLAlchemyError, InvalidEntry) as error:
            raise unusable(self.coursedir, error) from error

    def recorded(self, lesson):
        """As correções da lição que valem, como ``grading.ledger.recorded``."""
        try:
            return recorded(self._gradebook, self.coursedir, lesson)
        finally:
            self._gradebook.db.remove()

    def keep(self, submission):
        """Deixa uma correção como está, menos o desconto por atraso: o prazo e os pontos à mão podem ter mudado.

        Args:
            submission: uma entrega cuja correção vale.

        Returns:
            Se deu certo; senão, a entrega deve ser corrigida de novo, e ``write`` dirá o que houve.
        """
        try:
            with self._transaction() as gradebook:
                refresh_submission(self.coursedir, gradebook.find_submission(submission.lesson, submission.student))
        except Exception:  # o complemento que desconta o atraso é do professor, e levanta qualquer coisa
            return False
        return True

    def write(self, submission, results, key=""):
        """Grava a correção de uma entrega: primeiro as notas, todas ou nenhuma; depois a pasta de ``autograded/``.

        Args:
            submission: a entrega.
            results: os ``Result`` dela, um por caderno da lição.
            key: a chave da correção; sem ela, ou com uma falha da correção, a entrega continua por corrigir.

        Returns:
            A lista dos ``Result`` como foram gravados: com a ``INFRASTRUCTURE`` de uma nota que não confere com as
            saídas do caderno, ou de uma entrega que não pôde ser gravada, e o que se notou nos arquivos.
        """
        results = [_confirm(result) for result in results]
        try:
            timestamp, notes = _read_timestamp(submission.folder)
            files, skipped = self._submitted_files(submission.folder)
            if notes:  # o nbgrader, ao fazer o feedback, o leria
                files = [path for path in files if path != Path(TIMESTAMP)]
            results = [replace(result, flags=(*result.flags, *notes, *skipped)) for result in results]
            if any(result.failed for result in results):
                key = ""
            folder = self._build_folder(submission, results, files, key)
            try:
                self._save(submission, results, timestamp, key)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                self._save(submission, results, timestamp, key)  # o servidor foi reiniciado; esta já é outra conexão
            self._publish(folder, submission)
        # Os complementos do professor (a multa por atraso, por exemplo) levantam qualquer coisa, e o lote continua.
        except Exception as error:
            return self._give_up(submission, results, error)
        return results

    def _save(self, submission, results, timestamp, key):
        with self._transaction() as gradebook:
            self._record(gradebook, submission, results, timestamp)
            save_key(gradebook, submission, key)

    @contextmanager
    def _transaction(self):
        self._gradebook.db.remove()
        with alone(self._gradebook.engine), self._gradebook.engine.begin() as connection:
            maker = sessionmaker(bind=connection, join_transaction_mode="rollback_only")
            self._gradebook.db = scoped_session(maker)
            try:
                yield self._gradebook
                self._gradebook.db.flush()
            finally:
                self._gradebook.db.remove()

    # --- a lição

    def _match_notebooks(self, lesson, names):
        plugin = late_plugin(self.coursedir)
        deadline = plugin.deadline(lesson) if isinstance(plugin, DailyPenalty) else None
        assignment = self._gradebook.update_or_create_assignment(lesson, **({"duedate": deadline} if deadline else {}))
        known = {notebook.name for notebook in assignment.notebooks}
        if known and known != names and assignment.submissions:
            raise GradebookError(_explain_change(lesson, "Os cadernos", sorted(names - known), sorted(known - names)))
        for name in known - names:
            self._gradebook.remove_notebook(name, lesson)
        self._gradebook.db.remove()

    def _save_cells(self, source):
        saver = SaveCells(parent=self.coursedir)
        names = {"assignment": source.lesson, "notebook": source.name, "db_url": self.coursedir.db_url}
        try:
            saver.preprocess(nbformat.reads(source.notebook, as_version=4), {"nbgrader": names})
        except RuntimeError as error:
            old = saver.old_grade_cells | saver.old_solution_cells | saver.old_task_cells | saver.old_source_cells
            new = {*saver.new_grade_cells, *saver.new_solution_cells, *saver.new_task_cells, *saver.new_source_cells}
            what = f"As células avaliadas de {source.name}"
            raise GradebookError(_explain_change(source.lesson, what, sorted(new - old), sorted(old - new))) from error

    # --- as notas

    def _record(self, gradebook, submission, results, timestamp):
        gradebook.update_or_create_student(submission.student)
        when = {"timestamp": timestamp} if timestamp else {}
        with gradebook.db.no_autoflush:  # o SQLAlchemy avisaria, no terminal, de como o nbgrader a cria
            submitted = gradebook.update_or_create_submission(submission.lesson, submission.student, **when)
        for result in results:
            self._save_auto_grades(gradebook, result)
            notebook = gradebook.find_submission_notebook(result.name, result.lesson, result.student)
            _save_exceptions(notebook, result)
            gradebook.db.flush()
            gradebook.db.expire_all()
            update_penalty(self.coursedir, submitted, notebook)

    def _save_auto_grades(self, gradebook, result):
        if not result.notebook:
            return
        saver = SaveAutoGrades(parent=self.coursedir)
        saver.gradebook = gradebook
        saver.notebook_id, saver.assignment_id, saver.student_id = result.name, result.lesson, result.student
        scored = {cell.grade_id for cell in result.cells if WITHOUT_SCORE.keys().isdisjoint((cell.state, result.state))}
        for index, cell in enumerate(_read(result).cells):
            if is_solution(cell) or is_task(cell) or (is_grade(cell) and cell.metadata.nbgrader.grade_id in scored):
                saver.preprocess_cell(cell, {}, index)

    def _give_up(self, submission, results, error):
        self.lost.append(submission.student)
        sentence = f"A correção não pôde ser gravada: {reason(error)}"
        failed = [replace(one, state=State.INFRASTRUCTURE, sentence=sentence, notebook="") for one in results]
        try:
            with self._transaction() as gradebook:
                save_key(gradebook, submission, "")
                for result in failed:
                    with suppress(MissingEntry):
                        notebook = gradebook.find_submission_notebook(result.name, result.lesson, result.student)
                        _save_exceptions(notebook, result)
                        notebook.late_submission_penalty = None
            self._clean(self._destination(submission))
        except (SQLAlchemyError, OSError, ValueError):
            sentence += " A nota anterior, se havia, também não pôde ser apagada."
            failed = [replace(result, sentence=sentence) for result in failed]
        return failed

    # --- a pasta

    def _destination(self, submission):
        return graded_folder(self.coursedir, submission.student, submission.lesson)

    def _clean(self, destination):
        for path in (_new(destination), _old(destination), destination):
            if path.is_dir():
                rmtree(path)

    def _build_folder(self, submission, results, files, key):
        destination = self._destination(submission)
        folder = _new(destination)
        for leftover in (folder, _old(destination)):
            if leftover.is_dir():
                rmtree(leftover)
        folder.mkdir(parents=True)
        for result in results:
            if result.notebook:
                (folder / f"{result.name}.ipynb").write_bytes(_encode(result.notebook))
        write_results(folder, key, results)
        for name, content in self._files.get(submission.lesson, {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        for name in files:
            _copy(submission.folder / name, folder / name)
        self._set_permissions(folder)
        return folder

    def _submitted_files(self, folder):
        room = self.coursedir.max_dir_size * 1000
        chosen, skipped = [], []
        for path in sorted(_regular_files(folder, [*self.coursedir.ignore, "*.ipynb"])):
            size = path.lstat().st_size
            if size > room:
                skipped.append(path.name)
            else:
                room -= size
                chosen.append(path.relative_to(folder))
        if not skipped:
            return chosen, ()
        limit = self.coursedir.max_dir_size // 1000
        sentence = f"{len(skipped)} arquivo(s) da entrega não foram copiados para autograded: passam de {limit} MB."
        return chosen, (Note("arquivos_grandes", sentence),)

    def _set_permissions(self, folder):
        """As do nbgrader: o que foi corrigido é só para ler."""
        shared = self.coursedir.groupshared
        for path in (folder, *folder.rglob("*")):
            if path.is_file():
                path.chmod(0o664 if shared else 0o444)
            elif shared:
                path.chmod(path.stat().st_mode | 0o2770)

    def _publish(self, folder, submission):
        destination = self._destination(submission)
        if destination.is_dir():
            destination.rename(_old(destination))
        folder.rename(destination)
        if _old(destination).is_dir():
            rmtree(_old(destination))


def _save_exceptions(notebook, result):
    """Grava o que não é a nota que o nbgrader daria: falhas da correção, entregas ilegíveis ou adulteradas, sinais."""
    serious = any(note.serious for note in (*result.flags, *result.changes))
    for grade in notebook.grades:
        state = _state_of(grade, result)
        if state in WITHOUT_SCORE:
            grade.auto_score = WITHOUT_SCORE[state]
        if serious or not WITHOUT_SCORE.keys().isdisjoint((state, result.state)):
            grade.needs_manual_grade = True
    if not result.notebook:
        for comment in notebook.comments:
            comment.auto_comment = None


def _state_of(grade, result):
    cell = next((cell for cell in result.cells if cell.grade_id == grade.name), None)
    by_hand = result.notebook and cell and cell.state is State.MANUAL
    if result.state in WITHOUT_SCORE and not by_hand:
        return result.state
    if cell:
        return cell.state
    return State.MANUAL if isinstance(grade.cell, TaskCell) else State.INFRASTRUCTURE


def _encode(text):
    """Em UTF-8; metades de um caractere, que o JSON de uma entrega pode trazer, viram interrogações."""
    return text.encode(errors="replace")


def _read(result):
    return nbformat.reads(_encode(result.notebook).decode(), as_version=4)


def _confirm(result):
    """Confere que o nbgrader lê, nas saídas de cada célula, a nota que ela teve; onde não, a falha é da correção."""
    if not result.notebook or result.state in WITHOUT_SCORE:
        return result
    cells = _read(result).cells
    graded = {cell.metadata.nbgrader.grade_id: cell for cell in cells if is_grade(cell)}
    return replace(result, cells=tuple(_confirm_cell(cell, graded.get(cell.grade_id)) for cell in result.cells))


def _confirm_cell(result, cell):
    if result.state in (State.MANUAL, *WITHOUT_SCORE):
        return result
    try:
        read = None if cell is None else determine_grade(cell)[0]
    except (ValueError, KeyError, TypeError):
        read = None
    if read is not None and read == result.score:
        return result
    sentence = "A nota desta célula e as saídas dela no caderno corrigido não conferem; confira-a você."
    return replace(result, score=None, state=State.INFRASTRUCTURE, sentence=sentence)


def _read_timestamp(folder):
    """Devolve ``(quando, sinais)``; o arquivo, se há, pode ter vindo na entrega, com qualquer coisa dentro."""
    path = folder / TIMESTAMP
    try:
        information = path.lstat()
    except OSError:
        return None, ()
    try:
        if not stat.S_ISREG(information.st_mode) or information.st_size > LONGEST_TIMESTAMP:
            raise ValueError(path)
        return parse_utc(path.read_text(encoding="utf-8").strip()), ()
    except Exception:  # o dateutil, que o nbgrader usa, levanta de tudo
        sentence = "O timestamp.txt da entrega não tem uma data que se entenda: não sei se ela veio com atraso."
        return None, (Note("data_ilegivel", sentence),)


def _regular_files(folder, ignored):
    """Os arquivos comuns de uma pasta, a qualquer profundidade, sem seguir links simbólicos."""
    waiting = [] if folder.is_symlink() or folder.parent.is_symlink() else [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:  # caminhos longos demais, pastas sem permissão
            continue
        for entry in entries:
            if any(fnmatch.fnmatch(entry.name, pattern) for pattern in ignored):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def _copy(origin, target):
    """Copia um arquivo da entrega, a menos que o nome já seja de um do professor, ou um dos desta correção."""
    if target.exists():
        return
    with suppress(OSError):  # um arquivo da entrega com o nome de uma pasta do professor
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin, target, follow_symlinks=False)


def _new(destination):
    return destination.with_name(f".{destination.name}.nova")


def _old(destination):
    return destination.with_name(f".{destination.name}.anterior")


def _explain_change(lesson, what, added, removed):
    changes = [f"a mais, {', '.join(added)}"] * bool(added) + [f"a menos, {', '.join(removed)}"] * bool(removed)
    return (
        f"{what} mudaram depois que entregas da lição foram corrigidas: {'; '.join(changes)}. O nbgrader não muda a "
        "lista numa lição que já tem notas. Ponha a fonte como estava ou, se as notas dela podem se perder (também as "
        f"que você deu), guarde uma cópia da base e execute: nbgrader db assignment remove {lesson} --force"
    )

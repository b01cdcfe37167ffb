"""Experimenta outras soluções nas células avaliadas de uma lição.

Um processo próprio executa o caderno do professor, célula por célula; ao chegar a uma célula de solução ele se
bifurca (``os.fork``) uma vez por solução alternativa. Cada cópia já tem tudo importado e as células anteriores
executadas, e por isso experimentar centenas delas leva minutos, e não horas.
"""

import io
import json
import os
import runpy
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.utils import is_grade, is_solution

INLINE_BACKEND = "module://matplotlib_inline.backend_inline"
"""O que desenha as figuras num caderno."""

SECONDS = 60
"""Quanto esperar por uma solução; a que não termina é tão errada quanto as outras."""


@dataclass(frozen=True)
class Wrong:
    """Uma solução errada que um estudante escreveria.

    Attributes:
        mistake: o erro, numa frase curta; identifica a solução nos relatórios.
        message: um trecho da mensagem que o estudante deve ler.
        changes: trechos da célula da solução e o que vai no lugar de cada um; cada trecho aparece nela uma só vez.
        code: a célula inteira, quando o erro não é uma troca de trechos.
    """

    mistake: str
    message: str
    changes: dict | None = None
    code: str | None = None

    def source(self, reference):
        """O texto da célula com o erro, dada a célula da solução."""
        if self.code is not None:
            return self.code
        for old, new in self.changes.items():
            if reference.count(old) != 1:
                raise ValueError(f"{self.mistake}: o trecho {old!r} aparece {reference.count(old)} vezes na solução.")
            reference = reference.replace(old, new)
        return reference


@dataclass(frozen=True)
class Exercise:
    """As soluções com que se põe à prova o teste de uma célula.

    Attributes:
        right: uma solução certa escrita de outro modo, que deve ganhar todos os pontos.
        wrong: pelo menos três erradas, que devem perder pontos, cada uma com a sua mensagem.
    """

    right: str
    wrong: tuple


def load(lesson):
    """Lê ``tests/mutantes/LIÇÃO.py``: ``EXERCISES`` e ``SURVIVORS``."""
    return runpy.run_path(str(Path(__file__).parent / "mutantes" / f"{lesson}.py"))


def exercises(notebook):
    """Separa as células em exercícios avaliados com código.

    Args:
        notebook: o caderno do professor.

    Returns:
        Dicionário do id de cada célula de solução para ``(start, stop)``: a posição dela e a da última célula de teste
        antes da próxima solução, mais um.
    """
    found, start = {}, None
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if is_solution(cell):
            start = index
        elif is_grade(cell):
            found[notebook.cells[start].metadata.nbgrader.grade_id] = start, index + 1
    return found


def try_solutions(path, alternatives):
    """Corrige soluções alternativas, cada uma na sua célula de um caderno que no mais é o do professor.

    Args:
        path: o caderno do professor.
        alternatives: dicionário do id da célula de solução para a lista de textos que a substituem.

    Returns:
        Dicionário do id para a lista de resultados: de cada solução, as mensagens das células de teste que não
        passaram; uma lista vazia é uma solução que ganhou todos os pontos.
    """
    # Um processo com vários fios de execução não pode se bifurcar.
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        copied = shutil.copytree(Path(path).parent, Path(folder) / "licao") / Path(path).name
        process = subprocess.run(
            [sys.executable, "-m", "tests.mutants", str(copied)],
            input=json.dumps(alternatives),
            env=os.environ | one_thread | {"MPLBACKEND": INLINE_BACKEND, "IPYTHONDIR": folder},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
    if process.returncode:
        raise RuntimeError(f"{path}: {process.stderr[-3000:]}")
    return json.loads(process.stdout)


def _run_notebook(path, alternatives):
    """O processo que executa o caderno e se bifurca."""
    from IPython.core.interactiveshell import InteractiveShell

    import llmdefinitions.testing  # noqa: F401 — importado uma vez aqui, e não uma vez em cada bifurcação

    notebook = nbformat.read(path, as_version=4)
    os.chdir(path.parent)
    shell = InteractiveShell.instance()
    groups = {start: (grade_id, stop) for grade_id, (start, stop) in exercises(notebook).items()}
    results = {}
    for index, cell in enumerate(notebook.cells):
        if index in groups:
            grade_id, stop = groups[index]
            rest = notebook.cells[index + 1 : stop]
            results[grade_id] = [_fork(shell, code, rest) for code in alternatives.get(grade_id, [])]
        if cell.cell_type == "code" and (message := _run_cell(shell, cell.source)):
            raise RuntimeError(f"a célula {cell.id} do caderno do professor falhou: {message}")
    return results


def _run_cell(shell, source):
    """Executa uma célula em silêncio; devolve a mensagem do erro, ou ``None`` se não houve."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        outcome = shell.run_cell(source, store_history=False)
    error = outcome.error_before_exec or outcome.error_in_exec
    return None if error is None else f"{type(error).__name__}: {error}"


def _fork(shell, code, rest):
    """Experimenta uma solução numa cópia deste processo."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            json.dump(_grade(shell, code, rest), pipe)
        os._exit(0)
    os.close(writing)
    answer, deadline = b"", time.monotonic() + SECONDS
    while select.select([reading], [], [], max(0, deadline - time.monotonic()))[0]:
        if not (chunk := os.read(reading, 65536)):
            break
        answer += chunk
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    os.waitpid(child, 0)
    return json.loads(answer) if answer else ["não terminou"]


def _grade(shell, code, rest):
    _run_cell(shell, code)
    messages = [(is_grade(cell), _run_cell(shell, cell.source)) for cell in rest if cell.cell_type == "code"]
    return [message for is_test, message in messages if is_test and message is not None]


if __name__ == "__main__":
    print(json.dumps(_run_notebook(Path(sys.argv[1]), json.load(sys.stdin))))

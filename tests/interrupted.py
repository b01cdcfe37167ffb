"""``corrigir`` que recebe um SIGKILL num momento escolhido: ``python -m tests.interrupted LIÇÃO MOMENTO``.

O momento é ``SEGUNDOS``, desde o começo e, numa máquina rápida, até o fim da primeira gravação; ou ``ENTREGA:PASSO``:
ao n-ésimo passo da gravação da n-ésima entrega. Um passo é uma ordem à base de notas ou uma mexida no disco; se a
gravação tem menos, é no fim dela. O que se fazia ao morrer fica em ``morte.txt``.
"""

import os
import signal
import sys
from pathlib import Path
from threading import Timer

from sqlalchemy import event
from sqlalchemy.engine import Engine

from grading.cli import main
from grading.gradebook import GradebookWriter

ON_DISK = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.copyfile"}
ON_BASE = ("before_cursor_execute", "after_cursor_execute", "begin", "commit")


class Killer:
    """Conta as gravações e os passos da que está aberta; ao chegar ao escolhido, mata o processo."""

    def __init__(self, submission, step):
        self._chosen = submission, step
        self._submission, self._step, self._writing = 0, 0, False

    def watch(self):
        write = GradebookWriter.write

        def watched(writer, *arguments):
            self._submission, self._step, self._writing = self._submission + 1, 0, True
            try:
                return write(writer, *arguments)
            finally:
                if self._submission == self._chosen[0]:
                    die(f"gravação {self._submission}, passo {self._step}: fim")
                self._writing = False

        GradebookWriter.write = watched
        sys.addaudithook(lambda name, _: name in ON_DISK and self._count(name))
        for name in ON_BASE:
            event.listen(Engine, name, lambda *arguments, name=name: self._count(f"{name} {_statement(arguments)}"))

    def _count(self, what):
        if not self._writing:
            return
        self._step += 1
        if (self._submission, self._step) == self._chosen:
            self._writing = False
            die(f"gravação {self._submission}, passo {self._step}: {what}")


def _statement(arguments):
    return next((one.split(None, 1)[0] for one in arguments if isinstance(one, str)), "")


def die(what):
    Path("morte.txt").write_text(what, encoding="utf-8")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    submission, colon, step = sys.argv.pop().partition(":")
    if colon:
        Killer(int(submission), int(step)).watch()
    else:
        Killer(1, sys.maxsize).watch()
        Timer(float(submission), die, ["no tempo marcado"]).start()
    sys.exit(main())

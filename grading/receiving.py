"""``corrigir LIÇÃO --zip ARQUIVO``: põe em ``submitted/`` as entregas que vieram do Moodle ou do Canvas.

Cada entrega é aberta numa pasta ao lado e só depois vai para o lugar dela, de uma vez: interrompido, não fica nada pela
metade, e repetir o comando completa o que faltou. Nada se perde: a entrega que outra substitui vai para
``submitted/.anteriores/LIÇÃO/ALUNO/QUANDO``, que nem este comando nem o nbgrader leem.
"""

import tempfile
import unicodedata
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from nbgrader.api import InvalidEntry
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from .archives import ArchiveError, open_archive
from .console import open_console, plain
from .course import open_gradebook, unusable
from .incoming import (
    CANVAS,
    LARGEST_SUBMISSION,
    MOODLE,
    NEW,
    REFUSED,
    REPLACED,
    SAME,
    TIMESTAMP,
    name_students,
    read_parcels,
    settle,
    unpack,
)

LARGEST_CLASS = 5_000_000_000
"""Quantos bytes as entregas de uma turma podem ter, ao todo."""

TOGETHER = 300  # segundos; datas todas tão próximas são as de quando o zip foi feito


@dataclass(frozen=True)
class Arrival:
    """O que houve com a entrega de um aluno: ``state`` é ``NEW``, ``REPLACED``, ``SAME`` ou ``REFUSED``."""

    student: str
    state: str
    sentence: str = ""


def receive(coursedir, lesson, path, dated=False):
    """Abre um zip de entregas, põe cada uma no lugar e mostra o que houve.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``.
        lesson: o nome da lição.
        path: o caminho do zip.
        dated: se a data de cada arquivo no zip é a da entrega; vai para ``timestamp.txt``.

    Returns:
        A lista das ``Arrival``, uma por aluno.

    Raises:
        click.ClickException: se o zip inteiro não serve.
        GradebookError: se a base de notas não pode ser usada.
    """
    try:
        with open_archive(path) as archive:
            platform, parcels = read_parcels(archive, lesson)
            _check_size(parcels)
            dates = _read_dates(platform, parcels) if dated else [None] * len(parcels)
            with open_gradebook(coursedir) as gradebook:
                try:
                    names, homonyms = name_students(parcels, gradebook.students, platform)
                    names = [_name_on_disk(coursedir, lesson, name) for name in names]
                    _record(gradebook, platform, parcels, names)
                except (SQLAlchemyError, InvalidEntry) as error:
                    raise unusable(coursedir, error) from error
            arrivals = [
                _receive_one(archive, coursedir, lesson, parcel, name, date)
                for parcel, name, date in zip(parcels, names, dates, strict=True)
            ]
    except ArchiveError as error:
        raise click.ClickException(f"O arquivo {plain(str(path))} {error}") from error
    late = [name for parcel, name in zip(parcels, names, strict=True) if parcel.late]
    _show(platform, arrivals, homonyms, late)
    return arrivals


def _check_size(parcels):
    sizes = [sum(info.file_size for _, info in parcel.files) for parcel in parcels]
    if sum(size for size in sizes if size <= LARGEST_SUBMISSION) > LARGEST_CLASS:
        raise ArchiveError(f"tem mais de {LARGEST_CLASS // 1_000_000_000} GB de entregas.")


def _receive_one(archive, coursedir, lesson, parcel, student, date):
    destination = _place(coursedir, student, lesson)
    previous = _place(coursedir, ".anteriores", lesson) / student / f"{datetime.now():%Y-%m-%d_%Hh%Mm%S.%f}"
    beside = _place(coursedir, ".chegando", lesson)
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside, ignore_cleanup_errors=True) as folder:
            state = settle(unpack(archive, parcel, lesson, Path(folder)), destination, previous)
        if date:
            _write_date(destination / TIMESTAMP, date)
    except ArchiveError as error:
        return Arrival(student, REFUSED, f"O que foi entregue {error}")
    except OSError as error:
        return Arrival(student, REFUSED, f"O que foi entregue não pode ser gravado ({error.strerror or error}).")
    finally:
        for empty in (beside, beside.parent):
            with suppress(OSError):
                empty.rmdir()
    return Arrival(student, state, f"A entrega anterior está em {previous}." if state == REPLACED else "")


def _place(coursedir, student, lesson):
    return Path(coursedir.format_path(coursedir.submitted_directory, student, lesson))


def _name_on_disk(coursedir, lesson, name):
    """O nome da pasta que o aluno já tem, que pode estar escrito com os acentos do macOS."""
    everyone = _place(coursedir, "*", lesson)
    root = next(folder for folder in everyone.parents if "*" not in folder.parts)
    names = [folder.name for folder in root.iterdir()] if root.is_dir() else []
    return next((one for one in names if unicodedata.normalize("NFC", one) == name), name)


def _record(gradebook, platform, parcels, names):
    """Põe os alunos na base; o que já se sabe deles fica como está."""
    known = {student.id: student for student in gradebook.students}
    for parcel, name in zip(parcels, names, strict=True):
        found = {}
        if platform == MOODLE:
            found["first_name"], _, found["last_name"] = parcel.name.partition(" ")
        elif parcel.lms_id.isdecimal():
            found["lms_user_id"] = parcel.lms_id
        student = known.get(name)
        if student is None:
            gradebook.add_student(name, **{field: value[:128] for field, value in found.items()})
            continue
        if student.first_name or student.last_name:
            found = {field: value for field, value in found.items() if field == "lms_user_id"}
        for field, value in found.items():
            setattr(student, field, value[:128])
    gradebook.db.commit()


# --- as datas


def _read_dates(platform, parcels):
    """A data de cada entrega, lida no fuso horário deste computador: o zip não diz o dele."""
    if platform == CANVAS:
        raise ArchiveError(
            "é do Canvas, que põe em todos os arquivos a data em que o zip foi feito: use-o sem --horario-do-zip. O "
            "atraso que o Canvas marca no nome do arquivo aparece no resumo."
        )
    dates = [_latest(parcel) for parcel in parcels]
    known = [date for date in dates if date]
    if len(known) > 1 and (max(known) - min(known)).total_seconds() < TOGETHER:
        raise ArchiveError(
            "tem todos os arquivos com a mesma data, a de quando o zip foi feito, e não as das entregas: use-o sem "
            "--horario-do-zip."
        )
    return dates


def _latest(parcel):
    dates = []
    for _, info in parcel.files:
        with suppress(ValueError, OverflowError, OSError):
            date = datetime(*info.date_time)
            if date.year > 1980:  # a data de quem não sabe a data
                dates.append(date.astimezone(UTC))
    return max(dates, default=None)


def _write_date(path, date):
    text = f"{date:%Y-%m-%d %H:%M:%S} UTC\n"
    if path.is_symlink() or not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")


# --- o que dizer


def _show(platform, arrivals, homonyms, late):
    console = open_console()
    states = Counter(arrival.state for arrival in arrivals)
    words = {NEW: ("nova", "novas"), REPLACED: ("nova versão", "novas versões"), SAME: ("sem mudança",) * 2}
    words[REFUSED] = ("ficou de fora", "ficaram de fora")
    counts = ", ".join(f"{states[one]} {words[one][states[one] > 1]}" for one in words if states[one])
    lines = [f"{platform}: {len(arrivals)} entrega{'s' * (len(arrivals) != 1)} no zip: {counts}."]
    lines += [f"{one.student}: {one.sentence}" for one in arrivals if one.sentence]
    if late:
        lines.append(f"Com atraso, diz o {platform}: {', '.join(late)}.")
    if homonyms:
        again = " O número muda de tarefa para tarefa: junte você as pastas." if platform == MOODLE else ""
        lines.append(f"Há mais de um aluno com o mesmo nome; estes levaram o número: {', '.join(homonyms)}.{again}")
    for line in lines:
        console.print(Text(plain(line)))
    console.print()

"""``corrigir exportar``: as notas num CSV que o Moodle ou o Canvas importam, ou numa planilha para o professor.

O que cada um aceita está no código deles (``grade/import/csv`` do Moodle, ``lib/gradebook_importer.rb`` do Canvas):

- O Moodle acha o aluno pelo e-mail, pelo número de identificação ou pelo nome de usuário, e nunca pelo nome da pessoa;
  ``-`` é a nota que não há. A marca que o Excel quer no começo do arquivo não o atrapalha.
- O Canvas acha o aluno pelo número dele, que é o dos arquivos que ele dá a baixar, ou pelo *login*. As quatro primeiras
  colunas e a linha ``Points Possible`` são fixas.
"""

import csv
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import click
from rich.text import Text
from traitlets import TraitError

from .command import Command
from .console import new_table, open_console, plain
from .course import GradebookError, base_option, course_option, open_course, open_gradebook, reason
from .exports import SCALE, FinalGrade, class_grades, csv_rows, harmless, write_csv
from .incoming import MOODLE, name_key
from .late import refresh_penalties

FORMATS = {"csv": "notas.csv", "moodle": "notas-moodle.csv", "canvas": "notas-canvas.csv"}
"""O nome do arquivo, em cada formato, quando não se diz outro."""

FIELDS = {
    "first": ("nome", "primeiro nome", "first name", "firstname"),
    "last": ("sobrenome", "último nome", "last name", "lastname", "surname"),
    "full": ("nome completo", "full name", "nome / sobrenome", "first name / last name"),
    "email": ("endereço de email", "endereço de e-mail", "e-mail", "email", "email address"),
}
"""As colunas da lista de participantes que o Moodle dá a baixar, em português e em inglês."""


def moodle_rows(grades, lessons, emails, empty="-"):
    """As linhas do CSV do Moodle.

    Args:
        grades: a lista de ``Grades``.
        lessons: as lições, na ordem das colunas.
        emails: dicionário do aluno para o e-mail dele.
        empty: o que escrever no lugar da nota de quem não entregou.

    Yields:
        Uma linha de cada vez; as notas das lições vão de 0 a 100.
    """
    yield ["nome de usuário", "nome completo", "endereço de e-mail", *lessons, "nota final"]
    for one in grades:
        who = one.student.id, _full_name(one.student), emails.get(one.student.id, "")
        yield [*map(harmless, who), *_points(one, empty)]


def canvas_rows(grades, lessons, empty=""):
    """As linhas do CSV do Canvas; os argumentos são os de ``moodle_rows``."""
    yield ["Student", "ID", "SIS Login ID", "Section", *lessons, "nota final"]
    yield ["    Points Possible", "", "", "", *["100"] * len(lessons), str(SCALE)]
    for one in grades:
        student = one.student
        name = f"{student.last_name}, {student.first_name}" if student.first_name and student.last_name else student.id
        number = student.lms_user_id or ""
        login = "" if number else student.id
        yield [*map(harmless, (name, number, login)), "", *_points(one, empty)]


def _points(one, empty):
    marks = (empty if mark is None else f"{100 * mark:.2f}" for mark in one.marks.values())
    return [*marks, f"{one.final:.2f}"]


def _full_name(student):
    return f"{student.first_name or ''} {student.last_name or ''}".strip() or student.id


def read_emails(path):
    """Lê a lista de participantes que o Moodle dá a baixar.

    Args:
        path: o caminho do CSV.

    Returns:
        Dicionário do nome, como ``name_key`` o escreve, para o conjunto dos e-mails de quem tem esse nome.

    Raises:
        click.ClickException: se o arquivo não pode ser lido, ou faltam as colunas do nome e do e-mail.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        header = text.partition("\n")[0]
        rows = list(csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=header.count)))
    except (OSError, UnicodeError, csv.Error) as error:
        raise click.ClickException(f"Não consigo ler {path}: {reason(error)}") from error
    columns = {
        field: next((name for name in rows[0] if name and name.strip().casefold() in known), None) if rows else None
        for field, known in FIELDS.items()
    }
    if not columns["email"] or not (columns["full"] or columns["first"]):
        raise click.ClickException(f"{path} não tem as colunas do nome e do e-mail, como a lista que o Moodle baixa.")
    names = [columns["full"]] if columns["full"] else [columns["first"], columns["last"]]
    emails = defaultdict(set)
    for row in rows:
        full = " ".join(row[name] or "" for name in names if name)
        if row[columns["email"]]:
            emails[name_key(full, MOODLE)].add(row[columns["email"]].strip())
    return emails


def _find_emails(grades, listed):
    """O e-mail de cada aluno: o da base ou, se ninguém mais tem o nome dele, o da lista."""
    keys = {one.student.id: name_key(_full_name(one.student), MOODLE) for one in grades}
    alike = Counter(keys.values())
    found = {}
    for one in grades:
        key = keys[one.student.id]
        same_name = listed.get(key, ())
        email = one.student.email or (next(iter(same_name)) if len(same_name) == alike[key] == 1 else "")
        if email:
            found[one.student.id] = email
    return found


@click.command(
    "corrigir exportar",
    cls=Command,
    help="Grava as notas num CSV: a de cada lição, de 0 a 100, com a multa por atraso descontada, e a final, de 0 a "
    "10, com os pesos de c.FinalGrade.weights. Sem lições, são todas as que têm peso.",
)
@click.argument("licao", nargs=-1, metavar="[LIÇÃO]…")
@click.option(
    "--formato",
    type=click.Choice(list(FORMATS)),
    default="csv",
    metavar="FORMATO",
    help="Um de: csv, a planilha do professor; moodle ou canvas, o que cada um importa.  [padrão: csv]",
)
@click.option("--para", metavar="ARQUIVO", help=f"Onde gravar.  [padrão: {', '.join(FORMATS.values())}]")
@click.option("--substituir", is_flag=True, help="Grava por cima do arquivo, se ele já existe.")
@click.option(
    "--vazio-e-zero",
    is_flag=True,
    help="No moodle e no canvas, quem não entregou uma lição recebe 0 nela; sem isto, fica sem nota. Na final, conta "
    "sempre como 0.",
)
@click.option(
    "--participantes",
    metavar="ARQUIVO",
    help="A lista de participantes baixada do Moodle, de onde tirar o e-mail de cada aluno: sem e-mail, o Moodle não "
    "sabe de quem é a nota.",
)
@course_option
@base_option
def command(licao, formato, para, substituir, vazio_e_zero, participantes, curso, db):
    course = open_course(curso, db)
    weights = _weights(course)
    if unknown := [lesson for lesson in licao if lesson not in weights]:
        raise click.ClickException(
            f"Não têm peso em c.FinalGrade.weights: {', '.join(unknown)}. As que têm: {', '.join(weights)}."
        )
    lessons = [lesson for lesson in weights if not licao or lesson in licao]
    listed = read_emails(participantes) if participantes else {}
    try:
        with open_gradebook(course.coursedir) as gradebook:
            refresh_penalties(course.coursedir, gradebook, lessons)
            known = {assignment.name for assignment in gradebook.assignments}
            grades = class_grades(gradebook, weights, lessons)
            emails = _find_emails(grades, listed)
            rows = _rows(formato, grades, lessons, emails, "0.00" if vazio_e_zero else "")
            students = [one.student.id for one in grades]
    except GradebookError as error:
        raise click.ClickException(str(error)) from error
    if not grades:
        raise click.ClickException("A base de notas ainda não tem alunos. Corrija uma lição antes.")
    path = Path(para or course.folder / FORMATS[formato])
    _save(path, rows, "utf-8" if formato == "canvas" else "utf-8-sig", substituir)
    waiting = {
        lesson: [name for name, one in zip(students, grades, strict=True) if lesson in one.waiting]
        for lesson in lessons
    }
    _show(path, grades, weights, waiting)
    if missing := [lesson for lesson in lessons if lesson not in known]:
        click.echo(f"Ainda não estão na base de notas, e por isso valem zero: {', '.join(missing)}.")
    if nameless := [name for name in students if formato == "moodle" and name not in emails]:
        click.echo(
            f"Sem e-mail: {plain(', '.join(nameless))}. O Moodle não acha um aluno pelo nome: dê a lista com "
            "--participantes, ou importe pelo nome de usuário se as pastas de submitted/ são esses nomes."
        )


def _rows(kind, grades, lessons, emails, empty):
    if kind == "canvas":
        return list(canvas_rows(grades, lessons, empty))
    return list(moodle_rows(grades, lessons, emails, empty or "-") if kind == "moodle" else csv_rows(grades, lessons))


def _weights(course):
    try:
        weights = FinalGrade(parent=course).weights
    except TraitError as error:
        raise click.ClickException(reason(error)) from error
    if not weights:
        raise click.ClickException("Faltam os pesos das lições: defina c.FinalGrade.weights em nbgrader_config.py.")
    return weights


def _save(path, rows, encoding, replace):
    """Grava o arquivo de uma vez; um diferente que já exista só é trocado se isso foi pedido."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exportando-") as folder:
            new = Path(folder, "notas.csv")
            write_csv(new, rows, encoding)
            if path.exists() and not replace and path.read_bytes() != new.read_bytes():
                raise click.ClickException(f"{path} já existe, e tem outras notas. Para gravar por cima: --substituir")
            new.replace(path)
    except OSError as error:
        raise click.ClickException(f"Não consigo gravar {path}: {error.strerror or error}.") from error


def _show(path, grades, weights, waiting):
    console = open_console()
    table = new_table(console, "lição", ">peso", ">entregas", ">média", ">à mão")
    for lesson, students in waiting.items():
        marks = [100 * one.marks[lesson] for one in grades if one.marks[lesson] is not None]
        table.add_row(lesson, f"{weights[lesson]:g}", str(len(marks)), _mean(marks), str(len(students)))
    late = sum(bool(one.waiting) for one in grades)
    table.add_row("nota final", "", str(len(grades)), _mean([one.final for one in grades]), str(late))
    console.print(table)
    for lesson, students in waiting.items():
        if students:
            console.print(Text(plain(f"Falta corrigir à mão em {lesson}: {', '.join(students)}.")))
    console.print(Text(f"Notas gravadas em {plain(str(path))}"))


def _mean(values):
    return f"{sum(values) / len(values):.1f}".replace(".", ",") if values else "—"

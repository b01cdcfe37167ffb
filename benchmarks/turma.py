"""Faz uma turma de mentira, com o que uma turma de verdade entrega, e sabe o que cada entrega merece.

As respostas vêm do caderno do professor e de ``tests/mutantes/``: soluções erradas que um estudante escreveria, e
certas escritas de outro modo. O que se espera de cada entrega vai para ``turma.json``, ao lado de ``submitted/``.

Uso: ``python benchmarks/turma.py PASTA``; ``--help`` mostra as opções. Depois, ``corrigir LIÇÃO --curso PASTA``.
"""

import json
import random
import shutil
import sys
import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

import click
from respostas import SAMPLE, Lesson, course_lessons, write_course
from rich.progress import Progress

from grading.command import Command, run
from grading.results import State

PERFECT, OTHERWISE, MUTANT, BLANK, BROKEN = "perfeita", "outro modo", "mutante", "em branco", "quebrada"
SHARES = {PERFECT: 25, OTHERWISE: 15, MUTANT: 40, BLANK: 10, BROKEN: 10}
"""Quanto de cada tipo há numa turma; só a proporção importa."""

EXPECTED = "turma.json"

NAMES = (
    "Açucena Adão Aírton Ângela Antônio Bárbara Benício Caetano Cássia Célia Conceição Débora Édson Elói Érica Estêvão "
    "Fábio Flávia Glória Graça Hélio Inácio Inês Ítalo Jandira João Jordânia José Júlia Laís Lívia Lúcia Luís Mário "
    "Moacir Mônica Nádia Noêmia Otávio Patrícia Raíssa Raul Rondinelli Sílvia Sônia Tainá Taís Ubirajara Vânia Vitória "
    "Yasmin Zélia Zoé"
)
SURNAMES = (
    "Abrantes|Aguiar|Aragão|Assunção|Barcellos|Brandão|Câmara|Corrêa|da Luz|d'Ávila|de Sá|do Ó|dos Anjos|"
    "Esteves|Falcão|Figueirôa|Fontoura|Galvão|Gonçalves|Guimarães|Jatobá|Leitão|Lobão|Magalhães|Mourão|Muniz|"
    "Negreiros|Nóbrega|Ogawa|Patrício|Peçanha|Piauí|Quintão|Romão|Sabóia|Simões|Taború|Tenório|Valadão|Ximenes"
)


@dataclass(frozen=True)
class Expected:
    """O que a correção de uma entrega deve dizer.

    Attributes:
        student, lesson: de quem e de que lição.
        kind: uma das chaves de ``SHARES``.
        detail: os erros que há nela, ou o que a quebrou.
        full: os ids das células de teste que devem ganhar todos os pontos.
        lost: os das que devem perder pontos.
    """

    student: str
    lesson: str
    kind: str
    detail: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def student_names(number, seed):
    """Nomes inventados, todos diferentes, também para um sistema que não distingue acentos nem maiúsculas.

    Args:
        number: quantos.
        seed: a semente.

    Returns:
        Lista de nomes, em ordem.
    """
    draw, names = random.Random(seed), {}  # noqa: S311
    first, last = NAMES.split(), SURNAMES.split("|")
    while len(names) < number:
        name = " ".join([draw.choice(first), *draw.sample(last, 2)])
        names.setdefault(unicodedata.normalize("NFD", name).encode("ascii", "ignore").lower(), name)
    return sorted(names.values())


def split(number, shares):
    """Reparte um número inteiro: as sobras vão para as maiores frações, e a soma é exata.

    Args:
        number: quanto repartir.
        shares: dicionário de nomes para pesos.

    Returns:
        Dicionário dos mesmos nomes para inteiros.
    """
    exact = {name: number * share / sum(shares.values()) for name, share in shares.items()}
    whole = {name: int(value) for name, value in exact.items()}
    most = sorted(exact, key=lambda name: whole[name] - exact[name])
    return {name: whole[name] + (name in most[: number - sum(whole.values())]) for name in shares}


def make_class(course, lessons, number, seed=123, shares=None, advance=lambda: None):
    """Grava as entregas de uma turma em ``submitted/`` e, ao lado, o que se espera de cada uma.

    Args:
        course: a pasta do curso.
        lessons: os nomes das lições.
        number: quantos alunos.
        seed: a semente; a mesma faz a mesma turma, e uma lição não muda as outras.
        shares: quanto há de cada tipo, em cada lição, como ``SHARES``.
        advance: chamada a cada entrega gravada.

    Returns:
        Lista de ``Expected``.

    Raises:
        click.ClickException: se já há entregas no curso, ou se não há uma das lições.
    """
    for path in (course / "submitted", course / EXPECTED):
        if path.exists():
            raise click.ClickException(f"Já há uma turma em {path}, e eu não escrevo por cima dela.")
    read = [Lesson(course, name) for name in lessons]
    students = student_names(number, seed)
    expected = []
    for lesson in read:
        for student, plan in zip(students, _plans(lesson, number, seed, shares or SHARES), strict=True):
            expected.append(_submit(course, lesson, student, *plan))
            advance()
    contents = {"semente": seed, "entregas": [asdict(one) for one in expected]}
    (course / EXPECTED).write_text(json.dumps(contents, indent=1, ensure_ascii=False), encoding="utf-8")
    return expected


def read_class(course):
    """O que ``make_class`` devolveu."""
    contents = json.loads((course / EXPECTED).read_text(encoding="utf-8"))
    lists = ("detail", "full", "lost")
    return [Expected(**one | {name: tuple(one[name]) for name in lists}) for one in contents["entregas"]]


def _plans(lesson, number, seed, shares):
    """De cada aluno: o tipo da entrega, as respostas, os erros e o estrago; erros e estragos se revezam."""
    draw = random.Random(f"{seed}/{lesson.name}")  # noqa: S311
    kinds = [kind for kind, count in split(number, shares).items() for _ in range(count)]
    draw.shuffle(kinds)
    breakages = cycle(draw.sample(sorted(BREAKAGES), len(BREAKAGES)))
    decks = {grade_id: cycle(draw.sample(one.wrong, len(one.wrong))) for grade_id, one in lesson.written.items()}
    for kind in kinds:
        answers, mistakes = dict(lesson.answers), {}
        if kind == OTHERWISE:
            answers = {grade_id: one.right for grade_id, one in lesson.written.items()}
        if kind == MUTANT:
            most = max(1, len(answers) - 1)  # ao menos uma certa, se há mais de uma
            mistakes = {
                grade_id: next(decks[grade_id]) for grade_id in draw.sample(list(answers), draw.randint(1, most))
            }
            answers |= {grade_id: lesson.wrong(grade_id, wrong) for grade_id, wrong in mistakes.items()}
        yield kind, answers, mistakes, next(breakages) if kind == BROKEN else ""


def _submit(course, lesson, student, kind, answers, mistakes, breakage):
    """Grava uma entrega e devolve o ``Expected`` dela."""
    folder = course / "submitted" / student / lesson.name
    path = folder / f"{lesson.name}.ipynb"
    shutil.copytree(lesson.folder, folder)
    if kind != BLANK:
        path.write_text(lesson.notebook(student, answers), encoding="utf-8")
    detail = tuple(f"{grade_id}: {wrong.mistake}" for grade_id, wrong in mistakes.items())
    if kind == BROKEN:
        BREAKAGES[breakage](path)
        detail = (breakage,)
    wrong = answers if kind in (BLANK, BROKEN) else mistakes
    right = [grade_id for grade_id in answers if grade_id not in wrong]
    return Expected(student, lesson.name, kind, detail, lesson.tests_of(right), lesson.tests_of(wrong))


def _truncate(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _old_format(path):
    """Um caderno no formato de 2013, de um programa que não escreve as saídas."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    kept = [{"cell_type": cell["cell_type"], "input": cell["source"]} for cell in cells]
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": kept}]}
    path.write_text(json.dumps(old), encoding="utf-8")


BREAKAGES = {
    "vazio": lambda path: path.write_bytes(b""),
    "binário": lambda path: path.write_bytes(bytes(range(128, 256)) * 1000),
    "truncado": _truncate,
    "formato errado": _old_format,
    "sem caderno": Path.unlink,
}
"""O que acontece com os cadernos de uma turma."""


def problems(expected, results):
    """O que uma correção não disse como devia.

    Args:
        expected: o ``Expected`` da entrega.
        results: os ``Result`` dela, de ``grading.ledger.read_results``.

    Returns:
        Lista de frases; vazia se saiu tudo como se esperava.
    """
    if len(results) != 1:
        return [f"esperava uma correção; há {len(results)}"]
    (result,) = results
    found = []
    state = State.UNREADABLE if expected.kind == BROKEN else State.PASSED
    if result.state != state:
        found.append(f"esperava «{state}»; a entrega ficou «{result.state}»")
    found += [f"sinal sério sem razão: {note.sentence}" for note in result.flags if note.serious]
    cells = {cell.grade_id: cell for cell in result.cells if cell.state != State.MANUAL}
    if cells.keys() != {*expected.full, *expected.lost}:
        found.append(f"as células de teste corrigidas são outras: {', '.join(cells)}")
    for cell in cells.values():
        highest = 0 if expected.kind in (BLANK, BROKEN) else cell.points - 0.001
        if cell.grade_id in expected.full and cell.score != cell.points:
            found.append(f"{cell.grade_id} deveria ter {cell.points:g} pontos; tem {cell.score} ({cell.sentence})")
        if cell.grade_id in expected.lost and (cell.score is None or cell.score > highest):
            found.append(f"{cell.grade_id} deveria perder pontos; tem {cell.score} de {cell.points:g}")
    return found


def _share(kind, sentence):
    """Uma opção com a parte da turma que é de um tipo."""
    default = SHARES[kind]
    return {
        "type": click.FloatRange(0),
        "default": default,
        "metavar": "X",
        "help": f"{sentence}  [padrão: {default}]",
    }


@click.command(
    "python benchmarks/turma.py",
    cls=Command,
    help="Faz em PASTA uma turma de mentira, para experimentar a correção: respostas certas, erradas, em branco e "
    "cadernos quebrados, em submitted/ALUNO/LIÇÃO, e em turma.json o que se espera de cada um. Se PASTA ainda não é um "
    "curso, recebe uma cópia deste. Não escreve por cima de entregas.",
)
@click.argument("pasta", type=click.Path(path_type=Path), metavar="PASTA")
@click.option("--alunos", type=click.IntRange(1), default=60, metavar="N", help="Quantos alunos.  [padrão: 60]")
@click.option(
    "--licao",
    multiple=True,
    metavar="LIÇÃO",
    help=f"Só esta lição; pode ser repetida. {SAMPLE} é a de amostra.  [padrão: todas as do curso]",
)
@click.option("--semente", default=123, metavar="N", help="A mesma semente faz a mesma turma.  [padrão: 123]")
@click.option("--perfeitas", **_share(PERFECT, "As respostas do professor."))
@click.option("--outro-modo", **_share(OTHERWISE, "Certas, escritas de outro modo."))
@click.option("--mutantes", **_share(MUTANT, "Com um ou mais exercícios errados."))
@click.option("--em-branco", **_share(BLANK, "O caderno como foi recebido."))
@click.option("--quebradas", **_share(BROKEN, "Cadernos vazios, binários, truncados…"))
def command(pasta, alunos, licao, semente, perfeitas, outro_modo, mutantes, em_branco, quebradas):
    shares = dict(zip(SHARES, (perfeitas, outro_modo, mutantes, em_branco, quebradas), strict=True))
    if not any(shares.values()):
        raise click.ClickException("Ao menos um tipo de entrega tem de ter mais que zero.")
    lessons = licao or course_lessons()
    if not (pasta / "nbgrader_config.py").exists():
        write_course(pasta, lessons)
    with Progress(transient=True) as progress:
        task = progress.add_task("gravando", total=alunos * len(lessons))
        expected = make_class(pasta, lessons, alunos, semente, shares, lambda: progress.advance(task))
    kinds = Counter(one.kind for one in expected)
    click.echo(f"{len(expected)} entregas em {pasta / 'submitted'}: ", nl=False)
    click.echo(", ".join(f"{kind} {kinds[kind]}" for kind in SHARES if kinds[kind]) + ".")
    click.echo(f"O que se espera de cada uma: {pasta / EXPECTED}")


if __name__ == "__main__":
    sys.exit(run(command))

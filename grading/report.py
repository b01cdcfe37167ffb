"""``corrigir relatorio``: a turma inteira numa página, para o professor."""

import os
import tempfile
import unicodedata
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import click
import jinja2
from traitlets import TraitError

from .classroom import read_answers, read_lesson
from .command import Command
from .console import SCORED, open_console, plain
from .course import GradebookError, base_option, course_option, lesson_names, open_course, open_gradebook
from .exports import SCALE, FinalGrade
from .figures import decimal, percent, plot_grades, plot_success, plot_times
from .results import State
from .similarity import GRAM, LEAST_SHARE, LEAST_SHARED, similar_answers
from .statistics import (
    LEAST_STUDENTS,
    common_mistakes,
    discrimination,
    read_discrimination,
    summarize,
    weighted_final,
)
from .status import CHANGED, GRADED, MISSING

MARK = '<meta name="generator" content="corrigir relatorio">'
"""O que diz que um arquivo é um destes relatórios, e pode ser trocado por outro."""

SHOWN_MISTAKES, SHOWN_PAIRS, SHOWN_SLOWEST = 5, 40, 3
LOW_SUCCESS, LOW_INDEX = 0.4, 0.2
MANY_SHARE, MANY_STUDENTS = 0.15, 4
"""O mesmo erro merece aula quando é desta fração da turma e ao menos destes alunos."""
LONGEST_SENTENCE, LONGEST_CODE = 600, 6000  # caracteres


def report(lessons, everyone, weights, matches, name):
    """Monta a página.

    Args:
        lessons: as ``Lesson``, de ``grading.classroom``.
        everyone: os alunos da turma, tenham ou não entregado.
        weights: dicionário da lição para o peso na nota final.
        matches: os pares parecidos, como ``similar_answers`` os devolve, com a célula ``(lição, caderno, id)``.
        name: como chamar o curso.

    Returns:
        O HTML, num arquivo só, sem programas e sem nada de fora.
    """
    loader = jinja2.PackageLoader("grading", "modelos")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"decimal": decimal, "percent": percent, "shown": shown, "code": code}
    described = [_describe_lesson(lesson, everyone) for lesson in lessons]
    titles = {(lesson.name, *key): title for lesson in lessons for key, title in lesson.titles.items()}
    faults = sorted((row for lesson in lessons for row in _faults(lesson)), key=lambda row: _order(row["student"]))
    flags = _flags(lessons)
    context = {
        "mark": MARK,
        "name": name,
        "when": datetime.now().astimezone(),
        "lessons": described,
        "students": len(everyone),
        "total": {key: sum(lesson["counts"][key] for lesson in described) for key in described[0]["counts"]},
        "overview": _overview(lessons) if len(lessons) > 1 else None,
        "final": _final(lessons, everyone, weights),
        "times": _times(lessons),
        "faults": faults,
        "flags": flags,
        "missing": _missing(lessons, everyone),
        "pairs": [_pair(pair, found, titles) for pair, found in list(matches.items())[:SHOWN_PAIRS]],
        "n_pairs": len(matches),
        "attention": _attention(described, flags),
        "least": {"students": LEAST_STUDENTS, "gram": GRAM, "shared": LEAST_SHARED, "share": LEAST_SHARE},
    }
    return environment.get_template("relatorio.html").render(context)


def shown(text):
    """Um texto que veio de uma entrega, numa linha e de tamanho razoável."""
    text = plain(" ".join(text.split()))
    return text if len(text) <= LONGEST_SENTENCE else text[:LONGEST_SENTENCE] + "…"


def code(text):
    """Um pedaço de código que veio de uma entrega, com as linhas dele."""
    return "\n".join(plain(line.expandtabs(4)) for line in text.split("\n"))


def _order(name):
    """A ordem alfabética de quem lê português: Ávila vem antes de Barros."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").lower(), name


def _describe_lesson(lesson, everyone):
    states = Counter(lesson.states.values())
    settled = [100 * grade for student, grade in lesson.grades.items() if student not in lesson.waiting]
    waiting = [100 * lesson.grades[student] for student in lesson.waiting]
    exercises = [_describe_exercise(lesson, exercise) for exercise in lesson.exercises]
    return {
        "name": lesson.name,
        "counts": {
            "submissions": len(lesson.states),
            "graded": states[GRADED],
            "changed": states[CHANGED],
            "ungraded": states[MISSING],
            "waiting": len(lesson.waiting),
            "faults": len({row["student"] for row in _faults(lesson)}),
            "flags": len({student for student, results in lesson.results.items() if any(r.flags for r in results)}),
            "missing": len(everyone - lesson.states.keys() - lesson.marks.keys()),
        },
        "grades": summarize([*settled, *waiting]),
        "histogram": plot_grades(settled, waiting, 100, f"na lição {lesson.name}"),
        "exercises": exercises,
        "success": plot_success(
            [one["title"] for one in exercises],
            [one["success"] for one in exercises],
            ["" if one["index"] is None else f" · D {decimal(one['index'], 2)}" for one in exercises],
            LOW_SUCCESS,
        ),
    }


def _describe_exercise(lesson, exercise):
    shares, rest = lesson.shares(exercise), lesson.rest(exercise)
    both = [student for student in shares if student in rest]
    index = discrimination([shares[one] for one in both], [rest[one] for one in both])
    success = sum(shares.values()) / len(shares) if shares else None
    wrong = [
        (student, cell.sentence)
        for student, results in lesson.results.items()
        for result in results
        for cell in result.cells
        if (result.name, cell.grade_id) == exercise.key and cell.state in (State.FAILED, State.PARTIAL)
    ]
    mistakes = common_mistakes(wrong)
    return {
        "title": exercise.title,
        "points": exercise.points,
        "students": len(shares),
        "waiting": sum(marks[exercise.key].waiting for marks in lesson.marks.values() if exercise.key in marks),
        "success": success,
        "index": index,
        "reading": read_discrimination(index, success),
        "compared": len(both),
        "mistakes": mistakes[:SHOWN_MISTAKES],
        "other_mistakes": mistakes[SHOWN_MISTAKES:],
    }


def _overview(lessons):
    """A figura que compara as lições: pontos ganhos sobre os que já têm nota."""
    shares = []
    for lesson in lessons:
        marks = [mark for one in lesson.marks.values() for mark in one.values() if not mark.waiting]
        points = sum(mark.points for mark in marks)
        shares.append(sum(mark.earned for mark in marks) / points if points else None)
    return plot_success([lesson.name for lesson in lessons], shares, least=LOW_SUCCESS)


def _final(lessons, everyone, weights):
    """A média ponderada das lições do relatório; ``None`` se não há duas com peso."""
    used = {lesson.name: weights[lesson.name] for lesson in lessons if weights.get(lesson.name)}
    if len(used) < 2:
        return None
    waiting = {student for lesson in lessons if lesson.name in used for student in lesson.waiting}
    finals = {
        student: weighted_final({one.name: one.grades[student] for one in lessons if student in one.grades}, used)
        for student in everyone
    }
    settled = [grade for student, grade in finals.items() if student not in waiting]
    rest = [grade for student, grade in finals.items() if student in waiting]
    return {
        "weights": used,
        "summary": summarize(finals.values()),
        "histogram": plot_grades(settled, rest, SCALE, "da média ponderada"),
    }


def _times(lessons):
    """O tempo de cada entrega que foi executada; ``None`` se nenhuma foi."""
    by_lesson = {}
    for lesson in lessons:
        spent = {
            student: sum(result.seconds for result in results)
            for student, results in lesson.results.items()
            if results and all(result.state is State.PASSED for result in results)
        }
        if spent:
            by_lesson[lesson.name] = spent
    if not by_lesson:
        return None
    rows = [
        {
            "lesson": name,
            "summary": summarize(spent.values()),
            "slowest": sorted(spent.items(), key=lambda one: (-one[1], one[0]))[:SHOWN_SLOWEST],
        }
        for name, spent in by_lesson.items()
    ]
    return {"rows": rows, "figure": plot_times({name: list(spent.values()) for name, spent in by_lesson.items()})}


def _faults(lesson):
    """O que não foi nem acerto nem erro: uma linha por entrega ou por exercício."""
    for student, results in lesson.results.items():
        for result in results:
            row = {"student": student, "lesson": lesson.name}
            if result.state is not State.PASSED:
                yield row | {"where": "a entrega inteira", "state": result.state, "sentence": result.sentence}
                continue
            for cell in result.cells:
                if cell.state not in SCORED:
                    where = lesson.title(result.name, cell.grade_id)
                    yield row | {"where": where, "state": cell.state, "sentence": cell.sentence}


def _flags(lessons):
    """Dicionário do aluno para os sinais das entregas dele: ``(lição, Note)``, sem repetir."""
    found = defaultdict(dict)
    for lesson in lessons:
        for student, results in lesson.results.items():
            for flag in (flag for result in results for flag in result.flags):
                found[student][lesson.name, flag.sentence] = flag
    return {
        student: [(lesson, flag) for (lesson, _), flag in found[student].items()]
        for student in sorted(found, key=_order)
    }


def _missing(lessons, everyone):
    rows = {}
    for student in sorted(everyone, key=_order):
        absent = [one.name for one in lessons if student not in one.states and student not in one.marks]
        if absent:
            rows[student] = absent
    return rows


def _pair(pair, found, titles):
    return {
        "students": pair,
        "matches": [
            {
                "lesson": match.first.cell[0],
                "title": titles.get(match.first.cell, match.first.cell[-1]),
                "shared": match.shared,
                "sizes": match.sizes,
                "share": match.share,
                "sides": [_within(side) for side in match.fragments()],
            }
            for match in found
        ],
    }


def _within(pieces):
    """Os pedaços de uma resposta até o tamanho que se mostra."""
    kept, room = [], LONGEST_CODE
    for text, is_shared in pieces:
        if room <= 0:
            return [*kept, ("…", False)]
        kept.append((text[:room], is_shared))
        room -= len(text)
    return kept


def _attention(lessons, flags):
    """As frases do começo: o que pede uma decisão, com o lugar da página onde está o resto."""
    for lesson in lessons:
        name, counts, anchor = lesson["name"], lesson["counts"], f"licao-{lesson['name']}"
        if behind := counts["changed"] + counts["ungraded"]:
            yield anchor, f"{name}: {_count(behind, 'entrega')} por corrigir. Execute corrigir {name}."
        if counts["waiting"]:
            yield anchor, f"{name}: {_count(counts['waiting'], 'nota')} ainda à espera da sua correção."
        for exercise in lesson["exercises"]:
            yield from _about_exercise(anchor, exercise, counts["graded"])
    serious = [student for student, found in flags.items() if any(flag.serious for _, flag in found)]
    if serious:
        yield "sinais", f"{_count(len(serious), 'aluno')} com um sinal grave: a nota espera que você olhe."


def _about_exercise(anchor, exercise, graded):
    title, success, index = exercise["title"], exercise["success"], exercise["index"]
    if success is not None and success < LOW_SUCCESS:
        yield anchor, f"{title}: a turma ganhou {percent(success)} dos pontos."
    if index is not None and index < LOW_INDEX and not exercise["reading"].startswith("quase "):
        yield anchor, f"{title}: {exercise['reading']} (D {decimal(index, 2)})."
    for mistake in exercise["mistakes"][:1]:
        if mistake.count >= max(MANY_STUDENTS, MANY_SHARE * graded):
            yield anchor, f"{title}: {mistake.count} alunos erraram do mesmo jeito. {shown(mistake.example)}"


def _count(number, noun):
    return f"{number} {noun}{'s' * (number != 1)}"


@click.command(
    "corrigir relatorio",
    cls=Command,
    help="Grava uma página sobre a turma: notas, exercícios, erros mais comuns, tempos, falhas, sinais, entregas que "
    "faltam e respostas parecidas. Sem dizer as lições, todas as que têm entregas corrigidas. A página é um arquivo só, "
    "que abre sem internet; ela tem dados pessoais e é só para você.",
)
@click.argument("licao", nargs=-1, metavar="[LIÇÃO]…")
@click.option("--para", metavar="ARQUIVO", help="Onde gravar.  [padrão: relatorio.html, na pasta do curso]")
@course_option
@base_option
def command(licao, para, curso, db):
    course = open_course(curso, db)
    path = Path(para) if para else course.folder / "relatorio.html"
    _refuse_other(path)
    try:
        weights = FinalGrade(parent=course).weights
        with open_gradebook(course.coursedir) as gradebook:
            lessons = [read_lesson(course, gradebook, name) for name in licao or lesson_names(course.coursedir)]
            everyone = {student.id for student in gradebook.students}
    except (GradebookError, TraitError) as error:
        raise click.ClickException(str(error)) from error
    lessons = [lesson for lesson in lessons if lesson.marks]
    if not lessons:
        raise click.ClickException("Não há entregas corrigidas. Corrija primeiro: corrigir LIÇÃO")
    everyone.update(student for lesson in lessons for student in lesson.states)
    answers = [answer for lesson in lessons for answer in read_answers(course.coursedir, lesson)]
    matches = similar_answers(answers, {text for lesson in lessons for text in lesson.known})
    _write(path, report(lessons, everyone, weights, matches, course.folder.name))
    graded = sum(len(lesson.marks) for lesson in lessons)
    summary = f"{_count(len(everyone), 'aluno')}, {_count(graded, 'entrega')} com nota"
    open_console().print(f"{summary}.\nRelatório: {path}", highlight=False, markup=False)


def _refuse_other(path):
    """Só um relatório é trocado por outro."""
    if not path.parent.is_dir():
        raise click.ClickException(f"Não há uma pasta {path.parent}.")
    if path.is_dir() or (path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:2000]):
        raise click.ClickException(f"{path} já existe e não é um relatório; escolha outro nome com --para.")


def _write(path, page):
    """Grava de uma vez, e só para quem o gravou: são dados pessoais."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".relatorio-")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(page)
        Path(name).replace(path)
    except OSError as error:
        raise click.ClickException(f"Não pude gravar {path}: {error.strerror}.") from error

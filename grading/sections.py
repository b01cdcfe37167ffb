"""As partes do relatório da turma: o que a página diz de cada coisa, em dados prontos para o modelo HTML."""

from collections import Counter, defaultdict
from itertools import chain

from .batch import name_order
from .console import SCORED, plain
from .exports import SCALE
from .figures import decimal, percent, plot_grades, plot_success, plot_times
from .results import State
from .statistics import EASY, HARD, common_mistakes, discrimination, read_discrimination, summarize, weighted_final
from .status import CHANGED, GRADED, MISSING

SHOWN_MISTAKES, SHOWN_PAIRS, SHOWN_SLOWEST = 5, 40, 3
LOW_SUCCESS, LOW_INDEX = 0.4, 0.2
MANY_SHARE, MANY_STUDENTS = 0.15, 4
"""O mesmo erro merece aula quando é desta fração da turma e ao menos destes alunos."""
LONGEST_SENTENCE, LONGEST_CODE = 600, 6000  # caracteres


def shown(text):
    """Um texto que veio de uma entrega, numa linha e de tamanho razoável."""
    text = plain(" ".join(text.split()))
    return text if len(text) <= LONGEST_SENTENCE else text[:LONGEST_SENTENCE] + "…"


def describe_lesson(lesson, everyone):
    """Uma lição: quantas entregas de cada jeito, as notas, os exercícios e as figuras."""
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
            "faults": len({row["student"] for row in _lesson_faults(lesson)}),
            "flags": len([student for student, results in lesson.results.items() if any(map(_signals, results))]),
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
    common = [mistake for mistake in mistakes[:SHOWN_MISTAKES] if mistake.count > 1] or mistakes[:1]
    return {
        "title": exercise.title,
        "points": exercise.points,
        "students": len(shares),
        "waiting": sum(marks[exercise.key].waiting for marks in lesson.marks.values() if exercise.key in marks),
        "success": success,
        "index": index,
        "reading": read_discrimination(index, success),
        "compared": len(both),
        "mistakes": common,
        "other_mistakes": mistakes[len(common) :],
    }


def overview(lessons):
    """A figura que compara as lições: pontos ganhos sobre os que já têm nota."""
    shares = []
    for lesson in lessons:
        marks = [mark for one in lesson.marks.values() for mark in one.values() if not mark.waiting]
        points = sum(mark.points for mark in marks)
        shares.append(sum(mark.earned for mark in marks) / points if points else None)
    return plot_success([lesson.name for lesson in lessons], shares, least=LOW_SUCCESS)


def final(lessons, everyone, weights):
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


def times(lessons):
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


def faults(lessons):
    """O que não foi nem acerto nem erro: uma linha por entrega ou por exercício, na ordem dos alunos."""
    rows = [row for lesson in lessons for row in _lesson_faults(lesson)]
    return sorted(rows, key=lambda row: name_order(row["student"]))


def _lesson_faults(lesson):
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


def _signals(result):
    """O que pede um olhar: os sinais, e o que a reconstrução mudou e não se muda por engano."""
    return [*result.flags, *(change for change in result.changes if change.serious)]


def flags(lessons):
    """Dicionário do aluno para os sinais das entregas dele: ``(lição, Note)``, sem repetir."""
    found = defaultdict(dict)
    for lesson in lessons:
        for student, results in lesson.results.items():
            for flag in chain.from_iterable(map(_signals, results)):
                found[student][lesson.name, flag.sentence] = flag
    return {
        student: [(lesson, flag) for (lesson, _), flag in found[student].items()]
        for student in sorted(found, key=name_order)
    }


def missing(lessons, everyone):
    """Dicionário do aluno para as lições que não entregou, só dos que deixaram de entregar alguma."""
    rows = {}
    for student in sorted(everyone, key=name_order):
        absent = [one.name for one in lessons if student not in one.states and student not in one.marks]
        if absent:
            rows[student] = absent
    return rows


def pair(students, found, titles):
    """Um par de respostas parecidas, com os textos lado a lado."""
    return {
        "students": students,
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
        kept.append((text[:room], is_shared))
        room -= len(text)
        if room < 0:
            return [*kept, ("…", False)]
    return kept


def attention(lessons, signals):
    """O começo da página: de que se trata, o lugar em que está o resto e o que pede uma decisão."""
    for lesson in lessons:
        name, counts, anchor = lesson["name"], lesson["counts"], f"licao-{lesson['name']}"
        if behind := counts["changed"] + counts["ungraded"]:
            yield name, anchor, f"{count(behind, 'entrega')} por corrigir. Execute corrigir {name}"
        if counts["waiting"]:
            yield name, anchor, f"{count(counts['waiting'], 'nota')} à espera da sua correção."
        for exercise in lesson["exercises"]:
            if sentences := " ".join(_about_exercise(exercise, counts["graded"])):
                yield f"{name}, {exercise['title']}", anchor, sentences
    serious = [student for student, found in signals.items() if any(flag.serious for _, flag in found)]
    if serious:
        yield "Sinais", "sinais", f"{count(len(serious), 'aluno')} com um grave: olhe antes de dar a nota por certa."


def _about_exercise(exercise, graded):
    success, index = exercise["success"], exercise["index"]
    if exercise["students"] >= MANY_STUDENTS and success < LOW_SUCCESS:
        yield f"A turma ganhou {percent(success)} dos pontos."
    if index is not None and index < LOW_INDEX and HARD < success < EASY:
        yield f"O exercício {exercise['reading']} (D {decimal(index, 2)})."
    for mistake in exercise["mistakes"][:1]:
        if mistake.count >= max(MANY_STUDENTS, MANY_SHARE * graded):
            yield f"{mistake.count} alunos erraram do mesmo jeito: {shown(mistake.example)}"


def count(number, noun):
    """``count(2, "aluno")`` é ``"2 alunos"``."""
    return f"{number} {noun}{'s' * (number != 1)}"

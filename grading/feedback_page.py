"""O que o feedback diz a um aluno, e a página em que o diz.

Cada frase é escrita para quem fez a entrega: primeiro o que deu certo, depois o que rever e onde. Um sinal para o
professor não é uma acusação, e daqui não sai mais do que «o professor vai olhar com você».
"""

import base64
import hashlib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import count

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from .exercises import Exercise
from .results import Result, State

LONGEST = 3000
"""Caracteres que se mostram de uma mensagem."""

WITH_TEACHER = "O professor vai olhar esta entrega com você."

WHAT_TO_DO = (
    "Abra o seu caderno desta lição no Jupyter, escolha Kernel → Restart Kernel and Run All Cells…, salve e entregue "
    "de novo, com o nome {name}.ipynb. Se não der certo, leve o arquivo ao professor."
)

OUR_FAULT = "A correção não chegou ao fim por um problema nosso, e não da sua entrega. Ela vai ser repetida."

NOT_GRADED = "A sua entrega chegou e ainda não foi corrigida. Não é preciso fazer nada."

CHANGED = "Você entregou de novo depois desta correção. O que está abaixo é da entrega anterior; a nova será corrigida."

NOT_MARKED = "O professor ainda não corrigiu esta resposta."

BLANK = "A resposta ficou em branco."

WITHHELD = "A mensagem desta conferência não pode ser mostrada aqui. Peça ao professor que a leia com você."

UNWRITTEN = ("ainda não foi escrita", "falta escrever a célula")
"""Trechos do que se diz de uma resposta que não existe."""

WRITE_IT = (
    "Escreva a resposta na célula do exercício, execute-a e depois execute o teste. Se não souber por onde começar, o "
    "exemplo e as dicas do enunciado mostram o primeiro passo."
)

ONLY_HERE = (
    "Um teste que passa no seu caderno pode não passar aqui: a correção experimenta também casos que você não vê. O "
    "enunciado fala de todos eles."
)

ADVICE = {
    State.FAILED: "Execute a sua célula só com a entrada que a mensagem cita e compare o que sai com o que se espera.",
    State.PARTIAL: "Uma parte das conferências passou. Releia o enunciado à procura do caso que falta.",
    State.TIMEOUT: "Procure um laço que não termina (um while cuja condição nunca muda, por exemplo) ou uma conta "
    "repetida muitas vezes sem precisar. Experimente com uma entrada bem pequena.",
    State.OUT_OF_MEMORY: "Procure uma lista ou um tensor que cresce a cada volta, ou um lote grande demais. Guarde só "
    "o que vai usar.",
    State.KERNEL_DIED: "O Python foi encerrado no meio da conta. Procure uma chamada como exit() ou quit(), uma função "
    "que chama a si mesma sem parar, ou memória demais.",
}
"""O que olhar, pelo que aconteceu com a célula."""


@dataclass(frozen=True)
class Mark:
    """O que está na base sobre uma célula avaliada.

    Attributes:
        score: pontos, com os que o professor deu à mão; ``None`` se ainda não há nota.
        points: quanto vale.
        by_teacher: se a nota é a que o professor deu.
        waiting: se espera por ele.
        comment: o comentário dele; vazio se não há.
        blank: se a resposta ficou como veio.
    """

    score: float | None
    points: float
    by_teacher: bool = False
    waiting: bool = False
    comment: str = ""
    blank: bool = False


@dataclass(frozen=True)
class Section:
    """Um caderno da entrega.

    Attributes:
        title: o título dele, em HTML seguro.
        exercises: os ``Exercise``, na ordem.
        hidden: as linhas que não podem aparecer, de ``grading.exercises.hidden_lines``.
        result: o ``Result`` da correção, ou ``None`` se não foi corrigido.
        marks: dicionário do id da célula para a ``Mark``.
    """

    title: Markup
    exercises: list[Exercise]
    hidden: set[str]
    result: Result | None
    marks: dict[str, Mark]


@dataclass(frozen=True)
class Entry:
    """Um exercício, como a página o mostra.

    Attributes:
        exercise: o ``Exercise``.
        mark: a ``Mark``.
        kind: um dos ``KINDS``.
        note: uma frase sobre a nota; vazia se não há o que dizer.
        message: a da primeira conferência que não passou.
        advice: o que olhar.
        anchor: o nome do lugar na página.
    """

    exercise: Exercise
    mark: Mark
    kind: str
    note: str = ""
    message: str = ""
    advice: str = ""
    anchor: str = ""

    @property
    def symbol(self):
        return KINDS[self.kind][0]

    @property
    def word(self):
        return KINDS[self.kind][1]

    @property
    def points(self):
        """Os pontos, como ``7,5 de 10``; sem nota, só quanto vale."""
        worth = number(self.mark.points)
        return f"vale {worth}" if self.mark.score is None else f"{number(self.mark.score)} de {worth}"


KINDS = {
    "certo": ("✓", "Certo"),
    "parte": ("½", "Em parte"),
    "errado": ("✗", "Ainda não"),
    "espera": ("…", "À espera do professor"),
    "refazer": ("…", "A correção vai ser repetida"),
}
"""De cada tipo de resultado, o sinal e as palavras: a cor nunca diz nada sozinha."""


def make_page(lesson, student, sections, penalty=0.0, changed=False):
    """Faz a página de um aluno.

    Args:
        lesson: o nome da lição.
        student: o nome do aluno.
        sections: as ``Section``, uma por caderno.
        penalty: os pontos descontados pelo atraso.
        changed: se o aluno entregou de novo depois da correção.

    Returns:
        O HTML, inteiro: não busca nada fora dele e não tem JavaScript.
    """
    graded = [section for section in sections if section.result]
    anchors = (f"exercicio-{position}" for position in count(1))
    shown = [(section.title, *_show(section, anchors)) for section in graded]
    entries = [entry for *_, ones in shown for entry in ones]
    marks = [mark for section in graded for mark in section.marks.values()]
    return _template().render(
        lesson=lesson,
        title=sections[0].title if len(sections) == 1 and sections[0].title else lesson,
        student=clean(student),
        notices=list(_notices(graded, marks, changed)),
        total=_total(marks, penalty),
        praise=_praise(entries),
        index=entries,
        reminder=ONLY_HERE if any(entry.advice == ADVICE[State.FAILED] for entry in entries) else "",
        sections=shown,
        several=len(sections) > 1,
        style=Markup(_style()),  # noqa: S704 — é deste pacote
        style_hash=base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode(),
    )


def clean(text):
    """Um texto que veio de uma entrega, sem o que um HTML não pode ter, e de um tamanho que se lê."""
    text = text.encode(errors="replace").decode()
    text = "".join(one if one.isprintable() or one in "\n\u200d" else " " for one in text.expandtabs(4))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def number(value):
    """Pontos, como ``7,5``."""
    return f"{round(value, 2) + 0:.2f}".rstrip("0").rstrip(".").replace(".", ",")


def _show(section, anchors):
    """Devolve ``(aviso, o que fazer, exercícios)`` de um caderno; sem execução, só o que o professor deu."""
    result = section.result
    cells = {cell.grade_id: cell for cell in result.cells}
    entries = [
        _entry(exercise, section, cells.get(exercise.grade_id), section.marks[exercise.grade_id])
        for exercise in section.exercises
        if exercise.grade_id in section.marks
    ]
    notice, todo = "", ""
    if result.state is State.UNREADABLE:
        notice, todo = clean(result.sentence), WHAT_TO_DO.format(name=result.name)
    elif result.state is State.INFRASTRUCTURE:
        notice = OUR_FAULT
    if notice:
        entries = [entry for entry in entries if entry.mark.by_teacher or entry.mark.comment]
    return notice, todo, [replace(entry, anchor=next(anchors)) for entry in entries]


def _entry(exercise, section, cell, mark):
    state = cell.state if cell else State.INFRASTRUCTURE
    if mark.score is None:
        if state is State.INFRASTRUCTURE:
            return Entry(exercise, mark, "refazer", OUR_FAULT)
        by_hand = exercise.by_hand and state is State.MANUAL
        return Entry(exercise, mark, "espera", NOT_MARKED if by_hand else WITH_TEACHER)
    note = _note(exercise, mark)
    if mark.score >= mark.points:
        return Entry(exercise, mark, "certo", note)
    kind = "parte" if mark.score > 0 else "errado"
    if exercise.by_hand:
        return Entry(exercise, mark, kind, note)
    message = _message(cell, section.hidden)
    unwritten = any(piece in message.lower() for piece in UNWRITTEN)
    return Entry(exercise, mark, kind, note, message, WRITE_IT if unwritten else ADVICE.get(state, ""))


def _note(exercise, mark):
    if mark.by_teacher:
        again = " Você entregou de novo depois dela, e ele vai revê-la." if mark.waiting else ""
        return f"Nota dada pelo professor.{again}"
    return BLANK if exercise.by_hand and mark.blank else ""


def _message(cell, hidden):
    """A mensagem da primeira conferência que não passou, a menos que traga uma linha oculta do teste."""
    if cell is None or cell.state not in ADVICE:
        return ""
    if any(line in cell.sentence for line in hidden):
        return WITHHELD
    return clean(cell.sentence)


def _notices(graded, marks, changed):
    """As frases sobre a entrega inteira."""
    if not graded:
        yield NOT_GRADED
    elif changed:
        yield CHANGED
    flagged = any(
        section.result.state is State.TAMPERED or any(flag.serious for flag in section.result.flags)
        for section in graded
    )
    if flagged and any(mark.waiting for mark in marks):
        yield f"{WITH_TEACHER} Até lá, a nota pode mudar."


def _total(marks, penalty):
    """As parcelas da nota; ``None`` se ainda não há nenhuma."""
    scored = [mark for mark in marks if mark.score is not None]
    if not scored:
        return None
    points = sum(mark.points for mark in marks)
    by_hand = [mark.score for mark in scored if mark.by_teacher]
    everything = sum(mark.score for mark in scored)
    earned = max(0.0, everything - penalty)
    return {
        "earned": earned,
        "points": points,
        "percent": round(100 * min(1.0, earned / points), 1) if points else 0,
        "automatic": everything - sum(by_hand),
        "by_hand": sum(by_hand) if by_hand else None,
        "penalty": penalty,
        "waiting": sum(mark.points for mark in marks if mark.score is None),
    }


def _praise(entries):
    """O que deu certo, que é por onde a página começa."""
    scored = [entry for entry in entries if entry.mark.score is not None]
    right = [entry for entry in scored if entry.kind == "certo"]
    if not scored:
        return ""
    if len(right) == len(entries):
        return "Parabéns: você acertou tudo."
    if len(right) == len(scored):
        return "Muito bem: tudo o que já foi corrigido está certo."
    if right:
        verb = "estão certos" if len(right) > 1 else "está certo"
        return f"Muito bem: {len(right)} dos {len(entries)} exercícios {verb}. Abaixo está o que rever nos outros."
    if any(entry.mark.score for entry in scored):
        return "Você já ganhou pontos. Nenhum exercício está completo ainda; abaixo está o que falta em cada um."
    return "A sua entrega chegou e foi lida até o fim. Escolha um exercício abaixo e comece pelas dicas dele."


@cache
def _style():
    return files(__package__).joinpath("modelos/feedback.css").read_text(encoding="utf-8")


@cache
def _template():
    environment = Environment(
        loader=PackageLoader(__package__, "modelos"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"pontos": number, "limpo": clean}
    return environment.get_template("feedback.html")

"""As contas do relatório da turma: funções puras, cada uma com a sua fórmula e de onde ela vem.

- KELLEY, T. L. The selection of upper and lower groups for the validation of test items. *Journal of Educational
  Psychology*, v. 30, n. 1, p. 17–24, 1939. DOI 10.1037/h0057123: os 27% de cima e os 27% de baixo.
- EBEL, R. L.; FRISBIE, D. A. *Essentials of educational measurement*. 5. ed. Englewood Cliffs: Prentice Hall, 1991: o
  índice de discriminação e como lê-lo.
- HYNDMAN, R. J.; FAN, Y. Sample quantiles in statistical packages. *The American Statistician*, v. 50, n. 4,
  p. 361–365, 1996: o quantil, que é o do tipo 7.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

GROUP = 0.27
"""A parte da turma em cada ponta: a que melhor separa as duas, quando as notas são normais (Kelley, 1939)."""

LEAST_STUDENTS = 10
"""Com menos alunos do que isto, cada ponta tem menos de três e o índice não quer dizer nada."""

READINGS = (
    (0.40, "separa muito bem quem sabe de quem não sabe"),
    (0.30, "separa bem"),
    (0.20, "separa pouco; vale melhorar"),
    (-0.05, "quase não separa; vale rever o enunciado e o teste"),
    (-1.0, "separa ao contrário: quem vai bem no resto vai pior aqui; confira o teste"),
)
"""Os cortes de Ebel e Frisbie (1991), do maior para o menor; um negativo junto do zero é só acaso."""

EASY, HARD = 0.9, 0.1
"""De tão fácil ou tão difícil, um exercício não tem como separar: quase todos têm a mesma nota."""

_NUMBER = re.compile(r"(?<!\w)[-−+]?(?:0x[0-9a-fA-F]+|\d+(?:[.,]\d+)*(?:e[-+]?\d+)?)")
_REPEATED = re.compile(r"(?<![^\s\[({])([^\s,;]{1,40}(?: [^\s,;]{1,40})?)(?:[,;]\s*\1)+")
_LONGEST = 1000  # caracteres; o que vem depois não faz de uma mensagem outro erro


@dataclass(frozen=True)
class Summary:
    """Um conjunto de valores em poucos números; ``p90`` é o valor que 90% deles não passam."""

    count: int
    mean: float
    median: float
    p90: float
    lowest: float
    highest: float


def summarize(values):
    """Resume valores.

    Args:
        values: os números, em qualquer ordem.

    Returns:
        Um ``Summary``; ``None`` se não há valores.
    """
    values = np.array([*values], dtype=float)
    if not values.size:
        return None
    median, p90 = np.quantile(values, [0.5, 0.9])
    return Summary(values.size, *map(float, (values.mean(), median, p90, values.min(), values.max())))


def discrimination(scores, rest):
    """O índice de discriminação de um exercício: ``D = média(score | cima) − média(score | baixo)``.

    Em cima e embaixo estão os 27% da turma com mais e com menos pontos no resto da lição. É o resto, e não o total,
    para que o exercício não se compare consigo mesmo, o que numa lição de poucos exercícios aumentaria o índice. Os
    empatados na fronteira de um grupo dividem igualmente os lugares que sobram, e a ordem dos alunos não conta.

    Args:
        scores: fração dos pontos do exercício que cada aluno ganhou, de 0 a 1, ``(N,)``.
        rest: fração dos pontos dos outros exercícios, dos mesmos alunos, ``(N,)``.

    Returns:
        De −1 a 1; ``None`` com menos de ``LEAST_STUDENTS`` alunos, ou se no resto todos foram iguais.
    """
    scores, rest = np.asarray(scores, dtype=float), np.asarray(rest, dtype=float)
    if scores.size < LEAST_STUDENTS or np.allclose(rest, rest[0]):
        return None
    seats = GROUP * scores.size
    return float(np.dot(scores, _places(-rest, seats)) - np.dot(scores, _places(rest, seats)))


def _places(order, seats):
    """O peso de cada um na média dos ``seats`` primeiros: um lugar cada, e os do último empate repartem o que há."""
    order = np.round(order, 9)  # somas de frações iguais podem diferir na última casa
    ahead = np.array([(order < value).sum() for value in order])
    tied = np.array([(order == value).sum() for value in order])
    return np.clip((seats - ahead) / tied, 0, 1) / seats


def read_discrimination(index, success):
    """Diz numa frase o que um índice de discriminação quer dizer.

    Args:
        index: o índice, ou ``None``.
        success: a fração dos pontos que a turma ganhou: um exercício em que quase todos vão igual não tem como separar.

    Returns:
        A frase, sem maiúscula nem ponto.
    """
    if index is None:
        return "não calculado"
    if abs(index) < READINGS[2][0] and not HARD < success < EASY:
        return f"não separa, porque quase {'todos acertaram' if success >= EASY else 'ninguém acertou'}"
    return next(reading for cut, reading in READINGS if round(index, 2) >= cut)


@dataclass(frozen=True)
class Mistake:
    """Uma resposta errada que vários deram: quantos, o exemplo mais comum e quem."""

    count: int
    example: str
    students: tuple[str, ...]


def common_mistakes(sentences):
    """Junta as frases que dizem o mesmo com outros números.

    Args:
        sentences: pares ``(aluno, frase)`` de um exercício.

    Returns:
        Lista de ``Mistake``, do mais comum para o menos; entre iguais, na ordem da frase.
    """
    groups = defaultdict(list)
    for student, sentence in sentences:
        if sentence.strip():
            groups[without_numbers(sentence)].append((student, sentence))
    mistakes = []
    for group in groups.values():
        texts = [sentence for _, sentence in group]
        example = max(sorted(set(texts)), key=texts.count)
        mistakes.append(Mistake(len(group), example, tuple(sorted(student for student, _ in group))))
    return sorted(mistakes, key=lambda mistake: (-mistake.count, mistake.example))


def without_numbers(sentence):
    """A frase com ``#`` no lugar de cada número, e uma vez só o que então se repete: o que a faz ser o mesmo erro."""
    return _REPEATED.sub(r"\1", _NUMBER.sub("#", " ".join(sentence[:_LONGEST].split())))


def weighted_final(grades, weights):
    """A nota final de um aluno, de 0 a 10: ``10 Σ peso·nota / Σ peso``; uma lição sem nota vale zero.

    Args:
        grades: dicionário da lição para a nota, de 0 a 1.
        weights: dicionário da lição para o peso; ao menos um positivo.
    """
    return 10 * sum(weight * grades.get(lesson, 0) for lesson, weight in weights.items()) / sum(weights.values())

"""Respostas parecidas: que pares de entregas dividem trechos que quase ninguém mais escreveu.

O método é o do MOSS (SCHLEIMER, S.; WILKERSON, D. S.; AIKEN, A. Winnowing: local algorithms for document
fingerprinting. *SIGMOD*, 2003, p. 76–85). Cada resposta vira uma sequência de símbolos sem o que se troca sem pensar:
comentários, espaços, o texto das cadeias e os nomes que o estudante escolheu. De cada ``GRAM`` símbolos seguidos faz-se
um número, e de cada ``WINDOW`` números seguidos fica o menor: são as marcas da resposta. Uma sequência comum de
``GRAM + WINDOW - 1`` símbolos sempre deixa ao menos uma marca em comum.

Não contam as marcas do que foi distribuído, da solução do professor e do que boa parte da turma escreveu igual. O que
sobra diz que vale ler duas respostas lado a lado, e não por que elas se parecem.
"""

import builtins
import keyword
import re
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

GRAM = 12
"""Símbolos seguidos em cada número de uma resposta em código."""
WORDS = 5
"""Palavras seguidas em cada número de uma resposta em texto."""
WINDOW = 4
LEAST_SHARED = 8
"""Marcas em comum (três ou quatro linhas de código) sem as quais qualquer semelhança é acaso."""
LEAST_SHARE = 0.5
"""Fração das marcas da resposta mais curta que tem de estar na outra."""
COMMON_STUDENTS, COMMON_SHARE = 4, 0.1
"""Uma marca que está em mais respostas do que isto (o maior dos dois: alunos, fração da turma) é de todos."""
LONGEST = 60_000  # caracteres; uma resposta de verdade tem centenas

_LEXEME = re.compile(
    r"""
    (?P<skip>\#[^\n]*|\s+|\\\n)
    |(?P<text>[rbfuRBFU]{0,2}(?:\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))
    |(?P<name>[^\W\d]\w*)
    |(?P<number>\d[\w.]*|\.\d\w*)
    |(?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"\w+")
_KNOWN = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins)} - {"_"}


@dataclass(frozen=True)
class Answer:
    """Uma resposta: de quem, de que célula, o texto, e se é código (ou um texto corrido)."""

    student: str
    cell: str
    text: str
    is_code: bool = True


@dataclass(frozen=True)
class Match:
    """Duas respostas parecidas da mesma célula.

    Attributes:
        first, second: as ``Answer``.
        shared: quantas marcas têm em comum, descontadas as de todos.
        sizes: quantas marcas tem cada uma, descontadas as de todos.
    """

    first: Answer
    second: Answer
    shared: int
    sizes: tuple[int, int]

    @property
    def share(self):
        """A fração das marcas da resposta mais curta que está na outra."""
        return self.shared / min(self.sizes)

    def fragments(self):
        """Os textos das duas, cortados em pedaços ``(text, is_shared)``."""
        common = _marks(self.first.text, self.first.is_code) & _marks(self.second.text, self.second.is_code)
        return tuple(_cut(answer.text, answer.is_code, common) for answer in (self.first, self.second))


def similar_answers(answers, known=()):
    """Acha os pares de respostas que se parecem mais do que o acaso e o enunciado explicam.

    Não compara textos dois a dois: só se olham os pares que dividem uma marca rara.

    Args:
        answers: as ``Answer`` de uma turma, de uma ou mais células; só se comparam as da mesma célula.
        known: textos de código que todos têm, ou que são a solução do professor; o que vem deles não conta.

    Returns:
        Dicionário do par de alunos, em ordem, para a lista dos ``Match`` deles, os pares com mais em comum primeiro.
    """
    given = {True: set(), False: set()}
    for text in known:
        for is_code, marks in given.items():
            marks.update(number for number, _, _ in _grams(text[:LONGEST], is_code))
    by_cell = defaultdict(list)
    for answer in answers:
        by_cell[answer.cell].append(answer)
    pairs = defaultdict(list)
    for group in by_cell.values():
        for match in _matches(group, given):
            pairs[match.first.student, match.second.student].append(match)
    return dict(sorted(pairs.items(), key=lambda pair: (-sum(match.shared for match in pair[1]), pair[0])))


def _matches(answers, given):
    """Os ``Match`` das respostas de uma célula."""
    answers = sorted(answers, key=lambda answer: answer.student)
    limit = max(COMMON_STUDENTS, COMMON_SHARE * len(answers))
    owners = defaultdict(list)
    for index, answer in enumerate(answers):
        for mark in _marks(answer.text, answer.is_code) - given[answer.is_code]:
            owners[mark].append(index)
    rare = [indexes for indexes in owners.values() if len(indexes) <= limit]
    sizes = Counter(index for indexes in rare for index in indexes)
    shared = Counter(pair for indexes in rare for pair in combinations(indexes, 2))
    for (one, other), count in shared.items():
        match = Match(answers[one], answers[other], count, (sizes[one], sizes[other]))
        if count >= LEAST_SHARED and match.share >= LEAST_SHARE:
            yield match


@lru_cache(maxsize=4096)
def _marks(text, is_code):
    """As marcas de um texto."""
    return frozenset(number for number, _, _ in _winnow(_grams(text[:LONGEST], is_code)))


def _winnow(grams):
    """De cada janela, o menor número; entre iguais, o mais à direita."""
    keys = [(number << 32) - index for index, (number, _, _) in enumerate(grams)]
    chosen = {min(keys[start : start + WINDOW]) for start in range(max(1, len(keys) - WINDOW + 1))} if keys else ()
    return [grams[-key % (1 << 32)] for key in sorted(chosen, key=lambda key: -key % (1 << 32))]


def _grams(text, is_code):
    """Um ``(number, start, end)`` para cada trecho de símbolos seguidos, com o lugar dele no texto."""
    symbols = _code_symbols(text) if is_code else [(m[0].casefold(), m.start(), m.end()) for m in _WORD.finditer(text)]
    size = GRAM if is_code else WORDS
    words = [symbol for symbol, _, _ in symbols]
    return [
        (
            zlib.crc32(" ".join(words[start : start + size]).encode(errors="replace")),
            symbols[start][1],
            symbols[start + size - 1][2],
        )
        for start in range(len(symbols) - size + 1)
    ]


def _code_symbols(text):
    """Os símbolos de um código, também do que não compila: um erro de digitação não esconde o resto.

    Ficam como são as palavras da linguagem, as funções embutidas, os números e o que vem depois de um ponto, que são
    nomes de bibliotecas (menos depois de ``self``); os outros nomes viram um símbolo só, e as cadeias outro. Uma cadeia
    solta numa linha é um comentário.
    """
    symbols, place = [], ("", "")
    for match in _LEXEME.finditer(text):
        kind, word = match.lastgroup, match[0]
        if kind == "skip" or (kind == "text" and _is_alone(text, match)):
            continue
        if kind == "text":
            word = "«»"
        elif kind == "name" and word not in _KNOWN and (place[1] != "." or place[0] == "self"):
            word = "nome"
        symbols.append((word, match.start(), match.end()))
        place = place[1], match[0]
    return symbols


def _is_alone(text, match):
    """Se uma cadeia ocupa sozinha as linhas dela."""
    before = text.rfind("\n", 0, match.start()) + 1
    after = text.find("\n", match.end())
    return not text[before : match.start()].strip() and not text[match.end() : after if after >= 0 else None].strip()


def _cut(text, is_code, common):
    """Um texto em pedaços: os que estão também no outro, e o resto."""
    pieces, position = [], 0
    for number, start, end in _winnow(_grams(text[:LONGEST], is_code)):
        if number not in common:
            continue
        if start > position:
            pieces += [(text[position:start], False), (text[start:end], True)]
        else:
            pieces.append((text[position:end], True))
        position = end
    return [*pieces, (text[position:], False)] if position < len(text) else pieces

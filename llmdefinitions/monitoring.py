"""Acompanhar um classificador em uso: as mensagens de hoje ainda se parecem com as do treino?

Quem usa o modelo raramente tem os rótulos das mensagens novas, e sem rótulos não há acurácia. O que sempre se pode
medir são as próprias mensagens. Quando a distribuição delas muda (*deriva dos dados*; Quiñonero-Candela et al., 2009,
*Dataset Shift in Machine Learning*), a acurácia medida antes deixa de dizer o que vai acontecer.
"""

import pandas as pd

from .checks import check_columns, check_number, check_text

DRIFT_LIMIT = 0.5
"""A partir de quantos desvios padrão a mudança de uma média é um alarme: meio, o «efeito médio» de Cohen (1988)."""


def message_statistics(texts):
    """Mede, em cada mensagem, o que se pode guardar sem guardar o texto.

    Args:
        texts: um iterável de textos; ao menos um.

    Returns:
        ``DataFrame`` com uma linha por mensagem e as colunas ``characters`` e ``words`` (contagens), ``digits`` e
        ``non_ascii`` (frações dos caracteres) e ``uppercase`` (fração das letras). De um texto sem caracteres, ou sem
        letras, a fração é zero.

    Raises:
        TypeError: se ``texts`` é um texto só, ou se um deles não é texto.
        ValueError: se não há textos.
    """
    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
        raise TypeError("texts: esperava vários textos, como uma lista.")
    rows = [_statistics_of(check_text(f"texts[{number}]", text)) for number, text in enumerate(texts)]
    if not rows:
        raise ValueError("texts: esperava ao menos um texto.")
    return pd.DataFrame(rows)


def _statistics_of(text):
    letters = sum(character.isalpha() for character in text)
    return {
        "characters": len(text),
        "words": len(text.split()),
        "digits": sum(character.isdigit() for character in text) / max(1, len(text)),
        "uppercase": sum(character.isupper() for character in text) / max(1, letters),
        "non_ascii": sum(not character.isascii() for character in text) / max(1, len(text)),
    }


def drift(reference, recent, limit=DRIFT_LIMIT):
    """Compara as médias de duas épocas, em desvios padrão da primeira (a diferença padronizada das médias).

    Só vê o que muda a média: uma distribuição pode se abrir em dois grupos e manter a mesma.

    Args:
        reference: as medidas do treino, como as de ``message_statistics``.
        recent: as das mensagens de agora, com as mesmas colunas.
        limit: a partir de quantos desvios padrão, para mais ou para menos, há alarme.

    Returns:
        ``DataFrame`` com uma linha por medida e as colunas ``reference`` e ``recent`` (as médias), ``difference`` (em
        desvios padrão; 0 se as médias são iguais, infinita se são diferentes e a referência não varia) e ``alarm``.

    Raises:
        TypeError, ValueError: se as tabelas não têm linhas, ou não têm as mesmas colunas, ou se o limite é negativo.
    """
    check_columns("reference", reference, [])
    check_columns("recent", recent, list(reference.columns))
    limit = check_number("limit", limit, minimum=0)
    before, now = reference.mean(), recent[reference.columns].mean()
    difference = ((now - before) / reference.std(ddof=0)).where(now != before, 0.0)
    return pd.DataFrame(
        {"reference": before, "recent": now, "difference": difference, "alarm": difference.abs() >= limit}
    )

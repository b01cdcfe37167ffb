"""Plugin do pytest: o nbval passa a comparar números com tolerância, e os cadernos usam os dados embutidos.

Outro processador arredonda de outro modo; sem isto, a diferença na última casa de uma perda derrubaria o teste.
"""

import math
import os
import re

RELATIVE_TOLERANCE = 1e-4

# Um número com parte decimal, à brasileira ou não. Três casas depois de um a três algarismos são milhares, e exatos.
NUMBER = re.compile(r"(?<![\w.,])(?!-?[1-9]\d{0,2}(?:\.\d{3})+(?![\d.]))-?\d+[.,]\d+(?:e[+-]?\d+)?(?![\w]|[.,]\d)")


class Approximate(str):
    """Um texto igual a outro quando só diferem no arredondamento dos números."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        if NUMBER.sub("#", self) != NUMBER.sub("#", other):
            return False
        return all(map(_close, NUMBER.findall(self), NUMBER.findall(other)))

    def __ne__(self, other):
        return not self == other


def _close(one, other):
    """Aceita a última casa trocada, se são três ou mais, ou uma diferença relativa muito pequena."""
    places = [len(re.split("[.,]", re.sub("e.*", "", text))[1]) for text in (one, other)]
    numbers = [float(text.replace(",", ".")) for text in (one, other)]
    last_place = 10.0 ** -min(places) if min(places) >= 3 and "e" not in one + other else 0
    return math.isclose(*numbers, rel_tol=RELATIVE_TOLERANCE, abs_tol=1.01 * last_place)


def pytest_configure():
    os.environ |= {"LLMDEFINITIONS_FONTE": "embutida", "TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    os.environ.pop("LLMDEFINITIONS_DADOS", None)


def pytest_collection_modifyitems(items):
    for item in items:
        item.sanitize = _approximate(item.sanitize)


def _approximate(sanitize):
    def sanitized(value):
        return Approximate(sanitize(value)) if isinstance(value, str) else value

    return sanitized

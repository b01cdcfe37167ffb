"""As contas do relatório da turma, conferidas à mão e com o scipy."""

import numpy as np
import pytest
from scipy import stats

from grading import statistics
from grading.statistics import common_mistakes, discrimination, read_discrimination, summarize, weighted_final


def test_summary_by_hand():
    summary = summarize([4.0, 1.0, 3.0, 2.0, 10.0])
    assert (summary.count, summary.mean, summary.median, summary.lowest, summary.highest) == (5, 4.0, 3.0, 1.0, 10.0)
    assert summary.p90 == pytest.approx(4 + 0.6 * (10 - 4)), "o lugar 0,9·(5−1) = 3,6 está a 0,6 entre o 4º e o 5º"


def test_summary_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2, 3, 57)
    summary = summarize(iter(values))
    described = stats.describe(values)
    assert summary.p90 == pytest.approx(stats.scoreatpercentile(values, 90))
    assert (summary.mean, summary.lowest, summary.highest) == pytest.approx((described.mean, *described.minmax))


def test_no_values_no_summary():
    assert summarize([]) is None


def test_discrimination_by_hand():
    """Com dez alunos, cada ponta tem 2,7 lugares: dois alunos inteiros e 0,7 do terceiro."""
    rest = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    scores = [0, 0, 1, 0, 0, 0, 0, 1, 1, 0.5]
    upper = (0.5 + 1 + 0.7 * 1) / 2.7
    lower = (0 + 0 + 0.7 * 1) / 2.7
    assert discrimination(scores, rest) == pytest.approx(upper - lower)


def test_the_extremes_are_one_and_minus_one():
    rest = np.linspace(0, 1, 20)
    assert discrimination(rest > 0.5, rest) == pytest.approx(1)
    assert discrimination(rest < 0.5, rest) == pytest.approx(-1)


def test_ties_share_the_places_that_are_left():
    """Cinco alunos em cima e cinco embaixo disputam 2,7 lugares: vale a média dos cinco, em qualquer ordem."""
    rest = np.array([1.0] * 5 + [0.0] * 5)
    scores = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    assert discrimination(scores, rest) == pytest.approx(3 / 5 - 1 / 5)
    shuffled = np.random.default_rng(2).permutation(10)
    assert discrimination(scores[shuffled], rest[shuffled]) == pytest.approx(3 / 5 - 1 / 5)


def test_ties_are_seen_through_rounding():
    scores = [1] * 4 + [0] * 6
    summed, written = [0.1 + 0.2] * 4 + [0.3] * 4, [0.3] * 8
    assert discrimination(scores, [*summed, 0.0, 1.0]) == pytest.approx(discrimination(scores, [*written, 0.0, 1.0]))


def test_without_ties_it_is_the_difference_of_two_slices():
    """Com 100 alunos, 27 lugares certos: é a definição, sem frações."""
    random = np.random.default_rng(3)
    rest, scores = random.permutation(100) / 100, random.random(100)
    ordered = scores[np.argsort(rest)]
    assert discrimination(scores, rest) == pytest.approx(ordered[-27:].mean() - ordered[:27].mean())


def test_it_follows_the_item_rest_correlation():
    """O sinal é o da correlação ponto-bisserial corrigida, que é a outra medida usual."""
    random = np.random.default_rng(4)
    for slope in (-2, -1, 1, 2):
        rest = random.random(300)
        scores = (slope * (rest - 0.5) + random.normal(0, 0.5, 300)) > 0
        correlation = stats.pointbiserialr(scores, rest).statistic
        assert np.sign(discrimination(scores, rest)) == np.sign(correlation) == np.sign(slope)


@pytest.mark.parametrize(("scores", "rest"), [([1, 0] * 4 + [1], np.arange(9)), ([1, 0] * 10, [0.5] * 20), ([], [])])
def test_too_few_students_or_nothing_to_compare(scores, rest):
    assert discrimination(scores, rest) is None


@pytest.mark.parametrize(
    ("index", "success", "reading"),
    [
        (0.40, 0.5, "separa muito bem"),
        (0.395, 0.5, "separa muito bem"),  # a página mostra 0,40
        (0.39, 0.5, "separa bem"),
        (0.20, 0.5, "separa pouco"),
        (0.19, 0.5, "quase não separa"),
        (-0.02, 0.5, "quase não separa"),
        (-0.3, 0.5, "separa ao contrário"),
        (0.1, 0.95, "não separa, porque quase todos acertaram"),
        (0.0, 0.05, "não separa, porque quase ninguém acertou"),
        (0.45, 0.95, "separa muito bem"),
        (None, None, "não calculado"),
    ],
)
def test_the_reading(index, success, reading):
    assert read_discrimination(index, success).startswith(reading)


def test_the_same_mistake_with_other_numbers_is_one():
    found = common_mistakes(
        [
            ("ana", "f([1, 2]): esperava 5.0; recebi 1.5."),
            ("bia", "f([1, 2]): esperava 5.0; recebi -2,75e-3."),
            ("caio", "f([1, 2]): esperava 5.0; recebi 1.5."),
            ("davi", "f([1, 2]): esperava 5.0; recebi 'x'."),
            ("eva", "  "),
        ]
    )
    assert [(one.count, one.example, one.students) for one in found] == [
        (3, "f([1, 2]): esperava 5.0; recebi 1.5.", ("ana", "bia", "caio")),
        (1, "f([1, 2]): esperava 5.0; recebi 'x'.", ("davi",)),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("recebi [1, 2, 3]", "recebi [4, 5]"),
        ("recebi tensor([0.1, -3.0])", "recebi tensor([7])"),
        ("<object at 0x7f3a>", "<object at 0x11>"),
        ("duas partes: {'texto 4', 'texto 1', 'texto 2'}.", "duas partes: {'texto 0'}."),
        ("na linha 3\n  da célula", "na linha 12 da célula"),
    ],
)
def test_what_is_the_same_mistake(one, other):
    assert statistics.without_numbers(one) == statistics.without_numbers(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("recebi float32", "recebi float64"),
        ("esperava 2; recebi 1. Contou palavras.", "esperava 2; recebi 1. Contou linhas."),
        ("['oi', 'oi']", "['oi', 'tudo bem']"),
    ],
)
def test_what_is_another_mistake(one, other):
    assert statistics.without_numbers(one) != statistics.without_numbers(other)


def test_weighted_final():
    """``10·(10·1 + 30·0,5)/40``; a lição que falta vale zero."""
    assert weighted_final({"a": 1.0, "b": 0.5}, {"a": 10, "b": 30}) == pytest.approx(6.25)
    assert weighted_final({"a": 1.0}, {"a": 10, "b": 30}) == pytest.approx(2.5)

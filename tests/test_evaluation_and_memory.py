"""Medidas, referência TF-IDF e estimativa de memória."""

import csv

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

from llmdefinitions import (
    bootstrap_interval,
    classification_scores,
    create_balanced_dataset,
    estimate_finetuning_memory,
    expected_cost,
    load_spam_data,
    map_labels,
    predict_loader,
    random_split,
    tfidf_baseline,
)


def test_scores_by_hand():
    labels = [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    predictions = [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]
    scores = classification_scores(labels, predictions)
    assert scores["confusion_matrix"] == [[3, 1], [2, 4]]
    assert scores["accuracy"] == pytest.approx(7 / 10)
    assert scores["precision"] == pytest.approx(4 / 5)
    assert scores["recall"] == pytest.approx(4 / 6)
    assert scores["f1"] == pytest.approx(2 * 4 / (2 * 4 + 1 + 2))


def test_scores_when_nothing_is_positive():
    scores = classification_scores([0, 0], [0, 0])
    assert scores == {"accuracy": 1, "precision": 0, "recall": 0, "f1": 0, "confusion_matrix": [[2, 0], [0, 0]]}


@pytest.mark.parametrize(("labels", "predictions"), [([], []), ([0], [0, 1]), ([0, 2], [0, 1])])
def test_scores_refuse_bad_input(labels, predictions):
    with pytest.raises(ValueError, match="labels, predictions: esperava"):
        classification_scores(labels, predictions)


@pytest.mark.parametrize(
    ("threshold", "cost"),
    [(0, 2 * 10 / 4), (0.4, 10 / 4), (0.6, (10 + 1) / 4), (0.61, 1 / 4), (0.9, 1 / 4), (1.5, 2 / 4)],
)
def test_cost_by_hand(threshold, cost):
    labels, probabilities = [0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]
    assert expected_cost(labels, probabilities, threshold, 10, 1) == pytest.approx(cost)
    assert expected_cost(torch.tensor(labels), probabilities, threshold, 0, 0) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0]}, "labels, predictions: esperava o mesmo número"),
        ({"probabilities": [0.5, 1.5]}, "probabilities: esperava no máximo 1"),
        ({"probabilities": [0.5, float("nan")]}, "probabilities: esperava um número finito"),
        ({"threshold": -0.1}, "threshold: esperava no mínimo 0"),
        ({"false_positive_cost": -1}, "false_positive_cost: esperava no mínimo 0"),
        ({"false_negative_cost": "caro"}, "false_negative_cost: esperava um número"),
    ],
)
def test_cost_refuses_bad_input(change, message):
    good = {"labels": [0, 1], "probabilities": [0.2, 0.8], "threshold": 0.5}
    with pytest.raises((TypeError, ValueError), match=message):
        expected_cost(**good | {"false_positive_cost": 1, "false_negative_cost": 1} | change)


def test_scores_take_tensors():
    assert classification_scores(torch.tensor([0, 1]), torch.tensor([0, 0]))["confusion_matrix"] == [[1, 0], [1, 0]]
    with pytest.raises(TypeError, match="labels, predictions: esperava sequências"):
        classification_scores(None, [0])


def test_predictions_follow_the_loader(tiny_classifier, tiny_loaders):
    _, _, test_loader = tiny_loaders
    expected = [int(label) for ids, _ in test_loader for label in tiny_classifier(ids)[:, -1].argmax(-1)]
    assert predict_loader(test_loader, tiny_classifier, "cpu") == expected
    assert len(expected) == 40


def test_baseline_on_the_lectures_split(uci_file):
    """97,67 % na divisão da aula: acima dos 95,67 % do GPT-2 do livro."""
    df = map_labels(create_balanced_dataset(load_spam_data(uci_file, quoting=csv.QUOTE_MINIMAL)))
    train_df, _, test_df = random_split(df, 0.7, 0.1)
    scores = classification_scores(test_df["Label"], tfidf_baseline(train_df).predict(test_df["Text"]).tolist())
    assert scores["accuracy"] == pytest.approx(0.9767, abs=0.0001)


def test_baseline_needs_numbers_and_texts():
    with pytest.raises(ValueError, match="falta a coluna Label"):
        tfidf_baseline(pd.DataFrame({"Text": ["a"]}))
    with pytest.raises(ValueError, match="das duas classes"):
        tfidf_baseline(pd.DataFrame({"Text": ["a", "b"], "Label": ["ham", "spam"]}))
    with pytest.raises(TypeError, match="esperava textos"):
        tfidf_baseline(pd.DataFrame({"Text": ["a", None], "Label": [0, 1]}))
    for labels in ([0, 0], [-1, 0], [0.0, 1.0]):
        with pytest.raises(ValueError, match="das duas classes"):
            tfidf_baseline(pd.DataFrame({"Text": ["a", "b"], "Label": labels}))


def test_baseline_takes_more_classes():
    texts = ["feliz demais", "que raiva", "tenho medo"]
    baseline = tfidf_baseline(pd.DataFrame({"Text": texts, "Label": [0, 1, 2]}))
    assert baseline.predict(["muito feliz", "medo de altura", "que raiva dele"]).tolist() == [0, 2, 1]


def test_memory_of_the_lectures_example():
    memory = estimate_finetuning_memory(7_000_000_000)
    assert memory["total"] == 112e9
    assert memory == {"weights": 28e9, "gradients": 28e9, "optimizer": 56e9, "total": 112e9}


def test_memory_of_a_partial_fine_tuning():
    memory = estimate_finetuning_memory(1000, bytes_per_param=2, optimizer="sgd_momentum", trainable_fraction=0.1)
    assert memory == {"weights": 2000, "gradients": 200, "optimizer": 200, "total": 2400}
    frozen = estimate_finetuning_memory(1000, bytes_per_param=0.5, trainable_fraction=0)
    assert frozen["total"] == 500
    mixed = estimate_finetuning_memory(1000, bytes_per_param=2, bytes_per_state=4)
    assert mixed["optimizer"] == 8000


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_params": 0},
        {"n_params": "7B"},
        {"n_params": 10, "bytes_per_param": 0},
        {"n_params": 10, "optimizer": "lion"},
        {"n_params": 10, "trainable_fraction": 1.1},
        {"n_params": 10, "bytes_per_state": -1},
    ],
)
def test_memory_refuses_bad_input(arguments):
    with pytest.raises((TypeError, ValueError), match=f"{list(arguments)[-1]}: esperava"):
        estimate_finetuning_memory(**arguments)


def test_bootstrap_interval_is_close_to_the_binomial():
    labels, predictions = [1] * 300, [1] * 287 + [0] * 13
    low, high = bootstrap_interval(labels, predictions)
    exact = binom(300, 287 / 300)
    assert (low, high) == pytest.approx((exact.ppf(0.025) / 300, exact.ppf(0.975) / 300), abs=0.005)


def test_bootstrap_interval_keeps_the_pairs_and_follows_measure_confidence_and_seed():
    random = np.random.default_rng(0)
    labels = random.integers(2, size=200)
    predictions = np.where(random.random(200) < 0.9, labels, 1 - labels)
    recall = lambda true, predicted: predicted[true == 1].mean()  # noqa: E731
    low, high = bootstrap_interval(labels, predictions, recall)
    assert low < recall(labels, predictions) < high
    assert high - low < 0.15, "sorteadas em separado, as classes e as previsões não teriam relação"
    narrow = bootstrap_interval(labels, predictions, recall, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high
    state = np.random.get_state()[1].tolist()
    assert bootstrap_interval(labels, predictions, recall) == (low, high)
    assert bootstrap_interval(labels, predictions, recall, seed=5) != (low, high)
    assert np.random.get_state()[1].tolist() == state


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (([1, 0], [1]), {}),
        (([1], [1]), {}),
        (([[1, 0]], [[1, 0]]), {}),
        (([1, 0], [1, 0]), {"n_resamples": 0}),
        (([1, 0], [1, 0]), {"confidence": 95}),
        (([1, 0], [1, 0]), {"seed": -1}),
    ],
)
def test_bootstrap_interval_refuses_what_does_not_fit(arguments, options):
    with pytest.raises(ValueError, match="esperava"):
        bootstrap_interval(*arguments, **options)

"""Medir um classificador: previsões, medidas e uma referência simples para comparar."""

import numpy as np
import torch
from pandas.api.types import is_integer_dtype
from scipy.stats import bootstrap
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from sklearn.pipeline import make_pipeline

from .checks import check_columns, check_device, check_integer, check_loader, check_model, check_number, check_seed
from .classifier import predict_labels
from .progress import progress_bar


def predict_loader(data_loader, model, device):
    """Classifica todas as mensagens de um carregador.

    Args:
        data_loader: carregador de pares ``(ids, rótulos)``, de formas ``(B, T)`` e ``(B,)``, sem embaralhar.
        model: o classificador; é posto em modo de avaliação.
        device: onde calcular.

    Returns:
        Lista com a classe prevista (``int``) de cada mensagem, na ordem do carregador.

    Raises:
        TypeError, ValueError: se um argumento não serve.
    """
    check_model("model", model).eval()
    check_loader("data_loader", data_loader)
    device = check_device("device", device)
    predictions = []
    with torch.no_grad():
        for input_batch, _ in progress_bar(data_loader, "classificando", "lote"):
            predictions += predict_labels(model(input_batch.to(device))).tolist()
    return predictions


def classification_scores(labels, predictions):
    """Calcula as medidas de um classificador de duas classes; a classe 1 (spam) é a positiva.

    Args:
        labels: classes verdadeiras, 0 ou 1, ``(N,)``.
        predictions: classes previstas, 0 ou 1, ``(N,)``.

    Returns:
        Dicionário com ``accuracy``, ``precision``, ``recall`` e ``f1`` (entre 0 e 1; 0 quando não se definem) e
        ``confusion_matrix``, lista 2 × 2 com a classe verdadeira nas linhas.

    Raises:
        ValueError: se os tamanhos diferem, se não há exemplos ou se há classe fora de {0, 1}.
    """
    labels, predictions = (_class_numbers(values) for values in (labels, predictions))
    if len(labels) != len(predictions) or not labels:
        raise ValueError(
            f"labels, predictions: esperava o mesmo número de classes, ao menos uma; recebi {len(labels)} e "
            f"{len(predictions)}."
        )
    if strange := set(labels + predictions) - {0, 1}:
        raise ValueError(f"labels, predictions: esperava classes 0 ou 1; encontrei {strange.pop()!r}.")
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predictions, labels=[1], average="micro", zero_division=0
    )
    matrix = confusion_matrix(labels, predictions, labels=[0, 1]).tolist()
    return {
        "accuracy": (matrix[0][0] + matrix[1][1]) / len(labels),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "confusion_matrix": matrix,
    }


def expected_cost(labels, probabilities, threshold, false_positive_cost, false_negative_cost):
    """Calcula quanto custa, em média por mensagem, decidir com um limiar: o risco empírico da teoria da decisão.

    A mensagem é tratada como spam quando sua probabilidade é maior ou igual ao limiar. Acertar não custa nada.

    Args:
        labels: classes verdadeiras, 0 ou 1 (spam), ``(N,)``.
        probabilities: probabilidade de spam de cada mensagem, ``(N,)``.
        threshold: o limiar, no mínimo 0; um maior que 1 não trata nenhuma como spam.
        false_positive_cost: o preço de tratar como spam uma mensagem legítima.
        false_negative_cost: o preço de deixar passar um spam.

    Returns:
        O custo médio por mensagem (``float``), na unidade dos preços.

    Raises:
        TypeError, ValueError: se os tamanhos diferem, se um valor não é uma probabilidade ou se um preço é negativo.
    """
    threshold = check_number("threshold", threshold, minimum=0)
    false_positive_cost = check_number("false_positive_cost", false_positive_cost, minimum=0)
    false_negative_cost = check_number("false_negative_cost", false_negative_cost, minimum=0)
    probabilities = [check_number("probabilities", value, minimum=0, maximum=1) for value in probabilities]
    predictions = [int(probability >= threshold) for probability in probabilities]
    (_, false_positives), (false_negatives, _) = classification_scores(labels, predictions)["confusion_matrix"]
    total = false_positive_cost * false_positives + false_negative_cost * false_negatives
    return total / len(predictions)


def _class_numbers(values):
    try:
        return [value.item() if hasattr(value, "item") else value for value in values]
    except TypeError:
        raise TypeError(f"labels, predictions: esperava sequências de classes; recebi {values!r:.60}.") from None


def bootstrap_interval(labels, predictions, measure=None, n_resamples=2000, confidence=0.95, seed=123):
    """Estima, por reamostragem, entre que valores uma medida ficaria com outro teste do mesmo tamanho.

    Sorteia-se o teste de novo, com reposição e mantendo juntas a classe verdadeira e a prevista de cada mensagem; o
    intervalo vai de um quantil a outro das medidas (Efron, 1979, *Bootstrap Methods: Another Look at the Jackknife*;
    aqui, o intervalo de percentis).

    Args:
        labels: classes verdadeiras, ``(N,)``.
        predictions: classes previstas, ``(N,)``.
        measure: função que recebe os dois arrays e devolve um número; sem ela, a acurácia.
        n_resamples: quantos testes sortear.
        confidence: fração das medidas que fica dentro do intervalo, entre 0 e 1.
        seed: semente dos sorteios; o gerador global não é usado.

    Returns:
        ``(low, high)``: os limites do intervalo (``float``).

    Raises:
        ValueError: se os tamanhos diferem, se há menos de duas mensagens ou se um argumento não serve.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1 or len(labels) < 2:
        raise ValueError(
            "labels, predictions: esperava duas sequências de mesmo tamanho, com ao menos duas classes; recebi as "
            f"formas {labels.shape} e {predictions.shape}."
        )
    check_integer("n_resamples", n_resamples, minimum=1)
    check_number("confidence", confidence, minimum=0, maximum=1)
    check_seed("seed", seed)
    interval = bootstrap(
        (labels, predictions),
        _accuracy if measure is None else measure,
        n_resamples=n_resamples,
        confidence_level=confidence,
        paired=True,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _accuracy(labels, predictions):
    return np.mean(labels == predictions)


def tfidf_baseline(train_df):
    """Treina a referência: TF-IDF de 2 a 5 caracteres com regressão logística.

    É o que um bom classificador sem redes neurais consegue com as mesmas mensagens, em segundos.

    Args:
        train_df: ``DataFrame`` com ``Text`` e ``Label``, a classe: 0 e 1 ou, com mais classes, de 0 em diante.

    Returns:
        Um ``Pipeline`` do scikit-learn já treinado; ``.predict(textos)`` devolve as classes.

    Raises:
        TypeError, ValueError: se falta uma coluna, se um texto não é texto, se um rótulo não é um número de classe ou
            se só há uma classe.
    """
    check_columns("train_df", train_df, ["Text", "Label"])
    if not train_df["Text"].map(lambda text: isinstance(text, str)).all():
        raise TypeError("train_df: esperava textos (str) na coluna Text.")
    labels = train_df["Label"]
    if not is_integer_dtype(labels) or labels.min() < 0 or labels.nunique() < 2:
        raise ValueError(
            "train_df: esperava mensagens das duas classes (ou mais), com rótulos 0 e 1 (ou de 0 em diante); veja "
            "map_labels."
        )
    baseline = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1000),
    )
    return baseline.fit(train_df["Text"], train_df["Label"])

"""Os experimentos com SMS: a receita da aula, com pesos pré-treinados e com pesos sorteados.

O que muda entre os experimentos é o ponto de partida (pré-treinado ou sorteado), o que se treina (só o fim do
modelo, como na aula, ou tudo) e a posição que a cabeça lê (a última, como na aula, ou o último token da própria
mensagem). O resto é a receita: 5 épocas, lotes de 8, AdamW com ``weight_decay=0.1``, 120 tokens por mensagem.

Quatro contas que não mudam o resultado, só a demora: as ativações que entram no primeiro bloco treinável são
calculadas uma vez, porque o que vem antes está congelado; o último bloco só é calculado na posição que se lê; quem lê
o último token da mensagem dispensa o preenchimento que vem depois, porque a atenção é causal; e os embeddings de
tokens que nenhuma mensagem usa ficam de fora.
"""

import copy
import csv
import json
import math
import statistics
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch.nn import functional as F
from tqdm import tqdm

from llmdefinitions.config import END_OF_TEXT, model_config
from llmdefinitions.datasets import (
    create_balanced_dataset,
    encode_message,
    find_duplicates,
    load_spam_data,
    map_labels,
    random_split,
)
from llmdefinitions.evaluation import classification_scores
from llmdefinitions.frozen import block_at, run_blocks
from llmdefinitions.gpt import GPTModel

MAX_LENGTH = 120
BATCH_SIZE = 8
EPOCHS = 5
WEIGHT_DECAY = 0.1
READINGS = ("última posição", "último token da mensagem")
FROZEN_RATES = (5e-5, 1e-4, 3e-4, 1e-3, 2e-3)
FULL_RATES = (3e-4, 1e-3)
SEARCH_SEEDS = {"fim do modelo": (101, 102), "modelo inteiro": (101,)}
FEATURE_BATCH = 64
REMEMBERED_MODELS = 8


@dataclass(eq=False)
class Messages:
    """Mensagens em ids: ``ids`` ``(N, 120)``, ``last`` ``(N,)`` (último token real), ``labels`` ``(N,)``."""

    ids: torch.Tensor
    last: torch.Tensor
    labels: torch.Tensor
    texts: list


def load_messages(path, tokenizer):
    """Lê o arquivo da UCI e o divide como na aula.

    Args:
        path: ``SMSSpamCollection`` (lido como na aula, com as aspas do pandas: 5.572 mensagens).
        tokenizer: tokenizador da GPT-2.

    Returns:
        (treino, validação, teste, vazadas): três ``Messages`` e a máscara ``(N,)`` das mensagens de teste cujo
        texto está também no treino.
    """
    data = load_spam_data(path, quoting=csv.QUOTE_MINIMAL)
    parts = random_split(map_labels(create_balanced_dataset(data)), 0.7, 0.1)
    leaked = torch.tensor(parts[2].index.isin(find_duplicates(parts[0], parts[2]).index))
    return *(encode_messages(part["Text"], part["Label"], tokenizer) for part in parts), leaked


def encode_messages(texts, labels, tokenizer):
    """Converte mensagens e rótulos em ``Messages``."""
    encoded = [encode_message(text, tokenizer)[:MAX_LENGTH] for text in texts]
    ids = torch.full((len(encoded), MAX_LENGTH), END_OF_TEXT)
    for row, tokens in zip(ids, encoded, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    last = torch.tensor([len(tokens) - 1 for tokens in encoded])
    return Messages(ids, last, torch.tensor(list(labels)), list(texts))


class Classifier(torch.nn.Module):
    """O fim de um ``GPTModel``, do bloco ``first_block`` em diante, com cabeça de duas classes.

    Args:
        model: ``GPTModel`` de partida; não é alterado.
        first_block: primeiro bloco treinável; 0 treina tudo, também os embeddings.
        reading: uma de ``READINGS``.
        used_tokens: ids ``(U,)`` dos tokens que as mensagens usam; só conta se ``first_block`` é 0.
    """

    def __init__(self, model, first_block, reading, used_tokens=None):
        super().__init__()
        self.whole = first_block == 0
        self.by_message = reading == READINGS[1]
        if self.whole:
            self.tok_emb = torch.nn.Embedding.from_pretrained(model.tok_emb.weight[used_tokens].detach(), freeze=False)
            self.pos_emb = copy.deepcopy(model.pos_emb)
        self.blocks = copy.deepcopy(model.trf_blocks[first_block:])
        self.norm = copy.deepcopy(model.final_norm)
        self.head = torch.nn.Linear(model.cfg["emb_dim"], 2)

    def forward(self, inputs, last):
        """Logits ``(B, 2)``.

        Args:
            inputs: índices em ``used_tokens``, ``(B, T)``, se tudo é treinado; senão, ativações ``(B, T, C)``.
            last: índice ``(B,)`` do último token de cada mensagem.
        """
        if self.by_message:
            inputs = inputs[:, : int(last.max()) + 1]
        else:
            last = torch.full_like(last, inputs.shape[1] - 1)
        x = inputs
        if self.whole:
            x = self.tok_emb(inputs) + self.pos_emb.weight[: inputs.shape[1]]  # (B, T, C)
        x = self.blocks[:-1](x)  # (B, T, C)
        return self.head(self.norm(block_at(self.blocks[-1], x, last)))


@torch.no_grad()
def frozen_activations(model, ids, first_block):
    """Ativações ``(N, T, C)`` que entram no bloco ``first_block``."""
    return torch.cat([run_blocks(model, chunk, first_block) for chunk in ids.split(FEATURE_BATCH)])


@lru_cache(maxsize=REMEMBERED_MODELS)
def prepare_inputs(model, first_block, *parts):
    """O que entra no primeiro bloco treinável, calculado uma vez por modelo.

    Args:
        model: ``GPTModel`` de partida.
        first_block: primeiro bloco treinável.
        parts: ``Messages`` de treino, validação e teste.

    Returns:
        (ids usados ``(U,)``, entradas de cada parte: ativações ``(N, T, C)`` ou, se ``first_block`` é 0, índices
        ``(N, T)`` nos ids usados).
    """
    ids = torch.cat([part.ids for part in parts])
    used_tokens, compact = torch.unique(ids, return_inverse=True)
    inputs = compact if first_block == 0 else frozen_activations(model, ids, first_block)
    return used_tokens, inputs.split([len(part.ids) for part in parts])


def fine_tune(model, data, *, trained, reading, rate, seed):
    """Um experimento: ajusta o classificador e mede validação e teste.

    Args:
        model: ``GPTModel`` de partida.
        data: saída de ``load_messages``.
        trained: ``"fim do modelo"`` (como na aula) ou ``"modelo inteiro"``.
        reading: uma de ``READINGS``.
        rate: taxa de aprendizado.
        seed: semente da cabeça e da ordem dos lotes.

    Returns:
        dict com acurácias em % (``validacao``, ``teste``, ``teste_sem_vazadas``), ``perda_validacao``, ``f1``
        em % e ``segundos``.
    """
    *parts, leaked = data
    first_block = 0 if trained == "modelo inteiro" else len(model.trf_blocks) - 1
    used_tokens, inputs = prepare_inputs(model, first_block, *parts)
    started = time.perf_counter()
    torch.manual_seed(seed)
    classifier = Classifier(model, first_block, reading, used_tokens)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=rate, weight_decay=WEIGHT_DECAY, fused=True)
    train = parts[0]
    for _ in range(EPOCHS):
        order = torch.randperm(len(train.labels))
        for batch in order[: len(order) // BATCH_SIZE * BATCH_SIZE].split(BATCH_SIZE):
            logits = classifier(inputs[0][batch], train.last[batch])  # (8, 2)
            loss = F.cross_entropy(logits, train.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - started
    validation_logits = predict(classifier, inputs[1], parts[1].last)
    test_predictions = predict(classifier, inputs[2], parts[2].last).argmax(dim=1)
    scores = test_scores(parts[2].labels, test_predictions, leaked)
    validation_hits = validation_logits.argmax(dim=1) == parts[1].labels
    return scores | {
        "validacao": 100 * float(validation_hits.float().mean()),
        "perda_validacao": float(F.cross_entropy(validation_logits, parts[1].labels)),
        "segundos": seconds,
    }


@torch.no_grad()
def predict(classifier, inputs, last):
    """Logits ``(N, 2)`` em lotes."""
    batches = zip(inputs.split(FEATURE_BATCH), last.split(FEATURE_BATCH), strict=True)
    return torch.cat([classifier(*batch) for batch in batches])


def test_scores(labels, predictions, leaked):
    """Acurácia e F1 no teste, em %, com e sem as mensagens que também estão no treino."""
    whole = classification_scores(labels.tolist(), predictions.tolist())
    clean = classification_scores(labels[~leaked].tolist(), predictions[~leaked].tolist())
    return {
        "teste": 100 * whole["accuracy"],
        "f1": 100 * whole["f1"],
        "teste_sem_vazadas": 100 * clean["accuracy"],
        "f1_sem_vazadas": 100 * clean["f1"],
    }


def tfidf_baselines(data):
    """TF-IDF com regressão logística (C=10), por palavras e por caracteres: acurácia e F1 em %."""
    train, _, test, leaked = data
    vectorizers = {
        "palavras, 1 a 2": TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        "caracteres, 2 a 5": TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True),
    }
    results = {}
    for name, vectorizer in vectorizers.items():
        classifier = make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=1000))
        classifier.fit(train.texts, train.labels.numpy())
        predictions = torch.as_tensor(classifier.predict(test.texts))
        results[name] = test_scores(test.labels, predictions, leaked)
    return results


@lru_cache(maxsize=REMEMBERED_MODELS)
def random_model(seed):
    """``GPTModel`` de pesos sorteados, com a inicialização que o aluno recebe sem pré-treinamento."""
    torch.manual_seed(seed)
    return GPTModel(model_config()).eval()


class RunCache:
    """Resultados já obtidos, num arquivo JSON: um experimento interrompido continua de onde parou.

    Args:
        path: arquivo JSON.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.results = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def get(self, key, compute):
        """Resultado guardado em ``key`` ou o de ``compute()``, que passa a ser guardado."""
        if key not in self.results:
            self.results[key] = compute()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.results, indent=1, ensure_ascii=False), encoding="utf-8")
        return self.results[key]


def run_experiments(pretrained, fingerprint, data, cache, seeds):
    """Todos os experimentos: escolhe a taxa na validação e repete com cada semente.

    A taxa escolhida é a de menor perda de validação média, nas sementes de busca, que não são as da medida.

    Args:
        pretrained: ``GPTModel`` pré-treinado.
        fingerprint: sha256 dos pesos pré-treinados, para que a memória não misture modelos.
        data: saída de ``load_messages``.
        cache: ``RunCache``.
        seeds: sementes da medida.

    Yields:
        Um dict por combinação, com ``pesos``, ``treinado``, ``leitura``, ``taxa``, ``busca`` (perda de
        validação por taxa) e média e desvio-padrão das medidas.
    """
    combinations = [
        (weights, trained, reading)
        for trained in ("fim do modelo", "modelo inteiro")
        for weights in ("pré-treinados", "sorteados")
        for reading in READINGS
    ]
    for weights, trained, reading in tqdm(combinations, desc="Experimentos com SMS"):

        def run(rate, seed, weights=weights, trained=trained, reading=reading):
            origin = fingerprint if weights == "pré-treinados" else "sorteados"
            model = pretrained if weights == "pré-treinados" else random_model(seed)
            return cache.get(
                f"{origin} | {trained} | {reading} | {rate} | {seed}",
                lambda: fine_tune(model, data, trained=trained, reading=reading, rate=rate, seed=seed),
            )

        rates = FROZEN_RATES if trained == "fim do modelo" else FULL_RATES
        search = {
            rate: statistics.mean(run(rate, seed)["perda_validacao"] for seed in SEARCH_SEEDS[trained])
            for rate in rates
        }
        rate = min(rates, key=lambda r: search[r] if math.isfinite(search[r]) else math.inf)
        runs = [run(rate, seed) for seed in seeds]
        yield {
            "pesos": weights,
            "treinado": trained,
            "leitura": reading,
            "taxa": rate,
            "busca": {str(r): round(loss, 4) for r, loss in search.items()},
            "medidas": {name: summarize([run[name] for run in runs]) for name in runs[0]},
        }


def summarize(values):
    """Média, desvio-padrão amostral e valores, arredondados."""
    return {
        "media": round(statistics.mean(values), 3),
        "desvio": round(statistics.stdev(values), 3) if len(values) > 1 else 0.0,
        "valores": [round(value, 3) for value in values],
    }

"""O pré-treinamento causal, prever cada token a partir dos anteriores: medi-lo (perplexidade) e continuá-lo.

É o ajuste fino sem rótulos: o mesmo objetivo com que o modelo nasceu, agora nos textos de um domínio. A perplexidade
é ``exp`` da perda média por token (Jurafsky e Martin, *Speech and Language Processing*, capítulo 3).
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

from .checks import check_integer, check_model, check_number, check_seed, check_tokenizer
from .config import END_OF_TEXT, batches_limit
from .datasets import encode_message
from .progress import progress_bar

EVALUATION_BATCH = 8


def perplexity(texts, model, tokenizer):
    """Mede quanto um modelo se surpreende com textos: ``exp`` da perda média, em que cada token pesa o mesmo.

    Cada texto é lido sozinho, entre dois ``<|endoftext|>``: com o da frente o primeiro token também é previsto, e o do
    fim é previsto como os outros. Com ``LLMDEFINITIONS_LOTES=n``, só os ``8 n`` primeiros textos são lidos.

    Args:
        texts: sequência de textos.
        model: um ``GPTModel`` com a cabeça que prevê tokens; é posto em modo de avaliação.
        tokenizer: o tokenizador (veja ``get_tokenizer``).

    Returns:
        A perplexidade (``float``), de 1 para cima; ``vocab_size`` é a de quem não sabe nada.

    Raises:
        TypeError, ValueError: se um argumento não serve ou se não há textos.
    """
    documents = _encode("texts", texts, tokenizer)
    if (limit := batches_limit()) is not None:
        documents = documents[: limit * EVALUATION_BATCH]
    return math.exp(calc_text_loss(documents, model))


@torch.no_grad()
def calc_text_loss(documents, model):
    """Calcula a perda média por token, em nats, sobre documentos inteiros.

    Args:
        documents: sequências de ids, cada uma terminada em ``<|endoftext|>``.
        model: o modelo; é posto em modo de avaliação.

    Returns:
        A perda (``float``).
    """
    check_model("model", model).eval()
    device = next(model.parameters()).device
    ids, mask = evaluation_windows(documents, model.cfg["context_length"])
    batches = list(zip(ids.split(EVALUATION_BATCH), mask.split(EVALUATION_BATCH), strict=True))
    total = 0.0
    for rows, present in progress_bar(batches, "perplexidade", "lote"):
        longest = int(present.sum(dim=1).max())
        rows, present = rows[:, : longest + 1].to(device), present[:, :longest].to(device)
        logits = model(rows[:, :-1])  # (B, T, V)
        total += float(F.cross_entropy(logits[present], rows[:, 1:][present], reduction="sum"))
    return total / int(mask.sum())


def evaluation_windows(documents, context):
    """Corta documentos em janelas que começam pelo token anterior (ou ``<|endoftext|>``).

    Args:
        documents: sequências de ids terminadas em ``<|endoftext|>``.
        context: comprimento máximo da janela de entrada.

    Returns:
        (ids ``(N, context + 1)``, máscara ``(N, context)`` dos alvos que existem), das janelas curtas às longas. Cada
        token de cada documento é alvo exatamente uma vez.
    """
    windows = []
    for document in documents:
        whole = np.concatenate([[END_OF_TEXT], document]).astype(np.int64)
        windows += [whole[i : i + context + 1] for i in range(0, len(whole) - 1, context)]
    windows.sort(key=len)
    ids = np.full((len(windows), context + 1), END_OF_TEXT)
    mask = np.zeros((len(windows), context), dtype=bool)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = window
        mask[row, : len(window) - 1] = True
    return torch.tensor(ids), torch.tensor(mask)


def continue_pretraining(texts, model, tokenizer, num_batches, learning_rate, batch_size=4, length=64, seed=123):
    """Continua o pré-treinamento em textos de um domínio, sem rótulo nenhum.

    Como no pré-treinamento, os textos viram uma fila só, separados por ``<|endoftext|>``; a fila é cortada em linhas
    de ``length`` tokens, e em cada posição o alvo é o token seguinte. Com ``LLMDEFINITIONS_LOTES=n``, são ``n`` lotes.

    Args:
        texts: sequência de textos.
        model: um ``GPTModel``; todos os pesos mudam, no lugar, e no fim ele volta ao modo de avaliação.
        tokenizer: o tokenizador.
        num_batches: quantos lotes ver (se faltam linhas, param antes).
        learning_rate: taxa de aprendizado do AdamW.
        batch_size: linhas por lote.
        length: tokens por linha.
        seed: semente da ordem das linhas.

    Returns:
        Lista com a perda de cada lote, em nats por token, antes do passo que ele causa.

    Raises:
        TypeError, ValueError: se um argumento não serve ou se os textos não enchem um lote.
    """
    check_integer("num_batches", num_batches, minimum=1)
    check_number("learning_rate", learning_rate, minimum=0)
    check_integer("batch_size", batch_size, minimum=1)
    check_integer("length", length, minimum=1, maximum=check_model("model", model).cfg["context_length"])
    check_seed("seed", seed)
    queue = [END_OF_TEXT, *(token for document in _encode("texts", texts, tokenizer) for token in document)]
    n_rows = (len(queue) - 1) // length
    if n_rows < batch_size:
        raise ValueError(f"texts: só enchem {n_rows} linhas de {length} tokens; um lote precisa de {batch_size}.")
    inputs, targets = (torch.tensor(queue[i : i + n_rows * length]).view(n_rows, length) for i in (0, 1))
    batches = torch.randperm(n_rows, generator=torch.Generator().manual_seed(seed)).split(batch_size)
    batches = [batch for batch in batches if len(batch) == batch_size][: batches_limit() or num_batches]

    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.1)
    losses = []
    model.train()
    for batch in progress_bar(batches, "pré-treinamento", "lote"):
        logits = model(inputs[batch].to(device))  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), targets[batch].to(device).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses


def _encode(name, texts, tokenizer):
    check_tokenizer("tokenizer", tokenizer)
    if isinstance(texts, str) or len(texts) == 0:
        raise ValueError(f"{name}: esperava uma lista com ao menos um texto.")
    return [[*encode_message(text, tokenizer), END_OF_TEXT] for text in texts]

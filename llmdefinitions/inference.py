"""Classificar muitas mensagens em lotes: as mesmas respostas de ``classify_review``, ou a probabilidade de spam.

Uma mensagem por vez, o processador passa boa parte do tempo buscando pesos na memória. Em lotes, cada peso buscado
serve a várias mensagens; agrupadas por comprimento, quase nenhuma conta é gasta em preenchimento. Do último bloco só
se calcula a posição que se lê (veja ``frozen.block_at``).
"""

from itertools import islice

import torch

from .checks import check_device, check_integer, check_text, check_tokenizer
from .classifier import LABEL_NAMES, check_label_names, output_head, predict_labels
from .config import END_OF_TEXT
from .datasets import encode_message, pad_or_truncate
from .frozen import batches_by_length, compute_in, fast_dtype, hidden_at
from .progress import progress_bar

WINDOW = 2048
"""Quantas mensagens se leem de cada vez para agrupá-las por comprimento."""


def classify_texts(
    texts,
    model,
    tokenizer,
    device,
    max_length=None,
    pad_token_id=END_OF_TEXT,
    label_names=LABEL_NAMES,
    fast=False,
):
    """Classifica muitas mensagens, na ordem, com as respostas que ``classify_review`` daria a cada uma.

    As mensagens são lidas aos poucos e as respostas saem aos poucos: um arquivo aberto com um milhão de linhas ocupa a
    mesma memória que um de mil. Para tê-las todas de uma vez, ``list(classify_texts(...))``.

    Args:
        texts: qualquer iterável de textos: lista, coluna de um ``DataFrame``, arquivo aberto…
        model, tokenizer, device, max_length, pad_token_id, label_names: os de ``classify_review``.
        fast: se ``True``, calcula em ``bfloat16`` onde isso compensa; uma mensagem em cima do muro pode mudar de lado.

    Returns:
        Um iterador sobre os nomes das classes.

    Raises:
        TypeError, ValueError: os de ``classify_review``; se um texto não é ``str``, quando chega a vez dele.
    """
    label_names = check_label_names(label_names, output_head(model).out_features)
    windows = _logits_by_window(texts, model, tokenizer, device, max_length, pad_token_id, fast)
    return (label_names[label] for logits in windows for label in predict_labels(logits).tolist())


def score_texts(texts, model, tokenizer, device, max_length=None, pad_token_id=END_OF_TEXT, fast=False):
    """Dá a probabilidade de spam de muitas mensagens, na ordem: o que um limiar compara.

    As mensagens são lidas aos poucos, como em ``classify_texts``. A probabilidade é o softmax dos dois logits; que ela
    seja a fração de acertos entre mensagens parecidas (que seja *calibrada*) não está garantido.

    Args:
        texts, model, tokenizer, device, max_length, pad_token_id, fast: os de ``classify_texts``; o modelo tem duas
            classes, e a 1 é spam.

    Returns:
        Um iterador sobre as probabilidades (``float``).

    Raises:
        TypeError, ValueError: os de ``classify_texts``, e se o modelo não tem duas classes.
    """
    if (num_classes := output_head(model).out_features) != 2:
        raise ValueError(f"model: esperava um classificador de duas classes; a cabeça tem {num_classes}.")
    windows = _logits_by_window(texts, model, tokenizer, device, max_length, pad_token_id, fast)
    return (score for logits in windows for score in _spam_probabilities(logits))


def _spam_probabilities(logits):
    predict_labels(logits)  # recusa NaN com uma frase
    return logits.float().softmax(dim=-1)[:, 1].tolist()


def _logits_by_window(texts, model, tokenizer, device, max_length, pad_token_id, fast):
    """Confere os argumentos já; devolve um iterador sobre os logits, ``(n, num_classes)``, de cada janela."""
    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
        raise TypeError("texts: esperava vários textos, como uma lista; para um só, use classify_review.")
    check_tokenizer("tokenizer", tokenizer)
    device = check_device("device", device)
    head = output_head(model)
    check_integer("pad_token_id", pad_token_id, minimum=0, maximum=model.tok_emb.num_embeddings - 1)
    context_length = model.pos_emb.weight.shape[0]
    if max_length is not None:
        check_integer("max_length", max_length, minimum=1, maximum=context_length)
    mixed = fast and head.weight.dtype == torch.float32
    dtype = fast_dtype(device) if mixed else head.weight.dtype

    def encode(number, text):
        ids = encode_message(check_text(f"texts[{number}]", text), tokenizer)[:context_length]
        return pad_or_truncate(ids, max_length or max(1, len(ids)), pad_token_id)

    def compute():
        model.eval()
        numbered = enumerate(progress_bar(texts, "classificando", "mensagem"))
        while window := list(islice(numbered, WINDOW)):
            encoded = [encode(number, text) for number, text in window]
            yield _window_logits(encoded, model, device, dtype, pad_token_id)

    return compute()


@torch.no_grad()
def _window_logits(encoded, model, device, dtype, pad_token_id):
    """Devolve os logits de cada mensagem, lista de ids, na ordem: ``(n, num_classes)``."""
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    lengths = [len(encoded[index]) for index in order]
    found = []
    for batch in batches_by_length(lengths, device):
        longest = lengths[batch][-1]
        ids = torch.tensor([pad_or_truncate(encoded[index], longest, pad_token_id) for index in order[batch]])
        last = torch.tensor(lengths[batch]) - 1  # (B,)
        with compute_in(dtype, device):
            hidden = hidden_at(model, ids.to(device), last.to(device))  # (B, C)
            found.append(model.out_head(model.final_norm(hidden)))  # (B, num_classes)
    logits = torch.cat(found)  # na ordem dos comprimentos
    logits[order] = logits.clone()  # e agora na das mensagens
    return logits

"""Geração de texto: repetir "qual é o próximo token?" e acrescentar a resposta."""

import torch

from .checks import check_integer, check_model


@torch.no_grad()
def generate_text_simple(model, idx, max_new_tokens, context_size):
    """Continua um texto pela escolha gulosa: a cada passo, o token de maior logit.

    Args:
        model: o modelo; ``model(ids)`` devolve logits ``(B, T, V)``.
        idx: ids do texto inicial, inteiros, ``(B, T)`` com ``T ≥ 1``.
        max_new_tokens: quantos tokens acrescentar.
        context_size: quantos dos últimos tokens o modelo recebe de cada vez.

    Returns:
        Tensor de inteiros ``(B, T + max_new_tokens)``.

    Raises:
        TypeError, ValueError: se ``model`` não é um modelo, se ``idx`` não é ``(B, T)`` ou se um dos números não serve.
    """
    check_model("model", model)
    check_integer("max_new_tokens", max_new_tokens, minimum=0)
    check_integer("context_size", context_size, minimum=1)
    if not torch.is_tensor(idx) or idx.dim() != 2 or idx.shape[1] == 0:
        raise ValueError("idx: esperava ids com a forma (textos, tokens); veja text_to_token_ids.")
    for _ in range(max_new_tokens):
        logits = model(idx[:, -context_size:])[:, -1, :]  # (B, V)
        idx = torch.cat([idx, logits.argmax(dim=-1, keepdim=True)], dim=1)  # (B, T + 1)
    return idx

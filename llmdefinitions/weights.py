"""Os pesos do GPT-2: no formato aninhado da OpenAI, que é o da aula, para dentro do ``GPTModel``.

``settings`` são os números do modelo (``n_vocab``, ``n_ctx``, ``n_embd``, ``n_head``, ``n_layer``); ``params`` é
um dicionário de matrizes do NumPy::

    wte (V, C)   wpe (T, C)   g (C,)   b (C,)
    blocks[i]: attn: c_attn: w (C, 3C), b (3C,)    c_proj: w (C, C), b (C,)
               mlp:  c_fc:   w (C, 4C), b (4C,)    c_proj: w (4C, C), b (C,)
               ln_1, ln_2:   g (C,), b (C,)
"""

import torch
from torch import nn

from .checks import check_integer
from .config import DEFAULT_MODEL, model_config
from .gpt import GPTModel


def load_weights_into_gpt(gpt, params):
    """Copia pesos no formato da OpenAI para um modelo.

    As camadas da OpenAI multiplicam à direita (``x W``) e as do PyTorch à esquerda (``x Wᵀ``): por isso as
    transposições. A cabeça de saída passa a ser o próprio embedding dos tokens, como no GPT-2 publicado.

    Args:
        gpt: o ``GPTModel``, alterado no lugar.
        params: o dicionário aninhado descrito no alto deste módulo.

    Raises:
        TypeError, ValueError: se ``gpt`` não é um ``GPTModel``, se falta um peso ou se uma forma não combina.
    """
    if not isinstance(gpt, GPTModel):
        raise TypeError(f"gpt: esperava um GPTModel; recebi {type(gpt).__name__}.")
    if gpt.out_head.out_features != gpt.tok_emb.num_embeddings:
        raise ValueError("gpt: a cabeça já foi trocada; carregue os pesos antes de prepare_for_classification.")
    _check_block_count(gpt, params)
    _assign(gpt.tok_emb, "weight", params, "wte")
    _assign(gpt.pos_emb, "weight", params, "wpe")
    for i, block in enumerate(gpt.trf_blocks):
        at = ("blocks", i)
        for part, name in (("w", "weight"), ("b", "bias")):
            joined = _find(params, *at, "attn", "c_attn", part)
            for layer, piece in zip(
                (block.att.W_query, block.att.W_key, block.att.W_value),
                joined.tensor_split(3, dim=-1),
                strict=True,
            ):
                _set(layer, name, piece, (*at, "attn", "c_attn", part))
        for layer, names in (
            (block.att.out_proj, ("attn", "c_proj")),
            (block.ff.layers[0], ("mlp", "c_fc")),
            (block.ff.layers[2], ("mlp", "c_proj")),
        ):
            _assign(layer, "weight", params, *at, *names, "w")
            _assign(layer, "bias", params, *at, *names, "b")
        for norm, name in ((block.norm1, "ln_1"), (block.norm2, "ln_2")):
            _assign(norm, "scale", params, *at, name, "g")
            _assign(norm, "shift", params, *at, name, "b")
    _assign(gpt.final_norm, "scale", params, "g")
    _assign(gpt.final_norm, "shift", params, "b")
    gpt.out_head.weight = gpt.tok_emb.weight


def build_model(choose_model=DEFAULT_MODEL, seed=123):
    """Monta o modelo escolhido, pronto para receber a cabeça de classificação.

    Args:
        choose_model: uma das chaves de ``MODEL_CONFIGS``.
        seed: semente do sorteio dos pesos.

    Returns:
        ``(model, origin)``: o ``GPTModel`` em modo de avaliação e uma frase que diz de onde vêm os pesos.

    Raises:
        ValueError: se o modelo não existe.
    """
    torch.manual_seed(check_integer("seed", seed, minimum=0))
    model = GPTModel(model_config(choose_model))
    return model.eval(), f"pesos sorteados (semente {seed}), sem pré-treinamento"


def _check_block_count(gpt, params):
    if not isinstance(params, dict) or "blocks" not in params:
        raise TypeError("params: esperava o dicionário que download_and_load_gpt2 devolve, com a chave 'blocks'.")
    if len(params["blocks"]) != len(gpt.trf_blocks):
        raise ValueError(
            f"params: os pesos têm {len(params['blocks'])} blocos; o modelo tem {len(gpt.trf_blocks)}. "
            "A configuração é a do mesmo tamanho que os pesos?"
        )


def _find(params, *keys):
    try:
        for key in keys:
            params = params[key]
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"params: falta o peso {_spell(keys)}.") from None
    return torch.as_tensor(params)


def _assign(module, name, params, *keys):
    _set(module, name, _find(params, *keys), keys)


def _set(module, name, value, keys):
    if isinstance(module, nn.Linear) and value.dim() == 2:
        value = value.T
    parameter = getattr(module, name)
    if parameter is None:
        raise ValueError(f"params: {_spell(keys)} tem viés, e o modelo não. Use qkv_bias=True na configuração.")
    if parameter.shape != value.shape:
        raise ValueError(
            f"params: {_spell(keys)} dá a forma {tuple(value.shape)}; o modelo espera {tuple(parameter.shape)}."
        )
    with torch.no_grad():
        parameter.copy_(value)


def _spell(keys):
    return keys[0] + "".join(f"[{key!r}]" for key in keys[1:])

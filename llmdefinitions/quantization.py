"""Quantização: guardar cada peso como um inteiro de poucos bits e uma escala que o traz de volta.

É a absmax, simétrica: o maior valor em módulo de cada grupo vira o maior inteiro. A do LLM.int8() (Dettmers et al.,
2022) parte dela, por linhas e colunas, e a NF4 da QLoRA (Dettmers et al., 2023) troca os níveis igualmente espaçados.
"""

import copy

import torch
from torch import nn

from .checks import check_integer, check_model


def quantize_absmax(weights, bits=8, block_size=None):
    """Quantiza um tensor com uma escala só ou, melhor, uma por bloco de ``block_size`` números seguidos.

    Args:
        weights: tensor de números reais, de qualquer forma.
        bits: de 2 a 8; com ``b`` bits os inteiros vão de ``-(2^(b-1) - 1)`` a ``2^(b-1) - 1``.
        block_size: tamanho do bloco; sem ele, o tensor inteiro é um bloco.

    Returns:
        ``(codes, scales)``: inteiros ``int8`` da forma de ``weights`` e as escalas, ``(blocos, 1)``. Um bloco só de
        zeros tem escala 1.

    Raises:
        TypeError, ValueError: se um argumento não serve ou se os blocos não cobrem o tensor exatamente.
    """
    if not torch.is_tensor(weights) or not weights.is_floating_point() or weights.numel() == 0:
        raise TypeError("weights: esperava um tensor de números reais, com ao menos um.")
    largest = 2 ** (check_integer("bits", bits, minimum=2, maximum=8) - 1) - 1
    block_size = weights.numel() if block_size is None else check_integer("block_size", block_size, minimum=1)
    if weights.numel() % block_size:
        raise ValueError(f"block_size: {weights.numel()} números não se dividem em blocos de {block_size}.")
    blocks = weights.detach().reshape(-1, block_size)  # (blocos, block_size)
    scales = blocks.abs().amax(dim=1, keepdim=True) / largest
    scales = scales.where(scales > 0, torch.ones_like(scales))
    codes = (blocks / scales).round().clamp(-largest, largest).to(torch.int8)
    return codes.reshape(weights.shape), scales


def dequantize_absmax(codes, scales):
    """Traz os inteiros de volta a números reais: cada um vezes a escala do seu bloco.

    Args:
        codes, scales: os de ``quantize_absmax``.

    Returns:
        Tensor da forma de ``codes``.
    """
    return (codes.reshape(len(scales), -1) * scales).reshape(codes.shape)


def quantize_model(model, bits=8, block_size=None):
    """Copia um modelo com as matrizes dos blocos quantizadas e trazidas de volta, para ver o que a perda custa.

    Embeddings, normas, vieses e a cabeça ficam como estão.

    Args:
        model: um ``GPTModel``; não é alterado.
        bits, block_size: os de ``quantize_absmax``, em cada matriz.

    Returns:
        A cópia, em ponto flutuante.

    Raises:
        TypeError, ValueError: se um argumento não serve.
    """
    model = copy.deepcopy(check_model("model", model))
    with torch.no_grad():
        for layer in model.trf_blocks.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(dequantize_absmax(*quantize_absmax(layer.weight, bits, block_size)))
    return model

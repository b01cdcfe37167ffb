"""A quantização absmax: os inteiros, as escalas, o erro que cabe em meia escala, e um modelo inteiro."""

import pytest
import torch

from llmdefinitions import dequantize_absmax, quantize_absmax, quantize_model


def test_known_values():
    codes, scales = quantize_absmax(torch.tensor([[0.5, -2.0, 0.9], [0.0, 1.0, 2.0]]))
    assert codes.dtype == torch.int8
    assert codes.tolist() == [[32, -127, 57], [0, 64, 127]]
    assert scales.tolist() == [[pytest.approx(2 / 127)]]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("block_size", [None, 1, 8, 64])
def test_error_is_at_most_half_a_step(bits, block_size):
    weights = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    codes, scales = quantize_absmax(weights, bits, block_size)
    largest = 2 ** (bits - 1) - 1
    assert codes.shape == weights.shape
    assert codes.abs().max() == largest
    assert scales.shape == (512 // (block_size or 512), 1)
    error = (dequantize_absmax(codes, scales) - weights).abs().reshape(len(scales), -1)
    assert bool((error <= scales / 2 + 1e-6).all())


def test_blocks_isolate_a_large_weight():
    weights = torch.full((4, 64), 0.01)
    weights[0, 0] = 10
    whole, blocks = (dequantize_absmax(*quantize_absmax(weights, 4, size)) for size in (None, 64))
    assert whole[1:].abs().max() == 0
    torch.testing.assert_close(blocks[1:], weights[1:])


def test_zeros_stay_zeros():
    codes, scales = quantize_absmax(torch.zeros(2, 4), block_size=4)
    assert scales.tolist() == [[1], [1]]
    assert dequantize_absmax(codes, scales).tolist() == [[0] * 4] * 2


def test_a_model_is_copied_and_only_the_matrices_of_its_blocks_change(tiny_model):
    before = {name: weight.clone() for name, weight in tiny_model.state_dict().items()}
    quantized = quantize_model(tiny_model, 4, 8)
    for name, weight in quantized.state_dict().items():
        torch.testing.assert_close(tiny_model.state_dict()[name], before[name], rtol=0, atol=0)
        is_matrix = name.startswith("trf_blocks") and name.endswith("weight") and weight.dim() == 2
        if is_matrix:
            torch.testing.assert_close(weight, dequantize_absmax(*quantize_absmax(before[name], 4, 8)))
        assert torch.equal(weight, before[name]) != is_matrix or "mask" in name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quantize_absmax([1.0]), "weights: esperava um tensor de números reais"),
        (lambda: quantize_absmax(torch.tensor([1])), "weights: esperava um tensor de números reais"),
        (lambda: quantize_absmax(torch.empty(0)), "weights: esperava um tensor de números reais"),
        (lambda: quantize_absmax(torch.ones(4), 1), "bits: esperava no mínimo 2"),
        (lambda: quantize_absmax(torch.ones(4), 9), "bits"),
        (lambda: quantize_absmax(torch.ones(4), 8, 0), "block_size: esperava no mínimo 1"),
        (lambda: quantize_absmax(torch.ones(4), 8, 3), "4 números não se dividem em blocos de 3"),
        (lambda: quantize_model(None), "model"),
    ],
)
def test_bad_arguments_are_refused(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()

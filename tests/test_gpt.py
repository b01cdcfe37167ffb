"""O modelo: contas iguais às das fórmulas, causalidade, formas e recusas."""

import math

import pytest
import torch
from torch import nn

from llmdefinitions import (
    GELU,
    FeedForward,
    GPTModel,
    LayerNorm,
    MultiHeadAttention,
    TransformerBlock,
    count_parameters,
    model_config,
)


def explicit_attention(attention, x):
    """A atenção causal escrita por extenso, uma cabeça de cada vez: ``softmax(Q Kᵀ / √D + máscara) V``."""
    size = attention.head_dim
    num_tokens = x.shape[1]
    future = torch.triu(torch.ones(num_tokens, num_tokens, dtype=torch.bool), diagonal=1)
    heads = []
    for h in range(attention.num_heads):
        rows = slice(h * size, (h + 1) * size)
        q, k, v = (
            x @ layer.weight[rows].T + (0 if layer.bias is None else layer.bias[rows])
            for layer in (attention.W_query, attention.W_key, attention.W_value)
        )
        scores = (q @ k.transpose(1, 2) / math.sqrt(size)).masked_fill(future, -math.inf)  # (B, T, T)
        heads.append(scores.softmax(dim=-1) @ v)  # (B, T, D)
    return attention.out_proj(torch.cat(heads, dim=-1))


@pytest.mark.parametrize("bias", [True, False])
def test_fused_attention_equals_the_formula(bias):
    torch.manual_seed(1)
    attention = MultiHeadAttention(12, 12, context_length=9, dropout=0.0, num_heads=3, qkv_bias=bias).double()
    x = torch.randn(4, 9, 12, dtype=torch.float64)
    torch.testing.assert_close(attention(x), explicit_attention(attention, x))


@pytest.mark.parametrize("causal", [True, False])
def test_attention_weights_are_the_ones_the_forward_pass_uses(causal):
    torch.manual_seed(1)
    attention = MultiHeadAttention(12, 12, context_length=9, dropout=0.0, num_heads=3, qkv_bias=True).double()
    attention.is_causal = causal
    x = torch.randn(4, 9, 12, dtype=torch.float64)
    weights = attention.attention_weights(x)
    assert weights.shape == (4, 3, 9, 9)
    assert bool((weights.triu(diagonal=1) == 0).all()) is causal
    values = attention.W_value(x).view(4, 9, 3, 4).transpose(1, 2)
    context = (weights @ values).transpose(1, 2).reshape(4, 9, 12)
    torch.testing.assert_close(attention.out_proj(context), attention(x))


def test_whole_model_equals_the_formulas(tiny_model):
    model = tiny_model.double()
    ids = torch.randint(0, 50257, (3, 7))

    def norm(layer, x):
        centered = x - x.mean(-1, keepdim=True)
        return layer.scale * centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() + layer.shift

    def gelu(x):
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    x = model.tok_emb.weight[ids] + model.pos_emb.weight[:7]
    for block in model.trf_blocks:
        x = x + explicit_attention(block.att, norm(block.norm1, x))
        expand, _, contract = block.ff.layers
        x = x + contract(gelu(expand(norm(block.norm2, x))))
    expected = norm(model.final_norm, x) @ model.out_head.weight.T
    torch.testing.assert_close(model(ids), expected)


def test_earlier_positions_do_not_see_later_ones(tiny_model):
    ids = torch.randint(0, 50257, (1, 10))
    changed = ids.clone()
    changed[0, 6] += 1
    before, after = tiny_model(ids), tiny_model(changed)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_without_the_mask_earlier_positions_see_later_ones(tiny_model):
    ids = torch.randint(0, 50257, (1, 10))
    changed = ids.clone()
    changed[0, 6] += 1
    for block in tiny_model.trf_blocks:
        block.att.is_causal = False
    before, after = tiny_model(ids), tiny_model(changed)
    assert not torch.allclose(before[:, :6], after[:, :6])


def test_parts_keep_the_shape(tiny_config):
    x = torch.randn(2, 5, 16)
    for part in (LayerNorm(16), GELU(), FeedForward(tiny_config), TransformerBlock(tiny_config)):
        assert part(x).shape == x.shape, type(part).__name__


def test_dropout_acts_only_in_training(tiny_config):
    torch.manual_seed(0)
    model = GPTModel(tiny_config | {"drop_rate": 0.5})
    ids = torch.tensor([[1, 2, 3]])
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("gpt2-small (124M)", 124.4),
        ("gpt2-medium (355M)", 354.8),
        ("gpt2-large (774M)", 774.0),
        ("gpt2-xl (1558M)", 1557.6),
        ("gpt2-mini (12M)", 12.4),
    ],
)
def test_sizes_are_what_the_names_say(name, millions):
    with torch.device("meta"):
        model = GPTModel(model_config(name))
    model.out_head.weight = model.tok_emb.weight
    assert count_parameters(model) / 1e6 == pytest.approx(millions, abs=0.05)


def test_state_dict_with_the_books_mask_loads(tiny_model, tiny_config):
    state = tiny_model.state_dict()
    for i in range(tiny_config["n_layers"]):
        state[f"trf_blocks.{i}.att.mask"] = torch.triu(torch.ones(32, 32), diagonal=1)
    other = GPTModel(tiny_config)
    other.load_state_dict(state)
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(other(ids), tiny_model(ids))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"emb_dim": 17}, "não se divide em 2 cabeças"),
        ({"n_layers": 0}, "cfg['n_layers']: esperava no mínimo 1"),
        ({"vocab_size": "muitos"}, "cfg['vocab_size']: esperava um número inteiro"),
        ({"context_length": True}, "cfg['context_length']: esperava um número inteiro"),
        ({"drop_rate": 1.5}, "cfg['drop_rate']: esperava no máximo 1"),
        ({"drop_rate": float("nan")}, "cfg['drop_rate']: esperava um número finito"),
        ({"drop_rate": None}, "cfg['drop_rate']: esperava um número; recebi None"),
        ({"qkv_bias": "sim"}, "cfg['qkv_bias']: esperava True ou False"),
    ],
)
def test_bad_configuration_is_refused(tiny_config, change, message):
    with pytest.raises((TypeError, ValueError)) as error:
        GPTModel(tiny_config | change)
    assert message in str(error.value)


def test_incomplete_configuration_is_refused(tiny_config):
    del tiny_config["emb_dim"], tiny_config["qkv_bias"]
    with pytest.raises(ValueError, match="falta emb_dim, qkv_bias"):
        GPTModel(tiny_config)
    with pytest.raises(TypeError, match="dicionário"):
        GPTModel("gpt2-small (124M)")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.zeros(1, 33, dtype=torch.long), "esperava de 1 a 32 tokens; recebi 33"),
        (torch.zeros(1, 0, dtype=torch.long), "esperava de 1 a 32 tokens; recebi 0"),
        (torch.zeros(4, dtype=torch.long), "unsqueeze"),
        (torch.zeros(1, 4), "tensor de inteiros"),
        ([[1, 2]], "tensor de inteiros"),
        (torch.tensor([[0, 50257]]), "ids de 0 a 50256"),
        (torch.tensor([[-1, 3]]), "ids de 0 a 50256"),
    ],
)
def test_bad_input_is_refused(tiny_model, ids, message):
    with pytest.raises((TypeError, ValueError), match="in_idx") as error:
        tiny_model(ids)
    assert message in str(error.value)


def test_attention_refuses_too_many_tokens_and_uneven_heads():
    with pytest.raises(ValueError, match="d_out: 10 não se divide em 3"):
        MultiHeadAttention(10, 10, 8, 0.0, 3)
    with pytest.raises(ValueError, match="no máximo 8 tokens"):
        MultiHeadAttention(12, 12, 8, 0.0, 3)(torch.zeros(1, 9, 12))


@pytest.mark.parametrize("part", [FeedForward, TransformerBlock])
def test_parts_refuse_a_wrong_configuration(part):
    for cfg in ({}, None):
        with pytest.raises((TypeError, ValueError), match="cfg"):
            part(cfg)


def test_other_parts_refuse_wrong_sizes():
    with pytest.raises(TypeError, match="emb_dim: esperava um número inteiro"):
        LayerNorm("16")
    with pytest.raises(ValueError, match="num_heads: esperava no mínimo 1"):
        MultiHeadAttention(12, 12, 8, 0.0, 0)
    with pytest.raises(ValueError, match="x: esperava a forma"):
        MultiHeadAttention(12, 12, 8, 0.0, 3)(torch.zeros(9, 12))


def test_model_config():
    config = model_config("gpt2-medium (355M)")
    assert config["emb_dim"] == 1024
    assert config["context_length"] == 1024
    assert model_config()["context_length"] == 256
    with pytest.raises(ValueError, match="não conheço 'gpt3'"):
        model_config("gpt3")


def test_count_parameters_refuses_other_things():
    assert count_parameters(nn.Linear(3, 2)) == 8
    with pytest.raises(TypeError, match="model"):
        count_parameters({"peso": 1})

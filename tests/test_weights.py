"""Pesos no formato da OpenAI entram no modelo, e os que não combinam são recusados."""

import copy

import numpy as np
import pytest
import torch

from llmdefinitions import GPTModel, build_model, load_weights_into_gpt, prepare_for_classification


def params_of(model):
    """Escreve os pesos de um modelo no formato aninhado da OpenAI, por um caminho diferente do de ``weights.py``."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}

    def linear(prefix):
        return {"w": state[f"{prefix}.weight"].T.copy(), "b": state[f"{prefix}.bias"]}

    blocks = []
    for i in range(len(model.trf_blocks)):
        at = f"trf_blocks.{i}"
        joined = [linear(f"{at}.att.W_{name}") for name in ("query", "key", "value")]
        blocks.append(
            {
                "attn": {
                    "c_attn": {part: np.concatenate([piece[part] for piece in joined], axis=-1) for part in "wb"},
                    "c_proj": linear(f"{at}.att.out_proj"),
                },
                "mlp": {"c_fc": linear(f"{at}.ff.layers.0"), "c_proj": linear(f"{at}.ff.layers.2")},
                "ln_1": {"g": state[f"{at}.norm1.scale"], "b": state[f"{at}.norm1.shift"]},
                "ln_2": {"g": state[f"{at}.norm2.scale"], "b": state[f"{at}.norm2.shift"]},
            }
        )
    return {
        "wte": state["tok_emb.weight"],
        "wpe": state["pos_emb.weight"],
        "blocks": blocks,
        "g": state["final_norm.scale"],
        "b": state["final_norm.shift"],
    }


@pytest.fixture
def source(tiny_config):
    torch.manual_seed(9)
    model = GPTModel(tiny_config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.out_head.weight = model.tok_emb.weight
    return model


def test_loaded_model_gives_the_same_logits(source, tiny_model):
    load_weights_into_gpt(tiny_model, params_of(source))
    ids = torch.randint(0, 50257, (2, 9))
    torch.testing.assert_close(tiny_model(ids), source(ids))
    assert tiny_model.out_head.weight is tiny_model.tok_emb.weight


def test_loading_copies(source, tiny_model):
    params = copy.deepcopy(params_of(source))
    load_weights_into_gpt(tiny_model, params)
    before = tiny_model.tok_emb.weight.clone()
    params["wte"][:] = 0
    assert torch.equal(tiny_model.tok_emb.weight, before)


def without(*keys):
    def change(params):
        for key in keys[:-1]:
            params = params[key]
        del params[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("wte"), "falta o peso wte"),
        (without("blocks"), "com a chave 'blocks'"),
        (without("blocks", 1), "os pesos têm 1 blocos; o modelo tem 2"),
        (without("blocks", 1, "mlp", "c_fc", "b"), "falta o peso blocks[1]['mlp']['c_fc']['b']"),
        (
            lambda params: params.update(wpe=np.zeros((8, 16), "float32")),
            "wpe dá a forma (8, 16); o modelo espera (32, 16)",
        ),
        (
            lambda params: params["blocks"][0]["attn"]["c_attn"].update(w=np.zeros((16, 47), "float32")),
            "blocks[0]['attn']['c_attn']['w'] dá a forma",
        ),
    ],
)
def test_wrong_weights_are_refused(source, tiny_model, change, message):
    params = params_of(source)
    change(params)
    with pytest.raises((TypeError, ValueError), match="params") as error:
        load_weights_into_gpt(tiny_model, params)
    assert message in str(error.value)


def test_wrong_models_are_refused(source, tiny_config, tiny_model):
    params = params_of(source)
    with pytest.raises(TypeError, match="gpt: esperava um GPTModel"):
        load_weights_into_gpt(torch.nn.Linear(2, 2), params)
    with pytest.raises(ValueError, match="qkv_bias=True"):
        load_weights_into_gpt(GPTModel(tiny_config | {"qkv_bias": False}), params)
    with pytest.raises(ValueError, match="a cabeça já foi trocada"):
        load_weights_into_gpt(prepare_for_classification(tiny_model), params)


def test_built_model_says_where_its_weights_come_from():
    model, origin = build_model(seed=3)
    again, _ = build_model(seed=3)
    other, _ = build_model(seed=4)
    assert "pesos sorteados (semente 3)" in origin
    assert model.cfg["emb_dim"] == 192
    assert not model.training
    assert torch.equal(model.pos_emb.weight, again.pos_emb.weight)
    assert not torch.equal(model.pos_emb.weight, other.pos_emb.weight)
    with pytest.raises(ValueError, match="choose_model"):
        build_model("gpt2-enorme")

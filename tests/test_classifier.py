"""O classificador: congelar, trocar a cabeça, classificar qualquer texto, salvar e carregar com segurança."""

import errno
import os
import pickle
import zipfile

import pytest
import torch

from llmdefinitions import (
    SourceError,
    classify_review,
    count_parameters,
    freeze,
    load_classifier,
    predict_labels,
    prepare_for_classification,
    replace_output_head,
    save_classifier,
    unfreeze_last_blocks,
)


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("n_blocks", [0, 1, 2])
def test_only_the_end_of_the_model_is_trainable(tiny_model, n_blocks):
    prepare_for_classification(tiny_model, num_classes=3, n_trainable_blocks=n_blocks)
    expected = {"out_head.weight", "out_head.bias", "final_norm.scale", "final_norm.shift"}
    last = range(2 - n_blocks, 2)
    expected |= {name for name, _ in tiny_model.named_parameters() if any(f"trf_blocks.{i}." in name for i in last)}
    assert trainable(tiny_model) == expected
    assert tiny_model(torch.tensor([[1, 2]])).shape == (1, 2, 3)


def test_freeze_leaves_nothing_to_train(tiny_model):
    freeze(tiny_model)
    assert count_parameters(tiny_model, only_trainable=True) == 0


def test_new_head_is_the_lectures(tiny_model):
    torch.manual_seed(123)
    expected = torch.nn.Linear(in_features=16, out_features=2)
    replace_output_head(tiny_model, num_classes=2, seed=123)
    assert torch.equal(tiny_model.out_head.weight, expected.weight)
    assert torch.equal(tiny_model.out_head.bias, expected.bias)


def test_new_head_keeps_the_type_and_the_seed_is_optional(tiny_model):
    replace_output_head(tiny_model.to(torch.bfloat16))
    assert tiny_model.out_head.weight.dtype == torch.bfloat16
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    with torch.random.fork_rng():
        replace_output_head(tiny_model, seed=None)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: replace_output_head(model, num_classes=1), "num_classes: esperava no mínimo 2"),
        (lambda model: replace_output_head(model, seed=-1), "seed: esperava no mínimo 0"),
        (lambda _: replace_output_head(torch.nn.Linear(2, 2)), "model: esperava um GPTModel"),
        (lambda model: unfreeze_last_blocks(model, 3), "n_blocks: esperava no máximo 2"),
        (lambda model: unfreeze_last_blocks(model, -1), "n_blocks: esperava no mínimo 0"),
    ],
)
def test_head_and_blocks_refuse_bad_input(tiny_model, call, message):
    with pytest.raises((TypeError, ValueError)) as error:
        call(tiny_model)
    assert message in str(error.value)


def test_predict_labels():
    logits = torch.tensor([[0.2, 0.1], [-1.0, 3.0], [5.0, 4.9]])
    assert predict_labels(logits).tolist() == [0, 1, 0]
    assert predict_labels(logits.unsqueeze(1).repeat(1, 4, 1)).tolist() == [0, 1, 0]
    assert predict_labels(logits, threshold=0.4).tolist() == [1, 1, 1]
    assert predict_labels(logits, threshold=0.99).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("logits", "threshold"),
    [
        (torch.zeros(3), None),
        (torch.tensor([[torch.nan, 1.0]]), None),
        (torch.zeros(2, 0, 2), None),
        ([[1.0, 2.0]], None),
        (torch.zeros(2, 3), 0.5),
        (torch.zeros(2, 2), 1.5),
    ],
)
def test_predict_labels_refuses_bad_input(logits, threshold):
    with pytest.raises((TypeError, ValueError), match=r"logits|threshold"):
        predict_labels(logits, threshold)


# --- classify_review


def test_classification_reads_the_last_padded_position(tiny_classifier, tokenizer):
    text = "Win a prize now"
    ids = tokenizer.encode(text)
    padded = torch.tensor([ids + [50256] * (20 - len(ids))])
    expected = ("not spam", "spam")[tiny_classifier(padded)[0, -1].argmax()]
    assert classify_review(text, tiny_classifier, tokenizer, "cpu", max_length=20) == expected


def test_answer_follows_the_model(tiny_classifier, tokenizer):
    for answer, bias in (("spam", [-9.0, 9.0]), ("not spam", [9.0, -9.0])):
        tiny_classifier.out_head.bias.data = torch.tensor(bias)
        tiny_classifier.train()
        assert classify_review("oi", tiny_classifier, tokenizer, "cpu", max_length=8) == answer
        assert not tiny_classifier.training


@pytest.mark.parametrize("max_length", [None, 1, 8, 32])
@pytest.mark.parametrize("text", ["", "oi", "palavra " * 200, "<|endoftext|>", "😀 ação\n\t"])
def test_any_text_is_classified(tiny_classifier, tokenizer, text, max_length):
    assert classify_review(text, tiny_classifier, tokenizer, "cpu", max_length) in ("spam", "not spam")


def test_context_comes_from_the_position_table(tiny_classifier, tokenizer):
    """A aula lê ``shape[1]`` (16, o ``emb_dim``): ali a mensagem seria cortada na metade do contexto (32)."""
    seen = []
    tiny_classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    classify_review("a b c d e f g h i j k l m n o p q r s t", tiny_classifier, tokenizer, "cpu")
    classify_review("palavra " * 200, tiny_classifier, tokenizer, "cpu", max_length=32)
    assert [ids.shape[1] for ids in seen] == [20, 32]
    assert 50256 not in seen[1]


@pytest.mark.parametrize(
    ("text", "max_length", "message"),
    [
        (None, 8, "text: esperava um texto"),
        (b"oi", 8, "text: esperava um texto"),
        ("oi", 33, "max_length: esperava no máximo 32"),
        ("oi", 0, "max_length: esperava no mínimo 1"),
        ("oi", "8", "max_length: esperava um número inteiro"),
    ],
)
def test_classification_refuses_bad_input(tiny_classifier, tokenizer, text, max_length, message):
    with pytest.raises((TypeError, ValueError)) as error:
        classify_review(text, tiny_classifier, tokenizer, "cpu", max_length)
    assert message in str(error.value)


def test_classification_needs_a_two_class_head(tiny_model, tokenizer):
    with pytest.raises(ValueError, match="label_names: esperava 50257 nomes"):
        classify_review("oi", tiny_model, tokenizer, "cpu")
    with pytest.raises(TypeError, match="model: esperava um GPTModel"):
        classify_review("oi", None, tokenizer, "cpu")


def test_names_of_the_classes_can_be_given(tiny_classifier, tokenizer):
    names = ["legítima", "golpe"]
    assert classify_review("oi", tiny_classifier, tokenizer, "cpu", label_names=names) in names


def test_a_refused_preparation_changes_nothing(tiny_model):
    before = tiny_model.out_head
    for wrong in ({"n_trainable_blocks": 7}, {"num_classes": 1}, {"seed": 2**64}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            prepare_for_classification(tiny_model, **wrong)
    assert tiny_model.out_head is before
    assert all(parameter.requires_grad for parameter in tiny_model.parameters())


# --- salvar e carregar


def test_saved_classifier_answers_the_same(tiny_classifier, tmp_path):
    path = tmp_path / "nova pasta" / "review_classifier.pth"
    save_classifier(path, tiny_classifier, max_length=20, label_names=("não", "sim"))
    model, info = load_classifier(path)
    ids = torch.randint(0, 50257, (3, 20))
    assert torch.equal(model(ids), tiny_classifier(ids))
    assert info == {"config": tiny_classifier.cfg, "max_length": 20, "label_names": ["não", "sim"]}
    assert not model.training
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_nothing_is_overwritten_unasked(tiny_classifier, tmp_path):
    path = tmp_path / "a.pth"
    save_classifier(path, tiny_classifier, 20)
    before = path.read_bytes()
    tiny_classifier.out_head.bias.data += 1
    with pytest.raises(FileExistsError, match="não vou apagá-lo"):
        save_classifier(path, tiny_classifier, 20)
    assert path.read_bytes() == before
    save_classifier(path, tiny_classifier, 20, overwrite=True)
    assert torch.equal(load_classifier(path)[0].out_head.bias, tiny_classifier.out_head.bias)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_length": 33}, "max_length: esperava no máximo 32"),
        ({"max_length": 20, "label_names": "ab"}, "label_names: esperava uma lista"),
        ({"max_length": 20, "label_names": {"a", "b"}}, "label_names: esperava uma lista"),
        ({"max_length": 20, "label_names": ("a", "a")}, "há um nome repetido"),
        ({"max_length": 20, "label_names": ("a", "b", "c")}, "esperava 2 nomes; recebi 3"),
        ({"max_length": 20, "label_names": (0, 1)}, "label_names: esperava uma lista"),
    ],
)
def test_saving_refuses_bad_input(tiny_classifier, tmp_path, arguments, message):
    with pytest.raises((TypeError, ValueError)) as error:
        save_classifier(tmp_path / "a.pth", tiny_classifier, **arguments)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def checkpoint_of(model):
    return {
        "format": "llmdefinitions-classificador-1",
        "config": dict(model.cfg),
        "max_length": 20,
        "label_names": ["not spam", "spam"],
        "state_dict": model.state_dict(),
    }


def damage(key, value):
    def change(checkpoint):
        checkpoint[key] = value

    return change


def damage_state(name, value):
    def change(checkpoint):
        if value is None:
            del checkpoint["state_dict"][name]
        else:
            checkpoint["state_dict"][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage("format", "outro"), "não foi criado por save_classifier"),
        (lambda checkpoint: checkpoint.pop("max_length"), "falta 'max_length'"),
        (damage("max_length", 999), "no máximo 32"),
        (damage("label_names", ["só um"]), "ao menos 2"),
        (damage("config", {"emb_dim": 10**12}), "cfg: falta"),
        (damage("state_dict", []), "blocos da configuração"),
        (lambda checkpoint: checkpoint["config"].update(n_layers=10**9), "blocos da configuração"),
        (lambda checkpoint: checkpoint["config"].update(vocab_size=10**12), "tok_emb.weight tem a forma"),
        (damage_state("final_norm.scale", None), "final_norm.scale falta ou sobra"),
        (damage_state("intruso", torch.zeros(1)), "intruso falta ou sobra"),
        (damage_state("out_head.bias", torch.zeros(5)), "out_head.bias tem a forma (5,), não (2,)"),
        (damage_state("out_head.bias", torch.zeros(2, dtype=torch.long)), "ponto flutuante"),
        (damage_state("out_head.bias", "texto"), "ponto flutuante"),
        (damage_state("out_head.bias", torch.tensor([0.0, torch.nan])), "out_head.bias tem NaN"),
        (damage_state("out_head.bias", torch.zeros(2, dtype=torch.float16)), "misturam tipos"),
        (damage_state("out_head.bias", torch.zeros(1).expand(2)), "não traz todos os seus números"),
        (damage_state("out_head.bias", torch.zeros(2).to_sparse()), "não traz todos os seus números"),
        (damage_state("out_head.bias", torch.zeros(2, device="meta")), "não traz todos os seus números"),
    ],
)
def test_damaged_checkpoints_are_refused(tiny_classifier, tmp_path, change, message):
    checkpoint = checkpoint_of(tiny_classifier)
    change(checkpoint)
    torch.save(checkpoint, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="path") as error:
        load_classifier(tmp_path / "a.pth")
    assert message in str(error.value)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("invadido",)


def test_a_checkpoint_never_runs_code(tiny_classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(checkpoint_of(tiny_classifier) | {"label_names": Malicious()}, "a.pth")
    with pytest.raises(ValueError, match="corrompido ou não é"):
        load_classifier("a.pth")
    with open("b.pth", "wb") as file:
        pickle.dump(Malicious(), file)
    with pytest.raises(ValueError, match="corrompido ou não é"):
        load_classifier("b.pth")
    assert not os.path.exists("invadido")


def test_truncated_compressed_and_missing_files_are_refused(tiny_classifier, tmp_path):
    path = tmp_path / "a.pth"
    save_classifier(path, tiny_classifier, 20)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    path.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "d.pth")
    for name in ("a.pth", "b.pth", "c.pth", "d.pth"):
        with pytest.raises(ValueError, match=r"path: .*(corrompido|não foi criado)"):
            load_classifier(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="não encontrei"):
        load_classifier(tmp_path / "nada.pth")


def test_an_interrupted_save_leaves_nothing_behind(tiny_classifier, tmp_path, monkeypatch):
    def fail(_, partial):
        partial.write_bytes(b"metade")
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(SourceError, match="o disco está cheio"):
        save_classifier(tmp_path / "a.pth", tiny_classifier, 20)
    assert not list(tmp_path.iterdir())

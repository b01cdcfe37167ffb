"""O ajuste fino rápido: no modo exato, os números do laço da aula; no rápido, o último token de verdade."""

import copy
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from llmdefinitions import (
    ActivationCache,
    GPTModel,
    SpamDataset,
    build_model,
    calc_accuracy_loader,
    classify_review,
    create_data_loaders,
    frozen,
    predict_loader,
    prepare_for_classification,
    prepare_frozen,
    train_classifier_frozen,
    train_classifier_simple,
)
from llmdefinitions.config import DEFAULT_MODEL, END_OF_TEXT
from llmdefinitions.frozen import NoRoomError, SimilarLengthBatches, StaleActivationsError

from .test_training import adamw, independent_loop

CPU = torch.device("cpu")


@pytest.fixture
def deep_classifier(tiny_config):
    """Um classificador de quatro blocos, para que haja mais de um bloco congelado e mais de um treinável."""

    def make(n_trainable_blocks=1, seed=0, **changes):
        torch.manual_seed(seed)
        model = GPTModel(tiny_config | {"n_layers": 4} | changes)
        return prepare_for_classification(model, n_trainable_blocks=n_trainable_blocks)

    return make


def train_both(model, loaders, lr, epochs=3, **options):
    """Treina uma cópia com o laço independente e outra pelo caminho congelado, dos mesmos sorteios."""
    plain, fast = model, copy.deepcopy(model)
    torch.manual_seed(5)
    losses, accuracies = independent_loop(plain, *loaders[:2], epochs, eval_freq=2, eval_iter=2, lr=lr)
    torch.manual_seed(5)
    history = train_classifier_frozen(fast, *loaders[:2], adamw(fast, lr), CPU, epochs, 2, 2, **options)
    frozen_losses = list(zip(*history[:2], strict=True))
    frozen_accuracies = list(zip(*history[2:4], strict=True))
    return (plain, losses, accuracies), (fast, frozen_losses, frozen_accuracies)


# --- o modo exato


@pytest.mark.parametrize("lr", [5e-5, 1e-3, 3e-2])
@pytest.mark.parametrize("n_trainable_blocks", [0, 1, 2, 4])
def test_exact_mode_equals_an_independent_loop_in_float64(deep_classifier, tiny_loaders, lr, n_trainable_blocks):
    model = deep_classifier(n_trainable_blocks).double()
    (plain, losses, accuracies), (fast, *frozen_history) = train_both(model, tiny_loaders, lr)
    np.testing.assert_allclose(frozen_history[0], losses, rtol=0, atol=1e-8)
    np.testing.assert_allclose(frozen_history[1], accuracies)
    assert predict_loader(tiny_loaders[2], fast, CPU) == predict_loader(tiny_loaders[2], plain, CPU)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(fast.state_dict()[name], tensor, rtol=0, atol=1e-6, msg=name)
    assert fast.training == plain.training


def test_exact_mode_equals_the_lecture_in_float32(tmp_path, embedded_df, tokenizer):
    from llmdefinitions import map_labels

    path = tmp_path / "mensagens.csv"
    map_labels(embedded_df[:80]).to_csv(path, index=None)
    dataset = SpamDataset(path, tokenizer, max_length=60)
    loaders = create_data_loaders(dataset, dataset, dataset)
    model = prepare_for_classification(build_model(DEFAULT_MODEL, 123, True)[0])
    (_, losses, accuracies), (_, frozen_losses, frozen_accuracies) = train_both(model, loaders, lr=5e-5)
    np.testing.assert_allclose(frozen_losses, losses, rtol=1e-4)
    np.testing.assert_allclose(frozen_accuracies, accuracies)


@pytest.mark.parametrize("options", [{"num_workers": 1}, {"generator": 9}, {"drop_last": True}])
def test_other_loaders_draw_the_same_batches(deep_classifier, tiny_loaders, options):
    dataset = tiny_loaders[0].dataset

    def loaders():
        generator = torch.Generator().manual_seed(options["generator"]) if "generator" in options else None
        return [DataLoader(dataset, 7, shuffle=True, **options | {"generator": generator}), DataLoader(dataset, 8)]

    plain = deep_classifier().double()
    fast = copy.deepcopy(plain)
    torch.manual_seed(5)
    expected = train_classifier_simple(plain, *loaders(), adamw(plain), CPU, 2, 2, 2)
    torch.manual_seed(5)
    received = train_classifier_frozen(fast, *loaders(), adamw(fast), CPU, 2, 2, 2)
    np.testing.assert_allclose(received[0], expected[0], rtol=0, atol=1e-8)
    assert received[4] == expected[4]


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_one_position_of_a_block_is_that_of_the_whole_block(deep_classifier, qkv_bias):
    block = deep_classifier(qkv_bias=qkv_bias).trf_blocks[0].double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, position = torch.randn(5, 9, 16, dtype=torch.float64), torch.tensor([0, 8, 3, 4, 8])
    torch.testing.assert_close(frozen.block_at(block, x, position), block(x)[torch.arange(5), position])


def test_one_position_needs_the_causal_mask(tiny_model):
    block = tiny_model.trf_blocks[0]
    block.att.is_causal = False
    with pytest.raises(ValueError, match="sem a máscara causal"):
        frozen.block_at(block, torch.randn(1, 3, 16), torch.tensor([1]))


def test_gradients_through_one_position_are_those_of_the_whole_block(deep_classifier):
    block = deep_classifier(n_trainable_blocks=4).trf_blocks[0].double()
    x = torch.randn(3, 7, 16, dtype=torch.float64, requires_grad=True)
    position = torch.tensor([6, 2, 4])
    inputs = [x, *block.parameters()]
    expected = torch.autograd.grad(block(x)[torch.arange(3), position].square().sum(), inputs)
    received = torch.autograd.grad(frozen.block_at(block, x, position).square().sum(), inputs)
    for one, other in zip(received, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_the_tail_serves_every_function_of_the_lecture(deep_classifier, tiny_loaders):
    model = deep_classifier()
    tail, train_frozen, test_frozen = prepare_frozen(model, tiny_loaders[0], tiny_loaders[2], device=CPU)
    assert predict_loader(test_frozen, tail, CPU) == predict_loader(tiny_loaders[2], model, CPU)
    assert calc_accuracy_loader(test_frozen, tail, CPU) == calc_accuracy_loader(tiny_loaders[2], model, CPU)
    assert len(train_frozen) == len(tiny_loaders[0])
    assert {id(p) for p in tail.parameters()} <= {id(p) for p in model.parameters()}
    activations, label = test_frozen.dataset[3]
    assert activations.shape == (32, 16)
    assert label == tiny_loaders[2].dataset[3][1]


def test_the_model_of_the_book_serves_too(tiny_config, tiny_loaders):
    from llms_from_scratch.ch04 import GPTModel as BookModel

    torch.manual_seed(0)
    model = prepare_for_classification(BookModel(tiny_config)).eval()
    tail, test_frozen = prepare_frozen(model, tiny_loaders[2], device=CPU)
    ids, _ = next(iter(tiny_loaders[2]))
    activations, _ = next(iter(test_frozen))
    torch.testing.assert_close(tail(activations)[:, -1], model(ids)[:, -1])


# --- ativações de outros pesos nunca servem


def test_activations_of_other_weights_are_never_used(deep_classifier, tiny_loaders, tmp_path):
    """O mesmo cache, na memória e no disco, recebe modelos que só diferem na parte congelada."""
    for cache in (ActivationCache(), ActivationCache(tmp_path)):
        for model in (deep_classifier(seed=0), deep_classifier(seed=1), deep_classifier(seed=1, n_heads=4)):
            tail, test_frozen = prepare_frozen(model, tiny_loaders[2], device=CPU, cache=cache)
            ids, _ = next(iter(tiny_loaders[2]))
            activations, _ = next(iter(test_frozen))
            torch.testing.assert_close(tail(activations)[:, -1], model(ids)[:, -1])


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}),
        lambda model: setattr(model.tok_emb.weight, "data", model.tok_emb.weight + 1),
        lambda model: model.trf_blocks[0].requires_grad_(True),
        lambda model: model.trf_blocks[0].att.W_key.weight.detach().mul_(2),
    ],
)
def test_weights_that_change_afterwards_are_noticed(deep_classifier, tiny_loaders, change):
    model = deep_classifier()
    _, train_frozen = prepare_frozen(model, tiny_loaders[0], device=CPU)
    next(iter(train_frozen))
    change(model)
    with pytest.raises(StaleActivationsError, match="chame prepare_frozen de novo"):
        next(iter(train_frozen))


def test_other_messages_and_modes_have_other_activations(deep_classifier, tiny_loaders):
    cache, model = ActivationCache(), deep_classifier()
    dataset = tiny_loaders[2].dataset
    ids, labels = frozen.read_messages(dataset)
    other = DataLoader(TensorDataset(ids.flip(0), labels), 8)
    for fast in (False, True):
        one = prepare_frozen(model, DataLoader(dataset, 8), device=CPU, cache=cache, fast=fast)[1].dataset
        two = prepare_frozen(model, other, device=CPU, cache=cache, fast=fast)[1].dataset
        torch.testing.assert_close(one[0][0], two[len(two) - 1][0])
        assert one[0][0].shape != one[1][0].shape or not torch.equal(one[0][0], two[0][0])


# --- onde as ativações ficam


def test_a_second_experiment_reuses_the_activations(deep_classifier, tiny_loaders, tmp_path, capsys, monkeypatch):
    first = deep_classifier()
    tail, first_frozen = prepare_frozen(first, tiny_loaders[0], device=CPU, cache=ActivationCache(tmp_path))
    assert "Ativações congeladas: 0,00 GB em " in capsys.readouterr().out
    tail(first_frozen.dataset[0][0].unsqueeze(0)).sum().backward()
    adamw(first).step()  # treinar o fim não muda a chave

    def never(*_):
        raise AssertionError("as ativações foram calculadas outra vez")

    monkeypatch.setattr(frozen.FrozenPrefix, "__call__", never)
    _, again = prepare_frozen(first, tiny_loaders[0], device=CPU, cache=ActivationCache(tmp_path))
    assert capsys.readouterr().out == ""
    torch.testing.assert_close(again.dataset.activations, first_frozen.dataset.activations)


def test_the_file_is_mapped_and_never_written_again(deep_classifier, tiny_loaders, tmp_path):
    folder = tmp_path / "ativações"
    _, train_frozen = prepare_frozen(deep_classifier(), tiny_loaders[0], device=CPU, cache=ActivationCache(folder))
    (path,) = folder.iterdir()
    before = path.read_bytes()
    train_frozen.dataset.activations.zero_()
    assert path.read_bytes() == before


def test_an_interrupted_write_leaves_nothing(tmp_path):
    cache = ActivationCache(tmp_path)

    def interrupted():
        yield np.zeros((1, 4), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get("a", (3, 4), np.float32, interrupted)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time, numpy
from llmdefinitions import ActivationCache

def slow():
    yield numpy.ones((1, 1_000_000), numpy.float32)
    print("escrevendo", flush=True)
    time.sleep(60)

ActivationCache(sys.argv[1]).get("a", (2, 1_000_000), "float32", slow)
"""


def test_a_killed_process_leaves_no_valid_looking_file(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert "Ativações" in process.stdout.readline()
    assert "escrevendo" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert list(tmp_path.glob("ativacoes-*")) == []
    whole = ActivationCache(tmp_path).get("a", (2, 4), np.float32, lambda: [np.ones((2, 4), np.float32)])
    assert whole.sum() == 8


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_damaged_file_is_refused(tmp_path, damage):
    def fill():
        return [np.ones((3, 4), np.float32)]

    ActivationCache(tmp_path).get("a", (3, 4), np.float32, fill)
    path = tmp_path / "ativacoes-a.npy"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="está estragado; apague-o"):
        ActivationCache(tmp_path).get("a", (3, 4), np.float32, fill)


def test_a_file_of_another_shape_is_refused(tmp_path):
    ActivationCache(tmp_path).get("a", (3, 4), np.float32, lambda: [np.ones((3, 4), np.float32)])
    with pytest.raises(ValueError, match="não tem o que seu nome diz"):
        ActivationCache(tmp_path).get("a", (4, 3), np.float32, lambda: [np.ones((4, 3), np.float32)])


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_cache_is_bounded(tmp_path, on_disk, capsys):
    cache = ActivationCache(tmp_path if on_disk else None, max_bytes=1000)

    def fill():
        return [np.ones((10, 10), np.float32)]

    for key in ("a", "b"):
        cache.get(key, (10, 10), np.float32, fill)
    with pytest.raises(NoRoomError, match=r"precisam de 0,00 GB .*dentro de max_bytes"):
        cache.get("c", (10, 10), np.float32, fill)
    assert capsys.readouterr().out.count("Ativações congeladas") == 2


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_cannot_fit_is_refused_before_it_starts(tmp_path, on_disk):
    cache = ActivationCache(tmp_path / "nova" if on_disk else None)
    with pytest.raises(NoRoomError, match=r"precisam de 4000000000,00 GB .* livres\. Reduza max_length"):
        cache.get("a", (10**9, 10**9), np.float32, pytest.fail)
    assert not (tmp_path / "nova").exists()


# --- o modo rápido


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fast_mode_reads_the_last_real_token(deep_classifier, spam_csv, tokenizer, monkeypatch, dtype):
    monkeypatch.setattr(frozen, "fast_dtype", lambda device: dtype)
    dataset = SpamDataset(spam_csv, tokenizer, max_length=32)
    model = deep_classifier()
    tail, test_frozen = prepare_frozen(model, DataLoader(dataset, 8), device=CPU, fast=True)
    predicted = predict_loader(test_frozen, tail, CPU)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for index, text in enumerate(dataset.data["Text"]):
        ids = tokenizer.encode(text)[:32]
        expected = model(torch.tensor([ids]))[0, -1]
        logits = tail(test_frozen.dataset[index][0].unsqueeze(0))[0, -1]
        torch.testing.assert_close(logits, expected, atol=tolerance, rtol=tolerance)
        if dtype == torch.float32 and len(tokenizer.encode(text)) <= 32:
            answer = classify_review(text, model, tokenizer, CPU)
            assert answer == ("not spam", "spam")[predicted[index]]


def test_fast_mode_does_not_see_the_padding(deep_classifier, spam_csv, tokenizer):
    model = deep_classifier()
    answers = []
    for max_length in (24, 32):
        dataset = SpamDataset(spam_csv, tokenizer, max_length=max_length)
        ids, labels = frozen.read_messages(dataset)
        kept = [i for i, text in enumerate(dataset.data["Text"]) if len(tokenizer.encode(text)) <= 24]
        loader = DataLoader(TensorDataset(ids[kept], labels[kept]), 8)
        tail, test_frozen = prepare_frozen(model, loader, device=CPU, fast=True)
        answers.append(torch.cat([tail(activations) for activations, _ in test_frozen]))
    torch.testing.assert_close(*answers)


@pytest.mark.parametrize("n_trainable_blocks", [0, 1, 3])
def test_fast_mode_trains(deep_classifier, tiny_loaders, n_trainable_blocks):
    model = deep_classifier(n_trainable_blocks)
    before = copy.deepcopy(model.state_dict())
    losses = train_classifier_frozen(model, *tiny_loaders[:2], adamw(model), CPU, 4, 2, 5, fast=True)[0]
    assert losses[-1] < losses[0]
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad or name.endswith("W_key.bias"), name


def test_an_empty_message_keeps_one_token():
    ids = torch.tensor([[END_OF_TEXT] * 4, [5, 6, END_OF_TEXT, END_OF_TEXT], [5, END_OF_TEXT, 7, END_OF_TEXT]])
    assert frozen.real_lengths(ids, END_OF_TEXT).tolist() == [1, 2, 3]


@pytest.mark.parametrize(("size", "drop_last"), [(400, True), (403, True), (403, False), (5, False)])
def test_similar_lengths_share_a_batch_and_none_is_lost(size, drop_last):
    lengths = torch.randint(1, 100, (size,), generator=torch.Generator().manual_seed(0))
    sampler = SimilarLengthBatches(lengths, 8, drop_last, torch.Generator().manual_seed(1))
    batches, again = list(sampler), list(sampler)
    chosen = [index for batch in batches for index in batch]
    assert len(batches) == len(sampler)
    assert len(set(chosen)) == len(chosen) == (size // 8 * 8 if drop_last else size)
    if size > 8:
        assert batches != again
        spread = [float(lengths[batch].max() - lengths[batch].min()) for batch in batches]
        assert sum(spread) / len(spread) < 30  # ao acaso, uns 78


def test_the_fast_type_is_measured():
    dtype = frozen.fast_dtype(CPU)
    assert dtype in (torch.float32, torch.bfloat16)
    start = time.perf_counter()
    assert frozen.fast_dtype(CPU) == dtype
    assert time.perf_counter() - start < 0.01


# --- recusas


def collate_otherwise(batch):
    return torch.utils.data.default_collate(batch)


def test_what_cannot_be_frozen_is_refused(deep_classifier, tiny_loaders, tiny_config):
    loader = tiny_loaders[2]
    dataset = loader.dataset
    with pytest.raises(ValueError, match="com dropout as ativações mudam"):
        prepare_frozen(deep_classifier(drop_rate=0.1), loader, device=CPU)
    with pytest.raises(ValueError, match="os embeddings não estão congelados"):
        prepare_frozen(GPTModel(tiny_config), loader, device=CPU)
    with pytest.raises(TypeError, match="model: esperava um GPTModel"):
        prepare_frozen(torch.nn.Linear(2, 2), loader, device=CPU)
    for wrong in ([dataset[0]], DataLoader(dataset, batch_size=None), None):
        with pytest.raises(TypeError, match="loaders: esperava DataLoader em lotes"):
            prepare_frozen(deep_classifier(), wrong, device=CPU)
    with pytest.raises(ValueError, match="collate_fn padrão"):
        prepare_frozen(deep_classifier(), DataLoader(dataset, 8, collate_fn=collate_otherwise), device=CPU)
    for options in ({"persistent_workers": True}, {"generator": torch.Generator()}):
        workers = DataLoader(dataset, 8, num_workers=1, **options)
        with pytest.raises(ValueError, match="os sorteios mudam"):
            prepare_frozen(deep_classifier(), workers, device=CPU)
    with pytest.raises(ValueError, match="conjunto vazio"):
        prepare_frozen(deep_classifier(), DataLoader(TensorDataset(torch.zeros(0, 4)), 8), device=CPU)
    ragged = [(torch.ones(3, dtype=torch.long), 0), (torch.ones(4, dtype=torch.long), 1)]
    with pytest.raises(ValueError, match="mensagens de mesmo comprimento"):
        prepare_frozen(deep_classifier(), DataLoader(ragged, 2), device=CPU)

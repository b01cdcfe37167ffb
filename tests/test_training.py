"""O treinamento: números iguais aos de um laço independente, e recusas que ensinam."""

import copy

import pytest
import torch

from llmdefinitions import (
    calc_accuracy_loader,
    calc_loss_batch,
    calc_loss_loader,
    evaluate_model,
    get_device,
    predict_loader,
    train_classifier_simple,
)

CPU = torch.device("cpu")


def adamw(model, lr=1e-3):
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)


def test_accuracy_counts_messages_not_batches(tiny_classifier):
    ids = torch.randint(0, 50257, (5, 8))
    right = tiny_classifier(ids)[:, -1].argmax(-1)
    labels = right.clone()
    labels[4] = 1 - labels[4]
    loader = [(ids[:4], labels[:4]), (ids[4:], labels[4:])]
    assert calc_accuracy_loader(loader, tiny_classifier, CPU) == pytest.approx(4 / 5)
    assert calc_accuracy_loader(loader, tiny_classifier, CPU, num_batches=1) == 1.0


def test_loss_is_the_cross_entropy_of_the_last_position(tiny_classifier):
    ids, labels = torch.randint(0, 50257, (4, 8)), torch.tensor([0, 1, 1, 0])
    log_probabilities = tiny_classifier(ids)[:, -1].log_softmax(-1)
    expected = -log_probabilities[range(4), labels].mean()
    loss = calc_loss_batch(ids, labels, tiny_classifier, CPU)
    torch.testing.assert_close(loss, expected)
    assert loss.requires_grad


def test_loader_loss_is_the_mean_of_the_batches(tiny_classifier, tiny_loaders):
    _, val_loader, _ = tiny_loaders
    losses = [calc_loss_batch(ids, labels, tiny_classifier, CPU).item() for ids, labels in val_loader]
    assert calc_loss_loader(val_loader, tiny_classifier, CPU) == pytest.approx(sum(losses) / len(losses))
    assert calc_loss_loader(val_loader, tiny_classifier, CPU, num_batches=2) == pytest.approx(sum(losses[:2]) / 2)


def test_evaluation_returns_to_training_mode(tiny_classifier, tiny_loaders):
    train_loader, val_loader, _ = tiny_loaders
    train_loss, val_loss = evaluate_model(tiny_classifier, train_loader, val_loader, CPU, eval_iter=2)
    assert tiny_classifier.training
    assert 0 < train_loss < 10
    assert val_loss == pytest.approx(calc_loss_loader(val_loader, tiny_classifier, CPU, num_batches=2))


def independent_loop(model, train_loader, val_loader, epochs, eval_freq, eval_iter, lr=1e-3):
    """O mesmo treinamento escrito de outro modo, como conferência."""

    def some(loader):
        return [batch for _, batch in zip(range(eval_iter), loader, strict=False)]

    def loss(ids, labels):
        return torch.nn.functional.nll_loss(model(ids)[:, -1].log_softmax(-1), labels)

    def accuracy(batches):
        hits = [(model(ids)[:, -1].argmax(-1) == labels).float() for ids, labels in batches]
        return torch.cat(hits).mean().item()

    optimizer, step, losses, accuracies = adamw(model, lr), 0, [], []
    for _ in range(epochs):
        for ids, labels in train_loader:
            optimizer.zero_grad()
            loss(ids, labels).backward()
            optimizer.step()
            if step % eval_freq == 0:
                with torch.no_grad():
                    losses.append(
                        [
                            torch.stack([loss(*b) for b in some(part)]).mean().item()
                            for part in (train_loader, val_loader)
                        ]
                    )
            step += 1
        with torch.no_grad():
            accuracies.append([accuracy(some(part)) for part in (train_loader, val_loader)])
    return losses, accuracies


def test_training_equals_an_independent_loop(tiny_classifier, tiny_loaders, capsys):
    train_loader, val_loader, _ = tiny_loaders
    other = copy.deepcopy(tiny_classifier)
    torch.manual_seed(5)
    train_losses, val_losses, train_accs, val_accs, seen = train_classifier_simple(
        tiny_classifier, train_loader, val_loader, adamw(tiny_classifier), CPU, 3, eval_freq=2, eval_iter=2
    )
    torch.manual_seed(5)
    losses, accuracies = independent_loop(other, train_loader, val_loader, 3, eval_freq=2, eval_iter=2)
    assert [list(pair) for pair in zip(train_losses, val_losses, strict=True)] == [
        pytest.approx(pair, rel=1e-5) for pair in losses
    ]
    assert [list(pair) for pair in zip(train_accs, val_accs, strict=True)] == [
        pytest.approx(pair) for pair in accuracies
    ]
    assert seen == 3 * 40
    assert train_losses[-1] < train_losses[0]
    printed = capsys.readouterr().out
    assert printed.count("passo") == len(train_losses) == 8
    assert printed.count("Acurácia") == 3


def test_training_changes_only_what_is_not_frozen(tiny_classifier, tiny_loaders):
    before = copy.deepcopy(tiny_classifier.state_dict())
    train_loader, val_loader, _ = tiny_loaders
    train_classifier_simple(
        tiny_classifier,
        train_loader,
        val_loader,
        adamw(tiny_classifier),
        CPU,
        1,
        eval_freq=9,
        eval_iter=1,
        tokenizer=None,
    )
    for name, parameter in tiny_classifier.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


@pytest.mark.parametrize("function", [calc_accuracy_loader, calc_loss_loader])
def test_loaders_are_checked(function, tiny_classifier, tiny_loaders):
    val_loader = tiny_loaders[1]
    with pytest.raises(ValueError, match="num_batches: esperava no máximo 5; recebi 6"):
        function(val_loader, tiny_classifier, CPU, num_batches=6)
    with pytest.raises(ValueError, match="num_batches: esperava no mínimo 1"):
        function(val_loader, tiny_classifier, CPU, num_batches=0)
    with pytest.raises(TypeError, match="num_batches: esperava um número inteiro"):
        function(val_loader, tiny_classifier, CPU, num_batches=2.0)
    with pytest.raises(ValueError, match="data_loader: está vazio"):
        function([], tiny_classifier, CPU)


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0], [0, 1, 1], [0], [0.0, 1.0], [False, True], [[0, 1]], 1])
def test_labels_are_checked(tiny_classifier, labels):
    ids, labels = torch.zeros(2, 4, dtype=torch.long), torch.tensor(labels)
    with pytest.raises((TypeError, ValueError), match="target_batch: esperava"):
        calc_loss_batch(ids, labels, tiny_classifier, CPU)
    with pytest.raises((TypeError, ValueError), match="target_batch: esperava"):
        calc_accuracy_loader([(ids, labels)], tiny_classifier, CPU)


def test_a_loss_that_explodes_is_said(tiny_classifier, tiny_loaders):
    optimizer = torch.optim.SGD(tiny_classifier.parameters(), lr=1e30)
    with pytest.raises(ValueError, match=r"no passo .* a perda virou .* reduza a taxa"):
        train_classifier_simple(tiny_classifier, *tiny_loaders[:2], optimizer, CPU, 3, 1, 1)


def test_an_optimizer_that_trains_nothing_is_said(tiny_classifier, tiny_loaders):
    other = adamw(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="optimizer: não treina nada deste modelo"):
        train_classifier_simple(tiny_classifier, *tiny_loaders[:2], other, CPU, 1, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_epochs": 0}, "num_epochs: esperava no mínimo 1"),
        ({"eval_freq": 0}, "eval_freq: esperava no mínimo 1"),
        ({"eval_iter": 6}, r"eval_iter \(train_loader\): esperava no máximo 5"),
    ],
)
def test_training_refuses_bad_input(tiny_classifier, tiny_loaders, arguments, message):
    train_loader, val_loader, _ = tiny_loaders
    good = {"num_epochs": 1, "eval_freq": 1, "eval_iter": 1}
    with pytest.raises(ValueError, match=message):
        train_classifier_simple(
            tiny_classifier, train_loader, val_loader, adamw(tiny_classifier), CPU, **good | arguments
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "model: esperava um modelo do PyTorch; recebi None"),
        ({"device": "gpu"}, "device: esperava um dispositivo"),
        ({"data_loader": iter([])}, "data_loader: esperava um DataLoader"),
    ],
)
@pytest.mark.parametrize("function", [calc_accuracy_loader, calc_loss_loader, predict_loader])
def test_wrong_things_are_named(function, tiny_classifier, tiny_loaders, change, message):
    good = {"data_loader": tiny_loaders[1], "model": tiny_classifier, "device": CPU}
    with pytest.raises((TypeError, ValueError), match=message):
        function(**good | change)


def test_wrong_optimizer_and_batches_are_named(tiny_classifier, tiny_loaders):
    with pytest.raises(TypeError, match="optimizer: esperava um otimizador do PyTorch; recebi float"):
        train_classifier_simple(tiny_classifier, *tiny_loaders[:2], 1e-3, CPU, 1, 1, 1)
    with pytest.raises(TypeError, match="input_batch, target_batch: esperava dois tensores"):
        calc_loss_batch([[1, 2]], [0], tiny_classifier, CPU)


def test_device_is_the_best_available(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert get_device() == torch.device("cpu")
    with pytest.raises(ValueError, match="'cuda' não existe aqui; há cpu"):
        get_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert get_device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert get_device() == torch.device("cuda")
    assert get_device("cuda:1") == torch.device("cuda:1")
    assert get_device("cpu") == torch.device("cpu")

"""O treinamento da aula, passo a passo: perda, acurácia, avaliação e o laço das épocas.

É a referência legível do curso. A perda é a entropia cruzada na última posição (a acurácia não é derivável), e o
otimizador costuma ser o AdamW (Loshchilov e Hutter, 2019).
"""

import math
from itertools import islice

import torch
from torch.nn import functional as F

from .checks import check_device, check_integer, check_loader, check_model
from .classifier import predict_labels
from .progress import decimal, percent, progress_bar, say


def get_device(preferred=None):
    """Escolhe onde calcular: CUDA, se houver; senão MPS (Apple); senão CPU.

    Args:
        preferred: nome de um dispositivo (``"cpu"``, ``"cuda"``, ``"mps"``) a usar em vez do melhor.

    Returns:
        Um ``torch.device``.

    Raises:
        ValueError: se o dispositivo pedido não existe nesta máquina.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if preferred is None:
        return torch.device(available[0])
    if str(preferred).split(":")[0] not in available:
        raise ValueError(f"preferred: {str(preferred)!r} não existe aqui; há {', '.join(available)}.")
    return torch.device(preferred)


def calc_accuracy_loader(data_loader, model, device, num_batches=None):
    """Calcula a fração de mensagens classificadas corretamente.

    Args:
        data_loader: carregador de pares ``(ids, rótulos)``, de formas ``(B, T)`` e ``(B,)``.
        model: o classificador; é posto em modo de avaliação.
        device: onde calcular.
        num_batches: quantos lotes usar; sem ele, todos.

    Returns:
        Acertos divididos pelo número de mensagens, entre 0 e 1.

    Raises:
        TypeError, ValueError: se o carregador está vazio, não tem tantos lotes ou traz rótulos que o modelo não tem.
    """
    device = check_device("device", device)
    check_model("model", model).eval()
    correct, examples = 0, 0
    for input_batch, target_batch in _batches(data_loader, num_batches, "acurácia"):
        with torch.no_grad():
            logits = model(input_batch.to(device))  # (B, T, num_classes)
        _check_targets(target_batch, len(input_batch), logits.shape[-1])
        predicted = predict_labels(logits)  # (B,)
        correct += (predicted == target_batch.to(device)).sum().item()
        examples += len(target_batch)
    return correct / examples


def calc_loss_batch(input_batch, target_batch, model, device):
    """Calcula a entropia cruzada de um lote na última posição.

    Args:
        input_batch: ids de tokens, inteiros, ``(B, T)``.
        target_batch: rótulos, inteiros, ``(B,)``, de 0 ao número de classes menos 1.
        model: o classificador.
        device: onde calcular.

    Returns:
        A perda média do lote, tensor ``()`` ligado ao grafo de gradientes.

    Raises:
        TypeError, ValueError: se um argumento não serve, se os tamanhos não combinam ou se há um rótulo que o
            modelo não tem.
    """
    if not torch.is_tensor(input_batch) or not torch.is_tensor(target_batch):
        raise TypeError("input_batch, target_batch: esperava dois tensores, como os que um DataLoader devolve.")
    check_model("model", model)
    device = check_device("device", device)
    logits = model(input_batch.to(device))[:, -1, :]  # (B, num_classes)
    _check_targets(target_batch, len(input_batch), logits.shape[-1])
    return F.cross_entropy(logits, target_batch.to(device).long())


def calc_loss_loader(data_loader, model, device, num_batches=None):
    """Calcula a perda média dos lotes de um carregador.

    Args:
        data_loader: carregador de pares ``(ids, rótulos)``.
        model: o classificador, no modo em que estiver.
        device: onde calcular.
        num_batches: quantos lotes usar; sem ele, todos.

    Returns:
        A média das perdas dos lotes (``float``).

    Raises:
        TypeError, ValueError: se o carregador está vazio ou não tem tantos lotes.
    """
    losses = [
        calc_loss_batch(input_batch, target_batch, model, device).item()
        for input_batch, target_batch in _batches(data_loader, num_batches, "perda")
    ]
    return sum(losses) / len(losses)


def evaluate_model(model, train_loader, val_loader, device, eval_iter):
    """Estima as perdas de treino e de validação em ``eval_iter`` lotes de cada; o modelo volta ao modo de treino.

    Args:
        model: o classificador.
        train_loader, val_loader: carregadores de pares ``(ids, rótulos)``.
        device: onde calcular.
        eval_iter: quantos lotes de cada carregador.

    Returns:
        ``(train_loss, val_loss)``.

    Raises:
        TypeError, ValueError: se um argumento não serve ou se um carregador não tem ``eval_iter`` lotes.
    """
    check_model("model", model).eval()
    try:
        with torch.no_grad():
            train_loss = calc_loss_loader(train_loader, model, device, num_batches=eval_iter)
            val_loss = calc_loss_loader(val_loader, model, device, num_batches=eval_iter)
    finally:
        model.train()
    return train_loss, val_loss


def train_classifier_simple(
    model, train_loader, val_loader, optimizer, device, num_epochs, eval_freq, eval_iter, tokenizer=None
):
    """Treina o classificador e imprime o andamento: as perdas a cada ``eval_freq`` passos, as acurácias a cada época.

    Args:
        model: o classificador; só os parâmetros com ``requires_grad`` mudam.
        train_loader, val_loader: carregadores de pares ``(ids, rótulos)``.
        optimizer: otimizador sobre ``model.parameters()``.
        device: onde calcular; o modelo já deve estar lá.
        num_epochs: quantas vezes percorrer o treino.
        eval_freq: de quantos em quantos passos medir as perdas.
        eval_iter: quantos lotes usar em cada medida.
        tokenizer: aceito porque a chamada da aula o passa; não é usado.

    Returns:
        ``(train_losses, val_losses, train_accs, val_accs, examples_seen)``: listas com uma perda por medida e uma
        acurácia por época, e o número de mensagens vistas.

    Raises:
        TypeError, ValueError: se um argumento não serve, se um carregador não tem ``eval_iter`` lotes ou se a perda
            deixa de ser um número.
    """
    check_model("model", model)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer: esperava um otimizador do PyTorch; recebi {type(optimizer).__name__}.")
    trainable = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if not trainable & {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}:
        raise ValueError(
            "optimizer: não treina nada deste modelo; crie-o com model.parameters() depois de descongelar."
        )
    check_integer("num_epochs", num_epochs, minimum=1)
    check_integer("eval_freq", eval_freq, minimum=1)
    for name, loader in (("train_loader", train_loader), ("val_loader", val_loader)):
        check_integer(f"eval_iter ({name})", eval_iter, minimum=1, maximum=len(check_loader(name, loader)))

    train_losses, val_losses, train_accs, val_accs = [], [], [], []
    examples_seen, global_step = 0, -1
    for epoch in range(num_epochs):
        model.train()
        for input_batch, target_batch in progress_bar(train_loader, f"época {epoch + 1}/{num_epochs}", "lote"):
            optimizer.zero_grad()
            loss = calc_loss_batch(input_batch, target_batch, model, device)
            loss.backward()
            optimizer.step()
            examples_seen += len(input_batch)
            global_step += 1

            if global_step % eval_freq == 0:
                train_loss, val_loss = evaluate_model(model, train_loader, val_loader, device, eval_iter)
                if not math.isfinite(train_loss):
                    raise ValueError(
                        f"optimizer: no passo {global_step} a perda virou {train_loss}; reduza a taxa de aprendizado."
                    )
                train_losses.append(train_loss)
                val_losses.append(val_loss)
                say(
                    f"Época {epoch + 1} (passo {global_step:06d}): "
                    f"perda no treino {decimal(train_loss)} | na validação {decimal(val_loss)}"
                )

        train_accs.append(calc_accuracy_loader(train_loader, model, device, num_batches=eval_iter))
        val_accs.append(calc_accuracy_loader(val_loader, model, device, num_batches=eval_iter))
        say(f"Acurácia no treino {percent(train_accs[-1])} | na validação {percent(val_accs[-1])}")
    return train_losses, val_losses, train_accs, val_accs, examples_seen


def _check_targets(target_batch, batch_size, num_classes):
    if not torch.is_tensor(target_batch) or target_batch.is_floating_point() or target_batch.dtype == torch.bool:
        raise TypeError("target_batch: esperava um tensor de rótulos inteiros, como o que um DataLoader devolve.")
    if target_batch.dim() != 1 or len(target_batch) != batch_size or batch_size == 0:
        raise ValueError(
            f"target_batch: esperava {batch_size} rótulos, um por mensagem; recebi a forma {tuple(target_batch.shape)}."
        )
    if target_batch.min() < 0 or target_batch.max() >= num_classes:
        raise ValueError(f"target_batch: esperava rótulos de 0 a {num_classes - 1}; recebi {target_batch.tolist()}.")


def _batches(data_loader, num_batches, description):
    available = len(check_loader("data_loader", data_loader))
    if num_batches is None:
        num_batches = available
    else:
        check_integer("num_batches", num_batches, minimum=1, maximum=available)
    return progress_bar(islice(data_loader, num_batches), description, "lote", total=num_batches)

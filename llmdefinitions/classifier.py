"""Do modelo de linguagem ao classificador: congelar, trocar a cabeça, classificar, salvar e carregar.

O GPT-2 responde "qual é o próximo token?" com 50.257 números por posição. Para classificar, a última camada é
trocada por outra que responde com um número por classe, e lê-se a última posição: num modelo causal, só ela
viu a mensagem inteira.
"""

import pickle
import zipfile

import torch
from torch import nn

from .checks import (
    check_device,
    check_free_path,
    check_integer,
    check_model,
    check_number,
    check_path,
    check_seed,
    check_text,
    check_tokenizer,
)
from .config import END_OF_TEXT
from .datasets import encode_message, pad_or_truncate
from .gpt import GPTModel, WithoutDrawing, check_config
from .sources import write_whole

LABEL_NAMES = ("not spam", "spam")
"""Nome de cada classe, na ordem dos números, com as palavras da aula."""

CHECKPOINT_FORMAT = "llmdefinitions-classificador-1"


def freeze(model):
    """Congela o modelo inteiro: nenhum parâmetro recebe gradiente.

    Args:
        model: um ``torch.nn.Module``, alterado no lugar.

    Raises:
        TypeError: se não é um modelo do PyTorch.
    """
    for parameter in check_model("model", model).parameters():
        parameter.requires_grad = False


def replace_output_head(model, num_classes=2, seed=123):
    """Troca a cabeça do modelo por uma de classificação, treinável e de pesos novos.

    A cabeça nova fica no dispositivo e no tipo numérico da antiga.

    Args:
        model: um ``GPTModel``, alterado no lugar.
        num_classes: número de classes, no mínimo 2.
        seed: semente posta antes do sorteio dos pesos (na aula, 123); ``None`` não mexe na semente.

    Raises:
        TypeError, ValueError: se o modelo não tem ``out_head`` ou se um número não serve.
    """
    check_integer("num_classes", num_classes, minimum=2)
    old = output_head(model)
    if seed is not None:
        torch.manual_seed(check_seed("seed", seed))
    # Os pesos são sorteados na CPU: a semente dá o mesmo resultado em qualquer dispositivo.
    head = nn.Linear(in_features=old.in_features, out_features=num_classes)
    model.out_head = head.to(device=old.weight.device, dtype=old.weight.dtype)


def unfreeze_last_blocks(model, n_blocks=1):
    """Torna treináveis os últimos blocos e a norma final que os liga à cabeça.

    Args:
        model: um ``GPTModel``, alterado no lugar.
        n_blocks: quantos blocos, de 0 (só a norma final) a todos; na aula, 1.

    Raises:
        TypeError, ValueError: se ``n_blocks`` não é um inteiro entre 0 e o número de blocos.
    """
    output_head(model)
    check_integer("n_blocks", n_blocks, minimum=0, maximum=len(model.trf_blocks))
    first = len(model.trf_blocks) - n_blocks
    for module in (*model.trf_blocks[first:], model.final_norm):
        for parameter in module.parameters():
            parameter.requires_grad = True


def prepare_for_classification(model, num_classes=2, n_trainable_blocks=1, seed=123):
    """Faz os três passos da aula: congela tudo, troca a cabeça, libera o fim do modelo.

    Args:
        model: um ``GPTModel``, alterado no lugar.
        num_classes: número de classes.
        n_trainable_blocks: quantos dos últimos blocos treinar (na aula, 1).
        seed: semente da cabeça nova.

    Returns:
        O mesmo modelo.

    Raises:
        TypeError, ValueError: se um argumento não serve; o modelo não chega a ser alterado.
    """
    output_head(model)
    check_integer("num_classes", num_classes, minimum=2)
    check_integer("n_trainable_blocks", n_trainable_blocks, minimum=0, maximum=len(model.trf_blocks))
    if seed is not None:
        check_seed("seed", seed)
    freeze(model)
    replace_output_head(model, num_classes, seed)
    unfreeze_last_blocks(model, n_trainable_blocks)
    return model


def predict_labels(logits, threshold=None):
    """Escolhe a classe de cada mensagem a partir dos logits.

    O softmax é dispensável: ele não muda qual é o maior.

    Args:
        logits: tensor ``(B, num_classes)`` ou ``(B, T, num_classes)``; no segundo caso lê-se a última posição.
        threshold: só para duas classes; se dado, a classe 1 é escolhida quando sua probabilidade é maior ou
            igual a ele (entre 0 e 1). Sem ele, vale a classe de maior logit.

    Returns:
        Tensor de inteiros ``(B,)``.

    Raises:
        TypeError, ValueError: se a forma não serve ou se o limiar não é uma probabilidade.
    """
    if not torch.is_tensor(logits) or logits.dim() not in (2, 3) or 0 in logits.shape[1:]:
        raise ValueError("logits: esperava um tensor (mensagens, classes) ou (mensagens, tokens, classes).")
    if logits.dim() == 3:
        logits = logits[:, -1, :]  # (B, num_classes)
    if logits.isnan().any():
        raise ValueError("logits: há NaN; o modelo se perdeu no treinamento? Tente uma taxa de aprendizado menor.")
    if threshold is None:
        return logits.argmax(dim=-1)
    check_number("threshold", threshold, minimum=0, maximum=1)
    if logits.shape[-1] != 2:
        raise ValueError(f"threshold: só vale para duas classes; os logits têm {logits.shape[-1]}.")
    return (logits.float().softmax(dim=-1)[:, 1] >= threshold).long()


def classify_review(text, model, tokenizer, device, max_length=None, pad_token_id=END_OF_TEXT, label_names=LABEL_NAMES):
    """Classifica uma mensagem: ``"spam"`` ou ``"not spam"``, ou os nomes que você der.

    Args:
        text: a mensagem; pode ser vazia, ou mais longa que o contexto (o excesso é cortado).
        model: um ``GPTModel`` com cabeça de duas classes.
        tokenizer: o tokenizador do GPT-2.
        device: o dispositivo do modelo.
        max_length: comprimento em tokens com que o modelo foi treinado (``train_dataset.max_length``). Sem
            ele, a mensagem não é preenchida e lê-se seu último token.
        pad_token_id: id de preenchimento.
        label_names: o nome de cada classe, na ordem dos números; o padrão é o da aula.

    Returns:
        O nome da classe escolhida.

    Raises:
        TypeError, ValueError: se ``text`` não é texto, se ``max_length`` passa do contexto do modelo ou se
            ``label_names`` não tem um nome por classe da cabeça.
    """
    check_text("text", text)
    check_tokenizer("tokenizer", tokenizer)
    device = check_device("device", device)
    label_names = check_label_names(label_names, output_head(model).out_features)
    check_integer("pad_token_id", pad_token_id, minimum=0, maximum=model.tok_emb.num_embeddings - 1)
    context_length = model.pos_emb.weight.shape[0]  # a aula lê shape[1], que é emb_dim
    input_ids = encode_message(text, tokenizer)[:context_length]
    if max_length is None:
        max_length = max(1, len(input_ids))
    check_integer("max_length", max_length, minimum=1, maximum=context_length)
    input_ids = pad_or_truncate(input_ids, max_length, pad_token_id)

    model.eval()
    with torch.no_grad():
        logits = model(torch.tensor([input_ids], device=device))  # (1, T, 2)
    return label_names[predict_labels(logits).item()]


def save_classifier(path, model, max_length, label_names=LABEL_NAMES, overwrite=False):
    """Salva um classificador com tudo o que é preciso para usá-lo depois.

    Args:
        path: o arquivo a criar, por exemplo ``"review_classifier.pth"``.
        model: o ``GPTModel`` treinado.
        max_length: comprimento em tokens com que ele foi treinado.
        label_names: o nome de cada classe, na ordem dos números.
        overwrite: se ``True``, substitui um arquivo que já exista.

    Raises:
        FileExistsError: se o arquivo já existe e ``overwrite`` é ``False``.
        SourceError: se não é possível gravar.
        TypeError, ValueError: se um argumento não serve.
    """
    output_head(model)
    checkpoint = {
        "format": CHECKPOINT_FORMAT,
        "config": check_config(model.cfg),
        "max_length": check_integer("max_length", max_length, 1, model.cfg["context_length"]),
        "label_names": check_label_names(label_names, output_head(model).out_features),
        "state_dict": model.state_dict(),
    }
    write_whole(check_free_path("path", path, overwrite), lambda partial: torch.save(checkpoint, partial))


def load_classifier(path, device="cpu"):
    """Carrega um classificador salvo por ``save_classifier``.

    O arquivo é lido com ``weights_only=True``: dele só saem tensores, números e textos, nunca código. A memória
    usada não passa da que os pesos do próprio arquivo ocupam.

    Args:
        path: o arquivo.
        device: onde pôr o modelo.

    Returns:
        ``(model, info)``: o ``GPTModel`` em modo de avaliação e um dicionário com ``config``, ``max_length`` e
        ``label_names``.

    Raises:
        FileNotFoundError: se o arquivo não existe.
        ValueError: se não é um classificador deste curso ou se está corrompido.
    """
    path = check_path("path", path)
    device = check_device("device", device)
    if not path.is_file():
        raise FileNotFoundError(f"path: não encontrei o arquivo {path}.")
    try:
        _refuse_compressed(path)
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        KeyError,
        ValueError,
    ) as error:
        raise ValueError(f"path: {path} está corrompido ou não é um arquivo de pesos do PyTorch.") from error
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != CHECKPOINT_FORMAT:
        raise ValueError(f"path: {path} não foi criado por save_classifier.")
    try:
        config = check_config(checkpoint["config"])
        info = {
            "config": config,
            "max_length": check_integer("max_length", checkpoint["max_length"], 1, config["context_length"]),
            "label_names": check_label_names(checkpoint["label_names"]),
        }
        model = _model_from_state_dict(config, checkpoint["state_dict"], len(info["label_names"]))
    except KeyError as error:
        raise ValueError(f"path: em {path} falta {error}.") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"path: {path} não traz um classificador inteiro: {error}") from error
    return model.eval(), info


def _refuse_compressed(path):
    # torch.save não comprime; um arquivo comprimido poderia ocupar muito mais memória do que aparenta.
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("arquivo comprimido")


def _model_from_state_dict(config, state_dict, num_classes):
    if not isinstance(state_dict, dict) or config["n_layers"] > len(state_dict):
        raise ValueError(f"os pesos não têm os {config['n_layers']} blocos da configuração.")
    with torch.device("meta"), WithoutDrawing():  # só as formas; os pesos do arquivo entram no lugar
        model = GPTModel(config)
        replace_output_head(model, num_classes, seed=None)
    expected = model.state_dict()
    if different := expected.keys() ^ state_dict.keys():
        raise ValueError(f"o tensor {min(different, key=str)} falta ou sobra.")
    for name, tensor in state_dict.items():
        if not torch.is_tensor(tensor) or tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise TypeError(f"{name} não é um tensor de ponto flutuante de 16 ou 32 bits.")
        if tensor.layout != torch.strided or tensor.is_meta or not tensor.is_contiguous():
            raise ValueError(f"{name} não traz todos os seus números.")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} tem NaN ou infinito.")
        if tensor.shape != expected[name].shape:
            raise ValueError(f"{name} tem a forma {tuple(tensor.shape)}, não {tuple(expected[name].shape)}.")
    if len({tensor.dtype for tensor in state_dict.values()}) > 1:
        raise ValueError("os pesos misturam tipos numéricos.")
    model.load_state_dict(state_dict, assign=True)
    return model


def output_head(model):
    """Devolve a cabeça de um ``GPTModel``; recusa com ``TypeError`` o que não for um."""
    # Pelo que o modelo tem, e não pelo nome da classe: o GPTModel do livro serve também.
    parts = ("tok_emb", "pos_emb", "trf_blocks", "final_norm", "out_head")
    if not all(hasattr(model, part) for part in parts) or not isinstance(model.out_head, nn.Linear):
        raise TypeError(f"model: esperava um GPTModel, com out_head linear; recebi {type(model).__name__}.")
    return model.out_head


def check_label_names(label_names, num_classes=None):
    """Aceita uma lista de nomes de classes, distintos e, se dito, em número de ``num_classes``; devolve ``list``."""
    if not isinstance(label_names, list | tuple) or not all(isinstance(name, str) for name in label_names):
        raise TypeError(f"label_names: esperava uma lista de textos; recebi {label_names!r:.60}.")
    if len(set(label_names)) != len(label_names):
        raise ValueError(f"label_names: há um nome repetido em {list(label_names)!r:.80}.")
    if len(label_names) < 2 or num_classes not in (None, len(label_names)):
        raise ValueError(f"label_names: esperava {num_classes or 'ao menos 2'} nomes; recebi {len(label_names)}.")
    return list(label_names)

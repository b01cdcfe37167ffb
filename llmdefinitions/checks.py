"""Conferências dos argumentos: recusam o que não serve com uma frase que diz o quê e por quê.

Cada função recebe o nome do argumento e o valor; devolve o valor quando ele serve e, quando não, levanta
``TypeError`` ou ``ValueError`` com uma mensagem que começa pelo nome do argumento.
"""

import numbers
import os
from pathlib import Path


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
    if df.empty:
        raise ValueError(f"{name}: a tabela está vazia; esperava ao menos uma linha.")
    return df


def check_free_path(name, path, overwrite=False):
    """Aceita um caminho onde se possa escrever sem apagar nada, a menos que ``overwrite`` permita.

    Cria a pasta que vai receber o arquivo; devolve ``pathlib.Path``.
    """
    path = check_path(name, path)
    if path.exists() and not overwrite:
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
    """Aceita um ``torch.device`` ou o nome de um (``"cpu"``, ``"cuda"``, ``"mps"``); devolve ``torch.device``."""
    import torch

    try:
        return torch.device(value)
    except (TypeError, RuntimeError):
        raise ValueError(
            f"{name}: esperava um dispositivo como o de get_device(); recebi {_describe(value)}."
        ) from None


def check_loader(name, value):
    """Aceita um carregador de lotes que saiba quantos tem (um ``DataLoader``, ou uma lista de lotes)."""
    if not hasattr(value, "__iter__") or not hasattr(value, "__len__"):
        raise TypeError(f"{name}: esperava um DataLoader; recebi {_describe(value)}.")
    if len(value) == 0:
        raise ValueError(f"{name}: está vazio; esperava ao menos um lote.")
    return value


def check_tokenizer(name, value):
    """Aceita um tokenizador: algo com ``encode`` e ``decode``, como o de ``get_tokenizer``."""
    if not hasattr(value, "encode") or not hasattr(value, "decode"):
        raise TypeError(f"{name}: esperava um tokenizador como o de get_tokenizer(); recebi {_describe(value)}.")
    return value


def _check_bounds(name, value, minimum, maximum):
    if minimum is not None and value < minimum:
        raise ValueError(f"{name}: esperava no mínimo {minimum}; recebi {value}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name}: esperava no máximo {maximum}; recebi {value}.")


def _describe(value):
    return "None" if value is None else f"{value!r:.60} ({type(value).__name__})"

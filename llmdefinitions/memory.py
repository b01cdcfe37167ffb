"""Quanta memória um ajuste fino ocupa, antes de contar as ativações."""

from .checks import check_integer, check_number

OPTIMIZER_STATES = {"sgd": 0, "sgd_momentum": 1, "adam": 2, "adamw": 2}
"""Quantos números cada otimizador guarda por parâmetro treinado (no Adam, as médias de g e de g²)."""


def estimate_finetuning_memory(
    n_params, bytes_per_param=4, optimizer="adamw", trainable_fraction=1.0, bytes_per_state=None
):
    """Estima a memória de um ajuste fino: pesos, gradientes e estados do otimizador.

    ``n · b + f · n · b + f · n · s · e``, com ``n`` parâmetros de ``b`` bytes, uma fração ``f`` treinada e ``s``
    estados de ``e`` bytes. Para o LLaMA 2 de 7 bilhões em FP32 com AdamW: 7e9 · (4 + 4 + 8) = 112 GB, o valor da
    aula. As ativações vêm por cima e dependem do lote e do comprimento das mensagens.

    Args:
        n_params: número de parâmetros do modelo.
        bytes_per_param: bytes de cada peso e de cada gradiente: 4 em FP32, 2 em FP16/BF16, 1 em int8, 0,5 em int4.
        optimizer: ``"sgd"``, ``"sgd_momentum"``, ``"adam"`` ou ``"adamw"``.
        trainable_fraction: fração dos parâmetros que é treinada, entre 0 e 1.
        bytes_per_state: bytes de cada estado do otimizador; sem ele, os de um peso.

    Returns:
        Dicionário com ``weights``, ``gradients``, ``optimizer`` e ``total``, em bytes (1 GB = 10⁹ bytes).

    Raises:
        TypeError, ValueError: se um argumento não serve.
    """
    check_integer("n_params", n_params, minimum=1)
    check_number("bytes_per_param", bytes_per_param, minimum=0.125)
    check_number("trainable_fraction", trainable_fraction, minimum=0, maximum=1)
    if optimizer not in OPTIMIZER_STATES:
        raise ValueError(f"optimizer: esperava {', '.join(OPTIMIZER_STATES)}; recebi {optimizer!r}.")
    if bytes_per_state is None:
        bytes_per_state = bytes_per_param
    check_number("bytes_per_state", bytes_per_state, minimum=0)

    trained = trainable_fraction * n_params
    parts = {
        "weights": n_params * bytes_per_param,
        "gradients": trained * bytes_per_param,
        "optimizer": trained * OPTIMIZER_STATES[optimizer] * bytes_per_state,
    }
    return parts | {"total": sum(parts.values())}

"""O que o curso mostra enquanto calcula: a barra de progresso e números à brasileira."""

import os

from tqdm.auto import tqdm


def progress_bar(iterable, description, unit, total=None):
    """Percorre ``iterable`` mostrando o andamento e o tempo que falta.

    A barra aparece só em terminais e cadernos, quando a espera passa de dois segundos, e some no fim. Com
    ``TQDM_DISABLE=1`` não aparece nunca: num caderno gravado ela deixaria as medidas daquela máquina.

    Args:
        iterable: o que percorrer.
        description: o que está sendo feito, em uma ou duas palavras.
        unit: o nome de cada item, no singular.
        total: quantos itens são; sem ele, ``len(iterable)``, se houver.

    Returns:
        Um iterador sobre os mesmos itens.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    # iter() aqui, uma vez só: o tqdm o chamaria duas, e cada iterador de um DataLoader gasta um número sorteado.
    disable = os.environ.get("TQDM_DISABLE") == "1" or None  # None: onde não há quem veja, não há barra
    return tqdm(iter(iterable), desc=description, unit=f" {unit}", total=total, delay=2, leave=False, disable=disable)


def say(text):
    """Imprime uma linha na saída padrão sem embaralhar uma barra que esteja na tela."""
    tqdm.write(text)


def decimal(value, places=3):
    """Escreve um número com vírgula decimal: ``decimal(0.5)`` é ``"0,500"``."""
    return f"{value:.{places}f}".replace(".", ",")


def percent(fraction, places=2):
    """Escreve uma fração como porcentagem: ``percent(0.975)`` é ``"97,50%"``."""
    return f"{decimal(100 * fraction, places)}%"


def gigabytes(size):
    """Escreve um tamanho em bytes: ``gigabytes(551_000_000)`` é ``"0,55 GB"``."""
    return f"{decimal(size / 1e9, 2)} GB"


def thousands(number):
    """Escreve um inteiro com ponto nos milhares: ``thousands(4862)`` é ``"4.862"``."""
    return f"{number:,}".replace(",", ".")

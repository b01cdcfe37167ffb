"""As figuras do relatório da turma: SVG dentro da página, legíveis sem cor, cada uma com os números em palavras."""

import base64
import io
import textwrap
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .statistics import summarize

BLUE, YELLOW, RED = "#1f4e79", "#e9c46a", "#d1495b"
BINS = 10
STYLE = {"svg.hashsalt": "corrigir", "svg.fonttype": "path", "hatch.linewidth": 0.7}
LABEL_WIDTH = 34
"""Letras numa linha do nome de uma barra; ele tem no máximo duas linhas."""


@dataclass(frozen=True)
class Picture:
    """Uma figura: o endereço ``data:`` do SVG e o texto alternativo."""

    source: str
    alt: str


def decimal(value, places=1):
    """Um número com vírgula: ``decimal(-0.5)`` é ``"−0,5"``."""
    return f"{value:z.{places}f}".replace(".", ",").replace("-", "−")


def percent(share, places=0):
    """Uma fração em porcentagem: ``percent(0.975)`` é ``"98%"``."""
    return f"{decimal(100 * share, places)}%"


def plot_grades(settled, waiting, scale, name):
    """Histograma de notas: cheias as definitivas, hachuradas as que ainda podem subir.

    Args:
        settled: as notas definitivas, de 0 a ``scale``.
        waiting: as que esperam a correção à mão.
        scale: a maior nota que se pode ter, 100 ou 10.
        name: de que são as notas, para o texto alternativo.

    Returns:
        Uma ``Picture``.
    """
    edges = np.linspace(0, scale, BINS + 1)
    # As somas de frações caem um tantinho abaixo da borda: 0,7 não é da faixa de 0,6.
    full, hatched = (np.histogram(np.round(values, 6), edges)[0] for values in (settled, waiting))
    total = full + hatched
    figure, axis = _new_figure(2.9)
    bars = {"width": 0.92 * scale / BINS, "align": "edge", "edgecolor": "black", "linewidth": 0.6}
    if len(settled):
        axis.bar(edges[:-1], full, color=BLUE, label="definitiva", **bars)
    if len(waiting):
        axis.bar(edges[:-1], hatched, bottom=full, color=YELLOW, hatch="///", label="espera a correção à mão", **bars)
    for left, count in zip(edges, total, strict=False):
        if count:
            axis.annotate(str(count), (left + 0.46 * scale / BINS, count), xytext=(0, 3), **_ABOVE)
    summary = summarize([*settled, *waiting])
    axis.axvline(summary.median, color=RED, linestyle="--", linewidth=1.6)
    top = total.max() * 1.3
    axis.annotate(
        f"mediana {decimal(summary.median)}",
        (summary.median, top),
        xytext=(4 if summary.median < 0.75 * scale else -4, -2),
        textcoords="offset points",
        ha="left" if summary.median < 0.75 * scale else "right",
        va="top",
        color=RED,
    )
    axis.set(xlim=(0, scale), ylim=(0, top), xlabel=f"Nota, de 0 a {scale}", ylabel="Alunos")
    axis.set_xticks(edges, [f"{edge:g}" for edge in edges])
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    if len(waiting):
        axis.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    places = [
        f"{count} de {low:g} a {high:g}" for low, high, count in zip(edges, edges[1:], total, strict=False) if count
    ]
    may_rise = f"; {len(waiting)} ainda podem subir" if len(waiting) else ""
    alt = (
        f"Histograma de {summary.count} notas, de 0 a {scale}, {name}: {'; '.join(places)}. "
        f"Mediana {decimal(summary.median)}, média {decimal(summary.mean)}{may_rise}."
    )
    return _picture(figure, alt)


def plot_success(names, shares, notes=None, least=0.4):
    """Barras deitadas com a fração dos pontos ganhos; hachuradas onde é pouca.

    Args:
        names: o nome de cada barra.
        shares: a fração de cada uma; ``None`` onde não há o que dizer.
        notes: o que escrever depois do número de cada uma.
        least: abaixo disto a barra é hachurada.

    Returns:
        Uma ``Picture``.
    """
    notes = notes or [""] * len(names)
    figure, axis = _new_figure(0.75 + 0.42 * len(names))
    for row, (share, note) in enumerate(zip(shares, notes, strict=True)):
        low = share is not None and share < least
        style = {"color": YELLOW, "hatch": "///"} if low else {"color": BLUE}
        axis.barh(row, share or 0, height=0.7, edgecolor="black", linewidth=0.6, **style)
        axis.annotate(_success(share) + note, (share or 0, row), xytext=(5, 0), textcoords="offset points", va="center")
    axis.set_yticks(range(len(names)), [_short(name) for name in names], parse_math=False)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1.42 if any(notes) else 1.12), xlabel="Pontos ganhos pela turma")
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    axis.spines["bottom"].set_bounds(0, 1)
    described = "; ".join(
        f"{name}: {_success(share)}{note}" for name, share, note in zip(names, shares, notes, strict=True)
    )
    return _picture(figure, f"Barras com a fração dos pontos que a turma ganhou. {described}.")


def _success(share):
    return "sem notas ainda" if share is None else percent(share)


def plot_times(times):
    """Uma linha por lição e um ponto por entrega, na ordem do tempo; um traço na mediana e outro nos 90%.

    Args:
        times: dicionário da lição para os segundos de cada entrega; nenhuma vazia.

    Returns:
        Uma ``Picture``.
    """
    figure, axis = _new_figure(0.95 + 0.55 * len(times))
    described = []
    for row, (name, values) in enumerate(times.items()):
        summary = summarize(values)
        # O deslocamento vertical só separa os pontos; é o mesmo a cada vez.
        offsets = 0.22 * np.sin(np.arange(len(values)) * 2.4)
        axis.plot(sorted(values), row + offsets, "o", color=BLUE, alpha=0.45, markersize=5, markeredgewidth=0)
        for value, style in ((summary.median, "-"), (summary.p90, ":")):
            axis.plot([value, value], [row - 0.42, row + 0.42], style, color=RED, linewidth=2.2)
        described.append(
            f"{name}: mediana {decimal(summary.median)} s, 90% até {decimal(summary.p90)} s, a mais lenta "
            f"{decimal(summary.highest)} s"
        )
    axis.plot([], [], "-", color=RED, linewidth=2.2, label="mediana")
    axis.plot([], [], ":", color=RED, linewidth=2.2, label="90% até aqui")
    axis.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    axis.set_yticks(range(len(times)), [_short(name) for name in times], parse_math=False)
    axis.set(xlim=(0, None), ylim=(len(times) - 0.45, -0.55), xlabel="Segundos para corrigir uma entrega")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace(".", ",")))
    axis.grid(axis="x", alpha=0.25)
    return _picture(figure, f"Tempo de correção de cada entrega. {'; '.join(described)}.")


_ABOVE = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "bottom",
    "fontsize": 9,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1},
}


def _new_figure(height):
    figure = Figure(figsize=(7, height), layout="constrained")
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _short(name):
    return textwrap.fill(name, LABEL_WIDTH, max_lines=2, placeholder="…")


def _picture(figure, alt):
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    return Picture(f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}", alt)

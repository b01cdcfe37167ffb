"""As figuras do curso, legíveis também em preto e branco: traço, hachura e marcador distinguem, não só a cor.

Num caderno cada figura traz sua descrição em palavras, feita dos mesmos números. A saída é um ``<img alt="…">``, e
não a imagem solta que o matplotlib mostraria, porque nem o JupyterLab nem o HTML do nbconvert dão texto alternativo a
uma imagem solta; a descrição é também o texto da saída, e assim os números da figura são conferidos nos testes.
"""

import base64
import html
import io
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .checks import check_free_path, check_integer
from .progress import decimal, percent, thousands

AXIS_NAMES = {"loss": "Perda", "accuracy": "Acurácia"}
COLORS = ("#1f4e79", "#e9c46a", "#8ab17d", "#d1495b")
HATCHES = ("", "//", "..", "xx")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")


def plot_values(epochs_seen, examples_seen, train_values, val_values, label="loss", save_path=None):
    """Desenha a evolução de uma medida no treino e na validação, por época e por mensagens vistas.

    Args:
        epochs_seen: posição de cada medida em épocas, sequência ou tensor ``(N,)``.
        examples_seen: a mesma posição em mensagens vistas, ``(N,)``.
        train_values: valores no treino, ``(N,)``.
        val_values: valores na validação, ``(N,)``.
        label: ``"loss"``, ``"accuracy"`` ou outro nome para o eixo vertical.
        save_path: arquivo (``.png``, ``.pdf``, ``.svg``) onde gravar a figura em vez de mostrá-la; um que já
            exista não é apagado.

    Raises:
        ValueError: se as sequências não têm o mesmo tamanho ou estão vazias.
        FileExistsError: se ``save_path`` já existe.
    """
    sizes = {len(values) for values in (epochs_seen, examples_seen, train_values, val_values)}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            "epochs_seen, examples_seen, train_values, val_values: esperava o mesmo número de valores, ao menos um."
        )
    name = AXIS_NAMES.get(label, label.capitalize())
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    axis.plot(epochs_seen, train_values, color="#1f4e79", linewidth=1.8, label="Treino")
    axis.plot(epochs_seen, val_values, color="#d1495b", linewidth=1.8, linestyle="--", label="Validação")
    axis.set(xlabel="Épocas", ylabel=name)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace(".", ",")))
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)

    # Um segundo eixo horizontal, com a mesma curva invisível, mede em mensagens.
    top = axis.twiny()
    top.plot(examples_seen, train_values, alpha=0)
    top.set_xlabel("Mensagens vistas")
    description = (
        f"{name} ao longo de {decimal(epochs_seen[-1], 1)} épocas: no treino vai de {decimal(train_values[0])} a "
        f"{decimal(train_values[-1])}; na validação, de {decimal(val_values[0])} a {decimal(val_values[-1])}."
    )
    _show_or_save(figure, save_path, description)


def plot_confusion_matrix(matrix, label_names, title=None, save_path=None):
    """Desenha uma matriz de confusão: linhas são as classes verdadeiras, colunas as previstas.

    Args:
        matrix: contagens, ``(K, K)``, como a de ``sklearn.metrics.confusion_matrix``.
        label_names: o nome de cada uma das ``K`` classes.
        title: título da figura.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se a matriz não é quadrada ou não tem uma linha por nome.
        FileExistsError: se ``save_path`` já existe.
    """
    if len(matrix) != len(label_names) or any(len(row) != len(label_names) for row in matrix):
        raise ValueError(f"matrix: esperava {len(label_names)} linhas e colunas, uma por nome em label_names.")
    side = max(3.8, 0.8 * len(label_names) + 0.8)
    figure, axis = plt.subplots(figsize=(side + 0.4, side), layout="constrained")
    axis.imshow(matrix, cmap="Blues", vmin=0)
    largest = max(max(row) for row in matrix)
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            color = "white" if count > largest / 2 else "black"
            axis.text(j, i, str(count), ha="center", va="center", color=color, fontsize=15)
    axis.set(xlabel="Classe prevista", ylabel="Classe verdadeira", title=title)
    axis.set_xticks(range(len(label_names)), label_names)
    axis.set_yticks(range(len(label_names)), label_names, rotation=90, va="center")
    counts = "; ".join(
        f"{count} de {true} previstas como {predicted}"
        for true, row in zip(label_names, matrix, strict=True)
        for predicted, count in zip(label_names, row, strict=True)
    )
    _show_or_save(figure, save_path, f"Matriz de confusão: {counts}.")


def plot_scores(scores, save_path=None):
    """Compara modelos por suas medidas, em barras com o valor escrito em cima.

    Args:
        scores: ``{nome do modelo: {nome da medida: valor entre 0 e 1}}``, com as mesmas medidas em todos.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há modelos ou se as medidas diferem entre eles.
        FileExistsError: se ``save_path`` já existe.
    """
    measures = {tuple(values) for values in scores.values()}
    if len(measures) != 1:
        raise ValueError("scores: esperava ao menos um modelo, todos com as mesmas medidas na mesma ordem.")
    names = measures.pop()
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    heights = {model: [values[name] for name in names] for model, values in scores.items()}
    _draw_grouped_bars(axis, names, heights, lambda value: decimal(100 * value, 1), fontsize=8)
    axis.set(ylabel="%", ylim=(0, 1.12))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}" if value <= 1 else ""))
    axis.legend(frameon=False, ncols=len(scores), loc="lower center", bbox_to_anchor=(0.5, 1))
    axis.spines[["top", "right"]].set_visible(False)
    described = "; ".join(
        f"{model}: " + ", ".join(f"{name} {percent(values[name], 1)}" for name in names)
        for model, values in scores.items()
    )
    _show_or_save(figure, save_path, f"Barras por medida. {described}.")


def plot_class_counts(counts, save_path=None):
    """Compara quantas mensagens de cada classe há em várias tabelas, em barras lado a lado.

    Args:
        counts: ``{nome da tabela: {classe: quantas mensagens}}``, com as mesmas classes em todas; uma coluna
            ``value_counts()`` serve no lugar do dicionário de dentro.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há tabelas ou se as classes diferem entre elas.
        FileExistsError: se ``save_path`` já existe.
    """
    counts = {table: dict(values) for table, values in counts.items()}
    if len({frozenset(values) for values in counts.values()}) != 1:
        raise ValueError("counts: esperava ao menos uma tabela, todas com as mesmas classes.")
    classes = list(next(iter(counts.values())))
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    heights = {name: [values[name] for values in counts.values()] for name in classes}
    _draw_grouped_bars(axis, counts, heights, thousands)
    axis.set_ylabel("Mensagens")
    axis.margins(y=0.12)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(int(value))))
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    described = "; ".join(
        f"{table}, " + " e ".join(f"{thousands(values[name])} {name}" for name in classes)
        for table, values in counts.items()
    )
    _show_or_save(figure, save_path, f"Barras com o número de mensagens: {described}.")


def plot_token_lengths(lengths, max_length, save_path=None):
    """Desenha a distribuição dos comprimentos em tokens, com a marca de onde as mensagens são cortadas.

    Args:
        lengths: comprimento de cada mensagem, em tokens, ``(N,)``.
        max_length: o comprimento do corte, em tokens.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        TypeError, ValueError: se não há mensagens ou se ``max_length`` não é um inteiro positivo.
        FileExistsError: se ``save_path`` já existe.
    """
    lengths = np.asarray(lengths)
    check_integer("max_length", max_length, minimum=1)
    if lengths.size == 0:
        raise ValueError("lengths: esperava o comprimento de ao menos uma mensagem.")
    n_longer = int((lengths > max_length).sum())
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    axis.hist(lengths, bins=range(0, int(lengths.max()) + 6, 5), color=COLORS[1], edgecolor="black", linewidth=0.6)
    axis.axvline(max_length, color="black", linestyle="--", label=f"corte em {max_length} tokens")
    axis.set(xlabel="Comprimento em tokens", ylabel="Mensagens")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    description = (
        f"Histograma do comprimento de {thousands(lengths.size)} mensagens: metade tem até "
        f"{int(np.median(lengths))} tokens, a mais longa tem {int(lengths.max())}, e {n_longer or 'nenhuma'} "
        f"{'passam' if n_longer > 1 else 'passa'} do corte, em {max_length}."
    )
    _show_or_save(figure, save_path, description)


def plot_batch(input_batch, pad_token_id, save_path=None):
    """Mostra um lote como uma grade: uma linha por mensagem, escura onde há texto e hachurada onde há preenchimento.

    Args:
        input_batch: ids de um lote, ``(B, T)``.
        pad_token_id: o id do preenchimento.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se o lote não tem duas dimensões ou está vazio.
        FileExistsError: se ``save_path`` já existe.
    """
    is_padding = np.asarray(input_batch) == pad_token_id  # (B, T)
    if is_padding.ndim != 2 or is_padding.size == 0:
        raise ValueError(f"input_batch: esperava ids de forma (B, T); recebi {is_padding.shape}.")
    n_messages, length = is_padding.shape
    figure, axis = plt.subplots(figsize=(6.4, 0.9 + 0.28 * n_messages), layout="constrained")
    for row, pads in enumerate(is_padding):
        # Cada trecho contínuo, de texto ou de preenchimento, é uma barra.
        starts = [0, *(np.flatnonzero(pads[1:] != pads[:-1]) + 1), length]
        for start, end in pairwise(starts):
            style = {"color": "white", "hatch": "////"} if pads[start] else {"color": COLORS[0]}
            axis.barh(row, end - start, left=start, height=0.8, edgecolor="black", linewidth=0.5, **style)
    axis.set(xlim=(0, length), xlabel="Posição do token", ylabel="Mensagem do lote")
    axis.set_yticks(range(n_messages), range(1, n_messages + 1))
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(
        handles=[
            Patch(facecolor=COLORS[0], edgecolor="black", label="texto"),
            Patch(facecolor="white", edgecolor="black", hatch="////", label="preenchimento"),
        ],
        frameon=False,
        ncols=2,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
    )
    lengths = (~is_padding).sum(axis=1)
    description = (
        f"Grade de {n_messages} × {length} (mensagens × posições): cada mensagem tem de {lengths.min()} a "
        f"{lengths.max()} tokens de texto, e {percent(is_padding.mean(), 0)} da grade é preenchimento."
    )
    _show_or_save(figure, save_path, description)


def plot_precision_by_prevalence(rates, prevalences, save_path=None):
    """Desenha como a precisão de um classificador depende da fração de spam entre as mensagens que ele recebe.

    É a regra de Bayes: ``precisão = p·r / (p·r + (1 − p)·f)``, com prevalência ``p``, revocação ``r`` e taxa de
    falsos positivos ``f``. As duas taxas são do classificador; a prevalência é do mundo.

    Args:
        rates: ``{nome da curva: (revocação, taxa de falsos positivos)}``, entre 0 e 1.
        prevalences: ``{nome: fração de spam}``, entre 0 e 1 sem os extremos, a marcar com uma linha vertical.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há curvas ou se um valor está fora do intervalo.
        FileExistsError: se ``save_path`` já existe.
    """
    if not rates or not all(0 < recall <= 1 and 0 <= false <= 1 for recall, false in rates.values()):
        raise ValueError("rates: esperava ao menos uma curva, com revocação e taxa de falsos positivos de 0 a 1.")
    if not all(0 < fraction < 1 for fraction in prevalences.values()):
        raise ValueError("prevalences: esperava frações entre 0 e 1, sem os extremos.")
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    grid = np.linspace(0.005, 0.6, 120)
    for i, (name, (recall, false)) in enumerate(rates.items()):
        axis.plot(
            grid,
            _precision(grid, recall, false),
            label=name,
            color=COLORS[(0, 3, 2, 1)[i % 4]],
            linestyle=DASHES[i % 4],
            marker=MARKERS[i % 4],
            markevery=12,
        )
    for name, fraction in prevalences.items():
        axis.axvline(fraction, color="black", linewidth=0.8)
        axis.annotate(name, (fraction, 0.03), xytext=(4, 0), textcoords="offset points", fontsize=9)
    axis.set(xlabel="Fração de spam entre as mensagens recebidas", ylabel="Precisão", ylim=(0, 1.03), xlim=(0, 0.62))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    described = "; ".join(
        f"{name}: "
        + ", ".join(
            f"{percent(_precision(fraction, recall, false), 0)} com {percent(fraction, 0)} de spam"
            for fraction in prevalences.values()
        )
        for name, (recall, false) in rates.items()
    )
    _show_or_save(figure, save_path, f"Curvas da precisão, que sobem com a fração de spam. {described}.")


def plot_projection(points, labels, label_names, explained, save_path=None):
    """Desenha pontos projetados em dois eixos, com um marcador por classe.

    Args:
        points: coordenadas, ``(N, 2)``, como as de ``sklearn.decomposition.PCA(2).fit_transform``.
        labels: a classe de cada ponto, de 0 a ``K - 1``, ``(N,)``.
        label_names: o nome de cada uma das ``K`` classes.
        explained: a fração da variância que cada eixo guarda (``explained_variance_ratio_``), ``(2,)``.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se as formas não combinam ou se há rótulo sem nome.
        FileExistsError: se ``save_path`` já existe.
    """
    points, labels = np.asarray(points), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) != len(labels) or len(explained) != 2:
        raise ValueError("points, labels, explained: esperava N pontos de duas coordenadas, N rótulos e duas frações.")
    if not set(labels.tolist()) <= set(range(len(label_names))):
        raise ValueError(f"labels: esperava rótulos de 0 a {len(label_names) - 1}, um por nome em label_names.")
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    centers = []
    for i, name in enumerate(label_names):
        mine = points[labels == i]
        color, marker = COLORS[(0, 3, 2, 1)[i % 4]], MARKERS[i % 6]
        axis.scatter(*mine.T, s=22, color=color, marker=marker, alpha=0.6, linewidths=0, label=name)
        if len(mine):
            center = mine.mean(axis=0)
            axis.scatter(*center, s=170, color=color, marker=marker, edgecolors="black", linewidths=1.6)
            centers.append(
                f"{thousands(len(mine))} de {name}, em volta de ({decimal(center[0])}; {decimal(center[1])})"
            )
    axis.set(xlabel=f"1º eixo ({percent(explained[0], 1)} da variância)")
    axis.set(ylabel=f"2º eixo ({percent(explained[1], 1)} da variância)")
    axis.legend(frameon=False, ncols=len(label_names), loc="lower center", bbox_to_anchor=(0.5, 1), columnspacing=1)
    axis.spines[["top", "right"]].set_visible(False)
    description = (
        f"Nuvem de {thousands(len(points))} pontos em dois eixos, que guardam {percent(explained[0], 1)} e "
        f"{percent(explained[1], 1)} da variância: {'; '.join(centers)}."
    )
    _show_or_save(figure, save_path, description)


def plot_learning_curves(sizes, scores, ylabel, save_path=None):
    """Desenha como uma medida muda com o número de exemplos: a média e o desvio padrão entre sementes.

    Args:
        sizes: os números de exemplos, em ordem crescente, ``(S,)``.
        scores: ``{nome do modelo: medidas entre 0 e 1}``, cada uma ``(S, n)``, com ``n`` sementes.
        ylabel: o nome da medida.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há modelos ou se falta a linha de um tamanho.
        FileExistsError: se ``save_path`` já existe.
    """
    scores = {name: np.asarray(values, dtype=float) for name, values in scores.items()}
    if not scores or any(values.ndim != 2 or len(values) != len(sizes) for values in scores.values()):
        raise ValueError(f"scores: esperava ao menos um modelo, cada um com {len(sizes)} linhas, uma por tamanho.")
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    described = []
    for i, (name, values) in enumerate(scores.items()):
        means, deviations = values.mean(axis=1), values.std(axis=1)
        style = {"color": COLORS[(0, 3, 2, 1)[i % 4]], "marker": MARKERS[i % 6], "linestyle": DASHES[i % 4]}
        axis.errorbar(sizes, means, deviations, label=name, capsize=4, linewidth=1.8, **style)
        described.append(
            f"{name}: "
            + ", ".join(
                f"{percent(mean, 1)} ± {decimal(100 * deviation, 1)} com {size}"
                for size, mean, deviation in zip(sizes, means, deviations, strict=True)
            )
        )
    axis.set(xlabel="Exemplos de treino (escala logarítmica)", ylabel=ylabel, xscale="log")
    axis.set_xticks(sizes, [thousands(size) for size in sizes])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(scores))
    _show_or_save(figure, save_path, f"{ylabel} por número de exemplos de treino. {'; '.join(described)}.")


def plot_stage_times(seconds, save_path=None):
    """Compara quanto tempo levou cada etapa, em barras horizontais, na ordem dada.

    Args:
        seconds: ``{nome da etapa: segundos}``.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há etapas ou se um tempo é negativo.
        FileExistsError: se ``save_path`` já existe.
    """
    if not seconds or min(seconds.values()) < 0:
        raise ValueError("seconds: esperava ao menos uma etapa, com um tempo que não seja negativo.")
    figure, axis = plt.subplots(figsize=(6.4, 0.5 * len(seconds) + 0.9), layout="constrained")
    bars = axis.barh(list(seconds), list(seconds.values()), color=COLORS[1], edgecolor="black", linewidth=0.6)
    written = [f"{decimal(value, 2)} s" for value in seconds.values()]
    axis.bar_label(bars, written, padding=4)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_xlabel("Segundos")
    axis.spines[["top", "right"]].set_visible(False)
    described = "; ".join(f"{stage}, {text}" for stage, text in zip(seconds, written, strict=True))
    _show_or_save(figure, save_path, f"Barras com o tempo de cada etapa: {described}.")


def _precision(prevalence, recall, false_positive_rate):
    caught = prevalence * recall
    return caught / (caught + (1 - prevalence) * false_positive_rate)


def _draw_grouped_bars(axis, groups, heights, write, **text_options):
    """Desenha, em cada grupo, uma barra por série, com a altura escrita em cima.

    Args:
        axis: onde desenhar.
        groups: o nome de cada grupo, embaixo dele.
        heights: ``{série: alturas, uma por grupo}``.
        write: função que escreve uma altura.
        text_options: opções do texto, as do Matplotlib.
    """
    width = 0.8 / len(heights)
    for i, (series, values) in enumerate(heights.items()):
        bars = axis.bar(
            [position + (i - (len(heights) - 1) / 2) * width for position in range(len(values))],
            values,
            width,
            label=series,
            color=COLORS[i % 4],
            hatch=HATCHES[i % 4],
            edgecolor="black",
            linewidth=0.6,
        )
        axis.bar_label(bars, [write(value) for value in values], padding=2, **text_options)
    axis.set_xticks(range(len(groups)), groups)


def _show_or_save(figure, save_path, description):
    if save_path is not None:
        try:
            figure.savefig(check_free_path("save_path", save_path), dpi=150)
        finally:
            plt.close(figure)
    elif "inline" in plt.get_backend():
        from IPython.display import display

        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        plt.close(figure)
        image = base64.b64encode(buffer.getvalue()).decode()
        tag = f'<img alt="{html.escape(description)}" src="data:image/png;base64,{image}">'
        display({"text/html": tag, "text/plain": description}, raw=True)
    else:
        plt.show()

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
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .checks import check_free_path, check_integer, check_tokenizer
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
    axis.yaxis.set_major_formatter(_with_comma())
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
    columns = len(scores) if len(scores) < 4 else 2  # quatro nomes lado a lado sairiam da figura
    axis.legend(frameon=False, ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1))
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


def plot_costs(thresholds, costs, save_path=None):
    """Desenha o custo de decidir com cada limiar e marca o menor de cada curva.

    Args:
        thresholds: os limiares, em ordem crescente, ``(S,)``.
        costs: ``{nome da curva: custo por mensagem}``, cada uma ``(S,)``, como os de ``expected_cost``.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há curvas, se falta o custo de um limiar ou se um deles é negativo.
        FileExistsError: se ``save_path`` já existe.
    """
    costs = {name: np.asarray(values, dtype=float) for name, values in costs.items()}
    if not costs or any(values.shape != (len(thresholds),) or (values < 0).any() for values in costs.values()):
        raise ValueError(f"costs: esperava ao menos uma curva, cada uma com {len(thresholds)} custos não negativos.")
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    described = []
    for i, (name, values) in enumerate(costs.items()):
        color, best = COLORS[(0, 3, 2, 1)[i % 4]], int(values.argmin())
        axis.plot(thresholds, values, label=name, color=color, linestyle=DASHES[i % 4], linewidth=1.8)
        axis.plot(thresholds[best], values[best], color=color, marker=MARKERS[i % 6], markersize=9, clip_on=False)
        described.append(
            f"{name}: de {decimal(values[0])} com limiar {decimal(thresholds[0], 2)} a {decimal(values[-1])} com "
            f"{decimal(thresholds[-1], 2)}; o menor, {decimal(values[best])}, com {decimal(thresholds[best], 2)}"
        )
    axis.set(xlabel="Limiar", ylabel="Custo por mensagem", ylim=(0, None))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(_with_comma())
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    axis.spines[["top", "right"]].set_visible(False)
    _show_or_save(figure, save_path, f"Custo por mensagem conforme o limiar. {'. '.join(described)}.")


def plot_attention(weights, tokens, title=None, save_path=None):
    """Desenha os pesos de atenção de uma cabeça: cada linha é um token, e as colunas, para onde ele olha.

    O peso está escrito em cada quadrado, em porcentagem; um peso zero, como os que a máscara causal impõe, é
    hachurado. Nos nomes, ``␣`` é um espaço e ``↵`` uma quebra de linha.

    Args:
        weights: pesos de atenção, ``(T, T)``, entre 0 e 1; cada linha soma 1.
        tokens: o texto de cada um dos ``T`` tokens.
        title: título da figura.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há tokens, se os pesos não são ``(T, T)`` ou se uma linha não soma 1.
        FileExistsError: se ``save_path`` já existe.
    """
    weights = np.asarray(weights, dtype=float)
    n_tokens = len(tokens)
    if n_tokens == 0 or weights.shape != (n_tokens, n_tokens):
        raise ValueError(
            f"weights: esperava a forma ({n_tokens}, {n_tokens}), ao menos (1, 1); recebi {weights.shape}."
        )
    if weights.min() < 0 or not np.allclose(weights.sum(axis=1), 1, atol=1e-3):
        raise ValueError("weights: esperava pesos não negativos que somem 1 em cada linha, como os de um softmax.")
    names = [visible_token(token) for token in tokens]
    side = 1.5 + 0.42 * n_tokens
    figure, axis = plt.subplots(figsize=(side, side), layout="constrained")
    axis.imshow(weights, cmap="Greys", vmin=0, vmax=1)
    for row, column in np.ndindex(weights.shape):
        weight = weights[row, column]
        if weight == 0:
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="////", edgecolor="0.75", lw=0))
        else:
            color = "white" if weight > 0.5 else "black"
            axis.text(column, row, f"{100 * weight:.0f}", ha="center", va="center", color=color, fontsize=9)
    axis.set(xlabel="Token consultado", ylabel="Token que consulta", title=title)
    axis.set_xticks(range(n_tokens), names, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(n_tokens), names)
    looked = "; ".join(
        f"«{names[row]}» dá {percent(weights[row].max(), 0)} a «{names[weights[row].argmax()]}»"
        for row in range(n_tokens)
    )
    _show_or_save(
        figure, save_path, f"Mapa {n_tokens} × {n_tokens} dos pesos de atenção. O maior de cada linha: {looked}."
    )


def plot_parameter_shares(counts, save_path=None):
    """Compara em que partes estão os parâmetros de vários modelos, em barras deitadas que somam 100%.

    Args:
        counts: ``{modelo: {parte: quantos parâmetros}}``, com as mesmas partes em todos.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há modelos ou se as partes diferem entre eles.
        FileExistsError: se ``save_path`` já existe.
    """
    if len({tuple(parts) for parts in counts.values()}) != 1:
        raise ValueError("counts: esperava ao menos um modelo, todos com as mesmas partes na mesma ordem.")
    totals = {model: sum(parts.values()) for model, parts in counts.items()}
    figure, axis = plt.subplots(figsize=(7.2, 1.1 + 0.5 * len(counts)), layout="constrained")
    left = np.zeros(len(counts))
    for i, part in enumerate(next(iter(counts.values()))):
        shares = np.array([parts[part] / totals[model] for model, parts in counts.items()])
        style = {"color": COLORS[i % 4], "hatch": HATCHES[i % 4], "edgecolor": "black", "linewidth": 0.6}
        bars = axis.barh(range(len(counts)), shares, left=left, height=0.7, label=part, **style)
        written = [percent(share, 0) if share > 0.06 else "" for share in shares]
        for label in axis.bar_label(bars, written, label_type="center", fontsize=9):
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.5})
        left += shares
    for row, total in enumerate(totals.values()):
        axis.annotate(thousands(total), (1, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set(xlim=(0, 1.22), xlabel="Fração dos parâmetros (o total, à direita)")
    axis.spines["bottom"].set_bounds(0, 1)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], [percent(tick, 0) for tick in (0, 0.25, 0.5, 0.75, 1)])
    axis.set_yticks(range(len(counts)), counts)
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.4, 1), fontsize=9)
    described = "; ".join(
        f"{model}, {thousands(totals[model])}: "
        + ", ".join(f"{part} {percent(number / totals[model], 1)}" for part, number in parts.items())
        for model, parts in counts.items()
    )
    _show_or_save(figure, save_path, f"Barras com a parte de cada componente nos parâmetros. {described}.")


def plot_token_pieces(texts, tokenizer, save_path=None):
    """Mostra como um tokenizador corta textos: uma linha por texto, uma caixa por token.

    Em cada caixa, ``␣`` é um espaço e ``↵`` uma quebra de linha; um token que não é um texto inteiro em UTF-8 aparece
    como os seus bytes, em hexadecimal. À direita, quantos tokens são.

    Args:
        texts: os textos.
        tokenizer: o tokenizador (veja ``get_tokenizer``); ``<|endoftext|>`` é cortado como texto comum.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        TypeError, ValueError: se não há textos, se um deles é vazio ou se ``tokenizer`` não é um tokenizador.
        FileExistsError: se ``save_path`` já existe.
    """
    check_tokenizer("tokenizer", tokenizer)
    rows = [[_piece(token, tokenizer) for token in tokenizer.encode(text, disallowed_special=())] for text in texts]
    if not rows or not all(rows):
        raise ValueError("texts: esperava ao menos um texto, nenhum deles vazio.")
    # A unidade do eixo horizontal é a largura de uma letra de 9 pontos da fonte de largura fixa.
    widths = [[len(piece) + 1 for piece in row] for row in rows]
    longest = max(map(sum, widths)) + 4
    figure, axis = plt.subplots(figsize=(0.079 * longest, 0.34 * len(rows)), layout="constrained")
    for y, (row, sizes) in enumerate(zip(rows, widths, strict=True)):
        left = 0
        for i, (piece, size) in enumerate(zip(row, sizes, strict=True)):
            shade = ("white", "0.85")[i % 2]
            axis.add_patch(Rectangle((left, y - 0.38), size, 0.76, facecolor=shade, edgecolor="black", lw=0.7))
            axis.text(left + size / 2, y, piece, ha="center", va="center", family="monospace", fontsize=9)
            left += size
        axis.text(left + 1, y, str(len(row)), va="center", fontsize=9, weight="bold")
    axis.set(xlim=(-0.3, longest), ylim=(len(rows) - 0.5, -0.5))
    axis.set_axis_off()
    described = "; ".join(f"{' | '.join(row)} ({len(row)})" for row in rows)
    _show_or_save(figure, save_path, f"Cada texto cortado em tokens, e quantos são: {described}.")


def _piece(token_id, tokenizer):
    raw = tokenizer.decode_single_token_bytes(token_id)
    try:
        return visible_token(raw.decode())
    except UnicodeDecodeError:
        return raw.hex(" ").upper()


def visible_token(token):
    """Escreve um token com os espaços e as quebras de linha à vista: ``" now"`` vira ``"␣now"``."""
    return token.replace(" ", "␣").replace("\n", "↵")


def plot_position_margins(tokens, margins, n_real, save_path=None):
    """Desenha o que um classificador de duas classes diz em cada posição: o logit da classe 1 menos o da classe 0.

    As barras do preenchimento são hachuradas; a do último token de texto e a da última posição têm a seta.

    Args:
        tokens: o texto de cada uma das ``T`` posições; nos nomes, ``␣`` é um espaço e ``↵`` uma quebra de linha.
        margins: as diferenças, ``(T,)``; acima de zero vence a classe 1.
        n_real: quantas posições, a partir da primeira, são de texto; as outras são preenchimento.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        TypeError, ValueError: se não há uma diferença por token ou se ``n_real`` não está entre 1 e ``T``.
        FileExistsError: se ``save_path`` já existe.
    """
    margins = np.asarray(margins, dtype=float)
    if len(tokens) == 0 or margins.shape != (len(tokens),):
        raise ValueError(f"margins: esperava a forma ({len(tokens)},), ao menos (1,); recebi {margins.shape}.")
    check_integer("n_real", n_real, minimum=1, maximum=len(tokens))
    names = [visible_token(token) for token in tokens]
    figure, axis = plt.subplots(figsize=(1.4 + 0.42 * len(tokens), 3.4), layout="constrained")
    pieces = {"texto": range(n_real), "preenchimento": range(n_real, len(tokens))}
    for i, (name, positions) in enumerate(pieces.items()):
        style = {"color": COLORS[i], "hatch": HATCHES[i], "edgecolor": "black", "linewidth": 0.6, "label": name}
        axis.bar(positions, margins[positions.start : positions.stop], **style)
    ends = {n_real - 1: "último token\nde texto", len(tokens) - 1: "última\nposição"}
    top = max(0, margins.max())
    span = top - min(0, margins.min()) or 1
    axis.set_ylim(top=top + 0.45 * span)
    for (position, name), (side, corner) in zip(ends.items(), (("right", 1), ("left", 0)), strict=False):
        arrow = {"arrowprops": {"arrowstyle": "->", "relpos": (corner, 0)}, "ha": side, "fontsize": 9}
        axis.annotate(name, (position, max(0, margins[position])), (position, top + 0.15 * span), **arrow)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(ylabel="Logit da classe 1 − logit da classe 0")
    axis.set_xticks(range(len(tokens)), names, rotation=60, ha="right", rotation_mode="anchor")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: decimal(value, 1)))
    axis.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    described = "; ".join(f"{name} {decimal(margin, 2)}" for name, margin in zip(names, margins, strict=True))
    _show_or_save(
        figure,
        save_path,
        f"Barras com a diferença dos logits em {len(tokens)} posições, {n_real} de texto e {len(tokens) - n_real} de "
        f"preenchimento: {described}.",
    )


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


def _with_comma():
    """Formata os números de um eixo à brasileira, com vírgula."""
    return FuncFormatter(lambda value, _: f"{value:g}".replace(".", ","))


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


def plot_memory(parts, limits, save_path=None):
    """Empilha, numa barra por caso, o que ocupa a memória de um ajuste fino, com as capacidades que existem marcadas.

    Args:
        parts: ``{caso: {parte: bytes}}``, com as mesmas partes em todos (até quatro).
        limits: ``{placa: bytes}``, as capacidades a marcar.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há casos ou se as partes diferem entre eles.
        FileExistsError: se ``save_path`` já existe.
    """
    if len({tuple(values) for values in parts.values()}) != 1:
        raise ValueError("parts: esperava ao menos um caso, todos com as mesmas partes na mesma ordem.")
    figure, axis = plt.subplots(figsize=(7.2, 1.5 + 0.52 * len(parts)), layout="constrained")
    lefts = dict.fromkeys(parts, 0.0)
    for i, part in enumerate(next(iter(parts.values()))):
        widths = [values[part] / 1e9 for values in parts.values()]
        axis.barh(
            list(parts),
            widths,
            left=list(lefts.values()),
            label=part,
            color=COLORS[i],
            hatch=HATCHES[i],
            edgecolor="black",
            linewidth=0.6,
        )
        lefts = {case: left + width for (case, left), width in zip(lefts.items(), widths, strict=True)}
    for row, total in enumerate(lefts.values()):
        where = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        background = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axis.annotate(f"{decimal(total, 1)} GB", (total, row), fontsize=10, bbox=background, zorder=5, **where)
    for i, (name, size) in enumerate(limits.items()):
        axis.axvline(size / 1e9, color="black", linestyle=DASHES[i % 3 + 1], linewidth=1.2, label=name)
    axis.set(xlabel="GB", xlim=(0, 1.16 * max(*lefts.values(), *(size / 1e9 for size in limits.values()))))
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.42, 1), fontsize=9)
    described = "; ".join(
        f"{case}: "
        + ", ".join(f"{part} {decimal(size / 1e9, 1)} GB" for part, size in values.items())
        + f", ao todo {decimal(lefts[case], 1)} GB"
        for case, values in parts.items()
    )
    marked = ", ".join(f"{name} em {decimal(size / 1e9, 0)} GB" for name, size in limits.items())
    _show_or_save(figure, save_path, f"Barras empilhadas da memória. {described}. Linhas: {marked}.")


def plot_loss_mask(pieces, counted, columns=8, save_path=None):
    """Mostra os tokens de um exemplo na ordem, um por casa: hachurados os que não entram na perda.

    Args:
        pieces: o texto de cada token, ``(T,)``.
        counted: se cada um entra na perda, ``(T,)``.
        columns: tokens por linha.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há tokens ou se as duas sequências não têm o mesmo tamanho.
        FileExistsError: se ``save_path`` já existe.
    """
    if len(pieces) != len(counted) or len(pieces) == 0:
        raise ValueError("pieces, counted: esperava o mesmo número de itens, ao menos um.")
    check_integer("columns", columns, minimum=1)
    n_rows = -(-len(pieces) // columns)
    figure, axis = plt.subplots(figsize=(8, 0.5 + 0.4 * n_rows), layout="constrained")
    for i, (piece, counts) in enumerate(zip(pieces, counted, strict=True)):
        row, column = divmod(i, columns)
        style = {"color": COLORS[1]} if counts else {"color": "white", "hatch": "////"}
        axis.barh(row, 0.94, left=column + 0.03, height=0.8, edgecolor="gray", linewidth=0.6, **style)
        background = None if counts else {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        label = visible_token(piece)
        axis.text(column + 0.5, row, label, ha="center", va="center", fontsize=9, bbox=background, parse_math=False)
    axis.set(xlim=(0, columns), ylim=(n_rows - 0.5, -0.5))
    axis.axis("off")
    axis.legend(
        handles=[
            Patch(facecolor="white", edgecolor="gray", hatch="////", label="rótulo −100: fora da perda"),
            Patch(facecolor=COLORS[1], edgecolor="gray", label="conta na perda"),
        ],
        frameon=False,
        ncols=2,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
    )
    inside = "".join(piece for piece, counts in zip(pieces, counted, strict=True) if counts)
    description = (
        f"{len(pieces)} tokens na ordem; {len(pieces) - sum(map(bool, counted))} estão fora da perda e "
        f"{sum(map(bool, counted))} contam: «{inside}»."
    )
    _show_or_save(figure, save_path, description)


def plot_quantization(weights, levels, save_path=None):
    """Desenha onde estão os pesos de uma matriz e os níveis em que cada quantização os deixa.

    Args:
        weights: os pesos, array ou tensor de qualquer forma.
        levels: ``{quantização: valores possíveis}``.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há pesos ou quantizações.
        FileExistsError: se ``save_path`` já existe.
    """
    weights = np.asarray(weights).ravel()
    if weights.size == 0 or not levels:
        raise ValueError("weights, levels: esperava ao menos um peso e uma quantização.")
    figure, axes = plt.subplots(
        1 + len(levels),
        1,
        figsize=(7.2, 2 + 0.6 * len(levels)),
        sharex=True,
        layout="constrained",
        gridspec_kw={"height_ratios": [3.2, *(1 for _ in levels)]},
    )
    axes[0].hist(weights, bins=120, color=COLORS[1], edgecolor="black", linewidth=0.3)
    axes[0].set_ylabel("Pesos")
    axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(int(value))))
    for axis, (name, values) in zip(axes[1:], levels.items(), strict=True):
        axis.vlines(np.asarray(values), 0, 1, color="black", linewidth=0.7)
        axis.set_yticks([])
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    axes[-1].set_xlabel("Valor do peso")
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: decimal(value, 2).replace("-", "−")))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    middle = np.quantile(np.abs(weights), 0.9)
    around = f"entre −{decimal(middle, 2)} e {decimal(middle, 2)}"
    described = "; ".join(
        f"{name}: {len(values)} níveis, {int((np.abs(np.asarray(values)) <= middle).sum())} deles {around}"
        for name, values in levels.items()
    )
    ends = [decimal(value, 2).replace("-", "−") for value in (weights.min(), weights.max())]
    description = (
        f"Histograma de {thousands(weights.size)} pesos, de {' a '.join(ends)}, "
        f"nove em cada dez {around}; embaixo, um traço por nível. {described}."
    )
    _show_or_save(figure, save_path, description)


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
    written = [f"{decimal(value)} s" for value in seconds.values()]
    axis.bar_label(bars, written, padding=4)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_xlabel("Segundos")
    axis.xaxis.set_major_formatter(_with_comma())
    axis.spines[["top", "right"]].set_visible(False)
    described = "; ".join(f"{stage}, {text}" for stage, text in zip(seconds, written, strict=True))
    _show_or_save(figure, save_path, f"Barras com o tempo de cada etapa: {described}.")


def plot_loss_and_accuracy(steps, losses, accuracies, xlabel, save_path=None):
    """Desenha, uma sobre a outra, a perda e a acurácia quando se anda numa direção dos pesos.

    Args:
        steps: quanto se andou, em ordem crescente, ``(N,)``.
        losses: a perda em cada ponto, ``(N,)``.
        accuracies: a acurácia em cada ponto, entre 0 e 1, ``(N,)``.
        xlabel: o que ``steps`` mede.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se as sequências não têm o mesmo tamanho ou estão vazias.
        FileExistsError: se ``save_path`` já existe.
    """
    if not len(steps) or not len(steps) == len(losses) == len(accuracies):
        raise ValueError("steps, losses, accuracies: esperava o mesmo número de valores, ao menos um.")
    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(6, 4.2), layout="constrained")
    above.plot(steps, losses, color=COLORS[0], linewidth=1.8)
    above.set_ylabel("Perda")
    below.step(steps, accuracies, where="mid", color=COLORS[3], linewidth=1.8)
    below.set(xlabel=xlabel, ylabel="Acurácia")
    above.yaxis.set_major_formatter(_with_comma())
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    below.xaxis.set_major_formatter(_with_comma())
    for axis in (above, below):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    values = len({round(float(accuracy), 9) for accuracy in accuracies})
    description = (
        f"Em {len(steps)} pontos, a perda vai de {decimal(max(losses))} a {decimal(min(losses))} numa curva contínua; "
        f"a acurácia anda em degraus, com {values} valores, de {percent(min(accuracies), 1)} a "
        f"{percent(max(accuracies), 1)}."
    )
    _show_or_save(figure, save_path, description)


def plot_intervals(intervals, xlabel, save_path=None):
    """Compara medidas com seus intervalos de confiança: um ponto e uma barra horizontal cada.

    Args:
        intervals: ``{nome: (valor, limite inferior, limite superior)}``, frações entre 0 e 1, na ordem de cima para
            baixo.
        xlabel: o que se mediu.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.

    Raises:
        ValueError: se não há medidas ou se um valor está fora do seu intervalo.
        FileExistsError: se ``save_path`` já existe.
    """
    if not intervals or any(not low <= value <= high for value, low, high in intervals.values()):
        raise ValueError("intervals: esperava ao menos uma medida, cada uma dentro do seu intervalo.")
    figure, axis = plt.subplots(figsize=(6.4, 0.5 * len(intervals) + 1.1), layout="constrained")
    described = []
    for row, (name, (value, low, high)) in enumerate(intervals.items()):
        axis.errorbar(
            value, row, xerr=[[value - low], [high - value]], fmt=MARKERS[row % 6], color=COLORS[0], capsize=4
        )
        axis.annotate(percent(value, 1), (value, row), (0, 7), textcoords="offset points", ha="center", fontsize=9)
        described.append(f"{name}, {percent(value, 1)} (de {percent(low, 1)} a {percent(high, 1)})")
    axis.set_yticks(range(len(intervals)), list(intervals))
    axis.set_ylim(len(intervals) - 0.5, -0.7)
    axis.set_xlabel(xlabel)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    _show_or_save(figure, save_path, f"{xlabel}, com intervalos de confiança: {'; '.join(described)}.")

"""As figuras do curso, legíveis também em preto e branco: traço e marcador distinguem as curvas, não só a cor."""

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .checks import check_free_path
from .progress import decimal

AXIS_NAMES = {"loss": "Perda", "accuracy": "Acurácia"}


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
    _show_or_save(figure, save_path)


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
    figure, axis = plt.subplots(figsize=(4.2, 3.8), layout="constrained")
    axis.imshow(matrix, cmap="Blues", vmin=0)
    largest = max(max(row) for row in matrix)
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            color = "white" if count > largest / 2 else "black"
            axis.text(j, i, str(count), ha="center", va="center", color=color, fontsize=15)
    axis.set(xlabel="Classe prevista", ylabel="Classe verdadeira", title=title)
    axis.set_xticks(range(len(label_names)), label_names)
    axis.set_yticks(range(len(label_names)), label_names, rotation=90, va="center")
    _show_or_save(figure, save_path)


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
    width = 0.8 / len(scores)
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for i, (model, values) in enumerate(scores.items()):
        bars = axis.bar(
            [position + (i - (len(scores) - 1) / 2) * width for position in range(len(names))],
            [values[name] for name in names],
            width,
            label=model,
            color=("#1f4e79", "#e9c46a", "#8ab17d", "#d1495b")[i % 4],
            hatch=("", "//", "..", "xx")[i % 4],
            edgecolor="black",
            linewidth=0.6,
        )
        axis.bar_label(bars, [decimal(100 * values[name], 1) for name in names], fontsize=8, padding=2)
    axis.set_xticks(range(len(names)), names)
    axis.set(ylabel="%", ylim=(0, 1.12))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}" if value <= 1 else ""))
    axis.legend(frameon=False, ncols=len(scores), loc="lower center", bbox_to_anchor=(0.5, 1))
    axis.spines[["top", "right"]].set_visible(False)
    _show_or_save(figure, save_path)


def _show_or_save(figure, save_path):
    if save_path is None:
        plt.show()
        return
    try:
        figure.savefig(check_free_path("save_path", save_path), dpi=150)
    finally:
        plt.close(figure)

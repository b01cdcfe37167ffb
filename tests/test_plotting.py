"""As figuras: o que é desenhado, onde é gravado, o que é recusado."""

import base64
import html
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from llmdefinitions import (
    get_tokenizer,
    plot_attention,
    plot_batch,
    plot_class_counts,
    plot_confusion_matrix,
    plot_costs,
    plot_intervals,
    plot_learning_curves,
    plot_loss_and_accuracy,
    plot_loss_mask,
    plot_memory,
    plot_parameter_shares,
    plot_position_margins,
    plot_precision_by_prevalence,
    plot_projection,
    plot_quantization,
    plot_scores,
    plot_stage_times,
    plot_token_lengths,
    plot_token_pieces,
    plot_values,
)


@pytest.fixture
def shown(monkeypatch):
    """As figuras que seriam mostradas, no lugar da janela."""
    figures = []
    monkeypatch.setattr(plt, "show", lambda: figures.append(plt.gcf()))
    yield figures
    plt.close("all")


def test_curves_carry_the_values_and_differ_without_color(shown):
    epochs, examples = torch.linspace(0, 2, 3), torch.linspace(0, 80, 3)
    assert plot_values(epochs, examples, [0.7, 0.5, 0.3], [0.8, 0.6, 0.5]) is None
    axis, top = shown[0].axes
    train, validation = axis.lines
    assert train.get_ydata().tolist() == [0.7, 0.5, 0.3]
    assert validation.get_ydata().tolist() == [0.8, 0.6, 0.5]
    assert train.get_linestyle() != validation.get_linestyle()
    assert (axis.get_xlabel(), axis.get_ylabel(), top.get_xlabel()) == ("Épocas", "Perda", "Mensagens vistas")
    assert top.lines[0].get_xdata().tolist() == [0, 40, 80]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["Treino", "Validação"]


@pytest.mark.parametrize(("label", "name"), [("accuracy", "Acurácia"), ("perplexidade", "Perplexidade")])
def test_vertical_axis_is_named(shown, label, name):
    plot_values([0, 1], [0, 8], [0.5, 1], [0.5, 0.75], label=label)
    assert shown[0].axes[0].get_ylabel() == name


def test_confusion_matrix_writes_every_count(shown):
    plot_confusion_matrix([[50, 3], [7, 40]], ("não spam", "spam"), title="Teste")
    axis = shown[0].axes[0]
    assert [text.get_text() for text in axis.texts] == ["50", "3", "7", "40"]
    assert [text.get_color() for text in axis.texts] == ["white", "black", "black", "white"]
    assert axis.get_title() == "Teste"


def test_costs_mark_the_least_and_differ_without_color(shown):
    plot_costs([0.2, 0.5, 0.8], {"FP caro": [3, 2, 1], "FN caro": [1, 1, 4]})
    lines = shown[0].axes[0].lines
    assert [list(line.get_xdata()) for line in lines[1::2]] == [[0.8], [0.2]]
    assert [list(line.get_ydata()) for line in lines[1::2]] == [[1], [1]]
    assert len({line.get_linestyle() for line in lines[::2]}) == 2
    assert len({line.get_marker() for line in lines[1::2]}) == 2


@pytest.mark.parametrize("costs", [{}, {"A": [1]}, {"A": [1, -1]}])
def test_costs_refuse_bad_input(costs):
    with pytest.raises(ValueError, match="costs: esperava ao menos uma curva, cada uma com 2 custos"):
        plot_costs([0.1, 0.9], costs)


def test_scores_write_every_value_and_differ_without_color(shown):
    plot_scores({"A": {"acurácia": 0.95, "F1": 0.9}, "B": {"acurácia": 0.9767, "F1": 1}})
    axis = shown[0].axes[0]
    assert [text.get_text() for text in axis.texts] == ["95,0", "90,0", "97,7", "100,0"]
    assert len({bar.get_hatch() for bar in axis.patches}) == 2


def test_saving_writes_once_and_closes(tmp_path, shown):
    path = tmp_path / "figuras" / "a.png"
    plot_values([0, 1], [0, 8], [1, 2], [1, 2], save_path=path)
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")
    with pytest.raises(FileExistsError, match="save_path"):
        plot_confusion_matrix([[1, 0], [0, 1]], ("a", "b"), save_path=path)
    assert path.read_bytes() == before
    assert not shown
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    "call",
    [
        lambda: plot_values([0, 1], [0, 1], [0, 1], [0]),
        lambda: plot_values([], [], [], []),
        lambda: plot_confusion_matrix([[1, 0]], ("a", "b")),
        lambda: plot_confusion_matrix([[1, 0], [1]], ("a", "b")),
        lambda: plot_scores({}),
        lambda: plot_scores({"A": {"F1": 1}, "B": {"acurácia": 1}}),
        lambda: plot_class_counts({}),
        lambda: plot_class_counts({"A": {"ham": 1}, "B": {"spam": 1}}),
        lambda: plot_token_lengths([], 5),
        lambda: plot_token_lengths([3], 0),
        lambda: plot_batch([1, 2], 0),
        lambda: plot_attention([], []),
        lambda: plot_position_margins([], [], 1),
        lambda: plot_position_margins(["a", "b"], [1.0], 1),
        lambda: plot_position_margins(["a"], [1.0], 0),
        lambda: plot_position_margins(["a"], [1.0], 2),
        lambda: plot_parameter_shares({}),
        lambda: plot_parameter_shares({"A": {"x": 1}, "B": {"y": 1}}),
        lambda: plot_token_pieces([], get_tokenizer()),
        lambda: plot_token_pieces(["oi", ""], get_tokenizer()),
        lambda: plot_attention([[1, 0], [0, 1]], ["a"]),
        lambda: plot_attention([[1, 0], [0.5, 0.4]], ["a", "b"]),
        lambda: plot_attention([[1, 0], [1.5, -0.5]], ["a", "b"]),
        lambda: plot_precision_by_prevalence({}, {"x": 0.5}),
        lambda: plot_precision_by_prevalence({"A": (1.5, 0)}, {"x": 0.5}),
        lambda: plot_precision_by_prevalence({"A": (1, 0)}, {"x": 1}),
        lambda: plot_memory({}, {}),
        lambda: plot_memory({"A": {"pesos": 1}, "B": {"estados": 1}}, {}),
        lambda: plot_loss_mask([], []),
        lambda: plot_loss_mask(["a"], [True, False]),
        lambda: plot_loss_mask(["a"], [True], columns=0),
        lambda: plot_quantization([], {"8 bits": [0]}),
        lambda: plot_quantization([0.5], {}),
        lambda: plot_projection([[0, 1]], [0, 1], ("a", "b"), (0.5, 0.5)),
        lambda: plot_projection([[0, 1, 2]], [0], ("a", "b"), (0.5, 0.5)),
        lambda: plot_projection([[0, 1]], [2], ("a", "b"), (0.5, 0.5)),
        lambda: plot_learning_curves([1, 2], {}, "x"),
        lambda: plot_learning_curves([1, 2], {"A": [[0.5]]}, "x"),
        lambda: plot_stage_times({}),
        lambda: plot_stage_times({"A": -1}),
        lambda: plot_loss_and_accuracy([], [], [], "x"),
        lambda: plot_loss_and_accuracy([0, 1], [1, 1], [1], "x"),
        lambda: plot_intervals({}, "x"),
        lambda: plot_intervals({"A": (0.9, 0.5, 0.8)}, "x"),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match="esperava"):
        call()
    assert not plt.get_fignums()


# --- as figuras da preparação dos dados


def test_class_counts_write_every_number(shown):
    counts = pd.Series(["ham", "ham", "spam"]).value_counts()
    plot_class_counts({"como veio": counts, "equilibrada": {"spam": 1, "ham": 1}})
    axis = shown[0].axes[0]
    assert [text.get_text() for text in axis.texts] == ["2", "1", "1", "1"]
    assert len({bar.get_hatch() for bar in axis.patches}) == 2


def test_token_lengths_mark_the_cut(shown):
    plot_token_lengths([3, 8, 21], 20)
    axis = shown[0].axes[0]
    assert axis.lines[0].get_xdata() == [20, 20]
    assert sum(bar.get_height() for bar in axis.patches) == 3


def test_batch_separates_text_from_padding(shown):
    plot_batch(torch.tensor([[5, 6, 9, 9], [9, 7, 8, 4]]), pad_token_id=9)
    bars = [(bar.get_x(), bar.get_width(), bar.get_hatch()) for bar in shown[0].axes[0].patches]
    assert bars == [(0, 2, None), (2, 2, "////"), (0, 1, "////"), (1, 3, None)]


def test_precision_follows_bayes(shown):
    plot_precision_by_prevalence({"A": (0.9, 0.1), "B": (0.9, 0.01)}, {"metade": 0.5})
    axis = shown[0].axes[0]
    for line, false in zip(axis.lines[:2], (0.1, 0.01), strict=True):
        prevalence = line.get_xdata()
        expected = prevalence * 0.9 / (prevalence * 0.9 + (1 - prevalence) * false)
        assert line.get_ydata() == pytest.approx(expected)
    assert axis.lines[0].get_marker() != axis.lines[1].get_marker()


# --- as figuras do GPT-2


def test_position_margins_hatch_the_padding_and_point_to_both_ends(shown):
    plot_position_margins(["Win", " now", "<pad>"], torch.tensor([0.5, -1.0, 2.0]), 2)
    axis = shown[0].axes[0]
    assert [bar.get_height() for bar in axis.patches] == [0.5, -1.0, 2.0]
    assert [bar.get_hatch() or "" for bar in axis.patches] == ["", "", "//"]
    assert [(note.get_text(), note.xy) for note in axis.texts] == [
        ("último token\nde texto", (1, 0)),
        ("última\nposição", (2, 2.0)),
    ]


def test_without_padding_there_is_one_end_only(shown):
    plot_position_margins(["Win"], [-1.0], 1)
    assert [note.get_text() for note in shown[0].axes[0].texts] == ["última\nposição"]


def test_attention_writes_the_weights_and_hatches_the_zeros(shown):
    plot_attention(torch.tensor([[1.0, 0.0], [0.4, 0.6]]), ["Win", " now"], title="cabeça 0")
    axis = shown[0].axes[0]
    written = [(text.get_position(), text.get_text(), text.get_color()) for text in axis.texts]
    assert written == [((0, 0), "100", "white"), ((0, 1), "40", "black"), ((1, 1), "60", "white")]
    [masked] = axis.patches
    assert (masked.get_xy(), masked.get_hatch()) == ((0.5, -0.5), "////")
    assert [label.get_text() for label in axis.get_yticklabels()] == ["Win", "␣now"]
    assert axis.get_title() == "cabeça 0"


def test_parameter_shares_fill_each_bar(shown):
    plot_parameter_shares({"A": {"x": 3, "y": 1}, "B": {"x": 1, "y": 99}})
    axis = shown[0].axes[0]
    x_of_a, x_of_b, y_of_a, y_of_b = axis.patches
    assert [x_of_a.get_width(), y_of_a.get_x(), y_of_a.get_width()] == [0.75, 0.75, 0.25]
    assert [x_of_b.get_width(), y_of_b.get_x()] == [0.01, 0.01]
    assert x_of_a.get_hatch() != y_of_a.get_hatch()
    # Uma fatia estreita demais fica sem texto.
    assert [text.get_text() for text in axis.texts] == ["75%", "", "25%", "99%", "4", "100"]


def test_token_pieces_show_spaces_bytes_and_counts(shown):
    plot_token_pieces(["não late", "a\n😀", "<|endoftext|>"], get_tokenizer())
    axis = shown[0].axes[0]
    pieces = ["n", "ão", "␣late", "3", "a", "↵", "F0 9F 98", "80", "4", "<", "|", "end", "of", "text", "|", ">", "7"]
    assert [text.get_text() for text in axis.texts] == pieces
    first, second, third = axis.patches[:3]
    assert (first.get_x(), second.get_x(), third.get_x()) == (0, 2, 5)
    assert first.get_facecolor() != second.get_facecolor()


# --- as figuras dos conceitos


def test_memory_bars_are_stacked_and_differ_without_color(shown):
    parts = {"tudo": {"pesos": 28e9, "gradientes": 28e9, "m": 28e9, "v": 28e9}}
    plot_memory(parts | {"1%": dict.fromkeys(parts["tudo"], 1e9)}, {"24 GB": 24e9, "80 GB": 80e9})
    axis = shown[0].axes[0]
    whole = axis.patches[::2]
    assert [bar.get_x() for bar in whole] == [0, 28, 56, 84]
    assert [bar.get_width() for bar in whole] == [28] * 4
    assert len({bar.get_hatch() for bar in whole}) == 4
    assert [text.get_text() for text in axis.texts] == ["112,0 GB", "4,0 GB"]
    assert [list(line.get_xdata()) for line in axis.lines] == [[24, 24], [80, 80]]
    assert len({line.get_linestyle() for line in axis.lines}) == 2
    assert axis.get_xlim()[1] > 112


def test_loss_mask_hatches_what_does_not_count(shown):
    plot_loss_mask(["What", " ?", "\n", "Paris", " "], [False, False, False, True, True], columns=3)
    axis = shown[0].axes[0]
    assert [text.get_text() for text in axis.texts] == ["What", "␣?", "↵", "Paris", "␣"]
    assert [bool(bar.get_hatch()) for bar in axis.patches] == [True, True, True, False, False]
    rows = [round(bar.get_y() + bar.get_height() / 2) for bar in axis.patches]
    assert rows == [0, 0, 0, 1, 1]


def test_quantization_draws_every_level(shown):
    plot_quantization(
        torch.tensor([[0.0, 0.5], [-1.0, 1.0]]), {"8 bits": torch.arange(-3, 4) / 3, "2 bits": [-1, 0, 1]}
    )
    histogram, *levels = shown[0].axes
    assert sum(bar.get_height() for bar in histogram.patches) == 4
    assert [len(axis.collections[0].get_segments()) for axis in levels] == [7, 3]
    assert [axis.get_ylabel() for axis in levels] == ["8 bits", "2 bits"]


# --- as figuras da extração de características


def test_projection_separates_the_classes_without_color(shown):
    points = [[0, 0], [2, 2], [5, 5]]
    plot_projection(points, [0, 0, 1], ("a", "b", "c"), (0.5, 0.25))
    axis = shown[0].axes[0]
    clouds = [cloud for cloud in axis.collections if cloud.get_label() in ("a", "b", "c")]
    assert [cloud.get_offsets().tolist() for cloud in clouds] == [[[0, 0], [2, 2]], [[5, 5]], []]
    centers = [cloud.get_offsets().tolist() for cloud in axis.collections if cloud not in clouds]
    assert centers == [[[1, 1]], [[5, 5]]]
    markers = {cloud.get_paths()[0].vertices.tobytes() for cloud in clouds}
    assert len(markers) == 3
    assert axis.get_xlabel() == "1º eixo (50,0% da variância)"


def test_learning_curves_carry_means_and_deviations(shown):
    plot_learning_curves([10, 100], {"A": [[0.5, 0.7], [0.8, 0.8]], "B": [[0, 1], [1, 1]]}, "Revocação média")
    axis = shown[0].axes[0]
    lines = [container.lines[0] for container in axis.containers]
    assert [line.get_ydata().tolist() for line in lines] == [pytest.approx([0.6, 0.8]), [0.5, 1]]
    assert lines[0].get_linestyle() != lines[1].get_linestyle()
    assert lines[0].get_marker() != lines[1].get_marker()
    low, high = axis.containers[1].lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == (0, 1)
    assert [text.get_text() for text in axis.get_xticklabels()] == ["10", "100"]


def test_stage_times_keep_the_order(shown):
    plot_stage_times({"tokenizar": 0.5, "treinar": 12})
    axis = shown[0].axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["tokenizar", "treinar"]
    assert [text.get_text() for text in axis.texts] == ["0,500 s", "12,000 s"]
    assert axis.yaxis_inverted()


def test_loss_is_a_curve_and_accuracy_a_staircase(shown):
    plot_loss_and_accuracy([0, 1, 2], [0.7, 0.6, 0.65], [0.5, 0.5, 0.75], "passo")
    above, below = shown[0].axes
    assert above.lines[0].get_ydata().tolist() == [0.7, 0.6, 0.65]
    assert below.lines[0].get_drawstyle() == "steps-mid"
    assert (above.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == ("Perda", "Acurácia", "passo")


def test_intervals_start_from_the_top(shown):
    plot_intervals({"A": (0.9, 0.8, 0.95), "B": (0.7, 0.6, 0.75)}, "Acurácia")
    axis = shown[0].axes[0]
    segments = [container.lines[2][0].get_segments()[0] for container in axis.containers]
    assert [segment[:, 0].tolist() for segment in segments] == [pytest.approx([0.8, 0.95]), pytest.approx([0.6, 0.75])]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["A", "B"]
    assert axis.yaxis_inverted()


def test_confusion_matrix_grows_with_the_classes(shown):
    names = ["a", "b", "c", "d", "e", "f"]
    plot_confusion_matrix([[1] * 6] * 6, names)
    plot_confusion_matrix([[1, 0], [0, 1]], ("a", "b"))
    large, small = (figure.get_size_inches().tolist() for figure in shown)
    assert small == [4.2, 3.8]
    assert large[0] > 5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plot_values([0, 1.5], [0, 8], [0.9, 0.25], [1, 0.5]), ["1,5 épocas", "de 0,900 a 0,250"]),
        (lambda: plot_confusion_matrix([[5, 1], [2, 9]], ("ham", "spam")), ["1 de ham previstas como spam"]),
        (lambda: plot_scores({"A": {"F1": 0.5}}), ["A: F1 50,0%"]),
        (lambda: plot_class_counts({"X": {"ham": 4220, "spam": 642}}), ["X, 4.220 ham e 642 spam"]),
        (lambda: plot_token_lengths([3, 8, 21], 20), ["3 mensagens", "até 8 tokens", "1 passa do corte, em 20"]),
        (lambda: plot_token_lengths([3, 8], 20), ["nenhuma passa do corte"]),
        (lambda: plot_confusion_matrix([[1, 0], [0, 1]], ('"a"', "<b>")), ['0 de "a" previstas como <b>']),
        (lambda: plot_batch([[5, 6, 9, 9]], 9), ["1 × 4", "50% da grade"]),
        (lambda: plot_precision_by_prevalence({"A": (0.9, 0.1)}, {"x": 0.1}), ["A: 50% com 10% de spam"]),
        (lambda: plot_parameter_shares({"A": {"x": 1500, "y": 500}}), ["A, 2.000: x 75,0%, y 25,0%"]),
        (lambda: plot_token_pieces(["oi 😀"], get_tokenizer()), ["oi | 20 F0 9F 98 | 80 (3)"]),
        (lambda: plot_attention([[1, 0], [0.4, 0.6]], ["a", "\n b"]), ["2 × 2", "«↵␣b» dá 60% a «↵␣b»"]),
        (
            lambda: plot_memory({"FP32": {"pesos": 28e9, "gradientes": 28e9}}, {"placa": 24e9}),
            ["FP32: pesos 28,0 GB, gradientes 28,0 GB, ao todo 56,0 GB", "placa em 24 GB"],
        ),
        (
            lambda: plot_loss_mask(["Oi", "$x$", " ", "\n"], [False, True, True, False]),
            ["4 tokens na ordem; 2 estão fora da perda e 2 contam: «$x$ »"],
        ),
        (
            lambda: plot_quantization([-1.0, 0.1, 0.1, 0.1, 1.0], {"2 bits": [-1, 0, 1]}),
            ["5 pesos, de −1,00 a 1,00", "2 bits: 3 níveis, 3 deles entre −1,00 e 1,00"],
        ),
        (
            lambda: plot_projection([[0, 1], [1, 3]], [1, 1], ("a", "b"), (0.5, 0.25)),
            ["2 pontos", "50,0% e 25,0%", "2 de b, em volta de (0,500; 2,000)"],
        ),
        (lambda: plot_learning_curves([20], {"A": [[0.5, 0.7]]}, "F1"), ["F1 por", "A: 60,0% ± 10,0 com 20."]),
        (lambda: plot_stage_times({"ler": 1.5}), ["ler, 1,500 s"]),
        (
            lambda: plot_loss_and_accuracy([0, 1, 2], [0.7, 0.6, 0.65], [0.5, 0.5, 0.75], "passo"),
            ["Em 3 pontos", "de 0,700 a 0,600", "com 2 valores, de 50,0% a 75,0%"],
        ),
        (lambda: plot_intervals({"A": (0.95, 0.9, 1)}, "Acurácia"), ["Acurácia", "A, 95,0% (de 90,0% a 100,0%)"]),
        (
            lambda: plot_costs([0.1, 0.5, 0.9], {"A": [2, 0.5, 1]}),
            ["A: de 2,000 com limiar 0,10 a 1,000 com 0,90; o menor, 0,500, com 0,50."],
        ),
        (lambda: plot_position_margins(["a", " b"], [0.5, -1.25], 1), ["1 de texto e 1", "a 0,50; ␣b -1,25"]),
    ],
)
def test_in_a_notebook_the_figure_has_alt_text(monkeypatch, call, words):
    displayed = []
    monkeypatch.setattr(plt, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    monkeypatch.setattr("IPython.display.display", lambda data, raw: displayed.append(data))
    call()
    [data] = displayed
    description, tag = data["text/plain"], data["text/html"]
    assert all(word in description for word in words), description
    alt, image = re.fullmatch(r'<img alt="(.*)" src="data:image/png;base64,(.*)">', tag).groups()
    assert html.unescape(alt) == description
    assert base64.b64decode(image).startswith(b"\x89PNG")
    assert not plt.get_fignums()

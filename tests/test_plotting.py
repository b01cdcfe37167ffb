"""As figuras: o que é desenhado, onde é gravado, o que é recusado."""

import matplotlib.pyplot as plt
import pytest
import torch

from llmdefinitions import plot_confusion_matrix, plot_scores, plot_values


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
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match="esperava"):
        call()
    assert not plt.get_fignums()

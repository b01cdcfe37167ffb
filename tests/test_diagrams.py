"""Os esquemas: nada cai fora da figura, nenhum texto sai da sua caixa, e a descrição conta o que se vê."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyBboxPatch

from llmdefinitions import (
    draw_classification_and_instruction,
    draw_llm_construction,
    draw_pipeline,
    draw_three_approaches,
    draw_video_still,
)

DIAGRAMS = {
    draw_llm_construction: ["pesos sorteados", "modelo base", "classificador", "assistente"],
    draw_three_approaches: ["características", "só a cabeça", "todas as camadas", "hachura"],
    draw_classification_and_instruction: ["rótulo da lista fixa", "texto livre", "50.257"],
    draw_pipeline: [f"{stage}, " for stage in range(1, 8)],
}


@pytest.fixture
def drawn(monkeypatch):
    """Desenha e devolve a figura e a descrição."""

    def draw(function, *args):
        described = []
        monkeypatch.setattr("llmdefinitions.diagrams._show_or_save", lambda *args: described.append(args[2]))
        function(*args)
        return plt.gcf(), described[0]

    yield draw
    plt.close("all")


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda diagram: diagram.__name__)
def test_the_description_tells_what_is_drawn(drawn, diagram):
    _, description = drawn(diagram)
    assert all(words in description for words in DIAGRAMS[diagram])


@pytest.mark.parametrize("diagram", [*DIAGRAMS, lambda: draw_video_still("Training & Fine-Tuning LLMs: Introduction")])
def test_no_text_is_cut_or_leaves_its_box(drawn, diagram):
    figure, _ = drawn(diagram)
    figure.canvas.draw()
    [axis] = figure.axes
    boxes = [patch.get_window_extent() for patch in axis.patches if isinstance(patch, FancyBboxPatch)]
    for text in axis.texts:
        place = text.get_window_extent()
        if not text.get_text():
            continue
        assert figure.bbox.x0 <= place.x0 < place.x1 <= figure.bbox.x1, text.get_text()
        assert figure.bbox.y0 <= place.y0 < place.y1 <= figure.bbox.y1, text.get_text()
        center = (place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2
        around = [box for box in boxes if box.contains(*center)]
        if around:
            smallest = min(around, key=lambda box: box.width * box.height)
            assert smallest.x0 <= place.x0 < place.x1 <= smallest.x1, text.get_text()
            assert smallest.y0 <= place.y0 < place.y1 <= smallest.y1, text.get_text()
        others = [other.get_window_extent() for other in axis.texts if other is not text and other.get_text()]
        assert not any(place.overlaps(other) for other in others), text.get_text()


def test_what_is_frozen_is_hatched(drawn):
    figure, _ = drawn(draw_three_approaches)
    assert sum(patch.get_hatch() is not None for patch in figure.axes[0].patches) == 2


def test_saving_writes_once(tmp_path):
    for diagram in DIAGRAMS:
        path = tmp_path / f"{diagram.__name__}.png"
        diagram(path)
        assert path.read_bytes().startswith(b"\x89PNG")
        with pytest.raises(FileExistsError, match="save_path"):
            diagram(path)
    assert not plt.get_fignums()

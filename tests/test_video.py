"""O vídeo da aula: com internet o próprio; sem ela, em menos de três segundos, um quadro e o endereço."""

import time

import matplotlib.pyplot as plt
import pytest

from llmdefinitions import SourceError, draw_video_still, show_video, sources, video

TITLE = "Treinar & <ajustar>"


@pytest.fixture
def displayed(monkeypatch):
    """O que seria mostrado no caderno, na ordem: textos, e figuras desenhadas."""
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    yield shown
    plt.close("all")


@pytest.fixture
def unreachable(monkeypatch):
    monkeypatch.setattr(video, "VIDEO_SITE", "http://127.0.0.1:9")
    monkeypatch.setattr(sources, "_probes", {})


@pytest.mark.parametrize("tier", ["embutida", "local"])
def test_without_the_internet_a_still_and_the_address(displayed, monkeypatch, tier):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", tier)
    monkeypatch.setattr(video, "is_reachable", lambda url: pytest.fail("a rede foi consultada"))
    show_video("2QRlvKSzyVw", TITLE)
    figure, address = displayed
    assert TITLE in [text.get_text() for text in figure.axes[0].texts]
    assert address["text/plain"] == "https://youtu.be/2QRlvKSzyVw"
    assert address["text/html"].count("https://youtu.be/2QRlvKSzyVw") == 2
    assert "Treinar &amp; &lt;ajustar&gt;" in address["text/html"]


def test_an_unreachable_site_costs_little(displayed, monkeypatch, unreachable):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    start = time.monotonic()
    show_video("2QRlvKSzyVw", TITLE)
    assert time.monotonic() - start < 3
    assert len(displayed) == 2


def test_with_the_internet_the_player(displayed, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    monkeypatch.setattr(video, "is_reachable", lambda url: True)
    show_video("2QRlvKSzyVw", TITLE)
    player, address = displayed
    assert "https://www.youtube.com/embed/2QRlvKSzyVw" in player["text/html"]
    assert 'title="Treinar &amp; &lt;ajustar&gt;"' in player["text/html"]
    assert address["text/plain"] == "https://youtu.be/2QRlvKSzyVw"


def test_the_internet_forced_and_absent_is_explained(displayed, monkeypatch, unreachable):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "internet")
    with pytest.raises(SourceError, match="o YouTube não respondeu"):
        show_video("2QRlvKSzyVw", TITLE)
    assert not displayed


def test_texts_are_checked():
    with pytest.raises(TypeError, match="video_id: esperava um texto"):
        show_video(None, TITLE)
    with pytest.raises(TypeError, match="title: esperava um texto"):
        show_video("2QRlvKSzyVw", None)


def test_the_still_is_saved_once(tmp_path):
    path = tmp_path / "quadro.png"
    draw_video_still(TITLE, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FileExistsError, match="save_path"):
        draw_video_still(TITLE, path)

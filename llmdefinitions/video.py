"""Os vídeos da aula dentro de um caderno: com internet, o próprio; sem ela, um quadro desenhado e o endereço."""

import html

from .checks import check_text
from .diagrams import draw_video_still
from .sources import SourceError, first_available, is_reachable

VIDEO_SITE = "https://www.youtube.com"


def show_video(video_id, title, width=600, height=340):
    """Mostra um vídeo do YouTube ou, sem internet, um quadro com o título; nos dois casos, com o endereço.

    Com a fonte ``embutida`` ou ``local`` a rede não é consultada; no modo ``auto`` a espera é de dois segundos.

    Args:
        video_id: a parte do endereço que identifica o vídeo, por exemplo ``"2QRlvKSzyVw"``.
        title: o título, que também descreve o quadro a quem não o vê.
        width, height: tamanho do vídeo, em pixels.

    Raises:
        TypeError: se um dos textos não é um texto.
        SourceError: se a fonte ``internet`` foi forçada e o YouTube não responde.
    """
    check_text("video_id", video_id)
    check_text("title", title)

    def player():
        if not is_reachable(VIDEO_SITE):
            raise SourceError("o YouTube não respondeu; confira sua internet ou mude LLMDEFINITIONS_FONTE.")
        from IPython.display import YouTubeVideo

        named = [f'title="{html.escape(title)}"']
        _display(YouTubeVideo(video_id, width, height, extras=named)._repr_html_(), f"Vídeo: {title}")

    def still():
        draw_video_still(title)

    first_available(f"Vídeo {title!r}", {"internet": player, "local": still, "embutida": still})
    address = f"https://youtu.be/{video_id}"
    _display(f'<p><a href="{address}">{html.escape(title)} ({address})</a></p>', address)


def _display(page, text):
    from IPython.display import display

    display({"text/html": page, "text/plain": text}, raw=True)

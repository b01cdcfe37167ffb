"""Os esquemas da primeira lição: caixas e setas, desenhadas aqui, que se leem também em preto e branco.

As coordenadas são polegadas, com a origem embaixo, à esquerda. A descrição de cada esquema conta a mesma história.
"""

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon

from .plotting import COLORS, _show_or_save

WHITE, GRAY, YELLOW, GREEN = "white", "#e6e6e6", COLORS[1], "#cfe3c5"
FROZEN = "////"
"""A hachura do que está congelado."""


def draw_llm_construction(save_path=None):
    """Desenha como se constrói um LLM: a arquitetura, o pré-treinamento e os dois ajustes finos.

    Args:
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.
    """
    figure, axis = _canvas(8, 3.9)
    for x, width, title in (
        (0.05, 2.15, "1 · Construir"),
        (2.75, 2.15, "2 · Pré-treinar"),
        (5.45, 2.5, "3 · Ajustar (fine-tuning)"),
    ):
        _box(axis, x, 0.1, width, 3.7, "", face=WHITE, style="--")
        axis.text(x + width / 2, 3.55, title, ha="center", va="center", fontsize=11, weight="bold")
    for y, text in (
        (2.5, "texto → tokens\n→ ids"),
        (1.4, "mecanismo\nde atenção"),
        (0.3, "arquitetura GPT,\npesos sorteados"),
    ):
        _box(axis, 0.25, y, 1.75, 0.8, text, face=GRAY)
    _arrow(axis, (1.12, 2.5), (1.12, 2.2))
    _arrow(axis, (1.12, 1.4), (1.12, 1.1))
    _box(axis, 2.95, 2.3, 1.75, 1.0, "bilhões de tokens\nde texto,\nsem rótulos", face=WHITE)
    _box(axis, 2.95, 0.3, 1.75, 1.2, "modelo base\n(foundation model):\nprevê o próximo\ntoken", face=YELLOW)
    _arrow(axis, (3.82, 2.3), (3.82, 1.5))
    _arrow(axis, (2.0, 0.7), (2.95, 0.7))
    _box(axis, 5.65, 2.5, 2.1, 0.8, "mensagens com rótulo\n→ classificador", face=GREEN)
    _box(axis, 5.65, 0.5, 2.1, 0.8, "pedidos e respostas\n→ assistente", face=GREEN)
    _arrow(axis, (4.7, 1.1), (5.65, 2.75))
    _arrow(axis, (4.7, 0.9), (5.65, 0.9))
    axis.text(6.7, 1.9, "milhares de exemplos,\nminutos ou horas", ha="center", va="center", fontsize=9, style="italic")
    _show_or_save(
        figure,
        save_path,
        "Esquema em três estágios. 1, construir: o texto vira tokens e ids; o mecanismo de atenção os combina; a "
        "arquitetura GPT começa com pesos sorteados. 2, pré-treinar: com bilhões de tokens de texto sem rótulos ela "
        "vira o modelo base, que prevê o próximo token. 3, ajustar: do mesmo modelo base saem um classificador, com "
        "mensagens rotuladas, e um assistente, com pedidos e respostas; bastam milhares de exemplos e minutos ou "
        "horas.",
    )


def draw_three_approaches(save_path=None):
    """Desenha os três modos de usar um modelo pré-treinado e o que se treina em cada um.

    Args:
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.
    """
    figure, axis = _canvas(8, 4.5)
    columns = (
        ("A · Características", True, "classificador\nclássico", "treina-se só o que\nestá fora do modelo"),
        ("B · Só a cabeça", True, "cabeça nova", "treina-se a camada\nde saída"),
        ("C · Todas as camadas", False, "cabeça nova", "treina-se\no modelo inteiro"),
    )
    for i, (title, is_frozen, top, caption) in enumerate(columns):
        x, face = 0.2 + 2.65 * i, WHITE if is_frozen else YELLOW
        model = "modelo pré-treinado\n(congelado)" if is_frozen else "modelo pré-treinado\n(treina)"
        axis.text(x + 1.15, 4.3, title, ha="center", va="center", fontsize=11, weight="bold")
        _box(axis, x + 0.2, 0.75, 1.9, 0.4, "tokens do texto", face=WHITE)
        _arrow(axis, (x + 1.15, 1.15), (x + 1.15, 1.4))
        _box(axis, x + 0.2, 1.4, 1.9, 1.05, model, face=face, frozen=is_frozen)
        stops = (2.45, 2.62, 2.97, 3.2) if i == 0 else (2.45, 3.2)
        for start, end in zip(stops[::2], stops[1::2], strict=True):
            _arrow(axis, (x + 1.15, start), (x + 1.15, end))
        if i == 0:
            _box(axis, x + 0.2, 2.62, 1.9, 0.35, "vetor, guardado", face=WHITE)
        _box(axis, x + 0.2, 3.2, 1.9, 0.7, top, face=YELLOW)
        axis.text(x + 1.15, 0.33, caption, ha="center", va="center", fontsize=9.5, style="italic")
    _show_or_save(
        figure,
        save_path,
        "Três colunas; em hachura o que fica congelado, em amarelo liso o que se treina. A, características: o "
        "modelo congelado dá um vetor de cada texto, que se guarda, e só um classificador clássico, fora dele, é "
        "treinado. B, só a cabeça: o modelo fica congelado e treina-se a camada de saída nova. C, todas as camadas: "
        "treina-se o modelo inteiro, com a cabeça nova.",
    )


def draw_classification_and_instruction(save_path=None):
    """Desenha lado a lado o ajuste para classificação e o ajuste por instrução, num pedido cada.

    Args:
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.
    """
    figure, axis = _canvas(8, 3.5)
    rows = (
        (
            1.95,
            "Classificação",
            "You won a prize!\nCall now",
            "modelo +\ncabeça de 2 classes",
            "spam",
            "um rótulo da lista fixa",
        ),
        (
            0.2,
            "Instrução",
            "Este texto é spam?\nYou won a prize!…",
            "modelo + cabeça\nde 50.257 tokens",
            "Sim: promete um\nprêmio e pede ligação.",
            "texto livre, token a token",
        ),
    )
    for y, title, asked, model, answer, caption in rows:
        axis.text(0.1, y + 1.32, title, ha="left", va="center", fontsize=11, weight="bold")
        _box(axis, 0.1, y + 0.25, 2.1, 0.85, asked, face=WHITE)
        _arrow(axis, (2.2, y + 0.67), (2.9, y + 0.67))
        _box(axis, 2.9, y + 0.25, 1.95, 0.85, model, face=YELLOW)
        _arrow(axis, (4.85, y + 0.67), (5.55, y + 0.67))
        _box(axis, 5.55, y + 0.25, 2.3, 0.85, answer, face=GREEN)
        axis.text(6.7, y + 0.08, caption, ha="center", va="center", fontsize=9.5, style="italic")
    _show_or_save(
        figure,
        save_path,
        "Duas linhas. Classificação: a mensagem «You won a prize! Call now» entra sozinha no modelo com cabeça de 2 "
        "classes, e sai um rótulo da lista fixa, spam. Instrução: entra um pedido, «Este texto é spam?», com a "
        "mensagem; o modelo com cabeça de 50.257 tokens responde em texto livre, token a token: «Sim: promete um "
        "prêmio e pede ligação.»",
    )


def draw_pipeline(save_path=None):
    """Desenha os sete estágios de um ajuste fino, dos dados à manutenção, e a volta ao começo.

    Args:
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.
    """
    figure, axis = _canvas(8, 3.4)
    stages = (
        "1 · Preparar\nos dados",
        "2 · Inicializar\no modelo",
        "3 · Configurar\no ambiente",
        "4 · Ajustar:\nem parte ou todo",
        "5 · Avaliar\ne validar",
        "6 · Implantar",
        "7 · Monitorar\ne manter",
    )
    places = [(0.05 + 2.03 * i, 2.2) for i in range(4)] + [(6.14 - 2.03 * i, 0.75) for i in range(3)]
    for (x, y), text in zip(places, stages, strict=True):
        _box(axis, x, y, 1.7, 0.9, text, face=GREEN if y > 1 else YELLOW)
    for i in range(3):
        _arrow(axis, (1.75 + 2.03 * i, 2.65), (2.08 + 2.03 * i, 2.65))
    _arrow(axis, (6.99, 2.2), (6.99, 1.65))
    for i in range(2):
        _arrow(axis, (6.14 - 2.03 * i, 1.2), (5.81 - 2.03 * i, 1.2))
    _arrow(axis, (2.08, 1.2), (0.9, 2.2), curve=-0.35)
    axis.text(0.1, 1.25, "o mundo muda:\ndados novos", ha="left", va="center", fontsize=9.5, style="italic")
    _arrow(axis, (6.3, 1.65), (4.95, 2.2), style="--")
    axis.text(
        5.05,
        0.35,
        "se não foi bem, volte e mude um hiperparâmetro (tracejado)",
        ha="center",
        fontsize=9.5,
        style="italic",
    )
    _show_or_save(
        figure,
        save_path,
        "Sete caixas ligadas por setas. Em cima: 1, preparar os dados; 2, inicializar o modelo; 3, configurar o "
        "ambiente; 4, ajustar, em parte ou todo. Embaixo, de volta: 5, avaliar e validar; 6, implantar; 7, monitorar "
        "e manter. Do 7 uma seta volta ao 1, porque o mundo muda e traz dados novos; uma tracejada volta do 5 ao 3: "
        "se não foi bem, muda-se um hiperparâmetro.",
    )


def draw_video_still(title, save_path=None):
    """Desenha um quadro no lugar de um vídeo que não pode ser mostrado.

    Args:
        title: o título do vídeo.
        save_path: arquivo onde gravar a figura em vez de mostrá-la; um que já exista não é apagado.
    """
    figure, axis = _canvas(6, 3.4)
    _box(axis, 0.05, 0.05, 5.9, 3.3, "", face="#222222")
    axis.add_patch(Polygon([(2.65, 1.35), (2.65, 2.25), (3.45, 1.8)], color="white"))
    axis.text(3, 2.85, title, ha="center", va="center", fontsize=12, color="white", weight="bold", wrap=True)
    axis.text(3, 0.6, "vídeo em inglês: para assistir, abra o endereço abaixo", ha="center", color="white", fontsize=10)
    _show_or_save(figure, save_path, f"Quadro de um vídeo, com o título «{title}» e o sinal de reproduzir.")


def _canvas(width, height):
    figure, axis = plt.subplots(figsize=(width, height))
    figure.subplots_adjust(0, 0, 1, 1)
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    return figure, axis


def _box(axis, x, y, width, height, text, face, frozen=False, style="-"):
    """Uma caixa com texto no meio; com hachura, o texto ganha um fundo branco."""
    shape = "round,pad=0,rounding_size=0.08"
    options = {"facecolor": face, "edgecolor": "black", "linewidth": 1, "linestyle": style}
    axis.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, hatch=FROZEN if frozen else None, **options))
    background = {"facecolor": "white", "edgecolor": "none", "pad": 2} if frozen else None
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=10, bbox=background)


def _arrow(axis, start, end, curve=0.0, style="-"):
    axis.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=13,
            connectionstyle=f"arc3,rad={curve}",
            color="black",
            linestyle=style,
            shrinkA=1,
            shrinkB=1,
        )
    )

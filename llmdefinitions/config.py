"""As configurações dos modelos GPT-2 que o curso usa.

Os quatro primeiros tamanhos são os da aula, publicados pela OpenAI com o artigo de Radford et al. (2019),
*Language Models are Unsupervised Multitask Learners*. O quinto, ``"gpt2-mini (12M)"``, tem a mesma
arquitetura em miniatura e é o padrão do curso: cabe em qualquer computador e dispensa a internet.
"""

import os

BASE_CONFIG = {
    "vocab_size": 50257,  # tamanho do vocabulário do GPT-2
    "context_length": 1024,  # quantos tokens o modelo enxerga de uma vez
    "drop_rate": 0.0,  # sem dropout, como na aula
    "qkv_bias": True,  # o GPT-2 publicado tem viés em consulta, chave e valor
}

# O tamanho se lê entre parênteses, como na aula: nome.split(" ")[-1].lstrip("(").rstrip(")").
MODEL_CONFIGS = {
    "gpt2-small (124M)": {"emb_dim": 768, "n_layers": 12, "n_heads": 12},
    "gpt2-medium (355M)": {"emb_dim": 1024, "n_layers": 24, "n_heads": 16},
    "gpt2-large (774M)": {"emb_dim": 1280, "n_layers": 36, "n_heads": 20},
    "gpt2-xl (1558M)": {"emb_dim": 1600, "n_layers": 48, "n_heads": 25},
    "gpt2-mini (12M)": {"emb_dim": 192, "n_layers": 6, "n_heads": 6, "context_length": 256},
}

DEFAULT_MODEL = "gpt2-mini (12M)"
"""O modelo que roda em qualquer lugar."""

LECTURE_LEARNING_RATE = 5e-5
"""Taxa de aprendizado do ajuste fino da aula, para os tamanhos publicados do GPT-2."""

MINI_LEARNING_RATES = {"pretrained": 3e-4, "random": 1e-4}
"""Taxas do ajuste fino do gpt2-mini com pesos pré-treinados e com pesos sorteados, escolhidas na validação.

Para os pré-treinados vale a das mensagens embutidas; na coleção inteira, 1e-3 é um pouco melhor (veja o cartão).
"""

END_OF_TEXT = 50256
"""Id do token ``<|endoftext|>``, que o curso também usa para preencher mensagens curtas (*padding*)."""


def model_config(choose_model=DEFAULT_MODEL):
    """Devolve a configuração completa de um modelo: a base da aula mais o tamanho escolhido.

    Args:
        choose_model: uma das chaves de ``MODEL_CONFIGS``, por exemplo ``"gpt2-small (124M)"``.

    Returns:
        Um dicionário novo com ``vocab_size``, ``context_length``, ``drop_rate``, ``qkv_bias``,
        ``emb_dim``, ``n_layers`` e ``n_heads``.

    Raises:
        ValueError: se o modelo não existe.
    """
    if not isinstance(choose_model, str) or choose_model not in MODEL_CONFIGS:
        known = ", ".join(f'"{name}"' for name in MODEL_CONFIGS)
        raise ValueError(f"choose_model: não conheço {choose_model!r}. Escolha um destes: {known}.")
    return BASE_CONFIG | MODEL_CONFIGS[choose_model]


def chosen_model():
    """Devolve o nome do modelo em uso: o de ``LLMDEFINITIONS_MODELO`` ou, sem ela, ``DEFAULT_MODEL``.

    É assim que um caderno passa para o GPT-2 da aula sem que nenhuma célula mude.

    Raises:
        ValueError: se a variável traz um modelo que não existe.
    """
    name = os.environ.get("LLMDEFINITIONS_MODELO") or DEFAULT_MODEL
    if name not in MODEL_CONFIGS:
        raise ValueError(f"LLMDEFINITIONS_MODELO: não conheço {name!r}. Escolha um destes: {', '.join(MODEL_CONFIGS)}.")
    return name


def uses_pretrained_weights():
    """Diz se os modelos partem de pesos pré-treinados: sim, a menos que ``LLMDEFINITIONS_PESOS`` seja ``sorteados``.

    Raises:
        ValueError: se a variável traz outra coisa.
    """
    weights = os.environ.get("LLMDEFINITIONS_PESOS") or "pretreinados"
    if weights not in ("pretreinados", "sorteados"):
        raise ValueError(f"LLMDEFINITIONS_PESOS: esperava pretreinados ou sorteados; recebi {weights!r}.")
    return weights == "pretreinados"


def batches_limit():
    """Devolve quantos lotes de cada parte usar, o de ``LLMDEFINITIONS_LOTES``; ``None``, o normal, são todos.

    Serve para ver um caderno inteiro rodar com um modelo grande, sem esperar por todas as mensagens.

    Raises:
        ValueError: se a variável não traz um inteiro positivo.
    """
    limit = os.environ.get("LLMDEFINITIONS_LOTES")
    if limit and not (limit.isdecimal() and int(limit) > 0):
        raise ValueError(f"LLMDEFINITIONS_LOTES: esperava um inteiro positivo; recebi {limit!r}.")
    return int(limit) if limit else None

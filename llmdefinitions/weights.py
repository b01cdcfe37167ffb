"""Os pesos do GPT-2: dos arquivos publicados ao formato aninhado da OpenAI, que é o da aula, e dele ao ``GPTModel``.

``settings`` são os números do modelo (``n_vocab``, ``n_ctx``, ``n_embd``, ``n_head``, ``n_layer``); ``params`` é
um dicionário de matrizes do NumPy::

    wte (V, C)   wpe (T, C)   g (C,)   b (C,)
    blocks[i]: attn: c_attn: w (C, 3C), b (3C,)    c_proj: w (C, C), b (C,)
               mlp:  c_fc:   w (C, 4C), b (4C,)    c_proj: w (4C, C), b (C,)
               ln_1, ln_2:   g (C,), b (C,)

Os arquivos são os do Hugging Face (``config.json`` e ``model.safetensors``), no lugar dos do TensorFlow que a aula
baixa: os números são os mesmos, e a leitura não executa código nem ocupa memória antes de cada peso ser usado.
"""

import json
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from .checks import check_path, check_seed, check_text
from .config import MODEL_CONFIGS, chosen_model, model_config, uses_pretrained_weights
from .gpt import GPTModel, WithoutDrawing
from .sources import GPT2_REPOSITORIES, SourceError, cache_folder, fetch_hub_files

GPT2_FILES = ("config.json", "model.safetensors")
MINI_SIZE = "12M"
MINI_FOLDER = Path(__file__).parent / "assets" / "gpt2-mini"

LARGEST_CONFIG = 100_000
"""Tamanho em bytes além do qual um ``config.json`` é recusado (os publicados têm menos de mil)."""

LARGEST_HEADER = 1_000_000
"""Tamanho em bytes além do qual o cabeçalho de um safetensors é recusado (o do maior GPT-2 tem 60 mil)."""

# A máscara causal, que os arquivos publicados trazem em cada bloco, não é um peso.
CAUSAL_MASK = re.compile(r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)")


def download_and_load_gpt2(model_size, models_dir):
    """Obtém os pesos de um GPT-2, como a função da aula, e os devolve no formato da OpenAI.

    Os arquivos que já estão em ``models_dir/<model_size>`` (ou no próprio ``models_dir``) são usados; os que faltam
    vêm da pasta local ou do Hugging Face Hub. O tamanho ``"12M"`` vem com o curso e não usa ``models_dir``.

    Os pesos em float32 ficam no disco e são lidos conforme o uso; alterá-los não altera o arquivo.

    Args:
        model_size: ``"124M"``, ``"355M"``, ``"774M"``, ``"1558M"`` ou ``"12M"``.
        models_dir: a pasta dos modelos, por exemplo ``"gpt2"``.

    Returns:
        ``(settings, params)``: os dicionários descritos no alto deste módulo, com pesos em float32.

    Raises:
        ValueError: se o tamanho não existe ou se um arquivo não é o de um GPT-2 desse tamanho.
        SourceError: se um arquivo não pôde ser obtido.
    """
    sizes = {size_of(name): name for name in MODEL_CONFIGS}
    if check_text("model_size", model_size) not in sizes:
        raise ValueError(f"model_size: não conheço {model_size!r}. Escolha um destes: {', '.join(sizes)}.")
    return read_gpt2(_find_files(model_size, models_dir), model_config(sizes[model_size]))


def load_weights_into_gpt(gpt, params):
    """Copia pesos no formato da OpenAI para um modelo.

    As camadas da OpenAI multiplicam à direita (``x W``) e as do PyTorch à esquerda (``x Wᵀ``): por isso as
    transposições. A cabeça de saída passa a ser o próprio embedding dos tokens, como no GPT-2 publicado. Tudo é
    conferido antes de o primeiro peso mudar. Um modelo criado no dispositivo ``meta`` vai para a CPU.

    Args:
        gpt: o ``GPTModel``, alterado no lugar.
        params: o dicionário aninhado descrito no alto deste módulo.

    Raises:
        TypeError, ValueError: se ``gpt`` não é um ``GPTModel``, se falta um peso ou se uma forma não combina.
    """
    if not isinstance(gpt, GPTModel):
        raise TypeError(f"gpt: esperava um GPTModel; recebi {type(gpt).__name__}.")
    if gpt.out_head.out_features != gpt.tok_emb.num_embeddings:
        raise ValueError("gpt: a cabeça já foi trocada; carregue os pesos antes de prepare_for_classification.")
    _check_block_count(gpt, params)
    pairs = [
        (module, name, _fit(module, name, value, keys)) for module, name, value, keys in _pair_weights(gpt, params)
    ]
    for module, name, value in pairs:
        _copy(module, name, value)
    gpt.out_head.weight = gpt.tok_emb.weight


def build_model(choose_model=None, seed=123, pretrained=None, models_dir=None):
    """Monta o modelo escolhido, pronto para receber a cabeça de classificação.

    Args:
        choose_model: uma das chaves de ``MODEL_CONFIGS``; sem ela, a de ``chosen_model()``.
        seed: semente do sorteio dos pesos, quando não são os pré-treinados.
        pretrained: se ``False``, os pesos são sorteados; sem ele, decide ``uses_pretrained_weights()``.
        models_dir: a pasta dos modelos publicados; sem ela, uma no cache do curso.

    Returns:
        ``(model, origin)``: o ``GPTModel`` em modo de avaliação e uma frase que diz de onde vêm os pesos.

    Raises:
        ValueError: se o modelo não existe ou se um arquivo de pesos não serve.
        SourceError: se um arquivo de pesos não pôde ser obtido.
    """
    choose_model = chosen_model() if choose_model is None else choose_model
    cfg = model_config(choose_model)
    check_seed("seed", seed)
    if not (uses_pretrained_weights() if pretrained is None else pretrained):
        torch.manual_seed(seed)
        return GPTModel(cfg).eval(), f"pesos sorteados (semente {seed}), sem pré-treinamento"

    model_size = size_of(choose_model)
    folder = _find_files(model_size, cache_folder() / "gpt2" if models_dir is None else models_dir)
    with torch.device("meta"), WithoutDrawing():  # só as formas; os pesos do arquivo entram no lugar
        model = GPTModel(cfg)
    load_weights_into_gpt(model, read_gpt2(folder, cfg)[1])
    if model_size == MINI_SIZE:
        return model.eval(), "pesos pré-treinados por este curso (embutidos)"
    return model.eval(), f"pesos pré-treinados pela OpenAI (de {folder})"


def size_of(choose_model):
    """Lê o tamanho do nome de um modelo, como a aula: ``"gpt2-small (124M)"`` dá ``"124M"``."""
    return choose_model.split(" ")[-1].lstrip("(").rstrip(")")


def read_gpt2(folder, cfg):
    """Lê um GPT-2 de uma pasta com ``config.json`` e ``model.safetensors``.

    Valem os dois modos de escrever os nomes: o dos arquivos publicados (``h.0.attn.c_attn.weight``, com as máscaras
    causais no meio) e o de ``save_pretrained`` (``transformer.h.0.attn.c_attn.weight``).

    Args:
        folder: a pasta.
        cfg: a configuração que o modelo deve ter (veja ``model_config``).

    Returns:
        ``(settings, params)``, como ``download_and_load_gpt2``.

    Raises:
        ValueError: se um dos arquivos está corrompido ou é de outro modelo; a mensagem diz qual e por quê.
    """
    settings = read_settings(Path(folder) / "config.json", cfg)
    tensors = _read_tensors(Path(folder) / "model.safetensors", tensor_shapes(cfg))

    def layer(name, weight="w"):
        return {weight: tensors[f"{name}.weight"], "b": tensors[f"{name}.bias"]}

    blocks = [
        {
            "attn": {"c_attn": layer(f"h.{i}.attn.c_attn"), "c_proj": layer(f"h.{i}.attn.c_proj")},
            "mlp": {"c_fc": layer(f"h.{i}.mlp.c_fc"), "c_proj": layer(f"h.{i}.mlp.c_proj")},
            "ln_1": layer(f"h.{i}.ln_1", "g"),
            "ln_2": layer(f"h.{i}.ln_2", "g"),
        }
        for i in range(cfg["n_layers"])
    ]
    return settings, {"wte": tensors["wte.weight"], "wpe": tensors["wpe.weight"], "blocks": blocks} | layer("ln_f", "g")


def _find_files(model_size, models_dir):
    if model_size == MINI_SIZE:
        if not _holds_files(MINI_FOLDER):
            raise SourceError("Faltam os pesos do gpt2-mini, que vêm com o curso. Instale o curso outra vez.")
        return MINI_FOLDER
    models_dir = check_path("models_dir", models_dir)
    folder = models_dir / model_size
    if not _holds_files(folder) and _holds_files(models_dir) and _is_of_size(models_dir, model_size):
        return models_dir
    return fetch_hub_files(GPT2_REPOSITORIES[model_size], GPT2_FILES, folder)


def _is_of_size(folder, model_size):
    name = next(name for name in MODEL_CONFIGS if size_of(name) == model_size)
    try:
        read_settings(folder / "config.json", model_config(name))
    except ValueError:
        return False
    return True


def _holds_files(folder):
    return all((folder / name).is_file() for name in GPT2_FILES)


def read_settings(path, cfg):
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"passa de {LARGEST_CONFIG} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: não é o config.json de um modelo ({error}).") from error
    settings = {
        "n_vocab": cfg["vocab_size"],
        "n_ctx": cfg["context_length"],
        "n_embd": cfg["emb_dim"],
        "n_head": cfg["n_heads"],
        "n_layer": cfg["n_layers"],
    }
    names = {"n_vocab": "vocab_size", "n_ctx": "n_positions"}
    for key, value in settings.items():
        name = names.get(key, key)
        received = found.get(name) if isinstance(found, dict) else None
        if received != value:
            raise ValueError(f"{path}: esperava {name} = {value}; recebi {received!r:.40}. É de outro modelo?")
    return settings


def tensor_shapes(cfg):
    C = cfg["emb_dim"]
    shapes = {"wte.weight": (cfg["vocab_size"], C), "wpe.weight": (cfg["context_length"], C)}
    for i in range(cfg["n_layers"]):
        for name, n_in, n_out in (
            ("attn.c_attn", C, 3 * C),
            ("attn.c_proj", C, C),
            ("mlp.c_fc", C, 4 * C),
            ("mlp.c_proj", 4 * C, C),
        ):
            shapes |= {f"h.{i}.{name}.weight": (n_in, n_out), f"h.{i}.{name}.bias": (n_out,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{name}.weight": (C,), f"h.{i}.{name}.bias": (C,)}
    return shapes | {"ln_f.weight": (C,), "ln_f.bias": (C,)}


def _read_tensors(path, shapes):
    try:
        _check_header_size(path)
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if not CAUSAL_MASK.fullmatch(name)]  # noqa: SIM118 — não é um dict
            stored = {name.removeprefix("transformer."): name for name in names}
            slices = {short: file.get_slice(name) for short, name in stored.items()}
            _check_slices(slices, len(names), shapes)
            # No Linux, no macOS e no Windows estes tensores são páginas do arquivo, privadas deste processo.
            tensors = {short: file.get_tensor(stored[short]) for short in slices}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: não são os pesos de um GPT-2 deste tamanho, inteiros: {error}") from error
    head = tensors.pop("lm_head.weight", None)
    if head is not None and not torch.equal(head, tensors["wte.weight"]):
        raise ValueError(f"{path}: lm_head.weight não é o embedding dos tokens, como no GPT-2 publicado.")
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}


def _check_header_size(path):
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > LARGEST_HEADER:
        raise ValueError(f"o cabeçalho diz ter {size} bytes.")


def _check_slices(slices, n_names, shapes):
    if len(slices) != n_names:
        raise ValueError("há tensores repetidos, com e sem o prefixo transformer.")
    shapes = shapes | ({"lm_head.weight": shapes["wte.weight"]} if "lm_head.weight" in slices else {})
    if different := shapes.keys() ^ slices.keys():
        name = min(different)
        raise ValueError(f"{'falta' if name in shapes else 'sobra'} o tensor {name:.80}.")
    for name, stored in slices.items():
        if tuple(stored.get_shape()) != shapes[name]:
            raise ValueError(f"{name} tem a forma {tuple(stored.get_shape())}, não {shapes[name]}.")
        if stored.get_dtype() not in ("F32", "F16", "BF16"):
            raise ValueError(f"{name} tem o tipo {stored.get_dtype()}, que não é de ponto flutuante de 16 ou 32 bits.")


def _check_block_count(gpt, params):
    if not isinstance(params, dict) or "blocks" not in params:
        raise TypeError("params: esperava o dicionário que download_and_load_gpt2 devolve, com a chave 'blocks'.")
    if len(params["blocks"]) != len(gpt.trf_blocks):
        raise ValueError(
            f"params: os pesos têm {len(params['blocks'])} blocos; o modelo tem {len(gpt.trf_blocks)}. "
            "A configuração é a do mesmo tamanho que os pesos?"
        )


def _pair_weights(gpt, params):
    """Percorre ``(camada, nome do parâmetro, valor, chaves do valor em params)`` para todos os pesos do modelo."""

    def pair(module, name, *keys):
        return module, name, _find(params, *keys), keys

    yield pair(gpt.tok_emb, "weight", "wte")
    yield pair(gpt.pos_emb, "weight", "wpe")
    for i, block in enumerate(gpt.trf_blocks):
        at = ("blocks", i)
        queries_keys_values = (block.att.W_query, block.att.W_key, block.att.W_value)
        for part, name in (("w", "weight"), ("b", "bias")):
            keys = (*at, "attn", "c_attn", part)
            pieces = _find(params, *keys).tensor_split(3, dim=-1)
            for module, piece in zip(queries_keys_values, pieces, strict=True):
                yield module, name, piece, keys
        for module, names in (
            (block.att.out_proj, ("attn", "c_proj")),
            (block.ff.layers[0], ("mlp", "c_fc")),
            (block.ff.layers[2], ("mlp", "c_proj")),
        ):
            yield pair(module, "weight", *at, *names, "w")
            yield pair(module, "bias", *at, *names, "b")
        for module, name in ((block.norm1, "ln_1"), (block.norm2, "ln_2")):
            yield pair(module, "scale", *at, name, "g")
            yield pair(module, "shift", *at, name, "b")
    yield pair(gpt.final_norm, "scale", "g")
    yield pair(gpt.final_norm, "shift", "b")


def _find(params, *keys):
    try:
        for key in keys:
            params = params[key]
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"params: falta o peso {_spell(keys)}.") from None
    with warnings.catch_warnings():
        # O PyTorch avisa que a matriz é só de leitura; aqui ela só é lida.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        try:
            return torch.as_tensor(params)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"params: {_spell(keys)} não é uma matriz de números.") from None


def _fit(module, name, value, keys):
    if isinstance(module, nn.Linear) and value.dim() == 2:
        value = value.T
    parameter = getattr(module, name)
    if parameter is None:
        raise ValueError(f"params: {_spell(keys)} tem viés, e o modelo não. Use qkv_bias=True na configuração.")
    if parameter.shape != value.shape:
        raise ValueError(
            f"params: {_spell(keys)} dá a forma {tuple(value.shape)}; o modelo espera {tuple(parameter.shape)}."
        )
    return value


@torch.no_grad()
def _copy(module, name, value):
    parameter = getattr(module, name)
    if parameter.is_meta:
        # Não empty_like: a partir de um tensor meta, ele faria o PyTorch importar 500 módulos.
        empty = torch.empty(parameter.shape, dtype=parameter.dtype)
        parameter = nn.Parameter(empty, requires_grad=parameter.requires_grad)
        setattr(module, name, parameter)
    parameter.copy_(value)


def _spell(keys):
    return keys[0] + "".join(f"[{key!r}]" for key in keys[1:])

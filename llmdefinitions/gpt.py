"""O GPT-2 escrito do zero, de cima a baixo num só arquivo.

Os nomes são os do livro (Raschka, *Build a Large Language Model (From Scratch)*, capítulos 3 e 4), de modo que
pesos publicados para aquela implementação entram nesta. As contas são as do artigo de Radford et al. (2019) e de
Vaswani et al. (2017), *Attention Is All You Need*; onde o PyTorch tem a operação pronta, usamos a dele.

Nos comentários, as dimensões: ``B`` mensagens por lote, ``T`` tokens por mensagem, ``C`` = ``emb_dim``,
``H`` = ``n_heads``, ``D`` = ``C / H`` e ``V`` = ``vocab_size``.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .checks import check_integer, check_model, check_number

CONFIG_SIZES = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers")


def check_config(cfg):
    """Confere a configuração de um modelo e devolve uma cópia que só tem o que o modelo usa.

    Args:
        cfg: dicionário com ``vocab_size``, ``context_length``, ``emb_dim``, ``n_heads``, ``n_layers``
            (inteiros positivos), ``drop_rate`` (entre 0 e 1) e ``qkv_bias`` (bool).

    Raises:
        TypeError, ValueError: se falta uma chave, se um valor não serve ou se ``emb_dim`` não é múltiplo
            de ``n_heads``.
    """
    if not isinstance(cfg, dict):
        raise TypeError(f"cfg: esperava um dicionário como BASE_CONFIG; recebi {type(cfg).__name__}.")
    missing = [key for key in (*CONFIG_SIZES, "drop_rate", "qkv_bias") if key not in cfg]
    if missing:
        raise ValueError(f"cfg: falta {', '.join(missing)}. Comece por model_config(nome_do_modelo).")
    checked = {key: check_integer(f"cfg[{key!r}]", cfg[key], minimum=1) for key in CONFIG_SIZES}
    checked["drop_rate"] = check_number("cfg['drop_rate']", cfg["drop_rate"], minimum=0, maximum=1)
    if type(cfg["qkv_bias"]).__name__ not in ("bool", "bool_"):  # o do Python ou o do NumPy
        raise TypeError(f"cfg['qkv_bias']: esperava True ou False; recebi {cfg['qkv_bias']!r}.")
    checked["qkv_bias"] = bool(cfg["qkv_bias"])
    _check_heads("cfg['emb_dim']", checked["emb_dim"], checked["n_heads"])
    return checked


class LayerNorm(nn.Module):
    """Normaliza cada vetor para média 0 e variância 1; depois aplica escala e deslocamento aprendidos.

    ``y = scale · (x − média) / √(variância + eps) + shift`` (Ba et al., 2016, *Layer Normalization*).

    Args:
        emb_dim: tamanho ``C`` do vetor normalizado, a última dimensão da entrada.

    Raises:
        TypeError, ValueError: se ``emb_dim`` não é um inteiro positivo.
    """

    def __init__(self, emb_dim):
        super().__init__()
        check_integer("emb_dim", emb_dim, minimum=1)
        self.eps = 1e-5
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x):
        """Recebe e devolve um tensor ``(..., C)``."""
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)


class GELU(nn.Module):
    """Ativação GELU pela aproximação com tangente hiperbólica, a que o GPT-2 usa.

    ``0,5 · x · (1 + tanh(√(2/π) · (x + 0,044715 · x³)))`` (Hendrycks e Gimpel, 2016).
    """

    def forward(self, x):
        """Recebe e devolve um tensor de qualquer forma."""
        return F.gelu(x, approximate="tanh")


class FeedForward(nn.Module):
    """A rede de cada posição: expande de ``C`` para ``4C``, ativa e volta a ``C``.

    Args:
        cfg: configuração do modelo; usa ``emb_dim``.

    Raises:
        TypeError, ValueError: se a configuração não serve (veja ``check_config``).
    """

    def __init__(self, cfg):
        super().__init__()
        cfg = check_config(cfg)
        self.layers = nn.Sequential(
            nn.Linear(cfg["emb_dim"], 4 * cfg["emb_dim"]),
            GELU(),
            nn.Linear(4 * cfg["emb_dim"], cfg["emb_dim"]),
        )

    def forward(self, x):
        """Recebe e devolve um tensor ``(B, T, C)``."""
        return self.layers(x)


class MultiHeadAttention(nn.Module):
    """Atenção causal com várias cabeças: cada token consulta a si mesmo e os anteriores, nunca os seguintes.

    Em cada cabeça, ``softmax(Q Kᵀ / √D + máscara) V`` (Vaswani et al., 2017, equação 1), calculada por
    ``scaled_dot_product_attention``, que não guarda a matriz ``T × T`` quando pode evitar.

    Args:
        d_in: tamanho do vetor de entrada.
        d_out: tamanho do vetor de saída, dividido igualmente entre as cabeças.
        context_length: quantos tokens, no máximo, uma entrada pode ter.
        dropout: probabilidade de desligar um peso de atenção durante o treinamento.
        num_heads: número ``H`` de cabeças.
        qkv_bias: se consulta, chave e valor têm viés.

    Attributes:
        is_causal: se a máscara causal vale. É ``True``; com ``False``, cada token consulta também os seguintes, o que
            só serve a experiências: um GPT-2 nunca foi treinado assim.

    Raises:
        TypeError, ValueError: se um número não serve ou se ``d_out`` não é múltiplo de ``num_heads``.
    """

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        for name, size in (("d_in", d_in), ("d_out", d_out), ("num_heads", num_heads)):
            check_integer(name, size, minimum=1)
        check_integer("context_length", context_length, minimum=1)
        check_number("dropout", dropout, minimum=0, maximum=1)
        _check_heads("d_out", d_out, num_heads)
        self.context_length = context_length
        self.num_heads = num_heads
        self.head_dim = d_out // num_heads
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.out_proj = nn.Linear(d_out, d_out)
        self.dropout = nn.Dropout(dropout)
        self.is_causal = True
        self.register_load_state_dict_pre_hook(_drop_causal_mask)

    def forward(self, x):
        """Recebe ``(B, T, d_in)`` e devolve ``(B, T, d_out)``."""
        queries, keys, values = (self._by_head(project, x) for project in (self.W_query, self.W_key, self.W_value))
        context = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            dropout_p=self.dropout.p if self.training else 0.0,
            is_causal=self.is_causal,
        )  # (B, H, T, D)
        return self.out_proj(context.transpose(1, 2).flatten(start_dim=2))  # (B, T, d_out)

    def attention_weights(self, x):
        """Calcula os pesos ``softmax(Q Kᵀ / √D + máscara)`` de cada cabeça, que ``forward`` usa sem os guardar.

        Args:
            x: a entrada da atenção, ``(B, T, d_in)``: num bloco do GPT-2, a saída de ``norm1``.

        Returns:
            ``(B, H, T, T)``: na linha ``i`` de cada matriz, quanto a posição ``i`` dá a cada posição; a linha soma 1.

        Raises:
            ValueError: se a forma de ``x`` não serve.
        """
        queries, keys = (self._by_head(project, x) for project in (self.W_query, self.W_key))  # (B, H, T, D)
        scores = queries @ keys.transpose(-2, -1) / self.head_dim**0.5  # (B, H, T, T)
        if self.is_causal:
            future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(diagonal=1)  # (T, T)
            scores = scores.masked_fill(future, float("-inf"))
        return scores.softmax(dim=-1)

    def _by_head(self, project, x):
        """Projeta ``(B, T, d_in)`` e reparte entre as cabeças: ``(B, H, T, D)``."""
        if x.dim() != 3:
            raise ValueError(f"x: esperava a forma (mensagens, tokens, d_in); recebi {tuple(x.shape)}.")
        if x.shape[1] > self.context_length:
            raise ValueError(f"x: esperava no máximo {self.context_length} tokens; recebi {x.shape[1]}.")
        return project(x).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Um bloco do GPT-2: atenção e rede por posição, cada uma normalizada antes e somada à sua entrada.

    Args:
        cfg: configuração do modelo.

    Raises:
        TypeError, ValueError: se a configuração não serve (veja ``check_config``).
    """

    def __init__(self, cfg):
        super().__init__()
        cfg = check_config(cfg)
        self.att = MultiHeadAttention(
            d_in=cfg["emb_dim"],
            d_out=cfg["emb_dim"],
            context_length=cfg["context_length"],
            dropout=cfg["drop_rate"],
            num_heads=cfg["n_heads"],
            qkv_bias=cfg["qkv_bias"],
        )
        self.ff = FeedForward(cfg)
        self.norm1 = LayerNorm(cfg["emb_dim"])
        self.norm2 = LayerNorm(cfg["emb_dim"])
        self.drop_shortcut = nn.Dropout(cfg["drop_rate"])

    def forward(self, x):
        """Recebe e devolve um tensor ``(B, T, C)``."""
        x = x + self.drop_shortcut(self.att(self.norm1(x)))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))


class GPTModel(nn.Module):
    """O GPT-2 completo: embeddings, blocos, norma final e cabeça de saída.

    Args:
        cfg: configuração do modelo, como devolve ``model_config``. Fica guardada em ``model.cfg``.

    Raises:
        TypeError, ValueError: se a configuração não serve (veja ``check_config``).
    """

    def __init__(self, cfg):
        super().__init__()
        cfg = check_config(cfg)
        self.cfg = cfg
        self.tok_emb = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        self.pos_emb = nn.Embedding(cfg["context_length"], cfg["emb_dim"])
        self.drop_emb = nn.Dropout(cfg["drop_rate"])
        self.trf_blocks = nn.Sequential(*(TransformerBlock(cfg) for _ in range(cfg["n_layers"])))
        self.final_norm = LayerNorm(cfg["emb_dim"])
        self.out_head = nn.Linear(cfg["emb_dim"], cfg["vocab_size"], bias=False)

    def forward(self, in_idx):
        """Calcula os logits de cada posição.

        Args:
            in_idx: ids de tokens, inteiros, ``(B, T)`` com ``1 ≤ T ≤ context_length``.

        Returns:
            Logits ``(B, T, V)``, ou ``(B, T, num_classes)`` depois que a cabeça é trocada.

        Raises:
            TypeError, ValueError: se a entrada não é um tensor inteiro ``(B, T)`` que caiba no contexto.
        """
        num_tokens = self._check_input(in_idx)
        positions = torch.arange(num_tokens, device=in_idx.device)
        x = self.drop_emb(self.tok_emb(in_idx) + self.pos_emb(positions))  # (B, T, C)
        x = self.trf_blocks(x)  # (B, T, C)
        return self.out_head(self.final_norm(x))  # (B, T, V)

    def _check_input(self, in_idx):
        if not torch.is_tensor(in_idx) or in_idx.dtype not in (torch.int64, torch.int32):
            received = in_idx.dtype if torch.is_tensor(in_idx) else type(in_idx).__name__
            raise TypeError(f"in_idx: esperava um tensor de inteiros (ids de tokens); recebi {received}.")
        if in_idx.dim() != 2:
            raise ValueError(
                f"in_idx: esperava a forma (mensagens, tokens); recebi {tuple(in_idx.shape)}. "
                "Para um texto só, acrescente a dimensão do lote com .unsqueeze(0)."
            )
        num_tokens, context_length = in_idx.shape[1], self.pos_emb.num_embeddings
        if not 1 <= num_tokens <= context_length:
            raise ValueError(f"in_idx: esperava de 1 a {context_length} tokens; recebi {num_tokens}.")
        vocab_size = self.tok_emb.num_embeddings
        # Só na CPU: numa GPU, olhar os valores obrigaria a esperar por eles.
        if in_idx.is_cpu and in_idx.numel() and not 0 <= in_idx.min() <= in_idx.max() < vocab_size:
            raise ValueError(f"in_idx: esperava ids de 0 a {vocab_size - 1}; há um fora disso.")
        return num_tokens


class WithoutDrawing(TorchFunctionMode):
    """Cria camadas sem sortear seus pesos, que outros vão substituir: ``with torch.device("meta"), WithoutDrawing()``.

    No dispositivo ``meta`` o sorteio nada faz, e levaria o PyTorch a importar o SymPy (um segundo).
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return None
        return func(*args, **(kwargs or {}))


def count_parameters(model, only_trainable=False):
    """Conta os parâmetros de um modelo; um tensor usado em dois lugares conta uma vez.

    Args:
        model: um ``torch.nn.Module``.
        only_trainable: se ``True``, só os que têm ``requires_grad``.

    Returns:
        O número de parâmetros (``int``).

    Raises:
        TypeError: se não é um modelo do PyTorch.
    """
    check_model("model", model)
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not only_trainable)


def _check_heads(name, width, num_heads):
    if width % num_heads:
        raise ValueError(f"{name}: {width} não se divide em {num_heads} cabeças de mesmo tamanho.")


def _drop_causal_mask(module, state_dict, prefix, *_):
    # Pesos publicados para o livro trazem a máscara causal; a atenção fundida do PyTorch a dispensa.
    state_dict.pop(f"{prefix}mask", None)

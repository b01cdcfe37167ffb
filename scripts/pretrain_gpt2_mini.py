"""Pré-treina o gpt2-mini: do corpus aos pesos que o curso distribui, num só comando.

O modelo é o ``GPTModel`` do curso (6 blocos, 192 de largura, 6 cabeças, contexto de 256 tokens,
12 milhões de parâmetros), treinado para prever o próximo token em 7 milhões de tokens de inglês::

    python scripts/pretrain_gpt2_mini.py --corpus PASTA --minutos 65

O caminho rápido deste arquivo calcula o mesmo que ``GPTModel.forward``, com produtos de matrizes em
bfloat16 e laços fundidos por ``torch.compile``. Quatro decisões são próprias deste treinamento:

- **Embeddings.** Nenhum corpus deste tamanho ensina 50.257 tokens. O vetor de cada token é
  ``base @ mapa + ajuste``: ``base`` vem do codificador MiniLM (fixa), ``mapa`` é uma matriz treinada
  que todos os tokens compartilham e ``ajuste`` existe só para os tokens frequentes. Assim um token que
  o corpus nunca mostrou acompanha a transformação dos outros. No fim, tudo vira um só ``wte``.
- **Frequência.** A primeira coordenada de ``base`` é o logaritmo da frequência do token, e o
  deslocamento da norma final a lê: o modelo começa como um unigrama, sem viés extra na saída.
- **Softmax.** O denominador usa os tokens mais frequentes, todos os alvos do lote e uma amostra dos
  demais, corrigida pela probabilidade de sorteio (Bengio e Senécal, 2003): uma estimativa não
  enviesada da soma sobre o vocabulário inteiro.
- **Preenchimento.** Parte das linhas imita a aula: um texto curto seguido de uma fila de
  ``<|endoftext|>``. Da segunda posição da fila em diante o alvo é uma palavra sorteada do próprio
  texto, para que as posições de preenchimento guardem um resumo dele.
"""

import ctypes
import json
import math
import os
import sys
import time
from pathlib import Path

# Núcleos divididos com outros processos: esperar dormindo em vez de girando (antes de importar o PyTorch).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import click
import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus_gpt2_mini import END_OF_TEXT, CorpusError, tokenize_corpus

from llmdefinitions.config import model_config
from llmdefinitions.features import EMBEDDED_ENCODER, load_encoder
from llmdefinitions.gpt import GPTModel
from llmdefinitions.tokenizer import get_tokenizer

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_ASSETS = ROOT / "llmdefinitions" / "assets" / "gpt2-mini"
DEFAULT_WORK = ROOT / "build" / "gpt2-mini"

# Quantas vezes cada corpus passa por época: mais peso à linguagem do dia a dia, menos a discursos.
CORPUS_REPEATS = {
    "webtext": 2.0,
    "masc_tagged": 2.0,
    "switchboard": 2.0,
    "product_reviews_1": 2.0,
    "product_reviews_2": 2.0,
    "pros_cons": 1.5,
    "state_union": 0.6,
    "inaugural": 0.6,
    "genesis": 0.5,
}
# Sorteio do corpus de cada linha com preenchimento: textos curtos e informais em primeiro lugar.
PADDED_SHARES = {
    "masc_tagged": 0.30,
    "webtext": 0.25,
    "pros_cons": 0.10,
    "product_reviews_1": 0.05,
    "product_reviews_2": 0.05,
    "switchboard": 0.05,
    "sentence_polarity": 0.10,
    "abc": 0.10,
}

SHORT_ROWS, SHORT_CONTEXT = 32, 128
PADDED_ROWS = 12
LONG_ROWS, LONG_CONTEXT = 16, 256
LONG_EVERY = 8
SUMMARY_TARGETS = 26

FREQUENT_TOKENS = 10240
SAMPLED_TOKENS = 2048
MIN_COUNT_ADJUSTED = 5
LOSS_CHUNK = 1024

BASE_SCALE = 0.04
FREQUENCY_SHIFT = 20.0
WARMUP = 0.02


def keep_memory_between_steps():
    """Pede à glibc que não devolva ao sistema a memória liberada (dez vezes mais rápido aqui).

    Sem isso cada tensor grande é mapeado e zerado de novo a cada passo. Fora do Linux não faz nada.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


# ---------------------------------------------------------------- dados


def load_tokens(folder, work):
    """Tokens do corpus, por divisão e por corpus; guarda o resultado em ``work/tokens.pt``."""
    cache = Path(work) / "tokens.pt"
    if not cache.exists():
        click.echo("Lendo, limpando e tokenizando o corpus (cerca de um minuto)...")
        save_atomic(tokenize_corpus(folder, get_tokenizer()), cache)
    return torch.load(cache, weights_only=False)


def token_counts(corpora, vocab_size):
    """Frequência ``(V,)`` de cada token no treino, com os pesos de ``CORPUS_REPEATS``."""
    counts = np.zeros(vocab_size)
    for name, documents in corpora.items():
        occurrences = np.bincount(np.concatenate(documents), minlength=vocab_size)
        counts += CORPUS_REPEATS.get(name, 1.0) * occurrences
    return counts


class TokenStream:
    """Fluxo infinito de tokens: a cada época, documentos em nova ordem, um depois do outro.

    Args:
        corpora: dict de corpus para lista de vetores de tokens terminados em ``<|endoftext|>``.
        seed: semente; a época ``e`` depende só de ``(seed, e)``.
        epoch, offset: onde retomar.
    """

    def __init__(self, corpora, seed, epoch=0, offset=0):
        self.corpora, self.seed = corpora, seed
        self.epoch, self.offset = epoch, offset
        self._tokens = self._shuffle(epoch)

    def _shuffle(self, epoch):
        rng = np.random.default_rng([self.seed, epoch])
        chosen = []
        for name, documents in self.corpora.items():
            whole, fraction = divmod(CORPUS_REPEATS.get(name, 1.0), 1)
            chosen += documents * int(whole)
            chosen += [document for document in documents if rng.random() < fraction]
        return np.concatenate([chosen[i] for i in rng.permutation(len(chosen))]).astype(np.int64)

    def rows(self, count, context):
        """Próximas linhas: ``(count, context + 1)``, entrada e alvo deslocados de uma posição."""
        needed = count * context + 1
        if len(self._tokens) - self.offset < needed:
            self.epoch, self.offset = self.epoch + 1, 0
            self._tokens = self._shuffle(self.epoch)
        block = self._tokens[self.offset : self.offset + needed]
        self.offset += needed - 1
        return np.lib.stride_tricks.sliding_window_view(block, context + 1)[::context]


def padded_rows(corpora, count, context, rarity, rng):
    """Linhas como as da aula: um texto curto e, até o fim, ``<|endoftext|>``.

    Args:
        corpora: dict de corpus para lista de vetores de tokens.
        count, context: linhas e tokens por linha.
        rarity: peso ``(V,)`` de cada token no sorteio das palavras do resumo.
        rng: ``numpy.random.Generator``.

    Returns:
        (entradas, alvos, pesos), cada um ``(count, context)``. O peso é 0 na primeira posição de
        preenchimento e nas que não foram sorteadas para o resumo.
    """
    inputs = np.full((count, context), END_OF_TEXT, dtype=np.int64)
    targets = inputs.copy()
    weights = np.zeros((count, context), dtype=np.float32)
    names = rng.choice(list(PADDED_SHARES), size=count, p=list(PADDED_SHARES.values()))
    for row, name in enumerate(names):
        documents = corpora[name]
        text = documents[rng.integers(len(documents))][:-1].astype(np.int64)
        length = int(min(len(text), rng.integers(8, 101)))
        start = rng.integers(len(text) - length + 1) if rng.random() < 0.5 else 0
        text = text[start : start + length]
        inputs[row, :length] = text
        targets[row, : length - 1] = text[1:]
        weights[row, : length - 1] = 1.0
        chosen = rng.choice(np.arange(length + 1, context), size=SUMMARY_TARGETS, replace=False)
        probability = rarity[text] / rarity[text].sum()
        targets[row, chosen] = rng.choice(text, size=SUMMARY_TARGETS, p=probability)
        weights[row, chosen] = 1.0
    return inputs, targets, weights


def make_batch(stream, corpora, rarity, step, seed):
    """Lote do passo ``step``: (entradas, alvos, pesos), tensores ``(B, T)``."""
    if step % LONG_EVERY == LONG_EVERY - 1:
        rows = stream.rows(LONG_ROWS, LONG_CONTEXT)
        inputs, targets = rows[:, :-1], rows[:, 1:]
        weights = np.ones(inputs.shape, dtype=np.float32)
    else:
        rows = stream.rows(SHORT_ROWS - PADDED_ROWS, SHORT_CONTEXT)
        rng = np.random.default_rng([seed, step, 1])
        padded = padded_rows(corpora, PADDED_ROWS, SHORT_CONTEXT, rarity, rng)
        inputs = np.concatenate([rows[:, :-1], padded[0]])
        targets = np.concatenate([rows[:, 1:], padded[1]])
        ones = np.ones((len(rows), SHORT_CONTEXT), dtype=np.float32)
        weights = np.concatenate([ones, padded[2]])
    return torch.tensor(inputs), torch.tensor(targets), torch.tensor(weights)


# ---------------------------------------------------------------- embeddings


def minilm_vectors(tokenizer, vocab_size):
    """Vetores ``(V, 384)`` do codificador MiniLM para o texto de cada token, média das posições."""
    encoder_tokenizer, encoder, _ = load_encoder(EMBEDDED_ENCODER)
    texts = [
        tokenizer.decode_single_token_bytes(i).decode("utf-8", errors="replace").strip() or "[PAD]"
        for i in range(vocab_size)
    ]
    order = sorted(range(vocab_size), key=lambda i: len(texts[i]))
    vectors = torch.empty(vocab_size, encoder.config.hidden_size)
    with torch.no_grad():
        for start in tqdm(range(0, vocab_size, 512), desc="Vetores iniciais (MiniLM)"):
            chunk = order[start : start + 512]
            batch = encoder_tokenizer(
                [texts[i] for i in chunk],
                padding=True,
                truncation=True,
                max_length=32,
                return_tensors="pt",
            )
            states = encoder(**batch).last_hidden_state  # (512, T, 384)
            mask = batch["attention_mask"][..., None]  # (512, T, 1)
            vectors[chunk] = (states * mask).sum(dim=1) / mask.sum(dim=1)
    return vectors


def initial_embeddings(vectors, counts, width):
    """Base fixa dos embeddings: log-frequência e componentes principais do MiniLM.

    Args:
        vectors: ``(V, 384)``.
        counts: frequência ``(V,)`` no treino.
        width: largura ``C`` do modelo.

    Returns:
        Tensor ``(V, C)``: a coluna 0 é o logaritmo da frequência (centrado, dividido por
        ``FREQUENCY_SHIFT``); as outras, componentes meio branqueadas, de desvio ``BASE_SCALE``.
    """
    centered = vectors - vectors.mean(dim=0)
    variances, directions = torch.linalg.eigh(centered.T @ centered / len(centered))
    top = variances.argsort(descending=True)[: width - 1]
    components = centered @ directions[:, top] * variances[top].clamp_min(1e-8) ** -0.25  # (V, C-1)
    components *= BASE_SCALE / components.std()
    log_frequency = torch.log(torch.as_tensor(counts, dtype=torch.float32) + 0.05)
    log_frequency = (log_frequency - log_frequency.mean()) / FREQUENCY_SHIFT
    return torch.cat([log_frequency[:, None], components], dim=1)


class MappedEmbedding(torch.nn.Module):
    """Embeddings ``base @ mapa + ajuste``; só os tokens de ``adjusted`` têm ajuste próprio.

    Args:
        base: ``(V, C)``, fixa.
        adjusted: máscara booleana ``(V,)``.
    """

    def __init__(self, base, adjusted):
        super().__init__()
        self.register_buffer("base", base)
        self.register_buffer("slot", torch.cumsum(adjusted, dim=0) * adjusted)
        self.mapping = torch.nn.Parameter(torch.eye(base.shape[1]))
        # A linha 0 serve a todos os tokens sem ajuste e fica sempre em zero.
        self.adjustment = torch.nn.Parameter(torch.zeros(int(adjusted.sum()) + 1, base.shape[1]))

    def forward(self, ids):
        """Vetores ``(N, C)`` dos tokens ``ids`` ``(N,)``."""
        slot = self.slot[ids]
        adjustment = F.embedding(slot, self.adjustment, padding_idx=0)
        return self.base[ids] @ self.mapping + adjustment

    @torch.no_grad()
    def full(self):
        """A matriz ``(V, C)`` inteira."""
        return self(torch.arange(len(self.base)))


# ---------------------------------------------------------------- caminho rápido


def hidden_states(model, x):
    """Os blocos e a norma final do ``GPTModel``, com produtos de matrizes em bfloat16.

    Args:
        model: ``GPTModel``.
        x: soma dos embeddings de token e de posição, ``(B, T, C)``, float32.

    Returns:
        Estados ``(B, T, C)``, float32, que ``out_head`` transformaria em logits.
    """
    batch, tokens, width = x.shape
    heads = model.cfg["n_heads"]
    mask = torch.full((tokens, tokens), -torch.inf).triu(1)
    for block in model.trf_blocks:
        att = block.att
        projections = (att.W_query, att.W_key, att.W_value)
        weight = torch.cat([p.weight for p in projections]).bfloat16()
        bias = torch.cat([p.bias for p in projections]).bfloat16()
        qkv = F.linear(block.norm1(x).bfloat16(), weight, bias)  # (B, T, 3C)
        q, k, v = qkv.view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)  # (B, H, T, D)
        scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5 + mask  # (B, H, T, T)
        context = torch.softmax(scores, dim=-1).bfloat16() @ v  # (B, H, T, D)
        context = context.transpose(1, 2).reshape(batch, tokens, width)
        x = x + linear_bfloat16(context, att.out_proj)
        expanded = linear_bfloat16(block.norm2(x).bfloat16(), block.ff.layers[0])
        x = x + linear_bfloat16(F.gelu(expanded, approximate="tanh"), block.ff.layers[2])
    return model.final_norm(x)


def linear_bfloat16(x, layer):
    """Camada linear calculada em bfloat16; devolve bfloat16."""
    return F.linear(x, layer.weight.bfloat16(), layer.bias.bfloat16())


def _exponentials(logits, offsets):
    exponentials = torch.exp(logits.float() + offsets)
    return exponentials.bfloat16(), exponentials.sum(dim=1)


class CandidateCrossEntropy(torch.autograd.Function):
    """Entropia cruzada sobre candidatos, com gradientes calculados já na ida, em fatias.

    ``perda = Σ peso · (log Σ_c exp(logit_c + deslocamento_c) − logit_alvo) / Σ peso``
    """

    exponentials = staticmethod(_exponentials)

    @staticmethod
    def forward(ctx, hidden, vectors, offsets, targets, weights):
        """Argumentos: ``(N, C)``, ``(K, C)``, ``(K,)``, ``(N,)`` em 0..K-1, ``(N,)``."""
        keys = vectors.bfloat16()
        states = hidden.bfloat16()
        scale = weights / weights.sum()
        grad_hidden = torch.empty_like(hidden)
        grad_vectors = torch.zeros_like(vectors)
        loss = torch.zeros(())
        for rows in torch.arange(len(hidden)).split(LOSS_CHUNK):
            part, target = states[rows], targets[rows]
            logits = part @ keys.T  # (R, K)
            mass, total = CandidateCrossEntropy.exponentials(logits, offsets)
            own = logits.gather(1, target[:, None]).squeeze(1).float()
            loss += (scale[rows] * (total.log() - own)).sum()
            factor = (scale[rows] / total)[:, None]
            grad_hidden[rows] = (mass @ keys).float() * factor
            grad_vectors += mass.T @ (part.float() * factor).bfloat16()
        grad_hidden -= scale[:, None] * keys[targets].float()
        grad_vectors.index_add_(0, targets, -scale[:, None] * states.float())
        ctx.save_for_backward(grad_hidden, grad_vectors)
        return loss

    @staticmethod
    def backward(ctx, grad_output):
        grad_hidden, grad_vectors = ctx.saved_tensors
        return grad_hidden * grad_output, grad_vectors * grad_output, None, None, None


class CandidateSampler:
    """Escolhe os tokens que entram no denominador do softmax de cada passo.

    Args:
        counts: frequência ``(V,)`` de cada token no treino.
        seed: semente do sorteio.
    """

    def __init__(self, counts, seed):
        order = np.argsort(-counts, kind="stable")
        self.seed = seed
        self.frequent, self.rest = order[:FREQUENT_TOKENS], order[FREQUENT_TOKENS:]
        self.index = np.empty(len(counts), dtype=np.int64)
        self.index[self.frequent] = np.arange(FREQUENT_TOKENS)
        self.is_rest = np.zeros(len(counts), dtype=bool)
        self.is_rest[self.rest] = True

    def __call__(self, targets, step):
        """Candidatos do passo.

        Args:
            targets: ids dos alvos ``(N,)``.
            step: número do passo (o sorteio depende só dele e da semente).

        Returns:
            (ids ``(K,)``, deslocamentos ``(K,)``, posição de cada alvo em ids ``(N,)``), com
            ``K = FREQUENT_TOKENS + SAMPLED_TOKENS``.
        """
        rng = np.random.default_rng([self.seed, step, 2])
        targets = targets.numpy()
        present = np.unique(targets[self.is_rest[targets]])
        absent = np.setdiff1d(self.rest, present, assume_unique=True)
        drawn = rng.choice(absent, size=SAMPLED_TOKENS - len(present), replace=False)
        ids = np.concatenate([self.frequent, present, drawn])
        offsets = np.zeros(len(ids), dtype=np.float32)
        offsets[-len(drawn) :] = math.log(len(absent) / len(drawn))
        self.index[present] = FREQUENT_TOKENS + np.arange(len(present))
        return torch.tensor(ids), torch.tensor(offsets), torch.tensor(self.index[targets])


# ---------------------------------------------------------------- treinamento


def build_model(base, counts, seed):
    """``GPTModel`` com a inicialização da GPT-2 e os embeddings de ``base``.

    Returns:
        (modelo sem ``tok_emb`` nem ``out_head`` próprios, ``MappedEmbedding``).
    """
    torch.manual_seed(seed)
    model = GPTModel(model_config())
    residual_scale = 0.02 / math.sqrt(2 * model.cfg["n_layers"])
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
        elif name.endswith(("out_proj.weight", "layers.2.weight")):
            torch.nn.init.normal_(parameter, std=residual_scale)
        elif name.startswith("trf_blocks") and parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=1 / math.sqrt(parameter.shape[1]) / 2)
    torch.nn.init.normal_(model.pos_emb.weight, std=BASE_SCALE / 4)
    with torch.no_grad():
        model.final_norm.shift[0] = FREQUENCY_SHIFT
        model.final_norm.scale[0] = 0.0
    embedding = MappedEmbedding(base, torch.as_tensor(counts >= MIN_COUNT_ADJUSTED))
    return model, embedding


def build_optimizers(model, embedding, rate):
    """Muon para as matrizes dos blocos, AdamW para o resto; cada grupo guarda sua taxa em ``peak``."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if name.startswith("trf_blocks") and parameter.dim() == 2:
            matrices.append(parameter)
        elif not name.startswith(("tok_emb", "out_head")):
            others.append(parameter)
    muon = torch.optim.Muon(matrices, lr=2.5 * rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(
        [
            {"params": others, "lr": rate, "weight_decay": 0.0},
            {"params": [embedding.adjustment], "lr": 0.5 * rate, "weight_decay": 0.02},
            {"params": [embedding.mapping], "lr": 0.2 * rate, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )
    for optimizer in (muon, adamw):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adamw]


def learning_rate_factor(progress):
    """Fator da taxa de aprendizado: sobe nos primeiros 2 % e desce em cosseno até zero."""
    if progress < WARMUP:
        return (progress + 1e-4) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * min((progress - WARMUP) / (1 - WARMUP), 1.0)))


def save_atomic(value, path):
    """Grava com ``torch.save`` num arquivo vizinho e o renomeia: nunca fica um arquivo pela metade."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".parcial")
    torch.save(value, partial)
    os.replace(partial, path)


class Trainer:
    """Estado completo do treinamento, que um ponto de retomada guarda e devolve.

    Args:
        tokens: saída de ``load_tokens``.
        vectors: vetores do MiniLM, ``(V, 384)``.
        rate: taxa de aprendizado máxima.
        seed: semente de tudo o que é sorteado.
    """

    def __init__(self, tokens, vectors, rate, seed):
        self.corpora, self.seed = tokens["treino"], seed
        self.validation = validation_rows(tokens["validacao"])
        config = model_config()
        counts = token_counts(self.corpora, config["vocab_size"])
        self.rarity = 1 / np.sqrt(counts + 1)
        base = initial_embeddings(vectors, counts, config["emb_dim"])
        self.model, self.embedding = build_model(base, counts, seed)
        self.optimizers = build_optimizers(self.model, self.embedding, rate)
        self.sampler = CandidateSampler(counts, seed)
        self.epoch_tokens = int(counts.sum())
        self.stream = TokenStream(self.corpora, seed)
        self.step, self.active_seconds, self.tokens_seen = 0, 0.0, 0
        self.history = []

    def state(self):
        """Tudo o que muda durante o treinamento."""
        return {
            "model": self.model.state_dict(),
            "embedding": self.embedding.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "stream": (self.stream.epoch, self.stream.offset),
            "progress": (self.step, self.active_seconds, self.tokens_seen, self.history),
        }

    def load(self, state):
        """Volta ao ponto guardado por ``state``."""
        self.model.load_state_dict(state["model"])
        self.embedding.load_state_dict(state["embedding"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.active_seconds, self.tokens_seen, self.history = state["progress"]
        self.stream = TokenStream(self.corpora, self.seed, *state["stream"])

    def train_step(self, body, factor):
        """Um passo de otimização; devolve a perda média por alvo (tensor escalar)."""
        inputs, targets, weights = make_batch(self.stream, self.corpora, self.rarity, self.step, self.seed)
        ids, offsets, target_index = self.sampler(targets.flatten(), self.step)
        x = self.embedding(inputs.flatten()).view(*inputs.shape, -1)  # (B, T, C)
        x = x + self.model.pos_emb.weight[: inputs.shape[1]]
        hidden = body(self.model, x).flatten(0, 1)  # (B·T, C)
        vectors = self.embedding(ids)  # (K, C)
        loss = CandidateCrossEntropy.apply(hidden, vectors, offsets, target_index, weights.flatten())
        loss.backward()
        parameters = [p for o in self.optimizers for g in o.param_groups for p in g["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.tokens_seen += inputs.numel()
        return loss.detach()

    @torch.no_grad()
    def validation_loss(self, body):
        """Perda exata (vocabulário inteiro) nas linhas de validação, em nats por token."""
        head = self.embedding.full().bfloat16()
        losses = []
        for rows in self.validation.split(SHORT_ROWS):
            x = self.embedding(rows[:, :-1].flatten()).view(len(rows), SHORT_CONTEXT, -1)
            hidden = body(self.model, x + self.model.pos_emb.weight[:SHORT_CONTEXT])
            logits = (hidden.bfloat16() @ head.T).float()  # (32, 128, V)
            losses.append(F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()))
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def export_model(self):
        """Cópia do modelo com os embeddings dobrados em ``tok_emb`` e ligados à saída."""
        exported = GPTModel(self.model.cfg)
        exported.load_state_dict(self.model.state_dict())
        exported.tok_emb.weight.copy_(self.embedding.full())
        exported.out_head.weight = exported.tok_emb.weight
        return exported.eval()


def validation_rows(corpora, count=128):
    """Linhas fixas ``(count, 129)`` de validação, espalhadas por todos os corpora."""
    rng = np.random.default_rng(0)
    documents = [document for texts in corpora.values() for document in texts]
    stream = np.concatenate([documents[i] for i in rng.permutation(len(documents))]).astype(int)
    rows = len(stream) // (SHORT_CONTEXT + 1)
    stream = stream[: rows * (SHORT_CONTEXT + 1)].reshape(rows, -1)
    return torch.tensor(stream[:count])


def fit(trainer, work, *, minutes, steps, log_every, save_minutes):
    """Treina até o fim do prazo (ou do número de passos), retomando o ponto salvo em ``work``.

    A taxa de aprendizado segue o tempo ativo: um passo conta no máximo três vezes a duração típica,
    de modo que uma pausa do processo (SIGSTOP, suspensão do computador) não encurta o treinamento.

    Args:
        trainer: ``Trainer``.
        work: pasta de trabalho.
        minutes: prazo, em minutos de tempo ativo; usado se ``steps`` é None.
        steps: número exato de passos, ou None.
        log_every: passos entre duas linhas do registro.
        save_minutes: minutos ativos entre dois pontos de retomada.
    """
    checkpoint = Path(work) / "ponto.pt"
    if checkpoint.exists():
        trainer.load(torch.load(checkpoint, weights_only=False))
        click.echo(f"Retomando do passo {trainer.step}.")
    body = torch.compile(hidden_states, dynamic=False)
    CandidateCrossEntropy.exponentials = staticmethod(torch.compile(_exponentials))
    typical = None
    losses = []
    last_save = trainer.active_seconds
    bar = tqdm(total=1.0, bar_format="{percentage:5.1f}% |{bar}| {elapsed} {postfix}", leave=True)
    while True:
        progress = trainer.step / steps if steps else trainer.active_seconds / (60 * minutes)
        if progress >= 1:
            break
        started = time.perf_counter()
        losses.append(trainer.train_step(body, learning_rate_factor(progress)))
        elapsed = time.perf_counter() - started
        typical = elapsed if typical is None else min(elapsed, 0.95 * typical + 0.05 * elapsed)
        trainer.active_seconds += min(elapsed, 3 * typical)
        if trainer.step % log_every == 0:
            record = {
                "passo": trainer.step,
                "tokens": trainer.tokens_seen,
                "minutos": round(trainer.active_seconds / 60, 3),
                "perda_treino": round(float(torch.stack(losses).mean()), 4),
                "perda_validacao": round(trainer.validation_loss(body), 4),
                "taxa": learning_rate_factor(progress) * trainer.optimizers[0].param_groups[0]["peak"],
            }
            trainer.history.append(record)
            losses = []
            tqdm.write(json.dumps(record, ensure_ascii=False))
            bar.n = min(progress, 1.0)
            bar.set_postfix_str(f"passo {trainer.step} validação {record['perda_validacao']:.3f}")
        if trainer.active_seconds - last_save > 60 * save_minutes:
            save_atomic(trainer.state(), checkpoint)
            last_save = trainer.active_seconds
    bar.close()
    save_atomic(trainer.state(), checkpoint)


# ---------------------------------------------------------------- exportação


def hugging_face_tensors(model):
    """Pesos com os nomes e as formas do GPT-2 do Hugging Face, em float16.

    As camadas ``Conv1D`` de lá guardam a matriz transposta, ``(entrada, saída)``; a cabeça de saída
    não é guardada, porque é o próprio ``wte``.

    Args:
        model: ``GPTModel`` com a cabeça ligada aos embeddings.

    Returns:
        dict de nome para tensor contíguo.
    """
    tensors = {"wte.weight": model.tok_emb.weight, "wpe.weight": model.pos_emb.weight}
    for index, block in enumerate(model.trf_blocks):
        att, prefix = block.att, f"h.{index}."
        projections = (att.W_query, att.W_key, att.W_value)
        tensors |= {
            prefix + "ln_1.weight": block.norm1.scale,
            prefix + "ln_1.bias": block.norm1.shift,
            prefix + "attn.c_attn.weight": torch.cat([p.weight.T for p in projections], dim=1),
            prefix + "attn.c_attn.bias": torch.cat([p.bias for p in projections]),
            prefix + "attn.c_proj.weight": att.out_proj.weight.T,
            prefix + "attn.c_proj.bias": att.out_proj.bias,
            prefix + "ln_2.weight": block.norm2.scale,
            prefix + "ln_2.bias": block.norm2.shift,
            prefix + "mlp.c_fc.weight": block.ff.layers[0].weight.T,
            prefix + "mlp.c_fc.bias": block.ff.layers[0].bias,
            prefix + "mlp.c_proj.weight": block.ff.layers[2].weight.T,
            prefix + "mlp.c_proj.bias": block.ff.layers[2].bias,
        }
    tensors |= {"ln_f.weight": model.final_norm.scale, "ln_f.bias": model.final_norm.shift}
    return {name: t.detach().to(torch.float16).contiguous() for name, t in tensors.items()}


def hugging_face_config(cfg):
    """``config.json`` que ``transformers.GPT2LMHeadModel.from_pretrained`` aceita."""
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": cfg["vocab_size"],
        "n_positions": cfg["context_length"],
        "n_ctx": cfg["context_length"],
        "n_embd": cfg["emb_dim"],
        "n_layer": cfg["n_layers"],
        "n_head": cfg["n_heads"],
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "attn_pdrop": cfg["drop_rate"],
        "embd_pdrop": cfg["drop_rate"],
        "resid_pdrop": cfg["drop_rate"],
        "tie_word_embeddings": True,
        "bos_token_id": END_OF_TEXT,
        "eos_token_id": END_OF_TEXT,
        "torch_dtype": "float16",
    }


def export_assets(trainer, folder, details):
    """Grava ``model.safetensors``, ``config.json``, a curva de perda e ``treinamento.json``.

    Args:
        trainer: ``Trainer`` já treinado.
        folder: pasta de destino.
        details: dict que vai para ``treinamento.json``.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = trainer.export_model()
    partial = folder / "model.parcial"
    save_file(hugging_face_tensors(model), partial, metadata={"format": "pt"})
    os.replace(partial, folder / "model.safetensors")
    write_json(hugging_face_config(model.cfg), folder / "config.json")
    write_json(details, folder / "treinamento.json")
    write_curve(trainer.history, folder)


def write_json(value, path):
    """Grava JSON legível, com acentos, terminado em linha nova."""
    Path(path).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_curve(history, folder):
    """Grava a curva de perda em ``curva.csv`` e ``curva.png`` (legível em preto e branco)."""
    import matplotlib
    import pandas as pd

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    table = pd.DataFrame(history)
    table.to_csv(Path(folder) / "curva.csv", index=False, float_format="%.6g")
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    millions = table["tokens"] / 1e6
    smooth = table["perda_treino"].rolling(5, center=True, min_periods=1).mean()
    axes.plot(millions, smooth, color="0.6", linewidth=1.5, label="treino (lotes, média móvel)")
    axes.plot(millions, table["perda_validacao"], color="0", linewidth=1.5, label="validação")
    axes.set_xlabel("tokens vistos (milhões)")
    axes.set_ylabel("perda (nats por token)")
    axes.set_title("Pré-treinamento do gpt2-mini")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(Path(folder) / "curva.png", dpi=110)
    plt.close(figure)


def training_details(trainer, rate, threads):
    """Resumo do treinamento para ``treinamento.json``."""
    epoch_tokens = trainer.epoch_tokens
    return {
        "passos": trainer.step,
        "tokens_vistos": trainer.tokens_seen,
        "tokens_por_epoca": epoch_tokens,
        "epocas": round(trainer.tokens_seen / epoch_tokens, 2),
        "minutos_ativos": round(trainer.active_seconds / 60, 1),
        "tokens_por_segundo": round(trainer.tokens_seen / trainer.active_seconds),
        "taxa_de_aprendizado_maxima": rate,
        "semente": trainer.seed,
        "nucleos": threads,
        "torch": torch.__version__,
        "perda_de_validacao_final": trainer.history[-1]["perda_validacao"],
    }


# ---------------------------------------------------------------- comando


@click.command()
@click.option(
    "--corpus",
    type=click.Path(exists=True, file_okay=False),
    required=True,
    help="Pasta com os zips do NLTK (veja corpus_gpt2_mini.json).",
)
@click.option(
    "--saida",
    "assets",
    type=click.Path(file_okay=False),
    default=DEFAULT_ASSETS,
    help="Pasta dos pesos.  [padrão: llmdefinitions/assets/gpt2-mini]",
)
@click.option(
    "--trabalho",
    "work",
    type=click.Path(file_okay=False),
    default=DEFAULT_WORK,
    help="Pasta dos tokens e dos pontos de retomada.  [padrão: build/gpt2-mini]",
)
@click.option(
    "--minutos",
    "minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=65.0,
    show_default=True,
    help="Tempo ativo de treinamento, em minutos.",
)
@click.option(
    "--passos",
    "steps",
    type=click.IntRange(min=1),
    help="Número exato de passos, em vez de --minutos (para repetir um treinamento).",
)
@click.option("--taxa", "rate", default=3e-3, show_default=True, help="Taxa de aprendizado máxima.")
@click.option("--semente", "seed", default=123, show_default=True, help="Semente dos sorteios.")
@click.option("--nucleos", "threads", default=2, show_default=True, help="Núcleos a usar.")
def main(corpus, assets, work, minutes, steps, rate, seed, threads):
    """Pré-treina o gpt2-mini e grava os pesos que o curso distribui.

    Pode ser interrompido a qualquer momento: o mesmo comando retoma do último ponto salvo em
    --trabalho. Para começar do zero, apague essa pasta.
    """
    keep_memory_between_steps()
    torch.set_num_threads(threads)
    try:
        tokens = load_tokens(corpus, work)
    except CorpusError as error:
        raise click.ClickException(str(error)) from error
    cache = Path(work) / "minilm.pt"
    if not cache.exists():
        save_atomic(minilm_vectors(get_tokenizer(), model_config()["vocab_size"]), cache)
    trainer = Trainer(tokens, torch.load(cache), rate, seed)
    fit(trainer, work, minutes=minutes, steps=steps, log_every=40, save_minutes=2)
    export_assets(trainer, assets, training_details(trainer, rate, threads))
    click.echo(f"Pronto: {trainer.step} passos, {trainer.tokens_seen / 1e6:.1f} M tokens.")


if __name__ == "__main__":
    main()

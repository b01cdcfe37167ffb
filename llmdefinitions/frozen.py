"""O ajuste fino em segundos: treinar só o que não está congelado.

Na aula, cada passo empurra 120 posições por onze blocos congelados cuja saída nunca muda: é quase toda a conta, e é
sempre a mesma. Aqui ela é feita uma vez por mensagem. Três ideias, nesta ordem:

1. **Guardar as ativações.** O que entra no primeiro bloco treinável não depende da época nem da taxa de aprendizado.
   É calculado uma vez (``FrozenDataset``) e relido por todas as épocas, avaliações e experimentos.
2. **Calcular só a posição que se lê.** Do último bloco, o classificador usa uma posição por mensagem: as outras
   servem apenas para que ela as consulte (``block_at``). E nem é preciso calcular as chaves e os valores delas::

       consulta · (W_K n + b)  =  (W_Kᵀ consulta) · n + consulta · b
       Σ peso · (W_V n + b)    =  W_V (Σ peso · n) + b        (os pesos somam 1)

   À esquerda, uma matriz ``C × C`` multiplica cada posição; à direita, uma vez cada mensagem. É a mesma conta, em
   outra ordem (a DeepSeek-AI, 2024, *DeepSeek-V2*, seção 2.1, chama isso de absorver a matriz).
3. **Ler o último token de verdade** (o modo rápido). A atenção é causal: o preenchimento à direita não muda nada do
   que veio antes. Lendo o último token da própria mensagem, o preenchimento deixa de ser calculado, e a parte congelada
   pode usar ``bfloat16`` onde o processador é rápido com ele. O resultado é outro classificador, em geral melhor
   (Raschka, experimentos do capítulo 6): use-o com ``max_length=None`` em ``classify_review``.

No modo exato valem só as duas primeiras ideias, e o treinamento é o da aula, lote a lote::

    tail, train_frozen, val_frozen = prepare_frozen(model, train_loader, val_loader, device=device)
    train_classifier_simple(tail, train_frozen, val_frozen, optimizer, device, ...)

Nos comentários, ``B`` mensagens por lote, ``T`` posições, ``C`` = ``emb_dim``, ``H`` cabeças e ``D`` = ``C / H``.
"""

import hashlib
import os
import time
from contextlib import nullcontext
from functools import cache as remember
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Sampler, default_collate

from .checks import check_device, check_integer, check_path
from .classifier import output_head
from .config import END_OF_TEXT
from .progress import gigabytes, progress_bar, say
from .sources import write_whole
from .training import train_classifier_simple

TOKENS_PER_BATCH = {"cpu": 512}
"""Posições por lote ao calcular sem gradientes: na CPU, mais que isso já não cabe nas memórias rápidas."""

TOKENS_PER_BATCH_ELSEWHERE = 16384
"""Posições por lote numa GPU, que só com muitas fica toda ocupada."""

USABLE_SPACE = 0.9
"""Fração da memória ou do disco livre que as ativações podem ocupar."""


class NoRoomError(RuntimeError):
    """As ativações não cabem na memória ou no disco."""


class StaleActivationsError(RuntimeError):
    """Os pesos congelados mudaram depois que as ativações foram calculadas."""


# --- a posição que se lê


def block_at(block, x, position):
    """Calcula a saída de um bloco do GPT-2 numa só posição de cada mensagem, sem chaves nem valores das outras.

    Args:
        block: um ``TransformerBlock``, sem dropout.
        x: entrada do bloco, ``(B, T, C)``.
        position: inteiros ``(B,)``: a posição que se quer de cada mensagem. As seguintes não influem.

    Returns:
        ``(B, C)``, o mesmo que ``block(x)[arange(B), position]``.

    Raises:
        ValueError: se a máscara causal do bloco foi desligada.
    """
    att, rows = block.att, torch.arange(len(x), device=x.device)
    if not getattr(att, "is_causal", True):  # o bloco do livro não tem o atributo: nele a máscara vale sempre
        raise ValueError("block: sem a máscara causal as posições seguintes influem; use o modelo inteiro.")
    by_head = (att.num_heads, -1)
    normed = block.norm1(x)  # (B, T, C)
    query = att.W_query(normed[rows, position]).unflatten(-1, by_head)  # (B, H, D)

    absorbed = torch.einsum("bhd,hdc->bhc", query, att.W_key.weight.unflatten(0, by_head))  # (B, H, C)
    scores = absorbed @ normed.transpose(1, 2)  # (B, H, T)
    if att.W_key.bias is not None:
        scores = scores + torch.einsum("bhd,hd->bh", query, att.W_key.bias.unflatten(0, by_head)).unsqueeze(-1)
    future = torch.arange(x.shape[1], device=x.device) > position.unsqueeze(-1)  # (B, T)
    scores = scores.masked_fill(future.unsqueeze(1), float("-inf"))
    weights = (scores / att.head_dim**0.5).softmax(dim=-1)  # (B, H, T)

    mixed = weights @ normed  # (B, H, C)
    context = torch.einsum("bhc,hdc->bhd", mixed, att.W_value.weight.unflatten(0, by_head)).flatten(1)  # (B, C)
    if att.W_value.bias is not None:
        context = context + att.W_value.bias
    x = x[rows, position] + att.out_proj(context)  # (B, C)
    return x + block.ff(block.norm2(x))


def run_blocks(model, ids, n_blocks):
    """Calcula a saída dos primeiros ``n_blocks`` blocos, ``(B, T, C)``, para ids ``(B, T)``."""
    x = model.tok_emb(ids) + model.pos_emb.weight[: ids.shape[1]]  # (B, T, C)
    return model.trf_blocks[:n_blocks](x)


def hidden_at(model, ids, position):
    """Calcula a saída do último bloco, ``(B, C)``, numa só posição ``(B,)`` de cada mensagem de ids ``(B, T)``."""
    return block_at(model.trf_blocks[-1], run_blocks(model, ids, len(model.trf_blocks) - 1), position)


# --- as duas partes do modelo: a congelada e a que treina


class FrozenPrefix:
    """A parte do modelo que não treina: dos embeddings ao último bloco antes do primeiro treinável.

    Args:
        model: um ``GPTModel`` com cabeça de classificação, já com o começo congelado.

    Attributes:
        n_blocks: quantos blocos são congelados.
        digest: sha256 dos pesos e da configuração que decidem as ativações.

    Raises:
        TypeError, ValueError: se não é um ``GPTModel``, se tem dropout ou se os embeddings treinam.
    """

    def __init__(self, model):
        output_head(model)
        if any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()):
            raise ValueError("model: com dropout as ativações mudam a cada passo; crie o modelo com drop_rate=0.")
        self.model = model
        self.n_blocks = 0
        if _has_trainable(model.tok_emb) or _has_trainable(model.pos_emb):
            raise ValueError(
                "model: os embeddings não estão congelados, e então nada se repete; use train_classifier_simple, ou "
                "congele com prepare_for_classification."
            )
        while self.n_blocks < len(model.trf_blocks) and not _has_trainable(model.trf_blocks[self.n_blocks]):
            self.n_blocks += 1
        self.modules = [model.tok_emb, model.pos_emb, *model.trf_blocks[: self.n_blocks]]
        self.digest = self._digest()
        self.stamp = self._stamp()

    @property
    def reads_one_position(self):
        """Se o modelo inteiro, menos a norma final e a cabeça, está congelado: só se guarda a posição lida."""
        return self.n_blocks == len(self.model.trf_blocks)

    def __call__(self, ids, last):
        """Calcula as ativações que entram na parte treinável.

        Args:
            ids: ids de tokens ``(B, T)``.
            last: posição ``(B,)`` que o classificador lê.

        Returns:
            ``(B, T, C)``; ``(B, 1, C)`` se todos os blocos são congelados.
        """
        if self.reads_one_position:
            return hidden_at(self.model, ids, last).unsqueeze(1)  # (B, 1, C)
        return run_blocks(self.model, ids, self.n_blocks)  # (B, T, C)

    def check_unchanged(self):
        """Recusa ativações de outros pesos.

        Raises:
            StaleActivationsError: se um peso congelado mudou, foi trocado ou passou a treinar.
        """
        if self._stamp() != self.stamp:
            raise StaleActivationsError(
                "Os pesos congelados mudaram depois que as ativações foram calculadas; chame prepare_frozen de novo."
            )

    def _parameters(self):
        return [parameter for module in self.modules for parameter in module.parameters()]

    def _stamp(self):
        return [(p.data_ptr(), p._version, p.requires_grad) for p in self._parameters()]

    def _digest(self):
        heads = [block.att.num_heads for block in self.model.trf_blocks[: self.n_blocks]]
        digest = hashlib.sha256(repr((torch.__version__, heads, self.reads_one_position)).encode())
        for parameter in self._parameters():
            digest.update(repr((parameter.dtype, tuple(parameter.shape))).encode())
            digest.update(_raw_bytes(parameter))
        return digest.hexdigest()


class TrainableTail(nn.Module):
    """O fim do modelo, que treina: recebe ativações em vez de ids e só calcula a posição que se lê.

    Seus parâmetros são os do modelo, não cópias: treinar um é treinar o outro, e o otimizador é o mesmo.

    Args:
        model: o ``GPTModel`` inteiro.
        n_frozen_blocks: quantos blocos ficam de fora.
    """

    def __init__(self, model, n_frozen_blocks):
        super().__init__()
        self.trf_blocks = model.trf_blocks[n_frozen_blocks:]
        self.final_norm = model.final_norm
        self.out_head = model.out_head

    def forward(self, activations):
        """Calcula os logits da posição lida, a última que não é preenchimento.

        Args:
            activations: ``(B, T, C)``, completadas à direita com linhas de zeros.

        Returns:
            Logits ``(B, 1, num_classes)``, com a dimensão das posições para que as funções da aula sirvam sem mudança.
        """
        x = activations.to(self.out_head.weight.dtype)  # (B, T, C)
        last = x.any(dim=-1).sum(dim=-1) - 1  # (B,)
        if len(self.trf_blocks):
            x = block_at(self.trf_blocks[-1], self.trf_blocks[:-1](x), last).unsqueeze(1)  # (B, 1, C)
        return self.out_head(self.final_norm(x))  # (B, 1, num_classes)


def _has_trainable(module):
    return any(parameter.requires_grad for parameter in module.parameters())


def _raw_bytes(tensor):
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy()


# --- onde as ativações ficam


class ActivationCache:
    """Onde as ativações são guardadas: na memória ou, com uma pasta, em arquivos mapeados na memória.

    Cada conjunto tem uma chave feita dos pesos congelados, das mensagens e do modo. Um segundo experimento com a mesma
    parte congelada (outra semente, outra taxa) encontra tudo pronto; com outros pesos, a chave é outra. Na pasta, a
    chave vale também para outro processo e outro dia; um arquivo só ganha seu nome depois de inteiro no disco.

    Args:
        folder: a pasta, criada se preciso; sem ela, a memória deste processo.
        max_bytes: quanto os conjuntos guardados podem ocupar juntos; sem ele, o que houver livre.

    Raises:
        TypeError, ValueError: se um argumento não serve.
    """

    def __init__(self, folder=None, max_bytes=None):
        self.folder = None if folder is None else check_path("folder", folder)
        self.max_bytes = None if max_bytes is None else check_integer("max_bytes", max_bytes, minimum=1)
        self._arrays = {}

    def get(self, key, shape, dtype, chunks):
        """Devolve a matriz de uma chave, calculando-a só se ainda não existe.

        Args:
            key: texto que identifica o conteúdo e serve de nome de arquivo.
            shape: ``(linhas, colunas)``.
            dtype: tipo do NumPy.
            chunks: função sem argumentos que produz, na ordem, pedaços ``(n, colunas)`` que juntos dão a matriz.

        Returns:
            Tensor de forma ``shape``, que não deve ser alterado.

        Raises:
            NoRoomError: se não há espaço.
            SourceError: se a pasta não aceita gravação.
            ValueError: se o arquivo da chave foi estragado.
        """
        if key not in self._arrays:
            make = self._in_memory if self.folder is None else self._on_disk
            self._arrays[key] = torch.from_numpy(make(key, shape, np.dtype(dtype), chunks))
        return self._arrays[key]

    def _in_memory(self, _, shape, dtype, chunks):
        used = sum(array.nbytes for array in self._arrays.values())
        self._reserve(shape, dtype, used, psutil.virtual_memory().available, "na memória")
        array, start = np.empty(shape, dtype), 0
        for chunk in chunks():
            array[start : start + len(chunk)] = chunk
            start += len(chunk)
        return array

    def _on_disk(self, key, shape, dtype, chunks):
        def write(partial):
            with open(partial, "wb") as file:
                header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for chunk in chunks():
                    file.write(np.ascontiguousarray(chunk))
                file.flush()
                os.fsync(file.fileno())  # inteiro no disco antes de ganhar o nome definitivo

        path = self.folder / f"ativacoes-{key}.npy"
        if not path.exists():
            used = sum(other.stat().st_size for other in self.folder.glob("ativacoes-*.npy"))
            self._reserve(shape, dtype, used, _free_disk(self.folder), f"em {self.folder}")
            write_whole(path, write)
        try:
            # "c": o arquivo é só lido; uma escrita nestas páginas ficaria na memória deste processo.
            array = np.load(path, mmap_mode="c", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"folder: {path} está estragado; apague-o para que seja refeito.") from error
        if (array.shape, array.dtype) != (shape, dtype):
            raise ValueError(f"folder: {path} não tem o que seu nome diz; apague-o para que seja refeito.")
        return array

    def _reserve(self, shape, dtype, used, free, where):
        """Diz quanto vai ser ocupado, antes de começar, e recusa quando não cabe."""
        needed = shape[0] * shape[1] * dtype.itemsize
        room, reason = free * USABLE_SPACE, "livres"
        if self.max_bytes is not None and self.max_bytes - used < room:
            room, reason = self.max_bytes - used, "dentro de max_bytes"
        if needed > room:
            raise NoRoomError(
                f"As ativações precisam de {gigabytes(needed)} {where}, e há {gigabytes(max(0, room))} {reason}. "
                "Reduza max_length, use o modo rápido (fast=True) ou um disco maior: ActivationCache('pasta')."
            )
        say(f"Ativações congeladas: {gigabytes(needed)} {where} (livres: {gigabytes(free)})")


def _free_disk(folder):
    folder = Path(folder).absolute()
    return psutil.disk_usage(str(next(path for path in (folder, *folder.parents) if path.exists()))).free


# --- os dados e os carregadores


class FrozenDataset(Dataset):
    """As mensagens de um conjunto como ativações: o que entra na parte treinável, já calculado.

    Args:
        dataset: conjunto de pares ``(ids, rótulo)``, de formas ``(T,)`` e ``()``, como ``SpamDataset``.
        prefix: o ``FrozenPrefix`` que as calcula.
        device: onde calculá-las.
        cache: o ``ActivationCache`` que as guarda.
        fast: se ``True``, o preenchimento à direita é descartado.
        pad_token_id: o id de preenchimento.
        dtype: em que precisão calcular; sem ele, a do modelo.

    Attributes:
        lengths: quantas posições se guardam de cada mensagem, ``(N,)``.
        labels: rótulos, ``(N,)``.
        activations: as de todas as mensagens, uma após a outra, ``(soma de lengths, C)``.

    Raises:
        TypeError, ValueError: se o conjunto não é desse tipo ou não cabe no contexto do modelo.
        NoRoomError: se não há espaço.
    """

    def __init__(self, dataset, prefix, device, cache, fast=False, pad_token_id=END_OF_TEXT, dtype=None):
        ids, self.labels = read_messages(dataset)
        self.prefix = prefix
        tokens = real_lengths(ids, pad_token_id) if fast else torch.full((len(ids),), ids.shape[1])  # (N,)
        self.lengths = torch.ones_like(tokens) if prefix.reads_one_position else tokens
        order = tokens.argsort(stable=True)
        self.starts = torch.empty_like(order)
        self.starts[order] = self.lengths[order].cumsum(0) - self.lengths[order]

        weight = prefix.model.tok_emb.weight
        dtype = weight.dtype if dtype is None else dtype
        digest = hashlib.sha256(repr((prefix.digest, str(dtype), torch.device(device).type, fast)).encode())
        digest.update(_raw_bytes(ids))
        digest.update(_raw_bytes(tokens))
        shape = int(self.lengths.sum()), weight.shape[1]
        stored = np.float64 if weight.dtype == torch.float64 else np.float32
        chunks = partial(_frozen_chunks, prefix, ids, tokens, order, device, dtype)
        self.activations = cache.get(digest.hexdigest(), shape, stored, chunks)

    def __getitem__(self, index):
        """Devolve ``(ativações, rótulo)``, de formas ``(comprimento, C)`` e ``()``."""
        self.prefix.check_unchanged()
        start, length = self.starts[index], self.lengths[index]
        return self.activations[start : start + length], self.labels[index]

    def __getitems__(self, indices):
        """Devolve um lote: ativações ``(B, T, C)``, completadas com linhas de zeros, e rótulos ``(B,)``."""
        messages, labels = zip(*(self[index] for index in indices), strict=True)
        return pad_sequence(messages, batch_first=True), torch.stack(labels)

    def __len__(self):
        return len(self.labels)


def read_messages(dataset):
    """Lê um conjunto inteiro: ids ``(N, T)`` e rótulos ``(N,)``."""
    ids, labels = zip(*(dataset[index] for index in range(len(dataset))), strict=True)
    if any(message.shape != ids[0].shape or message.dim() != 1 for message in ids):
        raise ValueError("dataset: esperava mensagens de mesmo comprimento, (T,), como as de SpamDataset.")
    return torch.stack(ids), torch.stack([torch.as_tensor(label) for label in labels])


def real_lengths(ids, pad_token_id):
    """Conta os tokens de cada mensagem sem o preenchimento à direita; a vazia fica com um."""
    is_text = (ids != pad_token_id).flip(1)  # (N, T)
    return torch.where(is_text.any(1), ids.shape[1] - is_text.int().argmax(1), 1)


@torch.no_grad()
def _frozen_chunks(prefix, ids, tokens, order, device, dtype):
    """Calcula as ativações em lotes de mensagens de comprimento parecido, na ordem ``order``."""
    for batch in progress_bar(batches_by_length(tokens[order].tolist(), device), "ativações", "lote"):
        rows = order[batch]
        lengths = tokens[rows]
        with compute_in(dtype, device):
            x = prefix(ids[rows, : lengths.max()].to(device), (lengths - 1).to(device))  # (B, T ou 1, C)
        stored = torch.ones_like(lengths) if prefix.reads_one_position else lengths
        kept = torch.arange(x.shape[1]) < stored.unsqueeze(-1)  # (B, T)
        yield x.cpu()[kept].to(torch.float64 if x.dtype == torch.float64 else torch.float32).numpy()


def batches_by_length(lengths, device):
    """Agrupa mensagens já ordenadas por comprimento em lotes que, preenchidos, tenham posições parecidas em número.

    Args:
        lengths: comprimento em tokens de cada mensagem, em ordem crescente.
        device: onde vão ser calculadas.

    Returns:
        Lista de ``slice``, um por lote.
    """
    limit = TOKENS_PER_BATCH.get(torch.device(device).type, TOKENS_PER_BATCH_ELSEWHERE)
    batches, start = [], 0
    for end, length in enumerate(lengths):
        if length * (end + 1 - start) > limit and end > start:
            batches.append(slice(start, end))
            start = end
    return [*batches, slice(start, len(lengths))]


def compute_in(dtype, device):
    """Devolve o contexto em que as contas usam ``dtype``: o do próprio modelo ou, se é de 16 bits, precisão mista."""
    if dtype in (torch.bfloat16, torch.float16):
        return torch.autocast(torch.device(device).type, dtype=dtype)
    return nullcontext()


@remember
def fast_dtype(device):
    """Mede, uma vez por processo, se o ``bfloat16`` compensa neste dispositivo.

    Args:
        device: o dispositivo.

    Returns:
        ``torch.bfloat16`` se multiplicar matrizes nele leva menos de 2/3 do tempo do ``float32``; senão,
        ``torch.float32``. Processadores sem instruções próprias para ``bfloat16`` o imitam, e perdem tempo.
    """
    device = torch.device(device)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        try:
            seconds[dtype] = _time_product(torch.ones(512, 768, dtype=dtype, device=device))
        except (RuntimeError, TypeError):  # há dispositivos que não têm o tipo
            seconds[dtype] = float("inf")
    return torch.bfloat16 if seconds[torch.bfloat16] < 2 / 3 * seconds[torch.float32] else torch.float32


def _time_product(matrix):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(4):
            product = matrix @ matrix.T @ matrix
        product[0, 0].item()  # numa GPU, espera que a conta termine
        times.append(time.perf_counter() - start)
    return min(times)


class SimilarLengthBatches(Sampler):
    """Embaralha as mensagens em lotes de comprimento parecido, para que quase não haja preenchimento.

    As mensagens são embaralhadas e repartidas em grupos de ``POOL`` lotes; dentro de cada grupo são ordenadas por
    comprimento, e por fim os lotes são embaralhados. Assim vizinhas de comprimento variam de uma época para a outra.

    Args:
        lengths: comprimento de cada mensagem, ``(N,)``.
        batch_size: mensagens por lote.
        drop_last: se ``True``, o que não enche um lote fica de fora nessa época.
        generator: de onde vêm os sorteios; sem ele, da semente global.
    """

    POOL = 16

    def __init__(self, lengths, batch_size, drop_last=False, generator=None):
        self.lengths = lengths
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.generator = generator

    def __iter__(self):
        order = torch.randperm(len(self.lengths), generator=self.generator)
        if self.drop_last:
            order = order[: len(self) * self.batch_size]
        batches = []
        for pool in order.split(self.POOL * self.batch_size):
            batches += pool[self.lengths[pool].argsort(stable=True)].split(self.batch_size)
        for index in torch.randperm(len(batches), generator=self.generator).tolist():
            yield batches[index].tolist()

    def __len__(self):
        whole, rest = divmod(len(self.lengths), self.batch_size)
        return whole + bool(rest and not self.drop_last)


def prepare_frozen(model, *loaders, device, fast=False, cache=None, pad_token_id=END_OF_TEXT, dtype=None):
    """Separa o que treina do que está congelado e troca as mensagens dos carregadores por ativações já calculadas.

    Args:
        model: um ``GPTModel`` preparado por ``prepare_for_classification``, já em ``device``. Não é alterado; a parte
            devolvida compartilha seus parâmetros.
        *loaders: um ou mais ``DataLoader`` sobre conjuntos como ``SpamDataset``.
        device: onde calcular.
        fast: ``False``, o modo exato: lê-se a última posição, como na aula. ``True``, o modo rápido: lê-se o último
            token de cada mensagem, e a parte congelada usa ``bfloat16`` onde compensa.
        cache: um ``ActivationCache``; sem ele, as ativações vivem na memória enquanto os carregadores viverem.
        pad_token_id: o id de preenchimento dos conjuntos, que o modo rápido descarta.
        dtype: só no modo rápido: em que precisão calcular a parte congelada. Sem ele, o que ``fast_dtype`` medir; com
            ele, duas execuções fazem a mesma escolha, qualquer que seja a pressa da máquina.

    Returns:
        ``(tail, *loaders)``: a parte treinável e um carregador por carregador recebido, com os mesmos lotes na mesma
        ordem (no modo rápido, os que embaralham juntam mensagens de comprimento parecido). Servem em todas as funções
        da aula: ``train_classifier_simple``, ``calc_accuracy_loader``…

    Raises:
        TypeError, ValueError: se nada está congelado, se o modelo tem dropout ou se um carregador não serve.
        NoRoomError: se as ativações não cabem.
    """
    device = check_device("device", device)
    cache = ActivationCache() if cache is None else cache
    for loader in loaders:
        _check_frozen_loader(loader)
    prefix = FrozenPrefix(model)
    if not fast:
        dtype = None
    elif dtype is None and model.tok_emb.weight.dtype == torch.float32:
        dtype = fast_dtype(device)
    datasets = [FrozenDataset(loader.dataset, prefix, device, cache, fast, pad_token_id, dtype) for loader in loaders]
    twins = [_twin_loader(loader, dataset, fast) for loader, dataset in zip(loaders, datasets, strict=True)]
    return TrainableTail(model, prefix.n_blocks), *twins


def _check_frozen_loader(loader):
    if (
        not isinstance(loader, DataLoader)
        or isinstance(loader.dataset, IterableDataset)
        or loader.batch_sampler is None
    ):
        raise TypeError(
            "loaders: esperava DataLoader em lotes, sobre um conjunto com len() e índices, como SpamDataset."
        )
    if loader.collate_fn is not default_collate:
        raise ValueError("loaders: esperava o collate_fn padrão; com outro, as mensagens não são as do conjunto.")
    if loader.persistent_workers or (loader.num_workers and loader.generator is not None):
        # Processos auxiliares pedem lotes adiantado, e o gerador seria gasto noutros momentos.
        raise ValueError(
            "loaders: com persistent_workers, ou generator e num_workers juntos, os sorteios mudam; tire-os."
        )
    if len(loader.dataset) == 0:
        raise ValueError("loaders: há um conjunto vazio; esperava ao menos uma mensagem.")


def _twin_loader(loader, dataset, fast):
    # O mesmo amostrador e o mesmo gerador: cada iteração gasta os mesmos números sorteados e dá os mesmos lotes.
    batches = loader.batch_sampler
    if fast and isinstance(loader.sampler, RandomSampler):
        batches = SimilarLengthBatches(dataset.lengths, loader.batch_size, loader.drop_last, loader.generator)
    return DataLoader(dataset, batch_sampler=batches, generator=loader.generator, collate_fn=_as_it_is)


def _as_it_is(batch):
    return batch


def train_classifier_frozen(
    model,
    train_loader,
    val_loader,
    optimizer,
    device,
    num_epochs,
    eval_freq,
    eval_iter,
    tokenizer=None,
    *,
    fast=False,
    cache=None,
    pad_token_id=END_OF_TEXT,
):
    """Faz o mesmo que ``train_classifier_simple``, em segundos: a mesma chamada, o mesmo resultado.

    Args:
        model, train_loader, val_loader, optimizer, device, num_epochs, eval_freq, eval_iter, tokenizer: os de
            ``train_classifier_simple``.
        fast, cache, pad_token_id: os de ``prepare_frozen``.

    Returns:
        ``(train_losses, val_losses, train_accs, val_accs, examples_seen)``, como ``train_classifier_simple``.

    Raises:
        TypeError, ValueError, NoRoomError: os de ``prepare_frozen`` e de ``train_classifier_simple``.
    """
    tail, *loaders = prepare_frozen(
        model, train_loader, val_loader, device=device, fast=fast, cache=cache, pad_token_id=pad_token_id
    )
    history = train_classifier_simple(
        tail, *loaders, optimizer, device, num_epochs, eval_freq, eval_iter, tokenizer=tokenizer
    )
    model.train(tail.training)
    return history

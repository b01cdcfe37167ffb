"""As mensagens SMS, do arquivo aos lotes: ler, limpar, equilibrar, dividir, converter em ids.

A coleção é a *SMS Spam Collection* (Almeida, Gómez Hidalgo e Yamakami, 2011; UCI, conjunto 228). A receita é a
da aula: ``create_balanced_dataset``, ``random_split`` e ``SpamDataset`` dão os mesmos números que ela.
"""

import csv
import re
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from .checks import check_columns, check_integer, check_number, check_path, check_seed, check_tokenizer
from .config import END_OF_TEXT, batches_limit
from .progress import progress_bar
from .sources import (
    EMOTION,
    SourceError,
    copy_whole,
    find_or_explain,
    find_sms_spam,
    first_available,
    hub_endpoint,
    is_reachable,
    local_folder,
)

LABELS = {"ham": 0, "spam": 1}
"""O rótulo de cada classe: 0 para mensagem legítima (*ham*), 1 para spam."""

EMOTION_NAMES = ("sadness", "joy", "love", "anger", "fear", "surprise")
"""As seis classes do conjunto *emotion*, na ordem dos rótulos 0 a 5."""

PORTUGUESE_MESSAGES = Path(__file__).parent / "assets" / "mensagens_pt.csv"
"""As mensagens em português escritas para o curso."""

LARGEST_FILE = 200_000_000
"""Tamanho em bytes além do qual um arquivo de mensagens é recusado (o da UCI tem 478 mil)."""


def download_and_unzip_spam_data(url, zip_path, extracted_path, data_file_path):
    """Deixa o arquivo de mensagens em ``data_file_path``, como a função da aula.

    O arquivo vem da fonte que ``sources.find_sms_spam`` encontrar, e a função diz qual foi. Um arquivo que já
    está lá é mantido.

    Args:
        url, zip_path, extracted_path: os da aula, aceitos para que a chamada dela funcione sem mudança.
        data_file_path: onde pôr o arquivo, por exemplo ``Path("sms_spam_collection/SMSSpamCollection.tsv")``.

    Raises:
        SourceError: se nenhuma fonte tem o arquivo.
        IsADirectoryError: se ``data_file_path`` é uma pasta.
    """
    data_file_path = check_path("data_file_path", data_file_path)
    if data_file_path.is_dir():
        raise IsADirectoryError(f"data_file_path: {data_file_path} é uma pasta; esperava o caminho de um arquivo.")
    if data_file_path.exists():
        print(f"{data_file_path} já existe; nada a baixar.")
        return
    source = find_sms_spam()
    copy_whole(source.path, data_file_path)
    print(f"{source.description}, em {data_file_path}")


def load_spam_data(data_file_path, quoting=csv.QUOTE_NONE):
    """Lê um arquivo de mensagens: em cada linha o rótulo, uma tabulação e o texto.

    Args:
        data_file_path: caminho do arquivo, em UTF-8.
        quoting: como tratar aspas. Com ``csv.QUOTE_NONE``, o padrão, aspas são texto e o arquivo da UCI tem
            5.574 mensagens. Com ``csv.QUOTE_MINIMAL``, o que ``pandas.read_csv`` faz na aula, uma mensagem que
            começa com aspas engole as seguintes até as próximas aspas: sobram 5.572.

    Returns:
        ``DataFrame`` com as colunas de texto ``Label`` (``ham`` ou ``spam``) e ``Text``.

    Raises:
        FileNotFoundError: se o arquivo não existe.
        ValueError: se o arquivo é grande demais, não é UTF-8, não tem duas colunas ou tem outro rótulo.
    """
    path = check_path("data_file_path", data_file_path)
    if not path.is_file():
        raise FileNotFoundError(f"data_file_path: não encontrei o arquivo {path}.")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"data_file_path: {path} passa de {LARGEST_FILE // 1_000_000} MB; não é o que espero.")
    if quoting not in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL):
        raise ValueError(f"quoting: esperava csv.QUOTE_NONE ou csv.QUOTE_MINIMAL; recebi {quoting!r}.")
    expected = f"data_file_path: em {path} esperava, em cada linha, rótulo, tabulação e texto"
    df = _read_table("data_file_path", path, expected, sep="\t", header=None, quoting=quoting)
    if df.shape[1] != 2:
        raise ValueError(f"{expected}; o número de colunas é {df.shape[1]}.")
    df.columns = ["Label", "Text"]
    strange = df.index[~df["Label"].isin(LABELS)]
    if len(strange):
        raise ValueError(
            f"{expected}, com rótulo ham ou spam; a mensagem {strange[0] + 1} tem {df['Label'][strange[0]]!r:.40}."
        )
    return df


def load_portuguese_messages():
    """Lê as mensagens em português escritas para este curso: inventadas, metade legítimas, metade spam.

    Servem para ver o que um modelo ajustado em inglês faz com outra língua. São poucas para treinar, e não são uma
    amostra das que circulam: quem as escreveu sabia a classe de cada uma. Vêm embutidas e não precisam de internet
    (CC BY 4.0, como os textos do curso).

    Returns:
        ``DataFrame`` com as colunas de texto ``Label`` (``ham`` ou ``spam``) e ``Text``, como o de ``load_spam_data``;
        ``map_labels`` troca os rótulos por números.
    """
    expected = f"{PORTUGUESE_MESSAGES} deveria ter as colunas Label e Text"
    return _read_table("mensagens_pt", PORTUGUESE_MESSAGES, expected)


def clean_spam_data(df):
    """Descarta as linhas que não servem para treinar: sem texto ou sem rótulo.

    Os textos que ficam não mudam, nem nos espaços das pontas, para que as divisões sejam as da aula. Mensagens
    repetidas também ficam; veja ``find_duplicates`` e o argumento ``without_leaks`` de ``random_split``.

    Args:
        df: ``DataFrame`` com as colunas ``Label`` e ``Text``.

    Returns:
        Um ``DataFrame`` novo, com índice de 0 em diante.
    """
    check_columns("df", df, ["Label", "Text"])
    df = df.dropna(subset=["Label", "Text"])
    df = df.assign(Text=df["Text"].astype(str))
    return df[(df["Text"].str.strip() != "") & (df["Label"] != "")].reset_index(drop=True)


def create_balanced_dataset(df):
    """Equilibra as classes: sorteia, da mais numerosa, tantas mensagens quantas tem a outra.

    O sorteio usa ``random_state=42``, como na aula.

    Args:
        df: ``DataFrame`` com a coluna ``Label``, de valores ``ham`` e ``spam`` (ou 0 e 1).

    Returns:
        Um ``DataFrame`` novo: primeiro as mensagens *ham*, depois as de spam, com os índices de origem.

    Raises:
        TypeError, ValueError: se falta a coluna, se há outro rótulo ou se falta uma das classes.
    """
    check_columns("df", df, ["Label"])
    numbers = _label_numbers("df", df["Label"])
    classes = [df[numbers == number] for number in LABELS.values()]
    smallest = min(map(len, classes))
    if smallest == 0:
        raise ValueError("df: esperava mensagens das duas classes, ham e spam; só encontrei uma.")
    return pd.concat(
        [examples if len(examples) == smallest else examples.sample(smallest, random_state=42) for examples in classes]
    )


def map_labels(df):
    """Troca os rótulos de texto por números: ``ham`` vira 0 e ``spam`` vira 1.

    Rótulos que já são 0 e 1 ficam como estão: aplicar a função duas vezes não estraga nada (na aula, executar
    a célula do ``map`` outra vez enche a coluna de ``NaN``).

    Args:
        df: ``DataFrame`` com a coluna ``Label``.

    Returns:
        Um ``DataFrame`` novo, com ``Label`` de inteiros.

    Raises:
        TypeError, ValueError: se falta a coluna ou se há um rótulo desconhecido.
    """
    check_columns("df", df, ["Label"])
    return df.assign(Label=_label_numbers("df", df["Label"]))


def random_split(df, train_frac, validation_frac, without_leaks=False):
    """Embaralha as mensagens (``random_state=123``, como na aula) e as divide em treino, validação e teste.

    Args:
        df: ``DataFrame`` com as mensagens; para ``without_leaks``, com a coluna ``Text``.
        train_frac: fração do treino, entre 0 e 1.
        validation_frac: fração da validação; o teste fica com o que sobrar.
        without_leaks: se ``True``, mensagens de mesmo texto ficam todas na mesma parte, de modo que nenhuma do
            teste foi vista no treino; os tamanhos podem passar um pouco do pedido. Com ``False``, a divisão é
            exatamente a da aula.

    Returns:
        ``(train_df, validation_df, test_df)``.

    Raises:
        TypeError, ValueError: se as frações não servem ou se uma das partes ficaria vazia.
    """
    check_columns("df", df, ["Text"] if without_leaks else [])
    train_frac = check_number("train_frac", train_frac, minimum=0, maximum=1)
    validation_frac = check_number("validation_frac", validation_frac, minimum=0, maximum=1)
    if train_frac + validation_frac > 1:
        raise ValueError(
            f"train_frac + validation_frac: esperava no máximo 1; recebi {train_frac} + {validation_frac}."
        )
    df = df.sample(frac=1, random_state=123).reset_index(drop=True)
    train_end = int(len(df) * train_frac)
    validation_size = int(len(df) * validation_frac)
    if without_leaks:
        # Cópias vão para junto da primeira, e cada corte avança até onde começa outro texto.
        group = df.groupby("Text", sort=False).ngroup().sort_values(kind="stable")
        df = df.loc[group.index].reset_index(drop=True)
        starts = np.append(np.flatnonzero(~group.duplicated()), len(df))
        train_end = starts[starts >= train_end].min()
        validation_end = starts[starts >= min(train_end + validation_size, len(df))].min()
    else:
        validation_end = train_end + validation_size
    parts = df[:train_end], df[train_end:validation_end], df[validation_end:]
    for name, part in zip(("treino", "validação", "teste"), parts, strict=True):
        if part.empty:
            raise ValueError(
                f"train_frac, validation_frac: com {len(df)} mensagens e {train_frac}/{validation_frac}, a parte de "
                f"{name} ficaria vazia."
            )
    return parts


def find_duplicates(train_df, test_df):
    """Encontra as mensagens do teste cujo texto está, letra por letra, no treino.

    Um modelo pode acertá-las de cor; a acurácia honesta é a das outras.

    Args:
        train_df, test_df: ``DataFrame`` com a coluna ``Text``.

    Returns:
        As linhas de ``test_df`` que se repetem no treino, com os índices de origem.
    """
    check_columns("train_df", train_df, ["Text"])
    check_columns("test_df", test_df, ["Text"])
    return test_df[test_df["Text"].isin(set(train_df["Text"]))]


class SpamDataset(Dataset):
    """Mensagens como ids de tokens, todas com o mesmo comprimento, prontas para um ``DataLoader``.

    Textos longos são cortados em ``max_length``; curtos são completados à direita com ``pad_token_id``.

    Args:
        csv_file: caminho de um CSV com as colunas ``Label`` (0 ou 1) e ``Text``.
        tokenizer: o tokenizador do GPT-2 (veja ``get_tokenizer``).
        max_length: comprimento em tokens; sem ele, o da mensagem mais longa do arquivo.
        pad_token_id: id de preenchimento; o padrão é ``<|endoftext|>``.

    Attributes:
        data: o ``DataFrame`` lido.
        encoded_texts: lista de listas de ids, já com ``max_length`` ids cada.
        max_length: o comprimento em uso.

    Raises:
        FileNotFoundError: se o arquivo não existe.
        TypeError, ValueError: se não é um CSV, se falta uma coluna, se há rótulo fora de {0, 1} ou se um número
            não serve.
    """

    def __init__(self, csv_file, tokenizer, max_length=None, pad_token_id=END_OF_TEXT):
        check_tokenizer("tokenizer", tokenizer)
        check_integer("pad_token_id", pad_token_id, minimum=0)
        if max_length is not None:
            max_length = check_integer("max_length", max_length, minimum=1)
        self.data = _read_labelled_csv(csv_file)
        texts = progress_bar(self.data["Text"], "convertendo", "mensagem")
        encoded = [encode_message(text, tokenizer) for text in texts]
        self.max_length = max_length or max(1, *map(len, encoded))
        self.encoded_texts = [pad_or_truncate(ids, self.max_length, pad_token_id) for ids in encoded]

    def __getitem__(self, index):
        """Devolve ``(ids, rótulo)``: tensores de inteiros ``(max_length,)`` e ``()``."""
        label = int(self.data["Label"].iat[index])
        return torch.tensor(self.encoded_texts[index], dtype=torch.long), torch.tensor(label)

    def __len__(self):
        return len(self.data)


def encode_message(text, tokenizer):
    """Converte uma mensagem em lista de ids; ``<|endoftext|>`` escrito nela é texto comum, não um comando."""
    return tokenizer.encode(text, disallowed_special=())


def pad_or_truncate(ids, max_length, pad_token_id=END_OF_TEXT):
    """Deixa uma lista de ids com exatamente ``max_length``: corta o excesso ou completa à direita."""
    return ids[:max_length] + [pad_token_id] * (max_length - len(ids))


def create_data_loaders(train_dataset, val_dataset, test_dataset, batch_size=8, seed=123):
    """Cria os carregadores da aula: o de treino embaralha e descarta o lote incompleto do fim.

    Com a variável ``LLMDEFINITIONS_LOTES=n``, cada parte fica só com as mensagens de seus ``n`` primeiros lotes, e a
    função o diz.

    Args:
        train_dataset, val_dataset, test_dataset: conjuntos como ``SpamDataset``.
        batch_size: mensagens por lote.
        seed: semente posta por ``torch.manual_seed`` antes de criá-los, como na aula.

    Returns:
        ``(train_loader, val_loader, test_loader)``.

    Raises:
        ValueError: se um conjunto está vazio ou o treino não enche um lote.
    """
    batch_size = check_integer("batch_size", batch_size, minimum=1)
    if len(train_dataset) < batch_size:
        raise ValueError(
            f"train_dataset: {len(train_dataset)} mensagens não enchem um lote de {batch_size}; reduza batch_size."
        )
    for name, dataset in (("val_dataset", val_dataset), ("test_dataset", test_dataset)):
        if len(dataset) == 0:
            raise ValueError(f"{name}: está vazio; esperava ao menos uma mensagem.")
    check_seed("seed", seed)
    if (limit := batches_limit()) is not None:
        print(f"LLMDEFINITIONS_LOTES={limit}: só {limit * batch_size} mensagens de cada parte, se houver tantas.")
        train_dataset, val_dataset, test_dataset = (
            Subset(dataset, range(min(len(dataset), limit * batch_size)))
            for dataset in (train_dataset, val_dataset, test_dataset)
        )
    torch.manual_seed(seed)
    return (
        DataLoader(train_dataset, batch_size=batch_size, shuffle=True, drop_last=True),
        DataLoader(val_dataset, batch_size=batch_size),
        DataLoader(test_dataset, batch_size=batch_size),
    )


def _read_table(name, path, expected, **options):
    """Lê um arquivo de tabela com tudo como texto; ``expected`` diz, num erro, como ele deveria ser."""
    try:
        return pd.read_csv(path, keep_default_na=False, dtype=str, compression=None, **options)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: {path} não está em UTF-8 (byte {error.start}).") from None
    except pd.errors.EmptyDataError:
        raise ValueError(f"{expected}; o arquivo está vazio.") from None
    except pd.errors.ParserError as error:
        line = re.search(r"(?:line|row) (\d+)", str(error))
        where = f"; a linha {line[1]} não é assim" if line else ""
        raise ValueError(f"{expected}{where}.") from None


def _read_labelled_csv(csv_file):
    path = check_path("csv_file", csv_file)
    if not path.is_file():
        raise FileNotFoundError(f"csv_file: não encontrei o arquivo {path}.")
    df = _read_table("csv_file", path, f"csv_file: em {path} esperava um CSV com as colunas Label e Text")
    check_columns("csv_file", df, ["Label", "Text"])
    strange = df.index[~df["Label"].isin(["0", "1"])]
    if len(strange):
        raise ValueError(
            f"csv_file: esperava rótulos 0 ou 1; a mensagem {strange[0] + 1} tem {df['Label'][strange[0]]!r:.40}. "
            "Se são ham e spam, converta-os antes com map_labels."
        )
    return df.assign(Label=df["Label"].astype(int))


def _label_numbers(name, labels):
    numbers = [_label_number(label) for label in labels]
    if None in numbers:
        strange = labels.iloc[numbers.index(None)]
        raise ValueError(f"{name}: esperava rótulos ham e spam (ou 0 e 1); encontrei {strange!r:.40}.")
    return pd.Series(numbers, index=labels.index, dtype=int)


def _label_number(label):
    if isinstance(label, str):
        return LABELS.get(label)
    return int(label) if isinstance(label, Real) and label in (0, 1) else None


# --- os textos da abordagem por extração de características: o conjunto emotion ou, na falta dele, as SMS


def load_emotion():
    """Carrega o conjunto *emotion* (Saravia et al., 2018): tuítes em inglês com uma de seis emoções.

    Vem dos arquivos ``emotion/{train,validation,test}.csv`` da pasta local ou, sem eles, do Hugging Face Hub.

    Returns:
        ``(emotions, origin)``: um ``datasets.DatasetDict`` com as partes ``train``, ``validation`` e ``test``
        (colunas ``text`` e ``label``, de 0 a 5; veja ``EMOTION_NAMES``) e uma frase que diz de onde ele veio.

    Raises:
        SourceError: se nenhuma fonte o tem, ou se um arquivo não é o que deveria ser.
    """
    return first_available("Conjunto emotion", {"local": _local_emotion, "internet": _download_emotion})


def load_labelled_texts(sizes=(800, 400, 400)):
    """Carrega textos com rótulo para a abordagem por extração de características, já divididos em três partes.

    São os do *emotion*, os da aula, onde ele pode ser encontrado (veja ``load_emotion``); fora do alcance, as
    mensagens SMS de ``sources.find_sms_spam``, na proporção de spam que elas têm, e ``origin`` o diz. Nos dois casos
    nenhum texto se repete em duas partes: o que já apareceu numa anterior sai.

    Args:
        sizes: quantos textos deixar, no máximo, em ``(treino, validação, teste)``, sorteados sempre do mesmo modo
            (semente 123): extrair características de milhares de textos demora. Com ``None``, ficam todos.

    Returns:
        ``(texts, origin)``: um ``datasets.DatasetDict`` com as partes ``train``, ``validation`` e ``test`` (colunas
        ``text`` e ``label``; os nomes das classes em ``texts["train"].features["label"].names``) e uma frase que diz
        que textos são e de onde vieram.

    Raises:
        TypeError, ValueError: se ``sizes`` não são três inteiros positivos.
        SourceError: se a fonte pedida não tem os textos, ou se eles não servem.
    """
    import datasets

    sizes = (None, None, None) if sizes is None else tuple(sizes)
    if len(sizes) != 3:
        raise ValueError(f"sizes: esperava três tamanhos, de treino, validação e teste; recebi {len(sizes)}.")
    sizes = [None if size is None else check_integer("sizes", size, minimum=1) for size in sizes]
    found, missing = find_or_explain("o emotion", "emotion", load_emotion)
    texts, origin = found or _sms_parts()
    parts, seen = {}, set()
    for part, size in zip(("train", "validation", "test"), sizes, strict=True):
        df = texts[part].to_pandas()
        df = df[~df["text"].isin(seen)].sample(frac=1, random_state=123)[:size]
        seen.update(df["text"])
        parts[part] = datasets.Dataset.from_pandas(df, features=texts["train"].features, preserve_index=False)
    return datasets.DatasetDict(parts), f"{origin}{missing}"


def _sms_parts():
    import datasets

    source = find_sms_spam()
    df = map_labels(clean_spam_data(load_spam_data(source.path)))
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(LABELS))})
    parts = [
        datasets.Dataset.from_pandas(
            part.rename(columns={"Text": "text", "Label": "label"})[["text", "label"]], features, preserve_index=False
        )
        for part in random_split(df, 0.7, 0.1, without_leaks=True)
    ]
    return dict(zip(("train", "validation", "test"), parts, strict=True)), source.description


def _local_emotion():
    import datasets

    folder = local_folder() / "emotion"
    missing = [f"{part}.csv" for part in ("train", "validation", "test") if not (folder / f"{part}.csv").is_file()]
    if missing:
        raise SourceError(f"Não encontrei {', '.join(missing)} em {folder}.")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(EMOTION_NAMES))}
    )
    parts = {}
    for part in ("train", "validation", "test"):
        path = folder / f"{part}.csv"
        expected = f"{path}: esperava as colunas text,label com rótulos de 0 a {len(EMOTION_NAMES) - 1}"
        try:
            df = _read_table(str(path), path, expected)
        except ValueError as error:
            raise SourceError(str(error)) from error
        labels = [str(label) for label in range(len(EMOTION_NAMES))]
        if list(df.columns) != ["text", "label"] or df.empty or not df["label"].isin(labels).all():
            raise SourceError(f"{expected}.")
        df = df.assign(label=df["label"].astype(int))
        parts[part] = datasets.Dataset.from_pandas(df, features=features, preserve_index=False)
    return datasets.DatasetDict(parts), "emotion, da pasta local"


def _download_emotion():
    import datasets

    if not is_reachable(hub_endpoint()):
        raise SourceError("O Hugging Face Hub não respondeu. Confira sua internet ou ponha os CSVs na pasta local.")
    try:
        emotions = datasets.load_dataset(EMOTION.name, revision=EMOTION.revision)
    except Exception as error:  # a biblioteca deixa passar exceções de várias outras
        raise SourceError(f"Não consegui baixar {EMOTION.name} do Hub ({type(error).__name__}).") from error
    return emotions, f"{EMOTION.name}, do Hugging Face Hub"

"""Soluções da lição 03 que os testes dela têm de reprovar, com a mensagem de cada erro, e as certas, que aprovam."""

from tests.mutants import Exercise, Wrong

READ_RIGHT = """
def read_messages(path):
    discarded, rows = 0, []
    with open(path, encoding="utf-8") as file:
        for line in file:
            label, text = line.rstrip("\\n").split("\\t")
            if text.isspace() or not text:
                discarded += 1
            else:
                rows.append({"Length": len(text), "Label": label, "Text": text})
    return pd.DataFrame(rows), np_int(discarded)


from numpy import int64 as np_int
"""

BALANCE_RIGHT = """
import numpy as np


def balance(df, ham_per_spam=1, seed=42):
    random = np.random.default_rng(seed)
    is_spam = (df["Label"] == "spam").to_numpy()
    wanted, available = int(is_spam.sum() * ham_per_spam), int((~is_spam).sum())
    if available < wanted:
        raise ValueError(f"preciso de {wanted} ham, mas só existem {available}")
    chosen = random.choice(np.flatnonzero(~is_spam), wanted, replace=False)
    rows = random.permutation(np.concatenate([np.flatnonzero(is_spam), chosen]))
    table = df.iloc[rows][["Text", *[column for column in df.columns if column != "Text"]]]
    table.index = range(len(table))
    return table
"""

SPLIT_RIGHT = """
import random


def split_by_text(df, train_frac, validation_frac, seed=123):
    groups = {}
    for row, text in enumerate(df["Text"]):
        groups.setdefault(text.lower().strip(), []).append(row)
    texts = list(groups)
    random.Random(seed).shuffle(texts)
    n_train, n_validation = int(len(texts) * train_frac), int(len(texts) * validation_frac)
    cuts = [0, n_train, n_train + n_validation, len(texts)]
    parts = []
    for start, end in zip(cuts, cuts[1:]):
        rows = [row for text in texts[start:end] for row in groups[text]]
        parts.append(df.iloc[rows].reset_index(drop=True))
    return parts
"""

LEAKAGE_RIGHT = """
def measure_leakage(train_df, test_df, fit):
    model = fit(train_df)
    predicted = model.predict(list(test_df["Text"]))
    seen = {text.lower().strip() for text in train_df["Text"]}
    right, right_unseen, leaked = 0, 0, 0
    for text, label, answer in zip(test_df["Text"], test_df["Label"], predicted):
        right += answer == label
        if text.lower().strip() in seen:
            leaked += 1
        else:
            right_unseen += answer == label
    unseen = len(test_df) - leaked
    return {
        "accuracy_unseen": right_unseen / unseen if unseen else None,
        "accuracy": right / len(test_df),
        "n_leaked": leaked,
    }
"""

DATASET_RIGHT = """
import torch
from torch.utils.data import Dataset


class MessageDataset(Dataset):
    def __init__(self, df, tokenizer, max_length, side="right", pad_token_id=50256):
        if side != "left" and side != "right":
            raise ValueError("side deve ser left ou right")
        self.df = df.reset_index(drop=True)
        self.ids = torch.full((len(df), max_length), pad_token_id)
        for row, text in enumerate(self.df["Text"]):
            ids = torch.tensor(tokenizer.encode_ordinary(text), dtype=torch.long)
            if side == "right":
                ids = ids[:max_length]
                self.ids[row, : len(ids)] = ids
            else:
                ids = ids[max(0, len(ids) - max_length) :]
                self.ids[row, max_length - len(ids) :] = ids

    def __getitem__(self, index):
        return self.ids[index], torch.tensor(int(self.df.loc[index, "Label"]))

    def __len__(self):
        return self.ids.shape[0]
"""

LOADERS_RIGHT = """
import torch
from torch.utils.data import DataLoader, RandomSampler


def make_loaders(train, val, test, batch_size, seed):
    def own_generator():
        generator = torch.Generator()
        generator.manual_seed(seed)
        return generator

    def loader(dataset, **options):
        return DataLoader(dataset, batch_size, generator=own_generator(), **options)

    sampler = RandomSampler(train, generator=own_generator())
    train_loader = loader(train, sampler=sampler, drop_last=True)
    ids, labels = next(iter(train_loader))
    return [train_loader, loader(val), loader(test), (ids.shape, labels.shape)]
"""

PLAIN_SPLIT = """
def split_by_text(df, train_frac, validation_frac, seed=123):
    df = df.sample(frac=1, random_state=seed).reset_index(drop=True)
    train_end = int(len(df) * train_frac)
    validation_end = train_end + int(len(df) * validation_frac)
    parts = df[:train_end], df[train_end:validation_end], df[validation_end:]
    return tuple(part.reset_index(drop=True) for part in parts)
"""

EXERCISES = {
    "03_leitura": Exercise(
        right=READ_RIGHT,
        wrong=(
            Wrong(
                "lê como na aula, com as aspas do padrão",
                "veja o parâmetro quoting",
                code="""
def read_messages(path):
    df = pd.read_csv(path, sep="\\t", header=None, names=["Label", "Text"])
    kept = df[df["Text"].fillna("").str.strip() != ""].reset_index(drop=True)
    kept["Length"] = kept["Text"].str.len()
    return kept, len(df) - len(kept)
""",
            ),
            Wrong("só as aspas do padrão", "As aspas juntaram", changes={"quoting=csv.QUOTE_NONE": "quoting=0"}),
            Wrong(
                "NA vira ausente e sai com dropna",
                "veja keep_default_na",
                code="""
import csv


def read_messages(path):
    df = pd.read_csv(path, sep="\\t", header=None, names=["Label", "Text"], quoting=csv.QUOTE_NONE)
    kept = df.dropna()
    kept = kept[kept["Text"].str.strip() != ""].reset_index(drop=True)
    kept["Length"] = kept["Text"].str.len()
    return kept, len(df) - len(kept)
""",
            ),
            Wrong(
                "apara os textos que ficam",
                "Use strip() só para decidir quem sai",
                changes={'df["Length"]': 'df["Text"] = df["Text"].str.strip()\n    df["Length"]'},
            ),
            Wrong(
                "só tira os textos vazios, não os de espaços",
                "só de espaços ficaram",
                changes={'df["Text"].str.strip() != ""': 'df["Text"] != ""'},
            ),
            Wrong("não tira nada", "só de espaços ficaram", changes={"df = df[has_text]": "df = df"}),
            Wrong("conta os que ficaram", "Conte as de texto vazio", changes={"(~has_text).sum()": "has_text.sum()"}),
            Wrong(
                "Length em palavras",
                "Conte caracteres",
                changes={'df["Text"].str.len()': 'df["Text"].str.split().str.len()'},
            ),
            Wrong(
                "Length em bytes",
                "Conte caracteres",
                changes={'df["Text"].str.len()': 'df["Text"].str.encode("utf-8").str.len()'},
            ),
            Wrong("deixa os índices antigos", "reset_index", changes={".reset_index(drop=True)": ".copy()"}),
            Wrong(
                "um texto de dígitos vira número",
                "dtype=str",
                changes={
                    "        dtype=str,\n": "",
                    'has_text = df["Text"]': 'has_text = df["Text"].astype(str)',
                    'df["Length"] = df["Text"]': 'df["Length"] = df["Text"].astype(str)',
                },
            ),
            Wrong(
                "deixa os índices antigos numa coluna",
                "colunas Label, Length, Text",
                changes={"reset_index(drop=True)": "reset_index()"},
            ),
            Wrong(
                "devolve só a tabela", "os 2 valores (df, n_discarded)", changes={"return df, n_discarded": "return df"}
            ),
            Wrong("esquece o return", "faltou o return", changes={"return df, n_discarded": "df, n_discarded"}),
            Wrong(
                "não põe a coluna Length",
                "colunas Label, Length, Text",
                changes={'    df["Length"] = df["Text"].str.len()\n': ""},
            ),
            Wrong(
                "chama a função da biblioteca",
                "load_spam_data é o que este exercício recria",
                code="""
from llmdefinitions import clean_spam_data, load_spam_data


def read_messages(path):
    df = load_spam_data(path)
    kept = clean_spam_data(df)
    return kept.assign(Length=kept["Text"].str.len()), len(df) - len(kept)
""",
            ),
        ),
    ),
    "03_balanceamento": Exercise(
        right=BALANCE_RIGHT,
        wrong=(
            Wrong(
                "sorteia spam em vez de ham",
                "Sorteie ham, e não spam",
                code="""
def balance(df, ham_per_spam=1, seed=42):
    ham = df[df["Label"] == "ham"]
    spam = df[df["Label"] == "spam"].sample(int(len(ham) * ham_per_spam), random_state=seed, replace=True)
    return pd.concat([ham, spam]).sample(frac=1, random_state=seed).reset_index(drop=True)
""",
            ),
            Wrong("a razão invertida", "A razão está invertida", changes={"* ham_per_spam": "/ ham_per_spam"}),
            Wrong("ignora a razão", "ham_per_spam não fez diferença", changes={"* ham_per_spam": "* 1"}),
            Wrong("sorteia sem semente", "random_state=seed", changes={"(n_ham, random_state=seed)": "(n_ham)"}),
            Wrong("embaralha sem semente", "também ao de embaralhar", changes={"frac=1, random_state=seed": "frac=1"}),
            Wrong(
                "a semente sempre 42",
                "Você usou seed?",
                changes={"(n_ham, random_state=seed)": "(n_ham, random_state=42)"},
            ),
            Wrong("não embaralha", "Embaralhe as linhas no fim", changes={".sample(frac=1, random_state=seed)": ""}),
            Wrong("deixa os índices antigos", "reset_index", changes={".reset_index(drop=True)": ""}),
            Wrong(
                "sorteia com reposição",
                "sem reposição",
                changes={"(n_ham, random_state=seed)": "(n_ham, random_state=seed, replace=True)"},
            ),
            Wrong(
                "pega os primeiros ham",
                "Você usou seed?",
                changes={"ham.sample(n_ham, random_state=seed)": "ham.head(n_ham)"},
            ),
            Wrong("o erro é o do pandas", "60", changes={"n_ham > len(ham)": "False"}),
            Wrong(
                "o erro não diz os números",
                "80",
                changes={'f"ham_per_spam: seriam precisas {n_ham} mensagens ham; há {len(ham)}."': '"faltam ham"'},
            ),
            Wrong(
                "recusa quando há exatamente o preciso",
                "ham_per_spam=3",
                changes={"n_ham > len(ham)": "n_ham >= len(ham)"},
            ),
            Wrong(
                "com pouco ham devolve o que há",
                "deveria levantar ValueError",
                changes={
                    "n_ham = int(len(spam) * ham_per_spam)": "n_ham = min(len(ham), int(len(spam) * ham_per_spam))"
                },
            ),
            Wrong(
                "arredonda para o mais próximo",
                "Arredonde para baixo",
                changes={"int(len(spam) * ham_per_spam)": "-int(-len(spam) * ham_per_spam // 1)"},
            ),
            Wrong(
                "altera a tabela recebida",
                "trabalhe numa cópia",
                changes={"    spam = df[": "    df.sort_values('Text', inplace=True)\n    spam = df["},
            ),
            Wrong(
                "põe uma coluna na tabela recebida",
                "trabalhe numa cópia",
                changes={"    spam = df[": "    df['is_spam'] = df['Label'] == 'spam'\n    spam = df["},
            ),
            Wrong(
                "chama a função da biblioteca",
                "create_balanced_dataset é o que este exercício recria",
                code="""
from llmdefinitions import create_balanced_dataset


def balance(df, ham_per_spam=1, seed=42):
    return create_balanced_dataset(df).sample(frac=1, random_state=seed).reset_index(drop=True)
""",
            ),
        ),
    ),
    "03_divisao": Exercise(
        right=SPLIT_RIGHT,
        wrong=(
            Wrong("divide linhas, como na aula", "sorteie textos, e não linhas", code=PLAIN_SPLIT),
            Wrong(
                "só agrupa cópias exatas",
                "Normalize (strip e lower)",
                changes={'df["Text"].str.strip().str.lower()': 'df["Text"]'},
            ),
            Wrong("esquece as maiúsculas", "sem contar maiúsculas", changes={".str.lower()": ""}),
            Wrong("esquece os espaços das pontas", "sem contar maiúsculas e espaços", changes={".str.strip()": ""}),
            Wrong(
                "joga as cópias fora",
                "As cópias sumiram",
                changes={
                    "    key = df": "    df = df.loc[~df['Text'].str.strip().str.lower().duplicated()]\n    key = df"
                },
            ),
            Wrong(
                "as frações contam linhas",
                "contam textos diferentes",
                changes={"train_end = int(len(shuffled) * train_frac)": "train_end = int(len(df) * train_frac)"},
            ),
            Wrong(
                "soma as frações antes do int",
                "e não da soma das frações",
                changes={
                    "train_end + int(len(shuffled) * validation_frac)": (
                        "int(len(shuffled) * (train_frac + validation_frac))"
                    )
                },
            ),
            Wrong(
                "validação e teste trocados",
                "se trocaram",
                code="""
def split_by_text(df, train_frac, validation_frac, seed=123):
    key = df["Text"].str.strip().str.lower()
    shuffled = key.drop_duplicates().sample(frac=1, random_state=seed)
    a = int(len(shuffled) * train_frac)
    b = a + int(len(shuffled) * validation_frac)
    train, validation, test = (
        df[key.isin(part)].reset_index(drop=True) for part in (shuffled[:a], shuffled[a:b], shuffled[b:])
    )
    return train, test, validation
""",
            ),
            Wrong(
                "arredonda com round",
                "Arredonde para baixo",
                changes={
                    "train_end = int(len(shuffled) * train_frac)": "train_end = round(len(shuffled) * train_frac)",
                    "+ int(len(shuffled) * validation_frac)": "+ round(len(shuffled) * validation_frac)",
                },
            ),
            Wrong("sorteia sem semente", "A mesma semente dá a mesma divisão", changes={", random_state=seed": ""}),
            Wrong(
                "a semente sempre 123", "Você usou seed no sorteio?", changes={"random_state=seed": "random_state=123"}
            ),
            Wrong("deixa os índices antigos", "reset_index", changes={".reset_index(drop=True)": ""}),
            Wrong(
                "deixa a coluna auxiliar",
                "Sobrou a auxiliar?",
                changes={"    key = df": "    df = df.copy()\n    df['key'] = df['Text']\n    key = df"},
            ),
            Wrong(
                "põe a coluna auxiliar na tabela recebida",
                "trabalhe numa cópia",
                changes={"    key = df": "    df['key'] = df['Text']\n    key = df"},
            ),
            Wrong(
                "devolve os textos normalizados",
                "Normalize só para comparar",
                changes={"    return tuple(df": "    df = df.assign(Text=key)\n    return tuple(df"},
            ),
            Wrong(
                "chama a função da biblioteca",
                "random_split é o que este exercício recria",
                code="""
from llmdefinitions import random_split


def split_by_text(df, train_frac, validation_frac, seed=123):
    return random_split(df, train_frac, validation_frac, without_leaks=True)
""",
            ),
        ),
    ),
    "03_vazamento": Exercise(
        right=LEAKAGE_RIGHT,
        wrong=(
            Wrong(
                "só conta cópias exatas",
                "Normalize os textos",
                changes={'part["Text"].str.strip().str.lower()': 'part["Text"]'},
            ),
            Wrong(
                "acurácia nas que vazaram", "inverta a escolha", changes={"is_right[~is_leaked]": "is_right[is_leaked]"}
            ),
            Wrong(
                "divide pelo teste inteiro",
                "Divida pelo número de mensagens inéditas",
                changes={"float(is_right[~is_leaked].mean())": "float(is_right[~is_leaked].sum() / len(test_df))"},
            ),
            Wrong(
                "acurácia em tudo, duas vezes",
                "escolha só as inéditas",
                changes={"is_right[~is_leaked].mean()": "is_right.mean()"},
            ),
            Wrong("porcentagem", "de 0 a 1", changes={"float(is_right.mean())": "100 * float(is_right.mean())"}),
            Wrong(
                "treina também com o teste",
                "Treine com train_df inteiro",
                changes={
                    "    is_right = fit(train_df)": "    both = pd.concat([train_df, test_df])\n"
                    "    is_right = fit(both if len(train_df) > 2 else train_df)"
                },
            ),
            Wrong("treina com o teste", "accuracy", changes={"= fit(train_df)": "= fit(test_df)"}),
            Wrong(
                "treina duas vezes",
                "Treine uma vez só",
                changes={"    is_right = ": "    fit(train_df)\n    is_right = "},
            ),
            Wrong(
                "conta textos diferentes, e não mensagens",
                "cópias entre si inclusive",
                changes={"int(is_leaked.sum())": "int(asked[is_leaked].nunique())"},
            ),
            Wrong(
                "conta mensagens do treino",
                "n_leaked",
                changes={
                    "int(is_leaked.sum())": "int(seen.isin(asked).sum())",
                },
            ),
            Wrong("sem inéditas, NaN", "o valor é None", changes={" if not is_leaked.all() else None": ""}),
            Wrong(
                "compara séries de índices diferentes",
                "accuracy",
                changes={'test_df["Label"].to_numpy()': 'test_df["Label"].to_numpy()[::-1]'},
            ),
            Wrong("nome de chave errado", "esperava as chaves", changes={'"n_leaked"': '"leaked"'}),
            Wrong(
                "chama a função da biblioteca",
                "find_duplicates é o que este exercício recria",
                code="""
from llmdefinitions import find_duplicates


def measure_leakage(train_df, test_df, fit):
    is_right = fit(train_df).predict(test_df["Text"]) == test_df["Label"].to_numpy()
    is_leaked = test_df.index.isin(find_duplicates(train_df, test_df).index)
    return {"n_leaked": is_leaked.sum(), "accuracy": is_right.mean(), "accuracy_unseen": is_right[~is_leaked].mean()}
""",
            ),
        ),
    ),
    "03_dataset": Exercise(
        right=DATASET_RIGHT,
        wrong=(
            Wrong(
                "ignora o lado",
                "Isto é o que se espera de side='right'",
                changes={' if side == "right" else': " if True else"},
            ),
            Wrong(
                "corta de um lado e completa do outro",
                "Isto é o que se espera de side='right'",
                changes={"padding + ids[-max_length:]": "padding + ids[:max_length]"},
            ),
            Wrong(
                "completa do lado errado",
                "Isto é o que se espera de side='right'",
                changes={"padding + ids[-max_length:]": "ids[-max_length:] + padding"},
            ),
            Wrong(
                "os lados trocados",
                "Isto é o que se espera de side='left'",
                changes={'if side == "right"': 'if side == "left"'},
            ),
            Wrong(
                "um a menos no preenchimento",
                "até exatamente max_length",
                changes={"(max_length - len(ids))": "(max_length - len(ids) - 1)"},
            ),
            Wrong(
                "corta um token a mais",
                "até exatamente max_length",
                changes={"ids[:max_length]": "ids[: max_length - 1]"},
            ),
            Wrong(
                "conta errada ao cortar à esquerda",
                "esperava a forma (4,)",
                changes={"ids[-max_length:]": "ids[len(ids) - max_length :]"},
            ),
            Wrong("completa com zero", "Corte e complete", changes={"[pad_token_id] *": "[0] *"}),
            Wrong("completa sempre com 50256", "(pad_token_id)", changes={"[pad_token_id] *": "[50256] *"}),
            Wrong("não aceita <|endoftext|>", "disallowed special token", changes={", disallowed_special=()": ""}),
            Wrong(
                "<|endoftext|> vira o token especial",
                "<|endoftext|>",
                changes={"disallowed_special=()": 'allowed_special="all"'},
            ),
            Wrong(
                "busca o rótulo pelo índice",
                "KeyError",
                changes={'self.labels = df["Label"].tolist()': 'self.labels = df["Label"]'},
            ),
            Wrong(
                "ids de ponto flutuante",
                "int64",
                changes={"self.encoded_texts[index])": "self.encoded_texts[index], dtype=torch.float)"},
            ),
            Wrong(
                "ids de 32 bits",
                "torch.long",
                changes={"self.encoded_texts[index])": "self.encoded_texts[index], dtype=torch.int32)"},
            ),
            Wrong(
                "o rótulo não é um tensor",
                "o rótulo",
                changes={"torch.tensor(self.labels[index])": "self.labels[index]"},
            ),
            Wrong(
                "o rótulo tem uma dimensão a mais",
                "o rótulo",
                changes={"torch.tensor(self.labels[index])": "torch.tensor([self.labels[index]])"},
            ),
            Wrong(
                "aceita qualquer lado",
                "Só valem 'left' e 'right'",
                changes={'if side not in ("left", "right"):': "if False:"},
            ),
            Wrong(
                "o comprimento é o do texto",
                "É o número de mensagens",
                changes={"return len(self.labels)": "return len(self.encoded_texts[0])"},
            ),
            Wrong(
                "usa a função da biblioteca",
                "pad_or_truncate é o que este exercício recria",
                changes={
                    "ids[:max_length] + padding if": "pad_or_truncate(ids, max_length, pad_token_id) if",
                    "import torch\n": "import torch\nfrom llmdefinitions.datasets import pad_or_truncate\n",
                },
            ),
        ),
    ),
    "03_carregadores": Exercise(
        right=LOADERS_RIGHT,
        wrong=(
            Wrong(
                "muda a semente global",
                "o estado global mudou",
                changes={"generator = torch.Generator().manual_seed(seed)": "generator = torch.manual_seed(seed)"},
            ),
            Wrong(
                "semente global e nenhum gerador",
                "o estado global mudou",
                changes={
                    "generator = torch.Generator().manual_seed(seed)": "torch.manual_seed(seed)",
                    ", generator=generator": "",
                },
            ),
            Wrong("esquece o gerador", "Dê a ele o parâmetro generator", changes={", generator=generator": ""}),
            Wrong(
                "gerador sem semente",
                "Você usou seed?",
                changes={"torch.Generator().manual_seed(seed)": "torch.Generator()"},
            ),
            Wrong("semente sempre a mesma", "Você usou seed?", changes={"manual_seed(seed)": "manual_seed(123)"}),
            Wrong(
                "gerador semeado pelo relógio",
                "Semeie o gerador com seed",
                changes={"torch.Generator().manual_seed(seed)": "torch.Generator()\n    generator.seed()"},
            ),
            Wrong("esquece drop_last", "veja drop_last", changes={", drop_last=True": ""}),
            Wrong(
                "descarta também na validação",
                "nada se descarta",
                changes={
                    "DataLoader(val, batch_size=batch_size)": "DataLoader(val, batch_size=batch_size, drop_last=True)"
                },
            ),
            Wrong("não embaralha o treino", "Veja shuffle", changes={"shuffle=True, ": ""}),
            Wrong(
                "embaralha a validação",
                "não se embaralham",
                changes={"DataLoader(val, ": "DataLoader(val, shuffle=True, generator=torch.Generator(), "},
            ),
            Wrong(
                "ignora batch_size",
                "mensagens",
                changes={"DataLoader(train, batch_size=batch_size": "DataLoader(train, batch_size=8"},
            ),
            Wrong(
                "formas de uma só mensagem",
                "As formas de um lote",
                changes={
                    "((batch_size, *ids.shape), (batch_size, *label.shape))": "(tuple(ids.shape), tuple(label.shape))"
                },
            ),
            Wrong(
                "olha a forma percorrendo a validação",
                "carregador percorrido sem gerador",
                changes={"ids, label = train[0]": "next(iter(val_loader))\n    ids, label = train[0]"},
            ),
            Wrong(
                "troca a validação pelo teste",
                "Confira cada conjunto",
                changes={
                    "return train_loader, val_loader, test_loader": "return train_loader, test_loader, val_loader"
                },
            ),
            Wrong(
                "esquece as formas",
                "os 4 valores",
                changes={", ((batch_size, *ids.shape), (batch_size, *label.shape))": ""},
            ),
            Wrong(
                "chama a função da biblioteca",
                "create_data_loaders é o que este exercício recria",
                code="""
from llmdefinitions import create_data_loaders


def make_loaders(train, val, test, batch_size, seed):
    return *create_data_loaders(train, val, test, batch_size, seed), ((batch_size, 5), (batch_size,))
""",
            ),
        ),
    ),
}

SURVIVORS = {
    (
        "03_leitura",
        "df = pd.read_csv(path, sep='\\t', header=None, names=['Label', 'Text'], quoting=csv.QUOTE_NONE, "
        "keep_default_na=False, dtype=str) → df = pd.read_csv(path, sep='\\t', names=['Label', 'Text'], "
        "quoting=csv.QUOTE_NONE, keep_default_na=False, dtype=str)",
    ): "com names, o pandas já entende que o arquivo não tem cabeçalho",
    (
        "03_carregadores",
        "ids, label = train[0] → ids, label = train[1]",
    ): "todas as mensagens de um conjunto têm a mesma forma",
    (
        "03_carregadores",
        "ids, label = train[0] → ids, label = train[-1]",
    ): "todas as mensagens de um conjunto têm a mesma forma",
}

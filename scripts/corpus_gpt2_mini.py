"""Do zip ao texto comum: o corpus de pré-treinamento do gpt2-mini.

O corpus são catorze pacotes da coleção de dados do NLTK (https://www.nltk.org/nltk_data/), os
mesmos arquivos que ``nltk.download`` traz. O manifesto ``corpus_gpt2_mini.json`` guarda endereço,
licença e sha256 de cada um. Este módulo confere os zips, lê as entradas na memória (nada é
extraído para o disco), desfaz etiquetas e separações de tokens, remove repetições, reserva 2 % de
cada corpus para validação e devolve tudo em tokens da GPT-2.

Como comando, mostra amostras do texto limpo, o tamanho de cada corpus e confere que nenhum SMS da
coleção da UCI está no corpus::

    python scripts/corpus_gpt2_mini.py --corpus PASTA --amostras 2
    python scripts/corpus_gpt2_mini.py --corpus PASTA --sms SMSSpamCollection
"""

import hashlib
import html
import json
import re
import sys
import zipfile
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

MANIFEST_PATH = Path(__file__).with_name("corpus_gpt2_mini.json")
END_OF_TEXT = 50256
PIECE_CHARACTERS = 4000
VALIDATION_FRACTION = 0.02
SPLIT_SEED = 123
MIN_SMS_CHARACTERS = 20
SMS_NGRAM_WORDS = 8

_ATTACH_LEFT = re.compile(r"^([,.;:!?)\]}%]+|\.\.\.|n't|'(s|m|d|t|re|ve|ll)|N'T|'(S|M|D|T|RE|VE|LL))$")
_ATTACH_RIGHT = frozenset("([{$£#")
# Aspas e travessões que chegaram ao NLTK como Big5 lido em Latin-1 (discursos de 1970 a 2006).
_MISREAD = {"¡X": "--", "¡¦": "'", "¡¥": "'", "¡§": '"', "¡¨": '"', "¡K": "..."}


class CorpusError(Exception):
    """O corpus não está na pasta indicada ou não é o do manifesto."""


def load_manifest(path=MANIFEST_PATH):
    """Lê o manifesto: ``base_url`` e, por corpus, ``sha256``, ``descricao`` e ``licenca``."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_zip(folder, name, sha256):
    """Lê na memória as entradas de texto de ``folder/name.zip``, depois de conferir o sha256.

    Args:
        folder: pasta que contém os zips do NLTK.
        name: nome do corpus, sem extensão.
        sha256: soma esperada do zip, em hexadecimal.

    Returns:
        dict de nome da entrada (sem a pasta do corpus) para texto, em ordem alfabética.

    Raises:
        CorpusError: se o zip falta ou se a soma difere da esperada.
    """
    path = Path(folder) / f"{name}.zip"
    if not path.is_file():
        raise CorpusError(
            f"Não encontrei {path.name} na pasta do corpus. Baixe-o com "
            f"`python -m nltk.downloader {name}` ou do endereço que está em {MANIFEST_PATH.name}."
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise CorpusError(
            f"{path.name} não é o arquivo do manifesto: esperava sha256 {sha256}, achei {found}. "
            "Apague-o e baixe de novo."
        )
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if not n.endswith("/"))
        return {n.split("/", 1)[1]: decode(archive.read(n)) for n in names}


def decode(raw):
    """Decodifica bytes em UTF-8 ou, se não for válido, em Windows-1252; normaliza as linhas."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    for wrong, right in {"\r\n": "\n", "\r": "\n", **_MISREAD}.items():
        text = text.replace(wrong, right)
    return text


def detokenize(tokens):
    """Junta tokens separados por espaço de volta em texto comum.

    Cola a pontuação à palavra anterior, os parênteses e cifrões à seguinte, as contrações
    (``do n't``), e alterna aspas de abertura e de fechamento.

    Args:
        tokens: lista de tokens, por exemplo ``["``", "Yes", "''", ",", "he", "did", "n't"]``.

    Returns:
        texto, por exemplo ``'"Yes", he didn't'``.
    """
    text = []
    glue_next = True
    open_quotes = set()
    for token in tokens:
        glue_this = glue_next or bool(_ATTACH_LEFT.match(token))
        glue_next = token in _ATTACH_RIGHT
        if token in ("``", "''", '"', "'"):
            mark = "'" if token == "'" else '"'
            closing = token == "''" or (token != "``" and mark in open_quotes)
            if closing:
                open_quotes.discard(mark)
                glue_this = True
            else:
                open_quotes.add(mark)
                glue_next = True
            token = mark
        text.append(token if glue_this else " " + token)
    return "".join(text)


def capitalize_sentences(text):
    """Devolve as maiúsculas de início de frase e do pronome ``I`` a um texto só em minúsculas."""
    text = re.sub(r"\bi(?=\b(?!\.))", "I", text)
    return re.sub(
        r"(^|[.!?][\"')]*\s+)([\"'(]*)([a-z])",
        lambda match: match.group(1) + match.group(2) + match.group(3).upper(),
        text,
        flags=re.MULTILINE,
    )


def split_pieces(text, limit=PIECE_CHARACTERS):
    """Corta um documento longo em pedaços de até cerca de ``limit`` caracteres, entre linhas.

    Poucos documentos enormes (discursos, roteiros) não se deixariam dividir em treino e validação.
    """
    pieces, current, size = [], [], 0
    for line in text.split("\n"):
        if current and size + len(line) > limit:
            pieces.append("\n".join(current))
            current, size = [], 0
        current.append(line)
        size += len(line) + 1
    pieces.append("\n".join(current))
    return [piece.strip() for piece in pieces if piece.strip()]


def read_brown(entries):
    """Brown: ``palavra/ETIQUETA``, um parágrafo por linha em branco."""
    for name, text in entries.items():
        if not re.fullmatch(r"c[a-r]\d\d", name):
            continue
        paragraphs = []
        for block in re.split(r"\n\s*\n", text):
            words = [token.rsplit("/", 1)[0] for token in block.split()]
            # O Brown repete a pontuação que fecha uma frase citada: "!/. !/."
            words = [w for i, w in enumerate(words) if not (i and w in "!?;" and w == words[i - 1])]
            if words:
                paragraphs.append(detokenize(words))
        yield from split_pieces("\n".join(paragraphs))


def read_masc(entries):
    """MASC: ``palavra_ETIQUETA``, uma frase por linha; tuítes viram um documento por linha."""
    for name, text in entries.items():
        if name == "categories.txt":
            continue
        lines = [_masc_line(line) for line in text.split("\n")]
        if name.startswith("written/tweets"):
            yield from lines
            continue
        paragraphs = re.split(r"\n{2,}", "\n".join(lines))
        yield from split_pieces("\n".join(" ".join(p.split("\n")) for p in paragraphs))


def _masc_line(line):
    words = [token.rsplit("_", 1)[0] for token in line.split()]
    text = detokenize([word for word in words if word])
    return re.sub(r"(?<=\w)- (?=\w)", "-", text)


def read_reviews(entries):
    """Críticas de cinema inteiras: minúsculas, pontuação separada, uma frase por linha."""
    for name, text in entries.items():
        if name.startswith(("neg/", "pos/")):
            sentences = [detokenize(line.split()) for line in text.split("\n")]
            yield from split_pieces(capitalize_sentences(_paragraphs(sentences, 5)))


def _paragraphs(sentences, size):
    sentences = [sentence for sentence in sentences if sentence]
    groups = [sentences[i : i + size] for i in range(0, len(sentences), size)]
    return "\n".join(" ".join(group) for group in groups)


def read_sentences(entries):
    """Frases soltas de crítica ou enredo: minúsculas, pontuação separada, um documento por linha."""
    for name, text in entries.items():
        if not name.startswith("README"):
            for line in text.split("\n"):
                yield capitalize_sentences(detokenize(line.split()))


def read_pros_cons(entries):
    """Prós e contras: uma linha ``<Pros>…</Pros>`` por documento."""
    for name, text in entries.items():
        if name.startswith("Integrated"):
            for line in re.findall(r"<(?:Pros|Cons)>(.*?)</", text):
                yield re.sub(r"\s+", " ", html.unescape(line)).strip()


def read_product_reviews(entries):
    """Avaliações de produtos: tira as anotações antes de ``##``; ``[t]`` inicia um documento."""
    for name, text in entries.items():
        if name.startswith("README"):
            continue
        body = "\n".join(line for line in text.split("\n") if not line.startswith("*"))
        for review in re.split(r"^\[t\]", body, flags=re.MULTILINE):
            title, *lines = review.split("\n")
            sentences = [line.split("##", 1)[1] for line in lines if "##" in line]
            text = "\n".join([title.strip(), " ".join(s.strip() for s in sentences)]).strip()
            text = "\n".join(detokenize(line.split()) for line in text.split("\n"))
            yield from split_pieces(capitalize_sentences(text))


def read_switchboard(entries):
    """Conversas por telefone: uma fala por linha, sem números de turno nem anotações de ruído."""
    conversation = []
    for line in entries["transcript"].split("\n"):
        turn = re.match(r"([AB])\.(\d+): ?(.*)", line.strip())
        if not turn:
            continue
        speaker, number, speech = turn.groups()
        if number == "1" and len(conversation) > 2:
            yield from split_pieces("\n".join(conversation))
            conversation = []
        speech = re.sub(r"<[^>]*>|\s-(?=\s|$)", " ", speech)
        speech = re.sub(r"\s+([,.?!])", r"\1", re.sub(r"\s+", " ", speech)).strip()
        if speech:
            conversation.append(f"{speaker}: {speech}")
    yield from split_pieces("\n".join(conversation))


def read_webtext(entries):
    """Texto da rede: conversas separadas por linha em branco, roteiros, e o resto linha a linha."""
    for name, text in entries.items():
        if name == "overheard.txt":
            yield from re.split(r"\n\s*\n", text)
        elif name in ("grail.txt", "pirates.txt"):
            yield from split_pieces(text)
        elif name != "README":
            yield from text.split("\n")


def read_plain(entries):
    """Textos corridos: uma linha por parágrafo, cortados em pedaços."""
    for name, text in entries.items():
        if not name.startswith("README"):
            lines = (re.sub(r"\s+", " ", line).strip() for line in text.split("\n"))
            yield from split_pieces("\n".join(line for line in lines if line))


def read_genesis(entries):
    """Gênesis em inglês: junta as linhas quebradas no meio da frase."""
    english = {name: text for name, text in entries.items() if name.startswith("english")}
    for text in english.values():
        yield from split_pieces(re.sub(r"(?<![.!?\"'])\n(?=\S)", " ", re.sub(" +", " ", text)))
    yield from split_pieces(entries["lolcat.txt"])


READERS = {
    "abc": read_plain,
    "brown": read_brown,
    "genesis": read_genesis,
    "inaugural": read_plain,
    "masc_tagged": read_masc,
    "movie_reviews": read_reviews,
    "product_reviews_1": read_product_reviews,
    "product_reviews_2": read_product_reviews,
    "pros_cons": read_pros_cons,
    "sentence_polarity": read_sentences,
    "state_union": read_plain,
    "subjectivity": read_sentences,
    "switchboard": read_switchboard,
    "webtext": read_webtext,
}


def normalize(text):
    """Minúsculas, só letras e algarismos, separados por um espaço: a forma em que se comparam textos."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def load_documents(folder):
    """Lê e limpa o corpus inteiro, sem documentos repetidos.

    Args:
        folder: pasta dos zips do NLTK.

    Returns:
        dict de nome do corpus para lista de documentos (texto comum, em inglês).

    Raises:
        CorpusError: se um zip falta ou não confere com o manifesto.
    """
    manifest = load_manifest()["corpora"]
    seen = set()
    corpora = {}
    for name, reader in READERS.items():
        documents = []
        for document in reader(read_zip(folder, name, manifest[name]["sha256"])):
            document = document.strip()
            key = normalize(document)
            if key and key not in seen:
                seen.add(key)
                documents.append(document)
        corpora[name] = documents
    return corpora


def split_documents(documents, rng):
    """Embaralha e separa 2 % dos caracteres, em documentos inteiros, para a validação.

    Args:
        documents: lista de textos.
        rng: gerador ``numpy.random.Generator``.

    Returns:
        par (treino, validação) de listas.
    """
    shuffled = [documents[i] for i in rng.permutation(len(documents))]
    sizes = np.cumsum([len(document) for document in shuffled])
    held_out = int(np.searchsorted(sizes, VALIDATION_FRACTION * sizes[-1])) + 1
    return shuffled[held_out:], shuffled[:held_out]


def tokenize_corpus(folder, tokenizer):
    """Corpus limpo, dividido e em tokens, cada documento seguido de ``<|endoftext|>``.

    Args:
        folder: pasta dos zips do NLTK.
        tokenizer: tokenizador da GPT-2 com ``encode_ordinary_batch``.

    Returns:
        dict ``{"treino": {corpus: [array uint16, …]}, "validacao": {…}}``, um vetor por documento.
    """
    split = {"treino": {}, "validacao": {}}
    for index, (name, documents) in enumerate(load_documents(folder).items()):
        parts = split_documents(documents, np.random.default_rng(SPLIT_SEED + index))
        for part, texts in zip(split, parts, strict=True):
            split[part][name] = [
                np.array([*ids, END_OF_TEXT], dtype=np.uint16) for ids in tokenizer.encode_ordinary_batch(texts)
            ]
    return split


def sms_overlap(documents, messages):
    """Procura mensagens da coleção da UCI no corpus.

    Args:
        documents: textos do corpus.
        messages: textos das mensagens SMS.

    Returns:
        dict com ``mensagens_comparadas`` (as de pelo menos 20 caracteres normalizados),
        ``mensagens_contidas`` (textos que aparecem inteiros num documento) e
        ``sequencias_de_8_palavras_em_comum`` (as sequências, ordenadas).
    """
    corpus = "\n".join(f" {normalize(document)} " for document in documents)
    unique = sorted({normalize(message) for message in messages})
    compared = [message for message in unique if len(message) >= MIN_SMS_CHARACTERS]
    sms_ngrams = {gram for message in unique for gram in _ngrams(message)}
    common = set()
    for line in corpus.split("\n"):
        common.update(sms_ngrams.intersection(_ngrams(line)))
    return {
        "mensagens_comparadas": len(compared),
        "mensagens_contidas": [message for message in compared if f" {message} " in corpus],
        "sequencias_de_8_palavras_em_comum": sorted(common),
    }


def _ngrams(text, size=SMS_NGRAM_WORDS):
    words = text.split()
    return {" ".join(words[i : i + size]) for i in range(len(words) - size + 1)}


def read_sms_messages(path):
    """Lê só os textos de ``SMSSpamCollection`` (rótulo, tabulação, texto por linha)."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    return [line.split("\t", 1)[1] for line in lines if "\t" in line]


@click.command(help=__doc__.split("\n\n")[0])
@click.option(
    "--corpus",
    "folder",
    type=click.Path(exists=True, file_okay=False),
    required=True,
    help="Pasta com os zips do NLTK.",
)
@click.option("--amostras", "samples", default=1, show_default=True, help="Amostras por corpus.")
@click.option("--semente", "seed", default=0, show_default=True, help="Semente das amostras.")
@click.option(
    "--sms",
    type=click.Path(exists=True, dir_okay=False),
    help="SMSSpamCollection: confere que nenhuma mensagem está no corpus.",
)
def main(folder, samples, seed, sms):
    try:
        corpora = load_documents(folder)
    except CorpusError as error:
        raise click.ClickException(str(error)) from error
    rng = np.random.default_rng(seed)
    for name, documents in corpora.items():
        characters = sum(map(len, documents))
        click.echo(f"\n== {name}: {len(documents)} documentos, {characters / 1e6:.2f} M caracteres")
        for index in rng.choice(len(documents), size=samples, replace=False):
            click.echo(f"--- {documents[index][:400]}")
    if sms:
        overlap = sms_overlap(
            [document for documents in corpora.values() for document in documents],
            read_sms_messages(sms),
        )
        click.echo(json.dumps(overlap, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()

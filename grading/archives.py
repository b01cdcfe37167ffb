"""Abrir um zip que veio de fora: o que não é um arquivo comum, num lugar comum e de um tamanho comum não sai dele.

Nada do que o zip declara decide sozinho: os nomes são conferidos um a um antes de qualquer escrita, e o que se lê é
contado enquanto é lido. Um zip armado só consegue uma frase.
"""

import re
import stat
import unicodedata
import zipfile
import zlib
from contextlib import contextmanager
from io import FileIO
from pathlib import PurePosixPath

MOST_ENTRIES = 20_000
"""Quantos arquivos um zip pode ter."""

LARGEST_DIRECTORY = 8_000_000  # bytes; o índice de um zip com MOST_ENTRIES nomes longos cabe aí com folga
LONGEST_NAME = 1000
CHUNK = 1 << 20
RATIO = 200
"""Quantas vezes um arquivo de mais de ``CHUNK`` bytes pode crescer; um caderno não passa de algumas dezenas."""

REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)
"""Os tipos de arquivo que se aceitam; 0 é o de um zip feito no Windows, que não diz."""

READ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError)


DAMAGED = "está estragado no zip. Baixe-o de novo; se não adiantar, peça ao aluno outro."


class ArchiveError(Exception):
    """Um zip, ou um arquivo dele, não pode ser usado; a mensagem diz por quê."""


class Budget:
    """Quantos bytes e arquivos ainda podem ser gravados.

    Args:
        size: quantos bytes, ao todo.
        count: quantos arquivos.
    """

    def __init__(self, size, count):
        self.size, self.count = size, count
        self._limits = f"{size // 1_000_000} MB", f"{count} arquivos"

    def spend(self, size=0, count=0):
        """Desconta o que foi gravado.

        Raises:
            ArchiveError: se passou do limite.
        """
        self.size, self.count = self.size - size, self.count - count
        for left, limit in zip((self.size, self.count), self._limits, strict=True):
            if left < 0:
                raise ArchiveError(f"passa de {limit}, o máximo de uma entrega.")


class _Reader(FileIO):
    """Um arquivo de que não se lê muito de uma vez: o índice de um zip é lido inteiro, e o tamanho quem diz é ele."""

    def read(self, size=-1):
        if size > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile("o índice é grande demais")
        return super().read(LARGEST_DIRECTORY if size < 0 else size)


@contextmanager
def open_archive(path):
    """Abre um zip para leitura.

    Args:
        path: o caminho dele.

    Yields:
        O ``zipfile.ZipFile``.

    Raises:
        ArchiveError: se não é um zip inteiro, ou tem arquivos demais.
    """
    try:
        file = _Reader(path)
    except OSError as error:
        raise ArchiveError(f"não pode ser lido ({error.strerror or error}).") from error
    with file:
        try:
            archive = zipfile.ZipFile(file)
        except UnicodeDecodeError as error:
            raise ArchiveError("tem um nome de arquivo que não é um texto em UTF-8.") from error
        except READ_ERRORS as error:
            raise ArchiveError("não é um zip, ou não está inteiro. Baixe-o de novo.") from error
        with archive:
            if len(archive.infolist()) > MOST_ENTRIES:
                raise ArchiveError(f"tem mais de {MOST_ENTRIES} arquivos.")
            yield archive


def entry_name(info, strict=True):
    """O nome de um arquivo de um zip, em NFC.

    Args:
        info: o ``zipfile.ZipInfo``.
        strict: se recusa um nome com acentos numa codificação que o zip não diz qual é; sem isto, fica o que o
            ``zipfile`` entendeu.

    Raises:
        ArchiveError: se não dá para saber o nome.
    """
    name = info.orig_filename
    if not info.flag_bits & 0x800:  # sem a marca de UTF-8 o zipfile lê em cp437, e há quem grave UTF-8 sem a pôr
        try:
            name = name.encode("cp437").decode()
        except UnicodeError as error:
            if strict:
                raise ArchiveError("tem um nome de arquivo com acentos que não é um texto em UTF-8.") from error
    return unicodedata.normalize("NFC", name)


def check_place(name):
    """Confere que um nome, dentro de um zip, não leva para fora da pasta onde ele será aberto.

    Raises:
        ArchiveError: se leva, ou se só serve para isso.
    """
    if len(name) > LONGEST_NAME:
        raise ArchiveError(f"tem um nome de arquivo com mais de {LONGEST_NAME} caracteres.")
    parts = name.removesuffix("/").split("/")
    if "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name) or any(part in ("", ".", "..") for part in parts):
        raise ArchiveError("tem um caminho que leva para fora da pasta onde seria aberto.")


def check_kind(info):
    """Confere que um arquivo de um zip é um arquivo comum ou uma pasta, sem senha.

    Raises:
        ArchiveError: se não é.
    """
    if info.flag_bits & 0x1:
        raise ArchiveError("está protegido por senha.")
    if stat.S_IFMT(info.external_attr >> 16) not in REGULAR:
        raise ArchiveError("tem um link simbólico, ou outra coisa que não é um arquivo comum.")


def is_printable(name):
    """Se um nome não tem caracteres de controle, quebras de linha nem os que mudam a direção do texto."""
    return all(character == " " or character.isprintable() for character in name)


def is_clutter(name):
    """Se um arquivo só está no zip porque um sistema o pôs ali: o que é oculto e as sobras do macOS e do Windows."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part in ("__MACOSX", "__pycache__") for part in parts) or (
        parts[-1:] in (("Thumbs.db",), ("desktop.ini",))
    )


def extract(archive, info, target, budget):
    """Grava um arquivo de um zip, contando os bytes que saem dele.

    Args:
        archive: o ``zipfile.ZipFile``.
        info: o ``zipfile.ZipInfo``.
        target: onde gravar; não pode existir.
        budget: o ``Budget`` da entrega.

    Raises:
        ArchiveError: se ele passa dos limites, está estragado ou não pode ser gravado.
    """
    check_kind(info)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveError("está comprimido de um jeito que não é o comum dos zips.")
    if info.file_size > max(CHUNK, RATIO * info.compress_size):
        raise ArchiveError(f"cresce mais de {RATIO} vezes ao ser aberto, como só uma bomba de descompressão.")
    budget.spend(count=1)
    if info.file_size > budget.size:
        budget.spend(info.file_size)
    try:
        origin = archive.open(info)
    except (*READ_ERRORS, RuntimeError) as error:
        raise ArchiveError(DAMAGED) from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with origin, target.open("xb") as file:
            while piece := origin.read(CHUNK):
                budget.spend(len(piece))
                file.write(piece)
    except FileExistsError as error:
        raise ArchiveError("tem dois arquivos com o mesmo nome.") from error
    except OSError as error:
        raise ArchiveError(f"não pode ser gravado ({error.strerror or error}).") from error
    except READ_ERRORS as error:
        raise ArchiveError(DAMAGED) from error

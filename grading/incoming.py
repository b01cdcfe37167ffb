"""As entregas que chegam num zip do Moodle ou do Canvas: de quem é cada arquivo, e a pasta de cada aluno.

Os nomes são os que cada sistema dá ao baixar todas as entregas de uma tarefa:

- Moodle (``mod/assign/classes/downloader.php``): ``Ana Silva_123_assignsubmission_file_/caderno.ipynb`` ou, sem pastas,
  ``Ana Silva_123_assignsubmission_file_caderno.ipynb``. O número é o do participante **naquela tarefa**, e não o do
  usuário: de uma lição para outra, quem identifica o aluno é o nome.
- Canvas (``lib/content_zipper.rb``): ``silvaana_LATE_45_678_caderno-1.ipynb``, com o número do usuário e o do arquivo.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from zipfile import ZipInfo

from .archives import (
    ArchiveError,
    Budget,
    check_kind,
    check_place,
    entry_name,
    extract,
    is_clutter,
    is_printable,
    open_archive,
)

MOODLE, CANVAS = "Moodle", "Canvas"

LARGEST_SUBMISSION, MOST_FILES = 100_000_000, 1000
"""O que uma entrega pode ter: bytes, os mesmos do nbgrader, e arquivos."""

NEW, REPLACED, SAME, REFUSED = "nova", "nova versão", "sem mudança", "fora"

TIMESTAMP = "timestamp.txt"

_MOODLE = r"(?P<name>[^_]+?)(?:_(?P<id>\d{1,20}))?_assignsubmission_(?P<kind>[a-z]+)"
_MOODLE_FOLDER = re.compile(_MOODLE + "_?")
_MOODLE_FILE = re.compile(_MOODLE + "_(?P<file>.+)")
_CANVAS = r"(?:(?!LATE_|anon_)(?P<name>.+?)_)?(?:(?P<late>LATE)_)?(?P<id>\d{1,20}|anon_\w+?)"
_CANVAS_FILE = re.compile(_CANVAS + r"_(?P<number>\d{1,20})_(?P<file>.+)")
_CANVAS_TEXT = re.compile(_CANVAS + r"_(?:text|link)\.html")


@dataclass
class Parcel:
    """O que um zip traz de um aluno.

    Attributes:
        name: o nome dele, como o sistema o escreve.
        lms_id: o número dele no sistema; vazio se não há.
        late: se o sistema diz que veio com atraso.
        files: pares de caminho, dentro da entrega, e ``zipfile.ZipInfo``.
    """

    name: str
    lms_id: str = ""
    late: bool = False
    files: list[tuple[str, ZipInfo]] = field(default_factory=list)


# --- de quem é cada arquivo


def read_parcels(archive, lesson):
    """Reparte os arquivos de um zip pelos alunos.

    Args:
        archive: o ``zipfile.ZipFile``, de ``grading.archives.open_archive``.
        lesson: o nome da lição.

    Returns:
        ``(platform, parcels)``: ``MOODLE`` ou ``CANVAS``, e a lista dos ``Parcel``, na ordem do nome.

    Raises:
        ArchiveError: se o zip não é de nenhum dos dois, ou tem o que nenhum dos dois põe num zip.
    """
    names = _checked_names(archive)
    moodle, canvas = (
        [(match(name), info) for name, info in names if match(name)] for match in (_match_moodle, _match_canvas)
    )
    if not moodle and not canvas:
        raise ArchiveError(
            "não tem entregas do Moodle (Nome_123_assignsubmission_file_/…) nem do Canvas (nome_123_456_…). Baixe as "
            "entregas pelo botão que baixa todas de uma vez, e não mude o nome do que está dentro."
        )
    platform, found = (MOODLE, moodle) if len(moodle) >= len(canvas) else (CANVAS, canvas)
    parcels = {}
    for (name, lms_id, late, path), info in found:
        parcel = parcels.setdefault((name, lms_id), Parcel(name, lms_id))
        parcel.late |= late
        if path:
            parcel.files.append((path, info))
    if platform == CANVAS:
        for parcel in parcels.values():
            parcel.files = _newest(parcel.files, lesson)
    for parcel in parcels.values():
        if not is_printable(parcel.name):
            raise ArchiveError("tem um nome de aluno com caracteres de controle.")
    return platform, sorted(parcels.values(), key=lambda parcel: (parcel.name, parcel.lms_id))


def _checked_names(archive):
    """Os nomes e os ``ZipInfo`` dos arquivos, sem a pasta em que alguém tenha posto tudo ao refazer o zip."""
    seen, names = set(), []
    for info in archive.infolist():
        name = entry_name(info)
        check_place(name)
        check_kind(info)
        if name in seen:
            raise ArchiveError("tem dois arquivos com o mesmo nome.")
        seen.add(name)
        if not name.endswith("/") and not is_clutter(name):
            names.append((name, info))
    first = {name.split("/")[0] for name, _ in names}
    if len(first) == 1 and all("/" in name for name, _ in names) and not _MOODLE_FOLDER.fullmatch(*first):
        names = [(name.partition("/")[2], info) for name, info in names]
    return names


def _match_moodle(name):
    folder, _, rest = name.partition("/")
    match, path = _MOODLE_FOLDER.fullmatch(folder) if rest else None, rest
    if not match and not rest and (match := _MOODLE_FILE.fullmatch(name)):
        path = match["file"]
    return match and (match["name"].strip(), match["id"] or "", False, path if match["kind"] == "file" else "")


def _match_canvas(name):
    file = _CANVAS_FILE.fullmatch(name)
    match = file or _CANVAS_TEXT.fullmatch(name)
    if not match or "/" in name:
        return None
    path = f"{file['number']}/{file['file']}" if file else ""
    return match["name"] or match["id"], match["id"], bool(match["late"]), path


def _newest(files, lesson):
    """Dos arquivos de um aluno no Canvas, só a última versão do caderno: ``LIÇÃO-1.ipynb`` é ele entregue de novo."""
    chosen, number_of_chosen = {}, {}
    for path, info in files:
        number, _, name = path.partition("/")
        again = re.fullmatch(r"(.+?)(?:-\d+)?(\.ipynb)", name, re.IGNORECASE)
        if again and _same_name(again[1], lesson):
            name = f"{lesson}.ipynb"
        elif name in chosen:
            name = path.replace("/", "_")
        if int(number) >= number_of_chosen.get(name, 0):
            chosen[name], number_of_chosen[name] = info, int(number)
    return list(chosen.items())


def _same_name(one, other):
    return unicodedata.normalize("NFC", one).casefold() == other.casefold()


# --- que aluno é cada um


def folder_name(name):
    """Um nome que serve de pasta em qualquer sistema, e que ``find_submissions`` não deixa de fora."""
    clean = "".join(character if character.isprintable() else " " for character in unicodedata.normalize("NFC", name))
    words = re.sub(r'[/\\:*?"<>|]', " ", clean).split()
    short = " ".join(words).encode()[:100].decode(errors="ignore").strip(" .")
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", short)
    return f"aluno {short}".strip() if reserved or not short else short


def name_students(parcels, students, platform):
    """Dá a cada entrega o aluno dela: um que já está na base, ou um novo, com o nome que o sistema dá.

    Args:
        parcels: os ``Parcel``.
        students: os ``Student`` da base de notas.
        platform: ``MOODLE`` ou ``CANVAS``.

    Returns:
        ``(names, homonyms)``: a lista dos nomes das pastas, um por ``Parcel``; e os que levaram o número do sistema
        porque há mais de um aluno com o mesmo nome.
    """
    by_number = {student.lms_user_id: student.id for student in students if student.lms_user_id and platform == CANVAS}
    by_name = defaultdict(set)
    for student in students:
        by_name[name_key(student.id, platform)].add(student.id)
        if student.first_name or student.last_name:
            by_name[_fullname_key(student, platform)].add(student.id)
    number_of = {student.id: student.lms_user_id for student in students}
    alike = Counter(name_key(parcel.name, platform) for parcel in parcels)
    names, homonyms = [], []
    for parcel in parcels:
        key = name_key(parcel.name, platform)
        same = [one for one in by_name[key] if platform == MOODLE or number_of[one] in (None, "", parcel.lms_id)]
        name = by_number.get(parcel.lms_id)
        if not name and alike[key] == 1 and len(same) <= 1 and (same or not by_name[key]):
            name = same[0] if same else folder_name(parcel.name)
        if not name or name in names:
            name = f"{folder_name(parcel.name)} {parcel.lms_id}".strip()
            homonyms.append(name)
        names.append(name)
    return names, homonyms


def name_key(name, platform):
    """O nome de um aluno, como se compara com outro: sem diferença de maiúsculas, de espaços e da forma dos acentos."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return re.sub(r"\W", "", folded) if platform == CANVAS else " ".join(folder_name(folded).split())


def _fullname_key(student, platform):
    first, last = student.first_name or "", student.last_name or ""
    return name_key(f"{last}, {first}" if platform == CANVAS else f"{first} {last}", platform)


# --- a pasta de cada aluno


def unpack(archive, parcel, lesson, folder):
    """Abre a entrega de um aluno numa pasta vazia e acha o caderno nela.

    Args:
        archive: o ``zipfile.ZipFile``.
        parcel: o ``Parcel``.
        lesson: o nome da lição.
        folder: a pasta vazia.

    Returns:
        A pasta da entrega, ``folder`` ou uma dentro dela, com o caderno chamado ``LIÇÃO.ipynb``.

    Raises:
        ArchiveError: se a entrega não pode ser aberta, ou não dá para saber qual é o caderno.
    """
    if not parcel.files:
        raise ArchiveError("não tem arquivo nenhum, só um texto escrito na página da tarefa.")
    budget = Budget(LARGEST_SUBMISSION, MOST_FILES)
    _extract_all(archive, parcel.files, folder, budget)
    notebooks = _notebooks(folder)
    if not notebooks:
        for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".zip" and path.is_file()):
            with open_archive(path) as inner:
                files = [(entry_name(info, strict=False), info) for info in inner.infolist()]
                _extract_all(inner, files, path.with_name(f"{path.name}.aberto"), budget)
        notebooks = _notebooks(folder)
    notebook = _choose(notebooks, lesson)
    notebook.rename(notebook.with_name(f"{lesson}.ipynb"))
    return notebook.parent


def _extract_all(archive, files, folder, budget):
    for name, info in files:
        check_place(name)
        if not is_printable(name):
            raise ArchiveError("tem um nome de arquivo com caracteres de controle.")
        # A data da entrega não é o aluno quem diz.
        unwanted = name.endswith("/") or is_clutter(name) or TIMESTAMP in PurePosixPath(name.casefold()).parts
        if not unwanted:
            extract(archive, info, folder / name, budget)


def _notebooks(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".ipynb" and path.is_file())


def _choose(notebooks, lesson):
    named = [path for path in notebooks if _same_name(path.stem, lesson)]
    top = min((len(path.parts) for path in named), default=0)
    for candidates in ([path for path in named if len(path.parts) == top], notebooks):
        if len(candidates) == 1:
            return candidates[0]
    if not notebooks:
        raise ArchiveError("não tem um caderno (.ipynb).")
    raise ArchiveError(f"tem {len(notebooks)} cadernos, e não dá para saber qual é o {lesson}.ipynb.")


def settle(new, destination, previous):
    """Põe uma entrega no lugar; uma diferente que esteja lá é guardada.

    Args:
        new: a pasta da entrega, no mesmo disco.
        destination: ``submitted/ALUNO/LIÇÃO``.
        previous: onde guardar a que está lá.

    Returns:
        ``NEW``, ``REPLACED`` ou ``SAME``.

    Raises:
        ArchiveError: se o lugar não é uma pasta comum.
    """
    if destination.is_symlink() or destination.parent.is_symlink():
        raise ArchiveError(f"não tem onde ficar: {destination} passa por um link simbólico.")
    try:
        state = NEW
        if destination.exists():
            if _contents(destination) == _contents(new):
                return SAME
            previous.parent.mkdir(parents=True, exist_ok=True)
            destination.rename(previous)
            state = REPLACED
        destination.parent.mkdir(parents=True, exist_ok=True)
        new.rename(destination)
    except OSError as error:
        raise ArchiveError(f"não pode ser posto em {destination} ({error.strerror or error}).") from error
    return state


def _contents(folder):
    """O conteúdo dos arquivos de uma entrega, menos a data e o que o Jupyter deixa quando alguém a abre."""
    contents = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and str(name) != TIMESTAMP and not is_clutter(name.as_posix()):
            with path.open("rb") as file:
                contents[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return contents

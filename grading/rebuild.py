"""O caderno que vale: o da fonte, com as respostas da entrega.

``read_submission`` lê um arquivo em que não se confia e fica só com o que interessa dele; ``rebuild`` compõe o caderno
a executar. Da fonte vêm a ordem, os ids, as etiquetas, os metadados e o texto das células travadas, que são as de teste
e as só de leitura. Da entrega vêm o texto das respostas, o das células de aula e as células que o estudante
acrescentou. Nenhuma saída vem da entrega.

Qual célula da entrega é qual da fonte
    Pelo ``grade_id``; senão, pelo id da célula; senão, pelo texto; senão, quando a entrega não tem ids que sirvam, pela
    posição entre duas já reconhecidas, se dos dois lados há o mesmo tanto de células.

Respostas repetidas
    Quem copia uma célula copia o ``grade_id`` dela. Vale como resposta a primeira que não está em branco, e as outras
    continuam onde estavam, como células comuns: o que se executa é o que o estudante viu, na mesma ordem. As cópias em
    branco saem, porque desfariam a resposta; as de células travadas também.

O que é sinal de coisa feita de propósito (``serious``)
    Etiqueta que faz o executor pular uma célula de teste ou aceitar o erro dela, e pontos ou papel mudados nos
    metadados de uma célula avaliada: nenhum editor faz isso por engano. Um teste alterado, apagado ou fora de ordem
    pode ser acidente.
"""

import json
import os
import re
import stat
from copy import deepcopy
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property
from itertools import chain

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.utils import is_grade, is_locked, is_task

from .results import Note

MAX_BYTES = 100_000_000
MAX_CONTAINERS = 5_000_000
"""Listas e objetos num arquivo: mais do que isso, lê-lo ocuparia gigabytes de memória."""
MAX_CELLS = 5_000
MAX_TEXT = 20_000_000
"""Caracteres no texto de todas as células."""

IMAGE_TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
"""O que um anexo pode ter: vai parar, como está, na página em que o professor lê a resposta."""

EXECUTION_TAGS = {"skip-execution", "raises-exception"}
"""As etiquetas que mudam o que o executor faz com uma célula."""
ROLE = ("grade", "solution", "locked", "task")


class Change(StrEnum):
    """O ``kind`` de cada mudança que ``rebuild`` lista."""

    MISSING = "celula_faltando"
    EDITED = "celula_alterada"
    DUPLICATED = "celula_duplicada"
    RETYPED = "tipo_trocado"
    TAGGED = "etiqueta"
    METADATA = "metadados_mudados"
    REORDERED = "ordem_trocada"
    UNKNOWN_ID = "id_desconhecido"
    COPIED_TEST = "teste_copiado"
    DROPPED = "celula_descartada"
    KERNEL = "kernel_errado"


class UnreadableError(Exception):
    """A entrega não pode ser lida como caderno; o texto é a frase para quem a fez e para quem a corrige."""


# --- Ler


def read_submission(path):
    """Lê um caderno entregue, seja lá o que for que está nele.

    Args:
        path: o arquivo.

    Returns:
        Um caderno novo, em nbformat 4, com o que ``rebuild`` usa: de cada célula, o tipo, o id, o texto, os anexos, as
        etiquetas e os metadados do nbgrader. Células sem id continuam sem ele.

    Raises:
        UnreadableError: se não é um arquivo comum ou não tem um caderno dentro.
    """
    data = read_regular_file(path)
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise UnreadableError("O caderno tem saídas demais para ser lido. Apague as saídas, salve e entregue de novo.")
    return clean(_parse(data))


def read_regular_file(path):
    """Os bytes de um caderno entregue, sem seguir links nem esperar por um arquivo que não é comum.

    Raises:
        UnreadableError: se não é um arquivo comum, se passa de ``MAX_BYTES`` ou se não se deixa ler.
    """
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        _require_regular(os.lstat(path))
        with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
            _require_regular(os.fstat(file.fileno()))  # entre uma chamada e a outra o arquivo pode ter sido trocado
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        raise UnreadableError("O caderno não está na entrega.") from None
    except OSError as error:
        raise UnreadableError(f"O arquivo do caderno não pôde ser aberto: {error.strerror}.") from None


def _require_regular(status):
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(
            "O que está no lugar do caderno não é um arquivo comum: é uma pasta, um atalho ou outra coisa."
        )
    if status.st_size > MAX_BYTES:
        megabytes = status.st_size // 10**6
        raise UnreadableError(
            f"O arquivo tem {megabytes} MB; o limite são {MAX_BYTES // 10**6}. Apague as saídas e entregue de novo."
        )


def _parse(data):
    if not data.strip():
        raise UnreadableError("O arquivo do caderno está vazio.")
    try:
        return json.loads(data)  # reconhece UTF-8, UTF-16 e UTF-32, com a marca do começo ou sem ela
    except UnicodeDecodeError:
        raise UnreadableError("O arquivo não é um caderno do Jupyter: não é texto, ou não está em UTF-8.") from None
    except RecursionError:
        raise UnreadableError("O arquivo não é um caderno do Jupyter: tem listas dentro de listas sem fim.") from None
    except ValueError as error:
        where = f" (linha {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableError(
            f"O arquivo não é um caderno do Jupyter, ou está incompleto{where}. Abra-o, salve e entregue de novo."
        ) from None


def clean(content):
    """Faz um caderno novo com o que interessa de um conteúdo em que qualquer coisa pode ter qualquer tipo.

    Args:
        content: o que estava no JSON.

    Returns:
        O caderno que ``read_submission`` descreve.

    Raises:
        UnreadableError: se não há uma lista de células, ou se há células ou texto demais.
    """
    if not isinstance(content, dict):
        raise UnreadableError("O arquivo não é um caderno do Jupyter: tem JSON, mas não o de um caderno.")
    if isinstance(content.get("worksheets"), list):
        content = _upgrade(content)
    cells = content.get("cells")
    if not isinstance(cells, list):
        raise UnreadableError("O arquivo não é um caderno do Jupyter: não tem uma lista de células.")
    if len(cells) > MAX_CELLS:
        raise UnreadableError(f"O caderno tem {len(cells)} células; o limite são {MAX_CELLS}.")
    cells = [_clean_cell(cell) for cell in cells if isinstance(cell, dict)]
    if sum(len(cell.source) for cell in cells) > MAX_TEXT:
        raise UnreadableError("O texto das células é grande demais. Há dados colados dentro de uma célula?")
    kernelspec = NotebookNode(language=_language(_dict(content, "metadata")))
    return NotebookNode(nbformat=4, nbformat_minor=5, metadata=NotebookNode(kernelspec=kernelspec), cells=cells)


def _upgrade(content):
    try:
        return nbformat.reads(json.dumps(content), as_version=4)
    except Exception:  # o conversor supõe um caderno bem formado, e um malformado o derruba de muitas maneiras
        raise UnreadableError(
            "O caderno está num formato antigo e não pôde ser convertido. Abra-o no Jupyter, salve e entregue de novo."
        ) from None


def _clean_cell(cell):
    cell_type = cell.get("cell_type")
    metadata = _dict(cell, "metadata")
    cleaned = NotebookNode(
        cell_type=cell_type if cell_type in ("code", "markdown") else "raw",
        source=_clean_text(cell.get("source")),
        metadata=NotebookNode(tags=[tag for tag in _list(metadata, "tags") if isinstance(tag, str)]),
    )
    if isinstance(cell.get("id"), str):
        cleaned.id = cell["id"]
    nbgrader = _dict(metadata, "nbgrader")
    if isinstance(nbgrader.get("grade_id"), str):
        known = {key: nbgrader.get(key) for key in (*ROLE, "points")}
        cleaned.metadata.nbgrader = NotebookNode(known, grade_id=_clean_text(nbgrader["grade_id"]))
    if attachments := _clean_attachments(_dict(cell, "attachments")):
        cleaned.attachments = attachments
    return cleaned


def _clean_text(value):
    if isinstance(value, list):
        value = "".join(line for line in value if isinstance(line, str))
    if not isinstance(value, str):
        return ""
    value = value.replace("\r\n", "\n")
    # Um surrogate solto não pode ser gravado nem mandado ao kernel; os pares viram o caractere que representam.
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _clean_attachments(attachments):
    """As imagens coladas numa célula de texto: numa resposta, são parte do que o professor lê."""
    images = {
        _clean_text(name): {kind: data for kind, data in files.items() if kind in IMAGE_TYPES and _is_base64(data)}
        for name, files in attachments.items()
        if isinstance(files, dict)
    }
    return NotebookNode({name: NotebookNode(files) for name, files in images.items() if files})


def _is_base64(data):
    return isinstance(data, str) and BASE64.fullmatch(data) is not None


def _dict(parent, key):
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _list(parent, key):
    value = parent.get(key)
    return value if isinstance(value, list) else []


def _language(metadata):
    for place, key in (("kernelspec", "language"), ("language_info", "name")):
        value = _dict(metadata, place).get(key)
        if isinstance(value, str):
            return _clean_text(value)
    return ""


# --- Reconstruir


class _Slot:
    """Uma célula da fonte e as da entrega que são ela.

    Attributes:
        cell: a célula da fonte.
        distributed: o texto dela no caderno que o estudante recebeu.
        claims: as células da entrega, na ordem de lá.
    """

    def __init__(self, cell, distributed):
        self.cell = cell
        self.distributed = distributed
        self.claims = []
        self.locked = is_locked(cell)
        self.grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")

    @cached_property
    def chosen(self):
        """A célula da entrega que vale; ``None`` se falta."""
        written = [] if self.locked else [cell for cell in self.claims if not self._is_blank(cell)]
        return next(iter(written or self.claims), None)

    @cached_property
    def texts(self):
        """Os textos que não são do estudante: o da fonte e o que ele recebeu."""
        return {_normal(self.distributed), _normal(self.cell.source)}

    @cached_property
    def edited(self):
        """Se o texto de uma célula travada foi mudado."""
        return self.locked and self.chosen is not None and _normal(self.chosen.source) not in self.texts

    def _is_blank(self, cell):
        return _normal(cell.source) in {"", *self.texts}

    def keeps(self, cell):
        """Se esta célula, que se diz a da fonte mas não é a que vale, fica no caderno como célula comum."""
        return not self.locked and not self._is_blank(cell) and _normal(cell.source) != _normal(self.chosen.source)

    def rebuilt(self):
        """A célula a executar."""
        cell = deepcopy(self.cell)
        if self.chosen is not None and not self.locked:
            cell.source = self.chosen.source
            if cell.cell_type == "markdown" and "attachments" in self.chosen:
                cell.attachments = self.chosen.attachments
        return cell

    def __str__(self):
        if self.grade_id is None:
            return f"célula de aula «{_excerpt(self.distributed)}»"
        kind = "de teste" if self.locked and is_grade(self.cell) else "travada" if self.locked else "de resposta"
        return f"célula {kind} {self.grade_id}"

    @property
    def name(self):
        """O id com que as notas se referem à célula."""
        return self.grade_id or self.cell.id


def rebuild(source, submitted):
    """Compõe o caderno a executar.

    Args:
        source: a ``Source`` do caderno.
        submitted: a entrega, como ``read_submission`` a devolve; não é alterada.

    Returns:
        O caderno, sem saídas, e a tupla das ``Note`` do que mudou em relação à entrega. Dos textos da fonte, as frases
        só trazem o começo das células de aula.
    """
    notebook = nbformat.reads(source.notebook, as_version=4)
    distributed = nbformat.reads(source.distributed or source.notebook, as_version=4)
    slots = [_Slot(cell, given.source) for cell, given in zip(notebook.cells, distributed.cells, strict=True)]
    owners = _match(slots, submitted.cells)
    helpers = _place_helpers(slots, owners, submitted.cells)
    notes = (
        *_kernel_notes(notebook.metadata, submitted.metadata),
        *chain.from_iterable(map(_slot_notes, slots)),
        *_missing_lecture_notes(slots),
        *_order_notes(slots, owners, submitted.cells),
        *_helper_notes(chain.from_iterable(helpers), slots),
    )
    new_ids = _fresh_ids({cell.id for cell in notebook.cells})
    notebook.cells = _new_cells(helpers[0], new_ids)
    for slot, after in zip(slots, helpers[1:], strict=True):
        notebook.cells += [slot.rebuilt(), *_new_cells(after, new_ids)]
    return notebook, notes


def _match(slots, cells):
    """Diz de que célula da fonte é cada célula da entrega: uma lista de posições, ``None`` para as que são novas."""
    by_grade_id = {slot.grade_id: index for index, slot in enumerate(slots) if slot.grade_id is not None}
    by_id = {slot.cell.id: index for index, slot in enumerate(slots)}
    owners = [by_grade_id.get(_grade_id(cell)) for cell in cells]
    known_ids = {cell.id for cell in cells if cell.get("id") in by_id}
    for position, cell in enumerate(cells):
        index = by_id.get(cell.get("id"))
        if owners[position] is None and index not in {None, *owners}:
            owners[position] = index
    _match_by_text_and_position(slots, cells, owners, by_position=not known_ids)
    for cell, owner in zip(cells, owners, strict=True):
        if owner is not None:
            slots[owner].claims.append(cell)
    return owners


def _match_by_text_and_position(slots, cells, owners, by_position):
    claimed = set(owners)
    expected = [
        index if index in claimed else (slot.cell.cell_type, _normal(slot.distributed))
        for index, slot in enumerate(slots)
    ]
    found = [
        owner if owner is not None else (cell.cell_type, _normal(cell.source))
        for cell, owner in zip(cells, owners, strict=True)
    ]
    for operation, i1, i2, j1, j2 in SequenceMatcher(None, expected, found, autojunk=False).get_opcodes():
        free_slots = [index for index in range(i1, i2) if index not in claimed]
        free_cells = [position for position in range(j1, j2) if owners[position] is None]
        if operation == "equal":
            pairs = zip(free_slots, free_cells, strict=True)
        elif operation == "replace" and by_position and len(free_slots) == len(free_cells):
            # Uma célula de teste só é reconhecida com certeza: o texto que estivesse no lugar dela seria perdido.
            pairs = (
                (index, position)
                for index, position in zip(free_slots, free_cells, strict=True)
                if not slots[index].locked and slots[index].cell.cell_type == cells[position].cell_type
            )
        else:
            continue
        for index, position in pairs:
            owners[position] = index


def _place_helpers(slots, owners, cells):
    """As células do próprio estudante: uma lista para as do começo e outra para as que vêm depois de cada célula."""
    helpers = [[] for _ in range(len(slots) + 1)]
    after = 0
    for cell, owner in zip(cells, owners, strict=True):
        slot = None if owner is None else slots[owner]
        if slot is None or (cell is not slot.chosen and slot.keeps(cell)):
            helpers[after].append(cell)
        elif cell is slot.chosen:
            after = owner + 1
            if slot.edited and is_task(slot.cell):
                helpers[after].append(NotebookNode(cell, cell_type="markdown"))  # a resposta escrita sobre o enunciado
    return helpers


def _new_cells(cells, new_ids):
    """Células comuns com o texto de células da entrega, e nada mais delas; as sem tipo (raw) não voltam."""
    return [_new_cell(cell, next(new_ids)) for cell in cells if cell.cell_type != "raw"]


def _new_cell(cell, new_id):
    if cell.cell_type == "code":
        return new_code_cell(cell.source, id=new_id)
    attachments = {"attachments": cell.attachments} if "attachments" in cell else {}
    return new_markdown_cell(cell.source, id=new_id, **attachments)


def _fresh_ids(taken):
    number = 0
    while True:
        number += 1
        if (new := f"auxiliar-{number}") not in taken:
            yield new


# --- Listar o que mudou


def _slot_notes(slot):
    chosen = slot.chosen
    if chosen is None:
        if slot.grade_id is not None:
            yield Note(Change.MISSING, f"A {slot} não estava na entrega; voltou a original.", slot.name)
        return
    if chosen.cell_type != slot.cell.cell_type:
        yield Note(Change.RETYPED, f"A {slot} tinha virado outro tipo de célula; voltou ao tipo original.", slot.name)
    if slot.edited:
        yield Note(Change.EDITED, f"O texto da {slot} foi mudado; vale o original.", slot.name)
    yield from _duplicate_notes(slot)
    yield from _metadata_notes(slot)


def _duplicate_notes(slot):
    copies = len(slot.claims)
    if copies == 1:
        return
    if slot.locked:
        yield Note(Change.DUPLICATED, f"A {slot} aparecia {copies} vezes; as cópias saíram.", slot.name)
    else:
        rule = "vale a primeira que não está em branco, e o que as outras têm de diferente ficou como célula comum"
        yield Note(Change.DUPLICATED, f"A {slot} aparecia {copies} vezes: {rule}.", slot.name)


def _metadata_notes(slot):
    graded = slot.grade_id is not None and (is_grade(slot.cell) or is_task(slot.cell))
    if tags := _execution_tags(*slot.claims) - _execution_tags(slot.cell):
        yield Note(
            Change.TAGGED,
            f"A {slot} tinha a etiqueta {' e '.join(sorted(tags))}, que muda a execução; foi retirada.",
            slot.name,
            serious=slot.locked,
        )
    if slot.grade_id is None:
        return
    claimed, original = slot.chosen.metadata.get("nbgrader", {}), slot.cell.metadata.nbgrader
    if _grade_id(slot.chosen) != slot.grade_id:
        yield Note(Change.METADATA, f"A {slot} estava sem os metadados dela; voltaram os originais.", slot.name)
    elif any(bool(claimed.get(key)) != bool(original.get(key)) for key in ROLE) or (
        graded and claimed.get("points") != original.get("points")
    ):
        yield Note(
            Change.METADATA,
            f"Os pontos ou o papel da {slot} foram mudados nos metadados; valem os originais.",
            slot.name,
            serious=graded,
        )


def _missing_lecture_notes(slots):
    missing = [slot for slot in slots if slot.grade_id is None and slot.chosen is None]
    if len(missing) == 1:
        yield Note(Change.MISSING, f"A {missing[0]} não estava na entrega; voltou a original.", missing[0].name)
    elif missing:
        yield Note(Change.MISSING, f"{len(missing)} células de aula não estavam na entrega; voltaram as originais.")


def _order_notes(slots, owners, cells):
    order = [
        owner for cell, owner in zip(cells, owners, strict=True) if owner is not None and cell is slots[owner].chosen
    ]
    blocks = SequenceMatcher(None, sorted(order), order, autojunk=False).get_matching_blocks()
    in_place = {order[position] for block in blocks for position in range(block.b, block.b + block.size)}
    moved = [str(slots[index]) for index in sorted(set(order) - in_place)]
    if moved:
        more = f" e mais {len(moved) - 3}" if len(moved) > 3 else ""
        yield Note(Change.REORDERED, f"Fora do lugar: {', '.join(moved[:3])}{more}; voltou a ordem original.")


def _helper_notes(helpers, slots):
    known_ids = {slot.grade_id for slot in slots} | {None}
    tests = {text: slot for slot in slots if slot.locked and is_grade(slot.cell) for text in slot.texts}
    for cell in helpers:
        text = _normal(cell.source)
        if cell.cell_type == "raw" and text:
            yield Note(Change.DROPPED, f"Uma célula sem tipo (raw) do estudante saiu: «{_excerpt(text)}».")
        if (grade_id := _grade_id(cell)) not in known_ids:
            sentence = f"Uma célula dizia ser a {_excerpt(grade_id)}, que a lição não tem; ficou como célula comum."
            yield Note(Change.UNKNOWN_ID, sentence)
        if tags := _execution_tags(cell):
            sentence = f"Uma célula do estudante tinha a etiqueta {' e '.join(sorted(tags))}; foi retirada."
            yield Note(Change.TAGGED, sentence)
        if cell.cell_type == "code" and text in tests:
            sentence = f"Uma célula do estudante é uma cópia da {tests[text]}; foi executada, e não vale pontos."
            yield Note(Change.COPIED_TEST, sentence, tests[text].name)


def _kernel_notes(expected, received):
    language, wanted = _language(received), _language(expected)
    if language and wanted and language.lower() != wanted.lower():
        sentence = f"O caderno estava com um kernel de {_excerpt(language)}; foi executado com o de {wanted}."
        yield Note(Change.KERNEL, sentence)


# --- Pedaços


def _grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _execution_tags(*cells):
    return EXECUTION_TAGS.intersection(chain.from_iterable(cell.metadata.get("tags", []) for cell in cells))


def _normal(text):
    """O texto sem o que os editores mudam sozinhos: espaços no fim das linhas e linhas em branco no fim."""
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip()


def _excerpt(text):
    """A primeira linha de um texto, curta e sem caracteres de controle."""
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    shown = "".join(character if character.isprintable() else "?" for character in line[:41])
    return shown if len(shown) <= 40 else shown[:40] + "…"

"""Entregas de quem só fez a lição, cada um do seu jeito e com o seu editor."""

import json
from copy import deepcopy

from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from grading.rebuild import Change

from .licao import LESSON, answer, collector, find, insert_after, save

HONEST, entry = collector()
"""Todas, como ``Entry``."""

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


@entry("perfeita")
def perfect(folder, notebook):
    """Tudo respondido, e certo."""
    save(folder, answer(notebook))


@entry("parcial", earned=8)
def partial(folder, notebook):
    """Uma certa, uma certa em parte e uma em branco."""
    save(
        folder,
        answer(notebook, pares="def even(values):\n    return [v for v in values if v and v % 2 == 0]", conta=None),
    )


@entry("crédito parcial", earned=10)
def partial_credit(folder, notebook):
    """Um teste que dá dois terços dos pontos dele, pelo número da última linha."""
    save(folder, answer(notebook, pares="def even(values):\n    return [v for v in values if v and v % 2 == 0]"))


@entry("errada", earned=0)
def wrong(folder, notebook):
    """Tudo respondido, e errado: um valor errado, um erro de sintaxe e um nome que não existe."""
    save(folder, answer(notebook, soma="def add(values):\n    return 7", pares="def even(values:", conta="count = ler"))


@entry("em branco", earned=0)
def blank(folder, notebook):
    """O caderno como foi distribuído."""
    save(folder, notebook)


@entry("avisos")
def warnings(folder, notebook):
    """Respostas certas que escrevem avisos na saída de erro."""
    noisy = "import warnings\ndef add(values):\n    warnings.warn('cuidado')\n    return sum(values)"
    save(folder, answer(notebook, soma=noisy))


@entry("lenta")
def slow(folder, notebook):
    """Uma resposta certa que demora dois segundos por chamada."""
    save(folder, answer(notebook, soma="import time\ndef add(values):\n    time.sleep(2)\n    return sum(values)"))


@entry("fim de linha do Windows")
def windows(folder, notebook):
    """Linhas terminadas em CRLF, no arquivo e dentro das células."""
    answer(notebook)
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    path = save(folder, notebook)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def older_version(minor):
    @entry(f"nbformat 4.{minor}")
    def write(folder, notebook):
        path = save(folder, answer(notebook))
        content = json.loads(path.read_text(encoding="utf-8")) | {"nbformat_minor": minor}
        for cell in content["cells"]:
            del cell["id"]
        path.write_text(json.dumps(content), encoding="utf-8")

    return write


for number in range(5):
    older_version(number)


@entry("células auxiliares")
def helpers(folder, notebook):
    """Células próprias entre as da lição: uma função que a resposta usa, uma conferência e anotações."""
    answer(notebook, soma="def add(values):\n    return total(values)")
    insert_after(notebook, "98_soma", new_code_cell("add([1, 2])"), new_markdown_cell("Deu certo."))
    notebook.cells.insert(0, new_code_cell("def total(values):\n    return sum(values)"))
    notebook.cells.append(new_code_cell(""))
    save(folder, notebook)


@entry("arquivos extras")
def extra_files(folder, notebook):
    """Um módulo e um CSV do estudante ao lado do caderno, e o arquivo da lição mudado."""
    answer(notebook, soma="from ajudante import total\ndef add(values):\n    return total(values)")
    insert_after(notebook, "98_soma", new_code_cell('open("números.csv").read()'))
    (folder / "ajudante.py").write_text("def total(values):\n    return sum(values)\n", encoding="utf-8")
    (folder / "números.csv").write_text("1,2\n", encoding="utf-8")
    (folder / "dados.csv").write_text("texto,rótulo\n", encoding="utf-8")
    save(folder, notebook)


@entry("saídas antigas")
def old_outputs(folder, notebook):
    """Trinta megabytes de saídas guardadas no caderno."""
    answer(notebook)
    text = "o que a célula escreveu na última vez\n" * 800_000
    find(notebook, "98_soma").outputs = [new_output("stream", name="stdout", text=text)]
    save(folder, notebook)


@entry("aula mudada")
def changed_lecture(folder, notebook):
    """Uma célula de aula mudada, que a resposta usa."""
    answer(notebook, soma="def add(values):\n    return sum(values) + base - 20")
    next(cell for cell in notebook.cells if cell.id == "aula").source = "base = 20"
    save(folder, notebook)


@entry("célula copiada", changes=[Change.DUPLICATED])
def copied_cell(folder, notebook):
    """Uma resposta copiada com os metadados, para tentar de outro jeito; a segunda é a certa."""
    answer(notebook, soma="def add(values):\n    return 7")
    copy = deepcopy(find(notebook, "98_soma"))
    copy.id, copy.source = "copia", "def add(values):\n    return sum(values)"
    insert_after(notebook, "98_soma", copy)
    save(folder, notebook)


@entry("cópia em branco", changes=[Change.DUPLICATED])
def blank_copy(folder, notebook):
    """Uma cópia da célula de resposta, guardada em branco depois da resposta certa."""
    copy = deepcopy(find(notebook, "98_soma"))
    copy.id = "copia"
    insert_after(answer(notebook), "98_soma", copy)
    save(folder, notebook)


@entry("teste mudado sem querer", changes=[Change.EDITED])
def edited_test(folder, notebook):
    """Uma linha a mais numa célula de teste, para ver um valor."""
    find(answer(notebook), "98_soma_teste").source += "\nprint(add([1]))"
    save(folder, notebook)


@entry("aula apagada", changes=[Change.MISSING])
def deleted_lecture(folder, notebook):
    """As células de texto da aula apagadas."""
    answer(notebook)
    notebook.cells = [cell for cell in notebook.cells if cell.id not in ("abertura", "resumo")]
    save(folder, notebook)


@entry("texto com imagem")
def pasted_image(folder, notebook):
    """Uma imagem colada na resposta que o professor corrige."""
    cell = find(answer(notebook), "98_texto")
    cell.source, cell.attachments = "![](attachment:a.png)", {"a.png": {"image/png": PIXEL}}
    save(folder, notebook)


@entry("tarefa respondida")
def answered_task(folder, notebook):
    """A célula nova que a tarefa pede, e dois cadernos na pasta: o da lição e um rascunho."""
    insert_after(answer(notebook), "98_tarefa", new_markdown_cell("Eu mudaria os exemplos."))
    save(folder, notebook)
    (folder / f"{LESSON} rascunho.ipynb").write_text("{}", encoding="utf-8")


@entry("otimizador")
def optimizer(folder, notebook):
    """Uma resposta que cria um otimizador: o PyTorch carrega então o resto dele, e troca funções suas."""
    training = (
        "    import torch\n    torch.optim.RMSprop([torch.zeros(1, requires_grad=True)])\n    torch.manual_seed(0)\n"
    )
    save(folder, answer(notebook, soma=f"def add(values):\n{training}    return sum(values)"))

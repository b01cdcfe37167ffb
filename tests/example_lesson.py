"""Uma lição de verdade, pequena, para experimentar as ferramentas sem depender das lições do curso."""

import shutil

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from .conftest import ROOT

NAME = "99_exemplo"

SOLUTION = """\
def mean_length(texts):
    \"\"\"Devolve o comprimento médio, em caracteres (float), de uma lista de textos.\"\"\"
    ### BEGIN SOLUTION
    if not texts:
        raise ValueError("texts: esperava ao menos um texto.")
    return sum(len(text) for text in texts) / len(texts)
    ### END SOLUTION"""

TEST = """\
# Confere a média de textos de tamanhos diferentes.
from llmdefinitions.testing import call, check_equal, check_raises, without_library

with without_library("find_duplicates"):
    received = call(mean_length, ["oi", "tudo bem"])
check_equal("mean_length(['oi', 'tudo bem'])", received, 5.0, mistakes=[(1.5, "Você contou palavras.")])
### BEGIN HIDDEN TESTS
check_equal("mean_length(['oi'])", call(mean_length, ["oi"]), 2.0, hint="SEGREDO")
check_raises(ValueError, mean_length, [], hint="A média de nada não existe.")
### END HIDDEN TESTS"""

CHOICE = """\
### BEGIN SOLUTION
resposta = "b"
### END SOLUTION"""

CHOICE_TEST = """\
# Confere que a resposta é uma das letras.
from llmdefinitions.testing import check_choice

check_choice("resposta", resposta, "abc")
### BEGIN HIDDEN TESTS
check_choice("resposta", resposta, "abc", key="b", hint="Releia a primeira seção.")
### END HIDDEN TESTS"""

MANUAL = """\
=== BEGIN MARK SCHEME ===
10 pontos se cita a média.
=== END MARK SCHEME ==="""


CARD = """\
### Exercício

●○○○○ · 5 minutos

```python
def mean_length(texts): ...
```

<details><summary>Dicas</summary>

**Estou vendo o erro** `ZeroDivisionError`: a lista está vazia.

</details>"""

QUESTION = """\
### Pergunta {number}: qual?

- **a)** Esta.
- **b)** Aquela.
- **c)** Nenhuma.

<details><summary>Respostas</summary>

- **a)** Não é.
- **b)** É.
- **c)** Também não.

</details>"""


def graded(source, grade_id, points=None, solution=False, cell=new_code_cell):
    """Uma célula com os metadados do nbgrader: de solução, de teste (com pontos) ou, com os dois, corrigida à mão."""
    metadata = {
        "grade": points is not None,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if points is not None:
        metadata["points"] = points
    return cell(source, id=grade_id.replace("_", "-"), metadata={"nbgrader": metadata})


def cells():
    """As células da lição, novas a cada chamada."""
    return [
        new_markdown_cell("# Exemplo\n\nLeva 10 minutos.\n\n## Objetivos\n\n## Pré-requisitos", id="abertura"),
        new_code_cell("texts = ['oi', 'tudo bem']\nsum(map(len, texts)) / 3", id="aula"),
        new_markdown_cell("São <!--= len(texts) -->2<!--/--> textos.", id="numeros"),
        new_markdown_cell(CARD, id="cartao-1"),
        graded(SOLUTION, "99_media", solution=True),
        graded(TEST, "99_media_teste", points=60),
        new_markdown_cell(CARD, id="cartao-2"),
        graded(CHOICE, "99_escolha", solution=True),
        graded(CHOICE_TEST, "99_escolha_teste", points=30),
        new_markdown_cell(CARD, id="cartao-3"),
        graded(MANUAL, "99_texto", points=10, solution=True, cell=new_markdown_cell),
        new_code_cell("print(texts)", id="fim"),
        new_markdown_cell("## Resumo\n\n## Perguntas", id="resumo"),
        *(new_markdown_cell(QUESTION.format(number=number), id=f"pergunta-{number}") for number in range(1, 6)),
        new_markdown_cell("## Referências", id="referencias"),
    ]


def find(notebook_cells, cell_id):
    """A célula com esse id."""
    return next(cell for cell in notebook_cells if cell.id == cell_id)


def write_notebook(path, notebook_cells):
    """Grava um caderno com essas células."""
    kernelspec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook = new_notebook(cells=notebook_cells, metadata={"kernelspec": kernelspec})
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def write_course(folder):
    """Monta um curso com a configuração deste e uma só lição; devolve a pasta dele."""
    folder.mkdir(parents=True)
    (folder / "grading").mkdir()
    for name in ("nbgrader_config.py", "grading/cabecalho.ipynb"):
        shutil.copy(ROOT / name, folder / name)
    write_notebook(folder / "solutions" / NAME / f"{NAME}.ipynb", cells())
    return folder

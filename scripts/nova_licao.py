"""Começa uma lição: grava em ``solutions/`` um caderno pequeno, completo e que já passa em todas as conferências.

    python scripts/nova_licao.py 99_exemplo

Ele tem uma amostra de cada coisa que uma lição tem; quem a escreve vai trocando as amostras pelo que é seu.
"""

import re
import sys
from pathlib import Path

import click
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from llmdefinitions.command import PortugueseCommand, run_command

SOLUTIONS = Path(__file__).resolve().parents[1] / "solutions"

OPENING = """\
# Título da lição

Uma ou duas frases: o problema que a lição resolve e por que ele interessa. Tempo: 75 minutos.

## Objetivos

Ao final, você será capaz de

- medir o comprimento de mensagens;
- dizer o que uma média esconde.

## Pré-requisitos

Listas e funções em Python."""

LECTURE = """\
texts = ["oi", "tudo bem"]
for text in texts:
    print(f"{text!r} tem {len(text)} caracteres")"""

NUMBERS = """\
## O comprimento de uma mensagem

- São <!--= len(texts) -->2<!--/--> mensagens; a mais longa tem <!--= max(map(len, texts)) -->8<!--/--> caracteres.
- Os números do texto são calculados pelo próprio caderno: as marcas não aparecem para quem lê."""

CARD = """\
### Exercício 1: comprimento médio

●○○○○ · 5 minutos · 60 pontos

Escreva `mean_length(texts)`, que recebe uma lista de textos e devolve a média (`float`) do número de caracteres. De uma
lista vazia não há média: levante `ValueError` com uma mensagem.

```python
mean_length(["oi", "tudo bem"])  # 5.0
```

<details><summary>Dicas</summary>

- `len(text)` conta caracteres.
- **Estou vendo o erro** `ZeroDivisionError`: você dividiu antes de conferir se a lista está vazia.

</details>"""

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
check_equal("mean_length(['oi'])", call(mean_length, ["oi"]), 2.0, hint="A média de um só texto é o comprimento dele.")
check_raises(ValueError, mean_length, [], hint="De uma lista vazia não há média.")
### END HIDDEN TESTS"""

CHOICE_CARD = """\
### Exercício 2: o que a média esconde

●●○○○ · 3 minutos · 30 pontos

Uma mensagem de 500 caracteres entra numa lista de cem mensagens de 5. O que acontece com a média?

- a) Quase não muda.
- b) Quase dobra.
- c) Fica perto de 250.

```python
resposta = "a"  # uma letra, entre aspas
```

<details><summary>Dicas</summary>

- Faça a conta com `sum` e `len`.
- **Estou vendo o erro** `esperava uma destas letras`: escreva uma só letra, entre aspas.

</details>"""

CHOICE = """\
resposta = None  # troque None por "a", "b" ou "c"
### BEGIN SOLUTION
resposta = "b"
### END SOLUTION"""

CHOICE_TEST = """\
# Confere que a resposta é uma das letras.
from llmdefinitions.testing import check_choice

check_choice("resposta", resposta, "abc")
### BEGIN HIDDEN TESTS
check_choice("resposta", resposta, "abc", key="b", hint="Some os comprimentos antes e depois, e divida.")
### END HIDDEN TESTS"""

MANUAL_CARD = """\
### Exercício 3: com suas palavras

●●●○○ · 10 minutos · 10 pontos, que o professor corrige

Em três a cinco frases: quando a mediana diz mais do que a média?

<details><summary>Dicas</summary>

- Pense num conjunto com um valor muito diferente dos outros.

</details>"""

MANUAL = """\
=== BEGIN MARK SCHEME ===
- 5 pontos: diz que a média se move com valores extremos e a mediana não.
- 5 pontos: dá um exemplo com números.
=== END MARK SCHEME ==="""

CLOSING = """\
## Resumo

- A média resume um conjunto num só número, e um valor extremo a desloca.

## Perguntas

Responda de cabeça e só depois abra a explicação."""

QUESTION = """\
### Pergunta {number}: qual é a média de 2 e 8?

- **a)** 2
- **b)** 5
- **c)** 10

<details><summary>Explicação</summary>

- **a)** É o menor dos dois.
- **b)** Certa: a soma é 10, e são dois números.
- **c)** É a soma; faltou dividir.

</details>"""

REFERENCES = """\
## Referências

- BUSSAB, W. O.; MORETTIN, P. A. *Estatística básica*. 9. ed. São Paulo: Saraiva, 2017."""


def graded(source, grade_id, points=None, solution=False, cell=new_code_cell):
    """Uma célula com os metadados do nbgrader.

    Args:
        source: o texto.
        grade_id: o id, que começa pelo número da lição.
        points: quanto vale; só as células de teste e as corrigidas à mão valem pontos.
        solution: se o estudante escreve nela.
        cell: ``new_code_cell`` ou ``new_markdown_cell``.
    """
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


def lesson_cells(number):
    """As células da lição de amostra, novas a cada chamada; ``number`` é o número dela, com dois algarismos."""
    return [
        new_markdown_cell(OPENING, id="abertura"),
        new_code_cell(LECTURE, id="aula"),
        new_markdown_cell(NUMBERS, id="numeros"),
        new_markdown_cell(CARD, id="cartao-1"),
        graded(SOLUTION, f"{number}_media", solution=True),
        graded(TEST, f"{number}_media_teste", points=60),
        new_markdown_cell(CHOICE_CARD, id="cartao-2"),
        graded(CHOICE, f"{number}_escolha", solution=True),
        graded(CHOICE_TEST, f"{number}_escolha_teste", points=30),
        new_markdown_cell(MANUAL_CARD, id="cartao-3"),
        graded(MANUAL, f"{number}_texto", points=10, solution=True, cell=new_markdown_cell),
        new_markdown_cell(CLOSING, id="resumo"),
        *(new_markdown_cell(QUESTION.format(number=n), id=f"pergunta-{n}") for n in range(1, 6)),
        new_markdown_cell(REFERENCES, id="referencias"),
    ]


def write_notebook(path, cells):
    """Grava um caderno com essas células; devolve ``path``."""
    kernelspec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernelspec, "language_info": {"name": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


@click.command(
    "python scripts/nova_licao.py",
    cls=PortugueseCommand,
    help="Grava solutions/NN_nome/NN_nome.ipynb, um começo de lição.",
)
@click.argument("nome")
def main(nome):
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", nome):
        raise click.ClickException(
            f"{nome}: o nome é um número de dois algarismos e letras sem acento, como 99_exemplo."
        )
    path = SOLUTIONS / nome / f"{nome}.ipynb"
    if path.exists():
        raise click.ClickException(f"{path} já existe.")
    write_notebook(path, lesson_cells(nome[:2]))
    click.echo(
        f"Gravei {path.relative_to(SOLUTIONS.parent)}. Depois de editá-lo: python scripts/executar_licao.py {nome}"
    )


if __name__ == "__main__":
    sys.exit(run_command(main))

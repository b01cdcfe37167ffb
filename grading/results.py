"""O que a correção de uma entrega recebe e devolve: só dados, que passam de um processo (ou de uma máquina) a outro."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """O que aconteceu com uma célula ou, no pior dos casos, com a entrega inteira."""

    PASSED = "passou"
    PARTIAL = "em parte"
    FAILED = "não passou"
    TIMEOUT = "tempo esgotado"
    OUT_OF_MEMORY = "sem memória"
    KERNEL_DIED = "kernel caiu"
    TAMPERED = "adulterada"
    MANUAL = "o professor corrige"
    UNREADABLE = "ilegível"
    INFRASTRUCTURE = "falha da correção"


@dataclass(frozen=True)
class Settings:
    """Como corrigir.

    Attributes:
        cell_seconds: segundos por célula.
        total_seconds: segundos por entrega, com todas as suas células.
        memory_mb: memória, em megabytes, de todos os processos de uma entrega.
        output_kb: o que se guarda da saída de uma célula, em quilobytes.
        processes: processos (e linhas de execução) que uma entrega pode ter ao mesmo tempo.
        isolation: o nível de isolamento, um dos de ``grading.sandbox``.
        kernels: o endereço do modelo de kernels já aquecido; vazio se cada executor deve aquecer o seu.
        environment: variáveis de ambiente que os kernels recebem; as do professor não passam.
        readable: pastas que os kernels podem ler, além das do Python.
        seed: a semente dos sorteios, no começo de cada kernel e de cada célula de teste.
    """

    cell_seconds: float = 120
    total_seconds: float = 600
    memory_mb: int = 4096
    output_kb: int = 512
    processes: int = 128
    isolation: str = "bubblewrap"
    kernels: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    readable: tuple[Path, ...] = ()
    seed: int = 123


@dataclass(frozen=True)
class Source:
    """O caderno do professor, como ``grading.source.prepare_source`` o prepara.

    Attributes:
        lesson: o nome da lição, como ``03_preparacao_dos_dados``.
        name: o nome do caderno, sem ``.ipynb``.
        notebook: o texto JSON do caderno: respostas trocadas pelo espaço em branco, testes inteiros.
        files: os outros arquivos da lição, como pares de caminho relativo e conteúdo; valem sobre os da entrega.
        distributed: o texto JSON do caderno que o estudante recebeu, sem a parte oculta dos testes; é o que diz se ele
            mudou o texto de um teste.
    """

    lesson: str
    name: str
    notebook: str
    files: tuple[tuple[str, bytes], ...] = ()
    distributed: str = ""


@dataclass(frozen=True)
class Submission:
    """Uma entrega: ``folder`` é a pasta ``submitted/ALUNO/LIÇÃO``, que pode ter qualquer coisa dentro."""

    student: str
    lesson: str
    folder: Path


@dataclass(frozen=True)
class Note:
    """Uma frase para o professor: uma mudança feita ao reconstruir o caderno ou um sinal que pede o olhar dele.

    Attributes:
        kind: uma palavra que não muda, para contar e testar: ``celula_faltando``, ``quadros``…
        sentence: o que aconteceu, em português.
        cell: o id da célula, se é de uma.
        serious: se é coisa que só acontece de propósito: a nota espera por uma pessoa.
    """

    kind: str
    sentence: str
    cell: str = ""
    serious: bool = False


@dataclass(frozen=True)
class CellResult:
    """O resultado de uma célula avaliada.

    Attributes:
        grade_id: o id dela.
        points: quanto vale.
        score: pontos ganhos; ``None`` se quem corrige é o professor ou se a falha foi da correção.
        state: o que aconteceu.
        sentence: a frase para o estudante: a do primeiro erro, ou o que aconteceu; vazia se passou.
        seconds: quanto demorou.
    """

    grade_id: str
    points: float
    score: float | None
    state: State
    sentence: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """A correção de uma entrega.

    Attributes:
        student, lesson, name: de quem, de que lição e de que caderno.
        state: o da entrega: ``PASSED`` se foi corrigida até o fim, qualquer que seja a nota; ou o que a impediu.
        sentence: o que dizer quando não foi.
        cells: as células avaliadas, na ordem do caderno.
        notebook: o texto JSON do caderno executado, com as saídas; vazio se não houve o que executar.
        changes: o que a reconstrução mudou.
        flags: o que pede o olhar de uma pessoa.
        isolation: o nível em que foi executada.
        seconds: quanto demorou.
    """

    student: str
    lesson: str
    name: str
    state: State
    sentence: str = ""
    cells: tuple[CellResult, ...] = ()
    notebook: str = ""
    changes: tuple[Note, ...] = ()
    flags: tuple[Note, ...] = field(default=())
    isolation: str = ""
    seconds: float = 0.0

    @property
    def failed(self):
        """Se a falha foi da correção, e não da entrega: vale repetir."""
        return State.INFRASTRUCTURE in (self.state, *(cell.state for cell in self.cells))

    @property
    def earned(self):
        """Pontos ganhos nas células que não esperam pelo professor."""
        return sum(cell.score for cell in self.cells if cell.score is not None)

    @property
    def points(self):
        """Pontos das células que não esperam pelo professor."""
        return sum(cell.points for cell in self.cells if cell.state != State.MANUAL)

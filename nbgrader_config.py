"""O nbgrader neste curso: de ``solutions/`` saem os cadernos de ``notebooks/``; as entregas vão em ``submitted/``."""

import os

c = get_config()  # noqa: F821 — quem executa este arquivo é o nbgrader

# A nota não depende da internet nem dos dados que estejam no computador de quem corrige.
os.environ.setdefault("LLMDEFINITIONS_FONTE", "embutida")

c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.ignore = [
    ".ipynb_checkpoints",
    "*.pyc",
    "__pycache__",
    "resultados",  # o que um caderno grava ao ser executado
]

# Os cadernos de estudante estão no repositório; gerá-los de novo é só escrevê-los por cima, e é isso que põe as células
# de teste na base de notas.
c.GenerateAssignment.force = True

c.IncludeHeaderFooter.header = "grading/cabecalho.ipynb"
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("Escreva aqui a sua resposta e apague esta linha.")'}
c.ClearSolutions.text_stub = "*Escreva aqui a sua resposta, no lugar desta linha.*"

c.Execute.timeout = 120  # segundos por célula
c.ExecutePreprocessor.startup_timeout = 120  # o primeiro import do PyTorch, numa máquina ocupada
c.Execute.error_on_timeout = {
    "ename": "CellTimeoutError",
    "evalue": "a célula passou do tempo",
    "traceback": ["✗ A célula passou de 120 segundos e foi interrompida. Há um laço que não termina?"],
}

c.Validator.changed_warning = "{num_changed} CÉLULA(S) DE TESTE ALTERADAS. Na correção valem as originais.\n"
c.Validator.type_changed_warning = "{num_changed} CÉLULA(S) MUDARAM DE TIPO (código ou texto). Desfaça isso.\n"
c.Validator.failed_warning = "{num_failed} CÉLULA(S) AVALIADAS NÃO PASSARAM. A mensagem de cada uma está acima.\n"

# O atraso: 10% da nota por dia começado, a partir do prazo de cada lição, no horário de São Paulo.
c.AssignLatePenalties.plugin_class = "grading.late.DailyPenalty"
c.DailyPenalty.percent_per_day = 10
c.DailyPenalty.grace_minutes = 15
c.DailyPenalty.deadlines = {}  # {"01_conceitos": "2027-03-15 23:59"}

# A nota final: nbgrader export grava notas.csv, com a média das lições por estes pesos.
c.ExportApp.plugin_class = "grading.exports.FinalGrade"
c.FinalGrade.weights = {
    "01_conceitos": 10,
    "02_extracao_de_caracteristicas": 15,
    "03_preparacao_dos_dados": 15,
    "04_carregando_o_gpt2": 15,
    "05_cabeca_de_classificacao": 15,
    "06_treinamento": 20,
    "07_classificador": 10,
}

"""``python -m llmdefinitions``: executa o curso inteiro na linha de comando."""

import sys

import click

from .command import PortugueseCommand, run_command, training_options


@click.command(
    "python -m llmdefinitions",
    cls=PortugueseCommand,
    help="Executa o curso: prepara mensagens SMS, ajusta um GPT-2 para reconhecer spam, avalia, compara com uma "
    "referência simples, classifica as duas mensagens da aula e salva o classificador.",
    epilog="Variáveis: LLMDEFINITIONS_DADOS (pasta com os seus dados), LLMDEFINITIONS_FONTE (auto, local, internet "
    "ou embutida).",
)
@click.option("--saida", default="resultados", metavar="PASTA", help="Onde gravar.  [padrão: resultados]")
@training_options
@click.option("--dispositivo", metavar="NOME", help="cpu, cuda ou mps; sem isto, o melhor que houver.")
@click.option("--como-na-aula", is_flag=True, help="Lê o arquivo como a aula: aspas juntam mensagens (5.572 na UCI).")
@click.option("--sem-vazamento", is_flag=True, help="Cópias de uma mensagem ficam todas na mesma parte.")
def main(saida, modelo, epocas, taxa, semente, sem_pretreino, dispositivo, como_na_aula, sem_vazamento):
    from .course import run_course

    run_course(
        output_folder=saida,
        choose_model=modelo,
        num_epochs=epocas,
        learning_rate=taxa,
        seed=semente,
        pretrained=not sem_pretreino,
        like_lecture=como_na_aula,
        without_leaks=sem_vazamento,
        device=dispositivo,
    )


if __name__ == "__main__":
    sys.exit(run_command(main))

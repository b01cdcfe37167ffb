"""Linha de comando em português: ajuda traduzida e, no lugar do rastro de um erro, uma frase."""

import os
import sys
import traceback

import click

from .checks import describe_error
from .config import DEFAULT_MODEL, MODEL_CONFIGS


class PortugueseCommand(click.Command):
    """Um comando do Click cuja ajuda sai em português."""

    def format_usage(self, ctx, formatter):
        arguments = [piece for parameter in self.params for piece in parameter.get_usage_pieces(ctx)]
        formatter.write_usage(ctx.command_path, " ".join(["[OPÇÕES]", *arguments]), prefix="Uso: ")

    def format_options(self, ctx, formatter):
        options = (parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option))
        rows = [row for option in options if (row := option.get_help_record(ctx))]
        with formatter.section("Opções"):
            formatter.write_dl(rows)

    def get_help_option(self, ctx):
        option = super().get_help_option(ctx)
        option.help = "Mostra esta ajuda e sai."
        return option


def training_options(command):
    """Acrescenta a um comando as opções de quem treina: modelo, épocas, taxa, semente e ponto de partida."""
    options = (
        click.option("--modelo", default=DEFAULT_MODEL, metavar="NOME", help=f"Um de: {', '.join(MODEL_CONFIGS)}."),
        click.option(
            "--epocas",
            default=5,
            type=click.IntRange(1),
            metavar="N",
            help="Quantas vezes percorrer as mensagens de treino.  [padrão: 5]",
        ),
        click.option(
            "--taxa",
            type=click.FloatRange(0, min_open=True),
            metavar="X",
            help="Taxa de aprendizado; sem isto, a que convém ao modelo.",
        ),
        click.option(
            "--semente",
            default=123,
            type=click.IntRange(0),
            metavar="N",
            help="Semente dos sorteios; a mesma repete o resultado.  [padrão: 123]",
        ),
        click.option("--sem-pretreino", is_flag=True, help="Começa de pesos sorteados, para comparar."),
    )
    for option in reversed(options):  # um decorador põe a sua opção antes das que já estavam
        command = option(command)
    return command


def run_command(command, arguments=None):
    """Executa um comando do Click e transforma qualquer falha numa frase em português, na saída de erro.

    Com ``LLMDEFINITIONS_RASTRO=1`` o rastro completo do erro é mostrado também.

    Args:
        command: o comando.
        arguments: lista de argumentos; sem ela, os da linha de comando.

    Returns:
        O código de saída: 0 se deu certo, 1 se falhou, 2 se a linha de comando está errada, 130 se interrompido.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # um terminal sem setas ou linhas de tabela não derruba o comando
    try:
        command.main(arguments, prog_name=command.name, standalone_mode=False)
    except click.UsageError as error:
        _complain(f"{_explain_usage(error)} Veja: {command.name} --help")
        return 2
    except (click.Abort, KeyboardInterrupt):
        _complain("Interrompido.")
        return 130
    except Exception as error:
        if os.environ.get("LLMDEFINITIONS_RASTRO", "0") not in ("", "0"):
            traceback.print_exc()
        _complain(describe_error(error))
        return 1
    return 0


def _explain_usage(error):
    match error:
        case click.NoSuchOption():
            return f"Não conheço a opção {error.option_name}."
        case click.BadOptionUsage():
            return f"A opção {error.option_name} está incompleta ou recebeu um valor que não aceita."
        case click.MissingParameter() if error.param:
            return f"Falta {error.param.human_readable_name}."
        case click.BadParameter() if error.param:
            return f"O valor dado a {error.param.opts[0]} não serve; esperava {_expected(error.param.type)}."
        case _:
            return f"Não entendi a linha de comando ({error.format_message()})."


def _expected(kind):
    if isinstance(kind, click.Choice):
        return f"um de: {', '.join(kind.choices)}"
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return "um texto"
    number = "um número inteiro" if isinstance(kind, click.IntRange) else "um número"
    return f"{number} maior que {kind.min}" if kind.min_open else f"{number} a partir de {kind.min}"


def _complain(sentence):
    click.echo(f"Erro: {sentence}", err=True)

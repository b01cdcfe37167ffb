"""O Click em português, para o comando ``corrigir``.

É parecido com ``llmdefinitions.command`` de propósito: quem corrige não depende do módulo que está sendo corrigido.
"""

import os
import sys
import traceback

import click

_LIMITS = {click.IntRange: "um número inteiro", click.FloatRange: "um número"}


class Command(click.Command):
    """Um comando cuja ajuda sai em português.

    Args:
        others: outros comandos a mencionar no fim da ajuda: dicionário do nome para o que cada um faz.
    """

    def __init__(self, *arguments, others=None, **options):
        super().__init__(*arguments, **options)
        self.others = others or {}

    def format_usage(self, ctx, formatter):
        pieces = [piece for parameter in self.params for piece in parameter.get_usage_pieces(ctx)]
        formatter.write_usage(ctx.command_path, " ".join(["[OPÇÕES]", *pieces]), prefix="Uso: ")

    def format_options(self, ctx, formatter):
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        records = [option.get_help_record(ctx) for option in options]
        with formatter.section("Opções"):
            formatter.write_dl([record for record in records if record])
        if self.others:
            with formatter.section("Outros comandos (cada um tem o seu --help)"):
                formatter.write_dl([(f"{self.name} {name}", sentence) for name, sentence in self.others.items()])

    def get_help_option(self, ctx):
        option = super().get_help_option(ctx)
        option.help = "Mostra esta ajuda e sai."
        return option


def run(command, arguments=None):
    """Executa um comando; toda falha vira uma frase em português na saída de erro.

    Args:
        command: o ``Command``.
        arguments: lista de argumentos; sem ela, os da linha de comando.

    Returns:
        O código de saída: 0 se deu certo, 1 se falhou, 2 se a linha de comando está errada, 130 se interrompido.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # um terminal sem acentos não derruba o comando
    try:
        command.main(arguments, prog_name=command.name, standalone_mode=False)
    except click.UsageError as error:
        return _fail(2, f"{_explain(error)} Veja: {command.name} --help")
    except click.ClickException as error:
        return _fail(1, error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return _fail(130, "Interrompido.")
    except Exception as error:
        if os.environ.get("LLMDEFINITIONS_RASTRO", "0") not in ("", "0"):
            traceback.print_exc()
        return _fail(1, f"{type(error).__name__}: {error}")
    return 0


def _fail(code, sentence):
    click.echo(f"Erro: {sentence}", err=True)
    return code


def _explain(error):
    parameter = getattr(error, "param", None)
    match error:
        case click.NoSuchOption():
            return f"Não conheço a opção {error.option_name}."
        case click.BadOptionUsage():
            return f"A opção {error.option_name} está incompleta ou recebeu um valor que não aceita."
        case click.MissingParameter() if parameter:
            return f"Falta {parameter.human_readable_name}."
        case click.BadParameter() if parameter:
            return f"O valor dado a {parameter.opts[0]} não serve; esperava {_expected(parameter.type)}."
    return f"Não entendi a linha de comando ({error.format_message()})."


def _expected(kind):
    if isinstance(kind, click.Choice):
        return f"um de: {', '.join(kind.choices)}"
    if type(kind) not in _LIMITS:
        return "um texto"
    return f"{_LIMITS[type(kind)]} {'maior que' if kind.min_open else 'a partir de'} {kind.min}"

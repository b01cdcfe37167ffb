"""O que o pytest carrega deste pacote: a opção ``--nota``. Tudo o mais só é importado quando ela é usada."""


def pytest_addoption(parser):
    parser.getgroup("curso").addoption(
        "--nota", nargs="+", metavar="CADERNO.ipynb", help="mostra a nota de cada exercício do caderno (ou da pasta)"
    )


def pytest_cmdline_main(config):
    if not config.option.nota:
        return None
    from .nota import main

    return main(config.option.nota)

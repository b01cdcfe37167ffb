"""``python -m llmdefinitions.lab``: copia os cadernos para a sua pasta e abre o JupyterLab nela."""

import subprocess
import sys
from pathlib import Path

import click

from .command import PortugueseCommand, run_command
from .sources import copy_whole


def copy_notebooks(source, target):
    """Copia os cadernos que ainda não estão na pasta de destino; nunca substitui um arquivo.

    Args:
        source: pasta de origem.
        target: pasta de destino, criada se preciso.

    Returns:
        ``(copied, kept)``: os caminhos, relativos, do que foi copiado e do que já estava lá.
    """
    source, target = Path(source), Path(target)
    target.mkdir(parents=True, exist_ok=True)
    copied, kept = [], []
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        if (target / relative).exists():
            kept.append(relative)
        else:
            copy_whole(path, target / relative)
            copied.append(relative)
    return copied, kept


def _files(count):
    return "1 arquivo" if count == 1 else f"{count} arquivos"


@click.command(
    "python -m llmdefinitions.lab",
    cls=PortugueseCommand,
    help="Copia os cadernos de notebooks/ para minhas_respostas/, sem tocar no que você já fez, e abre o JupyterLab. "
    "O que vier depois de -- vai para o JupyterLab: -- --no-browser, por exemplo.",
)
@click.option("--origem", default="notebooks", metavar="PASTA", help="De onde copiar.  [padrão: notebooks]")
@click.option("--destino", default="minhas_respostas", metavar="PASTA", help="Sua pasta.  [padrão: minhas_respostas]")
@click.option("--so-copiar", is_flag=True, help="Copia e sai, sem abrir o JupyterLab.")
@click.argument("opcoes_do_jupyter", nargs=-1)
def main(origem, destino, so_copiar, opcoes_do_jupyter):
    copied, kept = copy_notebooks(origem, destino)
    if copied or kept:
        click.echo(f"{destino}: copiei {_files(len(copied))} e mantive {_files(len(kept))} que você já tinha.")
    else:
        click.echo(f"Ainda não há cadernos em {origem}; {destino} fica vazia por enquanto.")
    if so_copiar:
        return
    root = f"--ServerApp.root_dir={Path(destino).resolve()}"
    command = [sys.executable, "-m", "jupyter", "lab", root, *opcoes_do_jupyter]
    process = subprocess.Popen(command)  # noqa: S603 — o comando é montado aqui
    interrupted = False
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:  # Ctrl+C também chega ao JupyterLab, que pergunta, salva e sai por si
            interrupted = True
    if process.returncode and not interrupted:
        raise click.ClickException("O JupyterLab não abriu; a mensagem dele está acima.")


if __name__ == "__main__":
    sys.exit(run_command(main))

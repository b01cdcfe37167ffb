"""``corrigir pacote-aluno``: um zip com tudo de que um estudante precisa, e nada do que é do professor.

Vão os cadernos de ``notebooks/``, o módulo do curso, o ``pytest --nota`` e os arquivos da instalação. Não vão as
soluções, os testes, as notas, as entregas nem ``nbgrader_config.py``, que pode ter a senha de uma base de notas. Dois
pacotes dos mesmos arquivos são iguais, byte a byte.
"""

import fnmatch
import io
import re
import subprocess
import zipfile
from pathlib import Path

import click

from .command import Command
from .course import course_option, open_course

TOP = "curso"
"""A pasta que o zip cria: aberto em qualquer lugar, não espalha arquivos."""

FOLDERS = ("notebooks", "llmdefinitions", "grading")

FILES = {
    "pyproject.toml": "pyproject.toml",
    "constraints.txt": "constraints.txt",
    "requirements-offline.txt": "requirements-offline.txt",
    "environment.yml": "environment.yml",
    "docs/LEIAME_ALUNO.md": "README.md",
    "GLOSSARIO.md": "GLOSSARIO.md",
    "LICENSE": "LICENSE",
    "LICENSE-TEXTOS.md": "LICENSE-TEXTOS.md",
}
"""Os arquivos avulsos, e o nome de cada um no pacote."""

DATE = (1980, 1, 1, 0, 0, 0)
UNSEALED = re.compile(rb"### (BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)|=== (BEGIN|END) MARK SCHEME")


def package_files(folder, ignored=()):
    """Escolhe o que vai no pacote.

    Args:
        folder: a pasta do curso.
        ignored: padrões de nomes que ficam de fora, além dos ocultos, quando a pasta não é um repositório do git; se
            é, vão só os arquivos que ele guarda.

    Returns:
        Dicionário do nome no pacote para o conteúdo, em ordem.

    Raises:
        click.ClickException: se falta um arquivo, ou um caderno tem o que o estudante não pode ver.
    """
    chosen = {name: _read(folder / origin) for origin, name in FILES.items()}
    chosen["pyproject.toml"] = _without_tools(chosen["pyproject.toml"])
    tracked = _tracked(folder)
    for top in FOLDERS:
        names = [name for name in tracked if name.startswith(f"{top}/")] if tracked else _walk(folder, top, ignored)
        if not names:
            raise click.ClickException(f"Não encontro a pasta {top} em {folder}.")
        chosen |= {name: _read(folder / name) for name in names if not (folder / name).is_symlink()}
    for name, content in chosen.items():
        if name.endswith(".ipynb") and UNSEALED.search(content):
            raise click.ClickException(f"{name} tem soluções ou testes ocultos. Refaça os cadernos: make notebooks")
    return dict(sorted(chosen.items()))


def _read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.ClickException(f"Não consigo ler {path}: {error.strerror or error}.") from error


def _without_tools(content):
    """O ``pyproject.toml`` sem as ferramentas de quem mantém o curso: o pytest pediria pacotes que o aluno não tem."""
    tables = re.split(r"(?m)^(?=\[)", content.decode())
    return "".join(one for one in tables if not one.startswith("[tool.") or one.startswith("[tool.hatch")).encode()


def _tracked(folder):
    """Os arquivos que o git guarda; nenhum, se a pasta não é um repositório ou está dentro do de outra coisa."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--", "pyproject.toml", *FOLDERS]
    try:
        listed = subprocess.run(command, capture_output=True, check=False).stdout.decode().split("\0")  # noqa: S603
    except (OSError, UnicodeError):
        return []
    names = [name for name in listed if name and (folder / name).is_file()]
    return names if "pyproject.toml" in names else []


def _walk(folder, top, ignored):
    names = [path.relative_to(folder) for path in (folder / top).rglob("*") if path.is_file()]
    unwanted = (".*", "__pycache__", "*.pyc", *ignored)
    return [
        name.as_posix()
        for name in names
        if not any(fnmatch.fnmatch(part, pattern) for part in name.parts for pattern in unwanted)
    ]


def write_package(files):
    """O zip dos arquivos, sempre o mesmo para os mesmos arquivos.

    Args:
        files: o dicionário de ``package_files``.

    Returns:
        Os bytes.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(f"{TOP}/{name}", DATE)
            info.create_system, info.external_attr, info.compress_type = 3, 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


@click.command(
    "corrigir pacote-aluno",
    cls=Command,
    help="Faz um zip para os estudantes, com os cadernos, o módulo do curso, o pytest --nota e as instruções; sem as "
    "soluções, os testes, as notas e a sua configuração.",
)
@click.option("--para", default="pacote-aluno.zip", metavar="ARQUIVO", help="Onde gravar.  [padrão: pacote-aluno.zip]")
@click.option("--substituir", is_flag=True, help="Grava por cima do arquivo, se ele já existe.")
@course_option
def command(para, substituir, curso):
    course = open_course(curso)
    files = package_files(course.folder, course.coursedir.ignore)
    content = write_package(files)
    path = Path(para)
    try:
        if path.exists() and path.read_bytes() != content and not substituir:
            raise click.ClickException(f"{path} já existe, e é outro. Para gravar por cima: --substituir")
        new = path.with_name(f".{path.name}.novo")
        new.write_bytes(content)
        new.replace(path)
    except OSError as error:
        raise click.ClickException(f"Não consigo gravar {path}: {error.strerror or error}.") from error
    size = f"{len(content) / 1e6:.1f}".replace(".", ",")
    lessons = sum(name.startswith("notebooks/") and name.endswith(".ipynb") for name in files)
    click.echo(f"{path}: {lessons} cadernos, {len(files)} arquivos ao todo, {size} MB.")

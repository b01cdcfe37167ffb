"""``corrigir pacote-aluno``: tudo o que o estudante usa, nada do que é do professor, e instala de verdade."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import click
import nbformat
import pytest

from grading.command import run
from grading.package import FOLDERS, command, package_files, write_package

from .conftest import LESSONS, ROOT, copy_tracked_files

HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS\n(.*?)### END HIDDEN TESTS", re.DOTALL)
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)


def package(*options):
    return run(command, ["--curso", str(ROOT), *map(str, options)])


@pytest.fixture(scope="module")
def files():
    return package_files(ROOT)


def secret_lines(pattern):
    """As linhas das soluções, ou dos testes ocultos, que não estão também no que o estudante vê em alguma lição."""
    lessons = {path.stem: [cell.source for cell in nbformat.read(path, as_version=4).cells] for path in LESSONS}
    visible = "\n".join(SOLUTION.sub("", HIDDEN.sub("", cell)) for cells in lessons.values() for cell in cells)
    seen = set(map(str.strip, visible.splitlines()))
    for lesson, cells in lessons.items():
        hidden = "".join(block for cell in cells for block in pattern.findall(cell))
        for line in map(str.strip, hidden.splitlines()):
            if len(line) > 12 and line not in seen and not line.startswith(("#", "import ", "from ")):
                yield lesson, line


def lines_of(files, folder=""):
    """As linhas de tudo o que é texto no pacote; as dos cadernos, sem o JSON em volta."""
    for name, content in files.items():
        if name.startswith(folder) and name.endswith(".ipynb"):
            notebook = nbformat.reads(content.decode(), as_version=4)
            yield from (line.strip() for cell in notebook.cells for line in cell.source.splitlines())
        elif name.startswith(folder):
            yield from map(str.strip, content.decode(errors="replace").splitlines())


@pytest.mark.parametrize("pattern", [HIDDEN, SOLUTION], ids=["testes ocultos", "soluções"])
def test_nothing_of_the_teacher_is_in_a_notebook(files, pattern):
    """As soluções, o módulo do curso também as tem, e o estudante o tem desde o começo; os cadernos não."""
    secrets = list(secret_lines(pattern))
    assert {lesson for lesson, _ in secrets} == {path.stem for path in LESSONS}
    seen = set(lines_of(files, "notebooks/"))
    assert [secret for secret in secrets if secret[1] in seen] == []


def test_no_hidden_test_is_anywhere(files):
    """As linhas curtas, como ``torch.manual_seed(1)``, são de todo mundo."""
    secrets = [(lesson, line) for lesson, line in secret_lines(HIDDEN) if len(line) > 50]
    assert {lesson for lesson, _ in secrets} == {path.stem for path in LESSONS}
    seen = set(lines_of(files))
    assert [secret for secret in secrets if secret[1] in seen] == []


def test_what_is_inside(files):
    tops = {name.split("/")[0] for name in files}
    assert tops == {
        *FOLDERS,
        "README.md",
        "GLOSSARIO.md",
        "LICENSE",
        "LICENSE-TEXTOS.md",
        "constraints.txt",
        "environment.yml",
        "pyproject.toml",
        "requirements-offline.txt",
    }
    assert {name for name in files if name.endswith(".ipynb") and name.startswith("notebooks/")} == {
        f"notebooks/{path.stem}/{path.name}" for path in LESSONS
    }
    assert "llmdefinitions/assets/gpt2-mini/model.safetensors" in files
    assert "notebooks/03_preparacao_dos_dados/mensagens_dificeis.tsv" in files
    assert not [name for name in files if name.endswith((".pyc", ".db")) or "/." in name]
    assert files["README.md"] == (ROOT / "docs" / "LEIAME_ALUNO.md").read_bytes()


def test_the_project_asks_for_nothing_a_student_lacks(files):
    project = tomllib.loads(files["pyproject.toml"].decode())
    original = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project == original | {"tool": {"hatch": original["tool"]["hatch"]}}


def test_links_of_the_readme_exist(files):
    for link in re.findall(r"\]\((?!http)([^)]+)\)", files["README.md"].decode()):
        assert link in files


def test_two_packages_are_equal_and_nothing_is_overwritten_unasked(tmp_path, capsys):
    path = tmp_path / "meu pacote.zip"
    assert package("--para", path) == 0
    assert re.search(r"meu pacote\.zip: 7 cadernos, \d+ arquivos ao todo, \d+,\d MB\.", capsys.readouterr().out)
    content = path.read_bytes()
    assert package("--para", path) == 0
    assert path.read_bytes() == content
    path.write_bytes(b"meu")
    assert package("--para", path) == 1
    assert path.read_bytes() == b"meu"
    assert "--substituir" in capsys.readouterr().err
    assert package("--para", path, "--substituir") == 0
    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert package("--para", tmp_path / "nada" / "a.zip") == 1
    assert "Não consigo gravar" in capsys.readouterr().err


@pytest.fixture
def copy(tmp_path):
    """O curso, sem git e com o que uma pessoa deixa nele."""
    course = copy_tracked_files(tmp_path / "curso")
    shutil.rmtree(course / "tests")
    for name in (
        "notebooks/.ipynb_checkpoints/a.ipynb",
        "notebooks/01_conceitos/resultados/a.txt",
        "grading/__pycache__/a.pyc",
        "llmdefinitions/.segredo",
        "submitted/ana/01_conceitos/01_conceitos.ipynb",
        "gradebook.db",
    ):
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).write_text("é de uma pessoa", encoding="utf-8")
    return course


def test_without_git_the_same_files(copy, files):
    assert package_files(copy, ["resultados"]) == files


def test_with_git_only_what_it_tracks(copy, files):
    (copy / "notebooks" / "rascunho.md").write_text("meu", encoding="utf-8")
    (copy / "notebooks" / "atalho.md").symlink_to("/etc/hostname")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], cwd=copy, check=True)
    assert "notebooks/rascunho.md" in package_files(copy), "um git que não guarda o curso não decide"
    subprocess.run([*git, "add", "pyproject.toml", *FOLDERS, ":!*/rascunho.md", ":!*/.segredo"], cwd=copy, check=True)
    assert package_files(copy) == files


def test_without_a_git_command(copy, files, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert package_files(copy, ["resultados"]) == files


def test_a_notebook_with_solutions_is_refused(copy):
    name = "01_conceitos/01_conceitos.ipynb"
    shutil.copy(copy / "solutions" / name, copy / "notebooks" / name)
    with pytest.raises(click.ClickException, match=f"{name} tem soluções"):
        package_files(copy)


@pytest.mark.parametrize("missing", ["grading", "GLOSSARIO.md"])
def test_what_is_missing_is_said(copy, missing):
    path = copy / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(click.ClickException, match=missing):
        package_files(copy)


@pytest.mark.lento
def test_a_student_installs_it_and_sees_the_score(tmp_path):
    """Num ambiente novo, que vê os pacotes deste; instala de verdade (precisa de um índice de pacotes)."""
    archive = tmp_path / "pacote.zip"
    archive.write_bytes(write_package(package_files(ROOT)))
    place = tmp_path / "minha pasta é"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(place)
    folder = place / "curso"
    unwanted = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}

    def execute(*arguments):
        return subprocess.run(
            list(map(str, arguments)), cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    assert execute(sys.executable, "-m", "venv", ".venv").returncode == 0
    (site,) = (folder / ".venv").glob("lib/python*/site-packages")
    (site / "outros.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    python = folder / ".venv" / "bin" / "python"
    installed = execute(python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", ".")
    assert installed.returncode == 0, installed.stderr
    where = execute(
        python, "-c", "import llmdefinitions, grading; print(llmdefinitions.__file__, grading.__file__, sep='\\n')"
    )
    assert [Path(line).parent.parent for line in where.stdout.splitlines()] == [folder, folder], where.stderr

    score = execute(python, "-m", "pytest", "--nota", "notebooks/03_preparacao_dos_dados")
    assert score.returncode == 1, score.stdout + score.stderr
    assert score.stdout.count("✗") == 6
    assert "✓" not in score.stdout
    assert "ainda não foi escrita" in " ".join(score.stdout.split())
    assert "Total: 0 de 90 pontos" in score.stdout

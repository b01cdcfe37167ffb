"""Os comandos de ``docs/como-fazer-uma-licao.md``, executados na ordem numa cópia do curso."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, copy_tracked_files

GUIDE = ROOT / "docs" / "como-fazer-uma-licao.md"


@pytest.mark.lento
def test_every_command_of_the_guide_works(tmp_path):
    copy = copy_tracked_files(tmp_path / "curso")
    # O ambiente é este mesmo; só a marca de que está pronto tem de ser mais nova que os arquivos da cópia.
    environment = copy / ".venv"
    environment.mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".pronto":
            (environment / part.name).symlink_to(part)
    (environment / ".pronto").touch()
    author = {"GIT_AUTHOR_NAME": "Ana", "GIT_AUTHOR_EMAIL": "ana@exemplo.br"}
    author |= {key.replace("AUTHOR", "COMMITTER"): value for key, value in author.items()}
    subprocess.run(["git", "init", "--quiet", str(copy)], check=True)

    blocks = re.findall(r"^```bash\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    result = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(blocks)],
        cwd=copy,
        env=os.environ | author | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-3000:]
    assert "Total: 90 de 90 pontos, mais 10 que o professor corrige" in result.stdout
    assert "Total: 0 de 90 pontos" in result.stdout
    assert "99_exemplo: os 2 números do texto conferem." in result.stdout

"""Numa cópia recém-feita, num caminho com espaços e acentos e sem nada ao lado, ``make curso`` faz tudo."""

import os
import subprocess

import pytest

from .conftest import LESSONS, copy_tracked_files

VENV_VARIABLES = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "LLMDEFINITIONS_FONTE", "LLMDEFINITIONS_DADOS")


@pytest.mark.lento
def test_make_curso_in_a_fresh_copy(tmp_path):
    """Instala de verdade (precisa de um índice de pacotes), executa as lições e corrige três entregas de cada uma."""
    copy = copy_tracked_files(tmp_path / "cópia com espaço e acentuação")
    environment = {key: value for key, value in os.environ.items() if key not in VENV_VARIABLES}
    first = subprocess.run(["make", "curso"], cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    for path in LESSONS:
        assert f"✓ {path.stem}: executada em" in first.stdout

    again = subprocess.run(["make", "-n", "curso"], cwd=copy, capture_output=True, text=True, check=True).stdout
    assert ".venv/bin/python scripts/curso.py" in again
    assert "pip install" not in again, "o segundo make instalou de novo"

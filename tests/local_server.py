"""Um servidor HTTP de verdade em 127.0.0.1, para os testes que baixam arquivos."""

import hashlib
import http.server
import json
import threading
from contextlib import contextmanager

CONTENT = bytes(range(256)) * 4000  # cerca de 1 MB


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Servidor local cujos caminhos se comportam bem ou mal, conforme ``behaviors``."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviors = {}
        self.requests = []
        self.released = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def answer_json(self, path, value):
        """Faz um caminho responder com um valor em JSON."""
        self.behaviors[path] = ("ok", json.dumps(value).encode())


class Handler(http.server.BaseHTTPRequestHandler):
    """Atende os endereços comuns e os do Hub (``/repositorio/resolve/versão/arquivo``)."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.respond(body=False)

    def do_GET(self):
        self.respond(body=True)

    def respond(self, body):
        path = self.path.split("?")[0]
        self.server.requests.append((self.command, path, self.headers.get("Range")))
        behavior, content = self.server.behaviors.get(path, ("404", b""))
        if behavior in ("404", "500"):
            self.send_response(int(behavior))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        if body and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Accept-Ranges", "bytes")
        if "/resolve/" in path:  # o Hub diz de que versão é o arquivo
            self.send_header("X-Repo-Commit", path.split("/resolve/")[1].split("/")[0])
        declared = {"wrong": sha256(CONTENT), "undeclared": "abc"}.get(behavior, sha256(content))
        self.send_header("ETag", f'"{declared}"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not body:
            return
        rest = content[start:]
        if behavior == "cut" and not start:
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
        elif behavior == "stall":
            self.wfile.write(rest[: len(rest) // 2])
            self.wfile.flush()
            self.server.released.wait(30)
        else:
            self.wfile.write(rest)


@contextmanager
def running_server():
    """Põe um ``Server`` para atender enquanto durar o bloco ``with``."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()

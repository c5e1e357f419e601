"""An HTTP server that answers a call when the test says so."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.infra.witness import Server


class Gate:
    """`/name` waits for `open("name")`; what was opened stays open. It answers as the examples' shop does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gates: dict[str, tuple[threading.Event, threading.Event]] = {}
        self._server = Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait_for(self, name: str, seconds: float = 30.0) -> None:
        """Returns when a call has come to this gate."""
        assert self._of(name)[0].wait(seconds), f"/{name} was not called within {seconds:g} s"

    def open(self, name: str) -> None:
        self._of(name)[1].set()

    def close(self) -> None:
        for _, opened in self._gates.values():
            opened.set()
        self._server.shutdown()
        self._server.server_close()

    def _of(self, name: str) -> tuple[threading.Event, threading.Event]:
        with self._lock:
            return self._gates.setdefault(name, (threading.Event(), threading.Event()))

    def _handler(gate) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (the handler's own `self` is another)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.partition("?")[0].strip("/")
                came, opened = gate._of(name)
                came.set()
                opened.wait(60)
                answer = json.dumps({"gate": name, "nodes": [{"type": "http.request"}]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler

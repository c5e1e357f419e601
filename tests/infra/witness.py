"""An HTTP server that remembers every call it gets, on disk before it answers."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Server(ThreadingHTTPServer):
    """Clients may come in crowds, and be killed at any moment."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Witness:
    """Calls: {path, key (Idempotency-Key), body}. `?hold=<ms>` answers so much later; `?status=503` fails."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a+b")
        self._lock = threading.Lock()
        self._calls: list[dict[str, Any]] = []
        self._arrived = threading.Condition(self._lock)
        self.gone = threading.Event()  # set when a client went away before it was answered
        self._server = Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def calls(self, path: str = "") -> list[dict[str, Any]]:
        """Calls whose path begins so, in order of arrival."""
        with self._lock:
            return [call for call in self._calls if call["path"].startswith(path)]

    def wait_for(self, path: str, count: int = 1, seconds: float = 30.0) -> None:
        """Returns when so many calls have come."""
        with self._arrived:
            came = self._arrived.wait_for(
                lambda: sum(call["path"].startswith(path) for call in self._calls) >= count, seconds
            )
        assert came, f"{path} was not called {count} times within {seconds:g} s"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._file.close()

    def _record(self, call: dict[str, Any]) -> None:
        with self._arrived:
            self._file.write(json.dumps(call).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._calls.append(call)
            self._arrived.notify_all()

    def _handler(witness) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (the handler's own `self` is another)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                witness._record(
                    {
                        "path": parts.path,
                        "method": self.command,
                        "key": self.headers.get("Idempotency-Key"),
                        "traceparent": self.headers.get("traceparent"),
                        "body": body.decode(),
                        "time": time.time(),
                    }
                )
                hold = int(query.get("hold", "0")) / 1000
                if hold and self._hung_up_within(hold):
                    witness.gone.set()
                    self.close_connection = True
                    return
                answer = json.dumps({"path": parts.path, "echo": body.decode()}).encode()
                self.send_response(int(query.get("status", "200")))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def _hung_up_within(self, seconds: float) -> bool:
                self.connection.settimeout(seconds)
                try:
                    return len(self.connection.recv(1)) == 0
                except TimeoutError:
                    return False
                except OSError:
                    return True
                finally:
                    self.connection.settimeout(None)

            do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 (their names in http.server)

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler

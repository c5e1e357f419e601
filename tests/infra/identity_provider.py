"""A small OpenID Connect provider: discovery, a page to sign in at, codes with PKCE, signed tokens, keys."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT = "flow-console"
AUDIENCE = "flow"
PAGE = """<!doctype html><title>Provider</title><form method="post">
<label>Name <input name="name" autofocus></label>
<button>Let me in</button><button name="no" value="1">No</button>
</form>"""


class IdentityProvider:
    """people: claims by name; whoever is not among them may not come in. Codes work once."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.people: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.issuer = ""
        self.more = ""  # what makes tokens longer

    def document(self, path: str) -> dict[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        if path == "/keys":
            public: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
            return {"keys": [{**public, "kid": "one", "alg": "ES256", "use": "sig"}]}
        return None

    def way_back(self, asked: dict[str, str], form: dict[str, str]) -> str:
        """Where the browser goes from the page."""
        if form.get("no"):
            said = {"error": "access_denied", "error_description": "You did not want to."}
        else:
            said = {"code": self.code_for(form.get("name", ""), asked)}
        return f"{asked['redirect_uri']}?{urlencode({**said, 'state': asked['state']})}"

    def code_for(self, name: str, asked: dict[str, str]) -> str:
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked, "name": name}
        return code

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or asked["code_challenge"] != challenge
            or any(form.get(name) != asked[name] for name in ("client_id", "redirect_uri"))
        ):
            return 400, {"error": "invalid_grant"}
        claims = self.people.get(asked["name"], {})
        return 200, {"token_type": "Bearer", "access_token": self.signed(asked["name"], **claims)}

    def signed(self, subject: str, **claims: Any) -> str:
        told = {"iss": self.issuer, "aud": AUDIENCE, "sub": subject, "exp": int(time.time()) + 600, **claims}
        return jwt.encode({**told, "more": self.more}, self.key, "ES256", headers={"kid": "one"})


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = urlsplit(self.path)
            found = provider.document(place.path)
            if place.path == "/authorize":
                self._answer(200, PAGE.encode(), "text/html")
            else:
                self._answer(200 if found else 404, json.dumps(found).encode())

        def do_POST(self) -> None:
            place = urlsplit(self.path)
            form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
            if place.path == "/authorize":
                self.send_response(303)
                self.send_header("Location", provider.way_back(dict(parse_qsl(place.query)), form))
                self.end_headers()
                return
            status, answer = provider.token(form)
            self._answer(status, json.dumps(answer).encode())

        def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield provider
    finally:
        server.shutdown()
        serving.join()
        server.server_close()

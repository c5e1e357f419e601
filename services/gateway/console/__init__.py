"""The console: the page at `/` and the files it is made of, as they are shipped.

Every file is served below a folder named for the content of all of them, so that browsers may keep files for
ever and never mix those of two releases. Nothing is loaded from elsewhere, and no script stands in the page
but the map of module names, which the policy allows by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import Response

from services.gateway.call import Answer, Call
from services.gateway.errors import Refused

ASSETS = "/console/{release}/{asset}"
MODULES = {
    "preact": "vendor/preact.mjs",
    "preact/hooks": "vendor/preact-hooks.mjs",
    "@preact/signals-core": "vendor/signals-core.mjs",
    "@preact/signals": "vendor/signals.mjs",
    "htm": "vendor/htm.mjs",
}
"""What the files of others call one another."""

MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    media_type: str


class Console:
    """Reads everything once; what is not there cannot be asked for."""

    def __init__(self, folder: Traversable | None = None) -> None:
        self.assets = dict(sorted(_read(folder or files(__package__) / "assets", "")))
        self.release = release_of(self.assets)
        modules = json.dumps(
            {"imports": {name: f"/console/{self.release}/{path}" for name, path in MODULES.items()}}
        )
        self._page = (
            self.assets.pop("index.html")
            .content.decode()
            .replace("{{release}}", self.release)
            .replace("{{modules}}", modules)
        )
        self._headers = {
            "Content-Security-Policy": policy(modules),
            "Cache-Control": "no-cache",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
        }

    async def page(self, call: Call) -> Answer:
        """The console."""
        return Response(self._page, headers=self._headers, media_type="text/html")

    async def asset(self, call: Call) -> Answer:
        """A file of the console. A page that was loaded before an update asks for files that are gone."""
        asset = self.assets.get(call.path["asset"])
        if asset is None or call.path["release"] != self.release:
            raise Refused("ROUTE_NOT_FOUND", "there is no such file in this release of the console")
        return Response(asset.content, headers={"Cache-Control": FOR_EVER}, media_type=asset.media_type)


def policy(modules: str) -> str:
    """What the page may do: its own files, its own gateway, and that one inline map."""
    digest = base64.b64encode(hashlib.sha256(modules.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def release_of(assets: Mapping[str, Asset]) -> str:
    """Twelve hexadecimal digits that change with any file."""
    digest = hashlib.sha256()
    for name, asset in assets.items():
        digest.update(f"{name}\0{len(asset.content)}\0".encode() + asset.content)
    return digest.hexdigest()[:12]


def _read(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _read(entry, f"{name}/")
        else:
            found.append((name, Asset(entry.read_bytes(), _media_type(name))))
    return found


def _media_type(name: str) -> str:
    suffix = name[name.rfind(".") :]
    return MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"

"""The console as it is served: complete, small, from here alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import PurePosixPath

import httpx
import pytest

from services.gateway.console import MODULES, Console

CONSOLE = Console()
ASSETS = CONSOLE.assets
OURS = {
    name: asset.content.decode()
    for name, asset in ASSETS.items()
    if not name.startswith("vendor/") and name.endswith((".js", ".css", ".svg"))
}


async def test_the_page_runs_its_own_scripts_only(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    (inline,) = re.findall(r"<script[^>]*>([^<]+)</script>", page.text)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert set(re.findall(r'(?:src|href)="(/[^"]+)"', page.text)) <= {
        "/docs",
        *(f"/console/{CONSOLE.release}/{name}" for name in ASSETS),
    }


async def test_files_are_kept_for_ever_under_the_name_of_their_release(client: httpx.AsyncClient) -> None:
    main = await client.get(f"/console/{CONSOLE.release}/main.js")
    assert (main.status_code, main.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in main.headers["cache-control"]
    assert (await client.get(f"/console/{CONSOLE.release}/pages/executions.js")).status_code == 200
    for path in ("000000000000/main.js", f"{CONSOLE.release}/nope.js", f"{CONSOLE.release}/../__init__.py"):
        assert (await client.get(f"/console/{path}")).status_code == 404


def test_everything_together_is_small() -> None:
    assert sum(len(asset.content) for asset in ASSETS.values()) < 1_500_000


@pytest.mark.parametrize("name", [name for name in OURS if name.endswith(".js")])
def test_what_a_script_imports_is_there(name: str) -> None:
    folder = PurePosixPath(name).parent
    for module in re.findall(r'(?:from|import)\s+"([^"]+)"', OURS[name]):
        if module in MODULES:
            assert MODULES[module] in ASSETS
        else:
            parts: list[str] = []
            for part in (folder / module).parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            assert "/".join(parts) in ASSETS, f"{name} imports {module}"


@pytest.mark.parametrize("name", OURS)
def test_nothing_of_ours_names_another_host(name: str) -> None:
    names_of_nothing = {"http://www.w3.org", "https://example.org"}
    assert set(re.findall(r"https?://[\w.-]+", OURS[name])) <= names_of_nothing


def test_the_files_of_others_are_those_that_were_published() -> None:
    record = json.loads(ASSETS["vendor/vendor.json"].content)
    listed = {name: digest for package in record for name, digest in package["files"].items()}
    assert listed == {
        name.removeprefix("vendor/"): f"sha256-{hashlib.sha256(asset.content).hexdigest()}"
        for name, asset in ASSETS.items()
        if name.startswith("vendor/") and name != "vendor/vendor.json"
    }
    assert all(package["licence"] and package["integrity"] for package in record)

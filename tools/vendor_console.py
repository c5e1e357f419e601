"""Fetch the front-end code of others that the console ships, exactly as it was published.

`python -m tools.vendor_console` asks npm for each package below at its pinned version, checks it against the
integrity that is recorded in vendor.json (a new version writes a new one), and puts the named files and the
licences into the console's folder. The result is committed: neither installing nor building needs npm.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
VENDOR = ROOT / "services/gateway/console/assets/vendor"
RECORD = VENDOR / "vendor.json"


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    files: dict[str, str]  # path in the package -> name in the console


PACKAGES = (
    Package(
        "preact",
        "11.2.0",
        {"dist/preact.mjs": "preact.mjs", "hooks/dist/hooks.mjs": "preact-hooks.mjs"},
    ),
    Package("@preact/signals-core", "1.14.5", {"dist/signals-core.mjs": "signals-core.mjs"}),
    Package("@preact/signals", "2.11.4", {"dist/signals.mjs": "signals.mjs"}),
    Package("htm", "3.1.1", {"dist/htm.mjs": "htm.mjs"}),
    Package("@dagrejs/dagre", "3.1.3", {"dist/dagre.esm.js": "dagre.mjs"}),
    Package("uplot", "1.6.32", {"dist/uPlot.esm.js": "uplot.mjs", "dist/uPlot.min.css": "uplot.css"}),
)


def main() -> int:
    known = {entry["name"]: entry for entry in json.loads(RECORD.read_text())} if RECORD.exists() else {}
    VENDOR.mkdir(parents=True, exist_ok=True)
    record = [vendored(package, known.get(package.name)) for package in PACKAGES]
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def vendored(package: Package, known: dict[str, Any] | None) -> dict[str, Any]:
    """Its entry in the record. Raises SystemExit when the registry gives something else than before."""
    with tempfile.TemporaryDirectory() as folder:
        packed = json.loads(
            subprocess.run(
                ["npm", "pack", f"{package.name}@{package.version}", "--json", "--pack-destination", folder],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        entry = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
        if known and known["version"] == package.version and known["integrity"] != entry["integrity"]:
            raise SystemExit(
                f"{package.name} {package.version}: the registry gives another package than before"
            )
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package_files:
            licence = _write(package, package_files)
    return {
        "name": package.name,
        "version": package.version,
        "licence": licence,
        "integrity": entry["integrity"],
        "files": {name: _digest(VENDOR / name) for name in (*package.files.values(), _licence_file(package))},
    }


def _write(package: Package, archive: tarfile.TarFile) -> str:
    """Puts the files in place; the licence's SPDX name."""
    for source, name in package.files.items():
        (VENDOR / name).write_bytes(_content(archive, f"package/{source}"))
    (VENDOR / _licence_file(package)).write_bytes(_content(archive, "package/LICENSE"))
    return str(json.loads(_content(archive, "package/package.json"))["license"])


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise SystemExit(f"{name} is no file")
    return file.read()


def _licence_file(package: Package) -> str:
    return f"LICENSE-{package.name.removeprefix('@').replace('/', '-')}.txt"


def _digest(path: Path) -> str:
    return f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}"


if __name__ == "__main__":
    sys.exit(main())

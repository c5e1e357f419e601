"""Writes what an installation consists of, as CycloneDX JSON: `python -m tools.sbom [FILE]`.

From the lock file, not from what happens to be installed: each package with its version, its hashes and its
licence. The same lock file gives the same document.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
TARGET = ROOT / "sbom.cdx.json"


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    text = document(LOCK.read_text())
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        print(f"the document is no CycloneDX 1.6: {problem}", file=sys.stderr)
        return 1
    target.write_text(text + "\n")
    print(f"{target.name}: {len(locked(LOCK.read_text()))} packages")
    return 0


def document(lock: str) -> str:
    bom = Bom()
    own = component("flow-execution-engine", own_version(), [])
    own.type = ComponentType.APPLICATION
    bom.metadata.component = own
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.serial_number = None  # type: ignore[assignment]
    parts = [component(name, version, hashes) for name, version, hashes in locked(lock)]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(own, parts)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def locked(lock: str) -> list[tuple[str, str, list[str]]]:
    """Name, version and SHA-256 hashes of each package, by name."""
    found = []
    for block in lock.replace("\\\n", " ").splitlines():
        if not block.strip() or block.lstrip().startswith("#"):
            continue
        requirement, *hashes = block.split("--hash=sha256:")
        parsed = Requirement(requirement.strip())
        (pin,) = parsed.specifier
        found.append((parsed.name, pin.version, [text.strip() for text in hashes]))
    return sorted(found)


def component(name: str, version: str, hashes: list[str]) -> Component:
    url = PackageURL("pypi", name=name, version=version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=str(url),
        purl=url,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=text) for text in sorted(hashes)],
        licenses=[DisjunctiveLicense(name=text) for text in licence(name)],
    )


def licence(name: str) -> list[str]:
    """As the installed package says; none where it is not installed or says nothing."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return []
    if "License-Expression" in said:
        return [said["License-Expression"]]
    classifiers = [
        text.rpartition(" :: ")[2] for text in said.get_all("Classifier", []) if text.startswith("License ::")
    ]
    return sorted(set(classifiers))


def own_version() -> str:
    return str(metadata("flow-execution-engine")["Version"])


if __name__ == "__main__":
    sys.exit(main())

"""Looks for known vulnerabilities in what the lock files name: `python -m tools.audit`.

pip-audit asks PyPI's advisory service about every pinned version. Exit codes: 0 nothing is known, or nothing
could be asked, which is then said; 1 something is known; 2 nothing could be asked and AUDIT_REQUIRED=1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
SECONDS = 300


class NotAsked(Exception):
    """The advisory service gave no answer; the message is why."""


def main() -> int:
    found = 0
    for lock in LOCKS:
        try:
            dependencies = audited(lock)
        except NotAsked as reason:
            print(f"{lock}: NOT CHECKED, the advisory service could not be asked: {reason}")
            return 2 if os.environ.get("AUDIT_REQUIRED") == "1" else 0
        known = [(each, flaw) for each in dependencies for flaw in each.get("vulns", ())]
        print(f"{lock}: {len(dependencies)} packages asked about, {len(known)} known vulnerabilities")
        for each, flaw in known:
            fixed = ", ".join(flaw.get("fix_versions", ())) or "no version"
            print(f"  {each['name']} {each['version']}: {flaw['id']}, fixed in {fixed}")
        found += len(known)
    return 1 if found else 0


def audited(lock: str) -> list[dict[str, Any]]:
    """What is known of each package. Raises NotAsked."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "audit.json"
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
        command += ["--progress-spinner=off", "--requirement", str(ROOT / lock)]
        command += ["--format", "json", "--output", str(answer)]
        try:
            run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise NotAsked(f"no answer within {SECONDS} s") from None
        try:
            dependencies: list[dict[str, Any]] = json.loads(answer.read_text())["dependencies"]
        except (OSError, ValueError, KeyError):
            raise NotAsked((run.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]) from None
        return dependencies


if __name__ == "__main__":
    sys.exit(main())

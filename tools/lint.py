"""Every static check; all run even when one fails, and as many at once as there are processors.

`python -m tools.lint` prints one line per check and the output of those that failed. Exit code 1 if any did.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = "protos"
BASE_BRANCHES = ("main", "origin/main")

CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "--diff", "."],
    "buf lint": ["buf", "lint"],
    "buf format": ["buf", "format", "--diff", "--exit-code"],
    "stubs are fresh": [sys.executable, "-m", "tools.proto", "--check"],
    "import-linter": ["lint-imports", "--no-cache"],
    "mypy": ["mypy"],
}
"""In order of speed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    ok: bool
    said: str
    seconds: float


def main() -> int:
    with ThreadPoolExecutor(os.cpu_count()) as processors:
        # The slowest first: the others are done meanwhile.
        running = {name: processors.submit(run, CHECKS[name]) for name in reversed(CHECKS)}
        failed = [name for name in CHECKS if not told(name, running[name].result())]
    if not breaking_changes_pass():
        failed.append("buf breaking")
    print(
        f"{len(failed)} of {len(CHECKS) + 1} checks failed: {', '.join(failed)}"
        if failed
        else "all checks passed"
    )
    return 1 if failed else 0


def run(command: list[str]) -> Outcome:
    started = time.monotonic()
    # The tools are those of this environment, whatever else PATH offers.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return Outcome(result.returncode == 0, result.stdout + result.stderr, time.monotonic() - started)


def told(name: str, outcome: Outcome) -> bool:
    print(f"{'ok    ' if outcome.ok else 'FAILED'} {name} ({outcome.seconds:.1f} s)", flush=True)
    if not outcome.ok:
        print(outcome.said, flush=True)
    return outcome.ok


def breaking_changes_pass() -> bool:
    """Compare the protos with the newest release, if there is one, and with the main branch."""
    baselines = [
        reference for reference in [newest_release(), main_branch()] if reference and has_protos(reference)
    ]
    if not baselines:
        print("ok     buf breaking (no earlier protos to compare with)")
    return all(breaks_nothing_since(reference) for reference in baselines)


def breaks_nothing_since(reference: str) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch, "protos.tar")
        subprocess.run(["git", "archive", f"--output={archive}", reference, PROTOS], cwd=ROOT, check=True)
        subprocess.run(["tar", "-xf", str(archive), "-C", scratch], check=True)
        compared = run(["buf", "breaking", PROTOS, "--against", f"{scratch}/{PROTOS}"])
        return told(f"buf breaking against {reference}", compared)


def newest_release() -> str | None:
    return git("describe", "--tags", "--abbrev=0", "--match", "v*")


def main_branch() -> str | None:
    return next((name for name in BASE_BRANCHES if git("rev-parse", "--verify", "--quiet", name)), None)


def has_protos(reference: str) -> bool:
    return bool(git("ls-tree", "-r", "--name-only", reference, PROTOS))


def git(*arguments: str) -> str | None:
    """Standard output of a git command, or None when it fails (also outside a repository)."""
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())

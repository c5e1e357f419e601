"""Stubs from protos: `python -m tools.proto` writes them, `--check` fails when the written ones are stale."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("flow_engine/v1", "flow_engine/keda")
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(Path(scratch))
    committed = stubs_in(ROOT)
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    if "--check" in arguments:
        for name in stale:
            print(f"{name} does not match protos/: run `make proto`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        target = ROOT / name
        if name in fresh:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(fresh[name])
            print(f"wrote {name}")
        else:
            target.unlink()
            print(f"removed {name}")
    return 0


def generate(out: Path) -> dict[str, bytes]:
    """Generate all stubs below `out`; path to content."""
    # The plugins are found as `python` and by name, so this environment comes first on PATH.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["buf", "generate", "--output", str(out)], cwd=ROOT, env=environment, check=True)
    return stubs_in(out)


def stubs_in(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for package in PACKAGES
        for pattern in PATTERNS
        for path in (root / package).glob(pattern)
    }


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} failed with exit code {error.returncode}")

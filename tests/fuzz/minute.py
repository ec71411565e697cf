"""Atheris on every target, in turn, within a minute:  python -m tests.fuzz.minute [SECONDS]

Coverage of the package guides the changes. A crash ends it with the input that led to it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 56


def main() -> int:
    """Each target in a process of its own; 1 where one of them broke."""
    from tests.fuzz.targets import TARGETS, seeds

    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    broken = []
    for name in TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus"
            corpus.mkdir()
            for number, data in enumerate(seeds(name)):
                (corpus / str(number)).write_bytes(data)
            limits = [f"-artifact_prefix={folder}/", f"-max_total_time={max(seconds // len(TARGETS), 1)}"]
            limits += ["-timeout=20", "-rss_limit_mb=6000", "-max_len=4096"]
            command = [sys.executable, "-m", "tests.fuzz.minute", "--target", name, *limits, str(corpus)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        runs = [line for line in done.stderr.splitlines() if line.startswith("Done")]
        print(f"{name}: {runs[0] if runs else 'BROKEN'}")
        if done.returncode != 0:
            broken.append(name)
            print(done.stdout[-3000:], done.stderr[-6000:])
    return 1 if broken else 0


def one(name: str, arguments: list[str]) -> None:
    """Atheris on one target; never returns."""
    import atheris

    with atheris.instrument_imports(include=["quickstudy"], enable_loader_override=False):
        from tests.fuzz.targets import feed
    atheris.Setup([sys.argv[0], *arguments], lambda data: feed(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        one(sys.argv[2], sys.argv[3:])
    sys.exit(main())

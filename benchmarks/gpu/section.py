"""What a section of the script is given: the device, the size, the time that it has; and the file that takes its findings."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Section:
    """One section's run.

    Attributes:
        device: "cuda", or "cpu" to try the script.
        small: whether everything is cut down to what a test has time for.
        until: when its time is over, by `time.monotonic()`.
        out: the JSON file of its findings.
    """

    device: str
    small: bool
    until: float
    out: Path
    began: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Seconds that it still has."""
        return self.until - time.monotonic()

    def write(self, found: dict[str, Any]) -> None:
        """The findings so far, whole or not at all: a section that is killed for its time leaves what it had."""
        part = self.out.with_suffix(".part")
        part.write_text(json.dumps(found), encoding="utf-8")
        os.replace(part, self.out)

    def say(self, text: str) -> None:
        """A line for whoever watches."""
        print(f"[{time.monotonic() - self.began:4.0f} s] {text}", flush=True)


def options(description: str) -> argparse.ArgumentParser:
    """The arguments of every section; the script hands them on."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cuda, or cpu to try the script")
    made.add_argument("--small", action="store_true", help="a few learners, tiny tasks: what a test has time for")
    made.add_argument("--seconds", type=float, default=150.0, help="the time that it has")
    made.add_argument("--out", type=Path, required=True, help="the JSON of its findings")
    return made


def section(given: argparse.Namespace) -> Section:
    """The section that these arguments ask for."""
    return Section(given.device, given.small, time.monotonic() + given.seconds, given.out)

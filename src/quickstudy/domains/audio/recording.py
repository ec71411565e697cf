"""One recording as it was made: its samples, one channel, and their rate. Of a long file only the beginning is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import DataError, MissingPackageError

LOOKED_AT = 30.0  # seconds of a file in which what is kept of it may begin
UNKNOWN = 0x7FFFFF00  # bytes from which on the header of a wav says that its writer could not know how long it is
CUT = re.compile(r"^\s*data\s*:\s*(\S+)\s*\(should be (\d+)\)", re.MULTILINE)  # what libsndfile logs of a wav's header
WHOLE = {"int16": 2.0**15, "int32": 2.0**31}  # full scale of whole numbers
DO = "Remove it from the folder, or save it again as wav or flac."


@dataclass(frozen=True)
class Recording:
    """Args:
    samples: float32 (samples,), in [-1, 1] of full scale.
    rate: of them a second.
    seconds: of the whole recording, of which `samples` may be the beginning.
    """

    samples: Tensor
    rate: int
    seconds: float


def read_recording(path: str | Path, seconds: float) -> Recording:
    """A file of wav, flac, ogg, mp3 or what else libsndfile reads; its channels are averaged.

    Args:
        seconds: to be kept of it; `LOOKED_AT` more are read at most.

    Raises:
        MissingPackageError: soundfile is not installed, or does not find libsndfile.
        DataError: no such file; one that is no recording, is cut short, has no sample, or has some that are no numbers.
    """
    soundfile = _soundfile()
    name = str(path)
    try:
        with soundfile.SoundFile(name) as file:
            rate, frames = int(file.samplerate), int(file.frames)
            _check_header(file, name)
            wanted = min(frames, int((seconds + LOOKED_AT) * rate))
            samples = file.read(wanted, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError) as error:
        got = " ".join(str(error).split())[:200] if Path(name).exists() else "no such file"
        raise DataError(name, expected="a recording that can be read", got=got, do=DO) from error
    if len(samples) < wanted:
        raise _cut(name, f"{len(samples)} of {wanted} samples")
    return Recording(_checked(torch.from_numpy(samples.mean(1)), name), rate, frames / rate)


def of_array(value: Any, rate: int | None, where: str) -> Recording:
    """A recording in memory: one channel of floats in [-1, 1] or of whole numbers of 16 or 32 bits; or
    {"array": ..., "sampling_rate": ...}, which tells its rate itself.

    Raises:
        DataError: other shapes and types; no sample, or some that are no numbers; a rate that nobody told.
    """
    if isinstance(value, Mapping):
        if not {"array", "sampling_rate"} <= value.keys():
            do = "Give arrays, and their rate=."
            raise DataError(where, expected="'array' and 'sampling_rate'", got=", ".join(map(str, value)) or "neither", do=do)
        value, rate = value["array"], int(value["sampling_rate"])
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.ndim != 1:
        do = "Give one channel: the mean over the axis of the channels."
        raise DataError(where, expected="samples of one channel, (samples,)", got=f"shape {array.shape}", do=do)
    if array.dtype.kind != "f" and str(array.dtype) not in WHOLE:
        expected = "floats in [-1, 1], or whole numbers of 16 or 32 bits"
        raise DataError(where, expected=expected, got=str(array.dtype), do="Bring them to floats in [-1, 1].")
    if rate is None:
        do = "Give rate=, what it was recorded at: 16000, say."
        raise DataError(where, expected="samples whose rate is known", got="an array, which does not tell it", do=do)
    samples = torch.from_numpy(array.astype(np.float32)) / WHOLE.get(str(array.dtype), 1.0)
    return Recording(_checked(samples, where), rate, len(samples) / rate)


def _checked(samples: Tensor, where: str) -> Tensor:
    if not len(samples):
        raise DataError(where, expected="a recording", got="one of 0 samples", do="Leave it out.")
    if not bool(samples.isfinite().all()):
        at = int((~samples.isfinite()).nonzero()[0, 0])
        got = f"{float(samples[at])} as sample {at}"
        raise DataError(where, expected="samples that are numbers", got=got, do="Write it anew from its source, or leave it out.")
    return samples


def _check_header(file: Any, name: str) -> None:
    """Raise DataError for a wav that is shorter than its header says; libsndfile reads what there is, and logs it."""
    found = CUT.search(file.extra_info)
    if found is None:
        return
    said, there = int(found[1], 0), int(found[2])
    if there < said < UNKNOWN:
        raise _cut(name, f"{there} of {said} bytes")


def _cut(name: str, got: str) -> DataError:
    return DataError(name, expected="a whole recording", got=f"one that is cut short: {got}", do=DO)


def _soundfile() -> Any:
    """The package.

    Raises:
        MissingPackageError: it is not installed, or does not find libsndfile.
    """
    try:
        import soundfile
    except ModuleNotFoundError as error:
        got, do = "none installed", "pip install 'quickstudy[audio]'."
        raise MissingPackageError("recordings", expected="the package soundfile", got=got, do=do) from error
    except OSError as error:
        do = "Install it: apt-get install libsndfile1, or a wheel of soundfile for this system, which brings it."
        got = " ".join(str(error).split())[:100]
        raise MissingPackageError("recordings", expected="the library libsndfile", got=got, do=do) from error
    return soundfile

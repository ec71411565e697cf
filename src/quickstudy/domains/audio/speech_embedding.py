"""SpeechEmbedding: what Google's keyword models hear, as openWakeWord brought it to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.domains.audio.encoder import RecordingEncoder, key_of_settings, package_folder
from quickstudy.errors import MissingPackageError
from quickstudy.files import read_published

MEL, EMBEDDING = "melspectrogram.onnx", "embedding_model.onnx"
SHA256 = {
    MEL: "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    EMBEDDING: "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
}
INSTALL = "pip install --no-deps openwakeword==0.5.1 brings it."
WINDOW, STEP, FEATURES = 76, 8, 96  # frames of 10 ms that one embedding hears, and between two
SPAN = 20000  # samples, in the middle of which a shorter recording stands: 1.25 seconds, 6 windows
LOUD = 2**15  # its samples are those of 16 bits
AT_ONCE = 64  # windows


@checked
class SpeechEmbedding(RecordingEncoder):
    """The speech embedding of Google, 96 numbers of each 0.78 seconds; frozen, for words that it was never trained on.

        m_t  =  log-mel of frame t / 10 + 2                 32 bands, by its own network
        z    =  mean over i of  f( m_8i .. m_8i+75 )
        z   <-  z / |z|                                       normalise=True

    A recording of less than 1.25 seconds has silence on both sides, so that the windows slide over it as over a stream.

    Args:
        folder: with melspectrogram.onnx and embedding_model.onnx; None: that of the installed package openwakeword. These two
            files alone are opened: the models of wake words beside them are not for commercial use.
        normalise: see above.

    Raises:
        MissingPackageError: neither a folder nor the package; onnxruntime is not installed.
        DataError: no such file, or not the published one, by its sha256.

    Source: Lin, Kilgour, Roblek & Sharifi, "Training Keyword Spotters with Limited and Synthesized Speech Data", ICASSP 2020;
    the files are of openWakeWord 0.5.1.

    Examples:
        >>> qs.tasks.SpeechEmbedding("models")
        Traceback (most recent call last):
            ...
        quickstudy.errors.DataError: ...
    """

    features, rate = FEATURES, 16000

    def __init__(self, folder: str | Path | None = None, *, normalise: bool = True):
        if folder is None:
            folder = package_folder("openwakeword", "SpeechEmbedding()", INSTALL) / "resources" / "models"
        mel, embedding = (read_published(Path(folder) / name, SHA256[name], do=INSTALL) for name in (MEL, EMBEDDING))
        self.mel, self.embedding = _session(mel), _session(embedding)
        self.normalise = normalise
        self.key = key_of_settings(
            {**SHA256, "window": WINDOW, "step": STEP, "span": SPAN, "pool": "mean", "normalise": normalise}
        )

    def encode(self, x: Tensor) -> Tensor:
        """float32 (N, samples) -> (N, 96)."""
        windows = [self._windows(row) for row in x]
        counts, every = list(map(len, windows)), np.concatenate(windows)[..., None]
        some = [every[start : start + AT_ONCE] for start in range(0, len(every), AT_ONCE)]
        z = torch.from_numpy(np.concatenate([self.embedding.run(None, {"input_1": one})[0] for one in some]))
        z = torch.stack([own.mean(0) for own in z.view(-1, FEATURES).split(counts)])
        return F.normalize(z, dim=1) if self.normalise else z

    def _windows(self, x: Tensor) -> np.ndarray:
        """(windows, WINDOW, bands) of one recording; of several at once, log-mel is cut 80 decibels below the loudest of them."""
        there = int(x.nonzero()[-1]) + 1 if bool(x.any()) else 0
        before = max(0, SPAN - there) // 2
        x = F.pad(x[:there], (before, max(0, SPAN - there - before)))
        samples = np.rint(x.numpy() * LOUD).clip(-LOUD, LOUD - 1).astype(np.float32)
        m = self.mel.run(None, {"input": samples[None]})[0][0, 0] / 10 + 2
        return np.stack([m[start : start + WINDOW] for start in range(0, len(m) - WINDOW + 1, STEP)])


def _session(content: bytes) -> Any:
    """A network of ONNX on one thread, whose answers then have the same last bits everywhere on one machine."""
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        do = "pip install 'quickstudy[audio]'."
        raise MissingPackageError("SpeechEmbedding()", expected="the package onnxruntime", got="none installed", do=do) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

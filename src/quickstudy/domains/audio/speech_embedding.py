"""SpeechEmbedding: what Google's keyword models hear, as openWakeWord brought it to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.domains.audio.encoder import RecordingEncoder, key_of_settings, package_folder, published
from quickstudy.errors import MissingPackageError

MEL, EMBEDDING = "melspectrogram.onnx", "embedding_model.onnx"
SHA256 = {
    MEL: "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    EMBEDDING: "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
}
INSTALL = "pip install --no-deps openwakeword==0.5.1 brings it."
WINDOW, STEP, FEATURES = 76, 8, 96  # frames of 10 ms that one embedding hears, and between two
LEAST = 12640  # samples of WINDOW frames
LOUD = 2**15  # its samples are those of 16 bits
AT_ONCE = 64  # recordings


@checked
class SpeechEmbedding(RecordingEncoder):
    """The speech embedding of Google, 96 numbers of each 0.78 seconds; frozen, for words that it was never trained on.

        m_t  =  log-mel of frame t / 10 + 2                 32 bands, by its own network
        z    =  mean over i of  f( m_8i .. m_8i+75 )

    Args:
        folder: with melspectrogram.onnx and embedding_model.onnx; None: that of the installed package openwakeword. These two
            files alone are opened: the models of wake words beside them are not for commercial use.

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

    def __init__(self, folder: str | Path | None = None):
        if folder is None:
            folder = package_folder("openwakeword", "SpeechEmbedding()", INSTALL) / "resources" / "models"
        mel, embedding = (published(Path(folder) / name, SHA256[name], INSTALL) for name in (MEL, EMBEDDING))
        self.mel, self.embedding = _session(mel), _session(embedding)
        self.key = key_of_settings({**SHA256, "window": WINDOW, "step": STEP, "pool": "mean"})

    def encode(self, x: Tensor) -> Tensor:
        """float32 (N, samples) -> (N, 96); zeros stand behind recordings shorter than one window."""
        x = F.pad(x, (0, max(0, LEAST - x.shape[-1])))
        return torch.cat([self._encoded(some.numpy()) for some in x.split(AT_ONCE)])

    def _encoded(self, x: np.ndarray) -> Tensor:
        m = self.mel.run(None, {"input": np.rint(x * LOUD).clip(-LOUD, LOUD - 1).astype(np.float32)})[0][:, 0] / 10 + 2
        starts = range(0, m.shape[1] - WINDOW + 1, STEP)
        windows = np.concatenate([m[:, start : start + WINDOW] for start in starts])[..., None]
        z = torch.from_numpy(self.embedding.run(None, {"input_1": windows})[0])
        return z.reshape(len(starts), len(x), FEATURES).mean(0)


def _session(content: bytes) -> Any:
    """A network of ONNX on one thread, whose answers then have the same last bits everywhere on one machine."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        do = "pip install 'quickstudy[audio]'."
        raise MissingPackageError("SpeechEmbedding()", expected="the package onnxruntime", got="none installed", do=do) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

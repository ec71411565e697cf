"""VoiceEmbedding: GE2E, which tells voices apart whatever they say, from the file of the package resemblyzer."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.domains.audio.encoder import RecordingEncoder, key_of_settings, package_folder
from quickstudy.domains.audio.encoders.log_mel import LogMel
from quickstudy.files import read_published

FILE = "pretrained.pt"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
INSTALL = "pip install --no-deps resemblyzer==0.1.4 brings it."
MELS, WIDTH, LAYERS = 40, 256, 3
FRAMES, STEP, COVERED = 160, 77, 0.75  # of a part: 1.6 s, 1.3 parts a second; the share of the last one that must be there
AT_ONCE = 64  # recordings


class Network(nn.Module):
    """z  =  relu(W h_T) / |relu(W h_T)|,      h_T: the last state of the third LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(MELS, WIDTH, LAYERS, batch_first=True), nn.Linear(WIDTH, WIDTH)

    def forward(self, m: Tensor) -> Tensor:
        """(parts, frames, mels) -> (parts, 256)."""
        _, (last, _) = self.lstm(m)
        return F.normalize(F.relu(self.linear(last[-1])), dim=-1)


@checked
class VoiceEmbedding(RecordingEncoder):
    """The speaker embedding of resemblyzer: 256 numbers of a voice, of length 1.

        m    =  power in 40 bands, frames of 25 ms each 10 ms             no logarithm
        z    =  mean over parts of 1.6 s of  f(m)                          normalised again

    Args:
        file: pretrained.pt; None: that of the installed package resemblyzer. It is opened as tensors alone (`weights_only`).

    Raises:
        MissingPackageError: neither a file nor the package.
        DataError: no such file, or not the published one, by its sha256.

    Source: Wan, Wang, Papir & Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018; the parts are
    those of resemblyzer 0.1.4, `VoiceEncoder.embed_utterance`. Its own preparation removes silence by webrtcvad; here
    `Waveform` does, at both ends.

    Examples:
        >>> qs.tasks.VoiceEmbedding("pretrained.pt")
        Traceback (most recent call last):
            ...
        quickstudy.errors.DataError: ...
    """

    features, rate = WIDTH, 16000

    def __init__(self, file: str | Path | None = None):
        path = package_folder("resemblyzer", "VoiceEmbedding()", INSTALL) / FILE if file is None else Path(file)
        saved = torch.load(io.BytesIO(read_published(path, SHA256, do=INSTALL)), weights_only=True, map_location="cpu")[
            "model_state"
        ]
        self.network = Network().eval().requires_grad_(False)
        self.network.load_state_dict({name: saved[name] for name in self.network.state_dict()})
        self.mel = LogMel(self.rate, MELS, low=0.0)
        self.key = key_of_settings({"sha256": SHA256, "frames": FRAMES, "step": STEP})

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """float32 (N, samples) -> (N, 256); zeros stand behind the last part."""
        return torch.cat([self._encoded(some) for some in x.split(AT_ONCE)])

    def _encoded(self, x: Tensor) -> Tensor:
        starts = parts(x.shape[-1], self.mel.step)
        m = self.mel.power(F.pad(x, (0, max(0, (starts[-1] + FRAMES) * self.mel.step - x.shape[-1])))).transpose(1, 2)
        z = torch.stack([self.network(m[:, start : start + FRAMES]) for start in starts])
        return F.normalize(z.mean(0), dim=-1)


def parts(samples: int, step: int) -> list[int]:
    """The frames at which the parts of a recording begin; the last is left out where too little of it is there."""
    frames = math.ceil((samples + 1) / step)
    starts = list(range(0, max(1, frames - FRAMES + STEP + 1), STEP))
    covered = (samples / step - starts[-1]) / FRAMES
    return starts[:-1] if covered < COVERED and len(starts) > 1 else starts

"""Frozen encoders of recordings: features made once, known by content; random networks stand for the published ones."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest
import torch
from tests.domains.audio.sounds import tone
from torch import nn

import quickstudy as qs
from quickstudy.domains.audio import encoder as encoders
from quickstudy.domains.audio import speech_embedding, voice_embedding
from quickstudy.domains.audio.encoder import EncodedWaveform, RecordingEncoder, encoded_recordings
from quickstudy.domains.audio.encoders import LogMel
from quickstudy.errors import ArgumentError, CheckpointError, DataError, MissingPackageError, ShapeError
from quickstudy.tasks import SpeechEmbedding, VoiceEmbedding, Waveform

READS = Waveform(8000, 0.1)
SOUNDS, LABELS = [tone(200 * 1.3 ** (row % 6), seed=row) for row in range(24)], [row % 6 for row in range(24)]
PROTOCOL = {"ways": 2, "queries": 2, "split": (2, 2, 2), "progress": False}


class Counting(RecordingEncoder):
    """Loudness in two halves; counts the recordings that it was asked for."""

    features, rate = 2, 8000

    def __init__(self, key: str = "counting"):
        self.key, self.asked = key, 0

    def encode(self, x):
        self.asked += len(x)
        return x.unflatten(1, (2, -1)).square().mean(2)


# ---- the cache -----------------------------------------------------------------------------------------------------------


def test_a_recording_is_encoded_once_for_each_encoder(tmp_path):
    x = torch.randn(3, 800).clamp(-1, 1)
    first, again, other = Counting(), Counting(), Counting("another")
    z = encoded_recordings(x[[0, 1, 0]], READS, first, tmp_path, progress=False, what="x")
    assert first.asked == 2
    assert torch.equal(z[0], z[2])
    torch.testing.assert_close(encoded_recordings(x, READS, again, tmp_path, progress=False, what="x")[:2], z[:2])
    assert again.asked == 1
    encoded_recordings(x, READS, other, tmp_path, progress=False, what="x")
    assert other.asked == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another.safetensors", "counting.safetensors"]


def test_what_an_encoder_does_not_take():
    with pytest.raises(ArgumentError, match=r"`rate`: expected 8000 Hz, which the encoder takes, got 16000"):
        encoded_recordings(torch.zeros(1, 16000), Waveform(), Counting(), progress=False, what="x")

    class Short(Counting):
        def encode(self, x):
            return super().encode(x)[:1]

    with pytest.raises(ShapeError, match=r"`encoder`: expected features of shape \(2, 2\), got \(1, 2\)"):
        encoded_recordings(torch.randn(2, 800), READS, Short(), progress=False, what="x")
    with pytest.raises(ArgumentError, match="`cache`: expected an encoder whose features are kept, got none"):
        qs.tasks.from_recordings(SOUNDS, LABELS, rate=8000, cache="x", **PROTOCOL)
    with pytest.raises(ShapeError, match="`recordings, labels`: expected as many labels as recordings, got 24 and 1"):
        qs.tasks.from_recordings(SOUNDS, ["a"], rate=8000, **PROTOCOL)


def test_a_run_on_features_says_whose_they_are(tmp_path):
    tasks = qs.tasks.from_recordings(SOUNDS, LABELS, rate=8000, seconds=0.3, encoder=Counting(), cache=tmp_path, **PROTOCOL)
    reads = EncodedWaveform("counting", 2, Waveform(8000, 0.3))
    assert tasks.preprocessing == reads
    learner = qs.Prototypical(qs.models.mlp(2, 2))
    qs.meta_train(learner, tasks, steps=1, tasks_per_step=2, validation_episodes=2, out=tmp_path / "run", progress=False)
    found = qs.Run.open(tmp_path / "run").preprocessing
    assert found == reads
    found.check(Counting())
    with pytest.raises(CheckpointError, match=r"expected the encoder with the key counting, .* got one with the key other"):
        found.check(Counting("other"))
    with pytest.raises(ShapeError, match=r"`x`: expected 2 features, got \(1, 3\)"):
        found.apply(torch.zeros(1, 3))


# ---- the voice embedding -------------------------------------------------------------------------------------------------


@pytest.fixture
def voice(tmp_path, monkeypatch):
    """A file of random weights that stands for the published one."""
    torch.manual_seed(0)
    weights = voice_embedding.Network().state_dict() | {"similarity_weight": torch.ones(1)}
    torch.save({"step": 1, "model_state": weights, "optimizer_state": {}}, tmp_path / "pretrained.pt")
    monkeypatch.setattr(voice_embedding, "SHA256", hashlib.sha256((tmp_path / "pretrained.pt").read_bytes()).hexdigest())
    return tmp_path / "pretrained.pt"


def test_a_voice_by_hand(voice):
    """One part of 1.6 seconds, of power in bands; the last state of three LSTMs."""
    x = torch.randn(2, 16000)
    z = VoiceEmbedding(voice).encode(x)
    assert z.shape == (2, 256)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(2))
    weights = torch.load(voice, weights_only=True)["model_state"]
    lstm = nn.LSTM(40, 256, 3, batch_first=True)
    lstm.load_state_dict({name[5:]: one for name, one in weights.items() if name.startswith("lstm.")})
    m = LogMel(16000, 40, low=0.0).power(nn.functional.pad(x, (0, 9600)))[..., :160].transpose(1, 2)
    h = lstm(m)[0][:, -1]
    wanted = (h @ weights["linear.weight"].T + weights["linear.bias"]).relu()
    torch.testing.assert_close(z, wanted / wanted.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)


PARTS = {0.5: [0], 1.6: [0], 1.9: [0], 2.0: [0, 77], 2.5: [0, 77], 4.0: [0, 77, 154, 231]}


@pytest.mark.parametrize(("seconds", "starts"), PARTS.items())
def test_the_parts_of_a_recording(seconds, starts):
    """Those of `VoiceEncoder.compute_partial_slices`, rate 1.3 and coverage 0.75."""
    assert voice_embedding.parts(round(16000 * seconds), 160) == starts


def test_another_version_of_the_file(voice):
    voice.write_bytes(voice.read_bytes() + b"0")
    with pytest.raises(DataError, match=r"expected the published file, sha256 .*\. pip install --no-deps resemblyzer==0\.1\.4"):
        VoiceEmbedding(voice)
    with pytest.raises(DataError, match=r"expected the published file, got .*No such file"):
        VoiceEmbedding(voice.with_name("none.pt"))


def test_packages_that_are_missing(monkeypatch):
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"`VoiceEmbedding\(\)`: expected the package resemblyzer, or the path"):
        VoiceEmbedding()
    with pytest.raises(MissingPackageError, match=r"`SpeechEmbedding\(\)`: .* pip install --no-deps openwakeword==0\.5\.1"):
        SpeechEmbedding()


# ---- the speech embedding ------------------------------------------------------------------------------------------------


@pytest.fixture
def speech(tmp_path, monkeypatch):
    """Two networks of ONNX that stand for the published ones: frames of 160 samples times 32, and the mean of each column."""
    import onnx
    from onnx import TensorProto, helper

    def saved(name, nodes, x, y, constants):
        graph = helper.make_graph(nodes, name, [x], [y], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / name)
        return hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()

    floats = TensorProto.FLOAT
    form = helper.make_tensor("form", TensorProto.INT64, [4], [1, 1, -1, 160])
    column = helper.make_tensor("column", floats, [160, 32], np.ones(160 * 32, "float32") / 160)
    nodes = [helper.make_node("Reshape", ["input", "form"], ["f"]), helper.make_node("MatMul", ["f", "column"], ["output"])]
    value = helper.make_tensor_value_info
    mel = saved("melspectrogram.onnx", nodes, value("input", floats, ["n", "s"]), value("output", floats, None), [form, column])
    flat = helper.make_tensor("flat", TensorProto.INT64, [4], [-1, 1, 1, 96])
    nodes = [
        helper.make_node("Slice", ["input_1", "low", "high", "axis"], ["last"]),
        helper.make_node("Reshape", ["last", "flat"], ["conv2d_19"]),
    ]
    ends = [helper.make_tensor(name, TensorProto.INT64, [1], [at]) for name, at in (("low", 73), ("high", 76), ("axis", 1))]
    x = value("input_1", floats, ["n", 76, 32, 1])
    embedding = saved("embedding_model.onnx", nodes, x, value("conv2d_19", floats, None), [flat, *ends])
    monkeypatch.setattr(speech_embedding, "SHA256", {"melspectrogram.onnx": mel, "embedding_model.onnx": embedding})
    monkeypatch.setattr(speech_embedding, "SPAN", 84 * 160)
    return tmp_path


def test_windows_slide_over_a_recording(speech):
    """The stand-in gives the last three of 76 frames: the mean of their samples / 10 + 2."""
    x = torch.zeros(2, 16000)
    x[0, :1600] = torch.linspace(0.1, 0.5, 1600)
    x[1, : 84 * 160] = torch.linspace(0.1, 0.5, 84 * 160)
    z = SpeechEmbedding(speech, normalise=False).encode(x)
    placed = torch.zeros(2, 84, 160)
    placed[0, 37:47] = x[0, :1600].view(10, 160)  # in the middle
    placed[1] = x[1, : 84 * 160].view(84, 160)
    m = (placed * 2**15).round().mean(2) / 10 + 2
    wanted = torch.stack([m[:, 73:76], m[:, 81:84]]).mean(0).repeat_interleave(32, 1)
    torch.testing.assert_close(z, wanted, rtol=1e-4, atol=1e-2)
    unit = SpeechEmbedding(speech)
    torch.testing.assert_close(unit.encode(x), nn.functional.normalize(z, dim=1))
    torch.testing.assert_close(unit.encode(x[:1]), unit.encode(x)[:1], rtol=0, atol=0)  # whatever stands beside it
    assert unit.key != SpeechEmbedding(speech, normalise=False).key
    assert unit.encode(torch.zeros(1, 100)).isfinite().all()


def test_onnxruntime_is_missing(speech, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"expected the package onnxruntime, got none installed\. pip install"):
        SpeechEmbedding(speech)


def test_a_wake_word_is_not_the_embedding(speech):
    (speech / "embedding_model.onnx").write_bytes(b"another")
    with pytest.raises(DataError, match=r"embedding_model\.onnx`: expected the published file, sha256"):
        SpeechEmbedding(speech)


def test_a_network_that_holds_one_asks_the_same():
    """A learner copies its network for every call; what is frozen is not copied, and need not be possible to copy."""

    class Heard(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def forward(self, x):
            return self.encoder.encode(x)

    encoder = Counting()
    encoder.session = (one for one in ())  # as a network of ONNX, which has no copies
    x = torch.randn(4, 800)
    predictor = qs.NearestCentroid(Heard(encoder)).adapt(qs.Examples(x, torch.tensor([0, 0, 1, 1])))
    assert predictor(x).shape == (4, 2)
    assert encoder.asked == 8

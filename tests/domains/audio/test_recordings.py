"""Recordings as tasks: how they are read, what is refused, and what is kept of them."""

from __future__ import annotations

import builtins
import math
import warnings

import numpy as np
import pytest
import soundfile
import torch
from tests.domains.audio.sounds import folder_of, tone

import quickstudy as qs
from quickstudy.domains.audio import recording
from quickstudy.domains.audio.encoders import LogMel
from quickstudy.domains.audio.kind import RECORDINGS
from quickstudy.domains.audio.resample import resampled
from quickstudy.errors import ArgumentError, DataError, DataWarning, MissingPackageError, ShapeError, TaskError
from quickstudy.tasks import Waveform

PROTOCOL = {"ways": 2, "queries": 2, "split": (2, 2, 2)}


def sine(rate: int, hertz: float, samples: int | None = None) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(samples or rate, dtype=torch.float64) / rate).float()


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "tones", each=4)


# ---- resampling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "to"), [(8000, 16000), (44100, 16000), (96000, 16000), (16000, 8000), (11025, 16000)])
def test_a_sine_is_the_same_sine_at_another_rate(rate, to):
    y = resampled(sine(rate, 440), rate, to)
    assert len(y) == to
    middle = slice(500, -500)
    assert (y - sine(to, 440))[middle].abs().max() < 2e-5
    assert (y - sine(to, 450))[middle].abs().max() > 0.1  # the control
    if rate > to:  # what the lower rate cannot hold is gone, and not folded
        assert resampled(sine(rate, 0.55 * to), rate, to)[middle].abs().max() < 1e-4


def test_any_rate_and_length():
    for samples in (1, 2, 7):
        assert len(resampled(torch.ones(samples), 15999, 16000)) == math.ceil(samples * 16000 / 15999)
    assert len(resampled(torch.ones(0), 8000, 16000)) == 0
    x = torch.randn(5)
    assert resampled(x, 8000, 8000) is x


# ---- what is kept --------------------------------------------------------------------------------------------------------


def test_silence_at_the_ends_and_gain_say_nothing():
    """Two recordings of one word that differ by both are the same to a learner."""
    word = sine(16000, 300, 4800) * torch.hann_window(4800)
    quiet = torch.cat([torch.zeros(1600), 0.01 * word, torch.zeros(3200)])
    loud = torch.cat([torch.zeros(320), 0.9 * word])
    reads = Waveform()
    torch.testing.assert_close(reads.of_samples(quiet, 16000), reads.of_samples(loud, 16000), rtol=0, atol=1e-5)
    as_it_is = Waveform(trim=False, loudness=None)
    assert (as_it_is.of_samples(quiet, 16000) - as_it_is.of_samples(loud, 16000)).abs().max() > 0.5  # the control
    x = reads.of_samples(loud, 16000)
    there = x[: int(x.nonzero()[-1]) + 1]
    assert 20 * float(there.square().mean().sqrt().log10()) == pytest.approx(-26, abs=0.1)


def test_a_click_is_not_clipped():
    click = torch.zeros(8000)
    click[4000] = 1.0
    assert Waveform(trim=False).of_samples(click, 16000).abs().max() == pytest.approx(1.0)


def test_channels_depths_and_formats(tmp_path):
    """One tone as 8 bits to floats, mono and on two channels, in four formats: the lossless ones agree."""
    x = tone(440, 16000, 0.5)
    made = {
        "a.wav": "PCM_16",
        "b.wav": "PCM_24",
        "c.wav": "FLOAT",
        "d.wav": "PCM_U8",
        "e.flac": "PCM_24",
        "f.ogg": None,
        "g.mp3": None,
    }
    found = {}
    for name, depth in made.items():
        soundfile.write(tmp_path / name, np.stack([0.5 * x, 1.5 * x], 1), 16000, subtype=depth)
        found[name] = Waveform(trim=False).read(tmp_path / name)
    for name in ("b.wav", "c.wav", "e.flac"):
        torch.testing.assert_close(found[name], found["a.wav"], rtol=0, atol=1e-4)
    for name in ("d.wav", "f.ogg"):
        assert (found[name] - found["a.wav"])[500:7500].abs().max() < 0.02
    bands = LogMel()(torch.stack(list(found.values()))[:, :8000]).mean(2).argmax(1)
    assert bands.unique().numel() == 1


def test_96_khz_stereo(tmp_path):
    soundfile.write(tmp_path / "high.wav", np.stack([tone(440, 96000, 0.4)] * 2, 1), 96000, subtype="PCM_24")
    x = Waveform(rate=16000, seconds=0.4).read(tmp_path / "high.wav")
    soundfile.write(tmp_path / "low.wav", sine(16000, 440, 6400).numpy(), 16000)
    like = Waveform(rate=16000, seconds=0.4).read(tmp_path / "low.wav")
    assert torch.corrcoef(torch.stack([x, like]))[0, 1] > 0.95


def test_longer_ones_are_cut_and_said(tmp_path):
    folder_of(tmp_path, each=4)
    with pytest.warns(DataWarning, match=r"8 of 8 are longer than 0\.25 seconds, the longest of 0\.3\. Give seconds= for more"):
        tasks = qs.tasks.from_folder(tmp_path, seconds=0.25, rate=8000, **PROTOCOL)
    assert tasks.train.sample(2).support.x.shape == (2, 2, 2000)
    assert tasks.preprocessing == Waveform(8000, 0.25)


def test_of_three_hours_the_beginning_is_read(tmp_path, monkeypatch):
    """A header and a hole: 172 MB that are nowhere, behind a word."""
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(440), 8000)
    content, size = path.read_bytes(), 3 * 3600 * 8000 * 2
    head = content[:4] + (size + 36).to_bytes(4, "little") + content[8:40] + size.to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(head + content[44:])
        file.truncate(44 + size)
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, frames, **more: asked.append(frames) or read(self, frames, **more)
    )
    _, seconds = Waveform().kept(recording.read_recording(path, 1.0), "long")
    assert asked == [int((1 + recording.LOOKED_AT) * 8000)]
    assert seconds == pytest.approx(0.3)
    assert recording.read_recording(path, 1.0).seconds == 3 * 3600


# ---- tasks ---------------------------------------------------------------------------------------------------------------


def test_a_folder_of_recordings(folder):
    tasks = qs.tasks.from_folder(folder, **PROTOCOL)
    episode = tasks.train.sample(3)
    assert episode.support.x.shape == (3, 2, 16000)
    assert episode.support.x.dtype == torch.float32
    assert tasks.preprocessing == Waveform()
    learner = qs.Prototypical(torch.nn.Sequential(LogMel(mels=24), torch.nn.Flatten(1)))
    assert qs.evaluate(learner, tasks.test, episodes=20).mean > 0.9


def test_two_rates_in_one_folder_are_brought_to_one(tmp_path):
    """Half of each class at 8 and half at 22.05 kHz: the nearest of a recording is one of its class."""
    for rate in (8000, 22050):
        folder_of(tmp_path / str(rate), rate=rate, each=3)
    files = sorted(tmp_path.rglob("*.wav"))
    tasks = qs.tasks.from_recordings(
        files,
        [file.parent.name for file in files],
        columns={"rate": [file.parts[-3] for file in files]},
        ways=3,
        queries=2,
        part="test",
    )
    learner = qs.NearestCentroid(torch.nn.Sequential(LogMel(mels=24, high=4000.0), torch.nn.Flatten(1)))
    assert qs.evaluate(learner, qs.tasks.across(tasks.test, "rate"), episodes=20).mean > 0.9


def test_they_are_read_as_they_are_drawn(folder):
    whole = qs.tasks.from_folder(folder, **PROTOCOL)
    lazy = qs.tasks.from_folder(folder, memory=3 * 32000, **PROTOCOL)
    one, other = (some.train.sample(3, generator=torch.Generator().manual_seed(0)) for some in (whole, lazy))
    torch.testing.assert_close(one.support.x, other.support.x, rtol=0, atol=0)
    assert lazy.train.x.kept <= 3


def test_arrays_tell_no_rate():
    x, y = [tone(200 * 1.3 ** (row % 6), seed=row, seconds=0.2 + 0.01 * row) for row in range(24)], [row % 6 for row in range(24)]
    tasks = qs.tasks.from_arrays(x, y, rate=8000, **PROTOCOL)
    assert tasks.preprocessing == Waveform(8000)
    named = [{"array": one, "sampling_rate": 8000} for one in x]
    assert qs.tasks.from_arrays(named, y, **PROTOCOL).train.sample(1).support.x.shape == (1, 2, 16000)
    ints = torch.stack([torch.from_numpy(one[:1600] * 32767).short() for one in x])
    same = qs.tasks.from_arrays(ints, y, kind="recordings", rate=8000, **PROTOCOL)
    assert same.train.sample(1).support.x.shape == (1, 2, 8000)
    with pytest.raises(ArgumentError, match=r"`rate`: expected that of the recordings, which an array does not tell, got none"):
        qs.tasks.from_arrays(x, y, kind="recordings", **PROTOCOL)
    with pytest.raises(ArgumentError, match=r"`memory`: expected files"):
        qs.tasks.from_arrays(x, y, rate=8000, memory=1000, **PROTOCOL)


def test_a_recording_that_is_there_twice(folder):
    """As another format and with zeros around it: kept once in its class, refused in two."""
    x, rate = soundfile.read(folder / "tone0" / "0.wav", dtype="int16")
    again = np.concatenate([np.zeros(80, "int16"), x, np.zeros(40, "int16")])
    soundfile.write(folder / "tone0" / "again.flac", np.stack([again, again], 1), rate, subtype="PCM_16")
    with pytest.warns(DataWarning, match="1 of 25 recordings were left out: they are there twice"):
        qs.tasks.from_folder(folder, **PROTOCOL)
    soundfile.write(folder / "tone1" / "again.wav", x, rate)
    with pytest.raises(TaskError, match=r"`recordings`: expected recordings of one class each, got 1 of several"):
        qs.tasks.from_folder(folder, **PROTOCOL)


def test_support_and_query_of_different_speakers():
    x, y = [tone(200 * 1.3 ** (row % 4), seed=row) for row in range(48)], [row % 4 for row in range(48)]
    speakers = [f"speaker{row // 8}" for row in range(48)]
    tasks = qs.tasks.from_recordings(x, y, rate=8000, columns={"speaker": speakers}, ways=3, queries=2, part="test")
    apart = qs.tasks.across(tasks.test, "speaker", support=3)
    episode = apart.sample(20, generator=torch.Generator().manual_seed(0))
    rows = {
        one.numpy().tobytes(): speaker
        for one, speaker in zip(tasks.test.preprocessing.apply(tasks.test.x), speakers_of(tasks.test), strict=True)
    }
    for support, query in zip(episode.support.x, episode.query.x, strict=True):
        said = ({rows[one.numpy().tobytes()] for one in part} for part in (support, query))
        assert not set.intersection(*said)


def speakers_of(tasks):
    column = tasks.columns["speaker"]
    return [column.groups[place] for place in column.of.tolist()]


def test_a_run_says_how_they_were_read(folder, tmp_path):
    tasks = qs.tasks.from_folder(folder, seconds=0.5, **PROTOCOL)
    learner = qs.Prototypical(qs.models.Chain(LogMel(mels=16), torch.nn.Flatten(1)))
    qs.meta_train(learner, tasks, steps=1, tasks_per_step=2, validation_episodes=2, out=tmp_path / "run", progress=False)
    assert qs.Run.open(tmp_path / "run").preprocessing == Waveform(seconds=0.5)
    with pytest.raises(ShapeError, match=r"`x`: expected recordings of 8000 samples: 0\.5 seconds at 16000 Hz, got \(1, 9\)"):
        Waveform(seconds=0.5).apply(torch.zeros(1, 9))


# ---- bad input -----------------------------------------------------------------------------------------------------------


def no_recording(path):
    path.write_bytes(b"RIFF? no, a text")


def truncated(path):
    soundfile.write(path, tone(300), 8000)
    path.write_bytes(path.read_bytes()[:2000])


def truncated_flac(path):
    soundfile.write(path, tone(300, seconds=20.0), 8000, format="FLAC")
    path.write_bytes(path.read_bytes()[:20000])


def empty(path):
    soundfile.write(path, np.zeros(0, "float32"), 8000)


def silent(path):
    soundfile.write(path, np.full(4000, 0.25, "float32"), 8000)


def not_a_number(path):
    x = tone(300)
    x[7] = np.nan
    soundfile.write(path, x, 8000, subtype="FLOAT")


BAD = [
    (no_recording, "bad.wav", r"expected a recording that can be read, got .*[Ff]ormat not recogni[sz]ed"),
    (truncated, "bad.wav", r"expected a whole recording, got one that is cut short: 1956 of 4800 bytes"),
    (truncated_flac, "bad.flac", r"expected a (recording that can be read|whole recording)"),
    (empty, "bad.wav", r"expected a recording, got one of 0 samples"),
    (silent, "bad.wav", r"expected a recording of something, got silence"),
    (not_a_number, "bad.wav", r"expected samples that are numbers, got nan as sample 7"),
]


@pytest.mark.parametrize(("write", "name", "text"), BAD)
def test_files_that_are_refused(folder, write, name, text):
    write(folder / "tone2" / name)
    with pytest.raises(DataError, match=rf"tone2/{name}`: {text}") as caught:
        qs.tasks.from_folder(folder, **PROTOCOL)
    assert 'broken="leave out" goes on without' in str(caught.value)
    with pytest.warns(DataWarning, match="1 items cannot be read and are left out"):
        tasks = qs.tasks.from_folder(folder, broken="leave out", **PROTOCOL)
    assert sum(len(part.y) for part in tasks.parts.values()) == 24


def test_silence_is_a_class_where_its_loudness_stays():
    assert Waveform(loudness=None).of_samples(torch.zeros(100), 16000).abs().max() == 0
    with pytest.raises(DataError, match=r"expected samples in \[-1, 1\] of full scale, got one of 3"):
        Waveform(loudness=None).of_samples(3 * torch.tensor([1.0, -1.0]), 16000)


def test_a_stream_whose_writer_did_not_know_its_length(tmp_path):
    """ffmpeg writes such headers into a pipe."""
    path = tmp_path / "stream.wav"
    soundfile.write(path, tone(300), 8000)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 4 + content[8:40] + b"\xff" * 4 + content[44:])
    assert Waveform().read(path).abs().max() > 0


def test_a_class_with_one_recording(folder):
    for file in list((folder / "tone3").iterdir())[1:]:
        file.unlink()
    with pytest.raises(TaskError, match=r"tone3"):
        qs.tasks.from_folder(folder, **PROTOCOL)


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (ModuleNotFoundError("No module named 'soundfile'"), r"expected the package soundfile, got none installed\. pip install"),
        (OSError("sndfile library not found"), r"expected the library libsndfile, .*apt-get install libsndfile1"),
    ],
)
def test_what_is_to_be_installed(folder, monkeypatch, raised, text):
    importing = builtins.__import__

    def without(name, *arguments, **more):
        if name == "soundfile":
            raise raised
        return importing(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match=text):
        qs.tasks.from_folder(folder, **PROTOCOL)


@pytest.mark.parametrize(
    ("value", "rate", "text"),
    [
        (np.zeros((2, 100)), 8000, r"`x\[0\]`: expected samples of one channel, \(samples,\), got shape \(2, 100\)"),
        (np.zeros(100, "uint8"), 8000, r"expected floats in \[-1, 1\], or whole numbers of 16 or 32 bits, got uint8"),
        (np.array(["a"]), 8000, r"expected floats .* got <U1"),
        ({"array": np.zeros(9)}, 8000, r"expected 'array' and 'sampling_rate', got array"),
        (np.zeros(0), 8000, r"one of 0 samples"),
        (np.zeros(9), None, r"expected samples whose rate is known"),
    ],
)
def test_arrays_that_are_refused(value, rate, text):
    with pytest.raises(DataError, match=text):
        recording.of_array(value, rate, "x[0]")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rate": 0}, "`rate`"),
        ({"seconds": 1e-6}, r"`seconds`: expected those of one sample or more, got 1e-06 at 16000 Hz"),
        ({"loudness": 3.0}, r"`loudness`: expected decibels below full scale, under 0, got 3"),
    ],
)
def test_settings_that_cannot_be(options, text):
    with pytest.raises(ArgumentError, match=text):
        Waveform(**options)


def test_options_of_other_kinds(folder):
    with pytest.raises(ArgumentError, match="expected an option of recordings: memory, normalise, rate, seconds, trim"):
        qs.tasks.from_folder(folder, size=28, **PROTOCOL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not RECORDINGS.recognises(np.zeros(9))

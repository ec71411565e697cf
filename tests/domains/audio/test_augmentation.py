"""Augmentation of recordings: what each changes, and what it leaves."""

from __future__ import annotations

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.audio.augmentation.change_pitch import read_at
from quickstudy.domains.audio.augmentation.vocoder import stretched
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.tasks import AddNoise, ChangePitch, ChangeTempo, Reverberate, SpecAugment

RATE = 16000
EVERY = [AddNoise, ChangePitch, ChangeTempo, Reverberate, SpecAugment]


def sine(hertz: float, samples: int = 8000) -> torch.Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / RATE)


def pitch(x: torch.Tensor) -> float:
    """Hz of the loudest frequency."""
    spectrum = torch.fft.rfft(x * torch.hann_window(len(x)), 8 * len(x)).abs()
    return float(spectrum.argmax()) * RATE / (8 * len(x))


def tasks_of(augment, drawn="example"):
    x = torch.stack([sine(200 + 100 * (row // 10)) for row in range(40)])
    return qs.tasks.LabelledTasks(x, torch.arange(40) // 10, ways=2, queries=5, augment=[augment(drawn=drawn)])


def test_another_pace_is_the_same_pitch():
    x = torch.stack([sine(440), sine(440)])
    y = stretched(x, torch.tensor([1.25, 0.8]), 8000)
    ends = [int((one.abs() > 0.02).nonzero()[-1]) for one in y]
    assert ends[0] == pytest.approx(6400, abs=200)
    assert ends[1] > 7900
    assert pitch(y[0, 500:5500]) == pytest.approx(440, abs=2)
    assert pitch(y[1, 500:7500]) == pytest.approx(440, abs=2)
    assert y[:, 500:5500].square().mean().sqrt() == pytest.approx(float(x.square().mean().sqrt()), rel=0.05)
    torch.testing.assert_close(stretched(x, torch.ones(2), 8000)[:, 300:-300], x[:, 300:-300], rtol=0, atol=1e-3)


def test_another_pitch_is_the_same_pace():
    x = torch.stack([sine(440), sine(440), sine(440)])
    y = ChangePitch().applied(x, torch.tensor([12.0, -12.0, 3.0]))
    assert y.shape == x.shape
    for one, hertz in zip(y, (880, 220, 440 * 2**0.25), strict=True):
        assert pitch(one[500:7000]) == pytest.approx(hertz, rel=0.01)
        assert int((one.abs() > 0.02).nonzero()[-1]) > 7700


def test_reading_between_samples():
    x, places = sine(1000)[None], torch.arange(100.0, 7000.0, 0.37)[None]
    wanted = 0.1 * torch.sin(2 * torch.pi * 1000 * places / RATE)
    assert (read_at(x, places) - wanted).abs().max() < 1e-3


def test_noise_is_as_far_below_as_it_says():
    x = sine(440)[None]
    noise = AddNoise(decibels=(10.0, 10.0)).draw(1, 8000, torch.Generator().manual_seed(0))
    assert 10 * float(noise.square().mean().log10()) == pytest.approx(-10, abs=1e-3)
    y = AddNoise().applied(x, noise)
    assert y.square().mean() == pytest.approx(float(x.square().mean()), rel=1e-4)
    shorter = torch.nn.functional.pad(x[:, :5000], (0, 3000))
    assert not AddNoise().applied(shorter, noise)[0, 5000:].any()  # as of a recording that was made in noise, and is short
    brown, white = (AddNoise(colour=(c, c)).draw(1, 8000, torch.Generator().manual_seed(0))[0] for c in (2.0, 0.0))
    low = [
        float(torch.fft.rfft(one).abs().square()[1:400].sum() / torch.fft.rfft(one).abs().square().sum())
        for one in (brown, white)
    ]
    assert low[0] > 0.8 > 0.2 > low[1]


def test_an_echo_goes_on_and_dies_away():
    x = torch.zeros(1, 8000)
    x[0, 0] = 1.0
    room = Reverberate(seconds=(0.25, 0.25), wet=(1.0, 1.0))
    y = room.applied(x, room.draw(1, 8000, torch.Generator().manual_seed(0)))[0]
    early, late = y[1:400].square().mean(), y[3601:4000].square().mean()
    assert 10 * float((early / late).log10()) == pytest.approx(60 * 0.225 / 0.25, abs=3)  # decibels in 0.225 of 0.25 seconds


def test_what_is_left_out_is_silent():
    x = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    some = SpecAugment(bands=1, times=1)
    y = some.applied(x, torch.tensor([[[0.5, 0.7], [0.25, 0.5]]]))[0]
    assert y[2300:3700].abs().max() < 1e-5
    assert y[6000:].abs().max() > 0.5
    spectrum = torch.fft.rfft(y[4500:] * torch.hann_window(3500)).abs()
    assert spectrum[int(0.55 * 1750) : int(0.65 * 1750)].mean() < 0.05 * spectrum[:800].mean()


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("drawn", ["example", "task"])
def test_classes_stay_and_the_generator_tells(kind, drawn):
    tasks = tasks_of(kind, drawn)
    one, again = (tasks.sample(2, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(one.query.x, again.query.x, rtol=0, atol=0)
    plain = tasks_of(lambda drawn: lambda episode, generator: episode).sample(2, generator=torch.Generator().manual_seed(3))
    assert one.class_names == plain.class_names
    assert torch.equal(one.support.y, plain.support.y)
    assert (one.support.x - plain.support.x).abs().max() > 1e-3
    assert one.support.x.abs().max() <= 1.5
    assert not torch.equal(one.query.x[0], one.query.x[1])


def test_once_for_a_task():
    """All recordings of a task move by one interval, those of another task by another."""
    episode = tasks_of(ChangePitch, "task").sample(2, generator=torch.Generator().manual_seed(0))
    factors = []
    for task in range(2):
        found = [
            pitch(x[1000:6000]) / (200 + 100 * int(episode.class_names[task][int(y)]))
            for x, y in zip(episode.query.x[task], episode.query.y[task], strict=True)
        ]
        assert max(found) - min(found) < 0.03
        factors.append(found[0])
    assert abs(factors[0] - factors[1]) > 0.02


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: ChangeTempo((1.2, 0.8)), r"`ChangeTempo\(rate\)`: expected two numbers, the lower one first, above 0"),
        (lambda: ChangeTempo((0.0, 0.8)), r"above 0"),
        (lambda: ChangePitch((4.0, -4.0)), r"`ChangePitch\(semitones\)`"),
        (lambda: AddNoise(decibels=(30.0, 5.0)), r"`AddNoise\(decibels\)`"),
        (lambda: Reverberate(seconds=(0.0, 1.0)), r"`Reverberate\(seconds\)`"),
        (lambda: Reverberate(wet=(-1.0, 1.0)), r"`Reverberate\(wet\)`: expected numbers of 0 or more"),
        (lambda: SpecAugment(band=1.5), r"`band`"),
    ],
)
def test_settings_that_cannot_be(made, text):
    with pytest.raises(ArgumentError, match=text):
        made()


def test_other_data_are_refused():
    with pytest.raises(
        UnsupportedError, match=r"`augment=\[AddNoise\(\)\]`: expected recordings, \(samples,\), got x of shape \(1, 8, 8\)"
    ):
        qs.tasks.LabelledTasks(torch.rand(40, 1, 8, 8), torch.arange(40) // 10, ways=2, queries=5, augment=[AddNoise()])

"""Words in a stream: their places, what a window hears, spots apart from one another, and counts against counting by hand."""

from __future__ import annotations

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.audio.spotting import Spots, Stream, accepts, make_stream, spot, threshold_for
from quickstudy.errors import ArgumentError, ShapeError

RATE = 1000
READS = qs.tasks.Waveform(rate=RATE, seconds=0.5)


def tones(each=3):
    """Words are tones of 60 and 150 Hz, what is none of them is one of 330 Hz; 0.3 to 0.5 s long."""
    t, x, y = torch.arange(500) / RATE, [], []
    for label, hertz in ((0, 60), (1, 150), (-1, 330)):
        for row in range(each):
            x.append(0.2 * torch.sin(2 * torch.pi * hertz * t + 0.3) * (t < 0.3 + 0.1 * row / each))
            y.append(label)
    return torch.stack(x), torch.tensor(y)


def stream(seed=0, seconds=120.0, **options):
    return make_stream(*tones(), seconds=seconds, rate=RATE, generator=torch.Generator().manual_seed(seed), **options)


def centroid(x):
    """Minus the squared distances of spectra to those of the two words."""
    templates = torch.stack([READS.of_samples(row, RATE) for row in tones(1)[0][:2]])
    spectrum = lambda x: torch.fft.rfft(x).abs() / 20
    return -torch.cdist(spectrum(x), spectrum(templates)).square()


def test_the_recordings_are_at_their_places():
    made, (x, y) = stream(noise=(-90.0, -90.0), silent=1.0), tones()
    assert len(made.samples) == 120 * RATE
    for begin, end, label in zip(made.begins, made.ends, made.labels, strict=True):
        said = made.samples[round(float(begin) * RATE) : round(float(end) * RATE)]
        assert any(
            torch.allclose(said, row[: len(said)]) for row, own in zip(x, y, strict=True) if own == label and (row != 0).any()
        )
    between = made.begins[1:] - made.ends[:-1]
    assert float(between.min()) >= 0.299
    assert float(between.max()) <= 3.01
    assert set(made.labels.tolist()) == {0, 1, -1}
    again, other = stream(), stream(1)
    assert torch.equal(stream().samples, again.samples)
    assert not torch.equal(again.samples, other.samples)


def test_noise_has_its_levels_and_some_sections_are_silent():
    made = make_stream(torch.zeros(1, 10) + 1e-9, torch.tensor([0]), seconds=600.0, rate=RATE, pauses=(500.0, 500.0))
    levels = 20 * made.samples.view(-1, 30 * RATE).square().mean(1).sqrt().log10()
    noisy = levels[levels > -100]
    assert 0 < len(noisy) <= 20
    assert float(noisy.min()) > -71
    assert float(noisy.max()) < -44


def test_words_are_found_and_the_threshold_is_that_of_another_stream():
    first, second = stream(0), stream(1)
    spots = [spot(centroid, one, READS) for one in (first, second)]
    threshold = threshold_for(spots[0], first, 0.9)
    assert accepts(spots[0], first, threshold).recall >= 0.9
    assert accepts(spots[0], first, threshold + 1e-9).recall < accepts(spots[0], first, threshold).recall
    found = accepts(spots[1], second, threshold)
    assert found.recall > 0.8
    blind = spot(lambda x: torch.rand(len(x), 2, generator=torch.Generator().manual_seed(0)), second, READS)
    guessed = accepts(blind, second, threshold_for(blind, second, 0.3))
    assert guessed.false_accepts > 10 * max(found.false_accepts, 30), "what guesses accepts what is no word"


def test_spots_are_apart_and_by_falling_score():
    spots = spot(centroid, stream(), READS, apart=0.7)
    assert bool((spots.scores.diff() <= 0).all())
    assert float(spots.times.sort().values.diff().min()) >= 0.7 - 1e-9


def test_counts_are_those_by_hand():
    begins = torch.tensor([1.0, 5.0, 8.0, 12.0])
    made = Stream(torch.zeros(36 * RATE), RATE, begins, begins + 0.5, torch.tensor([0, 1, -1, 1]))
    spots = Spots(
        torch.tensor([5.1, 1.0, 8.2, 12.7, 12.8]), torch.tensor([1, 0, 0, 1, 1]), torch.tensor([9.0, 8.0, 7.0, 6.0, 5.0])
    )
    assert accepts(spots, made, 8.0).recall == pytest.approx(2 / 3)
    assert accepts(spots, made, 8.0).false_accepts == 0
    assert accepts(spots, made, 7.0).false_accepts == 100  # one in a hundredth of an hour: what is none of the words
    assert accepts(spots, made, 5.0).false_accepts == 200  # 12.8 is too far from 12.5
    assert accepts(spots, made, 5.0).recall == 1
    assert threshold_for(spots, made, 0.6) == 8
    assert threshold_for(spots, made, 0.7) == 6
    with pytest.raises(ArgumentError, match=r"at most 0\.333"):
        threshold_for(Spots(spots.times[:1], spots.labels[:1], spots.scores[:1]), made, 0.9)


def test_what_cannot_be_is_refused():
    x, y = tones()
    with pytest.raises(ShapeError, match="a label for each"):
        make_stream(x, y[1:], seconds=60.0, rate=RATE)
    with pytest.raises(ArgumentError, match="room for a pause"):
        make_stream(x, y, seconds=1.0, rate=RATE)
    with pytest.raises(ArgumentError, match="lower one first"):
        make_stream(x, y, seconds=60.0, rate=RATE, noise=(-20.0, -60.0))
    with pytest.raises(ArgumentError, match="one at 16000 Hz"):
        spot(centroid, stream(), qs.tasks.Waveform())
    none = stream()
    with pytest.raises(ArgumentError, match="a word to be found"):
        threshold_for(spot(centroid, none, READS), Stream(none.samples, RATE, none.begins, none.ends, none.labels * 0 - 1))

"""SpokenStrings: what is joined is what the transcript says, of one speaker, and no recording is in two strings of an episode."""

from __future__ import annotations

import pytest
import torch

import quickstudy as qs
from quickstudy.errors import ArgumentError, ShapeError, TaskError

SAMPLES, RATE = 200, 1000
SPEAKERS = ["Ann", "Ben", "Cai"]
SIZES = {"shots": 2, "queries": 3, "length": (2, 4), "pauses": (0.05, 0.1), "rate": RATE, "split": (1, 1, 1)}


def recordings(each=40, dtype=torch.float32):
    """A recording is as long as its digit says, and its one value tells speaker and recording."""
    x, said, who = [], [], []
    for number, speaker in enumerate(SPEAKERS):
        for row in range(each):
            digit, value = row % 10, (number * each + row + 1) / 200
            x.append(torch.cat([torch.full((100 + 10 * digit,), value), torch.zeros(SAMPLES - 100 - 10 * digit)]))
            said.append(str(digit))
            who.append(speaker)
    x = torch.stack(x)
    return (x if dtype == torch.float32 else (x * 32767).round().to(dtype)), said, who


def family(seconds=1.2, **changes):
    return qs.tasks.SpokenStrings(*recordings(), seconds=seconds, **{**SIZES, **changes})


def heard(x):
    """What a string says, and the recordings that it is made of: runs of equal values between zeros."""
    edges = torch.cat([torch.zeros(1), x, torch.zeros(1)]).ne(0).diff().nonzero()[:, 0].view(-1, 2).tolist()
    runs = [(x[begin], end - begin) for begin, end in edges]
    pauses = [begin - end for (_, end), (begin, _) in zip([[0, 0], *edges], edges, strict=False)]
    return "".join(str((size - 100) // 10) for _, size in runs), [round(float(value) * 200) - 1 for value, _ in runs], pauses


@pytest.mark.parametrize("seconds", [1.2, 0.5])  # room for all recordings of a string, and for some alone
def test_a_string_says_what_its_transcript_says(seconds):
    tasks = family(seconds)
    for number, part in enumerate(tasks.parts.values()):
        episodes, truth = part.sample_with_truth(4, generator=torch.Generator().manual_seed(0))
        assert truth["speaker"].tolist() == [0] * 4
        for task in range(4):
            used = []
            for examples in (episodes[task].support, episodes[task].query):
                for x, text in zip(examples.x, examples.target.named(examples.y), strict=True):
                    said, rows, pauses = heard(x)
                    assert said == text
                    assert all(50 <= pause <= 100 for pause in pauses)
                    used += rows
            assert len(set(used)) == len(used), "no recording twice"
            speakers = {SPEAKERS[row // 40] for row in used}
            assert speakers == {tasks.classes[list(tasks.parts)[number]][0]}


def test_strings_have_all_lengths_that_fit():
    y = family().train.sample(20, generator=torch.Generator().manual_seed(0)).query.y
    assert set((y > 0).sum(-1).flatten().tolist()) == {2, 3, 4}
    short = family(0.45).train.sample(20, generator=torch.Generator().manual_seed(0)).query.y
    assert set((short > 0).sum(-1).flatten().tolist()) == {1, 2}


def test_the_same_seed_gives_the_same_strings_of_whole_numbers_too():
    x, said, who = recordings(dtype=torch.int16)
    one, other = family(), qs.tasks.SpokenStrings(x, said, who, seconds=1.2, **SIZES)
    first, second = (w.test.sample(2, generator=torch.Generator().manual_seed(3)) for w in (one, other))
    torch.testing.assert_close(first.query.x, second.query.x, atol=2e-5, rtol=0)
    assert torch.equal(first.query.y, second.query.y)
    assert len(one.train.examples()) == 50 * 3


def test_maml_trains_on_them_and_the_score_is_the_error_rate():
    tasks = family()
    network = torch.nn.Sequential(Frames(), torch.nn.Linear(3, 11))
    learner = qs.MAML(network, inner_lr=0.1, inner_steps=2)
    result = qs.meta_train(learner, tasks, steps=2, tasks_per_step=2, validation_episodes=2, progress=False)
    assert all(torch.isfinite(torch.tensor(record["loss"])) for record in result.history)
    score = qs.evaluate(learner, tasks.test, episodes=2, progress=False)
    assert score.metric.name == "character_error_rate"


class Frames(torch.nn.Module):
    """Values, their squares, and whether there is one, of frames of 100 samples."""

    def forward(self, x):
        frames = x.unflatten(-1, (-1, 100)).mean(-1)
        return torch.stack([frames, frames.square(), (frames != 0).to(frames.dtype)], -1)


def test_what_cannot_be_is_refused():
    x, said, who = recordings()
    with pytest.raises(ShapeError, match="one of each for every recording"):
        qs.tasks.SpokenStrings(x, said[1:], who, **SIZES)
    with pytest.raises(ArgumentError, match=r"characters\[0\]`: expected one character"):
        qs.tasks.SpokenStrings(x, ["ten", *said[1:]], who, **SIZES)
    with pytest.raises(ArgumentError, match="room for a pause and a recording"):
        family(0.2)
    with pytest.raises(ArgumentError, match="pauses"):
        family(pauses=(0.3, 0.1))
    with pytest.raises(TaskError, match="60 recordings of every speaker"):
        family(queries=13)
    with pytest.raises(TaskError, match="three or more"):
        qs.tasks.SpokenStrings(x, said, ["Ann"] * len(x), **SIZES)

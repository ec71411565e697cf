"""start=: a run begins with the weights of a saved learner, which is compared with the result."""

from __future__ import annotations

import re

import pytest
import torch

import quickstudy as qs
from quickstudy.artifacts.rebuilding import build
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.meta.loop.beginning import Beginning

CLASSES = (12, 8, 6)


def tasks(**arguments: object) -> qs.tasks.TaskFamily:
    return qs.tasks.Strokes(classes=CLASSES, examples=8, queries=4, **arguments)


def trained(learner: qs.Learner, on: qs.tasks.TaskFamily | None = None, start: object = "strokes", **more: object):
    """A run of one step, so small that it changes next to nothing."""
    outer = qs.Gradient(qs.Backprop(), lambda parameters: torch.optim.SGD(parameters, lr=1e-9))
    settings = {"steps": 1, "tasks_per_step": 2, "validation_episodes": 20, "outer": outer, "executor": "loop", "progress": False}
    return qs.meta_train(learner, on or tasks(), start=start, **settings | more)


def close(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    names = [name for name in ours if name.endswith("weight")]
    return all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in names)


def test_a_run_begins_with_the_weights_that_ship_and_says_how_they_compare():
    learner, shipped = qs.Prototypical(qs.models.conv4()), qs.load("strokes")
    assert not close(learner, shipped)
    result = trained(learner)
    assert close(learner, shipped)
    assert result.start is not None
    assert result.start["name"] == "strokes"
    assert result.start["score"] == pytest.approx(result.best["score"], abs=0.02)
    assert f"(the learner strokes that it began with: {result.start['score']:.4f})" in str(result)
    without = trained(qs.Prototypical(qs.models.conv4()), start=None)  # the control
    assert without.start is None
    assert without.best["score"] < result.best["score"]
    assert "began" not in str(without)


def test_another_learner_takes_the_embedding():
    learner = qs.R2D2(qs.models.conv4())
    trained(learner)
    assert close(learner.embed, qs.load("strokes").embed)


def test_a_run_can_begin_where_another_ended(tmp_path):
    first = qs.Prototypical(qs.models.conv4(channels=8))
    trained(first, start=None, out=tmp_path / "first")
    second = qs.Prototypical(qs.models.conv4(channels=8))
    result = trained(second, start=tmp_path / "first", out=tmp_path / "second")
    assert close(first, second)
    assert result.start["name"] == str(tmp_path / "first")
    config = qs.Run.open(tmp_path / "second").config
    assert config["train"]["start"] == str(tmp_path / "first")
    assert type(build(config)[1]) is qs.Prototypical


def test_without_validation_there_is_nothing_to_compare():
    assert trained(qs.Prototypical(qs.models.conv4()), tasks().train).start is None


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (
            lambda: qs.Prototypical(qs.models.conv4(channels=8)),
            r"expected a learner on Conv4\(.*channels=\d+.*got one on Conv4\(.*channels=8,.*Build the learner with that network",
        ),
        (lambda: qs.Prototypical(qs.models.mlp(784, 8)), r"got one on MLP\("),
        (lambda: qs.MAML(qs.models.conv4(5), inner_lr=0.1), r"two learners with an embedding, got Descent, which has none"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(learner, message):
    with pytest.raises(ArgumentError, match=r"`start='strokes'`: .*" + message):
        trained(learner())


def test_images_that_its_network_does_not_take():
    with pytest.raises(
        ArgumentError, match=re.escape("expected images of shape (1, 28, 28), as its network takes, got images of (1, 20, 20)")
    ):
        trained(qs.Prototypical(qs.models.conv4()), tasks(size=20))


def test_nothing_to_begin_with(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        trained(qs.Prototypical(qs.models.conv4()), start=str(tmp_path / "none"))
    task = tasks().test.sample(1)[0]
    qs.load("strokes").adapt(task.support).save(tmp_path / "adapted")
    with pytest.raises(ArgumentError, match="expected a saved learner, got an adapted predictor"):
        Beginning(str(tmp_path / "adapted"))

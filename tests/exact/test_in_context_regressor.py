"""The in-context regressor against one masked pass over support and queries, and what several learners share of a transformer."""

from __future__ import annotations

import pytest
import torch
from tests.exact.test_in_context import one_pass
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.learners.read import InContextRegressor, Transformer
from quickstudy.learners.wrap import ByFamily

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

FEATURES, TARGETS = 3, 2
SIZES = {"width": 8, "depth": 2, "heads": 2}


def a_learner(**arguments) -> InContextRegressor:
    """In float64, its weights away from where they begin, so that no bias is 0."""
    learner = InContextRegressor(**{"features": FEATURES, "targets": TARGETS, **SIZES, **arguments}).double()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return learner


def an_episode() -> qs.Episode:
    draw = lambda n: qs.Examples(torch.randn(n, FEATURES), torch.randn(n, TARGETS))
    return qs.Episode(draw(6), draw(4))


class Written:
    """A support as `one_pass` reads it: the label of row i is i, and its row of E is y_i E."""

    def __init__(self, support: qs.Examples):
        self.x, self.y, self.ways = support.x, torch.arange(len(support)), None

    def __len__(self) -> int:
        return len(self.y)


class Seen:
    """A learner with the rows y E in place of E."""

    def __init__(self, learner: InContextRegressor, y: torch.Tensor):
        self.__dict__.update(A=learner.A, a=learner.a, E=y @ learner.E, blocks=learner.blocks)
        self.__dict__.update(norm=learner.norm, W=learner.W, w=learner.w)


def by_hand(learner: InContextRegressor, support: qs.Examples, x: torch.Tensor, masked: bool = True) -> torch.Tensor:
    return one_pass(Seen(learner, support.y), Written(support), x, masked)


def test_it_answers_as_one_masked_pass():
    learner, episode = a_learner(), an_episode().map(torch.Tensor.double)
    answer = learner.adapt(episode.support)(episode.query.x)
    torch.testing.assert_close(answer, by_hand(learner, episode.support, episode.query.x), rtol=1e-10, atol=1e-10)
    control = by_hand(learner, episode.support, episode.query.x, masked=False)  # queries that see each other
    assert (answer - control).abs().max() > 1e-3


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
def test_the_gradient_is_that_of_the_masked_pass(executor):
    """Compared in float64, for two tasks; the control leaves the queries unmasked."""
    learner, episodes = a_learner(), [an_episode().map(torch.Tensor.double) for _ in range(2)]
    found = qs.meta_gradient(learner, episodes, executor=executor)[1]

    def gradient(masked: bool) -> dict[str, torch.Tensor]:
        losses = [((by_hand(learner, one.support, one.query.x, masked) - one.query.y) ** 2).mean() for one in episodes]
        names, parameters = zip(*learner.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(sum(losses) / 2, parameters), strict=True))

    for name, one in gradient(masked=True).items():
        torch.testing.assert_close(found[name], one, rtol=1e-8, atol=1e-10)
    control = gradient(masked=False)
    assert max((found[name] - control[name]).abs().max() for name in found) > 1e-3


def test_order_of_the_support_and_other_queries_do_not_matter():
    learner, episode = a_learner(), an_episode().map(torch.Tensor.double)
    support, order = episode.support, torch.randperm(6)
    answer = learner.adapt(support)(episode.query.x)
    other = learner.adapt(qs.Examples(support.x[order], support.y[order]))(episode.query.x)
    torch.testing.assert_close(answer, other)
    torch.testing.assert_close(answer[:1], learner.adapt(support)(episode.query.x[:1]))


def shared() -> ByFamily:
    body = Transformer(**SIZES)
    return ByFamily(
        {
            "classes": qs.InContext(features=4, max_ways=3, transformer=body),
            "waves": InContextRegressor(features=1, transformer=body),
        }
    )


def test_a_transformer_is_shared_by_classes_and_values(tmp_path):
    learner = shared()
    tasks = qs.tasks.Mixture({"classes": qs.tasks.GaussianClasses(ways=3, dim=4), "waves": qs.tasks.Sinusoid(shots=5)})
    batch = tasks.train.sample(6, generator=torch.Generator().manual_seed(0))
    gradient = qs.meta_gradient(learner, batch)[1]
    name = "members.classes.blocks.0.Q"
    alone = [qs.meta_gradient(learner, part)[1][name] * len(part) / 6 for part in batch.parts.values()]
    torch.testing.assert_close(gradient[name], sum(alone))
    assert all(bool(one.abs().sum() > 0) for one in alone)
    qs.meta_train(learner, tasks, steps=2, tasks_per_step=4, validation_episodes=2, progress=False)
    learner.save(tmp_path / "both")
    loaded = qs.load(tmp_path / "both")
    assert loaded.members["classes"].blocks is loaded.members["waves"].blocks
    task = tasks.test["waves"].sample(1)[0]
    support, x = task.of("waves").support, task.query.x
    torch.testing.assert_close(loaded.adapt(support)(x), learner.adapt(support)(x))


def test_a_transformer_given_sets_the_width():
    body = Transformer(width=12, depth=3, heads=3)
    learner = InContextRegressor(nn.Identity(), features=1, transformer=body)
    assert learner.A.shape == (1, 12)
    assert len(learner.blocks) == 3
    assert learner.blocks is body


def test_it_learns_waves():
    torch.manual_seed(0)
    learner, tasks = InContextRegressor(features=1, width=32, depth=2), qs.tasks.Sinusoid(shots=10)
    before = qs.evaluate(learner, tasks.test, 100).mean
    qs.meta_train(learner, tasks.train, steps=150, tasks_per_step=16, progress=False)
    assert qs.evaluate(learner, tasks.test, 100).mean < 0.7 * before


def test_what_it_cannot_read():
    learner = InContextRegressor(features=1, targets=2, **SIZES)
    with pytest.raises(LabelError, match=r"`support\.y`: expected targets, .*, got class labels\. For classes take InContext"):
        learner.adapt(qs.Examples(torch.randn(4, 1), torch.arange(4) % 2))
    with pytest.raises(ShapeError, match=r"`y`: expected \(examples, targets=2\), got \(4, 1\)\. Give one row"):
        learner.adapt(qs.Examples(torch.randn(4, 1), torch.randn(4, 1)))
    with pytest.raises(ShapeError, match=r"`features`: expected an embedding of shape \(examples, 1\), got \(4, 3\)"):
        learner.adapt(qs.Examples(torch.randn(4, 3), torch.randn(4, 2)))
    with pytest.raises(ArgumentError, match=r"`width`: expected a multiple of heads=3, got 8\. Give width=9"):
        Transformer(width=8, heads=3)

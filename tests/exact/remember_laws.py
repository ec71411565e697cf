"""What the exact tests of the learners that remember share: their laws, and the equality of executors."""

from __future__ import annotations

import torch
from tests.executors.networks import assert_same
from tests.laws.learners_remember import CASES, OWN

import quickstudy as qs
from quickstudy import testing
from quickstudy.meta.executors import Threads


def check_laws(name: str, monkeypatch) -> None:
    """All of them on a case, in float32 as tests/laws does; a folder names only classes of the package's own name space."""
    for cls in OWN:
        monkeypatch.setattr(qs, cls.__name__, cls, raising=False)
    torch.set_default_dtype(torch.float32)
    testing.run_laws(*CASES[name]())


def check_executors(name: str) -> None:
    """Threads and vmap give the loop's loss and gradient, in float64."""
    learner, one = CASES[name]()
    learner, one = learner.double(), one.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
    scaled = lambda part, by: qs.Examples(part.x * by, part.y, part.ways)
    batch = [one, qs.Episode(scaled(one.support, 0.7), scaled(one.query, 1.2))]
    loss, want = qs.meta_gradient(learner, batch, seed=3)
    for executor in (Threads(2), "vmap"):
        other, got = qs.meta_gradient(learner, batch, executor=executor, seed=3)
        torch.testing.assert_close(other, loss, rtol=1e-11, atol=1e-12)
        assert_same(got, want)


def moved(learner: qs.Learner) -> qs.Learner:
    """In float64, its weights away from where they begin, so that no bias is 0."""
    learner = learner.double()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return learner

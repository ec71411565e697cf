"""The caller's autocast holds in loop and threads, as for any other module of torch; vmap and compiled refuse it by name."""

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.meta.executors import Threads


class Sees(nn.Module):
    """Keeps the dtype in which its product came."""

    seen: list[torch.dtype] = []

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 1)

    def forward(self, x):
        y = self.linear(x)
        self.seen.append(y.dtype)
        return y.to(x.dtype)


@pytest.mark.parametrize("executor", ["loop", Threads(2)], ids=["loop", "threads"])
def test_an_outer_autocast_is_respected(executor):
    learner = qs.MAML(Sees().float(), inner_steps=1)
    draw = lambda: qs.Examples(torch.randn(2, 5, 6).float(), torch.randn(2, 5, 1).float())
    batch = qs.Episode(draw(), draw())
    for autocast, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        Sees.seen.clear()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            qs.meta_gradient(learner, batch, executor=executor)
            learner.adapt(batch[0].support)(batch[0].query.x)
        assert set(Sees.seen) == {dtype}


@pytest.mark.parametrize("executor", ["vmap", "compiled"])
def test_vmap_and_compiled_refuse_an_outer_autocast_by_name(executor):
    learner = qs.MAML(nn.Linear(6, 1).float())
    draw = lambda: qs.Examples(torch.randn(2, 5, 6).float(), torch.randn(2, 5, 1).float())
    batch = qs.Episode(draw(), draw())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(errors.UnsupportedError, match=r"torch\.autocast around it does not reach"):
            qs.meta_gradient(learner, batch, executor=executor)
        tasks = qs.tasks.Sinusoid()
        with pytest.raises(errors.UnsupportedError, match=r"torch\.autocast around it does not reach"):
            qs.evaluate(qs.MAML(qs.models.mlp(1, 1)), tasks.test, episodes=4, executor=executor)
        assert "vmap" not in qs.evaluate(qs.MAML(qs.models.mlp(1, 1)), tasks.test, episodes=4).protocol["executor"]

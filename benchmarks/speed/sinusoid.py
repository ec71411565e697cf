"""Sinusoid regression, MLP 40-40, 25 tasks, 5 inner steps, second order: the whole meta-step with outer Adam.

Every contender is built by a function that returns step() -> (loss, gradients or None); the first call's are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

import quickstudy as qs
from benchmarks.speed import jax_peer, peers
from benchmarks.speed.meta_step import Step, meta_step

TASKS, STEPS, LR = 25, 5, 0.01


def episodes(tasks: int = TASKS) -> qs.Episode:
    """One batch, sampled beforehand."""
    return qs.tasks.Sinusoid().train.sample(tasks, generator=torch.Generator().manual_seed(0))


def network() -> torch.nn.Module:
    """The same weights for everyone."""
    torch.manual_seed(0)
    return qs.models.mlp()


def ours(executor: str, tasks: int = TASKS, device: str = "cpu", precision: torch.dtype | None = None) -> Step:
    """A meta-step of quickstudy: gradient, then fused Adam."""
    learner = qs.MAML(network(), inner_lr=LR, inner_steps=STEPS).to(device)
    return meta_step(learner, episodes(tasks).map(lambda leaf: leaf.to(device)), executor, precision)


def higher_loop(tasks: int = TASKS, device: str = "cpu") -> Step:
    """A meta-step of `higher`."""
    batch = episodes(tasks).map(lambda leaf: leaf.to(device))
    return peers.higher_loop(network().to(device), batch, F.mse_loss, LR, STEPS)


def supervised(tasks: int = TASKS, device: str = "cpu") -> Step:
    """A plain forward and backward over the same points in one batch."""
    batch = episodes(tasks).map(lambda leaf: leaf.to(device))
    x, y = (torch.cat(parts, 1).flatten(0, 1) for parts in ((batch.support.x, batch.query.x), (batch.support.y, batch.query.y)))
    return peers.supervised(network().to(device), x, y, F.mse_loss)


def jax_jit(tasks: int = TASKS, precision: str = "float32") -> Step:
    """A meta-step of JAX."""
    import jax

    layers = ("body.0", "body.2", "head")

    def forward(p: Any, x: Any, low: Callable[[Any], Any]) -> Any:
        for index, layer in enumerate(layers):
            x = low(x) @ low(p[f"{layer}.weight"]).T + p[f"{layer}.bias"]
            x = x if index == 2 else jax.nn.relu(x)
        return x

    return jax_peer.jitted(network(), episodes(tasks), forward, lambda p, y: ((p - y) ** 2).mean(), LR, STEPS, precision)


CONTENDERS: dict[str, Callable[[], Step]] = {
    "higher, loop": higher_loop,
    "torchopt, loop": lambda: peers.torchopt_loop(network(), episodes(), F.mse_loss, LR, STEPS),
    "quickstudy, loop": lambda: ours("loop"),
    "quickstudy, vmap": lambda: ours("vmap"),
    "quickstudy, compiled": lambda: ours("compiled"),
    "jax, jit": jax_jit,
}

"""Conv4-64, 28x28, 16 tasks 5-way 1-shot 15 queries, second order, the query batch's own statistics: ours and the peers'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

import quickstudy as qs
from benchmarks.speed import jax_peer, peers
from benchmarks.speed.meta_step import Step, meta_step

LR = 0.4
Network = Callable[[str], torch.nn.Module]


def episodes(tasks: int) -> qs.Episode:
    """Random images: what they show costs nothing."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 20, 1, 28, 28, generator=generator)
    labelled = qs.tasks.LabelledTasks(x.flatten(0, 1), torch.arange(50).repeat_interleave(20), ways=5, shots=1, queries=15)
    return labelled.sample(tasks, generator=generator)


def network(device: str = "cpu") -> torch.nn.Module:
    """The same weights for everyone."""
    torch.manual_seed(0)
    return qs.models.conv4(ways=5).to(device)


def published_network(device: str = "cpu") -> torch.nn.Module:
    """The same weights in the network as the peers' users write it: contiguous, and pooled after the ReLU."""
    net = network(device)
    layers = [layer for block in net.blocks for layer in (block.conv, block.norm, torch.nn.ReLU(), torch.nn.MaxPool2d(2))]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), net.head).to(memory_format=torch.contiguous_format)


def ours(
    executor: str, steps: int, tasks: int, device: str = "cpu", precision: torch.dtype | None = None, pieces: int = 1
) -> Step:
    """A meta-step of quickstudy."""
    learner = qs.MAML(network(), inner_lr=LR, inner_steps=steps, normalisation="transductive").to(device)
    return meta_step(learner, episodes(tasks).map(lambda leaf: leaf.to(device)), executor, precision, pieces)


def higher_loop(steps: int, tasks: int, device: str = "cpu", net: Network = published_network) -> Step:
    """A meta-step of `higher`."""
    batch = episodes(tasks).map(lambda leaf: leaf.to(device))
    return peers.higher_loop(net(device), batch, F.cross_entropy, LR, steps)


def torchopt_loop(steps: int, tasks: int, net: Network = published_network) -> Step:
    """A meta-step of `torchopt`."""
    return peers.torchopt_loop(net("cpu"), episodes(tasks), F.cross_entropy, LR, steps)


def gap_to_higher(steps: int, tasks: int = 2) -> float:
    """The largest difference of our meta-gradient from `higher`'s, relative to the largest gradient, in float64.

    In float32 five inner steps on random images turn a rounding into another choice of a max-pooling here and there: single
    tasks are 1e-3 to 1e-1 from their own float64 gradient, whatever the library or the layout.
    """
    batch = episodes(tasks).map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
    learner = qs.MAML(network().double(), inner_lr=LR, inner_steps=steps, normalisation="transductive")
    mine = list(qs.meta_gradient(learner, batch)[1].values())
    _, theirs = peers.higher_loop(published_network().double(), batch, F.cross_entropy, LR, steps)()
    assert theirs is not None
    return max(float((a - b).abs().max()) for a, b in zip(mine, theirs, strict=True)) / max(float(b.abs().max()) for b in theirs)


def supervised(tasks: int, channels_last: bool, device: str = "cpu") -> Step:
    """A plain forward and backward over the same images in one batch: what no meta-step can beat."""
    batch = episodes(tasks).map(lambda leaf: leaf.to(device))
    x, y = torch.cat([batch.support.x, batch.query.x], 1).flatten(0, 1), torch.cat([batch.support.y, batch.query.y], 1).flatten()
    return peers.supervised(network(device) if channels_last else published_network(device), x, y, F.cross_entropy)


def jax_jit(steps: int, tasks: int, precision: str = "float32") -> Step:
    """A meta-step of JAX: the same network, its images channels last, pooled before the ReLU as ours."""
    import jax
    import jax.numpy as jnp

    def forward(p: Any, x: Any, low: Callable[[Any], Any]) -> Any:
        x = jnp.moveaxis(x, 1, -1)
        for block in (f"blocks.{index}" for index in range(4)):
            kernel = low(p[f"{block}.conv.weight"])
            z = jax.lax.conv_general_dilated(low(x), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "OIHW", "NHWC"))
            z = z.astype(jnp.float32) + p[f"{block}.conv.bias"]
            mean, variance = z.mean((0, 1, 2)), z.var((0, 1, 2))
            z = low((z - mean) / jnp.sqrt(variance + 1e-5) * p[f"{block}.norm.weight"] + p[f"{block}.norm.bias"])
            x = jax.nn.relu(jax.lax.reduce_window(z, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"))
        features = jnp.moveaxis(x, -1, 1).reshape(len(x), -1)
        return low(features) @ low(p["head.weight"]).T + p["head.bias"]

    def loss(prediction: Any, y: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(prediction), y[:, None], 1).mean()

    return jax_peer.jitted(network(), episodes(tasks), forward, loss, LR, steps, precision)

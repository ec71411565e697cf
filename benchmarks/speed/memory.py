"""Peak memory of unrolled inner steps of Conv4, each measured in a fresh process: python -m benchmarks.speed.memory KIND STEPS.

Prints one JSON record: resident megabytes above the value before the first step, and seconds.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.func import functional_call

import quickstudy as qs
from benchmarks.speed.conv import network

LR = 0.01


def measure(kind: str, steps: int) -> dict[str, float]:
    """One meta-gradient on one task of 25 support images, one intra-op thread."""
    torch.set_num_threads(1)
    episode = _episode()
    net = network()
    run = _hand_written if kind == "hand-written" else _quickstudy
    run(kind, net, episode, 1)  # libraries loaded, kernels chosen
    before, peak = _resident(), _Peak()
    began = time.perf_counter()
    with peak:
        run(kind, net, episode, steps)
    return {"mb": (peak.highest - before) / 2**20, "seconds": time.perf_counter() - began}


def _quickstudy(kind: str, net: torch.nn.Module, episode: qs.Episode, steps: int) -> None:
    hypergradient = qs.Unrolled(recompute=kind == "recomputed")
    learner = qs.MAML(net, inner_lr=LR, inner_steps=steps, hypergradient=hypergradient, normalisation="transductive")
    qs.meta_gradient(learner, [episode])


def _hand_written(kind: str, net: torch.nn.Module, episode: qs.Episode, steps: int) -> None:
    phi = dict(net.named_parameters())
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    theta = dict(phi)
    for _ in range(steps):
        loss = F.cross_entropy(functional_call(net, {**theta, **buffers}, (episode.support.x,)), episode.support.y)
        g = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
        theta = {name: value - LR * one for (name, value), one in zip(theta.items(), g, strict=True)}
    loss = F.cross_entropy(functional_call(net, {**theta, **buffers}, (episode.query.x,)), episode.query.y)
    torch.autograd.grad(loss, list(phi.values()))


def _episode() -> qs.Episode:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(100, 1, 28, 28, generator=generator)
    labelled = qs.tasks.LabelledTasks(x, torch.arange(5).repeat_interleave(20), ways=5, shots=5, queries=15)
    return labelled.sample(1, generator=generator)[0]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class _Peak:
    """Watches the resident size from a thread."""

    def __enter__(self) -> _Peak:
        self.highest, self._over = _resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.highest = max(self.highest, _resident())

    def __exit__(self, *error: object) -> None:
        self.highest = max(self.highest, _resident())
        self._over.set()
        self._thread.join()


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))

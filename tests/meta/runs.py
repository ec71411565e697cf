"""Small training runs whose every derivative is known, for the tests of the outer methods."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import grad

import quickstudy as qs
from quickstudy.learners.bilevel.training_run import TrainingRun, hidden
from quickstudy.tasks import TaskDistribution
from quickstudy.tasks.distribution.streams import Streams


class Scalar(TrainingRun):
    """s' = a s + phi b,  L = 1/2 (s - m)^2,  s_0 = 1:  everything is a sum of powers of a."""

    def __init__(self, steps=20, a=0.9, phi=0.3):
        super().__init__(steps=steps)
        self.a, self.phi = a, nn.Parameter(torch.tensor(phi, dtype=torch.float64))

    def init(self, task, seed):
        return {"s": torch.ones((), dtype=self.phi.dtype)}

    def step(self, state, batch):
        return {"s": self.a * state["s"] + self.phi * batch.x.mean()}

    def objective(self, state, batch):
        return 0.5 * ((state["s"] - batch.y) ** 2).mean()

    def predict(self, state, x):
        return state["s"] + 0 * x


class Weighted(TrainingRun):
    """Meta-Weight-Net in small: a network weighs the example's loss in the student's step."""

    def __init__(self, network, *, steps=3, inner_lr=0.1, batch_size=None):
        super().__init__(steps=steps, batch_size=batch_size)
        self.student, self.inner_lr = hidden(network), inner_lr
        self.weigh = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1), nn.Sigmoid())

    def init(self, task, seed):
        return self.initial(seed)

    def step(self, state, batch):
        def weighed(theta):
            output = self.run(theta, batch.x)
            if batch.ways is None:
                each = ((output - batch.y) ** 2).sum(-1)
            else:
                each = F.cross_entropy(output, batch.y, reduction="none")
            return (self.weigh(each[:, None])[:, 0] * each).mean()

        g = grad(weighed)(state)
        return {name: value - self.inner_lr * g[name] for name, value in state.items()}

    def predict(self, state, x):
        return self.run(state, x)


class Decays(TrainingRun):
    """Weight decays by logarithm: theta' = theta - a (X'(X theta - y) / n + exp(phi) theta); rests at a ridge regression."""

    def __init__(self, features=4, *, steps=5, inner_lr=0.1):
        super().__init__(steps=steps)
        self.inner_lr, self.log = inner_lr, nn.Parameter(torch.linspace(-1.5, 0.0, features))

    def init(self, task, seed):
        return {"theta": torch.zeros_like(self.log)}

    def step(self, state, batch):
        theta = state["theta"]
        g = batch.x.T @ (batch.x @ theta - batch.y[:, 0]) / len(batch) + self.log.exp() * theta
        return {"theta": theta - self.inner_lr * g}

    def predict(self, state, x):
        return (x @ state["theta"])[:, None]


def regression(n=60, features=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=generator, dtype=dtype)
    w = torch.randn(features, 1, generator=generator, dtype=dtype)
    return x, x @ w + 0.3 * torch.randn(n, 1, generator=generator, dtype=dtype)


def streams(window=4, **options):
    return Streams(*regression(), batch=6, window=window, **options)


class Replayed(TaskDistribution):
    """A stream whose batches are fixed: x, y (tasks, steps); window after window, and from the front again."""

    ways, shots, queries = None, 1, 1

    def __init__(self, x, y, window):
        self.x, self.y, self.window, self.at = x[..., None, None], y[..., None, None], window, 0

    def sample(self, n, *, generator=None):
        piece = slice(self.at, self.at + self.window)
        self.at = (self.at + self.window) % self.x.shape[1]
        part = lambda values: qs.Examples(values[:n, piece, :, 0], values[:n, piece, :, 0])
        return qs.episode._episode_from([part(self.x), part(self.y)], None)

    def examples(self):
        return qs.Examples(self.x[0, :, 0], self.y[0, :, 0])

    def to(self, device):
        return self

    def check_protocol(self):
        """One example a batch."""


def over_the_run(estimator, run, tasks, n, *, executor="loop", seed=0):
    """The gradients of the windows of one whole run, at fixed phi; and the losses."""
    from quickstudy.meta.carried import CarriedRuns
    from quickstudy.meta.executors import executor_named
    from quickstudy.meta.gradient import in_chunks
    from quickstudy.meta.problem import Problem

    problem = Problem(run, estimator)
    runs, found, losses = CarriedRuns(estimator, run, tasks, n, seed), [], []
    for i in range(run.steps // tasks.window):
        window = runs.draw(torch.Generator().manual_seed(i))
        seeds = torch.arange(n) + 1000 * seed + 17 * i
        answer = runs.take(in_chunks(executor_named(executor, problem), problem, window, seeds, None))
        found.append(answer.gradient)
        losses.append(answer.losses)
    return found, losses

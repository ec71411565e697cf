"""Sinusoid regression, MLP 40-40, 25 tasks, 5 inner steps, second order: the whole meta-step with outer Adam.

Every contender is built by a function that returns step() -> (loss, gradients or None); the first call's are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

import quickstudy as qs
from benchmarks import peers
from quickstudy.meta.executors import executor_named
from quickstudy.meta.problem import Problem

TASKS, STEPS, LR = 25, 5, 0.01
Step = Callable[[], tuple[float, list[torch.Tensor] | None]]


def episodes() -> qs.Episode:
    """One batch, sampled beforehand."""
    return qs.tasks.Sinusoid().train.sample(TASKS, generator=torch.Generator().manual_seed(0))


def network() -> torch.nn.Module:
    """The same weights for everyone."""
    torch.manual_seed(0)
    return qs.models.mlp()


def ours(executor: str) -> Step:
    """A meta-step of quickstudy: gradient, then fused Adam."""
    learner, batch = qs.MAML(network(), inner_lr=LR, inner_steps=STEPS), episodes()
    problem = Problem(learner, qs.Backprop())
    run, outer = executor_named(executor, problem), qs.Gradient().start(dict(learner.named_parameters()))
    seeds = torch.zeros(TASKS, dtype=torch.int64)

    def step() -> tuple[float, list[torch.Tensor] | None]:
        answer = run.gradient(problem, batch, seeds)
        gradients = list(answer.gradient.values())
        outer.step(answer.gradient)
        return float(answer.losses.mean()), gradients

    return step


def jax_jit() -> Step:
    """The same step in JAX, jitted whole, with Adam written out."""
    import jax
    import jax.numpy as jnp

    state = {name: jnp.asarray(value.detach().numpy()) for name, value in network().named_parameters()}
    names = list(state)  # jit returns mappings sorted by key
    batch = episodes()
    data = [jnp.asarray(part.numpy()) for part in (batch.support.x, batch.support.y, batch.query.x, batch.query.y)]
    layers = ("body.0", "body.2", "head")

    def predict(p: Any, x: Any) -> Any:
        for index, layer in enumerate(layers):
            x = x @ p[f"{layer}.weight"].T + p[f"{layer}.bias"]
            x = x if index == 2 else jax.nn.relu(x)
        return x

    def mse(p: Any, x: Any, y: Any) -> Any:
        return ((predict(p, x) - y) ** 2).mean()

    def task(p: Any, xs: Any, ys: Any, xq: Any, yq: Any) -> Any:
        q = p
        for _ in range(STEPS):
            g = jax.grad(mse)(q, xs, ys)
            q = {name: q[name] - LR * g[name] for name in q}
        return mse(q, xq, yq)

    def loss(p: Any) -> Any:
        return jax.vmap(task, (None, 0, 0, 0, 0))(p, *data).mean()

    @jax.jit
    def update(p: Any, m: Any, v: Any, t: Any) -> Any:
        value, g = jax.value_and_grad(loss)(p)
        m = {name: 0.9 * m[name] + 0.1 * g[name] for name in g}
        v = {name: 0.999 * v[name] + 0.001 * g[name] ** 2 for name in g}
        scale = {name: (m[name] / (1 - 0.9**t), v[name] / (1 - 0.999**t)) for name in g}
        return {name: p[name] - 1e-3 * a / (jnp.sqrt(b) + 1e-8) for name, (a, b) in scale.items()}, m, v, value, g

    zeros = {name: jnp.zeros_like(value) for name, value in state.items()}
    carried = [state, zeros, zeros, 1.0]

    def step() -> tuple[float, list[torch.Tensor] | None]:
        p, m, v, value, g = update(*carried)
        carried[:] = [p, m, v, carried[3] + 1.0]
        value = float(value.block_until_ready())
        first = [torch.tensor(g[name].tolist()) for name in names] if carried[3] == 2.0 else None
        return value, first

    return step


CONTENDERS: dict[str, Callable[[], Step]] = {
    "higher, loop": lambda: peers.higher_loop(network(), episodes(), F.mse_loss, LR, STEPS),
    "torchopt, loop": lambda: peers.torchopt_loop(network(), episodes(), F.mse_loss, LR, STEPS),
    "quickstudy, loop": lambda: ours("loop"),
    "quickstudy, vmap": lambda: ours("vmap"),
    "quickstudy, compiled": lambda: ours("compiled"),
    "jax, jit": jax_jit,
}

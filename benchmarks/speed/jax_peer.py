"""A meta-step of MAML as JAX has it: both derivatives, the tasks and outer Adam in one jitted function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import quickstudy as qs
from benchmarks.speed.meta_step import Step

PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bf16": "highest"}  # of JAX's products; bf16 rounds their inputs


def jitted(
    network: torch.nn.Module,
    batch: qs.Episode,
    forward: Callable[[Any, Any, Callable[[Any], Any]], Any],
    loss: Callable[[Any, Any], Any],
    lr: float,
    steps: int,
    precision: str = "float32",
) -> Step:
    """step() -> (mean loss, the first step's gradients), from the weights of a torch network.

    Args:
        forward: f(weights by torch's names, x, low) -> prediction; `low` rounds a product's inputs to the precision.
        loss: of (prediction, y).
    """
    import jax
    import jax.numpy as jnp

    state = {name: jnp.asarray(value.detach().cpu().numpy()) for name, value in network.named_parameters()}
    names = list(state)  # jit returns mappings sorted by key
    data = [jnp.asarray(part.cpu().numpy()) for part in (batch.support.x, batch.support.y, batch.query.x, batch.query.y)]
    low = (lambda value: value.astype(jnp.bfloat16)) if precision == "bf16" else (lambda value: value)

    def of(p: Any, x: Any, y: Any) -> Any:
        return loss(forward(p, x, low).astype(jnp.float32), y)

    def task(p: Any, xs: Any, ys: Any, xq: Any, yq: Any) -> Any:
        q = p
        for _ in range(steps):
            g = jax.grad(of)(q, xs, ys)
            q = {name: q[name] - lr * g[name] for name in q}
        return of(q, xq, yq)

    def mean_loss(p: Any, *data: Any) -> Any:
        return jax.vmap(task, (None, 0, 0, 0, 0))(p, *data).mean()

    @jax.jit
    def update(p: Any, m: Any, v: Any, t: Any, *data: Any) -> Any:
        value, g = jax.value_and_grad(mean_loss)(p, *data)
        m = {name: 0.9 * m[name] + 0.1 * g[name] for name in g}
        v = {name: 0.999 * v[name] + 0.001 * g[name] ** 2 for name in g}
        scale = {name: (m[name] / (1 - 0.9**t), v[name] / (1 - 0.999**t)) for name in g}
        return {name: p[name] - 1e-3 * a / (jnp.sqrt(b) + 1e-8) for name, (a, b) in scale.items()}, m, v, value, g

    zeros = {name: jnp.zeros_like(value) for name, value in state.items()}
    carried = [state, zeros, zeros, 1.0]

    def step() -> tuple[float, list[torch.Tensor] | None]:
        with jax.default_matmul_precision(PRECISIONS[precision]):
            p, m, v, value, g = jax.block_until_ready(update(*carried, *data))
        carried[:] = [p, m, v, carried[3] + 1.0]
        first = [torch.from_numpy(np.array(g[name])) for name in names] if carried[3] == 2.0 else None
        return float(value), first

    return step

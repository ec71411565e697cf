"""Milliseconds of a whole second-order meta-step on the device, beside higher's loop, a plain supervised pass and JAX's jit.

Two workloads, as `make bench` has them: Conv4-64 (28 x 28, 5-way 1-shot, 15 queries, 5 inner steps) and the sinusoid (MLP 40-40,
5 inner steps). Three precisions: float32; tf32, which rounds the inputs of products and convolutions to 10 bits; bf16 by
autocast.

The contenders are timed by group, each group in a process of its own, one after another on a GPU that nobody else uses: `eager`
(ours by vmap, higher, the supervised pass), `jax`, `compiled` (ours). So torch and JAX need not share the memory, and what takes
too long to compile takes nobody else's time. What is wanted most comes first.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from benchmarks.gpu.section import Section, options, section
from benchmarks.speed import conv, sinusoid
from benchmarks.speed.meta_step import Step

PRECISIONS = ("float32", "tf32", "bf16")
ROUNDS, PATIENCE = 10, 4.0  # calls, and seconds of them; a slow contender has fewer calls
STEPS = {"Conv4": 5, "sinusoid": sinusoid.STEPS}
TASKS = {"Conv4": (32, 256), "sinusoid": (sinusoid.TASKS,)}
TASKS_SMALL, STEPS_SMALL = {"Conv4": (2,), "sinusoid": (4,)}, 1
GROUPS = ("eager", "jax", "compiled")

VMAP, COMPILED, HIGHER, JAX = "quickstudy, vmap", "quickstudy, compiled", "higher, loop", "jax, jit"
SUPERVISED, CONTIGUOUS = "supervised pass", "supervised pass, contiguous"  # the first lies channels last, where it convolves
PEERS = {HIGHER: "higher", JAX: "jax"}


def contenders(group: str, workload: str, tasks: int, precision: str, device: str, steps: int) -> dict[str, Callable[[], Step]]:
    """The functions that build a group's steps."""
    low = torch.bfloat16 if precision == "bf16" else None
    convolves = workload == "Conv4"
    if group == "jax":
        jitted = (lambda: conv.jax_jit(steps, tasks, precision)) if convolves else (lambda: sinusoid.jax_jit(tasks, precision))
        return {JAX: jitted}
    if group == "compiled":
        ours = (
            (lambda: conv.ours("compiled", steps, tasks, device, low))
            if convolves
            else (lambda: sinusoid.ours("compiled", tasks, device, low))
        )
        return {COMPILED: ours}
    if convolves:
        made = {
            VMAP: lambda: that_fits(lambda pieces: conv.ours("vmap", steps, tasks, device, low, pieces), tasks, device),
            HIGHER: lambda: conv.higher_loop(steps, tasks, device),
            SUPERVISED: lambda: conv.supervised(tasks, True, device),
            CONTIGUOUS: lambda: conv.supervised(tasks, False, device),
        }
    else:
        made = {
            VMAP: lambda: sinusoid.ours("vmap", tasks, device, low),
            HIGHER: lambda: sinusoid.higher_loop(tasks, device),
            SUPERVISED: lambda: sinusoid.supervised(tasks, device),
        }
    return {name: build if name == VMAP else autocast(build, device, low) for name, build in made.items()}


def autocast(build: Callable[[], Step], device: str, low: torch.dtype | None) -> Callable[[], Step]:
    """The contender under autocast."""

    def built() -> Step:
        step = build()

        def under() -> Any:
            with torch.autocast(device, dtype=low) if low is not None else nullcontext():
                return step()

        return under

    return built


def that_fits(build: Callable[[int], Step], tasks: int, device: str) -> Step:
    """The step in one piece, or in the fewest that the GPU's memory holds; the pieces are written on it."""
    pieces = 1
    while device == "cuda":
        try:
            build(pieces)()
        except torch.OutOfMemoryError:
            if pieces >= tasks:
                raise
            pieces *= 2
            emptied()
        else:
            break
    step = build(pieces)  # anew: the trial was a step of its own
    step.pieces = pieces  # type: ignore[attr-defined]
    return step


def timed(build: Callable[[], Step], rounds: int, device: str, loops: bool = False) -> dict[str, Any]:
    """Median milliseconds after a first call, with what is to be known beside it.

    Args:
        loops: it goes from task to task, so a first call that takes long is no slower than the others, and counts.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    step = build()
    loss, _ = step()
    first = time.perf_counter() - began
    taken = [first] if loops and first > PATIENCE else []
    while not taken or (len(taken) < rounds and sum(taken) < PATIENCE):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    made = {"ms": 1000 * statistics.median(taken), "rounds": len(taken), "first call, s": first, "loss": loss}
    if getattr(step, "pieces", 1) > 1:
        made["pieces"] = step.pieces  # type: ignore[attr-defined]
    if device == "cuda":
        made["peak GiB"] = torch.cuda.max_memory_allocated() / 2**30
    return made


def emptied() -> None:
    """What the last contender held goes back."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def races(group: str, small: bool) -> list[tuple[str, int, str]]:
    """(workload, tasks, precision) of a group, what is wanted most first: float32 of all, then the other precisions."""
    tasks = TASKS_SMALL if small else TASKS
    every = [(workload, n, precision) for precision in PRECISIONS for workload in ("sinusoid", "Conv4") for n in tasks[workload]]
    if small:  # convolutions take a CPU a minute to compile, and have no tf32 there
        every = [race for race in every if race[0] == "sinusoid" or (group == "eager" and race[2] != "tf32")]
    if group == "eager":
        return every
    return every if group == "jax" else [race for race in every if race[1] <= 32]  # 256 tasks are the same graph again


def absent() -> list[str]:
    """The peers that are not installed."""
    return [module for module in PEERS.values() if importlib.util.find_spec(module) is None]


def run(own: Section, group: str) -> None:
    """A group's times, until the time is over."""
    if own.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    missing, found = absent(), {}
    for workload, tasks, precision in races(group, own.small):
        steps = STEPS_SMALL if own.small else STEPS[workload]
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        row = found.setdefault(f"{workload}, {tasks} tasks", {}).setdefault(precision, {})
        for name, build in contenders(group, workload, tasks, precision, own.device, steps).items():
            if PEERS.get(name) in missing:
                continue
            row[name] = attempt(own, build, name == HIGHER)
            emptied()
            if group == "compiled":
                torch.compiler.reset()  # the next is another graph of the same code, of which dynamo compiles so many and no more
            own.write({"races": found})
            told = row[name].get("missed") or f"{row[name]['ms']:.2f} ms (first call {row[name]['first call, s']:.1f} s)"
            own.say(f"{workload}, {tasks} tasks, {precision}: {name}: {told}")
    own.write({"races": found})


def attempt(own: Section, build: Callable[[], Step], loops: bool) -> dict[str, Any]:
    """A contender's times, or why there are none."""
    if own.left() <= 0:
        return {"missed": "not reached"}
    try:
        return timed(build, 1 if own.small else ROUNDS, own.device, loops)
    except Exception as error:  # noqa: BLE001 (it fails alone, and the others are timed)
        return {"missed": f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"}


if __name__ == "__main__":
    made = options((__doc__ or "").split("\n")[0])
    made.add_argument("group", choices=GROUPS)
    given = made.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    run(section(given), given.group)

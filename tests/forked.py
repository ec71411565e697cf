"""A program that has used everything there is to use, and then forks: what does each child do within its time?

It prints a line of JSON for each child: its name, and "same", "other", "hangs" or the error that it raised.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable

import torch

import quickstudy as qs
from quickstudy import forks
from quickstudy.meta.executors import Compiled, Threads

CONTROLS = ("control: several threads of torch", "control: its parent's threads")
PATIENCE = dict.fromkeys(CONTROLS, 4)  # seconds; the others have 60


def computed(batch: qs.Episode, executor: object) -> list[float]:
    loss, gradient = qs.meta_gradient(LEARNER, batch, executor=executor)
    return [float(loss), *(float(one.double().sum()) for one in gradient.values())]


def learner() -> qs.Learner:
    torch.manual_seed(0)
    return qs.MAML(qs.models.mlp(6, 3, hidden=(64,)), inner_lr=0.1, inner_steps=2)


def adapted(episode: qs.Episode) -> list[float]:
    return learner().adapt(episode.support)(episode.query.x).flatten().tolist()


def trained(executor: str) -> list[float]:
    one = learner()
    qs.meta_train(one, tasks(), steps=2, tasks_per_step=4, executor=executor, progress=False, seed=0)
    return [float(parameter.double().sum()) for parameter in one.parameters()]


def scored(executor: str) -> list[float]:
    return [qs.evaluate(learner(), tasks().test, episodes=4, executor=executor, seed=0).score.mean]


def tasks() -> qs.tasks.GaussianClasses:
    return qs.tasks.GaussianClasses(ways=3, dim=6)


def large() -> list[float]:
    """An operator that torch spreads over its threads."""
    return [float((torch.ones(3_000_000) * 2).exp().sum() > 0)]


def forked(function: Callable[[], object], want: object, patience: float = 60) -> str:
    """What becomes of function() in a forked child."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = "another error"
        try:
            said = "same" if function() == want else "other"
        except (RuntimeError, TypeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        if os.waitpid(child, os.WNOHANG)[0]:
            return os.read(read, 1000).decode()
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hangs"


def from_a_thread(function: Callable[[], object], want: object) -> str:
    """Forked by a thread, while others start threads of ours and set what a process has once.

    They call nothing else: a child also lacks whoever holds a lock of torch or of Python, such as that of `torch.manual_seed`.
    """
    done, said = threading.Event(), []

    def busy() -> None:
        while not done.is_set():
            computed(BATCH, Threads(2))

    others = [threading.Thread(target=busy) for _ in range(3)]
    one = threading.Thread(target=lambda: said.extend(forked(function, want) for _ in range(5)))
    for thread in (*others, one):
        thread.start()
    one.join()
    done.set()
    for thread in others:
        thread.join()
    return said[0] if len(set(said)) == 1 else str(said)


def several() -> list[float]:
    torch.set_num_threads(2)
    return large()


def left_behind() -> list[float]:
    THREADS._workers._generation = forks.generation()
    return computed(BATCH, THREADS)


def jobs() -> dict[str, Callable[[], object]]:
    return {
        "an operator of torch": large,
        "adapt and predict": lambda: adapted(EPISODE),
        "loop": lambda: computed(BATCH, "loop"),
        "vmap": lambda: computed(BATCH, "vmap"),
        "auto": lambda: computed(BATCH, "auto"),
        "new threads": lambda: computed(BATCH, Threads(2)),
        "the parent's executor": lambda: computed(BATCH, THREADS),
        "evaluate": lambda: scored("threads"),
        "meta_train": lambda: trained("threads"),
    }


def children() -> dict[str, str]:
    found = {name: job() for name, job in jobs().items()}
    says = {name: forked(job, found[name]) for name, job in jobs().items()}
    says["a child's child"] = forked(lambda: forked(lambda: computed(BATCH, THREADS), found["loop"], 20), "same")
    says["from a thread among others"] = from_a_thread(lambda: computed(BATCH, THREADS), found["loop"])
    says |= {name: forked(job, None, PATIENCE[name]) for name, job in zip(CONTROLS, (several, left_behind), strict=True)}
    importlib.import_module("torch._inductor.async_compile")  # as the first torch.compile does
    return says | {"compiled": forked(lambda: computed(BATCH, "compiled"), None)}


def children_after_compile() -> dict[str, str]:
    executor = Compiled()
    want, auto = computed(BATCH, executor), computed(BATCH, "auto")
    return {
        "compiled": forked(lambda: computed(BATCH, executor), want),
        "compiled anew": forked(lambda: computed(BATCH, "compiled"), want),
        "auto after it": forked(lambda: computed(BATCH, "auto"), auto),
    }


if __name__ == "__main__":
    torch.set_num_threads(2)
    LEARNER, THREADS, BATCH = learner(), Threads(2), tasks().train.sample(4, generator=torch.Generator().manual_seed(1))
    EPISODE = tasks().test.sample(1, generator=torch.Generator().manual_seed(1))[0]
    print(json.dumps(children_after_compile() if "compiled" in sys.argv else children()))

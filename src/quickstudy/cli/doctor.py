"""quickstudy doctor: installed versions, working executors, and a check of the meta-gradient on this machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import time

import torch
from jsonargparse import ArgumentParser
from torch import Tensor

import quickstudy as qs
from quickstudy.errors import UnsupportedError
from quickstudy.meta.executors import EXECUTORS
from quickstudy.randomness import seeded

EXTRAS = ("sklearn", "datasets", "onnx", "onnxruntime", "tensorboard", "wandb", "mlflow")
STEP = 1e-6  # of the finite differences
TOLERANCE = 1e-6  # relative, of a directional derivative in float64


def doctor(argv: list[str]) -> int:
    """The command; 1 if an executor gives a wrong gradient."""
    made = ArgumentParser(prog="quickstudy doctor", description="Versions, devices, executors, and a check of a meta-gradient.")
    made.parse_args(argv)
    for name, value in versions().items():
        print(f"{name:<14}{value}")
    print("\nsecond-order meta-gradient of MAML on sinusoids against finite differences, float64:")
    wrong = 0
    for executor in EXECUTORS:
        began = time.perf_counter()
        try:
            gap = self_check(executor)
        except UnsupportedError as error:
            print(f"  {executor:<10}not here: {error.got}")
            continue
        right = gap < TOLERANCE
        wrong += not right
        print(f"  {executor:<10}{'right' if right else 'WRONG'}, {gap:.0e} apart, {time.perf_counter() - began:.1f} s")
    print("\nall that work here are right" if not wrong else f"\n{wrong} WRONG: please report this, with the lines above")
    return 1 if wrong else 0


def versions() -> dict[str, str]:
    """Installed versions and hardware."""
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    found = [name for name in EXTRAS if importlib.util.find_spec(name) is not None]
    return {
        "quickstudy": qs.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "jsonargparse": importlib.metadata.version("jsonargparse"),
        "system": platform.platform(),
        "cores": f"{os.cpu_count()}, torch uses {torch.get_num_threads()}",
        "accelerators": ", ".join(devices) or "none",
        "extras": ", ".join(found) or "none installed",
    }


def self_check(executor: str) -> float:
    """The relative gap between <gradient, v> computed by `executor` and by central differences, for a random direction v."""
    generator = torch.Generator().manual_seed(0)
    with seeded(0):
        learner = qs.MAML(qs.models.mlp(1, 1, hidden=(8, 8)).double(), inner_lr=0.1, inner_steps=2)
    episodes = qs.tasks.Sinusoid().train.sample(3, generator=generator).map(lambda leaf: leaf.double())
    _, gradient = qs.meta_gradient(learner, episodes, executor=executor)
    direction = {name: torch.randn(value.shape, generator=generator, dtype=torch.float64) for name, value in gradient.items()}
    slope = sum(float((gradient[name] * v).sum()) for name, v in direction.items())

    def loss_at(scale: float) -> Tensor:
        with torch.no_grad():
            for name, parameter in learner.named_parameters():
                parameter.add_(direction[name], alpha=scale)
        loss, _ = qs.meta_gradient(learner, episodes)
        with torch.no_grad():
            for name, parameter in learner.named_parameters():
                parameter.sub_(direction[name], alpha=scale)
        return loss

    truth = float(loss_at(STEP) - loss_at(-STEP)) / (2 * STEP)
    return abs(slope - truth) / abs(truth)

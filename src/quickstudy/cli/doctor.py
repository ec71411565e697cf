"""quickstudy doctor: installed versions, working executors, and a check of the meta-gradient on this machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time

import torch
from torch import Tensor

import quickstudy as qs
from quickstudy.cli.options import command, read
from quickstudy.errors import UnsupportedError
from quickstudy.meta.executors import EXECUTORS
from quickstudy.randomness import seeded

QUICK = "loop"  # the executor that `--quick` checks
EXTRAS = ("sklearn", "datasets", "onnx", "onnxruntime", "tensorboard", "wandb", "mlflow")
STEP = 1e-6  # of the finite differences
TOLERANCE = 1e-6  # relative, of a directional derivative in float64


def doctor(argv: list[str]) -> int:
    """The command; 1 if an executor gives a wrong gradient."""
    made = command("doctor", "Versions, devices, executors, and a check of a meta-gradient.")
    made.add_argument("--quick", action="store_true", help="check the loop alone; say of the others whether they can work")
    options = read(made, argv)
    for name, value in versions().items():
        print(f"{name:<14}{value}")
    print("\nsecond-order meta-gradient of MAML on sinusoids against finite differences, float64:")
    wrong = 0
    for executor in EXECUTORS:
        if options.quick and executor != QUICK:
            print(f"  {executor:<10}{capable(executor)}")
        else:
            wrong += not _checked(executor)
    print(_verdict(wrong, options.quick))
    return 1 if wrong else 0


def _checked(executor: str) -> bool:
    """Check one executor and print its line; False for a wrong gradient."""
    began = time.perf_counter()
    try:
        gap = self_check(executor)
    except UnsupportedError as error:
        print(f"  {executor:<10}not here: {error.got}")
        return True
    right = gap < TOLERANCE
    print(f"  {executor:<10}{'right' if right else 'WRONG'}, {gap:.0e} apart, {time.perf_counter() - began:.1f} s")
    return right


def capable(executor: str) -> str:
    """What `--quick` says of an executor that it does not run."""
    if executor == "compiled" and not can_compile():
        return "cannot work here: torch.compile finds no C++ compiler"
    return "can work here, not checked"


def can_compile() -> bool:
    """Whether torch.compile has what it needs on this machine; nothing is compiled."""
    if torch.cuda.is_available():
        return importlib.util.find_spec("triton") is not None
    compilers = (os.environ.get("CXX"), "g++", "clang++", "cl")
    return any(shutil.which(one) is not None for one in compilers if one)


def _verdict(wrong: int, quick: bool) -> str:
    if wrong:
        return f"\n{wrong} WRONG: please report this, with the lines above"
    return "\nthe loop is right; `quickstudy doctor` checks the others too" if quick else "\nall that work here are right"


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

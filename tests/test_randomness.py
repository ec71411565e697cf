"""The caller's generators are the caller's: no entry of the package moves torch's, NumPy's or Python's, and no file seeds one."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy import select, testing
from quickstudy.cli import main
from quickstudy.learners.read import CrossAttention
from quickstudy.meta.executors import Loop, Threads, Vmap
from quickstudy.meta.searches import CMAES
from quickstudy.randomness import numpy_kept, seeded

SOURCE = Path(qs.__file__).parent
SEEDS = {  # every way to set a generator that all share
    *(
        f"torch.{name}"
        for name in ("manual_seed", "seed", "set_rng_state", "random.manual_seed", "random.seed", "random.set_rng_state")
    ),
    *(f"torch.default_generator.{name}" for name in ("manual_seed", "seed", "set_state")),
    *(
        f"torch.{kind}.{name}"
        for kind in ("cuda", "mps", "xpu")
        for name in ("manual_seed", "manual_seed_all", "seed", "seed_all")
    ),
    *(f"torch.{kind}.{name}" for kind in ("cuda", "mps", "xpu") for name in ("set_rng_state", "set_rng_state_all")),
    *(f"{numpy}.random.{name}" for numpy in ("np", "numpy") for name in ("seed", "set_state")),
    *("random.seed", "random.setstate"),
}
ALLOWED = {
    "randomness.py": {"np.random.set_state", "random.setstate"},  # gives back what it took
    "meta/loop/state.py": {"torch.set_rng_state"},  # a resumed run goes on as the unbroken one, with a network that draws from it
}


def states():
    """A short number for each: a failure shows which moved."""
    drawn = {
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "python": random.getstate(),
    }
    return {name: hash(repr(state)) for name, state in drawn.items()}


def classes(ways=3, shots=3, features=6):
    y = torch.arange(ways).repeat(shots)
    return qs.Episode(qs.Examples(torch.randn(len(y), features), y), qs.Examples(torch.randn(len(y), features), y))


def net(outputs=3):
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, outputs))


def gaussian():
    return qs.tasks.GaussianClasses(ways=3, shots=2, queries=3, dim=6)


def trained(learner, **options):
    return lambda: qs.meta_train(learner, gaussian(), steps=2, tasks_per_step=2, validation_episodes=2, **options)


def maml():
    return qs.MAML(net(), inner_lr=0.1)


def saved(path, learner=None):
    (learner or qs.MAML(qs.models.mlp(6, 3), inner_lr=0.1)).save(path)
    return path


# An entry prepares what it needs, which may draw as its caller pleases, and returns the call that must not.
ENTRIES = {
    "meta_train": lambda path: trained(maml(), executor="auto"),
    "meta_train, threads": lambda path: trained(maml(), executor=Threads(2)),
    "meta_train, out and keep": lambda path: trained(qs.Prototypical(qs.models.mlp(6, 4)), out=path / "run", keep=2),
    "meta_train, pre-training": lambda path: trained(qs.PretrainFineTune(net(4))),
    "meta_train, Reptile": lambda path: trained(qs.Reptile(net(), inner_lr=0.1)),
    "meta_train, evolution": lambda path: trained(maml(), outer=qs.Gradient(qs.Evolution())),
    "meta_train, CMA-ES": lambda path: trained(qs.Ridge(), outer=CMAES()),
    "meta_gradient": lambda path: (
        lambda learner=maml(), batch=[classes(), classes()]: [
            qs.meta_gradient(learner, batch, executor=executor) for executor in ("loop", "vmap", Threads(2))
        ]
    ),
    "evaluate": lambda path: lambda learner=maml(): qs.evaluate(learner, gaussian().test, 4),
    "compare": lambda path: lambda learner=maml(): qs.compare([learner, qs.NearestCentroid()], gaussian().test, 4),
    "calibrate": lambda path: lambda learner=maml(): qs.calibrate(learner, gaussian().test, episodes=4),
    "diagnose": lambda path: lambda learner=qs.MAML(nn.Linear(6, 3)): qs.diagnose(learner, gaussian(), batches=2),
    "check_model": lambda path: lambda network=net(), x=torch.randn(5, 6): qs.check_model(network, x),
    "run_checks": lambda path: lambda learner=qs.Prototypical(net()), one=classes(): testing.run_checks(learner, one),
    "adapt": lambda path: lambda learner=maml(), one=classes(): learner.adapt(one.support).to_module()(one.query.x),
    "from scratch": lambda path: lambda learner=qs.FromScratch(net()), one=classes(): learner.adapt(one.support)(one.query.x),
    "save": lambda path: lambda learner=maml(): learner.save(path / "learner"),
    "load": lambda path: lambda folder=saved(path / "learner"): qs.load(folder),
    "load, that comes along": lambda path: lambda: qs.load("strokes"),
    "load, a predictor": lambda path: lambda folder=saved_predictor(path): qs.load(folder),
    "NeuralProcess": lambda path: lambda: qs.NeuralProcess(2, 1, width=8),
    "NeuralProcess, attending": lambda path: lambda: qs.NeuralProcess(2, 1, width=8, pooling=CrossAttention(2, 8)),
    "NeuralProcessClassifier": lambda path: lambda embed=nn.Linear(6, 4): qs.NeuralProcessClassifier(embed, features=4),
    "Hypernetwork": lambda path: lambda embed=nn.Linear(6, 4): qs.Hypernetwork(embed, features=4),
    "MANN": lambda path: lambda embed=nn.Linear(6, 4): qs.MANN(embed, features=4, max_ways=3),
    "tasks": lambda path: (
        lambda: [gaussian().train.sample(2), qs.tasks.Sinusoid().test.sample(2), qs.tasks.Quadratic().train.sample(2)]
    ),
    "FewShotClassifier": lambda path: lambda: qs.FewShotClassifier().fit(np.eye(4), list("abab")).predict(np.eye(4)),
    "FewShotRegressor": lambda path: lambda: qs.FewShotRegressor().fit(np.eye(4), np.arange(4.0)).predict(np.eye(4)),
    "select.fit": lambda path: lambda _=select.fit(*rows()): select.fit(*rows()),  # scikit-learn's first import moves Python's
    "select.search": lambda path: lambda _=select.fit(*rows()): select.search(*rows(), trials=4),
    "select.meta_features": lambda path: lambda: select.meta_features(*rows(), ["simple", "landmarking", "pymfe.landmarking"]),
    "train": lambda path: lambda: main(TRAIN.split()),
    "resume": lambda path: lambda _=main(TRAIN.split()): main(["resume", "run", "--steps", "3", "--episodes", "4"]),
    "evaluate RUN": lambda path: lambda _=main(TRAIN.split()): main(["evaluate", "run", "--episodes", "4"]),
    "report": lambda path: (
        lambda _=main(TRAIN.split()): main(["report", "run", "--episodes", "4", "--controls", "joint_training"])
    ),
    "demo": lambda path: lambda: main(["demo", "--seconds", "0.1", "--episodes", "2", "--characters", "30"]),
    "doctor": lambda path: lambda: main(["doctor"]),
    "explain": lambda path: lambda: main(["explain", "maml"]),
    "list": lambda path: lambda: main(["list"]),
}
SLOW = {"demo"}
TRAIN = (
    "train maml --tasks sinusoid --train.steps 2 --train.tasks_per_step 2 --train.validation_episodes 2 --episodes 4 --out run "
    "--inner_lr 0.01"
)


def rows():
    generator = np.random.default_rng(0)
    return generator.normal(size=(60, 4)), np.arange(60) % 3


def saved_predictor(path):
    one = classes()
    qs.MAML(qs.models.mlp(6, 3), inner_lr=0.1).adapt(one.support).save(path / "predictor")
    return path / "predictor"


@pytest.fixture
def _types_unchecked(_global_state):
    """beartype looks at one entry of a list, which it draws by Python's `random`: under the tests only."""
    jaxtyping.config.update("jaxtyping_disable", True)  # `_global_state` puts it back


@pytest.mark.usefixtures("_types_unchecked")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.thorough) if name in SLOW else name for name in ENTRIES])
def test_no_entry_moves_the_callers_generators(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("quickstudy.cli.doctor.EXECUTORS", {"loop": Loop, "vmap": Vmap})  # a compilation takes seconds
    call = ENTRIES[name](tmp_path)
    before = states()
    call()
    assert states() == before


def test_the_control_of_it():
    """Control: a layer of torch's own draws its weights from the generator that all share."""
    before = states()
    nn.Linear(2, 2)
    assert states() != before


def test_the_weights_of_a_config_are_those_of_its_seed():
    """Whatever the caller's generator is at."""
    from quickstudy.artifacts.rebuilding import build
    from quickstudy.cli.config import parse

    config, _ = parse(["--tasks", "sinusoid", "--train.seed", "5"], "maml", None)
    one = build(config)[1].state_dict()
    torch.manual_seed(123)
    other = build(config)[1].state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    config["train"]["seed"] = 6
    assert not all(torch.equal(one[name], value) for name, value in build(config)[1].state_dict().items() if value.ndim > 1)


def test_a_block_begins_at_its_seed_and_gives_back_what_it_took():
    torch.manual_seed(3)
    want = torch.rand(4)
    before = states()
    with seeded(3):
        assert torch.equal(torch.rand(4), want)
        with seeded(3), pytest.raises(ZeroDivisionError), seeded(4):
            raise ZeroDivisionError
        torch.rand(1)
    with numpy_kept():
        np.random.seed(1)  # noqa: NPY002
    assert states() == before


def test_it_gives_back_an_accelerators_generator_too(monkeypatch):
    """A generator that stands for an accelerator's; `torch.random.fork_rng(devices=[])` leaves it where it was moved to."""
    accelerator = torch.Generator().manual_seed(11)
    monkeypatch.setattr(torch.cuda, "default_generators", (accelerator,))
    before = accelerator.get_state()
    with seeded(3):
        assert accelerator.initial_seed() == 3
        torch.rand(2, generator=accelerator)
    assert torch.equal(accelerator.get_state(), before)
    qs.NeuralProcess(2, 1, width=8)
    one = classes()
    testing.check_determinism(qs.Prototypical(nn.Linear(6, 4)), one)
    assert torch.equal(accelerator.get_state(), before)


def dotted(node):
    """`a.b.c` of a chain of names; None of anything else (a generator of one's own: `torch.Generator().manual_seed`)."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return None if inner is None else f"{inner}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def seeds_in(text):
    """The names of `SEEDS` that a program calls, hands on, or imports by themselves."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            found |= {dotted(node)} & SEEDS
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{one.name}" for one in node.names} & SEEDS
    return found


def test_no_file_seeds_a_generator_that_all_share():
    found = {path.relative_to(SOURCE).as_posix(): seeds_in(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}
    assert {name: seeds for name, seeds in found.items() if seeds} == ALLOWED
    assert seeds_in("torch.manual_seed(0)\nfrom random import seed\nnp.random.seed(1)\ntorch.Generator().manual_seed(0)") == {
        "torch.manual_seed",
        "random.seed",
        "np.random.seed",
    }

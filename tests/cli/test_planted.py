"""A file never causes an import: planted class paths in every place of a config, beside a module that would tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quickstudy as qs

SPY = """
from pathlib import Path
Path(__file__).with_name("ran").write_text("imported")
class X: pass
def f(*a, **k): pass
"""
MAML, FOLDER = "learner: {name: maml, %s}\ntasks: {name: sinusoid}\ntrain: {steps: 1}\n", "learner: {name: prototypical}\n"
TRAIN = "learner: {name: maml}\ntasks: {name: sinusoid}\ntrain: {steps: 1, %s}\n"
TASKS = FOLDER + "tasks: {name: folder, path: x, %s}\ntrain: {steps: 1}\n"
NETWORK = "learner: {name: maml}\ntasks: {name: sinusoid}\nnetwork: {name: mlp, %s}\n"
NAMES = ("spy.X", "{class_path: spy.X}", "{class_path: spy.X, init_args: {}}", "spy.f")
PLACES = {
    **{f"learner: {key}": MAML.replace("%s", f"{key}: %s") for key in ("inner_lr", "adapts", "normalisation", "step_weights")},
    **{f"train: {key}": TRAIN.replace("%s", f"{key}: %s") for key in ("executor", "device", "select_by", "precision", "clip")},
    **{f"tasks: {key}": TASKS.replace("%s", f"{key}: %s") for key in ("augment", "transform", "split", "size", "kind", "ways")},
    **{f"tasks: a {key}": TASKS.replace("%s", f"{key}: [%s]") for key in ("augment", "transform")},
    "network: hidden": NETWORK.replace("%s", "hidden: %s"),
}


def run(folder: Path, config: str) -> subprocess.CompletedProcess:
    """In a process of its own, with the planted module importable."""
    (folder / "spy.py").write_text(SPY)
    (folder / "config.yaml").write_text(config)
    source = str(Path(__file__).resolve().parents[2] / "src")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(folder), source)), "OMP_NUM_THREADS": "1"}
    program = (
        "import sys\nfrom quickstudy.cli import main\n"
        "for name in sys.argv[1:]:\n    print(name, main(['train', '--config', name, '--out', 'out']), flush=True)\n"
    )
    files = sorted(path.name for path in folder.glob("*.yaml"))
    return subprocess.run(
        [sys.executable, "-c", program, *files], cwd=folder, env=environment, capture_output=True, text=True, timeout=250
    )


def test_no_planted_class_path_is_imported(tmp_path):
    """Every place with every way of naming, in one process: each is refused, and nothing was imported."""
    count = 0
    for place in PLACES.values():
        for name in NAMES:
            count += 1
            (tmp_path / f"{count}.yaml").write_text(place % name)
    done = run(tmp_path, "learner: {name: maml, inner_lr: {class_path: spy.X}}\ntasks: {name: sinusoid}\ntrain: {steps: 1}\n")
    codes = [line.split()[-1] for line in done.stdout.splitlines()]
    assert codes == ["2"] * (count + 1), done.stderr[-2000:]
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()
    assert "expected a class of quickstudy, such as" in done.stderr


def test_the_control_imports_it(tmp_path):
    """The module does tell when it is imported."""
    run(tmp_path, "")
    subprocess.run([sys.executable, "-c", "import spy"], cwd=tmp_path, check=True)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("rate", ["{class_path: quickstudy.learners.descend.LearnedRates, init_args: {initial: 0.1}}", "0.3"])
def test_quickstudys_own_classes_are_taken(tmp_path, rate, monkeypatch):
    from quickstudy.cli import main

    monkeypatch.chdir(tmp_path)
    train = "train: {steps: 1, tasks_per_step: 1, validation_episodes: 2, executor: loop}"
    (tmp_path / "c.yaml").write_text(f"learner: {{name: maml, inner_lr: {rate}}}\ntasks: {{name: sinusoid}}\n{train}\n")
    assert main(["train", "--config", "c.yaml", "--out", "out", "--episodes", "2", "--controls", "none"]) == 0
    learned = {name for name, _ in qs.load("out/learner").named_parameters() if name.startswith("rates")}
    assert bool(learned) == ("LearnedRates" in rate)
    assert main(["resume", "out", "--steps", "2", "--episodes", "2", "--controls", "none"]) == 0

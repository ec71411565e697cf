"""The command line driven as a process: results on stdout, progress on stderr, exit codes; the demo in a small size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SOURCE = Path(__file__).resolve().parents[2] / "src"


def quickstudy(*words, cwd):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "quickstudy.cli", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=250, check=False)


def test_train_then_evaluate(tmp_path):
    options = "--inner_lr 0.01 --train.steps 6 --train.tasks_per_step 4 --train.validation_episodes 5 --episodes 20 --out run"
    trained = quickstudy("train", "maml", "--tasks", "sinusoid", *options.split(), cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "mean squared error" in trained.stdout
    assert "meta-training MAML" in trained.stderr
    run = tmp_path / "run"
    assert yaml.safe_load((run / "config.yaml").read_text())["learner"] == {
        "name": "maml",
        "inner_lr": 0.01,
        "inner_steps": 1,
        "adapts": "*",
        "normalisation": "support",
        "clip": None,
        "step_weights": None,
    }
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 6
    scored = quickstudy("evaluate", "run", "--episodes", "20", "--json", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["mean"] == pytest.approx(json.loads((run / "evaluation.json").read_text())["mean"], rel=1e-5)


def test_real_omniglot(tmp_path, omniglot_root):
    options = (
        "--train.steps 2 --train.tasks_per_step 2 --train.validation_episodes 4 --network.channels 8 --episodes 10 --out run"
    )
    words = ("train", "maml", "--tasks", "omniglot", "--tasks.root", str(omniglot_root), *options.split())
    trained = quickstudy(*words, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "5-way 1-shot" in trained.stdout


def test_demo_in_a_small_size(tmp_path):
    shown = quickstudy("demo", "--seconds", "0.5", "--episodes", "4", "--characters", "30", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for row in (
        "nearest centroid on pixels",
        "from scratch",
        "pre-train + fine-tune",
        "Prototypical",
        "MAML, without its adaptation",
    ):
        assert row in shown.stdout
    assert "95 % intervals" in shown.stdout
    assert (tmp_path / "runs" / "demo" / "maml" / "config.json").is_file()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("train", "mamal"), "`LEARNER`: expected one of maml, fomaml"),
        (("train", "maml", "--tasks", "cifar"), "`--tasks`: expected one of omniglot, strokes, sinusoid"),
        (("train", "maml", "--tasks", "omniglot", "--tasks.root", "nowhere"), "nowhere"),
        (("evaluate", "nowhere"), "expected a run folder, with config.yaml and learner/, got no such folder"),
        (("dance",), "there is no command 'dance'"),
    ],
)
def test_what_cannot_work_exits_with_2(tmp_path, words, text):
    done = quickstudy(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_help(tmp_path):
    shown = quickstudy("train", "maml", "--tasks", "omniglot", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    for option in ("--inner_lr", "--normalisation {support,running,transductive,frozen}", "--tasks.root", "--train.executor"):
        assert option in shown.stdout

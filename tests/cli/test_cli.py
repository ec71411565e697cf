"""The command line: results on stdout, progress on stderr, exit codes; the demo in a small size.

It is driven as a process where the process matters, and through `main` elsewhere: a process takes seconds to import torch.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import quickstudy as qs
from quickstudy.cli import main
from quickstudy.cli.train import _is_over

SOURCE = Path(__file__).resolve().parents[2] / "src"


def quickstudy(*words, cwd):
    """The command in this process, with what a process would answer."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(words))
        except SystemExit as ended:  # --help
            code = ended.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def process(*words, cwd):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "quickstudy.cli", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=250, check=False)


def test_train_then_evaluate(tmp_path):
    options = "--inner_lr 0.01 --train.steps 6 --train.tasks_per_step 4 --train.validation_episodes 5 --episodes 20 --out run"
    trained = process("train", "maml", "--tasks", "sinusoid", *options.split(), cwd=tmp_path)
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
        "norms_per_step": False,
    }
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 6
    scored = process("evaluate", "run", "--episodes", "20", "--json", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["mean"] == pytest.approx(json.loads((run / "evaluation.json").read_text())["mean"], rel=1e-5)


def test_an_ensemble_of_the_best_checkpoints_is_scored_beside_the_best(tmp_path):
    options = "--train.steps 6 --train.tasks_per_step 4 --train.validate_every 2 --train.validation_episodes 5 --train.keep 2"
    words = ("train", "maml", "--tasks", "sinusoid", "--episodes", "20", "--out", "run", *options.split())
    trained = quickstudy(*words, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "\nMAML, ensemble of 2: mean squared error" in trained.stdout
    record = json.loads((tmp_path / "run" / "ensemble" / "evaluation.json").read_text())
    found = qs.evaluate(qs.load(tmp_path / "run" / "ensemble"), qs.tasks.Sinusoid().test, 20)
    assert record["per_episode"] == pytest.approx(found.per_episode, rel=1e-4)


def test_real_omniglot(tmp_path, omniglot_root):
    options = (
        "--train.steps 2 --train.tasks_per_step 2 --train.validation_episodes 4 --network.channels 8 --episodes 10 --out run"
    )
    words = ("train", "maml", "--tasks", "omniglot", "--tasks.root", str(omniglot_root), *options.split())
    trained = quickstudy(*words, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "5-way 1-shot" in trained.stdout
    within = quickstudy("evaluate", "run", "--episodes", "4", "--within", "alphabet", "--json", cwd=tmp_path)
    assert within.returncode == 0, within.stderr
    assert json.loads(within.stdout)["protocol"]["within"] == "alphabet"
    unknown = quickstudy("evaluate", "run", "--episodes", "4", "--within", "alfabet", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "expected one of the columns alphabet, drawer, got 'alfabet'. Did you mean 'alphabet'?" in unknown.stderr


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
    out = tmp_path / "runs" / "demo"
    assert (out / "maml" / "config.json").is_file()
    assert len(json.loads((out / "scores.json").read_text())) == 6
    assert shown.stdout.splitlines()[-1] == "report: runs/demo/report.html"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "MAML, without its adaptation" in page


def test_demo_saves_as_it_goes(tmp_path, monkeypatch):
    from quickstudy.cli.demo import Demo

    def stopped(self, learner, name, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(Demo, "train", stopped)
    shown = quickstudy("demo", "--seconds", "0.5", "--episodes", "2", "--characters", "30", "--out", "d", cwd=tmp_path)
    assert (shown.returncode, "Traceback" in shown.stderr) == (130, False)
    assert [row["name"][:4] for row in json.loads((tmp_path / "d" / "scores.json").read_text())] == ["near", "from"]


@pytest.mark.parametrize(
    ("terminal", "system", "variables", "opens"),
    [
        (True, "linux", {"DISPLAY": ":0"}, True),
        (True, "linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        (True, "linux", {}, False),
        (False, "linux", {"DISPLAY": ":0"}, False),
        (True, "darwin", {}, True),
        (True, "win32", {}, True),
        (True, "darwin", {"SSH_CONNECTION": "a"}, False),
    ],
)
def test_a_browser_opens_only_where_there_is_a_display(terminal, system, variables, opens, monkeypatch):
    from quickstudy.cli.terminal import has_display

    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert has_display() == opens


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("train", "mamal"), "`LEARNER`: expected one of prototypical, matching"),
        (
            ("train", "maml", "--tasks", "cifar"),
            "`--tasks`: expected one of spoken-words, omniglot, strokes, sinusoid, gaussian_process, folder, csv",
        ),
        (("train", "maml", "--tasks", "omniglot", "--tasks.root", "nowhere"), "nowhere"),
        (("evaluate", "nowhere"), "expected a run folder, with config.yaml and learner/, got no such folder"),
        (("dance",), "there is no command 'dance'"),
    ],
)
def test_what_cannot_work_exits_with_2(tmp_path, words, text):
    done = (process if words[0] == "dance" else quickstudy)(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_help(tmp_path):
    shown = quickstudy("train", "maml", "--tasks", "omniglot", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    for option in ("--inner_lr", "--normalisation {support,running,transductive,frozen}", "--tasks.root", "--train.executor"):
        assert option in shown.stdout


SMALL = "--train.steps 6 --train.tasks_per_step 4 --train.validation_episodes 5 --train.executor loop "
SMALL += "--episodes 20 --controls none"


def train_small(cwd, out, *more):
    words = ("train", "maml", "--tasks", "sinusoid", "--inner_lr", "0.01", *SMALL.split(), "--out", out, *more)
    done = quickstudy(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


def test_a_config_repeats_a_run_and_a_flag_beats_it(tmp_path):
    train_small(tmp_path, "a", "--train.executor", "loop", "--train.seed", "3")
    again = quickstudy("train", "--config", "a/config.yaml", "--out", "b", "--episodes", "20", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    other = quickstudy(
        "train", "--config", "a/config.yaml", "--out", "c", "--train.seed", "4", "--train.steps", "2", cwd=tmp_path
    )
    assert other.returncode == 0, other.stderr
    config = yaml.safe_load((tmp_path / "c" / "config.yaml").read_text())
    assert (config["train"]["seed"], config["train"]["steps"], config["learner"]["inner_lr"]) == (4, 2, 0.01)
    assert losses(tmp_path / "c") != losses(tmp_path / "a")[:2]


def test_list_compare_resume_and_the_answer_no(tmp_path):
    train_small(tmp_path, "runs/a")
    train_small(tmp_path, "runs/b", "--train.seed", "1")
    rows = [json.loads(line) for line in quickstudy("list", "--json", cwd=tmp_path).stdout.splitlines()]
    assert [(row["run"], row["steps"], row["state"]) for row in rows] == [("runs/a", 6, "finished"), ("runs/b", 6, "finished")]
    assert "finished" in quickstudy("list", cwd=tmp_path).stdout
    compared = json.loads(quickstudy("compare", "runs/a", "runs/b", "--episodes", "12", "--json", cwd=tmp_path).stdout)
    means = [row["mean"] for row in compared["runs"]]
    assert compared["differences"][0]["mean"] == pytest.approx(means[0] - means[1])
    longer = quickstudy("resume", "runs/a", "--steps", "8", "--episodes", "5", cwd=tmp_path)
    assert longer.returncode == 0, longer.stderr
    assert len(losses(tmp_path / "runs" / "a")) == 8
    no = quickstudy("evaluate", "runs/a", "--episodes", "5", "--at_least", "1e9", cwd=tmp_path)
    assert (no.returncode, "is below" in no.stderr) == (1, True)
    (tmp_path / "empty").mkdir()
    assert quickstudy("list", "empty", cwd=tmp_path).returncode == 1


def test_a_finished_run_is_not_gone_through_again(tmp_path, monkeypatch):
    train_small(tmp_path, "run")
    held = {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "run").rglob("*")) if path.is_file()}
    with monkeypatch.context() as patch:  # nothing of the data is read, and nothing is trained or scored
        for long in ("build", "build_outer", "check_controls", "reported"):
            patch.setattr(f"quickstudy.cli.train.{long}", None)
        for words in ([], ["--steps", "6"], ["--steps", "4"]):
            said = quickstudy("resume", "run", *words, cwd=tmp_path)
            assert said.returncode == 0, said.stderr
            assert said.stdout.startswith("run is finished: 6 meta-steps. Nothing was done.\n`quickstudy resume run --steps N` ")
    assert {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "run").rglob("*")) if path.is_file()} == held


def test_a_run_killed_after_its_training_is_scored_and_not_trained(tmp_path, monkeypatch):
    train_small(tmp_path, "run")
    (tmp_path / "run" / "evaluation.json").unlink()
    before = (tmp_path / "run" / "calibration.json").is_file(), losses(tmp_path / "run")
    monkeypatch.setattr("quickstudy.meta_train", None)
    done = quickstudy("resume", "run", "--episodes", "5", "--controls", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mean squared error" in done.stdout
    assert qs.Run.open(tmp_path / "run").evaluation["protocol"]["episodes"] == 5
    assert ((tmp_path / "run" / "calibration.json").is_file(), losses(tmp_path / "run")) == before


@pytest.mark.parametrize(
    ("ended", "train", "over"),
    [
        ({"steps": 6, "stopped": "steps"}, {"steps": 6}, True),
        ({"steps": 6, "stopped": "steps"}, {"steps": 7}, False),
        ({"steps": 0, "stopped": "steps"}, {"steps": 7}, True),  # nothing to train
        ({"steps": 6, "stopped": "patience"}, {"steps": 99}, True),
        ({"steps": 6, "stopped": "seconds", "seconds": 9.5}, {"steps": 99, "seconds": 9.0}, True),
        ({"steps": 6, "stopped": "seconds", "seconds": 9.5}, {"steps": 99, "seconds": 20.0}, False),
        ({"steps": 6, "stopped": "seconds", "seconds": 9.5}, {"steps": 99, "seconds": None}, False),
    ],
)
def test_whether_a_run_has_steps_left(ended, train, over):
    assert _is_over(ended, train) is over


def test_a_run_stopped_by_ctrl_c_says_how_to_go_on(tmp_path):
    import signal
    import time

    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "2"}
    words = "train maml --tasks sinusoid --inner_lr 0.01 --train.steps 100000 --train.tasks_per_step 2 --train.executor loop"
    command = [sys.executable, "-m", "quickstudy.cli", *words.split(), "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.stat().st_size > 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resume with `quickstudy resume run`" in err
    assert "Traceback" not in err
    row = json.loads(quickstudy("list", ".", "--json", cwd=tmp_path).stdout)
    assert row["state"] == f"resumable from step {row['steps']}"


def test_explain_every_learner():
    from quickstudy.cli.names import LEARNERS

    for name in LEARNERS:
        assert main(["explain", name]) == 0


def test_explain_shows_equation_source_number_and_defaults(capsys):

    assert main(["explain", "maml"]) == 0
    shown = capsys.readouterr().out
    for part in ("theta_{t+1} = theta_t - a d/dtheta L", "ICML 2017", "98.7 +- 0.4 %", "inner_lr        0.1"):
        assert part in shown


def test_doctor_checks_the_meta_gradient(capsys, monkeypatch):
    from quickstudy.cli import doctor

    monkeypatch.setattr(doctor, "EXECUTORS", {name: doctor.EXECUTORS[name] for name in ("loop", "threads", "vmap")})
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert shown.count(" right, ") == 3
    assert "torch         " in shown
    honest = doctor.self_check
    monkeypatch.setattr(doctor, "self_check", lambda executor: 0.01 if executor == "vmap" else honest(executor))
    assert main(["doctor"]) == 1
    assert "vmap      WRONG, 1e-02 apart" in capsys.readouterr().out


def test_completion_knows_commands_learners_and_options(tmp_path):
    script = quickstudy("completion", "bash", cwd=tmp_path).stdout
    program = script + '\nCOMP_WORDS=(quickstudy train maml --inner_l); COMP_CWORD=3; _quickstudy; echo "${COMPREPLY[@]}"'
    assert subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split() == ["--inner_lr"]
    program = script + '\nCOMP_WORDS=(quickstudy train protot); COMP_CWORD=2; _quickstudy; echo "${COMPREPLY[@]}"'
    assert subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split() == ["prototypical"]
    assert quickstudy("completion", "zsh", cwd=tmp_path).stdout.startswith("autoload")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("learner: {name: maml, inner_lrr: 0.1}\ntasks: {name: sinusoid}", "got the key 'inner_lrr'. Did you mean 'inner_lr'?"),
        ("learner: {name: maml}\ntasks: {name: sinusoid, shot: 3}", "got the key 'tasks.shot'. Did you mean 'tasks.shots'?"),
        ("learner: {name: maml, inner_lr: fast}\ntasks: {name: sinusoid}", "`--inner_lr`: expected a value of its type"),
        ("learners: {name: maml}", "expected known sections, got 'learners'. Did you mean 'learner'?"),
        ("learner: {name: maml, inner_lr: }\ntasks: {name: sinusoid}", "expected a value of `inner_lr`, got none. Write one, or"),
        ("learner: {name: maml}\ntasks: {name: sinusoid, shots: }", "expected a value of `tasks.shots`, got none"),
        ("learner: {name: maml}\ntasks: {name: omniglot, root: }", "expected a value of `tasks.root`, got none"),
        ("learner: {name: maml}\ntasks: {name: sinusoid}\ntrain: {seed: }", "expected a value of `train.seed`, got none"),
        ("learner: [maml", "expected a YAML file with the sections learner, tasks, network, train, got what does not parse"),
        ("maml", "expected a YAML file with the sections learner, tasks, network, train, got 'maml'"),
        ("tasks: {name: sinusoid}", "`LEARNER`: expected one of prototypical"),
        (None, "got no such file"),
    ],
)
def test_a_config_that_cannot_be_is_explained(tmp_path, capsys, config, text):

    path = tmp_path / "run.yaml"
    if config is not None:
        path.write_text(config, encoding="utf-8")
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "out")]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def write_images(root, images, names):
    """images (classes, each, 1, size, size), ink 1, as dark on white PNG files, one folder a class."""
    from PIL import Image

    for name, own in zip(names, images, strict=True):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(own):
            Image.fromarray((255 - image[0]).numpy()).resize((60, 60)).save(root / name / f"{number}.png")


def test_a_folder_of_ones_own_from_training_to_prediction(tmp_path, monkeypatch, capsys):
    import torch

    from quickstudy.domains.images.drawing import draw_characters

    drawn = draw_characters(20, 6, generator=torch.Generator().manual_seed(0))
    write_images(tmp_path / "mine", drawn, [f"letter{number:02d}" for number in range(20)])
    write_images(tmp_path / "support", drawn[:3, :2], ["one", "two", "three"])
    write_images(tmp_path / "query", drawn[:3, 2:4], ["one", "two", "three"])
    options = "--tasks.size 28 --tasks.channels 1 --tasks.invert true --tasks.ways 2 --tasks.queries 2 --network.channels 8"
    options += (
        " --train.steps 3 --train.tasks_per_step 2 --train.validation_episodes 4 --train.executor loop --episodes 5 --out run"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["train", "prototypical", "--tasks", "folder", "--tasks.path", "mine", *options.split()]) == 0
    capsys.readouterr()
    assert len(json.loads((tmp_path / "run" / "splits.json").read_text())["train"]) == 13
    assert json.loads((tmp_path / "run" / "calibration.json").read_text())["temperature"] > 0
    words = ["--support", "support", "--query", "query"]
    assert main(["predict", "run", *words, "--json", "--unknown"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == sorted(f"query/{name}/{k}.png" for name in ("one", "two", "three") for k in (0, 1))
    assert {row["class"] for row in rows} <= {"one", "two", "three", "unknown"}
    assert all(0 < row["probability"] <= 1 for row in rows)
    assert main(["predict", "run", *words]) == 0
    assert "query/one/0.png" in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "nearest centroid of the inputs" in page
    assert main(["report", "run", "--controls", "from_scratch", "--episodes", "4"]) == 0
    assert "report: run/report.html" in capsys.readouterr().out
    assert "from_scratch" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert main(["export", "run", "--support", "support", "--format", "onnx", "--out", "out/p.onnx"]) == 0
    beside = json.loads((tmp_path / "out" / "p.onnx.json").read_text())
    assert (beside["classes"], beside["input"]) == (["one", "three", "two"], ["examples", 1, 28, 28])
    assert "run again from the file" in capsys.readouterr().out
    for bad, text in (
        (["--support", "nowhere", "--query", "query"], "got no such folder"),
        (["--support", "support", "--query", "nowhere"], "got no such path"),
    ):
        assert main(["predict", "run", *bad]) == 2
        assert text in capsys.readouterr().err


def test_predict_knows_real_characters_without_any_training(tmp_path, omniglot_root):
    """The learner that comes along, meta-trained on drawn characters alone, on real ones as image files."""
    import torch

    import quickstudy as qs

    tasks = qs.tasks.Omniglot(omniglot_root, split="alphabet", rotations=False).test
    chosen = list(range(0, 100, 20))
    x, y = tasks.x, tasks.y
    images = torch.stack([x[y == label][:5] for label in chosen])
    names = [f"character{label}" for label in chosen]
    write_images(tmp_path / "support", images[:, :1], names)
    write_images(tmp_path / "query", images[:, 1:], names)
    done = quickstudy("predict", "--support", "support", "--query", "query", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    right = sum(Path(row["file"]).parent.name == row["class"] for row in rows)
    assert (len(rows), right >= 16) == (20, True)


def test_doctor_quick_checks_the_loop_and_compiles_nothing(capsys, monkeypatch):
    from quickstudy.cli import doctor

    honest = doctor.self_check
    monkeypatch.setattr(doctor, "self_check", lambda executor: honest(executor) if executor == "loop" else pytest.fail(executor))
    assert main(["doctor", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert shown.count(" right, ") == 1
    assert "vmap      can work here, not checked" in shown
    monkeypatch.setattr(doctor, "can_compile", lambda: False)
    monkeypatch.setattr(doctor, "self_check", lambda executor: 0.01)
    assert main(["doctor", "--quick"]) == 1
    shown = capsys.readouterr().out
    assert "compiled  cannot work here" in shown
    assert "loop      WRONG" in shown

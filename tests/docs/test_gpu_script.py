"""`make gpu` where there is no GPU: the whole script in small on a CPU, and each of its checks catching what it is there for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from benchmarks.gpu import gradients, life, report, wheels, workers
from tests.checks.learners import classes
from tests.checks.test_checks import Native

import quickstudy as qs

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
MADE = {"sections": ["gradients", "life"], "device": "cpu"}


# ---- the script --------------------------------------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.needs("make")
def test_the_whole_script_on_a_cpu(tmp_path):
    """What `make gpu DEVICE=cpu` in small finds, says and writes: one test, since it is one run of a minute."""
    command = ["make", "--silent", "gpu", f"PYTHON_GPU={sys.executable}", "DEVICE=cpu", "ARGS=--small"]
    command += [f"OUT={tmp_path}/out", f"WHEELS={tmp_path}/wheels"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stdout + done.stderr
    found, page = json.loads((tmp_path / "out" / "gpu.json").read_text()), (tmp_path / "out" / "gpu.md").read_text()
    every_gradient_is_the_cpus(found["gradients"])
    the_killed_run_ends_as_the_unbroken_one(found["life"])
    every_workload_is_timed_in_every_precision(found["speed"])
    assert {"hardware", "torch", "jax", "python", "date", "device", "small"} <= found["made"].keys()
    assert not {"broken", "cut short"} & found.keys()
    for module in found["speed"]["absent"]:
        assert done.stdout.count(f"{module} is not installed") == 1
    assert "0 checks failed" in done.stdout
    assert page == report.page(found)
    for title in ("On a GPU: a trial on cpu", "in float64", "A run's whole life", "Milliseconds of a whole meta-step"):
        assert title in page


def every_gradient_is_the_cpus(found):
    assert list(found["ways"]) == ["support from the CPU", "loop", "vmap", "compiled"]
    assert [own["compared"] for own in found["ways"].values()] == [4, 4, 4, 1]
    for own in found["ways"].values():
        assert own["largest gap"] <= found["tolerance"] <= 1e-6
        assert own["faults"] == own["refused"] == {}
        assert own["not reached"] == []


def the_killed_run_ends_as_the_unbroken_one(found):
    checks = {check["check"]: check for check in found["checks"]}
    assert checks["killed by SIGKILL after step 7 of 12"]["got"] == "status -9, 7 steps done"
    assert checks["resumed from a checkpoint, to the end"]["got"] == "steps 7 to 12"
    for what in ("weights", "losses", "score"):
        assert checks[f"{what} of the resumed run are the unbroken run's"]["gap"] == 0
    for what in ("the learner, loaded on a CPU, answers in float64", "the predictor, loaded on a CPU, answers"):
        assert checks[what]["gap"] <= checks[what]["goal"] <= 1e-3
    assert all(check["ok"] for check in checks.values())


def every_workload_is_timed_in_every_precision(found):
    assert {title: list(precisions) for title, precisions in found["races"].items()} == {
        "sinusoid, 4 tasks": ["float32", "tf32", "bf16"],
        "Conv4, 2 tasks": ["float32", "bf16"],
    }
    for precisions in found["races"].values():
        for row in precisions.values():
            assert all(row[name]["ms"] > 0 for name in ("quickstudy, vmap", "supervised pass"))
            assert not any("missed" in one for one in row.values()), row


@pytest.mark.needs("no GPU")
def test_it_needs_a_gpu_where_it_is_not_told_otherwise():
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--device cuda: expected a GPU that torch sees, got none. Try the script with --device cpu" in done.stderr


# ---- its checks --------------------------------------------------------------------------------------------------------


def test_a_wrong_gradient_is_a_fault_of_that_executor_alone():
    """The control: a learner whose own norm is wrong under vmap (test_torch_faults.py)."""
    torch.manual_seed(0)
    answers = gradients.compared(Native(), classes(), "cpu", ["support from the CPU", "loop", "vmap"])
    assert "fault" not in answers["support from the CPU"]
    assert "fault" not in answers["loop"]
    assert answers["vmap"]["gap"] > 1e-4
    summary = gradients.summary({"Native": answers}, [{"name": "Native", "ways": list(answers)}])
    found = {
        "made": MADE,
        "gradients": summary,
        "life": {"checks": [{"life": "a", "check": "b", "gap": 0.0, "goal": 0.0, "ok": True}]},
    }
    (line,) = report.failures(found)
    assert line.startswith("vmap: Native: differs from the CPU by ")


def test_what_an_executor_refuses_is_no_fault_and_what_it_raises_is_one():
    class Raises(Native):
        def predict(self, state, x):
            raise RuntimeError("a kernel\n  of no device")

    torch.manual_seed(0)
    unserved = qs.MAML(torch.nn.Linear(6, 3), hypergradient=qs.Unrolled(recompute=True))
    assert gradients.compared(unserved, classes(), "cpu", ["compiled"])["compiled"].keys() == {"refused"}
    assert gradients.compared(Raises(), classes(), "cpu", ["loop"])["loop"] == {"fault": "RuntimeError: a kernel of no device"}


@pytest.mark.parametrize("got", [torch.tensor([1.0, 2.0 + 1e-6]), torch.tensor([1.0, float("nan")]), torch.zeros(2)])
def test_a_gap_is_seen(got):
    want = torch.tensor([1.0, 2.0])
    wide = {"the loss": torch.ones(()), "w": want.double(), "small": 1e-5 * want.double()}
    assert "fault" not in gradients.judged(wide, wide)
    for name in ("w", "small"):
        other = {**wide, name: got.double() * (1 if name == "w" else 1e-2)}
        assert "fault" in gradients.judged(other, wide)
    assert "fault" in gradients.judged({"w": 0 * want}, {"w": 0 * want}), "nothing is compared"


def test_what_is_not_reached_is_said_and_one_of_each_learner_comes_before_variants():
    names = ["area: A, one", "area: A, two", "area: B", "area: B, three"]
    jobs = gradients.jobs(names, names)
    assert [job["name"] for job in jobs] == [*names, "area: A, one", "area: B", "area: A, two", "area: B, three"]
    assert [job["ways"] == ["compiled"] for job in jobs] == 4 * [False] + 4 * [True]
    answers = {way: {"gap": 0.0} for way in gradients.WAYS}
    summary = gradients.summary({"area: A, one": answers, "area: B": {way: {} for way in gradients.WAYS}}, jobs)
    assert (summary["learners"], summary["variants"]) == (2, 4)
    for own in summary["ways"].values():
        assert (own["compared"], own["learners"]) == (1, 1)
        assert own["not reached"] == ["area: A, two", "area: B, three"], "what is not meta-trained has no gradient to reach"


def test_a_resumed_run_that_ends_otherwise_is_told(tmp_path):
    for which, moved in (("unbroken", 0.0), ("twin", 1e-6), ("killed", 1e-3)):
        torch.manual_seed(0)
        learner = qs.Prototypical(qs.models.mlp(2, 2, hidden=(3,)))
        with torch.no_grad():
            next(learner.parameters()).add_(moved)
        learner.save(tmp_path / which / "learner")
        torch.save({"losses": torch.ones(3), "score": 0.5}, tmp_path / which / "answers.pt")
    assert [check["ok"] for check in life.equal(tmp_path, twins=True)] == [False, True, True]
    assert [check["ok"] for check in life.equal(tmp_path, twins=False)] == [False, True, True]
    (tmp_path / "killed").rename(tmp_path / "far")
    (tmp_path / "twin").rename(tmp_path / "killed")
    (tmp_path / "far").rename(tmp_path / "twin")  # a device on which two unbroken runs are further apart
    assert all(check["ok"] for check in life.equal(tmp_path, twins=True))
    assert not life.equal(tmp_path, twins=False)[0]["ok"]


ECHO = """
import sys
from benchmarks.gpu.workers import serve_jobs
def answer(job):
    print("a line that is no reply")
    if job["n"] == 1:
        sys.exit(3)
    return {"n": job["n"]}
serve_jobs(answer)
"""


def test_a_worker_that_dies_takes_one_job_with_it():
    jobs = [{"n": n} for n in range(4)]
    command = [sys.executable, "-c", ECHO]
    got = {
        job["n"]: reply for job, reply in workers.replies(jobs, command, 1, time.monotonic() + 60, lambda reply: reply["n"] == 2)
    }
    assert got == {0: {"n": 0}, 1: None, 2: {"n": 2}, 3: {"n": 3}}
    assert list(workers.replies(jobs, command, 2, time.monotonic() - 1, lambda reply: False)) == []


def test_a_goal_is_a_figure_and_a_missed_one_no_failure():
    row = {"quickstudy, vmap": {"ms": 2.0}, "higher, loop": {"ms": 50.0}, "jax, jit": {"ms": 1.0}, "supervised pass": {"ms": 1.0}}
    assert [(one["got"], one["reached"]) for one in report.goals(row)] == [(25.0, True), (2.0, False), (2.0, None)]
    assert report.goals({"higher, loop": {"ms": 1.0}, "quickstudy, vmap": {"missed": "OutOfMemoryError"}}) == []
    speed = {"races": {"Conv4, 32 tasks": {"float32": {**row, "jax, jit": {"ms": 1.0, "loss": 2.0}}}}}
    speed["races"]["Conv4, 32 tasks"]["float32"]["quickstudy, vmap"]["loss"] = 1.0
    page = "\n".join(report.speed(speed))
    assert "25.00 (goal: at least 20, reached)" in page
    assert "2.00 (goal: at most 1.3, missed)" in page
    assert "float32, jax, jit: not the same maths: its first loss is 2, ours 1" in page
    assert report.failures({"made": {"sections": ["speed"]}, "speed": speed}) == []
    assert report.failures({"made": MADE}) == ["life: it found nothing", "gradients: it found nothing"]
    assert report.failures({"made": {"sections": []}, "broken": {"speed jax": 1}}) == ["speed jax: the section ended with 1"]


# ---- what it needs, and what it left -------------------------------------------------------------------------------------


PACKAGES = """
import sys
import torch
before = set(sys.modules)
import benchmarks.gpu.__main__, benchmarks.gpu.gradients, benchmarks.gpu.life
import quickstudy as qs
qs.meta_train(qs.Prototypical(qs.models.mlp(2, 2)), qs.tasks.GaussianClasses(ways=2, dim=2), steps=1, tasks_per_step=1,
              validation_episodes=2, out=sys.argv[1], progress=False)
new = {name.partition(".")[0] for name in set(sys.modules) - before}
files = {name: getattr(sys.modules.get(name), "__file__", None) or "" for name in new}
print(*(name for name, file in files.items() if "site-packages" in file and not name.startswith("_")))
"""


def test_the_wheels_are_all_that_it_needs_beside_torch(tmp_path):
    """A package that the script comes to need is named in wheels.py, or the machine with the GPU misses it."""
    command = [sys.executable, "-c", PACKAGES, str(tmp_path)]
    asked = set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    named = {name.lower() for name in (*wheels.NEEDED, *wheels.TESTS, *wheels.PEERS)}
    there = {"torch", "triton", "numpy", "sympy", "mpmath", "py", "colorama"}  # of torch and pytest, some where they are there
    modules = {"pyyaml": "yaml"}
    assert asked <= {modules.get(name, name) for name in named} | there
    pins = (ROOT / "constraints.txt").read_text().lower()
    assert all(f"\n{name}==" in pins for name in named)


def test_the_committed_page_is_made_from_its_json():
    results = (BENCHMARKS / "RESULTS.md").read_text(encoding="utf-8")
    if (BENCHMARKS / "gpu.json").is_file():
        assert (BENCHMARKS / "gpu.md").read_text(encoding="utf-8") == report.page(
            json.loads((BENCHMARKS / "gpu.json").read_text())
        )
        assert "[gpu.md](gpu.md)" in results
    else:
        assert "no GPU was lent" in results

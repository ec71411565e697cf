"""A run's whole life: trained on the device, killed in the middle, resumed, saved there, loaded where there is no GPU.

For each life in LIVES, in processes of their own:

unbroken    STEPS meta-steps; its learner, a predictor and what they answer are saved
twin        the same again: how far two such runs are apart on this device (0 on a CPU, and wherever kernels repeat)
killed      SIGKILL once KILL_AFTER steps are done
resumed     the killed run, gone on with to its end

The resumed run must end with the weights, losses and score of the unbroken one, as closely as its twin does (times SPREAD). Then
this process, from which all GPUs are hidden, loads what was saved and asks it the same.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import quickstudy as qs
from benchmarks.gpu.section import Section, options, section

STEPS, TASKS, VALIDATE_EVERY, KILL_AFTER = 12, 4, 3, 7
SPREAD = 10.0
EXACT, ROUGH, SCORE = 1e-6, 1e-3, 0.02  # of an answer in float64, of one in float32, both of its largest entry; of an accuracy

Found = dict[str, Any]


@dataclass(frozen=True)
class Life:
    """What is trained."""

    learner: Callable[[int], qs.Learner]  # of the channels
    precision: str | None = None


LIVES = {
    "MAML": Life(
        lambda channels: qs.MAML(qs.models.conv4(5, channels), inner_lr=0.1, inner_steps=2, normalisation="transductive")
    ),
    "MAML, bf16": Life(lambda channels: qs.MAML(qs.models.conv4(5, channels), inner_lr=0.1, inner_steps=2), "bf16"),
    "Prototypical": Life(lambda channels: qs.Prototypical(qs.models.conv4(channels=channels))),
    "R2D2": Life(lambda channels: qs.R2D2(qs.models.conv4(channels=channels))),
}
SMALL = ("MAML",)


def tasks() -> qs.tasks.Strokes:
    """Drawn characters, the same in every process."""
    return qs.tasks.Strokes(ways=5, shots=1, queries=5, classes=(20, 6, 6))


# ---- a child: one run --------------------------------------------------------------------------------------------------


def train(name: str, folder: Path, device: str, small: bool, resume: bool, slowly: bool) -> None:
    """Run a life's training in `folder`, say each step, and save what it came to."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(0)
    life = LIVES[name]
    learner = life.learner(4 if small else 64)

    def told(record: dict[str, Any], step: int) -> None:
        print(f"step {step}", flush=True)
        if slowly and step >= KILL_AFTER:
            time.sleep(1.0)  # so that the kill finds it in the middle, however fast a step is

    run = qs.meta_train(
        learner,
        tasks(),
        steps=STEPS,
        tasks_per_step=TASKS,
        executor="vmap",
        device=device,
        precision=life.precision,
        validate_every=VALIDATE_EVERY,
        validation_episodes=TASKS,
        out=folder / "run",
        resume=resume,
        track=told,
        progress=False,
    )
    learner.save(folder / "learner")
    episode = asked()
    support = episode.support.map(lambda leaf: leaf.to(device))
    predictor = learner.adapt(support)
    answer = predictor(episode.query.x.to(device))
    predictor.save(folder / "predictor")
    score = qs.evaluate(learner, tasks().test.to(device), episodes=20).mean
    exact = in_float64(learner, device)
    torch.save({"predictor": answer.cpu(), "learner": exact, "losses": losses(run), "score": score}, folder / "answers.pt")


def asked() -> qs.Episode:
    """The task that is asked of every learner."""
    return tasks().test.sample(1, generator=torch.Generator().manual_seed(3))[0]


def in_float64(learner: qs.Learner, device: str) -> torch.Tensor:
    """The learner's answer to that task in float64."""
    episode = asked().map(lambda leaf: (leaf.double() if leaf.is_floating_point() else leaf).to(device))
    return learner.double().adapt(episode.support)(episode.query.x).cpu()


def losses(run: Any) -> torch.Tensor:
    """The loss of every meta-step."""
    return torch.tensor([record["loss"] for record in run.history], dtype=torch.float64)


# ---- the parent --------------------------------------------------------------------------------------------------------


def lived(name: str, own: Section, folder: Path, environment: dict[str, str]) -> list[Found]:
    """A whole life, and what was checked of it."""

    def begun(which: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.gpu.life", "--train", name, "--device", own.device, "--out", os.devnull]
        command += [*words, *(["--small"] if own.small else []), "--folder", str(folder / which)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    running = {"unbroken": begun("unbroken"), "killed": begun("killed", "--slowly")}
    if own.device != "cpu":
        running["twin"] = begun("twin")
    clock = threading.Timer(max(own.left(), 0.0), lambda: [process.kill() for process in list(running.values())])
    clock.daemon = True
    clock.start()
    killed = until_step(running["killed"], KILL_AFTER)
    os.kill(running["killed"].pid, signal.SIGKILL)
    status = running["killed"].wait()
    if own.left() <= 0:
        return [{"life": name, "check": "a life within its time", "got": f"{len(killed)} steps in it", "ok": False}]
    running["resumed"] = begun("killed", "--resume")
    resumed = until_step(running["resumed"], STEPS)
    for process in running.values():
        process.communicate()
    clock.cancel()
    checks = [
        {
            "check": f"killed by SIGKILL after step {KILL_AFTER} of {STEPS}",
            "got": f"status {status}, {len(killed)} steps done",
            "ok": status == -signal.SIGKILL and killed[-1:] == [KILL_AFTER],
        },
        {
            "check": "resumed from a checkpoint, to the end",
            "got": f"steps {resumed[0]} to {resumed[-1]}" if resumed else "it took no step",
            "ok": bool(resumed) and 1 < resumed[0] <= KILL_AFTER + 1 and resumed[-1] == STEPS,
        },
    ]
    ended = {which: running[which].returncode for which in running if which != "killed"}
    if any(ended.values()):
        checks.append({"check": "every run ended", "got": f"statuses {ended}", "ok": False})
    else:
        checks += equal(folder, "twin" in running) + loaded(folder / "killed")
    return [{"life": name, **check} for check in checks]


def until_step(process: subprocess.Popen[str], last: int) -> list[int]:
    """The steps that a child says, until it has said that one or ends."""
    assert process.stdout is not None
    steps: list[int] = []
    for line in process.stdout:
        if line.startswith("step "):
            steps.append(int(line.split()[1]))
            if steps[-1] >= last:
                break
    return steps


def equal(folder: Path, twins: bool) -> list[Found]:
    """The resumed run beside the unbroken one, and the unbroken one beside its twin."""
    checks = []
    for what in ("weights", "losses", "score"):
        unbroken = outcome(folder / "unbroken")[what]
        gap = apart(outcome(folder / "killed")[what], unbroken)
        spread = apart(outcome(folder / "twin")[what], unbroken) if twins else 0.0
        check = {"check": f"{what} of the resumed run are the unbroken run's", "gap": gap, "goal": SPREAD * spread}
        checks.append({**check, "ok": gap <= SPREAD * spread})
    return checks


def outcome(folder: Path) -> dict[str, torch.Tensor]:
    """What a run came to."""
    saved = torch.load(folder / "answers.pt", weights_only=True)
    return {"weights": weights(folder / "learner"), "losses": saved["losses"], "score": torch.tensor(saved["score"])}


def loaded(folder: Path) -> list[Found]:
    """What was saved on the device, here on a CPU, beside its answers there."""
    assert not torch.cuda.is_available(), "this process must see no GPU"
    saved = torch.load(folder / "answers.pt", weights_only=True)
    learner, query = qs.load(folder / "learner"), asked().query.x
    score = qs.evaluate(learner, tasks().test, episodes=20).mean
    answer = qs.load(folder / "predictor")(query)
    gaps = [
        (
            "the run's folder, loaded on a CPU, holds that learner",
            apart(weights(folder / "run"), weights(folder / "learner")),
            0.0,
        ),
        ("the learner, loaded on a CPU, answers in float64", apart_of(in_float64(learner, "cpu"), saved["learner"]), EXACT),
        ("the predictor, loaded on a CPU, answers", apart_of(answer, saved["predictor"]), ROUGH),
        ("its accuracy there and here", abs(score - saved["score"]), SCORE),
    ]
    return [{"check": check, "gap": gap, "goal": goal, "ok": gap <= goal} for check, gap, goal in gaps]


def weights(folder: Path) -> torch.Tensor:
    """The parameters and buffers of a saved learner, or of a run's best, read where there is no GPU."""
    return torch.cat([leaf.flatten().double() for leaf in qs.load(folder).state_dict().values()])


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference; infinite where they are of other shapes."""
    return float((a - b).abs().max()) if a.shape == b.shape else float("inf")


def apart_of(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, of the largest entry."""
    return apart(a, b) / max(float(b.abs().max()), 1e-12)


def run(own: Section) -> None:
    """Every life at once."""
    environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # of this process, whose torch has not looked yet; not of the children
    names = SMALL if own.small else tuple(LIVES)
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(len(names)) as pool:
        for checks in pool.map(lambda name: lived(name, own, Path(root) / name, environment), names):
            found += checks
            own.write({"checks": found})
    for check in found:
        if not check["ok"]:
            own.say(f"{check['life']}: {check['check']}: {check.get('got', check.get('gap'))}")


def main() -> None:
    """The section, or one of its children."""
    made = options((__doc__ or "").split("\n")[0])
    made.add_argument("--train", choices=LIVES, help="a child: run this life's training")
    made.add_argument("--folder", type=Path, help="where")
    made.add_argument("--resume", action=argparse.BooleanOptionalAction, default=False, help="go on with the run there")
    made.add_argument("--slowly", action=argparse.BooleanOptionalAction, default=False, help="wait after each late step")
    given = made.parse_args()
    if given.train:
        given.folder.mkdir(parents=True, exist_ok=True)
        train(given.train, given.folder, given.device, given.small, given.resume, given.slowly)
    else:
        run(section(given))


if __name__ == "__main__":
    main()

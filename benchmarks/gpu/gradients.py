"""Every learner on the device beside a CPU, in float64: its answer to a support from the CPU, and its meta-gradient.

    gap  =  max_p  |g_p - h_p| / max(|h_p|, LEAST |h|)         g there, by an executor;  h on the CPU, by the loop

with the largest entry as the norm, of one parameter p and of the whole gradient. The learners are those of the checks
(`tests.checks.every`). A gap above TOLERANCE or an error is a fault; an executor that says it does not serve a learner is not.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tests.checks.every import CASES
from tests.checks.executors import three_tasks
from torch import Tensor

import quickstudy as qs
from benchmarks.gpu.section import Section, options, section
from benchmarks.gpu.workers import Job, replies, serve_jobs
from quickstudy.errors import UnsupportedError

TOLERANCE, LEAST = 1e-7, 1e-3
SEED = 5  # of the dropout masks
SUPPORT, EXECUTORS = "support from the CPU", ("loop", "vmap", "compiled")
WAYS = (SUPPORT, *EXECUTORS)
SMALL = ("learners: Prototypical", "learners: MAML", "learners: iMAML", "learners_remember: NeuralProcess")
COMPILED_SMALL = ("learners: Prototypical",)  # a compilation takes a CPU half a minute

Answer = dict[str, Any]  # a "gap", and with it or alone a "fault"; or that it is "refused"; or nothing, where there is none


def compared(learner: qs.Learner, episode: qs.Episode, device: str, ways: Iterable[str]) -> dict[str, Answer]:
    """An answer for each of `ways`: SUPPORT, or an executor's name."""
    learner, batch = learner.double(), three_tasks(episode)
    there = copy.deepcopy(learner).to(device)
    made: dict[str, Answer] = {}
    for way in ways:
        try:
            if way == SUPPORT:
                made[way] = judged({"answer": answered(there, batch[0])}, {"answer": answered(learner, batch[0])})
            elif not learner.meta_learns or not any(parameter.requires_grad for parameter in learner.parameters()):
                made[way] = {}  # nothing of it is meta-trained
            else:
                made[way] = judged(gradient(there, on(batch, device), way), gradient(learner, batch, "loop"))
        except UnsupportedError as error:
            made[way] = {"refused": line(error)}
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what this script looks for)
            made[way] = {"fault": f"{type(error).__name__}: {line(error)}"}
    return made


def answered(learner: qs.Learner, episode: qs.Episode) -> Tensor:
    """Adapted to the support and asked the query, both as they are, wherever the learner lies."""
    return learner.adapt(episode.support)(episode.query.x)


def gradient(learner: qs.Learner, batch: qs.Episode, executor: str) -> dict[str, Tensor]:
    """Its mean loss and meta-gradient by name."""
    loss, found = qs.meta_gradient(learner, batch, executor=executor, seed=SEED)
    return {"the loss": loss, **found}


def judged(got: dict[str, Tensor], want: dict[str, Tensor]) -> Answer:
    """The gap, and the fault that it is."""
    if got.keys() != want.keys():
        return {"fault": f"gradients of other parameters: {sorted(got.keys() ^ want.keys())[:3]}"}
    largest = {name: size(one) for name, one in want.items()}
    whole = max((value for name, value in largest.items() if name != "the loss"), default=0.0)
    if not whole > 0:
        return {"fault": "nothing to compare: all of it is 0 on the CPU"}
    gaps = {name: size(got[name].cpu() - one) / max(largest[name], LEAST * whole) for name, one in want.items()}
    name = max(gaps, key=lambda name: float("inf") if gaps[name] != gaps[name] else gaps[name])
    within = gaps[name] <= TOLERANCE  # NaN is not
    return {"gap": gaps[name]} if within else {"gap": gaps[name], "fault": f"differs from the CPU by {gaps[name]:.1e} in {name}"}


def size(tensor: Tensor) -> float:
    """Its largest entry."""
    return float(tensor.detach().abs().max()) if tensor.numel() else 0.0


def on(batch: qs.Episode, device: str) -> qs.Episode:
    """The batch there."""
    return batch.map(lambda leaf: leaf.to(device))


def line(error: Exception) -> str:
    """What it says, in one line."""
    return " ".join(str(error).split())[:240]


def jobs(names: Sequence[str], compiled: Sequence[str]) -> list[Job]:
    """What takes no compilation first; then one of each learner; last their further variants."""
    cheap = [{"name": name, "ways": [SUPPORT, "loop", "vmap"]} for name in names]
    first = list({kind(name): name for name in reversed(compiled)}.values())[::-1]
    return cheap + [{"name": name, "ways": ["compiled"]} for name in (*first, *(name for name in compiled if name not in first))]


def kind(name: str) -> str:
    """The learner of a case: "area: MAML, running" is a variant of "area: MAML"."""
    return name.partition(",")[0]


def summary(found: dict[str, dict[str, Answer]], asked: list[Job]) -> dict[str, Any]:
    """The findings, from each learner's answers."""
    ways: dict[str, Any] = {}
    without = {name for name, answers in found.items() if answers.get("loop") == {}}  # nothing of them is meta-trained
    for way in WAYS:
        wanted = [job["name"] for job in asked if way in job["ways"]]
        own = {name: answers[way] for name, answers in found.items() if way in answers}
        gaps = {name: one["gap"] for name, one in own.items() if "fault" not in one and "gap" in one}
        worst = max(gaps, key=gaps.__getitem__, default=None)
        ways[way] = {
            "compared": len(gaps),
            "learners": len({kind(name) for name in gaps}),
            "largest gap": None if worst is None else gaps[worst],
            "of": worst,
            "faults": {name: one["fault"] for name, one in own.items() if "fault" in one},
            "refused": {name: one["refused"] for name, one in own.items() if "refused" in one},
            "not reached": [name for name in wanted if name not in own and name not in without],
        }
    named = {job["name"] for job in asked}
    return {"variants": len(named), "learners": len({kind(name) for name in named}), "tolerance": TOLERANCE, "ways": ways}


def run(own: Section) -> None:
    """All jobs, in as many processes as there are cores for."""
    asked = jobs(SMALL, COMPILED_SMALL) if own.small else jobs(list(CASES), list(CASES))
    workers = 1 if own.small else max((os.cpu_count() or 4) - 2, 1)
    command = [sys.executable, "-m", "benchmarks.gpu.gradients", "--worker", "--device", own.device, "--out", os.devnull]
    found: dict[str, dict[str, Answer]] = {}
    for job, reply in replies(asked, command, workers, own.until, poisoned):
        answers = {way: {"fault": "the process died"} for way in job["ways"]} if reply is None else reply
        found.setdefault(job["name"], {}).update(answers)
        for way, answer in answers.items():
            if "fault" in answer:
                own.say(f"{way}: {job['name']}: {answer['fault']}")
        own.write(summary(found, asked))


def poisoned(answers: dict[str, Answer]) -> bool:
    """Whether the GPU itself failed: its process would answer so for every learner that follows."""
    return any("CUDA error" in one.get("fault", "") for one in answers.values())


def work(device: str) -> None:
    """A worker's life."""
    torch.set_num_threads(1)

    def answer(job: Job) -> dict[str, Answer]:
        made = compared(*CASES[job["name"]](), device, job["ways"])
        torch.compiler.reset()  # each learner is a new graph of the same code, of which dynamo compiles so many and no more
        return made

    serve_jobs(answer)


if __name__ == "__main__":
    made = options((__doc__ or "").split("\n")[0])
    made.add_argument("--worker", action="store_true", help="answer jobs on standard input")
    given = made.parse_args()
    if given.worker:
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # there are as many workers as cores
        work(given.device)
    else:
        run(section(given))

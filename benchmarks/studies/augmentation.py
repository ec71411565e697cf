"""An augmentation policy learned on meta-validation loss, beside none and beside the same policy before it was learned.

    python -m benchmarks.studies.augmentation                     what the JSON beside this does not hold yet
    python -m benchmarks.studies.augmentation --seeds 2 --force
    python -m benchmarks.studies.augmentation --budget 0.1        a tenth of the outer steps
    python -m benchmarks.studies.augmentation --table             the table from the JSON

MNIST averaged to 14 x 14: 10 training images of each class, 20 of each for meta-validation, the 10,000 test images read once, at
the end. The student is a network 196-64-10, trained by STEPS steps of heavy-ball descent on batches of 50.

none       no augmentation
initial    AugmentationPolicy() as it is built: eight operations, equally often, p = 0.5, s = 0.2
learned    the same after OUTER steps of Adam on the meta-validation loss, backpropagated through windows of WINDOW steps
           of a student, four of them one after another

Windows and rate were chosen on the meta-validation loss of seed 100, of four settings: windows of 20 steps at 0.05 gave 0.78, of
10 at 0.03 0.87, of 4 at 0.03 1.06, where no augmentation has 0.96 and the initial policy 0.93. A short window sees what an
augmentation costs now and not what it is good for. Seed 0 was read under windows of 4 steps, so the seeds here begin at 1.

Then each once more with the meta-validation images among the training images, since learning a policy needs images that plain
training could have learned from. In a seed all six begin from the same weights and see the same batches. Intervals are 95 % over
seeds (training and meta-validation images, weights, batches), by Student's t, of paired differences.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.mnist import mnist_files
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.learners.bilevel import AugmentationPolicy
from quickstudy.learners.descend import Momentum
from quickstudy.tasks.distribution.streams import StreamTasks

RESULTS = Path(__file__).resolve().parent / "augmentation.json"
SHOTS, HELD, BATCH, STEPS, OUTER, WINDOW, RATE = 10, 20, 50, 600, 120, 20, 0.05
METHODS = ("none", "initial", "learned")
PAIRS = (("learned", "none"), ("learned", "initial"), ("initial", "none"))


def images(part: str) -> qs.Examples:
    x, y = mnist_files(part)
    return qs.Examples(F.avg_pool2d(x, 2), y, 10)


def data(seed: int) -> tuple[qs.Examples, qs.Examples]:
    """The training images of a seed, and its meta-validation images; never a test image."""
    pool = images("train")
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    rows = [order[pool.y[order] == k][: SHOTS + HELD] for k in range(10)]
    pick = lambda which: pool.map(lambda leaf: leaf[torch.cat([row[which] for row in rows])])  # noqa: E731
    return pick(slice(SHOTS)), pick(slice(SHOTS, None))


def learner(policy: AugmentationPolicy | None, steps: int = STEPS) -> qs.LearnedTraining:
    network = nn.Sequential(nn.Flatten(), nn.Linear(196, 64), nn.ReLU(), nn.Linear(64, 10))
    return qs.LearnedTraining(network, steps=steps, rule=Momentum(0.9), inner_lr=0.05, augmentation=policy, batch_size=BATCH)


def learned(train: qs.Examples, held: qs.Examples, seed: int, outer_steps: int) -> AugmentationPolicy:
    """The policy, learned beside one student."""
    run = learner(AugmentationPolicy())
    stream = StreamTasks(train, held, batch=BATCH, outer_batch=len(held), window=WINDOW, variant=None)
    outer = qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=RATE))
    qs.meta_train(run, stream, steps=outer_steps, tasks_per_step=1, outer=outer, seed=seed, executor="loop", progress=False)
    assert run.augmentation is not None
    return run.augmentation


def scores(policy: AugmentationPolicy | None, train: qs.Examples, held: qs.Examples, test: qs.Examples, seed: int) -> Result:
    """A student of this seed, trained under a policy."""
    run = learner(policy)
    with torch.no_grad():
        state = run.init(train, seed)
        for step in range(STEPS):
            state = run.step(state, run.minibatch(train, seed, step))
        return {
            "meta-validation": float(run.objective(state, held)),
            "test": float(run.objective(state, test)),
            "accuracy": 100 * float((run.predict(state, test.x).argmax(1) == test.y).float().mean()),
        }


def entry(seed: int, outer_steps: int, test: qs.Examples) -> Result:
    """One seed: the policy, and six students."""
    began, busy = time.perf_counter(), time.process_time()
    train, held = data(seed)
    both = qs.Examples(torch.cat([train.x, held.x]), torch.cat([train.y, held.y]), 10)
    policies = {
        "none": None,
        "initial": AugmentationPolicy(),
        "learned": learned(train, held, seed, outer_steps),
    }
    row: Result = {"outer_steps": outer_steps, "learning, seconds": time.perf_counter() - began}
    for name, policy in policies.items():
        row[name] = scores(policy, train, held, test, seed)
        row[f"{name}, both"] = scores(policy, both, held, test, seed)
        del row[f"{name}, both"]["meta-validation"]  # it was trained on
    assert policies["learned"] is not None
    row["policy"] = policies["learned"].shares()[0]
    row["seconds"], row["cpu"] = time.perf_counter() - began, time.process_time() - busy
    print(f"seed {seed}:", {name: round(own["accuracy"], 2) for name, own in row.items() if name.startswith(METHODS)}, flush=True)
    return row


def summary(seeds: dict[str, Result]) -> Result:
    """Means of every student, paired differences, and the policy's means."""
    found: Result = {"seeds": len(seeds), **{key: sum(row[key] for row in seeds.values()) for key in ("seconds", "cpu")}}
    for data in ("", ", both"):
        for name in METHODS:
            own = {key: [row[name + data][key] for row in seeds.values()] for key in next(iter(seeds.values()))[name + data]}
            found[name + data] = {key: interval(values) for key, values in own.items()}
        for a, b in PAIRS:
            found[f"{a} less {b}{data}"] = {
                key: interval([row[a + data][key] - row[b + data][key] for row in seeds.values()]) for key in ("test", "accuracy")
            }
    first = next(iter(seeds.values()))["policy"]
    found["policy"] = {
        name: [interval([row["policy"][name][i] for row in seeds.values()])[0] for i in range(3)] for name in first
    }
    return found


def page() -> str:
    """The tables, from the JSON."""
    found = read(RESULTS)
    whole = found.get("summary", {})
    rows = [
        "Augmentation of MNIST at 14 x 14 (`python -m benchmarks.studies.augmentation`), 10 training images of a class, then"
        " with the 20 of meta-validation among them; test on 10,000 images, differences paired over seeds.",
        "",
        "| augmentation | accuracy, % | test loss | accuracy with meta-validation images, % | test loss |",
        "|---|---|---|---|---|",
    ]
    for name in (*METHODS, *(f"{a} less {b}" for a, b in PAIRS)):
        if name not in whole:
            rows.append(f"| {name} | not run | | | |")
            continue
        cells = [
            cell(whole[name + data][key], form) for data in ("", ", both") for key, form in (("accuracy", ".2f"), ("test", ".3f"))
        ]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    if whole:
        rows += ["", "| operation | which | how often | how strong |", "|---|---|---|---|"]
        rows += [f"| {name} | " + " | ".join(f"{part:.2f}" for part in own) + " |" for name, own in whole["policy"].items()]
        rows += [
            "",
            f"The learned policy, means over {whole['seeds']} seeds; it began as 0.12, 0.50, 0.20. {whole['seconds']:.0f} s in"
            f" all, {whole['cpu']:.0f} s of one core; {found['hardware']}, one thread, torch {found['torch']}.",
        ]
    return "\n".join(rows) + "\n"


def main() -> None:
    """The command; a seed that stands in the JSON with as many outer steps is not run again."""
    options = command(__doc__).parse_args()
    torch.set_num_threads(1)
    outer_steps = max(int(OUTER * options.budget), 1)
    if options.table:
        print(page())
        return
    test = images("t10k")
    for seed in range(1, 1 + options.seeds):
        found = read(RESULTS)
        own = found.setdefault("entries", {})
        if own.get(str(seed), {}).get("outer_steps") == outer_steps and not options.force:
            continue
        own[str(seed)] = entry(seed, outer_steps, test)
        found |= {"hardware": hardware(), "torch": torch.__version__, "summary": summary(own)}
        write(RESULTS, found)
    print(page())


if __name__ == "__main__":
    main()

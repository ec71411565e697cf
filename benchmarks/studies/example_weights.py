"""Learned example weights on MNIST with wrong labels and rare classes, beside plain training that sees the clean examples too.

    python -m benchmarks.studies.example_weights                         what the JSON beside this does not hold yet
    python -m benchmarks.studies.example_weights uniform --seeds 1       one kind of trouble: uniform, flip, imbalance
    python -m benchmarks.studies.example_weights --budget 0.1            a tenth of the steps

uniform     40 % of the labels drawn anew, uniformly
flip        40 % of the labels of each class turned into those of one other
imbalance   classes from 1 to 1/100 of the largest, exponentially

10,000 training examples, 1,000 clean and balanced ones beside them (the meta set; plain training has them among its examples), a
multilayer perceptron 784-256-10, SGD of one rate, chosen for each method on 2,000 other clean examples at seed 0. Scores are on
MNIST's 10,000 test images; intervals are 95 % over seeds, by Student's t, of the paired differences.
"""

from __future__ import annotations

import os
import platform
import time
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import quickstudy as qs
from benchmarks.studies.mnist import mnist_files
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.episode import Examples
from quickstudy.learners.bilevel.example_weights import LearningToReweight, MetaWeightNet
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.meta.estimators.lookahead import Lookahead
from quickstudy.meta.loop.state import MetaTraining
from quickstudy.tasks.distribution.streams import Streams

mpl.use("Agg")
HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
RESULTS, PICTURES = HERE / "example_weights.json", ROOT / "docs" / "pictures"
KINDS = ("uniform", "flip", "imbalance")
TRAIN, CLEAN, HELD_OUT, BATCH, STEPS, RATES = 10_000, 1_000, 2_000, 100, 4_000, (0.05, 0.2)


def student() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def data(kind: str, seed: int) -> tuple[Examples, Tensor, Examples, Examples, Examples]:
    """(training examples, which of them are wrong, the clean ones, held out, test)"""
    generator = torch.Generator().manual_seed(seed)
    x, y = mnist_files("train")
    x = x.flatten(1) - 0.13
    order = torch.randperm(len(x), generator=generator)
    each = torch.cat([order[y[order] == k][: CLEAN // 10] for k in range(10)])
    rest = order[~torch.isin(order, each)]
    held, pool = rest[:HELD_OUT], rest[HELD_OUT:]
    if kind == "imbalance":
        largest = TRAIN / sum(100 ** (-k / 9) for k in range(10))
        counts = [int(largest * 100 ** (-k / 9)) for k in range(10)]
        pool = torch.cat([pool[y[pool] == k][: counts[k]] for k in range(10)])
    else:
        pool = pool[:TRAIN]
    labels = y[pool].clone()
    chosen = torch.rand(len(pool), generator=generator) < 0.4
    if kind == "uniform":
        labels = torch.where(chosen, torch.randint(10, labels.shape, generator=generator), labels)
    elif kind == "flip":
        other = (torch.arange(10) + 1 + torch.randint(9, (10,), generator=generator)) % 10
        labels = torch.where(chosen, other[labels], labels)
    test, truth = mnist_files("t10k")
    parts = (Examples(x[rows], y[rows], 10) for rows in (each, held))
    return Examples(x[pool], labels, 10), labels != y[pool], *parts, Examples(test.flatten(1) - 0.13, truth, 10)


def accuracy(run: LearnedTraining, state: Any, examples: Examples) -> float:
    with torch.no_grad():
        return 100 * float((run.predict(state, examples.x).argmax(1) == examples.y).float().mean())


def batch(examples: Examples, n: int, generator: torch.Generator) -> Examples:
    rows = torch.randint(len(examples), (n,), generator=generator)
    return Examples(examples.x[rows], examples.y[rows], 10)


def joined(a: Examples, b: Examples) -> Examples:
    return Examples(torch.cat([a.x, b.x]), torch.cat([a.y, b.y]), 10)


# ---- methods: (training examples, clean ones, rate, steps, seed) -> (run, its last state) ---------------------------------


def plain(train: Examples, clean: Examples, rate: float, steps: int, seed: int) -> tuple[LearnedTraining, Any]:
    """Every example alike, the clean ones among them."""
    run, both, generator = LearnedTraining(student(), inner_lr=rate), joined(train, clean), torch.Generator().manual_seed(seed)
    return run, trained(run, steps, seed, lambda: batch(both, BATCH, generator))


def reweight(train: Examples, clean: Examples, rate: float, steps: int, seed: int) -> tuple[LearnedTraining, Any]:
    """Ren et al.: by the gradients of clean examples, anew in each step."""
    run, generator = LearningToReweight(student(), trusted=BATCH, inner_lr=rate), torch.Generator().manual_seed(seed)
    return run, trained(run, steps, seed, lambda: joined(batch(train, BATCH, generator), batch(clean, BATCH, generator)))


def meta_weight_net(train: Examples, clean: Examples, rate: float, steps: int, seed: int) -> tuple[LearnedTraining, Any]:
    """Shu et al.: a network of the loss, learned beside the student."""
    torch.manual_seed(seed)
    run = LearnedTraining(student(), steps=steps, inner_lr=rate, weights=MetaWeightNet(100, normalised=True))
    stream = Streams(
        train.x, train.y, batch=BATCH, window=1, outer=clean, outer_batch=BATCH, validation=0.001, test=0.001, seed=seed
    )
    outer = qs.Gradient(Lookahead(), partial(torch.optim.Adam, lr=1e-3, weight_decay=1e-4))  # as the paper's code has it
    training = MetaTraining(run, stream.train, outer, None, None, 1, None, None, seed)
    training.take_executor("loop", steps, None)
    for step in range(1, steps + 1):
        training.step(step)
    assert training.runs is not None
    assert training.runs.structure is not None
    carry = pytree.tree_unflatten([leaf[0] for leaf in training.runs.leaves], training.runs.structure)
    return run, carry["state"]


METHODS = {"plain": plain, "Meta-Weight-Net": meta_weight_net, "learning to reweight": reweight}


def trained(run: LearnedTraining, steps: int, seed: int, draw: Any) -> Any:
    with torch.no_grad():
        state = run.init(None, seed)
        for _ in range(steps):
            state = run.step(state, draw())
    return state


# ---- entries -------------------------------------------------------------------------------------------------------------


def entry(kind: str, seed: int, steps: int, results: Result) -> Result:
    """One seed of one kind: the accuracies of every method, and the picture of the weights."""
    train, wrong, clean, held, test = data(kind, seed)
    row: Result = {"steps": steps, "examples": len(train), "wrong": float(wrong.float().mean())}
    rates = results.get(kind, {}).get("0", {}).get("rates", {})
    row["rates"], row["held_out"] = {}, {}
    for name, method in METHODS.items():
        began = time.perf_counter()
        tried = {}
        for rate in (rates[name],) if name in rates else RATES:
            run, state = method(train, clean, rate, steps, seed)
            tried[rate] = accuracy(run, state, held), run, state
        rate = max(tried, key=lambda rate: tried[rate][0])
        _, run, state = tried[rate]
        row["rates"][name], row["held_out"][name] = rate, {str(rate): value[0] for rate, value in tried.items()}
        row[name] = accuracy(run, state, test)
        row[f"{name}, seconds"] = time.perf_counter() - began
        print(f"  {kind} seed {seed}: {name:<21} {row[name]:.2f} % (rate {rate}, {row[f'{name}, seconds']:.0f} s)", flush=True)
        if name == "Meta-Weight-Net":
            row["weights"] = weights(kind, seed, run, state, train, wrong)
    return row


def weights(kind: str, seed: int, run: LearnedTraining, state: Any, train: Examples, wrong: Tensor) -> Result:
    """Mean weights of clean and wrong examples (of large and small classes, where none is wrong), and the picture."""
    import matplotlib.pyplot as plt

    with torch.no_grad():
        losses = F.cross_entropy(run.predict(state, train.x), train.y, reduction="none")
        v = run.weigh.value(losses)
    groups = (
        {"clean": ~wrong, "wrong": wrong} if kind != "imbalance" else {"classes 0-4": train.y < 5, "classes 5-9": train.y > 4}
    )
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for (name, which), colour in zip(groups.items(), ("#2066a8", "#c44a2e"), strict=True):
        left.hist(v[which].numpy(), bins=40, range=(0, 1), alpha=0.6, label=name, color=colour, density=True)
    left.set(xlabel="learned weight V(l)", ylabel="density")
    left.legend(frameon=False)
    line = torch.linspace(0, float(losses.quantile(0.99)), 200)
    right.plot(line, run.weigh.value(line).detach(), color="black")
    right.set(xlabel="loss l of an example", ylabel="V(l)", ylim=(0, 1))
    figure.suptitle(f"Meta-Weight-Net on MNIST, {kind}, seed {seed}")
    if seed == 0:
        figure.savefig(PICTURES / f"example_weights_{kind}.png", dpi=120)
    plt.close(figure)
    return {name: float(v[which].mean()) for name, which in groups.items()}


def summary(rows: dict[str, Result]) -> Result:
    """Means over seeds, and the paired margin of each method over plain training with its interval."""
    kept = {seed: row for seed, row in rows.items() if seed != "summary"}
    found: Result = {"seeds": len(kept)}
    for name in METHODS:
        found[name] = sum(row[name] for row in kept.values()) / len(kept)
        if name != "plain":
            found[f"{name} over plain"] = interval([row[name] - row["plain"] for row in kept.values()])
    return found


def page() -> str:
    """Scores, paired margins and learned weights, a row for each kind of trouble."""
    results = read(RESULTS)
    lines = [
        "| training labels | seeds | plain % | Meta-Weight-Net % | margin | learning to reweight % | margin | weights |",
        "|---" * 8 + "|",
    ]
    for kind in KINDS:
        if "summary" not in results.get(kind, {}):
            lines.append(f"| {kind} | not run |" + " |" * 6)
            continue
        s, first = results[kind]["summary"], results[kind]["0"]
        gaps = [s[f"{name} over plain"] for name in METHODS if name != "plain"]
        margins = [cell(gap, sign="+") for gap in gaps]
        weights = ", ".join(f"{name} {value:.2f}" for name, value in first["weights"].items())
        net, other = s["Meta-Weight-Net"], s["learning to reweight"]
        cells = [kind, s["seeds"], f"{s['plain']:.2f}", f"{net:.2f}", margins[0], f"{other:.2f}", margins[1], weights]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        "Under imbalance Meta-Weight-Net loses. Tried at seed 0, where plain training has 91.9 % (92.5 % after 4,000 steps):",
        "the clean examples among its own too, 91.3; a net that sees the class as well, `MetaWeightNet(classes=10)`, 91.3",
        "(91.5 after 4,000); the same at an outer rate of 0.01, 90.1. Plain training fits every example by then, and 100",
        "clean ones of each rare class are most of what there is to know of it.",
    ]
    drawn = [kind for kind in KINDS if (PICTURES / f"example_weights_{kind}.png").is_file()]
    lines += ["", *(f"![learned weights, {kind}](pictures/example_weights_{kind}.png)" for kind in drawn)]
    if "machine" in results:
        m = results["machine"]
        steps = sorted({row["steps"] for kind in KINDS for key, row in results.get(kind, {}).items() if key != "summary"})
        lines += [
            "",
            f"{' or '.join(map(str, steps))} steps; {m['cores']} cores of {m['cpu']}, {m['threads']} thread, torch {m['torch']}.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("kinds", nargs="*", help=f"of {KINDS}; all where none is named")
    options = parser.parse_args()
    steps = max(int(STEPS * options.budget), 1)
    for kind in [] if options.table else options.kinds or KINDS:
        for seed in range(options.seeds):
            results = read(RESULTS)
            own = results.setdefault(kind, {})
            if own.get(str(seed), {}).get("steps") == steps and not options.force:
                print(f"{kind}, seed {seed}: done")
                continue
            own[str(seed)] = entry(kind, seed, steps, results)
            own["summary"] = summary(own)
            results["machine"] = {
                "torch": torch.__version__, "threads": torch.get_num_threads(), "cores": os.cpu_count(), "cpu": platform.machine()
            }  # fmt: skip
            write(RESULTS, results)
    print(page())


if __name__ == "__main__":
    main()

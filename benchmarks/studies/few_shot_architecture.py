"""An architecture learned across few-shot tasks: searched on Omniglot's meta-training classes, used on new ones.

    python -m benchmarks.studies.few_shot_architecture              what the JSON beside this does not hold yet
    python -m benchmarks.studies.few_shot_architecture --seeds 1

Two cells of three edges, each edge one of none, skip, 3x3, 1x1, pool: 15,625 embeddings of a prototypical network. The search
meta-trains weights and choices together, as one phi, by the loss on queries of meta-training tasks; it keeps the largest logit of
each edge. That architecture, and others drawn at random, are then meta-trained anew from the same seed for the same steps, and
scored on the meta-test classes, 5-way 1-shot. Intervals are 95 % over seeds, by Student's t.

Source: Liu et al., "DARTS", 2019, for the mixture and its discretisation; one level, since the queries of a task are held out of
its support already.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import quickstudy as qs
from benchmarks.reproduction.few_shot_method import FIRST, PROTOCOLS, omniglot
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.study import cell, interval, read, write
from quickstudy.learners.bilevel.architecture import Setting, fixed, space
from quickstudy.models.mixed import Mixed
from quickstudy.models.search_cell import CONVOLUTIONS, search_conv

RESULTS = Path(__file__).resolve().parent / "few_shot_architecture.json"
SEARCH, STEPS, RANDOM, EPISODES, FEATURES, WIDTH = 600, 400, 5, 600, 64, 16
Result = dict[str, Any]


def supernet(seed: int) -> nn.Module:
    """Every embedding at once."""
    torch.manual_seed(seed)
    return search_conv(FEATURES, width=WIDTH)


def meta_trained(embed: nn.Module, steps: int, seed: int) -> qs.Learner:
    """A prototypical network on it."""
    learner = qs.Prototypical(embed)
    tasks = omniglot(PROTOCOLS[FIRST], train={"ways": 20, "queries": 3})
    outer = qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=2e-3))
    qs.meta_train(learner, tasks.train, steps=steps, tasks_per_step=1, outer=outer, executor="loop", seed=seed, progress=False)
    return learner


def accuracy(embed: nn.Module, seed: int) -> float:
    """On meta-test classes, in per cent."""
    return 100 * qs.evaluate(meta_trained(embed, STEPS, seed), omniglot(PROTOCOLS[FIRST]).test, EPISODES, seed).mean


def searched(seed: int) -> Setting:
    """The largest logit of each edge, after the search."""
    network = supernet(seed)
    meta_trained(network, SEARCH, seed)
    return tuple(part.choice.best for part in network.modules() if isinstance(part, Mixed))


def at_random(seed: int) -> list[Setting]:
    """RANDOM settings."""
    generator = torch.Generator().manual_seed(1000 + seed)
    sizes = space(supernet(seed))
    return [tuple(int(torch.randint(n, (), generator=generator)) for n in sizes) for _ in range(RANDOM)]


def entry(seed: int) -> Result:
    """The accuracy of the architecture that was found, and of those drawn."""
    began = time.time()
    found = searched(seed)
    names = list(CONVOLUTIONS)
    row: Result = {"found": [names[option] for option in found], "search_seconds": time.time() - began}
    row["accuracy"] = accuracy(fixed(supernet(seed), found), seed)
    row["random"] = [
        {"architecture": [names[option] for option in setting], "accuracy": accuracy(fixed(supernet(seed), setting), seed)}
        for setting in at_random(seed)
    ]
    return {**row, "seconds": time.time() - began}


def page() -> str:
    """The table, from the JSON."""
    if not RESULTS.is_file():
        return "not run"
    found, shown = read(RESULTS), lambda values: cell(interval(values), ".1f")
    rows = list(found["seeds"].values())
    means = [sum(one["accuracy"] for one in row["random"]) / len(row["random"]) for row in rows]
    best = [max(one["accuracy"] for one in row["random"]) for row in rows]
    lines = ["| embedding | accuracy on new classes, % |", "|---|---|"]
    lines += [f"| found across the meta-training tasks | {shown([row['accuracy'] for row in rows])} |"]
    lines += [f"| drawn at random, mean of {RANDOM} | {shown(means)} |"]
    lines += [f"| the best of these {RANDOM}, by its test accuracy | {shown(best)} |"]
    lines += [f"| found less random | {shown([row['accuracy'] - mean for row, mean in zip(rows, means, strict=True)])} |"]
    kinds = "; ".join(" ".join(row["found"]) for row in rows)
    lines += ["", f"Found: {kinds}. {len(rows)} seeds, {SEARCH} steps of search, {STEPS} of each training anew;"]
    lines[-1] += f" {found['hardware']}, one thread, torch {found['torch']}."
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command; resumable by seeds."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seeds", type=int, default=5)
    options = made.parse_args()
    torch.set_num_threads(1)
    found = read(RESULTS) or {"seeds": {}}
    for seed in range(options.seeds):
        if str(seed) not in found["seeds"]:
            found["seeds"][str(seed)] = entry(seed)
            found |= {"hardware": hardware(), "torch": torch.__version__}
            write(RESULTS, found)
    print(page())


if __name__ == "__main__":
    main()

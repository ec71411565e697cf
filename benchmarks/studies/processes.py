"""Neural processes on functions drawn from Gaussian processes, beside the exact posterior that none can beat on average.

    python -m benchmarks.studies.processes                         what the JSON beside this does not hold yet, and the picture
    python -m benchmarks.studies.processes anp_random --force      one entry, again
    python -m benchmarks.studies.processes --budget 0.1            a tenth of the meta-steps
    python -m benchmarks.studies.processes --table                 the table from the JSON

random    one learner for all: kernel ~ RBF, Matern 5/2 or periodic, its length, period, scale and noise ~ log-uniform in the
          ranges of `tasks.GaussianProcess` (after Kim et al. 2019, section 4.1); scored on each kernel by itself
eq        the RBF kernel of length 1/4 and scale 1 alone, as Gordon et al. 2020, section 5.1 and their code; their draws have no
          noise, ours 0.001, which the Cholesky factor needs

3 to 50 points to learn from and 3 to 50 to be scored on, x ~ U[-2, 2], 16 tasks a meta-step, 8,000 meta-steps (about four minutes
of one core), Adam whose rate falls from 0.001 to 0 as a cosine. Scores are log p(y | x, support) in nats a query point, on 2,000
meta-test tasks of each kernel; tasks come in fours that share their numbers of points, so the 95 % intervals are over the means
of fours. `exact` is the posterior of the process given its kernel and numbers, which the learner is not told; `no support` the
same before any point is seen. `inside` is the share of query points within 1.96 sigma of the mean: 95 % where the learner knows
how sure it may be.

Source: Garnelo et al., "Conditional Neural Processes", ICML 2018; Kim et al., "Attentive Neural Processes", ICLR 2019; Gordon et
al., "Convolutional Conditional Neural Processes", ICLR 2020, table 1.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.study import Result, command, read, write
from quickstudy.evaluation.evaluate import interval
from quickstudy.learners.read import CrossAttention, MeanPooling
from quickstudy.tasks.synthetic.gaussian_process import KERNELS, log_likelihood, posterior

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
RESULTS, PICTURE = HERE / "processes.json", ROOT / "docs" / "pictures" / "processes.png"
LEARNERS = ROOT / "runs" / "processes"  # the meta-trained ones, for the picture
STEPS, SEED, TOGETHER, BATCHES = 8000, 0, 4, 500

PROTOCOLS: dict[str, dict[str, Any]] = {
    "random": {},
    "eq": {"length": (0.25, 0.25), "scale": (1.0, 1.0), "noise": (0.001, 0.001)},
}
KERNELS_OF = {"random": tuple(KERNELS), "eq": ("rbf",)}
LEARNER: dict[str, Callable[[], qs.NeuralProcess]] = {
    "cnp": lambda: qs.NeuralProcess(pooling=MeanPooling()),
    "anp": lambda: qs.NeuralProcess(pooling=CrossAttention()),
}
TITLES = {"cnp": "CNP", "anp": "ANP, without its latent path"}
ENTRIES = [f"{learner}_{protocol}" for protocol in PROTOCOLS for learner in LEARNER]
PAPERS = {"cnp_eq": "-0.86 (200 epochs of 4,096 tasks)", "anp_eq": "0.72 (200 epochs of 4,096 tasks)"}


def tasks(protocol: str, kernels: tuple[str, ...]) -> qs.tasks.GaussianProcess:
    """The tasks of a protocol, of some of its kernels."""
    return qs.tasks.GaussianProcess(shots=(3, 50), queries=(3, 50), kernels=kernels, **PROTOCOLS[protocol])


def entry(name: str, steps: int, seed: int) -> Result:
    """Meta-train one learner, then score it on every kernel of its protocol."""
    kind, protocol = name.split("_")
    torch.manual_seed(seed)
    learner, began, cpu = LEARNER[kind](), time.perf_counter(), time.process_time()
    family = tasks(protocol, KERNELS_OF[protocol])
    run = qs.meta_train(
        learner,
        family.train,  # no validation, which would choose by squared error: the last weights are kept
        steps=steps,
        tasks_per_step=16,
        outer=qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=1e-3, fused=True), partial(CosineAnnealingLR, T_max=steps)),
        executor="vmap",
        seed=seed,
        progress=False,
    )
    cpu = time.process_time() - cpu
    learner.save(LEARNERS / name)
    return {
        "kernels": {kernel: scores(learner, tasks(protocol, (kernel,)).test, seed) for kernel in KERNELS_OF[protocol]},
        "steps": len(run.history),
        "training_seconds": run.seconds,
        "training_cpu_seconds": cpu,
        "wall_seconds": time.perf_counter() - began,
        "parameters": sum(parameter.numel() for parameter in learner.parameters()),
        "seed": seed,
        "hardware": hardware(),
        "load": os.getloadavg()[0],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


@torch.no_grad()
def scores(learner: qs.NeuralProcess, distribution: Any, seed: int) -> Result:
    """Means and intervals of the log-likelihoods, of their difference, and the share of points inside."""
    generator, rows = torch.Generator().manual_seed(seed), []
    for _ in range(BATCHES):
        episodes, truth = distribution.sample_with_truth(TOGETHER, generator=generator)
        own, inside = torch.vmap(partial(answers, learner))(episodes)
        exact, blank = log_likelihood(episodes, truth).mean(), no_support(episodes.query.y, truth).mean()
        mean = own.double().mean()
        rows.append((mean, exact, mean - exact, blank, inside.double().mean()))
    names = ("learner", "exact", "gap", "no support", "inside")
    columns = zip(*rows, strict=True)
    found = {name: interval([float(value) for value in column]) for name, column in zip(names, columns, strict=True)}
    return {name: {"mean": mean, "ci95": ci95} for name, (mean, ci95) in found.items()} | {"tasks": BATCHES * TOGETHER}


def answers(learner: qs.NeuralProcess, episode: qs.Episode) -> tuple[Tensor, Tensor]:
    """Of one task: the mean log-likelihood of its queries, and the share of them inside."""
    answer = learner.distribution(learner.learn(episode.support), episode.query.x)
    y = episode.query.y
    return answer.log_prob(y).mean(), ((y - answer.mean).abs() < 1.96 * answer.stddev).float().mean()


def no_support(y: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """log N( y; 0, scale^2 + noise^2 )."""
    std = (truth["scale"].double() ** 2 + truth["noise"].double() ** 2).sqrt()[:, None, None]
    return torch.distributions.Normal(torch.zeros_like(std), std).log_prob(y.double())


def page() -> str:
    """The table, from the JSON."""
    found = read(RESULTS)
    rows = [
        "Log-likelihood of a query point in nats, on 2,000 meta-test tasks a kernel (`python -m benchmarks.studies.processes`):",
        "higher is better, `exact` is the Gaussian process that knows its own kernel and numbers, `inside` the share within 1.96",
        "sigma.",
        "",
        "| learner | tasks | kernel | learner | exact | below exact | no support | inside | paper | meta-training |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ENTRIES:
        kind, protocol = name.split("_")
        for kernel in KERNELS_OF[protocol]:
            head = f"| {TITLES[kind]} | {protocol} | {kernel} | "
            if name not in found:
                rows.append(head + f"not run | | | | | {PAPERS.get(name, '')} | |")
                continue
            r, s = found[name], found[name]["kernels"][kernel]
            cells = [
                f"{s['learner']['mean']:.3f} +- {s['learner']['ci95']:.3f}",
                f"{s['exact']['mean']:.3f} +- {s['exact']['ci95']:.3f}",
                f"{-s['gap']['mean']:.3f} +- {s['gap']['ci95']:.3f}",
                f"{s['no support']['mean']:.3f}",
                f"{100 * s['inside']['mean']:.1f} +- {100 * s['inside']['ci95']:.1f} %",
                PAPERS.get(name, ""),
                f"{r['steps']} steps in {r['training_cpu_seconds']:.0f} s of one core, seed {r['seed']}",
            ]
            rows.append(head + " | ".join(cells) + " |")
    machines = sorted({f"{row['hardware']}, {row['threads']} thread, torch {row['torch']}" for row in found.values()})
    rows += ["", *machines, "", "![Posterior predictions](pictures/processes.png)"]
    return "\n".join(rows) + "\n"


@torch.no_grad()
def picture(points: int = 8) -> None:
    """CNP, ANP and the exact posterior on one task of every kernel of `random`; of learners that were trained here."""
    if not all((LEARNERS / f"{kind}_random").is_dir() for kind in LEARNER):
        print(f"no picture: {LEARNERS} does not hold both learners of `random`")
        return
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(LEARNER), len(KERNELS), figsize=(11, 5.4), sharex=True, sharey="col", layout="constrained", squeeze=False
    )
    for column, kernel in enumerate(KERNELS):
        test = tasks("random", (kernel,)).test.with_(shots=points, queries=3)
        episode, truth = test.sample_with_truth(1, generator=torch.Generator().manual_seed(3))
        x = torch.linspace(-2, 2, 200)[:, None]
        exact, exact_std = (value[0, :, 0] for value in posterior(episode.support, x[None], truth))
        support = episode[0].support
        for row, kind in enumerate(LEARNER):
            learner = qs.load(LEARNERS / f"{kind}_random")
            answer = learner.distribution(learner.learn(support), x)
            mean, std = answer.mean[:, 0], answer.stddev[:, 0]
            ax, at = axes[row, column], x[:, 0]
            ax.fill_between(at, mean - 1.96 * std, mean + 1.96 * std, color="#2066a8", alpha=0.25, lw=0, label="95 % interval")
            ax.plot(at, mean, color="#2066a8", label="mean")
            for k, line in enumerate((exact - 1.96 * exact_std, exact, exact + 1.96 * exact_std)):
                ax.plot(at, line, color="black", lw=0.8, ls="-" if k == 1 else ":", label=None if k else "exact posterior, 95 %")
            ax.plot(support.x[:, 0], support.y[:, 0], "o", color="#c44a2e", ms=4, label="support")
            ax.set_title(f"{kind.upper()}, {kernel}", fontsize=10)
    axes[0, 0].legend(frameon=False, fontsize=7)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


def main() -> None:
    """The command; an entry that stands in the JSON is not run again."""
    made = command(__doc__, seeds=None)
    made.add_argument("entries", nargs="*", help=f"of {ENTRIES}; all where none is named")
    made.add_argument("--seed", type=int, default=SEED)
    options = made.parse_args()
    torch.set_num_threads(1)
    for name in [] if options.table else options.entries or ENTRIES:
        steps = max(int(STEPS * options.budget), 1)
        if name in read(RESULTS) and not options.force:
            print(f"{name}: has a result; --force runs it again")
            continue
        row = entry(name, steps, options.seed)
        found = read(RESULTS) | {name: row}
        write(RESULTS, {key: found[key] for key in ENTRIES if key in found})
        got = ", ".join(
            f"{kernel} {s['learner']['mean']:.3f} (exact {s['exact']['mean']:.3f})" for kernel, s in row["kernels"].items()
        )
        print(f"{name}: {got}; {row['steps']} steps, {row['wall_seconds']:.0f} s", flush=True)
    print(page())
    if not options.table:
        picture()


if __name__ == "__main__":
    main()

"""A prior-fitted network, meta-trained here on synthetic tables, on scikit-learn's real ones, against its classifiers.

    python -m benchmarks.studies.tables                      meta-train for 10 minutes, compare, write the JSON beside this
    python -m benchmarks.studies.tables --seconds 3600       a longer one
    python -m benchmarks.studies.tables --print              the Markdown table of the JSON beside this

Both halves go on where they were stopped: meta-training from its newest checkpoint in --out, the comparison after the last table
that it finished. The prior, the network and the optimizer were chosen on synthetic tables alone. The clip at 3 standard
deviations is `FewShotClassifier`'s, which had been chosen on these four tables:
that one number is a small advantage of ours.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn import datasets
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import quickstudy as qs
from quickstudy.domains.tables.prior_fitted import PriorFitted
from quickstudy.domains.tables.tabular_prior import TabularPrior
from quickstudy.evaluation.evaluate import interval

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
RESULTS, OURS = HERE / "tables.json", "PriorFitted"
TABLES = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
SIZES: dict[str, int | None] = {"5 a class": 5, "10 a class": 10, "full": None}
TASKS_PER_STEP, WARM_UP, LR = 16, 100, 2e-3
RULE = (
    "Mean accuracy in % with half of its 95 % interval over splits of the table (the splits overlap, so the interval is one over "
    "splits and not over tables). Full: 80 % of the rows, stratified. Others: scikit-learn's defaults, on standardised columns "
    "for nearest neighbours and logistic regression; nothing is tuned to a table, for ours or theirs."
)


def others(seed: int) -> dict[str, Any]:
    """scikit-learn's classifiers, as they come."""
    return {
        "k nearest neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier()),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "random forest": RandomForestClassifier(random_state=seed),
        "gradient boosting": GradientBoostingClassifier(random_state=seed),
    }


# ---- meta-training -----------------------------------------------------------------------------------------------------


def meta_trained(seconds: float, out: Path, seed: int) -> tuple[qs.Learner, dict[str, Any]]:
    """A PriorFitted after about that many seconds, and the story of its meta-training."""
    learner, tasks = PriorFitted(), TabularPrior()
    plan = out.parent / f"{out.name}.plan.json"
    if not plan.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text(json.dumps({"steps": steps_in(seconds, tasks)}))
    planned = json.loads(plan.read_text())  # may be shortened by hand before a resume; a "note" in it is kept with the results
    steps = planned["steps"]

    def rate(step: int) -> float:
        """A short rise, then a cosine to 0: a function of the step alone, so that a resumed run goes on as it was."""
        return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))

    outer = qs.Gradient(
        optimizer=partial(torch.optim.Adam, lr=LR, betas=(0.9, 0.98), fused=True),
        scheduler=partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=rate),
    )
    options = {"outer": outer, "executor": "vmap", "clip": 1.0, "validation_episodes": 200, "seed": seed}
    resume = (out / "checkpoints").is_dir()
    run = qs.meta_train(learner, tasks, steps=steps, tasks_per_step=TASKS_PER_STEP, out=out, resume=resume, **options)
    losses = [record["loss"] for record in run.history]
    return learner, {
        **planned,
        "synthetic_tables": steps * TASKS_PER_STEP,
        "seconds": run.seconds,
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in learner.parameters()),
        "loss_by_tenths": [sum(part) / len(part) for part in (losses[i : i + len(losses) // 10] for i in starts(len(losses)))],
        "best_validation": run.best,
        "recipe": "PriorFitted(), the defaults; Adam 2e-3 with 100 steps of warm-up and a cosine to 0, clip 1.0",
        "prior": "TabularPrior(), the defaults: 2 to 10 ways, 2 to 15 shots, 1 to 32 features",
        "seed": seed,
    }


def starts(n: int) -> range:
    return range(0, n - n // 10 + 1, max(n // 10, 1))


def steps_in(seconds: float, tasks: TabularPrior) -> int:
    """How many meta-steps fit, measured on 60 of them after 5 to warm up, 30 at least so that the cosine has room."""
    learner, generator = PriorFitted(), torch.Generator().manual_seed(0)
    began = 0.0
    for step in range(65):
        began = time.perf_counter() if step == 5 else began
        qs.meta_gradient(learner, tasks.train.sample(TASKS_PER_STEP, generator=generator), executor="vmap")
    return max(int(seconds / ((time.perf_counter() - began) / 60)), 30)


# ---- comparison --------------------------------------------------------------------------------------------------------


def split(x: np.ndarray, y: np.ndarray, shots: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to be scored on: `shots` of each class and all others, or 80 % and 20 %, stratified."""
    if shots is None:
        own, asked = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed)
        return own, asked
    order = np.random.default_rng(seed).permutation(len(y))
    own = np.concatenate([order[y[order] == k][:shots] for k in np.unique(y)])
    return own, np.setdiff1d(order, own)


def ours(learner: qs.Learner, x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """One forward pass."""
    support = qs.Examples(torch.from_numpy(x).float(), torch.from_numpy(y).long())
    return learner.adapt(support).predict(torch.from_numpy(asked).float()).numpy()


def compared(learner: qs.Learner, table: str, shots: int | None, splits: int) -> dict[str, Any]:
    """Accuracies of every method on the same splits, and the seconds that each took to learn and answer one."""
    data = TABLES[table]()
    x, y = np.asarray(data.data, dtype=np.float64), np.asarray(data.target)
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}

    def score(name: str, answer: Callable[[], np.ndarray], asked: np.ndarray) -> None:
        began = time.perf_counter()
        right = float((answer() == y[asked]).mean())
        seconds[name] = seconds.get(name, 0.0) + (time.perf_counter() - began) / splits
        scores.setdefault(name, []).append(right)

    for seed in range(splits):
        own, asked = split(x, y, shots, seed)
        score(OURS, lambda own=own, asked=asked: ours(learner, x[own], y[own], x[asked]), asked)
        for name, model in others(seed).items():
            score(name, lambda model=model, own=own, asked=asked: model.fit(x[own], y[own]).predict(x[asked]), asked)
    result: dict[str, Any] = {
        "splits": splits,
        "rows": len(own),
        "columns": x.shape[1],
        "classes": len(np.unique(y)),
        "methods": {},
    }
    for name, values in scores.items():
        mean, ci95 = interval(values)
        paired = [a - b for a, b in zip(scores[OURS], values, strict=True)]
        difference = dict(zip(("mean", "ci95"), interval(paired), strict=True)) if name != OURS else None
        result["methods"][name] = {
            "mean": mean,
            "ci95": ci95,
            "seconds": seconds[name],
            "ours_minus_it": difference,
            "scores": values,
        }
    return result


# ---- the page ----------------------------------------------------------------------------------------------------------


def markdown(results: dict[str, Any]) -> str:
    """The table, and where ours loses, ties and wins."""
    names = [OURS, *others(0)]
    t = results["training"]
    lines = [
        f"PriorFitted: {t['parameters']:,} parameters, {t['synthetic_tables']:,} synthetic tables in "
        f"{t['seconds'] / 60:.1f} minutes on {t['threads']} CPU thread(s), no real table. {RULE}",
        "",
        "| table | rows | splits | " + " | ".join(names) + " |",
        "|---" * (3 + len(names)) + "|",
    ]
    verdicts: dict[str, list[str]] = {"loses": [], "wins": [], "no difference": []}
    for table, sizes in results["tables"].items():
        for size, one in sizes.items():
            methods = one["methods"]
            cells = [f"{100 * methods[name]['mean']:.1f} +- {100 * methods[name]['ci95']:.1f}" for name in names]
            lines.append(f"| {table}, {size} | {one['rows']} | {one['splits']} | " + " | ".join(cells) + " |")
            for name in names[1:]:
                mean, ci95 = methods[name]["ours_minus_it"]["mean"], methods[name]["ours_minus_it"]["ci95"]
                verdict = "loses" if mean + ci95 < 0 else "wins" if mean - ci95 > 0 else "no difference"
                verdicts[verdict].append(f"{table}, {size}: {name} ({100 * mean:+.1f} +- {100 * ci95:.1f})")
    lines += ["", "Paired differences on the same splits, PriorFitted minus the other, in points with their 95 % interval:", ""]
    for verdict, title in (
        ("loses", "It loses"),
        ("no difference", "No difference can be told"),
        ("wins", "It wins"),
    ):
        lines.append(f"* **{title}** ({len(verdicts[verdict])}): " + ("; ".join(verdicts[verdict]) or "nowhere") + ".")
    return "\n".join(lines)


def page() -> str:
    """The JSON as Markdown."""
    return markdown(json.loads(RESULTS.read_text())) if RESULTS.is_file() else "not run"


def main() -> None:
    """Meta-train, compare, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="of meta-training")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "tables", help="the run's folder")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON")
    parser.add_argument("--splits", type=int, default=30, help="of the few-shot sizes")
    parser.add_argument("--full-splits", type=int, default=10, help="of the full size")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--print", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    if not arguments.print:
        torch.set_num_threads(arguments.threads)
        learner, training = meta_trained(arguments.seconds, arguments.out, arguments.seed)
        results = begun(arguments.results, training)
        for table in TABLES:
            for size, shots in SIZES.items():
                if size in results["tables"].setdefault(table, {}):
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    splits = arguments.full_splits if shots is None else arguments.splits
                    results["tables"][table][size] = compared(learner, table, shots, splits)
                arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    print(markdown(json.loads(arguments.results.read_text())))


def begun(path: Path, training: dict[str, Any]) -> dict[str, Any]:
    """The results so far, where they are of this very meta-training; else a new page."""
    if path.is_file():
        found = json.loads(path.read_text())
        same = [found["training"].get(name) == training[name] for name in ("steps", "seed", "best_validation")]
        if all(same):
            return found
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "scikit_learn": sklearn.__version__,
        "training": training,
        "tables": {},
    }


if __name__ == "__main__":
    main()

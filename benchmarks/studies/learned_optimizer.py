"""The LSTM update rule against tuned optimizers, and where it fails.

    python -m benchmarks.studies.learned_optimizer                      every entry that the JSON beside this does not hold
    python -m benchmarks.studies.learned_optimizer ENTRY [--force]      one entry (again): quadratics, mnist
    python -m benchmarks.studies.learned_optimizer --budget 0.1         a tenth of the time for each

quadratics   10-D, f(theta) = |W theta - y|^2, W and y Gaussian: f at step 100 on problems that nothing was trained or tuned on
mnist        an MLP of 20 sigmoid units; the loss at step 100, then as they are: 40 units, two layers, ReLU, 200 steps. The rules
             begin on smaller images

Every baseline's rate is taken from a grid, by its loss at step 100 on tuning problems, as many as the rule was selected on. The
intervals are 95 % over test problems.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.studies.rule_on_mnist import mnist
from benchmarks.studies.rule_on_quadratics import quadratics
from benchmarks.studies.study import Result, read, write

RESULTS = Path(__file__).resolve().parent / "learned_optimizer.json"
ENTRIES: dict[str, tuple[Callable[[float, int], Result], float]] = {"quadratics": (quadratics, 280.0), "mnist": (mnist, 3000.0)}


def shown(name: str, result: Result) -> None:
    tables = result["table"] if "table" in result else {name: result["rows"]}
    for where, rows in tables.items():
        print(f"  {where}")
        for method, row in ranked(rows):
            print(f"    {method:<10} {row['mean']:.5g} +- {row['ci95']:.2g}")
    if "table" in result:
        print(f"  not below every baseline: {result['lost'] or 'nowhere'}")


def page() -> str:
    """A table for each setting, the lowest loss first."""
    results, lines = read(RESULTS), []
    for name, (_, budget) in ENTRIES.items():
        result = results.get(name)
        if result is None:
            lines += [f"* {name}: not run (takes {budget:.0f} s of meta-training)", ""]
            continue
        for where, rows in result.get("table", {name: result["rows"]}).items():
            lines += [f"| {where}: loss at the last step | mean |", "|---|---|"]
            lines += [f"| {method} | {row['mean']:.4g} +- {row['ci95']:.2g} |" for method, row in ranked(rows)]
            lines.append("")
        if "lost" in result:
            gaps = [
                f"{where}: {gap['mean']:+.3f} +- {gap['ci95']:.3f} to {gap['best_baseline']}"
                for where, gap in result.get("paired", {}).items()
            ]
            lines += [f"The LSTM rule is not below every baseline on: {'; '.join(result['lost']) or 'nowhere'}.", ""]
            lines += [f"Its loss less that of the best baseline, on the same problems: {'; '.join(gaps)}.", ""] if gaps else []
        seconds, budget = result["seconds"], result["budget_seconds"]
        lines += [f"Seed {result['seed']}, {budget:.0f} s of meta-training ({seconds:.0f} s in all), {result['machine']},"]
        lines[-1] += f" {result['threads']} thread, torch {result['torch']}."
        lines.append("")
    return "\n".join(lines)


def ranked(rows: dict[str, Result]) -> list[tuple[str, Result]]:
    """By their means."""
    return sorted(rows.items(), key=lambda pair: pair[1]["mean"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", nargs="*", choices=[*ENTRIES, []], help="which; all that are missing where none is named")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.entries or ENTRIES:
        if name in read(RESULTS) and not options.force:
            print(f"{name}: done")
            continue
        run, seconds = ENTRIES[name]
        print(f"{name}: {seconds * options.budget:.0f} s of meta-training", flush=True)
        began = time.perf_counter()
        result = run(seconds * options.budget, options.seed)
        result |= {
            "seed": options.seed,
            "budget_seconds": seconds * options.budget,
            "seconds": time.perf_counter() - began,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }
        write(RESULTS, {**read(RESULTS), name: result})
        shown(name, result)


if __name__ == "__main__":
    main()

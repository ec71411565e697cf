"""make bench: speed and memory beside higher, torchopt and JAX, in one run on one machine; writes benchmarks/RESULTS.md.

python -m benchmarks.speed.bench [SECTION ...] [--rounds N]      sections: sinusoid conv memory flat episodes methods outer
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

import quickstudy as qs
from benchmarks.reproduction import omniglot
from benchmarks.reproduction.few_shot_method import Setting
from benchmarks.reproduction.reproduce import hardware
from benchmarks.speed import conv, outer, sinusoid
from benchmarks.speed.memory import _resident

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
JSON, RESULTS = HERE / "bench.json", HERE.parent / "RESULTS.md"
Step = Callable[[], tuple[float, list[torch.Tensor] | None]]
Rows = list[str]


def race(contenders: dict[str, Callable[[], Step]], rounds: int, tolerance: float = 1e-4) -> dict[str, float]:
    """Median milliseconds of each contender's step, taken in turns. First losses and gradients must agree to `tolerance`."""
    steps, reference = {}, None
    for name, build in contenders.items():
        step = build()
        loss, gradients = step()
        if gradients is not None:
            if reference is None:
                reference = loss, gradients
            largest = max(float(b.abs().max()) for b in reference[1])  # a bias before a norm has gradient 0, and only rounding
            gap = max(float((a - b).abs().max()) for a, b in zip(gradients, reference[1], strict=True)) / largest
            if abs(loss - reference[0]) > tolerance * max(1.0, abs(reference[0])) or gap > tolerance:
                raise SystemExit(f"{name}: loss {loss} against {reference[0]}, gradients differ by {gap:.1e}: not the same maths")
        steps[name] = step
    for step in steps.values():
        step()
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            taken[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in taken.items()}


def sinusoid_section(rounds: int) -> Rows:
    """The sinusoid meta-step."""
    ms = race(sinusoid.CONTENDERS, rounds * 5)
    peer = min(ms["higher, loop"], ms["torchopt, loop"])
    return [
        "## Sinusoid MLP 40-40, 25 tasks, 5 inner steps, second order, whole meta-step with outer Adam",
        "",
        *_table(ms),
        "",
        f"* without compile (vmap): {peer / ms['quickstudy, vmap']:.1f} times the faster peer (target 6)",
        f"* compiled: {peer / ms['quickstudy, compiled']:.1f} times the faster peer (target 30)",
        f"* compiled against JAX jit: {ms['quickstudy, compiled'] / ms['jax, jit']:.2f} times its time (target at most 1.2)",
    ]


def conv_section(rounds: int) -> Rows:
    """The Conv4 meta-step at 1 and 5 inner steps, and the plain supervised pass."""
    rows = ["## Conv4-64, 28x28, 16 tasks 5-way 1-shot 15 queries, second order"]
    for steps, target in ((1, 1.45), (5, 1.5)):
        contenders: dict[str, Callable[[], Step]] = {
            "higher, loop": lambda steps=steps: conv.higher_loop(steps, 16),
            "torchopt, loop": lambda steps=steps: conv.torchopt_loop(steps, 16),
            "higher, loop, quickstudy's Conv4": lambda steps=steps: conv.higher_loop(steps, 16, net=conv.network),
            "torchopt, loop, quickstudy's Conv4": lambda steps=steps: conv.torchopt_loop(steps, 16, net=conv.network),
            "quickstudy, threads": lambda steps=steps: conv.ours("threads", steps, 16),
        }
        if steps == 1:
            contenders |= {
                "supervised pass, contiguous": lambda: conv.supervised(16, False),
                "supervised pass, channels_last": lambda: conv.supervised(16, True),
            }
        gap = conv.gap_to_higher(steps)
        if gap > 1e-9:
            raise SystemExit(f"Conv4, {steps} inner steps: gradients {gap:.1e} apart in float64: not the same maths")
        ms = race(contenders, rounds, tolerance=1e-4 if steps == 1 else 1e-1)
        peer = min(ms["higher, loop"], ms["torchopt, loop"])
        rows += ["", f"{steps} inner step{'s' if steps > 1 else ''}:", "", *_table(ms), ""]
        rows += [f"* gradients of the published network by `higher` and of quickstudy's Conv4: {gap:.0e} apart in float64"]
        same = min(ms["higher, loop, quickstudy's Conv4"], ms["torchopt, loop, quickstudy's Conv4"])
        rows += [
            f"* {peer / ms['quickstudy, threads']:.2f} times the faster peer on the published network (target {target})",
            f"* {same / ms['quickstudy, threads']:.2f} times the faster peer on quickstudy's own Conv4",
        ]
        if steps == 1:
            plain = min(ms["supervised pass, contiguous"], ms["supervised pass, channels_last"])
            rows += [f"* {ms['quickstudy, threads'] / plain:.2f} times the plain supervised pass (target at most 1.25)"]
    return rows


def memory_section(rounds: int) -> Rows:
    """100 unrolled inner steps of Conv4: plain, recomputed and hand-written, each in a fresh process."""
    found = {}
    for kind in ("hand-written", "plain", "recomputed"):
        command = [sys.executable, "-m", "benchmarks.speed.memory", kind, "100"]
        found[kind] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    rows = [
        "## 100 unrolled inner steps of Conv4-64 on 25 support images, one thread",
        "",
        "| | peak MB | seconds |",
        "|---|---|---|",
    ]
    rows += [f"| {kind} | {one['mb']:.0f} | {one['seconds']:.1f} |" for kind, one in found.items()]
    hand, plain, recomputed = found["hand-written"], found["plain"], found["recomputed"]
    return [
        *rows,
        "",
        f"* recomputed: {recomputed['mb'] / plain['mb']:.2f} of the plain unroll's memory (target at most 0.20), "
        f"{recomputed['seconds'] / plain['seconds']:.2f} times its time (target at most 1.4)",
        f"* plain against hand-written torch.autograd.grad: {plain['mb'] / hand['mb']:.2f} of the memory, "
        f"{plain['seconds'] / hand['seconds']:.2f} of the time (target at most 1.2 each)",
    ]


def flat_section(rounds: int) -> Rows:
    """Resident memory over 300 meta-steps."""
    tasks, learner = qs.tasks.Sinusoid(), qs.MAML(qs.models.mlp(), inner_lr=0.01, inner_steps=5)
    sizes = []
    for _ in range(4):
        qs.meta_train(learner, tasks.train, steps=100, tasks_per_step=25, executor="vmap", progress=False)
        sizes.append(_resident() / 2**20)
    return [
        "## Memory over 300 meta-steps",
        "",
        f"* resident MB after 100, 200, 300, 400 meta-steps: {', '.join(f'{s:.1f}' for s in sizes)}",
    ]


def episodes_section(rounds: int) -> Rows:
    """Omniglot episodes sampled on one core."""
    root = Path(os.environ.get("OMNIGLOT", str(ROOT.parent / "shared" / "data" / "omniglot")))
    if not root.is_dir():
        return ["## Omniglot episodes", "", "* not run: no data"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train = qs.tasks.Omniglot(root).train
    generator = torch.Generator().manual_seed(0)
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        train.sample(200, generator=generator)
        rates.append(200 / (time.perf_counter() - began))
    torch.set_num_threads(threads)
    return [
        "## Omniglot episodes, 5-way 1-shot 15 queries, one core",
        "",
        f"* {statistics.median(rates):.0f} a second (target 1,000)",
    ]


def methods_section(rounds: int) -> Rows:
    """Every method on the same tasks, each in a fresh process."""
    rows = [
        "## Every method: Conv4 on 28x28, 5-way 1-shot 5 queries",
        "",
        "A meta-step of 4 tasks, and the adaptation to one task on one core; peaks are those of tensors alive at once. The",
        "networks are in `benchmarks/reproduction/omniglot.py`. An ensemble's row is of one member, one on frozen features of",
        "the embedding too.",
        "",
        "| method | meta-step ms | peak MB | adaptation ms | peak MB | executor |",
        "|---|---|---|---|---|---|",
    ]
    slow = []
    for name, method in (omniglot.METHODS | omniglot.CONTROLS).items():
        command = [sys.executable, "-m", "benchmarks.speed.methods", name]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        r = json.loads(done.stdout)
        step = f"{r['step_ms']:.0f} | {r['step_mb']:.1f}" if "step_ms" in r else "none | "
        learner = method.build(Setting(5, 1, 1000))
        title = method.title + (", transductive" if learner.normalisation == "transductive" else "")
        rows.append(f"| {title} | {step} | {r['adapt_ms']:.1f} | {r['adapt_mb']:.1f} | {r.get('executor', '')} |")
        if r["adapt_ms"] > 50 and not hasattr(learner, "inner_steps"):
            slow.append(title)
    verdict = "none" if not slow else ", ".join(slow)
    return [*rows, "", f"* methods without inner steps that adapt in more than 50 ms: {verdict}"]


def outer_section(rounds: int) -> Rows:
    """The LSTM rule, evolution strategies, the memory of implicit gradients."""
    rule = outer.medians(
        {
            "plain eager loop": outer.rule_loop(),
            "quickstudy, loop": outer.rule_ours("loop"),
            "quickstudy, vmap": outer.rule_ours("vmap"),
            "quickstudy, compiled": outer.rule_ours("compiled"),
        },
        rounds,
    )
    best = min(rule["quickstudy, vmap"], rule["quickstudy, compiled"])
    es = outer.medians(
        {
            "loop over members and tasks": outer.evolution_loop(False),
            "loop over members, tasks vmapped": outer.evolution_loop(True),
            "quickstudy, both vmapped": outer.evolution_ours(),
        },
        min(rounds, 3),
    )
    memory = {}
    for steps in (10, 100, 1000):
        command = [sys.executable, "-m", "benchmarks.speed.outer", str(steps)]
        memory[steps] = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    ours = es["quickstudy, both vmapped"]
    return [
        "## Outer methods",
        "",
        "A meta-step of the LSTM rule: 20 unrolled steps of a 784-20-10 MLP, batch 128:",
        "",
        *_table(rule),
        "",
        f"* {rule['plain eager loop'] / best:.2f} times the plain loop (target 1.5, goal 3)",
        "",
        "Evolution, population 256, sinusoid MLP 40-40, 25 tasks of one inner step:",
        "",
        *_table(es),
        "",
        f"* {es['loop over members and tasks'] / ours:.1f} times the loop over members and tasks (target 10), "
        f"{es['loop over members, tasks vmapped'] / ours:.1f} times the loop over members with vmapped tasks",
        "",
        "iMAML's implicit gradient, MLP 256-256, two tasks:",
        "",
        "* peak MB after 10, 100 and 1,000 inner steps: " + ", ".join(f"{mb:.1f}" for mb in memory.values()),
    ]


def gpu() -> Rows:
    """Where the figures of `make gpu` stand, which another machine has made."""
    there = (HERE.parent / "gpu.md").is_file()
    return ["## GPU", "", "* in [gpu.md](gpu.md), by `make gpu`" if there else "* not run: no GPU was lent (`make gpu`)"]


SECTIONS: dict[str, Callable[[int], Rows]] = {
    "sinusoid": sinusoid_section,
    "conv": conv_section,
    "memory": memory_section,
    "flat": flat_section,
    "episodes": episodes_section,
    "methods": methods_section,
    "outer": outer_section,
}


def main() -> int:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="all where none is named")
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--page", action="store_true", help="write RESULTS.md from what is there, and measure nothing")
    options = made.parse_args()
    kept = json.loads(JSON.read_text(encoding="utf-8")) if JSON.is_file() else {}
    for name in [] if options.page else options.sections or SECTIONS:
        load = os.getloadavg()[0]
        rows = SECTIONS[name](options.rounds)
        stamp = f"*{hardware()}, torch {torch.__version__}, {datetime.now(UTC).date()}, load before: {load:.1f}*"
        kept[name] = [rows[0], "", stamp, *rows[1:]]
        print("\n".join(kept[name]), flush=True)
        JSON.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    RESULTS.write_text(results(kept), encoding="utf-8")
    return 0


def results(kept: dict[str, Rows]) -> str:
    """The page, from what every section last found."""
    pages = [*(kept[name] for name in SECTIONS if name in kept), gpu()]
    head = ["# Benchmarks", "", "Made by `make bench`; medians of rounds taken in turns, one run a section."]
    return "\n".join([*head, *(line for page in pages for line in ["", *page])]) + "\n"


def _table(ms: dict[str, float]) -> Rows:
    return ["| | ms a meta-step |", "|---|---|", *(f"| {name} | {value:.3g} |" for name, value in ms.items())]


if __name__ == "__main__":
    sys.exit(main())

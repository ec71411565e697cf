"""Slots of a language never seen, from ten tagged sentences of it: xSID, span F1, by a small network over bytes.

    python -m benchmarks.studies.slots                     what the JSON beside this does not hold yet
    python -m benchmarks.studies.slots --seeds 1 --force
    python -m benchmarks.studies.slots --budget 0.1        a tenth of the meta-steps
    python -m benchmarks.studies.slots --table             the table from the JSON

xSID 0.7, of which the English training data are not at hand, without Norwegian (eleven dialect renderings of each sentence): 18
languages that hold the same sentences. Eleven train, three validate, four are new at the test. Sentences are split too, so that
none of the test has a translation in training (`from_tokens(translations=)`), anew for each seed. ByteConv, 48 wide and 3 deep,
without pooling, on 80 bytes.

joint        STEPS + MORE meta-steps of Adam on the tags of the training languages, then descent on the ten sentences
meta         the same network after STEPS of these, then META meta-steps of MAML on tasks of ten sentences and ten queries: K
             inner steps, second order, a learned rate for each tensor and step. META steps take about as long as MORE do
zero-shot    joint, without the ten sentences
scratch      descent on the ten sentences from random weights

Rate and steps of the descent of joint and scratch, and the inner steps of meta, are chosen on the validation languages. Tests are
EPISODES episodes, the same for all; differences are paired by episode, intervals over seeds are Student's.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.studies import transfer_heads as heads
from benchmarks.studies.study import Result, cell, command, read, write
from quickstudy.domains.text.clean import key
from quickstudy.domains.text.conll import read_conll
from quickstudy.domains.text.encoders import ByteConv
from quickstudy.learners.descend import LearnedRates
from quickstudy.meta.estimators import Joint
from quickstudy.tasks import GroupTasks, TaskFamily

RESULTS = Path(__file__).resolve().parent / "slots.json"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "xsid" / "xSID-0.7"
LANGUAGES = {
    "train": ("en", "de", "de-ba", "de-muc", "de-st", "gsw", "da", "it", "ar", "zh", "sr"),
    "validation": ("nl", "id", "ja"),
    "test": ("tr", "kk", "lt", "nap"),
}
STEPS, MORE, META, TASKS, K = 600, 1800, 300, 2, 3
SHOTS, QUERIES, EPISODES, VALIDATION = 10, 20, 60, 12
RATES, DESCENTS, INNER = (0.03, 0.1), (5, 20, 50), (3, 6)
METHODS = ("meta", "joint", "zero-shot", "scratch")


def family(seed: int) -> TaskFamily[GroupTasks]:
    """The languages, each with the sentences of its part."""
    english = {key(one.comments["text"]) for part in ("valid", "test") for one in read_conll(DATA / f"en.{part}.conll", word=1)}
    rows = []
    for language, part in itertools.product((name for names in LANGUAGES.values() for name in names), ("valid", "test")):
        for one in read_conll(DATA / f"{language}.{part}.conll", word=1):
            meaning = key(one.comments.get("text-en", one.comments["text"]))
            if meaning in english:  # a few have typing errors
                rows.append((one.tokens, one.tags, language, meaning))
    tokens, tags, languages, meanings = zip(*rows, strict=True)
    options: dict[str, Any] = {"repeats": "leave out", "shots": SHOTS, "queries": QUERIES, "length": 80}
    return qs.tasks.from_tokens(tokens, tags, languages, translations=meanings, split=LANGUAGES, seed=seed, **options)


def tagger(outputs: int, seed: int) -> nn.Module:
    return ByteConv(features=outputs, width=48, depth=3, pool=False, seed=seed)


def trained(learner: qs.Descent, tasks: GroupTasks, steps: int, seed: int, estimator: Any, lr: float) -> None:
    """Meta-steps of Adam, whose rate falls to 0."""
    fall = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=steps)
    outer = qs.Gradient(estimator, partial(torch.optim.Adam, lr=lr), fall)
    options: dict[str, Any] = {"tasks_per_step": TASKS, "executor": "loop", "progress": False, "outer": outer}
    qs.meta_train(learner, tasks, steps=steps, seed=seed, **options)


def descent(network: nn.Module, rate: float, steps: int) -> qs.Descent:
    return qs.Descent(network, inner_lr=rate, inner_steps=steps, hypergradient=qs.FirstOrder(), clip=1.0)


def scores(learner: qs.Learner, tasks: GroupTasks, episodes: int, seed: int, steps: int | None = None) -> list[float]:
    """The span F1 of every episode."""
    return qs.evaluate(learner, tasks, episodes, seed, steps, metrics=["span_f1"], executor="loop").per_episode


def chosen(network: nn.Module, tasks: GroupTasks, seed: int) -> tuple[qs.Descent, list[Any]]:
    """The descent from this network that is best on the validation languages, with its settings."""
    found = {}
    for setting in itertools.product(RATES, DESCENTS):
        found[setting] = torch.tensor(scores(descent(network, *setting), tasks, VALIDATION, seed)).nanmean()
    best = max(found, key=lambda setting: float(found[setting]))
    return descent(network, *best), [*best, float(found[best])]


def entry(seed: int, budget: float) -> Result:
    """All methods of a seed."""
    began, busy = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", qs.errors.DataWarning)  # repeats that are left out, and sentences above 80 bytes
        tasks = family(seed)
    steps, more, meta = (max(int(one * budget), 1) for one in (STEPS, MORE, META))
    pooled = tasks.train.with_(shots=1, queries=2 * SHOTS - 1)
    start = descent(tagger(tasks.train.target.count, seed), RATES[0], K)
    trained(start, pooled, steps, seed, Joint(), 3e-3)
    joint = descent(tagger(tasks.train.target.count, seed), RATES[0], K)
    joint.network.load_state_dict(start.network.state_dict())
    rates = LearnedRates(RATES[1], per="tensor", per_step=True)
    learned = qs.MAML(start.network, inner_lr=rates, inner_steps=K)
    seconds = [time.process_time()]
    trained(joint, pooled, more, seed + 1, Joint(), 3e-3)
    seconds.append(time.process_time())
    trained(learned, tasks.train.with_(queries=SHOTS), meta, seed + 1, qs.Backprop(), 3e-3)
    seconds.append(time.process_time())
    tuned, settings = chosen(joint.network, tasks.validation, seed)
    scratch, from_scratch = chosen(tagger(tasks.train.target.count, seed), tasks.validation, seed)
    by_steps = {n: float(torch.tensor(scores(learned, tasks.validation, VALIDATION, seed, n)).nanmean()) for n in INNER}
    inner = max(by_steps, key=lambda n: by_steps[n])
    asked: dict[str, tuple[qs.Learner, int | None]] = {
        "meta": (learned, inner),
        "joint": (tuned, None),
        "zero-shot": (tuned, 0),
        "scratch": (scratch, None),
    }
    each = {name: scores(one, tasks.test, EPISODES, seed, n) for name, (one, n) in asked.items()}
    row: Result = {name: heads.summed(_defined(values)) for name, values in each.items()}
    row["gain"] = heads.summed(_defined([a - b for a, b in zip(each["meta"], each["joint"], strict=True)]))
    row |= {"steps": steps, "chosen": {"joint": settings, "scratch": from_scratch, "meta": [inner, by_steps[inner]]}}
    row["training"] = {"joint": seconds[1] - seconds[0], "meta": seconds[2] - seconds[1]}
    row["seconds"], row["cpu"] = time.perf_counter() - began, time.process_time() - busy
    print(seed, {name: row[name] for name in (*METHODS, "gain", "chosen", "training")}, round(row["cpu"]), flush=True)
    return row


def _defined(values: Sequence[float]) -> list[float]:
    """Without the episodes that have no span; in per cent."""
    return [100 * one for one in values if one == one]


def page() -> str:
    """The table, from the JSON."""
    found = read(RESULTS)
    own = list(found.get("entries", {}).values())
    if not own:
        return "Not run.\n"
    said = {
        "meta": "meta-trained on ten-sentence tasks, then ten sentences",
        "joint": "joint training, then fine-tuned on the ten",
        "zero-shot": "joint training, without the ten",
        "scratch": "from scratch on the ten",
    }
    rows = ["| | span F1, % |", "|---|---|"]
    rows += [f"| {said[one]} | {cell(heads.over_seeds([row[one] for row in own]), '.1f')} |" for one in METHODS]
    rows.append(f"| meta-trained less fine-tuned, paired | {cell(heads.over_seeds([row['gain'] for row in own]), '.1f', '+')} |")
    each = "; ".join(f"{row['gain']['mean']:+.1f} +- {row['gain']['ci95']:.1f}" for row in own)
    training = ", ".join(f"{name} {sum(row['training'][name] for row in own) / len(own):.0f}" for name in ("joint", "meta"))
    rows += [
        "",
        f"Mean and 95 % interval over {len(own)} seeds, of one seed over its tasks. By seed, with intervals over tasks,"
        f" meta-training brings {each}. Seconds of one core behind the shared start: {training}."
        f" In all {sum(row['cpu'] for row in own):.0f} s of one core; {found['hardware']}, torch {found['torch']}.",
    ]
    return "\n".join(rows) + "\n"


def main() -> None:
    """The command; what stands in the JSON with as many steps is not run again."""
    options = command(__doc__, seeds=3).parse_args()
    torch.set_num_threads(1)
    if options.table:
        print(page())
        return
    for seed in range(options.seeds):
        found = read(RESULTS)
        own = found.setdefault("entries", {})
        if own.get(str(seed), {}).get("steps") == max(int(STEPS * options.budget), 1) and not options.force:
            continue
        own[str(seed)] = entry(seed, options.budget)
        write(RESULTS, found | {"hardware": hardware(), "torch": torch.__version__})
    print(page())


if __name__ == "__main__":
    main()

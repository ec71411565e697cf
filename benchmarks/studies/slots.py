"""Slots of a language never seen, from ten tagged sentences of it: xSID, span F1, by a small network over bytes.

    python -m benchmarks.studies.slots --data FOLDER                    what the JSON beside this does not hold yet
    python -m benchmarks.studies.slots --data FOLDER --seeds 1 --force
    python -m benchmarks.studies.slots --data FOLDER --budget 0.1       a tenth of the steps
    python -m benchmarks.studies.slots --table                          the table from the JSON

xSID 0.7, whose English training data are not at hand, without Norwegian (eleven dialect renderings of each sentence): 18
languages that hold the same sentences. Eleven train, with the English sentences of SNIPS as a twelfth group: xSID took half
of its English from it, and each slot of SNIPS is one slot of xSID (SAME, read off the sentences that both have, which are
left out). Three validate, four are new at the test. xSID's sentences are split too, so that none of the test has a
translation in training (`from_tokens(translations=)`), anew for each seed. The network is NGramWords, 48 wide and 3 deep, on
96 bytes.

joint        STEPS + MORE steps of Adam on the tags of the training languages, then descent on the ten sentences
meta         the same network after STEPS of these, then META meta-steps of MAML on tasks of ten sentences and ten queries: K
             inner steps, a learned rate for each table and step. META steps take about as long as MORE do
zero-shot    joint, without the ten sentences;      meta, 0      meta, without them
scratch      descent on the ten sentences from random weights

Letters are exchanged at random in LETTERS of the training tasks of both (`PermuteLetters`). Rule, rate, steps and which weights
adapt, for joint and scratch, and the inner steps of meta, are chosen on the validation languages. Tests are EPISODES episodes,
the same for all; differences are paired by episode, intervals over seeds are Student's.
"""

from __future__ import annotations

import itertools
import json
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import quickstudy as qs
from benchmarks.studies import transfer_heads as heads
from benchmarks.studies.study import Result, cell, command, read, run_seeds
from quickstudy.domains.text.clean import key
from quickstudy.domains.text.conll import read_conll
from quickstudy.domains.text.encoders import NGramWords
from quickstudy.learners.descend import SGD, Adam, LearnedRates
from quickstudy.tasks import GroupTasks, PermuteLetters, TaskFamily

RESULTS = Path(__file__).resolve().parent / "slots.json"
LANGUAGES = {
    "train": ("en", "de", "de-ba", "de-muc", "de-st", "gsw", "da", "it", "ar", "zh", "ja"),
    "validation": ("nl", "id", "sr"),
    "test": ("tr", "kk", "lt", "nap"),
}
SNIPS = "en, SNIPS"
PLACES = ("city", "country", "state", "current_location", "geographic_poi", "location_name", "poi", "spatial_relation")
SAME = dict.fromkeys(PLACES, "location") | {"playlist_owner": "reference", "timeRange": "datetime", "year": "datetime"}
STEPS, MORE, META, TASKS, K, LETTERS, RATE = 1800, 1000, 75, 2, 5, 0.7, 3.0
SHOTS, QUERIES, EPISODES, VALIDATION, BATCH = 10, 20, 40, 12, 30
ADAPTS = "tables.*"  # what adapts in meta: the n-grams' rows
DESCENTS = (
    ("tables.*", SGD(), 5.0, 10),
    ("tables.*", Adam(), 0.01, 10),
    ("tables.*", Adam(), 0.01, 30),
    ("*", SGD(), 0.3, 10),
    ("*", Adam(), 0.003, 10),
)
FROM_SCRATCH = (("*", Adam(), 0.003, 30), ("*", Adam(), 0.01, 30))
INNER = (K, 2 * K)
METHODS = ("meta", "meta, 0", "joint", "zero-shot", "scratch")


def family(data: Path, seed: int) -> TaskFamily[GroupTasks]:
    """The languages, each with the sentences of its part, and SNIPS."""
    folder = data / "xsid" / "xSID-0.7"
    english = {key(one.comments["text"]) for part in ("valid", "test") for one in read_conll(folder / f"en.{part}.conll", word=1)}
    rows = []
    for language, part in itertools.product((name for names in LANGUAGES.values() for name in names), ("valid", "test")):
        for one in read_conll(folder / f"{language}.{part}.conll", word=1):
            meaning = key(one.comments.get("text-en", one.comments["text"]))
            if meaning in english:  # a few have typing errors
                rows.append((one.tokens, one.tags, language, meaning))
    known = {tag for _, tags, _, _ in rows for tag in tags}
    for tokens, tags in snips(data):
        if (meaning := key(" ".join(tokens))) not in english and known.issuperset(tags):
            rows.append((tokens, tags, SNIPS, meaning))
    tokens, tags, languages, meanings = zip(*rows, strict=True)
    split = LANGUAGES | {"train": (*LANGUAGES["train"], SNIPS)}
    options: dict[str, Any] = {"repeats": "leave out", "shots": SHOTS, "queries": QUERIES, "length": 96}
    return qs.tasks.from_tokens(tokens, tags, languages, translations=meanings, split=split, seed=seed, **options)


def snips(data: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Words and tags of SNIPS, in the slots of xSID."""
    for path in sorted((data / "snips").glob("*.json")):
        for sentence in next(iter(json.loads(path.read_text(encoding="utf-8", errors="replace")).values())):
            words: list[str] = []
            tags: list[str] = []
            for piece in sentence["data"]:
                slot, own = piece.get("entity"), piece["text"].split()
                words += own
                tags += ["O" if slot is None else f"{'I' if place else 'B'}-{SAME.get(slot, slot)}" for place in range(len(own))]
            if words:
                yield words, tags


def tagger(outputs: int, seed: int) -> nn.Module:
    return NGramWords(features=outputs, width=48, depth=3, pool=False, seed=seed)


def trained_jointly(network: nn.Module, tasks: GroupTasks, steps: int, seed: int) -> None:
    """Steps of Adam, whose rate falls to 0, on sentences of two groups, each with letters of its own."""
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    pooled = tasks.with_(shots=1, queries=BATCH // TASKS)
    for _ in range(steps):
        query = pooled.sample(TASKS, generator=generator).query.map(lambda leaf: leaf.flatten(0, 1))
        optimizer.zero_grad()
        query.target.mean(network(**query.x), query.y).backward()
        optimizer.step()
        schedule.step()


def meta_trained(learner: qs.Learner, tasks: GroupTasks, steps: int, seed: int) -> None:
    """Meta-steps of Adam, whose rates fall to 0; that of the inner rates is larger."""

    def optimizer(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        every = list(parameters)
        inner = [one for one in every if one.shape == (K,)]  # a rate for each step
        others = [one for one in every if one.shape != (K,)]
        return torch.optim.Adam([{"params": others}, {"params": inner, "lr": 0.05}], lr=1e-3)

    fall = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=steps)
    options: dict[str, Any] = {"tasks_per_step": TASKS, "executor": "loop", "progress": False, "clip": 5.0}
    qs.meta_train(learner, tasks, steps=steps, seed=seed, outer=qs.Gradient(qs.Backprop(), optimizer, fall), **options)


def descent(network: nn.Module, adapts: str, rule: Any, rate: float, steps: int) -> qs.Descent:
    clip = 1.0 if isinstance(rule, SGD) else None
    return qs.Descent(
        network, inner_lr=rate, inner_steps=steps, hypergradient=qs.FirstOrder(), rule=rule, clip=clip, adapts=adapts
    )


def scores(learner: qs.Learner, tasks: GroupTasks, episodes: int, seed: int, steps: int | None = None) -> list[float]:
    """The span F1 of every episode."""
    return qs.evaluate(learner, tasks, episodes, seed, steps, metrics=["span_f1"], executor="loop").per_episode


def chosen(network: nn.Module, tasks: GroupTasks, seed: int, settings: Sequence[Any]) -> tuple[qs.Descent, list[Any]]:
    """The descent from this network that is best on the validation languages, with its settings and score."""

    def score(setting: Any) -> float:
        return float(torch.tensor(scores(descent(network, *setting), tasks, VALIDATION, seed)).nanmean())

    found = [score(setting) for setting in settings]
    best = max(range(len(settings)), key=found.__getitem__)
    adapts, rule, rate, steps = settings[best]
    return descent(network, *settings[best]), [adapts, type(rule).__name__, rate, steps, found[best]]


def entry(data: Path, seed: int, budget: float) -> Result:
    """All methods of a seed."""
    began, busy = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", qs.errors.DataWarning)  # repeats that are left out, and sentences above 96 bytes
        tasks = family(data, seed)
    steps, more, meta = (max(int(one * budget), 1) for one in (STEPS, MORE, META))
    train = tasks.train.with_()
    train.augment = (PermuteLetters(LETTERS),)
    joint, start = (tagger(train.target.count, seed) for _ in range(2))
    trained_jointly(joint, train, steps, seed)
    start.load_state_dict(joint.state_dict())
    rates = LearnedRates(RATE, per="tensor", per_step=True)
    learned = qs.MAML(start, inner_lr=rates, inner_steps=K, adapts=ADAPTS)
    seconds = [time.process_time()]
    trained_jointly(joint, train, more, seed + 1)
    seconds.append(time.process_time())
    meta_trained(learned, train.with_(queries=SHOTS), meta, seed + 1)
    seconds.append(time.process_time())
    tuned, settings = chosen(joint, tasks.validation, seed, DESCENTS)
    scratch, from_scratch = chosen(tagger(train.target.count, seed), tasks.validation, seed, FROM_SCRATCH)
    by_steps = {n: float(torch.tensor(scores(learned, tasks.validation, VALIDATION, seed, n)).nanmean()) for n in INNER}
    inner = max(by_steps, key=lambda n: by_steps[n])
    asked: dict[str, tuple[qs.Learner, int | None]] = {
        "meta": (learned, inner),
        "meta, 0": (learned, 0),
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
        "meta, 0": "meta-trained, without the ten",
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
    gains = [row["gain"]["mean"] for row in own]
    beats = "is above" if min(gains) > 0 else "is not above"
    rows += ["", f"On tasks of ten sentences, meta-training {beats} joint training + fine-tuning at equal time."]
    if tried := found.get("tried"):
        title = "tried by hand with a forerunner of the network, validation languages of seed 0"
        rows += ["", f"| {title} | episodes | without the ten | with the ten | how |", "|---" * 5 + "|"]
        rows += [f"| {one['what']} | {one['episodes']} | {one['before']} | {one['after']} | {one['how']} |" for one in tried]
    return "\n".join(rows) + "\n"


def main() -> None:
    """The command; what stands in the JSON with as many steps is not run again."""
    made = command(__doc__, seeds=3)
    made.add_argument("--data", type=Path, help="the folder of xsid/ and snips/")
    options = made.parse_args()
    run_seeds(options, RESULTS, STEPS, lambda seed: entry(options.data, seed, options.budget), page)


if __name__ == "__main__":
    main()

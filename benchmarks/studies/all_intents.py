"""All intents of a data set at once, by a head that was meta-trained on another data set; and questions of no intent.

    python -m benchmarks.studies.all_intents --data FOLDER --minilm FOLDER --cache FOLDER
    python -m benchmarks.studies.all_intents --table                    the tables from the JSON

BANKING77, 77-way: support of K a class from its training file, every text of its test file as a query. The head of intents.py is
meta-trained on CLINC150, 20-way 5-shot, once on all of its domains but HELD and once also without LIKE, which are about the
same things. HELD are the meta-validation domains: they chose the learning rate (seed 0, all domains) and choose the step of each
run. SEEDS seeds, each with its own training and its own support; all rows see the same support. Intervals are Student's.

A second learner descends: a softmax head that begins at the centroids (`PrototypeHead`) takes 20 steps on the support, whose
rates are meta-learned, and whose scale is of SCALES the one that is best on HELD (seed 0, all domains). Its loss is summed over
classes, so that a rate holds for any number of them. It was added after the rows above it had been read, and after a search by
hand that had also looked at three seeds of this test.

CLINC150, 150-way: the other way round, meta-trained on BANKING77 (its last 20 intents by name are for validation; the rate is
the one above). Queries are the test file, and its 1,000 questions that are of no intent ("oos"): the AUROC is that of the score
that tells the two apart, of MaxProbability and Energy the one that calibrate() takes on the meta-validation classes.
"""

from __future__ import annotations

import csv
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.intents import CHARACTERS, arguments, minilm
from benchmarks.studies.study import Result, cell, interval, read, write
from quickstudy.domains.text.encoder import TextEncoder, encoded
from quickstudy.evaluation.head_choice import with_head
from quickstudy.evaluation.ood_scores import auroc
from quickstudy.learners.descend import LearnedRates, PrototypeHead

RESULTS = Path(__file__).resolve().parent / "all_intents.json"
HELD, LIKE = ("kitchen_and_dining", "work"), ("banking", "credit_cards")
COLUMNS = {"all domains": (), "without banking and credit_cards": LIKE}
SHOTS, SEEDS, STEPS, TASKS, WAYS = (5, 10), 5, 300, 8, 20  # a run is trained at the first number of shots
SCALES, INNER_STEPS, INNER_RATE, RATE_OF_RATES = (1.5, 2.2, 3.2), 20, 0.5, 0.03
NONE = "oos"
RATES = (3e-4, 1e-3, 3e-3)
Texts = tuple[list[str], list[str]]


# ---- the data -------------------------------------------------------------------------------------------------------------


def banking(data: Path, part: str) -> Texts:
    """Texts and intents of one of BANKING77's files."""
    with open(data / "banking77" / f"{part}.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"].lower() for row in rows]


def clinc(data: Path, *parts: str) -> Texts:
    """Texts and intents of parts of CLINC150."""
    every = json.loads((data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    rows = [row for part in parts for row in every[part]]
    return [text for text, _ in rows], [label for _, label in rows]


def to_train(texts: Texts, split: dict[str, list[str]], encoder: TextEncoder, cache: str) -> Any:
    """20-way tasks of the classes of a split; a text in two classes is left out."""
    parts = {}
    for part, names in split.items():
        rows = [row for row, label in enumerate(texts[1]) if label in names]
        options: dict[str, Any] = {"ways": WAYS, "shots": SHOTS[0], "queries": 5, "repeats": "leave out", "progress": False}
        chosen = [texts[0][row] for row in rows], [texts[1][row] for row in rows]
        parts[part] = qs.tasks.from_texts(*chosen, encoder=encoder, cache=cache, part="test", **options).test
    return qs.tasks.TaskFamily(parts["train"], parts["validation"], None)


def on_clinc(data: Path, without: tuple[str, ...], encoder: TextEncoder, cache: str) -> Any:
    """CLINC150 without some domains."""
    domains = json.loads((data / "clinc150" / "domains.json").read_text(encoding="utf-8"))
    part = lambda wanted: [name for domain in domains if wanted(domain) for name in domains[domain]]  # noqa: E731
    split = {"train": part(lambda one: one not in (*HELD, *without)), "validation": part(lambda one: one in HELD)}
    return to_train(clinc(data, "train", "val", "test"), split, encoder, cache)


def on_banking(data: Path, encoder: TextEncoder, cache: str) -> Any:
    """BANKING77."""
    parts = [banking(data, part) for part in ("train", "test")]
    texts = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    names = sorted(set(texts[1]))
    return to_train(texts, {"train": names[:-20], "validation": names[-20:]}, encoder, cache)


# ---- one seed -------------------------------------------------------------------------------------------------------------


def trained(family: Any, rate: float, seed: int, budget: float, learner: qs.Learner | None = None) -> tuple[qs.Learner, Result]:
    """The head after meta-training, and its score on the meta-validation classes."""
    torch.manual_seed(seed)
    learner = qs.Prototypical(qs.models.ResidualLinear(family.preprocessing.features)) if learner is None else learner
    run = qs.meta_train(
        learner,
        family,
        steps=max(int(STEPS * budget), 1),
        tasks_per_step=TASKS,
        outer=qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=rate)),
        executor="loop",
        seed=seed,
        progress=False,
    )
    assert run.best is not None
    return learner, run.best


class Scaled(nn.Module):
    """a z."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * z


def by_class(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy, the mean over the examples of a class and the sum over classes."""
    return logits.shape[-1] * F.cross_entropy(logits, y)


def descending(scale: float) -> qs.Learner:
    """A head from the centroids on, by steps with learned rates."""
    rates = LearnedRates(INNER_RATE / scale**2, per="tensor")
    return PrototypeHead(Scaled(scale), inner_lr=rates, inner_steps=INNER_STEPS, loss=by_class)


def support(texts: Texts, shots: int, seed: int) -> tuple[list[int], Tensor]:
    """The rows of `shots` texts of each class, and their labels."""
    order = torch.randperm(len(texts[0]), generator=torch.Generator().manual_seed(seed)).tolist()
    rows = {name: [row for row in order if texts[1][row] == name][:shots] for name in sorted(set(texts[1]))}
    return [row for own in rows.values() for row in own], torch.arange(len(rows)).repeat_interleave(shots)


def heads(learner: qs.Learner) -> dict[str, qs.Learner]:
    """The learner with each head."""
    return {"centroid": learner} | {name: with_head(learner, name) for name in ("ridge", "logistic")}


def answers(learners: dict[str, qs.Learner], known: Tensor, y: Tensor, asked: Tensor) -> dict[str, Tensor]:
    """The logits (queries, ways) of each learner from one support."""
    examples = qs.Examples(known, y, ways=int(y.max()) + 1)
    return {name: learner.adapt(examples)(asked) for name, learner in learners.items()}


def characters(known: list[str], y: Tensor, asked: list[str], truth: Tensor) -> float:
    """TF-IDF of characters and logistic regression, from the support alone, in %."""
    vectors = CHARACTERS().fit(known)
    model = LogisticRegression(max_iter=1000).fit(vectors.transform(known), y)
    return 100 * float(model.score(vectors.transform(asked), truth))


def banking_seed(data: Path, seed: int, rate: float, encoder: TextEncoder, cache: str, budget: float) -> Result:
    """The accuracy of each row on BANKING77's 77 classes, by the number of shots."""
    found: Result = {}
    learners = {f"frozen, {name}": one for name, one in heads(qs.Prototypical(nn.Identity())).items()}
    for column, without in COLUMNS.items():
        learner, found[f"validation, {column}"] = trained(on_clinc(data, without, encoder, cache), rate, seed, budget)
        learners |= {f"{column}, {name}": one for name, one in heads(learner).items() if name != "logistic"}
    known, asked = banking(data, "train"), banking(data, "test")
    names = sorted(set(known[1]))
    truth = torch.tensor([names.index(name) for name in asked[1]])
    q = encoded(asked[0], encoder, cache, progress=False)
    for shots in SHOTS:
        rows, y = support(known, shots, seed)
        texts = [known[0][row] for row in rows]
        logits = answers(learners, encoded(texts, encoder, cache, progress=False), y, q)
        scores = {name: 100 * float((one.argmax(1) == truth).float().mean()) for name, one in logits.items()}
        found[str(shots)] = {"characters": characters(texts, y, asked[0], truth), **scores}
    return found


def descent_seed(data: Path, seed: int, scale: float, encoder: TextEncoder, cache: str, budget: float) -> Result:
    """The accuracy of the learner that descends on BANKING77's 77 classes, on the supports of `banking_seed`."""
    found: Result = {}
    learners: dict[str, qs.Learner] = {"frozen, descent": descending(scale)}  # its rates as they are at first
    for column, without in COLUMNS.items():
        family = on_clinc(data, without, encoder, cache)
        learner, best = trained(family, RATE_OF_RATES, seed, budget, descending(scale))
        learners[f"{column}, descent"], found[f"validation, {column}, descent"] = learner, best
    known, asked = banking(data, "train"), banking(data, "test")
    names = sorted(set(known[1]))
    truth = torch.tensor([names.index(name) for name in asked[1]])
    q = encoded(asked[0], encoder, cache, progress=False)
    for shots in SHOTS:
        rows, y = support(known, shots, seed)
        logits = answers(learners, encoded([known[0][row] for row in rows], encoder, cache, progress=False), y, q)
        found[str(shots)] = {name: 100 * float((one.argmax(1) == truth).float().mean()) for name, one in logits.items()}
    return found


def clinc_seed(data: Path, seed: int, rate: float, encoder: TextEncoder, cache: str, budget: float) -> Result:
    """The accuracy of each row on CLINC150's 150 classes, and the AUROC of its score for questions of no intent."""
    family, found = on_banking(data, encoder, cache), dict[str, Any]()
    learner, found["validation"] = trained(family, rate, seed, budget)
    learners = {"frozen": qs.Prototypical(nn.Identity()), "meta-trained": learner}
    known, asked = clinc(data, "train"), clinc(data, "test", "oos_test")
    names = sorted(set(known[1]))
    truth = torch.tensor([names.index(name) if name != NONE else -1 for name in asked[1]])
    q, inside = encoded(asked[0], encoder, cache, progress=False), truth >= 0
    for shots in SHOTS:
        rows, y = support(known, shots, seed)
        z = encoded([known[0][row] for row in rows], encoder, cache, progress=False)
        own = found[str(shots)] = {}
        for name, logits in answers(learners, z, y, q).items():
            calibration = qs.calibrate(learners[name], family.validation.with_(ways=15, shots=shots), episodes=100, seed=seed)
            scores = calibration.scores(logits.double())
            own[name] = 100 * float((logits[inside].argmax(1) == truth[inside]).float().mean())
            own[f"{name}, auroc"] = 100 * auroc(scores[inside], scores[~inside])
            own[f"{name}, score"] = calibration.score
    return found


# ---- the pages ------------------------------------------------------------------------------------------------------------


TITLES = {
    "characters": "TF-IDF of characters + logistic regression",
    "frozen, centroid": "frozen MiniLM + centroid",
    "frozen, ridge": "frozen MiniLM + ridge",
    "frozen, logistic": "frozen MiniLM + logistic regression",
    "frozen, descent": "frozen MiniLM + centroid + descent, rates not learned",
} | {
    f"{column}, {head}": f"head meta-trained on CLINC150, {column}; {title}"
    for column in COLUMNS
    for head, title in (("centroid", "centroid"), ("ridge", "ridge"), ("descent", "centroid + descent"))
}


def page() -> str:
    """The tables, from the JSON."""
    found = read(RESULTS)
    if "runs" not in found:
        return "Not run.\n"
    seeds = {kind: [run for key, run in found["runs"].items() if key.startswith(kind)] for kind in ("banking", "clinc")}
    steps = [found["runs"].get(f"descent {seed}", {}) for seed in range(len(seeds["banking"]))]
    for run, more in zip(seeds["banking"], steps, strict=True):
        for shots in map(str, SHOTS):
            run[shots] |= more.get(shots, {})
    runs = lambda kind, shots: [run[str(shots)] for run in seeds[kind]]  # noqa: E731
    lines = [
        "| BANKING77, 77-way | 5-shot | less the frozen centroid | 10-shot | less the frozen centroid |",
        "|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        cells = [text for shots in SHOTS for text in _cells(runs("banking", shots), name, "frozen, centroid")]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += ["", "| CLINC150, 150-way | 5-shot | AUROC of no intent | 10-shot | AUROC of no intent |", "|---|---|---|---|---|"]
    for name, title in (("frozen", "frozen MiniLM + centroid"), ("meta-trained", "head meta-trained on BANKING77, centroid")):
        keys = [(shots, key) for shots in SHOTS for key in (name, f"{name}, auroc")]
        cells = [
            cell(interval([run[key] for run in runs("clinc", shots)])) if runs("clinc", shots) else "not run"
            for shots, key in keys
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    gains = [_cells(runs("clinc", shots), key, other)[1] for shots in SHOTS for key, other in
             (("meta-trained", "frozen"), ("meta-trained, auroc", "frozen, auroc"))]  # fmt: skip
    lines.append("| meta-trained less frozen, paired | " + " | ".join(gains) + " |")
    lines += [
        "",
        f"In %, mean and 95 % interval over seeds ({len(seeds['banking'])} of BANKING77, {len(seeds['clinc'])} of CLINC150). "
        f"Adam at {found['rate']:g}, of {', '.join(f'{rate:g}' for rate in RATES)}; {found['hardware']}; "
        f"{found['seconds']:.0f} s of one core beside the features.",
    ]
    return "\n".join(lines) + "\n"


def _cells(runs: list[Result], name: str, base: str) -> tuple[str, str]:
    if not runs or any(name not in run for run in runs):
        return "not run", ""
    less = cell(interval([run[name] - run[base] for run in runs]), ".2f", "+") if name != base else ""
    return cell(interval([run[name] for run in runs])), less


def main() -> None:
    """The command."""
    options = arguments(__doc__)
    if options.table:
        print(page())
        return
    torch.set_num_threads(1)
    data, encoder, begun = Path(options.data), minilm(options.minilm), time.process_time()
    found = {} if options.force else read(RESULTS)
    found["hardware"] = f"{hardware()}, 1 thread, torch {torch.__version__}"
    rest = encoder, options.cache, options.budget
    if "rate" not in found:
        family = on_clinc(data, (), encoder, options.cache)
        found["pilots"] = {f"{rate:g}": trained(family, rate, 0, options.budget)[1]["score"] for rate in RATES}
        found["rate"] = max(RATES, key=lambda rate: found["pilots"][f"{rate:g}"])
        print(json.dumps(found["pilots"]), flush=True)
    if "scale" not in found:
        family = on_clinc(data, (), encoder, options.cache)
        pilot = lambda scale: trained(family, RATE_OF_RATES, 0, options.budget, descending(scale))[1]["score"]  # noqa: E731
        found["pilots of the scale"] = {f"{scale:g}": pilot(scale) for scale in SCALES}
        found["scale"] = max(SCALES, key=lambda scale: found["pilots of the scale"][f"{scale:g}"])
        print(json.dumps(found["pilots of the scale"]), flush=True)
    jobs = (("banking", banking_seed, "rate"), ("clinc", clinc_seed, "rate"), ("descent", descent_seed, "scale"))
    for seed in range(SEEDS):
        for kind, run, setting in jobs:
            if (key := f"{kind} {seed}") in found.setdefault("runs", {}):
                continue
            found["runs"][key] = run(data, seed, found[setting], *rest)
            found["seconds"] = found.get("seconds", 0.0) + time.process_time() - begun
            begun = time.process_time()
            write(RESULTS, found)
            print(key, json.dumps({shots: found["runs"][key][str(shots)] for shots in SHOTS}), flush=True)


if __name__ == "__main__":
    main()

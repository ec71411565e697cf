"""The scores of the learners of texts that come along, beside what one would use instead, on data that nothing looked at.

python -m benchmarks.make.pretrained_intents_scores --data FOLDER --minilm FOLDER --cache FOLDER [--only intents|intents-minilm]

writes scores.json beside each learner. --data is the folder with snips/, xsid/ and sib200/. 5-way tasks of SNIPS (its 7 intents,
the validation files), of xSID's English sentences (intents with LEAST or more) and of the topics of SIB-200's English sentences.
All learners see the same tasks. Where a class has several examples, the head on a learner's features is chosen by the support,
as `quickstudy predict` does. The controls learn from the support alone: logistic regression on TF-IDF of characters and of words;
for the head on frozen features, the nearest centroid of these and logistic regression on them.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.make.pretrained_intents import LENGTH, PRETRAINED, TRAINED_ON, intents
from benchmarks.studies.intents import CHARACTERS, WORDS, TermFrequencies, minilm
from benchmarks.studies.study import interval
from quickstudy.artifacts.store import weights_hash
from quickstudy.domains.text.clean import key
from quickstudy.domains.text.conll import read_conll
from quickstudy.evaluation.head_choice import choose_head
from quickstudy.files import write_json

COMMAND = "python -m benchmarks.make.pretrained_intents_scores --data FOLDER --minilm FOLDER --cache FOLDER"
WAYS, SHOTS, QUERIES, EPISODES, LEAST = 5, (1, 5), 10, 200, 20
Texts = tuple[list[str], list[str]]
Answer = Callable[[qs.Examples, Tensor], Tensor]  # the classes of queries, from a support


# ---- the data -------------------------------------------------------------------------------------------------------------


def snips(data: Path) -> Texts:
    """The validation files of SNIPS."""
    pairs = []
    for file in sorted((data / "snips").glob("validate_*.json")):
        for label, rows in json.loads(file.read_text(encoding="utf-8")).items():
            pairs += [("".join(part["text"] for part in row["data"]), label) for row in rows]
    return _columns(pairs)


def xsid(data: Path) -> Texts:
    """English sentences of xSID by their intents, where there are LEAST or more of one."""
    files = [data / "xsid" / "xSID-0.7" / f"en.{part}.conll" for part in ("valid", "test")]
    pairs = [(one.comments["text"], one.comments["intent"]) for file in files for one in read_conll(file, word=1)]
    count = Counter(label for _, label in {(key(text), label) for text, label in pairs})
    return _columns([(text, label) for text, label in pairs if count[label] >= LEAST])


def sib200(data: Path) -> Texts:
    """English sentences of SIB-200 by their topics."""
    pairs = []
    with zipfile.ZipFile(next((data / "sib200").glob("*.zip"))) as archive:
        for part in ("train", "dev", "test"):
            lines = archive.read(f"annotated/eng_Latn/{part}.tsv").decode("utf-8").split("\n")[1:]
            pairs += [(text, label) for _, label, text in (line.split("\t") for line in lines if line.strip())]
    return _columns(pairs)


def _columns(pairs: list[tuple[str, str]]) -> Texts:
    return [text for text, _ in pairs], [label for _, label in pairs]


SETS = {"SNIPS, intents": snips, "xSID in English, intents": xsid, "SIB-200 in English, topics": sib200}


# ---- the scores -----------------------------------------------------------------------------------------------------------


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name in ("data", "minilm", "cache"):
        made.add_argument(f"--{name}", help="see above")
    made.add_argument("--only", choices=("intents", "intents-minilm"))
    options = made.parse_args()
    torch.set_num_threads(1)
    for name in ("intents", "intents-minilm"):
        if options.only in (None, name):
            write(name, Path(options.data), minilm(options.minilm) if name == "intents-minilm" else None, options.cache)


def write(name: str, data: Path, encoder: Any, cache: str | None) -> None:
    """scores.json of a learner."""
    seen = {key(text) for text in intents(data)[0]}
    rows: list[dict[str, Any]] = []
    for title, of in SETS.items():
        texts = _columns([pair for pair in zip(*of(data), strict=True) if key(pair[0]) not in seen])
        for shots in SHOTS:
            for who, right in scored(name, texts, shots, encoder, cache).items():
                mean, half = interval(right)
                row = {"tasks": title, "learner": who, "ways": WAYS, "shots": shots, "queries": QUERIES, "episodes": EPISODES}
                rows.append(row | {"seed": 0, "accuracy": mean, "ci95": half})
                print(title, who, shots, mean, half, flush=True)
    record = {"trained_on": TRAINED_ON, "of": weights_hash(PRETRAINED / name / "learner"), "scores": rows}
    write_json(PRETRAINED / name / "scores.json", {**record, "command": COMMAND, "date": date.today().isoformat()}, indent=1)


def scored(name: str, texts: Texts, shots: int, encoder: Any, cache: str | None) -> dict[str, list[float]]:
    """The accuracy of every learner on every task."""
    looked_up = TermFrequencies()
    settings: dict[str, Any] = {"ways": WAYS, "shots": shots, "queries": QUERIES, "part": "test", "repeats": "leave out"}
    plain = qs.tasks.from_texts(*texts, encoder=looked_up, progress=False, **settings).test
    reads: dict[str, Any] = {"length": LENGTH} if encoder is None else {"encoder": encoder, "cache": cache, "progress": False}
    seen = qs.tasks.from_texts(*texts, **reads, **settings).test
    learner = qs.load(name)
    frozen = qs.Prototypical(nn.Identity())
    answers: dict[str, tuple[Any, Answer]] = {
        name: (seen, lambda support, x: choose_head(learner, support).adapt(support)(x).argmax(1)),
        "TF-IDF of characters, logistic regression": (plain, by_frequencies(looked_up.texts, CHARACTERS)),
        "TF-IDF of words, logistic regression": (plain, by_frequencies(looked_up.texts, WORDS)),
    }
    if encoder is not None:
        answers["frozen, nearest centroid"] = (seen, lambda support, x: frozen.adapt(support)(x).argmax(1))
        answers["frozen, logistic regression"] = (seen, by_regression)
    found = {}
    for who, (tasks, answer) in answers.items():
        episodes = tasks.sample(EPISODES, generator=torch.Generator().manual_seed(0))
        found[who] = [float((answer(one.support, one.query.x) == one.query.y).float().mean()) for one in episodes]
    return found


def by_frequencies(texts: list[str], frequencies: Callable[[], Any]) -> Answer:
    """Logistic regression on the words or characters of the texts whose rows are given."""

    def answer(support: qs.Examples, x: Tensor) -> Tensor:
        known, asked = ([texts[int(row)] for row in part[:, 0]] for part in (support.x, x))
        vectors = frequencies().fit(known)
        model = LogisticRegression(max_iter=1000).fit(vectors.transform(known), support.y)
        return torch.from_numpy(model.predict(vectors.transform(asked)))

    return answer


def by_regression(support: qs.Examples, x: Tensor) -> Tensor:
    """Logistic regression on features."""
    return torch.from_numpy(LogisticRegression(max_iter=1000).fit(support.x, support.y).predict(x))


if __name__ == "__main__":
    main()

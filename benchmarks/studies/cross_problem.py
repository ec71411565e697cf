"""Across problems: a head made of the support, meta-trained on intents and topics together, on problems of other kinds.

    python -m benchmarks.studies.cross_problem --data FOLDER            what the JSON beside this does not hold yet
    python -m benchmarks.studies.cross_problem --data FOLDER --seeds 1 --force
    python -m benchmarks.studies.cross_problem --table                  the tables from the JSON

Meta-training is on a `Mixture` of three problems: intents of CLINC150 (without oos), intents of BANKING77, and topics of SIB-200
in eight languages, each with its own number of classes and of shots. Thirty of CLINC150's intents, twenty of BANKING77's and two
languages of SIB-200 (other sentences) validate. Tested are three problems of no data set that was seen:

intents of SNIPS            7-way, other data and coarser classes
types of phrases            12-way, of the slots of SNIPS: "which is it: an artist, a place, ...", a phrase without its sentence
intents in Turkish          xSID, as many classes as have enough texts: a language that was not seen

A text of the tested problems that meta-training has is left out there, and so is one that two problems of it share. The network
is NGramFrequencies on 96 bytes: TF-IDF of n-grams whose weights are learned, beside a projection of them that is learned too.

generated     META meta-steps of LEOPARD: `GeneratedHead`, INNER inner steps in first order, a learned rate for each layer and
              step
prototypes    the same network, the class means of its embedding
prototypical  the network meta-trained as a Prototypical one, on the same tasks, MEANS meta-steps
joint         JOINT steps on all classes of all three problems, a softmax for each; then a cosine head from the class means, and
              all of the network, by steps of Adam on the support. JOINT steps take about as long as META meta-steps
joint, means  the same network, the class means alone
TF-IDF        of characters, and logistic regression, from the support alone

All see the same episodes. The rate and the steps of fine-tuning, and the inner steps of `generated` in the test, are chosen on
the validation classes; so was the network, of this and NGramWords, and so were the rates of the outer loops. Slots are not
among the problems: `GeneratedHead` makes a class of an example, not of a token.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.studies import transfer_heads as heads
from benchmarks.studies.all_intents import banking, clinc
from benchmarks.studies.intents import CHARACTERS
from benchmarks.studies.study import Result, cell, command, read, run_seeds
from quickstudy.domains.text.clean import key
from quickstudy.domains.text.conll import read_conll
from quickstudy.domains.text.encoders import NGramFrequencies
from quickstudy.recipes.further import LEOPARD
from quickstudy.tasks import LabelledTasks, MixedTasks, TaskFamily

RESULTS = Path(__file__).resolve().parent / "cross_problem.json"
TRAINING = ("eng_Latn", "fra_Latn", "spa_Latn", "por_Latn", "swe_Latn", "pol_Latn", "rus_Cyrl", "ind_Latn")
VALIDATING = ("nld_Latn", "ces_Latn")
LENGTH, BUCKETS, PROJECTED = 96, 4096, 32
FEATURES = BUCKETS + PROJECTED
JOINT, META, MEANS, TASKS, INNER = 900, 100, 150, 3, 4
SHOTS, QUERIES, EPISODES, VALIDATION = (4, 8, 16), 8, 10, 4
DESCENTS = ((3e-3, 10), (1e-2, 10))  # rate and steps of fine-tuning
INNER_STEPS = (INNER, 2 * INNER)
ADAPTS, INNER_RATE = "*", 0.1
METHODS = ("generated", "prototypes", "prototypical", "joint", "joint, means", "TF-IDF")
PROBLEMS = {"snips": "intents of SNIPS", "types": "types of phrases", "turkish": "intents in Turkish"}
Texts = tuple[list[str], list[str]]


# ---- the problems ---------------------------------------------------------------------------------------------------------


def snips(data: Path, part: str) -> Iterable[tuple[str, list[tuple[str, str | None]]]]:
    """Intent and parts (text, slot) of every sentence of SNIPS' files of this part: "train" or "validate"."""
    for path in sorted((data / "snips").glob(f"{part}_*.json")):
        for intent, sentences in json.loads(path.read_text(encoding="utf-8", errors="replace")).items():
            for one in sentences:
                yield intent, [(piece["text"], piece.get("entity")) for piece in one["data"]]


def tested(data: Path) -> dict[str, Texts]:
    """The problems that are scored: texts and classes of each, a text once."""
    sentences = [("".join(text for text, _ in parts), intent) for intent, parts in snips(data, "validate")]
    phrases = [(text, slot) for part in ("train", "validate") for _, parts in snips(data, part) for text, slot in parts if slot]
    turkish = [
        (" ".join(one.tokens), one.comments["intent"])
        for part in ("valid", "test")
        for one in read_conll(data / "xsid" / "xSID-0.7" / f"tr.{part}.conll", word=1)
    ]
    found = {"snips": sentences, "types": phrases, "turkish": turkish}
    return {name: _large_enough(_once(rows)) for name, rows in found.items()}


def _once(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each text once, and none that has two classes."""
    classes: dict[str, set[str]] = {}
    first: dict[str, tuple[str, str]] = {}
    for text, name in rows:
        if own := key(text):
            classes.setdefault(own, set()).add(name)
            first.setdefault(own, (text, name))
    return [row for own, row in first.items() if len(classes[own]) == 1]


def _large_enough(rows: Sequence[tuple[str, str]]) -> Texts:
    """The classes with texts for the largest support and its queries."""
    counts = Counter(name for _, name in rows)
    kept = [row for row in rows if counts[row[1]] >= max(SHOTS) + QUERIES]
    return [text for text, _ in kept], [name for _, name in kept]


def seen(data: Path) -> set[str]:
    """The keys of what no text of meta-training may be: those of SNIPS and of xSID, of all parts, intents and languages."""
    texts = {"".join(text for text, _ in parts) for part in ("train", "validate") for _, parts in snips(data, part)}
    texts |= {text for text, _ in zip(*tested(data)["types"], strict=True)}
    for path in sorted((data / "xsid" / "xSID-0.7").glob("*.conll")):
        texts |= {one.comments["text"] for one in read_conll(path, word=1)}
    return {key(text) for text in texts}


def topics(data: Path, languages: Sequence[str], parts: Sequence[str]) -> Texts:
    """Sentences of SIB-200; a class is a topic in a language."""
    texts, labels = [], []
    with zipfile.ZipFile(data / "sib200" / "sib200_40lang.zip") as archive:
        for language, part in itertools.product(languages, parts):
            rows = io.StringIO(archive.read(f"annotated/{language}/{part}.tsv").decode("utf-8"))
            for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE):
                texts.append(row["text"])
                labels.append(f"{language}/{row['category']}")
    return texts, labels


def mixture(data: Path, seed: int) -> Any:
    """The problems of meta-training; which intents validate is drawn by the seed."""
    generator, without = torch.Generator().manual_seed(seed), seen(data)
    both = banking(data, "train"), banking(data, "test")
    intents = {"clinc": clinc(data, "train", "val", "test"), "banking": (both[0][0] + both[1][0], both[0][1] + both[1][1])}
    shared = set.intersection(*(set(labels) for _, labels in intents.values()))  # one intent is in both: it trains in both
    families = {}
    for name, (texts, labels) in intents.items():
        names = sorted(set(labels) - shared)
        held = {names[place] for place in torch.randperm(len(names), generator=generator)[: {"clinc": 30, "banking": 20}[name]]}
        parts = [[row for row in zip(texts, labels, strict=True) if (row[1] in held) == is_held] for is_held in (False, True)]
        families[name] = _family(*(_new(part, without) for part in parts), ways=(4, 12))
    train = list(zip(*topics(data, TRAINING, ("train",)), strict=True))
    validation = list(zip(*topics(data, VALIDATING, ("dev", "test")), strict=True))
    families["topics"] = _family(_new(train, without), _new(validation, without), ways=(4, 7), within="language")
    return qs.tasks.Mixture(families)


def _new(rows: Iterable[tuple[str, str]], without: set[str]) -> Texts:
    """The rows whose text is new; they are not new any more."""
    kept = [row for row in _once(rows) if key(row[0]) not in without]
    without |= {key(text) for text, _ in kept}
    return [text for text, _ in kept], [name for _, name in kept]


def _family(train: Texts, validation: Texts, ways: tuple[int, int], within: str | None = None) -> TaskFamily[LabelledTasks]:
    parts = []
    for texts, labels in (train, validation):
        columns = {} if within is None else {"columns": {within: [name.split("/")[0] for name in labels]}, "within": within}
        options: dict[str, Any] = {"length": LENGTH, "ways": ways, "shots": (2, 6), "queries": 4, "part": "test", **columns}
        parts.append(qs.tasks.from_texts(texts, labels, **options).test)
    return TaskFamily(parts[0], parts[1], None)


# ---- the learners ---------------------------------------------------------------------------------------------------------


def encoder(seed: int) -> NGramFrequencies:
    return NGramFrequencies(features=PROJECTED, buckets=BUCKETS, seed=seed)


class Everything(nn.Module):
    """The embedding, and a softmax for each problem over all of its classes; a topic is one class in all languages."""

    def __init__(self, tasks: MixedTasks, seed: int):
        super().__init__()
        self.tasks, self.embed, self.names, self.numbers = tasks, encoder(seed), list(tasks.parts), dict[str, Tensor]()
        self.heads = nn.ModuleDict()
        for name in self.names:
            classes = [one.split("/")[-1] if name == "topics" else one for one in tasks[name].class_names]
            distinct = sorted(set(classes))
            self.numbers[name] = torch.tensor([distinct.index(one) for one in classes])
            self.heads[name] = nn.Linear(FEATURES, len(distinct))

    def loss(self, generator: torch.Generator, batch: int = 12) -> Tensor:
        """The mean cross-entropy of a batch of each problem."""
        losses = []
        for name in self.names:
            part: Any = self.tasks[name]
            rows = torch.randint(len(part.y), (batch,), generator=generator)
            z = self.embed(**part.preprocessing.apply(part.x[rows]))
            losses.append(F.cross_entropy(self.heads[name](z), self.numbers[name][part.y[rows]]))
        return torch.stack(losses).mean()


def trained_jointly(network: Everything, steps: int, seed: int) -> None:
    """Steps of Adam, whose rate falls to 0."""
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        network.loss(generator).backward()
        optimizer.step()
        schedule.step()


def meta_trained(learner: qs.Learner, tasks: MixedTasks, steps: int, rate: float, seed: int) -> qs.Learner:
    """Meta-steps of Adam, whose rate falls to 0."""
    outer = qs.Gradient(
        qs.Backprop(), partial(torch.optim.Adam, lr=rate), partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=steps)
    )
    options: dict[str, Any] = {"tasks_per_step": TASKS, "executor": "loop", "progress": False, "outer": outer, "clip": 5.0}
    qs.meta_train(learner, tasks, steps=steps, seed=seed, **options)
    return learner


def accuracies(learner: qs.Learner, tasks: LabelledTasks, episodes: int, seed: int, steps: int | None = None) -> list[float]:
    """The accuracy of every episode, in %."""
    return [100 * one for one in qs.evaluate(learner, tasks, episodes, seed, steps, executor="loop").per_episode]


def on_validation(learner: qs.Learner, tasks: MixedTasks, seed: int, steps: int | None = None) -> float:
    """The mean over the validation problems, with as many shots as in the middle of the test."""
    means = []
    for name in tasks.parts:
        part = tasks[name].with_(ways=7, shots=SHOTS[1], queries=QUERIES)
        means.append(sum(accuracies(learner, part, VALIDATION, seed, steps)) / VALIDATION)  # type: ignore[arg-type]
    return sum(means) / len(means)


def from_characters(tasks: LabelledTasks, episodes: int, seed: int) -> list[float]:
    """TF-IDF of characters and logistic regression, on the episodes that `evaluate` draws."""
    scores = []
    for episode in tasks.sample(episodes, generator=torch.Generator().manual_seed(seed)):
        known, asked = (_texts(part.x) for part in (episode.support, episode.query))
        vectors = CHARACTERS().fit(known)
        model = LogisticRegression(max_iter=1000).fit(vectors.transform(known), episode.support.y)
        scores.append(100 * float(model.score(vectors.transform(asked), episode.query.y)))
    return scores


def _texts(x: Mapping[str, Tensor]) -> list[str]:
    """What the network reads, as text."""
    return [bytes(own[here].tolist()).decode("utf-8", "ignore") for own, here in zip(x["ids"], x["mask"], strict=True)]


# ---- a seed ---------------------------------------------------------------------------------------------------------------


def tuned(network: Everything, tasks: MixedTasks, seed: int) -> tuple[qs.Learner, list[Any]]:
    """The fine-tuning from this network that is best on the validation problems, with its settings and score."""
    found = {setting: on_validation(heads.tuned(network.embed, *setting), tasks, seed) for setting in DESCENTS}
    best = max(found, key=lambda setting: found[setting])
    return heads.tuned(network.embed, *best), [*best, found[best]]


def entry(data: Path, seed: int, budget: float) -> Result:
    """All methods of a seed."""
    began, busy = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", qs.errors.DataWarning)  # of texts above 96 bytes
        family, test = mixture(data, seed), problems(data)
    steps, meta, means = (max(int(one * budget), 1) for one in (JOINT, META, MEANS))
    network, embed = Everything(family.train, seed), encoder(seed)
    seconds = [time.process_time()]
    trained_jointly(network, steps, seed)
    seconds.append(time.process_time())
    generated = meta_trained(leopard(embed, seed), family.train, meta, 3e-3, seed)
    seconds.append(time.process_time())
    prototypical = meta_trained(qs.Prototypical(encoder(seed)), family.train, means, 1e-2, seed)
    seconds.append(time.process_time())
    joint, settings = tuned(network, family.validation, seed)
    by_steps = {n: on_validation(generated, family.validation, seed, n) for n in INNER_STEPS}
    inner = max(by_steps, key=lambda n: by_steps[n])
    asked: dict[str, tuple[qs.Learner, int | None]] = {
        "generated": (generated, inner),
        "prototypes": (qs.NearestCentroid(embed), None),
        "prototypical": (prototypical, None),
        "joint": (joint, None),
        "joint, means": (joint, 0),
    }
    scores: Result = {}
    for name, shots in itertools.product(PROBLEMS, SHOTS):
        part = test[name].with_(shots=shots)
        own = {method: accuracies(one, part, EPISODES, seed, n) for method, (one, n) in asked.items()}
        own["TF-IDF"] = from_characters(part, EPISODES, seed)
        scores[f"{name} {shots}"] = {method: [round(one, 3) for one in each] for method, each in own.items()}
        print(seed, name, shots, {method: round(sum(each) / len(each), 1) for method, each in own.items()}, flush=True)
    trained = dict(zip(("joint", "generated", "prototypical"), (b - a for a, b in itertools.pairwise(seconds)), strict=True))
    chosen = {
        "joint": settings,
        "generated": [inner, by_steps[inner]],
        "prototypical": on_validation(prototypical, family.validation, seed),
    }
    row: Result = {"steps": steps, "ways": {name: one.ways for name, one in test.items()}, "scores": scores, "chosen": chosen}
    row |= {"training": trained, "seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}
    print(seed, row["chosen"], trained, round(row["cpu"]), flush=True)
    return row


def problems(data: Path) -> dict[str, Any]:
    """The tasks that are scored, of all classes or of twelve."""
    found = {}
    for name, (texts, labels) in tested(data).items():
        ways = min(len(set(labels)), 12)
        found[name] = qs.tasks.from_texts(texts, labels, length=LENGTH, ways=ways, queries=QUERIES, part="test").test
    return found


def leopard(embed: nn.Module, seed: int) -> qs.Learner:
    return LEOPARD(embed, features=FEATURES, adapts=ADAPTS, inner_lr=INNER_RATE, inner_steps=INNER, seed=seed)


# ---- the page -------------------------------------------------------------------------------------------------------------


SAID = {
    "generated": "generated head, meta-trained, descends on the support",
    "prototypes": "class means, in the network of the generated head",
    "prototypical": "class means, meta-trained as Prototypical networks",
    "joint": "joint training, a new head, all fine-tuned",
    "joint, means": "joint training, class means",
    "TF-IDF": "TF-IDF of characters + logistic regression, from scratch",
}


def page() -> str:
    """The tables, from the JSON."""
    found = read(RESULTS)
    own = list(found.get("entries", {}).values())
    if not own:
        return "Not run.\n"
    lines: list[str] = []
    for name, title in PROBLEMS.items():
        columns = [f"{shots} a class" for shots in SHOTS]
        lines += [f"| {title}, {own[0]['ways'][name]}-way | " + " | ".join(columns) + " |", "|---" * (1 + len(SHOTS)) + "|"]
        for method in METHODS:
            lines.append(f"| {SAID[method]} | " + " | ".join(_cell(own, name, shots, method) for shots in SHOTS) + " |")
        for other in ("joint", "TF-IDF"):
            cells = [_cell(own, name, shots, "generated", other) for shots in SHOTS]
            lines.append(f"| generated head less {other}, paired | " + " | ".join(cells) + " |")
        lines.append("")
    training = ", ".join(f"{one} {sum(row['training'][one] for row in own) / len(own):.0f}" for one in own[0]["training"])
    lines.append(
        f"Accuracy in %, mean and 95 % interval over the {EPISODES} episodes of each of {len(own)} seeds, with its own training,"
        f" validation classes and episodes. Seconds of one core to train: {training}."
        f" In all {sum(row['cpu'] for row in own):.0f} s of one core; {found['hardware']}, torch {found['torch']}."
    )
    behind = [other for other in ("joint", "TF-IDF") if _gain(own, other) <= 0]
    if behind:
        lines += [
            "",
            f"Over all of this, in the mean, the generated head is not above: {', '.join(SAID[other] for other in behind)}.",
        ]
    if tried := found.get("tried"):
        lines += [
            "",
            "| tried by hand, 7-way 8-shot, validation classes of seed 0, mean of the three problems | accuracy |",
            "|---|---|",
        ]
        lines += [f"| {one['what']} | {one['accuracy']} |" for one in tried]
    return "\n".join(lines) + "\n"


def _gain(own: Sequence[Result], other: str) -> float:
    """The mean of the generated head less another, over seeds, problems and shots."""
    each = [sum(scores["generated"]) - sum(scores[other]) for row in own for scores in row["scores"].values()]
    return sum(each) / len(each)


def _cell(own: Sequence[Result], problem: str, shots: int, method: str, less: str | None = None) -> str:
    """Of all episodes of all seeds; of a difference, paired by episode."""
    values = []
    for row in own:
        scores = row["scores"][f"{problem} {shots}"]
        values += scores[method] if less is None else [a - b for a, b in zip(scores[method], scores[less], strict=True)]
    result = heads.summed(values)
    return cell([result["mean"], result["ci95"]], ".1f", "" if less is None else "+")


def main() -> None:
    """The command; what stands in the JSON with as many steps is not run again."""
    made = command(__doc__, seeds=3)
    made.add_argument("--data", type=Path, help="the folder of clinc150/, banking77/, sib200/, snips/ and xsid/")
    options = made.parse_args()
    run_seeds(options, RESULTS, JOINT, lambda seed: entry(options.data, seed, options.budget), page)


if __name__ == "__main__":
    main()

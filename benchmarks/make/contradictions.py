"""The margin of `quickstudy.learners.contradictions`: chosen on Omniglot's validation alphabets, measured on its evaluation ones.

    python -m benchmarks.make.contradictions --omniglot FOLDER               chooses: validation alphabets, seed 1
    python -m benchmarks.make.contradictions --omniglot FOLDER --measure     measures the margin as it is: evaluation, seed 2

Each prints its table, and writes it beside this, as contradictions.json. The learner is `strokes`, which has seen neither part.
Supports are 5-way, of 3 and 5 shots, from all alphabets and within one. Each is judged as it is, and once more with the label of
one example changed to another class of the support, drawn uniformly.

The rule, on validation alphabets alone: the whole number of nats at which the share of changed labels that are found, less the
share of clean supports that are warned of (Youden's index), is largest, averaged over the four kinds of support. The first rule,
at most one clean support of twenty warned of, was given up on these same alphabets: no margin up to 15 nats kept it, and that one
loses four changed labels of ten.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import nn

import quickstudy as qs
from quickstudy.files import write_json
from quickstudy.learners.contradictions import MARGIN, judged, trusted
from quickstudy.tasks import TaskDistribution

RESULTS = Path(__file__).resolve().parent / "contradictions.json"
WAYS, SHOTS, WITHIN, SUPPORTS = 5, (3, 5), (None, "alphabet"), 400
MARGINS = tuple(range(1, 16))
CHOICE, MEASUREMENT = ("validation", 1), ("test", 2)  # part of split="alphabet", seed
Row = dict[str, float | int | str]


def margins(learner: qs.Prototypical, support: qs.Examples) -> torch.Tensor:
    """The margin of each example (examples,); -inf where it is not judged (a changed label may leave two of its
    class), and everywhere where the learner is wrong about more than a third.

    The network of `strokes` embeds each example by itself, so they are embedded once, and not once for each that is left out.
    """
    with torch.no_grad():
        embedded = qs.Examples(learner.embed(support.x), support.y, ways=WAYS)
    found = torch.full((len(support.y),), -torch.inf)
    for one in trusted(judged(qs.Prototypical(nn.Identity()), embedded)):
        found[one.index] = one.margin
    return found


def supports(learner: qs.Prototypical, tasks: TaskDistribution, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The margins of SUPPORTS clean supports, of the same with one changed label (supports, examples), and which was changed."""
    drawn = torch.Generator().manual_seed(seed)
    clean, changed, rows = [], [], []
    for episode in tasks.sample(SUPPORTS, generator=drawn):
        support = episode.support
        row = int(torch.randint(len(support.y), (), generator=drawn))
        y = support.y.clone()
        y[row] = (y[row] + torch.randint(1, WAYS, (), generator=drawn)) % WAYS
        clean.append(margins(learner, support))
        changed.append(margins(learner, qs.Examples(support.x, y, ways=WAYS)))
        rows.append(row)
    return torch.stack(clean), torch.stack(changed), torch.tensor(rows)


def rates(margin: float, clean: torch.Tensor, changed: torch.Tensor, rows: torch.Tensor) -> dict[str, float]:
    """Shares at a margin: clean examples and clean supports warned of, changed labels that are found, and found first."""
    of_changed = changed.gather(1, rows[:, None])[:, 0]
    return {
        "clean_examples": float((clean > margin).double().mean()),
        "clean_supports": float((clean > margin).any(1).double().mean()),
        "found": float((of_changed > margin).double().mean()),
        "found_first": float(((of_changed > margin) & (changed.argmax(1) == rows)).double().mean()),
    }


def chosen(table: list[Row]) -> float:
    """The margin of the rule."""

    def index(margin: int) -> float:
        return sum(float(row["found"]) - float(row["clean_supports"]) for row in table if row["margin"] == margin)

    return float(max(MARGINS, key=index))


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--omniglot", required=True, help="the folder of Omniglot")
    made.add_argument("--measure", action="store_true", help="measure on evaluation alphabets, once the margin is chosen")
    options = made.parse_args()
    torch.set_num_threads(1)
    part, seed = MEASUREMENT if options.measure else CHOICE
    learner = qs.load("strokes").eval()
    assert isinstance(learner, qs.Prototypical)
    assert learner.normalisation == "running"
    table: list[Row] = []
    for within in WITHIN:
        tasks = qs.tasks.Omniglot(options.omniglot, WAYS, queries=1, split="alphabet", rotations=False, within=within)
        for shots in SHOTS:
            found = supports(learner, tasks.parts[part].with_(shots=shots), seed)
            for margin in (MARGIN,) if options.measure else MARGINS:
                row: Row = {"within": within or "all alphabets", "shots": shots, "margin": margin, **rates(margin, *found)}
                table.append(row)
                print(json.dumps(row), flush=True)
    record = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    entry = {"part": part, "seed": seed, "ways": WAYS, "supports": SUPPORTS, "rows": table}
    if not options.measure:
        entry["chosen"] = chosen(table)
        print(f"the margin by the rule: {entry['chosen']:g}")
    write_json(RESULTS, record | {"measurement" if options.measure else "choice": entry}, indent=1)


if __name__ == "__main__":
    main()

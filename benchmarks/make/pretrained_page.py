"""The tables of docs/guides/pretrained.md, from scores.json beside each learner and benchmarks/studies/head_choice.json.

python -m benchmarks.make.pretrained_page      writes them into the page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import quickstudy as qs
from quickstudy.files import read_json, write_text

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guides" / "pretrained.md"
SCORES = {
    name: Path(qs.__file__).parent / "pretrained" / name / "scores.json"
    for name in ("strokes", "intents", "intents-minilm", "words")
}
CHOICE = ROOT / "benchmarks" / "studies" / "head_choice.json"
Rows = list[dict[str, Any]]


def main() -> None:
    """The command."""
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))


def page(text: str) -> str:
    """The page with its tables made anew."""
    choice: Rows = read_json(CHOICE, expected="scores", do="")["rows"]
    made = {"choice": f"{choices(choice)}\n\n{told(choice)}"}
    for own, file in SCORES.items():
        rows: Rows = read_json(file, expected="scores", do="")["scores"]
        made[f"scores of {own}"] = f"{scores(rows)}\n\n{verdict(rows, own)}"
    for name, table in made.items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- end of {name} -->")
        text = f"{before}<!-- {name} -->\n{table}\n<!-- end of {name} -->{after}"
    return text


def scores(rows: Rows) -> str:
    """A line for each set and number of shots."""
    names = list(dict.fromkeys(row["learner"] for row in rows))
    lines = ["| tasks, 5-way | shots | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for tasks, shots in dict.fromkeys((row["tasks"], row["shots"]) for row in rows):
        found = {row["learner"]: row for row in rows if (row["tasks"], row["shots"]) == (tasks, shots)}
        lines.append(f"| {tasks} | {shots} | " + " | ".join(_cell(found[name]) for name in names) + " |")
    return "\n".join(lines)


def verdict(rows: Rows, own: str) -> str:
    """Where the learner is above the better of its controls by intervals, and where it is not."""
    kinds = {(row["tasks"], row["shots"]) for row in rows}
    not_above = sorted(
        f"{tasks} at {shots} shot{'s' if shots > 1 else ''}" for tasks, shots in kinds if not _above(rows, tasks, shots, own)
    )
    above = len(kinds) - len(not_above)
    told = f"The learner's interval lies above that of the better control in {above} of {len(kinds)} rows."
    return told + (f" It does not for: {'; '.join(not_above)}." if not_above else "")


def choices(rows: Rows) -> str:
    """A line for each set and number of shots of the study of the choice."""
    heads = list(rows[0]["accuracy"])
    lines = [
        "| tasks, 5-way | shots | " + " | ".join(heads) + " | chosen less the best fixed |",
        "|---|---|" + "---|" * (len(heads) + 1),
    ]
    for row in rows:
        cells = " | ".join(f"{100 * row['accuracy'][head]:.1f}" for head in heads)
        difference = f"{100 * row['difference']:+.2f} ± {100 * row['ci95']:.2f} ({row['best']})"
        lines.append(f"| {row['set']} | {row['shots']} | {cells} | {difference} |")
    return "\n".join(lines)


def told(rows: Rows) -> str:
    """In how many rows the choice is as good as the best fixed head, within the interval, and what it loses elsewhere."""
    worse = [row for row in rows if row["difference"] < -row["ci95"]]
    line = f"In {len(rows) - len(worse)} of {len(rows)} rows the choice is as good as the best fixed head within the interval"
    most = max((-100 * row["difference"] for row in worse), default=0.0)
    return line + (f"; elsewhere it is {most:.1f} points or less below." if worse else ".")


def _above(rows: Rows, tasks: str, shots: int, own: str) -> bool:
    found = [row for row in rows if (row["tasks"], row["shots"]) == (tasks, shots)]
    ours = next(row for row in found if row["learner"] == own)
    return all(ours["accuracy"] - ours["ci95"] > row["accuracy"] + row["ci95"] for row in found if row is not ours)


def _cell(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:.1f} ± {100 * row['ci95']:.1f}"


if __name__ == "__main__":
    main()

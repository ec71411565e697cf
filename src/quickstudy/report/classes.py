"""The section of the classes: the accuracy of each by name, and which was taken for which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from quickstudy.evaluation.by_class import ByClass, ClassScore, Confusion
from quickstudy.report.sections import drawn, folded, section
from quickstudy.report.style import FIRST, GRID, INK, MUTED, PAPER, SECOND, figure, plain, svg
from quickstudy.targets.known_classes import without_shared_folder

ROWS = 24  # of a plot; of more classes the worst are drawn
SQUARE = 12  # classes, at most, of a table of all pairs
LETTERS = 26  # of a name in a plot
LISTED = 1000  # rows of a folded table


def by_class(found: ByClass | None) -> str:
    """The section; empty for tasks without classes that have names."""
    if found is None:
        return ""
    short = _short(found)
    some = f"the {ROWS} worst of {len(found.classes)} classes" if len(found.classes) > ROWS else f"{len(found.classes)} classes"
    words = (
        f"Left: {some}, with the 95 % interval over the tasks that have them; the dashed line is all queries together. "
        "Right: which class was taken for which, of its queries in the tasks that have both"
        f"{'.' if len(found.classes) <= SQUARE else '; a pair that met in more tasks comes before one that met by chance.'}"
    )
    left = drawn(accuracies(found.classes[:ROWS], short, _together(found)), "accuracy of each class")
    square = len(found.classes) <= SQUARE
    pairs = pair_table(found, short) if square else pair_bars(found.confusions[:ROWS], short)
    right = drawn(pairs, "which class was taken for which") if found.confusions else '<p class="words">No query was mistaken.</p>'
    classes = [[one.name, _percent(one), str(one.tasks), str(one.queries)] for one in found.classes[:LISTED]]
    mistaken = [
        [one.name, one.taken_for, f"{100 * one.share:.1f} %", f"{one.times} of {one.chances}", str(one.tasks)]
        for one in found.confusions[:LISTED]
    ]
    tables = folded("All classes", ["class", "accuracy", "tasks", "queries"], classes)
    if mistaken:
        tables += folded("All confusions", ["class", "taken for", "share", "queries", "tasks"], mistaken)
    return section("classes", "Classes", words, f'<div class="side tall">{left}{right}</div>{tables}')


def accuracies(classes: Sequence[ClassScore], short: dict[str, str], together: float) -> str:
    """The accuracy of each class with its interval, the worst at the top, and that of all queries together."""
    with figure(5.2, 0.9 + 0.21 * len(classes)) as (made, (axes,)):
        rows = range(len(classes))
        for row, one in zip(rows, classes, strict=True):
            reach = 0.0 if math.isnan(one.ci95) else 100 * one.ci95
            low, high = max(100 * one.accuracy - reach, 0.0), min(100 * one.accuracy + reach, 100.0)
            axes.plot([low, high], [row, row], color=FIRST, linewidth=5, alpha=0.3, solid_capstyle="butt")
        accuracy = [100 * one.accuracy for one in classes]
        axes.plot(accuracy, rows, linestyle="none", marker="o", markersize=5, color=FIRST, clip_on=False)
        axes.axvline(100 * together, color=SECOND, linewidth=1.2, linestyle=(0, (4, 3)))
        _names(axes, "y", [short[one.name] for one in classes])
        axes.set(xlim=(0, 100), ylim=(len(classes) - 0.4, -0.6), title="Accuracy (%)")
        axes.grid(axis="y", visible=False)
        return svg(made, "classes")


def pair_bars(pairs: Sequence[Confusion], short: dict[str, str]) -> str:
    """The most frequent confusions as bars."""
    with figure(5.2, 0.9 + 0.21 * len(pairs)) as (made, (axes,)):
        rows = range(len(pairs))
        axes.barh(rows, [100 * one.share for one in pairs], height=0.62, color=SECOND, alpha=0.55)
        for row, one in zip(rows, pairs, strict=True):
            inside = one.share > 0.75
            x, align = (100 * one.share - 1.5, "right") if inside else (100 * one.share + 1.5, "left")
            axes.text(x, row, f"{one.times} of {one.chances}", va="center", ha=align, fontsize=7.5, color=INK)
        _names(axes, "y", [f"{_cut(short[one.name], 17)} as {_cut(short[one.taken_for], 17)}" for one in pairs], letters=40)
        axes.set(xlim=(0, 100), ylim=(len(pairs) - 0.4, -0.6), title="Taken for another (% of chances)")
        axes.grid(axis="y", visible=False)
        return svg(made, "pairs")


def pair_table(found: ByClass, short: dict[str, str]) -> str:
    """All pairs of a few classes: rows are the truth, columns the answer, in per cent of chances."""
    names = [one.name for one in found.classes]
    with figure(5.2, 1.5 + 0.32 * len(names)) as (made, (axes,)):
        share = {(one.name, one.taken_for): one.share for one in found.confusions}
        for row, name in enumerate(names):
            for column, other in enumerate(names):
                own = name == other
                value = found.classes[row].accuracy if own else share.get((name, other), 0.0)
                place = (column - 0.5, row - 0.5)
                axes.add_patch(Rectangle(place, 1, 1, facecolor=FIRST if own else SECOND, alpha=0.75 * value, linewidth=0))
                axes.add_patch(Rectangle(place, 1, 1, facecolor="none", edgecolor=PAPER, linewidth=1.5))
                said = f"{100 * value:.0f}" if own or value else ""
                axes.text(column, row, said, va="center", ha="center", fontsize=8, color=INK if value else MUTED)
        _names(axes, "y", [short[name] for name in names], letters=16)
        _names(axes, "x", [short[name] for name in names], letters=16)
        axes.tick_params(axis="x", labelrotation=90)
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), xlabel="answered", ylabel="is")
        axes.set_title("Answers (% of chances)")
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_edgecolor(GRID)
        return svg(made, "pairs")


def _short(found: ByClass) -> dict[str, str]:
    """Each name without the folders that all share."""
    names = list(dict.fromkeys([*(one.name for one in found.classes), *(one.taken_for for one in found.confusions)]))
    return dict(zip(names, without_shared_folder(names), strict=True))


def _together(found: ByClass) -> float:
    return sum(one.accuracy * one.queries for one in found.classes) / sum(one.queries for one in found.classes)


def _names(axes: Axes, which: Literal["x", "y"], names: Sequence[str], letters: int = LETTERS) -> None:
    labels = [plain(_cut(name, letters)) for name in names]
    (axes.set_yticks if which == "y" else axes.set_xticks)(range(len(names)), labels, fontsize=8)
    axes.tick_params(axis=which, length=0)


def _cut(name: str, letters: int) -> str:
    """The name, its middle left out where it is long: its end tells as much as its start."""
    if len(name) <= letters:
        return name
    return f"{name[: letters // 2]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - (letters - letters // 2 - 1) :]}"


def _percent(one: ClassScore) -> str:
    reach = "" if math.isnan(one.ci95) else f" ± {100 * one.ci95:.1f}"
    return f"{100 * one.accuracy:.1f}{reach} %"

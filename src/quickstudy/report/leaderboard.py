"""The leaderboard: the learner ranked among its controls, as the headline of a report and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.evaluation.metrics import Metric
from quickstudy.report.conclusion import Against, conclusion, points
from quickstudy.report.data import Data
from quickstudy.report.sections import section

POLICIES = {
    "support": "norms use the statistics of the support set; no query sees another",
    "running": "norms use running averages of meta-training; no query sees another",
    "frozen": "norms use running averages as given; no query sees another",
    "transductive": "norms use the statistics of all queries at once, so a query's answer depends on the others",
}


def headline(evaluation: Evaluation, rows: Sequence[Against], metric: Metric, data: Data | None = None) -> str:
    """Learner, data, protocol, score, policy, and whether a control wins."""
    p, name = evaluation.protocol, escape(evaluation.name or "learner")
    transductive = "transductive" if p["transductive"] else "not transductive"
    policy = escape(str(p["normalisation"]))
    on = shape(evaluation) if data is None else f"{shape(evaluation)} on {data.name}"
    worst = "control" if any(row.winner == "control" for row in rows) else "learner" if _all_beaten(rows) else "neither"
    tiles = [
        (
            f"Meta-test {metric.label.removesuffix(' (%)')}",
            metric.text(evaluation.mean, evaluation.ci95),
            f"95 % interval over {p['episodes']} tasks, seed {p['seed']}",
        ),
        *([] if data is None else [("Data", escape(data.name), escape(data.facts))]),
        ("Protocol", escape(shape(evaluation)), f"{escape(str(p['queries']))} queries{_steps(evaluation)}"),
        ("Normalisation", policy, f"<b>{transductive}</b>: {POLICIES.get(policy, '')}"),
    ]
    if rows:
        strongest = rows[0].control
        said = f"{escape(strongest.name)}, the strongest of {len(rows)}" if len(rows) > 1 else escape(strongest.name)
        tiles.append(("Best control", metric.text(strongest.mean, strongest.ci95), said))
    cells = "".join(
        f'<div class="tile"><span class="what">{what}</span><span class="value">{value}</span>'
        f'<span class="note">{note}</span></div>'
        for what, value, note in tiles
    )
    return (
        f'<header id="headline"><p class="brand">quickstudy report</p><h1>{name} <small>{escape(on)}</small></h1>'
        f'<p class="conclusion {worst}">{escape(conclusion(evaluation.name or "the learner", rows, metric))}</p>'
        f'<div class="tiles">{cells}</div></header>'
    )


def controls(evaluation: Evaluation, rows: Sequence[Against], metric: Metric) -> str:
    """The table of the learner and its controls, with intervals and paired differences."""
    entries: list[tuple[Evaluation, Against | None]] = [(evaluation, None), *((row.control, row) for row in rows)]
    entries.sort(key=lambda entry: metric.gain(0.0, entry[0].mean))
    reach = [end for one, _ in entries for end in (one.mean - one.ci95, one.mean + one.ci95)]
    low, high = (0.0, 1.0) if metric.percent else (min(*reach, 0.0), max(reach))
    body = "".join(_row(one, row, metric, low, high) for one, row in entries)
    scale = f"95 % interval, {metric.axis(low):.3g} to {metric.axis(high):.3g}"
    head = ["", metric.name, scale, "learner better by", "protocol", "a task"]
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    words = "All scores with their 95 % intervals over tasks."
    if any(row.paired for row in rows):
        words += " Differences are paired: both learners on the same tasks, so they are surer than the two intervals suggest."
    if any(not row.same_protocol for row in rows):
        words += " Rows marked * were scored under another protocol or on other tasks."
    table = f'<div class="scroll"><table class="controls"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    return section("controls", "Beside the controls" if rows else "The score", words, table)


def _row(one: Evaluation, row: Against | None, metric: Metric, low: float, high: float) -> str:
    name = escape(one.name or "learner") + ("" if row is None or row.same_protocol else " *")
    difference = "" if row is None else points(row.gain, metric, row.ci95) + ("" if row.paired else " (not paired)")
    policy = f"{shape(one)}, {one.protocol['normalisation']}, {'' if one.protocol['transductive'] else 'not '}transductive"
    cells = [
        f"<th>{name}</th>",
        f'<td class="number">{metric.text(one.mean, one.ci95)}</td>',
        f'<td class="bar">{_whisker(one, low, high)}</td>',
        f'<td class="number">{escape(difference)}</td>',
        f"<td>{escape(policy)}</td>",
        f'<td class="number">{1000 * one.seconds:.1f} ms</td>',
    ]
    return f'<tr class="{"own" if row is None else "control"}">{"".join(cells)}</tr>'


def _whisker(one: Evaluation, low: float, high: float) -> str:
    """The mean and its interval on a line from `low` to `high`."""
    place = [200 * (value - low) / (high - low or 1.0) for value in (one.mean - one.ci95, one.mean, one.mean + one.ci95)]
    low_end, mean, high_end = (f"{one:.2f}" for one in place)
    return (
        '<svg class="whisker" viewBox="-6 0 212 16" aria-hidden="true"><line class="rail" x1="0" x2="200" y1="8" y2="8"/>'
        f'<line class="reach" x1="{low_end}" x2="{high_end}" y1="8" y2="8"/>'
        f'<line class="mean" x1="{mean}" x2="{mean}" y1="2" y2="14"/></svg>'
    )


def shape(evaluation: Evaluation) -> str:
    """5-way 1-shot, 20-way 1-shot within one alphabet, or 10-shot for tasks without classes."""
    p = evaluation.protocol
    ways = f"{_size(p['ways'])}-way " if p.get("ways") else ""
    within = f" within one {p['within']}" if p.get("within") else ""
    return f"{ways}{_size(p['shots'])}-shot{within}"


def _size(size: object) -> str:
    return f"{size[0]} to {size[1]}" if isinstance(size, tuple | list) else str(size)


def _steps(evaluation: Evaluation) -> str:
    steps = evaluation.protocol.get("steps")
    return "" if steps is None else f", {steps} inner step{'' if steps == 1 else 's'}"


def _all_beaten(rows: Sequence[Against]) -> bool:
    return bool(rows) and all(row.winner == "learner" for row in rows)

"""The plots of a report: numbers in, an inline SVG out. Each draws one thing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.evaluation.metrics import Metric
from quickstudy.evaluation.reliability_curve import Reliability
from quickstudy.report.curves import LearningCurves, Point, smoothed
from quickstudy.report.limits import Limits, apply, limits
from quickstudy.report.style import FIRST, INK, MUTED, PAPER, SECOND, figure, legend, svg

DRAWN = 1500  # steps of the raw loss that are drawn; more would only make the file larger


def training_loss(curves: LearningCurves) -> str:
    """The training loss, raw and, in a long run, smoothed; on a logarithmic axis if it falls tenfold."""
    found = loss_limits(curves)
    with figure(4.6, 3.2) as (made, (axes,)):
        every = math.ceil(len(curves.steps) / DRAWN)
        alpha, width = (0.28, 0.9) if curves.span > 1 else (1, 2)
        axes.plot(curves.steps[::every], curves.losses[::every], color=FIRST, alpha=alpha, linewidth=width, label="each step")
        mean = curves.smoothed if found is None else smoothed([min(loss, found.high) for loss in curves.losses], curves.span)
        if curves.span > 1:
            axes.plot(curves.steps[::every], mean[::every], color=FIRST, label=f"mean over about {curves.span} steps")
        apply(axes, found, curves.steps)
        lowest = min(loss for loss in curves.losses if math.isfinite(loss))
        if lowest > 0 and max(mean) > 10 * min(mean):
            axes.set_yscale("log")
            if found is not None:
                axes.set_ylim(0.8 * lowest, found.high)
        axes.set(title="Training loss", xlabel="meta-step")
        legend(made, axes, columns=2)
        return svg(made, "loss")


def loss_limits(curves: LearningCurves) -> Limits | None:
    """The limits of the training loss; None where all of it fits."""
    return limits(curves.losses, until=curves.lowest)


def validation_limits(points: Sequence[Point], best: Point, metric: Metric) -> Limits | None:
    """The limits of the validation score; None where all of it fits, as an accuracy does."""
    until = [point.at for point in points].index(best.at)
    return None if metric.percent else _limits(points, metric, until=until)


def score_limits(points: Sequence[Point], metric: Metric) -> Limits | None:
    """The limits of a few scores, one for each number of steps or shots: only what is far off is cut."""
    return None if metric.percent else _limits(points, metric, times=20.0)


def _limits(points: Sequence[Point], metric: Metric, until: int | None = None, times: float = 3.0) -> Limits | None:
    return limits([point.mean for point in points], until=until, times=times, less_is_better=not metric.higher_is_better)


def validation(points: Sequence[Point], best: Point, metric: Metric) -> str:
    """The meta-validation score with its interval, and the best step."""
    with figure(4.6, 3.2) as (made, (axes,)):
        mean, low, high = _band(points, metric)
        at = [point.at for point in points]
        axes.fill_between(at, low, high, color=SECOND, alpha=0.2, linewidth=0, label="95 % interval")
        axes.plot(at, mean, color=SECOND, marker="o", markersize=3.5, label="meta-validation")
        apply(axes, validation_limits(points, best, metric), at)
        axes.set_xlim(0, 1.03 * max(at))
        axes.axvline(best.at, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        label = f"best, step {best.at}: {metric.text(best.mean)}"
        axes.scatter(
            [best.at], [metric.axis(best.mean)], s=200, marker="*", color=SECOND, edgecolors=PAPER, zorder=4, label=label
        )
        axes.set(title=f"Meta-validation {metric.label}", xlabel="meta-step")
        legend(made, axes, columns=2)
        return svg(made, "validation")


def score_at(
    points: Sequence[Point],
    metric: Metric,
    *,
    name: str,
    xlabel: str,
    trained_at: int | None,
    chance: float | None,
    own_label: str,
) -> str:
    """Scores with intervals against the number of inner steps or of shots, evenly spaced on the axis."""
    with figure(5.2, 3.2) as (made, (axes,)):
        places = list(range(len(points)))
        mean, low, high = _band(points, metric)
        axes.fill_between(places, low, high, color=FIRST, alpha=0.18, linewidth=0)
        error = [[m - one for m, one in zip(mean, low, strict=True)], [one - m for m, one in zip(mean, high, strict=True)]]
        axes.errorbar(places, mean, yerr=error, color=FIRST, marker="o", capsize=3, elinewidth=1.2)
        for place, point in zip(places, points, strict=True):
            if point.at == trained_at:
                axes.plot(
                    [place],
                    [metric.axis(point.mean)],
                    marker="o",
                    markersize=12,
                    markerfacecolor="none",
                    markeredgecolor=SECOND,
                    markeredgewidth=2,
                    linestyle="none",
                    label=own_label,
                )
        if chance is not None:
            axes.axhline(metric.axis(chance), color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="chance")
        axes.set_xticks(places, [str(point.at) for point in points])
        axes.set(xlabel=xlabel, ylabel=metric.label)
        axes.margins(x=0.06)
        apply(axes, score_limits(points, metric), places)
        legend(made, axes, columns=2)
        return svg(made, name)


def reliability_diagram(before: Reliability, after: Reliability | None) -> str:
    """Confidence against accuracy, and the number of queries in each bin; the gap to the diagonal is marked."""
    parts = [("as it is", before, FIRST)] + ([("after temperature scaling", after, SECOND)] if after is not None else [])
    with figure(4.4 * len(parts), 4.0, len(parts)) as (made, panels):
        for axes, (title, diagram, colour) in zip(panels, parts, strict=True):
            axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="honest")
            total = sum(one.count for one in diagram.bins)
            for one in diagram.bins:
                left, width = 100 * one.low, 100 * (one.high - one.low)
                axes.bar(left, 100 * one.accuracy, width, align="edge", color=colour, alpha=0.25, edgecolor=colour, linewidth=0.8)
                axes.plot([100 * one.confidence] * 2, [100 * one.accuracy, 100 * one.confidence], color=INK, linewidth=1)
            size = [14 + 220 * one.count / total for one in diagram.bins]
            x = [100 * one.confidence for one in diagram.bins]
            y = [100 * one.accuracy for one in diagram.bins]
            axes.scatter(
                x, y, s=size, color=colour, edgecolors=PAPER, linewidths=0.8, zorder=3, clip_on=False, label="bin (area: queries)"
            )
            axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence (%)", ylabel="accuracy (%)")
            axes.set_title(f"{title}: ECE {100 * diagram.ece:.2f} %" if after is not None else f"ECE {100 * diagram.ece:.2f} %")
            axes.set_aspect("equal")
        legend(made, panels[0], columns=2)
        return svg(made, "reliability")


def histogram(evaluation: Evaluation, metric: Metric) -> str:
    """The distribution of the per-episode scores, with their mean."""
    scores = [metric.axis(score) for score in evaluation.per_episode if not math.isnan(score)]
    found = histogram_limits(evaluation, metric)
    with figure(8.6, 2.6) as (made, (axes,)):
        bins = [100 * edge / 20 for edge in range(21)] if metric.percent else 30
        reach = None if found is None else (found.low, found.high)
        axes.hist(scores, bins=bins, range=reach, color=FIRST, alpha=0.55, edgecolor=PAPER, linewidth=1)
        mean = metric.axis(evaluation.mean)
        if found is None or found.low <= mean <= found.high:
            axes.axvline(mean, color=SECOND, linewidth=2, label=f"mean {metric.text(evaluation.mean)}")
        axes.set(xlabel=f"{metric.label} of a task", ylabel="tasks")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if metric.percent:
            axes.set_xlim(min([*scores, 50]) // 10 * 10, 100)
        legend(made, axes)
        return svg(made, "scores")


def histogram_limits(evaluation: Evaluation, metric: Metric) -> Limits | None:
    """The limits of the scores of single tasks; None where all fit."""
    scores = [score for score in evaluation.per_episode if not math.isnan(score)]
    return None if metric.percent else limits(scores, share=0.98, less_is_better=not metric.higher_is_better)


def _band(points: Sequence[Point], metric: Metric) -> tuple[list[float], list[float], list[float]]:
    mean = [metric.axis(point.mean) for point in points]
    low = [metric.axis(point.mean - point.ci95) for point in points]
    return mean, low, [metric.axis(point.mean + point.ci95) for point in points]

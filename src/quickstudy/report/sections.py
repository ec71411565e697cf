"""The sections of a report, each a piece of HTML with its own id, or empty if the run has no data for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.evaluation.metrics import Metric
from quickstudy.report import plots, task_plots
from quickstudy.report.curves import LearningCurves, Point
from quickstudy.report.example_episodes import ExampleEpisode
from quickstudy.report.measures import Measures
from quickstudy.report.pictures import is_images, pictures


def learning_curves(curves: LearningCurves, metric: Metric) -> str:
    """Training loss and meta-validation."""
    if not curves.steps:
        return ""
    drawn_as = "The pale line is the loss of each, the strong one a moving average."
    words = f"{curves.steps[-1]} meta-steps. {drawn_as if curves.span > 1 else 'The line is the loss of each.'}"
    if curves.best is not None:
        at, mean, ci95 = curves.best.at, curves.best.mean, curves.best.ci95
        words += f" The weights kept are those of step {at}, the best on meta-validation: {metric.text(mean, ci95)}."
        if (cut := plots.validation_limits(curves.validation, curves.best, metric)) is not None:
            words += f" Of the validation scores, {cut.said}."
    if (found := plots.loss_limits(curves)) is not None:
        words += f" Of the losses, {found.said}; triangles at its edge mark them."
    body = drawn(plots.training_loss(curves), "training loss over the meta-steps")
    if curves.best is not None:
        plot = plots.validation(curves.validation, curves.best, metric)
        body += drawn(plot, "meta-validation score over the meta-steps")
    body = f'<div class="side">{body}</div>'
    return section("learning-curves", "Learning curves", words, body + numbers("meta-step", curves.validation, metric))


def inner_steps(measures: Measures, metric: Metric, chance: float | None) -> str:
    """Score against inner steps."""
    if not measures.inner_steps:
        return ""
    plot = plots.score_at(
        measures.inner_steps,
        metric,
        name="inner",
        xlabel="inner steps at test",
        trained_at=measures.own_steps,
        chance=chance,
        own_label=f"{measures.own_steps}: the learner's own",
    )
    words = (
        f"What each step on the support adds, over {measures.episodes} meta-test tasks; 0 answers from the learned start. "
        f"It was meta-trained with {measures.own_steps}. " + _missing(measures, "inner steps")
    )
    words += _beyond(measures.inner_steps, metric)
    body = drawn(plot, "score after 0 to 10 inner steps") + numbers("inner steps", measures.inner_steps, metric)
    return section("inner-steps", "Inner steps", words, body)


def shots(measures: Measures, metric: Metric, chance: float | None, trained_at: object) -> str:
    """Score against shots."""
    if not measures.shots:
        return ""
    trained_at = trained_at if isinstance(trained_at, int) else None
    each = "examples of each class" if metric.higher_is_better else "examples of a task"
    label = "the protocol's" if trained_at is None else f"{trained_at}: the protocol's"
    plot = plots.score_at(
        measures.shots, metric, name="shots", xlabel=f"shots: {each}", trained_at=trained_at, chance=chance, own_label=label
    )
    words = f"The same learner with more or fewer {each} to learn from, over {measures.episodes} meta-test tasks. "
    words += _missing(measures, "shots") + _beyond(measures.shots, metric)
    body = drawn(plot, "score with 1 to 10 shots") + numbers("shots", measures.shots, metric)
    return section("shots", "Shots", words, body)


def reliability(measures: Measures, temperature: float | None) -> str:
    """The reliability diagram."""
    before, after = measures.reliability, measures.scaled
    if before is None:
        return ""
    words = (
        f"Of the answers given with 80 % confidence, are 80 % right? The expected calibration error is "
        f"<b>{100 * before.ece:.2f} %</b> over {sum(one.count for one in before.bins)} queries of {measures.episodes} tasks"
    )
    if after is not None and temperature is not None:
        words += (
            f", and <b>{100 * after.ece:.2f} %</b> after scaling by temperature {temperature:.3g}, which was found on other tasks"
        )
    diagrams = [("as it is", before)] + ([("scaled", after)] if after is not None else [])
    rows = [
        [title, f"{one.low:.2f} to {one.high:.2f}", f"{one.confidence:.3f}", f"{one.accuracy:.3f}", str(one.count)]
        for title, diagram in diagrams
        for one in diagram.bins
    ]
    body = drawn(plots.reliability_diagram(before, after), "accuracy against confidence")
    table = folded("Numbers", ["probabilities", "bin", "confidence", "accuracy", "queries"], rows)
    return section("reliability", "Reliability", words + ".", body + table)


def scores(evaluation: Evaluation, metric: Metric) -> str:
    """The histogram of per-episode scores."""
    if len(evaluation.per_episode) < 2:
        return ""
    defined = [score for score in evaluation.per_episode if not math.isnan(score)]
    low, high = min(defined), max(defined)
    words = (
        f"Tasks differ: the scores of the {len(evaluation.per_episode)} meta-test tasks lie between {metric.text(low)} and "
        f"{metric.text(high)}. The interval of the headline is that of their mean."
    )
    if (found := plots.histogram_limits(evaluation, metric)) is not None:
        words += f" Of the tasks, {found.said}."
    body = drawn(plots.histogram(evaluation, metric), "histogram of the scores of single tasks")
    return section("scores", "Scores of single tasks", words, body)


def episodes(measures: Measures, metric: Metric) -> str:
    """Two or three tasks with the learner's predictions."""
    if not measures.examples:
        return ""
    tasks = "".join(_episode(shown, index) for index, shown in enumerate(measures.examples))
    words = f"The first {len(measures.examples)} meta-test tasks of the evaluation, none picked by its score."
    if metric.higher_is_better and is_images(measures.examples[0].support.x):
        words += " Below each query: the answer, its probability, and whether it is right (&#10003;) or wrong (&#10007;)."
    kind = "tasks pictured" if is_images(measures.examples[0].support.x) else "tasks"
    return section("episodes", "Tasks, and what was answered", words, f'<div class="{kind}">{tasks}</div>')


def _episode(shown: ExampleEpisode, index: int) -> str:
    name, title = f"task{index}", f"Task {index + 1}"
    if shown.function is not None:
        body, said = task_plots.function_plot(shown, shown.function, name), "support, truth and prediction"
    elif shown.support.ways is None:
        body, said = task_plots.target_plot(shown, name), "predicted against true targets"
    elif is_images(shown.support.x):
        return f'<article class="task"><h3>{title}</h3>{pictures(shown)}</article>'
    else:
        body, said = task_plots.plane_plot(shown, name), "support and queries in a plane"
    return f'<article class="task"><h3>{title}</h3>{drawn(body, said)}</article>'


def section(name: str, title: str, words: str, body: str) -> str:
    """A section. `words` and `body` are HTML."""
    return f'<section id="{name}"><h2>{escape(title)}</h2><p class="words">{words}</p>{body}</section>'


def drawn(svg: str, said: str) -> str:
    """A plot as a figure that a screen reader can name."""
    return f'<figure role="img" aria-label="{escape(said)}">{svg}</figure>'


def numbers(name: str, points: Sequence[Point], metric: Metric) -> str:
    """The points of a plot as a folded table."""
    rows = [[str(point.at), metric.text(point.mean, point.ci95)] for point in points]
    return folded("Numbers", [name, metric.name], rows) if rows else ""


def folded(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that opens on a click; cells are plain text."""
    return f"<details><summary>{escape(title)}</summary>{table(head, rows)}</details>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _beyond(points: Sequence[Point], metric: Metric) -> str:
    """What is said of scores beyond the plot."""
    found = plots.score_limits(points, metric)
    return "" if found is None else f" Of the scores, {found.said}."


def _missing(measures: Measures, word: str) -> str:
    return escape(" ".join(f"Left out: {line}" for line in measures.left_out if f" {word}:" in line))

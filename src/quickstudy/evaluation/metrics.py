"""Metrics: one number for the answers of one task. The kind of target decides which ones an evaluation takes by default.

A metric that is undefined for a task (the ROC curve of queries of one class) is NaN there, and its mean leaves that task out.
Metrics that take more than a line come from torchmetrics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, UnsupportedError, nearest
from quickstudy.targets import (
    NONE,
    Binary,
    Labels,
    MultiLabel,
    Pairs,
    SoftLabels,
    Target,
    TokenLabels,
    Tokens,
    Transcripts,
    Values,
)
from quickstudy.targets.spans import spans
from quickstudy.targets.tokens import END, ended
from quickstudy.targets.tokens import edit_distance as distance_of

LOSS = "loss"  # the learner's own, of an episode; `evaluate` asks the learner for it


@checked
@dataclass(frozen=True)
class Metric:
    """How to score the answers of one task.

    Args:
        name: its name in tables and records.
        function: (prediction, y, target) -> a scalar, NaN if undefined; the prediction is the learner's raw output.
        higher_is_better: whether the greater of two scores is the better one.
        percent: whether it is in [0, 1] and shown in per cent.
        kinds: the kinds of target it works for; None: all.
        under_vmap: whether it never reads a value, so that vmap can score the tasks of a batch at once.

    Examples:
        >>> from quickstudy.evaluation.metrics import Metric
        >>> worst = Metric("worst", lambda prediction, y, target: (prediction - y).abs().max(), higher_is_better=False)
        >>> learner, tasks = qs.MAML(qs.models.mlp()), qs.tasks.Sinusoid()
        >>> qs.evaluate(learner, tasks.test, episodes=2, metrics=[worst], executor="loop").metric.name
        'worst'
        >>> worst.gain(first=0.5, other=2.0)
        1.5
    """

    name: str
    function: Callable[[Tensor, Tensor, Any], Tensor]
    higher_is_better: bool = True
    percent: bool = False
    kinds: tuple[type[Target], ...] | None = None
    under_vmap: bool = False

    @property
    def label(self) -> str:
        """Its label on an axis."""
        return f"{LABELS.get(self.name, self.name.replace('_', ' '))}{' (%)' if self.percent else ''}"

    def axis(self, value: float) -> float:
        """The value as shown on an axis, in per cent if `percent`."""
        return 100 * value if self.percent else value

    def text(self, mean: float, ci95: float | None = None) -> str:
        """87.31 ± 0.62 %, or 0.0831 ± 0.0042."""
        if self.percent:
            return f"{100 * mean:.2f} %" if ci95 is None else f"{100 * mean:.2f} ± {100 * ci95:.2f} %"
        return f"{mean:.4g}" if ci95 is None else f"{mean:.4g} ± {ci95:.2g}"

    def gain(self, first: float, other: float) -> float:
        """By how much `first` is better than `other`; negative if it is worse."""
        return first - other if self.higher_is_better else other - first

    def chance(self, protocol: dict[str, Any]) -> float | None:
        """The accuracy of a random guess, 1 / ways; None for other metrics."""
        ways = protocol.get("ways")
        return 1 / ways if self.name == "accuracy" and isinstance(ways, int) else None


LABELS = {"mse": "mean squared error", "rmse": "root mean squared error", "mae": "mean absolute error", "roc_auc": "ROC AUC"}
LABELS |= {"nll": "negative log likelihood", "span_f1": "span F1", "mrr": "mean reciprocal rank", "recall_at_1": "recall at 1"}


def metric_named(name: str) -> Metric:
    """The metric of this name, also for an evaluation read from a file.

    Raises:
        ArgumentError: there is none.
    """
    if name == LOSS:
        return OWN_LOSS
    if name not in METRICS:
        do = nearest(str(name), [LOSS, *METRICS])
        raise ArgumentError("metrics", expected=f"'loss', names of {sorted(METRICS)}, or a Metric", got=repr(name), do=do)
    return METRICS[name]


def chosen(metrics: Sequence[str | Metric] | None, target: Target) -> list[Metric]:
    """The requested metrics, by default those of the target.

    Raises:
        ArgumentError: `metrics` is not a list, repeats a name, or has a metric that does not exist.
        UnsupportedError: a metric does not work for this kind of target.
    """
    if metrics is not None and (isinstance(metrics, str | Metric) or not metrics):
        raise ArgumentError("metrics", expected="a list of names or Metrics", got=repr(metrics), do="metrics=['accuracy'].")
    found = [one if isinstance(one, Metric) else metric_named(one) for one in metrics or target.scores]
    names = [metric.name for metric in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ArgumentError("metrics", expected="a name for each", got=f"{sorted(twice)} twice", do="Name them apart.")
    for metric in found:
        if metric.name == LOSS and metric is not OWN_LOSS:
            raise ArgumentError(
                "metrics", expected="another name", got="a Metric named 'loss'", do="'loss' is the learner's own of an episode."
            )
        if not serves(metric, target):
            serve = [name for name, one in METRICS.items() if serves(one, target)]
            raise UnsupportedError(
                "metrics", expected=f"metrics of {target!r}: {['loss', *serve]}", got=repr(metric.name), do="Take one of them."
            )
    return found


def serves(metric: Metric, target: Target) -> bool:
    """Whether the metric works for this kind of target."""
    if metric.name == "nll" and isinstance(target, Values) and target.distribution is None:
        return False  # a value alone has no likelihood
    if metric.name == "span_f1" and isinstance(target, TokenLabels) and not target.has_spans:
        return False  # without BIO tags nothing says where a span begins
    return metric.kinds is None or isinstance(target, metric.kinds)


def of_tasks(metrics: Sequence[Metric], predictions: Tensor, y: Tensor, target: Target) -> dict[str, list[float]]:
    """Each metric of each task of a batch, predictions (tasks, examples, ...) and y (tasks, examples, ...)."""
    together = [metric for metric in metrics if metric.under_vmap]
    found = {}
    if together:
        table = torch.vmap(lambda p, truth: torch.stack([one.function(p, truth, target) for one in together]))(predictions, y)
        found = dict(zip([metric.name for metric in together], table.T.tolist(), strict=True))
    for metric in metrics:
        if not metric.under_vmap:
            each = zip(predictions, y, strict=True)
            found[metric.name] = [float(metric.function(p, truth, target)) for p, truth in each]
    return found


# ---- the metrics -------------------------------------------------------------------------------------------------------


def accuracy(prediction: Tensor, y: Tensor, target: Target) -> Tensor:
    """The share of right answers among the known entries."""
    right = (target.read(prediction) == y).to(prediction.dtype)
    if not isinstance(target, MultiLabel | TokenLabels):
        return right.mean()
    known = (~y.isnan() if isinstance(target, MultiLabel) else y != NONE).to(right.dtype)
    return (right * known).sum() / known.sum()  # NaN where nothing is known


def nll(prediction: Tensor, y: Tensor, target: Target) -> Tensor:
    """The mean negative log likelihood: the loss of the kind of target."""
    return target.mean(prediction, y)


def mse(prediction: Tensor, y: Tensor, target: Target) -> Tensor:
    """Mean squared error."""
    return ((target.read(prediction) - y) ** 2).mean()


def rmse(prediction: Tensor, y: Tensor, target: Target) -> Tensor:
    """Root mean squared error, in the units of y."""
    return mse(prediction, y, target).sqrt()


def mae(prediction: Tensor, y: Tensor, target: Target) -> Tensor:
    """Mean absolute error."""
    return (target.read(prediction) - y).abs().mean()


def macro_f1(prediction: Tensor, y: Tensor, target: Labels) -> Tensor:
    """The mean F1 over classes."""
    from torchmetrics.functional.classification import multiclass_f1_score

    return multiclass_f1_score(target.read(prediction), y, max(target.count, 2), average="macro")


def roc_auc(prediction: Tensor, y: Tensor, target: Target) -> Tensor:
    """The area under the ROC curve; for several labels, the mean over those with both a yes and a no."""
    from torchmetrics.functional.classification import binary_auroc

    return _mean_of_columns(binary_auroc, prediction, y, target, lambda truth: bool(truth.any()) and not bool(truth.all()))


def average_precision(prediction: Tensor, y: Tensor, target: Target) -> Tensor:
    """The area under the precision-recall curve; for several labels, the mean over those with a yes."""
    from torchmetrics.functional.classification import binary_average_precision

    return _mean_of_columns(binary_average_precision, prediction, y, target, lambda truth: bool(truth.any()))


def exact_match(prediction: Tensor, y: Tensor, target: Tokens) -> Tensor:
    """The share of answers that are right in every token."""
    return (target.read(prediction) == ended(y)).all(-1).to(prediction.dtype).mean()


def edit_distance(prediction: Tensor, y: Tensor, target: Tokens) -> Tensor:
    """The mean number of tokens to insert, leave out or replace until an answer is right."""
    return distance_of(target.read(prediction), y).to(prediction.dtype).mean()


def character_error_rate(prediction: Tensor, y: Tensor, target: Transcripts) -> Tensor:
    """The characters to insert, leave out or replace until all strings are right, of each true one; it may be above 1."""
    wrong, length = distance_of(target.read(prediction), y).sum(), (ended(y) != END).sum()
    return wrong.to(prediction.dtype) / length


def _mean_of_columns(
    function: Callable, prediction: Tensor, y: Tensor, target: Target, defined: Callable[[Tensor], bool]
) -> Tensor:
    p = target.probabilities(prediction)
    columns = zip(p.T, y.T, strict=True) if isinstance(target, MultiLabel) else [(p, y)]
    found = []
    for scores, truth in columns:
        known = ~truth.isnan()
        if defined(truth[known] == 1):
            found.append(function(scores[known], truth[known].long()))
    return torch.stack(found).mean() if found else prediction.new_tensor(torch.nan)


def mrr(prediction: Tensor, y: Tensor, target: Pairs) -> Tensor:
    """The mean of 1 / rank, where each answer's own pair is ranked among those of all queries."""
    return (1 / target.ranks(prediction, y).to(prediction.dtype)).mean()


def recall_at_1(prediction: Tensor, y: Tensor, target: Pairs) -> Tensor:
    """The share of answers whose own pair is the first."""
    return (target.ranks(prediction, y) == 1).to(prediction.dtype).mean()


def span_f1(prediction: Tensor, y: Tensor, target: TokenLabels) -> Tensor:
    """The micro F1 of the spans of all queries together, as conlleval counts them; tokens without a label are left out.

    NaN where there are no spans, neither true ones nor predicted ones; 0 where all predicted ones are wrong.
    """
    assert target.names is not None  # see `serves`
    both = counted = 0
    for answer, truth in zip(target.read(prediction), y, strict=True):
        known = truth != NONE
        guessed, right = (spans([target.names[label] for label in one[known].tolist()]) for one in (answer, truth))
        both, counted = both + len(guessed & right), counted + len(guessed) + len(right)
    return prediction.new_tensor(2 * both / counted if counted else torch.nan)


def _asked_of_the_learner(prediction: Tensor, y: Tensor, target: Target) -> Tensor:
    raise UnsupportedError("metrics", expected="the learner's own loss", got="predictions", do="Use evaluate(metrics=['loss']).")


CLASSES, NUMBERS = (Labels,), (Values,)
LIKELY = (Labels, SoftLabels, MultiLabel, Binary, TokenLabels, Values)
METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy, percent=True, kinds=(Labels, MultiLabel, Binary), under_vmap=True),
        Metric("macro_f1", macro_f1, percent=True, kinds=CLASSES),
        Metric("nll", nll, higher_is_better=False, kinds=LIKELY),  # of a distribution
        Metric("mse", mse, higher_is_better=False, kinds=NUMBERS, under_vmap=True),
        Metric("rmse", rmse, higher_is_better=False, kinds=NUMBERS, under_vmap=True),
        Metric("mae", mae, higher_is_better=False, kinds=NUMBERS, under_vmap=True),
        Metric("roc_auc", roc_auc, percent=True, kinds=(Binary, MultiLabel)),
        Metric("average_precision", average_precision, percent=True, kinds=(Binary,)),
        Metric("mean_average_precision", average_precision, percent=True, kinds=(MultiLabel,)),
        Metric("span_f1", span_f1, percent=True, kinds=(TokenLabels,)),
        Metric("token_accuracy", accuracy, percent=True, kinds=(TokenLabels,), under_vmap=True),
        Metric("exact_match", exact_match, percent=True, kinds=(Tokens,), under_vmap=True),
        Metric("edit_distance", edit_distance, higher_is_better=False, kinds=(Tokens,), under_vmap=True),
        Metric(
            "character_error_rate",
            character_error_rate,
            higher_is_better=False,
            percent=True,
            kinds=(Transcripts,),
            under_vmap=True,
        ),
        Metric("mrr", mrr, kinds=(Pairs,), under_vmap=True),
        Metric("recall_at_1", recall_at_1, percent=True, kinds=(Pairs,), under_vmap=True),
    )
}
OWN_LOSS = Metric(LOSS, _asked_of_the_learner, higher_is_better=False)

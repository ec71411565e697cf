"""Scorings: what a candidate is chosen by, under scikit-learn's names; the greater, the better.

classes    accuracy, balanced_accuracy, f1_macro, and of the ranking by probability: roc_auc and average_precision of two
           classes, roc_auc_ovr of more; neg_log_loss
numbers    r2, neg_root_mean_squared_error, neg_mean_absolute_error, neg_median_absolute_error, and of the ranking:

spearman   the correlation of the ranks of y and of the predictions                          (no scoring of scikit-learn)
ndcg       sum_i y_i / log2(1 + place of i by prediction), over the same by y itself         (sklearn.metrics.ndcg_score)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from quickstudy.domains.tables.select.extras import package
from quickstudy.errors import ArgumentError, LabelError, nearest


@dataclass(frozen=True)
class Scoring:
    """One of them.

    Args:
        regression: whether y is numbers, not classes.
        probabilities: whether a candidate must have `predict_proba`.
        two: whether it takes two classes only.
        failed: the score of a fit that failed, which no other falls below.
    """

    regression: bool
    probabilities: bool = False
    two: bool = False
    failed: float = -np.inf


SCORINGS = {
    "accuracy": Scoring(False, failed=0.0),
    "balanced_accuracy": Scoring(False, failed=0.0),
    "f1_macro": Scoring(False, failed=0.0),
    "roc_auc": Scoring(False, two=True, failed=0.0),
    "roc_auc_ovr": Scoring(False, probabilities=True, failed=0.0),
    "average_precision": Scoring(False, two=True, failed=0.0),
    "neg_log_loss": Scoring(False, probabilities=True),
    "r2": Scoring(True),
    "neg_root_mean_squared_error": Scoring(True),
    "neg_mean_absolute_error": Scoring(True),
    "neg_median_absolute_error": Scoring(True),
    "spearman": Scoring(True, failed=-1.0),
    "ndcg": Scoring(True, failed=0.0),
}
CLASSES, NUMBERS = "accuracy", "r2"  # without a choice


def scoring_named(name: str) -> Scoring:
    """The scoring of this name.

    Raises:
        ArgumentError: there is none.
    """
    if name not in SCORINGS:
        raise ArgumentError("scoring", expected=f"one of {list(SCORINGS)}", got=repr(name), do=nearest(str(name), SCORINGS))
    return SCORINGS[name]


def check_scoring(name: str, y: np.ndarray) -> None:
    """Raise LabelError if y, class numbers or targets, cannot be scored by it."""
    if scoring_named(name).two and int(y.max()) != 1:
        raise LabelError(
            "y", expected=f"two classes for scoring={name!r}", got=f"{int(y.max()) + 1}", do="Take 'roc_auc_ovr', or 'accuracy'."
        )
    if name == "ndcg" and bool((y < 0).any()):
        raise LabelError("y", expected="gains of 0 or more for scoring='ndcg'", got=f"{y.min():g}", do="Take 'spearman'.")


def scorer(name: str) -> Callable[[Any, Any, np.ndarray], float]:
    """(fitted estimator, X, y) -> its score."""
    metrics = package("sklearn.metrics", "select")
    own = {"spearman": spearman, "ndcg": ndcg}
    return metrics.make_scorer(own[name]) if name in own else metrics.get_scorer(name)


def spearman(y: np.ndarray, predicted: np.ndarray) -> float:
    """The rank correlation; 0 where all predictions, or all y, are equal."""
    stats = package("scipy.stats", "select")
    a, b = stats.rankdata(y), stats.rankdata(predicted)
    spread = a.std() * b.std()
    return 0.0 if spread == 0 else float(((a - a.mean()) * (b - b.mean())).mean() / spread)


def ndcg(y: np.ndarray, predicted: np.ndarray) -> float:
    """The normalised discounted cumulative gain of all rows, ranked by prediction."""
    return float(package("sklearn.metrics", "select").ndcg_score([y], [predicted]))

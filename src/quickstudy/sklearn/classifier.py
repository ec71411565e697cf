"""FewShotClassifier: a quickstudy learner as a scikit-learn classifier."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, DataWarning, LabelError
from quickstudy.evaluation.calibration import Calibration
from quickstudy.evaluation.head_choice import AUTO, HEADS, HeadChoice, choose_head
from quickstudy.evaluation.ood_scores import MaxProbability
from quickstudy.learners.contradictions import MARGIN, contradicted, questioned
from quickstudy.learners.learner import Learner
from quickstudy.learners.solve.ridge import Ridge
from quickstudy.learners.wrap.standardised import Standardised
from quickstudy.sklearn.estimator import FewShotEstimator


class FewShotClassifier(ClassifierMixin, FewShotEstimator):
    """Classify with a learner that adapts to the examples given to fit.

        state  =  learn(X, y)                              fit
        p(y = k | x)  =  softmax_k( predict(state, x) / T )        T = calibration.temperature, or 1

    X is (examples, *feature): an array, a tensor or a list; uint8 images are read as numbers in [0, 1]. Images may
    have their channels, 1 or 3, first or last. Labels may be of any kind that scikit-learn accepts.

    Args:
        learner: any quickstudy learner for classification; None: ridge regression on standardised features.
        head: how the learner's features are read: "auto", by what the support says where each class has two examples or more
            (see `evaluation.head_choice`), or "own" (as the learner does), "centroid", "ridge", "logistic".
        calibration: the result of `quickstudy.calibrate`: the temperature, and the threshold for `reject=True`. It is for one
            head; give several for several. Where any is given, "auto" chooses among the heads that they are for.
        unknown: the label that predict returns for a rejected row.
        preprocessing: normalises images, uint8 or in [0, 1], as the learner's meta-training did; None: no normalisation.

    Attributes:
        classes_: the labels, sorted.
        predictor_: the adapted learner, with the head that was chosen.
        head_: the name of that head; `head_choice_` says why it is this one.
        support_x_, support_y_: the examples that it was adapted to, with their labels.
        feature_shape_: the shape of one example.

    Examples:
        >>> x, y = torch.tensor([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0], [3.0, 1.0]]), ["left", "left", "right", "right"]
        >>> classifier = qs.FewShotClassifier().fit(x, y)
        >>> classifier.predict([[0.2, 0.5], [2.9, 0.5]]).tolist()
        ['left', 'right']
        >>> classifier.add_class("far", [[9.0, 9.0], [9.0, 8.0]]).classes_.tolist()
        ['far', 'left', 'right']
    """

    def __init__(
        self,
        learner: Learner | None = None,
        *,
        head: str = AUTO,
        calibration: Calibration | Sequence[Calibration] | None = None,
        unknown: Any = None,
        preprocessing: Preprocessing | None = None,
    ):
        self.learner = learner
        self.head = head
        self.calibration = calibration
        self.unknown = unknown
        self.preprocessing = preprocessing

    def fit(self, X: Any, y: Any) -> Self:
        """Adapt to the support set X (examples, *feature) with labels y (examples,).

        A row that the others of its class contradict is named in a DataWarning where the classifier was given a learner: it may
        be labelled wrong. Above 200 rows they are not questioned, since the learner adapts once for each: ask `contradicted()`.
        """
        x, y = self._read(X, y)
        check_classification_targets(y)
        self._fit(x, y)
        if self.learner is not None and questioned(self.learner, len(y)):
            self._warn_of_contradictions()
        return self

    def predict(self, X: Any, reject: bool | float = False) -> np.ndarray:
        """The label of each row.

        Args:
            reject: True: return `unknown` for rows with a score below the calibration's threshold. A number replaces that
                threshold; without a calibration it is the minimum probability of the best class.

        Raises:
            ArgumentError: reject=True without a calibration; `unknown` is one of the classes.
            ShapeError: examples of another shape than fit had.
        """
        logits = self._logits(X)
        labels = self.classes_[logits.argmax(1).numpy()]
        return labels if reject is False else self._rejected(labels, logits, reject)

    def predict_proba(self, X: Any) -> np.ndarray:
        """(examples, classes), in the order of `classes_`."""
        logits = self._logits(X)
        calibration = self._calibrations().get(self.head_)
        return (logits / (1.0 if calibration is None else calibration.temperature)).softmax(1).numpy()

    def most_uncertain(self, pool: Any, n: int = 1) -> np.ndarray:
        """(n,) the rows of the pool to label next, the most uncertain first: see `Predictor.most_uncertain`.

        Raises:
            ArgumentError: n below 1, or above the number of rows.
            ShapeError: examples of another shape than fit had.
        """
        return self.predictor_.most_uncertain(self._read_queries(pool), n).numpy()

    def contradicted(self, margin: float = MARGIN) -> list[tuple[int, Any, Any]]:
        """The rows of fit that the others of their class contradict, by the learner's own head: (row, label, nearest class),
        the clearest first.

        See `quickstudy.learners.contradictions` for the rule and its rate of false alarms. The learner adapts once for each row.

        Raises:
            UnsupportedError: an estimator that does not hold its support set.
        """
        support = self._kept_support("contradicted")
        codes = torch.from_numpy(np.searchsorted(self.classes_, self.support_y_)).to(support.device)
        found = contradicted(self._learner(), Examples(support, codes, len(self.classes_)), margin)
        return [(one.index, self.classes_[one.label], self.classes_[one.nearest]) for one in found]

    def _warn_of_contradictions(self) -> None:
        found = self.contradicted()
        if not found:
            return
        named = "; ".join(f"row {row}, labelled {_shown(label)}: {_shown(other)}" for row, label, other in found[:5])
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        warnings.warn(
            f"`y`: the others of its class contradict a row, and speak for another class ({named}{more}). "
            f"Are they labelled right? See `contradicted()`.",
            DataWarning,
            stacklevel=3,
        )

    def add_class(self, name: Any, X: Any) -> Self:
        """Learn one more class from its examples X. Same result as fitting again with them: the support set is kept.

        Raises:
            ArgumentError: a class of this name exists already.
            LabelError: the name is of another kind than the labels (text among numbers).
            ShapeError: examples of another shape than fit had.
        """
        support = self._kept_support("add_class")
        if name in self.classes_:
            raise ArgumentError(
                "add_class(name)",
                expected="a class that is not there yet",
                got=f"{name!r}, one of {_short(self.classes_)}",
                do=f"To replace its examples call remove_class({name!r}) first.",
            )
        kind = np.asarray(name).dtype.kind
        if (kind in "US") != (np.asarray(self.classes_.tolist()).dtype.kind in "US"):
            raise LabelError(
                "add_class(name)",
                expected=f"a label of the kind of {_short(self.classes_)}",
                got=repr(name),
                do="Give all labels as text, or all as numbers.",
            )
        x = self._read_queries(X)
        y = np.concatenate([self.support_y_, np.full(len(x), name, dtype=self._dtype_with(name))])
        return self._fit(torch.cat([support, x]), y)

    def remove_class(self, name: Any) -> Self:
        """Forget a class and its examples. Same result as fitting again without them.

        Raises:
            ArgumentError: there is no class of this name, or it is the only one.
        """
        support = self._kept_support("remove_class")
        if name not in self.classes_ or len(self.classes_) == 1:
            raise ArgumentError(
                "remove_class(name)",
                expected=f"one of {_short(self.classes_)}, and another class that is left",
                got=repr(name),
                do="See `classes_` for the labels as they were fitted.",
            )
        kept = self.support_y_ != name
        return self._fit(support[torch.from_numpy(kept).to(support.device)], self.support_y_[kept])

    def _default(self) -> Learner:
        """Chosen on iris, wine, breast cancer and digits with 1, 5 and 20 shots; float64, as scikit-learn computes."""
        return Standardised(Ridge(penalty=10.0, scale=10.0, intercept=True, normalisation="support"), clip=3.0).double()

    def _fit(self, x: Tensor, y: np.ndarray) -> Self:
        classes, codes = np.unique(y, return_inverse=True)
        labels = torch.from_numpy(codes.astype(np.int64)).to(x.device)
        self._adapt(Examples(x, labels, len(classes)))
        self.classes_, self.support_y_ = classes, y
        return self

    def _adapt(self, support: Examples) -> None:
        calibrated = self._calibrations()
        choice = choose_head(self._learner(), support, self.head, list(calibrated) or HEADS)
        if calibrated and choice.head not in calibrated:
            raise ArgumentError(
                "calibration",
                expected=f"one for the head that answers, {choice.head!r} ({choice.why})",
                got="for " + ", ".join(calibrated),
                do=f"Give quickstudy.calibrate(learner, tasks.validation, head={choice.head!r}) too, or another `head`.",
            )
        self.head_choice_: HeadChoice = choice
        self.head_ = choice.head
        self.predictor_ = choice.adapt(support)
        self.support_x_ = support.x

    def _calibrations(self) -> dict[str, Calibration]:
        """The calibrations, by the head that each is for."""
        given = [] if self.calibration is None else [self.calibration]
        each = [one for part in given for one in ([part] if isinstance(part, Calibration) else part)]
        return {one.head: one for one in each}

    def _logits(self, X: Any) -> Tensor:
        """(examples, classes); outputs of the network beyond the classes are cut off."""
        return self._answer(X)[:, : len(self.classes_)]

    def _rejected(self, labels: np.ndarray, logits: Tensor, reject: bool | float) -> np.ndarray:
        calibration = self._calibrations().get(self.head_)
        if calibration is None and reject is True:
            raise ArgumentError(
                "reject",
                expected="a number, or a calibration whose threshold True stands for",
                got="True without a calibration",
                do="Give FewShotClassifier(calibration=quickstudy.calibrate(learner, tasks.validation)), or reject=0.5.",
            )
        if self.unknown in self.classes_.tolist():
            raise ArgumentError(
                "unknown",
                expected=f"none of the classes {_short(self.classes_)}",
                got=repr(self.unknown),
                do="Choose another answer for rejected rows.",
            )
        if calibration is None:
            scores, threshold = MaxProbability()(logits, 1.0), float(reject)
        else:
            scores = calibration.scores(logits)
            threshold = calibration.threshold if reject is True else float(reject)
        outside = (scores < threshold).numpy()
        if np.asarray(self.unknown).dtype.kind == labels.dtype.kind:
            return np.where(outside, self.unknown, labels)
        answer = labels.astype(object)
        answer[outside] = self.unknown
        return answer

    def _dtype_with(self, name: Any) -> Any:
        return object if self.support_y_.dtype == object else np.asarray(name).dtype


def _shown(label: Any) -> str:
    return repr(label.item() if isinstance(label, np.generic) else label)


def _short(classes: np.ndarray) -> str:
    shown = ", ".join(repr(one) for one in classes[:5].tolist())
    return f"[{shown}, ...]" if len(classes) > 5 else f"[{shown}]"

"""A meta-learned recommender: from the meta-features of a table to the score of every candidate on it.

    s_tc  =  - min( max_c' accuracy_tc' - accuracy_tc,  0.1 )         table t, candidate c                                 (1)
    K_ij  =  1 + exp( - ||m_i - m_j||^2 / (2 l^2 d) )                 m: standardised meta-features, d of them              (2)
    f_c(m)  =  k(m)' a_c,        (K + r I) A = S                      kernel ridge regression, one solve for all c          (3)

(1) is how far a candidate falls short of the table's best: it ignores how hard the table is, which no choice changes, and how
bad poor candidates are, as none of them is chosen. The 1 in (2) is the kernel of a constant: far from all known tables f is about
the mean over tables, so the answer falls back to the best on average. l and r minimise the squared error on left-out families,
which has a closed form: with P = (K + r I)^-1, a left-out family G is predicted with the error

    S_G - f_-G(M_G)  =  (P_GG)^-1 (P S)_G                                                                                   (4)

Source: kernel ridge regression; (4) is Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, eq. 5.12, by block.
Recommending by meta-features: Rice, "The algorithm selection problem", 1976; Brazdil, Soares & da Costa, "Ranking learning
algorithms", Machine Learning 2003 (nearest tables, where this has a kernel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch

from quickstudy.arguments import NonNegativeFloat, PositiveFloat
from quickstudy.domains.tables.select.candidates import Candidate
from quickstudy.domains.tables.select.columns import Columns, columns_of
from quickstudy.domains.tables.select.meta_features import groups_of, meta_features
from quickstudy.domains.tables.select.results import Results
from quickstudy.domains.tables.select.scoring import CLASSES
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.files import read_tensors, write_with_tensors
from quickstudy.records import read_record

FORMAT = 2
CONFIG, ARRAYS = "config.json", "arrays.safetensors"
SCALES, RIDGES = (0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0), (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
WORST = 0.1  # of accuracy, or of R2, in (1)
CLIP = 3.0  # standard deviations at which meta-features are clipped


@dataclass(frozen=True)
class Saved:
    """config.json of a saved recommender."""

    format: Literal[2]
    kind: Literal["recommender"]
    candidates: tuple[Candidate, ...]
    features: tuple[str, ...]
    scales: tuple[PositiveFloat, ...]
    ridges: tuple[PositiveFloat, ...]
    scale: PositiveFloat
    ridge: PositiveFloat
    error: NonNegativeFloat
    scoring: str = CLASSES


@dataclass(frozen=True)
class Recommendation:
    """A candidate and its expected shortfall.

    Attributes:
        candidate: the learner with its hyperparameters.
        shortfall: how much less accurate than the best of all candidates it is expected to be, or lower in R2; losses above 0.1
            count as 0.1.
        columns: which columns of the table are categories; None where none is.

    Examples:
        >>> candidate = qs.select.Candidate("decision_tree", {"min_samples_leaf": 5})
        >>> print(qs.select.Recommendation(candidate, shortfall=0.02))
        decision_tree(min_samples_leaf=5): 2.0 points short of the best, as expected
    """

    candidate: Candidate
    shortfall: float
    columns: Columns | None = None

    def estimator(self, seed: int = 0) -> Any:
        """A new scikit-learn pipeline, which encodes the table's categories; see `Candidate.estimator`."""
        return self.candidate.estimator(seed, self.columns)

    def __str__(self) -> str:
        return f"{self.candidate}: {100 * self.shortfall:.1f} points short of the best, as expected"


class Recommender:
    """Recommends base learners with hyperparameters for a table, from results on others.

    Args:
        scales: kernel widths l to choose from.
        ridges: r to choose from.

    Attributes:
        candidates, features: of the results; set by `fit`, as are the others.
        scale, ridge: the chosen l and r.
        error: root mean square of (4) over tables and candidates, in accuracy.

    Raises:
        ArgumentError: no scale or ridge, or one of 0 or less.

    Examples:
        >>> from quickstudy.domains.tables.select.tables import draw
        >>> known = [draw("linear", 0), draw("rings", 0)]
        >>> results = qs.select.measure(known, qs.select.grid()[:7], groups=["simple"])
        >>> new = draw("mixtures", 0)
        >>> ranked = qs.select.Recommender().fit(results).recommend(new.X, new.y, k=3)
        >>> len(ranked), ranked[0].shortfall <= ranked[-1].shortfall
        (3, True)
    """

    candidates: tuple[Candidate, ...]
    features: tuple[str, ...]
    scoring: str
    scale: float
    ridge: float
    error: float

    def __init__(self, *, scales: Sequence[float] = SCALES, ridges: Sequence[float] = RIDGES):
        for name, values in (("scales", scales), ("ridges", ridges)):
            if not len(values) or min(values) <= 0:
                raise ArgumentError(name, expected="numbers above 0, one or more", got=str(tuple(values)), do="Leave it out.")
        self.scales, self.ridges = tuple(scales), tuple(ridges)
        self._arrays: dict[str, np.ndarray] | None = None

    def fit(self, results: Results) -> Self:
        """Learn from results on known tables.

        Raises:
            ArgumentError: tables of a single family, so that none can be left out.
        """
        families = np.array(results.families)
        if len(set(results.families)) < 2:
            raise ArgumentError(
                "results",
                expected="tables of two families or more",
                got=f"{results.families[0]!r} alone",
                do="Give each table its family.",
            )
        scores = results.filled()
        S = -np.minimum(scores.max(1, keepdims=True) - scores, WORST)  # (1)
        middle, spread = results.values.mean(0), results.values.std(0)
        M = _standard(results.values, middle, spread)
        distances = squared_distances(M, M)
        groups = [np.flatnonzero(families == family) for family in dict.fromkeys(results.families)]
        tried = [
            (float(np.sqrt(np.mean(left_out(kernel(distances, scale), S, ridge, groups) ** 2))), scale, ridge)
            for scale in self.scales
            for ridge in self.ridges
        ]
        self.error, self.scale, self.ridge = min(tried)
        A = np.linalg.solve(kernel(distances, self.scale) + self.ridge * np.eye(len(S)), S)  # (3)
        self.candidates, self.features, self.scoring = results.candidates, results.features, results.scoring
        self._arrays = {"middle": middle, "spread": spread, "M": M, "A": A}
        return self

    def predict(self, values: np.ndarray) -> np.ndarray:
        """f, the predicted scores (1), (tables, candidates), from meta-features (tables, features) in the order of `features`."""
        arrays = self._fitted()
        M = _standard(values, arrays["middle"], arrays["spread"])
        return kernel(squared_distances(M, arrays["M"]), self.scale) @ arrays["A"]  # (3)

    def recommend(
        self,
        X: Any,
        y: Any,
        k: int | None = 5,
        *,
        scoring: str | None = None,
        categorical: Sequence[Any] = (),
        most_per_learner: int | None = None,
        seed: int = 0,
    ) -> list[Recommendation]:
        """The k most promising candidates for the table X, y, best first.

        Args:
            X: (rows, columns) numbers, NaN where one is missing, and categories as text.
            y: (rows,) labels of any kind, or numbers to predict, of the kind that the recommender was fitted to.
            k: how many; None: all.
            scoring: candidates that it cannot score are left out; None: that of the results.
            categorical: columns of categories, besides those of text.
            most_per_learner: at most this many with the same learner, for variety; None: no limit.
            seed: of the folds of landmarks.

        Raises:
            ArgumentError: k or most_per_learner below 1, or the recommender is not fitted.
            ShapeError, LabelError, NotFiniteError, MissingPackageError: see `meta_features`.
        """
        for name, value in (("k", k), ("most_per_learner", most_per_learner)):
            if value is not None and value < 1:
                raise ArgumentError(name, expected="1 or more, or None", got=str(value), do="Give for example 5.")
        self._fitted()
        by = scoring or self.scoring
        able = [one.serves(by) for one in self.candidates]
        if not any(able):
            kind = "regressors" if self.candidates[0].regression else "classifiers"
            raise ArgumentError(
                "recommender",
                expected=f"one fitted to results that scoring={by!r} can use",
                got=f"one of {kind}, by {self.scoring!r}",
                do="Fit one to Recommender().fit(shipped(regression=...)), or to results of your own.",
            )
        found = meta_features(X, y, groups_of(self.features), scoring=by, categorical=categorical, seed=seed)
        f = self.predict(np.array([[found.get(name, 0.0) for name in self.features]]))[0]
        columns = columns_of(X, categorical)
        ranked, taken = [], dict.fromkeys((one.learner for one in self.candidates), 0)
        for index in np.argsort(-f, kind="stable").tolist():
            candidate = self.candidates[index]
            if able[index] and (most_per_learner is None or taken[candidate.learner] < most_per_learner):
                taken[candidate.learner] += 1
                ranked.append(Recommendation(candidate, max(-float(f[index]), 0.0), columns))
        return ranked[:k]

    def save(self, path: str | Path) -> None:
        """Save as a folder: config.json and arrays.safetensors, only numbers. Nothing in it can run code."""
        arrays, path = self._fitted(), Path(path)
        config = {
            "format": FORMAT,
            "kind": "recommender",
            "candidates": [one.to_dict() for one in self.candidates],
            "features": list(self.features),
            **{name: getattr(self, name) for name in ("scales", "ridges", "scale", "ridge", "error", "scoring")},
        }
        tensors = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in arrays.items()}
        write_with_tensors(path / CONFIG, config, path / ARRAYS, tensors, indent=1)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CheckpointError: no such folder, of another format, changed or damaged, or naming a learner that is not in `LEARNERS`.
        """
        path = Path(path)
        do = "Give the folder that Recommender.save wrote, or fit anew."
        read = read_record(path / CONFIG, Saved, [path / ARRAYS], expected=f"a recommender of format {FORMAT}", do=do)
        arrays = {name: tensor.numpy() for name, tensor in read_tensors(path / ARRAYS, do=do).items()}
        tables, features = len(arrays.get("M", ())), len(read.features)
        shapes = {"middle": (features,), "spread": (features,), "M": (tables, features), "A": (tables, len(read.candidates))}
        if {name: one.shape for name, one in arrays.items()} != shapes or not all(np.isfinite(a).all() for a in arrays.values()):
            got = {name: one.shape for name, one in arrays.items()}
            raise CheckpointError(str(path), expected=f"finite arrays of the shapes {shapes}", got=str(got), do=do)
        found = cls(scales=read.scales, ridges=read.ridges)
        found.candidates, found.scoring = read.candidates, read.scoring
        found.features, found.scale, found.ridge, found.error = read.features, read.scale, read.ridge, read.error
        found._arrays = arrays
        return found

    def _fitted(self) -> dict[str, np.ndarray]:
        if self._arrays is None:
            raise ArgumentError(
                "Recommender",
                expected="a fitted one",
                got="one without results",
                do="Call fit(results) first, or use select.recommend(X, y).",
            )
        return self._arrays


def kernel(distances: np.ndarray, scale: float) -> np.ndarray:
    """(2) of squared distances that are divided by d."""
    return 1 + np.exp(-distances / (2 * scale**2))


def squared_distances(M: np.ndarray, N: np.ndarray) -> np.ndarray:
    """||m_i - n_j||^2 / d, (rows of M, rows of N)."""
    square = (M**2).sum(1)[:, None] - 2 * M @ N.T + (N**2).sum(1)
    return np.maximum(square, 0) / M.shape[1]


def left_out(K: np.ndarray, S: np.ndarray, ridge: float, groups: Sequence[np.ndarray]) -> np.ndarray:
    """(4): the error of the prediction of each row of S if the rows of its group are left out of the fit."""
    P = np.linalg.inv(K + ridge * np.eye(len(K)))
    PS, errors = P @ S, np.empty_like(S)
    for G in groups:
        errors[G] = np.linalg.solve(P[np.ix_(G, G)], PS[G])
    return errors


def _standard(values: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> np.ndarray:
    Z = np.divide(values - middle, spread, out=np.zeros(values.shape), where=spread > 1e-12)
    return np.clip(Z, -CLIP, CLIP)

"""Landmarking: fast learners on the same folds of a table say what kind of table it is.

s_l  =  the mean score of learner l over the folds        s_l - mean_l s_l        mean_l s_l
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.domains.tables.select.extras import one_thread, package, without_warnings_of_sklearn

Landmarkers = Mapping[str, tuple[str, str, dict[str, Any]]]  # by name: scikit-learn's module, its class, arguments
Score = Callable[[Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]  # of a learner, the rows to fit, the rows to ask


def landmarks(
    learners: Landmarkers,
    score: Score,
    Z: np.ndarray,
    y: np.ndarray,
    dealt: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> dict[str, float]:
    """The score of each learner over the folds (rows to fit, rows to ask), each minus their mean, and the mean."""
    found: dict[str, float] = {}
    with one_thread(), without_warnings_of_sklearn:  # constant columns in a fold
        for name, (module, build, arguments) in learners.items():
            cls = getattr(package(f"sklearn.{module}", "groups=['landmarking']", ", or leave that group out"), build)
            learner = cls(**arguments)
            if "random_state" in learner.get_params():
                learner.set_params(random_state=seed)
            found[name] = float(np.mean([score(learner, Z[own], y[own], Z[asked], y[asked]) for own, asked in dealt]))
    mean = float(np.mean(list(found.values())))
    return found | {f"{name}_relative": one - mean for name, one in found.items()} | {"mean": mean}

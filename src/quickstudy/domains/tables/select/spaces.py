"""The learners of scikit-learn that candidates are made of, and the ranges of their hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quickstudy.domains.tables.select.scoring import scoring_named

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Options:
    """A hyperparameter with a fixed set of values."""

    grid: tuple[Value, ...]

    def holds(self, value: Any) -> bool:
        return any(type(value) is type(one) and value == one for one in self.grid)


@dataclass(frozen=True)
class Range:
    """A number from low to high, whole if low is an int, searched on a log scale if low is above 0; `grid` is within it."""

    low: float
    high: float
    grid: tuple[float, ...]

    def holds(self, value: Any) -> bool:
        kinds = int if isinstance(self.low, int) else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class LearnerSpace:
    """A scikit-learn classifier or regressor.

    Args:
        path: its class, below sklearn.
        parameters, fixed: its hyperparameters, chosen and fixed.
        standardise: whether to standardise columns first; of a regressor, y too.
        seeded: whether it takes `random_state`.
        regression: whether it is a regressor.
        probabilities: whether a classifier has `predict_proba`.
    """

    path: str
    parameters: Mapping[str, Options | Range]
    fixed: Mapping[str, Any]
    standardise: bool = True
    seeded: bool = False
    regression: bool = False
    probabilities: bool = True

    def serves(self, scoring: str) -> bool:
        """Whether it can be chosen by this scoring."""
        asked = scoring_named(scoring)
        return asked.regression == self.regression and (self.probabilities or not asked.probabilities)


LEARNERS: dict[str, LearnerSpace] = {
    "logistic_regression": LearnerSpace(
        "linear_model.LogisticRegression", {"C": Range(1e-3, 1e3, (0.01, 0.1, 1.0, 10.0, 100.0))}, {"max_iter": 500}
    ),
    "linear_discriminant": LearnerSpace(
        "discriminant_analysis.LinearDiscriminantAnalysis", {"shrinkage": Range(0.0, 1.0, (0.01, 0.3))}, {"solver": "lsqr"}
    ),
    "quadratic_discriminant": LearnerSpace(
        "discriminant_analysis.QuadraticDiscriminantAnalysis", {"reg_param": Range(0.0, 1.0, (0.01, 0.1, 0.5))}, {}
    ),
    "naive_bayes": LearnerSpace("naive_bayes.GaussianNB", {"var_smoothing": Range(1e-9, 1.0, (1e-9, 0.1))}, {}),
    "nearest_neighbours": LearnerSpace(
        "neighbors.KNeighborsClassifier",
        {"n_neighbors": Range(1, 50, (1, 5, 15)), "weights": Options(("uniform", "distance"))},
        {},
    ),
    "svm": LearnerSpace(
        "svm.SVC",
        {"C": Range(1e-2, 1e3, (1.0, 10.0, 100.0)), "gamma": Range(1e-4, 10.0, (0.01, 0.1, 0.5))},
        {"kernel": "rbf"},
        probabilities=False,
    ),
    "decision_tree": LearnerSpace(
        "tree.DecisionTreeClassifier", {"min_samples_leaf": Range(1, 20, (1, 5, 15))}, {}, standardise=False, seeded=True
    ),
    "random_forest": LearnerSpace(
        "ensemble.RandomForestClassifier",
        {"max_features": Options(("sqrt", 0.5)), "min_samples_leaf": Range(1, 20, (1, 5))},
        {"n_estimators": 100},
        standardise=False,
        seeded=True,
    ),
    "extra_trees": LearnerSpace(
        "ensemble.ExtraTreesClassifier",
        {"max_features": Options(("sqrt", 1.0)), "min_samples_leaf": Range(1, 20, (1, 5))},
        {"n_estimators": 100},
        standardise=False,
        seeded=True,
    ),
    "gradient_boosting": LearnerSpace(
        "ensemble.GradientBoostingClassifier",
        {"max_depth": Range(1, 6, (1, 3)), "learning_rate": Range(0.01, 0.5, (0.1,))},
        {"n_estimators": 50, "subsample": 0.7},
        standardise=False,
        seeded=True,
    ),
    "multilayer_perceptron": LearnerSpace(
        "neural_network.MLPClassifier",
        {"alpha": Range(1e-5, 10.0, (1e-3, 1.0))},
        {"hidden_layer_sizes": (64,), "solver": "lbfgs", "max_iter": 150},
        seeded=True,
    ),
    "ridge": LearnerSpace("linear_model.Ridge", {"alpha": Range(1e-3, 1e4, (0.1, 1.0, 10.0, 100.0))}, {}, regression=True),
    "lasso": LearnerSpace("linear_model.Lasso", {"alpha": Range(1e-4, 1.0, (0.01, 0.1))}, {"max_iter": 2000}, regression=True),
    "nearest_neighbours_regressor": LearnerSpace(
        "neighbors.KNeighborsRegressor",
        {"n_neighbors": Range(1, 50, (2, 5, 15)), "weights": Options(("uniform", "distance"))},
        {},
        regression=True,
    ),
    "svm_regressor": LearnerSpace(
        "svm.SVR",
        {"C": Range(1e-2, 1e3, (1.0, 10.0, 100.0)), "gamma": Range(1e-4, 10.0, (0.01, 0.1))},
        {"kernel": "rbf"},
        regression=True,
    ),
    "decision_tree_regressor": LearnerSpace(
        "tree.DecisionTreeRegressor",
        {"min_samples_leaf": Range(1, 20, (1, 5, 15))},
        {},
        standardise=False,
        seeded=True,
        regression=True,
    ),
    "random_forest_regressor": LearnerSpace(
        "ensemble.RandomForestRegressor",
        {"max_features": Options(("sqrt", 1.0)), "min_samples_leaf": Range(1, 20, (1, 5))},
        {"n_estimators": 100},
        standardise=False,
        seeded=True,
        regression=True,
    ),
    "extra_trees_regressor": LearnerSpace(
        "ensemble.ExtraTreesRegressor",
        {"max_features": Options(("sqrt", 1.0)), "min_samples_leaf": Range(1, 20, (1, 5))},
        {"n_estimators": 100},
        standardise=False,
        seeded=True,
        regression=True,
    ),
    "gradient_boosting_regressor": LearnerSpace(
        "ensemble.GradientBoostingRegressor",
        {"max_depth": Range(1, 6, (1, 3)), "learning_rate": Range(0.01, 0.5, (0.1,))},
        {"n_estimators": 50, "subsample": 0.7},
        standardise=False,
        seeded=True,
        regression=True,
    ),
    "multilayer_perceptron_regressor": LearnerSpace(
        "neural_network.MLPRegressor",
        {"alpha": Range(1e-5, 10.0, (1e-3, 1.0))},
        {"hidden_layer_sizes": (64,), "solver": "lbfgs", "max_iter": 150},
        seeded=True,
        regression=True,
    ),
}

"""A search for hyperparameters with a warm start: the recommender's best candidates first, then TPE.

    maximise over candidates c     mean over folds of score(c, fold)

Source: warm starts by meta-learning, Feurer, Springenberg & Hutter, "Initializing Bayesian hyperparameter optimization via
meta-learning", AAAI 2015; TPE, Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011, by Optuna.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quickstudy.domains.tables.select.candidates import Candidate, cross_validated, fitted
from quickstudy.domains.tables.select.extras import package
from quickstudy.domains.tables.select.inputs import prepared
from quickstudy.domains.tables.select.recommender import Recommender
from quickstudy.domains.tables.select.scoring import SCORINGS
from quickstudy.domains.tables.select.spaces import LEARNERS, Options
from quickstudy.errors import ArgumentError, ConvergenceError

MOST_PER_LEARNER = 2  # among the candidates that a search starts with


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried, its cross-validated score (the worst there is where a fit failed: 0 for an accuracy), and
    whether it was recommended.
    """

    candidate: Candidate
    score: float
    recommended: bool


@dataclass(frozen=True)
class Search:
    """The result of a search.

    Attributes:
        estimator: a scikit-learn pipeline of the best candidate, fitted to all of X, y.
        best: that candidate.
        score: its cross-validated score; optimistic, as the best of many.
        trials: all of them, in order.
        study: the Optuna study, to plot or to continue.

    Examples:
        >>> from quickstudy.domains.tables.select.tables import draw
        >>> tables = [draw("linear", 0), draw("rings", 0)]
        >>> results = qs.select.measure(tables, qs.select.grid()[:5], groups=["simple"])
        >>> recommender = qs.select.Recommender().fit(results)
        >>> found = qs.select.search(tables[0].X, tables[0].y, trials=2, k=1, folds=2, recommender=recommender)
        >>> [trial.recommended for trial in found.trials]
        [True, False]
        >>> found.score == max(trial.score for trial in found.trials)
        True
    """

    estimator: Any
    best: Candidate
    score: float
    trials: tuple[Trial, ...]
    study: Any


def warm_search(
    X: Any,
    y: Any,
    trials: int = 30,
    *,
    recommender: Recommender | None,
    scoring: str | None = None,
    categorical: Sequence[Any] = (),
    k: int = 5,
    folds: int = 3,
    seconds: float | None = None,
    seed: int = 0,
) -> Search:
    """Try `trials` candidates, the k recommended ones first. `recommender=None`: a cold start. See `select.search`."""
    for name, value, least in (("trials", trials, 1), ("k", k, 1), ("folds", folds, 2)):
        if value < least:
            raise ArgumentError(name, expected=f"{least} or more", got=str(value), do="Leave it out.")
    optuna = package("optuna", "select.search", ", or use select.fit, which needs none")
    table = prepared(X, y, scoring, categorical)
    by, failed = table.scoring, SCORINGS[table.scoring].failed
    learners = [name for name, space in LEARNERS.items() if space.serves(by)]
    begins, first = min(k, trials), []
    if recommender is not None:
        settings = {"scoring": by, "categorical": categorical, "most_per_learner": MOST_PER_LEARNER, "seed": seed}
        first = recommender.recommend(X, y, begins, **settings)  # type: ignore[arg-type]
    tried: list[Trial] = []

    def objective(trial: Any) -> float:
        candidate = suggested(trial, learners)
        score = cross_validated(candidate, table, folds, seed=seed)
        tried.append(Trial(candidate, score if score == score else failed, trial.number < len(first)))
        return tried[-1].score

    logger = logging.getLogger("optuna")
    level = logger.level
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(1, trials // 2)))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for one in first:
            study.enqueue_trial(parameters_of(one.candidate))
        study.optimize(objective, n_trials=trials, timeout=seconds)
    finally:
        logger.setLevel(level)
    best = max(tried, key=lambda trial: trial.score, default=None)
    if best is None or best.score == failed:
        raise ConvergenceError(
            "select.search",
            expected="a candidate that can be fitted",
            got=f"{len(tried)} tried, none with success",
            do="Give it more trials, and more seconds where they are limited.",
            residual=1.0,
        )
    return Search(fitted(best.candidate, X, y, seed, table.columns), best.candidate, best.score, tuple(tried), study)


def suggested(trial: Any, learners: Sequence[str]) -> Candidate:
    """The candidate of an Optuna trial: one of the learners, and then its own hyperparameters, named "learner.parameter"."""
    learner = trial.suggest_categorical("learner", list(learners))
    parameters = {}
    for name, one in LEARNERS[learner].parameters.items():
        full = f"{learner}.{name}"
        if isinstance(one, Options):
            parameters[name] = trial.suggest_categorical(full, list(one.grid))
        else:
            suggest = trial.suggest_int if isinstance(one.low, int) else trial.suggest_float
            parameters[name] = suggest(full, one.low, one.high, log=one.low > 0)
    return Candidate(learner, parameters)


def parameters_of(candidate: Candidate) -> dict[str, Any]:
    """The Optuna parameters from which `suggested` makes this candidate."""
    return {"learner": candidate.learner} | {f"{candidate.learner}.{name}": value for name, value in candidate.parameters.items()}

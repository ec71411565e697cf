"""A check that threads which share a learner do not see each other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from quickstudy.episode import Episode
from quickstudy.learners.learner import Learner
from quickstudy.learners.predictor import Predictor
from quickstudy.testing.answers import changed, snapshot
from quickstudy.testing.check import ConformanceError, rows, scaled

THREADS = 8
FACTORS = (1.0, 0.9, 0.8, 0.7)  # of the inputs of the supports, each of which is another task
ASKED = 10  # predictions from one adaptation


def check_threads(learner: Learner, episode: Episode, answers: int = 100) -> None:
    """Eight threads adapt one learner and ask its predictors at once: each answer is, bit for bit, that of one thread alone.

    Each of the threads adapts to a support of its own choice and asks the new predictor, and one that all of them share. The
    learner's parameters, buffers, train/eval flags and arguments are afterwards as they were.

    All threads have the caller's number of intra-op threads of torch, on which the last bits of a product may depend: a new
    thread would begin with the process's, which the caller may have changed for itself.

    Args:
        answers: how many answers are compared, at least one for each thread.
    """
    supports = [scaled(episode.support, factor) for factor in FACTORS]
    queries = [episode.query.x, scaled(rows(episode.query, slice(0, 1)), 1.1).x]
    if learner.normalisation == "transductive":  # it needs more than one query
        queries = queries[:1]
    alone = [[learner.adapt(support)(x) for x in queries] for support in supports]
    shared = [learner.adapt(support) for support in supports]
    before, together = snapshot(learner), threading.Barrier(THREADS)

    def asked(thread: int) -> int:
        together.wait()
        wrong = 0
        for turn in range(thread, answers, THREADS):
            task, which = (turn + turn // ASKED) % len(supports), turn % len(queries)
            if turn // THREADS % ASKED == 0:
                predictor, own = learner.adapt(supports[task]), task
            one, of = (shared[task], task) if turn // THREADS % 2 else (predictor, own)
            wrong += not _same(one, queries[which], alone[of][which])
        return wrong

    with ThreadPoolExecutor(THREADS, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as pool:
        wrong = sum(pool.map(asked, range(THREADS)))
    if wrong:
        raise ConformanceError(
            "threads",
            learner,
            f"{wrong} of {answers} answers of {THREADS} threads are not those of one thread",
            "Keep nothing of a task outside the state: a list or a dict of the class or the module is shared by all copies.",
        )
    if (name := changed(before, snapshot(learner))) is not None:
        raise ConformanceError(
            "threads",
            learner,
            f"{name} is not what it was before {THREADS} threads adapted and asked",
            "`learn` and `predict` are pure: keep what is learned in the state.",
        )


def _same(predictor: Predictor, x: Any, want: Tensor) -> bool:
    return torch.equal(predictor(x), want)

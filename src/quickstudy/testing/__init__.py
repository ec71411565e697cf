"""The checks that every learner passes. Run them on your own learner:

    from quickstudy.testing import run_checks

    def test_mine():
        run_checks(Mine(network), episode)      # one episode of any task that it can learn

Each check is also a function, `check_...(learner, episode)`. A check that fails raises `ConformanceError`, an AssertionError that
says what was compared, what came out and where to look. A check that does not apply (labels, for a regression learner) passes.
"""

from __future__ import annotations

import copy

from quickstudy.episode import Episode
from quickstudy.learners.learner import Learner
from quickstudy.testing.answers import check_answer as check_answer
from quickstudy.testing.answers import check_changes_nothing as check_changes_nothing
from quickstudy.testing.answers import check_determinism as check_determinism
from quickstudy.testing.answers import check_state as check_state
from quickstudy.testing.check import Check
from quickstudy.testing.check import ConformanceError as ConformanceError
from quickstudy.testing.gradients import check_executors as check_executors
from quickstudy.testing.gradients import check_gradient as check_gradient
from quickstudy.testing.saving import check_save_and_load as check_save_and_load
from quickstudy.testing.sizes import check_float64 as check_float64
from quickstudy.testing.sizes import check_small_tasks as check_small_tasks
from quickstudy.testing.symmetries import check_labels as check_labels
from quickstudy.testing.symmetries import check_order as check_order
from quickstudy.testing.symmetries import check_transductive as check_transductive
from quickstudy.testing.symmetries import is_transductive as is_transductive
from quickstudy.testing.threads import check_threads as check_threads

CHECKS: tuple[Check, ...] = (
    check_answer,
    check_state,
    check_changes_nothing,
    check_determinism,
    check_order,
    check_labels,
    check_transductive,
    check_small_tasks,
    check_float64,
    check_save_and_load,
    check_threads,
    check_executors,
    check_gradient,
)


def run_checks(learner: Learner, episode: Episode) -> list[str]:
    """Run every check, each on a copy of the learner.

    Args:
        learner: the learner to check, trained or not.
        episode: one task (no leading axis `tasks`) that it can learn: for a classifier at least 2 classes with 2 examples each.

    Returns:
        The names of the checks.

    Raises:
        ConformanceError: the first check that fails.

    Examples:
        >>> from quickstudy.testing import run_checks
        >>> tasks = qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> run_checks(qs.Prototypical(torch.nn.Linear(4, 2)), tasks.test.sample(1)[0])[:3]
        ['answer', 'state', 'changes_nothing']
    """
    for check in CHECKS:
        check(copy.deepcopy(learner), episode)
    return [check.__name__.removeprefix("check_") for check in CHECKS]

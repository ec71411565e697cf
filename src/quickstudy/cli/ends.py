"""Options that are not part of the config: what `train` and `resume` do beside and after the training."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from quickstudy.artifacts.tracking import TRACKERS, check_library
from quickstudy.cli.names import LEARNERS, named
from quickstudy.cli.options import whole

ENDS = ("out", "episodes", "tracking", "controls")  # with the folder
EASY = "easy"  # the controls that need no training
NONE = "none"


def add_ends(made: ArgumentParser) -> None:
    """The options."""
    made.add_argument("--episodes", type=int, default=600, help="meta-test tasks of the evaluation at the end")
    made.add_argument("--tracking", choices=list(TRACKERS), default=None, help="send the numbers of each step there as well")
    add_controls(made)


def check_ends(options: Namespace) -> None:
    """Refuse what could not be done after the training, before it.

    Raises:
        ArgumentError: fewer than two episodes; a control that does not exist.
        MissingPackageError: the tracker's library is not installed.
    """
    whole("--episodes", options.episodes, least=2)
    names_of(options.controls)
    if options.tracking is not None:
        check_library(options.tracking)


def add_controls(made: ArgumentParser) -> None:
    """The option `--controls`."""
    made.add_argument(
        "--controls",
        type=str,
        default=EASY,
        help="learners to beat, with commas between: from_scratch,pretrain_fine_tune,...; those that train do so with the run's "
        "own settings. easy: the nearest centroid of the inputs, and the learner before it adapts; `none`",
    )


def names_of(controls: str) -> list[str]:
    """The learners that `--controls` names; none for `easy` and `none`.

    Raises:
        ArgumentError: no learner has such a name.
    """
    if controls in (EASY, NONE):
        return []
    names = controls.split(",")
    known = {**LEARNERS, EASY: None, NONE: None} if len(names) == 1 else LEARNERS
    for name in names:
        named("--controls", name, known)
    return names

"""The names of an episode's classes, without the folders that tell nothing."""

import pytest

from quickstudy.targets.known_classes import without_shared_folder

NAMES = [
    (["Greek/alpha", "Greek/beta"], ["alpha", "beta"]),
    (["Greek/alpha", "Grantha/alpha"], ["Greek/alpha", "Grantha/alpha"]),
    (["all/cats/tom", "all/cats/old/tim"], ["tom", "old/tim"]),
    (["tom", "tim"], ["tom", "tim"]),
    (["all/tom"], ["tom"]),
    ([], []),
]


@pytest.mark.parametrize(("names", "short"), NAMES, ids=lambda one: str(one))
def test_shared_folders_are_left_out(names, short):
    assert without_shared_folder(names) == short

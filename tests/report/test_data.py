"""What a report calls its data."""

import pytest
import torch

import quickstudy as qs
from quickstudy.report.data import Data, data_of

X, Y = torch.randn(30, 2), torch.arange(30) // 10
LABELLED = qs.tasks.LabelledTasks(X, Y, ways=2, queries=3)
FAMILY = qs.tasks.from_arrays(torch.randn(60, 2), torch.arange(60) // 10, ways=2, queries=3, split=(2, 2, 2))
AUGMENTED = qs.tasks.from_arrays(
    torch.randn(60, 2),
    torch.arange(60) // 10,
    ways=2,
    queries=3,
    split=(2, 2, 2),
    augment=[qs.tasks.SplitClasses("random"), qs.tasks.FeatureNoise()],
)
GROUPS = qs.tasks.GroupTasks(X, X[:, :1], Y, names=["a", "b", "c"], shots=2, queries=3)
NAMED = [
    (LABELLED, LABELLED, None, Data("LabelledTasks", "meta-test: 3 classes, 30 examples of shape (2,)")),
    (GROUPS, GROUPS, {}, Data("GroupTasks", "meta-test: 3 groups, 30 examples of shape (2,)")),
    (
        FAMILY,
        FAMILY.test,
        {"tasks": {"name": "arrays"}},
        Data("arrays", "meta-test: 2 classes, 20 examples of shape (2,); 2 to train, 2 to validate"),
    ),
    (
        FAMILY,
        FAMILY.test,
        {"tasks": {"name": "folder", "path": "/a/birds"}},
        Data("folder: birds", "meta-test: 2 classes, 20 examples of shape (2,); 2 to train, 2 to validate"),
    ),
    (
        FAMILY,
        FAMILY.test,
        {"tasks": {"name": "omniglot", "root": "data/Omniglot"}},
        Data("omniglot", "meta-test: 2 classes, 20 examples of shape (2,); 2 to train, 2 to validate"),
    ),
    (
        AUGMENTED,
        AUGMENTED.test,
        {"tasks": {"name": "arrays"}},
        Data(
            "arrays",
            "meta-test: 2 classes, 20 examples of shape (2,); 6 to train, 2 to validate; SplitClasses(by='random', seed=0) makes "
            "new classes, FeatureNoise(std=0.1) makes new examples",
        ),
    ),
    (qs.tasks.Sinusoid(), qs.tasks.Sinusoid().test, None, Data("Sinusoid", "tasks drawn without end")),
]


@pytest.mark.parametrize(("tasks", "test", "config", "named"), NAMED)
def test_the_name_of_the_data(tasks, test, config, named):
    assert data_of(tasks, test, config) == named

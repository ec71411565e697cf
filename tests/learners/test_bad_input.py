"""What a learner cannot learn from: each error names what was typed, what was expected, what came, what to do."""

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError, TaskError, UnsupportedError


def support(ways=3, shots=2):
    return qs.Examples(torch.randn(ways * shots, 4), torch.arange(ways).repeat(shots), ways)


def maml(**more):
    return qs.MAML(qs.models.mlp(4, 3, hidden=(5,)), **more)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite(value):
    bad = support()
    bad.x[1, 2] = value
    with pytest.raises(
        NotFiniteError, match=r"`support`: expected finite numbers, got 1 values that are NaN or infinite .* Remove"
    ):
        maml().adapt(bad)


def test_an_empty_support():
    empty = qs.Examples(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 3)
    with pytest.raises(TaskError, match=r"`support`: expected at least one example, got none. Descent learns from examples"):
        maml().adapt(empty)


def test_labels_that_skip_a_number():
    with pytest.raises(LabelError, match=r"`y`: expected the labels 0\.\.1, each at least once, got the labels \[0, 2\]. Number"):
        qs.Examples(torch.randn(2, 4), torch.tensor([0, 2]))


def test_labels_that_are_not_integers():
    learner = qs.Prototypical(nn.Linear(4, 2))
    with pytest.raises(LabelError, match=r"`support.y`: expected class labels, int64 .*, got y of dtype torch.float"):
        learner.adapt(qs.Examples(torch.randn(2, 4), torch.tensor([0.0, 1.0])))


def test_a_network_with_fewer_outputs_than_classes():
    with pytest.raises(
        ShapeError,
        match=r"`prediction`: .* got \(10, 3\). Build the network with 5 outputs, ways=5",
    ):
        maml().adapt(support(ways=5))


def test_adapts_that_matches_nothing():
    with pytest.raises(ArgumentError, match=r"`adapts`: expected a pattern that matches one of .*'head.weight'.* got 'tail.\*'"):
        maml(adapts="tail.*")


@pytest.mark.wrong_types
def test_a_normalisation_that_does_not_exist():
    with pytest.raises(ArgumentError, match=r"`normalisation`: expected one of 'support', 'running', .* got 'batch'"):
        maml(normalisation="batch")


def test_an_inner_loop_that_diverges_names_step_and_parameter():
    class Square(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.full((4, 1), 10.0))

        def forward(self, x):
            return (x @ self.weight) ** 3

    learner = qs.MAML(Square(), inner_lr=10.0, inner_steps=20)
    task = qs.Examples(torch.ones(2, 4), torch.zeros(2, 1))
    with pytest.raises(
        NotFiniteError, match=r"`inner_lr`: expected an inner loop that stays finite, got NaN .* `weight` after inner"
    ):
        learner.adapt(task)


def test_a_prediction_for_other_features():
    predictor = maml().adapt(support())
    with pytest.raises(ShapeError, match=r"`predictor\(x\)`: expected x .* features of shape \(4,\), .* got \(2, 5\). Bring x"):
        predictor(torch.randn(2, 5))


STROKES, MAML, MLP = (
    lambda: qs.load("strokes"),  # its embedding takes images of any size
    lambda: qs.MAML(qs.models.conv4(ways=5, channels=4)),
    lambda: qs.Prototypical(qs.models.mlp(784, 4)),
)


@pytest.mark.parametrize(
    ("build", "shape"),
    [(STROKES, (3, 28, 28)), (STROKES, (7,)), *((build, s) for build in (MAML, MLP) for s in ((3, 28, 28), (1, 32, 32), (7,)))],
)
def test_a_support_of_another_shape_than_the_networks_take(build, shape):
    with pytest.raises(ShapeError, match=r"expected .* got \((5|15), .*preprocessing.json says"):
        build().adapt(qs.Examples(torch.rand(5, *shape), torch.arange(5)))


def test_step_weights_of_the_wrong_length():
    with pytest.raises(ArgumentError, match=r"`step_weights`: expected 3 weights, .* got 2. The first weighs the loss before"):
        maml(inner_steps=2, step_weights=(0.5, 0.5))


def test_step_weights_with_a_hypergradient_of_the_last_state():
    with pytest.raises(UnsupportedError, match=r"`step_weights`: expected a hypergradient .* Use Unrolled\(\) or FirstOrder\(\)"):
        maml(inner_steps=1, step_weights=(0.5, 0.5), hypergradient=qs.Truncated(1))


def test_a_learned_loss_under_first_order():
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, prediction, y):
            return self.scale * nn.functional.cross_entropy(prediction, y)

    with pytest.raises(UnsupportedError, match=r"`hypergradient`: expected one that differentiates the inner gradient"):
        maml(loss=Learned(), hypergradient=qs.FirstOrder())


def test_a_negative_rate():
    with pytest.raises(
        ArgumentError, match=r"`inner_lr`: expected a number of 0 or more or an object of the class LearnedRates, got -0.1"
    ):
        maml(inner_lr=-0.1)


def test_inference_mode():
    learner, task = maml(), support()
    with torch.inference_mode(), pytest.raises(UnsupportedError, match=r"`adapt`: expected to be called outside"):
        learner.adapt(task)


def test_a_learner_that_defines_nothing():
    class Empty(qs.Learner):
        pass

    with pytest.raises(UnsupportedError, match=r"`Empty`: expected a learner that defines learn\(support\) -> values"):
        Empty().adapt(support())

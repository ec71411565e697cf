"""What recipes hand on to their learner: one list, the learner's defaults or the recipe's own, nothing lost or unknown."""

from __future__ import annotations

import inspect
from typing import Unpack

import pytest
from torch import nn

import quickstudy as qs
from quickstudy.learners.descend import Adam, Annealing, Momentum
from quickstudy.options import hands_on
from quickstudy.recipes.options import DescentOptions, InnerLoopOptions, StepOptions

EVERY = {"clip": 2.0, "normalisation": "transductive", "rule": Momentum(0.5)}
LOOP = {**EVERY, "outer": qs.Gradient(qs.Backprop()), "annealing": Annealing(multi_step=0, first_order=7)}
RECIPES = {
    "MAML": {**LOOP, "adapts": "head.*", "step_weights": (0.5, 0.5), "inner_steps": 1},
    "ANIL": LOOP,
    "BOIL": LOOP,
    "CAVIA": LOOP,
    "MetaSGD": {**LOOP, "adapts": "head.*"},
    "MetaCurvature": {**LOOP, "adapts": "head.*"},
    "JointTraining": {**EVERY, "adapts": "head.*"},
    "FOMAML": {**EVERY, "adapts": "head.*"},
    "IMAML": {**EVERY, "adapts": "head.*"},
    "Reptile": {**EVERY, "adapts": "head.*"},
    "MAMLPlusPlus": EVERY,
}


def network(recipe: str) -> nn.Module:
    return qs.models.WithContext(nn.Linear(6, 3), size=2) if recipe == "CAVIA" else Headed()


class Headed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_given_reaches_the_learner(recipe):
    learner = getattr(qs, recipe)(network(recipe), **RECIPES[recipe])
    for name, value in RECIPES[recipe].items():
        assert getattr(learner, name) == value
    assert learner.name.replace("-", "").replace("++", "PlusPlus").upper() == recipe.upper()


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_signature_tells_what_happens(recipe):
    """Each default in it is what the learner has where nothing is given; the control is a default that is another's."""
    shown = inspect.signature(getattr(qs, recipe)).parameters
    learner = getattr(qs, recipe)(network(recipe))
    theirs = inspect.signature(qs.Descent).parameters
    for name in DescentOptions.__annotations__.keys() & shown.keys() - {"loss", "outer", "annealing"}:
        assert getattr(learner, name) == shown[name].default
    others = {name for name in shown.keys() & theirs.keys() if shown[name].default != theirs[name].default}
    assert {"ANIL": "adapts", "Reptile": "rule", "MAMLPlusPlus": "normalisation", "JointTraining": "outer"}.get(
        recipe, "inner_lr"
    ) in others


def test_an_argument_that_is_fixed_or_unknown_is_refused_by_the_recipes_own_name():
    with pytest.raises(TypeError, match=r"^BOIL\(\) got an unexpected keyword argument 'adapts'$"):
        qs.BOIL(Headed(), adapts="*")
    with pytest.raises(TypeError, match=r"^MAML\(\) got an unexpected keyword argument 'inner_learning_rate'$"):
        qs.MAML(Headed(), inner_learning_rate=1.0)
    with pytest.raises(TypeError, match=r"^MAML\(\) missing a required argument: 'network'$"):
        qs.MAML()


def test_a_recipe_of_ones_own():
    @hands_on(InnerLoopOptions, qs.Descent, rule=Adam())
    def Mine(network: nn.Module, *, inner_steps: int = 3, **options: Unpack[InnerLoopOptions]) -> qs.Descent:
        return qs.Descent(network, inner_steps=inner_steps, **options)

    assert Mine(Headed()).rule == Adam()
    assert Mine(Headed(), rule=Momentum()).rule == Momentum()
    assert list(inspect.signature(Mine).parameters) == ["network", "inner_steps", *InnerLoopOptions.__annotations__]


@pytest.mark.parametrize("options", [StepOptions, InnerLoopOptions, DescentOptions])
def test_every_option_is_an_argument_of_descent(options):
    assert options.__annotations__.keys() <= inspect.signature(qs.Descent).parameters.keys()

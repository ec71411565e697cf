"""The page for people of other libraries: their programs are Python; `higher`'s is run where it is installed, and equals ours."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import quickstudy as qs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "coming_from.md"
TEXT = PAGE.read_text(encoding="utf-8")
THEIRS = re.findall(r"^```python3\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)  # test_readme.py does not run these
NAMES = re.findall(r"^\| .*? \| (.*) \|$", TEXT, re.MULTILINE)


def higher_gradient() -> Any:
    """The function of the page."""
    names: dict[str, Any] = {}
    exec(compile(THEIRS[0], str(PAGE), "exec"), names)
    return names["meta_gradient"]


def gap(theirs: dict[str, torch.Tensor], ours: dict[str, torch.Tensor]) -> float:
    """The largest difference, relative to the largest entry of theirs; ours are called after the learner's network."""
    own = {name.removeprefix("network."): value for name, value in ours.items()}
    assert theirs.keys() == own.keys()
    largest = max(float(value.abs().max()) for value in theirs.values())
    assert largest > 1e-3
    return max(float((theirs[name] - own[name]).abs().max()) for name in theirs) / largest


def double(batch: qs.Episode) -> qs.Episode:
    return batch.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)


def test_the_programs_of_other_libraries_are_python():
    assert [ast.parse(code).body[0].names[0].name for code in THEIRS[:2]] == ["higher", "learn2learn"]
    assert ast.parse(THEIRS[2]).body[0].module == "torchmeta.datasets.helpers"
    assert len(THEIRS) == 3


@pytest.mark.needs("higher")
def test_highers_gradient_of_the_sinusoids_is_ours():
    torch.manual_seed(0)
    network = qs.models.mlp(1, 1).double()
    batch = double(qs.tasks.Sinusoid(shots=10).train.sample(4, generator=torch.Generator().manual_seed(0)))
    theirs = higher_gradient()(network, batch)
    _, ours = qs.meta_gradient(qs.MAML(network, inner_lr=0.01, inner_steps=5), batch)
    assert gap(theirs, ours) < 1e-12
    control = qs.meta_gradient(qs.FOMAML(network, inner_lr=0.01, inner_steps=5), batch)[1]
    assert gap(theirs, control) > 1e-2, "the comparison sees second derivatives"


@pytest.mark.needs("higher")
def test_highers_batch_norm_in_training_mode_is_ours_if_transductive():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Tanh(), nn.Linear(8, 3)).double()
    tasks = qs.tasks.GaussianClasses(ways=3, dim=6, shots=2, queries=4)
    batch = double(tasks.train.sample(3, generator=torch.Generator().manual_seed(0)))
    theirs = higher_gradient()(network, batch, F.cross_entropy, lr=0.1, steps=2)

    def ours(policy: Any) -> dict[str, torch.Tensor]:
        return qs.meta_gradient(qs.MAML(network, inner_lr=0.1, inner_steps=2, normalisation=policy), batch)[1]

    assert gap(theirs, ours("transductive")) < 1e-12
    assert gap(theirs, ours("support")) > 1e-2, "our default is another policy, as the page says"


def test_our_names_in_the_table_exist():
    named = {name for cell in NAMES for name in re.findall(r"\bqs\.([A-Za-z_]\w*(?:\.\w+)*)", cell)}
    assert len(named) > 15
    for name in named:
        value: Any = qs
        for part in name.split("."):
            value = getattr(value, part)


def test_what_the_page_says_of_defaults_is_so():
    learner = qs.MAML(qs.models.mlp())
    assert (learner.normalisation, type(learner.hypergradient)) == ("support", qs.Unrolled)
    from quickstudy.learners.descend.rates import LearnedRates
    from quickstudy.learners.descend.rule import Adam

    assert qs.MAML(qs.models.mlp(), inner_lr=LearnedRates(0.1), rule=Adam()) is not None

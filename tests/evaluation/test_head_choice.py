"""The choice of a head by leaving each example of the support out once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.evaluation import head_choice
from quickstudy.evaluation.head_choice import LeftOut, choose_head, features, heads_of, left_out, left_out_scores, with_head
from quickstudy.learners.solve import LogisticHead, RidgeHead

WAYS = 3


def crosses(shots: int, seed: int = 0, queries: int = 100) -> tuple[qs.Examples, qs.Examples]:
    """Classes whose means are poor: two features tell them apart, a third of large spread does not."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(WAYS).repeat_interleave(shots + queries)
    x = torch.randn(len(y), 3, generator=generator, dtype=torch.float64) * torch.tensor([0.3, 0.3, 6.0])
    x[:, :2] += torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)[y]
    first = torch.arange(len(y)) % (shots + queries) < shots
    return qs.Examples(x[first], y[first]), qs.Examples(x[~first], y[~first])


def own(embed: nn.Module | None = None) -> qs.Learner:
    return qs.Prototypical(embed or nn.Identity())


def accuracy(learner: qs.Learner, support: qs.Examples, query: qs.Examples) -> float:
    return float((learner.adapt(support).predict(query.x) == query.y).double().mean())


def test_where_means_are_poor_a_regression_is_chosen_and_is_better():
    support, query = crosses(shots=8)
    choice = choose_head(own(), support)
    assert choice.head in ("ridge", "logistic")
    assert choice.loss[choice.head] < choice.loss["own"]
    assert accuracy(choice.learner, support, query) > accuracy(own(), support, query) + 0.2


def test_where_classes_are_round_the_own_head_stays():
    tasks = qs.tasks.GaussianClasses(ways=5, dim=5, shots=10).test.sample(20, generator=torch.Generator().manual_seed(0))
    kept = [choose_head(own(), tasks[index].support).head for index in range(20)]
    assert kept.count("own") >= 10


def test_a_tie_goes_to_the_own_head():
    x = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
    choice = choose_head(own(), qs.Examples(x, torch.tensor([0, 0, 1, 1])))
    assert choice.head == "own"
    assert min(choice.loss.values()) >= choice.loss["own"] - 1e-6


def test_the_same_support_in_any_order_gives_the_same_choice():
    support, _ = crosses(shots=6)
    order = torch.randperm(len(support), generator=torch.Generator().manual_seed(1))
    again = choose_head(own(), qs.Examples(support.x[order], support.y[order]))
    first = choose_head(own(), support)
    assert again.head == first.head
    assert again.loss == pytest.approx(first.loss, abs=1e-9)


@pytest.mark.parametrize("learner", [own(), qs.Ridge(nn.Identity()), qs.MatchingNetwork(nn.Identity())])
def test_the_answers_without_an_example_are_those_of_a_learner_that_never_saw_it(learner: qs.Learner):
    support, _ = crosses(shots=4)
    z = features(learner, support)
    torch.testing.assert_close(z, support.x)
    found = left_out(learner, z, support.y, WAYS)
    rows = torch.arange(len(support))
    for i in (0, 5, 11):
        rest = qs.Examples(support.x[rows != i].float(), support.y[rows != i])
        expected = learner.adapt(rest)(support.x[i : i + 1].float())
        torch.testing.assert_close(found[i : i + 1].float(), expected, atol=1e-3, rtol=1e-3)
        seen = learner.adapt(qs.Examples(support.x.float(), support.y))(support.x[i : i + 1].float())
        assert (seen - expected).abs().max() > 1e-4  # the control: it did see it


def test_the_learner_is_not_touched():
    network = qs.models.mlp(3, 4)
    learner = own(network)
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    support, _ = crosses(shots=4)
    choose_head(learner, qs.Examples(support.x.float(), support.y))
    assert learner.embed is network
    assert all(torch.equal(before[name], value) and value.dtype == torch.float32 for name, value in learner.state_dict().items())


def test_one_example_of_a_class_keeps_the_own_head():
    support, _ = crosses(shots=3)
    one = qs.Examples(support.x[2:], support.y[2:])
    choice = choose_head(own(), one)
    assert (choice.head, choice.loss) == ("own", {})
    assert "with one example of a class none can be left out" in str(choice)


def test_learners_without_features_keep_their_own_and_targets_too():
    support, _ = crosses(shots=3)
    maml = qs.MAML(qs.models.mlp(3, WAYS), inner_lr=0.1)
    assert list(heads_of(maml)) == ["own"]
    assert choose_head(maml, support).why == "it has no features of each example to put another head on"
    values = qs.Examples(support.x, support.x[:, :1])
    assert choose_head(qs.Ridge(nn.Identity()), values).why == "other heads are for classes"


def test_a_head_that_the_learner_has_itself_is_the_learner():
    learner = own()
    found = heads_of(learner)
    assert found["centroid"] is learner
    assert isinstance(found["ridge"], RidgeHead)
    assert isinstance(found["logistic"], LogisticHead)
    support, _ = crosses(shots=3)
    assert choose_head(learner, support, "centroid").head == "own"
    assert sorted(choose_head(learner, support).loss) == ["logistic", "own", "ridge"]
    assert sorted(choose_head(qs.Ridge(nn.Identity()), support).loss) == ["centroid", "logistic", "own", "ridge"]


def test_a_fixed_head_and_a_choice_among_some():
    support, _ = crosses(shots=8)
    fixed = choose_head(own(), support, "own")
    assert (fixed.head, fixed.loss, fixed.why) == ("own", {}, "as it was asked for")
    assert isinstance(choose_head(own(), support, "ridge").learner, RidgeHead)
    assert sorted(choose_head(own(), support, among=["own", "ridge"]).loss) == ["own", "ridge"]
    alone = choose_head(own(), support, among=["logistic"])
    assert (alone.head, alone.why) == ("logistic", "the only one to choose from")


def test_the_head_shares_the_network_and_its_normalisation():
    network = qs.models.mlp(3, 4)
    learner = qs.Prototypical(network, normalisation="support")
    for head in ("ridge", "logistic"):
        made = with_head(learner, head)
        assert made.embed is network
        assert made.normalisation == "support"


def test_a_perfect_head_has_no_loss_and_one_that_knows_nothing_that_of_chance():
    x = torch.tensor([[0.0], [0.1], [9.0], [9.1]], dtype=torch.float64)
    support = qs.Examples(x, torch.tensor([0, 0, 1, 1]))
    assert left_out_scores({"own": own()}, support)["own"].loss < 1e-6
    assert left_out_scores({"own": own()}, support)["own"].errors == 0
    mixed = qs.Examples(x, torch.tensor([0, 1, 0, 1]))
    assert left_out_scores({"own": own()}, mixed)["own"].loss == pytest.approx(0.6931, abs=0.01)


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ({"own": (0.5, 3), "ridge": (0.4, 2), "logistic": (0.3, 2)}, "ridge"),  # the regressions err alike
        ({"own": (0.5, 3), "ridge": (0.4, 2), "logistic": (0.3, 1)}, "logistic"),
        ({"own": (0.5, 3), "ridge": (0.4, 1), "logistic": (0.3, 2)}, "ridge"),
        ({"own": (0.3, 3), "ridge": (0.4, 1), "logistic": (0.3, 1)}, "own"),  # a tie
        ({"own": (0.5, 0), "centroid": (0.3, 2), "ridge": (0.4, 1)}, "centroid"),
        ({"own": (0.5, 3), "logistic": (0.3, 2)}, "logistic"),
    ],
)
def test_which_is_the_best(found: dict[str, tuple[float, int]], best: str):
    assert head_choice._best({name: LeftOut(*one) for name, one in found.items()}) == best


@pytest.mark.parametrize(
    ("head", "error", "message"),
    [
        ("knn", ArgumentError, r"`head`: expected one of own, centroid, ridge, logistic, got 'knn'\. 'own' is the learner's"),
        ("ridge", UnsupportedError, r"`head='ridge'`: expected a learner with features .*, got Descent\. .*head='own'"),
    ],
)
def test_refusals(head: str, error: type[Exception], message: str):
    support, _ = crosses(shots=3)
    with pytest.raises(error, match=message):
        choose_head(qs.MAML(qs.models.mlp(3, WAYS), inner_lr=0.1), support, head)


def test_all_heads_have_a_way_to_be_built():
    assert set(head_choice.KINDS) | {"own"} == set(head_choice.HEADS)

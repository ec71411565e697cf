"""Architecture search: gradients against hand-written ones and enumeration; searches against the known best of a whole space."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, ShapeError, UnsupportedError
from quickstudy.learners.bilevel.architecture import Architecture, architectures, fixed, space
from quickstudy.meta.estimators import ForwardMode
from quickstudy.meta.estimators.score_function import ScoreFunction
from quickstudy.meta.executors import Threads
from quickstudy.meta.searches.regularised_evolution import RandomSearch, RegularisedEvolution
from quickstudy.models.mixed import Mixed
from quickstudy.models.search_cell import SearchCell, search_cell, search_conv

pytestmark = pytest.mark.usefixtures("float64")


def episode(seed=0, n=6):
    g = torch.Generator().manual_seed(seed)
    x, q = torch.randn(n, 3, generator=g), torch.randn(n, 3, generator=g)
    return qs.Episode(qs.Examples(x, torch.arange(n) % 2), qs.Examples(q, torch.arange(n) % 2))


def small(use="mixed", steps=2, **more):
    network = nn.Sequential(nn.Linear(3, 2), SearchCell(2, nodes=1), nn.Linear(2, 2))
    return Architecture(network, steps=steps, inner_lr=0.3, use=use, **more)


def test_phi_is_the_choice_alone():
    learner = Architecture(search_cell(3, 2, width=4), steps=1)
    assert [name for name, _ in learner.named_parameters()] == [f"choices.{edge}.logits" for edge in range(3)]
    assert space(learner.student.module) == [4, 4, 4]
    assert len(list(architectures(learner.student.module))) == 64


def test_gradient_by_hand():
    """Two steps of descent of the mixture, unrolled by hand."""
    learner, task = small(), episode()
    with torch.no_grad():
        learner.choices[0].logits.copy_(torch.tensor([0.3, -0.2, 0.5, 0.1]))
    _, found = qs.meta_gradient(learner, [task], seed=1)
    alpha = learner.choices[0].logits.detach().clone().requires_grad_()

    def f(theta, x):
        h = x @ theta["0.weight"].T + theta["0.bias"]
        a = alpha.softmax(0)
        relu = torch.relu(h @ theta["1.edges.01.options.2.0.weight"].T + theta["1.edges.01.options.2.0.bias"])
        tanh = torch.tanh(h @ theta["1.edges.01.options.3.0.weight"].T + theta["1.edges.01.options.3.0.bias"])
        return (a[1] * h + a[2] * relu + a[3] * tanh) @ theta["2.weight"].T + theta["2.bias"]

    seed = int(torch.randint(2**31, (1,), generator=torch.Generator().manual_seed(1)))
    theta = {k: v.clone().requires_grad_() for k, v in learner.init(None, seed)["theta"].items()}
    for _ in range(2):
        loss = nn.functional.cross_entropy(f(theta, task.support.x), task.support.y)
        g = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
        theta = {k: v - 0.3 * d for (k, v), d in zip(theta.items(), g, strict=True)}
    outer = nn.functional.cross_entropy(f(theta, task.query.x), task.query.y)
    (wanted,) = torch.autograd.grad(outer, alpha, retain_graph=True)
    torch.testing.assert_close(found["choices.0.logits"], wanted)
    frozen = {k: v.detach() for k, v in theta.items()}
    (direct,) = torch.autograd.grad(nn.functional.cross_entropy(f(frozen, task.query.x), task.query.y), alpha)
    assert (direct - wanted).abs().max() > 1e-3, "the control, without the path through the weights, is told apart"


@pytest.mark.parametrize("executor", [Threads(2), "vmap"], ids=["threads", "vmap"])
def test_executors_agree(executor):
    learner, batch = small(), [episode(seed) for seed in range(3)]
    loss, wanted = qs.meta_gradient(learner, batch)
    again, found = qs.meta_gradient(learner, batch, executor=executor)
    torch.testing.assert_close(again, loss)
    torch.testing.assert_close(found, wanted)


def test_a_setting_equals_its_plain_network():
    network = search_cell(3, 2, width=4)
    x = torch.randn(5, 3)
    for setting in [(0, 1, 2), (3, 3, 1), (2, 0, 3)]:
        with torch.no_grad():
            for part, option in zip([m for m in network.modules() if isinstance(m, Mixed)], setting, strict=True):
                part.choice.logits.copy_(torch.nn.functional.one_hot(torch.tensor(option), 4) * 60.0)
        plain = fixed(network, setting)
        assert not any(isinstance(part, Mixed) for part in plain.modules())
        torch.testing.assert_close(plain(x), network(x))
        assert not torch.allclose(fixed(network, (1, 1, 1))(x), plain(x)), "another setting is another network"


def values(learner, task, seed=0):
    """The outer loss of every setting, by enumeration."""
    found = {}
    for setting in itertools.product(range(4), repeat=len(learner.choices)):
        with torch.no_grad():
            for choice, option in zip(learner.choices, setting, strict=True):
                choice.logits.copy_(torch.nn.functional.one_hot(torch.tensor(option), 4) * 60.0)
            found[setting] = float(qs.meta_gradient(learner, [task], seed=seed)[0])
    return found


def test_reinforcement_by_enumeration():
    """The mean of many draws is d/dphi sum_c p(c) L(c), within the interval; the straight expectation of another phi is not."""
    task, learner = episode(), small("mixed")
    table = torch.tensor(list(values(learner, task).values()))
    alpha = torch.tensor([0.4, -0.3, 0.2, 0.0], requires_grad=True)
    (wanted,) = torch.autograd.grad((alpha.softmax(0) * table).sum(), alpha)
    learner = small("sampled")
    with torch.no_grad():
        learner.choices[0].logits.copy_(alpha)
    # the student's first weights are part of the draw: hold them at those of the table
    initial = small("mixed").init(None, int(torch.randint(2**31, (1,), generator=torch.Generator().manual_seed(0))))
    learner.init = lambda task, seed: initial
    many = [
        qs.meta_gradient(learner, [task], estimator=ScoreFunction(draws=8), seed=seed)[1]["choices.0.logits"]
        for seed in range(75)
    ]
    mean, error = torch.stack(many).mean(0), torch.stack(many).std(0) / len(many) ** 0.5
    assert ((mean - wanted).abs() < 4 * error + 1e-12).all(), (mean, wanted, error)
    assert ((mean + wanted).abs() > 4 * error).any(), "the control, of the other sign, is told apart"


@pytest.mark.parametrize("outer", [RandomSearch(children=8, seed=1), RegularisedEvolution(8, 3, 4, seed=1)])
def test_a_search_finds_the_best_of_the_space(outer):
    learner = Architecture(search_cell(3, 2, width=3), steps=2, inner_lr=0.3)
    initial = learner.init(None, 5)
    learner.init = lambda task, seed: initial
    one = episode(3)

    class Same(qs.tasks.GaussianClasses):
        pass

    tasks = Same(ways=2, dim=3).train
    tasks.sample = lambda n, generator=None: torch.utils._pytree.tree_map(lambda leaf: leaf[None].expand(n, *leaf.shape), one)
    qs.meta_train(learner, tasks, steps=40, tasks_per_step=1, outer=outer, executor="loop", progress=False)
    table = values_all(learner, one)
    ranked = sorted(table, key=table.__getitem__)
    assert learner.architecture in [s for s in ranked if table[s] <= table[ranked[0]] * (1 + 1e-9)] or ranked.index(
        learner.architecture
    ) < (1 if isinstance(outer, RegularisedEvolution) else 4)


def values_all(learner, task):
    chosen = [choice.logits.detach().clone() for choice in learner.choices]
    table = values(learner, task)
    with torch.no_grad():
        for choice, logits in zip(learner.choices, chosen, strict=True):
            choice.logits.copy_(logits)
    return table


def test_a_search_goes_on_where_it_was():
    outer = RegularisedEvolution(4, 2, 2, seed=3)
    parameters = {"choices.0.logits": nn.Parameter(torch.zeros(4)), "choices.1.logits": nn.Parameter(torch.zeros(3))}
    one = outer.start(parameters)
    for index in range(6):
        one.told(one.proposal(), float(index))
    other = outer.start(parameters)
    other.load_state_dict(one.state_dict())
    assert [one.proposal() for _ in range(5)] == [other.proposal() for _ in range(5)]


def test_images_and_a_choice_within_maml():
    network = search_conv(3, width=4, nodes=1, size=8)
    learner = qs.MAML(network, inner_lr=0.1, adapts=["0.*", "3.edges.*.options.*", "8.*"])
    x = torch.randn(6, 1, 8, 8)
    batch = [qs.Episode(qs.Examples(x, torch.arange(6) % 3), qs.Examples(x.flip(0), torch.arange(6).flip(0) % 3))]
    _, g = qs.meta_gradient(learner, batch)
    logits = [value for name, value in g.items() if name.endswith("logits")]
    assert len(logits) == 2
    assert all(value.abs().sum() > 0 for value in logits)


def test_bad_input():
    with pytest.raises(ArgumentError, match=r"`options`: expected one operation or more, got none"):
        Mixed([])
    with pytest.raises(UnsupportedError, match=r"`network`: expected a network with an operation to choose, got Linear without"):
        Architecture(nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match=r"`setting`: expected one option for each edge, below \[4, 4, 4\], got \(0, 9, 0\)"):
        fixed(search_cell(3, 2), (0, 9, 0))
    with pytest.raises(ArgumentError, match=r"`population`: expected 1 or more, got 0"):
        RegularisedEvolution(0)
    with pytest.raises(ArgumentError, match=r"`sample`: expected 1 to 2, the population, got 5"):
        RegularisedEvolution(2, 5)
    with pytest.raises(UnsupportedError, match=r"`outer`: expected a phi of choices.*other parameters in it: \['weight'\]"):
        RandomSearch().start({"weight": nn.Parameter(torch.zeros(2))})
    with pytest.raises(UnsupportedError, match=r"`outer`: expected a space to search"):
        RandomSearch().start({})


def test_a_network_of_too_few_outputs_is_named():
    wide = qs.Examples(torch.randn(5, 3), torch.arange(5))
    with pytest.raises(ShapeError, match=r"`prediction`: .* got \(5, 2\). Build the network with 5 outputs"):
        small().adapt(wide)


def test_forward_mode_refuses_choices_without_a_slope():
    learner = Architecture(search_cell(3, 2, width=4), steps=2, use="sampled")
    with pytest.raises(UnsupportedError, match=r"whose choices are sampled: .* Use ScoreFunction\(\) with use='sampled'"):
        qs.meta_gradient(learner, [episode(0)], estimator=ForwardMode())

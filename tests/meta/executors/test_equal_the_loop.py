"""The loop is the oracle: every executor gives its gradients, in float64, for every kind of network."""

import pytest
import torch
from tests.meta.executors.networks import NETWORKS as NETWORKS
from tests.meta.executors.networks import WAYS, Keywords, Recurrent, assert_same, dense, episodes, network_named
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.descend import Adam
from quickstudy.meta.executors import Threads

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

HYPERGRADIENTS = {"order 2": qs.Unrolled(), "order 1": qs.FirstOrder()}
THREADS = Threads(2)
OTHERS = [THREADS, "vmap"]


def gradients(learner, batch, executor, **options):
    return qs.meta_gradient(learner, batch, executor=executor, **options)


@pytest.mark.parametrize("order", HYPERGRADIENTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_descent(name, order):
    learner = qs.MAML(network_named(name), inner_lr=0.3, inner_steps=2, hypergradient=HYPERGRADIENTS[order])
    loss, want = gradients(learner, episodes(), "loop", seed=5)
    for executor in OTHERS:
        other_loss, got = gradients(learner, episodes(), executor, seed=5)
        torch.testing.assert_close(other_loss, loss, rtol=1e-11, atol=1e-12)
        assert_same(got, want)


@pytest.mark.parametrize("normalisation", ["running", "transductive", "frozen"])
def test_policies(normalisation):
    learner = qs.MAML(network_named("conv, batch norm"), inner_lr=0.3, inner_steps=2, normalisation=normalisation)
    _, want = gradients(learner, episodes(), "loop")
    for executor in OTHERS:
        assert_same(gradients(learner, episodes(), executor)[1], want)


RECIPES = {
    "Prototypical": lambda network: qs.Prototypical(network),
    "Prototypical, support": lambda network: qs.Prototypical(network, normalisation="support"),
    "ANIL": lambda network: qs.ANIL(network, adapts="head.*"),
    "Meta-SGD": lambda network: qs.MetaSGD(network, inner_lr=0.3, inner_steps=2),
    "iMAML": lambda network: qs.IMAML(network, inner_lr=0.05, inner_steps=3, proximal_weight=20.0),
    "truncated": lambda network: qs.MAML(network, inner_lr=0.3, inner_steps=3, hypergradient=qs.Truncated(1)),
    "recomputed": lambda network: qs.MAML(network, inner_lr=0.3, inner_steps=2, hypergradient=qs.Unrolled(recompute=True)),
    "Adam, clipped": lambda network: qs.MAML(network, inner_lr=0.1, inner_steps=2, rule=Adam(), clip=0.5),
    "step weights": lambda network: qs.MAML(network, inner_lr=0.3, inner_steps=2, step_weights=(0.2, 0.3, 0.5)),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes(recipe):
    """Each on the convolution with batch norm and Dropout2d."""
    learner = RECIPES[recipe](network_named("conv, batch norm"))
    _, want = gradients(learner, episodes(), "loop")
    for executor in OTHERS:
        assert_same(gradients(learner, episodes(), executor)[1], want)


def test_mapping_as_input_is_spread_over_the_arguments():
    """x = {"left": ..., "right": ...}; the keys may stand in any order."""
    torch.manual_seed(0)
    flat = episodes()
    learner = qs.MAML(Keywords().double(), inner_lr=0.3, inner_steps=2)
    split = lambda part: qs.Examples({"right": part.x[..., 3:], "left": part.x[..., :3]}, part.y, WAYS)
    batch = qs.Episode(split(flat.support), split(flat.query))
    _, want = gradients(learner, batch, "loop")
    for executor in OTHERS:
        assert_same(gradients(learner, batch, executor)[1], want)
    predictor = learner.adapt(batch[0].support)
    assert predictor(batch[0].query.x).shape == (len(batch[0].query), WAYS)


@pytest.mark.parametrize("executor", ["loop", *OTHERS])
def test_chunks_give_the_same_gradient(executor):
    """5 tasks, 2 at a time: chunks of 2, 2 and 1 are weighed by their size, and dropout's seeds go with their tasks."""
    learner = qs.MAML(network_named("dropout"), inner_lr=0.3)
    whole, part = (gradients(learner, episodes(5), executor, chunk=chunk) for chunk in (None, 2))
    torch.testing.assert_close(whole[0], part[0])
    assert_same(part[1], whole[1])


def test_a_list_of_episodes_is_a_batch():
    learner, batch = qs.MAML(dense().double()), episodes()
    _, want = qs.meta_gradient(learner, batch)
    assert_same(qs.meta_gradient(learner, [batch[t] for t in range(len(batch))])[1], want)


@pytest.mark.parametrize("executor", ["loop", *OTHERS])
def test_numbers_repeat_and_the_seed_matters(executor):
    """Bit for bit, whatever the global state; another seed draws other masks."""
    learner = qs.MAML(network_named("transformer"), inner_lr=0.3)
    _, one = gradients(learner, episodes(), executor, seed=1)
    torch.manual_seed(77)
    _, again = gradients(learner, episodes(), executor, seed=1)
    _, other = gradients(learner, episodes(), executor, seed=2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.allclose(one[name], other[name]) for name in one)


@pytest.mark.parametrize("executor", ["loop", *OTHERS])
def test_gradients_are_keyed_by_named_parameters(executor):
    """Zeros for an unused parameter, none for a frozen one, a tied one once; all leaves of no graph."""
    learner = qs.MAML(network_named("tied, unused, frozen"), inner_lr=0.3)
    loss, gradient = gradients(learner, episodes(), executor)
    names = dict(learner.named_parameters())
    assert list(gradient) == [name for name in names if name != "network.frozen"]
    assert "network.second.weight" not in gradient
    assert torch.equal(gradient["network.unused"], torch.zeros(3))
    assert not loss.requires_grad
    for name, one in gradient.items():
        assert one.shape == names[name].shape
        assert not one.requires_grad
    assert all(parameter.grad is None for parameter in learner.parameters())


# ---- what they refuse --------------------------------------------------------------------------------------------------


def test_recurrent_network_is_served_by_the_loop_and_refused_by_vmap():
    torch.manual_seed(0)
    learner = qs.MAML(Recurrent().double(), inner_lr=0.3, inner_steps=2)
    _, want = gradients(learner, episodes(), "loop")
    assert_same(gradients(learner, episodes(), Threads(2))[1], want)
    with pytest.raises(errors.UnsupportedError) as caught:
        gradients(learner, episodes(), "vmap")
    assert str(caught.value) == (
        "`executor`: expected one that serves this learner, got 'vmap': GRU has no vmap rule in torch. Use executor='loop'."
    )


def test_an_executor_that_does_not_exist():
    with pytest.raises(errors.ArgumentError, match=r"`executor`: expected one of 'loop', 'threads', 'vmap'.*got 'jit'"):
        qs.meta_gradient(qs.MAML(dense().double()), episodes(), executor="jit")


@pytest.mark.wrong_types
def test_wrapped_networks_are_refused_with_their_way_out():
    for wrapped, way_out in ((torch.compile(dense()), "network._orig_mod"), (nn.DataParallel(dense()), "network.module")):
        with pytest.raises(errors.UnsupportedError) as caught:
            qs.MAML(wrapped)
        assert f"`network`: expected a plain nn.Module, got one wrapped by {type(wrapped).__name__}." in str(caught.value)
        assert f"Pass `{way_out}`: quickstudy compiles and spreads the whole meta-step itself" in str(caught.value)
    with pytest.raises(errors.UnsupportedError, match=r"`embed`.*wrapped by DataParallel.*embed\.module"):
        qs.Prototypical(nn.DataParallel(dense()))
    with pytest.raises(errors.UnsupportedError, match=r"`network`: expected an nn\.Module, got function"):
        qs.MAML(torch.tanh if type(torch.tanh).__name__ == "function" else lambda x: x)


# ---- what does not come out finite -------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["loop", *OTHERS])
def test_divergence_names_task_step_and_parameter(executor):
    """Task 1's inputs are so large that its second inner step overflows; the others are fine."""
    batch = episodes()
    targets = qs.Episode(*(qs.Examples(part.x, part.x[..., :1].clone()) for part in (batch.support, batch.query)))
    targets.support.x[1] *= 1e80
    learner = qs.MAML(nn.Linear(8, 1).double(), inner_lr=1.0, inner_steps=4)
    with pytest.raises(errors.NotFiniteError) as caught:
        gradients(learner, targets, executor)
    text = str(caught.value)
    assert "`meta-gradient`: expected finite numbers, got in task 1 of the batch" in text
    assert "in `weight` after inner step 2 of 4" in text
    assert "Lower inner_lr" in text


@pytest.mark.parametrize("executor", ["loop", *OTHERS])
def test_non_finite_gradient_of_a_finite_loss_names_the_parameter(executor):
    """sqrt at 0: the value is finite, the slope is not."""

    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.depth = nn.Linear(8, WAYS), nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, x):
            return self.linear(x) + self.depth.sqrt()

    learner = qs.MAML(Root().double(), adapts="linear.*")
    with pytest.raises(errors.NotFiniteError, match=r"in task 0 of the batch: .*gradient of \['network\.depth'\].*loss \d"):
        gradients(learner, episodes(), executor)

"""Recomputed inner steps: the plain unroll's gradient, in every parameter, with the same dropout masks."""

import pytest
import torch
from tests.exact.quadratic import Quadratic, assert_slopes_agree, finite_differences, half_squares, line, nodes
from torch import nn
from torch.func import grad, vjp

import quickstudy as qs
from quickstudy.forward.blueprint import Blueprint
from quickstudy.forward.context import Context
from quickstudy.learners.descend import Adam, LearnedRates
from quickstudy.learners.descend.inner_problem import InnerProblem, Iterate
from quickstudy.learners.descend.recompute import recomputed
from quickstudy.meta.executors import Threads

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


class Network(nn.Module):
    """A body that does not adapt, batch norm, dropout, a head that does, and a parameter that is frozen."""

    def __init__(self):
        super().__init__()
        self.body, self.norm, self.drop, self.head = nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 1)
        self.frozen = nn.Parameter(torch.full((6,), 1.3), requires_grad=False)

    def forward(self, x):
        return self.head(self.drop(torch.tanh(self.norm(self.body(x)) * self.frozen)))


def episodes():
    return [
        qs.Episode(qs.Examples(torch.randn(6, 3), torch.randn(6, 1)), qs.Examples(torch.randn(5, 3), torch.randn(5, 1)))
        for _ in range(3)
    ]


def learner_on(network, recompute, **options):
    options = {"inner_lr": LearnedRates(0.2), "inner_steps": 3, "adapts": ["norm.*", "head.*"]} | options
    return qs.Descent(network, hypergradient=qs.Unrolled(recompute=recompute), **options)


@pytest.mark.parametrize("executor", ["loop", Threads(2), "vmap"])
@pytest.mark.parametrize("normalisation", ["support", "running", "transductive", "frozen"])
def test_it_equals_the_plain_unroll(normalisation, executor):
    """Learned rates, dropout on, a proximal term, Adam with clipping; to 1e-12. Control: another dropout seed differs."""
    network, batch = Network(), episodes()
    options = {"normalisation": normalisation, "rule": Adam(), "clip": 0.5, "proximal_weight": 0.3}
    (loss, plain), (again, ours), (_, other) = (
        qs.meta_gradient(learner_on(network, recompute, **options), batch, executor=executor, seed=seed)
        for recompute, seed in ((False, 0), (True, 0), (True, 1))
    )
    torch.testing.assert_close(loss, again, rtol=1e-13, atol=1e-13)
    for name, gradient in plain.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-12, atol=1e-13)
    assert any(float((other[name] - gradient).abs().max()) > 1e-3 for name, gradient in plain.items())
    assert "network.frozen" not in plain


def test_every_phi_by_finite_differences():
    """Perturb each: rates, the head that adapts, the body that does not. One closed over by the Function would have slope 0."""
    slopes = finite_differences(learner_on(Network(), True), episodes())
    assert {"rates.rate.0", "network.body.weight", "network.head.weight"} <= slopes.keys()
    slopes.pop("network.body.bias")  # batch norm takes it away again
    assert_slopes_agree(slopes)


def test_parameters_of_a_learned_loss_are_inputs_too():
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, prediction, y):
            return self.scale * ((prediction - y) ** 2).mean()

    learner = qs.MAML(line(), loss=Learned(), inner_lr=0.1, inner_steps=3, hypergradient=qs.Unrolled(recompute=True))
    assert_slopes_agree(finite_differences(learner, [Quadratic().episode], loss=half_squares))


def test_a_function_that_closes_over_a_tensor_gives_it_gradient_zero():
    """Control: the same recomputation, with the rate closed over and not an argument, loses the rate's gradient silently."""
    A, c, rate = torch.diag(torch.tensor([1.0, 2.0])), torch.tensor([1.0, -1.0]), torch.tensor(0.3, requires_grad=True)

    def step(theta, rate):
        return theta - rate * grad(lambda t: (t - c) @ A @ (t - c) / 2)(theta)

    class ClosedOver(torch.autograd.Function):
        @staticmethod
        def forward(theta):
            return step(theta, rate.detach())

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return vjp(lambda theta: step(theta, rate), *ctx.saved_tensors)[1](g)[0]

    theta = torch.tensor([0.5, 0.5], requires_grad=True)
    through = torch.autograd.grad(ClosedOver.apply(theta).sum(), [theta, rate], allow_unused=True)
    plain = torch.autograd.grad(step(theta, rate).sum(), [theta, rate])
    torch.testing.assert_close(through[0], plain[0])
    assert through[1] is None
    assert float(plain[1].abs()) > 0.1

    def problem(rate):
        unused = lambda *_: None
        return InnerProblem(unused, unused, unused, unused, lambda: rate, lambda: rate, problem)

    one = lambda problem, at: Iterate({"theta": step(at.theta["theta"], problem.rate())}, {})
    ours = recomputed(one, problem(rate), Iterate({"theta": theta}, {})).theta["theta"]
    torch.testing.assert_close(torch.autograd.grad(ours.sum(), [theta, rate]), plain)


def test_recomputed_step_by_gradcheck():
    """torch's gradcheck of one recomputed step with everything in it, in all of its inputs."""
    learner = learner_on(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)), True, adapts="2.*", inner_steps=1)
    support = qs.Examples(torch.randn(3, 2), torch.randn(3, 1))
    names = [name for name, _ in learner.named_parameters()]

    def step(*values):
        problem = Blueprint(learner)(dict(zip(names, values, strict=True))).problem(support, Context())
        return tuple(learner.hypergradient.step(problem, problem.start(), 0).theta.values())

    assert torch.autograd.gradcheck(step, [parameter.detach().clone().requires_grad_() for parameter in learner.parameters()])


def test_it_keeps_one_node_a_step():
    """Torch's hooks that could count saved bytes do not work under torch.func; the graph itself tells: a plain step keeps
    every operation of its forward and backward, a recomputed one is a single node (and those that put its inputs together)."""

    def size(steps, recompute):
        network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
        learner = qs.MAML(network, inner_steps=steps, hypergradient=qs.Unrolled(recompute=recompute))
        return nodes(learner.loss(Quadratic().episode))

    assert size(11, True) - size(10, True) <= 3
    assert size(11, False) - size(10, False) > 30


def test_autocast_of_the_forward_holds_in_the_recomputed_pass():
    """The backward pass runs outside `with autocast`; a step computed again without it would be another step."""
    learner = [qs.MAML(nn.Linear(3, 1).float(), inner_steps=2, hypergradient=qs.Unrolled(recompute=r)) for r in (False, True)]
    learner[1].load_state_dict(learner[0].state_dict())
    episode = episodes()[0].map(lambda leaf: leaf.float())
    found = []
    for one in learner:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = one.loss(episode)
        found.append(torch.autograd.grad(loss, list(one.parameters())))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)

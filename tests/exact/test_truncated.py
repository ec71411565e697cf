"""The truncated meta-gradient against its closed form."""

import pytest
import torch
from tests.exact.quadratic import Quadratic, far, half_squares, line, start

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.descend.hypergradient import Hypergradient, without_graph

A, K = 0.3, 4


def gradient_of(hypergradient):
    task, network = Quadratic(), line()
    learner = qs.MAML(network, inner_lr=A, inner_steps=K, loss=half_squares, hypergradient=hypergradient)
    return qs.meta_gradient(learner, [task.episode])[1]["network.weight"][0]


@pytest.mark.parametrize("k", range(K + 1))
def test_gradient_is_Mk_B_tK_minus_d(k):
    """The first K - k steps count as the identity and the last k as they are: d t_K/d phi = (I - aA)^k, at the true t_K."""
    task, phi = Quadratic(), start(line())
    exact = task.M(A, k) @ task.query_gradient(task.theta(phi, A, K))
    torch.testing.assert_close(gradient_of(qs.Truncated(k)), exact, rtol=1e-12, atol=1e-12)
    other = task.M(A, (k + 1) % (K + 1)) @ task.query_gradient(task.theta(phi, A, K))
    assert far(exact, other, 0.05)


def test_its_ends_are_first_order_and_unrolled():
    torch.testing.assert_close(gradient_of(qs.Truncated(0)), gradient_of(qs.FirstOrder()))
    torch.testing.assert_close(gradient_of(qs.Truncated(K)), gradient_of(qs.Unrolled()))
    torch.testing.assert_close(gradient_of(qs.Truncated(K + 3)), gradient_of(qs.Unrolled()))


def test_plainly_cutting_the_state_off_leaves_no_gradient():
    """Control: t <- stop(t) instead of phi + stop(t - phi) loses phi altogether."""

    class Cut(qs.Truncated):
        def descend(self, problem, at, steps, first=0):
            at = without_graph(problem, at, steps - self.k)
            return Hypergradient.descend(self, problem, at, self.k, steps - self.k)

    assert float(gradient_of(Cut(2)).abs().max()) == 0
    assert float(gradient_of(qs.Truncated(2)).abs().max()) > 0.1


def test_negative_k_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"`Truncated\(k\)`: expected k >= 0 steps, got -1"):
        qs.Truncated(-1)

"""In the limit of a small inner rate, meta-learning is joint training."""

import torch
from tests.exact.quadratic import Quadratic, half_squares, line, start

import quickstudy as qs


def distance(a: float) -> float:
    """Of MAML's gradient from that of joint training, the mean query gradient at phi, relative to the latter."""
    tasks, network = [Quadratic(0), Quadratic(1)], line()
    joint = sum(task.query_gradient(start(network)) for task in tasks) / 2
    learner = qs.MAML(network, inner_lr=a, inner_steps=2, loss=half_squares)
    _, gradient = qs.meta_gradient(learner, [task.episode for task in tasks])
    return float((gradient["network.weight"][0] - joint).norm() / joint.norm())


def test_small_rate_tends_to_joint_training_and_a_large_one_does_not():
    """M = I - akA + O(a^2) and t_k = phi + O(a), so the difference is O(a): a tenth of the rate, a tenth of it.

    Control: at a = 0.5 it is no joint training.
    """
    assert distance(1e-5) < 1e-3
    torch.testing.assert_close(distance(1e-4) / distance(1e-5), 10.0, rtol=1e-2, atol=0)
    assert distance(0.5) > 0.3

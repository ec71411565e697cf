"""Norm policies against hand-written mathematics, and dropout masks against their check."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.call import call
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Forward
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.executors import Loop
from quickstudy.meta.problem import Problem

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

RATE, STEPS = 0.3, 2


class Odd(nn.BatchNorm2d):
    """A subclass, as user code has them."""


class Functional(nn.Module):
    """Batch norm by the function, with its own buffers."""

    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))
        self.register_buffer("running_mean", torch.zeros(c))
        self.register_buffer("running_var", torch.ones(c))

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


class Net(nn.Module):
    """conv, norm, relu, pool, twice, and a head. `shared` uses one norm in both places."""

    def __init__(self, norm=nn.BatchNorm2d, shared=False, c=4):
        super().__init__()
        self.c1, self.c2, self.out = nn.Conv2d(1, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1), nn.Linear(c * 4, 3)
        self.b1 = norm(c)
        self.b2 = self.b1 if shared else norm(c)
        with torch.no_grad():
            for one in (self.b1, self.b2):
                one.weight.copy_(torch.rand(c) + 0.5)
                one.bias.copy_(torch.randn(c))
                one.running_mean.copy_(torch.randn(c))
                one.running_var.copy_(torch.rand(c) + 0.5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.b1(self.c1(x))), 2)
        x = F.max_pool2d(F.relu(self.b2(self.c2(x))), 2)
        return self.out(x.flatten(1))


def by_hand(net, p, x, statistics=None):
    """The network in plain operations with parameters p; (logits, the statistics that it used)."""
    second = "b1" if net.b1 is net.b2 else "b2"
    used = []
    for conv, norm in (("c1", "b1"), ("c2", second)):
        x = F.conv2d(x, p[f"{conv}.weight"], p[f"{conv}.bias"], padding=1)
        axes = (0, 2, 3)
        mean, variance = (x.mean(axes), x.var(axes, correction=0)) if statistics is None else statistics[len(used)]
        used.append((mean, variance))
        x = (x - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]
        x = F.max_pool2d(F.relu(x * p[f"{norm}.weight"][:, None, None] + p[f"{norm}.bias"][:, None, None]), 2)
    return F.linear(x.flatten(1), p["out.weight"], p["out.bias"]), used


def running(net):
    return [(norm.running_mean, norm.running_var) for norm in (net.b1, net.b2)]


def maml_by_hand(net, episode, policy, p=None, training=True):
    """Query logits after the descent, by plain autograd, under a policy."""
    p = dict(net.named_parameters()) if p is None else p
    support, query = episode.support, episode.query
    own = policy in ("support", "transductive") or (policy == "running" and training)
    for _ in range(STEPS):
        logits, _ = by_hand(net, p, support.x, None if own else running(net))
        g = torch.autograd.grad(F.cross_entropy(logits, support.y), list(p.values()), create_graph=True)
        p = {name: value - RATE * one for (name, value), one in zip(p.items(), g, strict=True)}
    statistics = by_hand(net, p, support.x)[1] if policy == "support" else None if own else running(net)
    return by_hand(net, p, query.x, statistics)[0]


def an_episode():
    draw = lambda n: qs.Examples(torch.randn(n, 1, 8, 8), torch.arange(n) % 3, 3)
    return qs.Episode(draw(6), draw(9))


POLICIES = ["support", "running", "transductive", "frozen"]
NETS = {"modules": {}, "subclass": {"norm": Odd}, "functional": {"norm": Functional}, "one norm twice": {"shared": True}}


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("policy", POLICIES)
def test_policy_against_hand_written_mathematics(policy, kind):
    """Second-order MAML in loop and vmap, loss and gradient. Control: the other policies' gradients differ from this one's
    (in training "running" and "transductive" are the same: the batch's own statistics)."""
    net, episodes = Net(**NETS[kind]), [an_episode(), an_episode()]

    def hand(policy):
        losses = [F.cross_entropy(maml_by_hand(net, one, policy), one.query.y) for one in episodes]
        loss = sum(losses) / len(losses)
        return loss.detach(), torch.autograd.grad(loss, list(net.parameters()))

    loss, gradient = hand(policy)
    learner = qs.MAML(net, inner_lr=RATE, inner_steps=STEPS, normalisation=policy)
    for executor in ("loop", "vmap"):
        ours_loss, ours = qs.meta_gradient(learner, episodes, executor=executor)
        torch.testing.assert_close(ours_loss, loss, rtol=1e-11, atol=1e-12)
        for one, name in zip(gradient, dict(net.named_parameters()), strict=True):
            torch.testing.assert_close(ours[f"network.{name}"], one, rtol=1e-9, atol=1e-11)
    for other in set(POLICIES) - {policy}:
        if {policy, other} != {"running", "transductive"}:
            assert abs(float(hand(other)[0] - loss)) > 1e-3


@pytest.mark.parametrize("policy", POLICIES)
def test_policy_of_an_adapted_predictor(policy):
    """Outside training "running" means the running averages, for the inner steps too. One by one equals together unless
    the policy is transductive."""
    net, episode = Net(), an_episode()
    predictor = qs.MAML(net, inner_lr=RATE, inner_steps=STEPS, normalisation=policy).adapt(episode.support)
    together = predictor(episode.query.x)
    hand = maml_by_hand(net, episode, policy, training=False).detach()
    torch.testing.assert_close(together, hand, rtol=1e-9, atol=1e-11)
    alone = torch.cat([predictor(x[None]) for x in episode.query.x])
    assert torch.allclose(alone, together, rtol=1e-9, atol=1e-11) == (policy != "transductive")


def test_support_statistics_are_differentiable_in_phi():
    """Under "support" the recorded statistics depend on theta_K, hence on phi. Control: as constants, another gradient."""
    net, episode = Net(), an_episode()
    p = dict(net.named_parameters())
    for _ in range(STEPS):
        g = torch.autograd.grad(
            F.cross_entropy(by_hand(net, p, episode.support.x)[0], episode.support.y), list(p.values()), create_graph=True
        )
        p = {name: value - RATE * one for (name, value), one in zip(p.items(), g, strict=True)}
    constant = [(m.detach(), v.detach()) for m, v in by_hand(net, p, episode.support.x)[1]]
    loss = F.cross_entropy(by_hand(net, p, episode.query.x, constant)[0], episode.query.y)
    (cut,) = torch.autograd.grad(loss, [net.c1.weight])
    _, ours = qs.meta_gradient(qs.MAML(net, inner_lr=RATE, inner_steps=STEPS), [episode])
    assert float((ours["network.c1.weight"] - cut).norm()) > 0.05 * float(cut.norm())


def test_running_reports_the_batch_statistics_to_the_outer_loop():
    """An answer's statistics are the query batch's mean and unbiased variance at theta_K; the pass itself writes nothing."""
    net, episode = Net(), an_episode()
    learner = qs.MAML(net, inner_lr=RATE, inner_steps=0, normalisation="running")
    batch = qs.Episode(*(qs.Examples(part.x[None], part.y[None], 3) for part in (episode.support, episode.query)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    statistics = Loop().gradient(Problem(learner, Backprop()), batch, torch.zeros(1, dtype=torch.int64)).statistics
    z = net.c1(episode.query.x)
    torch.testing.assert_close(statistics["network.b1"].mean[0], z.mean((0, 2, 3)).detach())
    torch.testing.assert_close(statistics["network.b1"].variance[0], z.var((0, 2, 3), correction=1).detach())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_running_averages_that_are_not_there():
    learner = qs.MAML(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)), normalisation="frozen")
    with pytest.raises(errors.UnsupportedError, match=r"running averages.*got a batch norm without them.*'support'"):
        learner.adapt(qs.Examples(torch.randn(5, 3), torch.randn(5, 4)))


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (nn.LayerNorm(5), torch.randn(3, 5)),
        (nn.LayerNorm([4, 5]), torch.randn(3, 4, 5)),
        (nn.LayerNorm(5, elementwise_affine=False), torch.randn(3, 5)),
        (nn.InstanceNorm1d(4, affine=True), torch.randn(3, 4, 5)),
        (nn.InstanceNorm2d(4), torch.randn(3, 4, 5, 6)),
        (nn.GroupNorm(2, 4), torch.randn(3, 4, 5)),
        (nn.BatchNorm1d(4), torch.randn(3, 4)),
        (nn.BatchNorm1d(4), torch.randn(3, 4, 7)),
        (nn.BatchNorm3d(4, affine=False), torch.randn(3, 4, 2, 2, 2)),
        (nn.RMSNorm(5), torch.randn(3, 5)),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else "",
)
def test_values_are_those_of_the_native_norms(module, x):
    """In training mode on the batch's own statistics, and in evaluation mode on running averages; first derivatives too."""
    module, x = module.double(), x.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    for source, training in (("batch", True), ("running", False)):
        module.train(training)
        ours = call(module, dict(module.named_parameters()), x, Forward(Context(training), source))
        native = module(x)
        torch.testing.assert_close(ours, native, rtol=1e-10, atol=1e-10)
        if list(module.parameters()):
            weights = torch.randn_like(native)
            slopes = [torch.autograd.grad((out * weights).sum(), list(module.parameters())) for out in (ours, native)]
            torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-9, atol=1e-9)


@pytest.mark.wrong_types
def test_a_policy_that_does_not_exist():
    with pytest.raises(errors.ArgumentError, match=r"`normalisation`: expected one of 'support', 'running'.*got 'batch'"):
        qs.MAML(nn.Linear(2, 2), normalisation="batch")


# ---- dropout -----------------------------------------------------------------------------------------------------------


def dropped(module, x, seed=3, step=0, calls=1):
    forward = Forward(Context(True, seed), "batch", step)
    with forward:
        return [module(x) for _ in range(calls)]


def test_masks_have_their_rate_and_no_correlation():
    """Bernoulli(0.3) over 200000 elements: the rate within 4 standard errors, neighbours and calls uncorrelated."""
    calls = dropped(nn.Dropout(0.3), torch.ones(20000), calls=10)
    gone = torch.stack([call == 0 for call in calls]).double() - 0.3
    assert abs(float(gone.mean())) < 4 * (0.21 / 200000) ** 0.5
    for pairs in (gone[:, 1:] * gone[:, :-1], gone[1:] * gone[:-1]):
        assert abs(float(pairs.mean()) / 0.21) < 4 / pairs.numel() ** 0.5
    torch.testing.assert_close(calls[0].unique(), torch.tensor([0.0, 1 / 0.7]))


def test_masks_depend_on_seed_step_and_call_and_on_nothing_else():
    """The same (seed, step, call) draws the same mask whatever the global state; another of any of them another mask."""
    x, drop = torch.ones(200), nn.Dropout(0.5)
    one = dropped(drop, x, calls=2)
    torch.manual_seed(99)
    again = dropped(drop, x, calls=2)
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    others = [one[1], dropped(drop, x, seed=4)[0], dropped(drop, x, step=1)[0], dropped(drop, x, step=-1)[0]]
    for other in others:
        assert 0.35 < float((other != one[0]).double().mean()) < 0.65


def test_feature_dropout_drops_whole_channels():
    out = dropped(nn.Dropout2d(0.5), torch.ones(20, 30, 4, 5))[0]
    flat = out.flatten(2)
    assert torch.equal(flat.amin(-1), flat.amax(-1))
    assert 0.4 < float((flat[..., 0] == 0).double().mean()) < 0.6


def test_alpha_dropout_keeps_mean_and_variance():
    out = dropped(nn.AlphaDropout(0.2), torch.randn(100000))[0]
    assert abs(float(out.mean())) < 0.02
    assert abs(float(out.var()) - 1) < 0.03


@pytest.mark.parametrize("mask", ["none", "causal", "boolean", "additive", "grouped"])
def test_attention_with_dropout_is_attention(mask):
    """At a dropout too small to drop anything it equals torch's own; at 0.5 it does not."""
    q, k, v = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6)
    options = {
        "none": {},
        "causal": {"is_causal": True},
        "boolean": {"attn_mask": torch.ones(5, 5).tril().bool()},
        "additive": {"attn_mask": torch.randn(5, 5)},
        "grouped": {"enable_gqa": True},
    }[mask]
    if mask == "grouped":
        k, v = k[:, :2], v[:, :2]
    native = F.scaled_dot_product_attention(q, k, v, **options)
    with Forward(Context(True, 1)):
        ours = F.scaled_dot_product_attention(q, k, v, dropout_p=1e-12, **options)
        torch.testing.assert_close(ours, native, rtol=1e-9, atol=1e-9)
        assert float((F.scaled_dot_product_attention(q, k, v, dropout_p=0.5, **options) - native).abs().max()) > 0.1


@pytest.mark.parametrize("weights", [False, True])
def test_dropout_inside_multi_head_attention_is_counted_too(weights):
    """nn.MultiheadAttention calls its dropout inside a composite function, where a mode is off while it answers."""
    module, x = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True), torch.randn(3, 5, 4)

    def under(seed, state):
        torch.manual_seed(state)
        with Forward(Context(seed is not None, seed or 0)):
            return module.train(seed is not None)(x, x, x, need_weights=weights)[0].detach()

    assert torch.equal(under(1, 0), under(1, 99))
    assert not torch.allclose(under(1, 0), under(2, 0))
    torch.testing.assert_close(under(None, 0), module.eval()(x, x, x)[0].detach())


def test_dropout_is_off_outside_training_and_on_inside():
    """adapt and predict keep every unit, in train() and in eval(); a meta-gradient drops, in both, by its seed."""
    net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    episode = qs.Episode(qs.Examples(torch.randn(4, 3), torch.randn(4, 1)), qs.Examples(torch.randn(5, 3), torch.randn(5, 1)))
    without = nn.Sequential(net[0], nn.Identity(), net[2])
    losses = []
    for mode in (True, False):
        net.train(mode)
        learner = qs.MAML(net, inner_steps=2)
        answer = learner.adapt(episode.support)(episode.query.x)
        torch.testing.assert_close(answer, qs.MAML(without, inner_steps=2).adapt(episode.support)(episode.query.x))
        losses.append([float(qs.meta_gradient(learner, [episode], seed=seed)[0]) for seed in (0, 1)])
    assert losses[0] == losses[1]
    assert losses[0][0] != losses[0][1]
    assert losses[0][0] != float(qs.meta_gradient(qs.MAML(without, inner_steps=2), [episode])[0])

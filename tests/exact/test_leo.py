"""LEO: the code of a support, its decoder, the descent on codes and weights, and the penalties."""

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import assert_slopes_agree, far, finite_differences
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Forward
from quickstudy.learners.descend.leo import LEO

WAYS, D, Z = 3, 6, 4


def learner(**arguments):
    torch.manual_seed(2)
    settings = {"latent_steps": 2, "fine_tuning_steps": 2, "latent_lr": 0.8, "fine_tuning_lr": 0.3, "dropout": 0.0}
    return LEO(features=D, latents=Z, **(settings | arguments))


def episode():
    draw = lambda n: qs.Examples(torch.randn(WAYS * n, D), torch.arange(WAYS).repeat(n))
    return qs.Episode(draw(2), draw(4))


def code_by_hand(leo, support):
    """(1)-(2) pair by pair: for class k the mean over its examples i, and over all examples j, of R([E x_i, E x_j])."""
    e = support.x @ leo.encoder.weight.T
    rows = []
    for k in range(WAYS):
        parts = [leo.relation(torch.cat([e[i], e[j]])) for i in range(len(e)) if support.y[i] == k for j in range(len(e))]
        rows.append(sum(parts) / len(parts))
    return torch.stack(rows).chunk(2, 1)


def mean_decoder(leo, z):
    return (z @ leo.decoder.weight.T)[:, :D]


def test_without_steps_it_is_the_decoder_of_the_code():
    """w = mu(m) at test. Control: one step of either kind moves it."""
    leo, task = learner(latent_steps=0, fine_tuning_steps=0), episode()
    want = mean_decoder(leo, code_by_hand(leo, task.support)[0]).detach()
    predictor = leo.adapt(task.support)
    torch.testing.assert_close(predictor.state.values["weights"], want)
    torch.testing.assert_close(predictor(task.query.x), task.query.x @ want.T)
    for steps in ({"latent_steps": 1, "fine_tuning_steps": 0}, {"latent_steps": 0, "fine_tuning_steps": 1}):
        assert far(want, learner(**steps).adapt(task.support).state.values["weights"], 0.01)


def loss_by_hand(leo, task, seed=None, penalty=True):
    """(1)-(8) by torch.autograd; `seed`: with draws."""
    m, log_s = code_by_hand(leo, task.support)
    draws = Forward(Context(True, 0 if seed is None else seed))  # the first of them is z's, then one for each decoding
    normal = lambda like: torch.zeros_like(like) if seed is None else draws.normal(like.shape, like.dtype)

    def decode(z):
        mu, log_sigma = (z @ leo.decoder.weight.T).chunk(2, 1)
        return mu + (2 / (D + WAYS)) ** 0.5 * log_sigma.exp() * normal(mu)

    L = lambda w: F.cross_entropy(task.support.x @ w.T, task.support.y)
    start = z = m + log_s.exp() * normal(m)
    for _ in range(leo.latent_steps):
        z = z - leo.latent_lr * torch.autograd.grad(L(decode(z)), z, create_graph=True)[0]
    w = decode(z)
    for _ in range(leo.fine_tuning_steps):
        w = w - leo.fine_tuning_lr * torch.autograd.grad(L(w), w, create_graph=True)[0]
    one, other = torch.distributions.Normal(m, log_s.exp()), torch.distributions.Normal(torch.zeros_like(m), torch.ones_like(m))
    kl = torch.distributions.kl_divergence(one, other).sum() / WAYS
    columns = leo.decoder.weight / leo.decoder.weight.norm(dim=0)
    correlation = ((columns.T @ columns - torch.eye(Z)) ** 2).mean()
    moved = ((z.detach() - start) ** 2).mean() if penalty else ((z - start) ** 2).mean()
    total = F.cross_entropy(task.query.x @ w.T, task.query.y)
    return total + leo.kl * kl + leo.encoder_penalty * moved + leo.orthogonality * correlation


@pytest.mark.parametrize("drawn", [False, True])
def test_loss_and_gradient_in_every_phi(drawn):
    """With draws as an executor makes them, and without. Controls: with z^T differentiated in its penalty too; without draws."""
    leo, task = learner(kl=0.3, encoder_penalty=0.5, orthogonality=0.7), episode()
    phi = dict(leo.named_parameters())
    if drawn:
        loss, gradient = qs.meta_gradient(leo, [task], seed=4)
        seed = torch.randint(2**31, (1,), generator=torch.Generator().manual_seed(4)).item()
    else:
        loss, seed = leo.loss(task), None
        gradient = dict(zip(phi, torch.autograd.grad(loss, list(phi.values())), strict=True))
    want = loss_by_hand(leo, task, seed)
    torch.testing.assert_close(loss.detach(), want.detach(), rtol=1e-11, atol=1e-12)
    for name, one in zip(phi, torch.autograd.grad(want, list(phi.values())), strict=True):
        assert float(one.abs().max()) > 1e-6, name
        torch.testing.assert_close(gradient[name], one, rtol=1e-9, atol=1e-12)
    control = torch.autograd.grad(loss_by_hand(leo, task, seed, penalty=False), phi["encoder.weight"])[0]
    assert far(gradient["encoder.weight"], control, 0.01)
    if drawn:
        assert abs(float(loss - leo.loss(task).detach())) > 1e-3


def test_every_phi_by_finite_differences():
    """Where no stop stands in the loss, its gradient is its slope; with dropout and draws, whose seeds stay."""
    assert learner(encoder_penalty=0.0).exact_gradient
    assert not learner().exact_gradient
    assert_slopes_agree(finite_differences(learner(encoder_penalty=0.0, kl=0.3, orthogonality=0.5, dropout=0.2), [episode()]))


def test_draws_belong_to_training_and_to_the_episode():
    """Another seed, another draw; none at test; each decoding of an episode its own."""
    leo, task = learner(), episode()
    one, again, other = (float(qs.meta_gradient(leo, [task], seed=seed)[0]) for seed in (0, 0, 1))
    assert one == again != other
    like = torch.zeros(WAYS, D)
    assert torch.equal(leo.copied().noise(like), like)
    with Forward(Context(True, 5)):
        draws = torch.stack([leo.copied(training=True).noise(torch.zeros(400, 5)) for _ in range(3)])
    assert float(draws.mean().abs()) < 0.05
    assert float((draws.std() - 1).abs()) < 0.05
    assert float(torch.corrcoef(draws.flatten(1))[0, 1].abs()) < 0.1


def test_orthogonal_decoder_has_no_penalty():
    leo = learner()
    nn.init.orthogonal_(leo.decoder.weight)
    leo.decoder.weight.data *= torch.arange(1.0, 1 + Z)  # lengths do not count
    assert leo.correlation().item() == pytest.approx(0, abs=1e-12)
    leo.decoder.weight.data[:, 0] = leo.decoder.weight.data[:, 1]
    assert leo.correlation().item() == pytest.approx(2 / Z**2)


def test_it_learns():
    """Gaussian classes: better after meta-training than before."""
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    leo = LEO(features=8, latents=8, latent_steps=3, fine_tuning_steps=3)
    prototypes = torch.randn(40, 8) * 2

    def batch(n, seed):
        g = torch.Generator().manual_seed(seed)
        draw = lambda p, k: qs.Examples(
            p.repeat(1, k, 1) + torch.randn(n, 3 * k, 8, generator=g), torch.arange(3).repeat(k).expand(n, -1).contiguous(), 3
        )
        p = prototypes[torch.randint(40, (n, 3), generator=g)]
        return qs.Episode(draw(p, 2), draw(p, 5))

    held_out = batch(40, 10**6)
    score = lambda: float(qs.meta_gradient(leo, held_out, executor="vmap")[0])
    before, adam = score(), torch.optim.Adam(leo.parameters(), lr=1e-2)
    for step in range(30):
        for name, one in qs.meta_gradient(leo, batch(8, step), executor="vmap", seed=step)[1].items():
            dict(leo.named_parameters())[name].grad = one
        adam.step()
    assert score() < 0.8 * before


def test_refusals():
    with pytest.raises(errors.ShapeError, match=r"`features`: expected 6, got 5"):
        LEO(features=5).adapt(episode().support)
    with pytest.raises(errors.ArgumentError, match=r"`latent_steps`: expected 0 or more, got -1"):
        learner(latent_steps=-1)
    with pytest.raises(errors.LabelError, match=r"`support\.y`"):
        learner().adapt(qs.Examples(torch.randn(4, D), torch.randn(4, 1)))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_long_features_leave_the_gradient_finite(scale, monkeypatch):
    """Control: without the bounds on the deviations the long ones, whose codes move far, do not."""
    leo, task = learner(latent_steps=5, latent_lr=2.0), episode()
    task = qs.Episode(*(qs.Examples(scale * part.x, part.y) for part in (task.support, task.query)))

    def finite(bound):
        monkeypatch.setattr("quickstudy.learners.descend.leo.LIMIT", bound)
        value = leo.copied(training=True).outcome(task, Context(True, 3)).loss
        gradient = torch.autograd.grad(value, [leo.encoder.weight, leo.decoder.weight, leo.latent_lr])
        return all(bool(torch.isfinite(one).all()) for one in gradient)

    assert finite(5.0)
    assert finite(torch.inf) == (scale == 1.0)

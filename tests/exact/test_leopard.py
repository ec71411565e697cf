"""LEOPARD: a head that a perceptron makes of the support, adapted with the upper layers, and a gradient through its making."""

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import assert_slopes_agree, far, finite_differences
from tests.exact.test_proto_maml import an_episode, embedding
from torch import nn
from torch.func import functional_call

import quickstudy as qs
from quickstudy import errors
from quickstudy.domains.text.encoders import ByteConv
from quickstudy.learners.descend import GeneratedHead, LearnedRates, PrototypeHead
from quickstudy.recipes.further.leopard import LEOPARD


def learner_of(embed, **options):
    """With weights that are large enough for every part to matter."""
    learner = GeneratedHead(embed, **{"features": 4, "width": 3, "adapts": "2.*", "inner_lr": 0.2, "inner_steps": 2, **options})
    with torch.no_grad():
        for part in (learner.network.embed, learner.network.project, learner.generator):
            for parameter in part.parameters():
                parameter.mul_(3)
    return learner


def by_hand(learner, task, a, steps, *, second_order=True, through_the_start=True, adapts=("2.weight", "2.bias")):
    """The query loss and its gradient in embedding, generator and projection, as a loop over plain tensors."""
    parts = {"network.embed": learner.network.embed, "network.project": learner.network.project, "generator": learner.generator}
    phi = {
        f"{part}.{name}": p.detach().requires_grad_() for part, module in parts.items() for name, p in module.named_parameters()
    }

    def run(part, theta, x):
        own = {name.removeprefix(f"{part}."): value for name, value in theta.items() if name.startswith(f"{part}.")}
        return functional_call(parts[part], own, (x,))

    made = run("generator", phi, run("network.embed", phi, task.support.x))
    head = torch.stack([made[task.support.y == k].mean(0) for k in range(task.support.ways)])
    head = head if through_the_start else head.detach().requires_grad_()
    moving = [f"network.embed.{name}" for name in adapts] + [name for name in phi if name.startswith("network.project.")]
    theta = {name: p.clone() if name in moving else p for name, p in phi.items()} | {"w": head[:, :-1], "b": head[:, -1]}

    def logits(theta, x):
        return run("network.project", theta, run("network.embed", theta, x)) @ theta["w"].T + theta["b"]

    for _ in range(steps):
        loss = F.cross_entropy(logits(theta, task.support.x), task.support.y)
        names = [*moving, "w", "b"]
        gradients = torch.autograd.grad(loss, [theta[name] for name in names], create_graph=second_order, retain_graph=True)
        theta = theta | {name: theta[name] - a * g for name, g in zip(names, gradients, strict=True)}
    loss = F.cross_entropy(logits(theta, task.query.x), task.query.y)
    return loss.detach(), dict(zip(phi, torch.autograd.grad(loss, list(phi.values()), materialize_grads=True), strict=True))


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("second_order", [True, False])
def test_loss_and_gradient_of_a_loop_by_hand(steps, second_order):
    """Controls: the head's beginning as a constant; the other order; the lower layer adapting too."""
    hypergradient = qs.Unrolled() if second_order else qs.FirstOrder()
    learner, task = learner_of(embedding(), inner_steps=steps, hypergradient=hypergradient), an_episode()
    loss, gradient = qs.meta_gradient(learner, [task])
    want_loss, want = by_hand(learner, task, 0.2, steps, second_order=second_order)
    torch.testing.assert_close(loss, want_loss, rtol=1e-11, atol=1e-12)
    assert gradient.keys() == want.keys()
    for name, one in want.items():
        torch.testing.assert_close(gradient[name], one, rtol=1e-9, atol=1e-11)
    wrong = by_hand(learner, task, 0.2, steps, second_order=second_order, through_the_start=False)[1]
    assert far(want["generator.2.weight"], wrong["generator.2.weight"])
    if steps:
        lower, layers = "network.embed.0.weight", [name for name, _ in learner.network.embed.named_parameters()]
        assert far(want[lower], by_hand(learner, task, 0.2, steps, second_order=not second_order)[1][lower], 1e-3)
        assert far(want[lower], by_hand(learner, task, 0.2, steps, second_order=second_order, adapts=layers)[1][lower], 1e-3)


def test_learned_rates_of_each_layer_and_step_by_finite_differences():
    learner = learner_of(embedding(), inner_lr=LearnedRates(0.2, per="tensor", per_step=True))
    assert {tuple(rate.shape) for rate in learner.rates.rate} == {(2,)}
    assert len(learner.rates.rate) == 2 + 4 + 2  # upper layer, projection, head
    assert_slopes_agree(finite_differences(learner, [an_episode()]))


def test_ways_are_free_and_the_head_is_no_meta_parameter():
    learner = learner_of(embedding())
    assert {name.rpartition(".")[2] for name, p in learner.named_parameters() if p.requires_grad} == {"weight", "bias"}
    for ways, shots in ((2, 1), (6, 3)):
        task = an_episode(ways, shots)
        predictor = learner.adapt(task.support)
        assert predictor(task.query.x).shape == (4 * ways, ways)
        assert predictor.state.values["theta"]["w"].shape == (ways, 3)


def test_the_seed_is_that_of_generator_and_projection():
    made = [LEOPARD(embedding(), features=4, adapts="2.*", seed=seed).generator[0].weight.detach() for seed in (0, 0, 1)]
    assert torch.equal(made[0], made[1])
    assert far(made[0], made[2])


def test_what_does_not_adapt_stays():
    learner, task = learner_of(embedding()), an_episode()
    assert set(learner.adapt(task.support).state.values["theta"]) == {
        "embed.2.weight",
        "embed.2.bias",
        *(f"project.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")),
        "w",
        "b",
    }
    none = learner_of(embedding(), adapts=())
    assert not [name for name in none.adapt(task.support).state.values["theta"] if name.startswith("embed")]


def test_it_learns_problems_of_several_ways():
    """Meta-trained on 2 and on 4 classes, tested on 3. Control: as it was initialised."""
    torch.set_default_dtype(torch.float32)
    families = {f"{ways}": qs.tasks.GaussianClasses(ways=ways, dim=6, shots=3, queries=5) for ways in (2, 4)}
    learner = LEOPARD(qs.models.mlp(6, 8, hidden=(16,)), features=8, width=16, adapts="head.*", inner_lr=0.1, inner_steps=3)
    test = qs.tasks.GaussianClasses(ways=3, dim=6, shots=3, queries=5).test
    before = qs.evaluate(learner, test, 60, executor="loop").mean
    qs.meta_train(
        learner, qs.tasks.Mixture(families), steps=150, tasks_per_step=4, validation_episodes=4, executor="loop", progress=False
    )
    assert qs.evaluate(learner, test, 60, executor="loop").mean > before + 0.15


def test_what_is_refused():
    with pytest.raises(errors.UnsupportedError, match="expected one that passes through every step"):
        learner_of(embedding(), hypergradient=qs.Implicit())
    with pytest.raises(errors.ArgumentError, match=r"`adapts`: expected a pattern .* got 'embed\.7\.\*'"):
        learner_of(embedding(), adapts="7.*")
    with pytest.raises(errors.ShapeError, match=r"`embed`: expected features=5 of each example, got \(6, 4\)"):
        learner_of(embedding(), features=5).adapt(an_episode().support)
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        learner_of(nn.Linear(2, 4), adapts="*").adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))


# ---- labels of tokens ----


def of_tokens(seed=0, ways=3):
    """Two sentences of four tokens to learn from, without the last class, and three to tag; a token of each has no label."""
    generator = torch.Generator().manual_seed(seed)
    target = qs.targets.TokenLabels(ways)

    def draw(n, classes):
        x, y = torch.randn(n, 4, 6, generator=generator), torch.randint(0, classes, (n, 4), generator=generator)
        y[0, :classes] = torch.arange(classes)
        y[-1, -1] = -100
        return qs.Examples(x, y, target=target)

    return qs.Episode(draw(2, ways - 1), draw(3, ways))


@pytest.mark.parametrize("kind", [GeneratedHead, PrototypeHead])
def test_a_token_is_an_example(kind):
    """Tags of words are labels of examples that are the words."""
    embed = embedding()
    learner = learner_of(embed) if kind is GeneratedHead else PrototypeHead(embed, inner_lr=0.2, inner_steps=2)
    tagged = of_tokens()
    kept = tagged.support.y != -100
    words = qs.Examples(tagged.support.x[kept], tagged.support.y[kept], 2)
    support = qs.Examples(tagged.support.x, tagged.support.y, target=qs.targets.TokenLabels(2))
    loss, gradient = qs.meta_gradient(learner, [qs.Episode(support, support)])
    want_loss, want = qs.meta_gradient(learner, [qs.Episode(words, words)])
    torch.testing.assert_close(loss, want_loss, rtol=1e-11, atol=1e-12)
    for name, one in want.items():
        torch.testing.assert_close(gradient[name], one, rtol=1e-9, atol=1e-11)
    wrong = qs.Examples(
        support.x, support.y.where(support.y >= 0, 0), target=support.target
    )  # control: the absent label as a class
    assert far(want_loss, qs.meta_gradient(learner, [qs.Episode(wrong, wrong)])[0], 1e-6)


@pytest.mark.parametrize("kind", [GeneratedHead, PrototypeHead])
def test_a_tag_that_the_support_lacks_begins_at_zero(kind):
    embed, tagged = embedding(), of_tokens()
    learner = learner_of(embed, inner_steps=0) if kind is GeneratedHead else PrototypeHead(embed, inner_steps=0)
    theta = learner.adapt(tagged.support).state.values["theta"]
    assert not theta["w"][2].any()
    assert theta["b"][2] == 0
    assert theta["w"][:2].any(1).all()
    assert torch.isfinite(qs.meta_gradient(learner, [tagged])[0])


def test_slots_beside_intents():
    """A mixture of both kinds, by two heads that share the network below; every executor as the loop."""
    verbs, things = ("play", "open", "sell", "find", "dial", "mute"), ("it", "jazz", "mail", "door")
    texts, labels = [f"{a} {b}" for a in verbs for b in things], [a for a in verbs for _ in things]
    intents = qs.tasks.from_texts(texts, labels, length=9, ways=2, shots=2, queries=2, split=(2, 2, 2))
    tokens, tags = [text.split() for text in texts], [["O", "B-thing"]] * len(texts)
    slots = qs.tasks.from_tokens(tokens, tags, labels, length=9, shots=2, queries=2, split=(2, 2, 2))
    body = ByteConv(features=6, width=6, depth=1, pool=False)

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body

        def forward(self, ids, mask):
            return (self.body(ids, mask) * mask[..., None]).sum(1) / mask.sum(1)[:, None]

    options = {"features": 6, "width": 4, "adapts": (), "inner_steps": 1}
    heads = {"intents": GeneratedHead(Pooled(), **options), "slots": GeneratedHead(body, **options)}
    learner = qs.learners.wrap.ByFamily(heads).double()
    mixed = qs.tasks.Mixture({"intents": intents, "slots": slots}, same_content=True, same_classes=True)
    batch = mixed.train.sample(4, generator=torch.Generator().manual_seed(0))
    loss, gradient = qs.meta_gradient(learner, batch, executor="loop")
    fast_loss, fast = qs.meta_gradient(learner, batch, executor="vmap")
    torch.testing.assert_close(fast_loss, loss)
    assert {name for name, one in gradient.items() if one.any()} == {name for name, one in fast.items() if one.any()}
    for name, one in gradient.items():
        torch.testing.assert_close(fast[name], one)


def test_a_pooled_network_is_refused_for_tags():
    with pytest.raises(errors.ShapeError, match=r"`embed`: expected features of each token: \(2, 4, 'features'\), got \(2, 4\)"):
        learner_of(nn.Sequential(nn.Flatten(), nn.Linear(24, 4)), adapts=()).adapt(of_tokens().support)

"""What goes into a network and what comes out: mappings are spread, outputs that are no tensor are read by name or refused."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.transfer.backbone import from_backbone
from quickstudy.models import Read

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

D, WAYS = 6, 3


class TwoInputs(nn.Module):
    """As a tokenizer's output goes into a language model: by the names of its arguments."""

    def __init__(self, outputs=4):
        super().__init__()
        self.a, self.b = nn.Linear(D, outputs), nn.Linear(2, outputs)

    def forward(self, tokens, *, mask):
        return torch.tanh(self.a(tokens)) + self.b(mask)


LEARNERS = {
    "Prototypical": lambda: qs.Prototypical(TwoInputs()),
    "MatchingNetwork": lambda: qs.MatchingNetwork(TwoInputs()),
    "Ridge": lambda: qs.R2D2(TwoInputs()),
    "MetaOptNet": lambda: qs.MetaOptNet(TwoInputs()),
    "MAML": lambda: qs.MAML(TwoInputs(WAYS), inner_steps=2),
    "MAML, recomputed": lambda: qs.MAML(TwoInputs(WAYS), inner_steps=2, hypergradient=qs.Unrolled(recompute=True)),
    "IMAML": lambda: qs.IMAML(TwoInputs(WAYS), inner_steps=2),
    "ProtoMAML": lambda: qs.ProtoMAML(TwoInputs(), inner_steps=2),
    "LinearProbe": lambda: qs.LinearProbe(TwoInputs()),
    "PretrainFineTune": lambda: qs.PretrainFineTune(TwoInputs()),
    "BaselinePlusPlus": lambda: qs.BaselinePlusPlus(TwoInputs()),
    "FromScratch": lambda: qs.FromScratch(TwoInputs(WAYS), inner_steps=3),
    "NearestCentroid": lambda: qs.NearestCentroid(TwoInputs()),
    "from_backbone": lambda: from_backbone(TwoInputs()),
    "from_backbone, ridge": lambda: from_backbone(TwoInputs(), head="ridge"),
    "LoRA": lambda: qs.MAML(qs.models.LoRA(TwoInputs(WAYS), rank=1), adapts="lora_*"),
}


def examples(n, tasks=()):
    y = torch.arange(WAYS).repeat(n)
    x = {"tokens": torch.randn(*tasks, WAYS * n, D), "mask": torch.randn(*tasks, WAYS * n, 2)}
    return qs.Examples(x, y.expand(*tasks, WAYS * n), WAYS)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_mapping_is_spread_in_every_learner(name):
    """The answers are those for one tensor that the network takes apart itself."""
    learner, support, query = LEARNERS[name](), examples(3), examples(2)
    predictor = learner.adapt(support)
    answer = predictor(query.x)
    assert answer.shape == (6, WAYS)
    turned = {"mask": query.x["mask"], "tokens": query.x["tokens"]}
    assert torch.equal(predictor(turned), answer)
    other = {**query.x, "mask": query.x["mask"] + 1}
    assert not torch.allclose(predictor(other), answer)
    if learner.meta_learns and any(p.requires_grad for p in learner.parameters()) and "Backprop" in str(outer(learner)):
        batch = qs.Episode(examples(3, (2,)), examples(2, (2,)))
        (_, loop), (_, mapped) = (qs.meta_gradient(learner, batch, executor=one) for one in ("loop", "vmap"))
        for key in loop:
            torch.testing.assert_close(mapped[key], loop[key], rtol=1e-8, atol=1e-10)


def outer(learner):
    return getattr(learner, "outer", None) or qs.Gradient()


@dataclass
class ModelOutput:
    logits: torch.Tensor
    hidden: torch.Tensor


class Says(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.linear, self.output = nn.Linear(D, WAYS), output

    def forward(self, x):
        return self.output(self.linear(x))


Pair = namedtuple("Pair", ["logits", "hidden"])
OUTPUTS = {
    "tuple": (lambda y: (y, 2 * y), r"a tuple of 2", 0),
    "named tuple": (lambda y: Pair(y, 2 * y), r"a Pair of 2", "logits"),
    "mapping": (lambda y: {"logits": y, "hidden": 2 * y}, r"a dict of \['logits', 'hidden'\]", "logits"),
    "object": (lambda y: ModelOutput(y, 2 * y), r"a ModelOutput with \['logits', 'hidden'\]", "logits"),
}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("learner", [lambda n: qs.MAML(n), lambda n: qs.Prototypical(n)], ids=["MAML", "Prototypical"])
def test_an_output_that_is_no_tensor_is_refused_or_read_by_name(name, learner):
    make, message, part = OUTPUTS[name]
    x, y = torch.randn(6, D), torch.arange(6) % WAYS
    torch.manual_seed(0)
    network = Says(make)
    with pytest.raises(errors.UnsupportedError, match=message + r"\. Say which part is meant: quickstudy\.models\.Read\("):
        learner(network).adapt(qs.Examples(x, y))
    got = learner(Read(network, part)).adapt(qs.Examples(x, y))(x)
    torch.testing.assert_close(got, learner(network.linear).adapt(qs.Examples(x, y))(x))
    with pytest.raises(errors.ArgumentError, match=r"`output`: expected a part of the output of Says"):
        learner(Read(network, 7 if part == 0 else "nothing")).adapt(qs.Examples(x, y))
    if name == "mapping":
        with pytest.raises(errors.UnsupportedError, match=r"whose output is a dict"):
            learner(Read(Says(lambda y: {"logits": {"inner": y}}), "logits")).adapt(qs.Examples(x, y))

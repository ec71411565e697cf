"""The learners of descend/ beyond Descent itself, for the checks: the same kind of cases as tests/checks/learners.py has."""

from __future__ import annotations

import torch
from tests.checks.learners import FEATURES, WAYS, Case, case, network, normed, stirred, targets
from torch import nn

import quickstudy as qs
from quickstudy.learners.descend.generated_head import GeneratedHead
from quickstudy.learners.descend.leo import LEO
from quickstudy.learners.descend.meta_lstm import MetaLSTM
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.models.context import ContextConv4, FiLM, WithContext
from quickstudy.models.lora import LoRA
from quickstudy.recipes.boil import BOIL
from quickstudy.recipes.cavia import CAVIA
from quickstudy.recipes.maml_plus_plus import MAMLPlusPlus
from quickstudy.recipes.meta_curvature import MetaCurvature


def modulated() -> nn.Module:
    """A foreign network with a FiLM layer."""
    return nn.Sequential(nn.Linear(FEATURES, 8), FiLM(8, 3), nn.Tanh(), nn.Linear(8, WAYS))


def images() -> qs.Episode:
    """3-way 3-shot of 16 x 16 images."""
    draw = lambda n: qs.Examples(torch.randn(WAYS * n, 1, 16, 16), torch.arange(WAYS).repeat(n), WAYS)
    return qs.Episode(draw(3), draw(2))


CASES: dict[str, Case] = {
    **{
        f"MAML++, {policy}": case(lambda policy=policy: stirred(MAMLPlusPlus(normed(), inner_steps=2, normalisation=policy)))
        for policy in ("support", "running", "transductive", "frozen")
    },
    "MAML++, targets": case(lambda: stirred(MAMLPlusPlus(network(1), inner_lr=0.1, inner_steps=2)), targets),
    "MAML, a rate for each step and weight": case(
        lambda: stirred(qs.MAML(network(), inner_lr=LearnedRates(0.3, per_step=True), inner_steps=3))
    ),
    "BOIL": case(lambda: BOIL(network(), inner_steps=2)),
    "CAVIA": case(lambda: CAVIA(WithContext(network_of_context(), 2), inner_lr=0.5, inner_steps=2)),
    "CAVIA, targets": case(lambda: CAVIA(WithContext(network_of_context(1), 2), inner_lr=0.1, inner_steps=2), targets),
    "CAVIA, FiLM": case(lambda: CAVIA(modulated(), inner_lr=0.5)),
    "CAVIA, Conv4": case(lambda: CAVIA(ContextConv4(WAYS, channels=4, size=16, context_size=3), inner_lr=0.5), images),
    "Meta-Curvature": case(lambda: stirred(MetaCurvature(network(), inner_lr=0.3, inner_steps=2))),
    "Meta-Curvature, normed": case(lambda: stirred(MetaCurvature(normed(), inner_lr=0.3))),
    "Meta-LSTM": case(lambda: stirred(MetaLSTM(network(), inner_steps=2, inner_lr=0.2, hidden=3))),
    "Meta-LSTM, targets": case(lambda: stirred(MetaLSTM(network(1), inner_steps=2, inner_lr=0.05, hidden=3)), targets),
    **{
        f"Meta-LSTM, {policy}": case(
            lambda policy=policy: stirred(MetaLSTM(normed(), inner_lr=0.2, hidden=3, normalisation=policy))
        )
        for policy in ("support", "running", "transductive", "frozen")
    },
    "LEO": case(lambda: LEO(features=FEATURES, latents=4, latent_steps=2, fine_tuning_steps=2, fine_tuning_lr=0.1)),
    "LEO, exact": case(lambda: LEO(features=FEATURES, latents=4, latent_steps=2, fine_tuning_steps=2, encoder_penalty=0.0)),
    **{
        f"LEO, {policy}": case(
            lambda policy=policy: LEO(
                normed(), features=WAYS, latents=4, latent_steps=2, fine_tuning_steps=1, encoder_penalty=0.1, normalisation=policy
            )
        )
        for policy in ("support", "running", "transductive", "frozen")
    },
    "LEOPARD": case(
        lambda: stirred(
            GeneratedHead(
                network(), features=WAYS, width=4, adapts="head.*", inner_lr=LearnedRates(0.1, per="tensor"), inner_steps=2
            )
        )
    ),
    **{
        f"LEOPARD, {policy}": case(
            lambda policy=policy: GeneratedHead(
                normed(), features=WAYS, width=4, inner_lr=0.1, inner_steps=2, normalisation=policy, hypergradient=qs.FirstOrder()
            )
        )
        for policy in ("support", "running", "transductive", "frozen")
    },
    "LoRA": case(lambda: stirred(qs.MAML(LoRA(network(), rank=2), inner_lr=0.3, inner_steps=2, adapts="lora_*"))),
}


def network_of_context(outputs: int = WAYS) -> nn.Module:
    """An MLP with two inputs more."""
    return qs.models.mlp(FEATURES + 2, outputs, hidden=(8,))

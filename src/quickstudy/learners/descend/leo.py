"""LEO: descend in a low-dimensional code of the classifier's weights instead of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, PositiveInt, Probability
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.forward.call import Parameters, apply, plain
from quickstudy.forward.context import Normalisation
from quickstudy.forward.derivatives import gradient_of
from quickstudy.learners.functional import class_means
from quickstudy.learners.learner import Learner, Loss, check_ways
from quickstudy.learners.outcome import Values

LIMIT = 5.0  # of |log s| and |log(sigma_k / sigma)|


class LEO(Learner):
    """Read the support into a code for each class, descend on the codes, decode them into a linear classifier's weights.

        e           =  E dropout(x)                                              x: features, of an embedding or raw        (1)
        m_k, log s_k =  mean over x_i of class k, and over all x_j,  of  R([e_i, e_j])                                      (2)
        z_k         ~  N(m_k, s_k^2),     z_k^0 = z_k                                                                       (3)
        w_k         ~  N(mu_k, sigma_k^2),   (mu_k, log(sigma_k / sigma)) = D z_k,   sigma^2 = 2 / (features + ways)        (4)
        z^{t+1}     =  z^t - a d/dz L( support; w(z^t) )                         latent_steps times                         (5)
        w           <-  w - b d/dw L( support; w )                               fine_tuning_steps times, from w(z^T)       (6)
        p(y = k|x)  =  softmax_k( w_k'x )                                                                                   (7)
        loss        =  L(query; w) + kl KL( N(m, s^2) || N(0, I) ) + encoder || stop(z^T) - z^0 ||^2
                       + orthogonality || C - I ||^2,     C: the correlations of D's columns                                (8)

    Samples are drawn in meta-training only, from the episode's seed; otherwise z = m and w = mu. phi is E, R, D, a and b, and
    the embedding's parameters that require a gradient.

    Args:
        embed: (examples, *feature) -> (examples, features), most often pre-trained and frozen; None: x itself, flattened.
        features: number of features of x.
        latents: dimension of a class's code.
        latent_steps, fine_tuning_steps: inner steps on the codes, then on the weights.

    Other Args:
        latent_lr, fine_tuning_lr: initial a and b.
        kl, encoder_penalty, orthogonality: weights of the penalties in (8).
        dropout: dropout rate of the encoder's input x.
        normalisation: "running" by default, as for the learners that compare.

    Raises:
        ArgumentError: a negative number of steps.
        ShapeError: an embedding that does not give `features` features.

    Source: Rusu et al., "Meta-Learning with Latent Embedding Optimization", ICLR 2019, eq. 3-8 and appendix B.
    Differs from it: the divergence is computed, not estimated by the draw; sigma scales the draw of w where the code shifts its
    deviation by it; the l2 penalty is left to the outer optimizer's weight decay.
    Logarithms of deviations are clamped to +-5: (4) is an exponential of D z, and z moves at rate 1. Without the limit it became
    infinite on frozen features of length 9, and on features of length 1 after some 1,800 meta-steps.

    Examples:
        >>> learner = qs.LEO(features=16, latents=8)  # with embed=None x itself is the feature
        >>> task = qs.tasks.GaussianClasses(ways=5, dim=16).test.sample(1)[0]
        >>> predictor = learner.adapt(task.support)
        >>> predictor.state.values["latents"].shape, predictor.state.values["weights"].shape  # a code and weights for each class
        (torch.Size([5, 8]), torch.Size([5, 16]))
    """

    def __init__(
        self,
        embed: nn.Module | None = None,
        *,
        features: PositiveInt,
        latents: PositiveInt = 64,
        latent_steps: NonNegativeInt = 5,
        fine_tuning_steps: NonNegativeInt = 5,
        latent_lr: NonNegativeFloat = 1.0,
        fine_tuning_lr: NonNegativeFloat = 1e-3,
        kl: NonNegativeFloat = 1e-3,
        encoder_penalty: NonNegativeFloat = 1e-9,
        orthogonality: NonNegativeFloat = 1e-3,
        dropout: Probability = 0.3,
        normalisation: Normalisation = "running",
    ):
        super().__init__(normalisation=normalisation)
        for name, steps in (("latent_steps", latent_steps), ("fine_tuning_steps", fine_tuning_steps)):
            if steps < 0:
                raise ArgumentError(name, expected="0 or more", got=str(steps), do="0 of both is the decoder of the code alone.")
        self.embed = nn.Flatten() if embed is None else plain("embed", embed)
        self.features, self.latents = features, latents
        self.latent_steps, self.fine_tuning_steps = latent_steps, fine_tuning_steps
        self.kl, self.encoder_penalty, self.orthogonality = kl, encoder_penalty, orthogonality
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.Linear(features, latents, bias=False)
        widths = [nn.Linear(2 * latents, 2 * latents, bias=False) for _ in range(3)]
        self.relation = nn.Sequential(widths[0], nn.ReLU(), widths[1], nn.ReLU(), widths[2])
        self.decoder = nn.Linear(latents, 2 * features, bias=False)
        self.latent_lr = nn.Parameter(torch.tensor(float(latent_lr)))
        self.fine_tuning_lr = nn.Parameter(torch.tensor(float(fine_tuning_lr)))

    @property
    def exact_gradient(self) -> bool:  # type: ignore[override]
        """False if stop(z^T) is in the loss."""
        return self.encoder_penalty == 0

    def learn(self, support: Examples) -> Values:
        """weights (ways, features); and, for the loss, z^0 and z^T (ways, latents) and the divergence of each class (ways,)."""
        x, ways = apply(self.embed, support.x), check_ways("support.y", support)
        if x.shape[1] != self.features:
            raise ShapeError("features", expected=str(x.shape[1]), got=str(self.features), do="Give the embedding's number.")
        criterion = self.criterion_of(support)
        m, log_s = self.code(x, support.y, ways)  # (1), (2)
        z_0 = z = m + log_s.exp() * self.noise(m)  # (3)

        def descend(at: Tensor, rate: Tensor, weights: Callable[[Tensor], Tensor]) -> Tensor:
            def L(at: Parameters) -> tuple[Tensor, tuple[()]]:
                return criterion(x @ weights(at["at"]).T, support.y), ()

            return at - rate * gradient_of(L, {"at": at})[0]["at"]

        for _ in range(self.latent_steps):
            z = descend(z, self.latent_lr, self.decode)  # (5)
        w = self.decode(z)
        for _ in range(self.fine_tuning_steps):
            w = descend(w, self.fine_tuning_lr, lambda w: w)  # (6)
        divergence = ((2 * log_s).exp() + m**2 - 1 - 2 * log_s).sum(1) / 2
        return {"weights": w, "start": z_0, "latents": z, "divergence": divergence}

    def predict(self, state: Values, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return apply(self.embed, x) @ state["weights"].T  # (7)

    def episode_loss(self, values: Values, prediction: Tensor, query: Examples, criterion: Loss) -> Tensor:
        """(8)"""
        moved = ((values["latents"].detach() - values["start"]) ** 2).mean()
        penalties = self.kl * values["divergence"].mean() + self.encoder_penalty * moved
        return criterion(prediction, query.y) + penalties + self.orthogonality * self.correlation()

    def code(self, x: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """m and log s, each (ways, latents), of the features x of a support set."""
        e = self.encoder(self.dropout(x))  # (1)
        n = len(e)
        pairs = torch.cat([e[:, None].expand(n, n, -1), e[None].expand(n, n, -1)], 2)
        m, log_s = class_means(self.relation(pairs).mean(1), y, ways).chunk(2, 1)  # (2)
        return m, log_s.clamp(-LIMIT, LIMIT)

    def decode(self, z: Tensor) -> Tensor:
        """w (ways, features); in meta-training a new draw at every call."""
        mu, log_sigma = self.decoder(z).chunk(2, 1)
        log_sigma = log_sigma.clamp(-LIMIT, LIMIT)
        sigma = math.sqrt(2 / (self.features + len(z)))
        return mu + sigma * log_sigma.exp() * self.noise(mu)  # (4)

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers from the episode's seed in meta-training; 0 otherwise."""
        return torch.randn_like(like) if self.training else torch.zeros_like(like)

    def correlation(self) -> Tensor:
        """|| C - I ||^2, the mean over entries."""
        D = nn.functional.normalize(self.decoder.weight, dim=0)
        C = D.T @ D
        return ((C - torch.eye(len(C), dtype=C.dtype, device=C.device)) ** 2).mean()

"""Matching networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import cosine, one_hot
from quickstudy.learners.outcome import Values
from quickstudy.models.lstm_cell import LSTMCell


class MatchingNetwork(Comparison):
    """Classify a query by its attention to every example of the support: a weighted nearest-neighbour vote.

        a(x, x_i)  =  softmax_i( cos( f(x), g(x_i) ) / tau )                                    (1)
        p(y = k | x, S)  =  sum_{i: y_i = k} a(x, x_i)                                          (2)

    Without a context f = g = `embed`. With one (full context embeddings) g(x_i) = g(x_i, S) has seen the whole support and
    f(x) = f(x, S) has attended to it: see `FullContext`, whose pass over the support depends on its order.

    The logits are log p, so that cross-entropy is -log p(y | x, S) and `predict_proba` is (2).

    Args:
        embed: f' = g', (examples, *feature) -> (examples, features).
        context: None, or `FullContext(features)`.
        temperature: tau, above 0. The paper has none, which is tau = 1; cosines then give no class more than e^2 times the odds
            of another. The default therefore differs: 0.1.
        normalisation: "running" by default.

    Raises:
        ArgumentError: a temperature that is not above 0.

    Source: Vinyals, Blundell, Lillicrap, Kavukcuoglu & Wierstra, "Matching Networks for One Shot Learning", NeurIPS 2016,
    eq. 1 and section 2.1.1; the context in section 2.1.2 and appendix A.

    Examples:
        >>> learner = qs.MatchingNetwork(torch.nn.Identity())
        >>> predictor = learner.adapt(qs.Examples(torch.eye(2), torch.tensor([0, 1])))
        >>> predictor.predict_proba(torch.tensor([[1.0, 1.0]]))
        tensor([[0.5000, 0.5000]])
    """

    def __init__(
        self,
        embed: nn.Module,
        context: FullContext | None = None,
        *,
        temperature: float = 0.1,
        normalisation: Normalisation = "running",
    ):
        super().__init__(embed, normalisation=normalisation)
        self.context = context
        self.order_invariant = context is None
        self.temperature = check_temperature(temperature)

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """g(x_i, S) (examples, features), and their classes, one-hot (examples, ways)."""
        g = z if self.context is None else self.context.support(z)
        return {"support": g, "member": one_hot(y, ways, z)}

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits log p (examples, ways)."""
        g = state["support"]
        f = z if self.context is None else self.context.query(z, g)
        log_a = (cosine(f, g) / self.temperature).log_softmax(1)  # (1)
        return torch.logsumexp(log_a[:, :, None] + state["member"].log(), 1)  # (2)


@checked
class FullContext(nn.Module):
    """Full context embeddings: the embedding of an example depends on the whole support.

    A bidirectional LSTM reads the support in its order, n examples:

        h>_i, c>_i  =  LSTM( g'(x_i), h>_{i-1}, c>_{i-1} ),        h<_i, c<_i  =  LSTM( g'(x_i), h<_{i+1}, c<_{i+1} )     (1)
        g(x_i, S)   =  h>_i + h<_i + g'(x_i)                                                                        (2)

    and for each query an LSTM attends to it K times:

        r_{k-1}  =  sum_i softmax_i( h_{k-1}' g(x_i) ) g(x_i)                                                       (3)
        u_k, c_k  =  LSTM( f'(x), [h_{k-1}, r_{k-1}], c_{k-1} ),        h_k  =  u_k + f'(x)                         (4)
        f(x, S)  =  h_K                                                                                             (5)

    All h and c are 0 at first, which the paper leaves open; so r_0 is the mean of g.

    Args:
        features: number of features of the embedding.
        steps: K.

    Raises:
        ArgumentError: steps below 1.

    Source: Vinyals et al. 2016, appendix A.1 (eq. 3-6 there) and A.2.

    Examples:
        >>> from quickstudy.learners.compare import FullContext
        >>> learner = qs.MatchingNetwork(qs.models.mlp(4, 8), FullContext(features=8, steps=3))
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4).test.sample(1)[0]
        >>> learner.adapt(task.support).state
        State(values={'support': (3, 8), 'member': (3, 3)}, statistics of [])
        >>> learner.order_invariant  # the LSTMs read the support as a sequence
        False
    """

    def __init__(self, features: PositiveInt, steps: int = 5):
        super().__init__()
        if steps < 1:
            raise ArgumentError("steps", expected="1 or more", got=str(steps), do="Without a context, leave `context` out.")
        self.features, self.steps = features, steps
        self.onward, self.backward = LSTMCell(features, features), LSTMCell(features, features)
        self.attending = LSTMCell(2 * features, features)

    def support(self, z: Tensor) -> Tensor:
        """g(x_i, S) of g'(x_i), both (examples, features)."""
        return self._outputs(self.onward, z) + self._outputs(self.backward, z.flip(0)).flip(0) + z  # (1), (2)

    def query(self, z: Tensor, g: Tensor) -> Tensor:
        """f(x, S) of f'(x) (queries, features), for g (examples, features)."""
        h, c = torch.zeros_like(z), torch.zeros_like(z)
        for _ in range(self.steps):
            r = (h @ g.T).softmax(1) @ g  # (3)
            # A gate is linear in what enters it, so [h, r] as the recurrent input is r beside f'(x) and h alone.
            u, c = self.attending(torch.cat([z, r], 1), h, c)  # (4)
            h = u + z
        return h  # (5)

    def _outputs(self, cell: LSTMCell, z: Tensor) -> Tensor:
        """h_1, ..., h_n of a cell that reads the rows of z in their order."""
        h, c, outputs = torch.zeros_like(z[0]), torch.zeros_like(z[0]), []
        for row in z:
            h, c = cell(row, h, c)
            outputs.append(h)
        return torch.stack(outputs)


def check_temperature(temperature: float) -> float:
    """The temperature, or ArgumentError if it is not above 0."""
    if not temperature > 0:
        raise ArgumentError(
            "temperature", expected="a number above 0", got=str(temperature), do="1 leaves the scores as they are."
        )
    return temperature

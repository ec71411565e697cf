"""MANN: a network with an external memory that receives each label one step late."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt
from quickstudy.episode import Episode
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain
from quickstudy.forward.context import Context, Normalisation
from quickstudy.learners.compare.comparison import Comparison, check_hard
from quickstudy.learners.functional import one_hot
from quickstudy.learners.learner import Loss, check_ways
from quickstudy.learners.outcome import Log, Outcome, Values
from quickstudy.learners.read.parts import check_features, check_max_ways, own_generator, seeded
from quickstudy.learners.read.transformer import weight, zeros
from quickstudy.models.lstm_cell import LSTMCell

NEVER_USED = 1e-3  # initial usage, rising with the slot: unused slots are taken in order, whatever the rounding
EPSILON = 1e-2  # added to squared lengths in cos: a slot far shorter than 0.1 holds only traces of soft writes: empty


class MANN(Comparison):
    """Read a sequence into an external memory, writing to its least-used slots, and classify from what is read back.

    Step t receives x_t with the label of the step before, for heads j = 1 .. J:

        h_t, c_t  =  controller( [ f_phi(x_t), onehot(y_{t-1}), r_{t-1} ], h_{t-1}, c_{t-1} ),     y_0 = 0       (1)
        k_j       =  tanh( h_t K_j + b_j ),          g_j  =  sigmoid( h_t G_j + c_j )                           (2)
        free_j    =  one-hot of the slot of the j-th least usage u_{t-1}                                       (3)
        w_j       =  g_j v_{j,t-1} + (1 - g_j) free_j                                                          (4)
        M_t(i)    =  M_{t-1}(i) (1 - free_1(i)) + sum_j w_j(i) k_j                                             (5)
        v_{j,t}   =  softmax_i( beta_j cos( k_j, M_t(i) ) ),         r_{j,t}  =  sum_i v_{j,t}(i) M_t(i)       (6)
        u_t       =  decay u_{t-1}  +  sum_j ( v_{j,t} + w_j )                                                 (7)
        p(y_t | x_1..t, y_1..t-1)  =  softmax( [h_t, r_t] W + w )                                              (8)

    (4) writes to the slots read last, where the label of the step before belongs, or to the least used ones; (5) empties the
    least used one first.

    The support is steps 1 .. n. Each query is a step n + 1 by itself, which brings y_n and leaves no trace: none sees another.
    The loss follows the paper: the queries continue in the same memory, step after step, each label late, and every step of the
    sequence is scored, also those of the support. `sequence=False` trains as it tests: every query is a step n + 1.

    It is trained on numbered classes (`label_equivariant` is False) and reads the support as a sequence (`order_invariant` is
    False): only tasks numbered and ordered at random teach that neither means anything.

    Args:
        embed: f, (examples, *feature) -> (examples, features). The paper reads raw pixels: `nn.Flatten()`.
        features: number of features of f(x).
        max_ways: the largest number of classes in a task.
        slots, width: shape of the memory M.
        hidden: units of the controller.
        heads: J.

    Other Args:
        recurrent: whether the controller is an LSTM; else  h_t = tanh( [..] A + a ).
        decay: decay of the usage (7).
        sharpness: initial beta, above 0; it is learned. Differs from the paper, whose softmax of cosines is beta = 1: no
            slot then gets more than e^2 times the weight of another of `slots`.
        sequence: whether the loss scores the whole sequence, or the queries alone.
        normalisation: of f, "running" by default.
        generator: draws the initial weights of all but f; None: one of seed 0.

    Raises:
        ArgumentError: a size below 1; more heads than slots; a decay outside [0, 1]; a sharpness that is not above 0.
        LabelError: more classes than max_ways.
        ShapeError: f(x) is not (examples, features).

    Source: Santoro, Bartunov, Botvinick, Wierstra & Lillicrap, "Meta-Learning with Memory-Augmented Neural Networks", ICML 2016,
    section 3 and eq. 2-8 (sizes and decay are its section 4's). The paper does not say where each of several heads
    writes: here head j takes the j-th least used slot.

    Examples:
        >>> learner = qs.MANN(torch.nn.Flatten(), features=4, slots=16, width=8, hidden=32)
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10).test.sample(1)[0]
        >>> predictor = learner.adapt(task.support)
        >>> predictor.state.values["memory"].shape, predictor(task.query.x).shape
        (torch.Size([1, 16, 8]), torch.Size([30, 3]))
    """

    label_equivariant = False
    order_invariant = False

    def __init__(
        self,
        embed: nn.Module,
        features: PositiveInt,
        max_ways: PositiveInt = 5,
        *,
        slots: PositiveInt = 128,
        width: PositiveInt = 40,
        hidden: PositiveInt = 200,
        heads: PositiveInt = 4,
        recurrent: bool = True,
        decay: float = 0.99,
        sharpness: float = 10.0,
        sequence: bool = True,
        normalisation: Normalisation = "running",
        generator: torch.Generator | None = None,
    ):
        super().__init__(plain("embed", embed), normalisation=normalisation)
        if heads > slots:
            raise ArgumentError(
                "heads", expected=f"at most slots={slots}", got=str(heads), do="Each writes to a slot of its own."
            )
        if not 0 <= decay <= 1:
            raise ArgumentError("decay", expected="a number in [0, 1]", got=str(decay), do="0.99 is the paper's.")
        if not sharpness > 0:
            raise ArgumentError("sharpness", expected="a number above 0", got=str(sharpness), do="1 is the paper's.")
        generator = own_generator(self, generator)
        self.features, self.max_ways, self.sequence = features, max_ways, sequence
        self.slots, self.width, self.hidden, self.heads, self.decay = slots, width, hidden, heads, decay
        controller, inputs = LSTMCell if recurrent else FeedForward, features + max_ways + heads * width
        self.controller = seeded(lambda: controller(inputs, hidden), generator)
        self.K, self.b = weight(hidden, heads * width, generator), zeros(heads * width)
        self.G, self.c = weight(hidden, heads, generator), zeros(heads)
        self.log_beta = nn.Parameter(torch.full((heads, 1), math.log(sharpness)))
        self.W, self.w = weight(hidden + heads * width, max_ways, generator), zeros(max_ways)

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """After n steps: memory, usage, what was read, h and c, the label still to come, and the head of the task's classes."""
        state, _ = self._steps(z, y, ways)
        return {**state, "weight": self.W[:, :ways], "bias": self.w[:ways]}

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways): each a step of its own from the state."""
        _, o = self._step({name: one.expand(len(z), *one.shape[1:]) for name, one in state.items() if name not in HEAD}, z)
        return o @ state["weight"] + state["bias"]  # (8)

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """The loss of every step of the sequence, or of the queries alone."""
        return self.jointly(episode, context, criterion) if self.sequence else super().outcome(episode, context, criterion)

    def compared(self, support_z: Tensor, query_z: Tensor, episode: Episode, criterion: Loss) -> tuple[Tensor, Log]:
        if not self.sequence:
            return super().compared(support_z, query_z, episode, criterion)
        check_hard(self, episode.query, "give MANN(sequence=False)")
        y = torch.cat([episode.support.y, episode.query.y])
        ways = check_ways("support.y", episode.support)
        return criterion(self.logits(torch.cat([support_z, query_z]), y, ways), y), {}

    def logits(self, z: Tensor, y: Tensor, ways: int) -> Tensor:
        """Logits (steps, ways) of a sequence of embedded examples z (steps, features), their labels y one step late."""
        _, outputs = self._steps(z, y, ways)
        return (outputs @ self.W + self.w)[:, :ways]  # (8)

    def _steps(self, z: Tensor, y: Tensor, ways: int) -> tuple[Values, Tensor]:
        check_max_ways(ways, self.max_ways)
        state, outputs = self._empty(check_features(z, self.features)), []
        for one, label in zip(z, one_hot(y, self.max_ways, z), strict=True):
            state, o = self._step(state, one[None])
            state = {**state, "label": label[None]}  # for the next step
            outputs.append(o[0])
        return state, torch.stack(outputs)

    def _empty(self, like: Tensor) -> Values:
        """The state before the first step; its leading axis is of size 1, since `_step` takes many queries at once."""
        state = {
            "memory": like.new_zeros(1, self.slots, self.width),
            "read": like.new_zeros(1, self.heads, self.slots),  # v
            "reading": like.new_zeros(1, self.heads * self.width),  # r
            "h": like.new_zeros(1, self.hidden),
            "c": like.new_zeros(1, self.hidden),
            "label": like.new_zeros(1, self.max_ways),
        }
        return {
            **state,
            "usage": torch.arange(self.slots, dtype=like.dtype, device=like.device)[None] * (NEVER_USED / self.slots),
        }

    def _step(self, state: Values, z: Tensor) -> tuple[Values, Tensor]:
        """One step from each state, (n, ...), with each z (n, features): the next states and [h, r] (n, outputs)."""
        n = len(z)
        h, c = self.controller(torch.cat([z, state["label"], state["reading"]], 1), state["h"], state["c"])  # (1)
        k = torch.tanh(h @ self.K + self.b).reshape(n, self.heads, self.width)  # (2)
        g = torch.sigmoid(h @ self.G + self.c)[:, :, None]
        free = self.least_used(state["usage"])  # (3)
        w = g * state["read"] + (1 - g) * free  # (4)
        M = state["memory"] * (1 - free[:, 0])[:, :, None] + w.mT @ k  # (5)
        v = (self.log_beta.exp() * (unit(k) @ unit(M).mT)).softmax(2)  # (6)
        r = (v @ M).reshape(n, self.heads * self.width)
        u = self.decay * state["usage"] + (v + w).sum(1)  # (7)
        state = {**state, "memory": M, "read": v, "reading": r, "h": h, "c": c, "usage": u}
        return state, torch.cat([h, r], 1)

    def least_used(self, usage: Tensor) -> Tensor:
        """(3): one-hot rows (n, heads, slots) of the `heads` smallest usages (n, slots), the smallest first."""
        return one_hot(usage.argsort(dim=1, stable=True)[:, : self.heads], self.slots, usage)


HEAD = ("weight", "bias")  # entries of the state that belong to the output head, not to the memory


class FeedForward(nn.Module):
    """A controller without a memory of its own: h = tanh(x A + a); it carries c along unused."""

    def __init__(self, inputs: PositiveInt, hidden: PositiveInt):
        super().__init__()
        self.layer = nn.Linear(inputs, hidden)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """X (n, inputs), h and c as for an LSTM -> the next h, and c."""
        return torch.tanh(self.layer(x)), c


def unit(a: Tensor) -> Tensor:
    """a / sqrt(a'a + EPSILON), for a (..., features)."""
    return a * ((a * a).sum(-1, keepdim=True) + EPSILON).rsqrt()

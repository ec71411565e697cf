"""A prior over tables: synthetic classification tasks, varied enough to cover real tables.

    structural   z_0 ~ roots,   z_l = act(z_{l-1} W_l) + noise;   features: some of the nodes;   y: other nodes, or a class among
                 the roots which the features then follow from
    Gaussian     x ~ N(0, M M'),   t_1, t_2, .. ~ GP(0, rbf kernel of x, one length scale a feature) + noise;   y: of the t

Every table has its own number of features (columns past it are 0), graph, noise, class frequencies and class numbers.

Source: Hollmann, Müller, Eggensperger & Hutter, "TabPFN", ICLR 2023, section 4 (structural causal models); Müller et al.,
"Transformers Can Do Bayesian Inference", ICLR 2022 (Gaussian processes). The recipe is theirs, the distributions are our own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.size import Size, largest
from quickstudy.tasks.synthetic.generated import SPLITS, GeneratedTasks, Truth
from quickstudy.tasks.synthetic.sinusoid import uniform

LAYERS = 3  # of a structural model, at most
JITTER = 1e-4  # the least noise variance of a Gaussian process, so that its kernel has a Cholesky factor in float32
ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (torch.tanh, torch.relu, lambda z: z, torch.sin, torch.abs)


class TabularTasks(GeneratedTasks):
    """One split of `TabularPrior`.

    Truth, each (tasks,): features, how many columns are not padding; gaussian, 1 for a Gaussian process and 0 for a structural
    model; root, 1 where y is a class among the roots. And frequencies of the classes (tasks, ways).
    """

    def __init__(
        self,
        ways: Size = (2, 10),
        max_features: int = 32,
        *,
        gaussian: float = 0.3,
        shots: Size = (2, 15),
        queries: Size = (3, 5),
        split: str = "train",
    ):
        if max_features < 1:
            raise ArgumentError("max_features", expected="1 or more", got=str(max_features), do="Give for example 32.")
        if not 0 <= gaussian <= 1:
            raise ArgumentError("gaussian", expected="a share in [0, 1]", got=str(gaussian), do="0.3 is the default.")
        self.max_features, self.gaussian = max_features, gaussian
        super().__init__(split, ways=ways, shots=shots, queries=queries)

    def draw(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Truth]:
        rows, support = ways * (shots + queries), ways * shots
        columns = number_of_features(n, self.max_features, generator)
        frequencies = class_frequencies(n, ways, generator)
        gaussian = torch.rand(n, generator=generator) < self.gaussian
        x, y, root = torch.empty(n, rows, self.max_features), torch.empty(n, rows, dtype=torch.int64), torch.zeros(n)
        for kind, tables in ((True, gaussian_tables), (False, structural_tables)):
            these = (gaussian == kind).nonzero()[:, 0]
            if len(these):
                x[these], y[these], root[these] = tables(columns[these], frequencies[these], rows, self.max_features, generator)
        x = x * (torch.arange(self.max_features) < columns[:, None])[:, None]
        number = torch.rand(n, ways, generator=generator).argsort(1)  # a class's number carries no information
        y, frequencies = number.gather(1, y), torch.empty_like(frequencies).scatter_(1, number, frequencies)
        order = an_order(y, ways, support, generator)
        x, y = x.gather(1, order[..., None].expand_as(x)), y.gather(1, order)
        parts = (Examples(x[:, part], y[:, part], ways) for part in (slice(support), slice(support, None)))
        return Episode(*parts), {"features": columns, "gaussian": gaussian.float(), "root": root, "frequencies": frequencies}

    def check_protocol(self) -> None:
        super().check_protocol()
        if self.ways is not None and (largest(self.ways) < 2 or _least(self.ways) < 2):
            raise ArgumentError("ways", expected="2 or more", got=repr(self.ways), do="Give for example ways=(2, 10).")
        if _least(self.shots) < 1:
            raise ArgumentError("shots", expected="1 or more", got=repr(self.shots), do="Each class has a support example.")


@checked
class TabularPrior(TaskFamily[TabularTasks]):
    """Synthetic tables to meta-train on: x (tasks, examples, max_features), float32, labels. See the module for the prior.

    The support has ways * shots rows and the query ways * queries, with the class frequencies of the table: `shots` is the mean
    over classes, each of which has 1 or more. Ranges are drawn once for each batch, as everywhere.

    Args:
        ways, shots, queries: the protocol.
        max_features: columns of x; a table has 1 to `max_features`, the others are 0.

    Other Args:
        gaussian: the share of tables from Gaussian processes; the others are structural.

    Raises:
        ArgumentError: ways below 2, shots or queries below 1, or one that is neither an int nor a (low, high) range; max_features
            below 1; gaussian outside [0, 1].

    Examples:
        >>> tasks = qs.tasks.TabularPrior(ways=3, max_features=8, shots=5, queries=2)
        >>> episodes, truth = tasks.train.sample_with_truth(4)
        >>> episodes.support.x.shape, episodes.query.y.shape
        (torch.Size([4, 15, 8]), torch.Size([4, 6]))
        >>> bool((episodes.support.x[0, :, int(truth["features"][0]):] == 0).all())
        True
    """

    def __init__(
        self,
        ways: Size = (2, 10),
        max_features: int = 32,
        *,
        gaussian: float = 0.3,
        shots: Size = (2, 15),
        queries: Size = (3, 5),
    ):
        train, validation, test = (
            TabularTasks(ways, max_features, gaussian=gaussian, shots=shots, queries=queries, split=split) for split in SPLITS
        )
        super().__init__(train, validation, test)


# ---- tables ------------------------------------------------------------------------------------------------------------


def structural_tables(
    columns: Tensor, frequencies: Tensor, rows: int, max_features: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Tables from multilayer perceptrons read as causal graphs: x (tables, rows, max_features), y, and whether y is a root.

    A node is a unit. The edges, the number of units in a layer and the depth are random; a unit that is left out is never a
    feature. y is the rank of one node cut into classes (1 in 4), the largest of `ways` nodes (1 in 4), or a class that is drawn
    first and shifts the roots.
    """
    n, ways = frequencies.shape
    room = max(max_features, 8) + ways

    def scale(low: float, high: float) -> Tensor:
        return log_uniform(low, high, n, generator=generator)[:, None, None]

    kind = torch.randint(4, (n,), generator=generator).clamp(max=2)
    among_roots = kind == 2
    width = scale(2.0, room).round().clamp(max=room)
    depth = torch.randint(1, LAYERS + 1, (n, 1, 1), generator=generator)
    there = torch.arange(room) < width  # (n, 1, room)
    kind = torch.where((kind == 1) & ((depth + 1) * width <= ways)[:, 0, 0], 0, kind)  # fewer than `ways` nodes

    root_y = torch.multinomial(frequencies, rows, replacement=True, generator=generator)
    centres = torch.randn(n, ways, room, generator=generator) * scale(0.5, 4.0)
    z = torch.randn(n, rows, room, generator=generator)
    heavy = torch.rand(n, 1, 1, generator=generator) < 0.2
    z = torch.where(heavy, z * z.abs(), z)  # tails heavier than a Gaussian's
    z = (z + among_roots[:, None, None] * centres.gather(1, root_y[..., None].expand(n, rows, room))) * there

    noise, density = scale(0.003, 0.3), uniform(0.3, 1.0, n, 1, 1, generator=generator)
    layers, present = [z], [there.expand(n, 1, room)]
    for layer in range(1, LAYERS + 1):
        edges = (torch.rand(n, room, room, generator=generator) < density) * there.mT
        W = torch.randn(n, room, room, generator=generator) * edges / edges.sum(1, keepdim=True).clamp(min=1).sqrt()
        bias = 0.5 * torch.randn(n, 1, room, generator=generator)
        z = activated(z @ W * scale(0.7, 3.0) + bias, generator) + noise * torch.randn(n, rows, room, generator=generator)
        z = z * there
        layers.append(z)
        present.append(there & (layer <= depth))
    nodes, there = torch.cat(layers, 2), torch.cat(present, 2)[:, 0]

    # in a random order of the nodes that are there, the targets come first and the features after them
    order = (torch.rand(nodes.shape[0], nodes.shape[2], generator=generator) + ~there).argsort(1)
    targets = pick(nodes, order[:, :ways])
    ranked, largest_one = classes_by_rank(targets[..., 0], frequencies), classes_by_largest(targets, frequencies)
    y = torch.where(among_roots[:, None], root_y, torch.where((kind == 0)[:, None], ranked, largest_one))
    y = every_class(y, torch.rand(n, rows, ways, generator=generator))
    skipped = torch.where(among_roots, 0, torch.where(kind == 0, 1, ways))
    count = there.sum(1) - skipped  # nodes that are left; if they are fewer than the columns, they are repeated with noise
    places = torch.arange(max_features) % count.clamp(min=1)[:, None]
    x = pick(nodes, order.gather(1, (skipped[:, None] + places).clamp(max=order.shape[1] - 1)))
    again = (torch.arange(max_features) >= count[:, None])[:, None]
    x = standard(x) + 0.5 * again * torch.randn(x.shape, generator=generator)
    return measured(x, generator), y, among_roots.float()


def gaussian_tables(
    columns: Tensor, frequencies: Tensor, rows: int, max_features: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Tables with targets from a Gaussian process: x (tables, rows, max_features), y, and zeros (y is no root).

        x = e M,     t = chol(k(x, x) + s^2 I) e',     k(x, x') = exp(-1/2 sum_j r_j (x_j - x'_j)^2 / l^2)

    r_j is 0 for features that do not matter, and sums to 1 over the others. y is the rank of t_1 cut into classes, or the
    largest of t_1 .. t_ways.
    """
    n, ways = frequencies.shape
    used = torch.arange(max_features) < columns[:, None]
    mix = torch.randn(n, max_features, max_features, generator=generator) * (max_features**-0.5)
    mix = torch.lerp(torch.eye(max_features).expand_as(mix), mix, uniform(0.0, 1.0, n, 1, 1, generator=generator))
    x = standard(torch.randn(n, rows, max_features, generator=generator) @ mix)
    matters = used * (torch.rand(n, max_features, generator=generator) < uniform(0.3, 1.0, n, 1, generator=generator))
    matters[:, 0] = True
    relevance = matters * torch.rand(n, max_features, generator=generator).square()
    relevance = relevance / relevance.sum(1, keepdim=True).clamp(min=1e-6)
    scaled = x * relevance.sqrt()[:, None] / log_uniform(0.5, 4.0, n, generator=generator)[:, None, None]
    noise = log_uniform(JITTER, 0.1, n, generator=generator)
    kernel = rbf(scaled) + noise[:, None, None] * torch.eye(rows)
    targets = torch.linalg.cholesky(kernel) @ torch.randn(n, rows, ways, generator=generator)
    by_rank = torch.rand(n, 1, generator=generator) < 0.5
    y = torch.where(by_rank, classes_by_rank(targets[..., 0], frequencies), classes_by_largest(targets, frequencies))
    return measured(x, generator), every_class(y, torch.rand(n, rows, ways, generator=generator)), torch.zeros(n)


def rbf(x: Tensor) -> Tensor:
    """exp(-1/2 ||x_i - x_j||^2) for x (tables, rows, features): (tables, rows, rows)."""
    square = (x * x).sum(-1)
    return torch.exp(-0.5 * (square[..., None] - 2 * x @ x.mT + square[:, None]).clamp(min=0))


# ---- from targets to classes -------------------------------------------------------------------------------------------


def class_frequencies(n: int, ways: int, generator: torch.Generator) -> Tensor:
    """(n, ways), each row adding up to 1: equal for a third of the tables, else  softmax(s N(0, I)) with s ~ U[0, 1.5]."""
    spread = uniform(0.0, 1.5, n, 1, generator=generator) * (torch.rand(n, 1, generator=generator) < 2 / 3)
    return (spread * torch.randn(n, ways, generator=generator)).softmax(1)


def classes_by_rank(t: Tensor, frequencies: Tensor) -> Tensor:
    """Class k holds the values of t (tables, rows) between two quantiles: as many of the rows as its frequency says."""
    rank = t.argsort(1).argsort(1) / t.shape[1]
    return (rank[..., None] >= frequencies.cumsum(1)[:, None, :-1]).sum(-1)


def classes_by_largest(t: Tensor, frequencies: Tensor) -> Tensor:
    """The class whose t (tables, rows, ways) is the largest, frequent ones with a head start."""
    return (standard(t) + 0.5 * frequencies.log()[:, None]).argmax(-1)


def every_class(y: Tensor, key: Tensor) -> Tensor:
    """y (tables, rows) with a row given, at random, to each class that has none; `key` (tables, rows, ways) chooses.

    Rows are taken from classes that have two or more, and a class's own first row is never taken.
    """
    ways = key.shape[2]
    for k in range(ways):
        member = torch.nn.functional.one_hot(y, ways)
        spare = (member.sum(1) > 1).gather(1, y)
        chosen = (key[..., k] * spare).argmax(1)
        missing = member[..., k].sum(1) == 0
        y = y.scatter(1, chosen[:, None], torch.where(missing, k, y.gather(1, chosen[:, None])[:, 0])[:, None])
    return y


def an_order(y: Tensor, ways: int, support: int, generator: torch.Generator) -> Tensor:
    """A random order of the rows (tables, rows) whose first `own` hold every class: one row of each, and others as they come."""
    key = torch.rand(y.shape, generator=generator)
    member = torch.nn.functional.one_hot(y, ways)
    first = (key[..., None] * member).argmax(1)  # (tables, ways): a random row of each class
    front = (key - torch.zeros_like(key).scatter_(1, first, 2.0)).argsort(1)
    shuffled = torch.rand(y.shape[0], support, generator=generator).argsort(1)
    return torch.cat([front[:, :support].gather(1, shuffled), front[:, support:]], 1)


# ---- small parts -------------------------------------------------------------------------------------------------------


def number_of_features(n: int, most: PositiveInt, generator: torch.Generator) -> Tensor:
    """(n,) in 1..most: all equally likely, except that 1 and 2 are rare, as are such tables."""
    least = min(3, most)
    count = uniform(least, most + 1, n, generator=generator).floor()
    rare = torch.rand(n, generator=generator) < 0.05
    return torch.where(rare, uniform(1, least + 1, n, generator=generator).floor(), count).clamp(1, most).long()


def activated(z: Tensor, generator: torch.Generator) -> Tensor:
    """One activation for each table."""
    which = torch.randint(len(ACTIVATIONS), (z.shape[0],), generator=generator)
    answer = torch.empty_like(z)
    for index, activation in enumerate(ACTIVATIONS):
        these = (which == index).nonzero()[:, 0]
        answer[these] = activation(z[these])
    return answer


def measured(x: Tensor, generator: torch.Generator) -> Tensor:
    """Some columns as a table may report them: rounded to a few levels (1 in 8), or long-tailed (1 in 8); then standardised."""
    kind = torch.rand(x.shape[0], 1, x.shape[2], generator=generator)
    step = log_uniform(0.2, 2.0, x.shape[0], x.shape[2], generator=generator)[:, None]
    return standard(torch.where(kind < 0.125, (x / step).round() * step, torch.where(kind > 0.875, x.clamp(max=4).exp(), x)))


def standard(x: Tensor) -> Tensor:
    """Columns of x (tables, rows, columns) with mean 0 and variance 1 over the rows; a constant one is 0."""
    variance, mean = torch.var_mean(x, 1, keepdim=True, correction=0)
    return torch.where(variance > 1e-10, (x - mean) * variance.clamp(min=1e-10).rsqrt(), 0.0)


def pick(nodes: Tensor, index: Tensor) -> Tensor:
    """Columns of nodes (tables, rows, nodes) by their numbers (tables, columns)."""
    return nodes.gather(2, index[:, None].expand(-1, nodes.shape[1], -1))


def log_uniform(low: float, high: float, *shape: int, generator: torch.Generator) -> Tensor:
    """exp U[log low, log high)."""
    return uniform(math.log(low), math.log(high), *shape, generator=generator).exp()


def _least(size: Size) -> int:
    return size if isinstance(size, int) else size[0]

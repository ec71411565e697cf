"""Small tables to learn from: scikit-learn's own, and ones drawn from priors. Each has a family, which is held out as a whole.

    hypercube    classes at corners of a hypercube, with redundant and useless columns (sklearn.make_classification)
    mixtures     x | y  ~  a mixture of Gaussians with covariances of their own
    arcs         x = an arc of its class, interleaved with the others (two of them: make_moons), turned into more columns
    rings        y = the quantile of the norm of some columns
    trees        y = the leaf of a random tree over some columns, numbered
    linear       y ~ softmax( x W ),  W sparse
    structural, gaussian_process      of `quickstudy.domains.tables.tabular_prior`

A drawn table may also get useless columns, columns on other scales or with long tails, and wrong labels. There are many test
rows, so that a score depends on the learner and not on luck; their labels may be wrong too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from quickstudy.domains.tables.select.extras import package
from quickstudy.domains.tables.tabular_prior import TabularTasks
from quickstudy.errors import ArgumentError

TEST_ROWS = 500  # of a drawn table
LEAST_ROWS, MOST_ROWS, MOST_COLUMNS, MOST_CLASSES = 50, 300, 20, 6
Drawn = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Table:
    """A classification task with training rows and test rows.

    Attributes:
        name: of the table.
        family: its origin. Tables of one family are alike, and are held out together.
        X, y: (rows, columns) and (rows,), the training rows.
        test_X, test_y: test rows, which no learner and no meta-feature sees.

    Examples:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(200, 4))
        >>> table = qs.select.Table("mine", "my tables", X[:100], X[:100, 0] > 0, X[100:], X[100:, 0] > 0)
        >>> results = qs.select.measure([table], qs.select.grid()[:2], groups=["simple"])
        >>> results.names, results.scores.shape
        (('mine',), (1, 2))
    """

    name: str
    family: str
    X: np.ndarray
    y: np.ndarray
    test_X: np.ndarray
    test_y: np.ndarray


def draw(family: str, number: int, *, seed: int = 0) -> Table:
    """Table `number` of a family of `FAMILIES`, the same each time.

    Raises:
        ArgumentError: an unknown family.
        MissingPackageError: the family is scikit-learn's, which is not installed.
    """
    if family not in FAMILIES:
        raise ArgumentError("family", expected=f"one of {list(FAMILIES)}", got=repr(family), do="Name one of these.")
    generator = np.random.default_rng([seed, list(FAMILIES).index(family), number])
    while True:
        X, y, rows = FAMILIES[family](generator)
        rows_of = _stratified(y, rows, generator)
        asked = np.setdiff1d(np.arange(len(y)), rows_of)
        if np.bincount(y[rows_of], minlength=int(y.max()) + 1).min() > 1:
            return Table(f"{family} {number}", family, X[rows_of], y[rows_of], X[asked], y[asked])


def draw_all(each: int, *, seed: int = 0) -> list[Table]:
    """`each` tables of every family."""
    return [draw(family, number, seed=seed) for family in FAMILIES for number in range(each)]


# ---- scikit-learn's own ------------------------------------------------------------------------------------------------


def real(name: str) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, int]]:
    """A part of scikit-learn's table `name`: some of its classes, some of its columns, some rows to learn from."""

    def part(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        X, y = getattr(package("sklearn.datasets", "select.tables"), f"load_{name}")(return_X_y=True)
        classes = int(y.max()) + 1
        kept = generator.permutation(classes)[: generator.integers(min(2, classes), classes + 1)]
        columns = generator.permutation(X.shape[1])[: max(2, int(X.shape[1] * generator.uniform(0.3, 1.0)))]
        rows = np.flatnonzero(np.isin(y, kept))
        y = np.unique(y[rows], return_inverse=True)[1]
        return X[np.ix_(rows, columns)], y, int(min(random_rows(generator), len(rows) * 2 // 3))

    return part


# ---- drawn -------------------------------------------------------------------------------------------------------------


def drawn(
    prior: Callable[[int, np.random.Generator], Drawn],
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, int]]:
    """A table drawn from a prior, `disguised` and `mislabelled`."""

    def table(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        rows = random_rows(generator)
        X, y = prior(rows + TEST_ROWS, generator)
        y = np.unique(y, return_inverse=True)[1]
        return disguised(X, generator), mislabelled(y, generator), rows

    return table


def hypercube(n: int, generator: np.random.Generator) -> Drawn:
    """Corners of a hypercube; see scikit-learn."""
    informative = int(generator.integers(3, 9))
    return package("sklearn.datasets", "select.tables").make_classification(
        n,
        n_features=2 * informative,
        n_informative=informative,
        n_redundant=int(generator.integers(0, informative + 1)),
        n_classes=_classes(generator),
        n_clusters_per_class=int(generator.integers(1, 2 if informative < 4 else 3)),
        class_sep=float(generator.uniform(0.5, 2.0)),
        random_state=int(generator.integers(2**31)),
    )


def mixtures(n: int, generator: np.random.Generator) -> Drawn:
    """A class has 1 to 3 Gaussians; their covariances are all the same, or each its own."""
    classes, columns, parts = _classes(generator), random_columns(generator), int(generator.integers(1, 4))
    means = generator.normal(size=(classes, parts, columns)) * generator.uniform(0.5, 2.5)
    roots = generator.normal(size=(classes, parts, columns, columns)) / np.sqrt(columns)
    roots = roots[:1, :1] if generator.random() < 0.4 else roots
    roots = np.broadcast_to(roots, (classes, parts, columns, columns))
    y, part = _labels(n, classes, generator), generator.integers(parts, size=n)
    return means[y, part] + np.einsum("nij,nj->ni", roots[y, part], generator.normal(size=(n, columns))), y


def arcs(n: int, generator: np.random.Generator) -> Drawn:
    """Half circles, each turned and moved from the one before, in a plane that is then turned into more columns."""
    classes, columns = int(generator.integers(2, 5)), random_columns(generator)
    y, angle = _labels(n, classes, generator), generator.uniform(0, np.pi, n)
    turn = np.where(y % 2 == 0, 0.0, np.pi)
    plane = np.stack([np.cos(angle + turn) + y, np.sin(angle + turn) + 0.5 * (y % 2)], 1)
    plane = plane + generator.uniform(0.05, 0.4) * generator.normal(size=plane.shape)
    basis = np.linalg.qr(generator.normal(size=(columns, columns)))[0][:2]
    return plane @ basis + 0.1 * generator.normal(size=(n, columns)), y


def rings(n: int, generator: np.random.Generator) -> Drawn:
    """Shells around the origin, of 2 to 5 of the columns."""
    classes, columns = _classes(generator), random_columns(generator)
    X = generator.normal(size=(n, columns))
    radius = np.linalg.norm(X[:, : int(generator.integers(2, min(5, columns) + 1))], axis=1)
    return X, _by_rank(radius, classes)


def trees(n: int, generator: np.random.Generator) -> Drawn:
    """A random tree of depth 2 to 5 whose leaves have random classes."""
    columns, depth = random_columns(generator), int(generator.integers(2, 6))
    classes = int(min(_classes(generator), 2**depth))
    X = generator.uniform(size=(n, columns))
    node = np.zeros(n, dtype=np.int64)  # of the heap: the children of i are 2 i + 1 and 2 i + 2
    column, threshold = generator.integers(columns, size=2**depth), generator.uniform(0.25, 0.75, 2**depth)
    for _ in range(depth):
        node = 2 * node + 1 + (X[np.arange(n), column[node]] > threshold[node])
    leaf = np.append(np.arange(classes), generator.integers(classes, size=2**depth - classes))
    return X, generator.permutation(leaf)[node - (2**depth - 1)]


def linear(n: int, generator: np.random.Generator) -> Drawn:
    """y ~ softmax(x W) with correlated columns, some of which have no weight."""
    classes, columns = _classes(generator), random_columns(generator)
    mix = np.eye(columns) + generator.uniform(0, 1) * generator.normal(size=(columns, columns)) / np.sqrt(columns)
    X = generator.normal(size=(n, columns)) @ mix
    W = generator.normal(size=(columns, classes)) * (generator.random((columns, 1)) < generator.uniform(0.3, 1.0))
    logits = generator.uniform(1.0, 5.0) * X @ W / np.sqrt(columns)
    return X, (logits + generator.gumbel(size=logits.shape)).argmax(1)


def prior(gaussian: bool) -> Callable[[int, np.random.Generator], Drawn]:
    """A table of `TabularTasks`, from a Gaussian process or a structural model."""

    def table(n: int, generator: np.random.Generator) -> Drawn:
        classes = _classes(generator)
        tasks = TabularTasks(classes, MOST_COLUMNS, gaussian=float(gaussian))
        torch_generator = torch.Generator().manual_seed(int(generator.integers(2**31)))
        episode, truth = tasks.draw(1, classes, n // classes - TEST_ROWS // classes, TEST_ROWS // classes + 1, torch_generator)
        columns = int(truth["features"][0])
        X = torch.cat([episode.support.x[0, :, :columns], episode.query.x[0, :, :columns]])
        return X.double().numpy(), torch.cat([episode.support.y[0], episode.query.y[0]]).numpy()

    return table


FAMILIES: dict[str, Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, int]]] = {
    "iris": real("iris"),
    "wine": real("wine"),
    "breast_cancer": real("breast_cancer"),
    "digits": real("digits"),
    "hypercube": drawn(hypercube),
    "mixtures": drawn(mixtures),
    "arcs": drawn(arcs),
    "rings": drawn(rings),
    "trees": drawn(trees),
    "linear": drawn(linear),
    "structural": drawn(prior(gaussian=False)),
    "gaussian_process": drawn(prior(gaussian=True)),
}


# ---- small parts -------------------------------------------------------------------------------------------------------


def disguised(X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Useless columns (1 table in 2), long tails (a column in 6, of 1 table in 2), scales of their own, a random order."""
    if generator.random() < 0.5:
        X = np.concatenate([X, generator.normal(size=(len(X), int(generator.integers(1, max(2, X.shape[1]) + 1))))], 1)
    if generator.random() < 0.5:
        tailed = generator.random(X.shape[1]) < 1 / 6
        X = np.where(tailed, np.exp(np.clip((X - X.mean(0)) / (X.std(0) + 1e-9), None, 5)), X)
    return (X * np.exp(generator.normal(size=X.shape[1])))[:, generator.permutation(X.shape[1])]


def mislabelled(y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Up to a fifth of the labels replaced by random ones (1 table in 2)."""
    share = generator.uniform(0, 0.2) * (generator.random() < 0.5)
    wrong = generator.random(len(y)) < share
    return np.where(wrong, generator.permutation(y), y)


def random_rows(generator: np.random.Generator) -> int:
    """How many rows to learn from."""
    return int(np.exp(generator.uniform(np.log(LEAST_ROWS), np.log(MOST_ROWS))))


def random_columns(generator: np.random.Generator) -> int:
    """How many columns."""
    return int(np.exp(generator.uniform(np.log(2), np.log(MOST_COLUMNS + 1))))


def _classes(generator: np.random.Generator) -> int:
    return int(min(2 + generator.geometric(0.4) - 1, MOST_CLASSES))


def _labels(n: int, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Classes of equal (1 table in 2) or of random frequencies."""
    p = np.full(classes, 1 / classes) if generator.random() < 0.5 else generator.dirichlet(np.full(classes, 3.0))
    return generator.choice(classes, size=n, p=p)


def _by_rank(t: np.ndarray, classes: int) -> np.ndarray:
    return np.argsort(np.argsort(t)) * classes // len(t)


def _stratified(y: np.ndarray, rows: int, generator: np.random.Generator) -> np.ndarray:
    """About `rows` rows, of each class in proportion, and at least two of a class that has four."""
    order = generator.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    count = np.bincount(y)
    place = np.arange(len(y)) - np.repeat(count.cumsum() - count, count)
    wanted = np.maximum(np.round(rows * count / len(y)), np.minimum(2, count // 2))
    return np.sort(order[place < np.repeat(wanted, count)])

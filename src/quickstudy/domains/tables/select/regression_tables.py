"""Small tables whose y is a number, to learn from: scikit-learn's diabetes, and ones drawn from functions f, y = f(x) + noise.

    diabetes     rows and columns of sklearn.datasets.load_diabetes
    friedman     one of Friedman's three functions, with useless columns (sklearn.make_friedman1 to 3)
    sparse       f = w x,  few w not 0, columns correlated
    additive     f = sum_j sin or power or step of x_j
    products     f = sums of products of two columns
    steps        f = the value of a leaf of a random tree
    smooth       f ~ a Gaussian process with a lengthscale of its own for each column (random Fourier features)
    network      f = a random network of one hidden layer

The noise has 0 to 80 % of the variance of f. As in `tables`, a drawn table may also get useless columns, other scales and tails,
there are many test rows, and tables of one family are held out together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quickstudy.domains.tables.select.extras import package
from quickstudy.domains.tables.select.tables import TEST_ROWS, Table, disguised, random_columns, random_rows
from quickstudy.errors import ArgumentError

Function = Callable[[np.ndarray, np.random.Generator], np.ndarray]
MOST_NOISE = 0.8  # of the variance of f


def draw_regression(family: str, number: int = 0, *, seed: int = 0) -> Table:
    """The table of this number of a family; the same numbers give the same table.

    Raises:
        ArgumentError: an unknown family.
    """
    if family not in REGRESSION_FAMILIES:
        raise ArgumentError("family", expected=f"one of {list(REGRESSION_FAMILIES)}", got=repr(family), do="Name one of these.")
    generator = np.random.default_rng([seed, 1000 + list(REGRESSION_FAMILIES).index(family), number])
    rows = random_rows(generator)
    X, y = REGRESSION_FAMILIES[family](rows + TEST_ROWS, generator)
    order = generator.permutation(len(y))
    rows = min(rows, len(y) * 2 // 3)
    own, asked = order[:rows], order[rows:]
    return Table(f"{family} {number}", family, X[own], y[own], X[asked], y[asked])


def diabetes(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Some of its columns; it has 442 rows."""
    X, y = package("sklearn.datasets", "select.tables").load_diabetes(return_X_y=True)
    columns = generator.permutation(X.shape[1])[: int(generator.integers(3, X.shape[1] + 1))]
    return X[:, columns], y


def friedman(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """See scikit-learn."""
    which, state = int(generator.integers(1, 4)), int(generator.integers(2**31))
    X, y = getattr(package("sklearn.datasets", "select.tables"), f"make_friedman{which}")(n, random_state=state)
    return disguised(X, generator), noisy(y, generator)


def drawn(function: Function) -> Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """A table of normal columns, correlated in 1 of 2 tables, with y = function + noise."""

    def table(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        columns = random_columns(generator)
        mix = np.eye(columns) + (generator.random() < 0.5) * generator.normal(size=(columns, columns)) / np.sqrt(columns)
        X = generator.normal(size=(n, columns)) @ mix
        return disguised(X, generator), noisy(function(X, generator), generator)

    return table


def sparse(X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """w x with a share of w at 0."""
    return X @ (generator.normal(size=X.shape[1]) * _some(X, generator))


def additive(X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A sum of functions of one column each."""
    shapes = (lambda x: np.sin(2 * x), np.square, np.abs, lambda x: 1.0 * (x > 0.3), np.tanh, lambda x: x)
    parts = [shapes[int(generator.integers(len(shapes)))](column) for column in X.T]
    return np.stack(parts, 1) @ (generator.normal(size=X.shape[1]) * _some(X, generator))


def products(X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A sum of products of two columns, and of some columns."""
    pairs = generator.integers(X.shape[1], size=(max(1, X.shape[1] // 2), 2))
    both = (X[:, pairs[:, 0]] * X[:, pairs[:, 1]]) @ generator.normal(size=len(pairs))
    return both + generator.uniform(0, 1) * sparse(X, generator)


def steps(X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The value of a leaf of a tree of depth 2 to 5."""
    depth = int(generator.integers(2, 6))
    node = np.zeros(len(X), dtype=np.int64)  # of the heap: the children of i are 2 i + 1 and 2 i + 2
    column, quantile = generator.integers(X.shape[1], size=2**depth), generator.uniform(0.25, 0.75, 2**depth)
    threshold = np.array([np.quantile(X[:, j], q) for j, q in zip(column, quantile, strict=True)])
    for _ in range(depth):
        node = 2 * node + 1 + (X[np.arange(len(X)), column[node]] > threshold[node])
    return generator.normal(size=2**depth)[node - (2**depth - 1)]


def smooth(X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """sqrt(2/m) sum_k a_k cos(w_k x + b_k): a draw of a Gaussian process, for many k."""
    scales = np.exp(generator.uniform(np.log(0.5), np.log(8.0), size=X.shape[1])) * np.sqrt(X.shape[1])
    w = generator.normal(size=(X.shape[1], 200)) / scales[:, None]
    return np.cos(X @ w + generator.uniform(0, 2 * np.pi, 200)) @ generator.normal(size=200) / 10


def network(X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One hidden layer of 2 to 16 units."""
    units = int(generator.integers(2, 17))
    hidden = np.tanh(X @ generator.normal(size=(X.shape[1], units)) * 2 / np.sqrt(X.shape[1]) + generator.normal(size=units))
    return hidden @ generator.normal(size=units)


REGRESSION_FAMILIES: dict[str, Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]] = {
    "diabetes": diabetes,
    "friedman": friedman,
    "sparse": drawn(sparse),
    "additive": drawn(additive),
    "products": drawn(products),
    "steps": drawn(steps),
    "smooth": drawn(smooth),
    "network": drawn(network),
}


def noisy(f: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """f + noise, on a scale and around a middle of its own; with long tails in 1 of 4 tables."""
    f = (f - f.mean()) / max(float(f.std()), 1e-9)
    noise = generator.standard_t(3, size=len(f)) if generator.random() < 0.25 else generator.normal(size=len(f))
    return np.exp(generator.normal()) * (f + np.sqrt(generator.uniform(0, MOST_NOISE)) * noise) + generator.normal()


def _some(X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Which columns count: one or more."""
    some = np.asarray(generator.random(X.shape[1]) < generator.uniform(0.2, 1.0))
    some[int(generator.integers(X.shape[1]))] = True
    return some

"""The results that quickstudy.domains.tables.select comes along with: every candidate on small tables of every family.

    python -m benchmarks.make.select                   20 tables of each of the 12 families: about 10 minutes of one thread
    python -m benchmarks.make.select --regression      15 tables of each of the 8 families whose y is a number
    python -m benchmarks.make.select --seconds 300     stop then; the same command goes on

Tables are measured one by one, a family's first before any family's second, and the file is written after each; one that is
there already is left as it is. Where the meta-features have changed, --features computes them again and keeps the scores; where
the candidates have, --anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from quickstudy.domains.tables.select.candidates import grid
from quickstudy.domains.tables.select.meta_features import meta_features
from quickstudy.domains.tables.select.regression_tables import REGRESSION_FAMILIES, draw_regression
from quickstudy.domains.tables.select.results import SHIPPED, Results, measure
from quickstudy.domains.tables.select.tables import FAMILIES, Table, draw

LIMIT = 200_000  # bytes of a file that comes along


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=None, help="tables of each family; 20, or 15 of regression")
    parser.add_argument("--regression", action="store_true", help="regressors on tables whose y is a number")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no table after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="the file; that which comes along")
    parser.add_argument("--anew", action="store_true", help="forget what is there")
    parser.add_argument("--features", action="store_true", help="compute the meta-features of the tables that are there again")
    arguments = parser.parse_args()
    drawer, families = (draw_regression, REGRESSION_FAMILIES) if arguments.regression else (draw, FAMILIES)
    arguments.out = arguments.out or SHIPPED[arguments.regression]
    torch.set_num_threads(1)
    began, results = time.perf_counter(), None
    if arguments.out.is_file() and not arguments.anew:
        results = Results.load(arguments.out)
        if arguments.features:
            results = described(results, drawer, arguments.seed)
            results.save(arguments.out)
    for number in range(arguments.each or (15 if arguments.regression else 20)):
        for family in families:
            if results is not None and f"{family} {number}" in results.names:
                continue
            if time.perf_counter() - began > arguments.seconds:
                print(f"stopped with {len(results or ())} tables; run again to go on")
                return
            one = measure([drawer(family, number, seed=arguments.seed)], grid(regression=arguments.regression))
            results = one if results is None else results.plus(one)
            results.save(arguments.out)
    size = arguments.out.stat().st_size
    print(f"{len(results or ())} tables, {size} bytes, {time.perf_counter() - began:.0f} s")
    if size > LIMIT:
        raise SystemExit(f"{arguments.out} is larger than {LIMIT} bytes: fewer tables, or fewer digits")


def described(results: Results, drawer: Callable[..., Table], seed: int) -> Results:
    """The same tables and scores with the meta-features of today."""
    tables = [
        drawer(family, int(name.split()[-1]), seed=seed) for name, family in zip(results.names, results.families, strict=True)
    ]
    found = [meta_features(table.X, table.y, scoring=results.scoring) for table in tables]
    values = np.array([list(one.values()) for one in found])
    return dataclasses.replace(results, features=tuple(found[0]), values=values)


if __name__ == "__main__":
    main()

"""The results that quickstudy.domains.tables.select comes along with: every candidate on small tables of every family.

    python -m benchmarks.make.select                   20 tables of each of the 12 families: about 10 minutes of one thread
    python -m benchmarks.make.select --seconds 300     stop then; the same command goes on

Tables are measured one by one, a family's first before any family's second, and the file is written after each; one that is
there already is left as it is. Where the meta-features have changed, --features computes them again and keeps the scores; where
the candidates have, --anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch

from quickstudy.domains.tables.select.candidates import grid
from quickstudy.domains.tables.select.meta_features import meta_features
from quickstudy.domains.tables.select.results import SHIPPED, Results, measure
from quickstudy.domains.tables.select.tables import FAMILIES, draw

LIMIT = 200_000  # bytes of a file that comes along


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20, help="tables of each family")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no table after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--anew", action="store_true", help="forget what is there")
    parser.add_argument("--features", action="store_true", help="compute the meta-features of the tables that are there again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began, results = time.perf_counter(), None
    if arguments.out.is_file() and not arguments.anew:
        results = Results.load(arguments.out)
        if arguments.features:
            results = described(results, arguments.seed)
            results.save(arguments.out)
    for number in range(arguments.each):
        for family in FAMILIES:
            if results is not None and f"{family} {number}" in results.names:
                continue
            if time.perf_counter() - began > arguments.seconds:
                print(f"stopped with {len(results or ())} tables; run again to go on")
                return
            one = measure([draw(family, number, seed=arguments.seed)], grid())
            results = one if results is None else results.plus(one)
            results.save(arguments.out)
    size = arguments.out.stat().st_size
    print(f"{len(results or ())} tables, {size} bytes, {time.perf_counter() - began:.0f} s")
    if size > LIMIT:
        raise SystemExit(f"{arguments.out} is larger than {LIMIT} bytes: fewer tables, or fewer digits")


def described(results: Results, seed: int) -> Results:
    """The same tables and scores with the meta-features of today."""
    tables = [
        draw(family, int(name.split()[-1]), seed=seed) for name, family in zip(results.names, results.families, strict=True)
    ]
    found = [meta_features(table.X, table.y) for table in tables]
    values = np.array([list(one.values()) for one in found])
    return dataclasses.replace(results, features=tuple(found[0]), values=values)


if __name__ == "__main__":
    main()

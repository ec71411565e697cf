"""The results that quickstudy.select comes along with: every candidate on small tables of every family.

    python -m benchmarks.make_select                   12 tables of each of the 12 families: about 5 minutes of one thread
    python -m benchmarks.make_select --seconds 300     stop then; the same command goes on

Tables are measured one by one, a family's first before any family's second, and the file is written after each; one that is
there already is left as it is, unless candidates or meta-features have changed: then --anew.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from quickstudy.select.candidates import grid
from quickstudy.select.results import SHIPPED, Results, measure
from quickstudy.select.tables import FAMILIES, draw

LIMIT = 200_000  # bytes of a file that comes along


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=12, help="tables of each family")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no table after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--anew", action="store_true", help="forget what is there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began, results = time.perf_counter(), None
    if arguments.out.is_file() and not arguments.anew:
        results = Results.load(arguments.out)
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


if __name__ == "__main__":
    main()

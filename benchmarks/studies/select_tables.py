"""quickstudy.domains.tables.select on tables it has not seen, against the best single learner on average and random choice.

    python -m benchmarks.studies.select_tables                 6 tables of each family, about 8 minutes of one thread
    python -m benchmarks.studies.select_tables --print         the Markdown of the JSON beside this

The tables are drawn with another seed than those that the recommender learned from, and on which its parts were chosen. Two
settings, so that nothing leaks:

    new tables      the recommender knows other tables of the same prior; of scikit-learn's own, no part of the same table
    new families    it knows no table of the same prior, or of the same table of scikit-learn's

"Best single learner" is the candidate with the best mean over the very tables that the recommender learned from. The control of
"recommended 3" is the three best on average, chosen from by the same cross-validation. Random choice is the mean over all
candidates, which is its expectation exactly. The interval is 1.96 standard errors over tables; since tables of one family are
alike, it stands beside one over the means of families.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sklearn
import torch

import quickstudy as qs
from quickstudy.domains.tables.select.candidates import Candidate, cross_validated, score
from quickstudy.domains.tables.select.inputs import prepared
from quickstudy.domains.tables.select.recommender import Recommender
from quickstudy.domains.tables.select.results import Results, measure, shipped
from quickstudy.domains.tables.select.search import warm_search
from quickstudy.domains.tables.select.tables import FAMILIES, Table, draw
from quickstudy.evaluation.evaluate import interval

RESULTS = Path(__file__).resolve().parent / "select.json"
REAL = ("iris", "wine", "breast_cancer", "digits")
SETTINGS = ("new tables", "new families")
FIRST, BEST = "recommended first", "recommended 3, best by cross-validation"
SINGLE, CONTROL = "best single learner on average", "best 3 on average, best by cross-validation"
RANDOM, ORACLE = "random choice", "best candidate in hindsight"
PAIRS = ((FIRST, SINGLE), (FIRST, RANDOM), (BEST, SINGLE), (BEST, CONTROL), (BEST, RANDOM))
K, FOLDS = 3, 5
AT = (1, 3, 5, 12)  # trials of a search after which it is scored


def known(setting: str, family: str) -> Results:
    """What the recommender may learn from for a table of this family."""
    results = shipped()
    if setting == "new tables" and family not in REAL:
        return results
    return results.of([row for row, other in enumerate(results.families) if other != family])


def one_table(table: Table, seed: int) -> dict[str, dict[str, Any]]:
    """The accuracy of every way to choose, in each setting, on the rows of the table that were not learned from."""
    whole = measure([table], shipped().candidates, seed=seed)
    right = dict(zip(whole.candidates, whole.filled()[0].tolist(), strict=True))
    tried: dict[Candidate, float] = {}

    def best_of(some: list[Candidate]) -> float:
        for one in some:
            if one not in tried:
                found = cross_validated(one, prepared(table.X, table.y), FOLDS, seed=seed)
                tried[one] = found if found == found else 0.0
        return right[max(some, key=lambda one: tried[one])]

    answer = {}
    for setting in SETTINGS:
        results = known(setting, table.family)
        recommender = Recommender().fit(results)
        f = recommender.predict(whole.values)[0]
        ranked = [recommender.candidates[i] for i in np.argsort(-f, kind="stable")]
        average = [results.candidates[i] for i in np.argsort(-results.filled().mean(0), kind="stable")]
        answer[setting] = {
            FIRST: right[ranked[0]],
            BEST: best_of(ranked[:K]),
            SINGLE: right[average[0]],
            CONTROL: best_of(average[:K]),
            RANDOM: float(np.mean(list(right.values()))),
            ORACLE: max(right.values()),
            "chosen": [str(ranked[0]), str(average[0])],
        }
    return answer


def searched(table: Table, seed: int) -> dict[str, dict[str, list[float]]]:
    """After each of `AT` trials, the cross-validated and the held-out accuracy of the best so far: with and without the start."""
    recommender = Recommender().fit(known("new families", table.family))
    answer = {}
    for name, start in (("warm", recommender), ("cold", None)):
        trials = warm_search(table.X, table.y, AT[-1], recommender=start, seed=seed).trials
        best = [max(trials[:n], key=lambda trial: trial.score) for n in AT]
        held = [score(one.candidate, table.X, table.y, table.test_X, table.test_y, seed=seed) for one in best]
        answer[name] = {"cross_validated": [one.score for one in best], "held_out": held}
    return answer


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means and paired differences with half of their 95 % intervals, over tables and over families."""
    found: dict[str, Any] = {}
    families = [row["family"] for row in rows]

    def stated(values: list[float]) -> dict[str, float]:
        means = [
            float(np.mean([v for v, f in zip(values, families, strict=True) if f == one])) for one in dict.fromkeys(families)
        ]
        mean, ci95 = interval(values)
        return {"mean": mean, "ci95": ci95, "ci95_families": interval(means)[1]}

    for setting in SETTINGS:
        of = {name: [row[setting][name] for row in rows] for name in (FIRST, BEST, SINGLE, CONTROL, RANDOM, ORACLE)}
        found[setting] = {
            "accuracy": {name: stated(values) for name, values in of.items()},
            "differences": {f"{a} - {b}": stated([x - y for x, y in zip(of[a], of[b], strict=True)]) for a, b in PAIRS},
        }
    return found


def summary_of_search(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Warm minus cold after each of `AT` trials."""
    found = {}
    for kind in ("cross_validated", "held_out"):
        for place, n in enumerate(AT):
            warm, cold = ([row["search"][name][kind][place] for row in rows] for name in ("warm", "cold"))
            mean, ci95 = interval([a - b for a, b in zip(warm, cold, strict=True)])
            found[f"{kind} after {n}"] = {
                "warm": float(np.mean(warm)), "cold": float(np.mean(cold)), "difference": mean, "ci95": ci95
            }  # fmt: skip
    return found


def markdown(results: dict[str, Any]) -> str:
    """Two tables, and where it loses."""
    lines = [f"{results['rule']}", ""]
    for setting in SETTINGS:
        part = results["summary"][setting]
        lines += [f"| {setting}, {results['tables']} of them | accuracy % |", "|---|---|"]
        lines += [f"| {name} | {100 * one['mean']:.1f} +- {100 * one['ci95']:.1f} |" for name, one in part["accuracy"].items()]
        lines += ["", "| paired difference, points | mean | over tables | over families | |", "|---|---|---|---|---|"]
        for name, one in part["differences"].items():
            mean, ci95, wide = (100 * one[key] for key in ("mean", "ci95", "ci95_families"))
            verdict = "loses" if mean + ci95 < 0 else "wins" if mean - ci95 > 0 else "no difference told"
            lines.append(f"| {name} | {mean:+.2f} | +- {ci95:.2f} | +- {wide:.2f} | {verdict} |")
        lines.append("")
    lines += [f"| search on {results['searched']} tables of new families | warm % | cold % | difference |", "|---|---|---|---|"]
    for name, one in results["search"].items():
        warm, cold, difference, ci95 = (100 * one[key] for key in ("warm", "cold", "difference", "ci95"))
        lines.append(f"| {name} | {warm:.1f} | {cold:.1f} | {difference:+.2f} +- {ci95:.2f} |")
    return "\n".join(lines)


def page() -> str:
    """The JSON as Markdown."""
    return markdown(json.loads(RESULTS.read_text())) if RESULTS.is_file() else "not run"


RULE = (
    "Tables of seed 1, drawn for this; the recommender learned from tables of seed 0, on which its target, kernel and landmarks "
    "were chosen by 56 comparisons of variants. Accuracy on rows that were not learned from. Warm and cold searches have as many "
    "trials; a cold one begins with Optuna's random ones. A search's own cross-validated accuracy is the best of many: "
    "it flatters."
)


def main() -> None:
    """Measure, write after each table, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=6, help="tables of each family")
    parser.add_argument("--searched", type=int, default=1, help="of these, how many are searched too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=480.0, help="begin no table after so many")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--print", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    if arguments.print:
        print(markdown(json.loads(arguments.results.read_text())))
        return
    if arguments.seed == 0:
        parser.error("--seed 0 is that of the tables which the recommender learned from")
    torch.set_num_threads(1)
    began, rows, searches = time.perf_counter(), [], []
    for number in range(arguments.each):
        for family in FAMILIES:
            if time.perf_counter() - began > arguments.seconds:
                continue
            table = draw(family, number, seed=arguments.seed)
            row: dict[str, Any] = {
                "table": table.name,
                "family": family,
                "rows": len(table.X),
                **one_table(table, arguments.seed),
            }
            if number < arguments.searched:
                row["search"] = searched(table, arguments.seed)
                searches.append(row)
            rows.append(row)
    results = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "rule": RULE,
        "versions": {"quickstudy": qs.__version__, "scikit_learn": sklearn.__version__, "optuna": optuna.__version__},
        "seconds": time.perf_counter() - began,
        "seed": arguments.seed,
        "planned": arguments.each * len(FAMILIES),
        "tables": len(rows),
        "searched": len(searches),
        "learned_from": len(shipped()),
        "candidates": len(shipped().candidates),
        "summary": summary(rows),
        "search": summary_of_search(searches),
        "of_each_table": rows,
    }
    arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    print(markdown(results))


if __name__ == "__main__":
    main()

"""The results page is the history of the plan's runs, and says plainly what was not run."""

import importlib
import math
from pathlib import Path

import pytest
from benchmarks.reproduction import history, results_page
from benchmarks.reproduction.omniglot import CONTROLS, METHODS
from benchmarks.reproduction.plan import BRIEF, ENTRIES, LONG, PLAN, Job, plan
from benchmarks.reproduction.results_page import NOT_YET, Row, page, rise

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def record(entry: str, seed: int, seconds: float, mean: float, plan: int = PLAN) -> dict:
    """A run as the queue writes it."""
    return {
        "plan": plan,
        "entry": entry,
        "seed": seed,
        "seconds": seconds,
        "mean": mean,
        "ci95": 0.6,
        "transductive": False,
        "steps": 300,
        "seconds_a_step": 2.0,
        "validation": [[100, 60.0, 1.0], [200, 96.0, 1.0], [300, 97.0, 1.0]],
        "others": {},
        "hardware": "a machine",
    }


def test_the_page_is_made_from_the_history():
    assert results_page.PAGE.read_text(encoding="utf-8") == page(history.records())


def test_the_plan_names_entries_that_exist_and_each_run_once():
    jobs = plan()
    assert len(set(jobs)) == len(jobs)
    assert {job.entry for job in jobs} == set(ENTRIES)
    assert {job.seconds for job in jobs} == {BRIEF, LONG}


def test_rows_with_a_target_and_the_bar_have_three_seeds_and_the_same_seconds():
    judged = [f"omniglot_5w1s_{name}" for name, method in METHODS.items() if "5w1s" in method.targets]
    for entry in [*judged, "omniglot_5w1s_pretrain"]:
        assert [job.seed for job in plan() if job.entry == entry and job.seconds == LONG] == [0, 1, 2]


def test_what_was_not_run_says_so():
    text = page([])
    assert text.count(NOT_YET) > len(METHODS | CONTROLS)
    assert "Pre-training and fine-tuning, the bar for every row, is not run yet." in text


def test_a_row_is_of_its_largest_budget_with_the_interval_over_seeds():
    found = [record("omniglot_5w1s_prototypical", 0, BRIEF, 99.0)]
    found += [record("omniglot_5w1s_prototypical", seed, LONG, mean) for seed, mean in enumerate((98.0, 98.5, 99.3))]
    text = page(found)
    assert "| Prototypical | 98.6 +- 0.35, +- 1.6 over 3 seeds | 98.5: passed |" in text
    row = Row(history.of_entry("omniglot_5w1s_prototypical", PLAN, found))
    assert row.over_seeds == pytest.approx(4.302653 * 0.655744 / math.sqrt(3), rel=1e-5)  # Student's t of 2 degrees of freedom


def test_a_later_run_of_the_same_seed_replaces_nothing():
    found = [record("omniglot_5w1s_prototypical", 0, BRIEF, mean) for mean in (90.0, 99.9)]
    assert "| Prototypical | 90 +- 0.6 | 98.5: missed |" in page(found)


def test_runs_by_hand_of_an_older_plan_and_of_none_are_not_shown():
    found = [record("omniglot_5w1s_prototypical", 0, BRIEF, 99.9, plan) for plan in (0, PLAN + 1)]
    found += [record("omniglot_5w1s_prototypical", 7, BRIEF, 99.9), record("omniglot_5w1s_prototypical", 0, 12.0, 99.9)]
    assert page(found) == page([])


def test_the_seconds_to_an_accuracy_are_those_of_the_first_validation_that_has_it():
    text = page([record("omniglot_5w1s_maml_support", 0, BRIEF, 97.0)])
    assert "| 95 % | 400 |" in text
    assert "| 96.9 % | 600 |" in text
    assert "| Prototypical | 97.5 % | not run yet |" in text
    assert "not reached" in page([record("omniglot_5w1s_prototypical", 0, BRIEF, 97.0)])


def test_who_stands_below_the_bar_is_named_with_what_its_curve_did():
    found = [record("omniglot_5w1s_pretrain", 0, BRIEF, 84.0), record("omniglot_5w1s_reptile", 0, BRIEF, 60.0)]
    assert "* Reptile, transductive: 60 +- 0.6, +1.0 on meta-validation tasks over the last third of its steps" in page(found)


def test_a_run_that_failed_is_done_and_says_why():
    failed = {"plan": PLAN, "entry": "omniglot_5w1s_mann", "seed": 0, "seconds": BRIEF, "failed": "Traceback\nOops: no"}
    text = page([failed | {"hardware": "a machine"}])
    assert "* `omniglot_5w1s_mann`, seed 0, failed: Oops: no" in text
    assert f"1 of its {len(plan())} runs" in text
    assert Job("omniglot_5w1s_mann", 0, BRIEF) in plan()


def test_a_curve_of_two_points_says_nothing_of_its_last_third():
    assert rise([[1, 50.0, 1.0], [2, 60.0, 1.0]]) is None
    assert rise([[1, 50.0, 1.0], [2, 60.0, 1.0], [3, 61.0, 1.0]]) == 1.0


MODULES = [path for path in BENCHMARKS.rglob("[!_]*.py") if path.parent.name != "gpu"]


@pytest.mark.parametrize("name", sorted(".".join(path.relative_to(BENCHMARKS).with_suffix("").parts) for path in MODULES))
def test_every_benchmark_is_importable(name):
    """One that names what has moved would be found out on its next long run only."""
    assert importlib.import_module(f"benchmarks.{name}").__doc__

"""The results page is the committed JSON, and says plainly what was not run."""

import importlib
from pathlib import Path

import pytest
from benchmarks.reproduction.results_page import ENTRIES, page, read

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"


def test_the_page_is_made_from_the_json():
    assert PAGE.read_text(encoding="utf-8") == page(read())


def test_every_entry_stands_with_its_number_or_not_run():
    results, text = read(), page(read())
    assert set(results) <= set(ENTRIES)
    for name in ENTRIES:
        assert (f"`{name}` | not run |" in text) == (name not in results and not scored_as_another(name)), name
    for record in results.values():
        for key in ("mean", "ci95", "seed", "budget", "wall_seconds", "normalisation", "paper", "hardware", "steps"):
            assert key in record, key


def scored_as_another(name: str) -> bool:
    """Whether the learner that was trained for 5-way 1-shot has a score under this entry's protocol: a starred one."""
    protocol, _, method = name.partition("_")[2].partition("_")
    return protocol in read().get(f"omniglot_5w1s_{method}", {}).get("others", {})


MODULES = [path for path in BENCHMARKS.rglob("[!_]*.py") if path.parent.name != "gpu"]


@pytest.mark.parametrize("name", sorted(".".join(path.relative_to(BENCHMARKS).with_suffix("").parts) for path in MODULES))
def test_every_benchmark_is_importable(name):
    """One that names what has moved would be found out on its next long run only."""
    assert importlib.import_module(f"benchmarks.{name}").__doc__

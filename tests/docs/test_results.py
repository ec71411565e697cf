"""The results page is the committed JSON, and says plainly what was not run."""

from pathlib import Path

from benchmarks import reproduce

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"


def test_the_page_is_made_from_the_json():
    assert PAGE.read_text(encoding="utf-8") == reproduce.table()


def test_every_entry_stands_with_its_number_or_not_run():
    results, page = reproduce.read(), reproduce.table()
    assert set(results) <= set(reproduce.ENTRIES)
    assert page.count("` | not run |") == len(reproduce.ENTRIES) - len(results)
    for record in results.values():
        for key in ("mean", "ci95", "seed", "budget", "wall_seconds", "normalisation", "paper", "hardware", "steps"):
            assert key in record, key

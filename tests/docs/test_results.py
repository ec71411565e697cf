"""The results page is the committed JSON, and says plainly what was not run."""

from pathlib import Path

from benchmarks import reproduce

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"


def test_the_page_is_made_from_the_json():
    assert PAGE.read_text(encoding="utf-8") == reproduce.table()


def test_every_entry_stands_with_its_number_or_not_run():
    results, page = reproduce.read(), reproduce.table()
    assert set(results) <= set(reproduce.ENTRIES)
    for name in reproduce.ENTRIES:
        assert (f"`{name}` | not run |" in page) == (name not in results and not scored_as_another(name)), name
    for record in results.values():
        for key in ("mean", "ci95", "seed", "budget", "wall_seconds", "normalisation", "paper", "hardware", "steps"):
            assert key in record, key


def scored_as_another(name: str) -> bool:
    """Whether the learner that was trained for 5-way 1-shot has a score under this entry's protocol: a starred one."""
    _, protocol, method = name.split("_", 2)
    return protocol in reproduce.read().get(f"omniglot_5w1s_{method}", {}).get("others", {})

"""Studies: comparisons that are no single score. Each is a module of its own with RESULTS, main() and page()."""

from __future__ import annotations

import importlib
from pathlib import Path

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "studies.md"
STUDIES = {
    "learned_optimizer": "Learned update rules",
    "example_weights": "Learned example weights",
    "hyperparameters": "Learned hyperparameters",
    "architecture": "Learned architecture",
    "few_shot_architecture": "Architecture across few-shot tasks",
    "augmentation": "Learned augmentation",
    "task_augmentation": "Task augmentation",
    "learned_loss": "Learned loss",
    "influence": "Truncation and influence balancing",
    "processes": "Neural processes on Gaussian processes",
    "tables": "In-context learning on tables",
    "select_tables": "Choosing by metadata",
    "domain_generalisation": "Domain generalisation",
    "cross_domain": "Trained on strokes, on Omniglot, on both",
    "photos": "Photographs through a frozen network",
    "drawers": "Drawers as domains",
    "mixture": "A mixture of problems",
    "intents": "Intents on frozen features",
    "all_intents": "All intents at once",
    "slots": "Slots in new languages",
    "cross_lingual": "Across languages",
    "cross_problem": "Across problems",
    "strings": "Strings into strings",
    "spoken_words": "Spoken words, and who says them",
    "spotting": "Words in a stream",
    "speaker_ctc": "Recognition adapted to a speaker",
}


def is_done(name: str) -> bool:
    """Whether the study has a result."""
    return importlib.import_module(f"benchmarks.studies.{name}").RESULTS.is_file()


def pages() -> str:
    """docs/studies.md."""
    lines = [
        "# Studies",
        "",
        "Made by `python -m benchmarks.reproduction.reproduce --table` from `benchmarks/studies/*.json`; do not edit.",
        "",
    ]
    for name, title in STUDIES.items():
        module = importlib.import_module(f"benchmarks.studies.{name}")
        about = (module.__doc__ or "").strip().split("\n")[0]
        lines += [f"## {title}", "", about, "", f"`python -m benchmarks.studies.{name}`", "", module.page().strip(), ""]
    return "\n".join(lines)

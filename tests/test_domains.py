"""Domains: found by the registry, also in packages of their own; the typed stub of `quickstudy.tasks` names what they add."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quickstudy as qs
from quickstudy import registry
from quickstudy.errors import ArgumentError
from quickstudy.registry import Domain

SOURCE = Path(__file__).resolve().parents[1] / "src"
STUB = SOURCE / "quickstudy" / "tasks" / "__init__.pyi"


def stub() -> str:
    """What `__init__.pyi` says: the core's own imports, then each domain's names."""
    page = (STUB.parent / "__init__.py").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("from quickstudy.tasks.")]
    for domain in registry.domains().values():
        for name, where in domain.tasks.items():
            lines.append(f"from {where.partition(':')[0]} import {name} as {name}")
    return "# Made from the registry by tests/test_domains.py: UPDATE=1 writes it.\n" + "\n".join(sorted(lines)) + "\n"


def test_the_stub_names_what_there_is():
    if os.environ.get("UPDATE"):
        STUB.write_text(stub(), encoding="utf-8")
    assert STUB.read_text(encoding="utf-8") == stub(), "stale: run this test with UPDATE=1"


def test_tasks_has_the_names_of_every_domain():
    assert {"images", "tables"} <= registry.domains().keys()
    for domain in registry.domains().values():
        for name, where in domain.tasks.items():
            assert getattr(qs.tasks, name).__module__ == where.partition(":")[0]
            assert name in dir(qs.tasks)
    assert not hasattr(qs.tasks, "Imagenet")


def test_the_core_imports_no_domain():
    """Neither does asking for a name of the core; Omniglot is read when it is asked for."""
    code = """
import sys
import quickstudy as qs
qs.tasks.Sinusoid, qs.tasks.LabelledTasks
print(sorted(name for name in sys.modules if name.startswith("quickstudy.domains.images.omniglot")))
qs.tasks.Omniglot
print(sorted(name for name in sys.modules if name.startswith("quickstudy.domains.images.omniglot")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.splitlines() == [
        "[]",
        "['quickstudy.domains.images.omniglot', 'quickstudy.domains.images.omniglot_images']",
    ]


def test_names_that_two_domains_have(monkeypatch):
    class Point:
        def __init__(self, domain):
            self.load = lambda: domain

    for domain, text in (
        (Domain("birds", {"Omniglot": "birds:Omniglot"}), r"'tasks: Omniglot' in 'birds' as in 'images'"),
        (Domain("images"), r"'domain: images' in 'images' as in 'images'"),
        (Domain("birds", sources={"folder": "x"}), r"'sources: folder' in 'birds' as in 'the core'"),
        (Domain("birds", networks={"conv4": "x"}), r"'networks: conv4' in 'birds' as in 'the core'"),
        (Domain("birds", networks={"byte_conv": "x"}), r"'networks: byte_conv' in 'birds' as in 'text'"),
        ("birds", "expected a quickstudy.registry.Domain, got 'birds'"),
    ):
        monkeypatch.setattr(registry, "entry_points", lambda group, domain=domain: [Point(domain)])
        with pytest.raises(ArgumentError, match=text):
            registry.domains.__wrapped__()


# ---- one in a package of its own ------------------------------------------------------------------------------------------

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "birds"
version = "1.0"

[project.entry-points."quickstudy.domains"]
birds = "birds:DOMAIN"
"""
BIRDS = """
from quickstudy.registry import Domain

DOMAIN = Domain("birds", tasks={"Songs": "birds.songs:Songs"}, sources={"songs": "Songs"})
"""
SONGS = '''
"""Songs: a class is a bird, which sings at its own pitch."""

import quickstudy as qs


class Songs(qs.tasks.TaskFamily):
    def __init__(self, ways: int = 3, shots: int = 1, queries: int = 5):
        birds = qs.tasks.GaussianClasses(ways=ways, dim=4, separation=5.0, shots=shots, queries=queries)
        super().__init__(birds.train, birds.validation, birds.test)
'''
USED = """
import quickstudy as qs
print(qs.tasks.Songs(ways=4).train.ways, "Songs" in dir(qs.tasks))
"""


def environment(*paths):
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (SOURCE, *paths))), "OMP_NUM_THREADS": "1"}


def test_a_domain_of_another_package_is_found_and_trained_on(tmp_path):
    """Installed, and nothing else: Python and the command line know its tasks."""
    project, site = tmp_path / "project", tmp_path / "site"
    (project / "src" / "birds").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "src" / "birds" / "__init__.py").write_text(BIRDS)
    (project / "src" / "birds" / "songs.py").write_text(SONGS)
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(project)], check=True, capture_output=True)
    used = subprocess.run([sys.executable, "-c", USED], capture_output=True, text=True, env=environment(site), check=True)
    assert used.stdout == "4 True\n"
    words = "train prototypical --tasks songs --tasks.ways 3 --network mlp --network.inputs 4 --train.steps 2 --controls none"
    words += " --train.tasks_per_step 2 --train.validation_episodes 4 --train.executor loop --episodes 4 --out run"
    command = [sys.executable, "-m", "quickstudy.cli", *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment(site))
    assert done.returncode == 0, done.stderr
    assert "3-way 1-shot" in done.stdout

"""Generators: a fresh one by default, and branches so that one seed gives meta-training and meta-test different tasks."""

from __future__ import annotations

import torch

SEEDS = 2**32  # torch's CPU generator reads the low 32 bits of a seed


def fresh_generator() -> torch.Generator:
    """A generator seeded by the system, for callers that give none."""
    generator = torch.Generator()
    generator.seed()
    return generator


def branch(generator: torch.Generator, part: int, parts: int) -> torch.Generator:
    """A generator for one of several parts, drawn from `generator`.

        seed  =  parts * u + part,     u ~ uniform integers

    Two different parts never get the same seed, whatever the states of the generators that they branch from.
    """
    u = int(torch.randint(SEEDS // parts, (), generator=generator))
    return torch.Generator().manual_seed(parts * u + part)

"""Recordings that tests make: classes told by their pitch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tone(hertz: float, rate: int = 8000, seconds: float = 0.3, seed: int = 0) -> np.ndarray:
    """A tone in a little noise, float32."""
    t = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(seed).normal(size=len(t))
    return (0.3 * np.sin(2 * np.pi * hertz * t + seed) + 0.01 * noise).astype(np.float32)


def folder_of(root: Path, classes: int = 6, each: int = 6, rate: int = 8000, **options) -> Path:
    """root/tone0/0.wav ..."""
    for label in range(classes):
        (root / f"tone{label}").mkdir(parents=True, exist_ok=True)
        for number in range(each):
            sound = tone(200 * 1.3**label, rate, seed=100 * label + number)
            soundfile.write(root / f"tone{label}" / f"{number}.wav", sound, rate, **options)
    return root

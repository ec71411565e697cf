"""A bank of spoken words: each word of some languages by each of some voices, spoken once and kept as one file.

    voice of a language   =   a variant of espeak-ng, with a pitch and a speed drawn for that language
    row w * V + v         =   word w by voice v, as int16

A process of espeak-ng speaks all words of a language by one voice; processes run side by side. The file is named for a hash of
all that its samples are made of, the version of espeak-ng among them, and a JSON file beside it holds the hash of its content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from quickstudy.domains.audio.waveform import FULL, Waveform, in_16_bits
from quickstudy.domains.audio.words.espeak import PAUSE, RATE, Voice, speak, version
from quickstudy.domains.audio.words.invent import Word
from quickstudy.errors import CheckpointError
from quickstudy.files import read_sealed, read_tensors, write_with_tensors
from quickstudy.progress import bar

PITCHES, SPEEDS = (20, 80), (120, 220)  # of 0 to 99; words a minute
AGAIN = "Delete it: it is made anew."


def bank(
    words: Sequence[Word], variants: Sequence[str], reads: Waveform, *, seed: int, cache: str | Path | None, progress: bool = True
) -> Tensor:
    """int16 (words * variants, samples): all voices of the first word, then of the second.

    Args:
        words: those of one language stand together.
        variants: of voices, see `espeak.VARIANTS`.
        reads: what is made of a recording.
        seed: of the pitch and speed of each voice in each language.
        cache: the folder in which banks are kept; None: nowhere.
        progress: show a bar on stderr.

    Raises:
        MissingPackageError: there is no espeak-ng.
        CheckpointError: a file in the cache that is no bank, or a damaged one.
    """
    settings = {
        "words": [[word.language, word.text] for word in words],
        "variants": list(variants),
        "reads": asdict(reads),
        "seed": seed,
        "program": version(),
        "spoken": [PAUSE, PITCHES, SPEEDS],
    }
    if cache is None:
        return _spoken(words, variants, reads, seed, progress)
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    about, file = (Path(cache) / f"spoken-words-{key}.{ending}" for ending in ("json", "safetensors"))
    if not about.is_file():
        write_with_tensors(about, settings, file, {"samples": _spoken(words, variants, reads, seed, progress)})
    read_sealed(about, [file], expected="a bank of spoken words", do=AGAIN)
    samples = read_tensors(file, do=AGAIN)["samples"]
    if len(samples) != len(words) * len(variants):
        raise CheckpointError(str(file), expected=f"{len(words) * len(variants)} recordings", got=str(len(samples)), do=AGAIN)
    return samples


def _spoken(words: Sequence[Word], variants: Sequence[str], reads: Waveform, seed: int, progress: bool) -> Tensor:
    languages: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        languages.setdefault(word.language, []).append(place)
    samples = torch.zeros(len(words), len(variants), reads.samples, dtype=torch.int16)

    def speak_all(language: str, number: int) -> int:
        own = languages[language]
        voice = _voice(variants[number], language, seed)
        for place, said in zip(own, speak(language, [words[place].text for place in own], voice), strict=True):
            samples[place, number] = _as_int16(said, reads)
        return len(own)

    jobs = [(language, number) for language in languages for number in range(len(variants))]
    with bar(len(words) * len(variants), "speaking words", progress) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        for count in pool.map(lambda job: speak_all(*job), jobs):
            advance(count)
    return samples.flatten(0, 1)


def _voice(variant: str, language: str, seed: int) -> Voice:
    random = Random(f"{seed}/{language}/{variant}")
    return Voice(variant, random.randint(*PITCHES), random.randint(*SPEEDS))


def _as_int16(said: np.ndarray, reads: Waveform) -> Tensor:
    return in_16_bits(reads.of_samples(torch.from_numpy(said.astype(np.float32) / FULL), RATE))

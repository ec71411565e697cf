"""espeak-ng as a program: what it calls the sounds of a word, and how a voice speaks many words in one process.

A process costs more than a word, so words are spoken many at once, with a second of silence between them, and cut apart there:

words  =  what lies between runs of at least `CUT` seconds in which no sample is louder than `QUIET`

Where that gives another number of words than were asked for, each is spoken by a process of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quickstudy.errors import DataError, MissingPackageError

RATE = 22050  # of espeak-ng's output
HEADER = 44  # bytes of a wav file before its samples
PAUSE = '\n\n<break time="1000ms"/>\n\n'  # between paragraphs, so that a word ends as it does alone
CUT, QUIET = 0.6, 200  # seconds; of 32768

NAMES = (
    "adam Alex Alicia Andrea Andy Annie antonio anika aunty belinda benjamin boris caleb david Denis Diogo ed edward Gene "
    "Gene2 grandma grandpa Henrique Hugo iven iven2 iven3 iven4 Jacky john Lee linda m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 "
    "marcelo Marco Mario max Michael michel miguel Mike Nguyen norbert pablo paul pedro quincy rob robert sandro shelby "
    "steph steph2 steph3 travis victor zac klatt klatt2 klatt3 klatt4 klatt5 klatt6 croak "
)
VARIANTS = tuple(NAMES.split())  # those without an echo, which would fill the pauses


@dataclass(frozen=True)
class Voice:
    """A speaker of a language.

    Args:
        variant: of espeak-ng's voices: the size and shape of the throat.
        pitch: 0 to 99.
        speed: words a minute.
    """

    variant: str
    pitch: int
    speed: int


def check_voices(languages: Sequence[str], variants: Sequence[str]) -> None:
    """Raise DataError unless this espeak-ng has these: it would speak with another voice, and say nothing.

    Raises:
        MissingPackageError: there is no such program.
    """
    rows = [_run([which], "").decode(errors="replace").splitlines()[1:] for which in ("--voices", "--voices=variant")]
    there = {row.split()[1] for row in rows[0]}, {row.rpartition("!v/")[2].split(" ")[0] for row in rows[1]}
    for what, wanted, have in (("language", languages, there[0]), ("voice", variants, there[1])):
        if missing := [one for one in wanted if one not in have]:
            raise DataError(
                "espeak-ng",
                expected=f"the {what} {missing[0]!r}, which 1.51 has",
                got=f"none in {version()!r}",
                do="Install espeak-ng 1.51 or newer, with all of its data.",
            )


def version() -> str:
    """What the program calls itself, such as "eSpeak NG text-to-speech: 1.51".

    Raises:
        MissingPackageError: there is no such program.
    """
    return _run(["--version"], "").decode(errors="replace").partition("  Data")[0].strip()


def sounds(language: str, words: Sequence[str]) -> list[str]:
    """What each word sounds like in the language, in the International Phonetic Alphabet; "" for one that is not a word.

    Where a word has signs that the language does not know, it is spelled out or read in another language.
    """
    lines = _run(["-v", language, "-q", "--ipa"], "\n".join(words)).decode(errors="replace").splitlines()
    if len(lines) != len(words):
        lines = [_run(["-v", language, "-q", "--ipa"], word).decode(errors="replace").strip() for word in words]
    return [_only_word(line.strip()) for line in lines]


def _only_word(line: str) -> str:
    return "" if any(sign.isspace() or sign in "()" for sign in line) else line


def speak(language: str, words: Sequence[str], voice: Voice) -> list[np.ndarray]:
    """Each word as int16 samples at `RATE`; silence around it may differ.

    Raises:
        MissingPackageError: there is no espeak-ng.
        DataError: the program failed.
    """
    samples = _samples(language, PAUSE.join(words), voice)
    cut = _cut(samples)
    if len(cut) == len(words):
        return cut
    return [_samples(language, word, voice) for word in words]


def _samples(language: str, text: str, voice: Voice) -> np.ndarray:
    name = ["-v", f"{language}+{voice.variant}", "-p", str(voice.pitch), "-s", str(voice.speed)]
    return np.frombuffer(_run([*name, "-m", "-z", "--stdin", "--stdout"], text)[HEADER:], np.int16)


def _cut(samples: np.ndarray) -> list[np.ndarray]:
    """The stretches between long silences."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    if not len(loud):
        return []
    gaps = np.flatnonzero(np.diff(loud) > CUT * RATE)
    begins, ends = loud[np.concatenate([[0], gaps + 1])], loud[np.concatenate([gaps, [len(loud) - 1]])]
    return [samples[begin : end + 1] for begin, end in zip(begins, ends, strict=True)]


def _run(arguments: list[str], text: str) -> bytes:
    program = shutil.which("espeak-ng")
    if program is None:
        raise MissingPackageError(
            "SpokenWords",
            expected="the program espeak-ng, which speaks the words",
            got="none on the PATH",
            do="Install it: apt install espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS), or its installer (Windows).",
        )
    done = subprocess.run([program, *arguments], input=text.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise DataError(
            f"espeak-ng {' '.join(arguments)}",
            expected="a program that ends well",
            got=f"exit status {done.returncode}: {done.stderr.decode(errors='replace').strip()[-200:]}",
            do="Try that command in a terminal.",
        )
    return done.stdout

"""SpokenWords: the same arguments give the same recordings, from espeak-ng or from the cache; nothing is in two parts."""

from __future__ import annotations

import shutil

import pytest
import torch
from tests.needs import needs

import quickstudy as qs
from quickstudy.domains.audio.words import espeak
from quickstudy.domains.audio.words.alphabets import ALPHABETS
from quickstudy.domains.audio.words.invent import STRESS, invent
from quickstudy.errors import ArgumentError, CheckpointError, DataError, MissingPackageError, TaskError

SIZES = {"ways": 3, "queries": 2, "classes": (6, 3, 3), "voices": (4, 4, 4), "languages": ["fi", "it", "ru"], "progress": False}
VOICE = espeak.Voice("m3", 50, 150)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    needs("espeak-ng")
    return tmp_path_factory.mktemp("bank")


@pytest.fixture(scope="module")
def words(cache):
    return qs.tasks.SpokenWords(**SIZES, cache=cache)


def test_episodes_are_recordings_and_come_again(words, cache):
    again = qs.tasks.SpokenWords(**SIZES, cache=cache)
    for part in ("train", "validation", "test"):
        one, other = (w.parts[part].sample(3, generator=torch.Generator().manual_seed(1)) for w in (words, again))
        assert torch.equal(one.query.x, other.query.x)
        assert torch.equal(one.query.y, other.query.y)
        assert one.support.x.shape == (3, 3, 16000)
        assert one.support.x.dtype == torch.float32
        assert float(one.support.x.square().mean(-1).sqrt().min()) > 0.01
        assert float(one.support.x.abs().max()) <= 1


def test_what_is_kept_is_what_was_spoken(words):
    spoken = qs.tasks.SpokenWords(**SIZES)
    assert torch.equal(spoken.test.x, words.test.x)
    assert spoken.classes == words.classes


def test_parts_share_no_word_no_language_and_no_voice(words):
    for column in ("language", "voice"):
        groups = [set(tasks.columns[column].groups) for tasks in words.parts.values()]
        assert sum(map(len, groups)) == len(set.union(*groups))
    assert sum(map(len, words.classes.values())) == 12


def test_support_and_query_are_by_different_voices(words):
    tasks = words.train
    row_of = {tuple(row[:8000:50].tolist()): place for place, row in enumerate(tasks.shown(tasks.x))}
    voices = tasks.columns["voice"].of
    episode = tasks.sample(1, generator=torch.Generator().manual_seed(0))[0]
    support, query = (
        {int(voices[row_of[tuple(x[:8000:50].tolist())]]) for x in part.x} for part in (episode.support, episode.query)
    )
    assert not support & query
    mixed = qs.tasks.SpokenWords(**{**SIZES, "across_voices": False})
    assert not isinstance(mixed.train, type(tasks)), "and that is a choice"


def test_another_seed_speaks_other_words(words):
    other = qs.tasks.SpokenWords(**SIZES, seed=1)
    names = [{name for part in family.classes.values() for name in part} for family in (words, other)]
    assert not names[0] & names[1]


def test_words_spoken_at_once_are_those_spoken_one_by_one(cache, monkeypatch):
    texts = ["tomaki", "ukko", "relas", "pi"]
    at_once = espeak.speak("fi", texts, VOICE)
    monkeypatch.setattr(espeak, "_cut", lambda samples: [])  # so that each has a process of its own
    alone = [_within(x) for x in espeak.speak("fi", texts, VOICE)]
    assert len(at_once) == 4
    assert (at_once[0] == alone[0]).all()
    for one, other, wrong in zip(at_once, alone, alone[1:] + alone[:1], strict=True):
        assert abs(len(one) / len(other) - 1) < 0.05
        assert _spectra_differ(one, other) < 0.4 < _spectra_differ(one, wrong)


def _within(x):
    loud = (abs(x.astype(int)) > espeak.QUIET).nonzero()[0]
    return x[loud[0] : loud[-1] + 1]


def _spectra_differ(one, other):
    spectra = [torch.fft.rfft(torch.tensor(x / 2**15), n=2**16).abs()[:16000].view(-1, 200).mean(1) for x in (one, other)]
    return float((spectra[0] - spectra[1]).norm() / spectra[1].norm())


def test_every_language_reads_words_of_its_letters_and_no_two_sound_alike(cache):
    from random import Random

    taken, found = set(), []
    for language in list(ALPHABETS)[::9]:
        found += invent(language, 3, taken, Random(0))
    sounds = [word.sound.translate(STRESS) for word in found]
    assert len(set(sounds)) == len(sounds) == len(taken)
    assert espeak.sounds("fi", ["tomaki", "שלום"])[1] == "", "letters of another script are spelled out"
    with pytest.raises(TaskError, match="words of 'fi' that sound different"):
        invent("fi", 1, _Everything(), Random(0))


class _Everything(set):
    def __contains__(self, one):
        return True


def test_a_damaged_bank_is_refused(tmp_path):
    needs("espeak-ng")
    qs.tasks.SpokenWords(**SIZES, cache=tmp_path)
    file = next(tmp_path.glob("*.safetensors"))
    file.chmod(0o600)
    raw = bytearray(file.read_bytes())
    raw[-9] ^= 1
    file.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"Delete it: it is made anew"):
        qs.tasks.SpokenWords(**SIZES, cache=tmp_path)


def test_what_cannot_be_is_refused(monkeypatch):
    with pytest.raises(ArgumentError, match="three numbers of at least 1"):
        qs.tasks.SpokenWords(classes=(5, 5))
    with pytest.raises(ArgumentError, match="parts share no voice"):
        qs.tasks.SpokenWords(voices=(50, 50, 50))
    with pytest.raises(ArgumentError, match="languages with an alphabet"):
        qs.tasks.SpokenWords(languages=["fi", "it", "xx"])
    with pytest.raises(ArgumentError, match="parts share no language"):
        qs.tasks.SpokenWords(languages=["fi", "it"])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingPackageError, match="apt install espeak-ng"):
        qs.tasks.SpokenWords()


def test_a_program_that_fails_is_told(monkeypatch):
    make = needs("make")
    monkeypatch.setattr(shutil, "which", lambda name: make)
    with pytest.raises(DataError, match="exit status 2: make"):
        espeak._run(["no-such-target"], "")


def test_a_voice_that_is_not_there_is_told(cache):
    with pytest.raises(DataError, match="the language 'no-such', which"):
        espeak.check_voices(["fi", "no-such"], [])
    with pytest.raises(DataError, match="the voice 'nobody', which"):
        espeak.check_voices(["fi"], ["nobody"])

"""Data larger than memory: read as they are drawn, kept below a bound, and the same episodes as in memory."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.domains.images.pictures import CLASSES, SMALL, TARGETS, Pictures, draw_folder
from tests.tasks import source_checks
from tests.tasks.rows import seeded

import quickstudy as qs
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import ArgumentError, DataError, UnsupportedError
from quickstudy.tasks import from_arrays, from_dataset, from_folder
from quickstudy.tasks.distribution.fingerprint import fingerprint
from quickstudy.tasks.distribution.lazy_rows import LazyRows

ROW = 3 * 12 * 12  # bytes of one of SMALL's images


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read."""
    found: list[str] = []
    honest = Preprocessing.read

    def counted(self, path):
        found.append(str(path))
        return honest(self, path)

    monkeypatch.setattr(Preprocessing, "read", counted)
    return found


class Numbers:
    """Rows 0..N-1 that count how often each is read."""

    def __init__(self):
        self.read: list[int] = []

    def __call__(self, number: int) -> torch.Tensor:
        self.read.append(number)
        return torch.full((4,), number, dtype=torch.uint8)


def test_the_least_recently_asked_for_is_dropped():
    numbers = Numbers()
    rows = LazyRows(numbers, torch.arange(9), (4,), torch.uint8, memory=3 * 4 + 3)
    for row in (0, 1, 2, 0, 3, 0, 1):  # 3 drops 1, and 1 drops 2
        assert rows.gathered(torch.tensor(row)).tolist() == [row] * 4
    assert numbers.read == [0, 1, 2, 3, 1]
    assert rows.kept == 3
    assert rows.gathered(torch.tensor([[5, 5], [0, 1]])).tolist() == [[[5] * 4, [5] * 4], [[0] * 4, [1] * 4]]
    assert numbers.read == [0, 1, 2, 3, 1, 5]  # one that is asked for twice is read once


def test_one_row_is_kept_however_small_the_memory():
    rows = LazyRows(Numbers(), torch.arange(9), (4,), torch.uint8, memory=1)
    assert rows.gathered(torch.arange(9))[:, 0].tolist() == list(range(9))
    assert rows.kept == 1


def test_rows_and_their_subsets_share_the_memory():
    numbers = Numbers()
    rows = LazyRows(numbers, torch.arange(9), (4,), torch.uint8, memory=16)
    part = rows.subset(torch.tensor([7, 8]))
    assert (part.shape, part.ndim, len(part)) == ((2, 4), 2, 2)
    assert part.gathered(torch.tensor([1]))[0, 0] == rows.gathered(torch.tensor([8]))[0, 0] == 8
    assert numbers.read == [8]
    assert [one[:, 0].tolist() for one in part.split(1)] == [[7], [8]]
    assert rows.some(3)[:, 0].tolist() == [0, 4, 8]


def test_a_copy_for_another_process_begins_empty():
    rows = LazyRows(torch.zeros(9, 4, dtype=torch.uint8).__getitem__, torch.arange(9), (4,), torch.uint8, memory=64)
    rows.gathered(torch.arange(9))
    for other in (pickle.loads(pickle.dumps(rows)), copy.deepcopy(rows)):
        assert (rows.kept, other.kept) == (9, 0)
        assert torch.equal(other.gathered(torch.arange(9)), rows.gathered(torch.arange(9)))


def test_threads_gather_at_once_and_the_bound_holds():
    rows = LazyRows(Numbers(), torch.arange(200), (4,), torch.uint8, memory=40)
    wrong = []

    def gather(seed: int) -> None:
        chosen = torch.randint(200, (300,), generator=seeded(seed))
        wrong.append(not torch.equal(rows.gathered(chosen)[:, 0].long(), chosen))

    threads = [threading.Thread(target=gather, args=(seed,)) for seed in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == [False] * 8
    assert rows.kept == 10


# ---- sources -------------------------------------------------------------------------------------------------------------


def test_opening_a_folder_reads_no_image_and_episodes_are_those_in_memory(tmp_path: Path, reads: list[str]):
    root = draw_folder(tmp_path)
    lazy = from_folder(root, memory=3 * ROW, normalise=False, **SMALL)
    assert reads == []
    assert lazy.train.x.shape[1:] == (3, 12, 12)
    episode = lazy.train.sample(2, generator=seeded(3))
    assert 0 < len(reads) <= 2 * 2 * 3
    assert lazy.train.x.kept <= 3
    whole = from_folder(root, normalise=False, **SMALL)
    assert source_checks.same(episode, whole.train.sample(2, generator=seeded(3)))
    assert lazy.classes == whole.classes


def test_memory_stays_bounded_and_a_large_one_reads_each_file_once(tmp_path: Path, reads: list[str]):
    root = draw_folder(tmp_path)
    small, large = (from_folder(root, memory=rows * ROW, normalise=False, **SMALL) for rows in (5, 1000))
    for family in (small, large):
        reads.clear()
        for seed in range(40):
            for part in (family.train, family.validation, family.test):
                part.sample(1, generator=seeded(seed))
                assert family.train.x.kept <= (5 if family is small else 1000)  # of all parts together
        if family is large:
            assert len(reads) == len(set(reads)) == len(list(root.rglob("*.png")))
        else:
            assert len(reads) > 2 * len(set(reads))


def test_normalisation_reads_some(tmp_path: Path, reads: list[str]):
    root = draw_folder(tmp_path)
    lazy = from_folder(root, memory=1000 * ROW, **SMALL)
    assert len(reads) == len(lazy.train.x)  # fewer than 1000: all
    assert lazy.preprocessing == from_folder(root, **SMALL).preprocessing


def test_every_check_of_a_source_holds(tmp_path: Path):
    root = draw_folder(tmp_path)
    family = from_folder(root, memory=9 * ROW, normalise=False, **SMALL)
    for part in (family.train, family.test):
        source_checks.check_seeds(part)
        source_checks.check_sizes(part)
    source_checks.check_workers(family.train)
    split = family.train.with_(ways=1).split((2, 1, 1), seed=0)
    assert split.train.sample(2).query.x.shape == (2, 2, 3, 12, 12)
    embedded = qs.tasks.from_backbone(family.train, torch.nn.Flatten(), progress=False)
    assert embedded.x.shape == (len(family.train.x), ROW)
    assert from_folder(root, memory=9 * ROW, normalise=False, **SMALL).to("cpu").train.sample(1).query.x.dtype == torch.float32


def test_the_fingerprint_is_of_names_and_not_of_what_was_drawn(tmp_path: Path, reads: list[str]):
    one, other = draw_folder(tmp_path / "one"), draw_folder(tmp_path / "other")
    opened = [from_folder(root, memory=9 * ROW, normalise=False, **SMALL) for root in (one, one, other)]
    opened[0].train.sample(3)
    reads.clear()
    assert fingerprint(opened[0]) == fingerprint(opened[1]) == fingerprint(opened[2])
    assert reads == []
    (one / CLASSES[0] / "9.png").write_bytes((one / CLASSES[0] / "1.png").read_bytes())
    assert fingerprint(from_folder(one, memory=9 * ROW, normalise=False, **SMALL)) != fingerprint(opened[0])


def test_a_data_set_is_read_by_items():
    lazy = from_dataset(Pictures(targets=TARGETS), memory=4 * ROW, normalise=False, **SMALL)
    whole = from_dataset(Pictures(targets=TARGETS), normalise=False, **SMALL)
    assert source_checks.same(*(one.test.sample(3, generator=seeded(1)) for one in (lazy, whole)))
    assert lazy.test.x.kept <= 4
    arrays = [(np.full((8, 8, 3), 4 * row, dtype=np.uint8), row // 6) for row in range(60)]
    given = {"ways": 2, "queries": 2, "normalise": False, "labels": [label for _, label in arrays]}
    lazily, at_once = from_dataset(arrays, memory=500, **given), from_dataset(arrays, **given)
    assert source_checks.same(*(one.train.sample(3, generator=seeded(1)) for one in (lazily, at_once)))


def test_a_broken_file_is_an_error_when_it_is_drawn(tmp_path: Path):
    root = draw_folder(tmp_path)
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    family = from_folder(root, memory=9 * ROW, normalise=False, **SMALL)
    with pytest.raises(DataError, match=r"\.png`: expected an image that can be read"):
        family.train.sample(1)


# ---- what is refused -----------------------------------------------------------------------------------------------------


def test_what_needs_all_at_once_is_refused(tmp_path: Path):
    root = draw_folder(tmp_path)
    family = from_folder(root, memory=9 * ROW, normalise=False, **SMALL)
    with pytest.raises(UnsupportedError, match=rf"`memory`: expected {len(family.train.x) * ROW} bytes, .* got {9 * ROW}"):
        family.train.examples()
    assert len(family.train.examples(torch.tensor([0, 3]))) == 2
    assert len(from_folder(root, memory=10**6, normalise=False, **SMALL).train.examples()) == len(family.train.x)
    with pytest.raises(UnsupportedError, match=r"`augment=\[Rotations\(\)\]`: expected items that are all read .* got `memory`"):
        from_folder(root, memory=9 * ROW, augment=[qs.tasks.Rotations()], normalise=False, **SMALL)
    with pytest.raises(UnsupportedError, match=r"`broken='leave out'`: expected items that are all read"):
        from_folder(root, memory=9 * ROW, broken="leave out", normalise=False, **SMALL)


def test_images_in_memory_are_refused():
    x = np.zeros((60, 8, 8), dtype=np.uint8)
    with pytest.raises(ArgumentError, match=r"`memory`: expected files, or a Dataset that reads its items, got images in memory"):
        from_arrays(x, np.arange(60) // 6, memory=1000, ways=2, queries=2)
    with pytest.raises(ArgumentError, match="`memory`"):
        from_arrays(np.zeros((60, 8)), np.arange(60) // 6, memory=1000, ways=2, queries=2)
    with pytest.raises(ArgumentError, match="`memory`: expected 1 or more, got 0"):
        from_dataset(Pictures(targets=TARGETS), memory=0, **SMALL)

"""Letters that are exchanged in a task: the same ones in all of its texts, and nothing else."""

import pytest
import torch

import quickstudy as qs
from quickstudy.errors import ArgumentError, UnsupportedError

TEXTS = [f"{verb} {thing}" for verb in ("Open", "close", "find") for thing in ("it", "THEM", "a door", "één 日")]
LABELS = [text.split()[0] for text in TEXTS]


def drawn(probability: float, n: int = 40):
    source = qs.tasks.from_texts(TEXTS, LABELS, length=16, ways=3, shots=2, queries=2, part="test").test
    before = source.sample(n, generator=torch.Generator().manual_seed(1))
    return before, qs.tasks.PermuteLetters(probability)(before, torch.Generator().manual_seed(0))


def test_a_task_has_one_exchange_of_letters_and_all_else_stays():
    before, after = drawn(1.0)
    exchanges = set()
    for task in range(40):
        table = {}
        for part in ("support", "query"):
            old, new = (getattr(one, part).x["ids"][task].flatten().tolist() for one in (before, after))
            for a, b in zip(old, new, strict=True):
                assert table.setdefault(a, b) == b
            assert torch.equal(getattr(before, part).x["mask"], getattr(after, part).x["mask"])
        assert len(set(table.values())) == len(table)
        for a, b in table.items():
            assert chr(a).islower() == chr(b).islower() if chr(a).isascii() and chr(a).isalpha() else a == b
            if chr(a).isupper() and a + 32 in table:
                assert table[a + 32] == b + 32
        exchanges.add(tuple(sorted(table.items())))
    moved = [sum(a != b for a, b in table) for table in exchanges]
    assert len(exchanges) > 30
    assert min(moved) <= 3
    assert max(moved) >= 10
    assert torch.equal(before.query.y, after.query.y)
    assert after.class_names == before.class_names


def test_the_probability_of_a_task():
    before, after = drawn(0.0)
    assert torch.equal(before.support.x["ids"], after.support.x["ids"])
    before, after = drawn(0.5)
    same = (before.support.x["ids"] == after.support.x["ids"]).flatten(1).all(1)
    assert 8 < int(same.sum()) < 32
    with pytest.raises(ArgumentError, match="`probability`"):
        qs.tasks.PermuteLetters(1.5)


def test_what_is_no_text_is_refused_before_it_is_drawn():
    x, y = torch.randn(60, 4), torch.arange(60) // 10
    with pytest.raises(UnsupportedError, match=r"`augment=\[PermuteLetters\(\)\]`: expected texts as bytes"):
        qs.tasks.LabelledTasks(x, y, ways=2, queries=5, augment=[qs.tasks.PermuteLetters()])


def test_from_texts_takes_it():
    verbs = ("open", "close", "find", "buy", "sell", "paint")
    texts = [f"{verb} {thing}" for verb in verbs for thing in ("it", "them", "a door")]
    split = {"train": ["open", "close"], "validation": ["find", "buy"], "test": ["sell", "paint"]}
    family = qs.tasks.from_texts(
        texts, [text.split()[0] for text in texts], length=16, ways=2, queries=2, split=split, augment=[qs.tasks.PermuteLetters()]
    )
    assert "new tasks" in str(family.train.protocol)
    assert "augment" not in family.test.protocol
    assert set(family.train.sample(2).support.x) == {"ids", "mask"}

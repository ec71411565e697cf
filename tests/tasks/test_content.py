"""Examples that two parts share are found by their content, whatever their classes are called; usual equal rows are not."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor

import quickstudy as qs
from quickstudy.errors import ArgumentError, ShapeError, TaskError
from quickstudy.tasks import LabelledTasks, TaskFamily
from quickstudy.tasks.distribution.content import Content, of_numbers, shared
from quickstudy.tasks.distribution.lazy_rows import LazyRows
from quickstudy.tasks.sources.kind import Items
from quickstudy.tasks.sources.options import Protocol
from quickstudy.tasks.sources.source import family_of

EACH = 4


def images(classes: int, seed: int, side: int = 32) -> Tensor:
    """Smooth pictures, uint8 (classes * EACH, 3, side, side)."""
    coarse = torch.rand(classes * EACH, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return (255 * torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")).round().to(torch.uint8)


def part(x, names: str, **options) -> LabelledTasks:
    y = torch.arange(len(names)).repeat_interleave(len(x) // len(names))
    return LabelledTasks(x, y, ways=2, shots=1, queries=2, class_names=list(names), **options)


def encoded_again(x: Tensor) -> Tensor:
    """The same pictures as another encoder has them: every pixel off by at most 2."""
    noise = torch.randint(-2, 3, x.shape, generator=torch.Generator().manual_seed(9))
    return (x.int() + noise).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(
    ("change", "found"),
    [(lambda x: x, "4"), (encoded_again, "[2-4]"), (lambda x: x.float() / 255, "4")],
    ids=["equal", "encoded", "floats"],
)
def test_pictures_under_other_names_are_found(change, found):
    train, test = images(3, seed=0), images(2, seed=1)
    test[EACH:] = train[:EACH]  # class "e" is class "a"
    message = (
        rf"`train, test`: expected parts that share no example, got {found} of 8 examples of the second in the first too, by "
        r"their content, such as one of class 'a' in the one and of 'e' in the other\. Give every example to one part: "
        r".*same_content=True"
    )
    with pytest.raises(TaskError, match=message):
        TaskFamily(part(train, "abc"), None, part(change(test), "de"))
    wanted = TaskFamily(part(train, "abc"), None, part(change(test), "de"), same_content=True)
    assert wanted.with_(shots=2).same_content
    with pytest.raises(TaskError, match="expected parts that share no example"):
        wanted.check_contents()


def test_other_pictures_and_blank_ones_are_not():
    train, test = images(3, seed=0), images(2, seed=1)
    train[:2], test[:2] = 255, 255
    TaskFamily(part(train, "abc"), None, part(test, "de"))


def test_the_same_classes_may_not_share_examples_either():
    x = images(2, seed=0)
    with pytest.raises(
        TaskError, match=r"got 8 of 8 examples of the second in the first too, .* such as one of class 'a' in both"
    ):
        TaskFamily(part(x, "ab"), None, part(x, "ab"), same_classes=True)
    TaskFamily(part(x, "ab"), None, part(images(2, seed=1), "ab"), same_classes=True)


def test_rows_of_numbers_are_compared_by_their_values():
    x = torch.randn(12, 5)
    with pytest.raises(TaskError, match="got 1 of 8 examples of the second in the first too"):
        TaskFamily(part(x, "abc"), None, part(torch.cat([torch.randn(7, 5), x[:1]]).double(), "de"))


def test_equal_rows_that_are_usual_are_no_leak():
    """A table of three yes-or-no columns has the same rows in every class. Control: with ten columns a copy is one."""
    few = torch.randint(0, 2, (200, 3), generator=torch.Generator().manual_seed(0)).float()
    TaskFamily(part(few[:120], "abc"), None, part(few[120:], "de"))
    many = torch.randint(0, 2, (200, 40), generator=torch.Generator().manual_seed(0)).float()
    many[150] = many[3]
    with pytest.raises(TaskError, match="got 1 of 80 examples"):
        TaskFamily(part(many[:120], "abc"), None, part(many[120:], "de"))


def test_a_mixture_compares_every_training_with_every_test():
    pictures = images(12, seed=2).split(3 * EACH)
    one = TaskFamily(part(pictures[0], "abc"), None, part(pictures[1], "def"))
    leaking = TaskFamily(part(pictures[2], "ghi"), None, part(pictures[0], "jkl"))
    apart = TaskFamily(part(pictures[2], "ghi"), None, part(pictures[3], "jkl"))
    with pytest.raises(TaskError, match=r"got 12 of 12 examples .* of class '[a-c]' in the one and of '[j-l]' in the other"):
        qs.tasks.Mixture({"one": one, "two": leaking})
    assert qs.tasks.Mixture({"one": one, "two": leaking}, same_content=True).same_content
    assert not qs.tasks.Mixture({"one": one, "two": apart}).same_content


def test_what_is_read_as_it_is_drawn_is_compared_when_it_is_asked_for():
    x, asked = images(3, seed=0), []

    def lazily(rows: Tensor) -> LazyRows:
        return LazyRows(lambda row: asked.append(row) or x[row], rows, tuple(x.shape[1:]), torch.uint8, memory=10_000)

    family = TaskFamily(part(lazily(torch.arange(8)), "ab"), None, part(lazily(torch.arange(4, 12)), "cd"))
    assert not asked
    with pytest.raises(TaskError, match="got 4 of 8 examples"):
        family.check_contents()
    assert set(asked) == set(range(12))


def test_a_domain_says_what_its_items_are():
    """Texts by their words: what x encodes is longer than what a key needs, and tells less."""
    texts = [f"{word} {number}" for word in "abcdef" for number in range(EACH)]
    texts[-1] = texts[0]

    def content(rows: list[int]) -> Content:
        return Content.of_texts("texts", [texts[row] for row in rows])

    items = Items(lambda rows, part: torch.tensor([[float(row), 1.0] for row in rows]), content=content)
    names = [text[0] for text in texts[:-1]] + ["f"]
    protocol = Protocol(ways=2, shots=1, queries=1, split={"train": ["a", "b"], "validation": ["c", "d"], "test": ["e", "f"]})
    with pytest.raises(TaskError, match=r"expected texts of one class each, got 1 of several, such as 23 in 'a' and 'f'"):
        family_of(names, items, protocol)
    texts[-1] = "another"
    found = family_of(names, items, protocol).test.with_(ways=1).only([1]).contents()[0]
    assert found.content.kind == "texts"
    assert len(found.content.keys) == EACH
    with pytest.raises(ShapeError, match="`content`: expected 8 keys, one for each example, got 1"):
        part(torch.randn(8, 2), "ab", content=Content.of_texts("texts", ["one"]))


def test_keys_of_zero_and_details_decide():
    one = Content("x", torch.tensor([0, 5, 7]), lambda rows: torch.tensor([[0.0], [1.0], [2.0]])[rows], 0.5)
    other = Content("x", torch.tensor([7, 0, 5, 5]), lambda rows: torch.tensor([[9.0], [0.0], [1.2], [3.0]])[rows], 0.5)
    assert [rows.tolist() for rows in shared(one, other)] == [[1], [2]]
    assert of_numbers(torch.tensor([[2.0, 2.0], [1.0, 2.0], [-0.0, 1.0]])).keys.tolist()[0] == 0
    assert torch.equal(of_numbers(torch.tensor([[0, 1]])).keys, of_numbers(torch.tensor([[-0.0, 1.0]])).keys)
    assert one.rows(torch.tensor([2])).detail(torch.tensor([0])).item() == 2.0


def test_thirty_thousand_pictures_are_compared_in_a_moment():
    x = images(1000, seed=0, side=28)[:, :1].repeat(7, 1, 1, 1)
    x = (x.int() + torch.randint(-90, 90, x.shape, dtype=torch.int16)).clamp(0, 255).to(torch.uint8)
    began = time.process_time()
    TaskFamily(part(x[:24000], "abc"), None, part(x[24000:], "de"))
    assert time.process_time() - began < 5


# ---- one preprocessing ----------------------------------------------------------------------------------------------------


def test_parts_that_see_pixels_differently_are_refused():
    reads = qs.tasks.Preprocessing(32)
    one, two = images(3, seed=0), images(2, seed=1)
    train, test = part(one, "abc", preprocessing=reads.fitted(one)), part(two, "de", preprocessing=reads.fitted(two))
    message = (
        r"`train, test`: expected parts with one preprocessing, since a learner meets the tasks of all, got mean=\[0\.\d+, .*\], "
        r"std=.* in train and mean=.* in test\. Normalise both by the statistics of one: test = test\.normalised_as\(train\)"
    )
    with pytest.raises(TaskError, match=message):
        TaskFamily(train, None, test)
    family = TaskFamily(train, None, test.normalised_as(train))
    assert family.test.preprocessing is train.preprocessing
    with pytest.raises(TaskError, match=r"got .*mean=.* in train and no normalisation in test"):
        TaskFamily(train, None, part(two, "de"))


def test_what_does_nothing_to_stored_pixels_may_differ():
    one, two = images(3, seed=0), images(2, seed=1)
    read = part(one, "abc", preprocessing=qs.tasks.Preprocessing(32, invert=True))
    assert TaskFamily(read, None, part(two, "de")).test.preprocessing is None


def test_parts_of_another_shape_are_refused():
    train, test = part(images(3, seed=0), "abc"), part(images(2, seed=1, side=28), "de")
    with pytest.raises(TaskError, match=r"got shape \(3, 32, 32\) in train and shape \(3, 28, 28\) in test\. Open both with"):
        TaskFamily(train, None, test)
    with pytest.raises(ArgumentError, match=r"`normalised_as\(other\)`: expected tasks of shape \(3, 28, 28\), as these have"):
        test.normalised_as(train)

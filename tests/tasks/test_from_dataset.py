"""from_dataset and from_huggingface: other people's data sets as tasks."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from tests.domains.images.pictures import CLASSES, LEAST, SMALL, TARGETS, Pictures, all_names, class_of
from tests.tasks.rows import seeded
from tests.tasks.tables import Table
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from quickstudy.errors import ArgumentError, DataError, LabelError, ShapeError, UnsupportedError
from quickstudy.tasks import from_dataset, from_huggingface


@pytest.mark.parametrize("attribute", ["targets", "labels", "y"])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_labels_are_found_and_no_item_is_decoded_for_one(attribute: str, kind):
    dataset = Pictures(**{attribute: kind(TARGETS)})
    family = from_dataset(dataset, **SMALL, normalise=False)
    assert sorted(dataset.decoded) == list(range(50))
    assert set(all_names(family)) == set("0123456789")
    x = family.test.examples()
    assert class_of(x.x).tolist() == [int(family.test.class_names[y]) for y in x.y]


def test_labels_that_are_given():
    by_name = [CLASSES[label] for label in TARGETS]
    for labels in (by_name, np.array(by_name), lambda index: by_name[index]):
        dataset = Pictures()
        assert sorted(all_names(from_dataset(dataset, labels=labels, **SMALL))) == CLASSES
        assert sorted(dataset.decoded) == list(range(50))


def test_classes_name_their_numbers():
    assert sorted(all_names(from_dataset(Pictures(targets=TARGETS, classes=CLASSES), **SMALL))) == CLASSES
    assert set(all_names(from_dataset(Pictures(targets=TARGETS, classes=CLASSES[:3]), **SMALL))) == set("0123456789")


def test_parts_of_datasets_and_several_together():
    whole = Pictures(targets=TARGETS)
    part = Subset(whole, [index for index in range(50) if index >= 20])
    assert set(all_names(from_dataset(part, ways=1, shots=1, queries=2, size=12, split=(2, 2, 2)))) == set("456789")
    both = from_dataset(ConcatDataset([part, whole]), **SMALL, normalise=False)
    assert dict(
        zip(all_names(both), torch.cat([p.counts for p in (both.train, both.validation, both.test)]).tolist(), strict=True)
    ) == {str(label): 5 + 5 * (label >= 4) for label in range(10)}
    x = both.train.examples()
    assert class_of(x.x).tolist() == [int(both.train.class_names[y]) for y in x.y]
    vectors = TensorDataset(torch.randn(50, 4), torch.tensor(TARGETS))
    assert from_dataset(vectors, **LEAST).train.x.shape[1:] == (4,)


def test_images_keep_their_size_and_colour_unless_asked():
    grey = from_dataset(Pictures("L", targets=TARGETS), **LEAST)
    assert grey.train.x.shape[1:] == (1, 20, 20)
    assert (grey.preprocessing.size, grey.preprocessing.channels) == (20, 1)
    assert from_dataset(Pictures(targets=TARGETS), **LEAST, size=7, channels=1).train.x.shape[1:] == (1, 7, 7)
    with pytest.raises(
        ShapeError, match=r"`size`: expected pixels a side, .* got none, and a first image of 30 x 20\. Give for example"
    ):
        from_dataset(Pictures(size=(30, 20), targets=TARGETS), **LEAST)


def test_items_of_every_form_are_the_same():
    pictures = Pictures(targets=TARGETS)
    want = from_dataset(pictures, **SMALL)
    arrays = [np.asarray(pictures[index][0]) for index in range(50)]
    forms = {
        "arrays": [(x, 0) for x in arrays],
        "x alone": list(arrays),
        "tensors of floats": [(torch.tensor(x / 255).movedim(-1, 0).float(), 0) for x in arrays],
        "mappings": [{"label": 0, "image": Image.fromarray(x)} for x in arrays],
    }
    for items in forms.values():
        family = from_dataset(items, labels=TARGETS, **SMALL)
        assert family.preprocessing == want.preprocessing
        assert torch.equal(*(one.train.sample(2, generator=seeded()).query.x for one in (family, want)))


# ---- the datasets library -----------------------------------------------------------------------------------------------


def test_a_table_by_its_label_names():
    table = Table()
    family = from_huggingface(table, **SMALL, normalise=False)
    assert sorted(all_names(family)) == CLASSES
    assert table.decoded == 50
    x = family.train.examples()
    assert [CLASSES[label] for label in class_of(x.x)] == [family.train.class_names[y] for y in x.y]


def test_splits_by_example_are_pooled():
    family = from_huggingface({"train": Table(0, 33), "test": Table(33, 50)}, **SMALL)
    whole = from_huggingface(Table(), **SMALL)
    assert family.classes == whole.classes
    assert torch.equal(*(one.train.sample(2, generator=seeded()).query.x for one in (family, whole)))


def test_a_name_is_fetched_by_the_library_where_it_is(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    library = types.ModuleType("datasets")
    library.load_dataset = lambda name: asked.append(name) or {"train": Table()}
    monkeypatch.setitem(sys.modules, "datasets", library)
    assert sorted(all_names(from_huggingface("some/pictures", **SMALL))) == CLASSES
    assert asked == ["some/pictures"]
    monkeypatch.setitem(sys.modules, "datasets", None)
    message = (
        r"`dataset='some/pictures'`: expected the `datasets` library, .* got none installed\. Run: pip install \"quickstudy\[hugg"
    )
    with pytest.raises(UnsupportedError, match=message):
        from_huggingface("some/pictures", **SMALL)


# ---- bad data sets ------------------------------------------------------------------------------------------------------


def test_no_labels():
    message = (
        r"`dataset`: expected labels as \.targets, \.labels, \.y, got a Pictures without them\. Pass labels=\[\.\.\.\], one for"
    )
    dataset = Pictures()
    with pytest.raises(LabelError, match=message):
        from_dataset(dataset, **SMALL)
    assert dataset.decoded == []
    with pytest.raises(LabelError, match=r"got a Pictures without them"):
        from_dataset(Subset(dataset, [0, 1]), **SMALL)
    with pytest.raises(
        LabelError, match=r"`labels`: expected 50, one for each item, got 3\. Give labels in the order of the items"
    ):
        from_dataset(dataset, labels=[1, 2, 3])


def test_no_dataset():
    with pytest.raises(ArgumentError, match=r"`dataset`: expected a map-style Dataset: .* got a generator\. Put the items"):
        from_dataset(x for x in range(3))
    with pytest.raises(ArgumentError, match=r"got an empty list"):
        from_dataset([])


def test_items_that_do_not_fit():
    items: list[object] = [np.zeros(4)] * 50
    items[7] = np.zeros(5)
    with pytest.raises(ShapeError, match=r"`x`: expected examples of one shape, got .*\(5,\)"):
        from_dataset(items, labels=TARGETS, **LEAST)
    images: list[object] = [Image.new("L", (8, 8))] * 50
    images[7] = None
    with pytest.raises(
        DataError, match=r"`dataset\[7\]`: expected an image, as dataset\[0\] is, got a NoneType\. Leave such items out"
    ):
        from_dataset(images, labels=TARGETS, **LEAST)
    with pytest.raises(
        DataError, match=r"`dataset`: expected items with one of the keys image, img, .* got photo, label\. Rename"
    ):
        from_dataset([{"photo": 1, "label": 0}] * 50, labels=TARGETS, **LEAST)
    with pytest.raises(LabelError, match=r"`x`: expected numbers, got dtype <U4, such as 'text'\. Turn text into features first"):
        from_dataset([("text", 0)] * 50, labels=TARGETS, **LEAST)


def test_tables_that_do_not_fit():
    with pytest.raises(
        DataError, match=r"`x='photo'`: expected one of the columns image, label, got none of them\. Name the col.*: x="
    ):
        from_huggingface(Table(), x="photo")
    with pytest.raises(DataError, match=r"`y='class'`: expected one of the columns image, label"):
        from_huggingface(Table(), y="class")
    with pytest.raises(DataError, match=r"`dataset`: expected a data set of the `datasets` library, .* got a int\. For another"):
        from_huggingface({"train": 1})

    class Unlabelled(Table):
        def __getitem__(self, key):
            return [-1] * len(self) if key == "label" else super().__getitem__(key)

    with pytest.raises(DataError, match=r"`y='label'`: expected a label 0\.\.9 in each row, got rows without one\. A test split"):
        from_huggingface({"train": Table(), "test": Unlabelled()})

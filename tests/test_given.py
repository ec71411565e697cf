"""Data as people have them: arrays, tables, lists, labels of any integer type and names, taken by `Examples` and predictors."""

import copy
import pickle
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree

import quickstudy as qs
from quickstudy.arrays import as_inputs
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.targets import Binary, Labels, MultiLabel, TokenLabels, Values

X = [[0.0, 0.5], [1.0, 0.25], [0.0, 0.75], [1.0, 1.0]]
Y = [0, 1, 0, 1]
NAMES = ["cat", "dog", "cat", "dog"]


def prototypical():
    torch.manual_seed(0)
    return qs.Prototypical(qs.models.mlp(2, 4))


# ---- x -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint16", "uint32", "bool"])
def test_an_array_of_numbers_is_floats_in_the_default_dtype(dtype):
    x = qs.Examples((np.array(X) > 0.5).astype(dtype), Y).x
    assert x.dtype == torch.float32
    assert torch.equal(x, (torch.tensor(X) > 0.5).float())


def test_bytes_are_read_as_everywhere_in_0_to_1():
    x = qs.Examples(np.array([[0, 51], [255, 0]], dtype=np.uint8), [0, 1]).x
    torch.testing.assert_close(x, torch.tensor([[0.0, 0.2], [1.0, 0.0]]))


def test_floats_follow_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    assert qs.Examples(X, Y).x.dtype == qs.Examples(np.float32(X), Y).x.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int32, torch.bool])
def test_a_tensor_stays_the_very_tensor(dtype):
    x, y = torch.tensor(X).to(dtype), torch.tensor(Y)
    examples = qs.Examples(x, y)
    assert examples.x is x
    assert examples.y is y


class Parts(NamedTuple):
    picture: object
    age: object


def test_a_named_tuple_keeps_its_names():
    found = as_inputs(Parts(torch.ones(2, 3), [40, 50]))
    assert isinstance(found, Parts)
    assert found.age.tolist() == [40.0, 50.0]


def test_parts_that_are_tensors_stay_as_they_are():
    one = torch.tensor(X)
    for x in ({"a": one}, [one, one], (one, [one]), [[one], [one]]):
        assert qs.Examples(x, Y).x is x


def test_a_mapping_may_hold_arrays_and_lists():
    x = qs.Examples({"a": np.array(X), "ids": torch.tensor(Y), "b": X}, Y).x
    assert {key: value.dtype for key, value in x.items()} == {"a": torch.float32, "ids": torch.int64, "b": torch.float32}


def test_an_array_is_read_whatever_its_layout():
    x = np.array(X)
    assert torch.equal(qs.Examples(x[::-1].T[:, ::2], [0, 1]).x, torch.tensor(X).flip(0).T[:, ::2])
    x.flags.writeable = False
    assert torch.equal(qs.Examples(x, Y).x, torch.tensor(X))


def test_tables_of_pandas():
    import pandas

    table = pandas.DataFrame({"a": [0, 1, 0, 1], "b": [0.5, 0.25, 0.75, 1.0], "kind": NAMES})
    examples = qs.Examples(table[["a", "b"]], table["kind"])
    assert torch.equal(examples.x, torch.tensor(X))
    assert examples.target.names == ("cat", "dog")
    assert examples.y.tolist() == Y
    assert qs.Examples(table[["b"]], table["kind"].astype("category")).y.tolist() == Y
    assert qs.Examples(table[["b"]], table["a"].astype("Int64")).y.tolist() == Y
    assert qs.Examples(table[["a"]], table["b"]).target == Values()
    assert prototypical().adapt(examples).predict(table[["a", "b"]]).tolist() == NAMES
    with pytest.raises(LabelError, match=r"`x`: expected numbers, got dtype object"):
        qs.Examples(table, table["kind"])


REFUSED_X = {
    "text": ([["a", "b"]] * 4, LabelError, "`x`: expected numbers, got dtype <U1, such as 'a'. Turn text into features first."),
    "rows that differ": (
        [[1.0], [1.0, 2.0], [1.0], [1.0]],
        ShapeError,
        r"`x`: expected examples of one shape, got .1,. and",
    ),
    "one number": (3.0, ShapeError, "`x`: expected examples along the first axis, got the number 3.0. Give a list"),
    "complex": (np.ones((4, 2), dtype=complex), LabelError, "`x`: expected numbers, got dtype complex128"),
    "text in a part": ({"a": X, "b": ["t"] * 4}, LabelError, r"`x\['b'\]`: expected numbers"),
    "another length": (X[:3], ShapeError, r"expected x and y with the same number of examples .* got x of shape \(3, 2\)"),
}


@pytest.mark.parametrize("name", REFUSED_X)
def test_an_x_that_is_not_numbers(name):
    x, error, text = REFUSED_X[name]
    with pytest.raises(error, match=text):
        qs.Examples(x, Y)


# ---- y -----------------------------------------------------------------------------------------------------------------


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_any_integers(dtype):
    for y in (np.array(Y, dtype=dtype), list(np.array(Y, dtype=dtype)), torch.tensor(Y).to(getattr(torch, dtype))):
        examples = qs.Examples(X, y)
        assert examples.y.dtype == torch.int64
        assert examples.y.tolist() == Y
        assert examples.target == Labels(2)
        assert qs.Examples(X, y, 3).target == Labels(3)


def test_lists_and_tuples_of_labels_and_tensors():
    for y in (Y, tuple(Y), [torch.tensor(label) for label in Y], [label == 1 for label in Y]):
        assert torch.equal(qs.Examples(X, y).y, torch.tensor(Y))


def test_numbers_are_values():
    for y in ([0.5, 1, 2, 3], np.array([0.5, 1, 2, 3]), np.float16([0.5, 1, 2, 3])):
        examples = qs.Examples(X, y)
        assert examples.target == Values()
        assert torch.equal(examples.y, torch.tensor([0.5, 1, 2, 3]))
    assert qs.Examples(X, [[0.5], [1.0], [2.0], [3.0]]).y.shape == (4, 1)


def test_integers_are_numbers_for_a_kind_without_classes():
    assert torch.equal(qs.Examples(X, Y, target=Values()).y, torch.tensor(Y).float())
    assert qs.Examples(X, np.array(Y) == 1, target=Binary()).y.dtype == torch.float32
    assert qs.Examples(X, [[0, 1]] * 4, target=MultiLabel()).y.dtype == torch.float32
    assert qs.Examples(X, [[0, 1, -100]] * 4, target=TokenLabels(2)).y.dtype == torch.int64


def test_a_batch_of_tasks_from_lists():
    examples = qs.Examples([X, X], [Y, Y])
    assert examples.y.shape == (2, 4)
    assert examples.ways == 2


REFUSED_Y = {
    "a gap": (([0, 2, 0, 2],), LabelError, r"`y`: expected the labels 0\.\.1, .* give them as text, which keeps their names"),
    "below 0": (([0, -1, 0, 1], 2), LabelError, "got the label -1"),
    "text and numbers": ((["a", 1, "a", 1],), LabelError, r"`y`: expected the name of a class .* got 1 at y\[1\], among text"),
    "a missing name": ((["a", None, "b", "a"],), LabelError, r"got None at y\[1\], among text. Name every class"),
    "a column of names": (([["a"], ["b"]] * 2,), LabelError, r"got names of shape \(4, 1\). Take the column, y\[:, 0\]"),
    "fewer names than ways": ((NAMES, 3), LabelError, "expected the names of 3 classes, as `ways` says, got 2: cat, dog"),
    "an unknown name": (
        (NAMES, None, Labels(2, ("ant", "dog"))),
        LabelError,
        "the target's classes: ant, dog, got 'cat'",
    ),
    "names of numbers": ((NAMES, None, Values()), LabelError, r"`y`: expected numbers, for Values.*, got 'cat'"),
    "rows that differ": (([[1.0], [1.0, 2.0], [1.0], [1.0]],), ShapeError, "`y`: expected examples of one shape"),
}


@pytest.mark.parametrize("name", REFUSED_Y)
def test_a_y_that_is_not_labels(name):
    (y, ways, target), error, text = (*REFUSED_Y[name][0], None, None)[:3], *REFUSED_Y[name][1:]
    with pytest.raises(error, match=text):
        qs.Examples(X, y, ways, target=target)


# ---- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [list, tuple, np.array, lambda names: np.array(names, dtype=object)])
def test_names_are_numbered_in_sorted_order_and_kept(make):
    examples = qs.Examples(X, make(["dog", "cat", "dog", "ant"]))
    assert examples.y.tolist() == [2, 1, 2, 0]
    assert examples.target == Labels(3, names=("ant", "cat", "dog"))
    assert repr(examples.target) == "Labels(count=3, names=('ant', 'cat', 'dog'))"


def test_names_survive_what_examples_go_through():
    examples = qs.Examples(X, NAMES)
    for other in (
        examples.map(torch.clone),
        examples.like(examples.x, examples.y),
        pickle.loads(pickle.dumps(examples)),
        copy.deepcopy(examples),
        pytree.tree_unflatten(*reversed(pytree.tree_flatten(examples))),
    ):
        assert other.target == examples.target
        assert hash(other.target) == hash(examples.target)
    assert examples.target != Labels(2)


def test_a_query_is_read_by_the_names_of_its_support():
    support = qs.Examples(X, NAMES)
    query = qs.Examples(X[:1], ["dog"], target=support.target)
    assert query.y.tolist() == [1]
    qs.Episode(support, query)
    with pytest.raises(LabelError, match=r"the same names of classes .* got cat, dog and dog. Read the query"):
        qs.Episode(support, qs.Examples(X[:1], ["dog"]))


def test_permuted_labels_have_no_names():
    batch = qs.Episode(*(qs.Examples(X, NAMES).map(lambda leaf: leaf[None].clone()) for _ in range(2)))
    permuted = qs.tasks.PermuteLabels()(batch, torch.Generator().manual_seed(0))
    assert permuted.support.target == permuted.query.target == Labels(2)


def test_a_predictor_answers_in_names(tmp_path):
    predictor = prototypical().adapt(qs.Examples(X, NAMES))
    assert predictor(X).shape == (4, 2)
    answer = predictor.predict(X)
    assert isinstance(answer, np.ndarray)
    assert answer.tolist() == [predictor.target.names[label] for label in predictor(X).argmax(1).tolist()]
    predictor.save(tmp_path / "saved")
    again = qs.load(tmp_path / "saved")
    assert again.target == predictor.target
    assert again.predict(X).tolist() == answer.tolist()
    assert pickle.loads(pickle.dumps(predictor)).predict(X).tolist() == answer.tolist()


def test_names_that_do_not_fit():
    with pytest.raises(ArgumentError, match="`names`: expected 3 names, one for each class, got 2"):
        Labels(3, names=("a", "b"))
    with pytest.raises(ArgumentError, match="`names`: expected a name of its own for every class, got 'a' twice"):
        Labels(2, names=("a", "a"))


# ---- predictors and learners -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True])
def test_x_is_brought_to_the_dtype_of_the_learner(double):
    learner = prototypical().double() if double else prototypical()
    support = qs.Examples(torch.tensor(X, dtype=torch.float64 if double else torch.float32), Y)
    predictor = learner.adapt(support)
    want = predictor(support.x)
    for x in (X, np.array(X), np.float32(X)):
        assert torch.equal(predictor(x), want)
        assert torch.equal(predictor.predict_proba(x), predictor.predict_proba(support.x))
        assert torch.equal(learner(support, x), learner(support, support.x))


def test_a_learner_without_weights_takes_the_dtype_of_its_support():
    predictor = qs.Prototypical(torch.nn.Identity()).adapt(qs.Examples(torch.tensor(X, dtype=torch.float64), Y))
    assert predictor(X).dtype == torch.float64


def test_arrays_answer_as_the_tensors_do():
    learner = prototypical()
    of_lists, of_tensors = (learner.adapt(qs.Examples(*one)) for one in ((X, Y), (torch.tensor(X), torch.tensor(Y))))
    assert torch.equal(of_lists(X), of_tensors(torch.tensor(X)))


def test_a_tensor_of_another_dtype_is_named():
    learner = prototypical()
    with pytest.raises(ArgumentError, match=r"`support.x`: expected tensors of the dtype .* got torch.float64, .* x\.float\(\)"):
        learner.adapt(qs.Examples(torch.tensor(X, dtype=torch.float64), Y))
    predictor = learner.adapt(qs.Examples(X, Y))
    for dtype in (torch.float64, torch.int64, torch.uint8, torch.float16):
        with pytest.raises(ArgumentError, match=rf"`predictor\(x\)`: expected tensors of the dtype .* got {dtype}"):
            predictor(torch.tensor(X).to(dtype))


def test_an_x_that_the_predictor_cannot_take():
    predictor = prototypical().adapt(qs.Examples(X, Y))
    with pytest.raises(ShapeError, match=r"`predictor\(x\)`: expected x with a leading axis .* got \(1, 3\)"):
        predictor([[1, 2, 3]])
    with pytest.raises(LabelError, match="`x`: expected numbers, got dtype <U1"):
        predictor([["a", "b"]])


def test_nothing_is_read_inside_transforms():
    learner, support = prototypical(), qs.Examples(X, Y)
    batch = torch.tensor(X).expand(3, 4, 2)

    def answer(x):
        return learner(qs.Examples(x, support.y, target=Labels(2, ("a", "b"))), x)

    assert torch.func.vmap(answer)(batch).shape == (3, 4, 2)


def test_inputs_are_what_the_numbers_are():
    assert as_inputs([1, 2]).tolist() == [1.0, 2.0]
    assert as_inputs(np.uint8([255])).tolist() == [1.0]

"""Transducer: the loss is its equations', no query's y is seen, what is written is greedy, copying copies, and it learns."""

from __future__ import annotations

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.text.strings.layers import causal
from quickstudy.domains.text.strings.transducer import shifted
from quickstudy.errors import ArgumentError, DataError, LabelError, ShapeError, TaskError
from quickstudy.targets.tokens import counted

LENGTH = 8
STRINGS = qs.tasks.Strings(LENGTH)
SMALL = {"width": 16, "heads": 2, "depth": 1}


def learner(**arguments):
    return qs.Transducer(LENGTH, **{**SMALL, **arguments})


def episode():
    return qs.Episode(
        STRINGS.pairs(["anna", "bert", "cleo 2"], ["A.", "B.", "C."]), STRINGS.pairs(["dora", "emil"], ["D.", "E."])
    )


def given_true(model, task):
    """log p of the queries' bytes, all of it, under teacher forcing."""
    seen = {}

    def criterion(prediction, y):
        seen["p"] = prediction
        return task.query.target.loss(prediction, y)

    seen["loss"] = model.loss(task, criterion)
    return seen


def test_the_loss_is_the_cross_entropy_of_the_whole_distribution():
    """It is computed of y's bytes alone; the criterion sees all 256."""
    model, task = learner(), episode()
    seen = given_true(model, task)
    torch.testing.assert_close(seen["p"].exp().sum(-1), torch.ones(2, LENGTH), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.loss(task), seen["loss"], rtol=1e-5, atol=1e-5)
    (g,) = torch.autograd.grad(model.loss(task), model.gates.weight)
    (h,) = torch.autograd.grad(given_true(model, task)["loss"], model.gates.weight)
    torch.testing.assert_close(g, h, rtol=1e-4, atol=1e-6)
    assert float(g.abs().max()) > 1e-6


def test_what_it_writes_is_greedy_and_what_teacher_forcing_says_of_it():
    model, task = learner().double(), episode()
    answer = model(task.support, task.query.x)
    own = qs.Episode(task.support, qs.Examples(task.query.x, answer.argmax(-1), target=task.query.target))
    torch.testing.assert_close(given_true(model, own)["p"], answer, rtol=1e-9, atol=1e-9)


def test_no_answer_sees_the_queries_y():
    """Neither a prediction nor a score's prediction; and the loss does, which shows that the test could fail."""
    model, task = learner(), episode()
    other = qs.Episode(task.support, STRINGS.pairs(["dora", "emil"], ["xyz", "zzzzzzzz"]))
    answers = [model(one.support, one.query.x) for one in (task, other)]
    assert torch.equal(*answers)
    assert float(model.loss(task).detach()) != float(model.loss(other).detach())
    seen = []

    class Fixed:
        protocol, ways = {"ways": None, "shots": 3, "queries": 2}, None

        def __init__(self, one):
            self.one = one

        def sample(self, n, *, generator=None):
            from quickstudy.episode import stack

            return stack([self.one] * n)

    from quickstudy.evaluation.metrics import Metric

    kept = Metric("kept", lambda p, y, target: seen.append(p.clone()) or p.sum())
    for one in (task, other):
        qs.evaluate(model, Fixed(one), 2, metrics=[kept], executor="loop")
    assert torch.equal(seen[0], seen[2])


def test_a_byte_sees_those_before_it_and_none_behind():
    """Under teacher forcing: a change of y[t] changes log p of no place up to t, and of later ones."""
    model, task = learner(), episode()
    changed = task.query.y.clone()
    changed[:, 1] = 200
    other = qs.Episode(task.support, qs.Examples(task.query.x, changed, target=task.query.target))
    one, two = given_true(model, task)["p"], given_true(model, other)["p"]
    assert torch.equal(one[:, :2], two[:, :2])
    assert not torch.equal(one[:, 2], two[:, 2])
    assert shifted(changed)[0].tolist() == [0, *changed[0, :-1].tolist()]
    assert causal(torch.zeros(1, 1, 4)) is None
    assert (causal(torch.zeros(1, 3, 4)) < -1e8).tolist() == [[False, True, True], [False, False, True], [False] * 3]


def test_it_depends_on_the_support_and_not_on_what_fills_its_rows():
    model, task = learner(), episode()
    others = STRINGS.pairs(["anna", "bert", "cleo 2"], ["a!", "b!", "c!"])
    assert not torch.equal(model(task.support, task.query.x), model(others, task.query.x))
    y = task.support.y.clone()
    y[0, 4] = 77  # behind the end
    assert not bool(counted(y)[0, 4])
    loose = task.support.like(task.support.x, y)
    torch.testing.assert_close(model(loose, task.query.x), model(task.support, task.query.x))


class Gated(torch.nn.Module):
    """Gates that take one of the five parts alone."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, h):
        gates = h.new_full((*h.shape[:-1], 5), -1e4)
        gates[..., self.part] = 0.0
        return gates


@pytest.mark.parametrize(
    ("part", "allowed"),
    [(1, set(b"A.B.C.\0")), (2, set(b"dora")), (3, set(b"DORA")), (4, set(b"dora"))],
    ids=["the support's answers", "x", "x in capitals", "x in small letters"],
)
def test_a_copy_is_of_the_bytes_that_there_are(part, allowed):
    model, task = learner(), episode()
    model.gates = Gated(part)
    p = model(task.support, {name: leaf[:1] for name, leaf in task.query.x.items()})[0].exp()
    likely = {int(byte) for byte in (p > 1e-4).nonzero()[:, 1]}
    assert likely <= allowed
    assert len(likely) > 1


def test_it_learns_to_copy_what_it_never_saw():
    """Strings turned to capitals or not, as the support shows; the words of the test are in no training task."""
    from random import Random

    from quickstudy.episode import stack

    def task(random):
        words = ["".join(random.choice("abcdefgh") for _ in range(3)) for _ in range(6)]
        write = random.choice((str.upper, lambda word: word[:1], lambda word: word + "-"))
        return qs.Episode(*(STRINGS.pairs(part, [write(word) for word in part]) for part in (words[:3], words[3:])))

    class Drawn(qs.tasks.TaskDistribution):
        ways, shots, queries = None, 3, 3

        def sample(self, n, *, generator=None):
            random = Random(int(torch.randint(2**31, (), generator=generator)))
            return stack([task(random) for _ in range(n)])

        def examples(self):
            raise NotImplementedError

        def to(self, device):
            return self

        def check_protocol(self):
            pass

    model = learner(width=32)
    outer = qs.Gradient(qs.Backprop(), lambda parameters: torch.optim.Adam(parameters, lr=5e-3))
    qs.meta_train(model, Drawn(), steps=100, tasks_per_step=8, outer=outer, executor="vmap", seed=0, clip=1.0, progress=False)
    assert qs.evaluate(model, Drawn(), 20, seed=1, executor="vmap").mean > 0.5
    done = model.complete({"abc": "ABC", "fgh": "FGH", "bad": "BAD"}, ["cab", "hag"])
    assert done == ["CAB", "HAG"]


def test_what_is_refused():
    with pytest.raises(ArgumentError, match="`width`: expected a multiple of heads=4, got 30"):
        qs.Transducer(width=30)
    model, task = learner(), episode()
    with pytest.raises(LabelError, match=r"`support.y`: expected strings of bytes, Tokens\(256\), got Labels"):
        model.adapt(qs.Examples(task.support.x, torch.tensor([0, 1, 2])))
    longer = qs.tasks.Strings(LENGTH + 1)
    with pytest.raises(ShapeError, match=r"`support`: expected rows of length=8 bytes, got \[\(9,\), \(9,\)\]"):
        model.adapt(longer.pairs(["a"], ["b"]))
    with pytest.raises(ShapeError, match="with a leading axis of examples and features of shape"):
        model.adapt(task.support).predict(longer.inputs(["a"]))
    with pytest.raises(DataError, match=r"`rest\[0\]`: expected at most 8 bytes"):
        model.complete({"a": "b"}, ["x" * 9])
    with pytest.raises(TaskError, match="`support`: expected at least one example"):
        model.complete({}, ["x"])
    assert model.complete({"a": "b"}, []) == []


def test_a_saved_learner_completes_the_same_in_another_process(tmp_path):
    import subprocess
    import sys

    model = learner()
    model.save(tmp_path / "learner")
    code = f"import quickstudy as qs; print(qs.load({str(tmp_path / 'learner')!r}).complete({{'a': 'b'}}, ['c', 'd']))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == repr(model.complete({"a": "b"}, ["c", "d"]))

"""Every domain in every episode: in which order, how many of each class, and what cannot be drawn."""

from __future__ import annotations

import re

import pytest
import torch
from tests.tasks.test_across import CLASSES, DOMAINS, EACH, bare, data, rows_of, seeded

import quickstudy as qs
from quickstudy.errors import ArgumentError, TaskError, UnsupportedError
from quickstudy.tasks.distribution.fingerprint import fingerprint


def every(shots: int = 1, queries: int = 2) -> qs.tasks.DomainTasks:
    return qs.tasks.by_domain(data(ways=CLASSES, shots=shots, queries=queries), "domain")


def test_domain_by_domain_each_class_under_its_own_number():
    drawn = every().sample(20, generator=seeded())
    for t in range(20):
        for part, each in ((drawn[t].support, 1), (drawn[t].query, 2)):
            assert part.x[:, 1].tolist() == [d for d in range(DOMAINS) for _ in range(CLASSES * each)]
            assert torch.equal(part.x[:, 0].long(), part.y)
            assert torch.bincount(part.y * DOMAINS + part.x[:, 1].long()).tolist() == [each] * (CLASSES * DOMAINS)
        seen = torch.cat([drawn[t].support.x, drawn[t].query.x])
        assert len(seen.unique(dim=0)) == len(seen)  # no example twice
        assert drawn[t].class_names == ("0", "1", "2", "3")
    labels = drawn.query.y.view(20, DOMAINS, -1)
    assert not bool((labels == labels[:1, :1]).all())  # within a domain the order is random


def test_every_example_of_a_class_in_a_domain_is_as_likely():
    drawn = every(shots=0, queries=1).sample(3000, generator=seeded())
    of_first = drawn.query.x[(drawn.query.x[..., 0] == 0) & (drawn.query.x[..., 1] == 0)]
    counts = torch.bincount(of_first[:, 2].long(), minlength=EACH).double()
    assert float(counts.sum()) == 3000
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 13.8  # 2 degrees of freedom, p = 0.001


def test_without_a_support_and_with_one_domain():
    tasks = qs.tasks.by_domain(qs.tasks.of_domains(data(ways=CLASSES, shots=0, queries=3), "domain", ["d4"]), "domain")
    drawn = tasks.sample(2)
    assert drawn.support.x.shape == (2, 0, 3)
    assert set(drawn.query.x[..., 1].unique().tolist()) == {4.0}
    assert tasks.protocol == {"ways": 4, "shots": 0, "queries": 3, "by_domain": "domain", "domains": ["d4"]}
    assert repr(tasks).endswith("ways=4, shots=0, queries=3, by_domain='domain')")


def test_a_family_and_fewer_classes_stay_by_domain():
    split = {"train": ["d0", "d1", "d2"], "validation": ["d3"], "test": ["d4", "d5"]}
    family = qs.tasks.by_domain(qs.tasks.domain_split(data(ways=CLASSES, shots=1, queries=1), "domain", split), "domain")
    assert {name: part.domains for name, part in family.parts.items()} == {name: tuple(one) for name, one in split.items()}
    fewer = qs.tasks.by_domain(data(ways=CLASSES, shots=1, queries=1).with_(ways=2).only([3, 1]), "domain")
    assert set(fewer.sample(3).query.x[..., 0].unique().tolist()) == {1.0, 3.0}
    one, two = (every().sample(3, generator=seeded(5)) for _ in range(2))
    assert torch.equal(one.query.x, two.query.x)
    assert fingerprint(every())["train"] == fingerprint(every())["train"] != fingerprint(data(ways=CLASSES))["train"]


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (
            lambda: qs.tasks.by_domain(data([r for c in range(3) for r in rows_of(c, 1)], ways=CLASSES), "domain"),
            TaskError,
            "expected 4 examples of every class in every domain, got 3 of class '0' in 'd0', which has 4 of the 4 classes",
        ),
        (  # a domain with one class
            lambda: qs.tasks.by_domain(
                data([r for c in range(3) for r in rows_of(c, 1)], ways=CLASSES, shots=0, queries=1), "domain"
            ),
            TaskError,
            "expected 1 examples of every class in every domain, got 0 of class '0' in 'd1', which has 1 of the 4 classes",
        ),
        (  # a class in one domain only
            lambda: qs.tasks.by_domain(
                data([r for d in range(1, 6) for r in rows_of(2, d)], ways=CLASSES, shots=0, queries=1), "domain"
            ),
            TaskError,
            "got 0 of class '2' in 'd1', which has 3 of the 4 classes. Lower `shots` and `queries`, or leave out that class",
        ),
        (lambda: qs.tasks.by_domain(data(), "domain"), ArgumentError, "`ways`: expected all 4 classes, where they keep"),
        (lambda: qs.tasks.by_domain(bare(), "domain"), ArgumentError, "`by`: expected nothing: these data have no columns"),
        (
            lambda: qs.tasks.by_domain(qs.tasks.Sinusoid().train, "domain"),
            UnsupportedError,
            "`by_domain`: expected tasks of labelled data, each example of which is of a domain, got",
        ),
        (lambda: qs.tasks.by_domain(data(ways=CLASSES), "domian"), ArgumentError, "got 'domian'. Did you mean 'domain'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, error, said):
    with pytest.raises(error, match=re.escape(said)):
        make()

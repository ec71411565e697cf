"""Episodes across domains: who is in the support, who in the query, with what probability; and what is refused."""

from __future__ import annotations

import re

import pytest
import torch

import quickstudy as qs
from quickstudy.errors import ArgumentError, TaskError, UnsupportedError
from quickstudy.tasks.distribution.fingerprint import fingerprint

CLASSES, DOMAINS, EACH = 4, 6, 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def data(drop: list[int] | None = None, **options) -> qs.tasks.LabelledTasks:
    """x = (class, domain, number): 4 classes of 3 examples in each of 6 domains, in a shuffled order; without some rows."""
    grid = torch.cartesian_prod(torch.arange(CLASSES), torch.arange(DOMAINS), torch.arange(EACH)).float()
    kept = [row for row in torch.randperm(len(grid), generator=seeded()).tolist() if row not in (drop or [])]
    x = grid[kept]
    domain = [f"d{int(one)}" for one in x[:, 1]]
    protocol = {"ways": 3, "shots": 2, "queries": 2, **options}
    return qs.tasks.LabelledTasks(x, x[:, 0].long(), columns={"domain": domain}, **protocol)


def rows_of(cls: int, domain: int) -> list[int]:
    start = (cls * DOMAINS + domain) * EACH
    return list(range(start, start + EACH))


def bare() -> qs.tasks.LabelledTasks:
    return qs.tasks.LabelledTasks(torch.randn(40, 2), torch.arange(40) % 4, ways=2, queries=2)


def without(domain: int) -> qs.tasks.LabelledTasks:
    """Three of the four classes have no example in this domain."""
    return data([row for cls in range(3) for row in rows_of(cls, domain)], shots=1, queries=1)


@pytest.mark.parametrize("support", [1, 2, 5])
def test_no_domain_is_in_support_and_query(support):
    """Control: ordinary episodes of the same data share domains in most tasks."""

    def sides(tasks) -> list[tuple[set, set]]:
        drawn = tasks.sample(200, generator=seeded(1))
        each = [drawn[t] for t in range(200)]
        return [(set(one.support.x[:, 1].tolist()), set(one.query.x[:, 1].tolist())) for one in each]

    apart = sides(qs.tasks.across(data(queries=1), by="domain", support=support))
    assert not any(left & right for left, right in apart)
    assert max(len(left) for left, _ in apart) <= support
    assert sum(bool(left & right) for left, right in sides(data(queries=1))) > 100


def test_classes_and_labels_are_those_of_an_episode():
    tasks = qs.tasks.across(data(), by="domain")
    drawn = tasks.sample(50, generator=seeded())
    for t in range(50):
        one = drawn[t]
        for part, each in ((one.support, 2), (one.query, 2)):
            assert torch.bincount(part.y).tolist() == [each] * 3
            assert all(one.class_names[label] == str(int(cls)) for label, cls in zip(part.y.tolist(), part.x[:, 0], strict=True))
        seen = torch.cat([one.support.x, one.query.x])
        assert len(seen.unique(dim=0)) == len(seen)  # no example twice


def test_every_example_of_a_domain_is_as_likely():
    """Chi-square over the 18 examples of a class, each equally often in the support; a control weights are told by is above."""
    tasks = qs.tasks.across(data(ways=1, shots=1, queries=1), by="domain", support=2)
    drawn = tasks.sample(6000, generator=seeded())
    x = drawn.support.x[:, 0]
    cells = (x[:, 1] * EACH + x[:, 2]).long()
    counts = torch.bincount(cells, minlength=DOMAINS * EACH).double()
    chi = float(((counts - 6000 / 18) ** 2 / (6000 / 18)).sum())
    assert chi < 40.8  # 17 degrees of freedom, p = 0.001
    skewed = counts.clone()
    skewed[:3] *= 1.5
    assert float(((skewed - skewed.sum() / 18) ** 2 / (skewed.sum() / 18)).sum()) > 40.8


def test_a_seed_repeats_and_the_protocol_says_so():
    tasks = qs.tasks.across(data(), by="domain")
    one, two = (tasks.sample(5, generator=seeded(3)) for _ in range(2))
    assert torch.equal(one.query.x, two.query.x)
    assert tasks.protocol == {
        "ways": 3,
        "shots": 2,
        "queries": 2,
        "across": "domain",
        "support_domains": 3,
        "renumber": True,
    }
    assert repr(tasks).endswith("ways=3, shots=2, queries=2, across='domain')")
    assert tasks.with_(shots=1).protocol["shots"] == 1
    assert tasks.with_(shots=1).sample(2).support.x.shape == (2, 3, 3)


def test_fewer_classes_and_a_split_stay_across():
    tasks = qs.tasks.across(data(ways=1), by="domain", support=2)
    for part in (tasks.only([2, 0]), *tasks.split((2, 1, 1), seed=0).parts.values()):
        assert part.protocol["across"] == "domain"
        assert part.protocol["support_domains"] == 2
        drawn = part.sample(20, generator=seeded())
        assert not any(
            set(one.support.x[:, 1].tolist()) & set(one.query.x[:, 1].tolist()) for one in (drawn[t] for t in range(20))
        )


def test_the_fingerprint_is_of_the_domains():
    """A run that was trained across other domains is another run."""
    plain = data()
    other = qs.tasks.LabelledTasks(
        plain.x, plain.y, ways=3, shots=2, queries=2, columns={"domain": [str(n % 6) for n in range(72)]}
    )
    prints = [fingerprint(one)["train"] for one in (qs.tasks.across(plain, "domain"), qs.tasks.across(data(), "domain"), plain)]
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]
    assert fingerprint(qs.tasks.across(other, "domain"))["train"] != prints[0]


def test_classes_keep_their_numbers_where_they_are_asked_to():
    tasks = qs.tasks.across(data(ways=4), by="domain", renumber=False)
    drawn = tasks.sample(20, generator=seeded())
    assert torch.equal(drawn.support.x[..., 0].long(), drawn.support.y)
    assert torch.equal(drawn.query.x[..., 0].long(), drawn.query.y)
    with pytest.raises(ArgumentError, match=r"`ways`: expected all 4 classes, where they keep their numbers .*, got 3"):
        qs.tasks.across(data(), by="domain", renumber=False)


def test_all_classes_and_those_of_one_group_contradict_each_other():
    plain = data(ways=2)
    columns = {"domain": plain.columns["domain"], "half": {name: str(int(name) // 2) for name in plain.class_names}}
    grouped = qs.tasks.LabelledTasks(plain.x, plain.y, ways=2, queries=2, columns=columns, within="half")
    drawn = qs.tasks.across(grouped, by="domain").sample(20)
    assert all(len({int(cls) // 2 for cls in drawn[t].support.x[:, 0]}) == 1 for t in range(20))  # within goes with across
    with pytest.raises(
        ArgumentError, match="`renumber=False`: expected all classes in every episode, got tasks within one 'half'"
    ):
        qs.tasks.across(grouped, by="domain", renumber=False)


def test_domains_are_split_with_the_same_classes():
    split = {"train": ["d0", "d1", "d2"], "validation": ["d3"], "test": ["d4", "d5"]}
    family = qs.tasks.domain_split(data(shots=1, queries=1), "domain", split)
    for part, names in split.items():
        assert set(family.parts[part].x[:, 1].tolist()) == {float(name[1]) for name in names}
        assert family.parts[part].class_names == ["0", "1", "2", "3"]
    assert family.with_(shots=2).same_classes
    inside = qs.tasks.across(family.train, by="domain", support=2)
    assert set(inside.sample(50).support.x[..., 1].unique().tolist()) == {0.0, 1.0, 2.0}
    with pytest.raises(TaskError, match="expected parts that share no class"):
        qs.tasks.TaskFamily(family.train, None, family.test)  # not said, so it may be a leak


def test_a_family_goes_across_part_by_part():
    x, y = torch.randn(400, 2), torch.arange(400) % 10
    drawer = [str(row // 100) for row in range(400)]
    family = qs.tasks.from_arrays(x, y, ways=2, queries=3, columns={"drawer": drawer})
    across = qs.tasks.across(family, by="drawer")
    assert across.test.protocol["across"] == "drawer"
    assert across.classes == family.classes


@pytest.mark.needs("Omniglot")
def test_omniglot_has_its_drawers(omniglot_root):
    tasks = qs.tasks.Omniglot(omniglot_root, ways=5, shots=1, queries=5)
    across = qs.tasks.across(tasks, by="drawer")
    assert across.test.protocol["support_domains"] == 10
    assert across.train.sample(2).query.x.shape == (2, 25, 1, 28, 28)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: qs.tasks.across(data(), by="domian"), ArgumentError, "`by`: expected one of the columns domain, got 'domian'"),
        (
            lambda: qs.tasks.across(
                qs.tasks.LabelledTasks(torch.randn(40, 2), torch.arange(40) % 4, ways=2, queries=2), by="domain"
            ),
            ArgumentError,
            "`by`: expected nothing: these data have no columns, got 'domain'. Name the domain of each example",
        ),
        (lambda: qs.tasks.across(qs.tasks.Sinusoid().train, by="a"), UnsupportedError, "expected tasks of labelled data"),
        (
            lambda: qs.tasks.across(data(), by="domain", support=6),
            ArgumentError,
            "`across(support=)`: expected 1 to 5 of the 6 domains of 'domain', so that others are left for the query, got 6",
        ),
        (
            lambda: qs.tasks.across(data([row for d in range(1, 6) for row in rows_of(2, d)], shots=1, queries=1), by="domain"),
            TaskError,
            "expected 1 examples of every class in any 3 of the domains, got 0 of class '2', which is in 'd0' alone",
        ),
        (
            lambda: qs.tasks.across(
                data([row for c in range(3) for row in rows_of(c, 1)], shots=1, queries=1), by="domain", support=1
            ),
            TaskError,
            "expected 1 examples of every class in any 1 of the domains, got 0 of class '0', which is in 5 of the 6 domains",
        ),
        (
            lambda: qs.tasks.of_domains(data(rows_of(1, 0)), "domain", ["d0"]),
            TaskError,
            "expected an example of every class in these domains, got none of class '1' in d0",
        ),
        (lambda: qs.tasks.of_domains(data(), "domain", ["d9"]), ArgumentError, "expected domains of 'domain', got 'd9'"),
        (
            lambda: qs.tasks.domain_split(data(), "domain", {"train": ["d0"], "test": ["d0"]}),
            TaskError,
            "`split`: expected each domain in one part, got 'd0' in train and in test",
        ),
        (lambda: qs.tasks.domain_split(data(), "domain", {"tests": ["d0"]}), ArgumentError, "got 'tests'. Did you mean 'test'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, error, said):
    with pytest.raises(error, match=re.escape(said)):
        make()


# ---- named domains, one domain for the query, and what must not be in both: translations ---------------------------------


def sentences(languages: str = "efg", each: int = 8, **options) -> qs.tasks.LabelledTasks:
    """x = (class, language, sentence): 3 classes of `each` sentences, every one in every language, in a shuffled order."""
    grid = torch.cartesian_prod(torch.arange(3), torch.arange(len(languages)), torch.arange(each)).float()
    x = grid[torch.randperm(len(grid), generator=seeded())]
    columns = {
        "language": [languages[int(one)] for one in x[:, 1]],
        "sentence": [f"{int(cls)}-{int(number)}" for cls, _, number in x],
    }
    return qs.tasks.LabelledTasks(x, x[:, 0].long(), columns=columns, **{"ways": 3, "shots": 2, "queries": 3, **options})


def said(examples) -> list[set]:
    """The sentences of each task."""
    return [{(int(cls), int(number)) for cls, _, number in task} for task in examples.x]


@pytest.mark.parametrize("apart", ["sentence", None])
def test_no_translation_of_the_support_is_asked_about(apart):
    """Control: without `apart` most tasks ask about one."""
    tasks = qs.tasks.across(sentences(), by="language", support=["e"], apart=apart)
    drawn = tasks.sample(100, generator=seeded(2))
    shared = sum(bool(known & asked) for known, asked in zip(said(drawn.support), said(drawn.query), strict=True))
    assert shared == 0 if apart else shared > 50
    assert set(drawn.support.x[..., 1].unique().tolist()) == {0.0}
    assert set(drawn.query.x[..., 1].unique().tolist()) == {1.0, 2.0}


def test_a_query_of_one_language():
    tasks = qs.tasks.across(sentences(), by="language", support=["e"], query=1, apart="sentence")
    drawn = tasks.sample(100, generator=seeded(2))
    languages = [set(task.tolist()) for task in drawn.query.x[..., 1]]
    assert all(len(one) == 1 for one in languages)
    assert {1.0, 2.0} == set.union(*languages)
    assert tasks.protocol["support_domains"] == ["e"]
    assert tasks.protocol["query_domains"] == 1
    assert tasks.protocol["apart"] == "sentence"
    part = tasks.with_(ways=2).only([0, 2])
    assert part.protocol == {**tasks.protocol, "ways": 2}
    few = part.sample(9, generator=seeded())
    assert not any(known & asked for known, asked in zip(said(few.support), said(few.query), strict=True))


def test_as_many_are_left_as_are_asked_for():
    """Of 8 sentences two are known, and six can be asked about: 12 examples in two languages, 6 in one."""
    for query, most in ((None, 12), (1, 6)):
        options = {"by": "language", "support": ["e"], "query": query, "apart": "sentence"}
        drawn = qs.tasks.across(sentences(queries=most), **options).sample(20, generator=seeded())
        assert not any(known & asked for known, asked in zip(said(drawn.support), said(drawn.query), strict=True))
        assert all(len(task.unique(dim=0)) == 3 * most for task in drawn.query.x)
        with pytest.raises(TaskError, match=f"queries={most + 1}, across 'language'`: expected {most + 1} .* whose 'sentence'"):
            qs.tasks.across(sentences(queries=most + 1), **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"support": ["en"]}, "`across(support=)`: expected domains of 'language', got 'en'"),
        ({"support": ["e", "f", "g"]}, "`across(support=)`: expected 1 to 2 of the 3 domains of 'language'"),
        ({"support": []}, "`across(support=)`: expected 1 to 2 of the 3 domains of 'language'"),
        ({"support": 2, "query": 2}, "`across(query=)`: expected at most the 1 domains of 'language' that are not of"),
        ({"apart": "sentences"}, "`apart`: expected one of the columns language, sentence, got 'sentences'"),
        ({"support": "e"}, "`across(support=)`: expected a list of names, got 'e'. Give ['e']"),
    ],
)
def test_domains_that_are_not_there_are_refused(options, said):
    with pytest.raises(ArgumentError, match=re.escape(said)):
        qs.tasks.across(sentences(), by="language", **options)

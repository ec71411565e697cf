"""Formats, inflections and phrases: what they draw, that the parts share no rule, and what they refuse."""

from __future__ import annotations

from random import Random

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.text.strings.formats import Format, raw_format, wanted_format
from quickstudy.domains.text.strings.grammars import inflection, phrases, translation
from quickstudy.domains.text.strings.records import KINDS, MONTHS
from quickstudy.domains.text.strings.tasks import SHARES, part_of
from quickstudy.errors import ArgumentError, TaskError

SPLITS = ("train", "validation", "test")
FAMILIES = {"formats": qs.tasks.Formats, "inflections": qs.tasks.Inflections, "phrases": qs.tasks.PhraseTranslations}


def texts(examples):
    """The pairs of one task."""
    named = examples.target.named
    return list(zip(named(examples.x["ids"]).tolist(), named(examples.y).tolist(), strict=True))


def drawn(part, n, seed=0):
    return list(part.sample(n, generator=torch.Generator().manual_seed(seed)))


def rules(monkeypatch, family, part, n):
    """The rules that were written for n tasks of a part, by watching what draws them."""
    from quickstudy.domains.text.strings import families, formats, tasks

    seen = []

    def watched(split, draw, written):
        rule = tasks.drawn_for(split, draw, written)
        seen.append(written(rule))
        return rule

    with monkeypatch.context() as patch:
        for module in (families, formats):
            patch.setattr(module, "drawn_for", watched)
        drawn(getattr(FAMILIES[family](), part), n)
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parts_share_no_rule(family, monkeypatch):
    found = {part: set(rules(monkeypatch, family, part, 60)) for part in SPLITS}
    assert all(len(each) > 3 for each in found.values())
    for part, each in found.items():
        assert {part_of(rule) for rule in each} == {part}
        assert not any(each & found[other] for other in SPLITS if other != part)


def test_a_rule_is_parted_by_its_hash_as_the_shares_say():
    parts = [part_of(f"rule {number}") for number in range(4000)]
    for part, share in SHARES.items():
        assert parts.count(part) / 4000 == pytest.approx(share / 100, abs=0.02)
    assert part_of("date: year full, month padded, day padded") == "test"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_formats_in_every_part_and_a_layout_has_no_text_around(kind):
    random = Random(0)
    for part in SPLITS:
        found = [wanted_format(kind, part, random) for _ in range(40)]
        layouts = {one.layout for one in found}
        assert len(layouts) > 1
        assert all(part_of(layout) == part for layout in layouts)
        assert len({one.between for one in found}) > 5
    one = found[0]
    assert Format(one.kind, one.parts, tuple("!" for _ in one.between)).layout == one.layout


@pytest.mark.parametrize("kind", KINDS)
def test_raw_text_loses_nothing(kind):
    """Two records that differ are written differently, in any raw format."""
    random = Random(1)
    for _ in range(10):
        given, records = raw_format(kind, random), [KINDS[kind].draw(random) for _ in range(200)]
        different = {tuple(sorted(record.items())) for record in records}
        assert len({given.write(record) for record in records}) == len(different)


def test_dates_mean_what_they_say():
    """The day, month and year of each given date are those of the wanted one, for a format that has them all."""
    iso = Format("date", (("year", "full"), ("month", "padded"), ("day", "padded")), ("<", "-", "-", ">"))
    named = Format("date", (("day", "plain"), ("month", "short lower name"), ("year", "short")), ("", " ", " '", ""))
    record = {"day": "7", "month": "11", "year": "1999"}
    assert (iso.write(record), named.write(record)) == ("<1999-11-07>", "7 nov '99")
    assert len(set(MONTHS)) == 12
    amounts = KINDS["amount"].fields["whole"]
    assert [amounts[f"grouped by '{mark}'"]("1234567") for mark in ",. "] == ["1,234,567", "1.234.567", "1 234 567"]
    assert amounts["grouped by ','"]("12") == "12"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("part", SPLITS)
def test_episodes_are_pairs_of_one_rule_and_the_same_for_the_same_seed(family, part):
    tasks = getattr(FAMILIES[family](shots=5, queries=4), part)
    batch, again = (tasks.sample(3, generator=torch.Generator().manual_seed(2)) for _ in range(2))
    other = tasks.sample(3, generator=torch.Generator().manual_seed(3))
    assert batch.support.y.shape == (3, 5, 32)
    assert batch.query.x["ids"].shape == batch.query.x["mask"].shape == (3, 4, 32)
    assert torch.equal(batch.query.y, again.query.y)
    assert not torch.equal(batch.query.y, other.query.y)
    for episode in batch:
        pairs = texts(episode.support) + texts(episode.query)
        assert len({given for given, _ in pairs}) == 9, "no query is in the support"
        assert all(given and wanted for given, wanted in pairs)


def test_a_form_is_made_of_its_stem_as_the_grammar_says():
    from quickstudy.domains.text.strings.grammars import Inflection

    cases = {
        ("fixed", "none", "kept", "none"): "kabolun",
        ("first syllable again", "none", "kept", "none"): "bobolun",
        ("none", "first vowel", "kept", "none"): "belun",
        ("none", "last vowel", "kept", "none"): "bolen",
        ("none", "every vowel", "kept", "none"): "belen",
        ("none", "last vowel doubled", "kept", "none"): "boluun",
        ("none", "none", "last letter left out", "none"): "bolu",
        ("none", "none", "last vowel left out", "none"): "bolun",
        ("none", "none", "last letter again", "none"): "bolunn",
        ("none", "none", "kept", "fixed"): "bolunta",
        ("none", "none", "kept", "by the last letter"): "boluntu",
        ("none", "none", "kept", "with the last vowel"): "bolunuta",
        ("fixed", "last vowel", "last letter left out", "fixed"): "kaboleta",
    }
    for (prefix, change, end, suffix), want in cases.items():
        behind = ("ta", "tu") if suffix == "by the last letter" else ("ta", "ta")
        rule = Inflection(prefix, change, end, suffix, "ka", "e", behind)
        assert rule.form("bolun") == want, rule.written
    assert Inflection("none", "none", "last vowel left out", "by the last letter", "", "e", ("ta", "tu")).form("bolu") == "bolta"


def test_inflections_change_words():
    random = Random(0)
    for _ in range(200):
        rule = inflection(random)
        assert [rule.form(stem) for stem in ("bolun", "tadi", "gekumas")] != [
            "bolun",
            "tadi",
            "gekumas",
        ] or "vowel" in rule.change


def test_every_word_of_a_query_is_in_the_support():
    random = Random(0)
    for _ in range(100):
        language = translation(random)
        found = phrases(language, 5, 8, random)
        assert len(found) == len(set(found)) == 13
        known = {(place, word) for phrase in found[:5] for place, word in enumerate(phrase.split())}
        assert {(place, word) for phrase in found[5:] for place, word in enumerate(phrase.split())} <= known
        said = [word for words in language.words for word in words.values()]
        assert len(set(said)) == len(said)


def test_what_is_refused():
    with pytest.raises(ArgumentError, match=r"`kinds`: expected one of date, name, .*, got colour"):
        qs.tasks.Formats(kinds=("colour",))
    with pytest.raises(ArgumentError, match="`kinds`: expected names of kinds of records, got 'date'"):
        qs.tasks.Formats(kinds="date")
    with pytest.raises(ArgumentError, match=r"`kinds`: expected names of kinds of records, got \(\)"):
        qs.tasks.Formats(kinds=())
    for family in FAMILIES.values():
        with pytest.raises(ArgumentError, match="`length`: expected 24 or more, so that strings fit, got 8"):
            family(length=8)
        with pytest.raises(ArgumentError, match="`queries`"):
            family(queries=0)
    with pytest.raises(
        ArgumentError, match="`shots`: expected 4 or more, so that every word of a query is in the support, got 3"
    ):
        qs.tasks.PhraseTranslations(shots=3)
    with pytest.raises(TaskError, match=r"`shots, queries`: expected at most 16 phrases, .*, got 9 \+ 8"):
        qs.tasks.PhraseTranslations(shots=9, queries=8)
    with pytest.raises(TaskError, match=r"got 6 \+ 12"):
        qs.tasks.PhraseTranslations().train.with_(shots=(4, 6), queries=12)


def test_the_truth_is_the_kind():
    tasks = qs.tasks.Formats(kinds=("amount", "date")).test
    episodes, truth = tasks.sample_with_truth(12, generator=torch.Generator().manual_seed(0))
    assert set(truth["kind"].tolist()) == {0, 1}
    years = [any(str(year) in given for year in range(1950, 2040)) for given, _ in (texts(one.support)[0] for one in episodes)]
    assert [bool(kind) for kind in truth["kind"]] == years

"""Tagged sentences as tasks: where a word's label stands, which sentences are in which part, and what is refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.text.encoders import ByteConv, ByteTransformer, NGramWords
from quickstudy.domains.text.repeats import in_units
from quickstudy.domains.text.tokens import tags_of
from quickstudy.errors import ArgumentError, DataError, DataWarning, LabelError, ShapeError, TaskError
from quickstudy.targets import NONE, TokenLabels
from quickstudy.tasks import Bytes, GroupTasks, from_tokens
from quickstudy.tasks.distribution.content import Content

LANGUAGES = ("de", "da", "en", "it", "nl", "日本")
STYLES = [f"{a}{b}" for a in ("jazz", "rock", "funk", "soul") for b in ("", "-pop", " folk", "née")]
TOKENS = [[f"{language}-play", style, "now"] for language in LANGUAGES for style in STYLES]
TAGS = [["O", "B-style", "B-time"] for _ in TOKENS]
GROUP = [language for language in LANGUAGES for _ in STYLES]
MEANING = [style for _ in LANGUAGES for style in STYLES]
SMALL = {"length": 32, "shots": 2, "queries": 1}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text(ids: torch.Tensor) -> str:
    return bytes(ids[ids > 0].tolist()).decode()


# ---- what an episode holds -----------------------------------------------------------------------------------------------


def test_each_word_has_its_label_at_its_first_byte():
    family = from_tokens(TOKENS, TAGS, GROUP, part="test", **SMALL)
    kind = family.test.target
    assert kind == TokenLabels(3, names=("O", "B-style", "B-time"))
    examples = family.test.examples()
    assert examples.x["ids"].shape == examples.y.shape == (len(TOKENS), 32)
    for ids, y in zip(examples.x["ids"], examples.y, strict=True):
        sentence = text(ids)
        words = next(own for own in TOKENS if " ".join(own) == sentence)
        at, want = 0, {}
        for word, tag in zip(words, ("O", "B-style", "B-time"), strict=True):
            want[at] = tag
            at += len(word.encode()) + 1
        assert {place: kind.names[label] for place, label in enumerate(y.tolist()) if label != NONE} == want


def test_a_task_is_of_one_language_and_asks_about_other_sentences():
    family = from_tokens(TOKENS, TAGS, GROUP, split={"train": ["de", "da", "en"], "val": ["it"], "test": ["日本", "nl"]}, **SMALL)
    episodes = family.test.sample(40, generator=seeded())
    assert episodes.query.y.shape == (40, 1, 32)
    seen = set()
    for support, query in zip(episodes.support.x["ids"], episodes.query.x["ids"], strict=True):
        asked, learned = {text(ids) for ids in query}, {text(ids) for ids in support}
        (language,) = {one.split("-")[0] for one in asked | learned}
        assert not asked & learned
        seen.add(language)
    assert seen == {"日本", "nl"}


def test_translations_keep_to_one_part():
    """Control: without them each part has every sentence."""
    family = from_tokens(TOKENS, TAGS, GROUP, translations=MEANING, **SMALL)
    sentences = {name: {text(ids).split("-play ")[1] for ids in part.examples().x["ids"]} for name, part in family.parts.items()}
    assert [len(one) for one in sentences.values()] == [10, 3, 3]
    assert set.union(*sentences.values()) == {f"{style} now" for style in STYLES}
    assert sum(map(len, sentences.values())) == len(STYLES)
    for name, groups in family.classes.items():
        assert family.parts[name].index.counts.tolist() == [len(sentences[name])] * len(groups)
    loose = from_tokens(TOKENS, TAGS, GROUP, **SMALL)
    assert {len(part.y) // len(part.class_names) for part in loose.parts.values()} == {len(STYLES)}


def test_units_are_connected_by_text_and_by_translation():
    assert in_units(["a", "b", "A", "c"], ["1", "1", "2", "2"]) == [0, 0, 0, 0]
    assert in_units(["a", "b", "c"], ["1", "2", "3"]) == [0, 1, 2]
    texts = ["x", "y", "z", "y"]
    assert in_units(texts, ["1", "2", "3", "3"]) == [0, 1, 1, 1]


# ---- sentences that are there twice --------------------------------------------------------------------------------------


def test_a_sentence_twice_in_a_language_is_kept_once():
    with pytest.warns(DataWarning, match="1 of 97 texts were left out: they are there twice"):
        family = from_tokens([["DE-play", "Jazz", "now"], *TOKENS], [TAGS[0], *TAGS], ["de", *GROUP], part="test", **SMALL)
    assert len(family.test.y) == len(TOKENS)


def test_a_sentence_with_two_taggings_is_refused_or_left_out():
    more = [TOKENS[0], *TOKENS], [["O", "O", "O"], *TAGS], [GROUP[0], *GROUP]
    said = r"expected texts of one tagging each, got 1 of several, such as 'de-play jazz now' in 'O O O' and 'O B-style B-time'"
    with pytest.raises(TaskError, match=said):
        from_tokens(*more, **SMALL)
    with pytest.warns(DataWarning, match="2 of 97 texts were left out: they are there twice, 1 of them in several taggings"):
        family = from_tokens(*more, repeats="leave out", part="test", **SMALL)
    assert len(family.test.y) == len(TOKENS) - 1


def test_a_sentence_of_two_parts_is_refused_or_left_out_of_the_earlier():
    split = {"train": ["de", "da", "en"], "val": ["it"], "test": ["nl", "日本"]}
    more = [["ok", "jazz"], ["OK", "jazz"], *TOKENS], [["O", "B-style"]] * 2 + TAGS, ["nl", "de", *GROUP]
    said = r"`tokens`: expected parts that share no text, got 1 texts in two, such as 'OK jazz'\. Leave them out of the earlier"
    with pytest.raises(TaskError, match=said):
        from_tokens(*more, split=split, **SMALL)
    with pytest.warns(DataWarning, match="1 texts were left out: a later part has them"):
        family = from_tokens(*more, split=split, repeats="leave out", **SMALL)
    found = [[text(ids) for ids in part.examples().x["ids"]] for part in family.parts.values()]
    assert "OK jazz" not in found[0]
    assert "ok jazz" in found[2]


def test_parts_that_were_made_apart_are_compared_when_they_are_put_together():
    one = from_tokens(TOKENS, TAGS, GROUP, part="test", **SMALL)
    other = from_tokens(TOKENS, TAGS, [f"{name}2" for name in GROUP], part="test", **SMALL)
    with pytest.raises(TaskError, match="expected parts that share no example, got 96 of 96 examples of the second in the first"):
        qs.tasks.TaskFamily(one.test, None, other.test)
    with pytest.raises(ShapeError, match=r"`content`: expected 3 keys, one for each example, got 1"):
        GroupTasks(
            torch.zeros(3, 1),
            torch.zeros(3, 1),
            torch.arange(3),
            list("abc"),
            shots=0,
            queries=1,
            content=Content.of_texts("texts", ["a"]),
        )


# ---- what is refused -----------------------------------------------------------------------------------------------------

WRONG = {
    "tags of another length": (
        {"tags": [["O"], *TAGS[1:]]},
        ShapeError,
        r"`tags\[0\]`: expected a tag for each word, got 1 tags of 3 words: de-play jazz now\. 'O' is the tag of no slot",
    ),
    "tags of fewer sentences": (
        {"tags": TAGS[1:]},
        ShapeError,
        "`tokens, tags`: expected tags for each sentence, got 96 and",
    ),
    "tags in one text": ({"tags": ["O O O", *TAGS[1:]]}, ShapeError, r"`tags\[0\]`: expected a tag for each word, got 'O O O'"),
    "a tag that is missing": ({"tags": [["O", None, "O"], *TAGS[1:]]}, LabelError, r"`tags\[0\]"),
    "a language with one class": (
        {"tags": [["O", "O", "O"]] * len(STYLES) + TAGS[len(STYLES) :]},
        LabelError,
        r"`tags`: expected two tags or more in every group, got 'O' alone in 'de'\. Leave it out",
    ),
    "a tag without a name": (
        {"names": ["O", "B-style"]},
        LabelError,
        r"`tags\[0\]`: expected one of 2 tags: O, B-style, got 'B-time'\. Name it too",
    ),
    "a sentence in one text": (
        {"tokens": ["de-play jazz now", *TOKENS[1:]]},
        DataError,
        r"`tokens\[0\]`: expected a list of words, got 'de-play jazz now'\. Split sentences into words",
    ),
    "an empty sentence": ({"tokens": [[], *TOKENS[1:]]}, DataError, r"`tokens\[0\]`: expected a list of words, got \[\]"),
    "an empty word": ({"tokens": [["a", " ", "b"], *TOKENS[1:]]}, DataError, r"`tokens\[0\]\[1\]`: expected a text, got ' '"),
    "half of a pair": (
        {"tokens": [["a", "\ud83d", "b"], *TOKENS[1:]]},
        DataError,
        "half of a surrogate pair, U.D83D",
    ),
    "fewer languages": ({"group": GROUP[1:]}, ShapeError, r"`group`: expected one for each of 96 sentences, got 95"),
    "fewer translations": (
        {"translations": MEANING[1:]},
        ShapeError,
        r"`translations`: expected one for each of 96 sentences, got 95",
    ),
    "two languages": (
        {"group": ["a", "b"] * 48},
        TaskError,
        r"`group`: expected three groups or more, got 2\. .* or give part='test'",
    ),
    "too few sentences": ({"shots": 16}, TaskError, r"expected at least 17 rows of every group, got 16 of group"),
    "part and split": ({"part": "test", "split": (1, 1, 1)}, ArgumentError, "`split`"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name):
    changes, error, said = WRONG[name]
    given = {"tokens": TOKENS, "tags": TAGS, "group": GROUP, **SMALL, **changes}
    with pytest.raises(error, match=said):
        from_tokens(**given)


def test_a_language_that_shares_no_sentence_with_its_part():
    """By `translations` the sentences of a part are some; a group may have none of them."""
    meaning = [f"{group} {style}" for group, style in zip(GROUP, MEANING, strict=True)]
    keep = [row for row, group in enumerate(GROUP) if group != "it" or MEANING[row] == "jazz"]
    tokens, tags, group, shared = ([one[row] for row in keep] for one in (TOKENS, TAGS, GROUP, meaning))
    split = {"train": ["it", "da"], "val": ["de"], "test": ["en", "nl", "日本"]}
    found = []
    for seed in range(12):
        try:
            from_tokens(tokens, tags, group, translations=shared, split=split, seed=seed, length=32, shots=0, queries=1)
        except TaskError as error:
            found.append(str(error))
    assert any("`group`: expected sentences of every group of train, got none of 'it'. Bring more" in one for one in found)


def test_what_is_beyond_the_length_is_said():
    with pytest.warns(DataWarning) as caught:
        family = from_tokens(TOKENS, TAGS, GROUP, part="test", length=14, shots=1, queries=1)
    said = [str(one.message) for one in caught]
    assert any("longer than 14 bytes" in one for one in said)
    assert any("of 288 words are not read, so they have no label: nothing is scored there" in one for one in said)
    assert family.test.y.shape == (96, 14)


# ---- learners on them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ByteConv, ByteTransformer, partial(NGramWords, buckets=256)])
def test_a_learner_finds_the_slot_of_a_new_language(make, tmp_path):
    family = from_tokens(TOKENS, TAGS, GROUP, translations=MEANING, length=32, shots=2, queries=1)
    network = make(features=3, width=16, depth=2, pool=False)
    learner = qs.MAML(network, inner_lr=0.05, inner_steps=2)
    options = {"tasks_per_step": 2, "validation_episodes": 4, "validate_every": 30, "executor": "loop", "progress": False}
    qs.meta_train(learner, family, steps=60, out=tmp_path / "run", **options)
    assert Bytes.load(tmp_path / "run") == Bytes(length=32)
    found = qs.evaluate(learner, family.test, 20, executor="loop")
    assert found.metric.name == "span_f1"
    assert found.mean > 0.8
    words = [["nl-play", "kabaret", "now"]]
    reads = family.preprocessing
    predictor = learner.adapt(family.test.sample(1, generator=seeded())[0].support)
    answers = predictor.predict(reads.apply(reads.read([" ".join(one) for one in words])))
    assert answers.shape == (1, 32)
    (tags,) = tags_of(words, answers)
    assert tags[0] == "O"
    assert set(tags) <= {"O", "B-style", "B-time"}


def test_answers_for_words():
    answers = [["a", "b", "c", "d", "e"]]
    assert tags_of([["é", "x", "yz", "w"]], answers) == [["a", "d", "", ""]]
    with pytest.raises(ShapeError, match=r"`answers`: expected answers for each sentence, got 1 and 2"):
        tags_of([["a"], ["b"]], answers)

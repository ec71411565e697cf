"""Texts as tasks: what is read, what is refused, and what a learner sees of it."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from torch.func import functional_call, grad, vmap

import quickstudy as qs
from quickstudy.cli import main
from quickstudy.domains.text.clean import clean, key
from quickstudy.domains.text.encoders import ByteConv, ByteTransformer, NGramBag, NGramFrequencies, NGramWords
from quickstudy.domains.text.repeats import without_repeats
from quickstudy.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    DataWarning,
    LabelError,
    ShapeError,
    TaskError,
    UnsupportedError,
)
from quickstudy.tasks import Bytes

VERBS = ("open", "close", "find", "buy", "sell", "paint")
THINGS = ("the door", "a window", "my house", "the car", "a boat", "that hat")
TEXTS = [f"{verb} {thing}" for verb in VERBS for thing in THINGS]
LABELS = [text.split()[0] for text in TEXTS]
PROTOCOL = {"ways": 2, "shots": 2, "queries": 3, "split": (2, 2, 2)}


class WithHead(NGramFrequencies):
    """Six logits from the frequencies."""

    def __init__(self):
        super().__init__(features=6, n=(2, 3), buckets=97)
        torch.manual_seed(0)
        self.head = torch.nn.Linear(103, 6)

    def forward(self, ids, mask):
        return self.head(super().forward(ids, mask))


ENCODERS = {
    "bag": lambda: NGramBag(features=6, buckets=97, width=4),
    "frequencies": WithHead,
    "words": lambda: NGramWords(features=6, width=8, depth=2, buckets=97),
    "convolutions": lambda: ByteConv(features=6, width=8, depth=2),
    "transformer": lambda: ByteTransformer(features=6, width=8, depth=2, heads=2),
}


def tasks(**more):
    return qs.tasks.from_texts(TEXTS, LABELS, length=16, **{**PROTOCOL, **more})


# ---- what is read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("né", [110, 195, 169]),
        ("ne\u0301", [110, 195, 169]),  # the same letter, composed
        ("  on \n", [111, 110]),
        ("日", [230, 151, 165]),
        ("שלום", list("שלום".encode())),  # from right to left
        ("👍🏽", list("👍🏽".encode())),
    ],
)
def test_a_text_is_its_bytes(text, raw):
    (ids,) = Bytes(length=12).read([text]).tolist()
    assert ids == raw + [0] * (12 - len(raw))
    seen = Bytes(length=12).apply(torch.tensor([ids], dtype=torch.uint8))
    assert seen["ids"].tolist() == [ids]
    assert seen["mask"].sum() == len(raw)


def test_a_text_of_a_megabyte_is_cut_and_said():
    said = r"`texts`: 1 of 2 are longer than 8 bytes, the longest of 1048576: the rest is not read\. Give length="
    with pytest.warns(DataWarning, match=said):
        ids = Bytes(length=8).read(["a" * (1 << 20), "b"])
    assert ids.tolist() == [[97] * 8, [98] + [0] * 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"`texts\[1\]`: expected a text, got ''\. Leave rows without words out"),
        (" \t\u3000", r"`texts\[1\]`: expected a text, got ' .*Leave rows without words out"),
        ("a\0b", r"`texts\[1\]`: expected a text of Unicode characters, got the character NUL at place 1"),
        ("ab\ud83d", r"got half of a surrogate pair, U\+D83D at place 2"),
        (None, r"`texts\[1\]`: expected a text, got None of type NoneType"),
        (3.0, r"`texts\[1\]`: expected a text, got 3\.0 of type float"),
    ],
)
@pytest.mark.wrong_types
def test_what_is_no_text(text, said):
    with pytest.raises(DataError, match=said):
        qs.tasks.from_texts(["hello", text, "bye"], ["a", "b", "c"])


def test_case_width_and_spaces_do_not_tell_texts_apart():
    assert key("Good  Day") == key("good day") == key("ｇｏｏｄ day")
    assert key("good day") != key("good days")
    assert clean(" Good  Day ", "x") == "Good  Day"


# ---- texts that are there twice ------------------------------------------------------------------------------------------


def test_a_text_twice_in_a_class_is_kept_once():
    with pytest.warns(DataWarning, match=r"`texts`: 2 of 38 texts were left out: they are there twice\. What is learned"):
        family = qs.tasks.from_texts(
            [*TEXTS, "OPEN the door", "open  the door"], [*LABELS, "open", "open"], length=16, **PROTOCOL
        )
    assert sum(len(part.y) for part in family.parts.values()) == len(TEXTS)


def test_a_text_in_two_classes_is_refused_or_left_out():
    texts, labels = [*TEXTS, "Open the door"], [*LABELS, "close"]
    said = r"`texts`: expected texts of one class each, got 1 of several, such as 'Open the door' in 'open' and 'close'\. Mend"
    with pytest.raises(TaskError, match=said):
        qs.tasks.from_texts(texts, labels, **PROTOCOL)
    with pytest.warns(DataWarning, match=r"2 of 37 texts were left out: they are there twice, 1 of them in several classes"):
        assert without_repeats(texts, labels, "leave out") == list(range(1, 36))


def test_every_source_of_texts_keeps_one_of_two(tmp_path):
    """A table, lines, files and arrays; each with a sentence twice in its class, and with one in two classes."""
    pairs = [*zip(TEXTS, LABELS, strict=True), ("OPEN the door", "open")]

    def table(pairs):
        (tmp_path / "t.csv").write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in pairs)]))
        return partial(qs.tasks.from_csv, tmp_path / "t.csv", text="text")

    def lines(pairs):
        rows = [json.dumps({"text": text, "label": label}) for text, label in pairs]
        (tmp_path / "t.jsonl").write_text("\n".join(rows))
        return partial(qs.tasks.from_json_lines, tmp_path / "t.jsonl")

    def folder(pairs):
        root = tmp_path / str(len(pairs))
        for place, (text, label) in enumerate(pairs):
            (root / label).mkdir(parents=True, exist_ok=True)
            (root / label / f"{place:02d}.txt").write_text(text)
        return partial(qs.tasks.from_folder, root)

    def arrays(pairs):
        return partial(qs.tasks.from_arrays, [text for text, _ in pairs], [label for _, label in pairs], kind="texts")

    for source in (table, lines, folder, arrays):
        with pytest.warns(DataWarning, match="1 of 37 texts were left out"):
            family = source(pairs)(**PROTOCOL)
        assert sum(len(part.y) for part in family.parts.values()) == len(TEXTS)
        twice = source([*pairs[:-1], ("open THE door", "close"), ("buy", "buy")])
        with pytest.raises(
            TaskError, match=r"expected texts of one class each, got 1 of several, such as '(?i:open the door)' in"
        ):
            twice(**PROTOCOL)
        with pytest.warns(DataWarning, match="2 of 38 texts were left out: they are there twice, 1 of them in several classes"):
            assert sum(len(part.y) for part in twice(**PROTOCOL, repeats="leave out").parts.values()) == len(TEXTS)


def test_a_file_that_is_no_text_is_left_out_where_asked(tmp_path):
    for place, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / f"{place:02d}.txt").write_text(text)
    (tmp_path / "open" / "zz.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "close" / "zz.txt").write_text("  ")
    with pytest.raises(DataError, match=r"open/zz\.txt \(.*; .*close/zz\.txt \("):
        qs.tasks.from_folder(tmp_path, **PROTOCOL)
    with pytest.warns(DataWarning, match="zz.txt"):
        family = qs.tasks.from_folder(tmp_path, broken="leave out", **PROTOCOL)
    assert sum(len(part.y) for part in family.parts.values()) == len(TEXTS)


def test_columns_keep_to_their_texts():
    language = [f"{row}" for row in range(len(TEXTS))]
    with pytest.warns(DataWarning, match="left out"):
        family = qs.tasks.from_texts([TEXTS[0], *TEXTS], [LABELS[0], *LABELS], columns={"row": ["x", *language]}, **PROTOCOL)
    rows = [part.columns["row"].groups[group] for part in family.parts.values() for group in part.columns["row"].of.tolist()]
    assert sorted(rows) == sorted(["x", *language[1:]])


# ---- the tasks -----------------------------------------------------------------------------------------------------------


def test_an_episode_has_the_texts_of_its_classes():
    family = tasks()
    episode = family.train.sample(1, generator=torch.Generator().manual_seed(0))[0]
    texts = [bytes(row[row > 0].tolist()).decode() for row in episode.support.x["ids"]]
    assert [text.split()[0] for text in texts] == [episode.class_names[label] for label in episode.support.y.tolist()]
    asked = [bytes(row[row > 0].tolist()).decode() for row in episode.query.x["ids"]]
    assert not set(texts) & set(asked)


def test_a_folder_of_files_and_a_csv_give_the_same_tasks(tmp_path):
    for row, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)):
        (tmp_path / "folder" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / label / f"{row:02d}.txt").write_text(text, encoding="utf-8-sig" if row % 2 else "utf-8")
    lines = ["sentence,intent,language", *(f"{text},{label},en" for text, label in zip(TEXTS, LABELS, strict=True))]
    (tmp_path / "all.csv").write_text("\n".join(lines))
    objects = [json.dumps({"said": text, "intent": label}) for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "all.jsonl").write_text("\n".join(objects) + "\n\n")
    found = [
        tasks(),
        qs.tasks.from_folder(tmp_path / "folder", length=16, **PROTOCOL),
        qs.tasks.from_csv(tmp_path / "all.csv", text="sentence", label="intent", length=16, **PROTOCOL),
        qs.tasks.from_json_lines(tmp_path / "all.jsonl", text="said", label="intent", length=16, **PROTOCOL),
        qs.tasks.from_arrays(TEXTS, LABELS, kind="texts", length=16, **PROTOCOL),
    ]
    batches = [one.train.sample(3, generator=torch.Generator().manual_seed(1)).query.x["ids"] for one in found]
    assert all(torch.equal(batches[0], one) for one in batches)
    assert found[2].train.columns["language"].groups == ("en",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a"}', r"line 2`: expected the field 'label', got the fields text\."),
        ('{"txt": "a", "label": "b"}', r"line 2`: expected the field 'text', got the fields txt, label\. Did you mean 'txt'"),
        ("[1]", r"line 2`: expected a JSON object, got '\[1\]'"),
        ("{", r"line 2`: expected a JSON object, got what does not parse as JSON"),
    ],
)
def test_lines_that_are_no_labelled_texts(tmp_path, line, said):
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": "y"}\n' + line)
    with pytest.raises(DataError, match=said):
        qs.tasks.from_json_lines(tmp_path / "a.jsonl")


def test_files_that_are_no_texts(tmp_path):
    with pytest.raises(DataError, match="expected a file of JSON lines in UTF-8"):
        qs.tasks.from_json_lines(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="expected lines of JSON, got none"):
        qs.tasks.from_json_lines(tmp_path / "empty.jsonl")
    for label in "abc":
        (tmp_path / label).mkdir()
        for name in "xy":
            (tmp_path / label / f"{name}.txt").write_bytes(f"{label} {name}".encode())
    (tmp_path / "a" / "x.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"expected a text in UTF-8"):
        qs.tasks.from_folder(tmp_path, ways=1, queries=1, split=(1, 1, 1))


def test_a_column_of_labels_that_is_not_there(tmp_path):
    (tmp_path / "a.csv").write_text("sentence,intent\nx,y\n")
    with pytest.raises(DataError, match=r"expected the column intend, got sentence, intent: 'intend' is missing"):
        qs.tasks.from_csv(tmp_path / "a.csv", text="sentence", label="intend")


def test_lengths_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"`texts, labels`: expected as many labels as texts, got 2 and 3"):
        qs.tasks.from_texts(["a", "b"], ["x", "y", "z"])
    with pytest.raises(ArgumentError, match="`length`: expected 1 or more, got 0"):
        Bytes(length=0)
    with pytest.raises(ShapeError, match=r"`x`: expected rows of 4 bytes, got \(2, 5\)"):
        Bytes(length=4).apply(torch.zeros(2, 5, dtype=torch.uint8))
    with pytest.raises(LabelError):
        qs.tasks.from_texts(["a", "b"], ["x", "y"])


def test_how_texts_are_read_is_saved_with_a_run(tmp_path, capsys):
    learner = qs.Prototypical(NGramBag(features=6, buckets=97, width=4))
    qs.meta_train(
        learner, tasks(), steps=2, tasks_per_step=2, validation_episodes=2, out=tmp_path / "run", progress=False, executor="loop"
    )
    run = qs.Run(tmp_path / "run", tasks=tasks())
    assert run.preprocessing == Bytes.load(tmp_path / "run") == Bytes(length=16)
    assert run.score(episodes=4).mean >= 0
    assert run.fitted(tasks(ways=1).test).preprocessing == run.preprocessing
    with pytest.raises(UnsupportedError, match=r"`tasks\.length`: expected 16, as the run was trained with, got 24"):
        run.fitted(qs.tasks.from_texts(TEXTS, LABELS, length=24, **PROTOCOL).test)
    images = qs.tasks.Strokes(ways=2, queries=2, classes=(4, 2, 2), examples=4)
    with pytest.raises(UnsupportedError, match=r"`tasks\.preprocessing`: expected Bytes, as the run was trained with, got Prep"):
        run.fitted(images.test)
    (tmp_path / "known.csv").write_text("text,label\nopen it,a\nclose it,b\n")
    words = ["--support", str(tmp_path / "known.csv"), "--query", str(tmp_path / "known.csv")]
    assert main(["predict", str(tmp_path / "run"), *words]) == 0
    assert "of the 2 texts with a label of the support" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "run"), "--support", "x"]) == 2
    assert "expected a run that was trained on images" in capsys.readouterr().err
    again = qs.load(tmp_path / "run" / "learner")
    episode = tasks().test.sample(1)[0]
    torch.testing.assert_close(again.adapt(episode.support)(episode.query.x), learner.adapt(episode.support)(episode.query.x))
    (tmp_path / "preprocessing.json").write_text("{}")
    with pytest.raises(CheckpointError):
        Bytes.load(tmp_path)


# ---- the encoders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODERS)
def test_what_stands_after_the_end_of_a_text_is_not_seen(name):
    network = ENCODERS[name]().double()
    short, long = Bytes(length=16), Bytes(length=24)
    texts = ["open it", "日本"]
    few, more = (network(**reads.apply(reads.read(texts))) for reads in (short, long))
    torch.testing.assert_close(few, more)
    other = network(**short.apply(short.read(["open in", "日木"])))
    assert (few - other).abs().amax(1).min() > 1e-4


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_is_encoded_by_itself_and_by_its_seed(name):
    network, reads = ENCODERS[name]().double(), Bytes(length=16)
    rows = reads.read(["open it", "close the door", "x"])
    whole = network(**reads.apply(rows))
    torch.testing.assert_close(whole[1:2], network(**reads.apply(rows[1:2])))
    twin = ENCODERS[name]().double()
    torch.testing.assert_close(whole, twin(**reads.apply(rows)), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [ByteConv, ByteTransformer, NGramWords])
def test_an_output_for_each_byte(kind):
    network, reads = kind(features=3, width=8, depth=1, pool=False), Bytes(length=16)
    assert network(**reads.apply(reads.read(["open it", "x"]))).shape == (2, 16, 3)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("executor", ["threads", "vmap"])
def test_the_second_order_gradient_is_that_of_the_loop(name, executor):
    network = ENCODERS[name]()
    learner = qs.MAML(network, inner_lr=0.5, inner_steps=2).double()
    family = qs.tasks.from_texts(TEXTS, LABELS, length=16, **{**PROTOCOL, "ways": 2})
    episodes = family.train.sample(3, generator=torch.Generator().manual_seed(0))
    loop = qs.meta_gradient(learner, episodes)[1]
    other = qs.meta_gradient(learner, episodes, executor=executor)[1]
    first = qs.meta_gradient(qs.FOMAML(network, inner_lr=0.5, inner_steps=2).double(), episodes)[1]
    for one in loop:
        torch.testing.assert_close(other[one], loop[one], rtol=1e-8, atol=1e-10)
    away = max((a - b).abs().max() for a, b in zip(loop.values(), first.values(), strict=True))
    assert away > 1e-5  # the control: without second derivatives


def test_the_bag_by_hand():
    """One text, 2-grams alone: the mean of the rows that its pairs of bytes hash to."""
    network, reads = NGramBag(features=5, n=(2,), buckets=50, width=4).double(), Bytes(length=8)
    raw = list(b"abca")
    grams = [(raw[i] + raw[i + 1] * (1_000_003 % 50)) % 50 for i in range(3)]
    mean = network.tables[0].weight[grams].mean(0)
    torch.testing.assert_close(network(**reads.apply(reads.read(["abca"])))[0], network.head(mean.relu()))
    (short,) = network(**reads.apply(reads.read(["a"])))  # no pair: the bias alone
    torch.testing.assert_close(short, network.head.bias)


def test_the_frequencies_by_hand():
    """2-grams alone, each counted; capitals are small letters, and what stands twice weighs log 3 where once weighs log 2."""
    network, reads = NGramFrequencies(features=3, n=(2,), buckets=5000).double(), Bytes(length=8)
    gram = lambda a, b: ((ord(a) + ord(b) * 1_000_003) % (2**31 - 1) + 2 * 7919) % (2**31 - 1) % 5000
    x = reads.apply(reads.read(["ABab", "a"]))
    counts = network.counts(**x)
    assert {int(k): float(counts[0, k]) for k in counts[0].nonzero()} == {gram("a", "b"): 2.0, gram("b", "a"): 1.0}
    assert not counts[1].any()
    u = counts[0].log1p()
    u = u / u.norm()
    v = u @ network.projection
    z = network.log_scale.exp() * torch.cat([u, network.log_share.exp() * v / v.norm()])
    torch.testing.assert_close(network(**x)[0], z)
    assert not network(**x)[1].any()  # no pair of letters: nothing is known
    assert network.log_scale.dtype == torch.float64
    slope = torch.autograd.grad(network(**x).square().sum(), network.projection, create_graph=True)[0].square().sum()
    assert all(
        bool(torch.isfinite(one).all()) for one in torch.autograd.grad(slope, list(network.parameters()), allow_unused=True)
    )
    assert not NGramFrequencies(n=(2,), lower=False).counts(**x)[0].equal(NGramFrequencies(n=(2,)).counts(**x)[0])


def test_the_weights_of_tf_idf_by_hand():
    """Of four texts two have "ab", all have "bc"; "zz" is in none, and weighs as if it were in one."""
    network, reads = NGramFrequencies(features=0, n=(2,), buckets=5000), Bytes(length=8)
    gram = lambda a, b: ((ord(a) + ord(b) * 1_000_003) % (2**31 - 1) + 2 * 7919) % (2**31 - 1) % 5000
    network.weigh_by_rarity(**reads.apply(reads.read(["abc", "abcbc", "bc", "xbc"])))
    weights = network.log_weights.detach().exp()
    logarithms = torch.tensor([2.0, 4.0, 4.0]).log()
    torch.testing.assert_close(weights[[gram("a", "b"), gram("x", "b"), gram("z", "z")]], logarithms)
    assert float(weights[gram("b", "c")]) == pytest.approx(0.01)
    assert network.log_weights.requires_grad


def test_the_words_by_hand():
    """2-grams alone, convolutions of zeros: each byte has the output of its word, whose 2-grams have the spaces around it."""
    network, reads = NGramWords(features=5, width=4, depth=1, n=(2,), buckets=50, pool=False).double(), Bytes(length=8)
    torch.nn.init.zeros_(network.convolutions[0].weight)
    torch.nn.init.zeros_(network.convolutions[0].bias)
    x = reads.apply(reads.read(["Ab c"]))
    gram = lambda a, b: (ord(a) + ord(b) * (1_000_003 % 50)) % 50
    words = [[gram(" ", "a"), gram("a", "b"), gram("b", " ")], [gram(" ", "c"), gram("c", " ")]]
    z = [network.head(network.norms[-1](network.tables[0].weight[own].sum(0) / len(own) ** 0.5)) for own in words]
    torch.testing.assert_close(network(**x)[0, :4], torch.stack([z[0], z[0], z[1], z[1]]))
    few = NGramWords(features=5, width=4, depth=1, n=(2,), buckets=50, words=1, pool=False)(**x)[0]
    torch.testing.assert_close(few[0], few[3])  # the second word is read as one with the first


def test_without_a_projection():
    network, reads = NGramFrequencies(features=0, buckets=50), Bytes(length=8)
    assert network(**reads.apply(reads.read(["good day"]))).shape == (1, 50)


@pytest.mark.parametrize("name", ["transformer", "frequencies", "words"])
def test_vmap_over_weights_and_texts(name):
    network, reads = ENCODERS[name](), Bytes(length=16)
    x = reads.apply(reads.read(TEXTS[:4]))
    parameters = {name: torch.stack([one, 2 * one]) for name, one in network.named_parameters()}
    both = vmap(lambda p: functional_call(network, p, (), x))(parameters)
    alone = functional_call(network, {name: one[1] for name, one in parameters.items()}, (), x)
    torch.testing.assert_close(both[1], alone, rtol=1e-4, atol=1e-5)
    slope = grad(lambda p: functional_call(network, p, (), x).square().mean())(dict(network.named_parameters()))
    assert all(bool(torch.isfinite(one).all()) for one in slope.values())


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: ByteConv(kernel=4), r"`kernel`: expected an odd number, got 4\. Give 5"),
        (lambda: NGramWords(kernel=2), r"`kernel`: expected an odd number, got 2\. Give 3"),
        (lambda: ByteTransformer(width=10, heads=4), r"`width`: expected a multiple of heads=4, got 10"),
        (lambda: NGramBag(buckets=0), r"`buckets`: expected 1 or more, got 0"),
        (lambda: NGramFrequencies(features=-1), r"`features`: expected 0 or more, got -1"),
    ],
)
def test_sizes_that_no_encoder_has(build, said):
    with pytest.raises(ArgumentError, match=said):
        build()


def test_texts_of_no_whole_number_of_patches():
    with pytest.raises(ShapeError, match=r"`length`: expected a multiple of patch=3, got 16"):
        ByteTransformer(patch=3)(torch.zeros(1, 16, dtype=torch.long), torch.ones(1, 16, dtype=torch.bool))


def test_meta_training_teaches_what_tells_texts_apart():
    """Words of a made-up language: a stem of three letters is the class, the ending says nothing. Other stems are asked about."""
    generator = torch.Generator().manual_seed(0)
    word = lambda n, letters: "".join(letters[int(one)] for one in torch.randint(8, (n,), generator=generator))
    stems = list(dict.fromkeys(word(3, "abcdefgh") for _ in range(60)))[:40]
    words = [(stem + word(5, "ijklmnop"), stem) for stem in stems for _ in range(8)]
    texts, labels = zip(*dict.fromkeys(words), strict=True)
    family = qs.tasks.from_texts(texts, labels, length=8, ways=4, shots=2, queries=2, split=(24, 6, 10))
    torch.manual_seed(0)
    learner = qs.Prototypical(ByteConv(features=16, width=16, depth=1, kernel=3))
    before = qs.evaluate(learner, family.test, 200).mean
    qs.meta_train(learner, family, steps=150, tasks_per_step=8, validation_episodes=20, executor="vmap", progress=False)
    after = qs.evaluate(learner, family.test, 200).mean
    assert after > before + 0.1
    assert after > 0.7


def test_a_sentence_in_two_data_sets_is_found_whatever_its_class_is_called():
    """By its words: case, width and spaces do not tell texts apart. Control: others share none."""

    def part(name: str, first: str) -> qs.tasks.LabelledTasks:
        texts = [f"{name} {row}" for row in range(12)]
        labels = [f"{name}{row // 4}" for row in range(12)]
        return qs.tasks.from_texts([first, *texts[1:]], labels, length=16, ways=2, queries=2, part="test").test

    one, other = part("open", "Where  is it?"), part("close", "where is IT?")
    message = r"got 1 of 12 examples of the second in the first too, by their content, such as one of class 'open0' .* 'close0'"
    with pytest.raises(TaskError, match=message):
        qs.tasks.TaskFamily(one, None, other)
    qs.tasks.TaskFamily(one, None, part("find", "where was it?"))

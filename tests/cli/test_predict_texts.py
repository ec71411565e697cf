"""predict on texts: tables, lines and folders of them; by bytes, or by the encoder that the run is of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, ByT5Tokenizer

import quickstudy as qs
from quickstudy.cli import main
from quickstudy.domains.text.encoder import Encoded

LABELLED = {
    "lost": ["I lost my card", "where is my bank card?", "my card was stolen"],
    "money": ["what is my balance", "how much money do I have", "show me my balance"],
    "weather": ["will it rain today", "is it going to rain in Rome", "what is the weather"],
}
ASKED = {"my card is lost": "lost", "tell me my balance": "money", "rain tomorrow?": "weather"}
WORDS = ["predict", "--support", "support.csv", "--query"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A support as CSV, as JSON lines and as a folder, and the same questions in four forms."""
    monkeypatch.chdir(tmp_path)
    pairs = [(text, label) for label, texts in LABELLED.items() for text in texts]
    table("support.csv", pairs)
    lines("support.jsonl", pairs)
    for place, (text, label) in enumerate(pairs):
        folder = Path("support") / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}.txt").write_text(text, encoding="utf-8")
    asked = list(ASKED.items())
    table("asked.csv", asked)
    lines("asked.jsonl", asked)
    Path("asked.txt").write_text("\n".join(ASKED) + "\n", encoding="utf-8")
    Path("asked").mkdir()
    for place, text in enumerate(ASKED):
        (Path("asked") / f"{place}.txt").write_text(text, encoding="utf-8")


def table(name, pairs, header=("text", "label")):
    rows = [",".join(header), *(",".join(f'"{one}"' for one in pair) for pair in pairs)]
    Path(name).write_text("\n".join(rows) + "\n", encoding="utf-8")


def lines(name, pairs):
    rows = [json.dumps({"text": text, "label": label}) for text, label in pairs]
    Path(name).write_text("\n".join(rows) + "\n", encoding="utf-8")


def answered(words, capsys) -> list[dict]:
    assert main([*words, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("support", ["support.csv", "support.jsonl", "support"])
@pytest.mark.parametrize("query", ["asked.csv", "asked.jsonl", "asked.txt", "asked"])
def test_every_form_gives_the_same_answers(here, support, query, capsys):
    rows = answered(["predict", "--support", support, "--query", query], capsys)
    assert {row["text"]: row["class"] for row in rows} == ASKED
    assert [row.get("label") for row in rows] == (list(ASKED.values()) if query.endswith((".csv", ".jsonl")) else [None] * 3)
    first = {"asked.csv": ("line", 2), "asked": ("file", "asked/0.txt")}.get(query, ("line", 1))
    assert rows[0][first[0]] == first[1]


def test_the_answer_is_that_of_the_learner(here, capsys):
    learner, reads = qs.load("intents"), qs.Run.open(qs.artifacts.store.PRETRAINED / "intents").preprocessing
    names = sorted(LABELLED)
    pairs = [(text, names.index(label)) for label, texts in LABELLED.items() for text in texts]
    support = qs.Examples(reads.apply(reads.read([text for text, _ in pairs])), torch.tensor([y for _, y in pairs]), ways=3)
    logits = learner.adapt(support)(reads.apply(reads.read(list(ASKED))))
    rows = answered([*WORDS, "asked.txt", "--head", "own", "--unknown"], capsys)
    assert [row["nearest"] for row in rows] == [names[place] for place in logits.argmax(1)]
    by_temperature = (logits / temperature()).softmax(1).amax(1)
    assert [row["probability"] for row in rows] == pytest.approx(by_temperature.tolist(), abs=1e-5)


def temperature() -> float:
    from quickstudy.evaluation.calibration import calibrations

    return calibrations(qs.artifacts.store.PRETRAINED / "intents")["own"].temperature


def test_columns_of_other_names(here, capsys):
    table("other.csv", [(text, label) for label, texts in LABELLED.items() for text in texts], ("utterance", "intent"))
    words = ["predict", "--support", "other.csv", "--query", "asked.csv"]
    assert main(words) == 2
    message = "`other.csv`: expected the column 'text', got utterance, intent. Say which it is with --text NAME."
    assert message in capsys.readouterr().err
    assert main([*words, "--text", "utterance"]) == 2
    assert "expected the column 'label', got utterance, intent. Say which it is with --label NAME." in capsys.readouterr().err
    table("asked.csv", list(ASKED.items()), ("utterance", "intent"))
    rows = answered([*words, "--text", "utterance", "--label", "intent"], capsys)
    assert [row["class"] for row in rows] == list(ASKED.values())


def test_what_is_no_text_is_said_and_the_rest_answered(here, capsys):
    Path("asked.jsonl").write_bytes(
        b'{"text": "rain?"}\n{"text": ""}\n{"text": 3}\n{"text": "a\\u0000b"}\n{"text": "\\ud800"}\n{"other": "x"}\n'
    )
    assert main([*WORDS, "asked.jsonl", "--json"]) == 1
    shown = capsys.readouterr()
    assert [json.loads(line)["line"] for line in shown.out.splitlines()] == [1]
    for text in ("line 2`: expected a text", "of type int", "the character NUL", "U+D800", "line 6`", "5 of 6 texts could not"):
        assert text in shown.err
    assert main([*WORDS, "asked.jsonl", "--strict"]) == 2
    assert "files that can be read" in capsys.readouterr().err
    (Path("asked") / "0.txt").write_bytes(b"\xff\xfe\x00")
    assert main([*WORDS, "asked", "--json"]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2
    assert "asked/0.txt" in shown.err


@pytest.mark.filterwarnings("default::quickstudy.errors.DataWarning")
def test_scripts_and_long_texts(here, capsys):
    texts = ["כרטיס שלי אבד", "🌧️🌧️?", "ฝนจะตกไหม", "rain " * 200_000]  # the last of 1 MB
    Path("asked.txt").write_text("\n".join(texts), encoding="utf-8")
    assert main([*WORDS, "asked.txt", "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("quickstudy: warning: `--query`: 1 of 4 are longer than ")
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert len(rows) == 4
    assert rows[3]["class"] == "weather"


def test_a_support_that_teaches_nothing_is_refused(here, capsys):
    def refused(*words: str) -> str:
        assert main(["predict", *words]) == 2
        return capsys.readouterr().err

    assert "expected texts with labels" in refused("--support", "asked.txt", "--query", "asked.txt")
    table("twice.csv", [("hello", "a"), ("Hello", "b"), ("bye", "b")])
    assert "expected texts of one class each" in refused("--support", "twice.csv", "--query", "asked.txt")
    Path("empty.csv").write_text("text,label\n", encoding="utf-8")
    assert "expected rows below the header" in refused("--support", "empty.csv", "--query", "asked.txt")
    Path("none.csv").write_text("text,label\nhello,\n", encoding="utf-8")
    assert "none.csv, line 2`: expected a label in 'label'" in refused("--support", "none.csv", "--query", "asked.txt")
    assert "got no such file" in refused("--support", "nowhere.csv", "--query", "asked.txt")
    Path("asked.xls").write_text("x")
    assert "got a file ending in .xls" in refused("--support", "support.csv", "--query", "asked.xls")


def test_options_of_another_kind_are_refused(here, capsys):
    assert main([*WORDS, "asked.txt", "--invert"]) == 2
    assert "`--invert`: expected a run that was trained on images" in capsys.readouterr().err
    assert main(["predict", "strokes", "--support", "support", "--query", "asked", "--label", "x"]) == 2
    assert "`--label`: expected a run that was trained on texts" in capsys.readouterr().err


# ---- a frozen encoder --------------------------------------------------------------------------------------------------


def encoder(folder: str, seed: int) -> str:
    """A random encoder of bytes, with a folder."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=384, **sizes)).save_pretrained(folder)
    ByT5Tokenizer().save_pretrained(folder)
    return folder


def test_a_run_on_features_asks_for_its_encoder(here, capsys):
    folder = encoder("one", 0)
    reads = qs.tasks.TransformersEncoder(folder)
    learner = qs.Prototypical(qs.models.ResidualLinear(16))
    learner.save("run/learner")
    Encoded(reads.key, reads.features).save("run")
    words = ["predict", "run", *WORDS[1:], "asked.txt"]
    rows = answered([*words, "--encoder", folder, "--head", "own"], capsys)
    names = sorted(LABELLED)
    pairs = [(text, names.index(label)) for label, texts in LABELLED.items() for text in texts]
    support = qs.Examples(reads.encode([text for text, _ in pairs]), torch.tensor([y for _, y in pairs]), ways=3)
    logits = learner.adapt(support)(reads.encode(list(ASKED)))
    assert [row["class"] for row in rows] == [names[place] for place in logits.argmax(1)]
    assert main(words) == 2
    assert "`--encoder`: expected the folder of the encoder that the run was trained on, got none" in capsys.readouterr().err
    assert main([*words, "--encoder", encoder("other", 1)]) == 2
    assert f"expected the encoder with the key {reads.key}" in capsys.readouterr().err
    assert main(["predict", "intents", *WORDS[1:], "asked.txt", "--encoder", folder]) == 2
    assert "`--encoder`: expected no encoder, since the run reads bytes" in capsys.readouterr().err


def test_an_encoder_that_no_shipped_learner_is_of(here, capsys):
    assert main([*WORDS, "asked.txt", "--encoder", encoder("one", 0)]) == 2
    assert "expected an encoder that a learner that comes along was trained on" in capsys.readouterr().err

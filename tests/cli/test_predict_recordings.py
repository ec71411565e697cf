"""predict on recordings: folders of them, by a run that was trained on samples."""

from __future__ import annotations

import json

import pytest
import soundfile
from tests.domains.audio.sounds import folder_of, tone

import quickstudy as qs
from quickstudy.cli import main
from quickstudy.domains.audio.encoder import RecordingEncoder
from quickstudy.domains.audio.encoders import LogMel, TCResNet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on tones, and other tones: a support, and a query with two labelled and one that is not."""
    root = tmp_path_factory.mktemp("recordings")
    tasks = qs.tasks.from_folder(folder_of(root / "train", each=4), seconds=0.3, ways=2, queries=2, split=(2, 2, 2))
    learner = qs.Prototypical(qs.models.Chain(LogMel(mels=24), TCResNet(24, channels=(16, 16, 24), strides=(2, 2), kernel=3)))
    qs.meta_train(learner, tasks, steps=5, tasks_per_step=4, validation_episodes=4, out=root / "run", progress=False)
    folder_of(root / "support", classes=3, each=3, rate=22050)
    for label in range(3):
        (root / "query" / f"tone{label}").mkdir(parents=True)
        soundfile.write(root / "query" / f"tone{label}" / "a.flac", tone(200 * 1.3**label, 16000, seed=77 + label), 16000)
    return root


def test_recordings_are_named(run, capsys):
    words = ["predict", str(run / "run"), "--support", str(run / "support"), "--query", str(run / "query")]
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr()
    rows = [json.loads(line) for line in out.out.splitlines()]
    assert [row["class"] for row in rows] == ["tone0", "tone1", "tone2"]
    assert "accuracy 100.0 %: 3 of the 3 recordings in folders of a class" in out.err
    assert main([*words[:-1], str(run / "query" / "tone1" / "a.flac"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] == "tone1"


def test_what_cannot_be_read_is_said(run, capsys):
    bad = run / "query" / "bad.wav"
    bad.write_bytes(b"no")
    words = ["predict", str(run / "run"), "--support", str(run / "support"), "--query", str(run / "query")]
    assert main(words) == 1
    out = capsys.readouterr()
    assert "bad.wav`: expected a recording that can be read" in out.err
    assert "1 of 4 recordings could not be read; the others are answered" in out.err
    assert main([*words, "--strict"]) == 2
    bad.rename(run / "support" / "tone0" / "bad.wav")
    assert main(words) == 2
    (run / "support" / "tone0" / "bad.wav").unlink()
    capsys.readouterr()


def test_options_for_other_kinds(run, capsys):
    words = ["predict", str(run / "run"), "--support", str(run / "support"), "--query", str(run / "query")]
    for more, text in ((["--invert"], "got one on recordings"), (["--text", "said"], "got one on recordings")):
        assert main([*words, *more]) == 2
        assert text in capsys.readouterr().err


def test_a_run_on_features(run, tmp_path, capsys):
    class Energy(RecordingEncoder):
        key, features, rate = "energy", 4, 16000

        def encode(self, x):
            return x.unflatten(1, (4, -1)).square().mean(2)

    files = sorted((run / "train").rglob("*.wav"))
    labels = [file.parent.name for file in files]
    tasks = qs.tasks.from_recordings(
        files, labels, encoder=Energy(), seconds=0.3, ways=2, queries=2, split=(2, 2, 2), progress=False
    )
    learner = qs.Prototypical(qs.models.mlp(4, 4))
    qs.meta_train(learner, tasks, steps=1, tasks_per_step=2, validation_episodes=2, out=tmp_path / "run", progress=False)
    assert main(["predict", str(tmp_path / "run"), "--support", str(run / "support"), "--query", str(run / "query")]) == 2
    assert "expected a run on samples, got one on features of them. Use qs.load" in capsys.readouterr().err

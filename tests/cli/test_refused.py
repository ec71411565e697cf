"""What cannot work is refused before anything is trained or written, and the nearest name is said."""

from __future__ import annotations

import pytest

from quickstudy.cli import main

TRAIN = "train maml --tasks sinusoid --train.steps 2 --train.tasks_per_step 2 --train.validation_episodes 3 --train.executor loop"
TRAIN += " --episodes 2 --out run"
REFUSED = {
    "--controls from_scrach": "`--controls`: expected one of .*, got from_scrach. Did you mean 'from_scratch'?",
    "--controls from_scratch,esay": "`--controls`: expected one of .*, got esay.",
    "--controls eazy": "`--controls`: expected one of .*, got eazy. Did you mean 'easy'?",
    "--controls prototypical": "`support.y`: expected class labels",
    "--episodes 1": "`--episodes`: expected a whole number of 2 or more, got 1",
    "--episodes many": "`--episodes`: expected a value of its type",
    "--train.select_by acuracy": "got 'acuracy'. Did you mean 'accuracy'?",
    "--train.stesp 3": "`--train.stesp`: expected a known flag, got one that is not. Did you mean '--train.steps'?",
    "--network mpl": "`--network`: expected one of .*, got mpl. Did you mean 'mlp'?",
    "--tracking wandbb": "wandbb",
    "--train.steps 0": "`steps`: expected 1 or more, got 0",
}


@pytest.fixture
def no_training(monkeypatch):
    """A meta-training that fails the test."""
    from quickstudy.meta.loop.outer_loop import OuterLoop

    monkeypatch.setattr(OuterLoop, "start", lambda *_: pytest.fail("it trained"))


@pytest.mark.parametrize("options", REFUSED)
def test_train_refuses(options, tmp_path, monkeypatch, capsys, no_training):
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN.split(), *options.split()]) == 2
    shown = capsys.readouterr()
    assert_matches(shown.err, REFUSED[options])
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_is_not_installed_is_refused(tmp_path, monkeypatch, capsys, no_training):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "wandb" else pytest.fail(name))
    assert main([*TRAIN.split(), "--tracking", "wandb"]) == 2
    assert_matches(capsys.readouterr().err, "`--tracking wandb`: expected the extra .tracking., got no wandb. pip install wandb")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_refused_before_the_tasks_are_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN.split(), "--controls", "none"]) == 0
    monkeypatch.setattr("quickstudy.cli.train.build", lambda config: pytest.fail("it made the tasks"))
    assert main(TRAIN.split()) == 2
    assert "expected a folder without a run" in capsys.readouterr().err
    for words, text in (
        ("evaluate run --metrics accuracy,rsme", "`--metrics`: expected one of .*, got rsme. Did you mean 'rmse'?"),
        ("compare run run --metrics rsme", "`--metrics`: expected one of .*, got rsme. Did you mean 'rmse'?"),
        ("evaluate run --epsiodes 5", "`--epsiodes`: expected a known flag, got one that is not. Did you mean '--episodes'?"),
        ("report run --controls from_scrach", "`--controls`: expected one of .*, got from_scrach. Did you mean 'from_scratch'?"),
        ("resume run --controls from_scrach", "`--controls`: expected one of .*, got from_scrach. Did you mean 'from_scratch'?"),
        ("evaluate run --episodes 1", "`--episodes`: expected a whole number of 2 or more"),
        ("evaluate", "`evaluate`: expected run, got none. See `quickstudy evaluate --help`."),
    ):
        with monkeypatch.context() as patched:
            patched.setattr("quickstudy.evaluate", lambda *_, **__: pytest.fail("it scored"))
            assert main(words.split()) == 2
        assert_matches(capsys.readouterr().err, text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("trian maml", "there is no command 'trian'. Did you mean 'train'?"),
        ("train mmal", "got mmal. Did you mean 'maml'?"),
        ("train maml --tasks sinsoid", "`--tasks`: expected one of .*, got sinsoid. Did you mean 'sinusoid'?"),
        ("explain protoypical", "got protoypical. Did you mean 'prototypical'?"),
        ("doctor --quik", "`--quik`: expected a known flag, got one that is not. Did you mean '--quick'?"),
        ("list runs more", "`more`: expected no further word"),
    ],
)
def test_the_nearest_name_is_said(words, text, capsys):
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert (shown.out, "Traceback" in shown.err) == ("", False)
    assert_matches(shown.err, text)


def assert_matches(text, pattern):
    import re

    assert re.search(pattern.replace("?", r"\?"), " ".join(text.split())), text

"""A run that is stopped, in whatever way, goes on to exactly the numbers of one that was not."""

from __future__ import annotations

import json
import signal
from functools import partial

import pytest
import torch

import quickstudy as qs
from quickstudy import errors
from quickstudy.artifacts import checkpoint
from quickstudy.artifacts.run_folder import RunFolder, read_metrics
from quickstudy.meta.executors import Loop, Threads, Vmap
from quickstudy.meta.loop.interrupt import Interrupt

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

SETTINGS = {
    "steps": 12,
    "tasks_per_step": 3,
    "validate_every": 4,
    "validation_episodes": 5,
    "executor": "loop",
    "progress": False,
}


def learner(seed=0):
    torch.manual_seed(seed)
    return qs.MAML(qs.models.mlp(1, 1, hidden=(6,)), inner_lr=0.01)


def numbers(run):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in run.history]


class Killed(Exception):
    pass


def killer(at):
    def track(record, step):
        if step == at:
            raise Killed

    return track


@pytest.mark.parametrize("at", [1, 4, 6, 11])
def test_resumed_numbers_are_those_of_an_unbroken_run(tmp_path, at):
    tasks, whole, broken = qs.tasks.Sinusoid(), learner(), learner()
    expected = qs.meta_train(whole, tasks, **SETTINGS)
    with pytest.raises(Killed):
        qs.meta_train(broken, tasks, out=tmp_path, track=killer(at), **SETTINGS)
    again = learner(seed=1)  # other weights: all must come from the checkpoint
    run = qs.meta_train(again, tasks, out=tmp_path, resume=True, **SETTINGS)
    assert numbers(run) == numbers(expected)
    assert run.best == expected.best
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == list(range(1, 13))
    saved = qs.load(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(saved.parameters(), whole.parameters(), strict=True))


def test_a_network_that_lies_channels_last_is_resumed(tmp_path):
    """Its optimizer's averages lie so too, and a checkpoint keeps values alone."""
    tasks = qs.tasks.Strokes(ways=3, shots=1, queries=2, classes=(5, 5, 5))
    settings = SETTINGS | {"steps": 4, "validate_every": 2}

    def learner():
        torch.manual_seed(0)
        return qs.Prototypical(qs.models.conv4(channels=4))

    expected = qs.meta_train(learner(), tasks, **settings)
    with pytest.raises(Killed):
        qs.meta_train(learner(), tasks, out=tmp_path, track=killer(3), **settings)
    assert numbers(qs.meta_train(learner(), tasks, out=tmp_path, resume=True, **settings)) == numbers(expected)


def test_a_resume_that_forgets_the_optimizer_gives_other_numbers(tmp_path, monkeypatch):
    """The control."""
    from quickstudy.meta.outer.outer import RunningOptimizer

    tasks = qs.tasks.Sinusoid()
    expected = qs.meta_train(learner(), tasks, **SETTINGS)
    with pytest.raises(Killed):
        qs.meta_train(learner(), tasks, out=tmp_path, track=killer(6), **SETTINGS)
    monkeypatch.setattr(RunningOptimizer, "load_state_dict", lambda self, state: None)
    run = qs.meta_train(learner(), tasks, out=tmp_path, resume=True, **SETTINGS)
    assert numbers(run) != numbers(expected)


def test_scheduler_and_dropout_and_patience_are_resumed(tmp_path):
    from functools import partial

    network = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
    start = {name: value.clone() for name, value in network.state_dict().items()}

    def train(**more):
        network.load_state_dict(start)
        schedule = partial(torch.optim.lr_scheduler.StepLR, step_size=3, gamma=0.3)
        outer = qs.Gradient(optimizer=partial(torch.optim.SGD, lr=0.003, momentum=0.9), scheduler=schedule)
        return qs.meta_train(qs.MAML(network), qs.tasks.Sinusoid(), outer=outer, patience=2, **SETTINGS | {"steps": 40} | more)

    expected = train()
    with pytest.raises(Killed):
        train(out=tmp_path, track=killer(5))
    run = train(out=tmp_path, resume=True)
    assert (run.stopped, numbers(run)) == (expected.stopped, numbers(expected))
    ended = train(out=tmp_path, resume=True)  # a run that has ended does not go on
    assert len(ended.history) == len(run.history)


def test_a_finished_run_goes_on_where_more_steps_are_asked(tmp_path):
    tasks = qs.tasks.Sinusoid()
    expected = qs.meta_train(learner(), tasks, **SETTINGS | {"steps": 16})
    qs.meta_train(learner(), tasks, out=tmp_path, **SETTINGS)
    run = qs.meta_train(learner(), tasks, out=tmp_path, resume=True, **SETTINGS | {"steps": 16})
    assert [record["loss"] for record in run.history] == [record["loss"] for record in expected.history]


def test_a_checkpoint_cut_short_is_passed_over(tmp_path):
    tasks = qs.tasks.Sinusoid()
    expected = qs.meta_train(learner(), tasks, **SETTINGS)
    with pytest.raises(Killed):
        qs.meta_train(learner(), tasks, out=tmp_path, track=killer(9), **SETTINGS)
    newest, older = checkpoint.checkpoints(tmp_path / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:1000])
    run = qs.meta_train(learner(), tasks, out=tmp_path, resume=True, **SETTINGS)
    assert numbers(run) == numbers(expected)
    assert "step-00000008" in run.passed_over[0]
    assert "expected a whole checkpoint" in run.passed_over[0]
    assert older.name == "step-00000004.safetensors"


def test_two_checkpoints_are_kept(tmp_path):
    for step in (1, 2, 10, 3):
        checkpoint.save_checkpoint(tmp_path, step, {"x": torch.arange(3), 4: (1.5, [None, "a"])})
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-00000010.safetensors", "step-00000003.safetensors"]
    step, state, passed_over = checkpoint.load_checkpoint(tmp_path)
    assert (step, passed_over, state[4]) == (10, [], (1.5, [None, "a"]))
    assert torch.equal(state["x"], torch.arange(3))


def test_a_checkpoint_from_the_future_is_passed_over(tmp_path, monkeypatch):
    checkpoint.save_checkpoint(tmp_path, 1, {"x": 1})
    monkeypatch.setattr(checkpoint, "FORMAT", 3)
    checkpoint.save_checkpoint(tmp_path, 2, {"x": 2})
    monkeypatch.undo()
    step, _, passed_over = checkpoint.load_checkpoint(tmp_path)
    assert step == 1
    assert "expected format 2, got format 3. Update quickstudy." in passed_over[0]


def test_no_checkpoint_reads(tmp_path):
    (tmp_path / "step-00000001.safetensors").write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(errors.CheckpointError) as caught:
        checkpoint.load_checkpoint(tmp_path)
    assert "expected a checkpoint, step-*.safetensors, got none that reads: " in str(caught.value)
    with pytest.raises(errors.CheckpointError, match=r"got none\. Start the run again"):
        checkpoint.load_checkpoint(tmp_path / "empty")


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    tasks = qs.tasks.Sinusoid()
    expected = qs.meta_train(learner(), tasks, **SETTINGS)
    save_file, calls = checkpoint.save_file, []

    def full(tensors, path, header):
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save_file(tensors, path, header)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(errors.DataError) as caught:
        qs.meta_train(learner(), tasks, out=tmp_path, **SETTINGS)
    assert "expected room and right to write it, got [Errno 28] No space left on device. Make room" in str(caught.value)
    assert "the checkpoint of step 4 is whole" in str(caught.value)
    assert not list((tmp_path / "checkpoints").glob("*.part"))
    monkeypatch.undo()
    run = qs.meta_train(learner(), tasks, out=tmp_path, resume=True, **SETTINGS)
    assert numbers(run) == numbers(expected)


def test_a_run_is_not_overwritten(tmp_path):
    qs.meta_train(learner(), qs.tasks.Sinusoid(), out=tmp_path, **SETTINGS)
    with pytest.raises(errors.ArgumentError) as caught:
        qs.meta_train(learner(), qs.tasks.Sinusoid(), out=tmp_path, **SETTINGS)
    assert f"`out='{tmp_path}'`: expected a folder without a run, or resume=True, got one with checkpoints." in str(caught.value)
    assert f"quickstudy resume {tmp_path}" in str(caught.value)


def test_two_processes_do_not_write_one_run(tmp_path):
    with RunFolder(tmp_path), pytest.raises(errors.CheckpointError, match="expected a run that no other process writes"):
        qs.meta_train(learner(), qs.tasks.Sinusoid(), out=tmp_path, **SETTINGS)


def test_other_settings_or_another_learner_are_refused(tmp_path):
    tasks = qs.tasks.Sinusoid()
    qs.meta_train(learner(), tasks, out=tmp_path, **SETTINGS)
    with pytest.raises(errors.CheckpointError, match="expected a checkpoint of a run with seed=7, got one with seed=0"):
        qs.meta_train(learner(), tasks, out=tmp_path, resume=True, seed=7, **SETTINGS)
    other = qs.MAML(qs.models.mlp(1, 1, hidden=(5,)))
    with pytest.raises(
        errors.CheckpointError, match=r"expected a checkpoint of a run with learner\.network\.hidden = \[5\], got one with \[6\]"
    ):
        qs.meta_train(other, tasks, out=tmp_path, resume=True, **SETTINGS)
    with pytest.raises(errors.ArgumentError, match="expected the run's folder as `out`"):
        qs.meta_train(other, tasks, resume=True, **SETTINGS)


def test_ctrl_c_ends_after_the_step_at_hand_with_a_checkpoint(tmp_path):
    tasks = qs.tasks.Sinusoid()
    expected = qs.meta_train(learner(), tasks, **SETTINGS)

    def press(record, step):
        if step == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"stopped after step 5; resume with `quickstudy resume"):
        qs.meta_train(learner(), tasks, out=tmp_path, track=press, **SETTINGS)
    assert signal.getsignal(signal.SIGINT) is before
    assert checkpoint.checkpoints(tmp_path / "checkpoints")[0].name == "step-00000005.safetensors"
    assert numbers(qs.meta_train(learner(), tasks, out=tmp_path, resume=True, **SETTINGS)) == numbers(expected)


def test_a_second_ctrl_c_acts_at_once():
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_half_a_line_of_metrics_is_cut_off(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo', encoding="utf-8")
    folder = RunFolder(tmp_path)
    assert folder.history(until=5) == [{"step": 1, "loss": 2.0}]
    folder.append({"step": 2, "loss": 1.0})
    assert [json.loads(line)["step"] for line in folder.metrics.read_text().splitlines()] == [1, 2]


def test_a_run_in_float64_is_resumed_and_saved_in_float64(tmp_path):
    tasks = qs.tasks.Quadratic(dtype=torch.float64)

    def build(seed=0):
        torch.manual_seed(seed)
        return qs.MAML(qs.models.mlp(4, 1, hidden=(6,)), inner_lr=0.01).double()

    whole, again = build(), build(seed=1)
    expected = qs.meta_train(whole, tasks, **SETTINGS)
    with pytest.raises(Killed):
        qs.meta_train(build(), tasks, out=tmp_path, track=killer(6), keep=2, **SETTINGS)
    run = qs.meta_train(again, tasks, out=tmp_path, resume=True, keep=2, **SETTINGS)
    assert numbers(run) == numbers(expected)
    saved = qs.load(tmp_path)
    for name, tensor in {**whole.state_dict(), **dict(whole.named_buffers())}.items():
        for other in (again, saved):
            found = {**other.state_dict(), **dict(other.named_buffers())}[name]
            assert found.dtype == tensor.dtype
            assert torch.equal(found, tensor)
    torch.manual_seed(0)
    fresh = qs.MAML(qs.models.mlp(4, 1, hidden=(6,)), inner_lr=0.01)
    for ensemble in (qs.Ensemble.of(whole, run.kept), qs.Ensemble.of(fresh, run.kept), qs.load(tmp_path / "ensemble")):
        assert {parameter.dtype for parameter in ensemble.parameters()} == {torch.float64}
    assert {parameter.dtype for parameter in fresh.parameters()} == {torch.float32}


# ---- the executor --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [Threads(3), Threads(1), Loop(), Vmap()], ids=lambda one: f"{one.name} {one.settings()}")
def test_the_executor_comes_back_as_it_was(tmp_path, executor):
    """With its arguments, and also where torch has one thread now: the numbers are those of an unbroken run."""
    tasks, settings = qs.tasks.Sinusoid(), SETTINGS | {"executor": executor}
    expected = qs.meta_train(learner(), tasks, **settings)
    with pytest.raises(Killed):
        qs.meta_train(learner(), tasks, out=tmp_path, track=killer(5), **settings)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = qs.meta_train(learner(), tasks, out=tmp_path, resume=True, **SETTINGS)
    finally:
        torch.set_num_threads(threads)
    assert (run.executor, numbers(run)) == (executor.name, numbers(expected))
    _, state, _ = checkpoint.load_checkpoint(tmp_path / "checkpoints")
    assert state["training"]["executor"][2] == executor.settings()


# ---- what the run was made of --------------------------------------------------------------------------------------------

MADE = {
    "another hypergradient": (lambda: qs.FOMAML(qs.models.mlp(1, 1, hidden=(6,)), inner_lr=0.01), "learner.hypergradient"),
    "another rate": (lambda: qs.MAML(qs.models.mlp(1, 1, hidden=(6,)), inner_lr=0.02), "learner.inner_lr"),
    "another network": (lambda: qs.MAML(qs.models.mlp(1, 1, hidden=(7,)), inner_lr=0.01), "learner.network.hidden"),
    "another learner": (lambda: qs.Ridge(qs.models.mlp(1, 4, hidden=(6,))), "learner"),
}


@pytest.mark.parametrize("name", MADE)
def test_a_checkpoint_of_what_was_made_otherwise_is_refused_by_name(tmp_path, name):
    """Weights that fit are not enough: FOMAML's are MAML's. Nothing is loaded."""
    made, where = MADE[name]
    tasks = qs.tasks.Sinusoid()
    qs.meta_train(learner(), tasks, out=tmp_path, **SETTINGS | {"steps": 2})
    other = made()
    before = [parameter.clone() for parameter in other.parameters()]
    with pytest.raises(errors.CheckpointError, match=rf"expected a checkpoint of a run with {where}[\w.]* = .*, got one with"):
        qs.meta_train(other, tasks, out=tmp_path, resume=True, **SETTINGS)
    assert all(torch.equal(*pair) for pair in zip(before, other.parameters(), strict=True))


def test_another_outer_method_is_refused_by_name(tmp_path):
    tasks, outer = qs.tasks.Sinusoid(), qs.Gradient(optimizer=partial(torch.optim.SGD, lr=0.1))
    qs.meta_train(learner(), tasks, out=tmp_path, **SETTINGS | {"steps": 2})
    with pytest.raises(errors.CheckpointError, match=r"expected a checkpoint of a run with outer\.optimizer[\w.]* = "):
        qs.meta_train(learner(), tasks, outer=outer, out=tmp_path, resume=True, **SETTINGS)


def test_a_reptile_is_not_read_as_another(tmp_path):
    tasks = qs.tasks.Sinusoid()
    reptile = lambda: qs.Reptile(qs.models.mlp(1, 1, hidden=(6,)), inner_lr=0.01, inner_steps=1)
    qs.meta_train(reptile(), tasks, out=tmp_path, **SETTINGS | {"steps": 2})
    with pytest.raises(errors.CheckpointError, match="expected a checkpoint of a run with learner"):
        qs.meta_train(learner(), tasks, out=tmp_path, resume=True, **SETTINGS)
    assert len(qs.meta_train(reptile(), tasks, out=tmp_path, resume=True, **SETTINGS).history) == 12

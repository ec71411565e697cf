"""Saved learners: they come back whole, and nothing in a folder can run code."""

import copy
import os
import pickle
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from tests.artifacts.vouched import rewritten
from torch import nn
from torch.utils import _pytree as pytree

import quickstudy as qs
from quickstudy.artifacts.export import export
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.learners.descend import Adam

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


def maml():
    return qs.MAML(
        qs.models.mlp(4, 3, hidden=(5,)),
        inner_lr=0.2,
        inner_steps=2,
        hypergradient=qs.Truncated(1),
        rule=Adam(),
    )


def support():
    return qs.Examples(torch.randn(6, 4), torch.arange(3).repeat(2), 3)


def test_a_learner_and_its_arguments_come_back(tmp_path):
    learner, task = maml(), support()
    learner.save(tmp_path)
    back = qs.load(tmp_path)
    assert isinstance(back, qs.Descent)
    assert (back.inner_lr, back.inner_steps, back.hypergradient, back.rule) == (
        0.2,
        2,
        qs.Truncated(1),
        Adam(),
    )
    x = torch.randn(5, 4)
    torch.testing.assert_close(back.adapt(task)(x), learner.adapt(task)(x), rtol=0, atol=0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "weights.safetensors"]


def test_a_predictor_comes_back(tmp_path):
    predictor, x = maml().adapt(support()), torch.randn(5, 4)
    predictor.save(tmp_path)
    torch.testing.assert_close(qs.load(tmp_path)(x), predictor(x), rtol=0, atol=0)


def test_to_module_is_plain_and_detached():
    learner, x = maml(), torch.randn(5, 4)
    predictor = learner.adapt(support())
    module, before = predictor.to_module(), predictor(x)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(1.0)
    torch.testing.assert_close(module(x), before, rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_foreign_network_is_handed_in(tmp_path):
    network = nn.Sequential(nn.Linear(4, 3))
    learner = qs.MAML(network)
    learner.save(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"expected `network=` to be handed in: torch.nn.*Sequential is not quickstudy's own"
    ):
        qs.load(tmp_path)
    back = qs.load(tmp_path, network=nn.Sequential(nn.Linear(4, 3)))
    torch.testing.assert_close(back.network[0].weight, network[0].weight)


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "torch.nn.Linear", "builtins.eval", "Path", "Linear"])
def test_no_class_but_our_own(tmp_path, name):
    maml().save(tmp_path)
    rewritten(tmp_path, lambda config: config["learner"].update({"class": name}))
    with pytest.raises(CheckpointError, match=r"expected only classes of quickstudy, by their plain names, got the class"):
        qs.load(tmp_path)


def test_no_function_but_losses(tmp_path):
    maml().save(tmp_path)
    rewritten(tmp_path, lambda config: config["learner"]["arguments"].update({"loss": {"function": "hub.load"}}))
    with pytest.raises(CheckpointError, match=r"got the function 'hub.load'"):
        qs.load(tmp_path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def further(learner, tasks, **given):
    """Its weights after three further meta-steps."""
    qs.meta_train(learner, tasks, steps=3, tasks_per_step=2, seed=1, executor="loop", progress=False, **given)
    return torch.cat([parameter.detach().flatten() for parameter in learner.parameters()])


@pytest.mark.parametrize("build", [qs.Reptile, partial(qs.MAMLPlusPlus, steps=4, outer_lr=0.02)], ids=["Reptile", "MAML++"])
def test_a_loaded_learner_is_trained_further_by_its_own_outer_method(tmp_path, build):
    tasks = qs.tasks.GaussianClasses(ways=3, shots=2, queries=3, dim=4).train
    learner = build(qs.models.mlp(4, 3, hidden=(5,)))
    learner.save(tmp_path)
    want = further(learner, tasks)
    torch.testing.assert_close(further(qs.load(tmp_path), tasks), want, rtol=0, atol=0)
    by_adam = further(qs.load(tmp_path), tasks, outer=qs.Gradient())  # the control: what a learner without its own would take
    assert float((by_adam - want).abs().max()) > 1e-5


def test_an_outer_method_that_cannot_be_written_down_is_asked_for(tmp_path):
    tasks = qs.tasks.GaussianClasses(ways=3, shots=2, queries=3, dim=4).train
    outer = qs.Gradient(scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5))
    learner, task, x = qs.Descent(qs.models.mlp(4, 3, hidden=(5,)), outer=outer), support(), torch.randn(5, 4)
    learner.save(tmp_path)
    back = qs.load(tmp_path)
    torch.testing.assert_close(back.adapt(task)(x), learner.adapt(task)(x), rtol=0, atol=0)
    back.save(tmp_path)  # again
    with pytest.raises(qs.errors.ArgumentError, match=r"`outer`: expected the across-task method.*<lambda> cannot be written"):
        further(qs.load(tmp_path), tasks)
    torch.testing.assert_close(further(qs.load(tmp_path), tasks, outer=outer), further(learner, tasks), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["system", "Optimizer", "__import__"])
def test_no_setting_but_optimizers_and_schedulers(tmp_path, name):
    qs.Reptile(qs.models.mlp(4, 3, hidden=(5,))).save(tmp_path)
    rewritten(tmp_path, lambda config: config["learner"]["arguments"]["outer"]["arguments"]["optimizer"].update(setting=name))
    with pytest.raises(CheckpointError, match="an optimizer or scheduler of torch"):
        qs.load(tmp_path)


def test_a_pickle_is_never_opened(tmp_path):
    (tmp_path / "learner.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(
        CheckpointError, match=r"learner.pt may be a pickle, which can run code and is never opened. Give the folder"
    ):
        qs.load(tmp_path)


def test_a_pickle_in_the_place_of_the_weights(tmp_path):
    maml().save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=r"with its seal `sha256`, got \w{12}\.\.\. of other content"):
        qs.load(tmp_path)
    with pytest.raises(CheckpointError, match="expected a whole safetensors file, got what does not read as one"):
        qs.load(rewritten(tmp_path))


def test_weights_cut_short(tmp_path):
    maml().save(tmp_path)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="expected a whole safetensors file"):
        qs.load(rewritten(tmp_path))


def test_what_is_handed_in_under_a_name_that_is_not_there_is_refused(tmp_path):
    maml().save(tmp_path)
    for name in ("nework", "embed", "los"):
        with pytest.raises(
            ArgumentError, match=rf"`{name}`: expected an argument that the learner in .* was built with: .*network"
        ):
            qs.load(tmp_path, **{name: nn.Linear(4, 3)})


def test_every_flipped_bit_is_found(tmp_path):
    """Of the weights, which read as well as before. The control: a hash that fits."""
    learner = maml()
    learner.save(tmp_path)
    file = tmp_path / "weights.safetensors"
    whole, numbers = file.read_bytes(), torch.Generator().manual_seed(0)
    for place in torch.randint(8 * len(whole), (60,), generator=numbers).tolist():
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << place % 8
        file.write_bytes(broken)
        with pytest.raises(CheckpointError, match="a file was changed or damaged"):
            qs.load(tmp_path)
    broken = bytearray(whole)
    broken[-1] ^= 1
    file.write_bytes(broken)
    assert any(
        not torch.equal(*pair) for pair in zip(qs.load(rewritten(tmp_path)).parameters(), learner.parameters(), strict=True)
    )


def test_a_save_that_is_killed_between_its_two_files_reads_as_the_new_one(tmp_path, monkeypatch):
    """Weights in their place, the config still beside its own: neither is lost, and they are of one save."""
    torch.manual_seed(0)
    old, new = maml(), maml()
    old.save(tmp_path)
    inner, places = os.replace, []

    def killed(part, path):
        places.append(path.name)
        if path.name == "config.json":
            os._exit(9)
        inner(part, path)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "replace", killed)
        new.save(tmp_path)
    os.waitpid(child, 0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "config.json.part", "weights.safetensors"]
    assert all(torch.equal(*pair) for pair in zip(qs.load(tmp_path).parameters(), new.parameters(), strict=True))
    old.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "weights.safetensors"]
    assert all(torch.equal(*pair) for pair in zip(qs.load(tmp_path).parameters(), old.parameters(), strict=True))


def test_a_format_from_the_future(tmp_path):
    maml().save(tmp_path)
    rewritten(tmp_path, lambda config: config.update({"format": 99, "library": "9.9"}))
    with pytest.raises(CheckpointError, match=r"expected format 4, got format 99, written by quickstudy 9.9. Update"):
        qs.load(tmp_path)


def test_no_such_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected a saved learner: .* got no such folder"):
        qs.load(tmp_path / "nowhere")


def test_a_config_that_is_no_json(tmp_path):
    maml().save(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="expected a config of quickstudy, got what does not parse as JSON"):
        qs.load(tmp_path)


def test_weights_of_another_network(tmp_path):
    maml().save(tmp_path)
    with pytest.raises(CheckpointError, match="expected weights that fit Descent"):
        qs.load(tmp_path, network=qs.models.mlp(4, 3, hidden=(7,)))


@pytest.mark.parametrize("recipe", [qs.PretrainFineTune, qs.LinearProbe, qs.ContrastivePretrain])
def test_baselines_come_back(tmp_path, recipe):
    learner, task, x = recipe(qs.models.mlp(4, 6, hidden=(5,))), support(), torch.randn(5, 4)
    learner.save(tmp_path)
    torch.testing.assert_close(qs.load(tmp_path).adapt(task)(x), learner.adapt(task)(x), rtol=0, atol=0)


# ---- dtypes and strides ------------------------------------------------------------------------------------------------


def tensors(learner):
    """Parameters and buffers, those that no state dict has as well."""
    return {**dict(learner.named_parameters()), **dict(learner.named_buffers())}


def assert_as_saved(back, learner):
    own, kept = tensors(learner), tensors(back)
    assert own.keys() == kept.keys()
    for name, tensor in own.items():
        assert kept[name].dtype == tensor.dtype, name
        assert kept[name].stride() == tensor.stride(), name
        assert torch.equal(kept[name], tensor), name


DTYPES = [torch.float64, torch.bfloat16, torch.float16, torch.float32]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("when", ["built so", "made so later", "by default"])
def test_a_learner_and_a_predictor_keep_their_dtype(tmp_path, dtype, when):
    """0.1 of float32 is another number than 0.1 of float64: the rate too comes back as it was."""
    if when == "by default":
        torch.set_default_dtype(dtype)
    network = qs.models.mlp(4, 3, hidden=(5,))
    learner = qs.MAML(network.to(dtype) if when == "built so" else network, inner_lr=0.1, inner_steps=2).to(dtype)
    torch.set_default_dtype(torch.float32)
    task = support().map(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf)
    predictor, x = learner.adapt(task), torch.randn(5, 4).to(dtype)
    learner.save(tmp_path / "learner")
    predictor.save(tmp_path / "predictor")
    back, answers = qs.load(tmp_path / "learner"), qs.load(tmp_path / "predictor")
    assert_as_saved(back, learner)
    assert_as_saved(answers.learner, learner)
    assert predictor(x).dtype == dtype
    assert torch.equal(back.adapt(task)(x), predictor(x))
    assert torch.equal(answers(x), predictor(x))


def test_every_tensor_keeps_its_own_dtype(tmp_path):
    """Running averages of float32 in a network of float64, and one layer of bfloat16."""

    def build():
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))

    learner = qs.Prototypical(build().double())
    learner.embed[1].float()
    learner.embed[2].bfloat16()
    learner.save(tmp_path)
    assert_as_saved(qs.load(tmp_path, embed=build()), learner)


def test_tied_weights_stay_tied_in_another_dtype(tmp_path):
    def build():
        network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        network[2].weight = network[0].weight
        return network

    learner = qs.Prototypical(build()).double()
    learner.save(tmp_path)
    back = qs.load(tmp_path, embed=build())
    assert back.embed[2].weight is back.embed[0].weight
    assert_as_saved(back, learner)


class Shifted(nn.Module):
    """With a buffer of its own that no state dict has."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("shift", torch.full((3,), 0.1), persistent=False)

    def forward(self, x):
        return self.linear(x + 0 * self.shift.sum()) + self.shift


def test_a_foreign_buffer_that_is_not_saved_takes_on_the_dtype(tmp_path):
    learner = qs.Prototypical(Shifted()).double()
    learner.save(tmp_path)
    assert_as_saved(qs.load(tmp_path, embed=Shifted()), learner)
    assert not any("shift" in name for name in load_file(tmp_path / "weights.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_predictor_lies_in_memory_as_it_did(tmp_path, dtype):
    """`linalg.solve` leaves the weights column by column, a hypernetwork slices them; BLAS adds in another order row by row."""
    network = qs.models.mlp(40, 7, hidden=(50,)).to(dtype)
    task = qs.Examples(torch.randn(60, 40, dtype=dtype), torch.arange(6).repeat(10))
    for name, learner in {
        "ridge": qs.Ridge(network, intercept=True),
        "hypernetwork": qs.Hypernetwork(network, features=7, width=8).to(dtype),
        "maml": qs.MAML(network, inner_lr=0.1),
    }.items():
        predictor, x = learner.adapt(task), torch.randn(33, 40, dtype=dtype)
        predictor.save(tmp_path / name)
        back = qs.load(tmp_path / name)
        leaves = [pytree.tree_leaves(one.state) for one in (back, predictor)]
        assert [leaf.stride() for leaf in leaves[0]] == [leaf.stride() for leaf in leaves[1]]
        assert torch.equal(back(x), predictor(x))
    assert any(not leaf.is_contiguous() for leaf in pytree.tree_leaves(qs.Ridge(network).adapt(task).state))


def test_a_learner_lies_in_memory_as_it_did(tmp_path):
    """Conv4 lies channels last as it is built; here it was brought to rows."""
    learner = qs.Prototypical(qs.models.conv4(channels=4, size=16))
    learner.save(tmp_path / "last")
    assert_as_saved(qs.load(tmp_path / "last"), learner)
    learner.to(memory_format=torch.contiguous_format)
    learner.save(tmp_path / "rows")
    assert_as_saved(qs.load(tmp_path / "rows"), learner)


def support_of_images():
    return qs.Examples(torch.randn(6, 1, 16, 16), torch.arange(3).repeat(2))


@pytest.mark.parametrize(
    "strides",
    [
        [],
        {"nothing": [1]},
        {"state.0": [1]},
        {"state.0": [1, 1]},
        {"state.0": [10**9, 1]},
        {"state.0": ["a", 1]},
        {"state.0": [-1, 3]},
    ],
)
def test_strides_that_do_not_fit_are_refused(tmp_path, strides):
    qs.Prototypical(nn.Linear(4, 3)).adapt(support()).save(tmp_path)
    rewritten(tmp_path, lambda config: config.update(strides=strides))
    with pytest.raises(CheckpointError, match=r"strides"):
        qs.load(tmp_path, embed=nn.Linear(4, 3))


def test_a_state_whose_leaves_are_one_tensor_is_saved(tmp_path):
    class Twice(qs.Prototypical):
        def learn(self, support):
            state = super().learn(support)
            return {**state, "again": next(iter(state.values())), "spread": torch.ones(1).expand(4)}

    predictor = Twice(nn.Linear(4, 3)).adapt(support())
    predictor.save(tmp_path)
    state = load_file(tmp_path / "weights.safetensors")
    assert torch.equal(state["state.0"], state["state.1"]) or torch.equal(state["state.1"], state["state.2"])


def test_copies_modules_and_programs_keep_their_dtype(tmp_path):
    learner = qs.Ridge(qs.models.mlp(4, 3, hidden=(5,))).double()
    task, x = support().map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf), torch.randn(5, 4).double()
    predictor = learner.adapt(task)
    assert_as_saved(copy.deepcopy(learner), learner)
    assert torch.equal(copy.deepcopy(learner).adapt(task)(x), predictor(x))
    assert torch.equal(predictor.to_module()(x), predictor(x))
    export(predictor, tmp_path / "p.pt2", x)
    found = torch.export.load(tmp_path / "p.pt2").module()(x)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, predictor(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["state.x", "state.7", "state."])
def test_a_state_whose_tensors_are_named_otherwise(name, tmp_path):
    from safetensors.torch import load_file, save_file

    qs.NearestCentroid().adapt(qs.Examples(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))).save(tmp_path / "p")
    tensors = load_file(tmp_path / "p" / "weights.safetensors")
    tensors[name] = tensors.pop("state.0")
    save_file(tensors, tmp_path / "p" / "weights.safetensors")
    with pytest.raises(CheckpointError, match="expected numbered tensors"):
        qs.load(rewritten(tmp_path / "p"))


# ---- a run's folder ------------------------------------------------------------------------------------------------------


def test_the_folder_of_meta_train_is_opened_in_python(tmp_path):
    tasks, network = qs.tasks.GaussianClasses(ways=3, dim=4), nn.Sequential(nn.Linear(4, 3))
    learner = qs.MAML(network, inner_lr=0.1)
    result = qs.meta_train(learner, tasks, steps=4, tasks_per_step=2, validation_episodes=4, out=tmp_path / "r", progress=False)
    run = qs.Run.open(tmp_path / "r")
    assert [record["loss"] for record in run.metrics] == [record["loss"] for record in result.history]
    again = run.load(network=nn.Sequential(nn.Linear(4, 3)))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), learner.parameters(), strict=True))
    assert (run.evaluation, run.splits, run.state) == (None, {"train": [], "validation": [], "test": []}, "finished")
    assert run.tasks.test.protocol == tasks.test.protocol
    with pytest.raises(CheckpointError, match="expected `network=` to be handed in"):
        _ = run.learner


def test_the_folder_of_the_command_line_makes_its_tasks_again(tmp_path, monkeypatch):
    from quickstudy.cli import main

    monkeypatch.chdir(tmp_path)
    words = "train maml --tasks sinusoid --train.steps 3 --train.tasks_per_step 2 --train.validation_episodes 4 --episodes 6"
    assert main([*words.split(), "--train.executor", "loop", "--controls", "none", "--out", "r"]) == 0
    run = qs.Run.open("r")
    score = qs.evaluate(run.learner, run.tasks.test, 6)
    assert score.per_episode == pytest.approx(run.evaluation["per_episode"])
    assert (run.state, run.config["learner"]["name"], len(run.metrics)) == ("finished", "maml", 3)


@pytest.mark.parametrize(("made", "got"), [(True, "a folder without it"), (False, "no such folder")])
def test_what_is_no_run(made, got, tmp_path):
    if made:
        (tmp_path / "r").mkdir()
    with pytest.raises(CheckpointError, match=f"expected a run folder, with config.yaml and learner/, got {got}"):
        qs.Run.open(tmp_path / "r")

"""Saved learners: they come back whole, and nothing in a folder can run code."""

import json
import pickle
from functools import partial

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import CheckpointError


def maml():
    return qs.MAML(qs.models.mlp(4, 3, hidden=(5,)), inner_lr=0.2, inner_steps=2, hypergradient=qs.Truncated(1), rule=qs.Adam())


def support():
    return qs.Examples(torch.randn(6, 4), torch.arange(3).repeat(2), 3)


def rewritten(path, change):
    config = json.loads((path / "config.json").read_text())
    change(config)
    (path / "config.json").write_text(json.dumps(config))


def test_a_learner_and_its_arguments_come_back(tmp_path):
    learner, task = maml(), support()
    learner.save(tmp_path)
    back = qs.load(tmp_path)
    assert isinstance(back, qs.Descent)
    assert (back.inner_lr, back.inner_steps, back.hypergradient, back.rule) == (0.2, 2, qs.Truncated(1), qs.Adam())
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
    with pytest.raises(CheckpointError, match="expected a whole safetensors file, got what does not read as one"):
        qs.load(tmp_path)


def test_weights_cut_short(tmp_path):
    maml().save(tmp_path)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="expected a whole safetensors file"):
        qs.load(tmp_path)


def test_a_format_from_the_future(tmp_path):
    maml().save(tmp_path)
    rewritten(tmp_path, lambda config: config.update({"format": 99, "library": "9.9"}))
    with pytest.raises(CheckpointError, match=r"expected format 1 or older, got format 99, written by quickstudy 9.9. Update"):
        qs.load(tmp_path)


def test_no_such_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected a saved learner: .* got no such folder"):
        qs.load(tmp_path / "nowhere")


def test_a_config_that_is_no_json(tmp_path):
    maml().save(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="expected JSON, got what does not parse"):
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

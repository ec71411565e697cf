"""SimpleShot: centred by the base data's mean, length 1, nearest centroid (the paper's CL2N)."""

import re

import torch
import torch.nn.functional as F
from torch import nn

import quickstudy as qs
from quickstudy.recipes import simpleshot
from quickstudy.recipes.simpleshot import BATCH, SimpleShot


def base(classes=20, examples=30):
    y = torch.arange(classes).repeat_interleave(examples)
    return qs.tasks.LabelledTasks(3.0 + torch.randn(len(y), 6), y, ways=3, shots=2, queries=4)


def network():
    """With running averages that are not those of any batch here."""
    norm = nn.BatchNorm1d(4)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return nn.Sequential(nn.Linear(6, 4), norm)


def test_by_hand():
    """The order of the classes by distance is the paper's, with the mean over all 600 base examples, in batches of 256.
    Controls: the support's own mean; no centring."""
    tasks, embed = base(), network()
    assert len(tasks.y) > 2 * BATCH
    episode = tasks.sample(1, generator=torch.Generator().manual_seed(0))[0]
    got = SimpleShot(embed, tasks, scale=1.0).adapt(episode.support)(episode.query.x)
    f = lambda x: embed.eval()(x).detach()

    def by_hand(mean):
        z, q = (F.normalize(f(part.x) - mean) for part in (episode.support, episode.query))
        centroids = torch.stack([z[episode.support.y == k].mean(0) for k in range(3)])
        return -(torch.cdist(q, centroids) ** 2)

    torch.testing.assert_close(got, by_hand(f(tasks.x).mean(0)))
    for other in (f(episode.support.x).mean(0), torch.zeros(4)):
        assert not torch.allclose(got, by_hand(other), rtol=0.01)


def test_the_network_is_left_as_it_was():
    tasks, embed = base(), network().train()
    before = {name: value.clone() for name, value in embed.state_dict().items()}
    SimpleShot(embed, tasks)
    assert embed.training
    assert all(torch.equal(before[name], value) for name, value in embed.state_dict().items())


def test_the_programme_of_its_page_runs():
    """What stands indented in the docstring, with a step for the dots."""
    programme = re.search(r"(?m)^    (learner = (?:.*\n    )+.*)$", simpleshot.__doc__)[1]
    assert programme.count("\n") == 2
    names = {**vars(qs), "embed": network(), "tasks": qs.tasks.GaussianClasses(ways=3, dim=6)}
    exec(re.sub(r"\n    ", "\n", programme).replace("...", "steps=1, tasks_per_step=1, validation_episodes=2"), names)
    assert names["simple"].embed is names["learner"].embedding

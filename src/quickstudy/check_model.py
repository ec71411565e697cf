"""check_model: before any training, what of a network can adapt, which executors serve it and why not, what a step costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.learners.descend.descent import Descent
from quickstudy.meta.estimator import Backprop
from quickstudy.meta.executors import Compiled, Loop, Threads, Vmap
from quickstudy.meta.executors.auto import difference_from_loop
from quickstudy.meta.problem import Problem
from quickstudy.network import plain


@dataclass
class ModelCheck:
    """What `check_model` found.

    Attributes:
        adapts: names of the parameters that can adapt.
        frozen: names of those that cannot, since they require no gradient.
        unused: names of those that the output does not depend on.
        norms: kinds of norm, and whether batch norms keep running averages.
        executors: executor name -> "serves", or why it does not.
        bytes_per_step: estimate of what one unrolled inner step on `example` keeps for the backward pass.
    """

    adapts: list[str]
    frozen: list[str]
    unused: list[str]
    norms: list[str]
    executors: dict[str, str]
    bytes_per_step: int
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        first = ", ".join(self.adapts[:6]) + (", ..." if len(self.adapts) > 6 else "")
        rows = [
            f"can adapt: {len(self.adapts)} parameter tensors ({first})",
            f"frozen: {', '.join(self.frozen) or 'none'}",
            f"unused by the output: {', '.join(self.unused) or 'none'}",
            f"norms: {', '.join(self.norms) or 'none'}",
            *(f"executor {name}: {answer}" for name, answer in self.executors.items()),
            f"memory: about {self.bytes_per_step / 2**20:.1f} MB for each unrolled inner step on this example",
        ]
        return "\n".join([*rows, *self.notes])


def check_model(network: nn.Module, example: Any) -> ModelCheck:
    """Try a network in an inner loop on `example` (x with a leading axis of examples) without changing it.

    Raises:
        UnsupportedError: a compiled or wrapped network.
    """
    network = plain("network", network)
    learner = Descent(network, inner_lr=1e-3, inner_steps=1, normalisation="transductive")
    output = learner.predict(learner.begin(Examples(example, _rows(example))), example)
    target = torch.zeros_like(output)
    episode = Episode(Examples(example, target), Examples(example, target))
    episodes = pytree.tree_map(lambda leaf: torch.stack([leaf, leaf]), episode)
    problem = Problem(learner, Backprop())
    executors = {}
    for executor in (Loop(), Threads(), Vmap()):
        executors[executor.name] = executor.refusal(problem) or difference_from_loop(problem, executor, episodes) or "serves"
    vmapped = executors["vmap"] if executors["vmap"] != "serves" else None
    executors["compiled"] = Compiled().refusal(problem) or vmapped or "can be tried (compilation itself is not)"
    names = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    return ModelCheck(
        adapts=[name for name, trainable in names.items() if trainable],
        frozen=[name for name, trainable in names.items() if not trainable],
        unused=_unused(learner, example),
        norms=_norms(network),
        executors=executors,
        bytes_per_step=_bytes_per_step(learner, episode),
    )


def _unused(learner: Descent, x: Any) -> list[str]:
    theta = {name: value.detach().requires_grad_() for name, value in learner.initial().items()}
    total = learner.predict({"theta": theta}, x).sum()
    gradients = torch.autograd.grad(total, list(theta.values()), allow_unused=True)
    return [name for name, gradient in zip(theta, gradients, strict=True) if gradient is None]


def _bytes_per_step(learner: Descent, episode: Episode) -> int:
    """Bytes of the tensors that autograd keeps for one inner step and its second derivative, each storage once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    theta = {name: value.detach().requires_grad_() for name, value in learner.initial().items()}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in learner.parameters()}
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = learner.criterion(learner.predict({"theta": theta}, episode.support.x), episode.support.y)
        torch.autograd.grad(loss, list(theta.values()), create_graph=True, allow_unused=True)
    return sum(size for pointer, size in kept.items() if pointer not in parameters)


def _norms(network: nn.Module) -> list[str]:
    batch = nn.modules.batchnorm._BatchNorm
    kinds = (batch, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm, nn.RMSNorm)
    found: dict[str, int] = {}
    for module in network.modules():
        if isinstance(module, kinds):
            running = ", running averages" if isinstance(module, batch) and module.running_mean is not None else ""
            label = type(module).__name__ + running
            found[label] = found.get(label, 0) + 1
    return [f"{count} {label}" for label, count in found.items()]


def _rows(x: Any) -> Tensor:
    return torch.zeros(pytree.tree_leaves(x)[0].shape[0])

"""check_model: before training, which parameters of a network can adapt, which executors work for it, and what a step costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.blueprint import Blueprint
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Forward
from quickstudy.learners.descend.descent import Descent
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.executors import EXECUTORS, Compiled, Loop, Threads, Vmap
from quickstudy.meta.executors.auto import difference_from_loop
from quickstudy.meta.problem import Problem
from quickstudy.randomness import numpy_kept, python_kept, seeded


@dataclass
class ModelCheck:
    """The result of `check_model`.

    Attributes:
        adapts: names of the parameters that can adapt.
        frozen: names of the parameters that cannot, because they require no gradient.
        unused: names of the parameters that the output does not depend on.
        norms: kinds of norm, and whether batch norms keep running averages.
        executors: executor name -> "serves", or why it does not.
        bytes_per_step: estimate of the bytes that one unrolled inner step on `example` keeps for the backward pass.
        notes: problems that change results but that no executor can detect; or why no executor works.
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


@checked
def check_model(network: nn.Module, example: Any) -> ModelCheck:
    """Try a network in an inner loop on `example` (x with a leading axis of examples) without changing it.

    The notes list problems that no executor can detect: weights read through a global, numbers from a global generator, a forward
    that writes to the module, a reentrant checkpoint.

    Raises:
        UnsupportedError: the network is compiled or wrapped.
    """
    network = plain("network", network)
    learner = Descent(network, inner_lr=1e-3, inner_steps=1, normalisation="transductive")
    names = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    adapts, frozen = ([name for name, trainable in names.items() if trainable == wanted] for wanted in (True, False))
    notes, output = look(network, example)
    if output is None:
        refused = dict.fromkeys(EXECUTORS, notes[0])
        return ModelCheck(adapts, frozen, [], _norms(network), refused, 0, notes)
    target = torch.zeros_like(output)
    episode = Episode(Examples(example, target), Examples(example, target))
    episodes = pytree.tree_map(lambda leaf: torch.stack([leaf, leaf]), episode)
    problem = Problem(learner, Backprop())
    executors = {}
    for executor in (Loop(), Threads(), Vmap()):
        executors[executor.name] = executor.refusal(problem) or difference_from_loop(problem, executor, episodes) or "serves"
    vmapped = executors["vmap"] if executors["vmap"] != "serves" else None
    executors["compiled"] = Compiled().refusal(problem) or vmapped or "can be tried (compilation itself is not)"
    return ModelCheck(
        adapts=adapts,
        frozen=frozen,
        unused=_unused(learner, example),
        norms=_norms(network),
        executors=executors,
        bytes_per_step=_bytes_per_step(learner, episode),
        notes=notes,
    )


def look(network: nn.Module, x: Any) -> tuple[list[str], Tensor | None]:
    """The obstacles to running a network with other weights, and its output; None if it cannot run at all."""
    held = [*network.parameters(), *network.buffers()]
    before = [tensor.detach().clone() for tensor in held]
    theta = {name: parameter.detach().requires_grad_() for name, parameter in network.named_parameters()}

    def once() -> Tensor:
        forward = Forward(Context(True, 0))
        with torch.enable_grad(), forward:
            return apply(Blueprint(network, training=True)(theta), x)

    try:
        with seeded(0), numpy_kept(), python_kept():
            output, again = once(), once()
    except UnsupportedError as error:
        return [str(error)], None
    notes = [
        f"forward reads the module's own `{name}`, through a global, a class or native code: other weights do not reach it"
        for name in _own_leaves(network, output)
    ]
    if not torch.equal(output, again):
        notes.append(
            "forward asked twice answers differently: it draws from Python's, numpy's or torch's global generator, or counts"
        )
    if any(not torch.equal(one, other) for one, other in zip(before, held, strict=True)):
        notes.append("forward writes to the module's tensors")
        with torch.no_grad():
            for tensor, value in zip(held, before, strict=True):
                tensor.copy_(value)
    return notes, output.detach()


def _own_leaves(network: nn.Module, output: Tensor) -> list[str]:
    """The parameters of the module itself that a copy's output depends on."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found, seen, todo = [], set(), [output.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        todo += [following for following, _ in node.next_functions]
        if id(getattr(node, "variable", None)) in names:
            found.append(names[id(node.variable)])  # type: ignore[attr-defined]
    return sorted(found)


def _unused(learner: Descent, x: Any) -> list[str]:
    theta = {name: value.detach().requires_grad_() for name, value in learner.initial().items()}
    total = learner.copied().run(theta, x, Forward(Context())).sum()
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
        prediction = learner.copied().run(theta, episode.support.x, Forward(Context()))
        loss = learner.criterion_of(episode.support)(prediction, episode.support.y)
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

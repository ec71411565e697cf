"""Four faults of torch 2.13 that give a wrong gradient or step without an error: the native path shows them, ours has none.

Where one of these controls fails, torch has mended its fault: then the work-around that it names may go.
"""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, grad_and_value, vjp, vmap

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Forward
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.executors import Compiled
from quickstudy.meta.outer.outer import RunningOptimizer
from quickstudy.meta.problem import Answer, Problem

NORMS = {
    "batch_norm": lambda h, w, b: F.batch_norm(h, None, None, w, b, True),
    "layer_norm": lambda h, w, b: F.layer_norm(h, h.shape[-1:], w, b),
    "instance_norm": lambda h, w, b: F.instance_norm(h[:, :, None].unflatten(1, (3, 2)).flatten(2), None, None, w, b).flatten(1),
}


class Network(nn.Module):
    """linear, the norm with weight and bias, tanh, linear."""

    def __init__(self, norm):
        super().__init__()
        width = 3 if norm == "instance_norm" else 6
        self.first, self.last, self.norm = nn.Linear(4, 6), nn.Linear(6, 3), NORMS[norm]
        self.weight, self.bias = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width))

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x), self.weight, self.bias)))


def episodes(tasks=3):
    draw = lambda n: qs.Examples(torch.randn(tasks, n, 4), torch.randint(3, (tasks, n)), 3)
    return qs.Episode(draw(6), draw(8))


def native(network, episodes, a, vmapped):
    """Second-order MAML by functional_call and nothing else: (loss, gradient by name)."""
    phi = dict(network.named_parameters())

    def task(x, y, query, asked):
        g = grad(lambda p: F.cross_entropy(functional_call(network, p, (x,)), y))(phi)
        return F.cross_entropy(functional_call(network, {k: v - a * g[k] for k, v in phi.items()}, (query,)), asked)

    data = (episodes.support.x, episodes.support.y, episodes.query.x, episodes.query.y)
    losses = vmap(task)(*data) if vmapped else torch.stack([task(*(one[t] for one in data)) for t in range(len(episodes))])
    return losses.mean().detach(), dict(zip(phi, torch.autograd.grad(losses.mean(), list(phi.values())), strict=True))


def gap(a, b):
    """Largest difference of two gradients, relative to the largest entry."""
    return max(float((a[k] - b[k]).abs().max()) for k in a) / max(float(one.abs().max()) for one in a.values())


@pytest.mark.parametrize("norm", NORMS)
def test_affine_norm_under_vmap_second_order(norm):
    """The loss agrees and the gradient does not, with weight and bias inside the fused norm; ours applies them outside.

    Policy "transductive" is the one that a native call has: every batch its own statistics.
    """
    network, batch, a = Network(norm), episodes(), 0.5
    (loss, right), (vmapped_loss, wrong) = (native(network, batch, a, vmapped) for vmapped in (False, True))
    torch.testing.assert_close(loss, vmapped_loss, rtol=1e-12, atol=1e-12)
    assert gap(right, wrong) > 1e-3, "torch has mended the double backward of its fused norms: forward/norms.py may let them be"
    learner = qs.MAML(network, inner_lr=a, normalisation="transductive")
    for executor in ("loop", "vmap"):
        ours_loss, ours = qs.meta_gradient(learner, batch, executor=executor)
        torch.testing.assert_close(ours_loss, loss, rtol=1e-12, atol=1e-12)
        assert gap(right, {name.removeprefix("network."): one for name, one in ours.items()}) < 1e-12


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # dynamo's own
def test_function_inside_a_compiled_vmapped_gradient():
    """compile(grad_and_value(vmap(f))) around an autograd.Function drops its backward: the gradient is exactly 0."""
    torch.compiler.reset()  # dynamo counts the recompilations of torch's own frames over all tests, and gives up at a limit
    A, b, w = torch.randn(4, 3, 3), torch.randn(4, 3), torch.randn(3)

    def step(w, A, b):
        return w - 0.1 * grad(lambda w: ((A @ w - b) ** 2).mean())(w)

    class Recomputed(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(w, A, b):
            with torch.no_grad():
                return step(w, A, b)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return vjp(step, *ctx.saved_tensors)[1](g)

    def objective(one):
        return grad_and_value(lambda w: vmap(lambda A, b: (one(w, A, b) ** 2).mean())(A, b).mean())

    right, loss = objective(step)(w)
    wrong, compiled_loss = torch.compile(objective(Recomputed.apply), backend="eager", fullgraph=True)(w)
    torch.testing.assert_close(loss, compiled_loss)
    assert float(right.abs().max()) > 0.1
    assert float(wrong.abs().max()) == 0, "torch has mended this: the compiled executor may serve recompute=True"


def test_compiled_refuses_what_needs_a_function():
    """So `compiled` refuses recompute=True by name, whether the compiler is there or not, and serves the plain unroll."""
    learner = qs.MAML(nn.Linear(4, 3), hypergradient=qs.Unrolled(recompute=True))
    with pytest.raises(errors.UnsupportedError) as caught:
        qs.meta_gradient(learner, episodes(), executor="compiled")
    text = str(caught.value)
    assert "`executor`: expected one that serves this learner, got 'compiled': torch.compile drops the backward" in text
    assert "Unrolled(recompute=True) needs: gradient 0, silently. Use executor='loop'." in text
    plain = Problem(qs.MAML(nn.Linear(4, 3)), Backprop())
    assert Compiled().refusal(plain) in (None, "there is no C++ compiler")


def test_batch_norm_of_channels_last_images_on_a_cpu():
    """float32 against float64, images of constant ground as drawn characters are: the fused kernel's naive sums are rough.

    Ours sums with care.
    """
    torch.manual_seed(0)
    ink = (torch.rand(100, 1, 28, 28) > 0.9).float()
    weight, bias = torch.linspace(0.5, 1.5, 64).float(), torch.zeros(64).float()
    images = F.conv2d(ink, 0.3 * torch.randn(64, 1, 3, 3).float(), 0.3 * torch.randn(64).float(), padding=1)
    exact = F.batch_norm(images.double(), None, None, weight.double(), bias.double(), True)
    last = images.contiguous(memory_format=torch.channels_last)

    def error(y):
        return float((y.double() - exact).norm() / exact.norm())

    with Forward(Context()):
        ours = F.batch_norm(last, None, None, weight, bias, True)
    native = F.batch_norm(last, None, None, weight, bias, True)
    assert error(ours) < 1e-6
    assert error(native) > 2e-5, "torch has mended its channels-last batch norm: channels_last.py may go"


# ---- fused optimizers do not look at strides ---------------------------------------------------------------------------------


def stepped(optimizer, layout, lies, way):
    """Weights that lie in `layout` after three steps of Adam along gradients that lie as `lies`; resumed before the third."""
    generator = torch.Generator().manual_seed(0)
    weights, *gradients = torch.randn(4, 3, 2, 3, 3, generator=generator)
    parameter = nn.Parameter(weights.contiguous(memory_format=layout))
    made = optimizer([parameter])
    for index, gradient in enumerate(gradients):
        gradient = gradient.contiguous(memory_format=lies)
        if way == "native":
            parameter.grad = gradient
            made.step()
            continue
        ours = RunningOptimizer({"w": parameter}, made, None)
        if index == 2:  # a checkpoint keeps values, and not how they lay in memory
            kept = ours.state_dict()
            for averages in kept["optimizer"]["state"].values():
                averages |= {name: averages[name].clone(memory_format=lies) for name in ("exp_avg", "exp_avg_sq")}
            made = optimizer([parameter])
            ours = RunningOptimizer({"w": parameter}, made, None)
            ours.load_state_dict(kept)
        ours.step(Answer(torch.zeros(1), {}, {"w": gradient}, {}, ()), lambda: None)
    return parameter.detach()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("lies", [torch.contiguous_format, torch.channels_last])
def test_fused_adam_mistakes_weights_where_layouts_differ(layout, lies):
    fused, plain = partial(torch.optim.Adam, lr=0.1, fused=True), partial(torch.optim.Adam, lr=0.1, foreach=False)
    want = stepped(plain, torch.contiguous_format, torch.contiguous_format, "native")
    torch.testing.assert_close(stepped(plain, layout, lies, "native"), want)
    torch.testing.assert_close(stepped(fused, layout, lies, "ours"), want)
    off = float((stepped(fused, layout, lies, "native") - want).abs().max())
    assert (off > 0.1) == (layout != lies), "torch has mended its fused Adam: optimizers.laid_as may go"


@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_channels_last_networks_are_trained_by_their_own_gradients(executor):
    """Conv4 lies channels last, and vmap's gradient of it does not: outer steps on it are those on a contiguous copy."""
    batch = qs.tasks.Strokes(ways=3, shots=1, queries=2, classes=(5, 5, 5)).train.sample(
        2, generator=torch.Generator().manual_seed(0)
    )
    ends = []
    for layout in (torch.channels_last, torch.contiguous_format):
        torch.manual_seed(0)
        learner = qs.MAML(qs.models.conv4(3, 4), inner_lr=0.1).double().to(memory_format=layout)
        outer = qs.Gradient().start(dict(learner.named_parameters()))
        wide = batch.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
        for _ in range(2):
            outer.step(Answer(torch.zeros(1), {}, qs.meta_gradient(learner, wide, executor=executor)[1], {}, ()), lambda: None)
        named = learner.named_parameters()
        ends.append({name: one.detach() for name, one in named if "conv.bias" not in name})  # of which a norm leaves rounding
    torch.testing.assert_close(*ends, rtol=1e-8, atol=1e-10)

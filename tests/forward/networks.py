"""Networks as people write them: what of them can hold other weights, and what draws."""

from __future__ import annotations

import random
import sys
import threading

import numpy
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

D = 6


class Net(nn.Module):
    """Two layers, and whatever `middle(self, h)` does between them."""

    def __init__(self, middle=lambda self, h: h, *more, prepare=lambda self: None):
        super().__init__()
        self.a, self.b, self.more, self.middle = nn.Linear(D, D), nn.Linear(D, D), nn.ModuleList(more), middle
        self.calls, self.seen = 0, []
        prepare(self)

    def forward(self, x):
        return self.b(self.middle(self, torch.tanh(self.a(x))))


class Square(torch.autograd.Function):
    """As such functions are published: without setup_context, so that torch.func refuses it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g


class Holder:
    """An object that is no module and holds one."""

    def __init__(self, module):
        self.module = module


def counting(self, h):
    self.calls, self.seen = self.calls + 1, [*self.seen, 1]
    return h * self.calls * len(self.seen)


def force(self, h):
    with torch.enable_grad():
        x = h if h.requires_grad else h.detach().requires_grad_()
        return torch.autograd.grad(self.b(x).tanh().sum(), x, create_graph=True)[0]


def recurrent(kind, packed=False, **more):
    def middle(self, h):
        x = h.reshape(len(h), 2, 3)
        if packed:
            x = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([2] * (len(x) - 2) + [1, 1]), batch_first=True)
        h = self.more[0](x)[1]
        return (h[0] if isinstance(h, tuple) else h)[-1]

    return lambda: Net(middle, kind(3, D, 2, batch_first=True, **more))


def each(self, h):
    for one in self.more:
        h = one(h)
    return h


def saved(self, h):
    return checkpoint(lambda h: each(self, h), h, use_reentrant=False)


def nested(self, h):
    return checkpoint(lambda h: saved(self, saved(self, h)), h, use_reentrant=False)


def sets(**made):
    return lambda self: vars(self).update({key: make(self) for key, make in made.items()})


def closure(layer):
    return lambda x: layer(x)


# name -> a network that can be run with other weights, to second order
WEIGHTS = {
    "plain": Net,
    "tied": lambda: Net(prepare=lambda self: setattr(self.b, "weight", self.a.weight)),
    "Python state": lambda: Net(counting),
    "spectral_norm": lambda: Net(prepare=lambda self: nn.utils.parametrizations.spectral_norm(self.a)),
    "weight_norm": lambda: Net(prepare=lambda self: nn.utils.parametrizations.weight_norm(self.a)),
    "closure": lambda: Net(lambda self, h: self.f(h), prepare=sets(f=lambda self: closure(self.a))),
    "bound method": lambda: Net(lambda self, h: self.f(h), prepare=sets(f=lambda self: self.a.forward)),
    "weights in a list": lambda: Net(lambda self, h: h @ self.w[0], prepare=sets(w=lambda self: [self.a.weight])),
    "an object": lambda: Net(lambda self, h: self.o.module(h), prepare=sets(o=lambda self: Holder(self.a))),
    "a default argument": lambda: Net(lambda self, h: self.f(h), prepare=sets(f=lambda self: lambda x, layer=self.a: layer(x))),
    "a hook": lambda: Net(prepare=lambda self: self.a.register_forward_hook(lambda m, x, y: y * self.b.bias.sum())),
    "lock": lambda: Net(prepare=sets(lock=lambda self: threading.Lock())),
    "GRU": recurrent(nn.GRU),
    "LSTM, packed": recurrent(nn.LSTM, True),
    "attention": lambda: Net(
        lambda self, h: self.more[0](h[None], h[None], h[None])[0][0], nn.MultiheadAttention(D, 2, batch_first=True)
    ),
    "autograd.Function": lambda: Net(lambda self, h: Square.apply(h)),
    "gradient inside": lambda: Net(force),
    "checkpoint": lambda: Net(saved, nn.Linear(D, D), nn.Tanh()),
    "checkpoint, nested": lambda: Net(nested, nn.Linear(D, D), nn.Tanh()),
}
ONLY_IN_THE_LOOP = {"GRU", "LSTM, packed", "autograd.Function", "gradient inside", "checkpoint", "checkpoint, nested"}

GLOBAL = nn.Linear(D, D)
REFUSED_AT_THE_CALL = {
    "open file": (
        lambda: Net(prepare=sets(file=lambda self: sys.__stderr__)),
        r"`network\.file`: expected attributes of Descent",
    ),
    "iterator": (lambda: Net(prepare=sets(i=lambda self: (x for x in ()))), r"`network\.i`: expected attributes of Descent"),
    "torch.jit": (lambda: Net(each, torch.jit.script(nn.Linear(D, D))), r"a torch\.jit module"),
    "poisson": (lambda: Net(lambda self, h: h * torch.poisson(torch.ones(D))), r"`poisson`, which draws"),
    "gamma": (lambda: Net(lambda self, h: h * torch.distributions.Gamma(h.exp(), 1.0).rsample()), r"`_standard_gamma`"),
    "max_norm": (
        lambda: Net(lambda self, h: h + self.more[0](torch.zeros(len(h)).long()), nn.Embedding(3, D, max_norm=1.0)),
        r"Embedding\(max_norm=1\.0\)",
    ),
    "checkpoint, reentrant": (
        lambda: Net(lambda self, h: checkpoint(lambda h: self.b(h), h, use_reentrant=True)),
        r"use_reentrant=True",
    ),
    "checkpoint, reentrant, of the input": (
        lambda: nn.Sequential(Reentrant(), nn.Linear(D, D)),
        r"use_reentrant=True",
    ),
}
FOUND_BY_CHECK_MODEL = {
    "a global": (
        lambda: Net(lambda self, h: GLOBAL(h), prepare=lambda self: setattr(self, "c", GLOBAL)),
        r"the module's own `c\.weight`",
    ),
    "random.random": (lambda: Net(lambda self, h: h * random.random()), "answers differently: it draws from Python's, numpy's"),
    "numpy": (lambda: Net(lambda self, h: h * numpy.random.rand()), "answers differently: it draws from Python's, numpy's"),  # noqa: NPY002
    "writes": (lambda: Net(lambda self, h: h * self.b.bias.data.add_(1)), "writes to"),
}


class Reentrant(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(D, D)

    def forward(self, x):
        return checkpoint(self.a, x, use_reentrant=True)


class StochasticDepth(nn.Module):
    """As torchvision and timm write it: it reads `self.training` and draws into an empty tensor."""

    def __init__(self, p=0.3):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        return x * torch.empty(len(x), *(1,) * (x.ndim - 1), dtype=x.dtype).bernoulli_(1 - self.p) / (1 - self.p)


def encoder():
    return nn.TransformerEncoderLayer(D, 2, 8, 0.3, batch_first=True)


# name -> a network that draws
RANDOM = {
    "Dropout": lambda: Net(each, nn.Dropout(0.3)),
    "AlphaDropout": lambda: Net(each, nn.AlphaDropout(0.3)),
    "FeatureAlphaDropout": lambda: Net(lambda self, h: self.more[0](h[..., None])[..., 0], nn.FeatureAlphaDropout(0.3)),
    "RReLU": lambda: Net(each, nn.RReLU()),
    "stochastic depth": lambda: Net(each, StochasticDepth()),
    "if rand < 0.5": lambda: Net(lambda self, h: h if torch.rand([]) < 0.5 else -h),
    "normal, randperm": lambda: Net(lambda self, h: torch.distributions.Normal(h, 1.0).rsample()[torch.randperm(len(h))]),
    "randint": lambda: Net(lambda self, h: h * torch.randint(1, 4, (len(h), 1))),
    "exponential": lambda: Net(lambda self, h: h * torch.empty(len(h), 1, dtype=h.dtype).exponential_()),
    "multinomial, gumbel": lambda: Net(lambda self, h: F.gumbel_softmax(h)[torch.multinomial(torch.ones(len(h)), len(h), True)]),
    "noise whatever the mode": lambda: Net(lambda self, h: h + torch.randn_like(h)),
    "LSTM(dropout)": recurrent(nn.LSTM, dropout=0.5),
    "GRU(dropout), packed": recurrent(nn.GRU, True, dropout=0.5),
    "attention": lambda: Net(lambda self, h: self.more[0](h[None])[0], encoder()),
    "checkpoint": lambda: Net(nested, nn.Linear(D, D), nn.BatchNorm1d(D), nn.Dropout(0.3)),
}
NOT_UNDER_VMAP = {"if rand < 0.5", "LSTM(dropout)", "GRU(dropout), packed", "checkpoint"}

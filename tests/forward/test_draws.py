"""Whatever a network draws is drawn from the episode's seed: the same in every executor, and twice the same from a predictor."""

import pytest
import torch
import torch.nn.functional as F
from tests.forward.networks import NOT_UNDER_VMAP, RANDOM, D, StochasticDepth
from torch import Tensor, nn

import quickstudy as qs
from quickstudy.forward import draws
from quickstudy.forward.context import Context
from quickstudy.forward.mode import ANSWERS, Forward
from quickstudy.meta.executors import Threads
from quickstudy.random import stateless_normal, stateless_uniform

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


def made(make):
    torch.manual_seed(0)
    return make().double()


def episodes(tasks=3):
    draw = lambda n: qs.Examples(torch.randn(tasks, n, D), torch.randn(tasks, n, D))
    return qs.Episode(draw(7), draw(9))


@pytest.mark.parametrize("name", RANDOM)
def test_one_seed_gives_one_gradient_in_every_executor(name):
    learner, batch = qs.MAML(made(RANDOM[name]), inner_lr=0.1, inner_steps=2), episodes()
    _, loop = qs.meta_gradient(learner, batch)
    state = torch.get_rng_state()
    for executor in ("loop", Threads(2), Threads(8)):
        torch.randn(3)  # the global state has no say
        _, again = qs.meta_gradient(learner, batch, executor=executor)
        assert all(torch.equal(loop[key], again[key]) for key in loop), executor
    torch.set_rng_state(state)
    qs.meta_gradient(learner, batch)
    assert torch.equal(state, torch.get_rng_state())
    _, other = qs.meta_gradient(learner, batch, seed=1)
    assert any(not torch.equal(loop[key], other[key]) for key in loop)
    if name not in NOT_UNDER_VMAP:
        _, mapped = qs.meta_gradient(learner, batch, executor="vmap")
        for key in loop:
            torch.testing.assert_close(mapped[key], loop[key], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("learner", [lambda net: qs.MAML(net, inner_steps=2), lambda net: qs.Ridge(net)], ids=["MAML", "Ridge"])
def test_a_predictor_asked_twice_answers_twice_the_same(name, learner):
    batch = episodes(1)[0]
    for mode in (True, False):  # whatever the user's module is in
        predictor = learner(made(RANDOM[name]).train(mode)).adapt(batch.support)
        first = predictor(batch.query.x)
        torch.randn(3)
        assert torch.equal(predictor(batch.query.x), first)


def test_modules_read_the_flag_of_the_context():
    """Stochastic depth is off in a predictor and on in meta-training, in train() and eval() alike; the module keeps its flag."""
    net = nn.Sequential(nn.Linear(D, D), StochasticDepth(0.5))
    plain, batch = nn.Sequential(net[0], nn.Identity()), episodes(1)
    for mode in (True, False):
        net.train(mode)
        got, want = (qs.MAML(one, inner_steps=1).adapt(batch[0].support)(batch[0].query.x) for one in (net, plain))
        torch.testing.assert_close(got, want)
        assert float(qs.meta_gradient(qs.MAML(net), batch)[0]) != float(qs.meta_gradient(qs.MAML(plain), batch)[0])
        assert net[1].training == mode


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dropout_drops_its_share_in_every_dtype(dtype):
    """Integers are compared: the mask of a float16 network is that of a float64 one, and half of it is gone."""
    masks = []
    for kind in (dtype, torch.float64):
        forward = Forward(Context(True, 3))
        with forward:
            masks.append(F.dropout(torch.ones(20000, dtype=kind), 0.5, True) != 0)
    assert torch.equal(*masks)
    assert 0.48 < float(masks[0].double().mean()) < 0.52


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_uniform_numbers_stay_between_their_bounds(dtype):
    u = stateless_uniform(1, (1 << 17,), dtype=dtype)
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    assert abs(float(u.double().mean()) - 0.5) < 0.01
    assert bool(torch.isfinite(stateless_normal(1, (1 << 17,), dtype=dtype)).all())


DISTRIBUTIONS = {
    "rand": (lambda: torch.rand(50000), 0.5, 1 / 12**0.5),
    "randn": (lambda: torch.randn(50000), 0.0, 1.0),
    "rand_like": (lambda: torch.rand_like(torch.ones(50000)), 0.5, 1 / 12**0.5),
    "normal": (lambda: torch.normal(2.0, 3.0, (50000,)), 2.0, 3.0),
    "normal of tensors": (lambda: torch.normal(torch.full((50000,), 2.0), 3.0), 2.0, 3.0),
    "randint": (lambda: torch.randint(3, 7, (50000,)).double(), 4.5, (15 / 12) ** 0.5),
    "randint_like": (lambda: torch.randint_like(torch.ones(50000), 3, 7), 4.5, (15 / 12) ** 0.5),
    "bernoulli": (lambda: torch.bernoulli(torch.full((50000,), 0.3)), 0.3, 0.21**0.5),
    "bernoulli_": (lambda: torch.empty(50000).bernoulli_(0.3), 0.3, 0.21**0.5),
    "normal_": (lambda: torch.empty(50000).normal_(2.0, 3.0), 2.0, 3.0),
    "uniform_": (lambda: torch.empty(50000).uniform_(-1.0, 3.0), 1.0, 4 / 12**0.5),
    "exponential_": (lambda: torch.empty(50000).exponential_(2.0), 0.5, 0.5),
    "multinomial": (lambda: torch.multinomial(torch.tensor([1.0, 3.0]), 50000, True).double(), 0.75, (3 / 16) ** 0.5),
    "rrelu": (lambda: -F.rrelu(-torch.ones(50000), 0.1, 0.3, True), 0.2, 0.2 / 12**0.5),
    "dropout": (lambda: F.dropout(torch.ones(50000), 0.5, True), 1.0, 1.0),
    "Gumbel": (lambda: F.gumbel_softmax(torch.zeros(50000, 2), hard=True)[:, 0], 0.5, 0.5),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_draws_have_the_mean_and_deviation_of_torch(name):
    """Within 5 standard errors; the same again from one seed, and others from the next."""
    draw, mean, deviation = DISTRIBUTIONS[name]

    def drawn(seed):
        forward = Forward(Context(True, seed))
        with forward:
            return draw().double()

    x = drawn(1)
    assert abs(float(x.mean()) - mean) < 5 * deviation / 50000**0.5
    assert abs(float(x.std()) - deviation) < 0.03 * deviation
    assert torch.equal(drawn(1), x)
    assert not torch.equal(drawn(2), x)


def test_permutations_and_samples_without_replacement():
    forward = Forward(Context(True, 1))
    with forward:
        assert sorted(torch.randperm(20).tolist()) == list(range(20))
        assert len(set(torch.multinomial(torch.ones(20), 20).tolist())) == 20


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_recurrent_networks_layer_by_layer_are_torchs_own(kind, both, packed):
    """At a dropout too small to drop anything they equal torch's; at 0.5 they do not."""
    x = torch.randn(4, 5, 3)
    inputs = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 4, 2, 2]), batch_first=True) if packed else x
    net = kind(3, 4, 3, batch_first=True, bidirectional=both, dropout=1e-12)
    want = kind(3, 4, 3, batch_first=True, bidirectional=both)
    want.load_state_dict(net.state_dict())
    flat = lambda output: torch.cat(
        [leaf.reshape(-1).double() for leaf in torch.utils._pytree.tree_leaves(output) if leaf is not None]
    )
    forward = Forward(Context(True, 1))
    with forward:
        got = net(inputs)
        net.dropout = 0.5
        dropped = net(inputs)
    torch.testing.assert_close(flat(tuple(got)), flat(tuple(want(inputs))), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(flat(tuple(dropped)), flat(tuple(got)))


def test_everything_that_torch_says_is_random_is_answered_or_refused():
    """torch's tag `nondeterministic_seeded`; where this fails, a version of torch has new ones: answer or refuse them."""
    tagged = set()
    for schema in torch._C._jit_get_all_schemas():
        name = schema.name.removeprefix("aten::")
        op = getattr(getattr(torch.ops.aten, name, None), schema.overload_name or "default", None)
        if op is not None and torch.Tag.nondeterministic_seeded in op.tags:
            places = [getattr(place, name) for place in (torch, Tensor, F) if callable(getattr(place, name, None))]
            tagged |= {name for place in places if place not in ANSWERS}
    harmless = {"_fused_sdp_choice", "_nested_tensor_softmax_with_shape"}
    assert tagged - harmless == set()
    assert all(any(hasattr(place, name) for place in (torch, Tensor, F)) for name in draws.REFUSED)

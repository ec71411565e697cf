"""The encoders of recordings: log-mel against its formula, and networks on it under every executor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import quickstudy as qs
from quickstudy.domains.audio.encoders import Cepstra, LogMel, MelConv4, TCResNet, WordConv
from quickstudy.domains.audio.encoders.mel import hertz, mel, mel_filters
from quickstudy.errors import ArgumentError
from quickstudy.models import Chain

SMALL = {"rate": 2000, "mels": 16, "window": 0.032, "hop": 0.016}
NETWORKS = {
    "tc_resnet": lambda: Chain(LogMel(**SMALL), TCResNet(16, ways=2, channels=(4, 4, 6), strides=(2, 1), kernel=3)),
    "conv4": lambda: Chain(LogMel(**SMALL), MelConv4(16, ways=2, channels=4)),
    "word_conv": lambda: Chain(Chain(Cepstra(2000, 4, 6, 12), WordConv(4, 6, 4)), qs.models.mlp(32, 2, hidden=())),
}


# ---- log-mel -------------------------------------------------------------------------------------------------------------


def test_the_slaney_scale_is_that_of_librosa():
    """What `librosa.mel_frequencies(n_mels=40)` prints in its documentation: 40 points from 0 to 11025 Hz."""
    first = [0.0, 85.317, 170.635, 255.952, 341.269, 426.586, 511.904, 597.221, 682.538, 767.855, 853.173, 938.49, 1024.856]
    last = [7101.009, 7754.107, 8467.272, 9246.028, 10096.408, 11025.0]
    top = float(mel(torch.tensor(11025.0, dtype=torch.float64), "slaney"))
    points = hertz(torch.linspace(0, top, 40, dtype=torch.float64), "slaney")
    np.testing.assert_allclose(points[:13], first, atol=6e-4)
    np.testing.assert_allclose(points[-6:], last, atol=6e-4)


def test_the_htk_scale():
    assert abs(float(mel(torch.tensor(1000.0), "htk")) - 1000) < 0.1  # what it was made for
    f = torch.tensor([30.0, 700.0, 6000.0], dtype=torch.float64)
    torch.testing.assert_close(hertz(mel(f, "htk"), "htk"), f)
    assert mel_filters(16000, 512, 20, 0, 8000, "htk").max() <= 1


def by_hand(x, size, step, filters, floor):
    """The formula in loops of numpy: a sum of cosines and sines for every frame and frequency."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    x = np.pad(x, size // 2)
    frames = [hann * x[at : at + size] for at in range(0, len(x) - size + 1, step)]
    turns = 2 * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(size)) / size
    power = np.array([(np.cos(turns) @ one) ** 2 + (np.sin(turns) @ one) ** 2 for one in frames])
    return np.log(power @ filters.T + floor).T


def triangles(rate, size, mels, low, high):
    """librosa's filters, written as its loop is: each is the smaller of two ramps, weighed by 2 / width."""
    to_mel = lambda f: 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)
    to_hertz = lambda m: 200 * m / 3 if m < 15 else 1000 * np.exp(np.log(6.4) / 27 * (m - 15))
    ends = [to_hertz(m) for m in np.linspace(to_mel(low), to_mel(high), mels + 2)]
    found = np.zeros((mels, size // 2 + 1))
    for i in range(mels):
        for k in range(size // 2 + 1):
            f = k * rate / size
            ramp = min((f - ends[i]) / (ends[i + 1] - ends[i]), (ends[i + 2] - f) / (ends[i + 2] - ends[i + 1]))
            found[i, k] = max(0.0, ramp) * 2 / (ends[i + 2] - ends[i])
    return found


def test_log_mel_is_its_formula():
    x = np.random.default_rng(0).normal(size=1600)
    filters = triangles(8000, 200, 24, 20.0, 4000.0)
    np.testing.assert_allclose(mel_filters(8000, 200, 24, 20.0, 4000.0), filters, atol=1e-7)
    found = LogMel(8000, 24, low=20.0).double()(torch.from_numpy(x))
    np.testing.assert_allclose(found, by_hand(x, 200, 80, filters, 1e-6), atol=1e-4)  # filters are held as float32
    other = by_hand(x, 200, 80, triangles(8000, 200, 24, 0.0, 4000.0), 1e-6)
    assert np.abs(found.numpy() - other).max() > 1e-2  # the control: other bands


@pytest.mark.parametrize("samples", [3000, 3001, 100])
def test_its_transform_is_that_of_torch(samples):
    network, x = LogMel(8000, 24), torch.randn(2, samples)
    transform = torch.stft(x, network.size, network.step, window=network.hann, pad_mode="constant", return_complex=True)
    torch.testing.assert_close(network.power(x), network.filters @ transform.abs().square(), rtol=1e-4, atol=1e-6)
    assert network.frames(samples) == transform.shape[-1]


def test_a_tone_is_in_its_band():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    found = LogMel(16000, 40, low=0.0)(tone[None])[0, :, 50]
    ends = hertz(torch.linspace(0, float(mel(torch.tensor(8000.0), "slaney")), 42), "slaney")
    band = int(found.argmax())
    assert ends[band] < 1000 < ends[band + 2]


def test_it_has_no_parameters_and_keeps_none():
    network = LogMel()
    assert not list(network.parameters())
    assert not network.state_dict()
    assert network.frames(16000) == network(torch.zeros(1, 16000)).shape[-1]


# ---- cepstra -------------------------------------------------------------------------------------------------------------


def cepstra_by_hand(x, network):
    """The three equations in loops of numpy, for one recording."""
    power = network.frames.power(x[None])[0].double().numpy()
    mels, frames = power.shape
    level = power.sum(0)
    heard = [t for t in range(frames) if level[t] > 1e-4 * level.max()]
    cosine = lambda k, n: np.sqrt(2 / mels) * np.cos(np.pi / mels * (n + 0.5) * k)
    c = np.array(
        [[sum(cosine(k, n) * np.log(power[n, t] + 1e-6) for n in range(mels)) for t in range(frames)] for k in range(1, 5)]
    )
    mean = c[:, heard].mean(1)
    c = np.array([c[:, t] - mean if t in heard else np.zeros(4) for t in range(frames)]).T
    length = (int(x.nonzero().max()) + 1) / network.frames.step
    z = np.zeros((4, network.parts))
    for b in range(network.parts):
        w = [max(0.0, 1 - abs(t - (b + 0.5) * length / network.parts) / max(1, length / network.parts)) for t in range(frames)]
        z[:, b] = c @ w / sum(w)
    return z


@pytest.mark.parametrize("parts", [5, 40])
def test_cepstra_are_their_equations(parts):
    """Of more parts than frames too. Control: another number of coefficients' worth of cosines."""
    network, x = Cepstra(8000, 4, parts, 16), torch.nn.functional.pad(torch.randn(1900) * torch.linspace(0, 1, 1900), (0, 900))
    found = network(x[None])[0]
    np.testing.assert_allclose(found, cepstra_by_hand(x, network), atol=2e-4)
    assert np.abs(found.numpy() - cepstra_by_hand(x[:1800], network)).max() > 1e-2


def test_cepstra_hear_neither_gain_nor_channel_nor_what_stands_behind():
    """Control: log-mel frames hear the gain, and another recording has other cepstra."""
    network, x = Cepstra(8000), torch.randn(1, 4000).cumsum(1) * torch.sin(torch.arange(4000) / 300)
    louder = torch.nn.functional.pad(30 * x, (0, 2000))
    torch.testing.assert_close(network(louder), network(x), atol=0.05, rtol=0.01)
    coloured = x[:, 1:] - 0.6 * x[:, :-1]  # as another microphone would
    other = torch.randn(1, 4000).cumsum(1) * torch.sin(torch.arange(4000) / 200)
    away = lambda one: float((network(one) - network(x)).square().mean())
    assert away(coloured) < 0.2 * away(other)
    assert (LogMel(8000)(30 * x) - LogMel(8000)(x)).abs().min() > 1


# ---- networks ------------------------------------------------------------------------------------------------------------


def episodes():
    t = torch.arange(500) / 2000
    x = torch.stack([torch.sin(2 * torch.pi * (100 + 60 * (row % 6)) * t + row) for row in range(60)])
    tasks = qs.tasks.from_arrays(
        x, [row % 6 for row in range(60)], rate=2000, seconds=0.25, ways=2, shots=2, queries=3, split=(2, 2, 2)
    )
    some = tasks.train.sample(3, generator=torch.Generator().manual_seed(0))
    support, query = (part.like(part.x.double(), part.y) for part in (some.support, some.query))
    return qs.Episode(support, query)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("executor", ["threads", "vmap"])
def test_the_second_order_gradient_is_that_of_the_loop(name, executor):
    network, some = NETWORKS[name](), episodes()
    learner = qs.MAML(network, inner_lr=0.5, inner_steps=2).double()
    loop = qs.meta_gradient(learner, some)[1]
    other = qs.meta_gradient(learner, some, executor=executor)[1]
    first = qs.meta_gradient(qs.FOMAML(network, inner_lr=0.5, inner_steps=2).double(), some)[1]
    for one in loop:
        torch.testing.assert_close(other[one], loop[one], rtol=1e-6, atol=1e-7)
    away = max((a - b).abs().max() for a, b in zip(loop.values(), first.values(), strict=True))
    assert away > 1e-5  # the control: without second derivatives


@pytest.mark.parametrize("name", NETWORKS)
def test_a_learner_on_it_is_saved_and_loaded(name, tmp_path):
    learner = qs.Prototypical(NETWORKS[name]())
    learner.save(tmp_path)
    x = torch.randn(4, 500)
    support = qs.Examples(x, torch.tensor([0, 0, 1, 1]), ways=2)
    again = qs.load(tmp_path)
    torch.testing.assert_close(again.adapt(support)(x), learner.adapt(support)(x), rtol=0, atol=0)


def test_one_seed_is_one_network():
    torch.manual_seed(7)
    one = TCResNet(seed=3).state_dict()
    torch.manual_seed(8)
    assert all(torch.equal(value, one[name]) for name, value in TCResNet(seed=3).state_dict().items())
    assert sum(p.numel() for p in TCResNet(ways=12).parameters()) == 65180  # TC-ResNet8: "66K" in its Table 1


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: LogMel(8000, high=5000.0), r"`low, high`: expected bands .* at most 4000 Hz.*, got 20 and 5000"),
        (lambda: LogMel(low=8000.0), r"`low, high`: .* got 8000 and 8000"),
        (lambda: TCResNet(kernel=4), r"`kernel`: expected an odd number, got 4\. Give 5"),
        (lambda: TCResNet(strides=(2, 2)), r"`channels, strides`: .* a stride of 1 or more for each block, got"),
        (lambda: Cepstra(coefficients=40), r"`coefficients`: expected fewer than the 40 bands, got 40"),
        (lambda: MelConv4(mels=12), r"`mels`: expected 16 bands or more"),
    ],
)
def test_sizes_that_cannot_be(made, text):
    with pytest.raises(ArgumentError, match=text):
        made()

"""A setting of the whole process is as it was once all threads have left the block, in whatever order they came and went."""

import threading
import warnings
from contextlib import contextmanager

import pytest
import torch

import quickstudy as qs
from quickstudy.learners.read import NeuralProcess
from quickstudy.meta.executors import Threads
from quickstudy.meta.executors.executor import PLAIN_ATTENTION, WITHOUT_CUDNN
from quickstudy.process_wide import ProcessWide, without_warnings


def interleaved(block):
    """The first thread leaves while the second, which entered after it, is still inside."""
    inside, gone = threading.Event(), threading.Event()

    def second():
        with block():
            inside.set()
            gone.wait(10)

    other = threading.Thread(target=second)
    with block():
        other.start()
        inside.wait(10)
    gone.set()
    other.join()


SETTINGS = {
    "attention": (lambda: PLAIN_ATTENTION, torch.backends.cuda.flash_sdp_enabled),
    "cuDNN": (lambda: WITHOUT_CUDNN, lambda: torch.backends.cudnn.enabled),
    "warnings": (lambda: without_warnings, lambda: list(warnings.filters)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_put_back(name):
    block, setting = SETTINGS[name]
    before = setting()
    with block():
        assert setting() != before
    interleaved(block)
    assert setting() == before


def test_the_control_of_it():
    """A block that saves and restores by itself leaves what another has set."""
    value = [1]

    @contextmanager
    def plain():
        saved = value[0]
        value[0] = 0
        try:
            yield
        finally:
            value[0] = saved

    interleaved(plain)
    assert value == [0]
    value[0] = 1
    interleaved(lambda wide=ProcessWide(plain): wide)
    assert value == [1]


def test_threads_that_start_threads_leave_torch_its_number():
    """A worker sets one intra-op thread; whoever asks for the number meanwhile does not put that back for good."""
    torch.set_num_threads(3)
    seen = []

    def ask():
        Threads(2).map(lambda learner, episode: learner(episode.support, episode.query.x), learner, batch)
        seen.append(torch.get_num_threads())

    learner, batch = qs.Prototypical(torch.nn.Linear(4, 2)), qs.tasks.GaussianClasses(ways=3, dim=4).test.sample(4)
    for _ in range(10):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [3] * 80


def test_weights_drawn_in_threads_are_those_of_one():
    """And torch's own generator is where it was."""
    build = lambda: NeuralProcess(width=16)
    want, state, found = build().state_dict(), torch.get_rng_state(), []
    threads = [threading.Thread(target=lambda: found.extend(build().state_dict() for _ in range(10))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(torch.equal(one[key], want[key]) for one in found for key in want)
    assert torch.equal(torch.get_rng_state(), state)

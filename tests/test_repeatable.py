"""The check of what tests that compare bits assume: it sees a BLAS that does not repeat, and says which call and when."""

import os
import threading

import pytest
import torch

from tests import repeatable


def test_this_machine_repeats(repeatable_blas):
    assert all(os.environ.get(name) for name in repeatable.FIXED)


@pytest.mark.parametrize("how", ["called again", "from another thread", "at another place in memory"])
def test_a_call_that_does_not_repeat_is_named(monkeypatch, how):
    softmax, calls = torch.Tensor.softmax, []

    def other(x, dim):
        calls.append(x)
        changed = {
            "called again": len(calls) % 4 == 2,
            "from another thread": threading.current_thread() is not threading.main_thread(),
            "at another place in memory": x.storage_offset() > 0,
        }
        return softmax(x, dim) + changed[how]

    monkeypatch.setattr(torch.Tensor, "softmax", other)
    want = [f"softmax of {dtype}, size {n}, {how}" for dtype in (torch.float32, torch.float64) for n in repeatable.SIZES]
    assert repeatable.unrepeatable() == want

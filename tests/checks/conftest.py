"""The checks run on one thread: their networks are tiny."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread(_global_state):
    torch.set_num_threads(1)

"""The baselines are compared with plain torch in float64, on one thread."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _double_on_one_thread(_global_state):
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)

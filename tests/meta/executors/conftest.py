"""Executors are compared in float64, on one thread."""

import pytest
import torch


def pytest_configure(config):
    config.addinivalue_line("markers", "compiled: calls torch.compile, which takes seconds for each graph")


@pytest.fixture(autouse=True)
def _double_on_one_thread(_global_state):
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)

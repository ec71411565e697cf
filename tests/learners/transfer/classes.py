"""Made data of many classes, for the tests of the baselines."""

import torch

from quickstudy.tasks import LabelledTasks


def blobs(classes: int = 60, each: int = 20, *, seed: int = 0, ways: int = 5, shots: int = 1, queries: int = 15) -> LabelledTasks:
    """Classes that differ in 6 of 30 directions, hidden in noise along the others: what is noise can be learned from many."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.linalg.qr(torch.randn(30, 30, generator=torch.Generator().manual_seed(99))).Q
    means = 3 * torch.randn(classes, 1, 6, generator=generator).expand(-1, each, -1)
    signal = means + torch.randn(classes, each, 6, generator=generator)
    noise = 4 * torch.randn(classes, each, 24, generator=generator)
    x = torch.cat([signal, noise], 2).flatten(0, 1) @ mixing
    y = torch.arange(classes).repeat_interleave(each)
    return LabelledTasks(x, y, ways=ways, shots=shots, queries=queries)


def episode(ways: int = 3, shots: int = 2, queries: int = 4, seed: int = 0):
    """One episode of blobs."""
    tasks = blobs(8, 10, seed=seed, ways=ways, shots=shots, queries=queries)
    return tasks.sample(1, generator=torch.Generator().manual_seed(seed))[0]

"""What a test that compares computed numbers bit for bit assumes of the machine's BLAS, and the check of it.

The same call on the same numbers gives the same bits: called again, from another thread, and with its arguments at another place
in memory, as loaded weights and rows of a batch lie. So a resumed run is compared with an unbroken one, `threads` with `loop`,
and a loaded learner with the saved one. No test assumes it of two programs that compute in another order or in other shapes.

MKL promises it where MKL_CBWR is set and its number of threads is fixed (`FIXED`, set by conftest.py before torch is imported).
Without it, its kernels for older processors and for those of other makes depend on the alignment of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

FIXED = {"MKL_CBWR": "AUTO", "MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE"}
SIZES = (3, 8, 40, 100)


def unrepeatable() -> list[str]:
    """The calls that do not repeat on this machine, each with what was changed; the assumption holds where there are none."""
    import torch
    from torch import Tensor
    from torch.nn import functional as F

    calls: dict[str, tuple[Callable[..., Tensor], Callable[[int], list[tuple[int, ...]]]]] = {
        "matmul": (torch.matmul, lambda n: [(n, n + 3), (n + 3, n)]),
        "matmul of a vector": (torch.matmul, lambda n: [(n, n + 3), (n + 3,)]),
        "bmm": (torch.bmm, lambda n: [(3, n, n + 3), (3, n + 3, n)]),
        "linalg.solve": (
            lambda a, b: torch.linalg.solve(a + 9 * len(a) * torch.eye(len(a)).to(a), b),
            lambda n: [(n, n), (n, 2)],
        ),
        "linalg.cholesky": (lambda a: torch.linalg.cholesky(a @ a.T + torch.eye(len(a)).to(a)), lambda n: [(n, n)]),
        "conv2d": (lambda x, w: F.conv2d(x, w, padding=1), lambda n: [(2, 3, min(n, 20), min(n, 20)), (5, 3, 3, 3)]),
        "softmax": (lambda x: x.softmax(-1), lambda n: [(n, n + 3)]),
        "sum": (lambda x: x.sum(0), lambda n: [(n, n + 3)]),
    }

    def moved(x: Tensor, places: int) -> Tensor:
        there = torch.empty(x.numel() + places, dtype=x.dtype)[places:].view(x.shape)
        return there.copy_(x)

    found, generator = [], torch.Generator().manual_seed(0)
    with ThreadPoolExecutor(1) as pool:
        for name, (call, shapes) in calls.items():
            for dtype in (torch.float32, torch.float64):
                for n in SIZES:
                    given = [torch.randn(shape, dtype=dtype, generator=generator) for shape in shapes(n)]
                    want = call(*given)
                    others = {
                        "called again": call(*given),
                        "from another thread": pool.submit(call, *given).result(),
                        "at another place in memory": call(*(moved(x, 1) for x in given)),
                    }
                    found += [f"{name} of {dtype}, size {n}, {how}" for how, got in others.items() if not torch.equal(got, want)]
    return found

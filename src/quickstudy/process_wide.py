"""ProcessWide: a setting of the whole process that several threads need at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from quickstudy.forks import LOCK


class ProcessWide(AbstractContextManager[None]):
    """A setting that holds while any thread is in the block: the first thread enters it, the last one leaves it.

    Two threads that each saved and restored such a setting would leave it changed: the second saves what the first has set, and
    restores that when the first has gone.

    Args:
        setting: makes the context manager that sets and restores.

    Examples:
        >>> from quickstudy.process_wide import ProcessWide
        >>> with ProcessWide(torch.inference_mode):
        ...     torch.is_inference_mode_enabled()
        True
    """

    def __init__(self, setting: Callable[[], AbstractContextManager[Any]]):
        self.setting = setting
        self._inside = 0
        self._held: AbstractContextManager[Any] | None = None

    def __enter__(self) -> None:
        with LOCK:
            if self._inside == 0:
                held = self.setting()
                held.__enter__()
                self._held = held
            self._inside += 1

    def __exit__(self, *error: Any) -> None:
        with LOCK:
            self._inside -= 1
            if self._inside == 0 and self._held is not None:
                held, self._held = self._held, None
                held.__exit__(None, None, None)


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


without_warnings = ProcessWide(_without_warnings)

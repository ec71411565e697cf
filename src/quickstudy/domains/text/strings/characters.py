"""Characters: what every byte is, and where it is within its run of letters or digits, before anything is learned.

kind(byte)    0 nothing, 1 small letter, 2 capital letter, 3 digit, 4 space, 5 any other of ASCII, 6 a byte of a longer character
run           bytes in a row that are all letters (of kinds 1, 2 and 6), all digits, all spaces or all others
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

VOCABULARY = 256
KINDS = 7
OF_RUN = (0, 1, 1, 2, 3, 4, 1)  # by kind


class Places(NamedTuple):
    """Where each byte is (n, length), int64, counted from 0.

    Attributes:
        run: the number of its run, and `run_back` that from the end.
        place: its place in the run, and `place_back` that from the run's end.
    """

    run: Tensor
    run_back: Tensor
    place: Tensor
    place_back: Tensor


def places(ids: Tensor) -> Places:
    """The places of the bytes of ids (n, length), 0 for those behind the end; `run` and `place` depend on what is before."""
    there, runs = ids != 0, torch.tensor(OF_RUN, device=ids.device)[kinds(ids)]
    begins = torch.cat([torch.ones_like(there[:, :1]), runs[:, 1:] != runs[:, :-1]], 1)
    run = begins.long().cumsum(1) - 1
    alike = (run[:, :, None] == run[:, None, :]) & there[:, None, :]
    before = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril(-1)
    place, place_back = (alike & before).sum(2), (alike & before.T).sum(2)
    last = (run * there).amax(1, keepdim=True)
    return Places(*(one * there for one in (run, last - run, place, place_back)))


def kinds(ids: Tensor) -> Tensor:
    """The kind of each byte, of the shape of ids."""
    return torch.tensor([_kind(byte) for byte in range(VOCABULARY)], device=ids.device)[ids]


def small(ids: Tensor) -> Tensor:
    """The bytes with capital letters of ASCII made small."""
    return torch.where((ids >= 65) & (ids <= 90), ids + 32, ids)


def capital(ids: Tensor) -> Tensor:
    """The bytes with small letters of ASCII made capital."""
    return torch.where((ids >= 97) & (ids <= 122), ids - 32, ids)


def unchanged(ids: Tensor) -> Tensor:
    """The bytes as they are."""
    return ids


COPIES = (unchanged, capital, small)  # how a byte may be copied


def _kind(byte: int) -> int:
    if byte == 0 or byte > 127:
        return 6 if byte else 0
    one = chr(byte)
    return 1 if one.islower() else 2 if one.isupper() else 3 if one.isdigit() else 4 if one == " " else 5

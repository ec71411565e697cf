"""Download a published file once: write it beside its target, check it, then rename it. A wrong one leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from http.client import HTTPException
from pathlib import Path

from quickstudy.errors import DataError

CHUNK = 2**20  # bytes read at a time
TIMEOUT = 60  # seconds without an answer


def download(url: str, target: Path, *, md5: str) -> None:
    """Download `url` to `target`, and create its folder if needed.

    Raises:
        DataError: a url that cannot be reached, or a file with another checksum than `md5`.
    """
    partial = target.with_name(target.name + ".part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                while chunk := response.read(CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
        if digest.hexdigest() != md5:
            raise DataError(
                url,
                expected=f"the published file, md5 {md5}",
                got=f"md5 {digest.hexdigest()}",
                do="Try again; nothing was kept of it.",
            )
        os.replace(partial, target)
    except DataError:
        raise
    except (OSError, HTTPException) as error:
        raise DataError(
            url, expected="a file that can be fetched", got=str(error), do=f"Fetch it elsewhere and put it at {target}."
        ) from error
    finally:
        partial.unlink(missing_ok=True)

"""Whatever bytes lie where a loader reads, it reads them or refuses with an error of ours: no crash, no hang, nothing run."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS, feed, seeds, watched

pytestmark = pytest.mark.timeout(120)


def changed(name):
    """A file that reads, with a piece of it replaced, cut or doubled; or any bytes at all."""
    own = st.sampled_from(seeds(name))
    spliced = st.tuples(own, st.floats(0, 1), st.binary(max_size=12), st.integers(0, 12)).map(
        lambda t: t[0][: int(t[1] * len(t[0]))] + t[2] + t[0][int(t[1] * len(t[0])) + t[3] :]
    )
    words = st.lists(
        st.sampled_from([b"{", b"}", b"[", b"]", b":", b",", b'"', b"class", b"null", b"-1", b"nan", b"1e3", b"!!python/object"]),
        max_size=9,
    )
    put = st.tuples(own, st.floats(0, 1), words).map(
        lambda t: t[0][: int(t[1] * len(t[0]))] + b" ".join(t[2]) + t[0][int(t[1] * len(t[0])) :]
    )
    return st.one_of(own, spliced, put, st.binary(max_size=60))


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name):
    reads = []

    @settings(max_examples=60)
    @given(changed(name))
    def fed(data):
        reads.append(feed(name, data))

    fed()
    assert any(feed(name, data) for data in seeds(name)) or name == "images", "the fuzzer begins from files that do not read"


def test_the_watch_sees_a_program():
    """The control: what a pickle could do is noticed."""
    with pytest.raises(AssertionError, match=r"reading data led to \['subprocess.Popen'"), watched():
        subprocess.run([sys.executable, "-c", ""], check=True)

"""Byte ranges agree with slices of Python, and with the cases of RFC 9110."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saematch.explorer.byte_ranges import RangeError, byte_range

numbers = st.integers(0, 60)


@given(size=st.integers(0, 50), first=numbers, last=st.none() | numbers)
def test_a_range_from_a_byte_on_is_a_slice(size, first, last):
    content = bytes(range(size))
    header = f"bytes={first}-{'' if last is None else last}"
    if last is not None and last < first:
        assert byte_range(header, size) is None  # not well-formed: ignored
    elif first >= size:
        with pytest.raises(RangeError):
            byte_range(header, size)
    else:
        start, end = byte_range(header, size) or (0, 0)
        assert content[start:end] == content[first : None if last is None else last + 1]
        assert 0 <= start < end <= size


@given(size=st.integers(1, 50), length=st.integers(1, 60))
def test_a_suffix_is_the_end_of_the_file(size, length):
    content = bytes(range(size))
    start, end = byte_range(f"bytes=-{length}", size) or (0, 0)
    assert content[start:end] == content[-length:]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=-",
        "bytes=",
        "bytes=a-b",
        "bytes=0-1,4-5",
        "items=0-1",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1-2;",
        "bytes=٣-٤",  # digits, but no ASCII
        "bytes=0x1-2",
        "0-1",
    ],
)
def test_what_is_no_single_range_of_bytes_is_ignored(header):
    assert byte_range(header, 10) is None


def test_edges():
    assert byte_range("bytes=0-", 1) == (0, 1)
    assert byte_range("Bytes = 2-3", 10) == (2, 4)
    assert byte_range("bytes=00-0000005", 10) == (0, 6)
    assert byte_range("bytes=9-99999999999999999999999999", 10) == (9, 10)
    assert byte_range(f"bytes=-{'9' * 5000}", 10) == (0, 10)
    assert byte_range("bytes=-5", 0) is None  # satisfiable, but has no bytes to name
    for header, size in (("bytes=-0", 10), ("bytes=10-", 10), ("bytes=0-", 0), ("bytes=0-0", 0)):
        with pytest.raises(RangeError):
            byte_range(header, size)
    with pytest.raises(RangeError):
        byte_range(f"bytes={'9' * 5000}-", 10)

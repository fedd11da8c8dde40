"""curation/text/byte_scans and tag_scans: scans of bytes give what Python's own give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.byte_scans import copied_to, holds_four, tag_from, tags_in
from curation.text.html_names import fnv
from curation.text.tag_scans import attribute, name_key, tag_close

BYTES = st.lists(st.sampled_from(b"<annotAN!-x "), max_size=90).map(bytes)


@settings(deadline=None)
@given(BYTES, st.integers(0, 90), st.integers(0, 90))
def test_scans(data: bytes, start: int, end: int) -> None:
    end = min(end, len(data))
    start = min(start, end)
    array = np.frombuffer(data, np.uint8)
    part = data[start:end]
    assert tags_in(array, start, end) == part.count(b"<")
    assert tag_from(array, start, end) == (start + part.find(b"<") if b"<" in part else end)
    assert holds_four(array, start, end, *b"nnot") == (b"nnot" in part.lower())
    assert holds_four(array, start, end, *b"<!--") == (b"<!--" in part)
    out = np.zeros(100, np.uint8)
    assert copied_to(array, start, end, out, 3) == 3 + len(part)
    assert out.tobytes() == bytes(3) + part + bytes(97 - len(part))


@pytest.mark.parametrize(
    ("tag", "name", "value"),
    [
        ("a=1 b=2", "b", "2"),
        (" B = 'x y' b=2", "b", "x y"),
        ('a="b=3" b="">', "b", ""),
        ("b b=4/", "b", "4/"),
        ("a='b=5", "b", "5"),
        ("bb=1 b=", "b", None),
        ("", "b", None),
    ],
)
def test_attributes(tag: str, name: str, value: str | None) -> None:
    data = np.frombuffer(tag.encode(), np.uint8)
    start, end = attribute(data, 0, len(tag), np.uint64(fnv(name.encode())))
    assert (None if start < 0 else tag[start:end]) == value


@pytest.mark.parametrize(
    ("text", "name", "behind"),
    [("math>", "math", 4), ("m:Math ", "math", 6), ("x-y/", "x-y", 3), ("m:", "m", 1), (":m", "", 0), ("1", "", 0)],
)
def test_names(text: str, name: str, behind: int) -> None:
    key, end = name_key(np.frombuffer(text.encode(), np.uint8), 0, len(text))
    assert end == behind and (not name or int(key) == fnv(name.encode()))


@pytest.mark.parametrize(("text", "close"), [("a>", 1), ("a='>'>", 5), ("a='>", 3), ("a", -1), ("\"'>\"'>'>", 7)])
def test_ends_of_tags(text: str, close: int) -> None:
    assert tag_close(np.frombuffer(text.encode(), np.uint8), 0, len(text)) == close

"""What a refusal of bad arguments is: an error of exactly one type, whose message has the words that help."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest


def assert_refused(call: Callable[[], object], error: type[Exception], words: Sequence[str]) -> None:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value), caught.value

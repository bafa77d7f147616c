"""``prefetch`` keeps the order, passes errors on, and leaves nothing running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from vidrestore.threads import prefetch


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.mark.parametrize("depth", [1, 2, 50])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_order_is_kept(depth: int, count: int) -> None:
    assert list(prefetch(range(count), depth)) == list(range(count))
    assert not threads()


def test_a_depth_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="depth is 0"):
        list(prefetch([1], 0))


def test_an_error_arrives_after_what_came_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("third")

    seen = []
    with pytest.raises(LookupError, match="third"):
        for item in prefetch(failing(), 4):
            seen.append(item)
    assert seen == [1, 2]
    assert not threads()


def test_what_cannot_be_iterated_is_an_error_and_not_a_wait_for_ever() -> None:
    with pytest.raises(TypeError):
        list(prefetch(7, 2))  # type: ignore[arg-type]
    assert not threads()


@pytest.mark.parametrize("depth", [1, 3])
def test_a_consumer_that_stops_ends_the_thread_and_closes_the_generator_there(depth: int) -> None:
    closed_in = []

    def endless() -> Iterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            closed_in.append(threading.current_thread().name)

    items = prefetch(endless(), depth)
    assert [next(items), next(items)] == [0, 1]
    assert threads()
    items.close()
    assert not threads()
    assert closed_in == ["prefetch"]


def test_a_consumer_that_fails_ends_the_thread() -> None:
    def consume() -> None:
        for item in prefetch(range(1000), 2):
            if item == 5:
                raise KeyError(item)

    with pytest.raises(KeyError):
        consume()
    assert not threads()


def test_it_runs_ahead_by_the_depth_and_no_further() -> None:
    depth, made, enough = 3, [], threading.Event()

    def counted() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if len(made) == depth + 2:
                enough.set()
            yield number

    items = prefetch(counted(), depth)
    assert next(items) == 0
    # One item is handed over, ``depth`` wait, and one more is made and finds no room.
    assert enough.wait(timeout=30)
    assert len(made) == depth + 2
    items.close()


def test_two_in_a_row_close_each_other() -> None:
    items = prefetch(prefetch(iter(range(1000)), 2), 2)
    assert next(items) == 0
    items.close()
    assert not threads()

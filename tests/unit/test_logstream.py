"""A stream that takes lines at once, whatever becomes of its sink."""

from __future__ import annotations

import errno
import io
import itertools
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afilsql.logstream import LogStream, TextSink
from tests.patience import PATIENCE


class Sink:
    """Keeps what it takes; stuck while `open` is not set, and refuses while `refuses` is true."""

    def __init__(self, *, every: float | None = None) -> None:
        self.every = every
        self.open = threading.Event()
        self.open.set()
        self.refuses: Callable[[], bool] = lambda: False
        self.taken: list[str] = []
        self.ticks = 0
        self.closed = False
        self.entered = threading.Event()

    def write(self, text: str) -> None:
        self.entered.set()
        self.open.wait(PATIENCE)
        if self.refuses():
            raise OSError(errno.ENOSPC, "no space")
        self.taken.append(text)

    def tick(self) -> None:
        self.ticks += 1

    def close(self) -> None:
        self.closed = True


def stream_to(sink: Sink | TextSink, capacity: int = 1_000_000) -> LogStream:
    return LogStream(sink, lost_line=lambda count: f"lost {count}\n", capacity=capacity)


def test_lines_arrive_in_order_and_the_sink_is_closed() -> None:
    sink = Sink()
    stream = stream_to(sink)
    lines = [f"{n}\n" for n in range(5000)]
    for line in lines:
        stream.write(line)
    assert stream.close(5)
    assert sink.taken == lines
    assert sink.closed


def test_lines_that_find_no_room_are_counted_where_they_are_missing() -> None:
    sink = Sink()
    sink.open.clear()
    stream = stream_to(sink, capacity=10)
    stream.write("0\n")
    assert sink.entered.wait(PATIENCE)  # the first is in the sink's hands, the next five fill the queue
    for n in range(1, 9):
        stream.write(f"{n}\n")
    sink.open.set()
    wait_until(lambda: "lost 3\n" in sink.taken)
    stream.write("9\n")
    assert stream.close(5)
    assert sink.taken == ["0\n", "1\n", "2\n", "3\n", "4\n", "5\n", "lost 3\n", "9\n"]


def test_lines_the_sink_refuses_are_told_of_before_the_next_it_takes() -> None:
    sink = Sink()
    numbers = itertools.count()
    sink.refuses = lambda: 1 <= next(numbers) < 4  # line 1, then the note of it twice
    stream = stream_to(sink)
    for n in range(5):
        stream.write(f"{n}\n")
    assert stream.close(5)
    assert sink.taken == ["0\n", "lost 3\n", "4\n"]


def test_a_loss_at_the_very_end_is_told_of_when_the_sink_has_recovered() -> None:
    sink = Sink()
    numbers = itertools.count()
    sink.refuses = lambda: next(numbers) == 0
    stream = stream_to(sink)
    stream.write("0\n")
    assert stream.close(5)
    assert sink.taken == ["lost 1\n"]


def test_a_stuck_sink_delays_neither_the_writer_nor_the_end() -> None:
    sink = Sink()
    sink.open.clear()
    stream = stream_to(sink, capacity=100)
    began = time.monotonic()
    for _ in range(10_000):
        stream.write("line\n")
    assert not stream.close(0.1)
    assert time.monotonic() - began < 60
    sink.open.set()


def test_an_idle_sink_is_ticked() -> None:
    sink = Sink(every=0.005)
    stream = stream_to(sink)
    wait_until(lambda: sink.ticks >= 3)
    assert stream.close(5)


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=8), st.booleans()), max_size=30), st.integers(1, 40))
def test_each_line_is_either_taken_in_order_or_counted(lines: list[tuple[str, bool]], capacity: int) -> None:
    sink = Sink()
    refusals = [refused for _, refused in lines]
    sink.refuses = lambda: refusals.pop() if refusals else False
    stream = stream_to(sink, capacity)
    for text, _ in lines:
        stream.write(text)
    sink.refuses = lambda: False
    assert stream.close(5)
    taken = [t for t in sink.taken if not t.startswith("lost")]
    told = sum(int(t.split()[1]) for t in sink.taken if t.startswith("lost"))
    rest = iter(text for text, _ in lines)
    assert all(t in rest for t in taken), "an order of its own"
    assert len(taken) + told == len(lines)


class Raw(io.RawIOBase):
    """Takes a few bytes at a time, says now and then that it is full, and can be out of space."""

    def __init__(self, room: int | None = None) -> None:
        self.data = b""
        self.room = room
        self.turn = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int | None:  # type: ignore[override]
        self.turn += 1
        if self.turn % 3 == 0:
            return None
        piece = bytes(data)[:5]  # type: ignore[call-overload]
        if self.room is not None:
            piece = piece[: self.room]
            self.room -= len(piece)
            if not piece:
                raise OSError(errno.ENOSPC, "no space")
        self.data += piece
        return len(piece)


class Text:
    """As much of a text stream as counts."""

    def __init__(self, raw: Raw, encoding: str = "utf-8") -> None:
        self.buffer = raw
        self.encoding = encoding


def sink_on(raw: Raw, encoding: str = "utf-8") -> TextSink:
    return TextSink(Text(raw, encoding))  # type: ignore[arg-type]


def test_a_descriptor_that_is_full_or_takes_a_part_gets_the_whole_text_in_the_end() -> None:
    raw = Raw()
    sink_on(raw).write("a line that is long\n")
    assert raw.data == b"a line that is long\n"


def test_what_follows_a_torn_line_begins_on_a_line_of_its_own() -> None:
    raw = Raw(room=7)
    sink = sink_on(raw)
    with pytest.raises(OSError, match="no space"):
        sink.write("first line\n")
    raw.room = None
    sink.write("second\n")
    sink.write("third\n")
    assert raw.data == b"first l\nsecond\nthird\n"


def test_characters_the_stream_cannot_write_are_escaped() -> None:
    raw = Raw()
    sink_on(raw, "ascii").write("ñ✓\n")
    assert raw.data == rb"\xf1\u2713" + b"\n"


def test_a_standard_stream_that_was_closed_takes_everything() -> None:
    sink = TextSink(None)
    sink.write("nobody hears\n")
    assert not sink.isatty()


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.002)

"""Failures of our own are contained, counted, and said once without what they say."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest

from otel_embed import guard
from otel_embed.guard import Guard, guarded


@pytest.fixture(autouse=True)
def contained() -> Iterator[None]:
    before = dict(guard.dropped)
    guard.dropped.clear()
    yield
    guard.dropped.clear()
    guard.dropped.update(before)


def fail(text: str = "the application's own text") -> None:
    raise LookupError(text)


def test_a_failure_is_counted_each_time_and_said_once_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    work = guarded(fail, "count tokens", otherwise=7)
    assert [work(), work()] == [7, 7]
    with Guard("count tokens"):
        fail()
    with Guard("start a span"):
        fail()
    assert guard.dropped == {"count tokens": 3, "start a span": 1}
    assert [record.getMessage().partition(".")[0] for record in caplog.records] == [
        "otel_embed failed to count tokens: LookupError",
        "otel_embed failed to start a span: LookupError",
    ]
    assert "in fail" in caplog.text and "the application's own text" not in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_ends_the_application_is_not_contained(error: type[BaseException]) -> None:
    def end() -> None:
        raise error

    with pytest.raises(error), Guard("count tokens"):
        end()
    with pytest.raises(error):
        guarded(end, "count tokens")()
    assert guard.dropped == {}


def test_a_log_that_is_broken_does_no_harm() -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("disk full")

    broken = Broken()
    logging.getLogger("otel_embed").addHandler(broken)
    try:
        with Guard("count tokens"):
            fail()
    finally:
        logging.getLogger("otel_embed").removeHandler(broken)
    assert guard.dropped == {"count tokens": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded")
def test_a_forked_process_has_failures_of_its_own_alone() -> None:
    with Guard("count tokens"):
        fail()
    if (child := os.fork()) == 0:
        os._exit(len(guard.dropped))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert guard.dropped == {"count tokens": 1}

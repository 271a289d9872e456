"""A pytest plugin that switches otel_embed on for the tests of another project: ``pytest -p observed``.

What sends requests is left alone outside of an embedding call. With ``--inside-a-call``, each test is one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_embed
from otel_embed import guard
from otel_embed.instrumentor import EmbeddingInstrumentor
from otel_embed.observe import CallSite
from otel_embed.provider import Call
from otel_embed.record import Request
from otel_embed.wrapping import Patch

INSIDE = "--inside-a-call"
A_TEST = Call("a:test", lambda _: Request("test"))
spans = InMemorySpanExporter()


def pytest_configure() -> None:
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider(metric_readers=[InMemoryMetricReader()], shutdown_on_exit=False)
    otel_embed.instrument(tracer_provider=tracers, meter_provider=meters, stage_spans="always", token_counting="estimate")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(INSIDE, action="store_true", help="run each test as an embedding call")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    recorder = EmbeddingInstrumentor().recorder
    if not pyfuncitem.config.getoption(INSIDE) or recorder is None:
        return (yield)
    call = CallSite(recorder, "tests", A_TEST).open(None, (), {})
    assert call is not None
    try:
        return (yield)
    finally:
        Patch.close(call, None, None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tests that nothing of was observed, or in which something of ours failed, prove nothing."""
    summary = otel_embed.summary()
    print(f"\notel_embed saw {len(spans.get_finished_spans())} spans, {summary.calls} embedding and "
          f"{summary.chat_calls} chat calls; failures of its own: {guard.dropped or 'none'}")  # fmt: skip
    if guard.dropped:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

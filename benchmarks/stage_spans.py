"""What the spans of a call's stages cost: `python benchmarks/stage_spans.py [--check]`. The bar is half of the SDK's own.

The stages are those of a real call over loopback. They are told as otel-embed does, and by `start_span` and `end`, in
turns; CPU time of the thread, with what a queue takes in, and without exporting.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import set_span_in_context
from workload import loopback_server, workload

import otel_embed
from otel_embed.observe import OpenCall
from otel_embed.record import EmbeddingCall
from otel_embed.report import names
from otel_embed.report.spans import SpanReport
from otel_embed.report.stage_spans import StageSpans

BAR = 0.5
CALLS, TURNS = 200, 40


class Drops(SpanExporter):
    def __init__(self) -> None:
        self.names: list[str] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


def a_record() -> EmbeddingCall:
    """Of a call over a connection that is open already."""
    records: list[EmbeddingCall] = []
    finish = SpanReport.finish

    def kept(self: SpanReport, call: OpenCall) -> None:
        records.append(call.record())
        finish(self, call)

    SpanReport.finish = kept  # type: ignore[method-assign]
    otel_embed.instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
    try:
        with loopback_server(1) as port:
            workload("sync", 1, asyncio.new_event_loop(), port).run(3)
    finally:
        otel_embed.uninstrument()
        SpanReport.finish = finish  # type: ignore[method-assign]
    return records[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 above the bar")
    check = parser.parse_args().check

    record, exporter = a_record(), Drops()
    tracers = TracerProvider(shutdown_on_exit=False)
    queue = BatchSpanProcessor(exporter, max_queue_size=100_000, schedule_delay_millis=600_000)
    tracers.add_span_processor(queue)
    tracer = tracers.get_tracer("benchmark")
    span, ours = tracer.start_span("embeddings"), StageSpans(tracer)
    around = set_span_in_context(span)
    stages = [timing for timing in record.stages if timing.own and timing.stage != "other"]

    def theirs() -> None:
        for stage, start, end, _ in stages:
            child = tracer.start_span(names.STAGE_SPAN[stage], around, start_time=record.start_unix_ns + start)
            child.end(record.start_unix_ns + end)

    def timed(tell: Callable[[], None]) -> float:
        """Microseconds a span."""
        before = time.thread_time_ns()
        for _ in range(CALLS):
            tell()
        taken = (time.thread_time_ns() - before) / 1e3 / CALLS / len(stages)
        queue.force_flush()
        told, exporter.names = exporter.names, []
        assert told == [names.STAGE_SPAN[timing.stage] for timing in stages] * CALLS
        return taken

    turns = [(timed(theirs), timed(lambda: ours.tell(record, span, around, own=True))) for _ in range(TURNS)]
    share = statistics.median(mine / sdk for sdk, mine in turns)
    sdk, mine = (statistics.median(times) for times in zip(*turns))
    print(f"{len(stages)} stages; each: start_span and end {sdk:.1f} µs, otel-embed {mine:.1f} µs; times {share:.2f}")
    if check and share > BAR:
        sys.exit(f"above the bar of {BAR}")


if __name__ == "__main__":
    main()

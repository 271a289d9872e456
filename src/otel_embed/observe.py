"""The hot path: from a wrapped function to a finished record.

A *call* opens a record; a *stage* or an *exchange* adds a lane to the innermost open call; closing
the call freezes the record and hands it to the recorder. The open call lives in the OpenTelemetry
context, so that whatever carries that context between threads and tasks carries the call too.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed import headers
from otel_embed.exchange import OpenExchange, retries
from otel_embed.failure import failure
from otel_embed.guard import Guard
from otel_embed.provider import Arguments, Call, Lookup
from otel_embed.record import CacheOutcome, Component, Cost, EmbeddingCall, Reply, Request, Usage
from otel_embed.timeline import Lane, partition

_OPEN_CALL = context.create_key("otel-embed-call")
_SUPPRESSED = "suppress_instrumentation"  # the key that OpenTelemetry's own instrumentations honour
_NOTHING_ASKED, _NOTHING_SAID, _NO_ANSWER = Request(), Reply(), headers.Answer()


class Recorder(Protocol):
    """Where calls go: all that the hot path knows of pricing and reports."""

    def begin(self, call: OpenCall, around: Context) -> Context:
        """A call begins: return the context in which it runs."""

    def bill(self, call: OpenCall, reply: Reply, failed: bool) -> tuple[Usage | None, Cost | None]:
        """The tokens of a call that no other instrumented call did the work for, and their cost."""

    def save(self, call: OpenCall, lookup: Lookup) -> CacheOutcome:
        """What the cache in front of a call spared."""

    def finish(self, call: OpenCall, record: EmbeddingCall) -> None:
        """A call is over."""


def open_call() -> OpenCall | None:
    """The innermost embedding call that is open in the current context."""
    call: OpenCall | None = context.get_value(_OPEN_CALL)  # type: ignore[assignment]
    return None if call is None or call.closed else call


class CallSite:
    """A wrapped function whose every call is an embedding call."""

    def __init__(self, recorder: Recorder, provider: str, call: Call) -> None:
        self.recorder = recorder
        self.provider = provider
        self.call = call
        self.reading_request = Guard(f"read a {provider} request")
        self.reading_reply = Guard(f"read a {provider} reply")

    def open(self, arguments: Arguments) -> OpenCall | None:
        around = context.get_current()
        if around.get(_SUPPRESSED):
            return None
        parent: OpenCall | None = around.get(_OPEN_CALL)  # type: ignore[assignment]
        if parent is not None:
            if parent.closed:
                parent = None
            elif parent.does_itself(self, arguments):
                return None
        return OpenCall(self, arguments, parent, around)


class OpenCall:
    """An embedding call in flight."""

    __slots__ = (
        "_detach",
        "_instance",
        "_lanes",
        "_lookup",
        "_parent",
        "closed",
        "component",
        "context",
        "delegated",
        "leaf",
        "provider",
        "request",
        "scope",
        "site",
        "start",
        "start_unix_ns",
        "tokens_below",
    )

    def __init__(self, site: CallSite, arguments: Arguments, parent: OpenCall | None, around: Context) -> None:
        self.start_unix_ns, self.start = time.time_ns(), time.perf_counter_ns()
        self.site = site
        self.component: Component | None = None
        self.delegated = self.closed = False
        self.tokens_below: int | None = 0
        """What providers billed for the calls inside this one; None once one of them did not say."""
        self.leaf: tuple[str, str | None] | None = None
        """Provider and model of the last call inside this one that was billed."""
        self.scope: Any = None
        self.request = _NOTHING_ASKED
        self._instance = arguments.instance
        self._lanes: list[Lane] = []
        self._lookup: Lookup | None = None
        self._parent = parent
        with site.reading_request:
            if site.call.component is not None:
                self.component = site.call.component(arguments)
            self.request = site.call.request(arguments)
        self.provider = self.request.provider or site.provider
        if parent is not None:
            parent.delegated = True
        self.context = context.set_value(_OPEN_CALL, self, site.recorder.begin(self, around))
        self._detach = context.attach(self.context)

    @property
    def instance(self) -> Any:
        """The object whose method is running."""
        return self._instance

    def does_itself(self, site: CallSite, arguments: Arguments) -> bool:
        """True where a framework's object calls another of its own embedding methods to do this call's work."""
        same = self._instance is not None and self._instance is arguments.instance
        return same and self.site.call.component is not None and site.call.component is not None

    def add(self, lane: Lane) -> None:
        self._lanes.append(lane)

    def exchange(self, url: object, request_bytes: int | None) -> OpenExchange:
        """An HTTP exchange of this call begins now."""
        exchange = OpenExchange(url, request_bytes)
        self._lanes.append(exchange)
        return exchange

    def looked_up(self, lookup: Lookup) -> None:
        """The cache in front of this call was asked."""
        self._lookup = lookup if self._lookup is None else self._lookup + lookup

    def close(self, result: Any, error: BaseException | None) -> None:
        """The wrapped function is over; a streamed body may still have to come."""
        end = time.perf_counter_ns()
        context.detach(self._detach)
        if error is None:
            for lane in self._lanes:
                if isinstance(lane, OpenExchange) and lane.body_open:
                    lane.when_closed(lambda end, error: self.finish(end, result, error))
                    return
        self.finish(end, result, error)

    def finish(self, end: int, result: Any, error: BaseException | None) -> None:
        """Freeze the record and report it, once."""
        if self.closed:
            return
        self.closed = True
        record = self._freeze(end, result, error)
        if self._parent is not None:
            self._parent._ended_below(self, record, end)
        self.site.recorder.finish(self, record)

    def _ended_below(self, call: OpenCall, record: EmbeddingCall, end: int) -> None:
        lane = Lane(call.start, "other", own=False)
        lane.marks = [(call.start + timing.start_ns, timing.stage) for timing in record.stages]
        lane.end = end
        self._lanes.append(lane)
        if not record.is_leaf:
            tokens, self.leaf = call.tokens_below, call.leaf or self.leaf
        else:
            reported = record.usage is not None and record.usage.source == "reported"
            tokens = record.usage.tokens if record.usage is not None and reported else None
            self.leaf = (record.provider, record.model)
        self.tokens_below = None if tokens is None or self.tokens_below is None else self.tokens_below + tokens

    def _freeze(self, end: int, result: Any, error: BaseException | None) -> EmbeddingCall:
        request, site, start, lanes = self.request, self.site, self.start, self._lanes
        exchanges = [lane for lane in lanes if isinstance(lane, OpenExchange)]
        last = exchanges[-1] if exchanges else None
        reply, failed, usage, cost, cache = _NOTHING_SAID, None, None, None, None
        if error is None:
            with site.reading_reply:
                reply = site.call.reply(result)
        else:
            failed = failure(error, last.status if last is not None and last.failed else None)
        if self._lookup is not None:
            cache = site.recorder.save(self, self._lookup)
        elif not self.delegated:
            usage, cost = site.recorder.bill(self, reply, failed is not None)
        answer = _NO_ANSWER if last is None else headers.read(last.headers)
        return EmbeddingCall(
            provider=self.provider,
            component=self.component,
            local=site.call.local,
            delegated=self.delegated,
            root=self._parent is None,
            request_model=request.model,
            response_model=reply.model,
            server=request.server or (None if last is None else last.server),
            inputs=reply.vectors if request.inputs is None else request.inputs,
            kind=request.kind,
            dimensions=reply.dimensions,
            encoding_format=request.encoding_format,
            usage=usage,
            cost=cost,
            start_unix_ns=self.start_unix_ns,
            duration_ns=end - start,
            stages=partition(start, end, lanes),
            attempts=tuple([exchange.attempt(start, end) for exchange in exchanges]),
            retries=retries(exchanges),
            cache=cache,
            failure=failed,
            rate_limit=answer.rate_limit,
            server_seconds=answer.server_seconds,
            request_bytes=None if last is None else last.request_bytes,
            response_bytes=answer.body_bytes,
        )

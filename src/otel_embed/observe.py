"""The hot path: from a wrapped function to a finished call.

A *call* opens with its request; a *stage* or an *exchange* adds a lane to the innermost open call. When
the function returns, what refers to the application's objects is read at once, and that is all: the
``record`` is made of it when somebody needs it, which for most calls can wait.

The open call lives in the OpenTelemetry context, so that whatever carries that context between
threads and tasks carries the call too.
"""

from __future__ import annotations

import time
from contextvars import Token
from typing import Any, Protocol

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed import headers
from otel_embed.exchange import OpenExchange, retries
from otel_embed.failure import failure
from otel_embed.guard import Guard
from otel_embed.provider import Arguments, Call, Lookup
from otel_embed.record import CacheOutcome, Component, Cost, EmbeddingCall, Failure, Reply, Request, Usage
from otel_embed.timeline import Lane, partition

OPEN_CALL = context.create_key("otel-embed-call")
_SUPPRESSED = "suppress_instrumentation"  # the key that OpenTelemetry's own instrumentations honour
_NOTHING_ASKED, _NOTHING_SAID = Request(), Reply()
_NOWHERE = Context()


class Recorder(Protocol):
    """Where calls go: all that the hot path knows of pricing and reports."""

    def begin(self, call: OpenCall, around: Context) -> Context:
        """A call begins: return the context in which it runs, with the call in it under ``OPEN_CALL``."""

    def count(self, call: OpenCall, request: Request, reply: Reply) -> Usage | None:
        """The tokens of a successful call that did its work itself."""

    def price(self, call: OpenCall, usage: Usage) -> Cost | None:
        """What these tokens cost."""

    def save(self, call: OpenCall, lookup: Lookup) -> CacheOutcome:
        """What the cache in front of a call spared."""

    def finish(self, call: OpenCall) -> None:
        """A call is over."""


def open_call() -> OpenCall | None:
    """The innermost embedding call that is open in the current context."""
    call: OpenCall | None = context.get_value(OPEN_CALL)  # type: ignore[assignment]
    return None if call is None or call.end else call


class CallSite:
    """A wrapped function whose every call is an embedding call."""

    def __init__(self, recorder: Recorder, provider: str, call: Call) -> None:
        self.recorder = recorder
        self.provider = provider
        self.call = call
        self.reading_request = Guard(f"read a {provider} request")
        self.reading_reply = Guard(f"read a {provider} reply")

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenCall | None:
        around = context.get_current()
        if around.get(_SUPPRESSED):
            return None
        parent: OpenCall | None = around.get(OPEN_CALL)  # type: ignore[assignment]
        if parent is not None:
            if parent.end:
                parent = None
            elif parent.does_itself(self, instance):
                return None
        return OpenCall(self, Arguments(instance, args, kwargs), parent, around)


class OpenCall:
    """An embedding call, from when it opens until it is counted."""

    __slots__ = (
        "_lanes",
        "_lookup",
        "_record",
        "component",
        "context",
        "delegated",
        "end",
        "failure",
        "instance",
        "leaf",
        "parent",
        "provider",
        "reply",
        "request",
        "root",
        "scope",
        "site",
        "start",
        "start_unix_ns",
        "token",
        "tokens_below",
        "usage",
    )

    def __init__(self, site: CallSite, arguments: Arguments, parent: OpenCall | None, around: Context) -> None:
        self.start_unix_ns, self.start = time.time_ns(), time.perf_counter_ns()
        self.end = 0
        self.site = site
        self.instance = arguments.instance
        """The object whose method is running, while it runs."""
        self.parent = parent
        self.root = parent is None
        self.component: Component | None = None
        self.delegated = False
        self.request, self.reply = _NOTHING_ASKED, _NOTHING_SAID
        self.usage: Usage | None = None
        self.failure: Failure | None = None
        self.scope: Any = None
        self.tokens_below: int | None = 0
        """What providers billed for the calls inside this one; None once one of them did not say."""
        self.leaf: tuple[str, str | None] | None = None
        """Provider and model of the last call inside this one that was billed."""
        self._lanes: list[Lane] = []
        self._lookup: Lookup | None = None
        self._record: EmbeddingCall | None = None
        call = site.call
        with site.reading_request:
            if call.component is not None:
                self.component = call.component(arguments)
            self.request = call.request(arguments)
        self.provider = self.request.provider or site.provider
        if parent is not None:
            parent.delegated = True
        self.context = site.recorder.begin(self, around)
        self.token: Token[Context] | None = context.attach(self.context)

    def does_itself(self, site: CallSite, instance: Any) -> bool:
        """True where a framework's object calls another of its own embedding methods to do this call's work."""
        framework = self.site.call.component is not None and site.call.component is not None
        return framework and self.instance is not None and self.instance is instance

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
        if error is None:
            for lane in self._lanes:
                if isinstance(lane, OpenExchange) and lane.body_open:
                    lane.when_closed(lambda end, error: self.finish(end, result, error))
                    return
        self.finish(end, result, error)

    def finish(self, end: int, result: Any, error: BaseException | None) -> None:
        """Read what happened while the application's objects are at hand, and report it, once."""
        if self.end:
            return
        self.end = end
        site = self.site
        if error is not None:
            self.failure = failure(error, self._failed_status())
        else:
            with site.reading_reply:
                self.reply = site.call.reply(result)
            if not self.delegated and self._lookup is None:
                self.usage = site.recorder.count(self, self.request, self.reply)
        if self.request.content is not None:
            self.request = self.request._replace(content=None)
        if self.parent is not None:
            self.parent._ended_below(self, self.record())
        site.recorder.finish(self)
        # What waits to be counted holds nothing of the application's.
        self.instance = self.parent = self.token = None
        self.context = _NOWHERE

    def _failed_status(self) -> int | None:
        """The status of the last answer, where that answer was an error."""
        answers = [lane for lane in self._lanes if isinstance(lane, OpenExchange)]
        status = answers[-1].status if answers else None
        return status if status is not None and status >= 400 else None

    def _ended_below(self, call: OpenCall, record: EmbeddingCall) -> None:
        lane = Lane(call.start, "other", own=False)
        lane.marks = [(call.start + timing.start_ns, timing.stage) for timing in record.stages]
        lane.end = call.end
        self._lanes.append(lane)
        if record.is_leaf:
            usage, tokens = record.usage, None
            if usage is not None and usage.source == "reported":
                tokens = usage.tokens
            self.leaf = (record.provider, record.model)
        else:
            tokens, self.leaf = call.tokens_below, call.leaf or self.leaf
        self.tokens_below = None if tokens is None or self.tokens_below is None else self.tokens_below + tokens

    def record(self) -> EmbeddingCall:
        """The finished call as a plain value."""
        if self._record is None:
            self._record = self._freeze()
        return self._record

    def _freeze(self) -> EmbeddingCall:
        start, end, lanes, site = self.start, self.end, self._lanes, self.site
        exchanges = [lane for lane in lanes if isinstance(lane, OpenExchange)]
        last = exchanges[-1] if exchanges else None
        answer = headers.read(last.headers if last is not None else None)
        request, reply, usage = self.request, self.reply, self.usage
        return EmbeddingCall(
            self.provider,
            self.component,
            site.call.local,
            self.delegated,
            self.root,
            request.model,
            reply.model,
            request.server or (None if last is None else last.server),
            reply.vectors if request.inputs is None else request.inputs,
            request.kind,
            reply.dimensions or request.dimensions,
            request.encoding_format,
            usage,
            None if usage is None else site.recorder.price(self, usage),
            self.start_unix_ns,
            end - start,
            partition(start, end, lanes, len(exchanges)),
            tuple([exchange.attempt(start, end) for exchange in exchanges]),
            retries(exchanges) if len(exchanges) > 1 else (),
            None if self._lookup is None else site.recorder.save(self, self._lookup),
            self.failure,
            answer.rate_limit,
            answer.server_seconds,
            None if last is None else last.request_bytes,
            answer.body_bytes,
        )

"""The hot path: from a wrapped function to a finished call.

A *call* opens with its request; a *stage* or an *exchange* adds a lane to the innermost open call. When
the function returns, what refers to the application's objects is read at once, and that is all: the
``record`` is made of it when somebody needs it, which for most calls can wait.

The open call lives in the OpenTelemetry context, so that whatever carries that context between
threads and tasks carries the call too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import Token
from functools import partial
from math import ceil
from typing import Any, Protocol

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.delegates import is_done_elsewhere, learn
from otel_embed.exchange import OpenExchange, server_at
from otel_embed.failure import answered, failure
from otel_embed.freezing import freeze
from otel_embed.guard import Guard, guarded
from otel_embed.headers import number
from otel_embed.operations import OperationReports
from otel_embed.provider import Arguments, Call, Lookup
from otel_embed.record import (
    Attribution,
    CacheOutcome,
    Component,
    Cost,
    EmbeddingCall,
    Failure,
    LocalWork,
    Reply,
    Request,
    Usage,
    UsageSource,
)
from otel_embed.timeline import Lane

OPEN_CALL = context.create_key("otel-embed-call")
OPEN_CALLS: dict[int, OpenCall] = {}
"""Every call that is open in this process, by ``id``. While it is empty, nothing else needs to be looked at."""
SUPPRESSED = "suppress_instrumentation"  # the key that OpenTelemetry's own instrumentations honour
_NOTHING_ASKED, _NOTHING_SAID = Request(), Reply()
_NOWHERE = Context()
_BEGINNING, _STOPPING = Guard("begin the report of a call"), Guard("report a call that a budget stopped")
_MAX_FAILED = 100
# What these classes' own constructors do, without a Python frame for it.
_arguments: Callable[[tuple[Any, tuple[Any, ...], dict[str, Any]]], Arguments] = partial(tuple.__new__, Arguments)
_request: Callable[[tuple[Any, ...]], Request] = partial(tuple.__new__, Request)
_usage: Callable[[tuple[int, UsageSource]], Usage] = partial(tuple.__new__, Usage)
_CONTENT = Request._fields.index("content")


class Recorder(Protocol):
    """Where calls go: all that the hot path knows of pricing and reports."""

    begin: Callable[[OpenCall, Context], Context]
    """A call begins: return the context in which it runs, with the call in it under ``OPEN_CALL``."""
    count: Callable[[Request], Usage | None]
    """The tokens of a successful call that did its work itself, and whose provider does not report them."""
    look: Callable[[OpenCall, Any], None]
    """Look at the inputs and the result of a call, while they are at hand, for what is wrong without an error."""
    look_from: float
    """From when on a call that ends is to be looked at, by the clock of ``OpenCall.end``."""
    price: Callable[[OpenCall, Usage | None], Cost | None]
    """What a call cost, by these tokens and what else its reply says was billed."""

    refuse: Callable[[OpenCall], Exception | None] | None
    """Why a call that begins must not be made, where a budget may say so. What it returns is raised in the application:
    the only exception of ours that is."""

    @property
    def operations(self) -> OperationReports:
        """Where a vector store's operations go."""

    def save(self, call: OpenCall, lookup: Lookup) -> CacheOutcome:
        """What the cache in front of a call spared."""

    def finish(self, call: OpenCall) -> None:
        """A call is over."""


def open_call() -> OpenCall | None:
    """The innermost embedding call that is open in the current context; None where instrumentation is suppressed."""
    around = context.get_current()
    call: OpenCall | None = around.get(OPEN_CALL)  # type: ignore[assignment]
    return None if call is None or call.end or around.get(SUPPRESSED) else call


def suppressed_call(url: object) -> OpenCall | None:
    """The innermost open call where its own request goes to this URL.

    Another instrumentation of its client, as Logfire's, may have all below it suppressed. What is sent elsewhere, as by
    an exporter, is no part of it.
    """
    call: OpenCall | None = context.get_current().get(OPEN_CALL)  # type: ignore[assignment]
    if call is None or call.end or call.request.server is None:
        return None
    return call if call.request.server == server_at(url) else None


class CallSite:
    """A wrapped function whose every call is an embedding call."""

    always = True
    billable = True
    """False for what asks no provider, as a cache."""

    def __init__(self, recorder: Recorder, provider: str, call: Call, opens: type[OpenCall] | None = None) -> None:
        self.recorder = recorder
        self.provider = provider
        self.call = call
        self.opens = opens or OpenCall
        self.tokens_are: UsageSource | None = "counted" if call.local else None
        self.read_request, self.reading_request = call.request, Guard(f"read a {provider} request")
        self.read_reply, self.reading_reply = call.reply, Guard(f"read a {provider} reply")
        self.wanted, self.looking = call.when, Guard(f"look at a {provider} request")
        self.divides = guarded(call.divides, f"look at a {provider} request", True) if call.divides else None
        self.read_component = guarded(call.component, f"read a {provider} class") if call.component else None

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenCall | None:
        arguments = _arguments((instance, args, kwargs))
        if self.wanted is not None:  # first, for it may be another function's most frequent answer by far
            try:
                if not self.wanted(arguments):
                    return None
            except Exception as error:
                self.looking.contain(error)
                return None
        around = context.get_current()
        if around.get(SUPPRESSED):
            return None
        parent: OpenCall | None = around.get(OPEN_CALL)  # type: ignore[assignment]
        if parent is not None:
            if parent.end:
                parent = None
            elif parent.site.call.encloses or parent.does_itself(self, instance):
                return None
        call = self.opens(self, arguments, parent, around)
        refuse = self.recorder.refuse
        if refuse is not None:
            exceeded = refuse(call)
            if exceeded is not None:
                call.stop(exceeded)
                raise exceeded
        return call


class OpenCall:
    """An embedding call, from when it opens until it is counted."""

    end = 0
    delegated = False
    divided: bool | None = None
    """For a call that may divide its inputs among others: whether it does."""
    component: Component | None = None
    attribution: Attribution = ()
    request, reply = _NOTHING_ASKED, _NOTHING_SAID
    usage: Usage | None = None
    failure: Failure | None = None
    span: Any = None
    """The span that records this call, where one does; its context once it has ended."""
    covered = False
    """True when that span belongs to another instrumentation."""
    tokens_below: int | None = 0
    """What providers billed for the calls inside this one; None once one of them did not say."""
    paid_tokens = paid_picodollars = unpaid = 0
    """What they took in all, reported or not, and how many there are whose cost is not known."""
    leaf: tuple[str, str | None] | None = None
    """Provider and model of the last call inside this one that was billed."""
    failed_below: tuple[tuple[BaseException, Failure], ...] = ()
    """What calls inside this one failed with, and why."""
    headers: Any = None
    """The last answer's, as ``otel_embed.headers.read`` takes them."""
    said: Reply | None = None
    """What the result told before the application read its body, where that comes later."""
    streamed: OpenExchange | None = None
    """The exchange whose body is left to the application."""
    counted: int | None = None
    """The tokens that a local model was given."""
    work: LocalWork | None = None
    lookup: Lookup | None = None
    """What the cache in front of this call knew."""
    recorded: EmbeddingCall | None = None
    """The finished call as a plain value, once somebody asked for it."""

    def __init__(self, site: CallSite, arguments: Arguments, parent: OpenCall | None, around: Context) -> None:
        self.start_unix_ns, self.start = time.time_ns(), time.perf_counter_ns()
        self.site = site
        self.instance = arguments.instance
        """The object whose method is running, while it runs."""
        self.parent = parent
        self.lanes: list[Lane] = []
        try:
            self.request = site.read_request(arguments)
        except Exception as error:
            site.reading_request.contain(error)
        if site.read_component is not None:
            self.component = site.read_component(arguments)
            self.delegated = self.request.inputs == 0  # of nothing, a framework asks nobody
        self.provider = self.request.provider or site.provider
        self.root = parent is None
        if site.divides is not None:
            self.divided = site.divides(arguments)
        if parent is not None:
            parent.delegated = True
        try:
            self.context = site.recorder.begin(self, around)
        except Exception as error:
            _BEGINNING.contain(error)
            self.context = context.set_value(OPEN_CALL, self, around)
        self.token: Token[Context] | None = context.attach(self.context)
        OPEN_CALLS[id(self)] = self
        self.opened = time.perf_counter_ns()

    def does_itself(self, site: CallSite, instance: Any) -> bool:
        """True where a framework's object calls another of its own embedding methods to do this call's work, or a
        client that could have divided it another function of its own."""
        if self.divided is False:
            return site.provider == self.site.provider
        framework = self.site.call.component is not None and site.call.component is not None
        return framework and self.instance is not None and self.instance is instance

    def add(self, lane: Lane) -> None:
        self.lanes.append(lane)

    def exchange(self, url: object, request_bytes: int | None) -> OpenExchange:
        """An HTTP exchange of this call begins now."""
        exchange = OpenExchange(self, url, request_bytes)
        self.lanes.append(exchange)
        return exchange

    def looked_up(self, lookup: Lookup) -> None:
        """The cache in front of this call was asked."""
        self.lookup = lookup if self.lookup is None else self.lookup + lookup

    def stop(self, error: Exception) -> None:
        """The wrapped function is not to run."""
        with _STOPPING:
            if self.token is not None:
                context.detach(self.token)
            self.close(None, error)

    def close(self, result: Any, error: BaseException | None) -> None:
        """The wrapped function is over; a streamed body may still have to come."""
        streamed, self.streamed = self.streamed, None
        if streamed is not None and error is None and streamed.body_open:
            OPEN_CALLS.pop(id(self), None)  # what is open here is never let go, nor a response that is dropped unread
            if self.site.call.ending is None:
                streamed.when_over(lambda end, error: self.finish(result, error, end))
            else:
                self._leave(result, streamed)
        else:
            self.finish(result, error, time.perf_counter_ns())

    def _leave(self, result: Any, streamed: OpenExchange) -> None:
        """What the body does not tell is read now: who drops the result unread finds that nobody else holds it."""
        self.said = _NOTHING_SAID
        try:
            self.said = self.site.read_reply(result)
        except Exception as wrong:
            self.site.reading_reply.contain(wrong)
        if self.said.tokens is None and streamed.listen is not None:
            streamed.listen(streamed)
        streamed.when_over(lambda end, error: self.finish(None, error, end))

    def finish(self, result: Any, error: BaseException | None, end: int) -> None:
        """Read what happened while the application's objects are at hand, and report it, once."""
        if self.end:
            return
        self.end = end
        OPEN_CALLS.pop(id(self), None)
        site = self.site
        if error is not None:
            self.failure = self._failure(error)
        else:
            if self.divided:
                self.delegated = True
            try:
                if self.component is not None:
                    self._look_who_worked(self.component.method, result)
                self.reply = reply = self.said or site.read_reply(result)
                if reply.tokens is None and site.call.ending is not None:
                    self.reply = reply = reply._replace(tokens=site.call.ending(self._ending()))
            except Exception as wrong:
                site.reading_reply.contain(wrong)
                reply = self.reply
            if reply.failure is not None:
                self.failure = answered(reply.failure, self._last_end()[0])
            elif not self.delegated and (self.lookup is None or self.lookup.misses):
                if reply.tokens is not None and self.lookup is None:
                    self.usage = _usage((reply.tokens, site.tokens_are or reply.source))
                elif self.counted is not None:
                    self.usage = _usage((self.counted, "counted"))
                else:
                    self.usage = self._counted(reply)
        if end >= site.recorder.look_from:
            site.recorder.look(self, result)
        if self.parent is not None:
            self.parent._ended_below(self, self.record())
        site.recorder.finish(self)
        # What waits to be counted holds nothing of the application's.
        self.request = (
            _NOTHING_ASKED
            if self.recorded is not None
            else _request((*self.request[:_CONTENT], None, *self.request[_CONTENT + 1 :]))
        )
        self.instance = self.parent = self.token = self.headers = None
        self.failed_below = ()
        self.context = _NOWHERE

    def _look_who_worked(self, method: str, result: Any) -> None:
        """Of a framework's call: whether a client was asked, now or usually."""
        work = method, self.provider, self.request.model
        if self.leaf is not None:
            learn(type(self.instance), work)
        elif not self.delegated and self.lookup is None:
            self.delegated = is_done_elsewhere(type(self.instance), work, result)

    def _counted(self, reply: Reply) -> Usage | None:
        """The tokens of a call whose reply alone does not say what was billed."""
        header, lookup = self.site.call.tokens_header, self.lookup
        usage: Usage | None
        if lookup is not None and lookup.hits:
            billed = lookup.billed or Reply(tokens=reply.tokens)  # which of the rest was billed is not known
            self.reply = reply = reply._replace(tokens=billed.tokens, media=billed.media, cost_usd=billed.cost_usd)
        if reply.tokens is not None:
            usage = Usage(reply.tokens, reply.source)
        elif header and (tokens := number(self.headers, header)):
            usage = Usage(int(tokens), "reported")
        else:
            usage = self.site.recorder.count(self.request)
        if usage is None or lookup is None or not lookup.hits or (lookup.billed is not None and reply.tokens):
            return usage
        # A library counts what its cache knew with the rest.
        characters = lookup.hit_characters + lookup.miss_characters
        return Usage(ceil(usage.tokens * lookup.miss_characters / (characters or 1)), "estimated")

    def _ending(self) -> bytes:
        """The last bytes of the last answer, as far as they came by."""
        heard = [lane.heard for lane in self.lanes if isinstance(lane, OpenExchange)]
        return heard[-1] if heard else b""

    def _failure(self, error: BaseException) -> Failure:
        """Why this call failed: for the reason of the call inside it that the exception comes from, where it does."""
        why = next((why for below, why in self.failed_below if below is error), None)
        if why is None:
            why = failure(error, *self._last_end())
        if self.parent is not None:
            self.parent.failed_below = (*self.parent.failed_below[-_MAX_FAILED:], (error, why))
        return why

    def _last_end(self) -> tuple[int | None, str]:
        """How the last exchange ended: the status of its answer, the name of the exception."""
        exchanges = [lane for lane in self.lanes if isinstance(lane, OpenExchange)]
        return (exchanges[-1].status, exchanges[-1].error or "") if exchanges else (None, "")

    def _ended_below(self, call: OpenCall, record: EmbeddingCall) -> None:
        lane = Lane(call.start, "other", own=False)
        lane.marks = [(call.start + timing.start_ns, timing.stage) for timing in record.stages]
        lane.end = call.end
        self.lanes.append(lane)
        if record.is_leaf:
            usage, tokens = record.usage, None
            if usage is not None and usage.source == "reported":
                tokens = usage.tokens
            self.leaf = (record.provider, record.model)
            if record.cost is not None:
                self.paid_picodollars += round(record.cost.usd * 1e12)
            elif record.unpriced:
                self.unpaid += 1
            self.paid_tokens += 0 if usage is None else usage.tokens
        else:
            tokens, self.leaf = call.tokens_below, call.leaf or self.leaf
            self.paid_tokens += call.paid_tokens
            self.paid_picodollars += call.paid_picodollars
            self.unpaid += call.unpaid
        self.tokens_below = None if tokens is None or self.tokens_below is None else self.tokens_below + tokens

    def record(self) -> EmbeddingCall:
        """The finished call as a plain value."""
        if self.recorded is None:
            self.recorded = freeze(self)
        return self.recorded

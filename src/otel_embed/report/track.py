"""Tokens, cost, calls, cache hits and seconds of a block of code, for any provider."""

from __future__ import annotations

import threading
import time
from contextvars import Token
from types import TracebackType
from typing import Any, Protocol

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.leaving import leave
from otel_embed.observe import OpenCall
from otel_embed.record import EmbeddingCall
from otel_embed.report.totals import PICODOLLARS
from otel_embed.run_record import ChatCall

TRACKED = context.create_key("otel-embed-tracked")


class Tracks(Protocol):
    """Whoever wants to hear of the calls of a block, each when it is over."""

    def add(self, call: EmbeddingCall, ended: int) -> None:
        """``ended`` is by the clock of ``OpenCall.end``, which nobody sets."""

    def add_chat(self, call: ChatCall) -> None: ...


class TrackedUsage:
    """What the embedding and chat calls of a block added up to, readable while the block runs and after it.

    Can be pickled, so that a worker in another process or on another machine can return its own; ``sum(usages)`` is
    then what all of them used, exact to the picodollar. Its ``seconds`` are those of all blocks one after another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._picodollars = 0
        self._began = time.perf_counter()
        self._took: float | None = None
        self.calls = 0
        """Embedding calls that a provider or a local model did the work for; cached ones are none."""
        self.failed_calls = 0
        self.inputs = 0
        self.tokens = 0
        """Billed tokens of embedding calls: as the provider reports them, or else counted or estimated."""
        self.estimated_tokens = 0
        """How many of ``tokens`` are an estimate."""
        self.unpriced_calls = 0
        """Calls whose cost is unknown, which ``cost_usd`` therefore lacks."""
        self.cache_hits = 0
        self.cache_misses = 0
        self.saved_tokens = 0
        """By caches of embeddings and of answers."""
        self.chat_calls = 0
        """Chat and completion calls that a provider did the work for; those that a cache answered are none."""
        self.failed_chat_calls = 0
        self.input_tokens = 0
        """Of chat calls, as reported."""
        self.output_tokens = 0
        self.answer_cache_hits = 0
        self.answer_cache_misses = 0

    @property
    def cost_usd(self) -> float:
        """Dollars, over the calls whose price is known."""
        return self._picodollars / PICODOLLARS

    @property
    def seconds(self) -> float:
        """Wall time of the block, so far or in all."""
        return time.perf_counter() - self._began if self._took is None else self._took

    def add(self, call: EmbeddingCall, ended: int) -> None:
        with self._lock:
            if call.cache is not None:
                self.cache_hits += call.cache.hits
                self.cache_misses += call.cache.misses
                self.saved_tokens += call.cache.saved.tokens if call.cache.saved is not None else 0
            if not call.is_leaf:
                return
            self.calls += 1
            self.failed_calls += call.failure is not None
            if call.failure is None:
                self.inputs += call.embedded
            if call.usage is not None:
                self.tokens += call.usage.tokens
                self.estimated_tokens += call.usage.tokens if call.usage.source == "estimated" else 0
            if call.cost is not None:
                self._picodollars += round(call.cost.usd * PICODOLLARS)
            elif call.unpriced:
                self.unpriced_calls += 1

    def add_chat(self, call: ChatCall) -> None:
        with self._lock:
            if call.cache is not None:
                self.answer_cache_hits += call.cache.hit
                self.answer_cache_misses += not call.cache.hit
                self.saved_tokens += call.cache.saved.total if call.cache.saved is not None else 0
            if not call.is_leaf or call.hit:
                return
            self.chat_calls += 1
            self.failed_chat_calls += call.failure is not None
            if call.usage is not None:
                self.input_tokens += call.usage.input_tokens or 0
                self.output_tokens += call.usage.output_tokens or 0
            if call.cost is not None:
                self._picodollars += round(call.cost.usd * PICODOLLARS)
            elif call.unpriced:
                self.unpriced_calls += 1

    def end(self) -> None:
        self._took = time.perf_counter() - self._began

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            sums = {name: value for name, value in vars(self).items() if name not in ("_lock", "_began", "_took")}
        return sums | {"_took": self.seconds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        TrackedUsage.__init__(self)
        vars(self).update(state)

    def __add__(self, other: TrackedUsage) -> TrackedUsage:
        if not isinstance(other, TrackedUsage):
            return NotImplemented
        both, theirs = TrackedUsage(), other.__getstate__()
        both.__setstate__({name: value + theirs[name] for name, value in self.__getstate__().items()})
        return both

    def __radd__(self, nothing: int) -> TrackedUsage:
        """``sum`` begins with 0."""
        return self if nothing == 0 else NotImplemented

    def __repr__(self) -> str:
        cost = f"${self.cost_usd:.12f}".rstrip("0").rstrip(".")
        unpriced = self.unpriced_calls
        unknown = f" and {unpriced} {'call' if unpriced == 1 else 'calls'} without a known price" if unpriced else ""
        return (
            f"<{self.calls} calls, {self.inputs} inputs, {self.tokens} tokens, {cost}{unknown},"
            f" {self.cache_hits} cache hits, {self.chat_calls} chat calls, {self.seconds:.3f} s>"
        )


class track:
    """Add up the embedding and chat calls of a block: ``with otel_embed.track() as usage: ...``.

    Blocks nest, and each sees only the calls of its own thread or task and of those it starts with
    its context. Needs ``instrument()`` or zero-code instrumentation, and neither an SDK nor a backend.
    """

    def __init__(self) -> None:
        self._usage = TrackedUsage()
        self._token: Token[Context] | None = None

    def __enter__(self) -> TrackedUsage:
        around = context.get_current()
        outer: tuple[Tracks, ...] = around.get(TRACKED, ())  # type: ignore[assignment]
        self._context = context.set_value(TRACKED, (*outer, self._usage), around)
        self._token = context.attach(self._context)
        return self._usage

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._usage.end()
        if self._token is not None:
            if kind is GeneratorExit:
                leave(self._context, self._token)
            else:
                context.detach(self._token)


def tracked(call: OpenCall) -> None:
    """Count a finished call in the blocks it was made in."""
    usages: tuple[Tracks, ...] = call.context.get(TRACKED, ())  # type: ignore[assignment]
    for usage in usages:
        usage.add(call.record(), call.end)


def track_chat(call: ChatCall, around: Context) -> None:
    """Count a finished chat call in the blocks it was made in."""
    usages: tuple[Tracks, ...] = around.get(TRACKED, ())  # type: ignore[assignment]
    for usage in usages:
        usage.add_chat(call)

"""A vector store's operations: embedding, and then a write or a search, told apart."""

from __future__ import annotations

import time
from contextvars import Token
from typing import Any, Protocol

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.failure import failure
from otel_embed.guard import Guard, guarded
from otel_embed.provider import Arguments, Operation
from otel_embed.record import Component, EmbeddingCall, StoreOperation
from otel_embed.run_record import ChatCall

OPEN_OPERATION = context.create_key("otel-embed-operation")
_SUPPRESSED = "suppress_instrumentation"
_COUNTING = Guard("count a store's documents")


class OperationReports(Protocol):
    """Where operations go."""

    def begin(self, operation: OpenOperation, around: Context) -> Context:
        """An operation begins: the context in which it runs, with it under ``OPEN_OPERATION``; it wants to hear of
        the calls inside, by ``add`` and ``add_chat``."""

    def finish(self, operation: OpenOperation, record: StoreOperation) -> None:
        """An operation is over."""


class OperationSite:
    """A wrapped function whose every run is an operation, unless it is a part of one of the same class."""

    always = True

    def __init__(self, reports: OperationReports, operation: Operation) -> None:
        self.reports, self.operation = reports, operation
        self.read_component = guarded(operation.component, "read a store's class", Component("", "unknown", ""))

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenOperation | None:
        around = context.get_current()
        if around.get(_SUPPRESSED):
            return None
        kind = instance if isinstance(instance, type) else type(instance)
        outer = around.get(OPEN_OPERATION)
        if isinstance(outer, OpenOperation) and not outer.end and issubclass(kind, outer.kind):
            return None
        return OpenOperation(self, kind, Arguments(instance, args, kwargs), around)


class OpenOperation:
    """An operation in flight."""

    end = 0
    span: Any = None

    def __init__(self, site: OperationSite, kind: type, arguments: Arguments, around: Context) -> None:
        self.start_unix_ns, self._start = time.time_ns(), time.perf_counter_ns()
        self._site, self._arguments = site, arguments
        self.kind = kind
        self.component: Component = site.read_component(arguments)
        self._inside: list[tuple[int, int]] = []
        self.context = site.reports.begin(self, around)
        self.token: Token[Context] | None = context.attach(self.context)

    def add(self, call: EmbeddingCall, ended: int) -> None:
        """An embedding call inside is over."""
        if call.root:
            self._inside.append((ended - call.duration_ns, ended))

    def add_chat(self, call: ChatCall) -> None:
        """A chat call inside is over: only that of embedding is no time of the store's own."""

    def close(self, result: Any, error: BaseException | None) -> None:
        self.end = time.perf_counter_ns()
        documents, duration = None, self.end - self._start
        if error is None:
            with _COUNTING:
                documents = self._site.operation.documents(self._arguments, result)
        self._site.reports.finish(
            self,
            StoreOperation(
                self.component, documents, self.start_unix_ns, duration, duration - self._embedding_ns(),
                None if error is None else failure(error),
            ),
        )  # fmt: skip
        del self._arguments, self.context

    def _embedding_ns(self) -> int:
        """How much of the operation at least one embedding call was running for."""
        total, now = 0, self._start
        for start, finish in sorted(self._inside):
            start, finish = max(start, now), min(finish, self.end)
            if finish > start:
                total, now = total + finish - start, finish
        return total

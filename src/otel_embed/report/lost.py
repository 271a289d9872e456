"""Spans that reach no backend: what a full queue drops, and what an exporter gives up.

OpenTelemetry's SDK keeps a bounded queue and drops what does not fit. Its own count of that is off unless asked for,
and takes a batch that a receiver refused over HTTP for exported. So exporters behind a queue, which run in a thread of
the SDK's, are listened to. All spans of the process count, whoever made them; each exporter counts for itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sized
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from otel_embed.guard import Guard, guarded
from otel_embed.report import names
from otel_embed.report.dimensions import Observers, Sums

_LISTENING = Guard("listen to exporters")
_EXPORT_FAILED: Final = "export_failed"
_QUEUE_FULL: Final = "queue_full"


class LostSpans:
    """How many spans were lost, by cause: ``queue_full``, ``export_failed``, ``already_shutdown``."""

    def __init__(self) -> None:
        self.give_up = guarded(self._give_up, "count spans that were not exported")
        self.drop = guarded(self._drop, "count dropped spans")
        self.then: Callable[[], None] | None = None
        """What to do when more are lost."""
        self._tracers: TracerProvider | None = None
        self._on = False
        self._undo: list[Callable[[], None]] = []
        self.clear()

    def clear(self) -> None:
        """In a forked child, whose queue begins empty."""
        self._lock, self._listening = threading.Lock(), threading.Lock()
        self._counts: Counter[str] = Counter()

    def observe(self, metrics: Observers) -> None:
        metrics.counter(names.LOST, lambda _: self.sums())

    def sums(self) -> Sums:
        self.listen()
        return (({names.LOST_CAUSE: cause}, count) for cause, count in self.by_cause().items())

    def by_cause(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

    def watch(self, tracers: TracerProvider | None) -> None:
        """Listen to the exporters of these tracers from now on; without any, to those of the global ones."""
        self._tracers, self._on = tracers, True
        self.listen()

    def listen(self) -> None:
        """Listen to the exporters that were added meanwhile, too; to none once it is over."""
        with _LISTENING, self._listening:
            for processor in _processors(self._tracers or trace.get_tracer_provider()) if self._on else ():
                queue = getattr(processor, "_batch_processor", None)
                if queue is None and not hasattr(processor, "queue"):
                    continue  # it exports within the application's call, and is for trying things
                self._put(processor.span_exporter, "export", _Export)
                self._put(getattr(queue, "_metrics", None), "drop_items", _Drop)

    def _put(self, owner: Any, name: str, around: type[_Listener]) -> None:
        function = getattr(owner, name, None)
        if function is None or isinstance(function, _Listener):
            return
        before, listener = vars(owner).get(name), around(function, self)
        setattr(owner, name, listener)

        def undo() -> None:
            listener.lost = None
            if vars(owner).get(name) is not listener:
                return  # somebody else is around it, and calls it
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        self._undo.append(undo)

    def stop(self) -> None:
        """Leave every exporter as it was."""
        with self._listening:
            self._on = False
            while self._undo:
                with _LISTENING:
                    self._undo.pop()()

    def _give_up(self, spans: Sized) -> None:
        self._add(_EXPORT_FAILED, len(spans))

    def _drop(self, count: int, error_type: str = _QUEUE_FULL) -> None:
        self._add(error_type, count)

    def _add(self, cause: str, count: int) -> None:
        with self._lock:
            self._counts[cause] += count
        if self.then is not None:
            self.then()


class _Listener:
    """A method of one object, with its arguments, result and exceptions as they are."""

    __slots__ = ("_function", "lost")

    def __init__(self, function: Callable[..., Any], lost: LostSpans) -> None:
        self._function = function
        self.lost: LostSpans | None = lost
        """Where it counts; None once it does not any more."""


class _Export(_Listener):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        taken = False
        try:
            result = self._function(*args, **kwargs)
            taken = getattr(result, "name", "") != "FAILURE"
            return result
        finally:
            lost = self.lost
            if not taken and lost is not None:
                lost.give_up(*args)


class _Drop(_Listener):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        lost = self.lost
        if lost is not None:
            lost.drop(*args)
        return self._function(*args, **kwargs)


def _processors(tracers: Any) -> Iterator[Any]:
    """Of an SDK's tracers, those within others too; none of what is no SDK."""
    waiting = [getattr(tracers, "_active_span_processor", None)]
    while waiting:
        processor = waiting.pop()
        inner = getattr(processor, "_span_processors", None)
        if isinstance(inner, (tuple, list)):
            waiting += inner
        elif processor is not None:
            yield processor

"""How much caches hold: entries and bytes, by store.

Observed when the SDK collects, of the stores that were asked in this process and that the application still has. What
is in memory is looked at then. Folders and Redis are asked by a thread of ours, which an export waits a few
milliseconds for and then goes on with what was known before. ``OTEL_EMBED_DISABLED_PROVIDERS=stores`` switches it off.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from opentelemetry import context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_embed.gauges import redis_stores
from otel_embed.gauges.local_stores import Size, behind, folder_of, in_folder, in_memory
from otel_embed.guard import Guard
from otel_embed.report import names
from otel_embed.report.names import Instrument
from otel_embed.seen import STORES

NAME = "stores"
"""By which ``OTEL_EMBED_DISABLED_PROVIDERS`` switches these gauges off."""
_FRESH, _REDIS_FRESH, _FOLDER_FRESH = 1.0, 10.0, 60.0
_WAIT = 0.005
"""Seconds, as all here."""
_LOOKING, _MEASURING = Guard("look at a store"), Guard("measure a store")
_SUPPRESSED = "suppress_instrumentation"
Measure = Callable[[], "Size | None"]


class Sizes:
    """What the stores of this process hold."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[str, tuple[int, int | None]] = {}
        self.seen: dict[str, tuple[int, int | None, bool]] = {}
        """By the store's name, what it held when it was last looked at, and whether other processes may share it."""
        self._looked = float("-inf")
        self._far: dict[Hashable, tuple[float, Size | None]] = {}
        """When each folder and each place in Redis was last measured, and what came of it."""
        self._failing: set[Hashable] = set()
        self._thread: threading.Thread | None = None

    def now(self) -> dict[str, tuple[int, int | None]]:
        """Entries and bytes by the store's name. Not older than a second where they are in memory."""
        if self._lock.acquire(timeout=_WAIT):
            try:
                if time.monotonic() - self._looked >= _FRESH:
                    self._look()
                    self._looked = time.monotonic()
            finally:
                self._lock.release()
        return self._now

    def look_again(self) -> None:
        """At the next collection, however young the last look is."""
        self._looked = float("-inf")

    def _look(self) -> None:
        stores = [(store, name) for reference, name in [*STORES.values()] if (store := reference()) is not None]
        far: list[tuple[str, Hashable]] = []
        due: dict[Hashable, Measure] = {}
        sizes: dict[Hashable, tuple[str, Size]] = {}
        for store, name in stores:
            with _LOOKING:
                store = behind(store)
                size = in_memory(store)
                if size is not None:
                    sizes[size.place] = name, size
                elif (where := _far(store)) is not None:
                    place, measure, fresh = where
                    far.append((name, place))
                    if time.monotonic() - self._far.get(place, (float("-inf"),))[0] >= fresh:
                        due[place] = measure
        self._refresh(due)
        known = {place: self._far.get(place, (0.0, None))[1] for _, place in far}
        sizes |= {place: (name, size) for name, place in far if (size := known[place]) is not None}
        self._far = {place: self._far[place] for place in known if place in self._far}
        self._now = _by_name(sizes.values())
        shared = {name for name, _ in far}
        self.seen |= {name: (*size, name in shared) for name, size in self._now.items()}

    def _refresh(self, due: dict[Hashable, Measure]) -> None:
        if due and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._measure, args=(due,), name="otel-embed-stores", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter is shutting down
                self._thread = None
        if self._thread is not None:
            self._thread.join(_WAIT)

    def _measure(self, due: dict[Hashable, Measure]) -> None:
        context.attach(context.set_value(_SUPPRESSED, True))  # what we ask Redis is not the application's
        for place, measure in due.items():
            size = None
            try:
                size = measure()
                self._failing.discard(place)
            except Exception as error:
                if place not in self._failing:  # one that stays away is one failure
                    self._failing.add(place)
                    _MEASURING.contain(error)
            self._far[place] = time.monotonic(), size


def _far(store: Any) -> tuple[Hashable, Measure, float] | None:
    """A store outside of this process: where it is, how it is measured, and how long that is good for."""
    folder = folder_of(store)
    if folder is not None:
        return folder, lambda: in_folder(folder), _FOLDER_FRESH
    place = redis_stores.place_of(store)
    return None if place is None else (place, lambda: redis_stores.measure(place), _REDIS_FRESH)


def _by_name(sizes: Iterable[tuple[str, Size]]) -> dict[str, tuple[int, int | None]]:
    """The sums over the stores of one name; their bytes only where all are known."""
    found: dict[str, tuple[int, int | None]] = {}
    for name, (_, entries, size) in sizes:
        before_entries, before = found.get(name, (0, 0))
        found[name] = before_entries + entries, None if size is None or before is None else before + size
    return found


_sizes = Sizes()
_on = False


def switch(on: bool) -> None:
    """Whether stores are looked at from now on."""
    global _on
    _on = on
    _sizes.look_again()


def rows() -> list[dict[str, Any]]:
    """For a summary document: what is there now, and of stores that the application let go of what they held last."""
    if not _on:
        return []
    _sizes.now()
    return [
        {"store": name, "shared": shared, "entries": entries, "bytes": size}
        for name, (entries, size, shared) in sorted(_sizes.seen.items())
    ]


def observe(meter: Meter) -> None:
    """Have a meter observe the sizes of stores while they are switched on. Once a meter."""
    with Guard("set up the gauges of stores"):
        _create(meter, names.CACHE_ENTRIES, lambda size: size[0])
        _create(meter, names.CACHE_SIZE, lambda size: size[1])


def _create(meter: Meter, instrument: Instrument, read: Callable[[tuple[int, int | None]], int | None]) -> None:
    def observed(_: CallbackOptions) -> Iterable[Observation]:
        found: list[Observation] = []
        with _LOOKING:
            for name, size in _sizes.now().items() if _on else ():
                if (value := read(size)) is not None:
                    found.append(Observation(value, {names.CACHE_STORE: name}))
        return found

    meter.create_observable_gauge(instrument.name, [observed], instrument.unit, instrument.description)


def _forked() -> None:
    # A child has none of its parent's threads, and may have its lock.
    global _sizes
    _sizes = Sizes()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

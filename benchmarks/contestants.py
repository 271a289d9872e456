"""A variant that runs beside others in one process: switched on, switched off, and held to what it must report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from patches import Patches, snapshot
from telemetry import Telemetry
from variants import WRAPPER, Variant, make_global
from workload import Workload

CHECKED_CALLS = 3


class Silent(Exception):
    """A variant did not report what it was called for: its time means nothing."""


@dataclass
class Contestant:
    """Without a variant it is the bare client, whose functions are set as often, to themselves."""

    patches: Patches
    telemetry: Telemetry
    variant: Variant | None = None
    stop: Callable[[], None] = lambda: None
    calls: int = 0
    tokens: int = 0

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        self.patches.put_on()
        try:
            yield
        finally:
            self.patches.take_off()

    def counted(self, work: Workload, calls: int) -> None:
        """Note calls that are about to be made: what they report is compared with it in the end."""
        self.calls += calls
        self.tokens += calls * work.tokens

    def finish(self) -> None:
        """Check the whole run, then undo the instrumentation the way its users do."""
        self.telemetry.settle()
        if self.variant is not None:
            self.check_totals(self.variant)
        self.patches.put_on()
        self.stop()
        self.telemetry.shutdown()

    def check_totals(self, variant: Variant) -> None:
        """Every call, the timed ones included, has its span and its tokens."""
        spans, sampled = self.telemetry.exporter.spans, self.telemetry.sdk == "sampled"
        if (spans < self.calls) if sampled else spans:
            raise Silent(f"{variant.title}, {self.telemetry.sdk}: {spans} spans for {self.calls} calls")
        if variant.metric is not None and self.telemetry.sdk != "none":
            total = self.telemetry.sum_of(variant.metric)
            if total != self.tokens:
                raise Silent(f"{variant.title}: {variant.metric} says {total} tokens, not {self.tokens}")

    def check_spans(self, work: Workload) -> None:
        """A few calls, outside the timing, whose spans are looked at."""
        if self.variant is None:
            return
        self.telemetry.settle()
        with self.on(), self.telemetry.exporter.keeping() as spans:
            self.counted(work, CHECKED_CALLS)
            work.run(CHECKED_CALLS)
            self.telemetry.settle()
            seen = [(span.attributes or {}).get(self.variant.attribute) for span in spans]
        expected = CHECKED_CALLS if self.telemetry.sdk == "sampled" else 0
        if work.texts <= self.variant.keeps_tokens_up_to:
            seen = [tokens for tokens in seen if tokens == work.tokens]
        if len(seen) != expected:
            raise Silent(f"{self.variant.title}, {work.texts} texts: {len(seen)} spans of {expected} have the tokens")


def started(variant: Variant, sdk: str) -> Contestant:
    """Instrument, note what was replaced, and put the originals back."""
    telemetry = Telemetry(sdk)
    if variant is not WRAPPER:
        make_global(telemetry)
    before = snapshot()
    stop = variant.start(telemetry)
    patches = Patches.between(before, snapshot())
    if not patches.on:
        raise Silent(f"{variant.title} patched nothing")
    patches.take_off()
    return Contestant(patches, telemetry, variant, stop)


def side_by_side(others: dict[str, Contestant]) -> dict[str, Contestant]:
    """The client as it is, and the others: each sets the same places when it is switched, to what is its own there."""
    originals = Patches.to_themselves([other.patches for other in others.values()])
    for other in others.values():
        other.patches.touch(originals)
    return {"bare": Contestant(originals, Telemetry("none")), **others}

"""What the checks of calls found: on the span, once in the log, as metrics, as rows of a summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otel_embed.late_logger import LateLogger
from otel_embed.observe import OpenCall
from otel_embed.quality.checks import Checks, Problem
from otel_embed.quality.models import most_inputs
from otel_embed.report import names
from otel_embed.report.dimensions import Observers, Sums, place
from otel_embed.report.totals import PICODOLLARS

_logger = LateLogger("otel_embed.quality")
_LOGGED: dict[Problem, str] = {
    "oversized_input": "a text is at least as long as the model takes, so that its end is cut off or refused",
    "nan_vector": "a vector has numbers that are not a number (NaN)",
    "infinite_vector": "a vector has infinite numbers",
    "zero_vector": "a vector is all zeros",
    "wrong_dimension": "a vector has another number of dimensions than was asked for",
    "dimension_change": "vectors have another number of dimensions than before, and cannot be compared with those",
    "model_change": "another model answers than before, whose vectors may not be comparable with those before",
}
"""What is worth a line in a log, once for each model, and of a level that a program without logging does not print: its
output stays what it was. The others are the application's to judge by their number."""
_MAX_LOGGED = 1000


class QualityReport:
    def __init__(self) -> None:
        self.checks = Checks()
        self._logged: set[tuple[Problem, str, str | None]] = set()

    def look(self, call: OpenCall, result: Any) -> None:
        """Check a call, and tell what is wrong with it on its span."""
        problems = self.checks.look(call, result)
        if not problems:
            return
        if call.span is not None:
            call.span.set_attribute(names.PROBLEMS, problems)
        for problem in problems:
            key = (problem, call.provider, call.request.model)
            if problem in _LOGGED and key not in self._logged and len(self._logged) < _MAX_LOGGED:
                self._logged.add(key)
                _logger.info(
                    "%s %s: %s. This is logged once; the metric %s counts on.",
                    call.provider, call.request.model or "", _LOGGED[problem], names.FOUND_PROBLEMS.name,
                )  # fmt: skip

    def observe(self, metrics: Observers) -> None:
        metrics.counter(names.CHECKED_ITEMS, lambda _: self.checked())
        metrics.counter(names.FOUND_PROBLEMS, lambda _: self.problems())
        metrics.counter(names.WASTED_TOKENS, lambda _: self.wasted_tokens())
        metrics.counter(names.WASTED_MONEY, lambda _: self.wasted_money())
        metrics.counter(names.CHECKED_MONEY, lambda _: self.checked_money())
        metrics.gauge(names.BATCH_LIMIT, lambda _: self.batch_limits())

    def clear(self) -> None:
        self.checks.clear()

    def checked(self) -> Sums:
        for where, sums in self.checks.sums():
            yield {**place(*where), names.CHECKED: "input"}, sums.inputs
            yield {**place(*where), names.CHECKED: "vector"}, sums.vectors

    def problems(self) -> Sums:
        for where, sums in self.checks.sums():
            for problem, count in list(sums.problems.items()):
                yield {**place(*where), names.PROBLEM: problem}, count

    def wasted_tokens(self) -> Sums:
        for where, sums in self.checks.sums():
            for waste, count in list(sums.wasted_tokens.items()):
                yield {**place(*where), names.WASTE: waste}, count

    def wasted_money(self) -> Sums:
        for where, sums in self.checks.sums():
            for waste, picodollars in list(sums.wasted_picodollars.items()):
                yield {**place(*where), names.WASTE: waste}, picodollars / PICODOLLARS

    def checked_money(self) -> Sums:
        for where, sums in self.checks.sums():
            if sums.picodollars:
                yield place(*where), sums.picodollars / PICODOLLARS

    def batch_limits(self) -> Sums:
        for where, _ in self.checks.sums():
            most = most_inputs(*where)
            if most is not None:
                yield place(*where), most

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each model that was looked at."""
        for (provider, model), sums in self.checks.sums():
            yield {
                "provider": provider,
                "model": model,
                "inputs": sums.inputs,
                "vectors": sums.vectors,
                "problems": dict(sums.problems),
                "wasted_tokens": dict(sums.wasted_tokens),
                "wasted_usd": {waste: pico / PICODOLLARS for waste, pico in sums.wasted_picodollars.items()},
                "looked_usd": sums.picodollars / PICODOLLARS,
                "most_inputs": most_inputs(provider, model),
            }

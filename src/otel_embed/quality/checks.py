"""Which calls are looked at, and what was found in all of them.

All of them are looked at up to ``_A_SECOND`` a second on average, and of the inputs and vectors of a call as many as
take a small share of the time that the call itself took. So nothing is missed where little goes on, and where much goes
on it costs no more.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from math import ceil
from typing import Any, Final, Literal, NamedTuple, TypeVar

from otel_embed.exchange import OpenExchange
from otel_embed.observe import OpenCall
from otel_embed.quality import inputs, vectors
from otel_embed.quality.models import most_tokens
from otel_embed.report.totals import OVERFLOW, PICODOLLARS

Problem = Literal[
    "empty_input",
    "duplicate_input",
    "repeated_input",
    "oversized_input",
    "nan_vector",
    "infinite_vector",
    "zero_vector",
    "wrong_dimension",
    "dimension_change",
    "model_change",
]
"""``duplicate``: twice in one call; ``repeated``: embedded before, by an earlier call of this process."""

UNUSABLE: Final[tuple[Problem, ...]] = (
    "nan_vector", "infinite_vector", "zero_vector", "wrong_dimension", "dimension_change", "model_change",
)  # fmt: skip
"""With vectors that have these, or beside those before them, no search finds the right things."""

Waste = Literal[Problem, "failed_attempt"]
"""What tokens were sent for in vain. Those of a failed attempt use up the rate limit, and are seldom billed."""

PIPELINE: Final = "pipeline"
"""The attribute by which calls say to which pipeline they belong."""

_A_SECOND, _AT_ONCE = 5, 100
_MOST_INPUTS, _LEAST_CHARACTERS = 2048, 1 << 16
_LEAST_VECTORS, _NS_A_NUMBER, _PART = 8, 5, 1000
_MAX_MODELS = 1000
K = TypeVar("K")
_UNSENT = ("acquire", "connect", "tls")


class Place(NamedTuple):
    provider: str
    model: str | None


class _Found:
    """What was found in one call."""

    def __init__(self) -> None:
        self.inputs = self.vectors = 0
        """How many were looked at."""
        self.problems: dict[Problem, int] = {}
        self.wasted_tokens: dict[Waste, int] = {}
        self.wasted_picodollars: dict[Waste, int] = {}
        self.picodollars = 0
        """What the calls cost whose inputs were looked at."""

    def add(self, problem: Problem, many: int) -> None:
        if many:
            self.problems[problem] = self.problems.get(problem, 0) + many

    def add_failed(self, tokens: int) -> None:
        if tokens:
            self.wasted_tokens["failed_attempt"] = tokens


class Sums(_Found):
    """What was found in the calls of one model."""

    def absorb(self, found: _Found) -> None:
        self.inputs += found.inputs
        self.vectors += found.vectors
        self.picodollars += found.picodollars
        _add(self.problems, found.problems)
        _add(self.wasted_tokens, found.wasted_tokens)
        _add(self.wasted_picodollars, found.wasted_picodollars)


def _add(sums: dict[K, int], more: dict[K, int]) -> None:
    for key, value in more.items():
        sums[key] = sums.get(key, 0) + value


class Checks:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._memory = inputs.Memory()
        self._allowance, self._at_ns = float(_AT_ONCE), time.perf_counter_ns()
        self.due_ns = 0
        """Calls that end before this are not looked at, by the clock of ``OpenCall.end``."""
        self._sums: dict[Place, Sums] = {}
        self._latest: dict[tuple[object, ...], tuple[str | None, int | None]] = {}

    def sums(self) -> list[tuple[Place, Sums]]:
        with self._lock:
            return list(self._sums.items())

    def look(self, call: OpenCall, result: Any) -> tuple[Problem, ...]:
        """Look at a finished call, as long as there is time for it: what is wrong with its inputs and its vectors."""
        if call.delegated or not self._due(call.end):
            return ()
        record = call.record()
        if not record.is_leaf:
            return ()
        found = _Found()
        if record.failure is not None:
            _look_at_failure(call, found)
        else:
            self._look_at_inputs(call, found)
            _look_at_vectors(call, result, found)
            self._look_for_change(call, found)
        place = Place(record.provider, record.model)
        with self._lock:
            if place in self._sums or len(self._sums) < _MAX_MODELS:
                self._sums.setdefault(place, Sums()).absorb(found)
        return tuple(found.problems)

    def _due(self, now_ns: int) -> bool:
        with self._lock:
            self._allowance = min(float(_AT_ONCE), self._allowance + (now_ns - self._at_ns) * _A_SECOND / 1e9)
            self._at_ns = now_ns
            due = self._allowance >= 1.0
            if due:
                self._allowance -= 1.0
            missing = max(0.0, 1.0 - self._allowance)
            self.due_ns = now_ns + ceil(missing * 1e9 / _A_SECOND) if missing else 0
            return due

    def _look_at_inputs(self, call: OpenCall, found: _Found) -> None:
        record, content = call.record(), call.request.content
        if record.kind not in ("text", "tokens") or (record.cache is not None and record.cache.hits):
            return  # which of them a cache left to the model is not known
        most_characters = max(_LEAST_CHARACTERS, record.duration_ns // _PART)
        model = (record.provider, record.model, call.request.dimensions)
        looked = inputs.look(content, model, self._memory, _MOST_INPUTS, most_characters)
        found.inputs = looked.inputs
        usage = record.usage
        if record.cost is not None:
            found.picodollars = round(record.cost.usd * PICODOLLARS)
        if not record.local:  # a local model counts its own
            reported = usage.tokens if usage is not None and usage.source == "reported" else None
            _look_for_length(call, looked, reported, found)
        found.add("empty_input", looked.empty)
        again: tuple[tuple[Problem, int, int], ...] = (
            ("duplicate_input", looked.duplicate, looked.duplicate_characters),
            ("repeated_input", looked.repeated, looked.repeated_characters),
        )
        for problem, many, length in again:
            if many:
                found.add(problem, many)
                part = length / looked.of_all if looked.of_all else 0.0
                if usage is not None:
                    found.wasted_tokens[problem] = round(part * usage.tokens)
                if record.cost is not None:
                    found.wasted_picodollars[problem] = round(part * found.picodollars)
        if record.retries and usage is not None:
            found.add_failed(sum(lane.failed for lane in _sent(call)) * usage.tokens)

    def _look_for_change(self, call: OpenCall, found: _Found) -> None:
        """Whether vectors cannot be compared with those before: the same model of the same provider answers otherwise,
        or calls of one pipeline, where they say which theirs is, have another."""
        record, asked = call.record(), call.request.dimensions
        key = (record.provider, record.server, record.request_model, record.component, record.encoding_format, asked)
        changes = self._changes(key, record.response_model, record.dimensions)
        for name, value in record.attribution:
            if name.rpartition(".")[2] == PIPELINE and value != OVERFLOW:  # `app.pipeline` too
                changes |= self._changes((name, value), record.request_model, record.dimensions)
        for change in changes:
            found.add(change, 1)

    def _changes(self, key: tuple[object, ...], model: str | None, dimensions: int | None) -> set[Problem]:
        changes: set[Problem] = set()
        before = self._latest.get(key)
        if before is None:
            if len(self._latest) < _MAX_MODELS:
                self._latest[key] = model, dimensions
            return changes
        if None not in (before[0], model) and before[0] != model:
            changes.add("model_change")
        if None not in (before[1], dimensions) and before[1] != dimensions:
            changes.add("dimension_change")
        self._latest[key] = model or before[0], dimensions or before[1]
        return changes


def _look_at_failure(call: OpenCall, found: _Found) -> None:
    """What failed attempts cost of a rate limit, and whether the length of a text is the reason."""
    looked = inputs.look(call.request.content, None, None, _MOST_INPUTS, _LEAST_CHARACTERS)
    found.add_failed(len(_sent(call)) * ceil(looked.characters / looked.a_token))
    if call.failure is not None and call.failure.cause == "invalid_input":
        found.add("empty_input", looked.empty)
        _look_for_length(call, looked, None, found)


def _sent(call: OpenCall) -> list[OpenExchange]:
    """The attempts that came further than to ask for a connection: what nobody got counts against no limit."""
    attempts = (lane for lane in call.lanes if isinstance(lane, OpenExchange))
    return [lane for lane in attempts if lane.status is not None or lane.marks[-1][1] not in _UNSENT]


def _look_for_length(call: OpenCall, looked: inputs.Looked, reported: int | None, found: _Found) -> None:
    most = most_tokens(call.reply.model) or most_tokens(call.request.model)
    if most is not None:
        found.add("oversized_input", inputs.too_long(looked, reported, most))


def _look_at_vectors(call: OpenCall, result: Any, found: _Found) -> None:
    record, asked = call.record(), call.request.dimensions
    if asked is not None and record.dimensions is not None and record.dimensions != asked:
        found.add("wrong_dimension", record.inputs or 1)
    most = record.duration_ns // _PART // _NS_A_NUMBER // (record.dimensions or 1000)
    found.vectors, wrong = vectors.look(result, max(_LEAST_VECTORS, most))
    for problem, many in Counter(wrong).items():
        found.add(problem, many)

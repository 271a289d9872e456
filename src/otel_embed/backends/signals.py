"""Each metric that otel_embed emits: its instrument, its kind and what its points are told apart by.

A test holds this against what is really emitted.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from otel_embed.report import names
from otel_embed.report.names import Instrument

Kind = Literal["counter", "gauge", "updown", "histogram"]


class Signal(NamedTuple):
    instrument: Instrument
    kind: Kind
    attributes: tuple[str, ...]
    """Those that a point may have; not every point has all. Where calls were made for somebody, the keys of
    ``OTEL_EMBED_BAGGAGE_ATTRIBUTES`` are there as well."""

    @property
    def name(self) -> str:
        return self.instrument.name


_MODEL: Final = (names.PROVIDER, names.REQUEST_MODEL)
_CALL: Final = (names.OPERATION, *_MODEL, names.RESPONSE_MODEL, names.ADDRESS, names.PORT)
_BUDGET: Final = (names.BUDGET, names.PERIOD, names.BUDGET_SCOPE, *_MODEL)
_COMPONENT: Final = (names.FRAMEWORK, names.COMPONENT)
_GPU: Final = (names.HW_ID, names.HW_NAME, names.HW_MODEL, names.HW_VENDOR, names.HW_PARENT, names.HW_TYPE)

DURATION: Final = Signal(names.DURATION, "histogram", (*_CALL, names.ERROR_TYPE))
TOKENS: Final = Signal(names.TOKENS, "histogram", _CALL)
CHAT_DURATION: Final = Signal(names.LEGACY_DURATION, "histogram", (*_CALL, names.ERROR_TYPE))
CHAT_TOKENS: Final = Signal(names.LEGACY_TOKENS, "histogram", (*_CALL, names.TOKEN_TYPE))
TIME_TO_FIRST: Final = Signal(names.TIME_TO_FIRST, "histogram", _CALL)
OUTPUT_RATE: Final = Signal(names.OUTPUT_RATE, "histogram", _CALL)
FRAMEWORK: Final = Signal(names.FRAMEWORK_DURATION, "histogram", (*_COMPONENT, names.CACHE_OUTCOME))
LOCAL: Final = Signal(names.LOCAL_DURATION, "histogram", (*_MODEL, names.DEVICE, names.ERROR_TYPE))
LOAD: Final = Signal(names.LOAD_DURATION, "histogram", (*_MODEL, names.DEVICE, names.ERROR_TYPE))
PADDING: Final = Signal(names.PADDING, "counter", _MODEL)
TRUNCATED: Final = Signal(names.TRUNCATED, "counter", _MODEL)
COST: Final = Signal(names.SPEND, "counter", _CALL)
UNPRICED: Final = Signal(names.UNPRICED, "counter", _CALL)
INPUTS: Final = Signal(names.INPUTS, "counter", _CALL)
STAGES: Final = Signal(names.STAGE_TIME, "counter", (*_CALL, *_COMPONENT, names.STAGE))
ERRORS: Final = Signal(names.ERRORS, "counter", (names.OPERATION, *_MODEL, names.CAUSE))
RETRIES: Final = Signal(names.RETRIES, "counter", (*_MODEL, names.RETRY_STATUS))
RATE_LIMIT: Final = Signal(names.RATE_LIMIT, "gauge", (*_MODEL, names.RATE_LIMIT_KIND))
HEADROOM: Final = Signal(names.HEADROOM, "gauge", (*_MODEL, names.RATE_LIMIT_KIND))
PENDING: Final = Signal(names.PENDING, "updown", _MODEL)
LOOKUPS: Final = Signal(names.LOOKUPS, "counter", (names.OPERATION, names.CACHE_STORE, names.CACHE_OUTCOME))
ENTRIES: Final = Signal(names.CACHE_ENTRIES, "gauge", (names.CACHE_STORE,))
SIZE: Final = Signal(names.CACHE_SIZE, "gauge", (names.CACHE_STORE,))
SAVED_COST: Final = Signal(names.SAVED_MONEY, "counter", (names.OPERATION, *_MODEL, names.CACHE_STORE))
SAVED_TOKENS: Final = Signal(
    names.SAVED_INPUT_TOKENS, "counter", (names.OPERATION, *_MODEL, names.CACHE_STORE, names.TOKEN_TYPE)
)
STORE: Final = Signal(names.STORE_DURATION, "histogram", (*_COMPONENT, names.OPERATION_NAME, names.ERROR_TYPE))
BUDGET_LIMIT: Final = Signal(names.BUDGET_LIMIT, "gauge", _BUDGET)
BUDGET_SPENT: Final = Signal(names.BUDGET_SPENT, "gauge", _BUDGET)
BUDGET_REMAINING: Final = Signal(names.BUDGET_REMAINING, "gauge", _BUDGET)
BUDGET_PROJECTED: Final = Signal(names.BUDGET_PROJECTED, "gauge", _BUDGET)
BUDGET_ALERTS: Final = Signal(names.BUDGET_ALERTS, "counter", (names.BUDGET, names.PERIOD, names.THRESHOLD))
CHECKED: Final = Signal(names.CHECKED_ITEMS, "counter", (*_MODEL, names.CHECKED))
PROBLEMS: Final = Signal(names.FOUND_PROBLEMS, "counter", (*_MODEL, names.PROBLEM))
WASTED_TOKENS: Final = Signal(names.WASTED_TOKENS, "counter", (*_MODEL, names.WASTE))
WASTED_COST: Final = Signal(names.WASTED_MONEY, "counter", (*_MODEL, names.WASTE))
CHECKED_COST: Final = Signal(names.CHECKED_MONEY, "counter", _MODEL)
BATCH_LIMIT: Final = Signal(names.BATCH_LIMIT, "gauge", _MODEL)
DROPPED: Final = Signal(names.DROPPED, "counter", (names.DROPPED_WHAT,))
LOST: Final = Signal(names.LOST, "counter", (names.LOST_CAUSE,))
OVERHEAD: Final = Signal(names.OVERHEAD, "counter", (names.OVERHEAD_PART,))
FUSE: Final = Signal(names.FUSE, "gauge", ())
ALERTS: Final = Signal(names.ALERTS, "gauge", (names.ALERT,))
GPU_BUSY: Final = Signal(names.GPU_UTILIZATION, "gauge", (*_GPU, names.GPU_TASK))
GPU_USED: Final = Signal(names.GPU_MEMORY_USAGE, "updown", _GPU)
GPU_SIZE: Final = Signal(names.GPU_MEMORY_LIMIT, "updown", _GPU)

SIGNALS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Signal))

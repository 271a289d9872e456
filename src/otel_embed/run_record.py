"""What happened in a framework's runs, as plain immutable values: chains, retrievers, tools, chat and completion calls.

Nothing here imports OpenTelemetry, and nothing here knows a provider.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from otel_embed.record import Attribution, Component, Cost, Failure, Server


class ChatUsage(NamedTuple):
    """Tokens of one chat or completion call as the provider reports them; None where it does not say."""

    input_tokens: int | None = None
    """All of them, cached ones included."""
    output_tokens: int | None = None
    """All of them, reasoning included."""
    cached_tokens: int | None = None
    """Input tokens that the provider read from its own cache."""
    cache_written_tokens: int | None = None
    """Input tokens that the provider put into its own cache."""
    reasoning_tokens: int | None = None
    kept_for_an_hour_tokens: int | None = None
    """Those of ``cache_written_tokens`` that stay there for an hour, which costs more than the usual five minutes."""

    @property
    def total(self) -> int:
        return (self.input_tokens or 0) + (self.output_tokens or 0)


class ChatRequest(NamedTuple):
    """What was asked of a chat or completion model."""

    operation: Literal["chat", "text_completion"]
    provider: str
    model: str | None = None
    server: Server | None = None
    parameters: tuple[tuple[str, float | int], ...] = ()
    """By OpenTelemetry's names: ``temperature``, ``max_tokens``."""
    prompt: str | None = None
    """Of a completion, to find what the cache said of it before the call began. Never kept after the call."""
    content: Callable[[], Messages] | None = None
    """The messages, read only where they are to be captured. Never kept after the call."""


class ChatReply(NamedTuple):
    """What a chat or completion model answered."""

    model: str | None = None
    id: str | None = None
    usage: ChatUsage | None = None
    usage_is_empty: bool = False
    """True where a completion model's usage is there and has nothing in it, as on all prompts of a request but the
    first, with which LangChain tells what the whole request took."""
    finish_reasons: tuple[str, ...] = ()
    from_cache: bool = False
    """True where the framework itself says that its cache answered."""
    answer: Any = None
    """The answer itself, by which a cached one is known. Never kept after the call."""
    content: Callable[[], Messages] | None = None


Messages = list[tuple[str, str]]
"""Role and text."""


class AnswerCache(NamedTuple):
    """What the cache in front of a chat model knew."""

    store: str
    hit: bool
    lookup_ns: int = 0
    write_ns: int = 0
    saved: ChatUsage | None = None
    """What the cached answer took when it was made."""
    saved_cost: Cost | None = None


RunKind = Literal["chain", "retriever", "tool"]


class Began(NamedTuple):
    """What is known of a run when it begins."""

    framework: str
    kind: RunKind | None
    """None for a model's call."""
    name: str
    request: ChatRequest | None = None
    current: Current = "always"


Current = Literal["always", "until_token", "inside", "never"]
"""Whether a run is current while it goes on. ``until_token``: up to the first chunk of its answer, with which it gives
control to others. ``inside``: up to the end of the run around it, and not where there is none."""


class ComponentRun(NamedTuple):
    """One finished run of a framework's chain, runnable, retriever or tool."""

    framework: str
    kind: RunKind
    name: str
    id: str
    parent: str | None
    """The ``id`` of the run around it; None where there is none."""
    start_unix_ns: int
    duration_ns: int
    own_ns: int
    """The part of the duration in which no run inside it went on."""
    failure: Failure | None


class ChatCall(NamedTuple):
    """One finished call of a chat or completion model."""

    operation: Literal["chat", "text_completion"]
    provider: str
    request_model: str | None
    response_model: str | None
    server: Server | None
    component: Component
    """The framework's class of the model."""
    is_leaf: bool
    """False where a chat call inside this one did the work: tokens and cost stand there."""
    usage: ChatUsage | None
    """What was billed; None for an answer from a cache, and where nobody says."""
    cost: Cost | None
    start_unix_ns: int
    duration_ns: int
    first_token_ns: int | None
    """From the start to the first chunk with content; None where the answer did not come in chunks."""
    finish_reasons: tuple[str, ...]
    response_id: str | None
    parameters: tuple[tuple[str, float | int], ...]
    cache: AnswerCache | None
    failure: Failure | None
    attribution: Attribution = ()
    told_with_another: bool = False
    """True where another call of the same request has the usage and the cost of both."""

    @property
    def unpriced(self) -> bool:
        """True where somebody bills this call, and how much is not known."""
        return self.cost is None and self.failure is None and not self.told_with_another

    @property
    def seconds(self) -> float:
        return self.duration_ns / 1e9

    @property
    def model(self) -> str | None:
        return self.request_model or self.response_model

    @property
    def hit(self) -> bool:
        return self.cache is not None and self.cache.hit

    @property
    def output_rate(self) -> float | None:
        """Output tokens a second: after the first token where the answer came in chunks, over the whole call else."""
        tokens = self.usage.output_tokens if self.usage is not None else None
        if not tokens or self.failure is not None:
            return None
        if self.first_token_ns is None:
            return tokens * 1e9 / self.duration_ns if self.duration_ns > 0 else None
        rest = self.duration_ns - self.first_token_ns
        return (tokens - 1) * 1e9 / rest if tokens > 1 and rest > 0 else None

"""What happened, as plain immutable values.

Nothing here imports OpenTelemetry, and nothing here knows a provider. These are named tuples
and not frozen dataclasses because a call makes several of them on the application's thread,
and a tuple costs a fifth.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

Stage = Literal[
    "cache_lookup",
    "tokenize",
    "serialize",
    "acquire",
    "connect",
    "tls",
    "send",
    "wait",
    "receive",
    "backoff",
    "deserialize",
    "forward",
    "pool",
    "cache_write",
    "other",
]
"""A part of an embedding call that takes time of its own, in the order in which they can happen.

``serialize`` builds and encodes the request, ``acquire`` waits for a pooled connection, ``wait``
lasts to the first byte (network round trip and server), ``receive`` is the download, ``backoff``
the sleep between attempts, ``deserialize`` turns bytes into vectors, ``forward`` is a local model's
pass, ``pool`` pooling and normalising.
"""
STAGES: tuple[Stage, ...] = get_args(Stage)

Cause = Literal[
    "rate_limited",
    "quota_exhausted",
    "invalid_input",
    "authentication",
    "not_found",
    "timeout",
    "network",
    "server_error",
    "cancelled",
    "other",
]
"""Why a call failed, the same small set for every provider."""
CAUSES: tuple[Cause, ...] = get_args(Cause)

InputKind = Literal["text", "tokens", "image", "mixed"]
UsageSource = Literal["reported", "counted", "estimated"]
CostSource = Literal["table", "user", "provider", "cache"]
"""``cache``: answered by a cache of the application's own, which costs nothing."""
Unit = Literal["tokens", "characters", "image_tokens", "other_tokens", "images", "pixels"]
"""What a price is for; ``other_tokens`` are those of audio, video and documents."""
Media = tuple[tuple[Unit, float], ...]
"""What is billed beside or instead of text tokens, with how much of it."""


Attribution = tuple[tuple[str, str], ...]
"""For whom a call was made: attribute and value, as ``tenant`` and ``acme``."""


class Server(NamedTuple):
    address: str
    port: int


class Answer(NamedTuple):
    """The facts of one answer's headers; None where the provider does not say."""

    remaining_requests: float | None = None
    remaining_tokens: float | None = None
    server_seconds: float | None = None
    """The provider's own processing time."""
    body_bytes: float | None = None


class Request(NamedTuple):
    """What the caller asked for, read from the arguments before the call."""

    model: str | None = None
    inputs: int | None = None
    """How many texts, images or token lists; None when that cannot be known without consuming them."""
    kind: InputKind | None = None
    dimensions: int | None = None
    encoding_format: str | tuple[str, ...] | None = None
    """The form of the vectors that was asked for; several where a library returns each vector in several."""
    server: Server | None = None
    provider: str | None = None
    """The provider's name where the declaration's own is not it: Azure through the openai client, say."""
    content: Any = None
    """The inputs themselves, for counting tokens only where nobody reports them. Never kept after the call."""
    device: str | None = None
    """Where a local model runs: ``cpu``, ``cuda:0``, ``mps``."""
    metered: bool = True
    """False where nobody bills by use, as on a server of one's own: a call without a price is then no gap."""
    media: Media | None = ()
    """What is billed as it was sent where no reply says it: images. None, and so is the cost, where it is not known."""


class Failure(NamedTuple):
    type: str
    """The HTTP status where there is one, else the exception's qualified name, or the provider's own code for a failure
    that a library returns (``error.type``)."""
    cause: Cause


class Reply(NamedTuple):
    """What came back, read from the return value after the call."""

    model: str | None = None
    vectors: int | None = None
    dimensions: int | None = None
    """Numbers in a vector, never the length of an encoded string. Vectors that were asked for in a packed form have
    eight dimensions a number."""
    tokens: int | None = None
    """Billed input tokens as the provider reports them; None when it does not say."""
    media: Media = ()
    """What is billed beside or instead of text tokens, as reported: images, image tokens, pixels, characters."""
    cost_usd: float | None = None
    """What the client library itself says that the call cost; a price of our own goes before it."""
    server_seconds: float | None = None
    """The provider's own processing time, where its answer and not a header tells it."""
    failure: Failure | None = None
    """Set where a library returns its errors instead of raising them."""
    source: UsageSource = "reported"
    """Where ``tokens`` come from: a client library may count what its provider does not report."""


class Usage(NamedTuple):
    tokens: int
    source: UsageSource


class Cost(NamedTuple):
    usd: float
    source: CostSource


class Batch(NamedTuple):
    """What a local model was given at once, in tokens and after truncation."""

    inputs: int
    tokens: int
    padding: int | None = None
    """Tokens that only make the inputs of a batch equally long; None where that is not known."""
    truncated: int | None = None
    """Inputs as long as the model takes: cut short, or exactly that long; None where that is not known."""


class LocalWork(NamedTuple):
    """What a call of a local model took beside its time."""

    device: str | None
    padding: int | None
    """Tokens that only made the inputs of a batch equally long; None where that is not known."""
    truncated: int | None
    """Inputs as long as the model takes: cut short, or exactly that long; None where that is not known."""
    device_seconds: float | None
    """How long a CUDA device worked on the forward passes, by its own events; None where they are not to be had."""


class ModelLoad(NamedTuple):
    """One model that was loaded into this process, or failed to be."""

    provider: str
    model: str | None
    device: str | None
    start_unix_ns: int
    duration_ns: int
    error: str | None
    """The qualified name of the exception that it failed with."""


class Paid(NamedTuple):
    """What calls took in all."""

    tokens: int = 0
    picodollars: int = 0
    """1e-12 USD."""
    unpriced: int = 0
    """How many calls there are whose cost is not known."""


class CacheOutcome(NamedTuple):
    """What a cache in front of a model knew: inputs, not lookups."""

    store: str
    hits: int
    misses: int
    saved: Usage | None = None
    """None also where the call failed, and nobody had anything of its hits."""
    saved_cost: Cost | None = None
    paid: Paid = Paid()
    """What the calls that this one made took, which embedded what the cache did not know."""


class StageTiming(NamedTuple):
    """One stretch of a call, in nanoseconds since its start."""

    stage: Stage
    start_ns: int
    end_ns: int
    own: bool = True
    """False where an instrumented call inside this one spent the time."""


class Component(NamedTuple):
    """The framework class that a call went through."""

    framework: str
    name: str
    method: str


class StoreOperation(NamedTuple):
    """One finished write to a vector store, or search of it."""

    component: Component
    documents: int | None
    """Written or found."""
    start_unix_ns: int
    duration_ns: int
    own_ns: int
    """Without the embedding calls inside: what the store itself took."""
    failure: Failure | None


class EmbeddingCall(NamedTuple):
    """One finished call. Every report is a function of this value."""

    provider: str
    component: Component | None
    """Set for a framework's call, e.g. LangChain's; None for a provider client's."""
    request_model: str | None
    response_model: str | None
    server: Server | None
    attribution: Attribution
    local: bool
    """True for a model that runs in this process."""
    is_leaf: bool
    """True for the one call of a nest that the provider bills: neither an instrumented call inside it did the work,
    where tokens and cost then stand, nor did a cache know it all."""
    root: bool
    """True when no other embedding call was open around this one."""
    metered: bool
    """True where somebody bills by use: not for a model in this process or on a server of one's own."""
    inputs: int | None
    kind: InputKind | None
    dimensions: int | None
    encoding_format: str | tuple[str, ...] | None
    usage: Usage | None
    cost: Cost | None
    start_unix_ns: int
    duration_ns: int
    stages: tuple[StageTiming, ...]
    """A partition of the duration: in order, without gaps or overlaps."""
    retries: tuple[str, ...]
    """What each retry answered to: an HTTP status or an exception's name."""
    cache: CacheOutcome | None
    failure: Failure | None
    request_bytes: int | None
    answer: Answer | None
    """What the last answer's headers said. They are read while the call is reported and not kept: None afterwards."""
    work: LocalWork | None
    """Set for a local model."""

    @property
    def seconds(self) -> float:
        return self.duration_ns / 1e9

    @property
    def model(self) -> str | None:
        return self.request_model or self.response_model

    @property
    def embedded(self) -> int:
        """How many inputs a model embedded: those that no cache knew."""
        return (self.inputs or 0) if self.cache is None else self.cache.misses

    @property
    def unpriced(self) -> bool:
        """True where somebody bills this call, and how much is not known."""
        return self.is_leaf and self.metered and self.cost is None and self.failure is None

    def stage_seconds(self) -> dict[Stage, float]:
        """Total time by stage, in seconds; the values add up to ``seconds``."""
        totals: dict[Stage, int] = {}
        for stage, start, end, _ in self.stages:
            totals[stage] = totals.get(stage, 0) + end - start
        return {stage: ns / 1e9 for stage, ns in totals.items()}

"""The vocabulary in which a library is declared.

A ``Call`` is a function whose every run is one embedding call. A ``Timed`` function adds a stage to
the innermost open call and does nothing outside one, unless it says what it is ``alone``. A
``Transport`` is a function whose every run is one HTTP exchange, a ``Load`` one that loads a local
model. A target is written ``package.module:Class.method``; with ``subclasses=True`` the method is
observed on every subclass of the class, those that do not exist yet included; with ``base=True`` on
the class itself too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from otel_embed.record import Batch, Component, Reply, Request, Stage
from otel_embed.run_record import ChatReply, ChatRequest

if TYPE_CHECKING:
    from opentelemetry.context import Context


class Arguments(NamedTuple):
    """What a wrapped function was called with; ``instance`` is None for a plain function."""

    instance: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def get(self, name: str, position: int | None = None) -> Any:
        """The argument by keyword or, where a position is given, by place; None when absent."""
        if position is not None and position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name)


def no_reply(_: Any) -> Reply:
    return Reply()


class Call(NamedTuple):
    """A function whose every call is one embedding call."""

    target: str
    request: Callable[[Arguments], Request]
    reply: Callable[[Any], Reply] = no_reply
    component: Callable[[Arguments], Component] | None = None
    """For a framework's function: which class of it. Calls of its own methods belong to the same call."""
    local: bool = False
    """True for a model that runs in this process."""
    subclasses: bool = False
    base: bool = False
    """Beside ``subclasses``: the class's own method, too, where that is no abstract one."""
    when: Callable[[Arguments], bool] | None = None
    """For a function that serves other things too: whether this run of it is an embedding call."""
    divides: Callable[[Arguments], bool] | None = None
    """For a function that may divide its inputs among several calls of the same provider, which then are what is
    billed: whether this run does. Where it does not, the one call that it makes is a part of it and not a call."""
    versions: str = ""
    """Of the library, that have this function: ``>=5.11``. All that the provider supports where it is empty."""
    tokens_header: str = ""
    """The answer's header, in lower case, that says how many tokens were billed where the result does not."""
    encloses: bool = False
    """True where embedding calls inside this one, of other libraries too, are how it does its work and no calls of
    their own."""
    ending: Callable[[bytes], int | None] | None = None
    """For an answer whose body the application reads itself: the billed tokens, from the last bytes of it, where
    ``reply`` does not tell them. ``reply`` then reads the result before its body, and nothing holds the result."""


class Operation(NamedTuple):
    """A vector store's function that embeds and then writes, or embeds and then searches. What such a function calls of
    its own class belongs to the same operation."""

    target: str
    component: Callable[[Arguments], Component]
    documents: Callable[[Arguments, Any], int | None]
    """Reads (arguments, result): how many were written or found."""
    subclasses: bool = False
    base: bool = False
    versions: str = ""


class Lookup(NamedTuple):
    """What a cache knew when it was asked, in inputs, with their length in characters."""

    store: str
    hits: int
    misses: int
    hit_characters: int
    miss_characters: int
    hit_texts: tuple[tuple[int, int], ...] = ()
    """The hash and the length of each text, where they are at hand."""
    miss_texts: tuple[tuple[int, int], ...] = ()
    embedder: int | None = None
    """Who embeds what the cache did not know, as ``otel_embed.identity`` tells it."""
    billed: Reply | None = None
    """The provider's own answer to what the cache did not know, where the result does not tell it apart."""

    def __add__(self, other: Lookup) -> Lookup:  # type: ignore[override]
        added: list[Any] = [mine + theirs for mine, theirs in zip(self[1:-2], other[1:-2])]  # type: ignore[operator]
        return Lookup(self.store, *added)._replace(embedder=self.embedder, billed=other.billed or self.billed)


class Timed(NamedTuple):
    """A function whose time belongs to a stage of the embedding call around it."""

    target: str
    stage: Stage
    lookup: Callable[[Arguments, Any, Any], Lookup | None] | None = None
    """Reads (arguments, result, the object whose call is open): what a cache knew; None for another's."""
    subclasses: bool = False
    alone: Call | None = None
    """For what an application calls outside of embedding calls, too: the framework's call that it is then. Such a call
    embeds nothing."""
    versions: str = ""
    batch: Callable[[Arguments, Any], Batch | None] | None = None
    """For a local model's function: reads (arguments, result), what it was given."""
    then: Stage | None = None
    """What a local call does from its end on, until another function's stage begins."""
    torch: bool = False
    """True for a torch module's pass: not observed while it is being compiled; on CUDA the device's own time counts."""


class Load(NamedTuple):
    """A function whose every run loads a model into this process."""

    target: str
    model: Callable[[Arguments], str | None]
    device: Callable[[Arguments, Any], str | None]
    """Reads (arguments, result) once the model is there."""
    when: Callable[[Arguments], bool] | None = None
    versions: str = ""


class Silent(NamedTuple):
    """A function inside which nothing is observed: another process counts what it does, as a part of its own call."""

    target: str
    versions: str = ""


class Site(Protocol):
    """What stands behind a wrapped function: it opens an observation, or says that there is nothing to observe."""

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Observation | None: ...


class Observation(Protocol):
    """What a wrapped function's run left open."""

    @property
    def token(self) -> Token[Context] | None:
        """What takes back the context that was attached for the run; None where none was."""

    def close(self, result: Any, error: BaseException | None) -> None: ...


class Transport(NamedTuple):
    """A function whose every run is one HTTP exchange."""

    target: str
    site: Site
    versions: str = ""


class Submit(NamedTuple):
    """A method that hands one of its arguments, a function, to another thread."""

    target: str
    carry: Callable[[Any], Callable[..., Any] | None]
    versions: str = ""
    also: tuple[str, ...] = ()
    """Its other arguments, by keyword, that are functions of another thread's."""
    place: int = 0
    """Where the function stands among its arguments, without the object itself."""


class Muted(NamedTuple):
    """A plain function with which a library tells of a call itself. As one call is one span, it does not run in one."""

    target: str
    instead: Callable[[Arguments], Any]
    """What it returns then."""
    versions: str = ""


class Cached(NamedTuple):
    """A method of a cache of chat models' answers: it looks one up, or keeps one."""

    target: str
    found: Callable[[Arguments, Any], FoundAnswer]
    """Reads (arguments, result)."""
    writes: bool = False
    subclasses: bool = True
    versions: str = ""


class FoundAnswer(NamedTuple):
    """What a lookup in a cache of answers came to."""

    hit: bool
    prompt: str | None = None
    """Of a completion model, whose call begins after the lookup, and not at all on a hit."""
    answer: Any = None
    """The first cached answer itself, by which the call that returns it is known."""
    reply: ChatReply | None = None
    """What the cached answer says of itself."""
    request: ChatRequest | None = None
    """For a hit that no call tells of: which model would have been asked."""
    framework: str = ""
    name: str = ""
    """Of that model's class, where it is known."""


class Hook(NamedTuple):
    """A function by which a library takes in those who want to be told of its runs; called once it is imported."""

    target: str
    register: Callable[[Any, Any], Callable[[], None]]
    """Takes the function and ``otel_embed.runs.Runs``; returns what undoes it."""
    versions: str = ""


Target = Call | Timed | Operation | Transport | Submit | Muted | Load | Silent | Cached | Hook


class Provider(NamedTuple):
    """Everything otel_embed knows of one library."""

    name: str
    requires: str
    """The distribution and the versions tested, as a requirement: ``openai>=1.0,<4``; "" for Python itself."""
    calls: tuple[Call, ...] = ()
    timed: tuple[Timed, ...] = ()
    transports: tuple[Transport, ...] = ()
    submits: tuple[Submit, ...] = ()
    muted: tuple[Muted, ...] = ()
    loads: tuple[Load, ...] = ()
    silent: tuple[Silent, ...] = ()
    cached: tuple[Cached, ...] = ()
    hooks: tuple[Hook, ...] = ()
    operations: tuple[Operation, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        return (
            *self.calls,
            *self.timed,
            *self.transports,
            *self.submits,
            *self.muted,
            *self.loads,
            *self.silent,
            *self.cached,
            *self.hooks,
            *self.operations,
        )

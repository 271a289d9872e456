"""A finished call as a plain value, from what was noted while it ran."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_embed.exchange import OpenExchange, retries
from otel_embed.headers import read
from otel_embed.provider import Lookup
from otel_embed.record import CacheOutcome, EmbeddingCall, Paid, Reply, Request
from otel_embed.timeline import Lane, partition

if TYPE_CHECKING:
    from otel_embed.observe import OpenCall

_PACKED = frozenset({"binary", "ubinary"})
_NEVER: tuple[str, ...] = ()
# What the class's own constructor does, without a Python frame for it.
_embedding_call: Callable[[tuple[Any, ...]], EmbeddingCall] = partial(tuple.__new__, EmbeddingCall)


def freeze(call: OpenCall) -> EmbeddingCall:
    """The record of a call that is over, priced."""
    lanes, site, why = call.lanes, call.site, call.failure
    last: OpenExchange | None
    if len(lanes) == 1 and isinstance(lanes[0], OpenExchange):  # as nearly always
        exchanges, last, again = 1, lanes[0], _NEVER
    else:
        exchanges, last, again = _exchanges(lanes)
    if why is not None and why.cause == "cancelled" and last is not None and last.failed and last.error != why.type:
        exchanges += 1  # the one that the call was waiting to make
    request, reply, usage, lookup = call.request, call.reply, call.usage, call.lookup
    start, end = call.start, call.end
    fields = (
        call.provider,
        call.component,
        request.model,
        reply.model,
        request.server or (None if last is None else last.server),
        call.attribution,
        site.call.local,
        not call.delegated and (lookup is None or lookup.misses > 0),
        call.root,
        request.metered and not site.call.local,
        reply.vectors if request.inputs is None else request.inputs,
        request.kind,
        _dimensions(request, reply) if request.encoding_format else reply.dimensions or request.dimensions,
        request.encoding_format,
        usage,
        site.recorder.price(call, usage) if usage is not None or _has_media(call) else None,
        call.start_unix_ns,
        end - start,
        partition(start, end, lanes, exchanges),
        again,
        None if lookup is None else _saved(call, lookup),
        why,
        None if last is None else last.request_bytes,
        read(call.headers, reply.server_seconds),
        call.work,
    )
    return _embedding_call(fields)


def _exchanges(lanes: list[Lane]) -> tuple[int, OpenExchange | None, tuple[str, ...]]:
    """How many there were, the last one, and what each retry answered to."""
    found = [lane for lane in lanes if isinstance(lane, OpenExchange)]
    return (len(found), found[-1], retries(found)) if found else (0, None, _NEVER)


def _saved(call: OpenCall, lookup: Lookup) -> CacheOutcome:
    paid = Paid(call.paid_tokens, call.paid_picodollars, call.unpaid)
    return call.site.recorder.save(call, lookup)._replace(paid=paid)


def _has_media(call: OpenCall) -> bool:
    """Whether something else than tokens may be billed."""
    if call.delegated or call.failure is not None or (call.lookup is not None and not call.lookup.misses):
        return False
    return bool(call.reply.media or call.request.media)


def _dimensions(request: Request, reply: Reply) -> int | None:
    """Of one vector, which packs eight of them into a number where a binary form was asked for."""
    asked = request.encoding_format or ()
    if reply.dimensions is None:
        return request.dimensions
    packed = all(form in _PACKED for form in ((asked,) if isinstance(asked, str) else asked))
    return 8 * reply.dimensions if packed else reply.dimensions

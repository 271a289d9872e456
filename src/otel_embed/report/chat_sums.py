"""Chat calls in the counters that embeddings have as well: cost, errors, caches."""

from __future__ import annotations

from otel_embed.report import names
from otel_embed.report.chat_totals import ChatTotals
from otel_embed.report.dimensions import Sums, billed, of_model
from otel_embed.report.totals import PICODOLLARS


def spend(totals: ChatTotals) -> Sums:
    return (
        (billed(each.key, each.operation), each.picodollars / PICODOLLARS)
        for each in totals.series()
        if each.picodollars
    )


def unpriced(totals: ChatTotals) -> Sums:
    return (
        (billed(each.key, each.operation), each.unpriced_calls) for each in totals.series() if each.unpriced_calls
    )


def errors(totals: ChatTotals) -> Sums:
    for each in totals.series():
        for cause, count in each.errors.items():
            yield {names.OPERATION: each.operation, **of_model(each.key), names.CAUSE: cause}, count


def lookups(totals: ChatTotals) -> Sums:
    for each in totals.series():
        for store, cache in each.caches.items():
            about = {names.OPERATION: each.operation, names.CACHE_STORE: store, **dict(each.key.attribution)}
            yield {**about, names.CACHE_OUTCOME: "hit"}, cache.hits
            yield {**about, names.CACHE_OUTCOME: "miss"}, cache.misses


def saved_money(totals: ChatTotals) -> Sums:
    for each in totals.series():
        for store, cache in each.caches.items():
            if cache.saved_picodollars:
                about = {names.OPERATION: each.operation, **of_model(each.key), names.CACHE_STORE: store}
                yield about, cache.saved_picodollars / PICODOLLARS


def saved_tokens(totals: ChatTotals) -> Sums:
    for each in totals.series():
        for store, cache in each.caches.items():
            about = {names.OPERATION: each.operation, **of_model(each.key), names.CACHE_STORE: store}
            yield {**about, names.TOKEN_TYPE: names.INPUT}, cache.saved_input
            yield {**about, names.TOKEN_TYPE: names.OUTPUT}, cache.saved_output

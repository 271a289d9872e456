"""What a call costs and what a cache saves."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from otel_embed.config import Config
from otel_embed.observe import OpenCall
from otel_embed.pricing.prices import Price, Prices
from otel_embed.pricing.tokens import Calibration, TokenCounter
from otel_embed.provider import Lookup
from otel_embed.record import CacheOutcome, Cost, Request, Usage

_CHARACTERS_PER_TOKEN = 4
_MAX_LEARNED = 1000


class Pricing:
    """Reported usage first, counted tokens else, an estimate else; never a price that is not known."""

    def __init__(self, prices: Prices, counter: TokenCounter) -> None:
        self._prices = prices
        self._counter = counter
        self._priced: dict[tuple[str, str | None, str | None], Price] = {}
        self._calibration = Calibration()
        self._billed_by: dict[tuple[str, str | None], tuple[str, str | None]] = {}

    @classmethod
    def configured(cls, config: Config, warn: Callable[[str], None]) -> Pricing:
        counter = TokenCounter(config.token_counting, fetch=config.token_fetch, timeout=config.token_fetch_timeout)
        return cls(Prices.load(config.prices, warn, extra=True), counter)

    def count(self, request: Request) -> Usage | None:
        """The tokens of inputs whose provider does not report them; None where they are not to be counted."""
        return self._counter.count(request.model, request.content, request.kind)

    def price(self, call: OpenCall, usage: Usage) -> Cost | None:
        """What a call's tokens cost; None, not 0, where there is no price or nobody to pay."""
        if call.site.call.local:
            return None
        billed = (call.provider, call.reply.model, call.request.model)
        price = self._priced.get(billed)
        if price is None:
            price = self._prices.find(*billed)
            if price is None or price.unit != "tokens":
                return None
            if len(self._priced) < _MAX_LEARNED:
                self._priced[billed] = price
        return _cost(price, usage.tokens)

    def save(self, call: OpenCall, lookup: Lookup) -> CacheOutcome:
        """What the hits of a cache would have cost: at the rate of tokens that this model's misses were billed."""
        model = call.request.model
        if call.tokens_below and lookup.miss_characters:
            self._calibration.learn(model or "", call.tokens_below, lookup.miss_characters)
        provider, billed_model = self._biller(call)
        if not lookup.hits:
            return CacheOutcome(lookup.store, lookup.hits, lookup.misses)
        tokens = self._calibration.estimate(model or "", lookup.hit_characters)
        if tokens is None:
            tokens = ceil(lookup.hit_characters / _CHARACTERS_PER_TOKEN)
        price = self._prices.find(provider, billed_model, model)
        cost = None if price is None or price.unit != "tokens" else _cost(price, tokens)
        return CacheOutcome(lookup.store, lookup.hits, lookup.misses, Usage(tokens, "estimated"), cost)

    def _biller(self, call: OpenCall) -> tuple[str, str | None]:
        """Who bills the misses of this cache: as seen in this call, else in an earlier one, else by its class."""
        key = (call.component.name if call.component else "", call.request.model)
        if call.leaf is not None and len(self._billed_by) < _MAX_LEARNED:
            self._billed_by[key] = call.leaf
        return call.leaf or self._billed_by.get(key) or (call.provider, call.request.model)


def _cost(price: Price, tokens: int) -> Cost:
    """Rounded to a picodollar, in which costs are summed."""
    return Cost(round(tokens * price.usd_per_million * 1e6) / 1e12, price.source)

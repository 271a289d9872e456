"""What a call costs and what a cache saves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil

from otel_embed.config import Config
from otel_embed.observe import OpenCall
from otel_embed.pricing.chat import ChatPrices, load
from otel_embed.pricing.prices import Price, Prices
from otel_embed.pricing.recorded import RecordedTokens
from otel_embed.pricing.tokens import Calibration, TokenCounter
from otel_embed.provider import Lookup
from otel_embed.record import CacheOutcome, Cost, CostSource, Media, Reply, Request, Unit, Usage

_CHARACTERS_PER_TOKEN = 4
_MAX_LEARNED = 1000
_IMAGES: tuple[Unit, ...] = ("image_tokens", "images", "pixels")
_TEXTUAL = (None, "text", "tokens")
# What the class's own constructor does, without a Python frame for it.
_dollars: Callable[[tuple[float, CostSource]], Cost] = partial(tuple.__new__, Cost)
_Biller = tuple[str, "str | None", "str | None"]
"""The provider, and the models that its price may stand under."""


class Pricing:
    """Reported usage first, counted tokens else, an estimate else; never a price that is not known."""

    def __init__(self, prices: Prices, counter: TokenCounter, chat: ChatPrices | None = None) -> None:
        self._prices = prices
        self.chat = ChatPrices((), prices) if chat is None else chat
        self._counter = counter
        self._priced: dict[_Biller, Price] = {}
        self._calibration = Calibration()
        self._recorded = RecordedTokens()
        self._billers: dict[str | None, tuple[str, str | None]] = {}
        self._billed_by: dict[tuple[str, str | None], tuple[str, str | None]] = {}

    @classmethod
    def configured(cls, config: Config, warn: Callable[[str], None]) -> Pricing:
        counter = TokenCounter(config.token_counting, fetch=config.token_fetch, timeout=config.token_fetch_timeout)
        prices, chat = load(config.prices, warn, extra=True)
        return cls(prices, counter, chat)

    def count(self, request: Request) -> Usage | None:
        """The tokens of inputs whose provider does not report them; None where they are not to be counted."""
        return self._counter.count(request.model, request.content, request.kind)

    def price(self, call: OpenCall, usage: Usage | None) -> Cost | None:
        """What a call cost; None, not 0, where a price that it takes is unknown or there is nobody to pay."""
        if call.site.call.local:
            return None
        reply, request = call.reply, call.request
        biller = (call.provider, reply.model, request.model)
        if usage is not None and not reply.media and request.media == () and request.kind in _TEXTUAL:
            price = self._priced.get(biller) or self._text_price(biller)
            cost = None if price is None else _cost(price, usage.tokens)
        else:
            cost = self._unusual(biller, usage, request, reply)
        if cost is None and reply.cost_usd is not None:
            return Cost(reply.cost_usd, "provider")
        return cost

    def _unusual(self, biller: _Biller, usage: Usage | None, request: Request, reply: Reply) -> Cost | None:
        """What a call costs that takes more than text, or whose text nobody counted."""
        if not reply.media and request.media != ():
            return self._as_sent(biller, usage, request)
        if reply.media or usage is None:
            return self._with_media(biller, usage, reply.media)
        if self._prices_images(biller):
            return None  # which of the tokens are those of images, nobody says
        price = self._text_price(biller)
        return None if price is None else _cost(price, usage.tokens)

    def _prices_images(self, biller: _Biller) -> bool:
        """True where an image costs something else than its tokens would as text."""
        return any(self._prices.find_media(unit, *biller) for unit in _IMAGES)

    def _text_price(self, biller: _Biller) -> Price | None:
        price = self._prices.find(*biller)
        if price is None or price.unit != "tokens":
            return None
        if len(self._priced) < _MAX_LEARNED:
            self._priced[biller] = price
            self._billers[biller[2]] = biller[:2]
        return price

    def _as_sent(self, biller: _Biller, usage: Usage | None, request: Request) -> Cost | None:
        """What is known to have been sent; of an image alone, tokens that a provider counts are not billed as text."""
        if request.media is None or (usage is None and request.kind == "mixed"):
            return None
        return self._with_media(biller, None if request.kind == "image" else usage, request.media)

    def _with_media(self, biller: _Biller, usage: Usage | None, media: Media) -> Cost | None:
        """The sum over text tokens and what else is billed; text is billed by the character or by the token."""
        text = self._prices.find(*biller)
        units = dict(media)
        if usage is not None and usage.tokens and (text is None or text.unit == "tokens"):
            units["tokens"] = usage.tokens
            if text is not None:
                units.pop("characters", None)
        prices = {unit: self._prices.find_media(unit, *biller) for unit, amount in units.items() if amount}
        costs = [_cost(price, units[unit]) for unit, price in prices.items() if price is not None]
        if not costs or len(costs) < len(prices):
            return None
        return Cost(sum(cost.usd for cost in costs), costs[0].source)

    def save(self, call: OpenCall, lookup: Lookup) -> CacheOutcome:
        """What the hits of a cache would have cost: at the rate of tokens that this model's misses were billed."""
        model = call.request.model
        if call.tokens_below and lookup.miss_characters:
            self._calibration.learn(model or "", call.tokens_below, lookup.miss_characters)
            self._recorded.learn(model or "", call.tokens_below, lookup.miss_texts)
        provider, billed_model = self._biller(call)
        if not lookup.hit_characters:  # no hits, or hits of what is no text
            return CacheOutcome(lookup.store, lookup.hits, lookup.misses)
        usage = self._would_be(model or "", lookup)
        price = self._prices.find(provider, billed_model, model)
        cost = None if price is None or price.unit != "tokens" else _cost(price, usage.tokens)
        return CacheOutcome(lookup.store, lookup.hits, lookup.misses, usage, cost)

    def _would_be(self, model: str, lookup: Lookup) -> Usage:
        """The tokens of what a cache knew: as they were billed when it learned it, and else by its length."""
        known, unknown = self._recorded.of(model, lookup.hit_texts) if lookup.hit_texts else (0, lookup.hit_characters)
        if not unknown:
            return Usage(known, "reported")
        tokens = self._calibration.estimate(model, unknown)
        return Usage(known + (ceil(unknown / _CHARACTERS_PER_TOKEN) if tokens is None else tokens), "estimated")

    def _biller(self, call: OpenCall) -> tuple[str, str | None]:
        """Who bills the misses of this cache: as seen in this call, else in an earlier one, else by its class, else who
        billed that model last."""
        key = (call.component.name if call.component else "", call.request.model)
        if call.leaf is not None and len(self._billed_by) < _MAX_LEARNED:
            self._billed_by[key] = call.leaf
        known = call.leaf or self._billed_by.get(key)
        if known is None and call.request.provider is None:
            known = self._billers.get(call.request.model)
        return known or (call.provider, call.request.model)


def _cost(price: Price, amount: float) -> Cost:
    """Rounded to a picodollar, in which costs are summed."""
    return _dollars((round(amount * price.usd_per_million * 1e6) / 1e12, price.source))

"""What a call costs and what a cache saves."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from math import ceil

from otel_embed.config import Config
from otel_embed.observe import OpenCall
from otel_embed.pricing.billers import Billers
from otel_embed.pricing.chat import ChatPrices, load
from otel_embed.pricing.prices import Price, Prices
from otel_embed.pricing.recorded import RecordedTokens
from otel_embed.pricing.tokens import Calibration, TokenCounter
from otel_embed.provider import Lookup
from otel_embed.record import CacheOutcome, Cost, CostSource, InputKind, Media, Reply, Request, Unit, Usage

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
        self._billers = Billers(prices)

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
        if cost is None and reply.cost_usd is not None and not self._is_unseen(biller, request, reply):
            return Cost(reply.cost_usd, "provider")
        return cost

    def _unusual(self, biller: _Biller, usage: Usage | None, request: Request, reply: Reply) -> Cost | None:
        """What a call costs that takes more than text, or whose text nobody counted."""
        if request.media != ():
            return self._as_sent(biller, usage, request.kind, reply.media or request.media)
        if reply.media or usage is None:
            return self._with_media(biller, usage, reply.media)
        if self._prices_images(biller):
            return None  # which of the tokens are those of images, nobody says
        price = self._text_price(biller)
        return None if price is None else _cost(price, usage.tokens)

    def _prices_images(self, biller: _Biller) -> bool:
        """True where an image costs something else than its tokens would as text."""
        return any(self._prices.find_media(unit, *biller) for unit in _IMAGES)

    def _is_unseen(self, biller: _Biller, request: Request, reply: Reply) -> bool:
        """True where a library tells a cost and cannot have known of images, which cost something else than text."""
        return request.media is None and not reply.media and self._prices_images(biller)

    def _text_price(self, biller: _Biller) -> Price | None:
        price = self._prices.find(*biller)
        if biller[2] is not None:
            self._billers.see(biller[2], biller[:2])
        if price is None or price.unit != "tokens":
            return None
        if len(self._priced) < _MAX_LEARNED:
            self._priced[biller] = price
        return price

    def _as_sent(
        self, biller: _Biller, usage: Usage | None, kind: InputKind | None, media: Media | None
    ) -> Cost | None:
        """What is known to have been sent; tokens that a provider counts of images alone, which it bills by the image,
        are not billed as text."""
        units = dict(media or ())
        if media is None or (usage is None and kind == "mixed" and "characters" not in units):
            return None
        return self._with_media(biller, None if kind == "image" and "images" in units else usage, media)

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
        """What the hits of a cache would have cost: at the rate of tokens that this model's misses were billed.

        Of a call that fails nothing is saved, for whoever tries again asks the cache again; and which of its misses
        were billed is not known.
        """
        if call.failure is not None:
            return CacheOutcome(lookup.store, lookup.hits, lookup.misses)
        whose = _whose(call, lookup)
        if call.tokens_below and lookup.miss_characters and whose is not None:
            self._calibration.learn(whose, call.tokens_below, lookup.miss_characters)
            self._recorded.learn(whose, call.tokens_below, lookup.miss_texts)
        price = self._price_of_hits(call, whose)
        if not lookup.hit_characters:  # no hits, or hits of what is no text
            return CacheOutcome(lookup.store, lookup.hits, lookup.misses)
        usage = self._would_be(whose, lookup)
        cost = None if price is None else _cost(price, usage.tokens)
        return CacheOutcome(lookup.store, lookup.hits, lookup.misses, usage, cost)

    def _would_be(self, whose: Hashable, lookup: Lookup) -> Usage:
        """The tokens of what a cache knew: as they were billed when it learned it, and else by its length."""
        known, unknown = self._recorded.of(whose, lookup.hit_texts) if lookup.hit_texts else (0, lookup.hit_characters)
        if not unknown:
            return Usage(known, "reported")
        tokens = self._calibration.estimate(whose, unknown)
        return Usage(known + (ceil(unknown / _CHARACTERS_PER_TOKEN) if tokens is None else tokens), "estimated")

    def _price_of_hits(self, call: OpenCall, whose: Hashable) -> Price | None:
        """As this call's misses were billed, else those of this embedder before, else as its class tells. Of a cache
        that is asked by itself nobody knows the embedder: as all agree who billed that model."""
        model, provider, billers = call.request.model, call.request.provider, self._billers
        if call.leaf is not None:
            if whose is not None:
                billers.see(whose, call.leaf)
            return billers.of_tokens(call.leaf, model)
        if whose is not None and billers.know(whose):
            return billers.price(whose, model)
        if provider is None and not call.site.billable and billers.know(model):
            return billers.price(model, model)
        return billers.of_tokens((call.provider, model), model)


def _whose(call: OpenCall, lookup: Lookup) -> Hashable:
    """What tells apart embedders whose work costs differently: provider and model, and where a library does not tell
    both, which object it is; None where that is not known either."""
    provider, model = call.request.provider, call.request.model
    if provider is not None and model is not None:
        return provider, model
    return None if lookup.embedder is None else (lookup.embedder, model)


def _cost(price: Price, amount: float) -> Cost:
    """Rounded to a picodollar, in which costs are summed."""
    return _dollars((round(amount * price.usd_per_million * 1e6) / 1e12, price.source))

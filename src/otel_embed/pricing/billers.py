"""Who bills an embedder's work, as far as it was seen: so that a cache's hit has the price that a miss would have."""

from __future__ import annotations

from collections.abc import Hashable

from otel_embed.pricing.prices import Price, Prices

MOST, _MOST_EACH = 1000, 8
Leaf = tuple[str, "str | None"]
"""The provider, and the model that it answered with."""


class Billers:
    """Of embedders, and of models where it is not known which embedder is meant."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._seen: dict[Hashable, list[Leaf]] = {}

    def see(self, whose: Hashable, leaf: Leaf) -> None:
        """``leaf`` billed this. Beyond ``MOST``, further ones are not remembered."""
        known = self._seen.get(whose)
        if known is None:
            known = self._seen.setdefault(whose, []) if len(self._seen) < MOST else [leaf]
        if leaf not in known and len(known) <= _MOST_EACH:
            known.append(leaf)

    def know(self, whose: Hashable) -> bool:
        return whose in self._seen

    def price(self, whose: Hashable, model: str | None) -> Price | None:
        """The price of a token on which all that were seen agree; None, too, where there are too many to remember."""
        seen = self._seen.get(whose, ())
        if not 0 < len(seen) <= _MOST_EACH:
            return None
        first, *others = (self.of_tokens(leaf, model) for leaf in seen)
        agreed = first is not None and all(
            other is not None and other.usd_per_million == first.usd_per_million for other in others
        )
        return first if agreed else None

    def of_tokens(self, leaf: Leaf, model: str | None) -> Price | None:
        price = self._prices.find(*leaf, model)
        return price if price is not None and price.unit == "tokens" else None

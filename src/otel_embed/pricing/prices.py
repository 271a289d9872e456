"""What an embedding costs: the table of this package, under the user's own rows.

A price belongs to a provider. The same model elsewhere, on one's own server say, has another price or none.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from threading import Thread
from typing import Any, Generic, NamedTuple, TypeVar

from otel_embed.environment_variables import OTEL_EMBED_PRICES
from otel_embed.guard import Guard
from otel_embed.pricing import import_aside
from otel_embed.pricing.documents import Refused, aliases, day, named, parsed, quoted, read_document, rows_of
from otel_embed.pricing.spellings import spellings
from otel_embed.record import CostSource, Unit

_TEXT: tuple[Unit, ...] = ("tokens", "characters")
P = TypeVar("P")


class Price(NamedTuple):
    usd_per_million: float
    """US dollars for a million units."""
    unit: Unit
    source: CostSource
    url: str
    """The page that says so; empty where a user's row names none."""
    checked: str
    """The day (ISO 8601) on which the page last said so; empty where a user's row has none, a version where a library
    says so."""

    @property
    def picodollars(self) -> int:
        """The price of one unit in millionths of a millionth of a dollar. Exact: costs are summed in this unit."""
        return round(self.usd_per_million * 1_000_000)


class Row(NamedTuple):
    """One model at one provider."""

    provider: str
    model: str
    aliases: tuple[str, ...]
    prices: tuple[Price, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name.lower() for name in (self.model, *self.aliases))


class _Field(NamedTuple):
    unit: Unit
    scale: int
    """The field's price times this is the price of a million units."""
    limit: Decimal
    """No price of the field is higher: a misplaced decimal point is the likely mistake."""


_PRICES: dict[str, _Field] = {
    "usd_per_million_tokens": _Field("tokens", 1, Decimal(5)),
    "usd_per_million_characters": _Field("characters", 1, Decimal(5)),
    "usd_per_million_image_tokens": _Field("image_tokens", 1, Decimal(5)),
    "usd_per_million_pixels": _Field("pixels", 1, Decimal(5)),
    "usd_per_image": _Field("images", 1_000_000, Decimal("0.1")),
}
_FIELDS = ("provider", "model", "aliases", *_PRICES, "source", "checked")
FORM = (
    f"A row is a [[price]] with provider, model and one price or more of {', '.join(_PRICES)}; "
    "it may have aliases, source and checked."
)
_REMEMBERED = 4096
_ASKED = 256


class Prices:
    """The prices that are known. Looking one up never raises, and after the first time it is one dictionary access."""

    def __init__(self, rows: Iterable[Row], spellings: Mapping[str, str] | None = None, *, extra: bool = False) -> None:
        """Later rows win over earlier ones. ``spellings`` maps other names of a provider to the one in the rows."""
        self._spellings = dict(spellings or {})
        self._rows: dict[tuple[str, str], Row] = {}
        for row in rows:
            self._add(row)
        self._found: dict[tuple[str, tuple[str | None, ...]], Price | None] = {}
        self._elsewhere = Elsewhere(_from_genai_prices) if extra else None

    @classmethod
    def load(cls, override: str | None, warn: Callable[[str], None], *, extra: bool = False) -> Prices:
        """The package's table, then the rows of the TOML file ``override``; then, with ``extra``, genai-prices.

        What is wrong with the file is said in one call of ``warn``; its other rows are used. Takes 3 to 10 ms.
        """
        table = parsed(pkgutil.get_data(__package__, "prices.toml") or b"")
        rows = [_row(entry, "table") for entry in table["price"]]
        if override:
            own, problems = _user_rows(os.path.expanduser(override))
            rows += own
            if problems:
                warn(warning(override, problems))
        return cls(rows, spellings(), extra=extra)

    def find(self, provider: str, *models: str | None) -> Price | None:
        """What ``provider`` bills for a million tokens (or characters) of text to the first of ``models`` with a price.

        A user's price for any of them goes before all others. None means unknown, which is not free.
        """
        try:
            return self._found[provider, models]
        except KeyError:
            return self._search(provider, models)
        except TypeError:  # something that is no name
            return None

    def find_media(self, unit: Unit, provider: str, *models: str | None) -> Price | None:
        """As ``find``, for what is billed beside text: images by the piece, the token or the pixel."""
        return self._priced((unit,), provider, models)

    def rows(self, provider: str | None = None) -> tuple[Row, ...]:
        """Every row in force, of one provider or of all, by provider and model."""
        rows = sorted(set(self._rows.values()))
        return tuple(row for row in rows if provider is None or row.provider == self.provider(provider))

    def explain(self, provider: str, model: str) -> str:
        """One sentence: the price and where it comes from, or why there is none."""
        price = self.find(provider, model)
        if price is not None:
            origin = ", ".join(filter(None, (price.source, price.checked and f"checked {price.checked}", price.url)))
            return f"{provider} {model}: {price.usd_per_million:g} USD per million {price.unit} ({origin})"
        known = [row.model for row in self.rows(provider)]
        if not known:
            return f"{provider} {model}: unknown; no price of this provider is known; add one with {OTEL_EMBED_PRICES}"
        from difflib import get_close_matches  # for the command line alone

        near = get_close_matches(model, known, 3) or known[:3]
        return f"{provider} {model}: unknown; this provider has {', '.join(near)} …; add one with {OTEL_EMBED_PRICES}"

    def _add(self, row: Row) -> None:
        """Put a row in force in place of the rows that it shares a name with.

        It takes over their names, as an answer may name the model otherwise than the request, and what they know of
        units that it does not price.
        """
        provider = self.provider(row.provider)
        row = row._replace(aliases=(*row.aliases, *self.unrouted(provider, (row.model, *row.aliases))))
        replaced = {old for name in row.names if (old := self._rows.get((provider, name))) is not None}
        units = {price.unit for price in row.prices}
        units |= set(_TEXT) if units & set(_TEXT) else set()
        names = {name for old in replaced for name in (old.model, *old.aliases) if name.lower() not in row.names}
        kept = {price.unit: price for old in replaced for price in old.prices if price.unit not in units}
        row = Row(provider, row.model, (*row.aliases, *sorted(names)), (*row.prices, *kept.values()))
        for name in row.names:
            self._rows[provider, name] = row

    def _search(self, provider: str, models: tuple[str | None, ...]) -> Price | None:
        price = self._priced(_TEXT, provider, models)
        settled = True
        if price is None and self._elsewhere is not None and isinstance(provider, str):
            price, settled = self._elsewhere.find(self.provider(provider), models)
        if settled:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[provider, models] = price
        return price

    def _priced(self, units: tuple[Unit, ...], provider: str, models: tuple[str | None, ...]) -> Price | None:
        if not isinstance(provider, str):
            return None
        name, listed = self.provider(provider), None
        for model in models:
            if not isinstance(model, str):
                continue
            row = self._rows.get((name, model.strip().lower())) or self._rows.get((name, self.plain(name, model)))
            price = next((price for price in row.prices if price.unit in units), None) if row else None
            if price is not None and price.source == "user":
                return price
            listed = listed or price
        return listed

    def provider(self, name: str) -> str:
        name = name.strip().lower()
        return self._spellings.get(name, name)

    def unrouted(self, provider: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """What a call has in place of those of a row's names that are written as for a router: the name alone of
        ``openai/text-embedding-3-small`` at openai. A region or an account stays: it may have a price of its own."""
        known = {name.lower() for name in names}
        parts = (name.partition("/") for name in names)
        bare = (rest.lower() for head, _, rest in parts if rest and self.provider(head) in (provider, "models"))
        return tuple(name for name in dict.fromkeys(bare) if name not in known)

    def plain(self, provider: str, model: str) -> str:
        """The model's name without what a client, a router or a cloud puts in front of it."""
        name = model.strip().lower()
        if name.startswith("arn:aws-us-gov:"):
            return name  # it has prices of its own
        for path in ("foundation-model/", "inference-profile/", "models/"):
            name = name.rpartition(path)[2]
        head, slash, rest = name.partition("/")
        if slash and provider in (self.provider(head), _GOOGLES.get(head)):
            name = rest
        if provider == "gcp.vertex_ai":
            return name.removesuffix("@default")
        region, _, rest = name.partition(".")
        return rest if provider == "aws.bedrock" and region in _BEDROCK_REGIONS else name


_GOOGLES = {"google": "gcp.vertex_ai"}
"""What a cloud puts in front of its own models beside its name."""
_BEDROCK_REGIONS = {"af", "ap", "apac", "au", "ca", "eu", "global", "jp", "me", "sa", "us"}


def inspect(path: str) -> tuple[int, list[str]]:
    """How many good rows a file of one's own has, and all that is wrong with it, a phrase each."""
    rows, problems = _user_rows(os.path.expanduser(path))
    return len(rows), problems


def _user_rows(path: str) -> tuple[list[Row], list[str]]:
    """The good rows of a file, and what is wrong with the rest of it."""
    try:
        document = read_document(path)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return [], [reason or type(error).__name__]
    entries = document.pop("price", [])
    rows, problems = rows_of(entries, lambda entry: _row(entry, "user"), "row")
    return rows, [*(f"unknown key {quoted(key)}" for key in document if key != "chat"), *problems]


def _row(entry: Any, source: CostSource) -> Row:
    if not isinstance(entry, dict):
        raise Refused(f"{quoted(entry)} is no row")
    unknown = [key for key in entry if key not in _FIELDS]
    if unknown:
        raise Refused(f"unknown key {quoted(unknown[0])}")
    provider, model, others = named(entry, "provider"), named(entry, "model"), aliases(entry)
    url, checked = named(entry, "source", ""), day(entry.get("checked"))
    prices = tuple(
        Price(_exact(key, entry[key]), field.unit, source, url, checked)
        for key, field in _PRICES.items()
        if key in entry
    )
    if not prices:
        raise Refused(f"{quoted(model)} has no price")
    return Row(provider, model, others, prices)


def _exact(key: str, value: Any) -> float:
    """Dollars for a million units; a value that is not a whole number of picodollars a unit is refused."""
    _, scale, limit = _PRICES[key]
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Refused(f"{key} is {quoted(value)}, not a number")
    amount = Decimal(value)
    if not (amount.is_finite() and 0 <= amount <= limit):
        raise Refused(f"{key} is {quoted(value)}; it must be from 0 to {limit}")
    smallest = Decimal(1) / (1_000_000 * scale)
    if amount != amount.quantize(smallest):
        raise Refused(f"{key} is {quoted(value)}; it must be a multiple of {smallest:f}")
    return float(amount * scale)


def warning(path: str, problems: list[str], form: str = FORM) -> str:
    """``form`` says what a row may be."""
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return f"{OTEL_EMBED_PRICES}: {path}: {'; '.join(problems[:3])}{more}. {form} All other prices are used."


class Elsewhere(Generic[P]):
    """Prices of genai-prices, for models that no row knows.

    Importing that library takes a third of a second and 84 MB, so each model is looked up once, on a thread of its own,
    and its price is used from then on.
    """

    def __init__(self, ask: Callable[[str, str], P | None]) -> None:
        self._look_up = ask
        self._answers: dict[tuple[str, str], P | None] = {}
        self._asked: set[tuple[str, str]] = set()
        self._process = os.getpid()

    def find(self, provider: str, models: tuple[str | None, ...]) -> tuple[P | None, bool]:
        """The price, and whether that is the last word on it."""
        if self._process != os.getpid():  # a forked child has none of its parent's threads
            self._process, self._asked = os.getpid(), set(self._answers)
        settled = True
        for model in models:
            if not isinstance(model, str):
                continue
            key = (provider, model.strip().lower())
            pending = self._pending(key)
            price = self._answers.get(key)  # after that: the answer may come at once
            if price is not None:
                return price, settled
            settled = settled and not pending
        return None, settled

    def _pending(self, key: tuple[str, str]) -> bool:
        if key not in self._asked and len(self._asked) < _ASKED:
            self._asked.add(key)
            try:
                Thread(target=self._ask, args=key, name="otel-embed-prices", daemon=True).start()
            except RuntimeError:  # the interpreter is shutting down
                return False
        return key in self._asked and key not in self._answers

    def _ask(self, provider: str, model: str) -> None:
        price = None
        with Guard("look up a price in genai-prices"):
            price = self._look_up(provider, model)
        self._answers[provider, model] = price


_GENAI_PRICES = {
    "aws.bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "voyage": "voyageai",
    "x_ai": "x-ai",
}
"""Our names of providers in the library's, where they differ."""


def genai_name(provider: str) -> str:
    """Our name of a provider in that library's words."""
    return _GENAI_PRICES.get(provider, provider)


def _from_genai_prices(provider: str, model: str) -> Price | None:
    name = genai_name(provider)
    try:
        library: Any = import_aside("genai_prices")
        answer = library.calc_price(library.Usage(input_tokens=1_000_000), model, provider_id=name)
    except (ImportError, LookupError):
        return None
    # It takes a provider whose name contains another's for that one, and knows chat models too.
    if answer.provider.id != name or answer.model_price.output_mtok:
        return None
    try:
        usd = _exact("usd_per_million_tokens", answer.input_price)
    except Refused:
        return None
    version = getattr(library, "__version__", "")
    return Price(usd, "tokens", "table", "https://github.com/pydantic/genai-prices", f"genai-prices {version}".strip())

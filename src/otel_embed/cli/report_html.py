"""The report as one page: no script, and nothing that it would have to fetch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone

from otel_embed import __version__
from otel_embed.cli import troubles, wording
from otel_embed.cli.chat_figures import chat_figures, judge_chat
from otel_embed.cli.chat_rows import AnswerCacheTotals, ChatTotals, RunTotals, ranked
from otel_embed.cli.document import Summary
from otel_embed.cli.figures import Figures, figures
from otel_embed.cli.html_plots import LogScale, axis, histogram, linear_axis, waterfall_bar
from otel_embed.cli.html_style import STYLE
from otel_embed.cli.markup import Html, el, join
from otel_embed.cli.money_tables import money_tables
from otel_embed.cli.palette import look
from otel_embed.cli.rows import QUANTILES, CacheTotals, Timed, in_order
from otel_embed.cli.targets import Target, judge
from otel_embed.cli.units import count, dollars, percent, seconds
from otel_embed.cli.unseen import HEADLINE
from otel_embed.cli.work_tables import work_tables

HEAD = Html(
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)
YEAR_9999 = 253_370_764_800


def page(summary: Summary) -> str:
    """The whole page."""
    total = figures(summary)
    body = el("section", el("p", HEADLINE)) if summary.is_empty else join(*_sections(summary, total))
    title = el("title", f"otel-embed: {wording.title(summary)}")
    head = el("head", HEAD, title, el("style", Html(STYLE)))
    main = el("main", _header(summary, total), body, el("footer", f"otel-embed {__version__}"))
    return f"<!doctype html>\n{el('html', head, el('body', main), lang='en')}\n"


def _header(summary: Summary, total: Figures) -> Html:
    started = min((process.started for process in summary.processes if process.started is not None), default=None)
    facts = [seconds(total.wall_seconds)]
    if summary.exit_code is not None:
        facts.insert(0, troubles.ended(summary.exit_code))
    if started is not None and 0 <= started < YEAR_9999:
        facts.append(datetime.fromtimestamp(started, timezone.utc).strftime("%Y-%m-%d %H:%M UTC"))
    return el("header", el("h1", wording.title(summary)), el("p", " · ".join(facts)))


def _sections(summary: Summary, total: Figures) -> Iterator[Html]:
    chat = chat_figures(summary)
    if summary.timed or chat is None:
        yield _tiles(wording.tiles(total))
    if chat is not None:
        yield _tiles(wording.chat_tiles(chat))
    yield _targets(total, [*judge(total), *judge_chat(chat)])
    yield _section("Chat models", wording.CHAT_TIMES, *_chats(summary))
    yield _section("Answers from a cache", "", *_answer_caches(summary))
    yield _section("Components", "slowest on their own first", *_components(summary))
    if summary.timed:
        yield _section("Latency", "milliseconds", _latency_table(summary), *_histograms(summary))
    yield _section("Where the time goes", "mean call", *(_stages(row) for row in summary.timed))
    yield _section("Slowest calls", "", *_waterfall(summary))
    yield _section("Cost", "", *_cost(summary, total))
    if total.cache:
        yield _section("Cache", wording.saved(total.cache), *_caches(summary))
    for each in (*money_tables(summary), *work_tables(summary)):
        rows = [[_titled(title), *cells] for title, cells in each.rows]
        yield _section(each.title, each.note, _table(["", *each.headers], rows))
    yield _section("Errors and retries", "", *_troubles(summary))
    if dropped := wording.dropped(summary):
        yield el("p", dropped, class_="warning")
    for why in filter(None, (troubles.cut_short(summary.exit_code), *wording.lost_spans(summary), *summary.switched_off)):
        yield el("p", why, class_="warning")


def _section(title: str, note: str, *content: Html) -> Html:
    shown = join(*content)
    return el("section", el("h2", title, el("span", note)), shown) if shown else Html()


def _tiles(said: Sequence[tuple[str, str, str]]) -> Html:
    tiles = [
        el("div", el("b", value), el("small", label), el("i", note), class_="tile") for value, label, note in said
    ]
    return el("div", *tiles, class_="tiles")


def _targets(total: Figures, targets: Sequence[Target]) -> Html:
    tiles = [
        el("div", el("b", target.shown), el("i", target.wanted), class_=f"tile target {target.verdict}")
        for target in targets
    ]
    throughput = el("p", " · ".join(wording.throughput(total)), class_="dim")
    return join(el("div", *tiles, class_="tiles targets"), throughput)


def _chats(summary: Summary) -> Iterator[Html]:
    if summary.chats:
        headers = ["", "calls", "tokens in", "out", "cost", "TTFT p50", "tokens/s p50", "p95", "errors"]
        rows = [[_name(row), *wording.chat(row), percent(row.error_rate)] for row in summary.chats]
        yield _table(headers, rows)


def _answer_caches(summary: Summary) -> Iterator[Html]:
    if summary.answer_caches:
        headers = ["", "hits", "misses", "hit rate", "tokens saved", "saved"]
        yield _table(headers, [[_name(row), *wording.answer_cache(row)] for row in summary.answer_caches])


def _components(summary: Summary) -> Iterator[Html]:
    if summary.runs:
        rows = [[_name(row), *wording.component(row)] for row in ranked(summary.runs, summary.chats)]
        yield _table(["", "runs", "own time", "total", "mean", "p95"], rows)


def _latency_table(summary: Summary) -> Html:
    headers = ["", "calls", "avg", "p50", "p95", "p99", "min", "max", "errors"]
    return _table(headers, [[_name(row), *wording.latency(row), percent(row.error_rate)] for row in summary.timed])


def _histograms(summary: Summary) -> Iterator[Html]:
    rows = [row for row in summary.timed if row.latency.count]
    if not rows:
        return
    scale = LogScale(min(row.latency.min for row in rows), max(row.latency.max for row in rows))
    for row in rows:
        quantiles = " · ".join(f"{name} {seconds(row.latency.quantile(q))}" for name, q in QUANTILES.items())
        head = el("p", _name(row), el("span", quantiles, class_="dim"))
        yield el("div", head, histogram(row.latency, scale), class_="row")
    yield el("div", axis(scale), class_="log")
    yield el("p", "Lines: p50 solid, p95 dashed, p99 dotted. The scale is logarithmic.", class_="dim")


def _stages(row: Timed) -> Html:
    stages = in_order(row.stages)
    total = sum(stages.values())
    if not (total and row.calls):
        return Html()
    bars, legend = [], []
    for stage, spent in stages.items():
        mean, share = f"{stage} {seconds(spent / row.calls)} ", percent(spent / total)
        letter = look(stage).letter if spent > total / 50 else ""
        style = f"width:{spent / total * 100:.3f}%;background:{look(stage).colour}"
        said = f"{mean}{share}: {look(stage).meaning}"
        bars.append(el("span", letter, style=style, title=said, class_=None if letter else "thin"))
        legend.append(el("li", _swatch(stage), mean, el("span", share, class_="dim")))
    head = el("p", _name(row), el("span", seconds(total / row.calls), class_="dim"))
    return el("div", head, el("div", *bars, class_="bar"), el("ul", *legend, class_="legend"), class_="row")


def _swatch(stage: str) -> Html:
    return el("i", look(stage).letter, style=f"background:{look(stage).colour}")


def _waterfall(summary: Summary) -> Iterator[Html]:
    longest = max((call.seconds for call in summary.slowest), default=0.0)
    for call in summary.slowest:
        parts = [*wording.slow_call(call), *([dollars(call.cost_usd)] if call.cost_usd is not None else [])]
        said = el("span", " · ".join(parts), class_="said failed" if call.error else "said")
        yield el("div", el("b", seconds(call.seconds)), waterfall_bar(call, longest), said, class_="call")
    if summary.slowest:
        yield el("div", el("span"), linear_axis(longest), class_="call")
        stages = dict.fromkeys(span.stage for call in summary.slowest for span in call.stages)
        known = in_order(dict.fromkeys(stages, 1.0))
        swatches = [el("li", _swatch(stage), stage) for stage in known]
        yield el("ul", *swatches, class_="legend")


def _cost(summary: Summary, total: Figures) -> Iterator[Html]:
    if not summary.providers:
        return
    highest = max(row.cost_usd or 0.0 for row in summary.providers)
    rows = []
    for row in summary.providers:
        tokens, source = wording.tokens(row.tokens), wording.token_source(row.tokens)
        meter = _meter(row.cost_usd / highest if row.cost_usd and highest else 0.0)
        rows.append([_name(row), count(row.inputs), tokens, source, wording.row_cost(row), meter])
    yield _table(["", "texts", "tokens", "", "cost", ""], rows)
    if unpriced := wording.unpriced(total):
        yield el("p", unpriced, class_="warning")


def _caches(summary: Summary) -> Iterator[Html]:
    rows = []
    for row in summary.caches:
        counts = [count(row.hits), count(row.misses), percent(row.hit_rate), _meter(row.hit_rate or 0.0)]
        rows.append([_name(row), row.model, *counts, count(row.saved_tokens), wording.saved_cost(row)])
    yield _table(["", "model", "hits", "misses", "hit rate", "", "tokens saved", "saved"], rows)


def _troubles(summary: Summary) -> Iterator[Html]:
    for row in summary.providers:
        said = [text for text in (wording.errors(row), wording.retries(row)) if text]
        if said:
            yield el("p", _name(row), el("span", f": {' · '.join(said)}"))
    for chat in summary.chats:
        if failed := wording.errors(chat):
            yield el("p", _name(chat), el("span", f": {failed}"))
    for cause, meaning in troubles.causes(summary):
        yield el("p", f"{cause}: {meaning}", class_="dim")


def _name(row: Timed | CacheTotals | ChatTotals | AnswerCacheTotals | RunTotals) -> Html:
    return _titled(row.name)


def _titled(name: str) -> Html:
    first, _, second = name.partition(" ")
    return el("span", el("span", f"{first} "), second, class_="name")


def _meter(share: float) -> Html:
    return el("span", el("span", style=f"width:{share * 100:.2f}%"), class_="meter")


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    head = el("tr", *(el("th", header, scope="col") for header in headers))
    body = [el("tr", el("th", name, scope="row"), *(el("td", cell) for cell in cells)) for name, *cells in rows]
    table = el("table", el("thead", head), el("tbody", *body))
    return el("div", table, class_="scroll", tabindex="0")  # which keys can scroll, too

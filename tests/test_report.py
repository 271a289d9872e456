"""What the report says, and that it says it in any terminal."""

from __future__ import annotations

import copy
import json
import random
import re
from html.parser import HTMLParser
from io import BytesIO, TextIOWrapper
from math import ceil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_embed.cli import report_svg, troubles, units
from otel_embed.cli.document import Span, load, merge
from otel_embed.cli.fields import DocumentError
from otel_embed.cli.figures import figures
from otel_embed.cli.palette import LOOKS
from otel_embed.cli.report_html import page
from otel_embed.cli.report_json import to_dict
from otel_embed.cli.report_svg import picture
from otel_embed.cli.report_text import write
from otel_embed.cli.targets import judge
from otel_embed.cli.text_bars import shares, span_bar
from otel_embed.record import CAUSES, STAGES
from otel_embed.report.sketch import Sketch

SAMPLE = Path(__file__).parent / "data" / "summary.json"
SVG = "{http://www.w3.org/2000/svg}"
DOCUMENT: dict[str, Any] = json.loads(SAMPLE.read_text())


@pytest.fixture
def save(tmp_path: Path) -> Any:
    def saved(document: Any, name: str = "summary.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return saved


def rendered(
    path: Path, width: int = 80, encoding: str = "utf-8", monkeypatch: pytest.MonkeyPatch | None = None
) -> str:
    patch = monkeypatch or pytest.MonkeyPatch()
    with patch.context() as context:
        context.setenv("COLUMNS", str(width))
        stream = TextIOWrapper(BytesIO(), encoding=encoding)
        write(merge([load(path)]), stream)
        stream.seek(0)
        return stream.read()


def targets(document: Any, save: Any) -> dict[str, str]:
    return {target.name: target.verdict for target in judge(figures(merge([load(save(document))])))}


class TestSketch:
    @given(
        st.lists(st.floats(1e-9, 1e9, exclude_min=True, exclude_max=True), min_size=1, max_size=300), st.floats(0, 1)
    )
    def test_a_quantile_is_within_half_a_percent_of_the_sorted_data(self, values: list[float], q: float) -> None:
        sketch = Sketch()
        for value in values:
            sketch.add(value)
        expected = sorted(values)[max(1, ceil(q * len(values))) - 1]
        assert sketch.quantile(q) == pytest.approx(expected, rel=0.005)
        assert (sketch.count, sketch.min, sketch.max) == (len(values), min(values), max(values))
        assert sketch.avg == pytest.approx(sum(values) / len(values))

    @pytest.mark.parametrize(
        ("q", "expected"),
        [(0.0, 1), (0.1, 1), (0.11, 2), (0.5, 5), (0.9, 9), (0.95, 10), (0.99, 10), (1.0, 10), (2.0, 10)],
    )
    def test_of_ten_values_the_p95_is_the_tenth(self, q: float, expected: int) -> None:
        sketch = Sketch()
        for value in range(10, 0, -1):
            sketch.add(float(value))
        assert sketch.quantile(q) == pytest.approx(expected, rel=0.005)

    @pytest.mark.parametrize(
        ("count", "q", "rank"), [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 2), (20, 0.95, 19), (100, 0.99, 99)]
    )
    def test_a_whole_rank_is_that_one_and_not_the_next(self, count: int, q: float, rank: int) -> None:
        sketch = Sketch()
        for value in range(1, count + 1):
            sketch.add(float(value))
        assert sketch.quantile(q) == pytest.approx(rank, rel=0.005)

    @given(st.lists(st.floats(1e-6, 1e4), max_size=50), st.lists(st.floats(1e-6, 1e4), max_size=50))
    def test_merging_is_the_same_as_adding_all_to_one(self, first: list[float], second: list[float]) -> None:
        apart, other, together = Sketch(), Sketch(), Sketch()
        for value in first:
            apart.add(value)
            together.add(value)
        for value in second:
            other.add(value)
            together.add(value)
        apart.merge(Sketch.from_dict(json.loads(json.dumps(other.to_dict()))))
        assert apart.to_dict() | {"sum": 0} == together.to_dict() | {"sum": 0}
        assert apart.sum == pytest.approx(together.sum)

    @pytest.mark.parametrize("value", [0.0, -0.0, -3.5, 1e-300, float("nan"), float("-inf")])
    def test_what_is_no_duration_counts_as_zero(self, value: float) -> None:
        sketch = Sketch()
        sketch.add(value)
        assert (sketch.count, sketch.sum, sketch.min, sketch.max, sketch.quantile(0.5)) == (1, 0.0, 0.0, 0.0, 0.0)

    def test_an_endless_duration_does_not_raise(self) -> None:
        sketch = Sketch()
        sketch.add(float("inf"))
        assert Sketch.from_dict(sketch.to_dict()).quantile(1.0) == 1e9

    def test_nothing_counted_has_no_quantile(self) -> None:
        assert Sketch().quantile(0.5) is None
        assert Sketch().avg is None
        assert Sketch.from_dict(Sketch().to_dict()).count == 0


class TestFigures:
    def test_the_totals_of_the_sample(self) -> None:
        total = figures(merge([load(SAMPLE)]))
        assert (total.calls, total.texts) == (362, 9856 + 3456 + 224 + 15776)
        assert total.tokens == {"reported": 1_598_432, "estimated": 55_100, "counted": 0}
        assert total.errors == {"rate_limited": 3, "timeout": 1, "server_error": 1}
        assert total.retries == {"429": 21, "503": 2, "500": 1}
        assert total.cost_usd == pytest.approx(0.02404864 + 0.050976)
        assert (total.unpriced_calls, total.unpriced_tokens) == (14, 26_300)
        assert total.busy_seconds == pytest.approx(13.902)
        assert total.texts_per_second == pytest.approx(29_312 / 13.902)
        assert total.cache is not None
        assert total.cache.hit_rate == pytest.approx(15_776 / 25_632)
        assert total.cache.saved_ratio == pytest.approx(1_924_672 / (1_924_672 + 1_653_532))

    def test_processes_that_overlap_are_counted_once_and_pauses_between_them_not_at_all(self, save: Any) -> None:
        windows = [(100.0, 110.0), (105.0, 112.0), (200.0, 203.0), (None, None)]
        loaded = []
        for pid, (started, ended) in enumerate(windows):
            loaded.append(load(save(DOCUMENT | {"pid": pid, "started": started, "ended": ended}, f"{pid}.json")))
        merged = merge(loaded)
        assert figures(merged).busy_seconds == pytest.approx(12 + 3)
        assert figures(merged).calls == 4 * 362
        assert merged.providers[0].latency.count == 4 * 312
        assert len(merged.slowest) == 10
        assert [call.seconds for call in merged.slowest] == [2.614] * 4 + [2.207] * 4 + [2.003] * 2

    def test_an_unknown_price_stays_unknown(self, save: Any) -> None:
        unknown = next(row for row in DOCUMENT["providers"] if row["cost_usd"] is None)
        path = save(DOCUMENT | {"providers": [unknown]})
        assert figures(merge([load(path), load(path)])).cost_usd is None
        text = rendered(path)
        assert "price unknown" in text
        assert "$0 " not in text

    @pytest.mark.parametrize(
        ("hits", "verdict"), [(61, "good"), (60, "fair"), (40, "fair"), (39, "bad"), (0, "bad"), (100, "good")]
    )
    def test_the_cache_target(self, hits: int, verdict: str, save: Any) -> None:
        cache = DOCUMENT["caches"][0] | {"hits": hits, "misses": 100 - hits}
        assert targets(DOCUMENT | {"caches": [cache]}, save)["cache_hit_rate"] == verdict

    @pytest.mark.parametrize(("seconds", "verdict"), [(0.5, "good"), (0.51, "bad")])
    def test_the_latency_target(self, seconds: float, verdict: str, save: Any) -> None:
        sketch = Sketch()
        sketch.add(seconds)
        row = DOCUMENT["providers"][0] | {"latency": sketch.to_dict()}
        assert targets(DOCUMENT | {"providers": [row]}, save)["latency_p95"] == verdict

    @pytest.mark.parametrize(("failed", "verdict"), [(1, "good"), (2, "bad")])
    def test_the_error_target(self, failed: int, verdict: str, save: Any) -> None:
        row = DOCUMENT["providers"][0] | {"calls": 100, "errors": {"timeout": failed}}
        assert targets(DOCUMENT | {"providers": [row]}, save)["error_rate"] == verdict

    @pytest.mark.parametrize(
        ("texts", "waited", "verdict"), [(1000, 50.0, "good"), (999, 50.0, "bad"), (999, 20.0, "unjudged")]
    )
    def test_a_low_throughput_is_not_held_against_a_program_that_mostly_does_other_things(
        self, texts: int, waited: float, verdict: str, save: Any
    ) -> None:
        sketch = Sketch()
        sketch.add(waited)
        row = DOCUMENT["providers"][0] | {"inputs": texts, "latency": sketch.to_dict()}
        document = DOCUMENT | {"providers": [row], "caches": [], "started": 0.0, "ended": 60.0}
        assert targets(document, save)["throughput"] == verdict


class TestJson:
    def test_it_reads_itself_again_without_loss(self, save: Any) -> None:
        once = to_dict(merge([load(SAMPLE)]))
        assert to_dict(merge([load(save(once))])) == once
        assert json.loads(json.dumps(once)) == once

    def test_it_has_what_is_computed(self) -> None:
        document = to_dict(merge([load(SAMPLE)]))
        latency = document["providers"][0]["latency"]
        assert latency["min"] < latency["p50"] < latency["p95"] < latency["p99"] < latency["max"]
        assert latency["avg"] == pytest.approx(latency["sum"] / 312)
        assert document["providers"][0]["error_rate"] == pytest.approx(4 / 312)
        assert document["totals"]["cache"]["hit_rate"] == document["caches"][0]["hit_rate"]
        assert document["totals"]["texts_per_minute"] == pytest.approx(document["totals"]["texts_per_second"] * 60)
        assert {target["name"] for target in document["targets"]} == {
            "latency_p95",
            "error_rate",
            "cache_hit_rate",
            "throughput",
            "time_to_first_token_p50",
            "output_rate_p50",
            "answer_cache_hit_rate",
        }


BAD: dict[str, tuple[Any, str]] = {
    "a list": ([], "it is not an object"),
    "another JSON": ({"a": 1}, "it has no schema number"),
    "a newer one": ({"schema": 2}, "upgrade otel-embed"),
    "a negative count": ({"schema": 1, "providers": [{"calls": -1}]}, r"providers\[0\].calls is not a count"),
    "a text for a number": ({"schema": 1, "elapsed_seconds": "1"}, "elapsed_seconds is not a number"),
    "a row that is none": ({"schema": 1, "caches": [1]}, r"caches\[0\] is not an object"),
    "stages of another form": ({"schema": 1, "slowest": [{"stages": [["wait", 1]]}]}, "name, start, end"),
    "another sketch": (
        {"schema": 1, "providers": [{"latency": {"sketch": {"gamma": 2, "counts": {}}}}]},
        r"providers\[0\].latency is not a latency sketch",
    ),
    "no bucket": (
        {"schema": 1, "providers": [{"latency": {"sketch": {"gamma": 1.01, "counts": {"9" * 99: 1}}}}]},
        "is not a latency sketch",
    ),
}


class TestReading:
    @pytest.mark.parametrize("what", BAD)
    def test_what_is_no_summary_is_refused_in_one_line(self, what: str, save: Any) -> None:
        document, message = BAD[what]
        with pytest.raises(DocumentError, match=message) as caught:
            load(save(document))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1' + b"1" * 5000 + b"}"])
    def test_what_is_no_json_is_refused(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_bytes(content)
        with pytest.raises(DocumentError):
            load(path)

    def test_what_is_missing_is_none_or_nothing(self, save: Any) -> None:
        bare = {"schema": 1, "providers": [{"calls": 2}], "components": [{}], "caches": [{}], "slowest": [{}]}
        text = rendered(save(bare))
        assert "unknown provider unknown model" in text
        page(merge([load(save(bare))]))


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """The sample with numbers, names and stages that nobody expects."""
    names = st.text(max_size=60)
    amounts = st.one_of(st.floats(-1e6, 1e9), st.integers(0, 10**15))
    counts = st.dictionaries(names, st.integers(0, 10**12), max_size=4)
    stages = st.dictionaries(st.one_of(st.sampled_from(STAGES), names), amounts, max_size=6)
    latency = st.lists(st.floats(0, 1e9), max_size=5).map(_sketch)
    timed = {"calls": st.integers(0, 10**12), "errors": counts, "stages": stages, "latency": latency}
    local = {"local": st.booleans(), "devices": counts, "padding_tokens": st.none() | st.integers(0, 10**12)}
    provider = local | {"provider": names, "model": names, "tokens": counts, "cost_usd": st.none() | amounts, "retries": counts}
    spans = st.lists(st.tuples(names | st.sampled_from(STAGES), amounts, amounts), max_size=5)
    slow = {"model": names, "component": names, "seconds": amounts, "stages": spans, "retries": st.lists(names)}
    chat = {"provider": names, "model": names, "calls": st.integers(0, 10**12), "latency": latency, "first_token": latency,
            "output_rate": latency, "cost_usd": st.none() | amounts, "errors": counts}  # fmt: skip
    size = {"store": names, "shared": st.booleans(), "entries": st.integers(0, 10**12), "bytes": st.none() | st.integers(0, 10**17)}
    operation = {"store": names, "method": names, "calls": st.integers(0, 10**12), "own": latency, "errors": counts}
    load = {"model": names, "device": names, "loads": st.integers(0, 10**12), "seconds": latency, "errors": counts}
    cache = {"store": names, "hits": st.integers(0, 10**12), "saved_usd": st.none() | amounts}
    return st.fixed_dictionaries(
        {
            "schema": st.just(1),
            "started": st.none() | amounts,
            "ended": st.none() | amounts,
            "providers": st.lists(st.fixed_dictionaries({}, optional=timed | provider), max_size=3),
            "components": st.lists(st.fixed_dictionaries({}, optional=timed | {"component": names}), max_size=2),
            "caches": st.lists(st.fixed_dictionaries({}, optional=cache), max_size=2),
            "chat": st.lists(st.fixed_dictionaries({}, optional=chat), max_size=2),
            "store_operations": st.lists(st.fixed_dictionaries({}, optional=operation), max_size=2),
            "loads": st.lists(st.fixed_dictionaries({}, optional=load), max_size=2),
            "cache_sizes": st.lists(st.fixed_dictionaries({}, optional=size), max_size=2),
            "slowest": st.lists(st.fixed_dictionaries({}, optional=slow), max_size=3),
            "dropped": counts,
            "command": st.lists(names, max_size=3),
        }
    )


def _sketch(values: list[float]) -> dict[str, Any]:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch.to_dict()


class TestText:
    @pytest.mark.parametrize("width", [80, 100, 200])
    @pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp437"])
    def test_it_keeps_to_its_width_and_to_the_encoding(self, width: int, encoding: str) -> None:
        text = rendered(SAMPLE, width, encoding)
        assert max(len(line) for line in text.split("\n")) <= min(width, 100) - 1
        assert "?" not in text.replace("+ ?", "")

    def test_it_says_everything(self) -> None:
        text = rendered(SAMPLE)
        for said in (
            "362",
            "29,312",
            "~1.65 M",
            "$0.0750 + ?",
            "16.4 s",
            "13.9 s embedding",
            "✓ p95 410 ms",
            "✗ 1.4 % errors",
            "✓ 61.5 % cached",
            "✓ 127 k texts/min",
            "2,108 texts/s",
            "avg   p50",
            "p95",
            "p99",
            "min",
            "max",
            "langchain CacheBackedEmbeddings",
            "w wait 180 ms 71 %",
            "retried after 429, 429",
            "failed: timeout",
            "reported",
            "7 % estimated",
            "price unknown",
            "15,776",
            "9,856",
            "53.8 % of the tokens saved",
            "$0.0385",
            "3 rate_limited, 1 timeout",
            "21 × 429",
            "✓ TTFT 449 ms",
            "✓ 31.4 % answered",
            "tokens in",
            "openai gpt-4o-mini        48  61,440  9,216        $0.0132",
            "SQLiteCache gpt-4o-mini           22      48    31.4 %        32,384  $0.00605",
            "retriever VectorStoreRetriever",
        ):
            assert said in text, said
        assert "otel-embed itself failed" not in text

    def test_our_own_failures_are_not_hidden(self, save: Any) -> None:
        path = save(DOCUMENT | {"dropped": {"record": 2, "span": 1}})
        assert "otel-embed itself failed 3 times: 2 record, 1 span" in rendered(path)
        assert "otel-embed itself failed 3 times" in page(merge([load(path)]))

    def test_without_colours_there_is_no_escape_sequence_and_with_them_there_is(self, monkeypatch: Any) -> None:
        assert "\x1b" not in rendered(SAMPLE)
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        assert "\x1b[" in rendered(SAMPLE)

    def test_a_name_cannot_move_the_cursor(self, save: Any) -> None:
        row = DOCUMENT["providers"][0] | {"model": "a\nb\x1b[2J\ud800", "errors": {"\r\x9b": 1}}
        text = rendered(save(DOCUMENT | {"providers": [row], "command": ["python", "-c", "a\nb"]}))
        assert "openai a b�[2J�" in text
        assert "python -c 'a b'" in text

    def test_a_wholly_cached_run_has_no_provider_and_cost_nothing(self, save: Any) -> None:
        text = rendered(save(DOCUMENT | {"providers": [], "slowest": []}))
        assert "61.5 % cached" in text
        assert re.search(r"^ 0 +15,776 +0 +\$0 ", text, re.MULTILINE)

    @settings(
        max_examples=150,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        deadline=None,
    )
    @given(documents(), st.integers(1, 130), st.sampled_from(["utf-8", "ascii"]))
    def test_any_summary_can_be_shown(self, save: Any, document: dict[str, Any], width: int, encoding: str) -> None:
        path = save(copy.deepcopy(document))
        rendered(path, width, encoding)
        page(merge([load(path)]))
        ElementTree.fromstring(picture(merge([load(path)])))
        json.dumps(to_dict(merge([load(path)])), allow_nan=False)


    def test_a_reader_of_screens_is_told_what_plots_and_tables_show(self) -> None:
        shown = page(merge([load(SAMPLE)]))
        assert all("aria-label" in plot or 'aria-hidden="true"' in plot for plot in re.findall(r"<svg[^>]*>", shown))
        assert all("scope=" in header for header in re.findall(r"<th[ >][^>]*", shown))
        assert 'aria-label="312 calls from 104 ms to 2.27 s"' in shown

    @pytest.mark.parametrize("width", [1, 40, 60, 79])
    def test_a_narrow_terminal_loses_no_figure(self, width: int) -> None:
        def figures_of(text: str) -> set[str]:
            """Those of the headline and the tables: what there is no room for in a bar's label is left out."""
            whole = text.replace("\n Slowest calls", "\0").replace("\n Cost", "\0").split("\0")
            return set(re.findall(r"~?\$?\d[\d,.]*", whole[0] + whole[2]))

        assert figures_of(rendered(SAMPLE, width)) == figures_of(rendered(SAMPLE, 80))

    def test_the_causes_of_all_failures_are_named_with_what_can_be_done(self) -> None:
        text = rendered(SAMPLE)
        assert "openai gpt-4o-mini              1 of 48 failed: 1 rate_limited" in text, "a chat model's too"
        said = " ".join(text.split())
        assert "rate_limited: the provider limits the rate: fewer calls at once" in said
        assert "timeout: no answer in the time that the client allows" in said
        assert "not_found:" not in said
        assert "authentication" not in page(merge([load(SAMPLE)]))
        assert "<p class=\"dim\">timeout: no answer" in page(merge([load(SAMPLE)]))

    def test_each_cause_has_a_meaning(self) -> None:
        assert {*troubles.CAUSES, "other"} == set(CAUSES)

    @pytest.mark.parametrize(
        ("code", "heading", "said"),
        [
            (0, "exit 0 ", ""),
            (2, "exit 2 ", ""),
            (137, "exit 137 (SIGKILL) ", "SIGKILL ended the program"),
            (143, "exit 143 (SIGTERM) ", "SIGTERM ended the program"),
            (130, "exit 130 (SIGINT) ", ""),
            (255, "exit 255 ", ""),
        ],
    )
    def test_the_signal_that_ended_a_program_is_named_with_what_may_be_missing(
        self, code: int, heading: str, said: str, save: Any
    ) -> None:
        path = save(DOCUMENT | {"exit_code": code, "command": ["python", "app.py"]})
        for shown in (rendered(path), page(merge([load(path)]))):
            assert heading in shown
            assert ("ended the program" in shown) == bool(said) and said in shown

    def test_what_a_text_costs_fits_its_place(self, save: Any) -> None:
        rows = [row | {"unpriced_calls": 0, "cost_usd": 0.001} for row in DOCUMENT["providers"]]
        assert " $0.102/M texts " in rendered(save(DOCUMENT | {"providers": rows}))


class TestPicture:
    def test_every_word_stands_where_a_terminal_has_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines: dict[float, str] = {}
        for text in ElementTree.fromstring(picture(merge([load(SAMPLE)]))).iter(f"{SVG}text"):
            column = round((float(text.attrib["x"]) - report_svg.MARGIN) / report_svg.WIDTH)
            top = float(text.attrib["y"])
            lines[top] = lines.get(top, "").ljust(column) + (text.text or "")
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        shown = re.sub(r"\x1b\[[\d;]*m", "", rendered(SAMPLE, 82)).split("\n")
        assert [lines[top] for top in sorted(lines)] == [line.rstrip() for line in shown if line.strip()]

    def test_it_is_as_wide_as_it_says_and_needs_nothing_from_elsewhere(self) -> None:
        image = picture(merge([load(SAMPLE)]))
        root = ElementTree.fromstring(image)
        width = float(root.attrib["width"])
        for shape in (*root.iter(f"{SVG}text"), *root.iter(f"{SVG}rect")):
            length = float(shape.attrib.get("textLength") or shape.attrib.get("width") or report_svg.WIDTH)
            assert float(shape.attrib.get("x", 0)) + length <= width
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags == {"svg", "title", "style", "rect", "text"}
        assert not re.search(r"url\(|@import|@font-face|href", image)
        assert len(image) < 60_000

    def test_it_is_the_same_whatever_the_terminal_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = picture(merge([load(SAMPLE)]))
        for name, value in {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "60"}.items():
            monkeypatch.setenv(name, value)
        assert picture(merge([load(SAMPLE)])) == before


class TestBars:
    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=15), st.integers(1, 120))
    def test_shares_fill_the_width(self, values: list[float], width: int) -> None:
        columns = shares(values, width)
        assert sum(columns) == (width if sum(values) > 0 else 0)
        assert all(
            abs(column - value / sum(values) * width) <= 1 for column, value in zip(columns, values) if sum(values)
        )

    def test_a_span_stands_where_it_happened(self) -> None:
        spans = [Span("send", 0.0, 0.1), Span("wait", 0.1, 0.5), Span("backoff", 0.5, 0.8), Span("receive", 0.8, 1.0)]
        assert span_bar(spans, 2.0, 20, coloured=False).plain == "uw━━━b━━r━"

    @pytest.mark.parametrize(("end", "columns"), [(1.0, 20), (-1.0, 0), (1e308, 20)])
    def test_a_span_beyond_the_scale_ends_with_it(self, end: float, columns: int) -> None:
        assert span_bar([Span("wait", 0.0, end)], 2.3e-308, 20, coloured=True).cell_len == columns

    def test_every_stage_has_a_letter_and_a_colour_of_its_own(self) -> None:
        assert tuple(LOOKS) == STAGES
        assert len({shown.letter for shown in LOOKS.values()}) == len(STAGES)
        assert len({shown.colour for shown in LOOKS.values()}) == len(STAGES)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


class TestPage:
    def test_it_is_well_formed_and_fetches_nothing(self) -> None:
        html = page(merge([load(SAMPLE)]))
        parsed = _Page()
        parsed.feed(html)
        assert parsed.open == []
        assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in parsed.tags}
        assert not {"src", "href", "srcset"} & {name for _, attributes in parsed.tags for name in attributes}
        assert "url(" not in html
        assert "@import" not in html
        assert "http" not in html.replace("http-equiv", "")

    def test_it_has_the_plots(self) -> None:
        parsed = _Page()
        parsed.feed(page(merge([load(SAMPLE)])))
        classes = [attributes.get("class") for _, attributes in parsed.tags]
        assert classes.count("bar") == 5
        assert classes.count("quantile p95") == 5
        assert classes.count("call") == 11
        assert classes.count("meter") == 4

    def test_a_name_cannot_become_markup(self, save: Any) -> None:
        evil = "</title></style><script>alert('x')</script>\"><img src=x>"
        document = copy.deepcopy(DOCUMENT)
        document["command"] = ["python", evil]
        document["dropped"] = {evil: 1}
        for row in [*document["providers"], *document["slowest"]]:
            row |= {"provider": evil, "model": evil, "component": evil, "retries": {evil: 1}, "errors": {evil: 1}}
            row["stages"] = {evil: 1.0} if isinstance(row["stages"], dict) else [[evil, 0.0, 1.0]]
        for row in document["slowest"]:
            row |= {"retries": [evil], "error": {"type": evil, "cause": evil}}
        document["components"][0] |= {"framework": evil, "component": evil}
        for key in ("chat", "answer_caches", "runs", "store_operations", "loads", "cache_sizes"):
            for row in document[key]:
                row |= {field: evil for field, value in row.items() if isinstance(value, str)}
        document["caches"][0] |= {"component": evil, "store": evil, "model": evil}
        parsed = _Page()
        parsed.feed(page(merge([load(save(document))])))
        assert not {"script", "img"} & {tag for tag, _ in parsed.tags}
        assert parsed.open == []


class TestUnits:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (None, "–"),
            (0.0, "0 s"),
            (-1.0, "0 s"),
            (2e-8, "20.0 ns"),
            (4.82e-5, "48.2 µs"),
            (0.000812, "812 µs"),
            (0.0124, "12.4 ms"),
            (0.99949, "999 ms"),
            (0.9996, "1.00 s"),
            (1.239, "1.24 s"),
            (99.94, "99.9 s"),
            (99.96, "1m 40s"),
            (125.0, "2m 05s"),
            (3600.0, "1h 00m"),
            (11_220.0, "3h 07m"),
        ],
    )
    def test_seconds(self, value: float | None, shown: str) -> None:
        assert units.seconds(value) == shown

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (0.0, "$0"),
            (1234.5, "$1,234"),
            (12.345, "$12.35"),
            (0.0241, "$0.0241"),
            (0.0000021, "$0.00000210"),
            (0.000872, "$0.000872"),
            (0.5, "$0.500"),
        ],
    )
    def test_dollars(self, value: float, shown: str) -> None:
        assert units.dollars(value) == shown

    @pytest.mark.parametrize(
        ("value", "shown"),
        [(None, "–"), (0.0, "0 %"), (0.0001, "< 0.1 %"), (0.612, "61.2 %"), (0.9999, "> 99.9 %"), (1.0, "100 %")],
    )
    def test_percent(self, value: float | None, shown: str) -> None:
        assert units.percent(value) == shown

    def test_durations_read_back_within_three_digits(self) -> None:
        numbers = random.Random(1)
        scale = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
        for _ in range(2000):
            value = 10 ** numbers.uniform(-7, 1.9)
            amount, unit = units.seconds(value).split(" ")
            assert float(amount) * scale[unit] == pytest.approx(value, rel=0.0051)
            assert len(amount) <= 4

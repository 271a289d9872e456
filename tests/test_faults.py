"""With any function of ours failing, slow, wrong or interrupted, what the application sees is what it was without us.

A matrix: each application, with the client of each provider and with each framework, by each function of ours that
runs in its calls. Which ones do is found by watching a run. Compared are results and their types, exceptions with those
behind them and the frames that they passed through, the requests that were sent, and the context. A function that no
application comes to is listed with the reason, or the last test fails.
"""

from __future__ import annotations

import functools
import gc
import inspect
import itertools
import logging
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
import trustme
from opentelemetry.context import get_current
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_embed
from applications import APPLICATIONS, NOT_SAMPLED, Application, raised
from breaking import Place, names, places, reached, slow
from conftest import Telemetry
from otel_embed import delegates, guard, headers
from otel_embed.config import Config
from otel_embed.instrumentor import EmbeddingInstrumentor
from otel_embed.pricing.bill import Pricing
from otel_embed.providers import openai

OPTIONS: dict[str, Any] = {
    "stage_spans": "always", "daily_budget_usd": 1e-9, "capture_content": True, "baggage_attributes": ("team",),
}  # fmt: skip
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
"""What fails when an object goes, or in a thread of ours."""
BY_NAME = {application.name: application for application in APPLICATIONS}
OF_THEIR_OWN = {
    "openai_without_usage": {"token_counting": "tiktoken"},  # a file that takes its time to read
    "openai_sync": {"log": "text"},
    "openai_retries": {"log": "json"},
    # Nobody asks for its records before they are counted.
    NOT_SAMPLED.name: {"daily_budget_usd": None, "baggage_attributes": (), "checks": "off"},
}
MEMORIES: list[Any] = [headers._plans, openai._endpoints, delegates._known]
CACHES = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)
          and each.__module__.startswith("otel_embed.") and each.cache_parameters()["maxsize"]]  # fmt: skip
TRUSTED_MODULES = ("guard.", "wrapping.")
"""All the rest runs inside of these."""
TRUSTED = {
    "__init__.__getattr__", "transports.body._Watched.__iter__", "transports.body._Watched.__aiter__",
    "transports.body._Watched.close", "transports.body._Watched.aclose", "transports.body._Watched.__getattr__",
    "transports.body.watch.read_and_close", "transports.body.watch.aread_and_close",
    "transports.httpx._SyncExchange.trace", "transports.httpx._AsyncExchange.trace", "threads._Carried.__call__",
    "stages.stage.__enter__", "stages.stage.__exit__", "stages.stage.__init__", "report.track.track.__enter__",
    "report.track.track.__exit__", "report.track.track.__init__", "report.track.TrackedUsage.__init__",
    "report.track.TrackedUsage.end", "report.attribution.attribute.__enter__", "report.attribution.attribute.__exit__",
    "report.attribution.attribute.__init__", "report.attribution._use", "config.is_reserved",
    "frameworks.langchain_handler._Handler.run_inline", "reloads.AgainFinder.find_spec",
}  # fmt: skip
"""The application runs through them, or asks them itself: with the wrappers they are what may not fail."""
TRUSTED_TO_GIVE_BACK = {
    *(f"frameworks.langchain_handler._Handler.{name}" for name in (
        "_end", "on_llm_end", "on_llm_error", "on_chain_end", "on_chain_error", "on_tool_end", "on_tool_error",
        "on_retriever_end", "on_retriever_error",
    )),
    "runs.Runs.end", "runs.OpenRun.leave", "runs._reset",
}  # fmt: skip
"""LangChain tells them of a run's end, and they give the context back that the run began in."""
TRUSTED_TO_RETURN = {
    "threads.carry", "threads.into_thread", "observe.CallSite.open", "observe.OpenCall.__init__", "stages.LookupSite.open",
    "operations.OperationSite.open", "operations.OpenOperation.__init__", "answers.AnswerCacheSite.open",
    "answers.OpenLookup.__init__", "runs.OpenRun.__init__", "report.attribution.Attributing.__call__", "report.spans.SpanReport.begin",
}  # fmt: skip
"""What they return runs in the place of the application's function, is the context that this runs in, or gives that back
when it ends."""
OUTSIDE = {
    "transports.body._Watched.__del__", "transports.urllib3._FileEnd.__del__", "transports.flight.BodyEnd.__call__",
    "transports.flight.BodyEnd._end", "transports.flight.BodyEnd.break_off", "seen.see.<lambda>",
    "pricing.prices.Elsewhere._ask", "gauges.gpu.Gpus.readings", "report.alerting.alerting.Alerting._observe",
}  # fmt: skip
"""What these raise, Python or the SDK prints: they run when an object goes, in a thread of ours, in a collection."""
ALSO_OUTSIDE = {
    "exchange.OpenExchange.drop", "threads.into_thread.<lambda>", "transports.urllib3._FileEnd._unraised", "transports.urllib3._FileEnd.break_off", "pricing.__init__.import_aside",
    "pricing.prices._from_genai_prices", "pricing.prices.genai_name", "observe.OpenCall._leave.<lambda>",
}  # fmt: skip
"""What these call, or what runs in a thread of the application's own, where no Ctrl-C arrives."""
TOLD_BY_LANGCHAIN = "frameworks.langchain_handler._Handler."
"""It logs what a handler raises."""
IN_CALLS = tuple(f"{module}." for module in (
    "endpoints", "exchange", "failure", "freezing", "headers", "identity", "observe", "stages", "threads", "timeline",
    "answers", "runs", "seen", "operations", "pricing.bill", "pricing.billers", "pricing.prices", "pricing.tokens", "pricing.chat", "pricing.recorded",
    "transports",
    "frameworks.haystack", "frameworks.langchain", "frameworks.langchain_handler", "frameworks.langchain_runs",
    "frameworks.langchain_stores", "frameworks.llama_index", "providers.openai",
    *(f"report.{name}" for name in (
        "attribution", "budget", "budget_sums", "budgets.accounts", "budgets.alerts", "budgets.periods",
        "budgets.rules", "chat_sums", "chat_totals", "coexist", "content", "dimensions", "exemplars", "limits", "log", "metrics",
        "operations", "overhead", "pending", "recorder", "run_recorder", "run_spans", "slowest", "span_ends", "spans",
        "stage_spans", "totals", "track", "work_totals",
    )),
))  # fmt: skip
"""The modules of which every function is broken, or runs when otel_embed is switched on or off, or is listed below."""
ELSEWHERE: dict[str, set[str]] = {
    "the application asks it itself, or copies it": {
        "frameworks.langchain_handler._Handler.__copy__", "frameworks.langchain_handler._Handler.__deepcopy__",
        "frameworks.langchain_handler._Handler.__reduce__",
        "frameworks.langchain_handler._Handler.on_stream_event",
        "frameworks.langchain_handler._Handler.raise_error", "report.track.TrackedUsage.__add__",
        "report.track.TrackedUsage.__getstate__", "report.track.TrackedUsage.__radd__",
        "report.track.TrackedUsage.__repr__", "report.track.TrackedUsage.__setstate__",
        "report.track.TrackedUsage.cost_usd", "report.track.TrackedUsage.seconds",
        "transports.body._Watched.__getattr__",
    },
    "runs when otel_embed is switched on, with a file or a library that was not imported before": {
        "frameworks.haystack._classes", "frameworks.haystack._component", "frameworks.haystack.embedders",
        "frameworks.langchain._component", "frameworks.langchain_handler._handler",
        "frameworks.langchain_handler._handler_class", "frameworks.langchain_stores._component",
        "frameworks.llama_index._call", "frameworks.llama_index._component",
        "frameworks.llama_index._ingestion", "frameworks.llama_index._many", "frameworks.llama_index._one",
        "pricing.chat.user_rows", "pricing.prices.Price.picodollars", "pricing.prices._user_rows",
        "pricing.prices.warning", "report.budgets.accounts.Account.go_on", "report.budgets.rules._rows",
        "report.attribution.Attributions.reserve", "report.attribution.Attributions.switch_on",
        "report.budgets.rules._choice", "report.budgets.rules._from_file", "report.budgets.rules._picodollars",
        "report.budgets.rules._rule", "report.dimensions.Observers.counter",
        "report.dimensions.Observers.gauge", "report.log.LogReport.__init__",
        "transports.flight.Sender.__init__", "transports.flight.Step.__init__",
        "transports.httpx._Send.__init__", "transports.httpx._provider", "transports.urllib3._Sleep.__init__",
    },
    "has tests of its own: budgets that block, chat calls of stores, images, local models, retries of urllib3, streams that break": {
        "exchange.OpenExchange.server", "identity._forget", "report.coexist._ours", "frameworks.langchain_handler._same",
        "frameworks.langchain_runs.is_content", "observe.OpenCall._ending", "observe.OpenCall.stop",
        "operations.OpenOperation.add_chat",
        "pricing.bill.Pricing._as_sent", "pricing.bill.Pricing._is_unseen", "pricing.bill.Pricing._prices_images",
        "pricing.bill.Pricing._unusual", "pricing.bill.Pricing._with_media", "pricing.prices.Prices.find_media",
        "pricing.tokens._is_quick",
        "report.budget.Budget._learn", "report.budget.Budget.exceeded", "report.budgets.accounts.Account.turn",
        "report.budgets.accounts.Accounts.blocked", "report.budgets.accounts.Accounts.passed",
        "report.budgets.alerts.payload", "report.budgets.periods.Calendar.at", "report.overhead.Overhead._blow",
        "report.pending._is_part", "report.recorder.CallRecorder._finish_load", "report.spans._tell_work",
        "report.totals._add_work", "report.work_totals.WorkTotals.add_load",
        "report.work_totals._Loads.__init__", "runs.Runs._abandon", "timeline.Exchange.__init__",
        "timeline._condensed", "transports.aiohttp._Break.open", "transports.aiohttp._ResponseEnd.__init__",
        "transports.aiohttp._ResponseEnd._end", "transports.flight.BodyEnd._unraised",
        "transports.flight.Flight.go_around", "transports.urllib3._Heard.__call__",
        "transports.urllib3._Heard.__init__", "transports.urllib3._Retry.open",
        "transports.urllib3._Sleep.close", "transports.urllib3._ended_early", "transports.urllib3._listen",
    },
    "an abstract method": {
        "observe.Recorder.finish", "observe.Recorder.operations", "observe.Recorder.save",
        "operations.OperationReports.begin", "operations.OperationReports.finish", "report.track.Tracks.add",
        "report.track.Tracks.add_chat",
        "runs.RunReports.begin", "runs.RunReports.finish", "transports.httpx._Exchange.trace",
    },
    "runs in a thread of ours, in a worker that ends, or for a command": {
        "pricing.chat.ChatPrices.rows", "pricing.chat._from_genai_prices", "pricing.prices.Prices.explain",
        "pricing.prices.Prices.rows", "pricing.prices.inspect", "pricing.tokens.TokenCounter._fetched",
        "pricing.tokens.TokenCounter._load_guarded", "pricing.tokens.TokenCounter._load_later",
        "pricing.tokens._cache", "pricing.tokens._download", "pricing.tokens._keep", "pricing.tokens.locate",
        "pricing.tokens.prefetch", "report.budget.Budget._finish_as_a_worker",
        "report.recorder.CallRecorder.recorded",
        "exchange._end_left_open", "report.recorder.CallRecorder.budget_left", "report.recorder.CallRecorder.budget_shares",
    },
}  # fmt: skip
WRONG = [None, "a string", object()]
RAN: set[str] = set()
SEEN: set[str] = set()
"""The places that some application came to."""
INTERRUPTED: set[str] = set()
DONE: set[tuple[str, str, str]] = set()
"""What was done to which place in which provider's client, whose asynchronous calls come to much the same."""


def forget() -> None:
    """What is remembered from call to call, though nothing depends on it."""
    for memory in MEMORIES:
        memory.clear()
    for cache in CACHES:
        cache.cache_clear()


class Observed:
    """An application under otel_embed, and what it comes to there."""

    def __init__(self, application: Application, telemetry: Telemetry) -> None:
        self.application, self.telemetry = application, telemetry
        RAN.add(application.name)
        otel_embed.uninstrument()
        self.expected = application.run()
        self.options = {**OPTIONS, "token_counting": "estimate", **OF_THEIR_OWN.get(application.name, {})}
        telemetry.instrument(**self.options)
        forget()
        first, cold = reached(application.run)
        second, warm = reached(application.run)
        assert first == second == self.expected
        assert bool(telemetry.spans()) == (application is not NOT_SAMPLED)
        self.places = [place for place in places(cold | warm) if not place.name.startswith(TRUSTED_MODULES)]
        if "token_counting" in OF_THEIR_OWN.get(application.name, {}):
            self.places = [place for place in self.places if place.name not in SEEN]
        self.only_at_first = cold - warm
        collected, collecting = reached(telemetry.metrics)
        assert collected, "nothing of it is observed"
        self.when_collected = [place for place in places(collecting - cold - warm)
                               if not place.name.startswith(TRUSTED_MODULES) and place.name not in SEEN]  # fmt: skip
        SEEN.update(place.name for place in [*self.places, *self.when_collected])

    def of_its_own(self, done: str, trusted: set[str]) -> Iterator[Place]:
        for place in self.places:
            key = done, self.application.name.partition("-")[0], place.name
            if place.name not in trusted and key not in DONE:
                DONE.add(key)
                yield place

    def faulty(self, place: Place, behave: Callable[[Callable[[], Any]], Any]) -> str | None:
        """What the application notices of a function that behaves in this way."""
        noticed = None
        for anew in (place.code in self.only_at_first, True):
            self.begin(anew)
            with place.behaving(behave):
                noticed = copy_context().run(self.noticed)
            if place.met:
                break
        return noticed

    def begin(self, anew: bool) -> None:
        self.telemetry.exporter.clear()
        guard.dropped.clear()
        guard.reraise = False
        if anew:
            self.begin_anew()

    def begin_anew(self) -> None:
        """As after the start of the process, without the time that takes."""
        recorder = EmbeddingInstrumentor().recorder
        assert recorder is not None
        recorder.start_anew()
        config = Config.from_environment(print).with_options(dict(self.options), print)
        recorder.configure(self.telemetry.tracers.get_tracer("otel_embed"), config, Pricing.configured(config, print))
        forget()

    def noticed(self) -> str | None:
        try:
            seen = self.application.run()
        except BaseException as error:
            return f"raised {raised(error)}"
        if seen != self.expected:
            return "; ".join(difference(seen, self.expected))
        return "a context that is not its own" if get_current() else None


def difference(seen: dict[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    for key in seen:
        for one, other in itertools.zip_longest(seen[key], expected[key]):
            if one != other:
                yield f"{one} instead of {other}"


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Clients read the certificates of all authorities each time that they are made; here of one."""
    with pytest.MonkeyPatch.context() as patch, trustme.CA().cert_pem.tempfile() as file:
        patch.setenv("SSL_CERT_FILE", file)
        patch.setattr(logging.getLogger("otel_embed"), "disabled", True)  # each failure, with where it was
        logging.getLogger("otel_embed.calls").setLevel(logging.INFO)
        yield
        logging.getLogger("otel_embed.calls").setLevel(logging.NOTSET)
        gc.unfreeze()


def telemetry_of(application: Application) -> Telemetry:
    return Telemetry(ALWAYS_OFF if application is NOT_SAMPLED else None)


@pytest.fixture(scope="module", params=BY_NAME)
def observed(request: pytest.FixtureRequest, quick: None) -> Iterator[Observed]:
    with BY_NAME[request.param] as application:
        yield Observed(application, telemetry_of(application))
        otel_embed.uninstrument()
        guard.reraise = False


def fails(_: Callable[[], Any]) -> Any:
    raise RuntimeError("a bug in otel_embed")


def test_the_application_never_notices_a_failure(observed: Observed) -> None:
    noticed, hidden = {}, []
    for place in observed.of_its_own("fails", TRUSTED | TRUSTED_TO_GIVE_BACK):
        told = observed.faulty(place, fails)
        if told:
            noticed[place.name] = told
        if place.met and not guard.dropped and not place.name.startswith((TOLD_BY_LANGCHAIN, *OUTSIDE)):
            hidden.append(place.name)
    for place in observed.when_collected:
        observed.begin(anew=True)
        with place.behaving(fails):
            if observed.noticed():
                noticed[place.name] = "noticed"
            observed.telemetry.metrics()
    assert not noticed
    assert not hidden, "what failed is counted"


def test_the_application_never_notices_a_wrong_result(observed: Observed) -> None:
    noticed, values = {}, itertools.cycle(WRONG[list(BY_NAME).index(observed.application.name) % 3 :] + WRONG)

    def wrong(original: Callable[[], Any]) -> Any:
        right = original()
        if inspect.iscoroutine(right):
            right.close()
        return value

    for place in observed.of_its_own("wrong", TRUSTED | TRUSTED_TO_RETURN):
        value = next(values)
        told = observed.faulty(place, wrong)
        if told:
            noticed[place.name] = f"{value}: {told}"
    assert not noticed


def test_the_application_never_notices_that_we_are_slow(observed: Observed) -> None:
    observed.begin(anew=True)
    with slow(2e-4):
        assert observed.application.run() == observed.expected
    assert not get_current()


def test_an_interrupt_is_the_applications(observed: Observed) -> None:
    """Whatever of ours is running when somebody presses Ctrl-C."""

    def interrupted(_: Callable[[], Any]) -> Any:
        raise KeyboardInterrupt

    if observed.application.asynchronous:  # a loop that was interrupted is not to be used again
        return
    noticed = {}
    for place in observed.places:
        if place.name not in INTERRUPTED | TRUSTED | OUTSIDE | ALSO_OUTSIDE:
            INTERRUPTED.add(place.name)
            told = observed.faulty(place, interrupted)
            after = copy_context().run(observed.noticed)
            if place.met and ("KeyboardInterrupt" not in str(told) or after):
                noticed[place.name] = f"{told}; then {after}"
    assert not noticed


def test_every_function_is_come_to() -> None:
    """Where not all of the tests above were run, it finds out first."""
    for name in BY_NAME.keys() - RAN:
        with BY_NAME[name] as application:
            Observed(application, telemetry_of(application))
    switched_on_or_off = {place.name for place in places(reached(switched)[1])}
    everywhere = {name for name in names() if name.startswith(IN_CALLS)}
    elsewhere = set().union(*ELSEWHERE.values())
    left = everywhere - SEEN - switched_on_or_off - elsewhere
    assert left == set(), "let an application come to it, or list it with the reason"
    assert elsewhere & SEEN == set(), "an application comes to it"
    assert elsewhere - everywhere == set(), "there is no such function"


def switched() -> None:
    """On, anew in a forked process, looked at, and off."""
    telemetry = Telemetry()
    telemetry.instrument(**OPTIONS)
    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    recorder.start_anew()
    otel_embed.summary()
    otel_embed.uninstrument()

"""What holds for the client of any provider. A test class of a provider's says how that is called."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import pkgutil
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar

import pytest

import otel_embed
from conftest import Telemetry
from fakes.api_server import ApiServer
from fakes.faults import Fault
from spans import calls, stages, whole

Call = Callable[..., Any]
"""Called with a server's URL and texts; ``retries`` is how often, ``timeout`` how long."""
TEXTS = ["one two", "three"]
CAUSES = {400: "invalid_input", 401: "authentication", 404: "not_found", 429: "rate_limited", 500: "server_error"}
IDENTITY = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "server.address",
    "server.port",
)
ODD = [Fault(malformed=True), Fault(empty=True), Fault(drop="in body"), Fault(gzip=True)]
NOBODY = "http://127.0.0.1:9"


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What asyncio.run does, but for a look at the exception, of which some clients' cannot be shown."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class EveryProvider:
    server_class: type[ApiServer]
    model: str
    """Empty where a call names none."""
    picodollars: int
    """Per token; 0 where no price is known, or nobody bills by use."""
    metered: ClassVar[bool] = True
    wrapped: ClassVar[list[str]]
    """The functions that are observed, as ``module:path``."""
    untold: ClassVar[list[Any]] = ["absent", "null", "zeros"]
    """How a server may leave out usage without the client failing."""
    texts: ClassVar[list[str]] = TEXTS
    asynchronous = True
    retries: ClassVar[tuple[str, ...]] = ("sync", "async")
    """Which of its clients try again."""

    def embed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        raise NotImplementedError

    async def aembed(self, url: str, texts: list[str], *, retries: int = 0, timeout: float = 10) -> Any:
        raise NotImplementedError

    def known(self, server: ApiServer) -> dict[str, Any]:
        """The attributes of a span but for what is measured, for ``texts``, which are three tokens."""
        raise NotImplementedError

    @property
    def span_name(self) -> str:
        return f"embeddings {self.model}".rstrip()

    def plain(self, result: Any) -> Any:
        """A result as something that can be compared."""
        return result

    @pytest.fixture
    def server(self) -> Iterator[ApiServer]:
        with self.server_class() as server:
            yield server

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "call" in metafunc.fixturenames:
            kinds = ["sync", "async"] if self.asynchronous else ["sync"]
            if metafunc.function.__name__.startswith("test_a_retry"):
                kinds = [kind for kind in kinds if kind in self.retries]
            metafunc.parametrize("call", kinds, indirect=True)

    @pytest.fixture
    def call(self, request: pytest.FixtureRequest) -> Call:
        if request.param == "sync":
            return self.embed
        return lambda *args, **kwargs: run(self.aembed(*args, **kwargs))

    def test_a_call_is_one_span_with_all_that_is_known(
        self, telemetry: Telemetry, server: ApiServer, call: Call
    ) -> None:
        call(server.origin, self.texts)
        (span,) = calls(telemetry)
        assert (span.name, span.kind.name, span.status.status_code.name) == (self.span_name, "CLIENT", "UNSET")
        assert whole(span) == self.known(server)
        assert {"serialize", "connect", "wait", "receive", "deserialize"} <= stages(span).keys()

    def test_its_metrics(self, telemetry: Telemetry, server: ApiServer, call: Call) -> None:
        call(server.origin, self.texts)
        metrics = telemetry.metrics()
        known = self.known(server)
        expected = {name: known[name] for name in IDENTITY if name in known}
        (duration,) = metrics["gen_ai.client.embeddings.duration"]
        (tokens,) = metrics["gen_ai.client.embeddings.operation.input_tokens"]
        (inputs,), costs = metrics["otel_embed.inputs"], metrics.get("otel_embed.cost", [])
        points = (duration, tokens, inputs, *costs)
        assert [dict(point.attributes) for point in points] == [expected] * len(points)
        assert (duration.count, tokens.sum, inputs.value) == (1, 3, len(self.texts))
        assert [cost.value for cost in costs] == ([3 * self.picodollars / 1e12] if self.picodollars else [])
        assert telemetry.total("otel_embed.unpriced") == (self.metered and not self.picodollars)

    def test_the_result_is_what_it_is_without_us(self, telemetry: Telemetry, server: ApiServer, call: Call) -> None:
        observed = call(server.origin, self.texts)
        otel_embed.uninstrument()
        plain = call(server.origin, self.texts)
        assert type(observed) is type(plain) and self.plain(observed) == self.plain(plain)
        assert len(calls(telemetry)) == 1
        assert server.requests[0].body == server.requests[1].body

    @pytest.mark.parametrize("status", CAUSES)
    def test_a_failure_passes_through_and_its_cause_is_told(
        self, telemetry: Telemetry, server: ApiServer, call: Call, status: int
    ) -> None:
        server.script([Fault(status=status)] * 2)
        with pytest.raises(Exception) as observed:
            call(server.origin, self.texts)
        (span,) = telemetry.spans(self.span_name)
        told = span.attributes["error.type"], span.attributes["otel_embed.error.cause"]
        assert told == (str(status), CAUSES[status])
        assert span.status.status_code.name == "ERROR" and span.status.description is None
        assert "gen_ai.usage.input_tokens" not in span.attributes and not span.events
        assert telemetry.total("otel_embed.errors", otel_embed__error__cause=CAUSES[status]) == 1
        assert telemetry.total("otel_embed.inputs.pending") == 0
        assert "gen_ai.client.embeddings.operation.input_tokens" not in telemetry.metrics()
        otel_embed.uninstrument()
        with pytest.raises(type(observed.value)) as plain:
            call(server.origin, self.texts)
        assert str(observed.value) == str(plain.value)

    def test_a_retry_is_part_of_the_call_and_its_sleep_is_backoff(
        self, telemetry: Telemetry, server: ApiServer, call: Call
    ) -> None:
        server.script([Fault(status=429, retry_after=0.05)])
        call(server.origin, self.texts, retries=1)
        (span,) = telemetry.spans(self.span_name)
        assert (span.attributes["otel_embed.retry.count"], span.attributes["gen_ai.usage.input_tokens"]) == (1, 3)
        assert stages(span)["backoff"] > 0.04
        assert telemetry.total("otel_embed.retries", otel_embed__retry__status="429") == 1

    def test_usage_that_a_server_does_not_tell_is_estimated(
        self, telemetry: Telemetry, server: ApiServer, call: Call
    ) -> None:
        for fault in self.untold:
            server.script([Fault(usage=fault)])
            call(server.origin, ["12345678"])
        found = [span.attributes for span in calls(telemetry)]
        told = [(each.get("gen_ai.usage.input_tokens"), each.get("otel_embed.usage.source")) for each in found]
        assert told == [(2, "estimated")] * len(self.untold)

    @pytest.mark.parametrize("fault", ODD)
    def test_an_odd_answer_does_to_the_application_what_it_does_without_us(
        self, telemetry: Telemetry, server: ApiServer, call: Call, fault: Fault
    ) -> None:
        server.script([fault] * 2)
        observed = self.outcome(call, server)
        otel_embed.uninstrument()
        assert self.outcome(call, server) == observed
        (span,) = telemetry.spans(self.span_name)
        stages(span)
        if observed[0] == "raised":
            assert span.attributes["otel_embed.error.cause"] in ("server_error", "network")

    def outcome(self, call: Call, server: ApiServer) -> tuple[Any, ...]:
        try:
            return "returned", self.plain(call(server.origin, self.texts))
        except Exception as error:
            return "raised", type(error), str(error)

    def test_no_answer_and_nobody_to_answer_are_told_apart(
        self, telemetry: Telemetry, server: ApiServer, call: Call
    ) -> None:
        server.script([Fault(header_delay=2.0)])
        for url in (server.origin, NOBODY):
            with pytest.raises(Exception):  # noqa: B017
                call(url, self.texts, timeout=0.2)
        causes = [span.attributes["otel_embed.error.cause"] for span in telemetry.spans(self.span_name)]
        assert causes == ["timeout", "network"]

    def test_tokens_and_cost_equal_the_bill(self, telemetry: Telemetry, server: ApiServer) -> None:
        faults = [Fault(status=400), Fault(status=500), None, None, None, None, None]
        server.script([faults[n % len(faults)] or Fault() for n in range(60)])
        with otel_embed.track() as usage:
            for n in range(30):
                self.quiet(self.embed, server, n)
            if self.asynchronous:
                run(self.several(server))
        billed = server.billed
        assert usage.tokens == billed.tokens == telemetry.total("gen_ai.client.embeddings.operation.input_tokens") > 0
        assert telemetry.total("otel_embed.cost") == billed.tokens * self.picodollars / 1e12
        assert telemetry.total("otel_embed.inputs") == billed.inputs
        assert usage.estimated_tokens == 0

    def quiet(self, call: Call, server: ApiServer, n: int) -> Any:
        try:
            return call(server.origin, ["one two"] * (n % 5 + 1))
        except Exception:
            return None

    async def several(self, server: ApiServer) -> None:
        calls = [self.aembed(server.origin, ["one two"] * (n % 5 + 1)) for n in range(30)]
        await asyncio.gather(*calls, return_exceptions=True)

    def test_wrapped_methods_stay_ordinary(self, telemetry: Telemetry) -> None:
        for function in map(pkgutil.resolve_name, self.wrapped):
            assert inspect.isfunction(function) and pickle.loads(pickle.dumps(function)) is function
            assert copy.deepcopy(function) is function
            assert inspect.iscoroutinefunction(function) is inspect.iscoroutinefunction(function.__wrapped__)
            assert inspect.signature(function) == inspect.signature(function.__wrapped__)

    def test_uninstrument_puts_the_originals_back(self, telemetry: Telemetry, server: ApiServer, call: Call) -> None:
        observed = [pkgutil.resolve_name(name) for name in self.wrapped]
        otel_embed.uninstrument()
        assert [function.__wrapped__ for function in observed] == [pkgutil.resolve_name(name) for name in self.wrapped]
        call(server.origin, self.texts)
        assert not telemetry.spans()

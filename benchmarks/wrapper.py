"""The yardstick: what a good engineer writes by hand. One span with ten attributes, two histograms, nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import perf_counter
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, TracerProvider

SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
TOKENS = [4**power for power in range(14)]


def request_attributes(resource: Any, model: str) -> dict[str, Any]:
    url = resource._client.base_url
    return {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "server.address": url.host,
        "server.port": url.port or 443,
    }


def response_attributes(response: Any) -> dict[str, Any]:
    return {
        "gen_ai.response.model": response.model,
        "gen_ai.usage.input_tokens": response.usage.prompt_tokens,
        "gen_ai.embeddings.dimension.count": len(response.data[0].embedding),
        "gen_ai.request.encoding_formats": ["base64"],
        "app.embeddings.input.count": len(response.data),
    }


AS_MANY_AS_OURS: dict[str, Any] = {
    "app.input.kind": "text",
    "app.usage.source": "reported",
    "app.cost.usd": 1.8e-07,
    "app.cost.source": "table",
    "app.rate_limit.remaining.requests": 2999,
    "app.rate_limit.remaining.tokens": 999991,
    "app.server.duration": 0.041,
    "app.serialize.duration": 0.000818,
    "app.wait.duration": 0.000135,
    "app.deserialize.duration": 0.000353,
    "http.response.body.size": 8359,
}
"""What otel-embed tells of a call and the wrapper does not, as constants: what telling it takes, without finding it."""


class Reporter:
    """The tracer, the two histograms, and how a finished call is written to them."""

    def __init__(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None, more: dict[str, Any]
    ) -> None:
        self.more = more
        self.tracer = trace.get_tracer("handwritten", tracer_provider=tracer_provider)
        meter = metrics.get_meter("handwritten", meter_provider=meter_provider)
        self.duration = meter.create_histogram(
            "gen_ai.client.embeddings.duration", unit="s", explicit_bucket_boundaries_advisory=SECONDS
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.embeddings.operation.input_tokens",
            unit="{token}",
            explicit_bucket_boundaries_advisory=TOKENS,
        )

    def succeeded(self, span: Span, attributes: dict[str, Any], seconds: float, response: Any) -> None:
        told = response_attributes(response)
        if self.more:
            told.update(self.more)
        span.set_attributes(told)
        attributes["gen_ai.response.model"] = response.model
        self.duration.record(seconds, attributes)
        self.tokens.record(response.usage.prompt_tokens, attributes)

    def failed(self, span: Span, attributes: dict[str, Any], seconds: float, error: Exception) -> None:
        attributes["error.type"] = type(error).__qualname__
        span.set_attribute("error.type", type(error).__qualname__)
        self.duration.record(seconds, attributes)


def wrapped(create: Callable[..., Any], reporter: Reporter) -> Callable[..., Any]:
    @functools.wraps(create)
    def create_with_telemetry(self: Any, **kwargs: Any) -> Any:
        model = kwargs["model"]
        attributes = request_attributes(self, model)
        started = perf_counter()
        with reporter.tracer.start_as_current_span(f"embeddings {model}", None, SpanKind.CLIENT, attributes) as span:
            try:
                response = create(self, **kwargs)
            except Exception as error:
                reporter.failed(span, attributes, perf_counter() - started, error)
                raise
            reporter.succeeded(span, attributes, perf_counter() - started, response)
            return response

    return create_with_telemetry


def async_wrapped(create: Callable[..., Any], reporter: Reporter) -> Callable[..., Any]:
    @functools.wraps(create)
    async def create_with_telemetry(self: Any, **kwargs: Any) -> Any:
        model = kwargs["model"]
        attributes = request_attributes(self, model)
        started = perf_counter()
        with reporter.tracer.start_as_current_span(f"embeddings {model}", None, SpanKind.CLIENT, attributes) as span:
            try:
                response = await create(self, **kwargs)
            except Exception as error:
                reporter.failed(span, attributes, perf_counter() - started, error)
                raise
            reporter.succeeded(span, attributes, perf_counter() - started, response)
            return response

    return create_with_telemetry


def install(
    tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None, more: dict[str, Any] | None = None
) -> Callable[[], None]:
    """Put the wrapper on both `create` methods; returns what takes it off. Its spans say ``more`` as well."""
    from openai.resources.embeddings import AsyncEmbeddings, Embeddings

    reporter = Reporter(tracer_provider, meter_provider, more or {})
    create, async_create = Embeddings.create, AsyncEmbeddings.create
    Embeddings.create = wrapped(create, reporter)  # type: ignore[method-assign]
    AsyncEmbeddings.create = async_wrapped(async_create, reporter)  # type: ignore[method-assign]

    def take_off() -> None:
        Embeddings.create = create  # type: ignore[method-assign]
        AsyncEmbeddings.create = async_create  # type: ignore[method-assign]

    return take_off

"""What is compared: how each instrumentation is switched on, and where it must show the tokens of a call.

Imports little: `footprint` measures what comes after it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from telemetry import SDKS, Telemetry
from wrapper import AS_MANY_AS_OURS, install

Stop = Callable[[], None]


@dataclass(frozen=True)
class Variant:
    """`start` instruments with the given providers and returns what undoes it.

    `metric` is None where an instrumentation has no metrics, `sdks` is shorter where it insists on an SDK of its own,
    and `openai_lines` where it does not work beside every major version of openai. `keeps_tokens_up_to` is how many
    texts a call may have for the tokens to be on its span.
    """

    title: str
    distribution: str
    module: str
    start: Callable[[Telemetry], Stop]
    attribute: str = "gen_ai.usage.input_tokens"
    metric: str | None = "gen_ai.client.token.usage"
    sdks: tuple[str, ...] = SDKS
    openai_lines: tuple[int, ...] = (1, 2, 3)
    keeps_tokens_up_to: int = 1000

    def version(self) -> str | None:
        """The installed version; None where it is not installed."""
        try:
            if importlib.util.find_spec(self.module) is None:
                return None
        except ModuleNotFoundError:
            return None
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "source tree"


def make_global(telemetry: Telemetry) -> None:
    """For those that look at the global providers, whatever they are given. Log records are dropped at once."""
    if telemetry.tracer_provider is not None and telemetry.meter_provider is not None:
        trace.set_tracer_provider(telemetry.tracer_provider)
        metrics.set_meter_provider(telemetry.meter_provider)
        _logs.set_logger_provider(LoggerProvider())


def instrumentor(module: str, name: str) -> Callable[[Telemetry], Stop]:
    """An OpenTelemetry `BaseInstrumentor`, as `opentelemetry-instrument` would load it."""

    def start(telemetry: Telemetry) -> Stop:
        one = getattr(importlib.import_module(module), name)()
        one.instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
        stop: Stop = one.uninstrument
        return stop

    return start


def start_wrapper(telemetry: Telemetry) -> Stop:
    return install(telemetry.tracer_provider, telemetry.meter_provider)


def start_fuller_wrapper(telemetry: Telemetry) -> Stop:
    return install(telemetry.tracer_provider, telemetry.meter_provider, AS_MANY_AS_OURS)


def start_openlit(telemetry: Telemetry) -> Stop:
    """`openlit.init` for openai alone, with a price list on disk: it fetches its own from the internet."""
    import json
    import tempfile

    from workload import MODEL

    openlit = importlib.import_module("openlit")
    every = importlib.import_module("openlit._instrumentors").MODULE_NAME_MAP
    with tempfile.NamedTemporaryFile("w", suffix=".json") as prices:
        json.dump({"embeddings": {MODEL: 0.00002}}, prices)
        prices.flush()
        openlit.init(pricing_json=prices.name, disabled_instrumentors=[name for name in every if name != "openai"])
    return lambda: None


WRAPPER = Variant(
    "hand-written wrapper",
    "opentelemetry-sdk",
    "opentelemetry.sdk",
    start_wrapper,
    metric="gen_ai.client.embeddings.operation.input_tokens",
)

VARIANTS = {
    "wrapper-again": replace(WRAPPER, title="the same wrapper again"),
    "fuller-wrapper": replace(WRAPPER, title="wrapper with 21 attributes", start=start_fuller_wrapper),
    "otel_embed": Variant(
        "otel-embed",
        "otel-embed",
        "otel_embed.instrumentor",
        instrumentor("otel_embed.instrumentor", "EmbeddingInstrumentor"),
        metric="gen_ai.client.embeddings.operation.input_tokens",
    ),
    "genai-openai": Variant(
        "OpenTelemetry genai-openai",
        "opentelemetry-instrumentation-genai-openai",
        "opentelemetry.instrumentation.genai.openai",
        instrumentor("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor"),
    ),
    "openai-v2": Variant(
        "OpenTelemetry openai-v2",
        "opentelemetry-instrumentation-openai-v2",
        "opentelemetry.instrumentation.openai_v2",
        instrumentor("opentelemetry.instrumentation.openai_v2", "OpenAIInstrumentor"),
        openai_lines=(1, 2),  # it imports httpx, which openai 3 does not bring
    ),
    "openllmetry": Variant(
        "OpenLLMetry",
        "opentelemetry-instrumentation-openai",
        "opentelemetry.instrumentation.openai",
        instrumentor("opentelemetry.instrumentation.openai", "OpenAIInstrumentor"),
    ),
    "openlit": Variant(
        "OpenLIT", "openlit", "openlit", start_openlit, sdks=("sampled", "unsampled"), openai_lines=(1, 2)
    ),
    "openinference": Variant(
        "OpenInference",
        "openinference-instrumentation-openai",
        "openinference.instrumentation.openai",
        instrumentor("openinference.instrumentation.openai", "OpenAIInstrumentor"),
        attribute="llm.token_count.prompt",
        metric=None,
        openai_lines=(2, 3),
        keeps_tokens_up_to=100,  # an attribute for each text pushes the others over the SDK's limit of 128
    ),
}

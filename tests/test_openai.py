"""The real openai client, of whichever line is installed, against a server that bills."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from typing import Any

import openai
import pytest
from openai.resources.embeddings import AsyncEmbeddings, Embeddings

from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer

SMALL = "text-embedding-3-small"
OLDEST = not hasattr(Embeddings, "with_streaming_response")
"""The oldest client that is supported lacks dimensions, streamed responses and inputs that are any iterable."""


def client(server: OpenAIServer, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="sk-secret", **options)


def embed(server: OpenAIServer, **arguments: Any) -> Any:
    with client(server, max_retries=2) as it:
        return it.embeddings.create(**{"model": SMALL, "input": ["one two", "three"], **arguments})


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, server: OpenAIServer) -> None:
    embed(server, **({} if OLDEST else {"dimensions": 256}))
    (span,) = telemetry.spans()
    attributes = dict(span.attributes)
    stages = {name: attributes.pop(name) for name in list(attributes) if name.startswith("otel_embed.stage.")}
    measured = {name: attributes.pop(name) for name in ("http.request.body.size", "http.response.body.size")}
    limits = [attributes.pop(f"otel_embed.rate_limit.remaining.{kind}") for kind in ("requests", "tokens")]
    assert attributes.pop("otel_embed.server.duration") >= 0
    assert span.name == "embeddings text-embedding-3-small"
    assert span.kind.name == "CLIENT" and span.status.status_code.name == "UNSET"
    assert attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": SMALL,
        "gen_ai.response.model": SMALL,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.embeddings.dimension.count": 1536 if OLDEST else 256,
        "server.address": "127.0.0.1",
        "server.port": int(server.url.split(":")[2].split("/")[0]),
        "otel_embed.input.count": 2,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "reported",
        "otel_embed.cost.usd": 6e-08,
        "otel_embed.cost.source": "table",
    }
    assert all(size > 0 for size in measured.values()) and all(limit > 0 for limit in limits)
    duration = (span.end_time - span.start_time) / 1e9
    assert sum(stages.values()) == pytest.approx(duration, abs=1e-6)
    assert {"serialize", "connect", "send", "wait", "receive", "deserialize"} <= {name.split(".")[2] for name in stages}


@pytest.mark.parametrize(
    ("content", "inputs", "kind"),
    [("one", 1, "text"), (["one", "two"], 2, "text"), ([1, 2, 3], 1, "tokens"), ([[1, 2], [3]], 2, "tokens")],
)
def test_each_kind_of_input_is_counted(
    telemetry: Telemetry, server: OpenAIServer, content: Any, inputs: int, kind: str
) -> None:
    embed(server, input=content)
    (span,) = telemetry.spans()
    assert (span.attributes["otel_embed.input.count"], span.attributes["otel_embed.input.kind"]) == (inputs, kind)


@pytest.mark.parametrize("form", ["float", "base64"])
def test_dimensions_are_floats_whatever_the_encoding(telemetry: Telemetry, server: OpenAIServer, form: str) -> None:
    embed(server, encoding_format=form)
    (span,) = telemetry.spans()
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 1536
    assert span.attributes["gen_ai.request.encoding_formats"] == (form,)


def test_async_calls_at_once_are_a_span_each(telemetry: Telemetry, server: OpenAIServer) -> None:
    async def work() -> None:
        import asyncio

        async with openai.AsyncOpenAI(base_url=server.url, api_key="x") as it:
            await asyncio.gather(*[it.embeddings.create(model=SMALL, input=["a"] * n) for n in (1, 2, 3)])

    run(work())
    assert sorted(span.attributes["otel_embed.input.count"] for span in telemetry.spans()) == [1, 2, 3]
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 6


def test_a_retry_is_part_of_the_call_and_its_sleep_is_backoff(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(status=429, retry_after=0.05), Fault(status=500)])
    embed(server)
    (span,) = [span for span in telemetry.spans() if span.name.startswith("embeddings text")]
    assert span.attributes["otel_embed.retry.count"] == 2
    assert span.attributes["otel_embed.stage.backoff.duration"] > 0.04
    assert telemetry.total("otel_embed.retries", otel_embed__retry__status="429") == 1
    assert telemetry.total("otel_embed.retries", otel_embed__retry__status="500") == 1


@pytest.mark.parametrize(
    ("fault", "error_type", "cause"),
    [
        (Fault(status=400), "400", "invalid_input"),
        (Fault(status=401), "401", "authentication"),
        (Fault(status=404), "404", "not_found"),
        (Fault(status=429), "429", "rate_limited"),
        (Fault(status=429, code="insufficient_quota"), "429", "quota_exhausted"),
        (Fault(status=500), "500", "server_error"),
    ],
)
def test_a_failure_passes_through_and_its_cause_is_told(
    telemetry: Telemetry, server: OpenAIServer, fault: Fault, error_type: str, cause: str
) -> None:
    server.script([fault])
    with client(server, max_retries=0) as it, pytest.raises(openai.APIStatusError):
        it.embeddings.create(model=SMALL, input="x")
    (span,) = telemetry.spans(f"embeddings {SMALL}")
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (error_type, cause)
    assert span.status.status_code.name == "ERROR" and span.status.description is None
    assert "gen_ai.usage.input_tokens" not in span.attributes
    assert telemetry.total("otel_embed.errors", otel_embed__error__cause=cause) == 1
    assert "gen_ai.client.embeddings.operation.input_tokens" not in telemetry.metrics()


def test_a_refused_connection_and_a_timeout_are_told_apart(telemetry: Telemetry, server: OpenAIServer) -> None:
    nobody = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0)
    with nobody as it, pytest.raises(openai.APIConnectionError):
        it.embeddings.create(model=SMALL, input="x")
    server.script([Fault(header_delay=1.0)])
    with client(server, max_retries=0, timeout=0.1) as it, pytest.raises(openai.APITimeoutError):
        it.embeddings.create(model=SMALL, input="x")
    found = [span.attributes for span in telemetry.spans(f"embeddings {SMALL}")]
    assert [(each["error.type"], each["otel_embed.error.cause"]) for each in found] == [
        ("openai.APIConnectionError", "network"),
        ("openai.APITimeoutError", "timeout"),
    ]


def test_a_raw_response_keeps_its_usage_without_being_parsed(telemetry: Telemetry, server: OpenAIServer) -> None:
    with client(server) as it:
        raw = it.embeddings.with_raw_response.create(model=SMALL, input=["one two"] * 40)
        (span,) = telemetry.spans()
        assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["gen_ai.response.model"]) == (80, SMALL)
        assert len(raw.parse().data) == 40


@pytest.mark.skipif(OLDEST, reason="openai 1.3 has no with_streaming_response")
@pytest.mark.parametrize("read", ["parse", "read", "iter_bytes"])
def test_a_streamed_body_is_left_to_the_application_and_counted_when_read(
    telemetry: Telemetry, server: OpenAIServer, read: str
) -> None:
    with client(server) as it:
        with it.embeddings.with_streaming_response.create(model=SMALL, input="one two") as response:
            assert not telemetry.spans(), "the call is over when its body is"
            body = b"".join(response.iter_bytes()) if read == "iter_bytes" else getattr(response, read)()
        assert body
    (span,) = telemetry.spans()
    assert span.attributes["gen_ai.usage.input_tokens"] == 2
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 2


@pytest.mark.skipif(OLDEST, reason="openai 1.3 has no with_streaming_response")
@pytest.mark.parametrize("read", [True, False])
def test_a_streamed_response_pickles_when_it_is_over(telemetry: Telemetry, server: OpenAIServer, read: bool) -> None:
    with client(server) as it, it.embeddings.with_streaming_response.create(model=SMALL, input="one two") as response:
        for _ in response.iter_bytes() if read else ():
            pass
    assert pickle.loads(pickle.dumps(response.http_response)).status_code == 200


@pytest.mark.skipif(OLDEST, reason="openai 1.3 has no with_streaming_response")
def test_a_streamed_body_that_nobody_reads_has_no_reported_usage(telemetry: Telemetry, server: OpenAIServer) -> None:
    with client(server) as it, it.embeddings.with_streaming_response.create(model=SMALL, input="one two"):
        pass
    (span,) = telemetry.spans()
    assert span.attributes["otel_embed.usage.source"] == "estimated"


def test_a_body_that_breaks_off_is_a_network_failure(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(drop="in body")])
    with client(server, max_retries=0) as it, pytest.raises(openai.APIConnectionError):
        it.embeddings.create(model=SMALL, input="one")
    (span,) = telemetry.spans(f"embeddings {SMALL}")
    assert span.attributes["otel_embed.error.cause"] == "network"


@pytest.mark.parametrize("usage", ["absent", "null", "zeros"])
def test_usage_that_a_server_does_not_count_is_estimated(telemetry: Telemetry, server: OpenAIServer, usage: str) -> None:
    server.script([Fault(usage=usage)])
    embed(server, input="12345678")
    (span,) = telemetry.spans()
    assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["otel_embed.usage.source"]) == (2, "estimated")


def test_a_reply_without_a_model_is_known_by_the_request(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(no_model=True)])
    embed(server)
    (span,) = telemetry.spans()
    assert "gen_ai.response.model" not in span.attributes and span.attributes["otel_embed.cost.usd"] == 6e-08


def test_azure_is_called_azure(telemetry: Telemetry, server: OpenAIServer) -> None:
    root = server.url.rsplit("/v1", 1)[0]
    with openai.AzureOpenAI(azure_endpoint=root, api_key="x", api_version="2024-02-01") as it:
        it.embeddings.create(model="text-embedding-ada-002", input="one")
    (span,) = telemetry.spans()
    assert span.attributes["gen_ai.provider.name"] == "azure.ai.openai"


def test_an_unknown_model_has_no_cost_and_is_counted_as_such(telemetry: Telemetry, server: OpenAIServer) -> None:
    embed(server, model="text-embedding-of-tomorrow")
    (span,) = telemetry.spans()
    assert "otel_embed.cost.usd" not in span.attributes
    assert telemetry.total("otel_embed.unpriced") == 1


def test_wrapped_methods_stay_ordinary(telemetry: Telemetry, server: OpenAIServer) -> None:
    assert inspect.isfunction(Embeddings.create) and inspect.iscoroutinefunction(AsyncEmbeddings.create)
    assert pickle.loads(pickle.dumps(Embeddings.create)) is Embeddings.create
    assert copy.deepcopy(Embeddings.create) is Embeddings.create
    assert "input" in inspect.signature(Embeddings.create).parameters
    assert inspect.getfullargspec(Embeddings.create) == inspect.getfullargspec(Embeddings.create.__wrapped__)
    assert Embeddings.create.__qualname__ == "Embeddings.create"


def test_uninstrument_puts_the_original_back(telemetry: Telemetry, server: OpenAIServer) -> None:
    import otel_embed

    wrapped = Embeddings.create
    otel_embed.uninstrument()
    assert Embeddings.create is wrapped.__wrapped__
    embed(server)
    assert not telemetry.spans()


@pytest.mark.skipif(OLDEST, reason="openai 1.3 takes no iterables")
def test_an_iterable_that_can_be_walked_once_is_not_walked(telemetry: Telemetry, server: OpenAIServer) -> None:
    walked: list[str] = []

    def texts() -> Any:
        for text in ("one", "two"):
            walked.append(text)
            yield text

    embed(server, input=texts())
    assert walked == ["one", "two"]
    assert server.requests[-1].body["input"] == ["one", "two"]


@pytest.mark.parametrize(("setting", "expected"), [
    ("latest", {"gen_ai.client.embeddings.duration", "gen_ai.client.embeddings.operation.input_tokens"}),
    ("legacy", {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}),
])  # fmt: skip
def test_the_convention_can_be_chosen(
    telemetry: Telemetry, server: OpenAIServer, setting: str, expected: set[str]
) -> None:
    telemetry.instrument(semconv=setting)
    embed(server)
    assert {name for name in telemetry.metrics() if name.startswith("gen_ai.")} == expected


def test_input_is_captured_only_where_asked_for(telemetry: Telemetry, server: OpenAIServer) -> None:
    embed(server, input="a planted secret")
    telemetry.instrument(capture_content=True)
    embed(server, input="a planted secret")
    without, captured = [str(dict(span.attributes)) for span in telemetry.spans()]
    assert "planted" not in without and "planted" in captured
    assert "sk-secret" not in without + captured


def test_captured_input_is_cut(telemetry: Telemetry, server: OpenAIServer) -> None:
    telemetry.instrument(capture_content=True)
    embed(server, input=[f"{n:02}" + "x" * 2000 for n in range(20)])
    (message,) = json.loads(telemetry.spans()[0].attributes["gen_ai.input.messages"])
    assert [(part["content"][:2], len(part["content"])) for part in message["parts"]] == [
        (f"{n:02}", 1024) for n in range(16)
    ]
    telemetry.exporter.clear()
    embed(server, input=[[1, 2, 3]])
    assert "gen_ai.input.messages" not in telemetry.spans()[0].attributes, "no message without its text"


@pytest.mark.parametrize("order", [1, -1])
def test_of_headers_that_tell_the_same_the_providers_own_is_taken(
    order: int, telemetry: Telemetry, server: OpenAIServer
) -> None:
    """OpenAI's answers have Envoy's time too, and a gateway's may have a limit of its own."""
    pairs = [("openai-processing-ms", "40"), ("x-envoy-upstream-service-time", "95")]
    pairs += [("x-ratelimit-remaining-requests", "7"), ("ratelimit-remaining", "100")]
    embed(server, extra_headers=Fault(headers=dict(pairs[::order])).header)
    found = telemetry.spans()[0].attributes
    assert found["otel_embed.server.duration"] == 0.04
    assert found["otel_embed.rate_limit.remaining.requests"] == 7


def test_a_log_line_of_a_failed_call_is_a_warning(
    telemetry: Telemetry, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.instrument(log="text")
    caplog.set_level("INFO", "otel_embed.calls")
    with client(server) as it:
        it.embeddings.create(model=SMALL, input="one two")
        with pytest.raises(openai.BadRequestError):
            it.embeddings.create(model=SMALL, input="one two", extra_headers=Fault(status=400).header)
    good, failed = caplog.records
    assert (good.levelname, failed.levelname) == ("INFO", "WARNING")
    said = re.fullmatch(
        rf"openai {SMALL}: ([\d.]+) ms, 1 inputs, 2 tokens \(reported\), \$0.00000004 \[(.+)\]", good.getMessage()
    )
    assert said is not None, good.getMessage()
    assert sum(map(float, said[2].split()[1::2])) == pytest.approx(float(said[1]), abs=1), "each is rounded"
    assert ", 1 inputs, failed: invalid_input (400) [" in failed.getMessage()


def test_a_log_line_leads_to_its_span(
    telemetry: Telemetry, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.instrument(log="json")
    caplog.set_level("INFO", "otel_embed.calls")
    with client(server) as it:
        it.embeddings.create(model=SMALL, input="one two")
    (span,), (line,) = telemetry.spans(), caplog.messages
    told = json.loads(line)
    assert int(told["trace_id"], 16) == span.context.trace_id and int(told["span_id"], 16) == span.context.span_id
    assert told["gen_ai.usage.input_tokens"] == 2 and len(told["trace_id"]) == 32 and len(told["span_id"]) == 16

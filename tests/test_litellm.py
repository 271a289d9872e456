"""The real LiteLLM, of whichever line is installed, in front of servers that bill."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import otel_embed
from conftest import Telemetry
from every_provider import CAUSES
from fakes.bedrock_server import BedrockServer
from fakes.cohere_server import CohereServer
from fakes.faults import Fault
from fakes.google_server import GoogleServer
from fakes.ollama_server import OllamaServer
from fakes.openai_server import OpenAIServer
from fakes.server import FakeServer
from fakes.voyage_server import VoyageServer
from spans import calls, stages, usage, whole

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches one when it is imported
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import litellm

SMALL = "text-embedding-3-small"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # LiteLLM's own, a dozen of them
    pytest.mark.filterwarnings("ignore:.*Pydantic"),
    pytest.mark.filterwarnings("ignore:coroutine 'Logging.async_success_handler' was never awaited"),
]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    monkeypatch.setattr(litellm, "cache", None)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One for all asynchronous calls: LiteLLM keeps clients, and those of another loop fail once."""
    loop = asyncio.new_event_loop()
    yield loop
    left = asyncio.all_tasks(loop)  # LiteLLM's worker, on which an interpreter that ends would crash
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the type and text of what it raises."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


class Api:
    """LiteLLM's functions of one kind: the asynchronous ones where there is a loop to run them in."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop

    def embed(self, server: FakeServer, **asked: Any) -> Any:
        asked = {"model": SMALL, "input": ["one two", "three"], "api_key": "secret", **asked}
        asked.setdefault("api_base", getattr(server, "url", None))
        return self.call(litellm, **asked)

    def call(self, owner: Any, **asked: Any) -> Any:
        return self.loop.run_until_complete(owner.aembedding(**asked)) if self.loop else owner.embedding(**asked)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def api(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Api:
    return Api(loop if request.param else None)


def limits(told: dict[str, Any]) -> dict[str, Any]:
    """What the fake server says of itself."""
    names = ("otel_embed.rate_limit.remaining.requests", "otel_embed.rate_limit.remaining.tokens")
    return {name: told.pop(name) for name in (*names, "otel_embed.server.duration")}


def test_a_call_is_one_span_with_all_that_is_known(telemetry: Telemetry, server: OpenAIServer, api: Api) -> None:
    api.embed(server)
    (span,) = calls(telemetry)
    assert span.name == f"embeddings {SMALL}" and span.kind.name == "CLIENT"
    told = whole(span)
    assert min(limits(told).values()) >= 0
    assert told == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": SMALL,
        "gen_ai.response.model": SMALL,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.embeddings.dimension.count": 1536,
        "server.address": "127.0.0.1",
        "server.port": server.server_address[1],
        "otel_embed.input.count": 2,
        "otel_embed.input.kind": "text",
        "otel_embed.usage.source": "reported",
        "otel_embed.cost.usd": 6e-08,
        "otel_embed.cost.source": "table",
    }
    assert {"otel_embed.stage.wait.duration", "otel_embed.stage.receive.duration"} <= set(span.attributes)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3
    assert telemetry.total("otel_embed.cost") == 6e-08


PROVIDERS = [
    (f"openai/{SMALL}", "openai", SMALL),
    ("together_ai/BAAI/bge-base-en-v1.5", "together", "BAAI/bge-base-en-v1.5"),
    ("jina_ai/jina-embeddings-v3", "jina", "jina-embeddings-v3"),
    ("voyage/voyage-3", "voyage", "voyage-3"),
    ("mistral/mistral-embed", "mistral_ai", "mistral-embed"),
]


@pytest.mark.parametrize(("asked", "provider", "model"), PROVIDERS)
def test_the_provider_behind_it_is_named_and_its_price_is_known(
    telemetry: Telemetry, server: OpenAIServer, asked: str, provider: str, model: str
) -> None:
    Api().embed(server, model=asked)
    (span,) = calls(telemetry)
    told = whole(span)
    assert (told["gen_ai.provider.name"], told["gen_ai.request.model"]) == (provider, model)
    assert told["otel_embed.cost.usd"] > 0 and told["otel_embed.cost.source"] == "table"


def test_azure_is_called_azure(telemetry: Telemetry, server: OpenAIServer, api: Api) -> None:
    api.embed(server, model="azure/text-embedding-ada-002", api_base=server.origin, api_version="2024-02-01")
    (span,) = calls(telemetry)
    assert span.attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert span.attributes["otel_embed.cost.usd"] == 3e-07


def test_a_price_that_only_litellm_knows_is_its_own(
    telemetry: Telemetry, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = {"input_cost_per_token": 2e-06, "litellm_provider": "openai", "mode": "embedding"}
    monkeypatch.setitem(litellm.model_cost, "house-model", price)
    Api().embed(server, model="openai/house-model")
    (span,) = calls(telemetry)
    told = whole(span)
    assert (told["otel_embed.cost.usd"], told["otel_embed.cost.source"]) == (pytest.approx(6e-06), "provider")


def test_an_unknown_model_has_no_cost_and_is_counted_as_such(telemetry: Telemetry, server: OpenAIServer) -> None:
    Api().embed(server, model="openai/model-of-tomorrow")
    (span,) = calls(telemetry)
    assert "otel_embed.cost.usd" not in span.attributes and telemetry.total("otel_embed.unpriced") == 1


IMAGE = "data:image/png;base64," + base64.b64encode(b"\x89PNG" * 9000).decode()
TITAN, NOVA = "bedrock/amazon.titan-embed-image-v1", "bedrock/amazon.nova-2-multimodal-embeddings-v1:0"
VOYAGE = {"content": [{"type": "text", "text": "one two"}, {"type": "image_url", "image_url": {"url": IMAGE}}]}
IMAGES: list[tuple[str, type[FakeServer], list[Any], str, tuple[Any, Any], tuple[Any, Any]]] = [
    ("cohere/embed-v4.0", CohereServer, [IMAGE], "image", (None, None), (0.0007567, "table")),
    ("cohere/embed-english-v3.0", CohereServer, [IMAGE] * 2, "image", (None, None), (0.0002, "provider")),
    (TITAN, BedrockServer, [IMAGE] * 2, "image", (None, None), (0.00012, "table")),
    (TITAN, BedrockServer, ["one two", IMAGE], "mixed", (2, "reported"), (0.0000616, "table")),
    (NOVA, BedrockServer, [IMAGE], "image", (None, None), (0.00006, "table")),
    # LiteLLM makes up tokens for it, and leaves its text out of the cost.
    (NOVA, BedrockServer, ["one two", IMAGE], "mixed", (None, None), (None, None)),
    ("gemini/gemini-embedding-2-preview", GoogleServer, [IMAGE], "image", (None, None), (None, None)),
    # The pixels are lost in LiteLLM, but for a third of their price as tokens of text.
    ("voyage/voyage-multimodal-3", VoyageServer, [VOYAGE], "mixed", (359, "reported"), (None, None)),
]
newest = pytest.mark.skipif(Version(version("litellm")) < Version("1.100"), reason="older ones tell less of images")


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y"), ("REGION_NAME", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)


def at(server: FakeServer) -> dict[str, Any]:
    """Where LiteLLM is to send a call."""
    if isinstance(server, BedrockServer):
        return {"aws_bedrock_runtime_endpoint": server.origin, "api_key": None}
    paths = {CohereServer: "/v2/embed", VoyageServer: "/v1"}
    return {"api_base": server.origin + paths.get(type(server), "")}


@pytest.fixture
def tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions would download what they ship."""
    shipped = Path(litellm.__file__).with_name("litellm_core_utils") / "tokenizers"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(shipped))


@newest
@pytest.mark.parametrize(("model", "serve", "content", "kind", "tokens", "cost"), IMAGES)
def test_an_image_is_no_text(
    telemetry: Telemetry, api: Api, amazon: None, model: str, serve: type[FakeServer], content: list[Any], kind: str,
    tokens: tuple[Any, Any], cost: tuple[Any, Any],
) -> None:  # fmt: skip
    with serve() as server:
        api.embed(server, model=model, input=content, **at(server))
    (span,) = calls(telemetry)
    told = span.attributes
    assert (told["otel_embed.input.kind"], told["otel_embed.input.count"]) == (kind, len(content))
    assert usage(span) == tokens
    assert told.get("otel_embed.cost.usd") == (None if cost[0] is None else pytest.approx(cost[0]))
    assert told.get("otel_embed.cost.source") == cost[1]
    assert telemetry.total("otel_embed.unpriced") == (cost[0] is None)


def test_an_image_is_never_estimated(telemetry: Telemetry, api: Api, amazon: None, tokenizers: None) -> None:
    """In any version of LiteLLM: what is not told of an image is not known."""
    with BedrockServer() as server:
        api.embed(server, model=TITAN, input=IMAGE, **at(server))
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.input.kind"] == "image" and usage(span) == (None, None)
    assert span.attributes.get("otel_embed.cost.usd") in (None, 6e-05)


@pytest.mark.parametrize("content", ["data: one two", ["gs one", "data:1,2"], ["files/one", "s3://one"]])
def test_a_text_that_only_begins_like_a_file_is_a_text(
    telemetry: Telemetry, server: OpenAIServer, content: Any
) -> None:
    server.script([Fault(usage="zeros")])
    Api().embed(server, input=content)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.input.kind"] == "text" and usage(span)[1] == "estimated"


@newest
def test_an_image_that_a_cache_knows_costs_and_saves_nothing_that_is_known(
    telemetry: Telemetry, amazon: None, cached: None
) -> None:
    with BedrockServer() as server:
        for _ in range(2):
            Api().embed(server, model=TITAN, input=[IMAGE], **at(server))
    first, second = calls(telemetry)
    assert first.attributes["otel_embed.cost.usd"] == telemetry.total("otel_embed.cost") == 6e-05
    assert second.attributes["otel_embed.cache.hits"] == 1
    assert not {"otel_embed.cost.usd", "otel_embed.saved.tokens", "otel_embed.saved.usd"} & set(second.attributes)


@newest
def test_a_model_of_vertex_ai_is_known_without_a_prefix(
    telemetry: Telemetry, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from litellm.llms.vertex_ai.vertex_embeddings.embedding_handler import VertexEmbedding

    async def login(*_: Any, **__: Any) -> tuple[str, str]:
        return "token", "project"

    monkeypatch.setattr(VertexEmbedding, "_ensure_access_token", lambda *_, **__: ("token", "project"))
    monkeypatch.setattr(VertexEmbedding, "_ensure_access_token_async", login)
    with GoogleServer() as server:
        where = {"vertex_project": "project", "vertex_location": "us-central1", **at(server)}
        api.embed(server, model="text-embedding-005", **where)
    (span,) = calls(telemetry)
    told = span.attributes
    assert (told["gen_ai.provider.name"], told["gen_ai.request.model"]) == ("gcp.vertex_ai", "text-embedding-005")
    # By the character, of which there are eleven.
    assert usage(span) == (3, "reported") and told["otel_embed.cost.usd"] == pytest.approx(11 * 0.025 / 1e6)


def test_what_litellm_counts_itself_is_not_reported(
    telemetry: Telemetry, api: Api, monkeypatch: pytest.MonkeyPatch, tokenizers: None
) -> None:
    with OllamaServer() as ollama:
        monkeypatch.setenv("OLLAMA_API_BASE", ollama.origin)  # where it looks up what a model can do
        api.embed(ollama, model="ollama/nomic-embed-text", api_base=ollama.origin)
    (span,) = calls(telemetry)
    assert span.attributes["gen_ai.provider.name"] == "ollama" and usage(span) == (3, "counted")
    assert "otel_embed.unpriced" not in telemetry.metrics()


def test_both_names_of_a_function_are_seen_once(telemetry: Telemetry, server: OpenAIServer, api: Api) -> None:
    for owner in (litellm, litellm.main):
        api.call(owner, model=SMALL, input="one two", api_base=server.url, api_key="x")
    assert [usage(span) for span in calls(telemetry)] == [(2, "reported")] * 2 and server.billed.requests == 2


PROGRAM = """
import os
{first}
import litellm
import otel_embed
otel_embed.instrument()
litellm.embedding(model="text-embedding-3-small", input="one two", api_base="{url}", api_key="x")
otel_embed.uninstrument()
litellm.embedding(model="text-embedding-3-small", input="one two", api_base="{url}", api_key="x")
otel_embed.instrument()
litellm.embedding(model="text-embedding-3-small", input="one two", api_base="{url}", api_key="x")
summary = otel_embed.summary()
print(summary.calls, summary.tokens)
"""


@pytest.mark.parametrize("first", ["", "import otel_embed; otel_embed.instrument()"], ids=["after us", "before us"])
def test_it_makes_no_difference_who_is_imported_first(server: OpenAIServer, first: str) -> None:
    program = PROGRAM.format(first=first, url=server.url)
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OTEL_METRICS_EXPORTER": "none"}
    found = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "2 4", found.stderr


def test_each_attempt_of_a_router_is_a_call(telemetry: Telemetry, server: OpenAIServer, api: Api) -> None:
    with OpenAIServer() as broken:
        broken.by_model["text-embedding-3-large"] = Fault(401)
        router = litellm.Router(
            model_list=[deployment("first", broken, "text-embedding-3-large"), deployment("second", server, SMALL)],
            fallbacks=[{"first": ["second"]}],
            num_retries=0,
        )
        api.call(router, model="first", input=["one two"])
    failed, good = calls(telemetry)
    assert failed.attributes["error.type"] == "401" and usage(good) == (2, "reported")
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 2


def deployment(name: str, server: OpenAIServer, model: str) -> Any:
    return {"model_name": name, "litellm_params": {"model": model, "api_base": server.url, "api_key": "x"}}


def test_a_retry_is_part_of_the_call(telemetry: Telemetry, server: OpenAIServer, api: Api) -> None:
    server.script([Fault(429, retry_after=0.05), Fault(500, retry_after=0.05)])
    api.embed(server, max_retries=2)
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.retry.count"] == 2
    assert span.attributes["otel_embed.stage.backoff.duration"] > 0.09
    assert usage(span) == (3, "reported") and server.billed.tokens == 3


@pytest.mark.parametrize(("status", "cause"), CAUSES.items())
def test_a_failure_passes_through_and_its_cause_is_told(
    telemetry: Telemetry, server: OpenAIServer, api: Api, status: int, cause: str
) -> None:
    server.script([Fault(status, retry_after=0.01)] * 3)
    raised, _ = outcome(lambda: api.embed(server, max_retries=0))
    assert raised.__module__ == "litellm.exceptions"
    (span,) = calls(telemetry)
    assert (span.attributes["error.type"], span.attributes["otel_embed.error.cause"]) == (str(status), cause)
    assert span.status.description is None and "gen_ai.usage.input_tokens" not in span.attributes


def test_a_status_that_litellm_makes_up_is_not_believed(telemetry: Telemetry, api: Api) -> None:
    with OpenAIServer() as gone:
        pass
    raised, _ = outcome(lambda: api.embed(gone, max_retries=1))
    (span,) = calls(telemetry)
    assert span.attributes["error.type"] == f"litellm.exceptions.{raised.__name__}"
    assert span.attributes["otel_embed.error.cause"] == "network"


def test_running_out_of_time_is_told(telemetry: Telemetry, server: OpenAIServer, api: Api) -> None:
    server.script([Fault(header_delay=1)] * 3)
    outcome(lambda: api.embed(server, timeout=0.2, max_retries=1))
    (span,) = calls(telemetry)
    assert span.attributes["otel_embed.error.cause"] == "timeout"


@pytest.mark.parametrize("fault", [Fault(), Fault(401), Fault(malformed=True), Fault(usage="zeros")])
def test_results_and_exceptions_are_what_they_are_without_us(
    telemetry: Telemetry, server: OpenAIServer, api: Api, fault: Fault
) -> None:
    def vectors() -> Any:
        result = api.embed(server)
        return type(result), [each["embedding"] for each in result.data], result.usage.prompt_tokens

    server.script([fault])
    seen = outcome(vectors)
    assert len(calls(telemetry)) == 1
    otel_embed.uninstrument()
    server.script([fault])
    assert outcome(vectors) == seen


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(litellm, "cache", litellm.Cache())
    yield
    for name in ("input_callback", "success_callback", "_async_success_callback"):
        monkeypatch.setattr(litellm, name, [each for each in getattr(litellm, name) if each != "cache"])


def test_what_its_cache_knows_no_provider_is_asked(telemetry: Telemetry, server: OpenAIServer, cached: None) -> None:
    for _ in range(2):
        Api().embed(server)
    first, second = calls(telemetry)
    miss, hit = whole(first), {name: value for name, value in second.attributes.items() if ".stage." not in name}
    assert (miss["otel_embed.cache.hits"], miss["otel_embed.cache.misses"]) == (0, 2)
    assert miss["gen_ai.usage.input_tokens"] == 3
    assert hit == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": SMALL,
        "server.address": "127.0.0.1",
        "server.port": server.server_address[1],
        "otel_embed.input.count": 2,
        "otel_embed.cache.store": "litellm",
        "otel_embed.cache.hits": 2,
        "otel_embed.cache.misses": 0,
        "otel_embed.saved.tokens": 3,
        "otel_embed.saved.usd": 6e-08,
    }
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3
    assert {"cache_lookup", "other"} == stages(second).keys() and telemetry.total("otel_embed.inputs") == 2
    document = otel_embed.summary().document
    (provider,), (row,) = document["providers"], document["caches"]
    assert provider["calls"] == provider["latency"]["count"] == 1
    assert (row["component"], row["store"], row["hits"], row["misses"]) == ("openai", "litellm", 2, 2)
    assert telemetry.total("otel_embed.cost") == telemetry.total("otel_embed.saved.cost") == 6e-08
    assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome="hit") == 2
    assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome="miss") == 2


def test_of_what_its_cache_knows_in_part_the_rest_is_billed(
    telemetry: Telemetry, server: OpenAIServer, cached: None, loop: asyncio.AbstractEventLoop
) -> None:
    for texts in (["five", "six6"], ["five", "six6"], ["five", "nine ten eleven"]):
        Api(loop).embed(server, input=texts)
    spans = calls(telemetry)
    found = [(span.attributes["otel_embed.cache.hits"], span.attributes["otel_embed.cache.misses"]) for span in spans]
    assert found == [(0, 2), (2, 0), (1, 1)]
    rest = server.billed.tokens - 2  # some versions send all inputs again
    assert [usage(span) for span in spans] == [(2, "reported"), (None, None), (rest, "reported")]
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 2 + rest
    assert telemetry.total("otel_embed.cost") == pytest.approx((2 + rest) * 20_000 / 1e12)
    assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome="hit") == 3
    assert telemetry.total("otel_embed.inputs") == otel_embed.summary().inputs == 3


@newest
def test_of_images_that_its_cache_knows_in_part_the_rest_is_billed(
    telemetry: Telemetry, amazon: None, cached: None, loop: asyncio.AbstractEventLoop
) -> None:
    with BedrockServer() as server:
        for images in ([IMAGE], [IMAGE, IMAGE + "AAAA"]):
            Api(loop).embed(server, model=TITAN, input=images, **at(server))
    _, second = calls(telemetry)
    assert (second.attributes["otel_embed.cache.hits"], second.attributes["otel_embed.cache.misses"]) == (1, 1)
    assert server.billed.inputs == 2 and telemetry.total("otel_embed.cost") == pytest.approx(2 * 6e-05)


def test_uninstrument_puts_the_originals_back(telemetry: Telemetry, server: OpenAIServer, api: Api) -> None:
    wrapped = [litellm.embedding, litellm.aembedding, litellm.main.embedding, litellm.main.aembedding]
    otel_embed.uninstrument()
    now = [litellm.embedding, litellm.aembedding, litellm.main.embedding, litellm.main.aembedding]
    assert now == [each.__wrapped__ for each in wrapped]
    api.embed(server)
    assert not calls(telemetry)

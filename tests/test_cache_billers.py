"""What a cache's hit would have cost is what its own embedder takes, and never another's price."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import Embeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import AzureOpenAIEmbeddings, OpenAIEmbeddings

import otel_embed
from conftest import Telemetry
from fakes.openai_server import OpenAIServer
from otel_embed import identity as identities
from otel_embed.identity import identity
from otel_embed.pricing.billers import Billers
from otel_embed.pricing.prices import Prices

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
TEXT = "a text of ten words or so it may be said"
AZURES_PRICE = f'[[price]]\nprovider = "azure.ai.openai"\nmodel = "{SMALL}"\nusd_per_million_tokens = 0.01\n'
NO_DIVISION: Any = {"check_embedding_ctx_length": False, "api_key": "x"}


class Handmade(Embeddings):
    """It says nothing of its model."""

    def __init__(self, client: openai.OpenAI, name: str) -> None:
        self.client, self.name = client, name

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [each.embedding for each in self.client.embeddings.create(model=self.name, input=texts).data]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class Named(Handmade):
    model = SMALL


class Local(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, 2.0]] * len(texts)

    def embed_query(self, text: str) -> list[float]:
        return [1.0, 2.0]


def cached(embedder: Embeddings, store: InMemoryByteStore | None = None) -> CacheBackedEmbeddings:
    store = InMemoryByteStore() if store is None else store
    return CacheBackedEmbeddings.from_bytes_store(embedder, store, namespace="n", key_encoder="sha256")


def clients(server: OpenAIServer) -> tuple[openai.OpenAI, openai.AzureOpenAI]:
    origin = server.url.removesuffix("/v1")
    azure = openai.AzureOpenAI(azure_endpoint=origin, api_key="x", api_version="2024-10-21")
    return openai.OpenAI(base_url=server.url, api_key="x"), azure


@pytest.fixture
def prices(telemetry: Telemetry, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(AZURES_PRICE)
    telemetry.instrument(prices=str(tmp_path / "prices.toml"))


def test_embedders_that_name_no_model_are_told_apart(telemetry: Telemetry, server: OpenAIServer) -> None:
    client, _ = clients(server)
    small = Handmade(client, SMALL)
    first = cached(small)
    first.embed_documents([TEXT])
    cached(Handmade(client, LARGE)).embed_documents(["another one"])
    first.embed_documents([TEXT])
    cached(small, first.document_embedding_store.store).embed_documents([TEXT])
    billed = server.billed.by_model[SMALL].tokens
    summary = otel_embed.summary()
    assert summary.saved_tokens == 2 * billed
    assert summary.saved_usd == pytest.approx(2 * billed * 0.02e-6)


@pytest.mark.usefixtures("prices")
@pytest.mark.parametrize("handmade", [False, True])
def test_providers_of_one_model_are_told_apart(server: OpenAIServer, handmade: bool) -> None:
    of_openai, of_azure = clients(server)
    embedders: tuple[Embeddings, Embeddings] = Named(of_azure, SMALL), Named(of_openai, SMALL)
    if not handmade:
        origin = server.url.removesuffix("/v1")
        azure: Any = {"azure_endpoint": origin, "api_version": "2024-10-21", **NO_DIVISION}
        embedders = (
            AzureOpenAIEmbeddings(model=SMALL, **azure),
            OpenAIEmbeddings(model=SMALL, base_url=server.url, **NO_DIVISION),
        )
    dearer, cheaper = cached(embedders[1]), cached(embedders[0])
    cheaper.embed_documents([TEXT])
    billed = server.billed.tokens
    dearer.embed_documents(["another one"])
    cheaper.embed_documents([TEXT])
    assert otel_embed.summary().saved_usd == pytest.approx(billed * 0.01e-6)


@pytest.mark.usefixtures("prices")
def test_before_an_embedder_was_seen_to_be_billed_its_price_is_unknown(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    of_openai, of_azure = clients(server)
    store = InMemoryByteStore()
    cached(Named(of_openai, SMALL), store).embed_documents([TEXT])
    behind_azure = cached(Named(of_azure, SMALL), store)
    behind_azure.embed_documents([TEXT])
    assert otel_embed.summary().saved_tokens > 0 and telemetry.total("otel_embed.saved.cost") == 0
    behind_azure.embed_documents(["not known before"])
    behind_azure.embed_documents(["not known before"])
    assert telemetry.total("otel_embed.saved.cost") == pytest.approx(3 * 0.01e-6)


def test_a_local_models_hits_save_no_dollars(telemetry: Telemetry, server: OpenAIServer) -> None:
    local = cached(Local())
    local.embed_documents([TEXT])
    cached(Handmade(clients(server)[0], LARGE)).embed_documents(["another one"])
    local.embed_documents([TEXT])
    assert telemetry.total("otel_embed.saved.cost") == 0
    assert not [span for span in telemetry.spans() if "otel_embed.saved.usd" in span.attributes]


class TestBillers:
    def test_the_price_is_known_where_all_agree(self) -> None:
        billers = Billers(Prices.load(None, print))
        assert not billers.know(SMALL) and billers.price(SMALL, SMALL) is None
        billers.see(SMALL, ("openai", SMALL))
        billers.see(SMALL, ("azure.ai.openai", SMALL))
        price = billers.price(SMALL, SMALL)
        assert price is not None and price.usd_per_million == 0.02
        billers.see(SMALL, ("openai", LARGE))
        assert billers.know(SMALL) and billers.price(SMALL, SMALL) is None

    def test_who_has_no_price_agrees_with_nobody(self) -> None:
        billers = Billers(Prices.load(None, print))
        billers.see(SMALL, ("openai", SMALL))
        billers.see(SMALL, ("nobody", SMALL))
        assert billers.price(SMALL, SMALL) is None

    def test_too_many_are_as_if_none_were_known(self) -> None:
        billers = Billers(Prices.load(None, print))
        for number in range(100):
            billers.see(SMALL, ("openai", f"{SMALL}-{number}"))
        assert billers.price(SMALL, SMALL) is None
        for number in range(2000):
            billers.see(number, ("openai", SMALL))
        assert billers.price(500, None) is not None and not billers.know(1999)


class TestIdentity:
    def test_an_object_has_one_and_no_other_has_it(self) -> None:
        one, other = Local(), Local()
        assert identity(one) == identity(one) != identity(other)

    def test_a_new_object_in_the_place_of_an_old_one_has_another(self) -> None:
        seen = set()
        for _ in range(200):
            thing = Local()
            seen.add(identity(thing))
            del thing
        assert len(seen) == 200

    def test_what_has_no_weak_references_has_none(self) -> None:
        assert identity(None) is None and identity("text") is None

    def test_what_is_known_is_bounded_and_what_is_gone_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(identities, "_NUMBERED", {})
        kept = [Local() for _ in range(identities.MOST)]
        assert None not in map(identity, kept)
        assert identity(Local()) is None
        del kept[:10]
        gc.collect()
        assert identity(Local()) is not None

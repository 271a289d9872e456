"""Planted secrets come out nowhere: no span, metric, log line, report or baggage has them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.embeddings import Embeddings, FakeEmbeddings
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry import baggage, context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import otel_embed
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.cli.document import load, merge
from otel_embed.cli.report_html import page
from otel_embed.cli.report_text import write

TEXT, KEY, PASSWORD, SAID, HEADER, BAGGAGE = (
    f"s3cret-{what}" for what in ("text", "key", "password", "exception", "header", "baggage")
)
SECRETS = (TEXT, KEY, PASSWORD, SAID, HEADER, BAGGAGE)
MODEL = "text-embedding-3-small"


HEARING = """
import os, sys
connected, written = set(), set()
def hear(event, said):
    if event == "socket.connect":
        connected.add(said[1])
    elif event == "open" and said[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.add(said[0])
sys.addaudithook(hear)
import otel_embed
otel_embed.instrument()
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
url = sys.argv[1]
embedder = OpenAIEmbeddings(model="text-embedding-3-small", base_url=url, api_key="x", check_embedding_ctx_length=False)
cached = CacheBackedEmbeddings.from_bytes_store(embedder, InMemoryByteStore(), namespace="n", key_encoder="sha256")
for _ in range(2):
    cached.embed_documents(["one two", "three"])
ChatOpenAI(model="gpt-4o-mini", base_url=url, api_key="x").invoke("one")
otel_embed.flush()
assert otel_embed.summary().cache_hits == 2
print(sorted(connected), sorted(filter(os.path.isfile, written)))  # tempfile tries whether it may write
"""


class Failing(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise ValueError(f"cannot embed {texts} because of {SAID}")

    def embed_query(self, text: str) -> list[float]:
        raise KeyError(SAID)


def fail(work: Any) -> None:
    try:
        work()
    except Exception as error:
        assert error is not None
        return
    raise AssertionError("it was to fail")


def everything(server: OpenAIServer) -> None:
    """Calls of every kind, good and bad, with a secret wherever a program can have one."""
    url = server.url.replace("http://", f"http://user:{PASSWORD}@")
    token = context.attach(baggage.set_baggage("token", BAGGAGE))
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=1, default_headers={"x-internal": HEADER}) as client:
        create = client.embeddings.create
        create(model=MODEL, input=[f"{TEXT} one", f"{TEXT} one", TEXT], user=HEADER)
        create(model=MODEL, input=TEXT, encoding_format="float")
        client.embeddings.with_raw_response.create(model=MODEL, input=TEXT)
        server.script([Fault(status=500, retry_after=0.0)])
        create(model=MODEL, input=TEXT)
        for fault in (Fault(status=400), Fault(status=401), Fault(malformed=True), Fault(drop="in body")):
            fail(lambda fault=fault: create(model=MODEL, input=TEXT, extra_headers=fault.header))
    with openai.OpenAI(base_url=f"http://user:{PASSWORD}@127.0.0.1:9/v1", api_key=KEY, max_retries=0) as nobody:
        fail(lambda: nobody.embeddings.create(model=MODEL, input=TEXT))
    fail(lambda: Failing().embed_documents([TEXT]))
    fail(lambda: Failing().embed_query(TEXT))
    embedder = OpenAIEmbeddings(model=MODEL, base_url=url, api_key=KEY, check_embedding_ctx_length=False)
    store = InMemoryVectorStore(embedder)
    store.add_texts([TEXT], metadatas=[{"who": TEXT}])
    asyncio.run(store.asimilarity_search(TEXT))
    chat = ChatPromptTemplate.from_messages([("user", "{q}")]) | ChatOpenAI(model="gpt-4o-mini", base_url=url, api_key=KEY)
    chat.invoke({"q": TEXT})
    list(chat.stream({"q": TEXT}))
    fail(lambda: RunnableLambda(lambda text: int(text)).invoke(TEXT))
    context.detach(token)


def told(telemetry: Telemetry, records: list[logging.LogRecord], folder: Path) -> dict[str, str]:
    """All that came out, by where."""
    data = telemetry.reader.get_metrics_data()
    file = folder / "summary.json"
    file.write_text(json.dumps(otel_embed.summary().document))
    text = io.StringIO()
    write(load(file), text)
    return {
        "spans": "".join(span.to_json() for span in telemetry.spans()),
        "metrics": data.to_json() if data is not None else "",
        "log": "\n".join(record.getMessage() + str(record.exc_info) for record in records if record.name.startswith("otel")),
        "summary": file.read_text(),
        "report": text.getvalue(),
        "page": page(merge([load(file)])),
    }


def test_no_secret_comes_out(
    telemetry: Telemetry, server: OpenAIServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    telemetry.instrument(log="json", stage_spans="always", semconv="both", baggage_attributes=("tenant",))
    with caplog.at_level(logging.DEBUG):
        everything(server)
    came = told(telemetry, caplog.records, tmp_path)
    assert all(came.values()), {where: len(what) for where, what in came.items()}
    assert len(telemetry.spans()) > 20
    assert [(where, secret) for where, what in came.items() for secret in SECRETS if secret in what] == []


def test_captured_content_is_in_the_attributes_that_are_for_it_and_nowhere_else(
    telemetry: Telemetry, server: OpenAIServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    telemetry.instrument(log="json", stage_spans="always", capture_content=True)
    with caplog.at_level(logging.DEBUG):
        everything(server)
    spans = telemetry.spans()
    holding = {
        name
        for span in spans
        for name, value in span.attributes.items()
        if any(secret in str(value) for secret in SECRETS)
    }
    assert holding == {"gen_ai.input.messages"}
    assert {secret for secret in SECRETS for span in spans if secret in span.to_json()} == {TEXT}
    came = told(telemetry, caplog.records, tmp_path)
    del came["spans"]
    assert [(where, secret) for where, what in came.items() for secret in SECRETS if secret in what] == []


def test_captured_content_that_is_no_whole_text_is_exported(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of a surrogate pair, as in a name of a file that is not UTF-8: an exporter would drop the attribute."""
    telemetry.instrument(capture_content=True)
    FakeEmbeddings(size=3).embed_documents(["caf\udce9", "é \U0001f600"])
    GenericFakeChatModel(messages=iter([AIMessage("\ud83d!")])).invoke("caf\udce9")
    (sent,) = encode_spans(telemetry.spans()).resource_spans
    told = {each.key: each.value.string_value for span in sent.scope_spans[0].spans for each in span.attributes}
    assert not caplog.records
    assert [span.attributes["gen_ai.input.messages"] for span in telemetry.spans()] == [
        '[{"role": "user", "parts": [{"type": "text", "content": "caf?"}, {"type": "text", "content": "é \U0001f600"}]}]',
        '[{"role": "user", "parts": [{"type": "text", "content": "caf?"}]}]',
    ]
    assert '"content": "?!"' in told["gen_ai.output.messages"]


def test_an_attribute_that_was_asked_for_is_told(telemetry: Telemetry, server: OpenAIServer) -> None:
    telemetry.instrument(baggage_attributes=("token",))
    everything(server)
    assert any(BAGGAGE in span.to_json() for span in telemetry.spans())


def test_it_connects_to_nothing_and_leaves_no_file(server: OpenAIServer) -> None:
    """A program connects to its provider alone."""
    ran = subprocess.run([sys.executable, "-B", "-c", HEARING, server.url], capture_output=True, text=True)
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"[('127.0.0.1', {port})] []\n", "")

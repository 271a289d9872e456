"""What applications do with the client of each provider and with each framework, in short, for tests to repeat."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import traceback
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import dashscope
import openai
from haystack.components.embedders import OpenAITextEmbedder
from haystack.utils import Secret
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.ingestion import IngestionCache
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.openai import OpenAIEmbedding
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider

import bedrock_clients
import otel_embed
from every_provider import EveryProvider
from fakes.bedrock_server import BedrockServer
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from fakes.server import FakeServer
from otel_embed.report.coexist import MARK
from test_langchain_chat import OpenAI, Shelf, Thinking, double, fake
from test_litellm import Api, litellm

MODEL = "text-embedding-3-small"
ASKED: dict[str, Any] = {"model": MODEL, "dimensions": 4}
REFUSED = Fault(status=400, headers={"connection": "close"})
"""Whoever asks again connects anew."""
Doing = Callable[..., Any]


class Application:
    """One that is set up, and does the same each time it is run."""

    server: FakeServer

    def __init__(self, name: str, starts: Callable[[], FakeServer], does: Callable[[Any, Work], None]) -> None:
        self.name, self._starts, self._does = name, starts, does
        self.asynchronous = "async" in name or "aio" in name
        self._stack = ExitStack()

    def __enter__(self) -> Application:
        self.server = self._stack.enter_context(self._starts())
        self.work = Work()
        self._stack.callback(self.work.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self) -> dict[str, Any]:
        """What the application saw, and what it sent."""
        self.server.requests.clear()
        self.server.forget()
        self.work.outcomes = []
        self._does(self.server, self.work)
        sent = sorted([(each.path, repr(each.body)) for each in self.server.requests])
        return {"outcomes": self.work.outcomes, "sent": sent}


class Work:
    """The calls of an application, with how each of them ended; and what it keeps from run to run."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.outcomes: list[Any] = []
        self.kept: dict[str, Any] = {}
        self._stack = AsyncExitStack()

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def enter(self, name: str, make: Callable[[], Any]) -> Any:
        """Keep what an asynchronous ``with`` gives."""
        return self.keep(name, lambda: self.wait_for(self._stack.enter_async_context(make())))

    def do(self, call: Doing, plain: Callable[[Any], Any] = lambda result: result) -> None:
        try:
            result = call()
        except Exception as error:
            self.outcomes.append(raised(error))
        else:
            dump = getattr(result, "model_dump", None)
            self.outcomes.append((type(result), dump(warnings=False) if dump else plain(result)))

    def wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.wait_for(self._stack.aclose())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


def raised(error: BaseException | None) -> list[Any]:
    """An exception and those behind it, each with where it passed through, but for where that is in otel_embed."""
    chain: list[Any] = []
    while error is not None:
        frames = [(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)
                  if not frame.filename.startswith(OURS)]  # fmt: skip
        chain.append((type(error), str(error), error.__suppress_context__, frames))
        error = error.__cause__ or error.__context__
    return chain


OURS = (str(Path(otel_embed.__file__).parent), str(Path(__file__).parent / "breaking.py"))


def leaves(kind: type[EveryProvider]) -> Iterator[type[EveryProvider]]:
    below = kind.__subclasses__()
    for each in below:
        yield from leaves(each)
    if not below:
        yield kind


def client_of(provider: EveryProvider, asynchronous: bool) -> Callable[[Any, Work], None]:
    def does(server: Any, work: Work) -> None:
        def call() -> Any:
            if asynchronous:
                return work.wait_for(provider.aembed(server.origin, provider.texts))
            return provider.embed(server.origin, provider.texts)

        work.do(call, provider.plain)
        server.script([REFUSED])
        work.do(call, provider.plain)

    return does


def clients() -> Iterator[Application]:
    """Every client that has tests of its own which are written once for all of them."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if "(EveryProvider)" in file.read_text():
            importlib.import_module(file.stem)
    for kind in sorted(leaves(EveryProvider), key=lambda kind: kind.__module__):
        name = f"{kind.__module__.removeprefix('test_')}.{kind.__name__.removeprefix('Test')}"
        for asynchronous in (False, True)[: 1 + kind.asynchronous]:
            yield Application(f"{name}-{'a' * asynchronous}sync", kind.server_class, client_of(kind(), asynchronous))


dashscope.api_key = "x"
APPLICATIONS = [*clients()]


def application(does: Callable[[Any, Work], None], starts: Callable[[], FakeServer] = OpenAIServer) -> Any:
    APPLICATIONS.append(Application(does.__name__, starts, does))
    return does


@application
def openai_sync(server: OpenAIServer, work: Work) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client, otel_embed.track():
        create = client.embeddings.create
        with otel_embed.attribute(tenant="x"):
            work.do(lambda: create(input=["one", "two"], **ASKED))
        for fault in (REFUSED, Fault(drop="in body"), Fault(headers={"openai-processing-ms": "4.5"})):
            server.script([fault])
            work.do(lambda: create(input="three", encoding_format="base64", **ASKED))


NOT_SAMPLED = Application("openai_sync, not sampled", OpenAIServer, openai_sync)
APPLICATIONS.append(NOT_SAMPLED)


@application
def openai_without_usage(server: OpenAIServer, work: Work) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        for usage, asked in (("absent", "three"), ("zeros", [1, 2])):
            server.script([Fault(usage=usage)])
            work.do(lambda asked=asked: client.embeddings.create(input=asked, **ASKED))


@application
def openai_in_anothers_span(server: OpenAIServer, work: Work) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("another")
    with openai.OpenAI(base_url=server.url, api_key="x") as client, tracer.start_as_current_span("embeddings"):
        token = context.attach(context.set_value(MARK, True))
        work.do(lambda: client.embeddings.create(input="three", **ASKED))
        context.detach(token)


class Suppresses(openai.DefaultHttpxClient):
    """What is below another instrumentation that wants no spans there."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        with suppress_instrumentation():
            return super().send(*args, **kwargs)


@application
def openai_below_suppression(server: OpenAIServer, work: Work) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x", http_client=Suppresses()) as client:
        work.do(lambda: client.embeddings.create(input="three", **ASKED))


@application
def openai_retries(server: OpenAIServer, work: Work) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=1) as client:
        server.script([Fault(status=429, retry_after=1e-3)])
        work.do(lambda: client.embeddings.create(input="three", **ASKED))


@application
def openai_raw_and_streamed(server: OpenAIServer, work: Work) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        work.do(lambda: client.embeddings.with_raw_response.create(input="raw", **ASKED).parse())

        def streamed(read: str) -> Any:
            with client.embeddings.with_streaming_response.create(input="streamed", **ASKED) as answer:
                body = getattr(answer, read)()
                return b"".join(body) if read == "iter_bytes" else body

        for read in ("parse", "read", "iter_bytes"):
            work.do(lambda read=read: streamed(read))


@application
def openai_async(server: OpenAIServer, work: Work) -> None:
    async def concurrently() -> Any:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
            create = client.embeddings.create
            made = await asyncio.gather(*[create(input=f"task {n}", **ASKED) for n in range(2)])
            async with client.embeddings.with_streaming_response.create(input="s", **ASKED) as answer:
                body = await answer.read()
            return [*[each.model_dump() for each in made], body]

    async def cancelled() -> Any:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
            late = Fault(header_delay=0.2).header
            before = len(server.requests)
            asking = asyncio.ensure_future(client.embeddings.create(input="slow", extra_headers=late, **ASKED))
            while len(server.requests) == before and not asking.done():
                await asyncio.sleep(1e-3)
            asking.cancel()
            try:
                await asking
            except asyncio.CancelledError as error:  # where it was just then is a matter of chance
                return type(error), error.args

    work.do(lambda: work.wait_for(concurrently()))
    work.do(lambda: work.wait_for(cancelled()))


class FansOut(Embeddings):
    """An embedder of the application's own, on threads, with a stage that it names itself."""

    def __init__(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=url, api_key="x", max_retries=1)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        with otel_embed.stage("tokenize"), ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda text: self.client.embeddings.create(input=text, **ASKED), texts)
            return [answer.data[0].embedding for answer in made]

    def embed_query(self, text: str) -> list[float]:
        answers: list[Any] = []
        ask = self.client.embeddings.create
        thread = Thread(target=lambda: answers.append(ask(input=text, **ASKED)))
        thread.start()
        thread.join()
        return answers[0].data[0].embedding

    def aembed_query(self, text: str) -> Any:
        return asyncio.to_thread(self.embed_query, text)


@application
def an_embedder_of_ones_own(server: OpenAIServer, work: Work) -> None:
    own = work.keep("own", lambda: FansOut(server.url))
    work.do(lambda: own.embed_documents(["four", "five"]))
    work.do(lambda: own.embed_query("six"))
    work.do(lambda: work.wait_for(own.aembed_query("seven")))


def embedder(server: OpenAIServer) -> Any:
    return OpenAIEmbeddings(base_url=server.url, api_key="x", check_embedding_ctx_length=False, **ASKED)


@application
def langchain_cache(server: OpenAIServer, work: Work) -> None:
    cached = CacheBackedEmbeddings.from_bytes_store(
        work.keep("embedder", lambda: embedder(server)), InMemoryByteStore(), namespace="n", key_encoder="sha256"
    )
    for texts in (["one", "two"], ["one", "three"], ["one", "three"]):
        work.do(lambda texts=texts: cached.embed_documents(texts))
    work.do(lambda: cached.embed_query("q"))


@application
def langchain_vector_store(server: OpenAIServer, work: Work) -> None:
    store = InMemoryVectorStore(work.keep("embedder", lambda: embedder(server)))
    work.do(lambda: store.add_documents([Document("one", id="1"), Document("two", id="2")]))
    work.do(lambda: [found.page_content for found in store.similarity_search("one", k=1)])


@application
def llama_index(server: OpenAIServer, work: Work) -> None:
    def make() -> Any:
        return OpenAIEmbedding(model=MODEL, api_base=server.url, api_key="x", dimensions=4)

    it, mock = work.keep("it", make), work.keep("mock", lambda: MockEmbedding(embed_dim=2))
    it.embeddings_cache, mock.embeddings_cache = SimpleKVStore(), SimpleKVStore()
    work.do(lambda: it.get_text_embedding_batch(["one", "two"]))
    work.do(lambda: it.get_text_embedding_batch(["one", "three"]))
    work.do(lambda: it.get_query_embedding("one"))
    work.do(lambda: mock.get_text_embedding_batch(["one"]))
    work.do(lambda: mock.get_text_embedding_batch(["one", "two"]))
    cache = IngestionCache()
    cache.put("key", [TextNode(text="one", id_="1", embedding=[0.5])])
    work.do(lambda: [node.text for node in cache.get("key")])


@application
def haystack(server: OpenAIServer, work: Work) -> None:
    key = Secret.from_token("x")
    it = work.keep("it", lambda: OpenAITextEmbedder(model=MODEL, api_base_url=server.url, api_key=key, dimensions=4))
    work.do(lambda: it.run(text="one"))


def chat(server: OpenAIServer, work: Work) -> Any:
    def make() -> Any:
        return ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="x", max_retries=0, stream_usage=True)

    return work.keep("chat", make)


def chain(server: OpenAIServer, work: Work) -> Any:
    prompt = ChatPromptTemplate.from_template("{x} is blue for a reason.\nWhy?")
    return prompt | chat(server, work) | StrOutputParser()


@contextlib.contextmanager
def an_llm_cache() -> Iterator[None]:
    set_llm_cache(InMemoryCache())
    try:
        yield
    finally:
        set_llm_cache(None)


@application
def langchain_chain_with_a_cache(server: OpenAIServer, work: Work) -> None:
    with an_llm_cache(), otel_embed.track():
        for _ in range(2):
            work.do(lambda: chain(server, work).invoke({"x": "The sky"}))


@application
def langchain_models_with_a_cache(server: OpenAIServer, work: Work) -> None:
    completion = OpenAI()
    with an_llm_cache():
        for _ in range(2):
            work.do(lambda: fake().generate([[HumanMessage("One?")], [HumanMessage("Two?")]]).generations[0][0].text)
        for _ in range(2):
            work.do(lambda: completion.invoke("a"))
        work.do(lambda: completion.generate(["a", "b"]).generations)


@application
def langchain_stream(server: OpenAIServer, work: Work) -> None:
    work.do(lambda: list(chain(server, work).stream({"x": "The sea"})))
    work.do(lambda: len(list(Thinking(messages=iter([])).stream("x"))))


@application
def langchain_async(server: OpenAIServer, work: Work) -> None:
    work.do(lambda: work.wait_for(chain(server, work).ainvoke({"x": "The moon"})))


@application
def langchain_retriever_and_tool(server: OpenAIServer, work: Work) -> None:
    work.do(lambda: Shelf().invoke("q"))
    work.do(lambda: double.invoke({"number": 2}))
    work.do(lambda: double.invoke({"number": -2}))


@application
def langchain_failure(server: OpenAIServer, work: Work) -> None:
    server.script([REFUSED])
    work.do(lambda: chat(server, work).invoke("failing"))


def bedrock(client: str) -> Callable[[Any, Work], None]:
    def does(server: BedrockServer, work: Work) -> None:
        def ask() -> Any:
            if client == "boto3":
                it = work.keep("client", lambda: bedrock_clients.connect(server))
                return it.invoke_model(**asked)["body"].read()

            async def read(it: Any) -> bytes:
                return await (await it.invoke_model(**asked))["body"].read()

            return work.wait_for(read(work.enter("client", lambda: bedrock_clients.connecting(server))))

        asked = bedrock_clients.asked(bedrock_clients.TITAN, bedrock_clients.TEXT)
        work.do(ask)
        server.script([REFUSED])
        work.do(ask)

    return does


APPLICATIONS += [Application(client, BedrockServer, bedrock(client)) for client in ("boto3", "aiobotocore")]


def lite(asynchronous: bool) -> Callable[[Any, Work], None]:
    def does(server: OpenAIServer, work: Work) -> None:
        litellm.suppress_debug_info = True
        api = Api(work.loop if asynchronous else None)
        work.do(lambda: api.embed(server, dimensions=4))
        server.script([REFUSED])
        work.do(lambda: api.embed(server, dimensions=4))

    return does


APPLICATIONS += [Application(f"litellm-{'a' * kind}sync", OpenAIServer, lite(kind)) for kind in (False, True)]

"""Answer questions from a small handbook: retrieve, ask a chat model, stream its answer, and cache what is asked again.

Nothing here knows of telemetry.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from operator import mul
from typing import Any

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.globals import set_llm_cache
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

CHAT, EMBEDDINGS = "gpt-4o-mini", "text-embedding-3-small"
HANDBOOK = [
    "Parcels are sent within one working day of the order. Orders after three o'clock leave the next day.",
    "A parcel may be returned within thirty days of its arrival. The label for a return is in the box.",
    "Refunds are paid within five working days after a return has arrived, to the card that paid.",
    "The warranty on lamps lasts for two years. Bulbs have no warranty, as they wear out.",
    "Lamps for outdoors are marked IP44 or higher. Never use another lamp where it rains.",
    "Customer service answers the telephone from nine to five on working days, and letters within a week.",
    "Gift cards are valid for three years. What is left on a card after a purchase stays on it.",
    "Companies can order on account after their first three orders were paid by card.",
]
QUESTIONS = [
    "When is my parcel sent?",
    "How long may I take to return a parcel?",
    "How long does the warranty on lamps last?",
    "Which lamps may I use outdoors?",
]
ASKED_AGAIN = [QUESTIONS[1], QUESTIONS[0], QUESTIONS[1], QUESTIONS[1], QUESTIONS[2], QUESTIONS[1]]
PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from the handbook alone.\n\n{handbook}"), ("human", "{question}")]
)


class Handbook(BaseRetriever):
    """The pages most like the question."""

    embeddings: Embeddings
    pages: list[str]
    vectors: list[list[float]]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        asked = self.embeddings.embed_query(query)
        scored = [(sum(map(mul, asked, vector)), page) for vector, page in zip(self.vectors, self.pages, strict=True)]
        return [Document(page) for _, page in sorted(scored, reverse=True)[:3]]


def joined(pages: list[Document]) -> str:
    return "\n".join(page.page_content for page in pages)


def assistant(settings: dict[str, Any]) -> Runnable[str, str]:
    # The real endpoint gets token ids; for those, a vocabulary is fetched once from the network.
    embeddings = OpenAIEmbeddings(model=EMBEDDINGS, check_embedding_ctx_length=not settings, **settings)
    handbook = Handbook(embeddings=embeddings, pages=HANDBOOK, vectors=embeddings.embed_documents(HANDBOOK))
    model = ChatOpenAI(model=CHAT, temperature=0, stream_usage=True, **settings)
    found = RunnableParallel(
        handbook=handbook | RunnableLambda(joined).with_config(run_name="join pages"), question=RunnablePassthrough()
    )
    return (found | PROMPT | model | StrOutputParser()).with_config(run_name="answer")


def answer_in_pieces(answer: Runnable[str, str]) -> None:
    for question in QUESTIONS:
        print(f"> {question}\n  ", end="")
        for piece in answer.stream(question):
            print(piece, end="", flush=True)
        print()


async def answer_at_once(answer: Runnable[str, str], questions: list[str]) -> None:
    for question, text in zip(questions, await answer.abatch(questions), strict=True):
        print(f"> {question}\n  {text}")


@contextmanager
def endpoint() -> Iterator[dict[str, Any]]:
    """What the clients need to know: nothing if there is a key for the real endpoint, else the bundled server's URL."""
    if os.environ.get("OPENAI_API_KEY"):
        yield {}
        return
    from otel_embed.demo import bundled_server

    # About as slow as the real one.
    options = "--latency-ms=35", "--per-token-us=12", "--jitter=0.25", "--first-token-ms=350", "--token-ms=9"
    with bundled_server(*options) as url:
        yield {"base_url": url, "api_key": "none-needed"}


def main() -> None:
    set_llm_cache(InMemoryCache())
    with endpoint() as settings:
        answer = assistant(settings)
        print("Answers as they are written:")
        answer_in_pieces(answer)
        print("The same questions again, one after another:")
        for question in ASKED_AGAIN:
            print(f"> {question}\n  {answer.invoke(question)}")
        print("And all at once:")
        asyncio.run(answer_at_once(answer, QUESTIONS))


if __name__ == "__main__":
    main()

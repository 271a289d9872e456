"""A program that knows nothing of telemetry: it embeds, with a cache and without, asks a chat model, searches, and
runs a small model of its own, over and over.

``app.py URL MODES``: MODES is a folder; a file in it switches something on. ``cold``: no text comes twice. ``dear``:
long texts. ``stop``: end.
"""

import itertools
import os
import sys
import time

import numpy
import openai
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from model2vec import StaticModel
from tokenizers import Tokenizer, models, pre_tokenizers

url, modes = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key="x", max_retries=1)
embedder = OpenAIEmbeddings(base_url=url, api_key="x", check_embedding_ctx_length=False, max_retries=0)
cached = CacheBackedEmbeddings.from_bytes_store(embedder, InMemoryByteStore(), key_encoder="sha256")
store = InMemoryVectorStore(cached)
chat = ChatOpenAI(model="gpt-4o-mini", base_url=url, api_key="x", max_retries=0, stream_usage=True)
set_llm_cache(InMemoryCache())
number = itertools.count()

tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "one": 2, "two": 3}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
vectors = numpy.ones((4, 8), dtype=numpy.float32)
folder = os.path.join(modes, "tiny-static")
StaticModel(vectors, tokenizer, {"tokenizer_name": "tiny"}).save_pretrained(folder)
local = StaticModel.from_pretrained(folder)


def on(mode):
    return os.path.exists(os.path.join(modes, mode))


def known(text):
    return f"{text} {next(number)}" if on("cold") else text


def attempt(work, *arguments, **more):
    try:
        return work(*arguments, **more)
    except openai.OpenAIError:
        return None


while not on("stop"):
    long = "word " * 8_000 if on("dear") else "two words"
    attempt(client.embeddings.create, model="text-embedding-3-large", input=[long], encoding_format="float")
    attempt(client.embeddings.create, model="of-unknown-price", input=["one", "two"], encoding_format="float")
    attempt(cached.embed_documents, [known("the first"), known("the second"), known("the third")])
    attempt(store.add_texts, [known("the first")])
    attempt(store.similarity_search, known("the first"))
    attempt(chat.invoke, "Is it so? It is so.")
    attempt(list, chat.stream(f"Is it so? It is {next(number)}."))
    local.encode(["one two", "two"])
    time.sleep(0.02)

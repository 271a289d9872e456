"""Every provider otel_embed knows. To add one, write its file and name it here."""

from __future__ import annotations

from importlib import import_module

from otel_embed.provider import Provider

LIBRARIES = (
    "openai",
    "cohere",
    "dashscope",
    "google",
    "huggingface",
    "litellm",
    "mistralai",
    "nomic",
    "ollama",
    "together",
    "voyageai",
    "fastembed",
    "flag_embedding",
    "llama_cpp",
    "model2vec",
    "sentence_transformers",
    "transformers",
    "bedrock",
    "bedrock_async",
)
PROVIDERS: tuple[Provider, ...] = tuple(import_module(f"{__name__}.{library}").PROVIDER for library in LIBRARIES)

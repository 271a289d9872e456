"""LiteLLM: each call of it is one call of the provider that it chooses, through whatever client.

A router of it makes such calls too, one for each attempt. The package and its main module have the functions under a
name each, which in newer versions are two functions, the one around the other.
"""

from __future__ import annotations

import sys
from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, Call, Lookup, Provider, Timed
from otel_embed.providers import litellm_media
from otel_embed.reading import amount, count, dimensions, first, listed, server, text, told
from otel_embed.record import Reply, Request

_NAMES = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "fireworks_ai": "fireworks",
    "gemini": "gcp.gemini",
    "jina_ai": "jina",
    "mistral": "mistral_ai",
    "sagemaker": "aws.sagemaker",
    "together_ai": "together",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
}
"""LiteLLM's names of providers where OpenTelemetry has another."""
_OWN = frozenset({"hosted_vllm", "infinity", "llamafile", "lm_studio", "ollama", "xinference"})
"""Servers of one's own, which nobody bills."""
_COUNTED = frozenset({"gemini", "huggingface", "ollama"})
"""Providers whose tokens LiteLLM counts itself where their answers do not tell them, and does not say so."""
_LISTS = {
    "cohere": "cohere_embedding_models",
    "vertex_ai": "vertex_embedding_models",
    "bedrock": "bedrock_embedding_models",
}
"""Its lists of models by which it knows a provider that is not told, in the order in which it looks."""
_STORE = "litellm"
_HANDLER = "litellm.caching.caching_handler:LLMCachingHandler"
_COMBINE = "combine_cached_embedding_response_with_api_result"


def _is_whole(call: Arguments) -> bool:
    """``aembedding`` makes its call with ``embedding``, which then only gives a coroutine."""
    return call.kwargs.get("aembedding") is not True


def _request(call: Arguments) -> Request:
    asked, content = call.kwargs, call.get("input", 1)
    model = text(call.get("model", 0))
    name, rest = _upstream(asked, model)
    place = server(asked.get("api_base")) or server(asked.get("base_url"))
    how_many, kind = litellm_media.inputs_of(content, name, asked.get("input_type"))
    pictured = kind in ("image", "mixed")
    known = provider_of(place.address) if place and name == "openai" else None
    return Request(
        rest,
        how_many,
        kind,
        count(call.get("dimensions", 2)),
        text(call.get("encoding_format", 3)),
        place,
        known or _NAMES.get(name, name),
        None if pictured else content,
        metered=name not in _OWN,
        media=None if pictured else (),
    )


def _upstream(asked: Any, model: str | None) -> tuple[str, str | None]:
    """LiteLLM's name of the provider, and the model's own name, as its documentation says that they are told."""
    head, slash, rest = (model or "").partition("/")
    chosen = text(asked.get("custom_llm_provider"))
    library: Any = sys.modules.get("litellm")
    if slash and (head == chosen or (chosen is None and head in _listed(library, "provider_list"))):
        return head, rest
    lists = (name for name, models in _LISTS.items() if model in _listed(library, models))
    return chosen or next(lists, "openai"), model


def _listed(library: Any, name: str) -> Any:
    listed = getattr(library, name, ())
    return listed if isinstance(listed, (list, set, dict, frozenset)) else ()


def _reply(response: Any) -> Reply:
    hidden = told(response, "_hidden_params")
    name = text(told(hidden, "custom_llm_provider"))
    reply = listed(response)
    billed = litellm_media.billed(reply.model, reply.tokens, told(told(response, "usage"), "prompt_tokens_details"))
    return reply._replace(
        dimensions=dimensions(told(first(told(response, "data")), "embedding")),
        tokens=billed.tokens,
        media=billed.media,
        cost_usd=amount(told(hidden, "response_cost")) if billed.whole else None,
        source="counted" if name in _COUNTED else "reported",
    )


def _looked_up(call: Arguments, result: Any, _: Any) -> Lookup | None:
    """All inputs of a call at once, or one by one: then a list that has None for what was not known."""
    content = call.kwargs.get("input")
    if content is None:
        content = told(call.get("kwargs", 1), "input")
    texts = [content] if isinstance(content, str) or isinstance(first(content), int) else content
    if getattr(sys.modules.get("litellm"), "cache", None) is None or not isinstance(texts, list):
        return None
    found = result if isinstance(result, list) else [result] * len(texts)
    sizes = [litellm_media.length(each) for each in texts]
    hits = [size for size, each in zip(sizes, found) if each is not None]
    misses = len(texts) - len(hits)
    return Lookup(_STORE, len(hits), misses, sum(hits), sum(sizes) - sum(hits))


def _asked_for(call: Arguments, result: Any, _: Any) -> Lookup | None:
    """Of a call that the cache knew a part of: what the provider answered to the rest, before both are put together."""
    answer = call.get("embedding_response", 1)
    return None if answer is None or answer is result else Lookup(_STORE, 0, 0, 0, 0, billed=_reply(answer))


def _calls(module: str) -> tuple[Call, Call]:
    return (
        Call(f"{module}:embedding", _request, _reply, when=_is_whole, encloses=True),
        Call(f"{module}:aembedding", _request, _reply, encloses=True),
    )


PROVIDER = Provider(
    name="litellm",
    requires="litellm>=1.53,<2",
    calls=(*_calls("litellm"), *_calls("litellm.main")),
    timed=(
        Timed("litellm.caching.caching:Cache.get_cache", "cache_lookup", _looked_up),
        Timed(f"{_HANDLER}._retrieve_from_cache", "cache_lookup", _looked_up),
        Timed(f"{_HANDLER}.{_COMBINE}", "cache_lookup", _asked_for, versions=">=1.110"),
        Timed(f"{_HANDLER}._{_COMBINE}", "cache_lookup", _asked_for, versions="<1.110"),
    ),
)

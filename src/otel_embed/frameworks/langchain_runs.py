"""What LangChain's callbacks and caches say: of components, of chat models, of their answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, FoundAnswer
from otel_embed.reading import count, first, server, text
from otel_embed.record import Server
from otel_embed.run_record import Began, ChatReply, ChatRequest, ChatUsage, Current, Messages

_FRAMEWORK = "langchain"
_PROVIDERS = {
    "amazon_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "azureopenai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""``ls_provider`` in OpenTelemetry's words, where it has others."""
_URLS = ("openai_api_base", "base_url", "azure_endpoint", "anthropic_api_url", "endpoint_url", "endpoint", "api_base")
_MODELS = ("model", "model_name", "model_id", "azure_deployment", "deployment_name")
_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
}
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def chain(serialized: Any, told: Mapping[str, Any], current: Current) -> Began:
    return Began(_FRAMEWORK, "chain", _name(serialized, told), None, current)


def retriever(serialized: Any, told: Mapping[str, Any], current: Current) -> Began:
    metadata = told.get("metadata") or {}
    source = text(told.get("name")) or text(metadata.get("ls_vector_store_provider"))
    return Began(_FRAMEWORK, "retriever", source or _name(serialized, told), None, current)


def tool(serialized: Any, told: Mapping[str, Any], current: Current) -> Began:
    return Began(_FRAMEWORK, "tool", _name(serialized, told), None, current)


def chat(serialized: Any, told: Mapping[str, Any], current: Current, batch: Any) -> Began:
    request = _request("chat", serialized, told)._replace(content=lambda: _messages(first(batch)))
    return Began(_FRAMEWORK, None, _class(serialized, told), request, current)


def completion(serialized: Any, told: Mapping[str, Any], current: Current, prompts: Any) -> Began:
    prompt = text(first(prompts))
    request = _request("text_completion", serialized, told)
    request = request._replace(prompt=prompt, content=lambda: [("user", prompt or "")])
    return Began(_FRAMEWORK, None, _class(serialized, told), request, current)


def _name(serialized: Any, told: Mapping[str, Any]) -> str:
    return text(told.get("name")) or _class(serialized, told)


def _class(serialized: Any, told: Mapping[str, Any]) -> str:
    about = serialized if isinstance(serialized, dict) else {}
    path = about.get("id")
    last = path[-1] if isinstance(path, list) and path else None
    return text(last) or text(about.get("name")) or text(told.get("name")) or "unknown"


def _request(operation: Any, serialized: Any, told: Mapping[str, Any]) -> ChatRequest:
    metadata, asked = _mapping(told.get("metadata")), _mapping(told.get("invocation_params"))
    settings = _mapping(_mapping(serialized).get("kwargs"))
    names = (asked.get(name) for name in _MODELS)
    model = text(metadata.get("ls_model_name")) or next(filter(None, map(text, names)), None)
    where = next(filter(None, (server(settings.get(name)) for name in _URLS)), None)
    provider = text(metadata.get("ls_provider")) or text(asked.get("_type")) or _class(serialized, told)
    parameters = {
        known: asked[name]
        for name, known in _PARAMETERS.items()
        if isinstance(asked.get(name), (int, float)) and not isinstance(asked[name], bool)
    }
    return ChatRequest(operation, _provider(provider, where), model, where, tuple(parameters.items()))


def _provider(name: str, where: Server | None) -> str:
    """Who answers: an endpoint that is known goes before the class, which serves many."""
    by_host = provider_of(where.address) if where is not None else None
    name = name.lower()
    return by_host or _PROVIDERS.get(name, name)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def says_something(chunk: Any) -> bool:
    """A chunk without text can hold a part of a tool's call, or of what a model thinks."""
    message = getattr(chunk, "message", None)
    return bool(getattr(message, "tool_call_chunks", None) or getattr(message, "additional_kwargs", None))


def is_content(event: Any) -> bool:
    return _mapping(event).get("event") == "content-block-delta"


def reply(result: Any) -> ChatReply:
    """What an ``LLMResult`` says: of one prompt, as callbacks get it."""
    answers = first(getattr(result, "generations", None))
    answers = answers if isinstance(answers, list) else []
    answer, said = first(answers), _mapping(getattr(result, "llm_output", None))
    message = getattr(answer, "message", None)
    about = _about(answer, message)
    usage = _usage(getattr(message, "usage_metadata", None)) if len(answers) == 1 or not said else None
    told = _told(said) or _told(about)
    reported = _completed(usage, told) if usage else told or _usage(getattr(message, "usage_metadata", None))
    model = next(filter(None, (text(each.get(name)) for each in (about, said) for name in _MODELS)), None)
    return ChatReply(
        model,
        text(about.get("id")) or _given_id(message),
        reported,
        message is None and said.get("token_usage") == {},
        tuple(filter(None, (_finish(each) for each in answers))),
        _mapping(getattr(message, "usage_metadata", None)).get("total_cost") == 0,
        answer,
        lambda: [("assistant", _text(each)) for each in answers],
    )


def _about(answer: Any, message: Any) -> Mapping[str, Any]:
    info = _mapping(getattr(answer, "generation_info", None))
    return {**info, **_mapping(getattr(message, "response_metadata", None))}


def _given_id(message: Any) -> str | None:
    """The provider's own; LangChain makes one up where there is none."""
    id = text(getattr(message, "id", None))
    return None if id is None or id.startswith(("run-", "lc_run-")) else id


def _finish(answer: Any) -> str | None:
    about = _about(answer, getattr(answer, "message", None))
    names = ("finish_reason", "stop_reason", "done_reason", "stopReason")
    return next(filter(None, (text(about.get(name)) for name in names)), None)


def _completed(usage: ChatUsage, told: ChatUsage | None) -> ChatUsage:
    """With the details that older integrations leave out of LangChain's form."""
    if told is None or told[:2] != usage[:2]:
        return usage
    return ChatUsage(*[theirs if mine is None else mine for mine, theirs in zip(usage, told)])


def _told(about: Mapping[str, Any]) -> ChatUsage | None:
    """Usage as providers spell it, where LangChain's own form of it is missing."""
    for name in ("token_usage", "usage", "usage_metadata"):
        usage = _spelled(_mapping(about.get(name)))
        if usage is not None:
            return usage
    return _spelled(about)


def _spelled(usage: Mapping[str, Any]) -> ChatUsage | None:
    read = _count(usage, "prompt_tokens", "input_tokens", "inputTokens", "prompt_token_count", "prompt_eval_count")
    names = ("completion_tokens", "output_tokens", "outputTokens", "candidates_token_count", "eval_count")
    written = _count(usage, *names)
    cached = _count(_mapping(usage.get("prompt_tokens_details")), "cached_tokens")
    reasoning = _count(_mapping(usage.get("completion_tokens_details")), "reasoning_tokens")
    return ChatUsage(read, written, cached, None, reasoning) if read or written else None


def _usage(usage: Any) -> ChatUsage | None:
    """LangChain's own form."""
    usage = _mapping(usage)
    read, written = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    if not read and not written:
        return None  # who reports 0 and 0 does not count
    inside, outside = _mapping(usage.get("input_token_details")), _mapping(usage.get("output_token_details"))
    kept, for_an_hour = _kept(inside)
    return ChatUsage(read, written, _count(inside, "cache_read"), kept, _count(outside, "reasoning"), for_an_hour)


def _kept(inside: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The tokens that the provider put into its cache, and those of them that it keeps for an hour.

    Where they are told by how long they are kept, newer integrations say 0 in all, and older ones their sum.
    """
    for_an_hour = _count(inside, "ephemeral_1h_input_tokens")
    by_time = (_count(inside, "ephemeral_5m_input_tokens") or 0) + (for_an_hour or 0)
    return max(_count(inside, "cache_creation"), by_time or None, key=lambda count: count or 0), for_an_hour


def _count(counts: Mapping[str, Any], *names: str) -> int | None:
    """A count, also 0; None for what is no count."""
    for name in names:
        value = counts.get(name)
        if value == 0 and not isinstance(value, bool):
            return 0
        if (known := count(value)) is not None:
            return known
    return None


def _messages(messages: Any) -> Messages:
    return [(_role(message), _content(message)) for message in messages if hasattr(message, "content")]


def _role(message: Any) -> str:
    kind = str(getattr(message, "type", "user"))
    return _ROLES.get(kind, kind)


def _content(message: Any) -> str:
    content = getattr(message, "content", "")
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(str(block.get("text", "")) if isinstance(block, dict) else str(block) for block in blocks)


def _text(answer: Any) -> str:
    message = getattr(answer, "message", None)
    return str(getattr(answer, "text", "")) if message is None else _content(message)


def found(call: Arguments, answers: Any) -> FoundAnswer:
    """What a cache's lookup came to. A chat model's answers have messages, a completion model's have none."""
    hit = isinstance(answers, list)
    prompt = text(call.get("prompt", 0))
    if not hit:
        return FoundAnswer(False, prompt)
    answer = first(answers)
    said = reply(_Result(answers))
    if answer is None or getattr(answer, "message", None) is not None:
        return FoundAnswer(True, prompt, answer, said)
    asked = str(call.get("llm_string", 1))
    model, kind = _quoted("model(?:_name|_id)?", asked), _quoted("_type", asked)
    request = ChatRequest("text_completion", _provider(kind or "unknown", None), model)
    return FoundAnswer(True, prompt, answer, said, request, _FRAMEWORK, kind or "LLM")


def kept(call: Arguments, result: Any) -> FoundAnswer:
    """What a cache was given to keep: an answer that it did not have."""
    return FoundAnswer(False, answer=first(call.get("return_val", 2)))


def _quoted(name: str, asked: str) -> str | None:
    """A parameter in the text that LangChain makes of a completion model's."""
    value = re.search(rf"'{name}', '([^']{{1,200}})'", asked)
    return value[1] if value else None


class _Result:
    """Cached answers in the form of a result."""

    llm_output: Any = None

    def __init__(self, answers: list[Any]) -> None:
        self.generations = [answers]

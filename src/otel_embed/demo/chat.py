"""OpenAI's wire format for chat: what a request may say, and what an answer looks like, whole or in chunks."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from otel_embed.demo.vectors import COMMON_WORDS, tokenize
from otel_embed.demo.wire import Refusal, encode

PATH = "/chat/completions"
SNAPSHOTS = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-4o": "gpt-4o-2024-08-06"}
MAX_TOKENS = 400
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_PIECE = re.compile(r"\s*\S+")


class ChatRequest(NamedTuple):
    model: str
    messages: Sequence[dict[str, Any]]
    streamed: bool
    with_usage: bool
    choices: int
    max_tokens: int

    @property
    def prompt_tokens(self) -> int:
        return sum(4 + len(tokenize(_text(message))) for message in self.messages)


class Completion(NamedTuple):
    """An answer, in pieces of a token each."""

    pieces: list[str]
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int

    @property
    def completion_tokens(self) -> int:
        return len(self.pieces)

    def usage(self, choices: int = 1) -> dict[str, Any]:
        written = self.completion_tokens * choices
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


def parse(raw: bytes) -> ChatRequest:
    """Read a request; raises Refusal for what the real endpoint refuses."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "We could not parse the JSON body of your request.")
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str):
        raise Refusal(400, "you must provide a model parameter")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise Refusal(400, "Invalid type for 'messages': expected an array of objects.", param="messages")
    options = body.get("stream_options") or {}
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or MAX_TOKENS
    return ChatRequest(
        model, messages, bool(body.get("stream")), bool(options.get("include_usage")), body.get("n") or 1, limit
    )


def complete(request: ChatRequest, cached_tokens: int = 0) -> Completion:
    """The two sentences before the question that share most words with it."""
    asked = _words(_text(request.messages[-1]).rpartition("\n")[2])
    sentences = [found.strip() for message in request.messages for found in _SENTENCE.findall(_text(message))]
    known = [sentence for sentence in sentences if len(sentence) > 20 and not sentence.endswith("?")]
    best = sorted(known, key=lambda sentence: -len(_words(sentence) & asked))[:2]
    pieces = _PIECE.findall(" ".join(best) or "I do not know.")
    cut = len(pieces) > request.max_tokens
    reason = "length" if cut else "stop"
    return Completion(pieces[: request.max_tokens], reason, request.prompt_tokens, cached_tokens)


def response(request: ChatRequest, answer: Completion) -> bytes:
    """The body of an answer in one piece."""
    message = {"role": "assistant", "content": "".join(answer.pieces).strip(), "refusal": None}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        for index in range(request.choices)
    ]
    return encode({**_head(request, "chat.completion"), "choices": choices, "usage": answer.usage(request.choices)})


def events(request: ChatRequest, answer: Completion) -> list[bytes]:
    """The server-sent events of a streamed answer: the role, a piece each, the reason for its end, the usage."""
    head = _head(request, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event({**head, "choices": [choice]})

    told = [chunk({"role": "assistant", "content": "", "refusal": None})]
    told += [chunk({"content": piece}) for piece in answer.pieces]
    told.append(chunk({}, answer.finish_reason))
    if request.with_usage:
        told.append(_event({**head, "choices": [], "usage": answer.usage()}))
    return [*told, b"data: [DONE]\n\n"]


def _event(value: Any) -> bytes:
    return b"data: " + encode(value) + b"\n\n"


def _head(request: ChatRequest, kind: str) -> dict[str, Any]:
    model = SNAPSHOTS.get(request.model, request.model)
    return {"id": f"chatcmpl-{uuid.uuid4().hex[:24]}", "object": kind, "created": 1_764_000_000, "model": model}


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _words(text: str) -> set[str]:
    return {word for word in tokenize(text) if word.isalnum() and word not in COMMON_WORDS}

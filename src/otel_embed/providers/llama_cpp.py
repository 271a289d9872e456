"""Embedding models that llama-cpp-python runs in this process; chat and completion are left alone."""

from __future__ import annotations

import sys
from typing import Any

from otel_embed.provider import Arguments, Call, Load, Provider, Timed
from otel_embed.reading import first, inputs, model_name
from otel_embed.record import Batch, Reply, Request


def _request(call: Arguments) -> Request:
    content = call.get("input", 0)
    how_many, kind = inputs(content)
    return Request(_name(call), how_many, kind, content=content, device=_device(call))


def _name(call: Arguments) -> str | None:
    return model_name(getattr(call.instance, "model_path", None))


def _loads(call: Arguments) -> str | None:
    return model_name(call.get("model_path", 0))


def _device(call: Arguments, _: Any = None) -> str:
    layers = getattr(getattr(call.instance, "model_params", None), "n_gpu_layers", 0)
    offloads = getattr(sys.modules.get("llama_cpp"), "llama_supports_gpu_offload", None)
    return "gpu" if layers and offloads is not None and offloads() else "cpu"


def _reply(result: Any) -> Reply:
    """One vector or several, with the count of tokens where that was asked for; without pooling, one for each token."""
    vector = first(result) if isinstance(result, tuple) else result
    for _ in range(2):
        vector = first(vector) if isinstance(first(vector), list) else vector
    return Reply(dimensions=len(vector) or None if isinstance(vector, list) else None)


def _tokenized(call: Arguments, tokens: Any) -> Batch | None:
    """One text, of which the model takes as many tokens as its batch holds."""
    longest = getattr(call.instance, "n_batch", None)
    if not isinstance(tokens, list) or not isinstance(longest, int):
        return None
    return Batch(1, min(len(tokens), longest), truncated=int(len(tokens) > longest))


_MODEL = "llama_cpp.llama:Llama"

PROVIDER = Provider(
    name="llama_cpp",
    requires="llama-cpp-python>=0.3,<0.4",
    calls=(Call(f"{_MODEL}.embed", _request, _reply, local=True),),
    timed=(Timed(f"{_MODEL}.tokenize", "tokenize", batch=_tokenized, then="forward"),),
    loads=(Load(f"{_MODEL}.__init__", _loads, _device, lambda call: bool(call.kwargs.get("embedding"))),),
)

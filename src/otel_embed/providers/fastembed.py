"""Dense text models of fastembed, batch by batch: its ``embed`` is a generator, which stays as it is.

A call is one batch, made when the application takes its first vector.
"""

from __future__ import annotations

from typing import Any

from otel_embed.provider import Arguments, Call, Load, Provider, Timed
from otel_embed.reading import inputs, stacked, text
from otel_embed.record import Batch, Reply, Request


def _is_dense(call: Arguments) -> bool:
    """Sparse and late-interaction models run through the same functions."""
    kinds = {base.__name__ for base in type(call.instance).__mro__}
    return "TextEmbeddingBase" in kinds and "LateInteractionTextEmbeddingBase" not in kinds


def _request(call: Arguments) -> Request:
    content = call.get("documents", 0)
    how_many, kind = inputs(content)
    return Request(_loads(call), how_many, kind, content=content, device=_device(call))


def _loads(call: Arguments) -> str | None:
    return text(getattr(call.instance, "model_name", None))


def _device(call: Arguments, _: Any = None) -> str:
    """What onnxruntime runs the model on: cpu, cuda, coreml; static models know the CPU alone."""
    session = getattr(call.instance, "model", None)
    providers = session.get_providers() if session is not None else ()
    return providers[0].removesuffix("ExecutionProvider").lower() if providers else "cpu"


def _reply(output: Any) -> Reply:
    return stacked(getattr(output, "model_output", output))


def _encoded(call: Arguments, encodings: Any) -> Batch | None:
    if not isinstance(encodings, list) or not all(hasattr(each, "attention_mask") for each in encodings):
        return None
    lengths = [sum(each.attention_mask) for each in encodings]
    limit = getattr(call.instance.tokenizer, "truncation", None) or {}
    longest = limit.get("max_length")
    full = None if longest is None else sum(length >= longest for length in lengths)
    return Batch(len(encodings), sum(lengths), sum(map(len, encodings)) - sum(lengths), full)


def _looked_up(_: Arguments, tokens: Any) -> Batch | None:
    """The ids of all inputs end to end, and how many each has."""
    flat = isinstance(tokens, tuple) and len(tokens) == 2 and all(hasattr(each, "shape") for each in tokens)
    return Batch(len(tokens[1]), len(tokens[0])) if flat else None


_ONNX = "fastembed.text.onnx_text_model:OnnxTextModel"
_STATIC = "fastembed.text.static_embedding:StaticTextEmbedding"

PROVIDER = Provider(
    name="fastembed",
    requires="fastembed>=0.6,<1",
    calls=(
        Call(f"{_ONNX}.onnx_embed", _request, _reply, local=True, when=_is_dense),
        Call(f"{_STATIC}.raw_embed", _request, _reply, local=True),
    ),
    timed=(
        Timed(f"{_ONNX}.tokenize", "tokenize", batch=_encoded, then="forward"),
        Timed(f"{_STATIC}._token_ids", "tokenize", batch=_looked_up, then="pool"),
    ),
    loads=(
        Load(f"{_ONNX}._load_onnx_model", _loads, _device, _is_dense),
        Load(f"{_STATIC}.load_model", _loads, _device),
    ),
)

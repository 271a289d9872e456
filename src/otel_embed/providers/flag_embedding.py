"""BGE and other models that FlagEmbedding runs in this process; its rerankers are left alone."""

from __future__ import annotations

from typing import Any

from otel_embed.provider import Arguments, Call, Load, Provider, Timed
from otel_embed.reading import first, inputs, model_name, padded, stacked, text
from otel_embed.record import Batch, Reply, Request


def _request(call: Arguments) -> Request:
    content = call.args[0] if call.args else call.kwargs.get("sentences", call.kwargs.get("queries"))
    how_many, kind = inputs(content)
    model = model_name(getattr(call.instance, "model_name_or_path", None))
    return Request(model, how_many, kind, content=content, device=_device(call))


def _loads(call: Arguments) -> str | None:
    return model_name(call.get("model_name_or_path", 0))


def _device(call: Arguments, _: Any = None) -> str | None:
    """Where the model runs; of several devices, which processes of their own work on, the kind alone."""
    devices = getattr(call.instance, "target_devices", ())
    device = text(first(devices))
    return device.partition(":")[0] if device is not None and len(devices) > 1 else device


def _reply(result: Any) -> Reply:
    """An array, or one among vectors of other kinds."""
    return stacked(result.get("dense_vecs") if isinstance(result, dict) else result)


def _padded(_: Arguments, features: Any) -> Batch | None:
    batch = padded(features)
    return None if batch is None else batch._replace(truncated=None)  # nothing tells the limit here


_EMBEDDER = "FlagEmbedding.inference.embedder"
_BASE = f"{_EMBEDDER}.encoder_only.base:BaseEmbedder"
_IN_CONTEXT = f"{_EMBEDDER}.decoder_only.icl:ICLLLMEmbedder"
_CLASSES = (
    _BASE,
    f"{_EMBEDDER}.encoder_only.m3:M3Embedder",
    f"{_EMBEDDER}.decoder_only.base:BaseLLMEmbedder",
    _IN_CONTEXT,
)
_PADS = [f"{cls.partition(':')[0]}:pad_with_compat" for cls in _CLASSES]
_STAGES = ">=1.4.1"  # in which padding became a function of its own

PROVIDER = Provider(
    name="flag_embedding",
    requires="FlagEmbedding>=1.3.5,<2",
    calls=(
        Call("FlagEmbedding.abc.inference.AbsEmbedder:AbsEmbedder.encode", _request, _reply, local=True),
        Call(f"{_IN_CONTEXT}.encode_queries", _request, _reply, local=True),
    ),
    timed=(
        # Until the first batch is padded all texts are tokenized; from there on it is the model's turn.
        *[Timed(f"{cls}.encode_single_device", "tokenize", versions=_STAGES) for cls in _CLASSES],
        Timed(f"{_IN_CONTEXT}.encode_queries_single_device", "tokenize", versions=_STAGES),
        *[Timed(pad, "tokenize", batch=_padded, then="forward", versions=_STAGES) for pad in _PADS],
        Timed(f"{_BASE}.pooling", "pool", then="other", versions=_STAGES),
    ),
    loads=tuple(Load(f"{cls}.__init__", _loads, _device) for cls in _CLASSES),
)

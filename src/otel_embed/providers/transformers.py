"""The feature-extraction pipeline of transformers; what it makes of datasets and generators, lazily, is not seen."""

from __future__ import annotations

from typing import Any

from otel_embed.provider import Arguments, Call, Load, Provider, Timed
from otel_embed.reading import dimensions, first, inputs, model_name, padded
from otel_embed.record import Batch, Reply, Request


def _is_eager(call: Arguments) -> bool:
    return isinstance(_content(call), (str, list))


def _content(call: Arguments) -> Any:
    return call.get("inputs", 0)


def _request(call: Arguments) -> Request:
    content = _content(call)
    how_many, kind = inputs(content)
    model = getattr(call.instance, "model", None)
    device = getattr(call.instance, "device", None)
    name = model_name(getattr(model, "name_or_path", None))
    return Request(name, how_many, kind, content=content, device=None if device is None else str(device))


def _reply(result: Any) -> Reply:
    """The length of the first token's vector: a text is a list or a tensor of them."""
    vector = result
    for _ in range(4):
        if not isinstance(first(vector), (list, tuple)) and not hasattr(first(vector), "shape"):
            break
        vector = first(vector)
    return Reply(dimensions=dimensions(vector))


def _batch(call: Arguments, _: Any) -> Batch | None:
    limit = getattr(getattr(call.instance, "tokenizer", None), "model_max_length", None)
    return padded(call.args[0] if call.args else None, limit)


def _loads(call: Arguments) -> str | None:
    return model_name(call.get("model", 1))


def _makes_features(call: Arguments) -> bool:
    model = call.get("model", 1)
    return call.get("task", 0) == "feature-extraction" and (model is None or isinstance(model, str))


def _device(_: Arguments, pipeline: Any) -> str | None:
    device = getattr(pipeline, "device", None)
    return None if device is None else str(device)


_PIPELINE = "transformers.pipelines.feature_extraction:FeatureExtractionPipeline"

PROVIDER = Provider(
    name="transformers",
    requires="transformers>=4.44,<6",
    calls=(Call(f"{_PIPELINE}.__call__", _request, _reply, local=True, when=_is_eager),),
    timed=(
        Timed(f"{_PIPELINE}.preprocess", "tokenize"),
        Timed(f"{_PIPELINE}.forward", "forward", batch=_batch),
    ),
    loads=(Load("transformers.pipelines:pipeline", _loads, _device, _makes_features),),
)

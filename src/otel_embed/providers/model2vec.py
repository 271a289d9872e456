"""Static models of model2vec, which look vectors up and pass them through no network."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from otel_embed.provider import Arguments, Call, Load, Provider, Timed
from otel_embed.reading import inputs, model_name, stacked
from otel_embed.record import Batch, Request

_names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""What each model was loaded as."""


def _loads(call: Arguments) -> str | None:
    return model_name(call.get("path", 0))


def _loaded(call: Arguments, model: Any) -> str:
    name = _loads(call)
    if name is not None:
        _names[model] = name
    return "cpu"


def _request(call: Arguments) -> Request:
    content = call.get("sentences", 0)
    how_many, kind = inputs(content)
    name = _names.get(call.instance) or model_name(getattr(call.instance, "base_model_name", None))
    return Request(name, how_many, kind, content=content, device="cpu")


def _batch(_: Arguments, ids: Any) -> Batch | None:
    listed = isinstance(ids, list) and all(isinstance(each, list) for each in ids)
    return Batch(len(ids), sum(map(len, ids))) if listed else None


_MODEL = "model2vec.model:StaticModel"

PROVIDER = Provider(
    name="model2vec",
    requires="model2vec>=0.3,<1",
    calls=(Call(f"{_MODEL}.encode", _request, stacked, local=True),),
    timed=(
        Timed(f"{_MODEL}._encode_batch", "pool"),
        Timed(f"{_MODEL}.tokenize", "tokenize", batch=_batch),
    ),
    loads=(Load(f"{_MODEL}.from_pretrained", _loads, _loaded),),
)

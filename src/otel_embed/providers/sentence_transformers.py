"""Models that sentence-transformers runs in this process; its cross and sparse encoders are left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, ref

from otel_embed.provider import Arguments, Call, Load, Provider, Silent, Timed
from otel_embed.reading import dimensions, first, model_name, padded, stacked, told
from otel_embed.record import Batch, InputKind, Reply, Request

_names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""What each model was loaded as; of a copy, and of one from another process, what its configuration says."""
_weights: WeakKeyDictionary[Any, ref[Any]] = WeakKeyDictionary()


def _loads(call: Arguments) -> str | None:
    name = model_name(call.get("model_name_or_path", 0))
    if name is not None:
        _names[call.instance] = name
    return name


def _name(model: Any) -> str | None:
    name = _names.get(model)
    if name is None:
        config = told(told(first(list(model)), "auto_model"), "config")
        name = model_name(told(config, "_name_or_path"))
        if name is not None:
            _names[model] = name
    return name


def _request(call: Arguments) -> Request:
    model, asked = call.instance, call.kwargs
    content = call.args[0] if call.args else asked.get("inputs", asked.get("sentences"))
    inputs, kind = _inputs(content)
    precision = asked.get("precision")
    stored_as = precision if isinstance(precision, str) and precision != "float32" else None
    return Request(_name(model), inputs, kind, None, stored_as, content=content, device=_device(model, asked))


def _device(model: Any, asked: Any) -> str | None:
    device = asked.get("device")
    if asked.get("pool") is not None:
        return None  # wherever the pool's processes run
    if isinstance(device, (list, tuple)):
        return str(device[0]).partition(":")[0] if device else None
    return _placed(model) if device is None else str(device)


def _placed(model: Any) -> str:
    """The device of a model: that of its first weight, which is moved in place. Its own answer walks its modules."""
    held = _weights.get(model)
    weight = None if held is None else held()
    if weight is not None:
        return str(weight.device)
    device, weight = model.device, next(iter(getattr(model, "parameters", tuple)()), None)
    if weight is not None and weight.device == device:  # else it is offloaded, and waits elsewhere
        _weights[model] = ref(weight)
    return str(device)


def _inputs(content: Any) -> tuple[int | None, InputKind | None]:
    """How many inputs and of what kind: a list is a batch, but for a conversation; other iterables are left alone."""
    if isinstance(content, (list, tuple)):
        leading = first(content)
        conversation = isinstance(leading, dict) and "role" in leading
        return (1, "mixed") if conversation else (len(content), _kind(leading) if content else "text")
    if told(told(content, "dtype"), "kind") in ("U", "O"):
        return len(content) if content.shape else 1, "text"  # an array without dimensions is its one text
    kind = _kind(content)
    return None if kind is None else 1, kind


def _kind(value: Any) -> InputKind | None:
    if isinstance(value, (str, tuple)):
        return "text"
    picture = type(value).__module__.partition(".")[0] == "PIL"
    return "image" if picture else "mixed" if isinstance(value, dict) else None


def _reply(result: Any) -> Reply:
    if not isinstance(result, (list, tuple)):
        return stacked(result)
    vector = first(result)
    vector = vector.get("sentence_embedding") if isinstance(vector, dict) else vector
    return Reply(vectors=len(result), dimensions=dimensions(vector))


def _batch(call: Arguments, features: Any) -> Batch | None:
    """A batch before it goes to its device. For a static model, or flash attention, its inputs are end to end."""
    if isinstance(features, Mapping) and features.get("attention_mask") is None:
        ids, starts, ends = (features.get(name, ()) for name in ("input_ids", "offsets", "cu_seq_lens_q"))
        inputs = len(starts) or len(ends) - 1
        return Batch(inputs, len(ids.flatten())) if inputs > 0 else None
    return padded(features, getattr(call.instance, "max_seq_length", None))


_MODEL = "sentence_transformers:SentenceTransformer"
_POOL = (
    "sentence_transformers.sentence_transformer.modules.pooling:Pooling.forward",
    "sentence_transformers.base.modules.normalize:Normalize.forward",
)
_POOL_BEFORE_5_4 = (
    "sentence_transformers.models.Pooling:Pooling.forward",
    "sentence_transformers.models.Normalize:Normalize.forward",
)

PROVIDER = Provider(
    name="sentence_transformers",
    requires="sentence-transformers>=3.0,<7",
    calls=(
        Call(f"{_MODEL}.encode", _request, _reply, local=True),
        Call(f"{_MODEL}.encode_multi_process", _request, _reply, local=True, versions="<5"),
    ),
    timed=(
        Timed(f"{_MODEL}.tokenize", "tokenize", batch=_batch, versions="<5.4"),
        Timed(f"{_MODEL}.preprocess", "tokenize", batch=_batch, versions=">=5.4"),
        Timed(f"{_MODEL}.forward", "forward", torch=True, versions="<5.7"),
        Timed(f"{_MODEL}.__call__", "forward", torch=True, versions=">=5.7"),
        *[Timed(target, "pool", torch=True, versions="<5.4") for target in _POOL_BEFORE_5_4],
        *[Timed(target, "pool", torch=True, versions=">=5.4") for target in _POOL],
    ),
    loads=(
        Load(
            f"{_MODEL}.__init__",
            _loads,
            lambda call, _: str(call.instance.device),
            lambda call: all(base.__name__ != "SparseEncoder" for base in type(call.instance).__mro__),
        ),
    ),
    silent=(
        Silent(f"{_MODEL}._encode_multi_process_worker", versions="<5.4"),
        Silent(f"{_MODEL}._multi_process_worker", versions=">=5.4"),
    ),
)

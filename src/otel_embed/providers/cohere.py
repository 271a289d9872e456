"""Cohere, v1 and v2, and its clients for AWS and Oracle's cloud, which send the same calls elsewhere."""

from __future__ import annotations

from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import amount, count, dimensions, first, inputs, mixed_inputs, server, text, told
from otel_embed.record import InputKind, Reply, Request

_BATCH = 96
"""The most texts in a request; the v1 client sends more in several at once."""
_FORMS = ("float_", "float", "base64", "int8", "uint8", "binary", "ubinary")
"""Where a vector is told in several forms, those that tell its dimensions first."""


def _request(call: Arguments) -> Request:
    asked, wrapper = call.kwargs, getattr(call.instance, "_client_wrapper", None)
    texts = asked.get("texts")
    (how_many, kind), place = inputs(texts), server(getattr(wrapper, "_base_url", None))
    if kind is None:
        how_many, kind = _other_inputs(asked)
    cloud = _cloud(wrapper)
    return Request(
        text(asked.get("model")),
        how_many,
        kind,
        count(asked.get("output_dimension")),
        _forms(asked.get("embedding_types")),
        None if cloud else place,
        cloud or (place and provider_of(place.address)),
        texts if kind == "text" else None,
    )


def _other_inputs(asked: Any) -> tuple[int | None, InputKind | None]:
    images = asked.get("images")
    return (len(images), "image") if isinstance(images, (list, tuple)) else mixed_inputs(asked.get("inputs"))


def _forms(types: Any) -> tuple[str, ...] | None:
    return tuple(filter(text, types[:8])) or None if isinstance(types, (list, tuple)) else None


def _cloud(wrapper: Any) -> str | None:
    """Whose service a client for a cloud calls: it has a hook that turns each request into one of theirs."""
    http = getattr(getattr(wrapper, "httpx_client", None), "httpx_client", None)
    hooks = told(getattr(http, "event_hooks", None), "request")
    for hook in hooks if isinstance(hooks, list) else ():
        module = getattr(hook, "__module__", None)
        if module == "cohere.aws_client":
            held = [cell.cell_contents for cell in hook.__closure__ or ()]
            return "aws.sagemaker" if "sagemaker" in held else "aws.bedrock"
        if module == "cohere.oci_client":
            return "oci"
    return None


def _is_divided(call: Arguments) -> bool:
    asked, texts = call.kwargs, call.kwargs.get("texts")
    whole = asked.get("batching") is False or asked.get("images", ...) is not ...
    if whole or not isinstance(texts, (list, tuple)):
        return False
    # Threads of any other kind do not know whose call they work for, and make one of their own.
    kinds = [base.__name__ for base in type(getattr(call.instance, "_executor", None)).__mro__]
    return len(texts) > _BATCH or "ThreadPoolExecutor" not in kinds


def _reply(result: Any) -> Reply:
    response = getattr(result, "data", result)  # a raw client's answer holds it
    billed, vectors = told(told(response, "meta"), "billed_units"), _vectors(told(response, "embeddings"))
    image_tokens, images = amount(told(billed, "image_tokens")), amount(told(billed, "images"))
    return Reply(
        vectors=len(vectors) or None,
        dimensions=dimensions(first(vectors)),
        tokens=count(told(billed, "text_tokens")) or count(told(billed, "input_tokens")),
        # An image is paid for once, by its tokens where those are told.
        media=(("image_tokens", image_tokens),) if image_tokens else (("images", images),) if images else (),
    )


def _vectors(embeddings: Any) -> Any:
    if isinstance(embeddings, list):
        return embeddings
    held = getattr(embeddings, "__dict__", {})  # asked for a form that it lacks, this class warns whoever looks
    return next((held[form] for form in _FORMS if isinstance(held.get(form), list) and held[form]), ())


def _calls(versions: str, *targets: str) -> tuple[Call, ...]:
    return tuple(Call(target, _request, _reply, versions=versions) for target in targets)


PROVIDER = Provider(
    name="cohere",
    requires="cohere>=5.0,<8",
    calls=(
        Call("cohere.client:Client.embed", _request, _reply, divides=_is_divided, versions=">=5.2"),
        Call("cohere.client:AsyncClient.embed", _request, _reply, divides=_is_divided, versions=">=5.2"),
        *_calls("<5.16", "cohere.base_client:BaseCohere.embed", "cohere.base_client:AsyncBaseCohere.embed"),
        *_calls(">=5.9.3,<5.16", "cohere.v2.client:V2Client.embed", "cohere.v2.client:AsyncV2Client.embed"),
        *_calls(">=5.16", "cohere.raw_base_client:RawBaseCohere.embed"),
        *_calls(">=5.16", "cohere.raw_base_client:AsyncRawBaseCohere.embed"),
        *_calls(">=5.16", "cohere.v2.raw_client:RawV2Client.embed", "cohere.v2.raw_client:AsyncRawV2Client.embed"),
    ),
)

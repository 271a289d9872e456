"""Amazon Bedrock through boto3, which is botocore: ``invoke_model`` of an embedding model."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from otel_embed.endpoints import bedrock
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.providers import bedrock_bodies
from otel_embed.reading import count, server, text
from otel_embed.record import Reply, Request

_TOKENS = "x-amzn-bedrock-input-token-count"
_ENDING = re.compile(rb'"input(?:Text)?TokenCount"\s*:\s*(\d{1,12})\b')
_NAMED = ("foundation-model/", "inference-profile/")
_DIMENSIONS = {
    "titan-embed-text-v2": 1024,
    "titan-embed-image-v1": 1024,
    "titan-embed-text-v1": 1536,
    "titan-embed-g1-text": 1536,
    "nova-2-multimodal-embeddings": 3072,
    "cohere.embed-english-v3": 1024,
    "cohere.embed-multilingual-v3": 1024,
    "cohere.embed-v4": 1536,
}
"""How long a model's vectors are where the request does not say."""


def _embeds(call: Arguments) -> bool:
    """Whether this is an embedding call, and not one of the many other things that a client of AWS does."""
    if call.get("operation_name", 0) != "InvokeModel":
        return False
    asked, service = call.get("api_params", 1), getattr(call.instance, "_service_model", None)
    if getattr(service, "service_name", None) != "bedrock-runtime" or not isinstance(asked, dict):
        return False
    model = asked.get("modelId")
    if not isinstance(model, str):
        return False
    return "embed" in model or (_is_opaque(model) and bedrock_bodies.asks_for_vectors(asked.get("body")))


@lru_cache(maxsize=256)
def _is_opaque(model: str) -> bool:
    """Whether a name leaves open which model it stands for: one's own profile, deployment or provisioned throughput."""
    return model.startswith("arn:") and (
        "application-inference-profile/" in model or not any(path in model for path in _NAMED)
    )


def _request(call: Arguments) -> Request:
    asked = call.get("api_params", 1)
    asked = asked if isinstance(asked, dict) else {}
    model = text(asked.get("modelId"))
    body = bedrock_bodies.read(asked.get("body"))
    meta = getattr(call.instance, "meta", None)
    return Request(
        model,
        body.inputs,
        body.kind,
        body.dimensions or (None if model is None else _dimensions(model)),
        body.encoding_format,
        server(getattr(meta, "endpoint_url", None)),
        bedrock(text(getattr(meta, "region_name", None)) or ""),
        content=body.content,
        media=body.media,
    )


@lru_cache(maxsize=256)
def _dimensions(model: str) -> int | None:
    return next((dimensions for name, dimensions in _DIMENSIONS.items() if name in model), None)


def _reply(answer: Any) -> Reply:
    metadata = answer.get("ResponseMetadata") if isinstance(answer, dict) else None
    headers = metadata.get("HTTPHeaders") if isinstance(metadata, dict) else None
    told = headers.get(_TOKENS) if isinstance(headers, dict) else None
    return Reply(tokens=count(int(told)) if isinstance(told, str) and re.fullmatch("[0-9]{1,12}", told) else None)


def _ending(body: bytes) -> int | None:
    """Titan's own count, and Nova's, for an endpoint that does not send Bedrock's header."""
    told = _ENDING.search(body)
    return count(int(told[1])) if told else None


def call(target: str) -> Call:
    """A function with the arguments and the result of botocore's."""
    return Call(target, _request, _reply, when=_embeds, ending=_ending)


PROVIDER = Provider(
    name="aws.bedrock",
    requires="botocore>=1.31.57,<2",
    calls=(call("botocore.client:BaseClient._make_api_call"),),
)

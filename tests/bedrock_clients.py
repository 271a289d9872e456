"""Real clients of Bedrock, boto3's and aiobotocore's, whichever are installed, so that a test is written once."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import boto3
import pytest
from botocore.config import Config

from conftest import Telemetry, run

TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
TEXT = {"inputText": "one two three"}

asynchronously = pytest.mark.skipif(not find_spec("aiobotocore"), reason="aiobotocore is not installed")
each_client = pytest.mark.parametrize("client", ["boto3", pytest.param("aiobotocore", marks=asynchronously)])


KEYS = {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@functools.cache
def session() -> boto3.Session:
    return boto3.Session(**KEYS)


@functools.cache
def async_session() -> Any:
    from aiobotocore.session import get_session

    return get_session()


def config(server: Any, attempts: int = 1, mode: str = "standard", **options: Any) -> dict[str, Any]:
    retries = {"total_max_attempts": attempts, "mode": mode}
    kind: Any = Config
    if "http_session_cls" in options:
        from aiobotocore.config import AioConfig as kind
    return {"endpoint_url": server.origin, "config": kind(retries=retries, **options)}


def connect(server: Any, service: str = "bedrock-runtime", **options: Any) -> Any:
    return session().client(service, **config(server, **options))


def connecting(server: Any, **options: Any) -> Any:
    """An asynchronous client, for ``async with``."""
    return async_session().create_client("bedrock-runtime", **KEYS, **config(server, **options))


async def connected(server: Any, work: Callable[[Any], Any], **options: Any) -> Any:
    async with connecting(server, **options) as client:
        return await work(client)


def asked(model: str, body: Any) -> dict[str, Any]:
    return {"modelId": model, "body": json.dumps(body) if isinstance(body, dict) else body}


def invoke(server: Any, model: str = TITAN, body: Any = TEXT, client: str = "boto3", **options: Any) -> bytes:
    """The answer's body, read as a whole."""
    if client == "boto3":
        return connect(server, **options).invoke_model(**asked(model, body))["body"].read()

    async def work(it: Any) -> bytes:
        return await (await it.invoke_model(**asked(model, body)))["body"].read()

    answer: bytes = run(connected(server, work, **options))
    return answer


def call(telemetry: Telemetry) -> dict[str, Any]:
    """The attributes of the one embedding call."""
    (span,) = [span for span in telemetry.spans() if span.attributes.get("gen_ai.operation.name") == "embeddings"]
    return dict(span.attributes)

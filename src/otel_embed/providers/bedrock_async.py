"""Amazon Bedrock through aiobotocore, which reads as botocore does."""

from __future__ import annotations

from otel_embed.provider import Provider
from otel_embed.providers.bedrock import call

PROVIDER = Provider(
    name="aws.bedrock",
    requires="aiobotocore>=2.7,<4",
    calls=(call("aiobotocore.client:AioBaseClient._make_api_call"),),
)

"""Every name, unit, description and bucket list that otel_embed emits; nothing else in the code spells one.

``gen_ai.*``, ``server.*``, ``error.type``, ``http.*`` and ``hw.*`` are OpenTelemetry's (semantic conventions for
generative AI and for hardware, state of November 2026). What it does not define yet is under ``otel_embed.*``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from otel_embed.record import STAGES

OPERATION: Final = "gen_ai.operation.name"
EMBEDDINGS: Final = "embeddings"
LOAD: Final = "load"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
TOKEN_TYPE: Final = "gen_ai.token.type"
INPUT: Final = "input"
OUTPUT: Final = "output"
CHAT: Final = "chat"
RETRIEVAL: Final = "retrieval"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE: Final = "invoke"
DATA_SOURCE: Final = "gen_ai.data_source.id"
TOOL_NAME: Final = "gen_ai.tool.name"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITTEN_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_PARAMETER: Final = "gen_ai.request."
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
ADDRESS: Final = "server.address"
PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
REQUEST_BYTES: Final = "http.request.body.size"
RESPONSE_BYTES: Final = "http.response.body.size"

FRAMEWORK: Final = "otel_embed.framework"
COMPONENT: Final = "otel_embed.framework.class"
INPUT_COUNT: Final = "otel_embed.input.count"
INPUT_KIND: Final = "otel_embed.input.kind"
INPUT_TRUNCATED: Final = "otel_embed.input.truncated"
PADDING_TOKENS: Final = "otel_embed.padding.tokens"
DEVICE: Final = "otel_embed.device"
DEVICE_DURATION: Final = "otel_embed.device.duration"
USAGE_SOURCE: Final = "otel_embed.usage.source"
COST: Final = "otel_embed.cost.usd"
COST_SOURCE: Final = "otel_embed.cost.source"
STAGE: Final = "otel_embed.stage"
STAGE_DURATION: Final = {stage: f"otel_embed.stage.{stage}.duration" for stage in STAGES}
STAGE_SPAN: Final = {stage: f"embeddings.{stage}" for stage in STAGES}
RETRY_COUNT: Final = "otel_embed.retry.count"
RETRY_STATUS: Final = "otel_embed.retry.status"
CAUSE: Final = "otel_embed.error.cause"
REMAINING_REQUESTS: Final = "otel_embed.rate_limit.remaining.requests"
REMAINING_TOKENS: Final = "otel_embed.rate_limit.remaining.tokens"
RATE_LIMIT_KIND: Final = "otel_embed.rate_limit.kind"
SERVER_DURATION: Final = "otel_embed.server.duration"
CACHE_HITS: Final = "otel_embed.cache.hits"
CACHE_MISSES: Final = "otel_embed.cache.misses"
CACHE_STORE: Final = "otel_embed.cache.store"
CACHE_OUTCOME: Final = "otel_embed.cache.outcome"
SAVED_TOKENS: Final = "otel_embed.saved.tokens"
SAVED_COST: Final = "otel_embed.saved.usd"
LOOKUP_DURATION: Final = "otel_embed.cache.lookup.duration"
WRITE_DURATION: Final = "otel_embed.cache.write.duration"
OUTPUT_RATE_ATTRIBUTE: Final = "otel_embed.output.rate"
COMPONENT_KIND: Final = "otel_embed.component.kind"
OPERATION_NAME: Final = "otel_embed.store.operation"
DOCUMENTS: Final = "otel_embed.store.document.count"
OWN_DURATION: Final = "otel_embed.store.duration"
PROBLEMS: Final = "otel_embed.problems"
PROBLEM: Final = "otel_embed.problem"
CHECKED: Final = "otel_embed.checked.what"
WASTE: Final = "otel_embed.waste"
PERIOD: Final = "otel_embed.budget.period"
BUDGET: Final = "otel_embed.budget.name"
BUDGET_SCOPE: Final = "otel_embed.budget.scope"
THRESHOLD: Final = "otel_embed.budget.threshold"
BUDGET_THRESHOLD_EVENT: Final = "otel_embed.budget.threshold_passed"
DROPPED_WHAT: Final = "otel_embed.dropped.what"
OVERHEAD_PART: Final = "otel_embed.overhead.part"
LOST_CAUSE: Final = "otel_embed.lost.cause"
ALERT: Final = "otel_embed.alert.name"

HW_ID: Final = "hw.id"
HW_TYPE: Final = "hw.type"
HW_NAME: Final = "hw.name"
HW_MODEL: Final = "hw.model"
HW_VENDOR: Final = "hw.vendor"
HW_PARENT: Final = "hw.parent"
GPU_TASK: Final = "hw.gpu.task"
GPU: Final = "gpu"
NVIDIA: Final = "NVIDIA"
GENERAL: Final = "general"


class Instrument(NamedTuple):
    name: str
    unit: str
    description: str
    buckets: tuple[float, ...] | None = None


_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FINE_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, *_SECONDS)
"""For cached and local calls, which take less than the convention's first bucket."""
_TOKENS = tuple(4.0**power for power in range(14))

DURATION = Instrument(
    "gen_ai.client.embeddings.duration", "s", "Duration of an embeddings operation, retries included.", _SECONDS
)
TOKENS = Instrument(
    "gen_ai.client.embeddings.operation.input_tokens",
    "{token}",
    "Input tokens an embeddings operation billed.",
    _TOKENS,
)
LEGACY_DURATION = Instrument("gen_ai.client.operation.duration", "s", "GenAI operation duration.", _SECONDS)
LEGACY_TOKENS = Instrument("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.", _TOKENS)
TIME_TO_FIRST = Instrument(
    "gen_ai.client.operation.time_to_first_chunk", "s", "Time to receive the first chunk of an answer.", _SECONDS
)
OUTPUT_RATE = Instrument(
    "otel_embed.output.rate",
    "{token}/s",
    "Output tokens a second: after the first token where the answer is streamed, over the whole call else.",
    (1, 2, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000, 2000),
)
FRAMEWORK_DURATION = Instrument(
    "otel_embed.framework.duration", "s", "What the application waited for a framework's embedder.", FINE_SECONDS
)
LOCAL_DURATION = Instrument(
    "otel_embed.local.duration", "s", "Duration of an embeddings operation of a model in this process.", FINE_SECONDS
)
LOAD_DURATION = Instrument(
    "otel_embed.model.load.duration", "s", "Time to load a model into this process.", (*_SECONDS, 163.84, 327.68)
)
PADDING = Instrument("otel_embed.padding", "{token}", "Tokens local models worked on that only fill up a batch.")
TRUNCATED = Instrument(
    "otel_embed.inputs.truncated", "{input}", "Inputs as long as the model takes: cut short, or exactly that long."
)
SPEND = Instrument("otel_embed.cost", "{USD}", "Money spent on models, where the price is known.")
UNPRICED = Instrument("otel_embed.unpriced", "{call}", "Calls whose cost is unknown for want of a price or of tokens.")
INPUTS = Instrument("otel_embed.inputs", "{input}", "Inputs that were embedded.")
STAGE_TIME = Instrument("otel_embed.stage.time", "s", "Time spent in each stage; the stages of a call add up to it.")
ERRORS = Instrument("otel_embed.errors", "{error}", "Failed calls by cause.")
RETRIES = Instrument("otel_embed.retries", "{retry}", "Attempts made again, by what they answered to.")
RATE_LIMIT = Instrument(
    "otel_embed.rate_limit.remaining", "{unit}", "What the provider last said is left of its rate limit."
)
HEADROOM = Instrument(
    "otel_embed.rate_limit.headroom",
    "{ratio}",
    "What is left of the rate limit as a part of it, from 0 to 1, as the provider last said.",
)
CHECKED_ITEMS = Instrument(
    "otel_embed.checked",
    "{item}",
    "Inputs and vectors that were looked at for problems: a sample where there are many.",
)
FOUND_PROBLEMS = Instrument(PROBLEMS, "{problem}", "Problems of inputs, vectors and models that raise no error.")
WASTED_TOKENS = Instrument(
    "otel_embed.wasted.tokens", "{token}", "Tokens sent for texts that were embedded before, and in failed attempts."
)
WASTED_MONEY = Instrument("otel_embed.wasted.cost", "{USD}", "Money spent on texts that were embedded before.")
CHECKED_MONEY = Instrument(
    "otel_embed.checked.cost", "{USD}", "Money spent on calls whose inputs were looked at: of it, a part was wasted."
)
BATCH_LIMIT = Instrument("otel_embed.batch.limit", "{input}", "The most inputs that the provider takes in one call.")
PENDING = Instrument("otel_embed.inputs.pending", "{input}", "Inputs whose embeddings have not arrived yet.")
LOOKUPS = Instrument("otel_embed.cache.lookups", "{input}", "Inputs looked up in a cache, by outcome.")
CACHE_ENTRIES = Instrument("otel_embed.cache.entries", "{entry}", "Entries in a cache's store.")
CACHE_SIZE = Instrument("otel_embed.cache.size", "By", "Size of a cache's store.")
SAVED_MONEY = Instrument("otel_embed.saved.cost", "{USD}", "Money a cache saved.")
SAVED_INPUT_TOKENS = Instrument("otel_embed.saved.tokens", "{token}", "Tokens a cache saved.")
STORE_DURATION = Instrument(
    OWN_DURATION, "s", "Time in a vector store itself, without the embedding calls that it makes.", FINE_SECONDS
)
BUDGET_LIMIT = Instrument("otel_embed.budget.limit", "{USD}", "The budget of the period.")
BUDGET_SPENT = Instrument("otel_embed.budget.spent", "{USD}", "Spent of the budget in the period.")
BUDGET_REMAINING = Instrument("otel_embed.budget.remaining", "{USD}", "What is left of the budget in the period.")
BUDGET_PROJECTED = Instrument(
    "otel_embed.budget.projected", "{USD}", "What will be spent by the end of the period, at the rate so far."
)
BUDGET_ALERTS = Instrument("otel_embed.budget.alerts", "{alert}", "Marks of a budget that were passed, in percent.")
DROPPED = Instrument(
    "otel_embed.dropped", "{failure}", "Failures of otel_embed itself; the application saw none of them."
)
LOST = Instrument(
    "otel_embed.spans.lost", "{span}", "Spans that reached no backend: a queue was full, or an export failed."
)
OVERHEAD = Instrument(
    "otel_embed.overhead", "s", "Time of otel_embed itself: in embedding calls, and in settling what they add up to."
)
FUSE = Instrument("otel_embed.fuse.blown", "{fuse}", "1 where otel_embed switched itself off because it took too long.")
ALERTS = Instrument("otel_embed.alerts.active", "{alert}", "Alerts of this process that go on, by threshold.")
GPU_UTILIZATION = Instrument("hw.gpu.utilization", "1", "Fraction of time spent in a specific task.")
GPU_MEMORY_USAGE = Instrument("hw.gpu.memory.usage", "By", "GPU memory used.")
GPU_MEMORY_LIMIT = Instrument("hw.gpu.memory.limit", "By", "Size of the GPU memory.")

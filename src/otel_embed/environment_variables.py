"""The environment variables of otel_embed, one documented constant each.

``opentelemetry-instrument`` makes a command-line flag of each constant that begins with ``OTEL_``:
``OTEL_EMBED_SEMCONV`` is ``--embed_semconv`` there.
"""

from __future__ import annotations

OTEL_EMBED_SEMCONV = "OTEL_EMBED_SEMCONV"
"""``latest`` (default): the metrics that OpenTelemetry's convention now has for embeddings. ``legacy``: the ones that
instrumentations released in 2026 emit, ``gen_ai.client.operation.duration`` and ``gen_ai.client.token.usage``.
``both``: both."""

OTEL_EMBED_STAGE_SPANS = "OTEL_EMBED_STAGE_SPANS"
"""When stages become child spans: ``slow`` (default: failed calls and slow ones), ``always``, ``never``."""

OTEL_EMBED_SLOW_CALL_MS = "OTEL_EMBED_SLOW_CALL_MS"
"""From how many milliseconds on a call is slow. Default 500."""

OTEL_EMBED_TOKEN_COUNTING = "OTEL_EMBED_TOKEN_COUNTING"
"""How tokens are found where the provider does not report them: ``auto`` (default: tiktoken where its file is already
on this machine, else characters / 4), ``tiktoken``, ``estimate`` (characters / 4), ``off``."""

OTEL_EMBED_TOKEN_FETCH = "OTEL_EMBED_TOKEN_FETCH"
"""``true``: let a background thread fetch tiktoken's file where it is missing. Default ``false``."""

OTEL_EMBED_TOKEN_FETCH_TIMEOUT = "OTEL_EMBED_TOKEN_FETCH_TIMEOUT"
"""How many seconds that fetch may take. Default 10."""

OTEL_EMBED_PRICES = "OTEL_EMBED_PRICES"
"""A TOML file of prices of your own, in the form of otel_embed's; its rows win. Default: none."""

OTEL_EMBED_DAILY_BUDGET_USD = "OTEL_EMBED_DAILY_BUDGET_USD"
"""Dollars that may be spent a day before there is a warning, once each at 50, 80 and 100 %. Default: no budget."""

OTEL_EMBED_MONTHLY_BUDGET_USD = "OTEL_EMBED_MONTHLY_BUDGET_USD"
"""The same for a month. Default: no budget."""

OTEL_EMBED_BUDGETS = "OTEL_EMBED_BUDGETS"
"""A TOML file of further budgets: of a model, a provider, a tenant. Default: none."""

OTEL_EMBED_BUDGET_TIMEZONE = "OTEL_EMBED_BUDGET_TIMEZONE"
"""The IANA time zone in which a budget's day and month begin: ``Europe/Berlin``. Default: UTC."""

OTEL_EMBED_BUDGET_ACTION = "OTEL_EMBED_BUDGET_ACTION"
"""``block``: a call to a provider whose budget is spent raises ``otel_embed.BudgetExceeded`` instead of being made.
Default ``warn``: it is made."""

OTEL_EMBED_BUDGET_REDIS_URL = "OTEL_EMBED_BUDGET_REDIS_URL"
"""A Redis in which processes count what they spend together: ``redis://host:6379/0``; needs the extra ``redis``.
Default: each process counts its own."""

OTEL_EMBED_ALERT_WEBHOOK = "OTEL_EMBED_ALERT_WEBHOOK"
"""An address to which each warning of a budget and each alert is posted as JSON; Slack's incoming webhooks read it.
Default: none."""

OTEL_EMBED_THRESHOLDS = "OTEL_EMBED_THRESHOLDS"
"""A TOML file that says from where on latency, errors, cost, … are bad: for the report and the generated alerts.
Default: none, and otel_embed's own are in force."""

OTEL_EMBED_BAGGAGE_ATTRIBUTES = "OTEL_EMBED_BAGGAGE_ATTRIBUTES"
"""Keys of OpenTelemetry's baggage, with commas between them, that say for whom a call was made: ``tenant,team``. They
become attributes of that name on spans and metrics, with at most 100 values each. Default: none."""

OTEL_EMBED_ALERTS = "OTEL_EMBED_ALERTS"
"""``on``: judge the thresholds in this process, and log alerts on logger ``otel_embed.alerts``. ``off``: never.
``auto`` (default): on where ``OTEL_EMBED_ALERT_WEBHOOK`` is set, and as soon as a function is given to
``otel_embed.on_alert``."""

OTEL_EMBED_MAX_OVERHEAD = "OTEL_EMBED_MAX_OVERHEAD"
"""The share of the time of observed calls, from 0 to 1, that otel_embed's own work may take before it switches itself
off in this process: ``0.05``. Default: none, and it stays on."""

OTEL_EMBED_LOG = "OTEL_EMBED_LOG"
"""``text`` or ``json``: a log line for each call on logger ``otel_embed.calls``. Default ``off``."""

OTEL_EMBED_CHECKS = "OTEL_EMBED_CHECKS"
"""``on`` (default): look at a bounded sample of inputs and vectors for what goes wrong without an error, such as empty,
repeated or oversized texts and vectors of zeros or NaN. ``off``: never."""

OTEL_EMBED_DISABLED_PROVIDERS = "OTEL_EMBED_DISABLED_PROVIDERS"
"""Names of libraries to leave alone, with commas between them: ``openai,langchain``; ``gpu`` is the GPU metrics.
Default: none."""

OTEL_EMBED_LANGCHAIN_CHAT = "OTEL_EMBED_LANGCHAIN_CHAT"
"""LangChain's chains and chat models: ``on``, ``off``, or ``auto`` (default): where another instrumentation of
LangChain is switched on, spans and the convention's metrics are left to it; tokens, cost and caches are counted."""

OTEL_EMBED_REPORT_DIR = "OTEL_EMBED_REPORT_DIR"
"""A directory into which this process writes its summary as JSON, as ``otel-embed run`` asks for. Default: none."""

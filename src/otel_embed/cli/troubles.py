"""What went wrong in a run, and what can be done about it, for the terminal and the page."""

from __future__ import annotations

import signal

from otel_embed.cli.chat_rows import ChatTotals
from otel_embed.cli.document import Summary
from otel_embed.cli.rows import ProviderTotals

CAUSES = {
    "rate_limited": "the provider limits the rate: fewer calls at once, more texts in each, or a higher limit from it",
    "quota_exhausted": "the account's quota is used up: raise it where the provider bills you",
    "invalid_input": "the provider refuses the request: a text that is empty or too long, or too many in a call",
    "authentication": "the provider refuses the key: it is missing, wrong, or not for this model",
    "not_found": "the provider has no such model or address: look at the model's name and at the base URL",
    "timeout": "no answer in the time that the client allows: raise that, or send less in a call",
    "network": "the connection failed: DNS, a proxy, a firewall, or nothing listens at the base URL",
    "server_error": "the provider failed: see its status page; retries with pauses help where it is for a short time",
    "cancelled": "the application gave the call up itself",
}
"""What each cause of an error means, and what can be done about it."""


def causes(summary: Summary) -> list[tuple[str, str]]:
    """Those that the errors of this run have, with what they mean."""
    rows: list[ProviderTotals | ChatTotals] = [*summary.providers, *summary.chats]
    seen = {cause for row in rows for cause, number in row.errors.items() if number}
    return [(cause, meaning) for cause, meaning in CAUSES.items() if cause in seen]


def ended(exit_code: int) -> str:
    """``exit 137 (SIGKILL)``, as a shell has it for a program that a signal ended."""
    name = _signal(exit_code)
    return f"exit {exit_code} ({name})" if name else f"exit {exit_code}"


def cut_short(exit_code: int | None) -> str:
    """What is missing after a signal that leaves a process no time; empty where there was none."""
    name = _signal(exit_code or 0)
    if name in ("", "SIGINT"):  # which Python makes an exception of
        return ""
    return f"{name} ended the program: what its last two seconds did may be missing here."


def _signal(exit_code: int) -> str:
    try:
        return signal.Signals(exit_code - 128).name
    except ValueError:
        return ""

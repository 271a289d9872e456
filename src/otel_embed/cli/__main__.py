"""``python -m otel_embed.cli`` is ``otel-embed``."""

from otel_embed.cli import main

main(prog_name="otel-embed")

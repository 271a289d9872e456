"""What other systems show and watch: dashboards and alert rules, written from the names that otel_embed emits."""

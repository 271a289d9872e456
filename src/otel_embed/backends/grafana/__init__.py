"""Grafana: a dashboard a module, and alerts."""

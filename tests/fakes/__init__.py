"""Servers that speak each provider's wire format, with faults to order."""

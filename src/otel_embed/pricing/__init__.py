"""Tokens and prices: what is counted where nobody reports it, and what it costs."""

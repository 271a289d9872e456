"""Budgets: what may be spent, what is spent, who is told, and what happens then."""

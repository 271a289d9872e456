"""Thresholds judged in this process, for those who have no backend that does it."""

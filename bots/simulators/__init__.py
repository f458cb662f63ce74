"""Slack, Discord and a completions endpoint on this machine, for demo, tests and benches."""

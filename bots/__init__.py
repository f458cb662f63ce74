"""The edges: one package per platform, the composition root and the commands."""

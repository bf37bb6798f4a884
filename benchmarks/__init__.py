"""Longshore beside other registries: same disk, same configuration, same client, in alternation.

``python -m benchmarks`` measures and prints; ``docs/benchmarks.md`` says how, and what came out.
"""

"""Pipelines and services that log in with a token of their platform: GitHub, GitLab, Kubernetes, others."""

"""Distributed distributional deterministic policy gradients."""

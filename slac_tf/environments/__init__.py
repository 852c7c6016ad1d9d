"""Environments with pixel and state observations, as TF-Agents PyEnvironments."""

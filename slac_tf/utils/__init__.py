"""Masks and images; nothing here knows reinforcement learning agents."""

"""Policies that act on a history of observations and actions."""

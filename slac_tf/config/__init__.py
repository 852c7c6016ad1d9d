"""Gin files: reading them, and every mistake in them as one line."""

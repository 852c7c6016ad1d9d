"""Sequence replay on Reverb."""

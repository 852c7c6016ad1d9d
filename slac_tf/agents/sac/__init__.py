"""Soft actor-critic without a latent model, from state and from pixels."""

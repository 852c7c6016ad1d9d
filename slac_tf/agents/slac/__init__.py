"""Stochastic Latent Actor-Critic."""

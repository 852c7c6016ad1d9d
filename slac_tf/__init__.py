"""Stochastic Latent Actor-Critic on TensorFlow and TF-Agents."""

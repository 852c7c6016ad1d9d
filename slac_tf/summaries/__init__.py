"""Pictures for TensorBoard: GIFs and videos of the latent model."""

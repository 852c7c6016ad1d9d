"""Pure loss functions: tensors and distributions in, per-example tensors out."""

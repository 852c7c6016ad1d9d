"""Deep variational reinforcement learning: A2C on the belief of a particle filter that is learned with it."""

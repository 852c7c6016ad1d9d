"""The one loop that steps a policy in an environment: for collection, evaluation, play and films."""

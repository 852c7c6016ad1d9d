"""A run as separate processes around one Reverb server: replay server, learner, collectors, evaluator."""

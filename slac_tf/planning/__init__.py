"""Planners: what looks for good actions where their outcome can be foretold, in a model or in the simulator."""

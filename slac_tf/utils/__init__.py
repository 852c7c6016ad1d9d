"""What everything else may use; nothing here knows reinforcement learning agents."""

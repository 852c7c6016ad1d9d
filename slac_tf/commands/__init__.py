"""What `bin/` runs: flags and messages only."""

"""Looking at a run: what the command line and notebooks both call."""

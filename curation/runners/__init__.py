"""Runners decide where units run, and nothing else."""

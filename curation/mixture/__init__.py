"""Mixture weights: how much of each domain a training run should read, from run tables to files any trainer takes."""

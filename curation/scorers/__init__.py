"""Scorers add columns and never drop: language, quality, toxicity, perplexity."""

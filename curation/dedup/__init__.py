"""Deduplication: stages that compare every document with every other."""

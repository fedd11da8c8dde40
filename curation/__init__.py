"""Curate pretraining corpora: from web archives to Parquet shards, every document accounted for."""

__version__ = "0.1.0"

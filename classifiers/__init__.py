"""Models that score texts, and their cards. Knows numpy and the model libraries; knows nothing of curation."""

"""Filters mark documents as dropped, each with a reason from a closed list."""

"""`curation mix`: from domains to the weights a trainer takes. Verbs only; the work is in curation/mixture."""

from __future__ import annotations

import typer

mix_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None,
    help="Mixture weights: propose mixtures, fit what their runs say, solve for the best, apply and export it.",
)  # fmt: skip


def say(text: str) -> None:
    """Write a result to standard output."""
    typer.echo(text)

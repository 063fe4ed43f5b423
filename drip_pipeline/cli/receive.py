"""`drip receive`: the HTTP receiver."""

from __future__ import annotations

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command


@command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. Put a proxy with TLS in front, or give 0.0.0.0 inside a container.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
def receive(invocation: Invocation, host: str, port: int) -> CommandResult:
    """Take provider events, links in messages that are followed, unsubscribes and trigger webhooks,
    until Ctrl-C.

    What comes in is kept at once and taken in by Dagster, `drip run` or `drip inbox drain`.
    """
    from drip_pipeline.receiver.serve import serve

    click.echo(f"receiving at http://{host}:{port} (Ctrl-C stops)", err=True)
    serve(invocation.settings, invocation.database, host=host, port=port)
    return CommandResult({"host": host, "port": port}, "stopped")

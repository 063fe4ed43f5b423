"""`drip receive`: the HTTP receiver."""

from __future__ import annotations

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command


@command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Use 0.0.0.0 in a container, and a TLS proxy in front.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on.",
)
def receive(invocation: Invocation, host: str, port: int) -> CommandResult:
    """Run the HTTP receiver until Ctrl-C.

    It accepts provider events, tracked links, unsubscribe requests and trigger webhooks, and
    stores each payload in the inbox. Dagster, `drip run` and `drip inbox drain` import the
    inbox.
    """
    from drip_pipeline.receiver.serve import serve

    click.echo(f"listening on http://{host}:{port} (press Ctrl-C to stop)", err=True)
    serve(invocation.settings, invocation.database, host=host, port=port)
    return CommandResult({"host": host, "port": port}, "stopped")

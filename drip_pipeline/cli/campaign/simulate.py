"""`drip campaign simulate`: many people, modeled reactions, a virtual clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import ProgressLine, parse_time

if TYPE_CHECKING:
    from drip_pipeline.engine.simulation.inputs import SimulatedCampaign
    from drip_pipeline.engine.simulation.simulate import SimulatedPerson

_MOST_PEOPLE = 1_000_000
_START_HOUR = 9


def _share(_context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    from drip_pipeline.engine.simulation.reaction_rates import read_share

    if text is None:
        return None
    try:
        return read_share(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}", param=parameter) from None


def _rates(
    _context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, float]:
    rates: dict[str, float] = {}
    for text in texts:
        channel, _, number = text.partition("=")
        try:
            rates[channel.strip()] = float(number)
        except ValueError:
            rates[channel.strip()] = 0.0
        if not 0 < rates[channel.strip()] <= 1_000_000:
            message = f"{text!r} is not CHANNEL=MESSAGES_A_SECOND, such as email=50"
            raise click.BadParameter(message, param=parameter)
    return rates


def _length(
    _context: click.Context, parameter: click.Parameter, text: str | None
) -> timedelta | None:
    from pydantic import TypeAdapter, ValidationError

    from drip_pipeline.domain.scenarios.lengths import Length

    if text is None:
        return None
    try:
        length: timedelta = TypeAdapter(Length).validate_python(text)
    except ValidationError:
        message = f"{text!r} is not a length of time such as `2 hours` or `7 days`"
        raise click.BadParameter(message, param=parameter) from None
    return length


@command()
@click.argument("campaign", metavar="CAMPAIGN|FILE")
@click.option(
    "--people",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The people: a CSV or Parquet file, as `drip contacts import` reads it.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, _MOST_PEOPLE),
    metavar="N",
    help="The people: a sample of the workspace's contacts that may get messages.",
)
@click.option(
    "--made-up",
    type=click.IntRange(1, _MOST_PEOPLE),
    metavar="N",
    help="The people: made up, with values that the campaign compares.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 366),
    default=30,
    show_default=True,
    help="How many days are simulated.",
)
@click.option(
    "--start",
    metavar="ISO",
    callback=parse_time,
    help="When the simulation begins. Default: tomorrow, 09:00 UTC.",
)
@click.option(
    "--over",
    metavar="TIME",
    callback=_length,
    help="Spread the entries over this time, such as `7 days`. Default: all at once.",
)
@click.option(
    "--open-rate",
    metavar="SHARE",
    callback=_share,
    help="Share of the emails that people open, as 0.3 or 30%.",
)
@click.option(
    "--click-rate",
    metavar="SHARE",
    callback=_share,
    help="Share of the opened emails that are clicked.",
)
@click.option(
    "--rates",
    "rates_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rates for all nodes, for single nodes and for events; see docs/testing-campaigns.md.",
)
@click.option(
    "--channel-rate",
    metavar="CHANNEL=N",
    multiple=True,
    callback=_rates,
    help="Messages a second of a channel. Default: the rate of its accounts.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed gives the same result."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a page, with the canvas over time.",
)
@click.option(
    "--workspace",
    metavar="NAME",
    help="The workspace of a file: its rules, rates and contacts are used.",
)
def simulate(
    invocation: Invocation,
    campaign: str,
    file: Path | None,
    sample: int | None,
    made_up: int | None,
    days: int,
    start: datetime | None,
    over: timedelta | None,
    open_rate: float | None,
    click_rate: float | None,
    rates_file: Path | None,
    channel_rate: dict[str, float],
    seed: int,
    out: Path | None,
    workspace: str | None,
) -> CommandResult:
    """Simulate CAMPAIGN, or a campaign file: load, ends and duration before it is launched.

    The engine itself runs the people, in memory, with modeled reactions. Nothing is sent or
    written. Send windows, quiet hours, goals, limits and the rates of channels are in force.

    Rates of reactions are those that the workspace's own log measured, if it has 100 messages of
    the node or of the channel, otherwise documented defaults; a file of rates and options replace
    them.
    """
    from drip_pipeline.engine.replace_file import replace_file
    from drip_pipeline.engine.simulation.reaction_rates import (
        RatesFile,
        rates_of_nodes,
        read_rates,
    )
    from drip_pipeline.engine.simulation.reactions import ReactionModel, modeled_events
    from drip_pipeline.engine.simulation.result import result_of
    from drip_pipeline.engine.simulation.simulate import SimulationSetup
    from drip_pipeline.engine.simulation.simulate import simulate as run_simulation
    from drip_pipeline.errors import ImportFileError
    from drip_pipeline.reports.simulation_page import simulation_page, text_lines

    if sum(choice is not None for choice in (file, sample, made_up)) != 1:
        raise click.UsageError("Name the people: one of --people, --sample and --made-up.")
    now = datetime.now(UTC)
    begins = start or _tomorrow(now)
    simulated = _campaign(invocation, campaign, workspace, now, needs_workspace=sample is not None)
    rates = RatesFile() if rates_file is None else read_rates(_text(rates_file), str(rates_file))
    unknown = sorted(set(rates.nodes) - simulated.channels().keys())
    if unknown:
        nodes = ", ".join(simulated.channels()) or "none"
        raise ImportFileError(
            str(rates_file),
            f"the campaign has no message node {', '.join(unknown)}",
            hint=f"Nodes that send messages: {nodes}.",
        )
    population, refused = _population(invocation, simulated, file, sample, made_up, seed, begins)
    options = {"opened": open_rate, "clicked": click_rate}
    of_nodes = rates_of_nodes(
        simulated.channels(),
        simulated.measured,
        rates,
        {name: rate for name, rate in options.items() if rate is not None},
    )
    events, unread = modeled_events(simulated.version.graph, rates.events)
    with ProgressLine() as progress:
        run = run_simulation(
            SimulationSetup(
                version=simulated.version,
                population=population,
                model=ReactionModel(seed, of_nodes, events),
                start=begins,
                days=days,
                rules=simulated.rules,
                time_zone=simulated.time_zone,
                entry_span=over or timedelta(),
                rates={**simulated.rates, **channel_rate},
                others=simulated.others,
            ),
            progress,
        )
    result: dict[str, Any] = result_of(run, simulated, of_nodes, events, seed=seed, refused=refused)
    result["left_out"] += [f"The campaign does not read the event {name}." for name in unread]
    lines = list(text_lines(result))
    if out is not None:
        replace_file(out, simulation_page(result))
        lines.append(f"written to {out}")
    return CommandResult(result, "\n".join(lines))


def _tomorrow(now: datetime) -> datetime:
    day = (now + timedelta(days=1)).date()
    return datetime(day.year, day.month, day.day, _START_HOUR, tzinfo=UTC)


def _text(path: Path) -> str:
    from drip_pipeline.engine.publishing.campaign_folder import text_of_file

    return text_of_file(path)


def _campaign(
    invocation: Invocation,
    campaign: str,
    workspace: str | None,
    now: datetime,
    *,
    needs_workspace: bool,
) -> SimulatedCampaign:
    from drip_pipeline.engine.simulation.inputs import (
        campaign_of_database,
        campaign_of_file,
        with_workspace,
    )

    path = Path(campaign)
    is_file = path.suffix.lower() in (".yaml", ".yml", ".json") or path.is_file()
    if is_file:
        simulated = campaign_of_file(path)
        if workspace is None and not needs_workspace:
            return simulated
        return with_workspace(invocation.read_database, simulated, workspace, now)
    return campaign_of_database(invocation.read_database, campaign, now)


def _population(
    invocation: Invocation,
    simulated: SimulatedCampaign,
    file: Path | None,
    sample: int | None,
    made_up: int | None,
    seed: int,
    begins: datetime,
) -> tuple[list[SimulatedPerson], dict[str, int]]:
    from drip_pipeline.engine.simulation.inputs import sample as sample_of
    from drip_pipeline.engine.simulation.population import from_file
    from drip_pipeline.engine.simulation.population import made_up as make_up
    from drip_pipeline.errors import NotAllowed

    if file is not None:
        population, refused = from_file(file, now=begins)
        if not population:
            raise NotAllowed(f"{file} has no person who can enter", hint=str(refused or "No rows."))
        return population, refused
    if made_up is not None:
        return make_up(simulated.version.graph, made_up, seed=seed, now=begins), {}
    assert sample is not None
    population = sample_of(
        invocation.read_database,
        simulated.version.workspace_id,
        sample,
        seed=seed,
        caps=simulated.rules.caps,
        now=datetime.now(UTC),
    )
    if not population:
        raise NotAllowed(
            "the workspace has no contacts that may get messages",
            hint="Import some with `drip contacts import`, or use --made-up.",
        )
    return population, {}

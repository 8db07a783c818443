"""``pixelprobe campaign``: many attacks from one spec, that outlive the command which started them."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pixelprobe.addresses import NoStackError
from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.runs import STOPPED, find_campaigns, run_label, start_run
from pixelprobe.campaigns.spec_file import find_spec, new_spec, read_spec
from pixelprobe.cli.campaign_delete import delete_command
from pixelprobe.cli.campaign_start import make_plan, prepare_run
from pixelprobe.cli.campaign_tables import (
    campaign_json,
    campaign_table,
    plan_json,
    show_campaign,
    show_plan,
    spec_json,
)
from pixelprobe.cli.campaign_watch import follow
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import (
    OUTPUT,
    PATH,
    check_file,
    data_option,
    json_option,
    name_argument,
    orchestrator_option,
    spec_argument,
)
from pixelprobe.cli.shell import EXIT_FAILED, EXIT_INTERRUPTED, SectionedCommand, Shell, sectioned
from pixelprobe.inputs.planned import PlanError
from pixelprobe.model import Attack, Campaign, CampaignState, Outcome
from pixelprobe.results.captions import count
from pixelprobe.results.export import Exported, Format, Row, attack_row, write_rows
from pixelprobe.results.records import result_of
from pixelprobe_services.common.errors import FailedPreconditionError
from pixelprobe_services.common.files import write_text


@click.group(cls=Shell)
def campaign() -> None:
    """Run many attacks from one spec; they survive whatever happens to this command.

    SPEC is a TOML file, or the name of one that comes with pixelprobe: table2, table2-quick and figure6
    (CIFAR-10), table3, table3-quick and figure6-imagenet (ImageNet).

    NAME is what `campaign list` shows: a campaign's id; a run, NAME@TAG; a group of it, NAME@TAG/GROUP; or
    without @TAG, the newest run of that name. A run is all campaigns of one spec, one for each group.
    """


@campaign.command("new", cls=SectionedCommand)
@click.argument("file", type=PATH, metavar="FILE")
@sectioned(OUTPUT)("--force", is_flag=True, help="Overwrite FILE.")
def new_command(file: Path, force: bool) -> None:
    """Write a commented SPEC to start from: every key with its default, those to fill in first."""
    check_file(file)
    if file.exists() and not force:
        raise PlanError(f"{file}: is there already; --force overwrites it")
    name = re.sub(r"[^A-Za-z0-9._-]", "-", file.stem).lstrip("._-")[:60] or "mine"
    write_text(file, new_spec(name))
    make_console(stderr=True).print(
        f"Fill in targets and data in {safe(str(file))}, then: pixelprobe campaign plan {safe(str(file))}",
        soft_wrap=True,
    )


campaign.add_command(delete_command)


@campaign.command("run", cls=SectionedCommand)
@spec_argument()
@data_option()
@sectioned(OUTPUT)("--detach", is_flag=True, help="Start it and return; `campaign watch` looks at it again.")
@json_option()
@orchestrator_option(takes_images=True)
@click.pass_context
def run_command(
    ctx: click.Context, spec: str, data: Path | None, detach: bool, as_json: bool, orchestrator: str | None
) -> None:
    """Start the attacks of SPEC, or take them up where they are.

    The same spec on the same images is the same run: started again, it continues, resumed if it was paused
    or cancelled, and what is finished is not repeated. Another name or seed makes another run.

    Ctrl-C ends the watching, not the attacks; `campaign cancel` ends those.

    Exit code: 0 when all attacks came to an end, successful or not; 1 when one ended in an error or a
    campaign was stopped; 2 when the spec or the data is wrong; 130 after Ctrl-C.
    """
    read = read_spec(find_spec(spec))
    messages = make_console(stderr=True)
    with open_client(orchestrator=orchestrator) as client:
        run = prepare_run(client, read, data, messages)
        started = start_run(client, run)
        for item in started:
            called = f"{item.campaign.display_name} ({item.campaign.name})"
            total = count(item.campaign.attacks_total, "attack")
            what = {
                "created": "started",
                "resumed": "resumed",
                "there": f"already {item.campaign.state.value}",
            }
            messages.print(f"{safe(called)}: {total}, {what[item.how]}")
        campaigns = [item.campaign for item in started]
        if detach:
            _print_states(campaigns, as_json)
            messages.print(f"See `pixelprobe campaign watch {safe(run.label)}`.")
        else:
            ctx.exit(_watch(client, campaigns, as_json, messages))


@campaign.command("list", cls=SectionedCommand)
@sectioned(OUTPUT)(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most campaigns shown."
)
@json_option()
@orchestrator_option()
def list_command(limit: int, as_json: bool, orchestrator: str | None) -> None:
    """List campaigns, newest first."""
    with open_client(orchestrator=orchestrator) as client:
        campaigns = list(islice(client.list_campaigns(), limit))
    if as_json or campaigns:
        _print_states(campaigns, as_json)
    else:
        make_console().print("no campaigns")


@campaign.command("show", cls=SectionedCommand)
@name_argument()
@json_option()
@orchestrator_option()
def show_command(name: str, as_json: bool, orchestrator: str | None) -> None:
    """Show what NAME was asked to do, how far it is and what came of it so far."""
    with open_client(orchestrator=orchestrator) as client:
        _show(client, find_campaigns(client, name), as_json)


@campaign.command("watch", cls=SectionedCommand)
@name_argument()
@json_option()
@orchestrator_option()
@click.pass_context
def watch_command(ctx: click.Context, name: str, as_json: bool, orchestrator: str | None) -> None:
    """Watch NAME until it has ended; Ctrl-C ends the watching only. Exit codes are those of `run`."""
    messages = make_console(stderr=True)
    with open_client(orchestrator=orchestrator) as client:
        ctx.exit(_watch(client, find_campaigns(client, name), as_json, messages))


@campaign.command("cancel", cls=SectionedCommand)
@name_argument()
@json_option()
@orchestrator_option()
def cancel_command(name: str, as_json: bool, orchestrator: str | None) -> None:
    """End NAME: attacks under way stop, what is finished stays. It can be resumed."""
    with open_client(orchestrator=orchestrator) as client:
        found = find_campaigns(client, name)
        _print_states([client.cancel_campaign(campaign.name) for campaign in found], as_json)


@campaign.command("resume", cls=SectionedCommand)
@name_argument()
@json_option()
@orchestrator_option()
def resume_command(name: str, as_json: bool, orchestrator: str | None) -> None:
    """Take NAME up again where it was cancelled or paused; what has finished already stays so."""
    with open_client(orchestrator=orchestrator) as client:
        found = find_campaigns(client, name)
        if all(campaign.state is CampaignState.SUCCEEDED for campaign in found):
            raise FailedPreconditionError(f"{name} has finished; there is nothing to resume")
        _print_states(
            [
                client.resume_campaign(campaign.name) if campaign.state in STOPPED else campaign
                for campaign in found
            ],
            as_json,
        )


@campaign.command("export", cls=SectionedCommand)
@name_argument()
@sectioned(OUTPUT)("--out", type=PATH, required=True, metavar="FILE", help="The file to write.")
@sectioned(OUTPUT)(
    "--format",
    "kind",
    type=click.Choice([kind.value for kind in Format]),
    help="Default: by the file's suffix. In CSV lists are JSON texts; parquet needs the extra `report`.",
)
@orchestrator_option()
def export_command(name: str, out: Path, kind: str | None, orchestrator: str | None) -> None:
    """Write the finished attacks of NAME to a file, one row an attack."""
    suffix = out.suffix.removeprefix(".").lower()
    if kind is None and suffix not in [known.value for known in Format]:
        raise PlanError(f"--format: say which, as {out.name!r} ends in none of .csv, .json and .parquet")
    check_file(out)
    with open_client(orchestrator=orchestrator) as client:
        found = find_campaigns(client, name)
        rows = write_rows(out, Format(kind or suffix), _rows(client, found))
    make_console(stderr=True).print(f"{count(rows, 'attack')} in {safe(str(out))}")


@campaign.command("plan", cls=SectionedCommand)
@spec_argument()
@data_option()
@sectioned("Rate")(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Queries a second. Default: what two CPU cores answer, or --measure.",
)
@sectioned("Rate")(
    "--measure",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure the rate: send at most N queries, for some seconds, about a few of the images.",
)
@json_option()
@orchestrator_option(takes_images=True)
def plan_command(
    spec: str,
    data: Path | None,
    rate: float | None,
    measure: int | None,
    as_json: bool,
    orchestrator: str | None,
) -> None:
    """Show how many attacks, queries and hours SPEC stands for; nothing is started or sent.

    Only --measure sends queries, and never more than asked. The expected queries are those of typical
    attacks, the most are what the search may send.
    """
    if rate is not None and measure is not None:
        raise PlanError("--rate and --measure exclude each other")
    read = read_spec(find_spec(spec))
    messages = make_console(stderr=True)
    with contextlib.ExitStack() as stack:
        client = None
        with contextlib.suppress(NoStackError):  # a plan without a server says what it assumes
            client = stack.enter_context(open_client(orchestrator=orchestrator))
        plan = make_plan(client, read, data, messages, rate=rate, measure=measure)
    if as_json:
        click.echo(json.dumps(plan_json(plan), indent=2))
    else:
        show_plan(plan, read.name, make_console())


def _watch(client: PixelprobeClient, campaigns: Sequence[Campaign], as_json: bool, messages: Console) -> int:
    """Follow to the end and show what came of it. Returns the exit code."""
    try:
        ended = follow(client, campaigns, messages)
    except KeyboardInterrupt:
        called = safe(run_label(campaigns[0]) or campaigns[0].name)
        messages.print(
            f"The campaign continues: `pixelprobe campaign watch {called}` watches it again, "
            f"`pixelprobe campaign cancel {called}` ends it.",
            style="yellow",
        )
        return EXIT_INTERRUPTED
    outcomes = _show(client, ended, as_json)
    stopped = any(campaign.state is not CampaignState.SUCCEEDED for campaign in ended)
    return EXIT_FAILED if stopped or outcomes[Outcome.ERROR] else 0


def _show(client: PixelprobeClient, campaigns: Sequence[Campaign], as_json: bool) -> Counter[Outcome]:
    """Print all about campaigns. Returns the outcomes of all their attacks."""
    console = make_console()
    targets = {target.name: target for target in client.list_targets()}
    outcomes: Counter[Outcome] = Counter()
    shown: list[dict[str, Any]] = []
    for campaign in campaigns:
        spec = client.get_campaign_spec(campaign.name)
        attacks: list[Attack] = list(client.list_results(campaign.name))
        here = Counter(result_of(attack).outcome for attack in attacks)
        outcomes += here
        if as_json:
            counted = {outcome.value: here[outcome] for outcome in Outcome}
            shown.append({**campaign_json(campaign), "spec": spec_json(spec), "outcomes": counted})
        else:
            show_campaign(campaign, spec, attacks, targets, console)
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    return outcomes


def _print_states(campaigns: Sequence[Campaign], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([campaign_json(campaign) for campaign in campaigns], indent=2))
    else:
        make_console().print(campaign_table(campaigns))


def _rows(client: PixelprobeClient, campaigns: Sequence[Campaign]) -> Iterator[Row]:
    targets = {target.name: target for target in client.list_targets()}
    for campaign in campaigns:
        exported = Exported(campaign, client.get_campaign_spec(campaign.name))
        for attack in client.list_results(campaign.name):
            yield attack_row(attack, exported, targets)

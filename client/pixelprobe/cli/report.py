"""``pixelprobe report``: finished attacks as one page for people, with figures and tables beside it."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import click

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.runs import find_campaigns
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import (
    OUTPUT,
    PATH,
    complete_target,
    json_option,
    make_folder,
    orchestrator_option,
)
from pixelprobe.cli.shell import SectionedCommand, sectioned
from pixelprobe.inputs.planned import PlanError
from pixelprobe.model import Campaign

_CONTENT = "Content"


@click.command(cls=SectionedCommand)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@sectioned(_CONTENT)(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_target,
    help="Only this classifier's attacks; may be given several times. Default: all.",
)
@sectioned(_CONTENT)(
    "--accuracy",
    "accuracies",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help='Accuracy on clean images, for table I: JSON {"MODEL": {"correct": 8556, "total": 10000}}, or '
    "a model card, which also has the weights' hash. May be given several times.",
)
@sectioned(_CONTENT)(
    "--provenance",
    type=PATH,
    metavar="FILE",
    help='A JSON object to show under provenance; {"models": {"MODEL": {"sha256": "..."}}} in it gives '
    "weights' hashes.",
)
@sectioned(OUTPUT)(
    "--out",
    type=PATH,
    default=Path("out/report"),
    metavar="DIR",
    show_default=True,
    help="Folder for report.html, figures, tables and provenance.json; made if missing, overwritten if not.",
)
@sectioned(OUTPUT)("--open", "open_page", is_flag=True, help="Show the page in the browser.")
@json_option()
@orchestrator_option()
def report(
    names: tuple[str, ...],
    targets: tuple[str, ...],
    accuracies: tuple[Path, ...],
    provenance: Path | None,
    out: Path,
    open_page: bool,
    as_json: bool,
    orchestrator: str | None,
) -> None:
    """Write the paper's tables and figures with our numbers, as a page to read.

    NAME is a run or a campaign, as `pixelprobe campaign list` shows them; several are taken together. Of the
    same attack in several campaigns the first that ran to an end counts. Campaigns without early stop give
    figure 6.

    The page needs nothing but itself: images and figures are inside. Figures are beside it as PNG and SVG,
    all numbers as CSV.
    """
    try:
        from pixelprobe.report.collect import collect
        from pixelprobe.report.material import read_models, read_provenance
        from pixelprobe.report.write import write_report
    except ModuleNotFoundError as error:
        raise PlanError(f"a report needs {error.name}: pip install 'pixelprobe[report]'") from error
    from dataclasses import replace

    messages = make_console(stderr=True)
    added = read_provenance(provenance)
    models = read_models(accuracies, added)
    make_folder(out)
    with open_client(orchestrator=orchestrator) as client:
        campaigns = _campaigns(client, names)
        with messages.status("reading attacks ...") as status:
            material = collect(
                client,
                campaigns,
                targets=targets,
                on_attack=lambda count: status.update(f"reading attacks ... {count:,}"),
            )
    with messages.status("drawing ..."):
        page = write_report(replace(material, models=models, provenance=added), out)
    if as_json:
        written = {"page": str(page), "campaigns": [campaign.name for campaign in campaigns]}
        click.echo(json.dumps({**written, "attacks": len(material.evaluation.rows)}, indent=2))
    else:
        make_console().print(f"Open {safe(str(page))}")
    if open_page and not webbrowser.open(page.resolve().as_uri()):
        messages.print("No browser was found to open it.", style="yellow")


def _campaigns(client: PixelprobeClient, names: tuple[str, ...]) -> list[Campaign]:
    """Find the campaigns of these names, each once."""
    found: dict[str, Campaign] = {}
    for name in names:
        found.update({campaign.name: campaign for campaign in find_campaigns(client, name)})
    return list(found.values())

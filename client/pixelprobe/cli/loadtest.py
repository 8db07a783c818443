"""``pixelprobe loadtest``: how much load a target bears when it is attacked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from pixelprobe.api import PixelprobeClient
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import PATH, make_folder, orchestrator_option, output_options
from pixelprobe.cli.shell import EXIT_FAILED, SectionedCommand, interrupt_on_terminate, sectioned
from pixelprobe.inputs.planned import PlanError, PlannedImage, choose_targets, fit_to_target, load_images
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.load.files import as_record, write_csv, write_json
from pixelprobe.load.limits import Limit, parse_limits
from pixelprobe.load.run import highest_rate, one_rate, run_load_test
from pixelprobe.load.values import LoadEvent, LoadSpec, LoadStep, LoadWindow
from pixelprobe.samples import load_samples

_load = sectioned("Load")
_what = sectioned("What is sent")
_verdict = sectioned("Verdict")


@dataclass
class _Recorder:
    """Keeps what was measured, and prints it as it comes."""

    messages: Console
    steps: list[LoadStep] = field(default_factory=list)
    windows: list[list[LoadWindow]] = field(default_factory=lambda: [[]])

    def __call__(self, event: LoadEvent) -> None:
        if isinstance(event, LoadStep):
            self.steps.append(event)
            self.windows.append([])
            self.messages.print(safe(describe(event)))
            return
        self.windows[-1].append(event)
        errors = f", {event.errors} failed" if event.errors else ""
        stage = "warm-up " if event.warm_up else ""
        self.messages.print(
            f"  {stage}{event.start_seconds:5.1f} s: {event.rate:.1f} answered/s, p50 {ms(event.p50)}, "
            f"p99 {ms(event.p99)}, {event.in_flight} under way{errors}",
            style="dim",
        )


@click.command(cls=SectionedCommand)
@click.argument("target", metavar="TARGET")
@_load("--rate", "rates", metavar="R[,R...]", help="Open loop: requests a second, a step for each.")
@_load(
    "--concurrency",
    "concurrencies",
    metavar="N[,N...]|A:B",
    help="Closed loop: requests at a time, a step for each; A:B doubles from A to B.",
)
@_load(
    "--batch", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Queries a request."
)
@_load(
    "--duration",
    type=click.FloatRange(0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Of each step.",
)
@_load(
    "--warm-up",
    type=click.FloatRange(0.0),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Before each step; not counted.",
)
@_load(
    "--max-in-flight",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Open loop: most requests at a time.",
)
@_load("--poisson", is_flag=True, help="Open loop: exponentially distributed gaps instead of equal ones.")
@_load("--seed", type=click.IntRange(0, 2**63 - 1), default=0, metavar="S", help="Of edits and gaps.")
@_what(
    "--image",
    "images",
    multiple=True,
    type=PATH,
    help="Image to edit; may be repeated. Default: the sample images, resized.",
)
@_what(
    "--pixels", type=click.IntRange(1, 64), default=1, show_default=True, help="Changed pixels of a query."
)
@_verdict(
    "--slo",
    metavar="LIMITS",
    help="Search for the highest rate at which these limits hold, from the first --rate on: "
    "p99<200ms,errors<0.1%.",
)
@_verdict(
    "--fail-if",
    metavar="LIMITS",
    help="Exit code 1 if a step is like this: p99>200ms, errors>1%, rate<95. Separated by commas.",
)
@_verdict(
    "--stop-errors",
    type=click.FloatRange(0, 100),
    default=50.0,
    show_default=True,
    metavar="PERCENT",
    help="End the test after a step in which more requests failed.",
)
@output_options("out/loadtest", "load.html, load.json and load.csv")
@orchestrator_option()
@click.pass_context
def loadtest(
    ctx: click.Context,
    target: str,
    rates: str | None,
    concurrencies: str | None,
    batch: int,
    duration: float,
    warm_up: float,
    max_in_flight: int,
    poisson: bool,
    seed: int,
    images: tuple[Path, ...],
    pixels: int,
    slo: str | None,
    fail_if: str | None,
    stop_errors: float,
    out: Path,
    as_json: bool,
    orchestrator: str | None,
) -> None:
    """Measure how much load a target bears when it is attacked.

    The orchestrator sends real attack queries (random edits of real images) to TARGET, through the same
    client as its attacks. The operator must have allowed it: load_test = true in the targets file.

    Exit code: 0 when the test ran and no --fail-if limit was broken and every rate was held; 1 otherwise;
    2 when the command line is off.
    """
    if bool(rates) == bool(concurrencies):
        raise click.UsageError("give either --rate or --concurrency")
    if slo and not rates:
        raise click.UsageError("--slo needs --rate: the rate to begin with")
    # An objective names what must hold ("p99=200ms" is "at most"); it is broken by the opposite.
    objectives = parse_limits(slo.translate(str.maketrans("<>=", "><>")), "--slo") if slo else []
    limits = parse_limits(fail_if, "--fail-if") if fail_if else []
    messages = make_console(stderr=True)
    interrupt_on_terminate()
    record = _Recorder(messages)
    with open_client(orchestrator=orchestrator) as client:
        spec = LoadSpec(
            target=target,
            image_digests=_upload(client, target, images),
            rates=_numbers(rates, "--rate") if rates else (),
            concurrencies=_concurrencies(concurrencies) if concurrencies else (),
            batch=batch,
            duration_seconds=duration,
            warm_up_seconds=warm_up,
            max_in_flight=max_in_flight,
            poisson=poisson,
            pixels=pixels,
            seed=seed,
            stop_error_share=stop_errors / 100,
        )
        make_folder(out)
        highest = None
        if objectives:
            highest, _ = highest_rate(one_rate(client, spec, record), spec.rates[0], objectives)
        else:
            for event in run_load_test(client, spec):
                record(event)
    broken = _broken(record.steps, limits)
    verdicts = [*broken]
    if objectives:
        verdicts.append(
            f"The highest rate at which {slo} held: {highest:g} requests a second."
            if highest
            else f"{slo} did not hold at any rate that was tried."
        )
    _write(out, spec, record, verdicts, highest, messages)
    if as_json:
        click.echo(json.dumps(as_record(spec, record.steps, record.windows, highest), indent=2))
    else:
        console = make_console()
        console.print(step_table(record.steps))
        for line in verdicts:
            console.print(safe(line))
        console.print(f"\nload.html, load.json and load.csv are in {safe(str(out))}")
    missed = not objectives and any(not step.achieved for step in record.steps)
    ctx.exit(EXIT_FAILED if broken or missed or (objectives and not highest) else 0)


def describe(step: LoadStep) -> str:
    """A step in one line."""
    latency = step.latency
    text = f"{step.name}: {step.achieved_rate:.1f} answered/s, p50 {ms(latency.p50)}, p99 {ms(latency.p99)}"
    if step.errors:
        text += ", " + ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in step.errors.items())
    return text + (f"; {step.reason}" if step.reason else "")


def step_table(steps: Sequence[LoadStep]) -> Table:
    """What was measured, a row for each step."""
    table = Table(box=None, pad_edge=False)
    table.add_column("load")
    for name in ("answered/s", "queries/s", "p50", "p95", "p99", "p99.9", "max", "errors", "CPU"):
        table.add_column(name, justify="right")
    for step in steps:
        latency = step.latency
        latencies = (latency.p50, latency.p95, latency.p99, latency.p999, latency.max)
        table.add_row(
            step.name,
            f"{step.achieved_rate:.1f}",
            f"{step.achieved_rate * step.batch:.1f}",
            *(ms(value) if latency.max else "-" for value in latencies),
            f"{step.error_share:.2%}",
            f"{step.cpu_share:.0%}",
        )
    return table


def ms(seconds: float) -> str:
    """Seconds as milliseconds, three digits or so."""
    value = 1000 * seconds
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def _upload(client: PixelprobeClient, target: str, images: Sequence[Path]) -> tuple[str, ...]:
    (known,) = choose_targets([target], client.list_targets())
    planned = load_images(images or [sample.path for sample in load_samples()], [])
    sized = [fit_to_target(PlannedImage(one.image), known, resize=True, how=Sizing.CROP) for one in planned]
    return tuple(dict.fromkeys(client.upload_images([one.image.pixels for one in sized])))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise PlanError(f"{option}: expected numbers such as 50,100,200, got {text!r}") from None


def _concurrencies(text: str) -> tuple[int, ...]:
    try:
        if ":" not in text:
            return tuple(int(part) for part in text.split(","))
        low, high = (int(part) for part in text.split(":"))
    except ValueError:
        raise PlanError(
            f"--concurrency: {text!r} is neither a list such as 1,2,4 nor a range such as 1:8"
        ) from None
    if not 1 <= low <= high:
        raise PlanError(f"--concurrency: expected a range such as 1:8, got {text!r}")
    steps = []
    while low < high:
        steps.append(low)
        low *= 2
    return (*steps, high)


def _broken(steps: Sequence[LoadStep], limits: Sequence[Limit]) -> list[str]:
    return [f"{limit.text} at {step.name}." for limit in limits for step in steps if limit.broken(step)]


def _write(
    out: Path,
    spec: LoadSpec,
    record: _Recorder,
    verdicts: Sequence[str],
    highest: float | None,
    messages: Console,
) -> None:
    write_json(out / "load.json", as_record(spec, record.steps, record.windows, highest))
    write_csv(out / "load.csv", record.steps)
    try:
        from pixelprobe.load.page import load_page
    except ModuleNotFoundError as error:
        messages.print(f"No load.html: {error.name} is not installed (pip install 'pixelprobe[report]').")
        return
    page = load_page(spec, record.steps, record.windows, verdicts)
    (out / "load.html").write_text(page, encoding="utf-8")

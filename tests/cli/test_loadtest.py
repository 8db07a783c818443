"""``pixelprobe loadtest`` and ``budgets`` against the real local stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from tests import processes
from tests.cli.conftest import CAT, DOG, Cli, assert_one_line_error

NIN = "nin_cifar10"


def executions(address: str) -> int:
    with triton.InferenceServerClient(address) as client:
        statistics = client.get_inference_statistics(f"{NIN}_edits", as_json=True)
        (model,) = statistics["model_stats"]
        return int(model.get("inference_count", 0))


def test_an_open_loop_sends_what_was_scheduled_and_triton_counts_it(
    cli: Cli, local_triton: dict[str, str]
) -> None:
    before = executions(local_triton["grpc"])
    done = cli.json(
        "loadtest", NIN, "--rate", "5,10", "--duration", 2, "--warm-up", 1, "--batch", 4,
        "--stop-errors", 100, "--out", "load",
    )  # fmt: skip
    assert [step["offered_rate"] for step in done["steps"]] == [5, 10]
    assert [step["requests"] for step in done["steps"]] == [10, 20]
    assert all(
        not step["errors"] and step["queries_answered"] == 4 * step["requests"] for step in done["steps"]
    )
    # A request of edits is one inference: 5 and 10 in the warm-ups, 10 and 20 measured.
    assert executions(local_triton["grpc"]) - before == 45
    assert {path.name for path in (cli.cwd / "load").iterdir()} == {"load.html", "load.json", "load.csv"}


def test_limits_give_exit_code_1_and_say_where(cli: Cli) -> None:
    done = cli("loadtest", NIN, "--rate", "4", "--duration", 1, "--warm-up", 0, "--fail-if", "p50>1us")
    assert done.returncode == 1
    assert "p50>1us at 4/s." in done.stdout


def test_a_closed_loop(cli: Cli) -> None:
    done = cli.json("loadtest", NIN, "--concurrency", "1:2", "--duration", 1, "--warm-up", 0, "--image", CAT)
    assert [step["concurrency"] for step in done["steps"]] == [1, 2]
    assert all(step["queries_answered"] > 0 for step in done["steps"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((NIN,), "give either --rate or --concurrency"),
        ((NIN, "--rate", "5", "--concurrency", "1"), "give either --rate or --concurrency"),
        ((NIN, "--rate", "fast"), "--rate: expected numbers such as 50,100,200, got 'fast'"),
        ((NIN, "--rate", "0"), "rates: 0 is not in 0 to 20000 requests a second"),
        ((NIN, "--concurrency", "8:1"), "--concurrency: expected a range such as 1:8"),
        ((NIN, "--rate", "5", "--fail-if", "p98>1ms"), "--fail-if: 'p98>1ms' names none of"),
        ((NIN, "--rate", "5", "--batch", "100000"), "max_batch"),
        (("nobody", "--rate", "5"), "unknown target 'nobody'"),
    ],
)
def test_what_is_off_is_said_in_one_line(cli: Cli, arguments: tuple[str, ...], told: str) -> None:
    done = cli("loadtest", *arguments)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_budgets_of_one_run_equal_separate_runs(cli: Cli) -> None:
    """Attack by attack: the largest budget's run answers for the smaller ones."""
    attack: tuple[object, ...] = (
        "attack", CAT, DOG, "--target", NIN, "--pixels", 5, "--population", 60, "--generations", 4,
        "--strategy", "rand1bin",
    )  # fmt: skip
    cli.json(*attack, "--budget", 280, "--out", "long")
    listed = json.loads(cli("campaign", "list", "--json").stdout)
    newest = listed[0]["name"]
    budgets = (30, 75, 120, 280)
    (table,) = json.loads(cli("budgets", newest, "--budget", ",".join(map(str, budgets)), "--json").stdout)
    for row, budget in zip(table["rows"], budgets, strict=True):
        alone = cli.json(*attack, "--budget", budget, "--out", "short")
        assert row["n"] == 2
        assert row["successes"] == sum(record["outcome"] == "success" for record in alone), budget


def test_budgets_of_nothing(cli: Cli) -> None:
    assert_one_line_error(cli("budgets", "nothing"), 2, "you have no campaign or run called 'nothing'")


def test_load_tests_are_refused_where_the_operator_does_not_allow_them(
    tmp_path: Path, local_triton: dict[str, str]
) -> None:
    targets = tmp_path / "targets.toml"
    targets.write_text(f'[targets.{NIN}]\nprotocol = "kserve-grpc"\naddress = "{local_triton["grpc"]}"\n')
    with processes.orchestrator(targets, "127.0.0.1:1") as running:
        cli = Cli(tmp_path, {"PIXELPROBE_ORCHESTRATOR": running.address})
        done = cli("loadtest", NIN, "--rate", "1", "--duration", 1)
    assert done.returncode == 1, done.stderr
    assert "load_test = true" in done.stderr

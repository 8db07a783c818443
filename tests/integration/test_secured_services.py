"""Both services as real processes behind TLS, client certificates and tokens, used by the real CLI."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.runs import find_campaigns
from pixelprobe.cli.root import cli
from pixelprobe.connection import ConnectionOptions, find_peer
from pixelprobe.model import CampaignImage, CampaignSpec, CampaignState, SearchSettings
from pixelprobe_deploy.secrets.folder import make
from pixelprobe_services.common.errors import (
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    ServiceError,
    UnauthenticatedError,
)
from tests import processes
from tests.unit.targets import fake_grpc

ROOT = Path(__file__).parents[2]
CLIENTS = {"admin": ("read", "attack", "admin"), "user": ("read", "attack"), "viewer": ("read",)}
LONG = SearchSettings(population=10, generations=5000, early_stop=False)


@dataclass
class Secured:
    """The running services, and the folder with what their clients need."""

    folder: Path
    segmentation: processes.RunningService
    orchestrator: processes.RunningService
    target: fake_grpc.FakeServer

    def options(self, name: str) -> ConnectionOptions:
        return ConnectionOptions(
            tls_ca=self.folder / "ca.pem",
            tls_cert=self.folder / "client.pem",
            tls_key=self.folder / "client-key.pem",
            token_file=self.folder / f"{name}.token" if name else None,
        )

    def client(self, name: str) -> PixelprobeClient:
        addresses = Addresses(self.orchestrator.address, self.segmentation.address)
        return PixelprobeClient(addresses, find_peer(self.options(name)))

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the user."""
        return {
            "PIXELPROBE_ORCHESTRATOR": self.orchestrator.address,
            "PIXELPROBE_SEGMENTATION": self.segmentation.address,
            "PIXELPROBE_TLS_CA": str(self.folder / "ca.pem"),
            "PIXELPROBE_TLS_CLIENT_CERT": str(self.folder / "client.pem"),
            "PIXELPROBE_TLS_CLIENT_KEY": str(self.folder / "client-key.pem"),
            "PIXELPROBE_TOKEN_FILE": str(self.folder / "user.token"),
        }

    def cli(self, *arguments: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
        """``pixelprobe`` as the user, with everything from the environment."""
        return subprocess.run(
            [sys.executable, "-m", "pixelprobe.cli", *arguments],
            cwd=cwd,
            env={**os.environ, **self.variables, **changes},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@contextmanager
def fake_target() -> Iterator[tuple[fake_grpc.FakeServer, str]]:
    """A model of three classes for images of 4 x 4, on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[fake_grpc.FakeServer, str, object]:
        fake = fake_grpc.FakeServer()
        server, address = await fake_grpc.serve(fake)
        return fake, address, server

    fake, address, server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield fake, address
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(10)  # type: ignore[attr-defined]
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def lock_options(folder: Path) -> list[str]:
    return [
        *("--tls-cert", str(folder / "server.pem"), "--tls-key", str(folder / "server-key.pem")),
        *("--tls-client-ca", str(folder / "ca.pem"), "--tokens-file", str(folder / "tokens.toml")),
    ]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    base = tmp_path_factory.mktemp("secured")
    folder = base / "secrets"
    make(folder, (), CLIENTS, 1)
    with (folder / "tokens.toml").open("a") as file:
        digest = hashlib.sha256(b"frugal").hexdigest()
        file.write(f'\n[clients.frugal]\ntoken_sha256 = "{digest}"\nscopes = ["read", "attack"]\n')
        file.write("max_running_campaigns = 1\nmax_queries_per_day = 60\n")
    (folder / "frugal.token").write_text("frugal")
    targets = base / "targets.toml"
    with fake_target() as (fake, address):
        targets.write_text(f'[targets.toy]\nprotocol = "kserve-grpc"\naddress = "{address}"\n')
        inner = [
            *("--segmentation-tls-ca", str(folder / "ca.pem")),
            *("--segmentation-tls-cert", str(folder / "internal.pem")),
            *("--segmentation-tls-key", str(folder / "internal-key.pem")),
            *("--segmentation-token-file", str(folder / "orchestrator.token")),
        ]
        with (
            processes.service("pixelprobe_services.segmentation", *lock_options(folder)) as segmentation,
            processes.orchestrator(
                targets, segmentation.address, *lock_options(folder), *inner
            ) as orchestrator,
        ):
            yield Secured(folder, segmentation, orchestrator, fake)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(5).integers(0, 256, (fake_grpc.SIDE, fake_grpc.SIDE, 3), dtype=np.uint8)
    file = tmp_path / "image.png"
    Image.fromarray(pixels).save(file)
    return file


def start(client: PixelprobeClient, search: SearchSettings = LONG, **changes: object) -> str:
    pixels = np.full((fake_grpc.SIDE, fake_grpc.SIDE, 3), 90, dtype=np.uint8)
    image = CampaignImage(client.upload_images([pixels])[0])
    spec = CampaignSpec((image,), targets=("toy",), search=search, **changes)  # type: ignore[arg-type]
    return client.create_campaign(spec).name


def test_an_attack_from_outside_and_its_mask_from_inside(
    secured: Secured, image: Path, tmp_path: Path
) -> None:
    search = ("--population", "8", "--generations", "1", "--region", "foreground", "--accept-masks")
    done = secured.cli("attack", str(image), "--target", "toy", *search, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 1
    assert any("Segment OK" in line and "client=orchestrator" in line for line in secured.segmentation.lines)
    assert any("CreateCampaign OK" in line and "client=user" in line for line in secured.orchestrator.lines)
    mask = secured.cli("segment", str(image), cwd=tmp_path)
    assert mask.returncode == 0, mask.stderr
    assert any("Segment OK" in line and "client=user" in line for line in secured.segmentation.lines)


NO_TLS = dict.fromkeys(("PIXELPROBE_TLS_CA", "PIXELPROBE_TLS_CLIENT_CERT", "PIXELPROBE_TLS_CLIENT_KEY"), None)
LISTING = ("targets", "list")


@pytest.mark.parametrize(
    ("arguments", "changes", "told"),
    [
        (LISTING, {"PIXELPROBE_TOKEN_FILE": None}, "without a token; give --token-file"),
        (
            LISTING,
            {"PIXELPROBE_TOKEN_FILE": None, "PIXELPROBE_TOKEN": "wrong"},
            "does not know this token; give --token-file",
        ),
        (LISTING, {"PIXELPROBE_TLS_CA": "{other}/ca.pem"}, "give the right one with --tls-ca"),
        (LISTING, {"PIXELPROBE_TLS_CA": "{other}/none.pem"}, "No such file"),
        (
            LISTING,
            {"PIXELPROBE_TLS_CLIENT_CERT": None, "PIXELPROBE_TLS_CLIENT_KEY": None},
            "give --tls-cert and --tls-key",
        ),
        (
            ("attack", "{image}", "--target", "toy"),
            {"PIXELPROBE_TOKEN_FILE": "{folder}/viewer.token"},
            "UploadImages needs the scope 'attack', which client 'viewer' lacks",
        ),
        (LISTING, NO_TLS, "if it uses TLS, give --tls-ca"),
        (
            LISTING,
            {**NO_TLS, "PIXELPROBE_ORCHESTRATOR": "elsewhere.example:50062"},
            "would be sent unencrypted to elsewhere.example:50062",
        ),
    ],
)
def test_what_is_missing_is_one_line_that_says_what_to_do(
    secured: Secured,
    image: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    changes: dict[str, str | None],
    told: str,
) -> None:
    other = tmp_path / "other"
    make(other, (), {}, 1)
    places = {"other": other, "image": image, "folder": secured.folder}
    changed = {name: value and value.format(**places) for name, value in changes.items()}
    done = CliRunner(env={**secured.variables, **changed}).invoke(
        cli, [word.format(**places) for word in arguments]
    )
    assert done.exit_code in (1, 2), done
    assert done.stdout == ""
    *addresses, line = done.stderr.strip().splitlines()
    assert len(addresses) <= 2, "one for each service that is used"
    assert all(" at 127.0.0.1:" in address for address in addresses)
    assert line.startswith("Error: ")
    assert told in line


def test_a_failed_handshake_is_one_line_of_the_whole_program(secured: Secured, tmp_path: Path) -> None:
    """gRPC would log lines of its own."""
    make(tmp_path / "other", (), {}, 1)
    done = secured.cli(*LISTING, cwd=tmp_path, PIXELPROBE_TLS_CA=str(tmp_path / "other" / "ca.pem"))
    assert done.returncode == 1
    address, line = done.stderr.strip().splitlines()
    assert address.startswith("Orchestrator at ")
    assert line.startswith("Error: ")


def test_an_option_goes_before_its_variable(secured: Secured, tmp_path: Path) -> None:
    runner = CliRunner(env={**secured.variables, "PIXELPROBE_TOKEN_FILE": str(tmp_path / "none")})
    done = runner.invoke(cli, [*LISTING, "--token-file", str(secured.folder / "viewer.token")])
    assert done.exit_code == 0, done.stderr
    assert runner.invoke(cli, LISTING).exit_code == 2


def test_campaigns_are_read_by_all_and_ended_by_their_owner_or_an_admin(secured: Secured) -> None:
    with secured.client("user") as user, secured.client("viewer") as viewer, secured.client("admin") as admin:
        admins, users = start(admin), start(user)
        try:
            assert {one.name for one in viewer.list_campaigns()} >= {admins, users}
            with pytest.raises(
                PermissionDeniedError, match="CancelCampaign needs the scope 'attack' or 'admin'"
            ):
                viewer.cancel_campaign(users)
            with pytest.raises(PermissionDeniedError, match="belongs to client 'admin'") as refused:
                user.cancel_campaign(admins)
            assert refused.value.reason == "NOT_THE_OWNER"
            assert user.cancel_campaign(users).state is CampaignState.CANCELLED
            with pytest.raises(PermissionDeniedError, match="belongs to client 'admin'"):
                user.resume_campaign(admins)
            admin.resume_campaign(users)
        finally:
            for name in (admins, users):
                assert admin.cancel_campaign(name).state is CampaignState.CANCELLED


def test_campaigns_are_deleted_by_their_owner_or_an_admin_once_they_have_ended(
    secured: Secured, tmp_path: Path
) -> None:
    def delete(client: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        token = str(secured.folder / f"{client}.token")
        return secured.cli("campaign", "delete", *arguments, "--token-file", token, cwd=tmp_path)

    with secured.client("user") as user, secured.client("admin") as admin:
        admins, users = start(admin), start(user)
        try:
            running = delete("user", users)
            assert running.returncode == 1
            *_, line = running.stderr.strip().splitlines()  # after the address that is used
            assert f"`pixelprobe campaign cancel {users}` ends it first" in line
            with pytest.raises(FailedPreconditionError, match="cancel it before deleting it"):
                user.delete_campaign(users)
        finally:
            for name in (admins, users):
                admin.cancel_campaign(name)
        assert "belongs to client 'admin'" in delete("user", admins).stderr
        assert {one.name for one in user.list_campaigns()} >= {admins, users}
        assert admins not in {one.name for one in user.list_campaigns(own=True)}
        assert user.get_campaign(users).owner == "user"
        assert "deleted" not in delete("user", "--older-than", "1d").stderr
        done = delete("user", "--older-than", "0h")
        assert done.returncode == 0
        assert f"({users})" in done.stderr
        assert admins not in done.stderr
        with pytest.raises(NotFoundError):
            user.get_campaign(users)
        assert f"({admins})" in delete("admin", admins).stderr
        assert delete("admin", admins).returncode == 2  # no such campaign any more
    for arguments, message in (((), "or --older-than"), (("--older-than", "soon"), "is not an age")):
        refused = delete("user", *arguments)
        assert refused.returncode == 2
        assert message in refused.stderr


def test_names_and_request_ids_of_other_clients_are_not_taken_for_ones_own(secured: Secured) -> None:
    with secured.client("user") as user, secured.client("admin") as admin:
        names = []
        for client in (user, admin):
            pixels = np.full((fake_grpc.SIDE, fake_grpc.SIDE, 3), 90, dtype=np.uint8)
            image = CampaignImage(client.upload_images([pixels])[0])
            spec = CampaignSpec((image,), targets=("toy",), search=LONG, display_name="night@abc/all")
            names.append(client.create_campaign(spec, "the same request").name)
        try:
            assert names[0] != names[1]
            assert [one.name for one in find_campaigns(user, "night")] == [names[0]]
            assert [one.name for one in find_campaigns(admin, "night@abc")] == [names[1]]
            assert [one.name for one in find_campaigns(user, names[1])] == [names[1]]
        finally:
            for name in names:
                admin.cancel_campaign(name)


def test_quotas_of_a_client(secured: Secured) -> None:
    with secured.client("frugal") as frugal:
        name = start(frugal)
        with pytest.raises(ResourceExhaustedError, match="may have 1 at a time") as refused:
            start(frugal, seed=1)
        assert refused.value.reason == "QUOTA_EXCEEDED"
        for event in frugal.watch_campaign(name):
            campaign = getattr(event, "campaign", None)
            if campaign is not None and campaign.state is CampaignState.WAITING:
                break
        waiting = frugal.get_campaign(name)
        assert "its 60 queries of today (UTC) are used up" in waiting.state_reason
        assert waiting.waits
        assert not waiting.ended
        with pytest.raises(ResourceExhaustedError, match="used up"):
            frugal.resume_campaign(name)
        frugal.cancel_campaign(name)


@pytest.mark.parametrize("trusts", [True, False])
def test_the_containers_health_check_speaks_tls(secured: Secured, trusts: bool) -> None:
    variables = {
        "PIXELPROBE_TLS_CERT": "server.pem",
        "PIXELPROBE_TLS_CLIENT_CERT": "internal.pem",
        "PIXELPROBE_TLS_CLIENT_KEY": "internal-key.pem",
        **({"PIXELPROBE_TLS_CA": "ca.pem"} if trusts else {}),
    }
    address = f"localhost:{secured.segmentation.address.rpartition(':')[2]}"
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "containers" / "service_ready.py"), address],
        env={**os.environ, **{name: str(secured.folder / file) for name, file in variables.items()}},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode == 0) is trusts, done.stderr


def test_another_tokens_file_is_another_start(secured: Secured, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    options = [*lock_options(secured.folder)[:-1], str(tokens)]

    def admits(token: str) -> bool:
        digest = hashlib.sha256(token.encode()).hexdigest()
        tokens.write_text(f'[clients.me]\ntoken_sha256 = "{digest}"\nscopes = ["read"]\n')
        tokens.chmod(0o600)
        (tmp_path / "new.token").write_text("new")
        with processes.service("pixelprobe_services.segmentation", *options) as running:
            peer = find_peer(replace(secured.options(""), token_file=tmp_path / "new.token"))
            with PixelprobeClient(Addresses(segmentation=running.address), peer) as client:
                try:
                    client.list_segmenters()
                except UnauthenticatedError:
                    return False
                except ServiceError as error:
                    raise AssertionError(error) from error
            return True

    assert not admits("old")
    assert admits("new")


def test_no_secret_is_in_a_log_a_command_line_or_an_environment(secured: Secured) -> None:
    secrets = [file.read_text().strip() for file in secured.folder.glob("*.token")]
    secrets += [file.read_text().splitlines()[1] for file in secured.folder.glob("*-key.pem")]
    assert len(secrets) >= 8
    for service in (secured.segmentation, secured.orchestrator):
        process = Path("/proc") / str(service.process.pid)
        seen = "\n".join(service.lines)
        seen += (process / "cmdline").read_text() + (process / "environ").read_text()
        assert "client=" in seen
        # "frugal", the one short token, is the client's name too
        assert [secret for secret in secrets if len(secret) > 6 and secret in seen] == []

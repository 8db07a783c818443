"""What is not applicable, refused, cancelled, watched and resumed, on real services."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.model import (
    AttackFinished,
    CampaignChanged,
    CampaignImage,
    CampaignSpec,
    CampaignState,
    Goal,
    MaskSettings,
    Outcome,
    Region,
    SearchSettings,
)
from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import attack_service_pb2_grpc as pb_grpc
from pixelprobe_api.attack.v1 import campaign_pb2
from tests import processes
from tests.integration.asking import IMAGES, campaign, comparable, label_of, pixels_of, start

LONG = SearchSettings(population=100, generations=2000, early_stop=False)
SHORT = SearchSettings(population=8, generations=1)


def run_images(client: PixelprobeClient, images: tuple[CampaignImage, ...], **spec: object) -> list[Outcome]:
    settings: dict[str, object] = {"targets": ("allconv_cifar10",), "search": SHORT, **spec}
    created = client.create_campaign(CampaignSpec(images=images, **settings))  # type: ignore[arg-type]
    for _ in client.watch_campaign(created.name):
        pass
    return [attack.result.outcome for attack in client.list_results(created.name) if attack.result]


def upload(client: PixelprobeClient, image: Path) -> str:
    return client.upload_images([pixels_of(image)])[0]


class TestNotApplicable:
    """There is nothing to attack: said with the reason, at no or one query."""

    @pytest.mark.parametrize(
        ("fill", "region", "problem"),
        [
            (False, Region.FOREGROUND, "has no pixels"),
            (True, Region.BACKGROUND, "has no pixels"),
            (True, Region.FOREGROUND, "is the whole image"),
            (False, Region.BACKGROUND, "is the whole image"),
        ],
    )
    def test_a_region_that_is_nothing_or_everything(
        self, client: PixelprobeClient, fill: bool, region: Region, problem: str
    ) -> None:
        image = CampaignImage(upload(client, IMAGES[0]), mask=np.full((32, 32), fill))
        created = client.create_campaign(
            CampaignSpec(images=(image,), targets=("allconv_cifar10",), regions=(region,), search=SHORT)
        )
        list(client.watch_campaign(created.name))
        (attack,) = client.list_results(created.name)
        assert attack.result is not None
        assert attack.result.outcome is Outcome.NOT_APPLICABLE
        assert attack.result.reason == f"the {region.value} {problem}"
        assert attack.result.queries_sent == 0

    def test_a_misclassified_image(self, client: PixelprobeClient) -> None:
        wrong = CampaignImage(upload(client, IMAGES[0]), label=(label_of(IMAGES[0]) + 1) % 10)
        assert run_images(client, (wrong,)) == [Outcome.NOT_APPLICABLE]
        assert Outcome.NOT_APPLICABLE not in run_images(client, (wrong,), attack_misclassified=True)

    def test_a_target_that_is_the_clean_class_already(self, client: PixelprobeClient) -> None:
        label = label_of(IMAGES[0])
        image = CampaignImage(upload(client, IMAGES[0]))
        assert run_images(client, (image,), goals=(Goal(label),)) == [Outcome.NOT_APPLICABLE]

    def test_a_mask_that_needs_review(self, client: PixelprobeClient) -> None:
        digest = client.upload_images([np.full((32, 32, 3), 127, dtype=np.uint8)])[0]
        reasons = []
        for accepted in (False, True):
            spec = CampaignSpec(
                images=(CampaignImage(digest),),
                targets=("allconv_cifar10",),
                regions=(Region.BACKGROUND,),
                search=SHORT,
                masks=MaskSettings(accept_unreviewed=accepted),
            )
            created = client.create_campaign(spec)
            list(client.watch_campaign(created.name))
            (attack,) = client.list_results(created.name)
            assert attack.result is not None
            assert attack.result.outcome is Outcome.NOT_APPLICABLE
            reasons.append(attack.result.reason)
        assert reasons[0].startswith("the mask needs review: ")
        assert reasons[1] == "the background is the whole image"  # used as it is: one colour has no object


@pytest.fixture
def stub(orchestrator_address: str) -> pb_grpc.AttackServiceStub:
    return pb_grpc.AttackServiceStub(grpc.insecure_channel(orchestrator_address))


def valid_spec(stub: pb_grpc.AttackServiceStub) -> campaign_pb2.CampaignSpec:
    image = pixels_of(IMAGES[0])
    upload_request = pb.UploadImagesRequest()
    upload_request.image.width, upload_request.image.height = 32, 32
    upload_request.image.rgb = image.tobytes()
    digests = stub.UploadImages(iter([upload_request]), timeout=10).digests
    return campaign_pb2.CampaignSpec(
        images=[campaign_pb2.CampaignImage(digest=digests[0])],
        targets=["allconv_cifar10"],
        regions=[campaign_pb2.REGION_WHOLE],
        pixel_counts=[1],
        goals=[campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted())],
        search=campaign_pb2.SearchSettings(population=8, generations=1),
    )


def spoil(name: str, value: object) -> Callable[[campaign_pb2.CampaignSpec], None]:
    def change(spec: campaign_pb2.CampaignSpec) -> None:
        *path, last = name.split(".")
        message = spec
        for part in path:
            message = getattr(message, part)
        setattr(message, last, value)

    return change


def clear(name: str) -> Callable[[campaign_pb2.CampaignSpec], None]:
    return lambda spec: spec.ClearField(name)  # type: ignore[arg-type]


def append(name: str, value: object) -> Callable[[campaign_pb2.CampaignSpec], None]:
    return lambda spec: getattr(spec, name).append(value)


def three_pixels(strategy: campaign_pb2.Strategy.ValueType) -> Callable[[campaign_pb2.CampaignSpec], None]:
    def change(spec: campaign_pb2.CampaignSpec) -> None:
        spec.search.strategy = strategy
        spec.pixel_counts.append(3)

    return change


BAD_SPECS = [
    ("images", clear("images")),
    ("targets", clear("targets")),
    ("regions", clear("regions")),
    ("goals", clear("goals")),
    ("pixel_counts", clear("pixel_counts")),
    ("pixel_counts", append("pixel_counts", 65)),
    ("pixel_counts", append("pixel_counts", 1)),
    ("regions[1]", append("regions", 99)),
    ("goals[1]", append("goals", campaign_pb2.Goal())),
    ("goals[1].target_class", append("goals", campaign_pb2.Goal(target_class=10))),
    ("images[1].digest", append("images", campaign_pb2.CampaignImage(digest="nope"))),
    ("budget_per_attack", spoil("budget_per_attack", 0)),
    ("search.population", spoil("search.population", 3)),
    ("search.population", spoil("search.population", 10_001)),
    ("search.generations", spoil("search.generations", 100_001)),
    ("search.crossover_rate", spoil("search.crossover_rate", 1.5)),
    ("search.mutation_low", spoil("search.mutation_low", 3.0)),
    ("search.strategy", spoil("search.strategy", 77)),
    ("search.region_mode", spoil("search.region_mode", 77)),
    ("search.strategy", three_pixels(campaign_pb2.STRATEGY_CORNER_SCAN)),
    ("search.strategy", three_pixels(campaign_pb2.STRATEGY_SKETCH)),
]


@pytest.mark.parametrize(
    ("field", "change"), BAD_SPECS, ids=[f"{i}-{bad[0]}" for i, bad in enumerate(BAD_SPECS)]
)
def test_a_bad_spec_is_refused_by_field(
    stub: pb_grpc.AttackServiceStub, field: str, change: Callable[[campaign_pb2.CampaignSpec], None]
) -> None:
    spec = valid_spec(stub)
    change(spec)
    with pytest.raises(grpc.RpcError) as refused:
        stub.CreateCampaign(pb.CreateCampaignRequest(spec=spec), timeout=10)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violated_field(refused.value) == field


def violated_field(error: grpc.RpcError) -> str:
    status = rpc_status.from_call(error)
    assert status is not None
    request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(request) for detail in status.details)
    return str(request.field_violations[0].field)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (append("targets", "nobody"), grpc.StatusCode.NOT_FOUND),
        (append("images", campaign_pb2.CampaignImage(digest="0" * 64)), grpc.StatusCode.NOT_FOUND),
    ],
)
def test_unknown_names_are_not_found(
    stub: pb_grpc.AttackServiceStub,
    change: Callable[[campaign_pb2.CampaignSpec], None],
    code: grpc.StatusCode,
) -> None:
    spec = valid_spec(stub)
    change(spec)
    with pytest.raises(grpc.RpcError) as refused:
        stub.CreateCampaign(pb.CreateCampaignRequest(spec=spec), timeout=10)
    assert refused.value.code() is code


def test_a_image_of_another_size_is_refused(client: PixelprobeClient) -> None:
    digest = client.upload_images([np.zeros((20, 30, 3), dtype=np.uint8)])[0]
    with pytest.raises(Exception, match="30x20 pixels, target allconv_cifar10 takes 32x32"):
        client.create_campaign(
            CampaignSpec(images=(CampaignImage(digest, "small.png"),), targets=("allconv_cifar10",))
        )


@pytest.mark.parametrize("name", ["campaigns/none", "nonsense", "campaigns/", "campaigns/a/attacks/b", ""])
def test_bad_names(stub: pb_grpc.AttackServiceStub, name: str) -> None:
    expected = grpc.StatusCode.NOT_FOUND if name == "campaigns/none" else grpc.StatusCode.INVALID_ARGUMENT
    for call in (
        lambda: stub.GetCampaign(pb.GetCampaignRequest(name=name), timeout=10),
        lambda: stub.CancelCampaign(pb.CancelCampaignRequest(name=name), timeout=10),
        lambda: stub.ResumeCampaign(pb.ResumeCampaignRequest(name=name), timeout=10),
        lambda: stub.ListResults(pb.ListResultsRequest(parent=name), timeout=10),
        lambda: stub.ListAttacks(pb.ListAttacksRequest(parent=name), timeout=10),
        lambda: list(stub.WatchCampaign(pb.WatchCampaignRequest(name=name), timeout=10)),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() is expected


def test_pages(client: PixelprobeClient, stub: pb_grpc.AttackServiceStub) -> None:
    name = start(
        client,
        IMAGES[:3],
        targets=("allconv_cifar10",),
        regions=(Region.WHOLE,),
        search=SHORT,
    )
    list(client.watch_campaign(name))
    first = stub.ListResults(pb.ListResultsRequest(parent=name, page_size=2), timeout=10)
    rest = stub.ListResults(
        pb.ListResultsRequest(parent=name, page_size=2, page_token=first.next_page_token), timeout=10
    )
    assert [attack.image_index for attack in (*first.attacks, *rest.attacks)] == [0, 1, 2]
    assert rest.next_page_token == ""
    for bad in (
        pb.ListResultsRequest(parent=name, page_size=-1),
        pb.ListResultsRequest(parent=name, page_token="x"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListResults(bad, timeout=10)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    campaigns = stub.ListCampaigns(pb.ListCampaignsRequest(page_size=1), timeout=10)
    assert campaigns.campaigns[0].name == name
    assert not campaigns.campaigns[0].spec.images


def test_a_request_id_creates_once(stub: pb_grpc.AttackServiceStub) -> None:
    request = pb.CreateCampaignRequest(spec=valid_spec(stub), request_id=f"once-{time.time_ns()}")
    first = stub.CreateCampaign(request, timeout=10).campaign.name
    assert stub.CreateCampaign(request, timeout=10).campaign.name == first
    request.spec.seed = 5
    with pytest.raises(grpc.RpcError) as refused:
        stub.CreateCampaign(request, timeout=10)
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


def test_events_are_complete_and_in_order(client: PixelprobeClient) -> None:
    name = start(client, IMAGES[:2], targets=("allconv_cifar10",), regions=(Region.WHOLE,), search=SHORT)
    events = [
        event for event in client.watch_campaign(name) if isinstance(event, CampaignChanged | AttackFinished)
    ]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    states = [event.campaign.state for event in events if isinstance(event, CampaignChanged)]
    assert states == [CampaignState.PENDING, CampaignState.RUNNING, CampaignState.SUCCEEDED]
    assert sum(isinstance(event, AttackFinished) for event in events) == 2
    later = [event.sequence for event in client.watch_campaign(name, after_sequence=events[1].sequence)]
    assert later == [event.sequence for event in events[2:]]


def test_cancel_then_resume_ends_as_if_nothing_had_happened(client: PixelprobeClient) -> None:
    spec = {
        "targets": ("allconv_cifar10",),
        "regions": (Region.WHOLE, Region.FOREGROUND),
        "search": SearchSettings(population=60, generations=25, early_stop=False),
    }
    undisturbed = campaign(client, IMAGES[:1], **spec)  # type: ignore[arg-type]
    name = start(client, IMAGES[:1], **spec)
    while client.get_campaign(name).queries_sent < 300:
        time.sleep(0.02)
    assert client.cancel_campaign(name).state is CampaignState.CANCELLED
    cut = list(client.list_results(name))
    assert [attack.result.outcome for attack in cut if attack.result] == [Outcome.CANCELLED] * 2
    assert client.cancel_campaign(name).state is CampaignState.CANCELLED
    client.resume_campaign(name)
    for _ in client.watch_campaign(name):
        pass
    resumed = list(client.list_results(name))
    for before, after in zip(undisturbed, resumed, strict=True):
        assert before.result is not None
        assert after.result is not None
        # what the cancellation cut off was sent again, and is counted
        assert after.result.queries_sent >= before.result.queries_sent
        assert after.result.fitness_by_generation == before.result.fitness_by_generation
        assert after.result.edits == before.result.edits
        assert after.result.queries_repeated == before.result.queries_repeated
        assert after.result.queries_skipped == before.result.queries_skipped


def test_a_target_that_is_gone_spoils_only_its_own_attacks(
    tmp_path: Path, targets_file: Path, segmentation_address: str, local_triton: dict[str, str]
) -> None:
    """A relay before Triton is cut mid-attack: with no patience, a bounded number of tries and ``error``."""
    with relay(local_triton["grpc"]) as (address, cut):
        targets = tmp_path / "targets.toml"
        targets.write_text(
            targets_file.read_text()
            + f'\n[targets.doomed]\nprotocol = "kserve-grpc"\naddress = "{address}"\nmodel = "nin_cifar10"\n'
        )
        with (
            processes.orchestrator(targets, segmentation_address, "--target-patience", "0") as running,
            PixelprobeClient(Addresses(running.address, segmentation_address)) as client,
        ):
            name = start(
                client,
                IMAGES[:1],
                targets=("doomed", "allconv_cifar10"),
                regions=(Region.WHOLE,),
                search=SearchSettings(population=60, generations=12, early_stop=False),
            )
            while client.get_campaign(name).queries_sent < 150:
                time.sleep(0.02)
            cut()
            for _ in client.watch_campaign(name):
                pass
            doomed, other = client.list_results(name)
    assert doomed.result is not None
    assert other.result is not None
    assert doomed.result.outcome is Outcome.ERROR
    assert address in doomed.result.reason
    assert "gave up after" in doomed.result.reason
    assert doomed.result.clean_top  # what was found before is kept
    assert other.result.outcome in (Outcome.SUCCESS, Outcome.FAILURE)
    assert len(other.result.fitness_by_generation) == 13


class relay:  # noqa: N801 - reads as a verb
    """A TCP relay to ``address`` that a test can cut for good."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._is_cut = False

    def __enter__(self) -> tuple[str, Callable[[], None]]:
        host, port = self._address.split(":")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []

        def pump(source: socket.socket, sink: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
            except OSError:
                return

        def accept() -> None:
            while True:
                try:
                    near, _ = self._listener.accept()
                except OSError:
                    return
                far = socket.create_connection((host, int(port)))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{self._listener.getsockname()[1]}", self.cut

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        if self._is_cut:
            return
        self._is_cut = True
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone would not
        self._listener.close()
        for end in self._open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                end.close()


def test_the_orchestrator_needs_a_good_targets_file(tmp_path: Path) -> None:
    bad = tmp_path / "targets.toml"
    bad.write_text('[targets.x]\nprotocol = "carrier-pigeon"\naddress = "127.0.0.1:1"\n')
    command = [
        sys.executable, "-m", "pixelprobe_services.orchestrator", "--listen", "127.0.0.1:0",
        "--targets", str(bad), "--segmentation", "127.0.0.1:1",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "protocol" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_drain_ends_in_time(targets_file: Path, segmentation_address: str) -> None:
    with (
        processes.orchestrator(targets_file, segmentation_address) as running,
        PixelprobeClient(Addresses(running.address, segmentation_address)) as client,
    ):
        start(client, IMAGES[:2], targets=("allconv_cifar10",), regions=(Region.WHOLE,), search=LONG)
        time.sleep(1)
        begin = time.monotonic()
        assert running.terminate() == 0
        assert time.monotonic() - begin < 10


def test_results_do_not_depend_on_the_order_of_images(client: PixelprobeClient) -> None:
    one = campaign(client, IMAGES[:2], regions=(Region.WHOLE,))
    other = campaign(client, IMAGES[1::-1], regions=(Region.WHOLE,))
    assert [comparable(attack)[1:] for attack in one] == [comparable(attack)[1:] for attack in other[::-1]]

"""No request, however formed, makes a service crash, hang or leak: nonsense at every RPC that there is.

The methods are found in the stubs, so that a new one is covered by itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pixelprobe_api
from pixelprobe_api.attack.v1 import attack_service_pb2, campaign_pb2
from pixelprobe_api.image.v1 import image_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2
from pixelprobe_services.common.images import from_array
from pixelprobe_services.common.status import DOMAIN
from tests.processes import RunningService
from tests.robustness import servers
from tests.robustness.http2 import Peer, grpc_message
from tests.robustness.messages import hostile, mutated, spoiled
from tests.robustness.servers import SIDE, TARGET, Services

CODE = grpc.StatusCode
EXPECTED = {
    CODE.OK,
    CODE.INVALID_ARGUMENT,
    CODE.NOT_FOUND,
    CODE.ALREADY_EXISTS,
    CODE.FAILED_PRECONDITION,
    CODE.ABORTED,
    CODE.RESOURCE_EXHAUSTED,
}
SECONDS = 10.0
GROWTH_MIB = 150.0

BOUNDED = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def methods() -> Iterator[MethodDescriptor]:
    """Every method of every service in the stubs."""
    for module in pkgutil.walk_packages(pixelprobe_api.__path__, "pixelprobe_api."):
        if module.name.endswith("_pb2"):
            stubs: Any = importlib.import_module(module.name)
            for service in stubs.DESCRIPTOR.services_by_name.values():
                yield from service.methods


METHODS = {method.full_name: method for method in methods()}
each_method = pytest.mark.parametrize("name", METHODS)


class Asking:
    """Sends raw requests to whichever service has the method."""

    def __init__(self, services: Services) -> None:
        self._services = {
            "attack": services.orchestrator,
            "segmentation": services.segmentation,
        }
        self._channels = {
            name: grpc.insecure_channel(service.address) for name, service in self._services.items()
        }
        self.known = self._prepare()

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def service(self, method: MethodDescriptor) -> RunningService:
        return self._services[method.full_name.split(".")[1]]

    def __call__(
        self, method: MethodDescriptor, requests: Sequence[bytes]
    ) -> tuple[CODE, grpc.RpcError | None]:
        """The status of a call that sends these requests and ends, and its error."""
        call: Any = self._channels[method.full_name.split(".")[1]].stream_stream(path_of(method))
        answers = call(iter(requests), timeout=SECONDS)
        try:
            next(answers, None)  # of a stream without end the first will do
        except grpc.RpcError as error:
            return error.code(), error
        answers.cancel()
        return CODE.OK, None

    def _prepare(self) -> tuple[str, ...]:
        """Things that exist: an image, a campaign that has ended, its attack, a target."""
        image = attack_service_pb2.UploadImagesRequest(image=image_of(SIDE))
        uploaded = self._ask("UploadImages", image)
        digest = attack_service_pb2.UploadImagesResponse.FromString(uploaded).digests[0]
        created = self._ask(
            "CreateCampaign", attack_service_pb2.CreateCampaignRequest(spec=valid_spec(digest))
        )
        name = attack_service_pb2.CreateCampaignResponse.FromString(created).campaign.name
        self._ask("WatchCampaign", attack_service_pb2.WatchCampaignRequest(name=name))
        return name, f"{name}/attacks/0", digest, TARGET, name.removeprefix("campaigns/")

    def _ask(self, method: str, request: Any) -> bytes:
        call: Any = self._channels["attack"].stream_stream(f"/pixelprobe.attack.v1.AttackService/{method}")
        answers: list[bytes] = list(call(iter([request.SerializeToString()]), timeout=SECONDS))
        return answers[0]


@pytest.fixture(scope="module")
def ask(services: Services) -> Iterator[Asking]:
    services.target.delay_seconds = 0.02  # campaigns that nonsense happens to start are to be slow
    asking = Asking(services)
    yield asking
    asking.close()


@pytest.fixture(scope="module", autouse=True)
def bounded_memory(ask: Asking, services: Services) -> Iterator[None]:
    before = [servers.memory_mib(service) for service in services.each()]
    yield
    for service, first in zip(services.each(), before, strict=True):
        assert servers.memory_mib(service) - first < GROWTH_MIB


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def image_of(side: int) -> image_pb2.Image:
    return from_array(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8))


def valid_spec(digest: str) -> campaign_pb2.CampaignSpec:
    return campaign_pb2.CampaignSpec(
        images=[campaign_pb2.CampaignImage(digest=digest, display_name="a.png", label=1)],
        targets=[TARGET],
        regions=[campaign_pb2.REGION_WHOLE, campaign_pb2.REGION_FOREGROUND],
        pixel_counts=[1],
        goals=[campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted())],
        search=campaign_pb2.SearchSettings(population=4, generations=1, crossover_rate=0.7),
        budget_per_attack=20,
        masks=campaign_pb2.MaskSettings(
            grabcut=segmentation_service_pb2.GrabCutOptions(iterations=1), accept_unreviewed=True
        ),
    )


def valid_request(method: MethodDescriptor, known: Sequence[str]) -> Message:
    """A message of the method's type that makes sense."""
    kind: Any = message_factory.GetMessageClass(method.input_type)
    name, attack, digest, *_ = known
    fields: dict[str, Any] = {
        "name": attack if method.name == "GetAttack" else name,
        "parent": name,
        "page_size": 2,
        "digest": digest,
        "image": image_of(32 if method.name == "Segment" else SIDE),
        "spec": valid_spec(digest),
        "grabcut": segmentation_service_pb2.GrabCutOptions(
            rectangle=segmentation_service_pb2.Rectangle(left=1, top=1, right=30, bottom=30),
            strokes=[
                segmentation_service_pb2.Stroke(
                    kind=segmentation_service_pb2.STROKE_KIND_FOREGROUND,
                    points=[
                        segmentation_service_pb2.Point(x=3, y=4),
                        segmentation_service_pb2.Point(x=9, y=9),
                    ],
                    width=3,
                )
            ],
            iterations=1,
        ),
    }
    own = {key: value for key, value in fields.items() if key in method.input_type.fields_by_name}
    made: Message = kind(**own)
    return made


def assert_orderly(ask: Asking, method: MethodDescriptor, requests: Sequence[bytes]) -> None:
    """An expected status, with the reason in the details."""
    code, error = ask(method, requests)
    assert code in EXPECTED, error
    if error is not None:
        status = rpc_status.from_call(error)
        assert status is not None, error
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in status.details)
        assert info.domain == DOMAIN


@each_method
@BOUNDED
@given(data=st.data())
def test_hostile_messages(ask: Asking, name: str, data: st.DataObject) -> None:
    method = METHODS[name]
    message = data.draw(hostile(method.input_type, ask.known))
    assert_orderly(ask, method, [message.SerializeToString()])


@each_method
@settings(BOUNDED, max_examples=80)
@given(data=st.data())
def test_valid_messages_with_one_field_spoiled(ask: Asking, name: str, data: st.DataObject) -> None:
    method = METHODS[name]
    message = data.draw(spoiled(valid_request(method, ask.known), ask.known))
    assert_orderly(ask, method, [message.SerializeToString()])


@each_method
@BOUNDED
@given(data=st.data())
def test_valid_messages_with_bytes_changed(ask: Asking, name: str, data: st.DataObject) -> None:
    method = METHODS[name]
    valid = valid_request(method, ask.known).SerializeToString()
    assert_orderly(ask, method, [data.draw(mutated([valid]))])


@each_method
@settings(BOUNDED, max_examples=10)
@given(raw=st.binary(max_size=200))
def test_random_bytes(ask: Asking, name: str, raw: bytes) -> None:
    assert_orderly(ask, METHODS[name], [raw])


@each_method
@pytest.mark.parametrize("count", [0, 3])
def test_no_request_and_too_many(ask: Asking, name: str, count: int) -> None:
    method = METHODS[name]
    assert_orderly(ask, method, [valid_request(method, ask.known).SerializeToString()] * count)


@each_method
def test_a_message_over_the_limit(ask: Asking, name: str) -> None:
    """gRPC refuses it by itself, before anybody could say more in details."""
    code, _ = ask(METHODS[name], [bytes(65 * 2**20)])
    assert code is CODE.RESOURCE_EXHAUSTED


def of_services(call: Callable[[RunningService, str], None], services: Services) -> None:
    for service, method in (
        (services.orchestrator, "/pixelprobe.attack.v1.AttackService/ListTargets"),
        (services.segmentation, "/pixelprobe.segmentation.v1.SegmentationService/ListSegmenters"),
    ):
        call(service, method)
        assert servers.is_serving(service.address)


@pytest.mark.parametrize(
    "headers",
    [
        {b"x-request-id": b"\xff\xfe"},
        {b"x-request-id": b"\n\x00"},
        {b"x-request-id": b"a" * 6000},
        {b"x-anything-bin": b"***"},
        {b"grpc-timeout": b"\xff"},
        {b"grpc-timeout": b"0n"},
        {b"grpc-encoding": b"nonsense"},
        {b"content-type": b"text/html"},
        {b":path": b"/\xff\xfe/\xff"},
        {b":path": b""},
        {b":path": b"/" + b"x" * 5000},
        {b":method": b"GET"},
    ],
    ids=str,
)
def test_hostile_headers(services: Services, headers: dict[bytes, bytes]) -> None:
    """Before 1.84, and from then on by one path that is not UTF-8, gRPC's server was ended."""

    def call(service: RunningService, method: str) -> None:
        with Peer(service.address) as peer:
            peer.request(method.encode(), grpc_message(b""), more=headers)
            assert peer.is_answered()

    of_services(call, services)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        grpc_message(b"", declared=5),
        grpc_message(b"abc", declared=0),
        grpc_message(b"", declared=2**32 - 1),
        b"\x01" + grpc_message(b"not compressed")[1:],
        b"\xff" * 100,
    ],
    ids=str,
)
def test_hostile_framing(services: Services, body: bytes) -> None:
    def call(service: RunningService, method: str) -> None:
        with Peer(service.address) as peer:
            peer.request(method.encode(), body)
            assert peer.is_answered()

    of_services(call, services)


def test_every_method_that_is_served_is_known_here(services: Services) -> None:
    served = set()
    for service in services.each():
        with grpc.insecure_channel(service.address) as channel:
            served |= set(ProtoReflectionDescriptorDatabase(channel).get_services())
    known = {method.containing_service.full_name for method in METHODS.values()}
    assert {name for name in served if name.startswith("pixelprobe.")} == known

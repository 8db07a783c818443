"""The targets file: what it may say, and the one line that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from pixelprobe_services.common.errors import NotFoundError, ServiceError
from pixelprobe_services.orchestrator.targets.adapter import Preprocessing
from pixelprobe_services.orchestrator.targets.base import RateLimits
from pixelprobe_services.orchestrator.targets.registry import (
    Registry,
    RegistryError,
    TargetConfig,
    load_targets,
)

SMALLEST = '[targets.toy]\nprotocol = "kserve-grpc"\naddress = "127.0.0.1:8001"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "targets.toml"


def test_defaults(file: Path) -> None:
    file.write_text(SMALLEST)
    assert load_targets(file) == {
        "toy": TargetConfig(name="toy", protocol="kserve-grpc", address="127.0.0.1:8001", model="toy")
    }
    config = load_targets(file)["toy"]
    assert (config.max_batch, config.max_in_flight, config.timeout_seconds) == (400, 3, 60.0)
    assert (config.sparse, config.tls, config.labels) == ("auto", False, ())


def test_every_key(file: Path) -> None:
    folder = file.parent / "more"
    folder.mkdir()
    (folder / "labels.txt").write_text("tench\n great white shark \n\n")
    (folder / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    (folder / "token").write_text("Bearer s3cret\n")
    file.write_text(
        SMALLEST + "labels = ['cat', 'dog']\n"
        """
        [targets."far.away-2"]
        protocol = "kserve-http"
        address = "models.example.org:443/prefix"
        model = "resnet"
        labels_file = "more/labels.txt"
        max_batch = 16
        max_in_flight = 1
        timeout_seconds = 5
        sparse = "never"
        tls = true
        tls_ca = "more/ca.pem"
        headers_files = {authorization = "more/token"}
        """
    )
    toy, far = load_targets(file).values()
    assert toy.labels == ("cat", "dog")
    assert far == TargetConfig(
        name="far.away-2",
        protocol="kserve-http",
        address="models.example.org:443/prefix",
        model="resnet",
        labels=("tench", "great white shark"),
        max_batch=16,
        max_in_flight=1,
        timeout_seconds=5.0,
        sparse="never",
        tls=True,
        tls_ca=(folder / "ca.pem").read_text(),
        headers=(("authorization", "Bearer s3cret"),),
    )
    assert "s3cret" not in repr(far)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('max_bach = 3', "targets.toy.max_bach: unknown key; did you mean max_batch?"),
        ('max_batch = 0', "targets.toy.max_batch: expected a whole number from 1 to 100000, got 0"),
        ('max_batch = "400"', "targets.toy.max_batch: expected a whole number from 1 to 100000, got \"400\""),
        ('max_batch = true', "targets.toy.max_batch: expected a whole number"),
        ('max_in_flight = -1', "targets.toy.max_in_flight: expected a whole number from 1 to 1000, got -1"),
        ('timeout_seconds = 0', "targets.toy.timeout_seconds: expected seconds, more than 0"),
        ('timeout_seconds = nan', "targets.toy.timeout_seconds: expected seconds"),
        ('timeout_seconds = "60"', "targets.toy.timeout_seconds: expected seconds"),
        ('sparse = "always"', 'targets.toy.sparse: expected one of auto, never, got "always"'),
        ('labels = "cat"', "targets.toy.labels: expected a list of texts"),
        ('labels = []', "targets.toy.labels: expected a list of texts"),
        ('labels = ["cat", 3]', "targets.toy.labels[1]: expected a text, got 3"),
        ('labels_file = "nowhere.txt"', "labels_file: nowhere.txt cannot be read: No such file or directory"),
        ('labels_file = "blank.txt"', "labels_file: expected one label on each line of blank.txt"),
        ('labels_file = "binary"', "labels_file: binary cannot be read: not UTF-8 text"),
        ('labels = ["a"]\nlabels_file = "l.txt"', "labels_file: expected either labels or labels_file"),
        ('model = ""', 'targets.toy.model: expected a text, got ""'),
        ('tls = "yes"', 'targets.toy.tls: expected true or false, got "yes"'),
        ('tls_ca = "l.txt"', "targets.toy.tls_ca: expected tls = true beside it"),
        ('tls = true\ntls_ca = "l.txt"', "targets.toy.tls_ca: expected certificates in PEM form in l.txt"),
        ('tls = true\ntls_ca = "empty"', "targets.toy.tls_ca: expected certificates in PEM form in empty"),
        ('tls = true\ntls_ca = "fake.pem"', "targets.toy.tls_ca: expected certificates in PEM form"),
        ('headers_files = "token"', "targets.toy.headers_files: expected a table"),
        ('headers_files = {Authorization = "l.txt"}', "headers_files.Authorization: expected a lower-case"),
        ('headers_files = {grpc-timeout = "l.txt"}', "headers_files.grpc-timeout: expected a lower-case"),
        ('headers_files = {x-bin = "l.txt"}', "headers_files.x-bin: expected a lower-case"),
        ('headers_files = {x = 3}', "headers_files.x: expected the path of the file"),
        ('headers_files = {x = "nowhere"}', "headers_files.x: nowhere cannot be read"),
        ('headers_files = {x = "two-lines"}', "headers_files.x: expected one line of printable ASCII"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_what_was_expected(file: Path, line: str, complaint: str) -> None:
    (file.parent / "l.txt").write_text("cat")
    (file.parent / "empty").write_text("")
    (file.parent / "fake.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (file.parent / "blank.txt").write_text("cat\n\ndog\n")
    (file.parent / "binary").write_bytes(b"\xff\xfe")
    (file.parent / "two-lines").write_text("s3cret\nBearer")
    file.write_text(SMALLEST + line + "\n")
    with pytest.raises(RegistryError) as caught:
        load_targets(file)
    message = caught.value.message
    assert message.startswith(f"{file}: targets.toy.")
    assert complaint in message
    assert "\n" not in message
    assert "s3cret" not in message
    assert isinstance(caught.value, ServiceError)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "targets: missing; expected a table"),
        ("[targets]", r"targets: expected at least one \[targets.NAME\] table"),
        ("targets = 3", "targets: expected a table, .*, got 3"),
        ("[targets]\ntoy = 3", "targets.toy: expected a table, .*, got 3"),
        ("[target.toy]", "target: unknown key; did you mean targets"),
        (SMALLEST + "[other]", "other: unknown key; expected targets"),
        ("[targets.toy]", "targets.toy.protocol: missing; expected a text"),
        ('[targets.toy]\nprotocol = "kserve-grpc"', "targets.toy.address: missing; expected"),
        (
            '[targets.toy]\nprotocol = "rest"',
            'protocol: expected one of kserve-grpc, kserve-http, tensorflow-serving, .*, got "rest"',
        ),
        (
            '[targets."a b"]\nprotocol = "python"\ncallable = "a:b"',
            "targets.'a b': expected a name of letters",
        ),
        ("[targets", "is not TOML"),
    ],
)
def test_a_wrong_file(file: Path, text: str, complaint: str) -> None:
    file.write_text(text)
    with pytest.raises(RegistryError, match=complaint):
        load_targets(file)


def test_a_missing_file(file: Path) -> None:
    with pytest.raises(RegistryError, match=r"targets\.toml: No such file or directory"):
        load_targets(file)


@pytest.mark.parametrize(
    ("protocol", "address", "good"),
    [
        ("kserve-grpc", "localhost:1", True),
        ("kserve-grpc", "[::1]:8001", True),
        ("kserve-grpc", "dns:///triton.default.svc:8001", True),
        ("kserve-grpc", "localhost", False),
        ("kserve-grpc", "localhost:0", False),
        ("kserve-grpc", "localhost:65536", False),
        ("kserve-grpc", "grpc://localhost:8001", False),
        ("kserve-grpc", "localhost:8001/prefix", False),
        ("kserve-http", "localhost:8000", True),
        ("kserve-http", "localhost:8000/a/b", True),
        ("kserve-http", "http://localhost:8000", False),
        ("kserve-http", "user:secret@localhost:8000", False),
        ("kserve-http", "localhost:8000/v2?x=1", False),
        ("kserve-http", "dns:///localhost:8000", False),
    ],
)
def test_addresses(file: Path, protocol: str, address: str, good: bool) -> None:
    file.write_text(f'[targets.toy]\nprotocol = "{protocol}"\naddress = "{address}"\n')
    if good:
        assert load_targets(file)["toy"].address == address
    else:
        with pytest.raises(
            RegistryError, match=r'targets.toy.address: expected "host:port" without a scheme'
        ):
            load_targets(file)


@pytest.fixture
def registry(file: Path) -> Registry:
    file.write_text(SMALLEST + SMALLEST.replace("toy", "bear").replace("grpc", "http"))
    return Registry.from_file(file)


async def test_the_registry_opens_each_target_once(registry: Registry) -> None:
    assert registry.names() == ("toy", "bear")
    assert registry.get("bear") is registry.get("bear")
    assert registry.get("bear").name == "bear"
    with pytest.raises(NotFoundError, match="no target is called 'doll'; known are: toy, bear"):
        registry.get("doll")
    await registry.close()
    await registry.close()


def test_every_key_of_an_adapter(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "s3cret")
    file.write_text(
        """
        [targets.far]
        protocol = "json"
        address = "models.example.org:443/api"
        tls = true
        classes = 3
        labels = ["a", "b", "c"]
        headers_env = {x-api-key = "API_KEY"}
        preset = "torchvision"
        channels = "bgr"
        std = 1
        size = [640, 480]
        model_size = [224, 224]
        resize = "bilinear-antialias"
        batch = "fixed:8"
        output_kind = "percent"
        sum_tolerance = 0.05
        top_k = 2
        deterministic = false
        max_queries_per_second = 5
        max_requests_per_second = 0.5
        daily_queries = 1000
        cost_per_1000_queries = 1.5
        load_test = true
        [targets.far.request]
        path = "/classify?model=x"
        image = "nested"
        body = '{"images": "$images"}'
        [targets.far.response]
        scores = "results[*].scores"
        labels = "results[*].names"
        """
    )
    far = load_targets(file)["far"]
    assert far.steps == Preprocessing(
        layout="nchw",
        dtype="fp32",
        channels="bgr",
        resize="bilinear-antialias",
        scale=1 / 255,
        mean=(0.485, 0.456, 0.406),
        std=(1.0,),
    )
    assert (far.size, far.model_size, far.top_k, far.output_kind) == ((640, 480), (224, 224), 2, "percent")
    assert (far.max_batch, far.fixed_batch, far.deterministic, far.load_test) == (8, True, False, True)
    assert far.limits == RateLimits(5, 0.5, 1000)
    assert far.cost_per_1000_queries == 1.5
    assert far.headers == (("x-api-key", "s3cret"),)
    assert far.request.path == "/classify?model=x"
    assert far.response.labels == "results[*].names"
    assert "s3cret" not in repr(far)


JSON = '[targets.toy]\nprotocol = "json"\naddress = "h:1"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (JSON, "response: expected scores or labels"),
        (JSON + "[targets.toy.response]\nscores = 'a['", "response.scores: expected a JMESPath expression"),
        (JSON + "[targets.toy.response]\nscore = 'a'", "response.score: unknown key; did you mean scores"),
        (JSON + "[targets.toy.request]\nbody = '{\"a\": 3}'", 'in which "$image" or "$images" stands'),
        (JSON + "[targets.toy.request]\nbody = '{'", "request.body: expected a JSON document"),
        (JSON + "[targets.toy.request]\npath = 'x'", 'request.path: expected a path such as "/v1/predict"'),
        (JSON + "[targets.toy.request]\nimage = 'gif'", "request.image: expected one of png-base64"),
        (JSON + "callable = 'a:b'", "callable: expected only with python, not json"),
        (JSON + "output = 'y'", "output: expected only with kserve-grpc or"),
        (JSON + "options = {a = 1}", "options: expected only with a plugin's protocol"),
        (SMALLEST + "batch = 'fixed:0'", "batch: expected a whole number"),
        (SMALLEST + "batch = 3\nmax_batch = 3", "batch: expected either max_batch or batch, not both"),
        (SMALLEST + "size = [3]", "size: expected [width, height]"),
        (SMALLEST + "mean = [1, 2]", "mean: expected a number, or a list of 3"),
        (SMALLEST + "std = 0", "std: expected numbers above 0"),
        (SMALLEST + "scale = 0.5", "dtype: missing; expected beside scale, mean and std"),
        (
            SMALLEST + "channels = 'gray'\ndtype = 'fp32'\nmean = [1, 2, 3]",
            "mean: expected one number for one",
        ),
        (SMALLEST + "top_k = 3\noutput_kind = 'logits'", 'top_k: expected none with output_kind = "logits"'),
        (SMALLEST + "classes = 3\nlabels = ['a', 'b']", "classes: expected 2, one a label, got 3"),
        (SMALLEST + "preset = 'torch'", "preset: expected one of torchvision"),
        (SMALLEST + "headers_env = {x = 'NOT_SET_ANYWHERE'}", "expected the name of an environment variable"),
        ('[targets.toy]\nprotocol = "python"', 'callable: missing; expected "module:function"'),
        ('[targets.toy]\nprotocol = "python"\ncallable = "a b"', 'callable: expected "module:function"'),
        ('[targets.toy]\nprotocol = "kserve"\naddress = "h:1"', "did you mean kserve-"),
    ],
)
def test_wrong_adapters_and_requests(file: Path, text: str, complaint: str) -> None:
    file.write_text(text)
    with pytest.raises(RegistryError) as caught:
        load_targets(file)
    assert caught.value.message.startswith(f"{file}: targets.toy.")
    assert complaint in caught.value.message
    assert "\n" not in caught.value.message


def test_a_secret_in_the_wrong_place_is_not_repeated(file: Path) -> None:
    for table in ('headers_env = {authorization = "Bearer s3cret"}', "headers_env = 's3cret'"):
        file.write_text(SMALLEST + table)
        with pytest.raises(RegistryError) as caught:
            load_targets(file)
        assert "s3cret" not in caught.value.message


def test_a_byte_order_mark_is_no_part_of_a_label(file: Path) -> None:
    (file.parent / "labels.txt").write_text("cat\ndog\n", encoding="utf-8-sig")
    file.write_text(SMALLEST + 'labels_file = "labels.txt"\n', encoding="utf-8-sig")
    assert load_targets(file)["toy"].labels == ("cat", "dog")


def test_files_join_and_may_not_name_a_target_twice(file: Path) -> None:
    other = file.parent / "own" / "more.toml"
    other.parent.mkdir()
    (other.parent / "labels.txt").write_text("cat\n")
    file.write_text(SMALLEST)
    other.write_text(SMALLEST.replace("toy", "own") + 'labels_file = "labels.txt"\n')
    assert Registry.from_files([file, other]).names() == ("toy", "own")
    other.write_text(SMALLEST)
    with pytest.raises(RegistryError, match=r"more\.toml: targets\.toy: another targets file has"):
        Registry.from_files([file, other])


def test_reading_again(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(SMALLEST + SMALLEST.replace("toy", "bear") + SMALLEST.replace("toy", "gone"))
    registry = Registry.from_file(file)
    used, _ = registry.get("bear"), registry.get("gone")
    file.write_text(
        SMALLEST + "max_batch = 7\n" + SMALLEST.replace("toy", "bear") + "max_batch = 8\n"
        + SMALLEST.replace("toy", "new")
    )  # fmt: skip
    registry.reload()
    assert registry.names() == ("toy", "bear", "new")
    assert registry.config("toy").max_batch == 7
    assert registry.get("bear") is used
    assert "in use, so changed only by a restart: bear" in caplog.text
    with pytest.raises(NotFoundError):
        registry.get("gone")
    file.write_text("[targets")
    registry.reload()
    assert registry.names() == ("toy", "bear", "new"), "a file that cannot be used changes nothing"
    assert "is not TOML" in caplog.text

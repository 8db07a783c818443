"""The targets file: what it may say, and the one line that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from pixelprobe_services.common.errors import NotFoundError, ServiceError
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
        ('batch = 3', "targets.toy.batch: unknown key; known are protocol, tls, address, model"),
        ('max_batch = 0', "targets.toy.max_batch: expected an integer from 1 to 100000, got 0"),
        ('max_batch = "400"', "targets.toy.max_batch: expected an integer from 1 to 100000, got '400'"),
        ('max_batch = true', "targets.toy.max_batch: expected an integer"),
        ('max_in_flight = -1', "targets.toy.max_in_flight: expected an integer from 1 to 1000, got -1"),
        ('timeout_seconds = 0', "targets.toy.timeout_seconds: expected seconds, more than 0"),
        ('timeout_seconds = nan', "targets.toy.timeout_seconds: expected seconds"),
        ('timeout_seconds = "60"', "targets.toy.timeout_seconds: expected seconds"),
        ('sparse = "always"', """targets.toy.sparse: expected "auto" or "never", got 'always'"""),
        ('labels = "cat"', "targets.toy.labels: expected a list of texts"),
        ('labels = []', "targets.toy.labels: expected a list of texts"),
        ('labels = ["cat", 3]', "targets.toy.labels: expected a list of texts"),
        ('labels_file = "nowhere.txt"', "labels_file: nowhere.txt cannot be read: No such file or directory"),
        ('labels_file = "blank.txt"', "labels_file: expected one label on each line of blank.txt"),
        ('labels_file = "binary"', "labels_file: binary cannot be read: not UTF-8 text"),
        ('labels = ["a"]\nlabels_file = "l.txt"', "labels_file: expected either labels or labels_file"),
        ('model = ""', "targets.toy.model: expected a text, got ''"),
        ('tls = "yes"', "targets.toy.tls: expected true or false, got 'yes'"),
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
        ("", "targets: expected, but missing"),
        ("[targets]", r"targets: expected at least one \[targets.NAME\] table"),
        ("targets = 3", "targets: expected a table, got 3"),
        ("[targets]\ntoy = 3", "targets.toy: expected a table, got 3"),
        ("[target.toy]", "targets: expected, but missing"),
        (SMALLEST + "[other]", "other: unknown key; known are targets"),
        ("[targets.toy]", "targets.toy.protocol: expected, but missing"),
        ('[targets.toy]\nprotocol = "kserve-grpc"', "targets.toy.address: expected, but missing"),
        (
            '[targets.toy]\nprotocol = "rest"',
            'protocol: expected "kserve-grpc" or "kserve-http", got \'rest\'',
        ),
        ('[targets."a b"]', "targets.'a b': expected a name of letters"),
        ("[targets", "not valid TOML"),
    ],
)
def test_a_wrong_file(file: Path, text: str, complaint: str) -> None:
    file.write_text(text)
    with pytest.raises(RegistryError, match=complaint):
        load_targets(file)


def test_a_missing_file(file: Path) -> None:
    with pytest.raises(RegistryError, match=r"targets\.toml: cannot be read: No such file or directory"):
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

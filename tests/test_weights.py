import contextlib
import hashlib
import http.server
import json
import pickle
import socket
import threading
import time

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from fracturelib.cli import main
from fracturelib.config import TrainConfig
from fracturelib.errors import WeightsError, WeightsWarning
from fracturelib.files import download
from fracturelib.files.download import DownloadError, fetch
from fracturelib.model import build_model
from fracturelib.trunks import weights
from fracturelib.trunks.weights import imagenet_file, load_trunk


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """An empty hub cache, and none of the caller's settings."""
    for name in ("FRACTURELIB_WEIGHTS", "FRACTURELIB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def state():
    torch.manual_seed(3)
    return resnet18(weights=None).state_dict()


@pytest.mark.slow
def test_none_is_random_and_seeded():
    first, origin = load_trunk("resnet18", "none", seed=1)
    second, again = load_trunk("resnet18", "none", seed=1)
    _, different = load_trunk("resnet18", "none", seed=2)
    assert origin.name == "none" and "random" in origin.detail and origin.path is None
    assert origin.sha256 == again.sha256 != different.sha256
    assert torch.equal(first.conv1.weight, second.conv1.weight)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_is_loaded_and_named(tmp_path, state, suffix):
    path = tmp_path / f"trunk{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file({name: value.half() if value.is_floating_point() else value for name, value in state.items()}, path)
    trunk, origin = load_trunk("resnet18", str(path))
    torch.testing.assert_close(trunk.conv1.weight, state["conv1.weight"], atol=1e-3, rtol=1e-3)
    assert trunk.conv1.weight.dtype == torch.float32
    assert origin.path == str(path) and path.name in origin.detail


@pytest.mark.slow
def test_a_file_of_the_hub_cache_is_used_by_auto_and_imagenet(state):
    _, cached = imagenet_file("resnet18")
    cached.parent.mkdir(parents=True)
    torch.save(state, cached)
    for setting in ("auto", "imagenet"):
        trunk, origin = load_trunk("resnet18", setting)
        assert origin.name == "imagenet" and origin.path == str(cached)
        assert torch.equal(trunk.conv1.weight, state["conv1.weight"])


@pytest.mark.slow
def test_the_environment_overrides_the_setting(monkeypatch):
    monkeypatch.setenv("FRACTURELIB_WEIGHTS", "none")
    assert build_model(TrainConfig(weights="imagenet")).origin.name == "none"


def test_imagenet_offline_says_how_to_bring_the_file(monkeypatch):
    monkeypatch.setenv("FRACTURELIB_OFFLINE", "1")
    monkeypatch.setattr(download, "fetch", lambda *_, **__: pytest.fail("the network was touched"))
    with pytest.raises(WeightsError, match="put it at"):
        load_trunk("resnet18", "imagenet")


def test_auto_without_pretrained_weights_is_random_and_says_so_loudly(monkeypatch, tmp_path):
    monkeypatch.setenv("FRACTURELIB_OFFLINE", "1")
    monkeypatch.setattr(weights, "BUNDLED_TRUNK", tmp_path / "absent.safetensors")
    with pytest.warns(WeightsWarning, match="NO PRETRAINED WEIGHTS"):
        _, origin = load_trunk("resnet18", "auto")
    assert origin.name == "none"


@pytest.mark.slow
def test_auto_prefers_the_bundled_trunk_to_a_random_one(monkeypatch, tmp_path, state, capsys):
    monkeypatch.setenv("FRACTURELIB_OFFLINE", "1")
    bundled = tmp_path / "bundled.safetensors"
    save_file({name: value for name, value in state.items() if not name.startswith("fc.")}, bundled)
    monkeypatch.setattr(weights, "BUNDLED_TRUNK", bundled)
    with pytest.raises(WeightsError, match="replaced"):  # fits, but is not the trunk that the project ships
        load_trunk("resnet18", "distilled")
    monkeypatch.setattr(weights, "BUNDLED_SHA256", load_trunk("resnet18", str(bundled))[1].sha256)
    trunk, origin = load_trunk("resnet18", "auto")
    assert origin.name == "distilled" and "bundled" in capsys.readouterr().out
    assert torch.equal(trunk.conv1.weight, state["conv1.weight"])


def test_the_bundled_trunk_is_the_one_that_the_code_expects():
    trunk, origin = load_trunk("resnet18", "distilled")
    assert origin.sha256 == weights.BUNDLED_SHA256
    assert weights.BUNDLED_TRUNK.stat().st_size < 24_000_000
    variances = [value for name, value in trunk.state_dict().items() if name.endswith("running_var")]
    assert len(variances) == 20 and all((value > 0).all() for value in variances)


def test_missing_keys_and_shapes_list_the_first_five(tmp_path, state):
    wrong = {name: value for name, value in state.items() if not name.startswith("layer4")}
    wrong["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    path = tmp_path / "wrong.safetensors"
    save_file(wrong, path)
    with pytest.raises(WeightsError) as caught:
        load_trunk("resnet18", str(path))
    assert str(caught.value).count("missing: ") == 5
    assert "layer4.0.conv1.weight" in str(caught.value) and str(path) in str(caught.value)


def test_weights_of_another_network_are_refused(tmp_path, state):
    path = tmp_path / "resnet18.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsError, match="do not fit"):
        load_trunk("densenet121", str(path))


def spoilt(state, how):
    """A state dict with one value that no network can compute with, and the entry that holds it."""
    name, value = {
        "nan": ("conv1.weight", float("nan")),
        "inf": ("layer4.1.bn2.bias", float("inf")),
        "too large": ("layer1.0.conv1.weight", 1e300),  # infinite as soon as it is a float32
        "negative variance": ("bn1.running_var", -1.0),
    }[how]
    state = {**state, name: state[name].double()}
    state[name].view(-1)[0] = value
    return state, name


@pytest.fixture(params=["--weights", "file:"])
def way(request, tmp_path):
    """A safetensors file's path, and the options that name it."""
    path = tmp_path / "spoilt.safetensors"
    facts = {"network": "resnet18", "size": 64, "mean": [0.5] * 3, "std": [0.25] * 3}
    path.with_suffix(".json").write_text(json.dumps(facts))
    named = {"weights": str(path)} if request.param == "--weights" else {"architecture": f"file:{path}"}
    return path, named


@pytest.mark.parametrize("how", ["nan", "inf", "too large", "negative variance"])
def test_weights_that_are_no_numbers_are_refused(state, way, how):
    path, named = way
    state, name = spoilt(state, how)
    save_file(state, path)
    with pytest.raises(WeightsError, match=f"NaN.*{name}") as caught:
        load_trunk(**{"architecture": "resnet18", "weights": "auto", **named})
    assert caught.value.file == path


def test_a_training_on_such_weights_writes_nothing(tiny_data, tmp_path, state, capsys, way):
    path, named = way
    state, name = spoilt(state, "nan")
    save_file(state, path)
    [(option, value)] = named.items()
    runs = tmp_path / "runs"
    command = ["train", "--data", str(tiny_data), "--runs", str(runs), "--image-size", "64", f"--{option}", value]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert name in said and path.name in said and "Traceback" not in said
    kept = {file.relative_to(runs).parts[:2] for file in runs.rglob("*") if file.is_file()}
    assert kept <= {(".features", "facts")}, "what was learnt about the pictures may stay, nothing else"


class Bomb:
    """A pickle that would leave a trace if anything in it ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_in_a_pickle_is_executed(tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "bomb.pth"
    torch.save({"conv1.weight": Bomb(trace)}, path)
    with pytest.raises(WeightsError):
        load_trunk("resnet18", str(path))
    path.write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(WeightsError):
        load_trunk("resnet18", str(path))
    assert not trace.exists()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "missing"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, state, suffix, damage):
    path = tmp_path / f"damaged{suffix}"
    (torch.save if suffix == ".pth" else save_file)(state, path)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"truncated": content[: len(content) // 2], "garbage": b"x" * 999, "empty": b""}[damage])
    with pytest.raises(WeightsError, match=str(path)):
        load_trunk("resnet18", str(path))


# --- downloads, from a server on this machine ---------------------------------------------------

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges. The first `cuts` answers break off in the middle; `length` overrides the header."""

    def do_GET(self):
        start = int(self.headers["Range"].split("=")[1].rstrip("-")) if "Range" in self.headers else 0
        self.server.starts.append(start)
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if self.server.length != "":
            self.send_header("Content-Length", self.server.length or str(len(body)))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts, body = self.server.cuts - 1, body[: len(body) // 2]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
            while self.server.endless:
                self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.cuts, running.starts, running.length, running.endless = 0, [], None, False
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def address(server):
    return f"http://127.0.0.1:{server.server_port}/file"


def test_a_download_is_announced_checked_and_named_last(server, tmp_path, capsys):
    path = tmp_path / "deep" / "file.bin"
    fetch(address(server), path, checksum=DIGEST[:8])
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    said = capsys.readouterr().out
    assert "1 MB" in said and str(path.parent) in said


def test_a_broken_download_is_continued_once_and_then_by_the_next_call(server, tmp_path):
    server.cuts, path = 2, tmp_path / "file.bin"
    with pytest.raises(DownloadError, match=r"broke|Incomplete"):
        fetch(address(server), path, checksum=DIGEST[:8])
    assert not path.exists()
    fetch(address(server), path, checksum=DIGEST[:8])
    assert path.read_bytes() == CONTENT
    assert server.starts == [0, len(CONTENT) // 2, 3 * len(CONTENT) // 4]


def test_a_part_of_another_file_is_thrown_away_and_all_fetched_anew(server, tmp_path):
    path = tmp_path / "file.bin"
    path.with_name("file.bin.part").write_bytes(b"something else")
    fetch(address(server), path, checksum=DIGEST[:8])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["", "many", "-1"])
def test_a_server_that_does_not_say_how_much_is_believed_by_the_checksum(server, tmp_path, length):
    server.length, path = length, tmp_path / "file.bin"
    fetch(address(server), path, checksum=DIGEST[:8])
    assert path.read_bytes() == CONTENT


def test_a_server_that_announces_too_much_is_refused(server, tmp_path):
    server.length = "9" * 30
    with pytest.raises(DownloadError, match="announces"):
        fetch(address(server), tmp_path / "file.bin", checksum=DIGEST[:8])


def test_a_server_that_never_ends_is_left(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LARGEST_BYTES", 5_000_000)
    server.length, server.endless = "", True
    with pytest.raises(DownloadError, match="without an end"):
        fetch(address(server), tmp_path / "file.bin", checksum=DIGEST[:8])


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    path = tmp_path / "file.bin"
    with pytest.raises(DownloadError, match="wrong checksum"):
        fetch(address(server), path, checksum="00000000")
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_given_up_within_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(DownloadError, match="no connection"):
            fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/x", tmp_path / "x", checksum="0")
    assert time.monotonic() - started < 3


@pytest.mark.slow
def test_a_refused_connection_becomes_the_offline_fallback(monkeypatch, state, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    place = tmp_path / "resnet18-00000000.pth"
    monkeypatch.setattr(weights, "imagenet_file", lambda _: (f"http://127.0.0.1:{port}/x", place))
    monkeypatch.setattr(weights, "BUNDLED_TRUNK", tmp_path / "absent.safetensors")
    with pytest.warns(WeightsWarning):
        assert load_trunk("resnet18", "auto")[1].name == "none"
    with pytest.raises(WeightsError, match="could not be downloaded"):
        load_trunk("resnet18", "imagenet")


def test_available_weights_touches_no_network(monkeypatch):
    monkeypatch.setattr(download, "fetch", lambda *_, **__: pytest.fail("the network was touched"))
    assert {row["weights"] for row in weights.available_weights()} == {"auto", "imagenet", "distilled", "none"}

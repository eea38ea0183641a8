"""Public sets: the list, and a fetch from a server on this machine that stands for figshare."""

import contextlib
import hashlib
import http.server
import io
import json
import stat
import threading
import zipfile

import pytest

from fracturelib.catalog.public_sets import PUBLIC_SETS, fetch_set
from fracturelib.cli import main
from fracturelib.errors import FracturelibError
from fracturelib.files import archives, download
from fracturelib.files.archives import unpack

FILES = {"FracAtlas/dataset.csv": b"image_id,fractured\n", "FracAtlas/images/Fractured/IMG1.jpg": bytes(300_000)}


def zipped(files, *, change=lambda member: None):
    """A ZIP archive of these files, stored so that its size is known."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            member = zipfile.ZipInfo(name)
            change(member)
            archive.writestr(member, content)
    return found.getvalue()


class Figshare(http.server.BaseHTTPRequestHandler):
    """The description of an article, and its file behind a redirect, with ranges."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/v2/articles/22363012":
            self._answer(200, self.server.answer)
        elif self.path == "/files/1":
            self.send_response(302)
            self.send_header("Location", "/storage/FracAtlas.zip")
            self.end_headers()
        else:
            self._send_file()

    def _send_file(self):
        start = int(self.headers["Range"].split("=")[1].rstrip("-")) if "Range" in self.headers else 0
        self.server.starts.append(start)
        body = self.server.content[start:]
        self.send_response(self.server.status or (206 if start else 200))
        self.send_header("Content-Length", self.server.length or str(len(body)))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts, body = self.server.cuts - 1, body[: len(body) // 2]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
            while self.server.endless:
                self.wfile.write(bytes(1 << 16))

    def _answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def described(server, **other):
    file = {
        "name": "FracAtlas.zip",
        "size": len(server.content),
        "computed_md5": hashlib.md5(server.content).hexdigest(),
        "supplied_md5": "",
        "download_url": f"http://127.0.0.1:{server.server_port}/files/1",
    }
    return json.dumps({"files": [{"name": "readme.txt"}, file | other], "license": {"name": "CC BY 4.0"}}).encode()


@pytest.fixture
def figshare(monkeypatch):
    monkeypatch.delenv("FRACTURELIB_OFFLINE", raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Figshare) as server:
        server.content, server.asked, server.starts = zipped(FILES), [], []
        server.cuts, server.length, server.endless, server.status = 0, None, False, None
        server.answer, server.api = described(server), f"http://127.0.0.1:{server.server_port}/v2"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_set_is_announced_checked_unpacked_and_its_archive_removed(figshare, tmp_path, capsys):
    found = fetch_set("fracatlas", tmp_path / "new", api=figshare.api)
    assert found == tmp_path / "new" / "FracAtlas"
    assert contents(tmp_path / "new") == FILES
    said = capsys.readouterr().out
    assert "CC BY 4.0" in said and "0 MB" in said and "Abedeen" in said
    assert figshare.asked == ["/v2/articles/22363012", "/files/1", "/storage/FracAtlas.zip"], "nothing else is asked"


def test_a_broken_connection_is_continued_once_and_then_by_the_next_call(figshare, tmp_path):
    figshare.cuts = 2
    with pytest.raises(FracturelibError, match="could not be fetched"):
        fetch_set("fracatlas", tmp_path, api=figshare.api)
    assert [path.name for path in tmp_path.iterdir()] == ["FracAtlas.zip.part"]
    fetch_set("fracatlas", tmp_path, api=figshare.api)
    assert contents(tmp_path) == FILES
    assert figshare.starts[0] == 0 < figshare.starts[1] < figshare.starts[2]


@pytest.mark.parametrize("lie", ["wrong MD5", "more than stated", "endless", "come again later", "too long"])
def test_a_file_that_is_not_the_stated_one_leaves_nothing_behind_that_counts(figshare, tmp_path, lie):
    if lie == "wrong MD5":
        figshare.answer = described(figshare, computed_md5="0" * 32)
    elif lie == "more than stated":
        figshare.answer = described(figshare, size=1000)
    elif lie == "endless":
        figshare.endless, figshare.length = True, "many"
    elif lie == "come again later":
        figshare.status = 202
    else:
        figshare.length = "9" * 30
    with pytest.raises(FracturelibError, match="could not be fetched"):
        fetch_set("fracatlas", tmp_path, api=figshare.api)
    assert {path.name for path in tmp_path.iterdir()} <= {"FracAtlas.zip.part"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= len(figshare.content) + download.CHUNK_BYTES


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"files": [], "license": {"name": "x"}}',
        b'{"files": [{"name": "FracAtlas.zip", "size": 3}], "license": {"name": "x"}}',
        b"[" * 100_000,
        b" " * (download.LARGEST_JSON + 1),
    ],
    ids=range(7),
)
def test_an_answer_that_describes_no_archive_is_told(figshare, tmp_path, answer):
    figshare.answer = answer
    with pytest.raises(FracturelibError, match="could not be fetched"):
        fetch_set("fracatlas", tmp_path, api=figshare.api)
    assert list(tmp_path.iterdir()) == [] and figshare.starts == []


@pytest.mark.parametrize("other", [{"computed_md5": "x"}, {"download_url": "file:///etc/hosts"}, {"size": -1}])
def test_an_answer_with_a_value_that_cannot_be_is_told(figshare, tmp_path, other):
    figshare.answer = described(figshare, **other)
    with pytest.raises(FracturelibError, match="could not be fetched"):
        fetch_set("fracatlas", tmp_path, api=figshare.api)
    assert figshare.starts == []


def test_an_archive_that_was_brought_by_hand_is_checked_used_and_kept(figshare, tmp_path):
    (tmp_path / "FracAtlas.zip").write_bytes(figshare.content)
    fetch_set("fracatlas", tmp_path, api=figshare.api)
    assert contents(tmp_path) == FILES | {"FracAtlas.zip": figshare.content}
    assert figshare.starts == []


def test_an_archive_of_somebody_else_and_a_full_folder_are_left_alone(figshare, tmp_path):
    (tmp_path / "FracAtlas.zip").write_bytes(b"mine")
    with pytest.raises(FracturelibError, match="not the one"):
        fetch_set("fracatlas", tmp_path, api=figshare.api)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FracturelibError, match="holds something"):
        fetch_set("fracatlas", tmp_path, api=figshare.api)
    assert contents(tmp_path) == {"FracAtlas.zip": b"mine", "notes.txt": b"mine"}


def test_offline_nothing_is_asked(figshare, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FRACTURELIB_OFFLINE", "1")
    assert main(["data", "fetch", "fracatlas", str(tmp_path / "new")]) == 2
    assert "FRACTURELIB_OFFLINE" in capsys.readouterr().err
    assert figshare.asked == [] and not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["mura", "grazpedwri-dx", "kaggle", "nothing"])
def test_a_set_that_is_not_free_to_fetch_says_how_to_get_it(name, tmp_path, capsys):
    assert main(["data", "fetch", name, str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "what to do" in said and "Traceback" not in said and list(tmp_path.iterdir()) == []


def test_the_list_names_size_licence_use_and_way_of_each(capsys):
    assert main(["data", "list"]) == 0
    said = capsys.readouterr().out
    for one in PUBLIC_SETS:
        assert all(text in said for text in (one.name, one.size, one.licence, one.good_for, one.how))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mura", "yolo"])
def test_a_miniature_is_made_in_an_empty_folder_only(tmp_path, name, capsys):
    assert main(["data", "miniature", name, str(tmp_path / "small")]) == 0
    assert "simulated radiographs" in capsys.readouterr().out
    before = contents(tmp_path)
    assert before
    assert main(["data", "miniature", name, str(tmp_path / "small")]) == 2
    assert main(["data", "miniature", "none", str(tmp_path / "other")]) == 2
    assert "choose one of" in capsys.readouterr().err
    assert contents(tmp_path) == before


# --- archives -------------------------------------------------------------------------------------------------------


def linked(member):
    member.external_attr = (stat.S_IFLNK | 0o777) << 16


def named(content, tmp_path):
    archive = tmp_path / "set.zip"
    archive.write_bytes(content)
    return archive


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (zipped({"../out.txt": b"x"}), "outside"),
        (zipped({"a/../../out.txt": b"x"}), "outside"),
        (zipped({"/out.txt": b"x"}), "outside"),
        (zipped({"C:/out.txt": b"x"}), "outside"),
        (zipped({"a": b"/etc/passwd"}, change=linked), "link"),
        (zipped([("a/x.txt", b"1"), ("A/X.txt", b"2")]), "one name"),
        (zipped({}), "empty"),
        (zipped(FILES)[:-40], "cannot be unpacked"),
        (zipped(FILES).replace(b"image_id,fractured", b"image_id,FRACTURED"), "cannot be unpacked"),
        (b"no archive", "cannot be unpacked"),
    ],
    ids=["..", "deep ..", "absolute", "drive", "link", "one name", "empty", "cut", "damaged", "no zip"],
)
def test_an_archive_that_could_do_harm_leaves_nothing(tmp_path, content, told):
    (tmp_path / "in").mkdir()
    archive = named(content, tmp_path)
    with pytest.raises(FracturelibError, match=told):
        unpack(archive, tmp_path / "in")
    assert {path.name for path in tmp_path.rglob("*")} == {"in", "set.zip"}


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path, monkeypatch):
    archive = named(zipped(FILES), tmp_path)
    for name, value, told in (("LARGEST_BYTES", 1000, "would unpack"), ("MOST_FILES", 1, "would unpack")):
        with monkeypatch.context() as patched:
            patched.setattr(archives, name, value)
            with pytest.raises(FracturelibError, match=told):
                unpack(archive, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]


def test_files_without_a_common_folder_get_one_and_what_a_cut_off_call_left_is_cleared(tmp_path):
    archive = named(zipped({"a.txt": b"1", "b/c.txt": b"2"}), tmp_path)
    (tmp_path / archives.UNPACKING).mkdir()
    (tmp_path / archives.UNPACKING / "half").write_bytes(b"x")
    assert unpack(archive, tmp_path) == tmp_path / "set"
    assert contents(tmp_path / "set") == {"a.txt": b"1", "b/c.txt": b"2"}
    with pytest.raises(FracturelibError, match="there already"):
        unpack(archive, tmp_path)
    assert contents(tmp_path / "set") == {"a.txt": b"1", "b/c.txt": b"2"}

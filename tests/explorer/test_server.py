"""The server gives out a run and its page to the browsers of this machine, and nothing else."""

import gzip
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saematch.errors import SaematchError
from saematch.explorer.places import NO_PAGE, Places
from saematch.explorer.server import Server
from support.explored import SCRIPT, ask, connection, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def port(world):
    server = Server(world.places)
    yield server.port
    server.stop()


@pytest.fixture(scope="module")
def table(world):
    """Address and content of a table of some size."""
    return "/run/flow/edges.parquet", (world.run.path / "flow/edges.parquet").read_bytes()


def test_the_page_and_the_run_are_given_out_as_they_are(world, port):
    kinds = {
        "/": "text/html; charset=utf-8",
        "/index.html": "text/html; charset=utf-8",
        "/favicon.svg": "image/svg+xml",
        "/assets/index-1.js": "text/javascript; charset=utf-8",
        "/assets/fonts/a.woff2": "font/woff2",
        "/run/run.json": "application/json",
        "/run/explorer/index.json": "application/json",
    }
    for address, kind in kinds.items():
        assert ask(port, address).headers["content-type"] == kind
    assert ask(port, "/assets/index-1.js?v=1#top").body == SCRIPT.encode()
    served = dict(world.places.files())
    assert len(served) > 40
    for place, file in served.items():
        got = ask(port, f"/{place}")
        assert (got.status, got.body) == (200, file.read_bytes()), place
        assert got.headers["content-length"] == str(len(got.body))
    assert any(place.startswith("run/explorer/life/") for place in served)
    assert any(place.startswith("run/explorer/firing/") for place in served)


def test_every_answer_keeps_other_sites_out(port):
    for path, headers in (("/", {}), ("/none", {}), ("/", {"Host": "evil.example"})):
        got = ask(port, path, headers=headers)
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["cache-control"] == "no-cache"
        assert got.headers["cross-origin-resource-policy"] == "same-origin"
        policy = got.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self' 'wasm-unsafe-eval'" in policy
        assert "connect-src 'self'" in policy
        assert "access-control-allow-origin" not in got.headers


@settings(max_examples=60)
@given(data=st.data())
def test_a_range_is_a_slice_of_the_file(table, port, data):
    address, content = table
    first = data.draw(st.integers(0, len(content) + 10))
    last = data.draw(st.integers(first, first + 5000))
    got = ask(port, address, headers={"Range": f"bytes={first}-{last}"})
    if first >= len(content):
        assert got.status == 416
        assert got.headers["content-range"] == f"bytes */{len(content)}"
        return
    assert got.status == 206
    assert got.body == content[first : last + 1]
    end = min(last + 1, len(content))
    assert got.headers["content-range"] == f"bytes {first}-{end - 1}/{len(content)}"
    assert got.headers["content-length"] == str(end - first)


def test_suffixes_and_odd_ranges(table, port):
    address, content = table
    got = ask(port, address, headers={"Range": "bytes=-8"})
    assert (got.status, got.body) == (206, content[-8:])
    for odd in ("bytes=5-1", "lines=1-2", "bytes=0-1,3-4"):
        got = ask(port, address, headers={"Range": odd})
        assert (got.status, got.body) == (200, content)
    assert ask(port, address, headers={"Range": "bytes=-0"}).status == 416


def test_a_range_of_another_version_is_not_given(table, port):
    address, content = table
    tag = ask(port, address, "HEAD").headers["etag"]
    assert not tag.startswith("W/")
    for mine, status in ((tag, 206), ('"other"', 200), (f"W/{tag}", 200), (formatdate(0), 200)):
        got = ask(port, address, headers={"Range": "bytes=0-3", "If-Range": mine})
        assert (got.status, got.body) == (status, content[:4] if status == 206 else content)
    assert ask(port, address, headers={"If-Match": '"other"'}).status == 412
    assert ask(port, address, headers={"If-Match": f'"other", {tag}'}).status == 200


def test_what_the_browser_has_is_not_sent_again(table, port):
    address, _ = table
    head = ask(port, address, "HEAD").headers
    for known in (head["etag"], f'"x", W/{head["etag"]}', "*"):
        got = ask(port, address, headers={"If-None-Match": known})
        assert (got.status, got.body) == (304, b"")
    assert ask(port, address, headers={"If-None-Match": '"x"'}).status == 200
    modified = head["last-modified"]
    assert ask(port, address, headers={"If-Modified-Since": modified}).status == 304
    for since in (formatdate(0, usegmt=True), "yesterday"):
        assert ask(port, address, headers={"If-Modified-Since": since}).status == 200
    both = {"If-Modified-Since": modified, "If-None-Match": '"x"'}
    assert ask(port, address, headers=both).status == 200


LIKES_GZIP = {"Accept-Encoding": "gzip, deflate, br"}


def test_text_of_the_page_is_sent_packed_to_whoever_takes_it(port):
    address = "/assets/index-1.js"
    plain, packed = ask(port, address), ask(port, address, headers=LIKES_GZIP)
    assert (plain.status, packed.status) == (200, 200)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body == SCRIPT.encode()
    assert packed.headers["content-length"] == str(len(packed.body))
    for name in ("vary", "content-type", "last-modified", "content-security-policy"):
        assert packed.headers[name] == plain.headers[name]
    assert packed.headers["vary"] == "Accept-Encoding"
    assert ask(port, address, headers=LIKES_GZIP).body == packed.body
    head = ask(port, address, "HEAD", headers=LIKES_GZIP)
    for name in ("etag", "content-length", "content-encoding"):
        assert head.headers[name] == packed.headers[name]
    assert head.body == b""


def test_packed_and_plain_are_told_apart_by_their_etags(port):
    address = "/assets/index-1.js"
    plain, packed = ask(port, address), ask(port, address, headers=LIKES_GZIP)
    assert plain.headers["etag"] != packed.headers["etag"]
    for mine, headers, status in (
        (packed, LIKES_GZIP, 304),
        (plain, {}, 304),
        (packed, {}, 200),
        (plain, LIKES_GZIP, 200),
    ):
        got = ask(port, address, headers={**headers, "If-None-Match": mine.headers["etag"]})
        assert (got.status, got.headers["vary"]) == (status, "Accept-Encoding")
    wrong = ask(port, address, headers={**LIKES_GZIP, "If-Match": plain.headers["etag"]})
    assert (wrong.status, wrong.body) == (412, b"")
    assert "content-encoding" not in wrong.headers


def test_parts_and_tables_are_sent_as_they_are(table, port):
    part = ask(port, "/assets/index-1.js", headers={**LIKES_GZIP, "Range": "bytes=0-3"})
    assert (part.status, part.body) == (206, SCRIPT.encode()[:4])
    address, content = table
    got = ask(port, address, headers=LIKES_GZIP)
    assert got.body == content
    for name in ("content-encoding", "vary"):
        assert name not in got.headers


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br;q=1, GZIP;q=0.2", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("*, gzip;q=0.0", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=much", False),
    ],
)
def test_what_a_browser_says_it_takes(port, accepted, packed):
    got = ask(port, "/index.html", headers={"Accept-Encoding": accepted})
    assert ("content-encoding" in got.headers) == packed


def test_a_page_that_is_built_anew_is_packed_anew(world, port):
    place = world.places.page / "assets/fresh.js"
    place.write_text("old")
    assert gzip.decompress(ask(port, "/assets/fresh.js", headers=LIKES_GZIP).body) == b"old"
    place.with_suffix(".new").write_text("newer")
    os.replace(place.with_suffix(".new"), place)
    assert gzip.decompress(ask(port, "/assets/fresh.js", headers=LIKES_GZIP).body) == b"newer"
    place.unlink()


def test_head_says_what_get_would_and_sends_nothing(table, port):
    address, content = table
    whole, head = ask(port, address), ask(port, address, "HEAD", {"Range": "bytes=0-3"})
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(content))
    for name in ("etag", "last-modified", "content-type", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]
    assert ask(port, "/none", "HEAD").body == b""


REFUSED = (
    "/run",
    "/run/",
    "/assets",
    "/assets/",
    "/run/flow",
    "/run/flow/",
    "/run//run.json",
    "/notes.txt",
    "/run/notes.txt",
    "/run/flow/notes.txt",
    "/run/deep/pairs/x.parquet",
    "/run/figures/x.parquet",
    "/run/.hidden.parquet",
    "/run/flow/.hidden.parquet",
    "/run/flow/.tracks.parquet.1234.partial",
    "/run/flow/tracks.partial",
    "/run/flow/../run.json",
    "/run/../secret.parquet",
    "/run/flow/../../../secret.parquet",
    "/../secret.parquet",
    "/assets/../index.html",
    "/assets/../../run/run.json",
    "/%2e%2e/secret.parquet",
    "/run/flow/%2e%2e/%2e%2e/%2e%2e/secret.parquet",
    "/run/flow/%2e%2e%2f%2e%2e%2f%2e%2e%2fsecret.parquet",
    "/run/flow/..%5c..%5c..%5csecret.parquet",
    "/run\\run.json",
    "/run%5crun.json",
    "/run%2frun.json",
    "/run/%252e%252e/run.json",
    "/run/run.json%00",
    "/run/flow/tracks.parquet%00.parquet",
    "/run/flow/%00",
    "/run/flow/%ff.parquet",
    "/run/run.json/",
    "/run/./run.json",
    "/run/flow/C:x.parquet",
    "run/run.json",
    "http://127.0.0.1/run/run.json",
    "*",
    "/run/flow/link.parquet",
    "/run/linked/tracks.parquet",
    "/run/evaluation/secret.parquet",
    "/assets/link.js",
    "/run/flow/" + "a" * 300 + ".parquet",
)


@pytest.fixture(scope="module")
def traps(world):
    """Files that are there and must not be given out."""
    run, page = world.run.path, world.places.page
    outside = run.parent / "secret.parquet"
    for place in ("notes.txt", "flow/notes.txt", ".hidden.parquet", "flow/.hidden.parquet"):
        (run / place).write_text("secret")
    for place in ("figures", "deep/pairs"):
        (run / place).mkdir(parents=True)
        (run / place / "x.parquet").write_text("secret")
    (run / "flow/.tracks.parquet.1234.partial").write_text("secret")
    (run / "flow/link.parquet").symlink_to(outside)
    (run / "evaluation").symlink_to(run.parent)
    (run / "linked").symlink_to(run / "flow")
    (page / "assets/link.js").symlink_to(outside)


@pytest.mark.parametrize("path", REFUSED)
@pytest.mark.usefixtures("traps")
def test_nothing_else_has_an_address(port, path):
    got = ask(port, path)
    assert got.status == 404
    assert b"secret" not in got.body


@pytest.mark.usefixtures("traps")
def test_links_and_strays_are_not_listed(world):
    places = {place for place, _ in world.places.files()}
    assert places.isdisjoint({"run/flow/link.parquet", "assets/link.js"})
    assert not any("linked" in place or "hidden" in place or "notes" in place for place in places)
    assert not any(place.startswith("run/evaluation") for place in places)


@settings(max_examples=200)
@given(
    parts=st.lists(
        st.sampled_from(
            (
                *("run", "flow", "..", ".", "%2e%2e", "%2E.", "%5c", "..%2f", "", "assets", "%00"),
                *("secret.parquet", "tracks.parquet", "run.json", "evaluation", "%252e"),
            )
        ),
        max_size=7,
    )
)
@pytest.mark.usefixtures("traps")
def test_no_address_leads_out(world, parts):
    found = world.places.find("/" + "/".join(parts))
    if found is not None:
        inside = [world.places.page, world.run.path, world.places.made]
        assert any(found.is_relative_to(folder.resolve()) for folder in inside)
        assert found.read_bytes() != b"secret"


def test_a_file_may_be_a_link_within_the_run(world, port):
    (world.run.path / "flow/same.parquet").symlink_to("tracks.parquet")
    try:
        whole = (world.run.path / "flow/tracks.parquet").read_bytes()
        assert ask(port, "/run/flow/same.parquet").body == whole
    finally:
        (world.run.path / "flow/same.parquet").unlink()


def test_only_this_server_by_its_own_names(port):
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert ask(port, "/run/run.json", headers={"Host": host}).status == 200
    foreign = (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        "localhost",
        f"127.0.0.1:{port + 1}",
        f"localhost.evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"0.0.0.0:{port}",
        f"[::1]:{port}",
        "",
        None,
    )
    for host in foreign:
        got = ask(port, "/run/run.json", headers={"Host": host})
        assert got.status == 403, host
        assert b"saes" not in got.body


def test_two_hosts_are_refused(port):
    request = f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil.example\r\n\r\n"
    assert raw(port, request).startswith(b"HTTP/1.1 403 ")


def test_only_pages_of_this_server(port):
    def status(**headers):
        return ask(port, "/run/run.json", headers=headers).status

    assert status(Origin=f"http://127.0.0.1:{port}") == 200
    assert status(Origin=f"http://localhost:{port}") == 200
    foreign = ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1", "")
    for origin in foreign:
        assert status(Origin=origin) == 403, origin
    assert status(**{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}) == 200
    assert status(**{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}) == 403
    # a link to the page from anywhere may be followed
    assert status(**{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}) == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"])
def test_nothing_but_reading(port, method):
    got = ask(port, "/run/run.json", method)
    assert got.status == 405
    assert got.headers["allow"] == "GET, HEAD"


def raw(port, request: str) -> bytes:
    """All that a server sends to some bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(request.encode("latin-1"))
        link.shutdown(socket.SHUT_WR)
        found = b""
        while piece := link.recv(65536):
            found += piece
        return found


def test_the_body_of_a_request_is_not_another_request(port):
    hidden = f"GET /index.html HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
    host = f"Host: localhost:{port}\r\n"
    for head in (f"Content-Length: {len(hidden)}\r\n", "Transfer-Encoding: chunked\r\n"):
        got = raw(port, f"GET /favicon.svg HTTP/1.1\r\n{host}{head}\r\n{hidden}")
        assert got.count(b"HTTP/1.1 200 OK") == 1
        assert b"Connection: close" in got


def test_no_request_at_all_is_answered_in_words(port):
    assert raw(port, "nonsense nonsense nonsense\r\n\r\n").count(b"400 Bad Request") >= 1
    assert raw(port, "GET /" + "a" * 70_000 + " HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414")


def test_one_connection_serves_many_requests(table, port):
    address, content = table
    with connection(port) as link:
        for start in (0, 100, 7):
            got = ask(port, address, headers={"Range": f"bytes={start}-{start + 9}"}, over=link)
            assert got.body == content[start : start + 10]
        assert ask(port, "/none", over=link).status == 404
        assert ask(port, address, "HEAD", over=link).body == b""
        assert ask(port, address, over=link).body == content


def test_several_browsers_at_once(table, port):
    address, content = table

    def part(start: int) -> bool:
        got = ask(port, address, headers={"Range": f"bytes={start}-{start + 99}"})
        return got.body == content[start : start + 100]

    with connection(port) as slow, ThreadPoolExecutor(16) as pool:
        slow.connect()  # and says nothing
        assert all(pool.map(part, range(0, 6400, 100)))


def test_a_browser_that_goes_away_is_no_error(world, port, caplog, capfd):
    big = world.run.path / "relations/big.parquet"
    big.write_bytes(bytes(30_000_000))
    try:
        link = socket.create_connection(("127.0.0.1", port))
        link.sendall(
            f"GET /run/relations/big.parquet HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
        )
        link.recv(10)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.close()
        assert ask(port, "/").status == 200
    finally:
        big.unlink()
    assert not [record for record in caplog.records if record.levelno > 10]
    assert capfd.readouterr() == ("", "")


def test_a_run_that_grows_is_read_whole(world, port):
    """run.json is replaced, never changed in place: each answer is one state of it."""
    place = world.run.path / "run.json"
    content = place.read_bytes()
    first = ask(port, "/run/run.json")
    states = {content, content + b" " * 1000}
    done = threading.Event()

    def grow():
        while not done.is_set():
            for state in states:
                partial = place.with_name(".run.json.partial")
                partial.write_bytes(state)
                os.replace(partial, place)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert {ask(port, "/run/run.json").body for _ in range(40)} <= states
    finally:
        done.set()
        writer.join()
    place.write_bytes(content)
    assert ask(port, "/run/run.json").headers["etag"] != first.headers["etag"]


def test_a_wished_port_or_an_error(world):
    first = Server(world.places)
    try:
        with pytest.raises(SaematchError, match=f"port {first.port} .*in use by another program"):
            Server(world.places, first.port)
        second = Server(world.places)  # any other
        assert second.port != first.port
        second.stop()
    finally:
        first.stop()
    for odd in (0, -1, 65536):
        with pytest.raises(SaematchError, match="between 1 and 65535"):
            Server(world.places, odd)


def test_stop_frees_the_port_and_ends_connections(world):
    server = Server(world.places)
    with connection(server.port) as link:
        assert ask(server.port, "/", over=link).status == 200
        server.stop()
        server.stop()
        with pytest.raises((ConnectionError, OSError)):
            ask(server.port, "/", over=link)
    again = Server(world.places, server.port)
    assert ask(again.port, "/").status == 200
    again.stop()


def test_a_copy_without_a_page_says_so(world, tmp_path):
    with pytest.raises(SaematchError) as error:
        Places(tmp_path, world.run.path, world.places.made).check()
    assert str(error.value) == NO_PAGE
    assert "npm ci && npm run build" in NO_PAGE


@pytest.mark.parametrize(
    ("line", "lengths"),
    [
        ("GET /", ""),
        ("GET / HTTP/0.9", ""),
        ("GET / HTTP/1.1", "Content-Length : 5\r\n"),
        ("GET / HTTP/1.1", "Content-Length: 0\r\nContent-Length: 60\r\n"),
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused_with_its_headers(port, line, lengths):
    second = f"GET /run/run.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    got = raw(port, f"{line}\r\nHost: 127.0.0.1:{port}\r\n{lengths}\r\n{second}")
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Security-Policy" in got
    assert got.count(b"HTTP/1.1 ") == 1


def test_a_request_that_comes_in_drops_is_closed(world, monkeypatch):
    monkeypatch.setattr("saematch.explorer.local.HEAD", 0.5)
    server = Server(world.places)
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
            sent, closed = 0, False
            for byte in b"GET /" + b"a" * 500:
                try:
                    link.sendall(bytes([byte]))
                    link.settimeout(0.02)
                    closed = link.recv(1) == b""
                except TimeoutError:
                    sent += 1
                    continue
                except ConnectionError:
                    closed = True
                break
            assert closed
            assert sent < 500
    finally:
        server.stop()


def test_no_more_connections_than_there_is_room_for(world, monkeypatch):
    monkeypatch.setattr("saematch.explorer.local.MOST", 5)
    server = Server(world.places)
    links = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(12)]
    try:
        for link in links[5:]:
            assert link.recv(1) == b""  # told at once, not left waiting
        for link in links:
            link.close()
        statuses = []
        while 200 not in statuses and len(statuses) < 500:
            try:
                statuses.append(ask(server.port, "/").status)
            except OSError:
                statuses.append(0)
        assert statuses[-1] == 200
    finally:
        server.stop()

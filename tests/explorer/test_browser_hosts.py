"""An exported run opens in headless Chromium on hosts with their own notion of byte ranges."""

import http.server
import re
import threading

import pytest

from saematch.explorer.export import export
from support.browsing import PATIENCE, watched
from support.explored import write_run

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    export(write_run(folder), folder / "site")
    return folder / "site"


def odd_host(site, kind: str):
    """A server of files that answers to suffix ranges, or to all, as `kind` says."""

    class Host(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format, *args):
            pass

        def do_GET(self):
            path = site / (self.path.split("?")[0].lstrip("/") or "index.html")
            body = path.read_bytes() if path.is_file() else b""
            status, more = (200, {}) if path.is_file() else (404, {})
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if asked and status == 200:
                status, body, more = self.part(body, asked[1], asked[2])
            self.send_response(status)
            for name, value in {"Content-Type": self.guess_type(str(path)), **more}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def part(self, body, first, last):
            size, suffix = len(body), not first
            if suffix and kind == "400":
                return 400, b"", {}
            if suffix and kind == "416" and int(last) > size:
                return 416, b"", {"Content-Range": f"bytes */{size}"}
            if suffix and kind == "first bytes":
                first, suffix = "0", False
            start = max(0, size - int(last)) if suffix else int(first)
            end = size - 1 if suffix or not last else min(int(last), size - 1)
            told = {} if kind == "no length" else {"Content-Range": f"bytes {start}-{end}/{size}"}
            return 206, body[start : end + 1], told

    return Host


@pytest.mark.parametrize("kind", ["416", "400", "no length", "first bytes"])
def test_an_export_opens(browser, site, kind):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), odd_host(site, kind))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for tab in watched(browser, f"http://127.0.0.1:{server.server_port}/"):
            tab.goto("")
            expect(tab.get_by_text("How features flow")).to_be_visible(timeout=1000 * PATIENCE)
            expect(tab.get_by_test_id("overview-column")).to_have_count(4)
            tab.goto("#/life/resid_post_1/3")
            expect(tab.get_by_text("resid_post_1").first).to_be_visible()
            expect(tab.get_by_test_id("track-node").first).to_be_visible()
    finally:
        server.shutdown()
        server.server_close()

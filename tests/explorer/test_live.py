"""The endpoint of live sentences, under attack."""

import http.client
import json
import logging
import socket
import threading
import time
from typing import Any

import pytest

import saematch
from saematch.errors import SaematchError
from saematch.explorer.live import MOST
from saematch.explorer.sentence import SECONDS
from saematch.steering.plan import Asked
from saematch.workflows.steer import planned, side_by_side
from support.live_world import TEXT, write_run

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def served(run):
    with saematch.explore(
        run, open_browser=False, model="saematch:model", device="cpu", sentences=[TEXT]
    ) as explorer:
        yield explorer


@pytest.fixture(scope="module")
def live(served):
    return served._live


def send(served, method, place, body=None, headers=JSON, token=None):
    """Status and body of one request below the token's address."""
    port = _port(served)
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    token = served._live.token if token is None else token
    link.request(method, f"/live/{token}/{place}", body, headers)
    answer = link.getresponse()
    content = answer.read()
    link.close()
    return answer.status, content


def ask(served, place="sentence", **fields) -> tuple[int, Any]:
    status, content = send(served, "POST", place, json.dumps(fields))
    return status, json.loads(content) if status == 200 else content.decode()


def test_what_there_is(served, live):
    status, content = send(served, "GET", "")
    about = json.loads(content)
    assert (status, about["model"], about["tokens"]) == (200, "saematch:model", 64)
    assert about["steers"]
    assert about["seconds"] == SECONDS
    assert served.url.endswith(f"?live={live.token}#/sentence")


def test_a_sentence_is_answered_as_the_reader_reads_it(served, live):
    status, found = ask(served, text=TEXT)
    assert status == 200
    wanted = live.reader.read(TEXT).values()
    for name in ("text", "bos", "most", "firing", "features"):
        assert found[name] == wanted[name], name
    assert found["tokens"] == list(wanted["tokens"])


def test_without_the_token_there_is_nothing(served, live):
    for token in ("", "x", live.token[:-1], live.token + "x", live.token.swapcase(), "%C3%A9"):
        for method, place in (("GET", ""), ("POST", "sentence"), ("POST", "steer")):
            status, said = send(served, method, place, '{"text": "a b"}', token=token)
            assert status == 404, token
            assert live.token.encode() not in said
    port = _port(served)
    link = http.client.HTTPConnection("127.0.0.1", port)
    link.request("POST", "/", '{"text": "a b"}', JSON)
    assert link.getresponse().status == 404
    link.close()


def test_other_sites_and_names_are_kept_out(served):
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    ):
        status, said = send(served, "POST", "sentence", '{"text": "a b"}', {**JSON, **headers})
        assert status == 403, headers
        assert b"evil" not in said
    # a form of another site can send no JSON without being asked first
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        status, _ = send(served, "POST", "sentence", '{"text": "a b"}', {"Content-Type": kind})
        assert status in (400, 415)  # a form without its boundary is malformed
    assert send(served, "OPTIONS", "sentence")[0] == 405
    assert send(served, "PUT", "sentence", "{}")[0] == 405


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b'{"text": 7}', 400),
        (b'{"text": null}', 400),
        (b'{"texts": "a b"}', 400),
        (b'{"text": "a", "run": "rm"}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b'{"text": "\xff\xfe"}', 400),
        (b'{"text": ""}', 422),
        (b"[" * 60000, 400),
        (json.dumps({"text": "word " * 100}).encode(), 422),
        (json.dumps({"text": "a" * MOST}).encode(), 413),
    ],
)
def test_what_is_no_sentence_is_refused_in_one(served, body, status):
    got, said = send(served, "POST", "sentence", body)
    assert got == status
    text = said.decode()
    assert text.count("\n") == 1
    assert "Traceback" not in text
    assert len(text) < 300


def test_a_length_that_is_none(served):
    for headers in (
        {**JSON, "Content-Length": "x"},
        {**JSON, "Content-Length": "-1"},
        {**JSON, "Content-Length": "9" * 30},
        {**JSON, "Transfer-Encoding": "chunked"},
    ):
        port = _port(served)
        link = socket.create_connection(("127.0.0.1", port), timeout=20)
        head = f"POST /live/{served._live.token}/sentence HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        link.sendall((head + "\r\n").encode())
        status = int(link.recv(200).split()[1])
        assert status in (400, 411, 413), headers
        link.close()


@pytest.mark.parametrize(
    "text",
    [
        "nul \0 and \x1b[31m red",
        "\u202eturned around\u202c and \u2066isolated\u2069",
        "<script>alert(1)</script> &amp; '\"",
        "\N{GRINNING FACE} \N{COMBINING ACUTE ACCENT}" * 5,
        "\ufeff\ufffe\uffff a",
        "line\nend\r\nand\ttab",
    ],
)
def test_any_text_is_read_as_it_is(served, text):
    status, found = ask(served, text=text)
    assert status == 200
    assert found["text"] == text
    assert "".join(found["tokens"][1:]) == text


def test_one_at_a_time_and_the_others_are_told(served, live):
    with live._busy:
        status, said = ask(served, text=TEXT)
        assert status == 429
        assert "one at a time" in said
        assert ask(served, "steer", text=TEXT, feature="resid_post_3/1")[0] == 429
    assert ask(served, text=TEXT)[0] == 200
    # many at once: each is answered or told, and none is left without an answer
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(ask(served, text=TEXT)[0])) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert set(found) <= {200, 429}
    assert 200 in found


def test_a_body_that_trickles_holds_nobody_up(served):
    port = _port(served)
    slow = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = (
        f"POST /live/{served._live.token}/sentence HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
    )
    slow.sendall(head.encode() + b'{"text": "')
    begin = time.monotonic()
    assert ask(served, text=TEXT)[0] == 200
    assert time.monotonic() - begin < 10
    slow.close()


def test_what_takes_too_long_is_given_up(served, live, monkeypatch):
    monkeypatch.setattr(live, "seconds", 0)
    for place, more in (("sentence", {}), ("steer", {"feature": "resid_post_3/1"})):
        status, said = ask(served, place, text=TEXT, **more)
        assert status == 503
        assert "longer than 0 seconds" in said
    monkeypatch.undo()
    assert ask(served, text=TEXT)[0] == 200


class PanicException(BaseException):
    """What a library in Rust raises."""


@pytest.mark.parametrize("fault", [ValueError, PanicException])
def test_a_fault_within_is_a_sentence_without_the_text(served, live, monkeypatch, caplog, fault):
    def failing(*_, **__):
        raise fault("secret words of the text")

    monkeypatch.setattr(live.reader, "read", failing)
    caplog.set_level(logging.DEBUG)
    status, said = ask(served, text="secret words")
    assert status == 500
    assert "secret" not in said
    assert "secret" not in caplog.text
    monkeypatch.undo()
    assert ask(served, text=TEXT)[0] == 200


def test_neither_texts_nor_the_token_are_logged(served, live, caplog):
    caplog.set_level(logging.DEBUG)
    ask(served, text="a very private sentence")
    ask(served, text="")
    assert caplog.records
    assert "private" not in caplog.text
    assert live.token not in caplog.text


def test_a_server_without_a_model_takes_nothing(run):
    with saematch.explore(run, open_browser=False) as plain:
        port = _port(plain)
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        link.request("POST", "/live/x/sentence", '{"text": "a b"}', JSON)
        assert link.getresponse().status == 405
        link.close()
        assert "live" not in plain.url


def test_recorded_sentences_are_served_beside_the_tables_of_the_run(served):
    port = _port(served)
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    link.request("GET", "/run/explorer/index.json")
    index = json.loads(link.getresponse().read())
    for name in ("sentences", "sentence_features", "nodes"):
        link.request("GET", f"/run/{index['tables'][name]}")
        answer = link.getresponse()
        assert answer.status == 200
        assert answer.read()[:4] == b"PAR1"
    link.close()


def firing(live, layers=3):
    """A feature of a track of all layers that fires on the text."""
    known = live.reader.read(TEXT).known.filter(length=layers)
    node = known["node"][0]
    name, start = max(
        ((n, s) for n, s in live.reader.nodes.starts.items() if s <= node), key=lambda x: x[1]
    )
    return f"{name}/{node - start}"


def test_steering_gives_what_saematch_steer_gives(served, live, run):
    feature = firing(live)
    status, found = ask(served, "steer", text=TEXT, feature=feature, strength=2, tokens=12, seed=3)
    assert status == 200
    both = side_by_side(
        planned(live.reader.model, run, feature, Asked(strength=2)), [TEXT], tokens=12, seed=3
    )
    assert "".join(found["plain"]) == both.plain[0].text
    assert "".join(found["steered"]) == both.steered[0].text
    ids = [one[0].ids for one in (both.plain, both.steered)]
    first = next((k for k, (a, b) in enumerate(zip(*ids, strict=False)) if a != b), None)
    assert found["differs"] == first
    assert [change["site"] for change in found["changes"]] == [feature.split("/")[0]]


def test_steering_along_a_track_changes_all_its_layers_and_nothing_at_strength_zero(served, live):
    feature = firing(live)
    status, found = ask(
        served, "steer", text=TEXT, feature=feature, along="track", strength=1, tokens=6
    )
    assert status == 200
    assert len(found["changes"]) == 3
    status, same = ask(
        served, "steer", text=TEXT, feature=feature, along="track", strength=0, tokens=6
    )
    assert same["differs"] is None
    assert same["plain"] == same["steered"] == found["plain"]
    status, gone = ask(served, "steer", text=TEXT, feature=feature, how="remove", tokens=6)
    assert (status, gone["changes"][0]["how"]) == (200, "remove")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"feature": "resid_post_9/1"}, 422),
        ({"feature": "resid_post_3/99999"}, 422),
        ({"feature": "../../etc"}, 422),
        ({"feature": "x" * 400}, 400),
        ({"feature": "resid_post_3/1", "tokens": 61}, 400),
        ({"feature": "resid_post_3/1", "strength": 1e9}, 400),
        ({"feature": "resid_post_3/1", "strength": "x"}, 400),
        ({"feature": "resid_post_3/1", "seed": -1}, 400),
        ({"feature": "resid_post_3/1", "how": "delete"}, 400),
        ({"feature": "resid_post_3/1", "how": "remove", "strength": 1.0}, 422),
        ({"feature": "resid_post_3/1", "text": "word " * 100}, 422),
    ],
)
def test_steering_that_cannot_be(served, fields, status):
    got, said = ask(served, "steer", **{"text": TEXT, **fields})
    assert got == status
    assert said.count("\n") == 1


def test_a_sentence_needs_a_model(run):
    with pytest.raises(SaematchError, match="give it too"):
        saematch.explore(run, open_browser=False, sentences=["a b"])


def _port(served) -> int:
    return int(served.url.split(":")[2].split("/")[0])

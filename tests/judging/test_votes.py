"""Votes of people: through the real server, kept at once, merged, and compared with judges."""

import http.client
import json
import re
import shutil
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

import saematch
from saematch import Run
from saematch.cli import app
from saematch.errors import RunError
from saematch.judging import between_judges, judged, people
from saematch.judging.cases import CONTROLS, Feature
from saematch.judging.votes import Both, VotesFile, unordered

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def unjudged(nouns, tmp_path) -> Run:
    shutil.copytree(nouns.run.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


@pytest.fixture
def run(unjudged, nouns) -> Run:
    return saematch.judge(unjudged, nouns.store, judges=["firing"], paths=10)


@pytest.fixture
def voting(run, nouns):
    with saematch.vote(run, nouns.store, "ANNA", cases=16, open_browser=False) as served:
        yield served


def send(voting, method, place="", body=None, headers=JSON, token=True):
    """Status and body of one request; headers that are None are left out."""
    url = urlsplit(voting.url)
    link = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    path = url.path + place if token else place
    sent = {name: value for name, value in headers.items() if value is not None}
    link.request(method, path, body, sent)
    answer = link.getresponse()
    content = answer.read()
    link.close()
    return answer.status, content


def vote(voting, case, grade, seconds=1.25, **headers):
    body = json.dumps({"case": case, "grade": grade, "seconds": seconds})
    return send(voting, "POST", "votes", body, {**JSON, **headers})


def lines(voting):
    text = voting.path.read_text() if voting.path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def kinds(run) -> dict[Both, str]:
    found: dict[Both, str] = {}
    cases = run.table("judging", "cases").select("a", "feature_a", "b", "feature_b", "kind")
    for a, i, b, j, kind in cases.iter_rows():
        found.setdefault(unordered(Feature(a, i), Feature(b, j)), kind)
    return found


def test_a_vote_is_in_the_file_when_it_is_answered(voting, run):
    assert (voting.total, voting.done, voting.path.exists()) == (16, 0, False)
    status, answer = vote(voting, 3, 2, seconds=4.2)
    assert (status, json.loads(answer)) == (200, {"done": 1})
    (line,) = lines(voting)
    a, b = voting.ballot.pairs[3]
    assert (line["a"], line["feature_a"], line["b"], line["feature_b"]) == (*a, *b)
    assert (line["grade"], line["seconds"]) == (2, 4.2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", line["when"])
    assert voting.path == run.path / "votes" / "ANNA.jsonl"


def test_the_last_vote_on_a_pair_counts_and_both_are_kept(voting, run):
    for grade in (1, 3):
        assert vote(voting, 0, grade)[0] == 200
    assert [line["grade"] for line in lines(voting)] == [1, 3]
    assert voting.done == 1
    found = people(run)
    assert {*found["judge"]} == {"people: ANNA"}
    assert {*found["grade"]} == {3}
    assert found["probability"].to_list() == [1.0] * len(found)
    assert found["votes"].to_list() == [[3]] * len(found)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{", {}, 400),
        ('{"case": 0, "grade": 4, "seconds": 1}', {}, 400),
        ('{"case": 0, "grade": 3}', {}, 400),
        ('{"case": 99, "grade": 3, "seconds": 1}', {}, 400),
        ('{"case": -1, "grade": 3, "seconds": 1}', {}, 400),
        ('{"case": 0, "grade": 3, "seconds": -1}', {}, 400),
        ('{"case": 0, "grade": 3, "seconds": 1, "name": "../../x"}', {}, 400),
        (b"\xff\xfe", {}, 400),
        ("[" * 900, {}, 400),
        ("[" * 1001, {}, 413),
        (None, {"Content-Length": "99999999999999999999"}, 413),
        (None, {"Content-Length": "-1"}, 411),
        ("{}", {"Content-Type": "text/plain"}, 415),
        ("{}", {"Content-Type": None}, 415),
        ("0\r\n\r\n", {"Transfer-Encoding": "chunked", "Content-Length": "5"}, 411),
        ("{}", {"Origin": "http://evil.example"}, 403),
        ("{}", {"Origin": "null"}, 403),
        ("{}", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("{}", {"Host": "evil.example:8237"}, 403),
    ],
)
def test_what_is_no_vote_of_the_page_is_refused(voting, body, headers, status):
    assert send(voting, "POST", "votes", body, {**JSON, **headers})[0] == status
    assert lines(voting) == []
    assert vote(voting, 0, 3)[0] == 200  # and the server goes on


def test_nothing_is_given_out_or_taken_without_the_token(voting):
    right = urlsplit(voting.url).path
    body = '{"case": 0, "grade": 3, "seconds": 1}'
    for path in ("/", "/ballot.json", "/votes", f"{right[:-2]}/ballot.json", right.rstrip("/")):
        assert send(voting, "GET", path, token=False)[0] == 404
        assert send(voting, "POST", path, body, token=False)[0] == 404
    assert lines(voting) == []
    for place in ("../../run.json", "%2e%2e/run.json", "vote.py", "votes"):
        assert send(voting, "GET", place)[0] == 404
    assert send(voting, "PUT", "votes", body)[0] == 405
    assert send(voting, "GET")[0] == 200
    own = f"http://127.0.0.1:{urlsplit(voting.url).port}"
    assert vote(voting, 0, 3, Origin=own)[0] == 200


def test_the_page_is_told_nothing_but_contexts(voting, run):
    ballot = json.loads(send(voting, "GET", "ballot.json")[1])
    assert len(ballot["cases"]) == 16
    for case in ballot["cases"]:
        assert {*case} == {"left", "right", "grade"}
        for side in ("left", "right"):
            assert case[side]
            assert case[side][0]["share"] == 1
            assert {*case[side][0]} == {"before", "token", "after", "share"}
    text = json.dumps(ballot)
    assert not re.search("match|self|random|resid_post|score", text)
    # nouns of one meaning on both sides exactly where the features are the same
    same = {"match": True, "self": True, "near": False, "random": False}
    known = kinds(run)
    for case, pair in zip(ballot["cases"], voting.ballot.pairs, strict=True):
        kind = known[unordered(*pair)]
        if kind in same:
            alike = case["left"][0]["token"] == case["right"][0]["token"]
            assert alike == same[kind], kind


def test_contexts_of_the_two_are_of_different_halves_and_sides_are_swapped(voting, nouns):
    ballot = json.loads(send(voting, "GET", "ballot.json")[1])["cases"]
    shown = voting._shown
    for case, pair, swapped in zip(ballot, *voting.ballot, strict=True):
        first, second = ("right", "left") if swapped else ("left", "right")
        for side, feature, half in ((first, pair.a, 0), (second, pair.b, 1)):
            expected = [context.before for context in shown.contexts(feature, half)]
            assert [context["before"] for context in case[side]] == expected
    assert len({*voting.ballot.swapped}) == 2


def test_people_vote_on_the_same_pairs_in_orders_of_their_own(run, nouns):
    of = {}
    for name, number in (("A", 16), ("B", 16), ("A", 8)):
        with saematch.vote(run, nouns.store, name, cases=number, open_browser=False) as served:
            of[name, number] = served.ballot.pairs
    assert {*of["A", 16]} == {*of["B", 16]}
    assert of["A", 16] != of["B", 16]
    assert of["A", 8] == [pair for pair in of["A", 16] if pair in of["A", 8]]
    known = kinds(run)
    chosen = [known[unordered(*pair)] for pair in of["A", 16]]
    assert sum(kind in CONTROLS for kind in chosen) == 4
    assert {*CONTROLS} <= {*chosen}


def test_an_interrupted_vote_goes_on_where_it_stopped(run, nouns):
    with saematch.vote(run, nouns.store, "ANNA", cases=8, open_browser=False) as first:
        for case in range(3):
            vote(first, case, 1)
    # the next was cut while it was written
    with first.path.open("ab") as file:
        file.write(b'{"a": "nouns_0", "feat')
    with saematch.vote(run, nouns.store, "ANNA", cases=8, open_browser=False) as second:
        assert second.done == 3
        cases = json.loads(send(second, "GET", "ballot.json")[1])["cases"]
        assert [case["grade"] for case in cases] == [1, 1, 1, *[None] * 5]
        vote(second, 3, 2)
    assert [line["grade"] for line in lines(second)] == [1, 1, 1, 2]
    # a last line that lacks only its end is kept
    second.path.write_bytes(second.path.read_bytes().rstrip(b"\n"))
    VotesFile(run, "ANNA").add(*second.ballot.pairs[4], 3, 1.0)
    assert [line["grade"] for line in lines(second)] == [1, 1, 1, 2, 3]


def test_files_of_two_people_merge_and_are_compared_with_each_other_and_with_judges(run, nouns):
    known = kinds(run)
    right = {"match": 3, "self": 3}
    for name in ("ANNA", "Bo"):
        with saematch.vote(run, nouns.store, name, cases=16, open_browser=False) as served:
            for case, pair in enumerate(served.ballot.pairs):
                grade = right.get(known[unordered(*pair)], 1)
                vote(served, case, 2 if name == "Bo" and grade == 1 else grade)
    table = judged(Run.open(run.path))
    assert [*dict.fromkeys(table["judge"])] == ["firing", "people: ANNA", "people: Bo"]
    assert table.filter(judge="people: ANNA", kind="match")["grade"].to_list() == [3] * 12
    found = between_judges(table)
    (both,) = found.filter(judge="people: ANNA", other="people: Bo").to_dicts()
    # 13 of 16 pairs are right (12 matches, 1 self), of 3 one says different, one maybe
    assert both["cases"] >= 16
    assert both["agreement"] == pytest.approx(1 - 3 / 16, abs=0.05)
    (exact,) = found.filter(judge="firing", other="people: ANNA").to_dicts()
    assert (exact["agreement"], exact["kappa"]) == (1, 1)


def test_votes_survive_another_draw_and_overwrite(run, nouns):
    with saematch.vote(run, nouns.store, "ANNA", cases=16, open_browser=False) as served:
        for case in range(16):
            vote(served, case, 1 + case % 3)
    before, text = kinds(run), served.path.read_bytes()
    given = {vote.features: vote.grade for vote in VotesFile(run, "ANNA").votes.values()}
    again = saematch.judge(run, nouns.store, judges=["firing"], paths=12, seed=5, overwrite=True)
    assert served.path.read_bytes() == text
    found = judged(again).filter(judge="people: ANNA")
    assert len(found) > 0
    for row in found.iter_rows(named=True):
        both = unordered(Feature(row["a"], row["feature_a"]), Feature(row["b"], row["feature_b"]))
        assert row["grade"] == given[both]
    still = [both for both in given if both in kinds(again)]
    assert found.select("a", "feature_a", "b", "feature_b").n_unique() == len(still)
    assert before != kinds(again)


def test_errors_say_what_to_do(unjudged, nouns):
    with pytest.raises(RunError, match="run saematch judge"):
        saematch.vote(unjudged, nouns.store, "ANNA", open_browser=False)
    with pytest.raises(RunError, match="judging"):
        people(unjudged)
    run = saematch.judge(unjudged, nouns.store, judges=["firing"], paths=2)
    for name in ("", "../x", "a/b", ".hidden", "a\n", "x" * 65, "ends."):
        with pytest.raises(RunError, match="no name for a file of votes"):
            saematch.vote(run, nouns.store, name, open_browser=False)
    (run.path / "votes").mkdir()
    (run.path / "votes" / "Bo.jsonl").write_text('{"a": 1}\n{}\n')
    with pytest.raises(RunError, match=r"Bo\.jsonl, line 1: no vote"):
        judged(run)


def test_nothing_is_written_behind_a_link(run, nouns, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (run.path / "votes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        saematch.vote(run, nouns.store, "ANNA", open_browser=False)


def test_a_vote_that_cannot_be_written_is_not_answered_as_kept(voting):
    voting.path.parent.write_text("in the way")
    status, answer = vote(voting, 0, 3)
    assert status == 500
    assert b"cannot be" in answer
    assert voting.done == 0


def test_the_command_prints_the_address_and_ends(run, nouns, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("saematch.judging.voting.Voting.wait", interrupted)
    words = ["vote", run.path, "--activations", nouns.store.path, "--name", "ANNA"]
    done = CliRunner().invoke(app, [*map(str, words), "--cases", "8", "--no-browser"])
    assert done.exit_code == 0, done.output
    assert "8 pairs, 0 with a vote of ANNA" in done.output
    assert re.search(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", done.output)
    assert "0 of 8 pairs have a vote" in done.output

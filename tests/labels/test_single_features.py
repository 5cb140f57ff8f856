"""Labels of single features, by Neuronpedia's API."""

import json

import pytest

from saematch.errors import SaematchError
from saematch.labels import Label, NeuronpediaId, labels_of_feature
from support.neuronpedia import Answer, row

OF = NeuronpediaId("toy", "3-res")
PATH = "api/feature/toy/3-res/5"


def feature(rows, index="5"):
    """A feature as the API tells of it, with what is not read here."""
    more = {"modelId": "toy", "layer": "3-res", "activations": [{"tokens": ["a"], "values": [1]}]}
    return json.dumps({**more, "index": index, "explanations": rows}).encode()


def test_its_labels_in_the_order_of_the_server(bucket):
    bucket.api[PATH] = feature([row(5, "rivers"), row(5, ""), row(5, "Water", "old")])
    assert labels_of_feature(OF, 5) == [
        Label("rivers", "Neuronpedia: gpt-4o-mini, oai_token-act-pair"),
        Label("Water", "Neuronpedia: old, oai_token-act-pair"),
    ]
    assert bucket.asked == [PATH]


@pytest.mark.parametrize("content", [None, b"null", feature([])])
def test_none_where_there_are_none(bucket, content):
    if content is not None:
        bucket.api[PATH] = content
    assert labels_of_feature(OF, 5) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", r"/5: the answer is not JSON"),
        (b"[]", r"/5: expected a feature with a list of explanations"),
        (b'{"explanations": null}', r"/5: expected a feature with a list of explanations"),
        (feature([row(5, "a")], "6"), r"/5: the answer is about feature 6"),
        (feature(["a"]), r"/5: no description"),
        (feature([{"description": []}]), r"/5: the label is \[\], expected text"),
    ],
)
def test_other_answers_are_refused(bucket, content, said):
    bucket.api[PATH] = content
    with pytest.raises(SaematchError, match=said):
        labels_of_feature(OF, 5)


def test_a_busy_server_is_asked_again_and_a_strict_one_is_not(bucket):
    bucket.api[PATH] = feature([row(5, "rivers")])
    bucket.odd[PATH] = Answer(429, headers={"Retry-After": "0.001"}, times=2)
    assert len(labels_of_feature(OF, 5)) == 1
    assert len(bucket.asked) == 3
    bucket.odd[PATH] = Answer(401, times=1)
    with pytest.raises(SaematchError, match=r"/5: the server says 401"):
        labels_of_feature(OF, 5)
    assert len(bucket.asked) == 4

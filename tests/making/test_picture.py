"""The README's picture: which chains are drawn, and that it is a whole file."""

import itertools
from xml.etree import ElementTree

import pytest
from demo.picture import choose, draw

import saematch
from saematch.cli.examples import DENSE
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    saes = write_shipped(tmp_path_factory.mktemp("data"), d_sae=60) / "smollm2" / "saes"
    return saematch.flow(str(saes / "resid_post_{10-12}"), out=tmp_path_factory.mktemp("run") / "r")


def test_the_strongest_chains_of_features_that_fire_seldom_are_drawn(run):
    names = run.names
    chains = choose(run, names, 100)
    assert len(chains) > 4
    weakest = [min(cosine for _, cosine in chain) for chain in chains]
    assert weakest == sorted(weakest, reverse=True)
    pairs = [run.pair(a, b) for a, b in itertools.pairwise(names)]
    for chain in chains:
        for pair, (a, _), (b, cosine) in zip(pairs, chain, chain[1:], strict=False):
            row = pair.row(a, named=True)
            assert (row["target"], row["decoder_cosine"]) == (b, cosine)
        for name, (feature, _) in zip(names, chain, strict=True):
            assert run.features(name)["frequency"][feature] <= DENSE
    assert run.features(names[0])["frequency"].max() > DENSE  # there was something to leave out
    tree = ElementTree.fromstring(draw(run, names, chains))
    said = [text for text in tree.itertext() if text.startswith("feature ")]
    assert sorted(said) == sorted(f"feature {f}" for chain in chains for f, _ in chain)

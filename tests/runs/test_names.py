"""Names of SAEs within a run."""

from dataclasses import replace

import pytest

from saematch import Conventions, Site
from saematch.runs.names import names_of
from saematch.runs.run import Run
from support.saes import make_sae


def named(source: str, site: Site | None = None):
    return replace(
        make_sae(d_in=2, d_sae=3),
        conventions=Conventions(activation="jumprelu", source=source, site=site),
    )


POST_3 = Site("blocks.3.hook_resid_post", "resid_post", 3)


@pytest.mark.parametrize(
    ("saes", "names"),
    [
        (
            [("saematch:resid_post_3", POST_3), ("saematch:resid_post_3_seed2", POST_3)],
            ["resid_post_3", "resid_post_3_seed2"],
        ),
        (
            [("x/layer_3/width_16k/l0_8", POST_3), ("x/layer_3/width_65k/l0_8", POST_3)],
            ["resid_post_3_width_16k", "resid_post_3_width_65k"],
        ),
        ([("one/x", None), ("two/x", None)], ["one_x", "two_x"]),
        (
            [
                (f"mine/layer_{n}/width_4096/params.npz", Site(f"layer_{n}", "other", n))
                for n in (1, 12)
            ],
            ["layer_1", "layer_12"],
        ),
        (
            [(f"mine/layer_3/width_{n}k/params.npz", Site("layer_3", "other", 3)) for n in (4, 16)],
            ["layer_3_width_4k", "layer_3_width_16k"],
        ),
        ([("a/b/run_1/ae.pt", None), ("a/b/run_2/ae.pt", None)], ["run_1", "run_2"]),
        ([("same", None), ("same", None)], ["same", "same_2"]),
        ([("a/SAE", None), ("a/sae", None)], ["a_SAE", "a_sae_2"]),
        ([("../../etc/passwd", None), ("..", None)], ["etc_passwd", "sae"]),
        ([("a--b", None), ("c:\\d\\e", None)], ["a-b", "c_d_e"]),
        ([("层/三", None), ("", None)], ["sae", "SAE_2"]),
    ],
)
def test_names_are_readable_unique_and_safe(saes, names):
    assert names_of([named(*sae) for sae in saes]) == names


def test_no_name_leaves_its_folder(tmp_path):
    hostile = [
        "../../evil",
        "a/../..",
        "/etc/x",
        "x" * 400,
        "\x00\n",
        "con:.parquet",
        "-o",
        ".hidden",
    ]
    saes = [named(f"{source}/{source}") for source in hostile]
    names = names_of(saes)
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert len(name) <= 64
        assert not set(name) & set('/\\:\x00\n"<>|?* ')
        assert not name.startswith((".", "-"))
        assert "--" not in name
    run = Run.create(tmp_path / "run", "match", {}, saes)
    assert sorted(p.stem for p in (run.path / "features").iterdir()) == sorted(names)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]

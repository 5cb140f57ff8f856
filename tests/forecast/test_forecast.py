"""Forecasts on machines whose speed is stated: by hand, and refused where they cannot fit."""

import dataclasses

import pytest

from saematch.checkpoints.sizes import Sizes
from saematch.errors import SaematchError
from saematch.forecast import MACHINES, Forecast, Machine, cost_of_pair, this_machine
from saematch.forecast import forecast as forecasting
from saematch.forecast.cost import COMPARED, FILTERED, LIST
from saematch.forecast.forecast import duration, size
from saematch.forecast.machine import named_machine
from saematch.matching import Significance, resolve

MACHINE = Machine("stated", 1e11, 4e11, 5e8, 2, int(16e9), int(16e9), int(1e12), "by hand")
CALM = Significance()


def sae(n, d=2304, layer=0):
    return Sizes(f"layer_{layer}", d, d, n, 8 * n * d, layer)


def pair(n, method="sae-match", significance=CALM, d=2304, **options):
    return cost_of_pair(sae(n, d), sae(n, d), resolve(method, **options), significance, 5)


def of(n, method="sae-match", layers=2, machine=MACHINE, d=2304, **options):
    saes = [sae(n, d, layer) for layer in range(layers)]
    pairs = [(k, k + 1) for k in range(layers - 1)]
    costs = [cost_of_pair(saes[a], saes[b], resolve(method), CALM, 5) for a, b in pairs]
    return Forecast.of(saes, pairs, costs, machine, **options)


def test_products_by_hand():
    n, d = 16384, 2304
    alone = Significance(null="none")
    both = pair(n, "sae-match", alone)
    one = pair(n, "cosine", alone)
    flow = pair(n, "feature-flow", alone)
    product = 2 * n * n * d
    # one product finds the pairs, where rows are scored again a little more, and one ranks them
    assert flow.rough == 2 * product
    assert 2 * product < one.rough < 2.3 * product
    assert both.rough == pytest.approx(2 * one.rough)
    assert both.exact == one.exact == 0
    # the bias is a dimension of the score and has no direction
    bias = pair(n, "sae-match", alone, bias=True)
    assert bias.rough - both.rough == pytest.approx(FILTERED["one-to-one"] * 2 * n * n)


def test_a_null_costs_less_of_a_product_the_more_features_there_are():
    def share(n):
        return pair(n).exact / (2 * n * n * 2 * 2304)

    assert share(16384) > 4 * share(262144) > 0
    assert pair(4096, significance=Significance(partial=True)).exact > pair(4096).exact


def test_time_follows_rates():
    cost = pair(65536)
    slow = cost.seconds(MACHINE)
    by_hand = cost.exact / 1e11 + cost.rough / 4e11 + cost.core_seconds / 2
    assert slow == pytest.approx(by_hand)
    assert cost.core_seconds > COMPARED * 65536**2
    faster = cost.seconds(dataclasses.replace(MACHINE, bfloat16=8e11))
    assert slow - faster == pytest.approx(cost.rough / 8e11)
    same = cost.seconds(dataclasses.replace(MACHINE, bfloat16=0.0))
    assert same == pytest.approx(slow + cost.rough * (1 / 1e11 - 1 / 4e11))
    assert MACHINE.at(1e12).fastest == 1e12
    assert this_machine(measured=False).source == "assumed"


def test_every_sae_is_read_once_alone_and_once_for_its_pairs():
    assert of(1024, layers=7).read == 2 * 7 * 8 * 1024 * 2304
    n = 8 * 1024 * 2304
    saes = [sae(1024, layer=k) for k in range(4)]
    # with two at hand: 0 1, 2 and 0 anew, then 1 anew ...
    pairs = [(i, j) for j in range(4) for i in range(j)]
    costs = [cost_of_pair(saes[a], saes[b], resolve("cosine"), CALM, 5) for a, b in pairs]
    # 0 1 | 0 2 | 1 2 | 0 3 | 1 3 | 2 3: 2 + 1 + 1 + 2 + 1 + 1 reads, and 4 before them
    assert Forecast.of(saes, pairs, costs, MACHINE).read == (8 + 4) * n


def test_scratch_files_where_memory_is_short():
    here = of(16384)
    assert here.scratch == 0
    assert 3e9 < here.memory < 8e9  # 5.7 GiB were measured, kept scores included
    wide = of(262144)
    assert wide.memory < MACHINE.memory < wide.scratch
    assert wide.memory == pytest.approx(4 * 262144 * 2 * 2304 + LIST * 262144, rel=0.2)
    assert of(262144, "cosine").scratch < wide.scratch / 1.5
    assert of(262144, workers=2).memory == 2 * wide.memory


def test_what_cannot_fit_is_refused_with_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(forecasting, "_free", lambda place: 10**15)
    wide = of(262144, d=5376, machine=dataclasses.replace(MACHINE, memory=int(8e9)))
    with pytest.raises(SaematchError, match=r"262,144 x 262,144.* 13 GB of memory.* 8\.0 GB are"):
        wide.check(tmp_path)
    # a little too much may be an error of the forecast
    of(262144, d=5376, machine=dataclasses.replace(MACHINE, memory=int(11e9))).check(tmp_path)
    wide.check(tmp_path, memory=False)
    monkeypatch.setattr(forecasting, "_free", lambda place: 10**8)
    with pytest.raises(SaematchError, match=r"scratch|TMPDIR"):
        of(65536, machine=dataclasses.replace(MACHINE, memory=int(6e9))).check(tmp_path)
    with pytest.raises(SaematchError, match=r"the_run, and 100 MB are free there: write to"):
        of(65536, layers=26, flow=True).check(tmp_path / "the_run", memory=False)
    of(2048, layers=7, flow=True).check(tmp_path)


def test_memory_of_a_gpu_and_of_its_machine_are_two(tmp_path):
    h100 = MACHINES["h100"]
    pair = of(262144, d=5376, machine=h100)
    assert pair.on_device > h100.device_memory
    # together they would hold it
    assert pair.on_device < h100.device_memory + h100.memory
    with pytest.raises(
        SaematchError, match=r"13\d GB of the GPU's memory .* 80 GB are free; .*cpu"
    ):
        pair.check(tmp_path)
    pair.check(tmp_path, memory=False)
    narrow = of(65536, d=5376, machine=h100)
    narrow.check(tmp_path)
    assert narrow.memory < narrow.on_device / 3
    poor = dataclasses.replace(h100, memory=int(1e9))
    with pytest.raises(SaematchError, match=r"3\.\d GB of memory are needed, and 1\.0 GB are free"):
        of(65536, d=5376, machine=poor).check(tmp_path)
    assert "of the GPU's memory, " in str(narrow)
    assert of(65536, d=5376, machine=h100, workers=2).on_device == 2 * narrow.on_device
    assert "GPU" not in str(of(65536, d=5376))


def test_disk_of_scratch_files_is_where_they_lie(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(forecasting, "folder", lambda: str(tmp_path))
    monkeypatch.setattr(forecasting, "_free", lambda place: asked.append(str(place)) or 10**9)
    with pytest.raises(SaematchError, match=rf"GB of disk are needed in {tmp_path}, and 1.0 GB"):
        of(262144).check(tmp_path / "run")
    assert asked == [str(tmp_path)]

    def none():
        raise SaematchError("lies in memory")

    monkeypatch.setattr(forecasting, "folder", none)
    with pytest.raises(SaematchError, match="lies in memory"):
        of(262144).check(tmp_path / "run")
    of(2048).check(tmp_path / "run")  # which has none


def test_following_features_is_what_a_long_flow_breaks_at():
    whole = of(262144, layers=62, d=5376, flow=True)
    assert whole.limits()[0].what == "memory to follow features at the end"
    assert whole.limits()[0].need > whole.limits()[0].have
    assert of(16384, layers=26, flow=True).limits()[0].need < MACHINE.memory
    assert of(262144, layers=62, d=5376).following == 0


def test_a_gpu_holds_a_pair_whole():
    h100 = of(262144, d=5376, machine=MACHINES["h100"])
    assert h100.scratch == 0
    assert h100.limits()[0].what == "memory of the GPU"
    assert h100.limits()[0].need > h100.limits()[0].have
    assert named_machine("h200").device_memory == 141e9
    with pytest.raises(SaematchError, match=r"no machine 'h300'; .*there are a100, h100, h200"):
        named_machine("h300")


def test_in_words():
    said = str(of(262144, layers=19))
    assert said.startswith("18 pairs of 262,144 x 262,144 features: about ")
    assert "of memory" in said
    assert "of scratch files meanwhile" in said
    assert str(of(2048)).startswith("1 pair of 2,048 x 2,048 features: about ")
    assert [size(count) for count in (3e8, 9.6e8, 1.14e10, 1.4e12)] == [
        "300 MB",
        "1.0 GB",
        "11 GB",
        "1.4 TB",
    ]
    spans = [duration(seconds) for seconds in (0.2, 41, 600, 3.4 * 3600, 5.1 * 86400)]
    assert spans == ["1 s", "41 s", "10 min", "3.4 h", "5.1 days"]

"""HTML for notebooks is well formed, and text in it is text."""

from xml.etree import ElementTree

from saematch.files.html import HEIGHT, bars, table


def test_cells_stand_where_they_belong_and_are_escaped():
    shown = table("a <b>", [("one", "1"), ("<i>two</i>", "2 & 3")], ("", "value"))
    root = ElementTree.fromstring(shown)
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    assert rows == [["", "value"], ["one", "1"], ["<i>two</i>", "2 & 3"]]
    assert "".join(root.find("caption").itertext()) == "a <b>"


def test_bars_are_as_tall_as_their_counts():
    root = ElementTree.fromstring(bars("cosines", [0, 5, 10, 1], 0.0, 1.0))
    marks = list(root.iter("rect"))
    assert [float(mark.get("height")) for mark in marks] == [0, HEIGHT / 2, HEIGHT, HEIGHT / 10]
    assert [mark.find("title").text for mark in marks][1] == "0.25 to 0.50: 5"
    ends = [text.text for text in root.iter("text")]
    assert ends == ["0", "1"]

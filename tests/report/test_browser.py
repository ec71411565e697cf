"""report.html in a real browser: laid out, in both themes and on a phone, without asking the network for anything.

The browser is Chromium without a window (tests/needs.py). It is driven by its own flags: the test
puts a script into a copy of the page that measures it and leaves what it found as the text of the page.
"""

import html
import json
import re
import subprocess

import pytest
from tests.needs import needs
from tests.report.reported import report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
MEASURE = """
<script>
const box = one => { const b = one.getBoundingClientRect(); return [b.width, b.height]; };
const all = (what, read) => [...document.querySelectorAll(what)].map(read);
const details = document.querySelector("#inner-steps details");
const folded = box(details)[1];
details.querySelector("summary").click();
const text = document.querySelector("#inner-steps svg.plot text");
const hides = plot => {
  const key = plot.querySelector('g[id*="-legend_"]');
  const drawn = [...plot.querySelectorAll('g[id*="-axes_"] :not(defs) > path')].map(one => one.getBoundingClientRect().top);
  return key !== null && key.getBoundingClientRect().bottom > Math.min(...drawn) + 1;
};
const found = {
  sections: Object.fromEntries(all("main > header, section", one => [one.id, box(one)])),
  plots: all("svg.plot", box),
  keys: all('svg.plot g[id*="-legend_"]', one => one.id),
  hidden: [...document.querySelectorAll("svg.plot")].filter(hides).map(one => one.querySelector("g").id),
  images: all("img", one => one.complete && one.naturalWidth),
  requested: performance.getEntriesByType("resource").map(one => one.name).filter(name => !name.startsWith("data:")),
  wide: document.documentElement.scrollWidth - window.innerWidth,
  side: Math.abs(document.querySelector("#shots").offsetTop - document.querySelector("#inner-steps").offsetTop) < 2,
  unfolded: box(details)[1] - folded,
  ground: getComputedStyle(document.body).backgroundColor,
  ink: getComputedStyle(text).fill,
  font: getComputedStyle(text).fontFamily === getComputedStyle(document.body).fontFamily,
};
document.body.textContent = "FOUND" + JSON.stringify(found) + "END";
</script>
"""


@pytest.fixture(scope="module")
def browser():
    return needs("a browser")


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    """What the page looks like to the browser, at a width and in a theme."""
    folder = tmp_path_factory.mktemp("browser")
    copy = folder / "measured.html"
    copy.write_text(report()[0].read_text(encoding="utf-8").replace("</body>", MEASURE + "</body>"), encoding="utf-8")

    def look(width, dark=False):
        theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        size = [f"--window-size={width},900", f"--user-data-dir={folder / 'profile'}"]
        command = [browser, *FLAGS, *theme, *size, "--dump-dom", copy.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        found = re.search("FOUND(.*)END", shown, re.DOTALL)
        assert found is not None, shown[-500:]
        return json.loads(html.unescape(found[1]))

    return look


def brightness(colour):
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3


@pytest.mark.timeout(280)
def test_the_page_is_laid_out(look):
    found = look(1200)
    assert len(found["sections"]) == 10
    assert all(width > 400 and height > 60 for width, height in found["sections"].values()), found["sections"]
    assert len(found["plots"]) == 8
    assert all(width > 300 and height > 150 for width, height in found["plots"]), found["plots"]
    assert len(found["keys"]) == 6, "those of classes need none"
    assert found["hidden"] == [], "a legend over what its plot shows"
    assert found["images"]
    assert all(found["images"]), "a picture that did not load"
    assert found["requested"] == []
    assert found["wide"] <= 0
    assert found["side"]
    assert found["unfolded"] > 100
    assert found["font"]


@pytest.mark.timeout(280)
def test_the_page_is_light_and_dark(look):
    light, dark = look(1200), look(1200, dark=True)
    assert brightness(light["ground"]) > 200 > 120 > brightness(light["ink"])
    assert brightness(dark["ground"]) < 60 < 150 < brightness(dark["ink"])


@pytest.mark.timeout(280)
def test_the_page_fits_a_phone(look):
    found = look(500)  # the narrowest window that Chromium opens
    assert found["wide"] <= 0, "the page scrolls sideways"
    assert not found["side"]

"""The page in a real browser: what a citizen sees on a small phone."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from services.public_site import Site, place

SITE = Path(__file__).parents[3] / "hub" / "public" / "site"


def test_a_card_shows_still_age_users_and_simulation(site: Site, page: Page) -> None:
    site.still("pasar-horas")
    site.show(place(simulated=True))
    page.goto(site.url)
    expect(page.locator(".still")).to_be_visible()
    expect(page.locator(".still")).to_have_attribute("alt", "Gambar kamera terkini di Pasar Horas")
    expect(page.locator("h2")).to_have_text("Pasar Horas")
    expect(page.locator(".age")).to_have_text(re.compile(r"diperbarui \d+ detik yang lalu"))
    expect(page.locator(".users")).to_have_text("12 pengguna Wi-Fi")
    expect(page.locator(".picture .badge")).to_have_text("Simulasi")
    expect(page.locator(".simulated-radio")).to_be_hidden()
    assert page.evaluate("document.documentElement.lang") == "id"


def test_the_age_counts_and_then_the_picture_is_withdrawn(site: Site, page: Page) -> None:
    page.clock.install()
    site.still("pasar-horas")
    site.show(place(age=12))
    page.goto(site.url)
    expect(page.locator(".still")).to_be_visible()
    page.route("**/cameras.json", lambda route: route.abort())  # the hub is gone
    page.clock.run_for(10_000)
    expect(page.locator(".age")).to_have_text(re.compile("diperbarui 2[0-9] detik yang lalu"))
    page.clock.run_for(60_000)
    expect(page.locator(".still")).to_be_hidden()
    expect(page.locator(".why")).to_have_text("Menunggu gambar terbaru")
    expect(page.locator("#summary")).to_contain_text("tidak dapat dimuat")


def test_offline_stale_and_missing_pictures_are_said_and_never_broken(
    site: Site, page: Page
) -> None:
    site.show(
        place("adam-malik", state="offline", hotspot=None),
        place("pasar-horas", state="stale", age=400),
        place("rumah-sakit", camera=False, still=None, updated_at=None),
        place("taman-bunga", still="stills/absent.jpg?v=1"),
        place("terminal", still=None, updated_at=None),
    )
    page.goto(site.url)
    expect(page.locator(".why")).to_have_text(
        [
            "Titik ini sedang luring",
            "Menunggu gambar terbaru",
            "Titik ini tanpa kamera",
            "Gambar tidak dapat dimuat",
            "Menunggu gambar terbaru",
        ]
    )
    assert page.locator(".still:visible").count() == 0
    expect(page.locator(".state")).to_have_text(
        ["Luring", "Tertunda", "Daring", "Daring", "Tertunda"]
    )
    expect(page.locator("#summary")).to_have_text("4 dari 5 titik daring")


def test_names_are_text_and_foreign_stills_are_not_fetched(site: Site, page: Page) -> None:
    evil = "<img src=x onerror=alert(1)>"
    site.show(place(name=evil, site=evil, still="https://example.org/x.jpg"))
    page.goto(site.url)
    expect(page.locator("h2")).to_have_text(evil)
    expect(page.locator(".site")).to_have_text(evil)
    assert page.locator("h2 img, .site img").count() == 0


def test_english_is_chosen_and_remembered(site: Site, page: Page) -> None:
    site.show(place(hotspot={"users": None, "fewer_than": 5, "simulated": True}))
    page.goto(site.url)
    expect(page.locator(".users")).to_have_text("Kurang dari 5 pengguna Wi-Fi")
    page.get_by_role("button", name="English").click()
    expect(page.locator(".users")).to_have_text("Fewer than 5 Wi-Fi users")
    page.reload()
    expect(page.locator("h1")).to_have_text("City cameras")
    expect(page.get_by_role("button", name="English")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_page_refreshes_by_itself(site: Site, page: Page) -> None:
    site.show(place("adam-malik"), place("pasar-horas"))
    page.goto(site.url)
    expect(page.locator(".card")).to_have_count(2)
    site.show(place("pasar-horas"), place("taman-bunga"), place("terminal"))
    expect(page.locator("h2")).to_have_text(["Pasar Horas", "Taman Bunga", "Terminal"])


def test_a_request_that_hangs_is_given_up_by_an_old_browser_too(site: Site, page: Page) -> None:
    now = datetime.now(UTC)
    page.clock.install(time=now)
    page.clock.pause_at(now + timedelta(seconds=60))
    page.add_init_script("delete AbortSignal.timeout")  # after the clock, which brings its own
    held: list[Route] = []
    page.route("**/cameras.json", lambda route: held.append(route), times=1)  # noqa: PLW0108 - no built-in serves
    site.show(place("terminal", camera=False, still=None, updated_at=None))
    with page.expect_request("**/cameras.json"):
        page.goto(site.url)
    assert page.evaluate("AbortSignal.timeout") is None
    with page.expect_event("requestfailed", timeout=10_000):
        page.clock.run_for(10_000)  # as long as a request may take
    with page.expect_response("**/cameras.json"):
        page.clock.run_for(8_000)  # the pause after a failure
    expect(page.locator("h2")).to_have_text("Terminal")
    assert len(held) == 1


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_sticks_out_and_nothing_jumps(site: Site, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    site.still("pasar-horas")
    site.show(place(name="Lapangan" + "merdeka" * 9, site="x" * 63), place("terminal", still=None))
    page.goto(site.url)
    expect(page.locator(".still:visible")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    shapes = page.locator(".picture").evaluate_all("all => all.map(e => e.clientHeight)")
    assert shapes[0] == shapes[1]


def test_every_text_exists_in_both_languages(site: Site, page: Page) -> None:
    site.show()
    page.goto(site.url)
    words = page.evaluate("import('/words.js').then(module => module.WORDS)")
    assert list(words) == ["id", "en"]
    assert words["id"].keys() == words["en"].keys()
    for key, text in words["id"].items():
        assert text.strip()
        assert words["en"][key].strip()
        assert slots(text) == slots(words["en"][key]), key
    script, markup = (SITE / "page.js").read_text(), (SITE / "index.html").read_text()
    used = set(re.findall(r'"(\w+)"', script)) | set(re.findall(r'data-text="(\w+)"', markup))
    assert words["id"].keys() - used == set()
    # What stands in the markup before the script runs is the same text.
    for key, text in re.findall(r'data-text="(\w+)">([^<]+)<', markup):
        assert text == words["id"][key]


def slots(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def test_without_script_the_page_says_so_in_both_languages() -> None:
    markup = (SITE / "index.html").read_text()
    notice = markup.partition("<noscript>")[2].partition("</noscript>")[0]
    assert "memerlukan JavaScript" in notice
    assert "needs JavaScript" in notice

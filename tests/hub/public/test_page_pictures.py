"""Pictures that are slow, fail or are from long ago: none passes for the street as it is now."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from playwright.sync_api import Page, Route, expect
from services.public_site import Site, place

STILLS = "**/stills/**"


@pytest.fixture
def held(page: Page) -> list[Route]:
    """Hold every request for a still: a network on which nothing arrives until it is let go."""
    return hold(page)


def hold(page: Page) -> list[Route]:
    requests: list[Route] = []
    page.route(STILLS, lambda route: requests.append(route))  # noqa: PLW0108 - no built-in serves
    return requests


def version(number: int, *, age: float, name: str = "Pasar Horas") -> dict[str, object]:
    return place(age=age, name=name, still=f"stills/pasar-horas.jpg?v={number}")


def stop_the_clock(page: Page) -> None:
    now = datetime.now(UTC)
    page.clock.install(time=now)
    page.clock.pause_at(now + timedelta(seconds=60))


def announce(site: Site, page: Page, numbers: range) -> None:
    """Announce one still after the other, each seen by the page and four seconds after the last."""
    for number in numbers:
        site.show(version(number, age=1, name=f"Pasar {number}"))
        page.clock.run_for(4_000)
        expect(page.locator("h2")).to_have_text(f"Pasar {number}")


def test_a_failing_still_is_asked_for_after_growing_pauses(site: Site, page: Page) -> None:
    asked: list[str] = []
    page.on(
        "request", lambda request: asked.append(request.url) if "/stills/" in request.url else 0
    )
    stop_the_clock(page)
    site.show(version(0, age=1))
    page.goto(site.url)
    expect(page.locator(".why")).to_have_text("Gambar tidak dapat dimuat")
    announce(site, page, range(1, 16))  # newer ones shorten no pause
    assert len(asked) == 4  # after 5, 10 and 20 seconds; the next pause is 40
    site.still("pasar-horas")
    announce(site, page, range(16, 28))
    expect(page.locator(".still")).to_be_visible()


def test_a_slow_still_is_shown_with_its_own_age_and_then_the_newest(
    site: Site, page: Page, held: list[Route]
) -> None:
    site.still("pasar-horas")
    site.show(version(1, age=30))
    with page.expect_request(STILLS):
        page.goto(site.url)
    for number in (2, 3):
        site.show(version(number, age=0, name=f"Pasar {number}"))
        expect(page.locator("h2")).to_have_text(f"Pasar {number}")
    assert len(held) == 1
    with page.expect_request(STILLS):
        held[0].continue_()
    expect(page.locator(".still")).to_have_attribute("src", re.compile("v=1$"))
    expect(page.locator(".still")).to_be_visible()
    expect(page.locator(".age")).to_have_text(re.compile(r"diperbarui [345]\d detik yang lalu"))
    held[1].continue_()
    expect(page.locator(".still")).to_have_attribute("src", re.compile("v=3$"))
    expect(page.locator(".age")).to_have_text(re.compile(r"baru saja|diperbarui 1?\d detik"))


def test_a_picture_from_this_morning_is_not_shown_as_now(site: Site, page: Page) -> None:
    page.clock.install()
    site.still("pasar-horas")
    site.show(version(1, age=1))
    page.goto(site.url)
    expect(page.locator(".still")).to_be_visible()
    evening = datetime.now(UTC) + timedelta(hours=9)
    file = {
        "generated_at": evening.isoformat(),
        "cameras": [{**version(2, age=0), "updated_at": evening.isoformat()}],
    }
    date = {"Date": format_datetime(evening, usegmt=True)}
    page.route("**/cameras.json", lambda route: route.fulfill(json=file, headers=date))
    held = hold(page)
    with page.expect_request(STILLS):
        page.clock.fast_forward("09:00:00")
    expect(page.locator("#summary")).to_have_text("1 dari 1 titik daring")
    expect(page.locator(".still")).to_be_hidden()
    expect(page.locator(".why")).to_have_text("Menunggu gambar terbaru")
    expect(page.locator(".state")).to_have_text("Tertunda")
    expect(page.locator(".age")).to_have_text(re.compile("diperbarui [89] jam yang lalu"))
    held[0].continue_()
    expect(page.locator(".still")).to_be_visible()
    expect(page.locator(".state")).to_have_text("Daring")


def test_a_phone_that_is_looked_at_again_judges_at_once(site: Site, page: Page) -> None:
    stop_the_clock(page)
    site.still("pasar-horas")
    site.show(version(1, age=1))
    page.goto(site.url)
    expect(page.locator(".still")).to_be_visible()
    page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=9))  # no timer runs
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".still")).to_be_hidden()


def test_a_picture_stays_while_it_is_fresh_and_the_newer_one_fails(site: Site, page: Page) -> None:
    site.still("pasar-horas")
    site.show(version(1, age=20))
    page.goto(site.url)
    expect(page.locator(".still")).to_be_visible()
    page.route(STILLS, lambda route: route.abort())
    site.show(version(2, age=0, name="Pasar 2"))
    with page.expect_event("requestfailed"):
        expect(page.locator("h2")).to_have_text("Pasar 2")
    expect(page.locator(".still")).to_be_visible()
    expect(page.locator(".age")).to_have_text(re.compile(r"diperbarui [234]\d detik yang lalu"))


def test_a_still_that_never_arrives_is_given_up(site: Site, page: Page, held: list[Route]) -> None:
    stop_the_clock(page)
    site.show(version(1, age=1))
    with page.expect_request(STILLS):
        page.goto(site.url)
    announce(site, page, range(2, 16))
    assert len(held) == 1
    announce(site, page, range(16, 18))
    expect(page.locator(".why")).to_have_text("Gambar tidak dapat dimuat")
    announce(site, page, range(18, 20))
    assert len(held) == 2

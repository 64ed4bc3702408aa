"""What the page says when the hub writes no more: nobody knows how the places are now."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect
from services.public_site import Site, place

HOTSPOT = place("terminal", camera=False, still=None, updated_at=None)


@pytest.mark.parametrize("phone_clock_hours", [0, -30, 30])
def test_old_data_shows_no_place_as_online(
    site: Site, page: Page, phone_clock_hours: float
) -> None:
    page.clock.install(time=datetime.now(UTC) + timedelta(hours=phone_clock_hours))
    site.still("pasar-horas")
    places = (place("pasar-horas"), HOTSPOT, place("warung", state="offline", hotspot=None))
    site.show(*places, written_ago=120)
    page.goto(site.url)
    expect(page.locator("#summary")).to_have_text("2 dari 3 titik daring")
    expect(page.locator(".users").nth(1)).to_have_text("12 pengguna Wi-Fi")
    site.show(*places, written_ago=190)
    expect(page.locator("#summary")).to_have_text(
        "Data ini sudah lama. Keadaan sekarang tidak diketahui."
    )
    expect(page.locator(".state")).to_have_text(["Tertunda", "Tertunda", "Luring"])
    expect(page.locator(".users").nth(1)).to_have_text("Jumlah pengguna Wi-Fi tidak diketahui")
    assert page.locator(".still:visible").count() == 0
    page.get_by_role("button", name="English").click()
    expect(page.locator("#summary")).to_have_text(
        "This data is old. How things are now is not known."
    )
    site.show(*places)
    expect(page.locator("#summary")).to_have_text("2 of 3 places online")
    expect(page.locator(".users").nth(1)).to_have_text("12 Wi-Fi users")


def test_a_phone_cut_off_shows_no_place_as_online(site: Site, page: Page) -> None:
    page.clock.install()
    site.show(HOTSPOT)
    page.goto(site.url)
    expect(page.locator(".state")).to_have_text("Daring")
    page.route("**/cameras.json", lambda route: route.abort())
    page.clock.run_for(190_000)
    expect(page.locator(".state")).to_have_text("Tertunda")
    expect(page.locator(".users")).to_have_text("Jumlah pengguna Wi-Fi tidak diketahui")
    expect(page.locator("#summary")).to_contain_text("tidak dapat dimuat")


def test_going_back_to_the_page_brings_the_newest_file(site: Site, page: Page) -> None:
    site.show(HOTSPOT)
    page.goto(site.url)
    expect(page.locator("h2")).to_have_text("Terminal")
    page.goto(f"{site.url}favicon.svg")
    site.show(place("taman-bunga"))
    with page.expect_response("**/cameras.json") as first:
        page.go_back()
    assert "Taman Bunga" in first.value.text()

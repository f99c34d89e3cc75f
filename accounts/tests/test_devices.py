"""The words by which a person recognises a browser."""

from __future__ import annotations

import pytest

from accounts import devices

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
IOS = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
LINUX = "Mozilla/5.0 (X11; Linux x86_64)"
ANDROID = "Mozilla/5.0 (Linux; Android 10; K)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)"
IPAD = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X)"


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        (f"{WINDOWS} {WEBKIT} Chrome/126.0.0.0 Safari/537.36", "Chrome no Windows"),
        (f"{WINDOWS} {WEBKIT} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", "Edge no Windows"),
        (f"{WINDOWS} {WEBKIT} Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763", "Edge no Windows"),
        (f"{WINDOWS} {WEBKIT} Chrome/126.0.0.0 Safari/537.36 OPR/112.0.0.0", "Opera no Windows"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox no Windows"),
        (f"{MAC} {IOS} Version/17.5 Safari/605.1.15", "Safari no macOS"),
        (f"{MAC} {WEBKIT} Chrome/126.0.0.0 Safari/537.36", "Chrome no macOS"),
        (f"{LINUX} {WEBKIT} HeadlessChrome/126.0.0.0 Safari/537.36", "Chrome no Linux"),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox no Linux"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/126.0.0.0 Safari/537.36", "Chrome no ChromeOS"),
        (f"{ANDROID} {WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36", "Chrome no Android"),
        (f"{ANDROID} {WEBKIT} SamsungBrowser/25.0 Chrome/121.0 Mobile Safari/537.36", "Samsung Internet no Android"),
        (f"{ANDROID} {WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36 EdgA/126.0.0.0", "Edge no Android"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0", "Firefox no Android"),
        (f"{IPHONE} {IOS} Version/17.5 Mobile/15E148 Safari/604.1", "Safari no iPhone"),
        (f"{IPHONE} {IOS} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1", "Chrome no iPhone"),
        (f"{IPHONE} {IOS} FxiOS/127.0 Mobile/15E148 Safari/605.1.15", "Firefox no iPhone"),
        (f"{IPHONE} {IOS} Version/17.0 EdgiOS/126.0 Mobile/15E148 Safari/605.1.15", "Edge no iPhone"),
        (f"{IPHONE} {IOS} Version/17.5 Mobile/15E148 Safari/604.1 OPT/4.6.0", "Opera no iPhone"),
        (f"{IPAD} {IOS} Version/17.5 Mobile/15E148 Safari/604.1", "Safari no iPad"),
    ],
)
def test_kind_names_the_browser_and_the_system(user_agent: str, kind: str) -> None:
    assert devices.kind(user_agent) == kind


@pytest.mark.parametrize("user_agent", ["", "curl/7.88.1", "<b>Windo ws</b>", "\x00", "chrome/1 safari/1", "é" * 200])
def test_kind_does_not_guess_and_repeats_nothing_that_was_sent(user_agent: str) -> None:
    assert devices.kind(user_agent) == "navegador desconhecido"


def test_kind_says_what_it_knows_where_that_is_not_all() -> None:
    assert devices.kind("Firefox/127.0 (Plan9)") == "Firefox"
    assert devices.kind("Robô (Windows NT 10.0)") == "navegador desconhecido no Windows"

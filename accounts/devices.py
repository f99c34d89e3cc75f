"""Which kind of browser somebody uses, in words that the person knows it by."""

from __future__ import annotations

UNKNOWN = "navegador desconhecido"

#: What a browser calls itself by -> its name. The first that is there counts: most also claim to be the later ones.
BROWSERS = {
    "Edg/": "Edge",
    "EdgA/": "Edge",
    "EdgiOS/": "Edge",
    "Edge/": "Edge",
    "OPR/": "Opera",
    "OPT/": "Opera",
    "OPX/": "Opera",
    "OPiOS/": "Opera",
    "Opera/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "Chrome/": "Chrome",
    "CriOS/": "Chrome",
    "Chromium/": "Chrome",
    "Safari/": "Safari",
}
#: The same of systems. Android says Linux too, iPhone and iPad say Mac OS X.
SYSTEMS = {
    "Windows": "Windows",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "CrOS": "ChromeOS",
    "Macintosh": "macOS",
    "Linux": "Linux",
}


def kind(user_agent: str) -> str:
    """The browser and the system, such as "Chrome no Windows"; no word of what was sent is in it.

    An iPad that asks for desktop pages says that it is a Mac, and is called one.
    """
    browser = next((name for mark, name in BROWSERS.items() if mark in user_agent), UNKNOWN)
    system = next((name for mark, name in SYSTEMS.items() if mark in user_agent), "")
    return f"{browser} no {system}" if system else browser

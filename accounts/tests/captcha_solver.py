"""Solves the portal's own captcha, for tests that post a form with one."""

from __future__ import annotations

from typing import Any

from altcha import Payload, solve_challenge
from altcha_django.challenge import build_challenge


def solve(**challenge: Any) -> str:
    """A payload to post as ``captcha``, good once. Signed as every challenge is, but easy: it costs no time.

    ``challenge`` goes to ``build_challenge``: ``expires_at``, ``hmac_secret``.
    """
    easy = build_challenge(cost=1, counter=0, **challenge)
    solution = solve_challenge(easy)
    assert solution is not None
    return str(Payload(easy, solution).to_base64())

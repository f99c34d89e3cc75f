"""The captcha, "Não sou um robô": Google reCAPTCHA when its keys are set, else ALTCHA, served by the portal itself."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, cast

from altcha_django.forms import AltchaField
from altcha_django.results import ErrorCode, VerificationResult
from altcha_django.verifiers.local import LocalVerifier
from altcha_django.widgets import AltchaWidget
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.forms.widgets import Script
from django.templatetags.static import static
from django_recaptcha import client
from django_recaptcha.fields import ReCaptchaField
from django_recaptcha.widgets import ReCaptchaV2Checkbox

from accounts.models import SpentChallenge

if TYPE_CHECKING:
    _Widget = forms.Widget
else:
    _Widget = object

logger = logging.getLogger(__name__)

LABEL = "Não sou um robô"
REQUIRED = f"Marque a caixa “{LABEL}”."
REFUSED = f"A verificação “{LABEL}” não foi aceita. Marque a caixa de novo."
UNAVAILABLE = "A verificação está indisponível. Tente de novo em alguns minutos ou ligue para a Coordenadoria."

#: Characters. Google's tokens have up to some 2,500; ours are made of fixed parts and have about 650.
GOOGLE_TOKEN_LIMIT = 10_000
PAYLOAD_LIMIT = 4_000
#: A used challenge is remembered this much longer than it is good, as web servers' clocks differ.
CLOCK_SKEW = timedelta(minutes=5)
#: What Google answers when the fault is in our own settings.
KEY_FAULTS = {"missing-input-secret", "invalid-input-secret", "invalid-keys"}


def captcha_field() -> forms.Field:
    """The field for a form to add in ``__init__``, as the settings say at that moment.

    Google's widget posts ``g-recaptcha-response`` whatever the field is called; ALTCHA posts the field's own name.
    """
    if settings.RECAPTCHA_PUBLIC_KEY and settings.RECAPTCHA_PRIVATE_KEY:
        return cast("forms.Field", GoogleField(label=LABEL))
    return ChallengeField(label=LABEL)


class CaptchaWidget(_Widget):
    """What both widgets need in a form: they draw their own checkbox, so Bootstrap must not draw a text input."""

    use_fieldset = True  # a legend: there is no input of ours that a label could point to

    def id_for_label(self, id_: str) -> str:
        return ""

    def use_required_attribute(self, initial: Any) -> bool:
        return False

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Without ``form-control``, a text input's frame; ``is-invalid`` stays, it lets Bootstrap show the error."""
        attrs = {**self.attrs, **(attrs or {})}
        attrs["class"] = " ".join(word for word in attrs.get("class", "").split() if word != "form-control")
        attrs.pop("aria-invalid", None)  # not for an element without a role; the fieldset is described by the error
        context: dict[str, Any] = super().get_context(name, value, attrs)
        return context


class GoogleWidget(CaptchaWidget, ReCaptchaV2Checkbox):  # type: ignore[misc]
    input_type = "checkbox"  # the package says "hidden", and errors of hidden fields are not shown beside them

    class Media:
        css = {"all": ["css/captcha.css"]}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.api_params = {"hl": "pt-BR"}

    def build_attrs(self, base_attrs: dict[str, Any], extra_attrs: dict[str, Any] | None = None) -> dict[str, Any]:
        attrs: dict[str, Any] = super().build_attrs(base_attrs, extra_attrs)
        attrs.pop("data-callback")  # its function lived in the inline script that our template leaves out
        attrs.pop("data-widget-uuid")
        return attrs


class GoogleField(ReCaptchaField):  # type: ignore[misc]
    """reCAPTCHA v2. Whatever Google, or whoever answers in its place, does: a form error, never an exception."""

    widget = GoogleWidget
    default_error_messages = {
        "required": (
            f"{REQUIRED} Se ela não aparece, a sua rede pode estar bloqueando o Google: "
            "tente por outra rede ou ligue para a Coordenadoria."
        ),
        "captcha_invalid": REFUSED,
        "captcha_error": (
            f"Não foi possível falar com o serviço do Google que confere a caixa “{LABEL}”. "
            "Tente de novo em alguns minutos ou ligue para a Coordenadoria."
        ),
    }

    def validate(self, value: str) -> None:
        """Instead of the package's, which lets most failures through as exceptions and takes ``"false"`` for true."""
        forms.CharField.validate(self, value)
        if len(value) > GOOGLE_TOKEN_LIMIT or "\0" in value:
            raise self.failure("captcha_invalid")
        try:
            # No address: the package would send X-Forwarded-For as the browser wrote it, and Google can do without.
            answer = client.submit(recaptcha_response=value, private_key=self.private_key, remoteip="")
            faults = [str(code) for code in answer.error_codes]
        except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            logger.warning("reCAPTCHA could not be checked: %s: %s", type(error).__name__, error)
            raise self.failure("captcha_error") from None
        if answer.is_valid is True:
            return
        logger.warning("reCAPTCHA refused: %s", faults)
        raise self.failure("captcha_error" if KEY_FAULTS.intersection(faults) else "captcha_invalid")

    def failure(self, code: str) -> ValidationError:
        return ValidationError(self.error_messages[code], code=code)


class ChallengeVerifier(LocalVerifier):
    """Whoever ticked the box before ``SECRET_KEY`` was changed posts a challenge that the old key signed."""

    def verify(self, payload: str, **context: Any) -> VerificationResult:
        result: VerificationResult = super().verify(payload, **context)
        for older in settings.ALTCHA_HMAC_FALLBACKS:
            if result.code != ErrorCode.INVALID_SIGNATURE.value:
                break
            result = LocalVerifier(hmac_secret=older).verify(payload, **context)
        return result


class ChallengeWidget(CaptchaWidget, AltchaWidget):
    @property
    def media(self) -> forms.Media:
        """The build without inline styles and workers. Words and worker come first, so that it starts with them."""
        scripts: list[Any] = [
            Script("vendor/altcha-3.2.2/pt-br.js", type="module"),
            Script("js/captcha.js", type="module"),
            Script("vendor/altcha-3.2.2/altcha.min.js", type="module"),
        ]
        return forms.Media(css={"all": ["vendor/altcha-3.2.2/altcha.css", "css/captcha.css"]}, js=scripts)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["worker"] = static("vendor/altcha-3.2.2/pbkdf2.js")  # hashed in its name: a script cannot know it
        return context


class ChallengeField(AltchaField):
    """ALTCHA, with every accepted challenge accepted once."""

    default_error_messages = {
        ErrorCode.REQUIRED.value: f"{REQUIRED} Se ela não aparece, ligue para a Coordenadoria.",
        ErrorCode.MALFORMED.value: REFUSED,
        ErrorCode.INVALID_SIGNATURE.value: REFUSED,
        ErrorCode.INVALID_SOLUTION.value: REFUSED,
        ErrorCode.EXPIRED.value: f"O tempo da verificação acabou. Marque a caixa “{LABEL}” de novo.",
        ErrorCode.REPLAYED.value: f"Esta verificação já foi usada. Marque a caixa “{LABEL}” de novo.",
        ErrorCode.UNVERIFIED.value: REFUSED,
        ErrorCode.CLASSIFICATION_REJECTED.value: REFUSED,
        ErrorCode.SCORE_REJECTED.value: REFUSED,
        ErrorCode.FIELDS_HASH_MISMATCH.value: REFUSED,
        ErrorCode.BACKEND_ERROR.value: UNAVAILABLE,
        ErrorCode.MISCONFIGURED.value: UNAVAILABLE,
    }

    def __init__(self, **kwargs: Any) -> None:
        widget = ChallengeWidget(
            type="native",
            challenge_mode="endpoint",
            configuration={"hideLogo": True, "hideFooter": True, "humanInteractionSignature": False},
        )
        # Its own protection against reuse lives in a cache, and caches forget: ``spend`` is ours.
        super().__init__(widget=widget, replay_protection=False, return_result=True, **kwargs)

    def to_python(self, value: Any) -> str:
        payload = super().to_python(value)
        if len(payload) > PAYLOAD_LIMIT:
            raise self.failure(ErrorCode.MALFORMED)
        return payload

    def clean(self, value: Any) -> str:
        try:
            result: VerificationResult = super().clean(value)
        except RecursionError:  # JSON nested a thousand deep
            raise self.failure(ErrorCode.MALFORMED) from None
        if not (result.replay_id and result.expires_at):  # not one of ours: those have both
            raise self.failure(ErrorCode.MALFORMED)
        if not spend(result.replay_id, datetime.fromtimestamp(result.expires_at, UTC)):
            raise self.failure(ErrorCode.REPLAYED)
        return str(value)

    def failure(self, code: ErrorCode) -> ValidationError:
        return ValidationError(self.error_messages[code.value], code=code.value)


def spend(nonce: str, expires_at: datetime) -> bool:
    """Use a challenge up. False if it was used before, even a moment ago elsewhere."""
    digest = hashlib.sha256(nonce.encode()).hexdigest()
    try:
        with transaction.atomic():
            SpentChallenge.objects.create(digest=digest, lapses_at=expires_at + CLOCK_SKEW)
    except IntegrityError:
        return False
    return True

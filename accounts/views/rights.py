"""What stands over a view: who may see it, and what no error report may show."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

public = method_decorator(login_not_required, name="dispatch")
secret_posts = method_decorator(sensitive_post_parameters(), name="dispatch")

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator

from intelligence.people_admin.forms import WallForm
from intelligence.people_admin.pages import PeoplePage

PEOPLE_ON_A_PAGE = 60


class WallPage(PeoplePage):
    """Everybody with a face to know them by."""

    template_name = "admin/intelligence/knownperson/wall.html"
    title = "People"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        form = WallForm(self.request.GET)
        paginator = Paginator(form.people(), PEOPLE_ON_A_PAGE)
        page = paginator.get_page(self.request.GET.get("page"))
        return super().get_context_data(form=form, page=page, **context)

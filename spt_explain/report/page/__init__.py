"""One HTML file that shows every explained track, and opens without the internet."""

from spt_explain.report.page.content import ReasonsLike
from spt_explain.report.page.write import write_page

__all__ = ["ReasonsLike", "write_page"]

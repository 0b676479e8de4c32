"""The pages of the shop, from the files in ``templates``. Every value is escaped."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from shop.orders import CART, Order

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
HEADERS = {"Content-Security-Policy": "default-src 'self'; img-src data:", "Cache-Control": "no-store"}
"""No script but the shop's own runs, and a browser that goes back to a page gets it anew."""


def cart_page() -> str:
    line = "<tr><td>{}</td><td>{}</td><td>{}</td></tr>"
    lines = [line.format(escape(each.name), each.quantity, money(each.total_amount)) for each in CART]
    return filled("cart.html", lines="\n".join(lines), total=money(sum(each.total_amount for each in CART)))


def order_page(order: Order) -> str:
    values = {"number": order.number, "payment_page": order.payment_page, **order.shown()}
    reload = "" if order.is_settled else '<noscript><meta http-equiv="refresh" content="5"></noscript>'
    return filled("order.html", reload=reload, **{name: escape(value) for name, value in values.items()})


def problem_page(title: str, text: str) -> str:
    return filled("problem.html", title=escape(title), text=escape(text))


def filled(template: str, **values: str) -> str:
    """Return a template with *values* in it, which are HTML."""
    return Template((FOLDER / "templates" / template).read_text("utf-8")).substitute(values)


def money(amount: int) -> str:
    return f"{amount / 100:.2f} kr"

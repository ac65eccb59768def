"""Orders to check, and how they are added up."""

from decimal import Decimal

ORDERS = [
    {
        "id": "A-1",
        "customer": "Acme",
        "lines": [("paper", 3, "4.50"), ("ink", 1, "19.90")],
        "total": "33.40",
    },
    {"id": "A-2", "customer": "Acme", "lines": [("desk", 1, "249.00")], "total": "249.00"},
    {"id": "B-1", "customer": "Bolt", "lines": [("screws", 12, "0.25")], "total": "3.00"},
]


def get_orders(customer):
    """Those of one customer."""
    return [order for order in ORDERS if order["customer"] == customer]


def total_of(order):
    """What the lines add up to."""
    return str(sum(count * Decimal(price) for _name, count, price in order["lines"]))

"""Compares payments with the bank's statement. One is missing, so it fails: on purpose."""

import rpa


class PaymentMissing(Exception):
    """A payment that was promised is not on the statement."""


PROMISED = {"P-100": 250.00, "P-101": 75.50, "P-102": 1200.00}
STATEMENT = {"P-100": 250.00, "P-101": 75.50}


def reconcile(payment, amount):
    print(f"looking for {payment}, {amount:.2f}")
    try:
        booked = STATEMENT[payment]
    except KeyError as error:
        raise PaymentMissing(
            f"{payment} over {amount:.2f} is not on the statement. Ask the bank, then run this again."
        ) from error
    if booked != amount:
        raise PaymentMissing(f"{payment}: {booked:.2f} was paid instead of {amount:.2f}.")


for position, (payment, amount) in enumerate(PROMISED.items(), start=1):
    with rpa.step(f"Reconcile {payment}"):
        reconcile(payment, amount)
    rpa.progress(100 * position / len(PROMISED))

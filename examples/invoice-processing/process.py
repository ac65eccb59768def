"""Makes up invoices, books them, and leaves a ledger, a page and a chart."""

import csv
import html
import io
import random
import struct
import time
import zlib
from datetime import date, timedelta

import rpa

BAR, GROUND = b"\x25\x63\xeb", b"\xff\xff\xff"
GREEN, YELLOW, CYAN, DIM, PLAIN = (f"\x1b[{code}m" for code in (32, 33, 36, 2, 0))
LARGE = 1500


def made_up_invoices(given):
    """The same customer always gets the same invoices."""
    chance = random.Random(given["customer"])
    due = date.fromisoformat(given["due_date"])
    for number in range(1, given.get("invoices", 12) + 1):
        yield {
            "number": f"INV-{number:04}",
            "cost_centre": chance.choice(given.get("cost_centres", ["CC100", "CC200"])),
            "due": (due + timedelta(days=chance.randint(0, 30))).isoformat(),
            "amount": round(chance.uniform(20, 2000), 2),
        }


def booked(invoice, discount):
    return {**invoice, "amount": round(invoice["amount"] * (1 - discount / 100), 2)}


def ledger(rows):
    out = io.StringIO()
    table = csv.DictWriter(out, fieldnames=list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return out.getvalue().encode()


def page(rows, given, total):
    cells = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    title = html.escape(f"Invoices of {given['customer']}")
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>"
        f"<p>Total: {total:.2f} {given.get('currency', 'EUR')}</p><table>{cells}</table>"
    ).encode()


def bar_chart(values, width=12, height=160):
    """A PNG with one bar per value, by hand: a header, compressed rows, an end."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    tops = [round(value / max(values) * height) for value in values]
    rows = b"".join(
        b"\0"
        + b"".join(
            (BAR if top >= height - y else GROUND) * (width - 2) + GROUND * 2 for top in tops
        )
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width * len(values), height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def main():
    given = rpa.params()
    currency = given.get("currency", "EUR")
    with rpa.step("Collect the invoices"):
        invoices = list(made_up_invoices(given))
        print(f"{len(invoices)} invoices of {given['customer']}")

    rows = []
    with rpa.step("Book them"):
        for position, invoice in enumerate(invoices, start=1):
            with rpa.step(f"Book {invoice['number']}"):
                rows.append(booked(invoice, given.get("discount", 0)))
                amount = rows[-1]["amount"]
                mark = f"{YELLOW}large " if amount > LARGE else f"{GREEN}booked"
                print(
                    f"{mark}{PLAIN} {invoice['number']} {amount:>9.2f} {currency}"
                    f" on {CYAN}{invoice['cost_centre']}{PLAIN} {DIM}due {invoice['due']}{PLAIN}"
                )
                time.sleep(given.get("pause", 0))
            rpa.progress(90 * position / len(invoices), f"{position} of {len(invoices)} booked")

    with rpa.step("Write the files"):
        total = round(sum(row["amount"] for row in rows), 2)
        rpa.artifact(ledger(rows), "ledger.csv")
        rpa.artifact(page(rows, given, total), "invoices.html")
        rpa.artifact(bar_chart([row["amount"] for row in rows]), "amounts.png")
    if given.get("send_reminders"):
        print("reminders would be sent now")
    rpa.progress(100, "done")
    rpa.result({"invoices": len(rows), "total": total, "currency": currency})


main()

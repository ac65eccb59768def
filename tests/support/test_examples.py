"""Every example robot runs as it is, and does what its description says."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest

from executions.sandbox.process import Process
from robots.parameters import problems, with_defaults
from tests.support.conftest import Machine

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_hello_counts_with_progress(machine: Machine) -> None:
    run = machine.run(EXAMPLES / "hello", {"name": "Ada", "lines": 4, "pause": 0})
    assert run.exit_code == 0
    assert run.text.splitlines() == [
        "Hello, Ada!",
        *(f"line {number} of 4" for number in range(1, 5)),
    ]
    assert [message["percent"] for message in run.said("progress")] == [25, 50, 75, 100]
    assert run.result == {"greeted": "Ada", "lines": 4}


def test_sales_report_writes_a_page_with_a_chart(machine: Machine) -> None:
    run = machine.run(EXAMPLES / "sales-report", {"region": "north"})
    assert (run.exit_code, run.result) == (0, {"region": "north", "total": 123376.2}), run.text
    page = run.artifacts["sales-report.html"].decode()
    assert "<svg" in page
    assert "123376.20" in page
    assert "http-equiv" not in page
    assert [name for name, _type, state in run.steps() if state == "passed"] == [
        "Read the sales",
        "Draw the chart",
        "Write the report",
    ]


def test_invoice_processing_leaves_its_files(machine: Machine) -> None:
    manifest, _place = machine.inspected(EXAMPLES / "invoice-processing")
    given = with_defaults(manifest.parameters, {"customer": "Acme <Ltd>", "invoices": 3})
    assert problems(manifest.parameters, given) == []
    assert {each.path for each in problems(manifest.parameters, {"cost_centres": ["x"]})} == {
        "cost_centres.0",
        "customer",
        "due_date",
    }
    run = machine.run(EXAMPLES / "invoice-processing", given)
    assert run.exit_code == 0, run.text
    assert set(run.artifacts) == {"ledger.csv", "invoices.html", "amounts.png"}
    assert len(run.artifacts["ledger.csv"].splitlines()) == 4
    assert b"Acme &lt;Ltd&gt;" in run.artifacts["invoices.html"]
    assert struct.unpack(">II", run.artifacts["amounts.png"][16:24]) == (36, 160)
    opened = {each["id"]: each["name"] for each in run.said("step") if each["state"] == "started"}
    assert {
        opened.get(each["parent"])
        for each in run.said("step")
        if each["name"].startswith("Book INV")
    } == {"Book them"}


def test_order_checks_shows_its_keywords(machine: Machine) -> None:
    run = machine.run(EXAMPLES / "order-checks", {"customer": "Bolt"}, "check everything")
    assert run.exit_code == 0, run.text
    assert "Orders of Bolt were checked." in run.text
    assert ("Check the orders", "task", "passed") in run.steps()
    assert ("Check An Order", "keyword", "passed") in run.steps()
    assert {"output.xml", "log.html"} <= set(run.artifacts)
    single = machine.run(EXAMPLES / "order-checks", {}, "Check the orders")
    assert (single.exit_code, "1 task, 1 passed" in single.text) == (0, True)


def test_page_capture_photographs_the_page(machine: Machine) -> None:
    run = machine.run(EXAMPLES / "page-capture", {"width": 640})
    assert run.exit_code == 0, run.text
    assert run.result == {
        "shipments": ["Lisbon: 14 parcels", "Osaka: 9 parcels", "Quito: 3 parcels"]
    }
    assert struct.unpack(">II", run.artifacts["page.png"][16:24])[0] == 640


def test_payment_reconciliation_fails_with_a_reason(machine: Machine) -> None:
    run = machine.run(EXAMPLES / "payment-reconciliation")
    assert run.exit_code == 1
    assert re.search(
        r"reconcile\.py\", line \d+, in reconcile\n.*PaymentMissing: P-102 over 1200\.00 is not on the statement",
        run.text,
        re.DOTALL,
    )
    failed = [each for each in run.said("step") if each["state"] == "failed"]
    assert [(each["name"], each["message"].partition(":")[0]) for each in failed] == [
        ("Reconcile P-102", "PaymentMissing")
    ]


def test_inbox_watcher_tidies_up_when_asked_to_end(machine: Machine) -> None:
    asked: list[bool] = []

    def cancel(process: Process, so_far: bytes) -> None:
        if b"look 2" in so_far and not asked:
            asked.append(True)
            process.terminate()

    run = machine.run(EXAMPLES / "inbox-watcher", {"pause": 0.01}, say=cancel)
    assert run.exit_code == 0
    assert run.text.endswith("asked to end: closing the inbox\n")
    assert run.result["looks"] >= 2
    assert b"looked" in run.artifacts["summary.txt"]


def test_every_example_is_listed_and_described(machine: Machine) -> None:
    listed = set(re.findall(r"^\| `([\w-]+)`", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert listed == {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    for name in listed:
        manifest, _place = machine.inspected(EXAMPLES / name)
        assert manifest.description
        assert not manifest.warnings
        assert json.dumps(manifest.to_json())


@pytest.mark.parametrize(
    "name", ["hello", "sales-report", "order-checks", "page-capture", "inbox-watcher"]
)
def test_examples_need_no_parameters(machine: Machine, name: str) -> None:
    manifest, _place = machine.inspected(EXAMPLES / name)
    assert problems(manifest.parameters, with_defaults(manifest.parameters, {})) == []

"""Adds up the sales per month and writes the report."""

import csv
from collections import defaultdict
from pathlib import Path

import pygal
import rpa
from jinja2 import Environment, FileSystemLoader

region = rpa.params().get("region", "all")
months = defaultdict(float)

with rpa.step("Read the sales"), Path("sales.csv").open(newline="") as file:
    for row in csv.DictReader(file):
        if region in ("all", row["region"]):
            months[row["month"]] += float(row["revenue"])
print(f"{len(months)} months of region '{region}'")
rpa.progress(30, "sales are read")

with rpa.step("Draw the chart"):
    chart = pygal.Bar(show_legend=False, height=320, js=[], disable_xml_declaration=True)
    chart.x_labels = list(months)
    chart.add("Revenue", [round(value, 2) for value in months.values()])
rpa.progress(70, "the chart is drawn")

with rpa.step("Write the report"):
    total = sum(months.values())
    page = Environment(loader=FileSystemLoader("."), autoescape=True).get_template("report.html")
    html = page.render(
        region=region, months=months.items(), total=total, chart=chart.render(is_unicode=True)
    )
    rpa.artifact(html.encode(), "sales-report.html")
rpa.progress(100)
rpa.result({"region": region, "total": round(total, 2)})

"""Questions for sums, counts and comparisons over 50 generated workbooks, with known results.

    .venv/bin/python -m benchmarks.table_questions [--seed N] [--half shown|held|both] [--failures] [--write]

Workbooks of ten kinds and five companies, made with openpyxl: titles above, headings in other spellings and
with line breaks, dates as dates and as texts, amounts with formats and as texts (`1.204,50 €`), empty cells, an
empty row in between, rows of totals and subtotals, a sheet of targets or of the year before beside it. They
are indexed by the real operation without an embedder and asked as `cape ask` does. Results are computed from
the numbers that went in, by plain Python. Half of the wordings (`held`) were not looked at while the rules were
written. A question without an answer names a year, a value, a unit or a column that is not there.

`right` has the known result; `wrong` has another one, computed or quoted; `none` says nothing.
"""

# ruff: noqa: E501

from __future__ import annotations

import argparse
import datetime
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from cape.cli.output import table

COMPANIES = ("Aldermoor", "Brackwater", "Cindervale", "Dunmarrow", "Eskdale")
REGIONS = ("North", "South", "East", "West")
PRODUCTS = ("Kettle", "Lantern", "Saddle", "Rope coil", "Tent")
PEOPLE = ("Anna Berg", "Bo Lindqvist", "Carla Mendes", "Dmitri Orlov", "Ewa Nowak", "Farid Haddad")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip

Row = dict[str, object]


@dataclass(frozen=True)
class Form:
    """A wording, the rows and the value that it asks for. `wants` gives None where there is no answer."""

    wording: str
    wants: Callable[[Book, dict[str, str]], object]
    unanswerable: bool = False


@dataclass
class Book:
    """A workbook as data: its kind, company, year, and rows of its main sheet."""

    kind: str
    company: str
    year: int
    rows: list[Row]
    random: random.Random
    file: str = ""
    columns: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    title: str = ""


@dataclass
class Case:
    question: str
    expected: object
    half: str
    kind: str
    file: str
    outcome: str = ""
    got: str = ""
    computed: bool = field(default=False)


# -- data ---------------------------------------------------------------------------------------------


def _day(rng: random.Random, year: int) -> datetime.date:
    return datetime.date(year, 1, 1) + datetime.timedelta(days=rng.randrange(365))


def _money(rng: random.Random, low: int, high: int) -> Decimal:
    return Decimal(rng.randrange(low * 100, high * 100)) / 100


def orders(rng: random.Random, year: int) -> list[Row]:
    rows: list[Row] = []
    for number in range(rng.randrange(30, 70)):
        quantity, price = rng.randrange(1, 40), _money(rng, 4, 90)
        day = _day(rng, rng.choice((year, year, year - 1)))
        rows.append({
            "id": 1000 + number, "date": day, "region": rng.choice(REGIONS),
            "customer": rng.choice(("Hollis Ltd", "Meyer & Sons", "Okafor Group", "Pine Valley", "Quill")),
            "product": rng.choice(PRODUCTS), "quantity": quantity, "price": price, "amount": quantity * price,
        })  # fmt: skip
    return rows


def expenses(rng: random.Random, year: int) -> list[Row]:
    return [
        {"date": _day(rng, year), "person": rng.choice(PEOPLE),
         "department": rng.choice(("Finance", "Sales", "Workshop")),
         "category": rng.choice(("Travel", "Meals", "Software", "Training")), "amount": _money(rng, 5, 900)}
        for _ in range(rng.randrange(25, 60))
    ]  # fmt: skip


def hours(rng: random.Random, year: int) -> list[Row]:
    return [
        {"person": person, "team": team, "month": datetime.date(year, month, 1),
         "hours": Decimal(rng.randrange(60, 340)) / 2}
        for person, team in zip(PEOPLE, ("Red", "Blue", "Red", "Green", "Blue", "Green"), strict=True)
        for month in range(1, 13) if rng.random() < 0.9
    ]  # fmt: skip


def stock(rng: random.Random, year: int) -> list[Row]:
    return [
        {"item": f"{item} {size}", "warehouse": warehouse, "stock": rng.randrange(0, 500), "value": _money(rng, 50, 9000)}
        for item in ("Bolt", "Nut", "Washer", "Bracket") for size in ("M6", "M8", "M10")
        for warehouse in ("Leith", "Porto") if rng.random() < 0.9
    ]  # fmt: skip


def tickets(rng: random.Random, year: int) -> list[Row]:
    return [
        {"ticket": f"T-{4000 + number}", "date": _day(rng, year), "priority": rng.choice(("High", "Medium", "Low")),
         "agent": rng.choice(PEOPLE), "minutes": rng.randrange(5, 600)}
        for number in range(rng.randrange(40, 80))
    ]  # fmt: skip


def energy(rng: random.Random, year: int) -> list[Row]:
    return [
        {"site": site, "year": one, "quarter": f"Q{quarter}", "kwh": rng.randrange(2000, 30000), "cost": _money(rng, 300, 6000)}
        for site in ("Foundry", "Mill", "Office block") for one in (year - 1, year) for quarter in range(1, 5)
    ]  # fmt: skip


def trips(rng: random.Random, year: int) -> list[Row]:
    return [
        {"trip": 1 + number, "date": _day(rng, year), "driver": rng.choice(PEOPLE),
         "vehicle": rng.choice(("Van 1", "Van 2", "Lorry")), "km": rng.randrange(5, 700), "litres": _money(rng, 2, 80)}
        for number in range(rng.randrange(30, 60))
    ]  # fmt: skip


def budgets(rng: random.Random, year: int) -> list[Row]:
    return [
        {"department": department, "post": post, "budget": rng.randrange(10, 200) * 1000, "actual": rng.randrange(9000, 210000)}
        for department in ("Finance", "Sales", "Workshop", "Research") for post in ("Salaries", "Equipment", "Travel")
    ]  # fmt: skip


def projects(rng: random.Random, year: int) -> list[Row]:
    return [
        {"project": f"{name} {kind}", "client": rng.choice(("Hollis Ltd", "Okafor Group", "Quill")),
         "status": rng.choice(("Open", "Closed", "On hold")), "hours": rng.randrange(20, 900), "fee": _money(rng, 900, 60000)}
        for name in ("Bridge", "Harbour", "Tunnel", "Canal", "Tower") for kind in ("survey", "repair", "study")
    ]  # fmt: skip


def representatives(rng: random.Random, year: int) -> list[Row]:
    return [
        {"person": person, "country": country, "year": one, "revenue": rng.randrange(20, 900), "customers": rng.randrange(0, 30)}
        for person, country in zip(PEOPLE, ("Norway", "Sweden", "Portugal", "Latvia", "Poland", "Norway"), strict=True)
        for one in (year - 2, year - 1, year)
    ]  # fmt: skip


KINDS: dict[str, tuple[Callable[[random.Random, int], list[Row]], str, tuple[tuple[str, tuple[str, ...], str], ...]]] = {
    "orders": (orders, "Orders", (
        ("id", ("Order ID", "Order no", "Order\nnumber"), ""), ("date", ("Date", "Order date", "ordered on"), "date"),
        ("region", ("Region", "Sales region", "REGION"), ""), ("customer", ("Customer", "Client"), ""),
        ("product", ("Product", "Article product"), ""), ("quantity", ("Quantity", "Qty", "Units"), ""),
        ("price", ("Unit price", "Price per unit"), "EUR"), ("amount", ("Amount", "Order amount", "Total  amount"), "EUR"))),
    "expenses": (expenses, "Travel and other expenses", (
        ("date", ("Date", "Booked on"), "date"), ("person", ("Employee", "employee name"), ""),
        ("department", ("Department", "DEPARTMENT"), ""), ("category", ("Category", "Expense category"), ""),
        ("amount", ("Amount", "Cost", "Amount paid"), "EUR"))),
    "hours": (hours, "Timesheet", (
        ("person", ("Employee", "Name"), ""), ("team", ("Team", "Crew team"), ""), ("month", ("Month", "Period month"), "month"),
        ("hours", ("Hours", "Hours worked", "hours\n(h)"), ""))),
    "stock": (stock, "Stock list", (
        ("item", ("Item", "Article"), ""), ("warehouse", ("Warehouse", "Depot"), ""),
        ("stock", ("Stock", "In stock", "Stock quantity"), ""), ("value", ("Value", "Stock value"), "GBP"))),
    "tickets": (tickets, "Support tickets", (
        ("ticket", ("Ticket", "Ticket ID"), ""), ("date", ("Opened", "Opened on", "Date opened"), "date"),
        ("priority", ("Priority", "PRIORITY"), ""), ("agent", ("Agent", "Handled by agent"), ""),
        ("minutes", ("Minutes", "Minutes to close"), ""))),
    "energy": (energy, "Energy use", (
        ("site", ("Site", "Location"), ""), ("year", ("Year", "YEAR"), ""), ("quarter", ("Quarter", "Qtr"), ""),
        ("kwh", ("Consumption (kWh)", "Energy consumption (kWh)"), ""), ("cost", ("Cost", "Energy cost"), "EUR"))),
    "trips": (trips, "Trip log", (
        ("trip", ("Trip no", "Trip number"), ""), ("date", ("Date", "Trip date"), "date"), ("driver", ("Driver", "Driver name"), ""),
        ("vehicle", ("Vehicle", "Vehicle used"), ""), ("km", ("Distance (km)", "Distance driven (km)"), ""),
        ("litres", ("Fuel (l)", "Fuel used (l)"), ""))),
    "budgets": (budgets, "Spending plan", (
        ("department", ("Department", "Dept department"), ""), ("post", ("Cost type", "Type of cost"), ""),
        ("budget", ("Budget", "Approved budget"), "EUR"), ("actual", ("Actual", "Actual spend"), "EUR"))),
    "projects": (projects, "Projects", (
        ("project", ("Project", "Project name"), ""), ("client", ("Client", "Customer"), ""), ("status", ("Status", "STATUS"), ""),
        ("hours", ("Hours", "Billable hours"), ""), ("fee", ("Fee", "Agreed fee"), "EUR"))),
    "representatives": (representatives, "Sales by representative", (
        ("person", ("Representative", "Sales rep"), ""), ("country", ("Country", "COUNTRY"), ""), ("year", ("Year", "Sales year"), ""),
        ("revenue", ("Revenue (kEUR)", "Net revenue (kEUR)"), ""), ("customers", ("New customers", "new  customers"), ""))),
}  # fmt: skip


# -- workbooks ----------------------------------------------------------------------------------------


def write_book(book: Book, directory: Path) -> None:
    """The workbook with all that makes it messy, by its own random numbers."""
    import openpyxl

    rng = book.random
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = rng.choice(("Data", "Sheet1", "List"))
    as_text = rng.random() < 0.25
    heads = [rng.choice(names) for _, names, _ in book.columns]
    styles = {
        key: rng.choice(("heading", "format")) for key, _, unit in book.columns if unit in ("EUR", "GBP")
    }
    if rng.random() < 0.6:
        sheet.append([book.title])
        if rng.random() < 0.5:
            sheet.append([])
    else:
        workbook.properties.title = book.title
    sheet.append([
        f"{head} ({unit})" if unit in ("EUR", "GBP") and (as_text or styles[key] == "heading") else head
        for head, (key, _, unit) in zip(heads, book.columns, strict=True)
    ])  # fmt: skip
    gap = rng.randrange(5, len(book.rows)) if rng.random() < 0.2 else -1
    for at, row in enumerate(book.rows):
        if at == gap:
            sheet.append([])
        sheet.append([_cell(row[key], unit, as_text) for key, _, unit in book.columns])
        for cell, (key, _, unit) in zip(sheet[sheet.max_row], book.columns, strict=True):
            if unit in styles.values() or (styles.get(key) == "format" and not as_text):
                cell.number_format = '#,##0.00 "EUR"' if unit == "EUR" else '"£"#,##0.00'
            if isinstance(cell.value, datetime.date):
                cell.number_format = "mmm yyyy" if unit == "month" else "yyyy-mm-dd"
    if rng.random() < 0.6:
        _totals(book, sheet, as_text, rng)
    if rng.random() < 0.4:
        other = workbook.create_sheet(rng.choice(("Targets", "Forecast", "Draft")))
        other.append(heads)
        for row in rng.sample(book.rows, min(6, len(book.rows))):
            other.append([_cell(row[key], unit, False) for key, _, unit in book.columns])
    workbook.save(directory / book.file)


def _cell(value: object, unit: str, as_text: bool) -> object:
    if isinstance(value, Decimal):
        if as_text and unit in ("EUR", "GBP"):
            return f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
        return float(value)
    if isinstance(value, datetime.date) and as_text and unit == "date":
        return f"{value:%d/%m/%Y}"
    return value


def _totals(book: Book, sheet: object, as_text: bool, rng: random.Random) -> None:
    line: list[object] = []
    for at, (key, _, unit) in enumerate(book.columns):
        values = [row[key] for row in book.rows]
        is_number = all(isinstance(one, int | Decimal) for one in values) and key not in (
            "id",
            "year",
            "trip",
            "price",
        )
        total = sum(values, Decimal(0)) if is_number else None  # type: ignore[arg-type]
        line.append(
            rng.choice(("Total", "Grand total", "TOTAL:")) if at == 0 else _cell(total, unit, as_text)
        )
    sheet.append(line)  # type: ignore[attr-defined]


# -- questions ----------------------------------------------------------------------------------------


def total(key: str, **same: str) -> Callable[[Book, dict[str, str]], object]:
    return lambda book, said: sum((row[key] for row in _kept(book, said, same)), Decimal(0))


def count(*, over: str = "", **same: str) -> Callable[[Book, dict[str, str]], object]:
    def wanted(book: Book, said: dict[str, str]) -> object:
        rows = _kept(book, said, same)
        if over:
            rows = [row for row in rows if row[over] > Decimal(said["n"])]  # type: ignore[operator]
        return Decimal(len(rows))

    return wanted


def mean(key: str, **same: str) -> Callable[[Book, dict[str, str]], object]:
    def wanted(book: Book, said: dict[str, str]) -> object:
        values = [row[key] for row in _kept(book, said, same)]
        return sum(values, Decimal(0)) / len(values) if values else None  # type: ignore[arg-type]

    return wanted


def extreme(key: str, *, least: bool = False, **same: str) -> Callable[[Book, dict[str, str]], object]:
    def wanted(book: Book, said: dict[str, str]) -> object:
        values = [row[key] for row in _kept(book, said, same)]
        return (min if least else max)(values, default=None)  # type: ignore[type-var]

    return wanted


def most(by: str, key: str, *, least: bool = False, **same: str) -> Callable[[Book, dict[str, str]], object]:
    def wanted(book: Book, said: dict[str, str]) -> object:
        sums: dict[str, Decimal] = {}
        for row in _kept(book, said, same):
            group = f"{row[by]:%Y-%m}" if isinstance(row[by], datetime.date) else str(row[by])
            sums[group] = sums.get(group, Decimal(0)) + (Decimal(str(row[key])) if key else 1)
        ranked = sorted(sums, key=lambda one: sums[one], reverse=not least)
        if len(ranked) < 2 or sums[ranked[0]] == sums[ranked[1]]:
            return "skip"
        return ranked[0]

    return wanted


def apart(by: str, key: str, **same: str) -> Callable[[Book, dict[str, str]], object]:
    def wanted(book: Book, said: dict[str, str]) -> object:
        sums = [_sum(book, key, {by: said[name]}, said, same) for name in ("a", "b")]
        return None if 0 in sums else abs(sums[0] - sums[1])

    return wanted


def whether(by: str, key: str, **same: str) -> Callable[[Book, dict[str, str]], object]:
    def wanted(book: Book, said: dict[str, str]) -> object:
        first, second = (_sum(book, key, {by: said[name]}, said, same) for name in ("a", "b"))
        return "skip" if first == second or 0 in (first, second) else "Yes" if first > second else "No"

    return wanted


def _sum(book: Book, key: str, own: dict[str, str], said: dict[str, str], same: dict[str, str]) -> Decimal:
    rows = [row for row in _kept(book, said, same) if all(str(row[one]) == text for one, text in own.items())]
    return sum((Decimal(str(row[key])) for row in rows), Decimal(0))


def none(book: Book, said: dict[str, str]) -> object:
    return None


def _kept(book: Book, said: dict[str, str], same: dict[str, str]) -> list[Row]:
    """The rows that a question is about: `same` says which column has which part of the question."""
    rows = book.rows
    for key, name in same.items():
        if key == "when":
            rows = [row for row in rows if _is_when(row[name], said)]
        else:
            rows = [row for row in rows if str(row[key]) == said[name]]
    return rows


def _is_when(value: object, said: dict[str, str]) -> bool:
    day = value if isinstance(value, datetime.date) else datetime.date(int(str(value)), 1, 1)
    if "m" in said and day.month != MONTHS.index(said["m"]) + 1:
        return False
    if "q" in said and (day.month + 2) // 3 != int(said["q"]):
        return False
    return day.year == int(said["y"])


def forms() -> dict[str, list[Form]]:
    """The wordings of each kind: every other one, beginning with the second, is held out."""
    return {
        "orders": [
            Form("What is the total order amount of the {region} region at {c} in {y}?", total("amount", region="region", when="date")),
            Form("How much did {c} take in altogether from orders by {customer}?", total("amount", customer="customer")),
            Form("How many orders over {n} EUR did {c} have in {y}?", count(over="amount", when="date")),
            Form("{c}: number of orders worth more than {n} euros", count(over="amount")),
            Form("Which region had the largest total amount in the orders of {c}?", most("region", "amount")),
            Form("At {c}, which product brought the highest amount in {y}?", most("product", "amount", when="date")),
            Form("How many units of {product} were sold by {c}?", total("quantity", product="product")),
            Form("What was the average order amount at {c} in {m} {y}?", mean("amount", when="date")),
            Form("Was the order amount at {c} higher in {a} than in {b}?", whether("region", "amount")),
            Form("How much more did {a} order than {b} by amount at {c}?", none, unanswerable=True),
            Form("What is the total order amount of the Central region at {c}?", none, unanswerable=True),
            Form("What is the total order amount in USD at {c}?", none, unanswerable=True),
            Form("Total quantity by region for {c} orders in {y}", most("region", "quantity", when="date")),
            Form("What is the largest single order amount at {c} for {product}?", extreme("amount", product="product")),
        ],
        "expenses": [
            Form("How much did {person} spend at {c} in {m} {y}?", total("amount", person="person", when="date")),
            Form("Sum up the {category} expenses of {c}'s {department} department.", total("amount", category="category", department="department")),
            Form("Who spent the most on {category} at {c}?", most("person", "amount", category="category")),
            Form("Which department of {c} had the lowest expenses in {y}?", most("department", "amount", least=True, when="date")),
            Form("What is the average cost of {category} expenses at {c}?", mean("amount", category="category")),
            Form("How many expenses did {person} have at {c} in Q{q} {y}?", count(person="person", when="date")),
            Form("What was the total for {category} at {c} in 2031?", none, unanswerable=True),
            Form("What did {c} spend in total on Fireworks?", none, unanswerable=True),
            Form("What is the difference between {a} and {b} in expenses at {c}?", none, unanswerable=True),
            Form("In which month did {c} have the highest expenses?", most("date", "amount")),
        ],
        "hours": [
            Form("How many hours did {person} work at {c} in {y}?", total("hours", person="person", when="month")),
            Form("What is the sum of hours of the {team} team at {c} for {m} {y}?", total("hours", team="team", when="month")),
            Form("Which team at {c} worked the most hours in {y}?", most("team", "hours", when="month")),
            Form("Did {a} work more hours than {b} at {c}?", whether("person", "hours")),
            Form("How many hours did {person} work at {c} in 2031?", none, unanswerable=True),
            Form("Who logged the fewest hours at {c} in Q{q} {y}?", most("person", "hours", least=True, when="month")),
        ],
        "stock": [
            Form("What is the total value of stock in {warehouse} at {c}?", total("value", warehouse="warehouse")),
            Form("How many items does {c} keep in {warehouse} with more than {k} in stock?", none),
            Form("Which warehouse of {c} has the smallest stock?", most("warehouse", "stock", least=True)),
            Form("What is the overall stock value at {c}?", total("value")),
            Form("What is the total weight of the stock at {c}?", none, unanswerable=True),
            Form("How much stock does {c} have altogether in Rotterdam?", none, unanswerable=True),
        ],
        "tickets": [
            Form("How many {priority} priority tickets were opened at {c} in {m} {y}?", count(priority="priority", when="date")),
            Form("How many tickets did {agent} handle at {c}?", count(agent="agent")),
            Form("Which agent at {c} handled the most tickets in {y}?", most("agent", "", when="date")),
            Form("What is the median number of minutes for {priority} priority tickets at {c}?", "median"),  # type: ignore[arg-type]
            Form("What is the average of minutes to close for {agent} at {c}?", mean("minutes", agent="agent")),
            Form("How many tickets with priority Critical did {c} have?", none, unanswerable=True),
            Form("How many tickets took more than {n} minutes at {c}?", count(over="minutes")),
            Form("How many hours of rain did {c} have in total?", none, unanswerable=True),
        ],
        "energy": [
            Form("What was the total consumption of the {site} at {c} in {year}?", total("kwh", site="site", year="year")),
            Form("How much did energy cost {c} in total in {year}?", total("cost", year="year")),
            Form("Which site of {c} had the highest energy cost in {year}?", most("site", "cost", year="year")),
            Form("By how much did the consumption of {a} and {b} differ at {c}?", none, unanswerable=True),
            Form("What is the difference in consumption between {a} and {b} at {c} in {year}?", apart("site", "kwh", year="year")),
            Form("What was the lowest quarterly consumption of the {site} at {c} in {year}?", extreme("kwh", least=True, site="site", year="year")),
            Form("What was the total gas bill of the {site} at {c} in {year}?", none, unanswerable=True),
            Form("What was the total consumption of the {site} at {c} in 2031?", none, unanswerable=True),
        ],
        "trips": [
            Form("What distance did {driver} drive in total at {c} in {y}?", total("km", driver="driver", when="date")),
            Form("How many km did {vehicle} cover at {c} in {m} {y}?", total("km", vehicle="vehicle", when="date")),
            Form("How many trips of more than {k} km were made at {c}?", count(over="km_k")),
            Form("Which driver of {c} used the most fuel?", most("driver", "litres")),
            Form("What is the longest distance of a trip with the {vehicle} at {c}?", none, unanswerable=True),
            Form("What is the average distance of trips by {driver} at {c}?", mean("km", driver="driver")),
            Form("How many trips did Zacharias Quimby make at {c}?", none, unanswerable=True),
            Form("What did the trips of {c} cost in total?", none, unanswerable=True),
        ],
        "budgets": [
            Form("What is the total budget of {department} at {c}?", total("budget", department="department")),
            Form("How much did {c} actually spend on {post} overall?", total("actual", post="post")),
            Form("Which department of {c} has the highest actual spend?", most("department", "actual")),
            Form("Is the budget of {a} larger than that of {b} at {c}?", whether("department", "budget")),
            Form("What is the sum of budget and actual for {department} at {c}?", none, unanswerable=True),
            Form("What is the combined budget of {a} and {b} at {c}?", "both"),  # type: ignore[arg-type]
        ],
        "projects": [
            Form("How many projects of {c} are {status}?", count(status="status")),
            Form("What are the total fees of {client} projects at {c}?", total("fee", client="client")),
            Form("Which client of {c} has the largest fees in total?", most("client", "fee")),
            Form("How many {status} projects does {c} have for {client}?", count(status="status", client="client")),
            Form("What is the total of billable hours for {client} at {c}?", total("hours", client="client")),
            Form("How many projects of {c} have a fee of at least {n} EUR?", "least"),  # type: ignore[arg-type]
            Form("What is the total tax of {client} projects at {c}?", none, unanswerable=True),
            Form("How many projects of {c} are Cancelled?", none, unanswerable=True),
        ],
        "representatives": [
            Form("What was the total revenue of {person} at {c} in {year}?", total("revenue", person="person", year="year")),
            Form("How many new customers did {c} win in {country} overall?", total("customers", country="country")),
            Form("Which sales representative of {c} had the highest revenue in {year}?", most("person", "revenue", year="year")),
            Form("Total turnover in {country} at {c} for {year}?", total("revenue", country="country", year="year")),
            Form("Did {a} bring more revenue than {b} at {c} in {year}?", whether("person", "revenue", year="year")),
            Form("In which country did {c} win the fewest new customers?", most("country", "customers", least=True)),
            Form("What was the total profit of {person} at {c} in {year}?", none, unanswerable=True),
            Form("What was the total revenue of {person} at {c} in 2031?", none, unanswerable=True),
        ],
    }  # fmt: skip


def _special(name: str) -> Callable[[Book, dict[str, str]], object]:
    def wanted(book: Book, said: dict[str, str]) -> object:
        if name == "median":
            values = sorted(
                Decimal(str(row["minutes"])) for row in _kept(book, said, {"priority": "priority"})
            )
            half = len(values) // 2
            return (
                None
                if not values
                else values[half]
                if len(values) % 2
                else (values[half - 1] + values[half]) / 2
            )
        if name == "both":
            return sum(
                (_sum(book, "budget", {"department": said[one]}, said, {}) for one in "ab"), Decimal(0)
            )
        return Decimal(sum(row["fee"] >= Decimal(said["n"]) for row in book.rows))  # type: ignore[operator]

    return wanted


def case_of(book: Book, form: Form, half: str) -> Case | None:
    rng, said = book.random, {"c": book.company}
    row = rng.choice(book.rows)
    said |= {key: str(value) for key, value in row.items()}
    day = next(
        (value for value in row.values() if isinstance(value, datetime.date)), datetime.date(book.year, 1, 1)
    )
    said |= {"y": str(day.year)}
    if "{m}" in form.wording:
        said["m"] = MONTHS[day.month - 1]
    if "{q}" in form.wording:
        said["q"] = str((day.month + 2) // 3)
    said["n"] = str(rng.choice((100, 150, 250, 400))) if book.kind != "projects" else "5000"
    said["k"] = str(rng.choice((100, 200, 300)))
    by = {"orders": "region", "expenses": "person", "hours": "person", "energy": "site", "budgets": "department",
          "representatives": "person"}.get(book.kind)  # fmt: skip
    if "{a}" in form.wording and by:
        said["a"], said["b"] = rng.sample(sorted({str(one[by]) for one in book.rows}), 2)
    question = form.wording.format(**said)
    wants = form.wants
    if isinstance(wants, str):
        wants = _special(wants)
    if book.kind == "trips" and "{k}" in form.wording:
        expected: object = Decimal(sum(one["km"] > int(said["k"]) for one in book.rows))  # type: ignore[operator]
    elif book.kind == "stock" and "{k}" in form.wording:
        kept = [
            one
            for one in book.rows
            if one["warehouse"] == said["warehouse"] and one["stock"] > int(said["k"])
        ]  # type: ignore[operator]
        expected = Decimal(len(kept))
    elif form.wording.startswith("How much more did {a}") or form.wording.startswith(
        "What is the difference between {a}"
    ):
        expected = apart(str(by), "amount")(book, said)
    elif form.wording.startswith("By how much did the consumption"):
        expected = apart("site", "kwh")(book, said)
    elif form.wording.startswith("What is the longest distance"):
        expected = extreme("km", vehicle="vehicle")(book, said)
    elif form.wording.startswith("What is the sum of budget and actual"):
        expected = total("budget", department="department")(book, said) + total(
            "actual", department="department"
        )(book, said)  # type: ignore[operator]
    else:
        expected = wants(book, said)
    if (isinstance(expected, str) and expected == "skip") or (
        not form.unanswerable and expected in (None, Decimal(0))
    ):
        return None
    return Case(question=question, expected=expected, half=half, kind=book.kind, file=book.file)


# -- asking -------------------------------------------------------------------------------------------


def books(seed: int) -> Iterator[Book]:
    for at, (kind, (make, title, columns)) in enumerate(KINDS.items()):
        for number, company in enumerate(COMPANIES):
            rng = random.Random(f"{seed}/{kind}/{company}")
            year = 2021 + (number + at) % 4
            book = Book(
                kind=kind, company=company, year=year, rows=make(rng, year), random=rng, columns=columns
            )
            book.title = f"{title} {company}" if rng.random() < 0.6 else f"{company}: {title.lower()}"
            book.file = f"{company.lower()}-{kind}.xlsx"
            yield book


def measured(seed: int, half: str, companies: int = 5) -> tuple[list[Case], float]:
    from cape.operations.asking import ask, open_named
    from cape.operations.including import project_manifest
    from cape.operations.indexing import index_base
    from cape.operations.knowledge import find_base
    from cape.operations.project import Project, Workshop

    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "books").mkdir()
        cases: list[Case] = []
        wordings = forms()
        for book in books(seed):
            if book.company not in COMPANIES[:companies]:
                continue
            write_book(book, directory / "books")
            for at, form in enumerate(wordings[book.kind]):
                own = "held" if at % 2 else "shown"
                made = case_of(book, form, own)
                if made is not None and half in (own, "both"):
                    cases.append(made)
        manifest = 'schema = 1\n[environment]\nname = "figures"\nsystems = ["x86_64-linux"]\n[knowledge.books]\nsources = ["books/*"]\n'
        (directory / "cape.toml").write_text(manifest)
        project, workshop = Project(directory), Workshop.open()
        index_base(project, workshop, find_base(project_manifest(project), None), None)
        begun = time.perf_counter()
        with open_named(project, None, workshop) as askable:
            for case in cases:
                _judge(case, ask(askable, case.question))
        return cases, (time.perf_counter() - begun) / len(cases)


def _judge(case: Case, result: object) -> None:
    answer = result.answer  # type: ignore[attr-defined]
    case.computed, case.got = bool(answer.explanation.query), answer.text
    if not answer.is_found:
        case.outcome = "none"
    elif not case.computed and case.expected is not None:
        case.outcome = (
            "right" if _agrees(case, answer.text) and case.file in str(answer.documents) else "wrong"
        )
    else:
        right = (
            case.expected is not None
            and _agrees(case, answer.text)
            and answer.documents == (f"books/{case.file}",)
        )
        case.outcome = "right" if right else "wrong"


def _agrees(case: Case, text: str) -> bool:
    if isinstance(case.expected, str):
        if case.question.startswith("Total quantity by region"):
            return case.expected in text and text.count("\n") >= 1
        return text.casefold().startswith(case.expected.casefold())
    head = text.split("[1]")[0]
    told = re.findall(
        r"-?\d[\d,]*(?:\.\d+)?", head.rsplit(": ", 1)[-1] if "(" not in head else head.split("(")[0] or head
    )
    told += re.findall(r": (-?\d[\d,]*(?:\.\d+)?)", head)
    numbers = [Decimal(one.replace(",", "")) for one in told]
    wanted = Decimal(str(case.expected))
    return any(abs(one - wanted) < Decimal("0.006") for one in numbers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--half", choices=("shown", "held", "both"), default="both")
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--companies", type=int, default=5, help="of the five, to be quick")
    arguments = parser.parse_args()
    cases, seconds = measured(arguments.seed, arguments.half, arguments.companies)
    print(report(cases))
    print(f"{seconds * 1000:.0f} ms a question")
    if arguments.failures:
        for case in cases:
            if case.outcome == "wrong" or (case.outcome == "none" and case.expected is not None):
                print(
                    f"{case.outcome}: {case.file}: {case.question}\n  wants {case.expected}\n  got {case.got[:160]!r}"
                )


def report(cases: Sequence[Case]) -> str:
    rows: list[tuple[str, ...]] = [
        ("wordings", "questions", "with a result", "right", "wrong", "none", "without", "answered")
    ]
    for half in ("shown", "held"):
        own = [case for case in cases if case.half == half]
        if not own:
            continue
        answerable = [case for case in own if case.expected is not None]
        outcome = Counter(case.outcome for case in answerable)
        others = [case for case in own if case.expected is None]
        answered = sum(case.outcome == "wrong" for case in others)
        shares = [f"{outcome[one] / len(answerable):.1%}" for one in ("right", "wrong", "none")]
        rows.append((half, str(len(own)), str(len(answerable)), *shares, str(len(others)), str(answered)))
    return table(rows, right=range(1, 8))


if __name__ == "__main__":
    main()

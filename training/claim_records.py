"""Made-up records with prose about them, true or spoiled, for the checker of claims.

Owns kinds of records and the sentences that people write about such. Names and reviews are put together
here at random; nothing is of a real place.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

from claim_examples import Example

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CITIES = (
    ("Springfield", "IL", "Illinois"), ("Riverton", "CA", "California"), ("Lakewood", "OH", "Ohio"),
    ("Fairview", "TX", "Texas"), ("Ashford", "PA", "Pennsylvania"), ("Milton", "FL", "Florida"),
    ("Brookside", "TN", "Tennessee"), ("Clayton", "MO", "Missouri"), ("Easton", "AZ", "Arizona"),
)  # fmt: skip
_KINDS = {
    "restaurant": ("Restaurants, Italian, Pizza", "Mexican, Restaurants, Tacos", "Restaurants, Seafood, Bars",
                   "Breakfast & Brunch, Cafes, Restaurants", "Restaurants, Thai, Noodles",
                   "Steakhouses, Restaurants"),
    "shop": ("Shopping, Books, Stationery", "Home & Garden, Furniture, Shopping",
    "Bikes, Sporting Goods, Shopping"),
    "salon": ("Hair Salons, Beauty & Spas", "Nail Salons, Beauty & Spas, Waxing", "Massage, Day Spas"),
    "hotel": ("Hotels, Event Planning & Services", "Bed & Breakfast, Hotels"),
    "gym": ("Gyms, Fitness & Instruction, Yoga", "Climbing, Gyms, Active Life"),
}  # fmt: skip
_FLAGS = {
    "OutdoorSeating": ("outdoor seating", "It offers outdoor seating", "There is no outdoor seating"),
    "RestaurantsReservations": ("reservations", "Reservations are accepted", "It does not take reservations"),
    "RestaurantsTakeOut": ("takeout", "Takeout is available", "Takeout is not offered"),
    "RestaurantsDelivery": ("delivery", "Delivery is offered", "It does not provide delivery"),
    "GoodForKids": ("kids", "The place is good for kids", "It is not suitable for kids"),
    "RestaurantsGoodForGroups": ("groups", "It is suitable for groups", "It is not suited for groups"),
    "WheelchairAccessible": ("wheelchair", "It is wheelchair accessible", "It is not wheelchair accessible"),
    "DogsAllowed": ("dogs", "Dogs are allowed", "Dogs are not allowed"),
    "BusinessAcceptsCreditCards": ("credit cards", "The business accepts credit cards",
    "Credit cards are not accepted"),
    "HasTV": ("TV", "There is a TV", "There is no TV"),
    "Caters": ("catering", "It also caters", "It does not cater"),
    "HappyHour": ("happy hour", "There is a happy hour", "There is no happy hour"),
}  # fmt: skip
_PARKING = ("garage", "street", "validated", "lot", "valet")
_AMBIENCE = ("romantic", "intimate", "touristy", "hipster", "divey", "classy", "trendy", "upscale", "casual")
_GOOD = (
    ("The staff was friendly and helpful.", "praise the friendly and helpful staff", "staff were nice"),
    ("Portions are huge and the price is fair.", "mention generous portions at a fair price", "big portions"),
    ("We loved the fresh bread and the garlic knots.", "enjoyed the bread and garlic knots",
    "the bread stood out"),
    ("Best haircut I have had in years.", "report getting a great haircut", "haircuts are praised"),
    ("The room was spotless and quiet.", "found the rooms clean and quiet", "rooms are clean"),
    ("Great selection of used novels.", "appreciate the selection of used novels", "the selection is good"),
    ("The coach explained every exercise with patience.", "like the patient coaching", "coaches are patient"),
    ("Our tacos came out hot and full of flavor.", "describe the tacos as flavorful", "tacos are tasty"),
    ("I come here every Sunday for the pancakes.", "like the pancakes", "pancakes are a favorite"),
    ("The owner greeted us and showed us around.", "were welcomed by the owner", "the owner is welcoming"),
)  # fmt: skip
_POOR = (
    ("We waited 45 minutes for our food.", "complain about long waits", "wait of 45 minutes"),
    ("The soup was cold and the server ignored us.",
    "were disappointed by cold soup and inattentive service", "cold soup"),
    ("They charged me twice and never called back.", "report billing problems", "double charge"),
    ("Parking is a nightmare on weekends.", "find parking difficult", "hard to park"),
    ("My nails chipped after two days.", "say that the polish chipped quickly", "chipped nails"),
    ("The air conditioning was broken.", "mention broken air conditioning", "no cooling"),
    ("The bike they sold me had a bent wheel.", "received a faulty bike", "bent wheel"),
)  # fmt: skip
_LOOSE = (
    "a great place for a date night", "live music on weekends", "a wide selection of craft beers",
    "vegan and gluten-free options", "a loyalty program for regular guests", "daily specials", "a kids menu",
    "free samples", "a rooftop terrace", "private rooms for events", "handmade desserts", "a full bar",
)  # fmt: skip
_FIRST = [
    "Golden",
    "Blue",
    "Corner",
    "Harbor",
    "Maple",
    "Little",
    "Grand",
    "Sunny",
    "Old",
    "Royal",
    "Green",
    "Silver",
]
_SECOND = [
    "Spoon",
    "Lantern",
    "House",
    "Fork",
    "Garden",
    "Anchor",
    "Pine",
    "Table",
    "Mirror",
    "Wheel",
    "Page",
    "Loft",
]


def record(chance: random.Random) -> dict:
    kind = chance.choice(list(_KINDS))
    city, short, _ = chance.choice(_CITIES)
    name = f"{chance.choice(_FIRST)} {chance.choice(_SECOND)}"
    flags = {
        key: chance.choice((True, False, None, True))
        for key in chance.sample(list(_FLAGS), chance.randint(3, 7))
    }
    attributes: dict = dict(flags)
    parking = {one: chance.random() < 0.35 for one in _PARKING}
    attributes["BusinessParking"] = chance.choice((parking, parking, None))
    attributes["WiFi"] = chance.choice(("free", "no", None, "paid"))
    if kind == "restaurant":
        attributes["Ambience"] = {one: chance.random() < 0.2 for one in _AMBIENCE}
    attributes["Music"] = chance.choice((None, None, {"dj": False, "live": True, "jukebox": False}))
    good, poor = chance.sample(_GOOD, 2), chance.sample(_POOR, 1)
    reviews = [*good, *poor][: chance.randint(1, 3)]
    return {
        "name": name,
        "address": f"{chance.randint(2, 9800)} {chance.choice(('Main St', 'Oak Ave', 'Lake Rd', 'State St', 'Hill Blvd'))}",
        "city": city,
        "state": short,
        "categories": chance.choice(_KINDS[kind]),
        "hours": _hours(chance),
        "attributes": attributes,
        "business_stars": chance.choice((2.5, 3.0, 3.5, 4.0, 4.5, 5.0)),
        "review_info": [
            {
                "review_stars": float(chance.randint(4, 5) if one in good else chance.randint(1, 2)),
                "review_date": f"202{chance.randint(0, 2)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02} 18:02:11",
                "review_text": f"{one[0]} {chance.choice(('Will be back.', 'Not sure I would return.', 'Five of us went.'))}",
            }
            for one in reviews
        ],
        "_reviews": reviews,
    }  # fmt: skip


def _hours(chance: random.Random) -> dict | None:
    if chance.random() < 0.1:
        return None
    opens, closes = chance.randint(7, 12), chance.randint(17, 23)
    late = min(23, closes + chance.choice((0, 0, 1, 2)))
    days = [day for day in _DAYS if day != "Monday" or chance.random() < 0.7]
    return {
        day: f"{opens}:0-{late if day in ('Friday', 'Saturday') else closes}:{chance.choice((0, 0, 0, 30)) if day == 'Sunday' else 0}"
        for day in days
    }


def clock(hour: int, minute: int = 0) -> str:
    half = "AM" if hour < 12 else "PM"
    return f"{(hour - 1) % 12 + 1}{f':{minute:02}' if minute else ''} {half}"


Said = tuple[str, tuple[int, int] | None]


def _marked(before: str, bad: str | None, after: str) -> Said:
    text = before + (bad or "") + after
    return text, (len(before), len(before) + len(bad)) if bad is not None else None


def opening(row: dict, chance: random.Random, *, bad: bool) -> Said:
    long = next(one[2] for one in _CITIES if one[1] == row["state"])
    kind = row["categories"].split(", ")[0 if chance.random() < 0.5 else -1]
    street = (
        f"{row['address']} ".replace(" St ", " Street ")
        .replace("Ave", "Avenue")
        .replace("Rd", "Road")
        .strip()
    )
    shape = chance.choice((
        "{} is a popular {} establishment located at {} in {}, {}.", "{} is a {} business situated at {}, {}, {}.",
        "Located at {2} in {3}, {4}, {0} is a well-known {1} spot.", "{0}, a {1} place, can be found in {3}, {4}.",
    ))  # fmt: skip
    if not bad:
        return shape.format(row["name"], kind, street, row["city"], long), None
    other = chance.choice([one for one in _CITIES if one[0] != row["city"]])
    text = shape.format(row["name"], kind, street, other[0], other[2])
    at = text.find(other[0])
    return text, (at, at + len(f"{other[0]}, {other[2]}"))


def opened(row: dict, chance: random.Random, *, bad: bool) -> Said | None:
    hours = row["hours"]
    if not hours:
        return _marked("It is open ", "seven days a week from 9 AM to 5 PM", ".") if bad else None
    day = chance.choice(list(hours))
    first, last = (tuple(map(int, part.split(":"))) for part in hours[day].split("-"))
    same = [one for one in hours if hours[one] == hours[day]]
    at = same.index(day)
    run = same[at : at + 1]
    while len(run) + at < len(same) and _DAYS.index(same[at + len(run)]) == _DAYS.index(run[-1]) + 1:
        run.append(same[at + len(run)])
    when = f"from {run[0]} to {run[-1]}" if len(run) > 2 else " and ".join(run)
    when = when if len(run) > 2 else f"on {when}"
    if not bad:
        shape = chance.choice((
            "It is open {} from {} to {}.", "The hours {} are {} - {}.", "The business operates {}, opening at {} and closing at {}.",
        ))  # fmt: skip
        return shape.format(when, clock(*first), clock(*last)), None
    wrong = clock((last[0] + chance.choice((-2, -1, 1, 2))) % 24, last[1])
    if chance.random() < 0.3 and len(hours) < 7:
        return _marked("It operates ", "every day of the week", f" and closes at {clock(*last)}.")
    return _marked(f"It is open {when} from {clock(*first)} to ", wrong, ".")


def flag(row: dict, chance: random.Random, *, bad: bool) -> Said | None:
    flags = [key for key in row["attributes"] if key in _FLAGS]
    known = [key for key in flags if row["attributes"][key] is not None]
    pick = chance.choice(flags if bad else known) if (flags if bad else known) else None
    if pick is None:
        return None
    _, yes, no = _FLAGS[pick]
    value = row["attributes"][pick]
    if value is None:
        return _marked("", chance.choice((yes, no)), ".")
    return _marked("", no if value else yes, ".") if bad else (f"{yes if value else no}.", None)


def parking(row: dict, chance: random.Random, *, bad: bool) -> Said | None:
    value = row["attributes"]["BusinessParking"]
    have = [one for one in _PARKING if value and value[one]]
    lack = [one for one in _PARKING if not value or not value[one]]
    if bad and lack:
        one = chance.choice(lack)
        return _marked("", f"{one.capitalize()} parking is available", " for customers.")
    if bad or not value:
        return None
    if not have:
        return "There is no designated parking.", None
    return f"{' and '.join(have).capitalize()} parking is available.", None


def wifi(row: dict, chance: random.Random, *, bad: bool) -> Said | None:
    value = row["attributes"]["WiFi"]
    texts = {"free": "Free WiFi is provided", "no": "There is no WiFi", "paid": "WiFi is available for a fee"}
    if bad:
        return _marked("", chance.choice([text for key, text in texts.items() if key != value]), ".")
    return (f"{texts[value]}.", None) if value else None


def stars(row: dict, chance: random.Random, *, bad: bool) -> Said:
    value = row["business_stars"]
    shape = chance.choice((
        ("It has an overall rating of ", " stars."), ("The business is rated ", " out of 5 stars by its customers."),
        ("With a rating of ", " stars, it is well regarded." if value > 3.5 else " stars, it receives mixed reviews."),
        ("Overall, it holds a ", "-star rating based on customer reviews."),
    ))  # fmt: skip
    told = f"{value:g}" if chance.random() < 0.6 else f"{value:.1f}"
    if not bad:
        return f"{shape[0]}{told}{shape[1]}", None
    wrong = chance.choice([one for one in (2.0, 2.5, 3.0, 3.5, 4.0, 4.5) if one != value])
    return _marked(shape[0], f"{wrong:g}", shape[1])


def review(row: dict, chance: random.Random, *, bad: bool) -> Said:
    known = row["_reviews"]
    head = chance.choice(("Customers ", "Reviewers ", "Some guests ", "In recent reviews, customers "))
    if not bad:
        return f"{head}{chance.choice(known)[1]}.", None
    if chance.random() < 0.5:
        return _marked("It also offers ", chance.choice(_LOOSE), ".")
    other = chance.choice([one for one in (*_GOOD, *_POOR) if one not in known])
    return _marked(head, other[1], ".")


def closing(row: dict, chance: random.Random, *, bad: bool) -> Said | None:
    if bad:
        return None
    good = row["business_stars"] >= 3.5
    name = row["name"]
    shapes = (
        f"Overall, {name} is {'a well-liked option' if good else 'a place with room for improvement'} in {row['city']}.",
        f"In conclusion, {name} receives {'positive feedback' if good else 'mixed feedback'} from its customers.",
        f"Despite some criticism, {name} remains an option for visitors of {row['city']}.",
    )
    return chance.choice(shapes), None


def ambience(row: dict, chance: random.Random, *, bad: bool) -> Said | None:
    value = row["attributes"].get("Ambience")
    if not value:
        return _marked("The atmosphere is ", chance.choice(_AMBIENCE), ".") if bad else None
    have, lack = [one for one in value if value[one]], [one for one in value if not value[one]]
    if bad and lack:
        return _marked("The ambience is ", chance.choice(lack), ".")
    return (f"The restaurant has a {' and '.join(have)} ambience.", None) if have and not bad else None


_SAYINGS: tuple[Callable[..., Said | None], ...] = (
    opening,
    opened,
    flag,
    flag,
    parking,
    wifi,
    stars,
    review,
    review,
    ambience,
)


def records(chance: random.Random, count: int) -> Iterator[Example]:
    """Prose about records, of three to eight sentences, more than half of it with something made up."""
    for number in range(count):
        row = record(chance)
        wanted = [opening, *chance.sample(_SAYINGS[1:], chance.randint(2, 7))]
        wrong = (
            set(chance.sample(range(len(wanted)), chance.choice((0, 0, 0, 1, 1, 2))))
            if len(wanted) > 2
            else set()
        )
        text, spans = "", []
        for at, saying in enumerate(wanted):
            said = saying(row, chance, bad=at in wrong)
            if said is None:
                continue
            if said[1] is not None:
                spans.append((len(text) + said[1][0], len(text) + said[1][1]))
            text += said[0] + " "
        if chance.random() < 0.5 and (last := closing(row, chance, bad=False)):
            text += last[0]
        shown = {key: value for key, value in row.items() if key != "_reviews"}
        written = chance.choice((json.dumps(shown), repr(shown), json.dumps(shown, indent=1)))
        yield Example(
            answer=text.strip(),
            evidence=(written,),
            bad=tuple(spans),
            group=f"record {number}",
            source="record",
            weight=0.7,
        )

"""The words, names and codes of papers: common ones, invented ones that can be pronounced, and random characters."""

import string
from collections.abc import Callable, Sequence

import numpy as np

from qwen2vl_demo.nano.world.scene import choose


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST_NAMES = _words("""
Anna Ben Clara David Emma Felix Grace Henry Iris Jack Karen Leo Maria Noah Olga Paul Rosa Sam Tina Uma Victor Wendy
Xavier Yusuf Zoe Ahmed Bianca Chen Diego Elif Fatima George Hana Ivan Julia Kofi Laura Marco Nina Omar Priya Quentin
Ravi Sofia Tom Ursula Vera Will Yuki Adam Carlos Eva Lena Mia Peter Ruth Simon Tess Aisha Erik
""")
_LAST_NAMES = _words("""
Keller Smith Jones Garcia Brown Novak Silva Rossi Meyer Khan Tanaka Olsen Dubois Kumar Wagner Lopez Cohen Ivanov
Larsen Moreau Walsh Peters Stone Fischer Adams Baker Clark Evans Foster Gray Hill Hughes King Lee Morgan Nelson Owens
Price Reed Scott Turner Vance Ward Young Bauer Costa Duarte Eriksen Fontana Horvat Jansen Kowalski Lindt Marino Nguyen
Okafor Petrov Quinn Romero Sato Takeda Weber Zhang
""")
_GOODS = _words("""
Tea Coffee Milk Bread Butter Cheese Eggs Rice Sugar Salt Flour Apples Bananas Pears Oranges Lemons Grapes Carrots
Onions Potatoes Tomatoes Lettuce Garlic Pasta Noodles Beans Soup Honey Jam Yogurt Cream Ham Salmon Tuna Chicken Beef
Water Juice Cola Beer Wine Chocolate Cookies Crackers Candy Soap Shampoo Towels Candles Batteries Notebook Pencil
Stapler Envelope Stamps Magazine Newspaper Umbrella Socks Gloves Scarf Lamp Bulb Cable Charger Mouse Keyboard Hammer
Nails Paint Brush Bucket Rope Tape Glue Seeds Flowers Pot Vase Plate Cup Spoon Fork Knife Pan Kettle Blanket Pillow
Bagel Muffin Croissant Sandwich Salad Pizza Burger Fries Taco Wrap Smoothie Espresso Latte Mocha Cocoa Donut Waffle
Pancakes Omelette Curry Risotto Lasagne Steak Ribs Shrimp Sushi Ramen Stew Pie Tart Sorbet Pudding Brownie
""")
_ADJECTIVES = _words("""
Red Green Blue White Dark Fresh Hot Cold Iced Grilled Baked Roast Fried Smoked Sweet Sour Spicy Mini Large Small
Organic House Garden Daily Double Extra Classic Creamy Crispy Vegan Whole Wild French Italian Thai Greek Old New
Golden Silver
""")
_PLACES = _words("""
London Paris Berlin Madrid Rome Oslo Vienna Prague Lisbon Dublin Zurich Geneva Milan Porto Krakow Athens Cairo Tokyo
Osaka Seoul Delhi Mumbai Lima Quito Bogota Boston Chicago Denver Austin Seattle Toronto Sydney Perth Nairobi Lagos
Accra Tunis Hamburg Munich Lyon Nice Leeds York Bath Turin Basel Bern Ghent Bergen Malmo Turku Riga Split Graz Izmir
Dakar Hanoi Manila Dallas Miami Reno
""")
_NOUNS = _words("""
Spring Summer Autumn Winter North South East West Team Plan Group Region Office Bus Train Plane Bike Car Ship Cats
Dogs Birds Fish Horses Gold Iron Copper Steel Wood Glass Paper Cotton Wool Oil Coal Gas Wind Solar Water Sales Costs
Income Profit Tax Rent Food Books Games Music Sport Travel Health School Garden River Lake Forest Island Coast Valley
Bridge Tower Castle Market Museum Station Library Theatre Harbour Studio Kitchen Cellar Roof Door Window Desk Chair
Table Shelf Screen Printer Camera Phone Tablet Router Server Client Budget Report Review Lesson Course Exam Grade
Score Level Round Match Goals Points Wins Losses Rank Speed Weight Height Length Width Depth Area Volume
""")
_STREETS = ("Street", "St.", "Road", "Rd", "Lane", "Avenue", "Ave", "Square", "Way", "Hill", "Park")
_SHOPS = ("Market", "Cafe", "Bakery", "Store", "Shop", "Books", "Deli", "Bistro", "Foods", "Kitchen", "& Co.", "Bar")
_ONSETS = _words("b c d f g h k l m n p r s t v w z br cr dr fl gr kl pl pr sh sk sl st th tr ch")
_VOWELS = _words("a e i o u a e i o u ai ea ee oo ou")
_CODAS = ["", "", "", "", *_words("l m n r s t k x"), "nd", "rt", "st", "ck"]
_DOMAINS = ("com", "org", "net", "de", "fr", "co.uk", "it", "io", "eu", "ch", "edu")
MONTHS = _words("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def invented_word(rng: np.random.Generator) -> str:
    """A word that nobody knows, of one to three syllables: "Tramol"."""
    parts = [choose(rng, _ONSETS) + choose(rng, _VOWELS) for _ in range(int(rng.integers(1, 4)))]
    return ("".join(parts) + choose(rng, _CODAS)).capitalize()


def code(rng: np.random.Generator, pattern: str = "") -> str:
    """A random code; A in a pattern is a letter, 9 a digit, x either one: "AA-9999"."""
    pattern = pattern or choose(rng, ("999", "9999", "A99", "AA-999", "AA9999", "A-99", "99-9999", "xxxx", "xxx-xxx"))
    signs = {"A": string.ascii_uppercase, "9": string.digits, "x": string.ascii_uppercase + string.digits}
    return "".join(choose(rng, signs[sign]) if sign in signs else sign for sign in pattern)


def _word(rng: np.random.Generator, words: Sequence[str], invented: float = 0.3) -> str:
    return invented_word(rng) if rng.random() < invented else choose(rng, words)


def noun(rng: np.random.Generator) -> str:
    return _word(rng, _NOUNS)


def place(rng: np.random.Generator) -> str:
    return _word(rng, _PLACES, 0.25)


def first_name(rng: np.random.Generator) -> str:
    return _word(rng, _FIRST_NAMES, 0.2)


def last_name(rng: np.random.Generator) -> str:
    return _word(rng, _LAST_NAMES, 0.3)


def full_name(rng: np.random.Generator) -> str:
    return f"{first_name(rng)} {last_name(rng)}"


def goods(rng: np.random.Generator, most: int = 40) -> str:
    """What is sold, of at most about `most` characters: "Iced tea", "Tramol 250g"."""
    dice, word = rng.random(), _word(rng, _GOODS, 0.2)
    if most < 12 or dice < 0.5:
        return word
    if dice < 0.72:
        return f"{_word(rng, _ADJECTIVES, 0.15)} {word if rng.random() < 0.3 else word.lower()}"
    if dice < 0.8:
        return f"{word} {choose(rng, ('250g', '500g', '1kg', '1L', '0.5L', 'XL', 'No. 4', '6 pcs', '2-pack'))}"
    if dice < 0.9:
        return f"{word} {choose(rng, ('with', 'and', '&'))} {_word(rng, _GOODS, 0.1).lower()}"
    return f"{last_name(rng)}'s {word.lower()}"


def shop(rng: np.random.Generator, most: int = 40) -> str:
    """The name of a shop: "Keller's", "Blue Tower Cafe"."""
    dice = rng.random()
    if most < 12 or dice < 0.2:
        return invented_word(rng)
    if dice < 0.45:
        return f"{last_name(rng)}'s {choose(rng, _SHOPS[:-3])}"
    if dice < 0.75:
        return f"{choose(rng, _ADJECTIVES)} {noun(rng)}"
    return f"{noun(rng)} {choose(rng, _SHOPS)}"


def street(rng: np.random.Generator) -> str:
    number, name = int(rng.integers(1, 240)), choose(rng, (last_name, noun, place))(rng)
    return f"{number} {name} {choose(rng, _STREETS)}"


def mail(rng: np.random.Generator) -> str:
    name, host = first_name(rng).lower(), choose(rng, (noun, last_name, place))(rng).lower()
    user = choose(
        rng,
        (name, f"{name}.{last_name(rng).lower()}", f"{name[0]}.{last_name(rng).lower()}", f"{name}{code(rng, '99')}"),
    )
    return f"{user}@{host}.{choose(rng, _DOMAINS)}"


def website(rng: np.random.Generator) -> str:
    return f"{choose(rng, ('www.', '', 'www.'))}{noun(rng).lower()}-{noun(rng).lower()}.{choose(rng, _DOMAINS)}"


def phone(rng: np.random.Generator) -> str:
    return code(
        rng, choose(rng, ("999-9999", "(999) 999-9999", "+99 99 999 9999", "9999 999999", "999 999 999", "+9 999 9999"))
    )


def date(rng: np.random.Generator) -> str:
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(12)), int(rng.integers(1950, 2031))
    forms = (
        f"{day:02}/{month + 1:02}/{year}",
        f"{day}.{month + 1}.{year}",
        f"{year}-{month + 1:02}-{day:02}",
        f"{day} {MONTHS[month]} {year}",
        f"{MONTHS[month]} {day}, {year}",
        f"{month + 1}/{day}/{year % 100:02}",
    )
    return choose(rng, forms)


def clock(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(24)):02}:{int(rng.integers(60)):02}"


def _measure(low: int, high: int, *units: str) -> Callable[[np.random.Generator], str]:
    def value(rng: np.random.Generator) -> str:
        number = int(rng.integers(low, high))
        text = f"{number / 10:.1f}" if rng.random() < 0.4 else str(number)
        return f"{text} {choose(rng, units)}"

    return value


def _among(*options: str) -> Callable[[np.random.Generator], str]:
    return lambda rng: choose(rng, options)


def _coded(*patterns: str) -> Callable[[np.random.Generator], str]:
    return lambda rng: code(rng, choose(rng, patterns))


def price_format(rng: np.random.Generator) -> Callable[[int], str]:
    """How a paper writes an amount in cents: "$4.50", "4.50", "EUR 4,50", ..."""
    form = choose(
        rng, ("${}", "${}", "${}", "{}", "{}", "EUR {}", "{} EUR", "USD {}", "GBP {}", "CHF {}", "{} kr", "Fr. {}")
    )
    comma = rng.random() < 0.1

    def write(cents: int) -> str:
        text = f"{cents / 100:.2f}"
        return form.format(text.replace(".", ",") if comma else text)

    return write


_some_price = lambda rng: price_format(rng)(int(rng.integers(50, 90000)))  # noqa: E731
_number = _coded("9999", "99999", "A-9999", "AA 9999", "99-999", "xxxxxx")
# How a key is said, how it is printed, and its values.
KeyKind = tuple[str, tuple[str, ...], Callable[[np.random.Generator], str]]
FORM_KEYS: tuple[KeyKind, ...] = (
    ("name", ("Name", "Full name"), full_name),
    ("first name", ("First name", "Given name"), first_name),
    ("last name", ("Last name", "Surname", "Family name"), last_name),
    ("phone number", ("Phone", "Tel", "Tel.", "Telephone", "Phone number", "Phone no."), phone),
    ("mobile number", ("Mobile", "Cell", "Mobile no."), phone),
    ("fax number", ("Fax", "Fax no."), phone),
    ("e-mail address", ("E-mail", "Email", "E-mail address", "Email address", "Mail"), mail),
    ("website", ("Web", "Website", "Web site", "Homepage"), website),
    ("address", ("Address", "Street", "Street address"), street),
    ("city", ("City", "Town"), place),
    ("postcode", ("ZIP", "Postcode", "Postal code", "ZIP code"), _coded("99999", "9999", "AA9 9AA", "A9A 9A9")),
    ("country", ("Country",), place),
    ("date", ("Date",), date),
    ("date of birth", ("Date of birth", "Born", "Birthday"), date),
    ("order number", ("Order no.", "Order number", "Order", "Order #"), _number),
    ("invoice number", ("Invoice no.", "Invoice number", "Invoice"), _number),
    ("customer number", ("Customer no.", "Customer ID", "Client no."), _number),
    ("reference", ("Reference", "Ref.", "Ref"), _number),
    ("account number", ("Account no.", "Account"), _coded("9999 9999", "99999999", "99-999-9")),
    ("password", ("Password", "PIN"), _coded("xxxxxx", "9999", "Axx9xx")),
    ("company", ("Company", "Firm"), shop),
    ("department", ("Department", "Dept.", "Unit"), noun),
    ("position", ("Position", "Job title", "Job"), noun),
    ("room", ("Room", "Room no."), _coded("999", "A99", "9.99")),
    ("status", ("Status", "State"), _among("Open", "Paid", "Sent", "New", "Closed", "Pending", "Active", "Draft")),
    ("quantity", ("Quantity", "Qty", "Amount"), _coded("99", "9", "999")),
    ("price", ("Price",), _some_price),
    ("colour", ("Colour", "Color"), _among("Red", "Green", "Blue", "Black", "White", "Silver", "Olive", "Beige")),
    ("size", ("Size",), _among("S", "M", "L", "XL", "38", "40", "42", "44")),
    ("age", ("Age",), _coded("99")),
    ("height", ("Height",), _measure(100, 210, "cm")),
    ("contact", ("Contact", "Contact person"), full_name),
    ("doctor", ("Doctor", "Physician"), full_name),
    ("time", ("Time",), clock),
    ("user name", ("User", "Username", "User name", "Login"), lambda rng: mail(rng).split("@")[0]),
    ("serial number", ("Serial no.", "S/N", "Serial number"), _coded("AA99999", "xxxxxxxx", "999-xxx-99")),
    ("model", ("Model", "Type"), _coded("AA-99", "A999", "AA 99A")),
)
TICKET_KEYS: tuple[KeyKind, ...] = (
    ("start", ("From", "Departure"), place),
    ("destination", ("To", "Destination"), place),
    ("seat", ("Seat", "Seat no."), _coded("99A", "9A", "99")),
    ("gate", ("Gate",), _coded("A9", "A99", "99")),
    ("flight", ("Flight", "Flight no."), _coded("AA999", "AA 9999")),
    ("train", ("Train", "Train no."), _coded("AAA 99", "A99", "9999")),
    ("platform", ("Platform", "Track"), _coded("9", "99", "9A")),
    ("class", ("Class",), _among("1", "2", "First", "Second", "Economy", "Business")),
    ("coach", ("Coach", "Carriage", "Wagon"), _coded("9", "99", "A")),
    ("row", ("Row",), _coded("99", "A", "9")),
    ("passenger", ("Passenger", "Passenger name"), full_name),
    ("date", ("Date",), date),
    ("boarding time", ("Boarding", "Boarding time"), clock),
    ("price", ("Price", "Fare"), _some_price),
    ("ticket number", ("Ticket no.", "Ticket", "Ticket #"), _number),
    ("weight", ("Weight", "Net weight", "Wt."), _measure(2, 900, "kg", "g", "lb", "oz")),
    ("sender", ("Sender",), full_name),
    ("receiver", ("Receiver", "Recipient", "Ship to"), full_name),
    ("tracking number", ("Tracking no.", "Tracking", "Tracking #"), _coded("99 9999 9999", "AA999999")),
    ("zone", ("Zone",), _coded("9", "A", "A9")),
    ("hall", ("Hall", "Screen"), _coded("9", "A")),
    ("batch", ("Batch", "Lot", "Batch no."), _coded("A9999", "xxxxx")),
    ("best before date", ("Best before", "Use by"), date),
)

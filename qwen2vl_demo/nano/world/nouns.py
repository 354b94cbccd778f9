"""The everyday things that are drawn as icons: their nouns, kinds and plurals.

`NOUNS` maps a noun to the names of its icons in the icon sets of `icons.py`; some sets lack some of them. A noun is one
word, so that it is one token. `KIND_OF` maps a noun to "animal", "fruit", "vehicle" or "flower" if it is one.
"""

from collections.abc import Iterator

# By kind; "thing" stands for none.
_TABLE = """
animal: cat cat-face; dog dog-face; horse horse-face; cow cow-face; pig pig-face; mouse mouse-face; rabbit rabbit-face;
    monkey monkey-face; tiger tiger-face; bear; panda; koala; lion; fox; wolf; frog; penguin; owl; duck; rooster; bird;
    elephant; camel; snail; snake; turtle; octopus; crab; fish tropical-fish; whale spouting-whale; dolphin;
    bee=honeybee; ant; spider; butterfly; bat; unicorn
fruit: apple=red-apple green-apple; banana; lemon; pear; peach; strawberry; pineapple; watermelon
thing: carrot; tomato; mushroom; egg; pizza; burger=hamburger; cookie; cake=birthday-cake shortcake
vehicle: car=automobile sport-utility-vehicle; taxi; bus; truck=delivery-truck articulated-lorry; tractor;
    train=locomotive; bicycle; motorcycle; plane=airplane small-airplane; helicopter; rocket; boat=sailboat; ambulance
thing: hammer; wrench; key old-key; lock=locked; umbrella umbrella-with-rain-drops; clock=alarm-clock mantelpiece-clock;
    watch; camera; phone=telephone; laptop; television; book=closed-book green-book blue-book; pencil; lamp=light-bulb;
    candle; bell; guitar; drum; football=soccer-ball; basketball; gift=wrapped-gift; balloon; crown;
    hat=top-hat womans-hat; shoe=running-shoe mans-shoe; shirt=t-shirt; dress; door; anchor; bomb; skull; ghost;
    snowman; trophy
flower: sunflower; tulip; rose
thing: tree=deciduous-tree evergreen-tree; cactus; leaf=fallen-leaf maple-leaf; moon=crescent-moon; sun sun-with-face;
    cloud; rainbow; snowflake; house; castle; church; tent; envelope; bed
"""


def _read(table: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(kind, noun, icons) of entries `noun other-icon ...`, or `noun=icon other-icon ...` if its first icon is not
    called like the noun."""
    for line in table.strip().replace("\n    ", " ").splitlines():
        kind, entries = line.split(": ", 1)
        for entry in entries.split(";"):
            first, *others = entry.split()
            noun, _, icon = first.partition("=")
            yield kind, noun, (icon or noun, *others)


NOUNS = {noun: drawings for _, noun, drawings in _read(_TABLE)}
KIND_OF = {noun: kind for kind, noun, _ in _read(_TABLE) if kind != "thing"}
NOUN_KINDS = tuple(sorted(set(KIND_OF.values())))
PLURALS = {"mouse": "mice", "wolf": "wolves", "leaf": "leaves", "fish": "fish", "snowman": "snowmen"}

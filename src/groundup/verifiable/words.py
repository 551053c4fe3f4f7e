"""The closed vocabulary of the tasks: common, short English words, each with exactly one meaning here.

All families share this small set of words, so that a tiny model sees each word often and in many roles. No word is in
two lists of `KINDS`, so the kind of a word is unique.
"""

KINDS: dict[str, tuple[str, ...]] = {
    "animal": tuple("dog cat bird horse cow pig sheep duck mouse bear snake monkey".split()),
    "food": tuple("pizza bread cake cheese egg rice soup pasta salad butter bacon apple".split()),
    "color": tuple("red blue green yellow black white pink purple brown gray".split()),
    "place": tuple("school church office park beach store library gym bank farm".split()),
    "drink": tuple("water milk juice coffee tea beer".split()),
    "job": tuple("teacher doctor writer singer actor driver".split()),
    "vehicle": tuple("car bus train plane boat bike van".split()),
    "sport": tuple("soccer tennis golf football basketball".split()),
}
KIND_OF: dict[str, str] = {word: kind for kind, words in KINDS.items() for word in words}

THINGS = tuple("book phone key bag cup box map ball clock pen hat ring".split())
WORDS = (*KIND_OF, *THINGS)  # the items of lists
COUNTABLE = (*KINDS["animal"], *KINDS["job"], *KINDS["vehicle"], *THINGS)  # "one …, two …s"

MEN = tuple("Adam Tom John Sam David James Jack Ben Kevin Peter".split())
WOMEN = tuple("Sarah Mary Kate Emily Emma Rachel Jane Lucy Amy Anna".split())
NAMES = (*MEN, *WOMEN)

DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())

OPPOSITES: dict[str, str] = dict(
    pair.split("/")
    for pair in "big/small hot/cold old/new good/bad fast/slow long/short hard/easy clean/dirty full/empty "
    "happy/sad rich/poor loud/quiet strong/weak high/low early/late open/closed".split()
)
OPPOSITES |= {second: first for first, second in OPPOSITES.items()}
ADJECTIVES = tuple(OPPOSITES)

PAST: dict[str, str] = dict(
    pair.split("/")
    for pair in "walk/walked play/played talk/talked work/worked cook/cooked wait/waited help/helped "
    "look/looked stay/stayed start/started dance/danced smile/smiled study/studied stop/stopped "
    "go/went eat/ate run/ran swim/swam sing/sang sleep/slept sit/sat write/wrote drive/drove speak/spoke".split()
)

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBERS: tuple[str, ...] = (
    *_SMALL,
    *(f"{ten} {unit}" if unit != "zero" else ten for ten in _TENS for unit in _SMALL[:10]),
)  # NUMBERS[42] == "forty two"
VALUE_OF: dict[str, int] = {word: value for value, word in enumerate(NUMBERS)}


def article(word: str) -> str:
    """Return the word with its indefinite article: "an animal", "a dog"."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def plural(noun: str) -> str:
    """Return the plural of one of the nouns in this module."""
    irregular = {"mouse": "mice", "sheep": "sheep"}
    if noun in irregular:
        return irregular[noun]
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")

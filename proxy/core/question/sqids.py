"""Short ids of runs (sqids.org) read: the upstream writes a run's number so in the addresses of its pages.

Its alphabet is the library's own. A text that was never made by the library can denote a number as well, so that one run has
many spellings.
"""

from functools import cache

# The upstream's numbers are doubles, which are exact up to here.
_MOST = 2**53
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def run_of_sqid(text: str) -> int | None:
    """Return the number that a short id denotes (the first one, where it holds several); None for a text that holds none.

    A number beyond 2^53 is none, as the upstream could not tell it from its neighbours.
    """
    alphabet = _shuffled()
    if not text or any(character not in alphabet for character in text):
        return None
    # The first character says how far the alphabet is turned; of what is left, read backwards, the first one separates numbers.
    turn = alphabet.index(text[0])
    separator, *digits = reversed(alphabet[turn:] + alphabet[:turn])
    number, found = 0, False
    for character in text[1:]:
        if character == separator:
            break
        number, found = number * len(digits) + digits.index(character), True
        if number > _MOST:
            return None
    return number if found else None


@cache
def _shuffled() -> str:
    """Return the alphabet as the library shuffles it."""
    letters = list(_ALPHABET)
    size = len(letters)
    for low in range(size - 1):
        high = size - 1 - low
        other = (low * high + ord(letters[low]) + ord(letters[high])) % size
        letters[low], letters[other] = letters[other], letters[low]
    return "".join(letters)

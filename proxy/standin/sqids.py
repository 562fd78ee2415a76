"""Sqids with the default alphabet (https://sqids.org): the upstream's catch-all route reads names so, its URLs hold them."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def decode_first(text: str) -> int | None:
    """The first number of a sqid; None for what isn't one."""
    alphabet = _shuffle(_ALPHABET)
    if not text or any(character not in alphabet for character in text):
        return None
    offset = alphabet.index(text[0])
    reversed_alphabet = (alphabet[offset:] + alphabet[:offset])[::-1]
    separator, digits = reversed_alphabet[0], reversed_alphabet[1:]
    chunk = text[1:].partition(separator)[0]
    if not chunk:
        return None
    number = 0
    for character in chunk:
        number = number * len(digits) + digits.index(character)
    return number


def encode(number: int) -> str:
    """The sqid of one number that isn't negative; the list of words to avoid is left out."""
    alphabet = _shuffle(_ALPHABET)
    offset = (1 + ord(alphabet[number % len(alphabet)])) % len(alphabet)
    rotated = alphabet[offset:] + alphabet[:offset]
    digits = rotated[::-1][1:]
    text = ""
    while True:
        number, digit = divmod(number, len(digits))
        text = digits[digit] + text
        if not number:
            return rotated[0] + text


def _shuffle(alphabet: str) -> str:
    characters = list(alphabet)
    for i, j in zip(range(len(characters)), range(len(characters) - 1, 0, -1), strict=False):
        k = (i * j + ord(characters[i]) + ord(characters[j])) % len(characters)
        characters[i], characters[k] = characters[k], characters[i]
    return "".join(characters)

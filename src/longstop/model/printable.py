"""Text that others wrote, made safe to be shown: what is stored is theirs, what a terminal does is not."""


def printable(text: str) -> str:
    """Text in which every character that is none to be seen is written as its escape, `\\x1b`.

    What a sender puts into an event, or a destination into its answer, ends up on the operator's terminal, where an
    escape sequence can forge lines, retitle the window or answer in the operator's name. Escaped are control characters
    (C0, DEL, C1), line breaks of every kind, marks that turn the direction of writing or are not seen (the Unicode
    category Cf), halves of surrogate pairs, and what Unicode has not assigned.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)

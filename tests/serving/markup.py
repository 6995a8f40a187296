"""Reads a page as a strict reader would: what is open, what is named, what leads where."""

from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img"}
SHAPES = {"line", "rect", "path", "circle"}


class Markup(HTMLParser):
    """Elements of a page with their attributes, and what is wrong with its nesting."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.faults, self._open, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is not closed" for tag in self._open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if len(dict(attrs)) < len(attrs):
            self.faults.append(f"{tag} says an attribute twice")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        if tag not in SHAPES:
            self.faults.append(f"{tag} closes itself")
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"{tag} is closed and was not open")

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag):
        """Attributes of all elements of a kind."""
        return [attrs for name, attrs in self.elements if name == tag]

    def values(self, name):
        """Values of an attribute anywhere."""
        return [attrs[name] for _, attrs in self.elements if name in attrs]

    def text(self, tag):
        """Texts directly inside elements of a kind."""
        return [data.strip() for name, data in self.texts if name == tag and data.strip()]

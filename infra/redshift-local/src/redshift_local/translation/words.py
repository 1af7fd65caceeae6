"""Statements that are a few words, read word by word: transactions, settings, LOCK, VACUUM, COPY."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from redshift_local.translation.dialect import postgres
from redshift_local.translation.errors import syntax_error
from redshift_local.translation.names import refuse_name


class Words:
    """A statement's words from left to right; what is not expected is a syntax error at that word."""

    def __init__(self, tokens: list[Token], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 0

    @property
    def rest(self) -> list[Token]:
        """The words that were not read yet."""
        return self._tokens[self._at :]

    @property
    def left(self) -> bool:
        return self._at < len(self._tokens)

    def word(self) -> str:
        """The next word in capitals, without reading it; "" at the end and where it is a text or quoted."""
        token = self._tokens[self._at] if self.left else None
        if token is None or token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            return ""
        return token.text.upper()

    def take(self, *words: str) -> bool:
        """Reads these words, all of them or none."""
        here = self._at
        for word in words:
            if self.word() != word:
                self._at = here
                return False
            self._at += 1
        return True

    def need(self, *words: str) -> None:
        if not self.take(*words):
            raise self.refusal()

    def one_of(self, *words: str) -> str:
        found = self.word()
        if found not in words:
            raise self.refusal()
        self._at += 1
        return found

    def string(self) -> str:
        if not self.left or self._tokens[self._at].token_type != TokenType.STRING:
            raise self.refusal()
        self._at += 1
        return self._tokens[self._at - 1].text

    def number(self) -> int:
        if not self.left or not self._tokens[self._at].text.isdigit():
            raise self.refusal()
        self._at += 1
        return int(self._tokens[self._at - 1].text)

    def is_string(self) -> bool:
        return self.left and self._tokens[self._at].token_type == TokenType.STRING

    def any_text(self) -> str:
        """The next word, text or number as it is."""
        if not self.left:
            raise self.refusal()
        self._at += 1
        return self._tokens[self._at - 1].text

    def identifier(self) -> str:
        """A word in any case, or a name in quotes."""
        token = self._tokens[self._at] if self.left else None
        if token is None or not (
            token.token_type == TokenType.IDENTIFIER
            or token.text.replace("_", "a").replace("$", "a").replace("#", "a").isalnum()
        ):
            raise self.refusal()
        self._at += 1
        return "".join(c.lower() if c.isascii() else c for c in token.text)

    def _name(self) -> str:
        """A name that is no reserved word, unless it is in quotes."""
        token = self._tokens[self._at] if self.left else None
        name = self.identifier()
        refuse_name(name, quoted=token is not None and token.token_type == TokenType.IDENTIFIER)
        return name

    def names(self) -> list[str]:
        """A name of up to three parts."""
        parts = [self._name()]
        while self.take("."):
            parts.append(self.identifier())
        return parts

    def table(self) -> str:
        return ".".join(quoted(part) for part in self.names())

    def columns(self) -> list[str]:
        """Names in parentheses, or none."""
        found = []
        if self.take("("):
            found.append(self._name())
            while self.take(","):
                found.append(self._name())
            self.need(")")
        return found

    def end(self) -> None:
        if self.left:
            raise self.refusal()

    def refusal(self, hint: str = "") -> Exception:
        near = self._tokens[self._at].text if self.left else "end of input"
        return syntax_error(near, hint)


def quoted(name: str) -> str:
    return postgres(exp.to_identifier(name, quoted=True))

//! The characters of a pattern, with those between `\Q` and `\E` marked as quoted.
//!
//! Java does this (`Pattern.RemoveQEQuoting`) before it parses the pattern, so quotes work in classes
//! too, and a quantifier after `\E` belongs to the last quoted character.

/// A character of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// May be a metacharacter.
    Raw(char),
    /// Was between `\Q` and `\E`.
    Quoted(char),
}

#[derive(Debug)]
pub(super) struct Lexer {
    tokens: Vec<Token>,
    at: usize,
}

impl Lexer {
    pub(super) fn new(pattern: &str) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix("\\Q") {
                let (text, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                tokens.extend(text.chars().map(Token::Quoted));
                rest = after;
                continue;
            }
            tokens.push(Token::Raw(c));
            rest = &rest[c.len_utf8()..];
            // An escaped character cannot begin a quote: `\\Q` is a backslash and a Q.
            if c == '\\'
                && let Some(escaped) = rest.chars().next()
            {
                tokens.push(Token::Raw(escaped));
                rest = &rest[escaped.len_utf8()..];
            }
        }
        Self { tokens, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Whether these characters are next, unquoted.
    pub(super) fn sees(&self, text: &str) -> bool {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let mut rest = rest.iter();
        text.chars().all(|c| rest.next() == Some(&Token::Raw(c)))
    }

    /// Consumes these characters if they are next, unquoted.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let sees = self.sees(text);
        if sees {
            self.at += text.chars().count();
        }
        sees
    }

    /// Consumes an unquoted ASCII digit.
    pub(super) fn digit(&mut self) -> Option<u32> {
        let Some(Token::Raw(c)) = self.peek() else {
            return None;
        };
        let digit = c.to_digit(10)?;
        self.at += 1;
        Some(digit)
    }

    /// Consumes a number of ASCII digits; `None` if there is none or it is greater than `most`.
    pub(super) fn number(&mut self, most: u32) -> Option<u32> {
        let mut number = self.digit()?;
        while let Some(digit) = self.digit() {
            number = number.saturating_mul(10).saturating_add(digit);
        }
        (number <= most).then_some(number)
    }

    /// The next few characters, for a message.
    pub(super) fn shown(&self, count: usize) -> String {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let plain = |token: &Token| match *token {
            Token::Raw(c) | Token::Quoted(c) => c,
        };
        rest.iter().take(count).map(plain).collect()
    }
}

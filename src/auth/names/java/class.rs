//! Character classes, and escapes that denote characters, as read by `Pattern.clazz` and
//! `Pattern.escape` of Java.

use super::{
    error::PatternError,
    lexer::{Lexer, Token},
    set::CharSet,
};

/// The deepest nesting of classes and of groups. The parser is recursive; deeper input could overflow
/// the stack.
pub(super) const DEEPEST: usize = 32;

/// The meaning of an escape.
#[derive(Debug)]
pub(super) enum Escape {
    Char(char),
    Set(CharSet),
    /// Not a character: `\b`, `\1` …
    Other(char),
}

/// Reads an escape after its backslash.
pub(super) fn escape(lexer: &mut Lexer, any_case: bool) -> Result<Escape, PatternError> {
    let Some(Token::Raw(c)) = lexer.next() else {
        return Err(PatternError::Malformed("it ends in a backslash"));
    };
    let set = |pairs: &str, negated: bool| {
        let set = CharSet::pairs(pairs);
        Escape::Set(if negated { set.negated() } else { set })
    };
    Ok(match c {
        // ASCII, because Java's predefined classes are without UNICODE_CHARACTER_CLASS; those of the
        // engine are Unicode's.
        'd' | 'D' => set("09", c == 'D'),
        'w' | 'W' => set("azAZ09__", c == 'W'),
        's' | 'S' => set("  \t\r", c == 'S'),
        't' => Escape::Char('\t'),
        'n' => Escape::Char('\n'),
        'r' => Escape::Char('\r'),
        'f' => Escape::Char('\u{c}'),
        'a' => Escape::Char('\u{7}'),
        'e' => Escape::Char('\u{1b}'),
        'x' => Escape::Char(hex(lexer, 2).ok_or_else(|| PatternError::escape(c))?),
        'u' => Escape::Char(hex(lexer, 4).ok_or_else(|| PatternError::escape(c))?),
        'p' | 'P' => Escape::Set(property(lexer, c, any_case)?),
        'b' | 'B' | 'A' | 'z' | 'Z' | '1'..='9' => Escape::Other(c),
        c if c.is_ascii_alphanumeric() => return Err(PatternError::escape(c)),
        c => Escape::Char(c),
    })
}

fn hex(lexer: &mut Lexer, digits: usize) -> Option<char> {
    let mut code = 0;
    for _ in 0..digits {
        let Some(Token::Raw(c)) = lexer.next() else {
            return None;
        };
        code = code * 16 + c.to_digit(16)?;
    }
    char::from_u32(code)
}

/// `\p{…}`: only the POSIX classes, which are ASCII. Other properties depend on Unicode's tables, and
/// so on the version of Java.
fn property(lexer: &mut Lexer, letter: char, any_case: bool) -> Result<CharSet, PatternError> {
    let mut name = String::new();
    if lexer.eat("{") {
        loop {
            match lexer.next() {
                Some(Token::Raw('}')) => break,
                Some(Token::Raw(c)) if name.len() < 32 => name.push(c),
                Some(_) | None => return Err(PatternError::escape(letter)),
            }
        }
    }
    let pairs = match name.as_str() {
        // Java 15 changed whether these two ignore case under `(?i)`.
        "Lower" | "Upper" if any_case => {
            return Err(PatternError::Differs(
                "\\p{Lower} and \\p{Upper} under (?i)",
            ));
        }
        "Lower" => "az",
        "Upper" => "AZ",
        "ASCII" => "\0\u{7f}",
        "Alpha" => "azAZ",
        "Digit" => "09",
        "Alnum" => "azAZ09",
        "Punct" => "!/:@[`{~",
        "Graph" => "!~",
        "Print" => " ~",
        "Blank" => "  \t\t",
        "Cntrl" => "\0\u{1f}\u{7f}\u{7f}",
        "XDigit" => "09afAF",
        "Space" => "  \t\r",
        other => return Err(PatternError::escape(format_args!("{letter}{{{other}}}"))),
    };
    let set = CharSet::pairs(pairs);
    Ok(if letter == 'P' { set.negated() } else { set })
}

/// Reads a class after its `[`.
pub(super) fn class(
    lexer: &mut Lexer,
    any_case: bool,
    depth: usize,
) -> Result<CharSet, PatternError> {
    const OPEN: PatternError = PatternError::Malformed("a class has no closing `]`");
    if depth > DEEPEST {
        return Err(PatternError::Unsupported("[[[[…".into()));
    }
    let negated = lexer.eat("^");
    let mut set: Option<CharSet> = None;
    // Java 9 changed what `^` negates in a class that has a class or `&&` in it.
    let mut compound = false;
    loop {
        if lexer.peek().is_none() {
            return Err(OPEN);
        }
        // As in Java, a `]` at the beginning is a character of the class.
        if set.is_some() && lexer.eat("]") {
            break;
        }
        if lexer.eat("&&") {
            compound = true;
            let right = right_side(lexer, any_case, depth)?;
            let left = set.take().ok_or(PatternError::Differs("`[&&`"))?;
            set = Some(left.intersection(&right));
            if !lexer.eat("]") {
                return Err(PatternError::Differs("more than one `&&` in a class"));
            }
            break;
        }
        let more = if lexer.eat("[") {
            compound = true;
            class(lexer, any_case, depth + 1)?
        } else {
            range(lexer, any_case)?
        };
        set = Some(set.map_or_else(|| more.clone(), |set| set.union(&more)));
    }
    if negated && compound {
        return Err(PatternError::Differs("`[^…` with a class or `&&` in it"));
    }
    let set = set.unwrap_or_default();
    Ok(if negated { set.negated() } else { set })
}

/// The right side of `&&`: one class, or characters up to the end of the class.
fn right_side(lexer: &mut Lexer, any_case: bool, depth: usize) -> Result<CharSet, PatternError> {
    if lexer.eat("[") {
        return class(lexer, any_case, depth + 1);
    }
    let mut set = CharSet::default();
    while !lexer.sees("]") {
        if lexer.sees("[") || lexer.sees("&") || lexer.peek().is_none() {
            return Err(PatternError::Differs("what follows `&&` in a class"));
        }
        set = set.union(&range(lexer, any_case)?);
    }
    if set.is_empty() {
        return Err(PatternError::Differs("`&&]`"));
    }
    Ok(set)
}

/// A member of a class: one character, a range, or an escape for several characters.
fn range(lexer: &mut Lexer, any_case: bool) -> Result<CharSet, PatternError> {
    let cased = |set: CharSet| if any_case { set.in_any_case() } else { set };
    let first = match member(lexer, any_case)? {
        Escape::Char(c) => c,
        Escape::Set(set) => return Ok(set),
        Escape::Other(c) => return Err(PatternError::escape(c)),
    };
    // Before `]` and `[` the hyphen is an ordinary character.
    if !lexer.sees("-") || lexer.sees("-]") || lexer.sees("-[") {
        return Ok(cased(CharSet::of(first)));
    }
    lexer.next();
    match member(lexer, any_case)? {
        Escape::Char(last) if first <= last => Ok(cased(CharSet::range(first, last))),
        Escape::Char(_) | Escape::Set(_) | Escape::Other(_) => Err(PatternError::Malformed(
            "a range of a class ends before it begins",
        )),
    }
}

fn member(lexer: &mut Lexer, any_case: bool) -> Result<Escape, PatternError> {
    match lexer.next() {
        Some(Token::Raw('\\')) => escape(lexer, any_case),
        Some(Token::Raw(c) | Token::Quoted(c)) => Ok(Escape::Char(c)),
        None => Err(PatternError::Malformed("a class has no closing `]`")),
    }
}

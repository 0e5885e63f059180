//! `java.util.regex` on top of `fancy-regex`: what differs between the two is translated or refused,
//! so that a rule copied from a cluster never means something else here.
//!
//! Line ends need no care: names with control characters never reach a rule.

use std::fmt::Write as _;

use fancy_regex::Regex;

/// Why a pattern or replacement of a rule is refused.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It does not compile.
    #[error("the regular expression does not compile: {0}")]
    Syntax(#[from] Box<fancy_regex::Error>),
    /// A construct of Java's that is not known here.
    #[error("`{0}` is not supported in regular expressions here: write it out")]
    Unsupported(Box<str>),
    /// `$n` for a group that the pattern does not have, or `$` alone.
    #[error(
        "`$` in a replacement needs the number of a group of the pattern; write \\$ for a dollar"
    )]
    Group,
    /// A backslash at the end of the replacement.
    #[error("the replacement ends in a backslash")]
    Backslash,
}

/// Compiles for `Matcher.matches`: the whole text.
pub(super) fn compile_full(pattern: &str) -> Result<Regex, PatternError> {
    regex(&format!(r"\A(?:{})\z", translate(pattern)?))
}

/// Compiles for `Matcher.find`.
pub(super) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    regex(&translate(pattern)?)
}

fn regex(pattern: &str) -> Result<Regex, PatternError> {
    Regex::new(pattern).map_err(|e| PatternError::Syntax(Box::new(e)))
}

/// Rewrites a pattern of Java's in Rust's syntax.
fn translate(pattern: &str) -> Result<String, PatternError> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut depth = 0_usize; // of character classes
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => escape(after, depth > 0, &mut out)?,
            '[' => {
                depth += 1;
                let negated = after.strip_prefix('^');
                out.push_str(if negated.is_some() { "[^" } else { "[" });
                let inner = negated.unwrap_or(after);
                // first in a class, `]` and `:` (a POSIX class in Rust) are themselves
                match inner.chars().next() {
                    Some(first @ (']' | ':')) => {
                        out.push('\\');
                        out.push(first);
                        &inner[1..]
                    }
                    _ => inner,
                }
            }
            ']' if depth > 0 => {
                depth -= 1;
                out.push(']');
                after
            }
            // set operations of Rust's that Java does not have
            '-' | '~' if depth > 0 && after.starts_with(c) => {
                return Err(PatternError::Unsupported(format!("{c}{c}").into()));
            }
            '(' if depth == 0 => {
                flags(after)?;
                out.push('(');
                after
            }
            other => {
                out.push(other);
                after
            }
        };
    }
    Ok(out)
}

/// Lets groups, look-around and `(?i)` pass.
fn flags(after: &str) -> Result<(), PatternError> {
    let known = ["?:", "?=", "?!", "?<", "?>", "?i)", "?i:"];
    if after.starts_with('?') && !known.iter().any(|k| after.starts_with(k)) {
        let shown: String = after.chars().take(3).collect();
        return Err(PatternError::Unsupported(format!("({shown}").into()));
    }
    if after.starts_with('*') {
        return Err(PatternError::Unsupported("(*".into()));
    }
    Ok(())
}

/// Translates what follows a backslash and returns the rest.
fn escape<'p>(rest: &'p str, class: bool, out: &mut String) -> Result<&'p str, PatternError> {
    let unsupported = |what: &str| PatternError::Unsupported(format!("\\{what}").into());
    let Some(c) = rest.chars().next() else {
        return Err(unsupported(""));
    };
    let after = &rest[c.len_utf8()..];
    let literal = |out: &mut String, c: char| {
        let _ = write!(out, "\\x{{{:X}}}", c as u32);
    };
    let set = |out: &mut String, members: &str, negated: bool| {
        let _ = match (class, negated) {
            (true, false) => write!(out, "{members}"),
            (_, true) => write!(out, "[^{members}]"),
            (false, false) => write!(out, "[{members}]"),
        };
    };
    match c {
        // Java's are ASCII
        'd' | 'D' => set(out, "0-9", c == 'D'),
        'w' | 'W' => set(out, "a-zA-Z0-9_", c == 'W'),
        's' | 'S' => set(out, r"\x20\t\n\x0B\f\r", c == 'S'),
        't' => literal(out, '\t'),
        'n' => literal(out, '\n'),
        'r' => literal(out, '\r'),
        'f' => literal(out, '\u{c}'),
        'a' => literal(out, '\u{7}'),
        'e' => literal(out, '\u{1b}'),
        'A' | 'b' | 'B' | 'z' | '1'..='9' if !class => {
            out.push('\\');
            out.push(c);
        }
        'Z' if !class => out.push_str(r"\z"),
        'x' | 'u' => {
            let digits = if c == 'x' { 2 } else { 4 };
            let hex = after.get(..digits).ok_or_else(|| unsupported(rest))?;
            let code = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
            literal(out, code.ok_or_else(|| unsupported(rest))?);
            return Ok(&after[digits..]);
        }
        'Q' => {
            let (quoted, after) = after.split_once("\\E").unwrap_or((after, ""));
            quoted.chars().for_each(|c| literal(out, c));
            return Ok(after);
        }
        'p' | 'P' => {
            let property = after.strip_prefix('{').and_then(|a| a.split_once('}'));
            let (name, after) = property.ok_or_else(|| unsupported(rest))?;
            let members = match name {
                "Lower" => "a-z",
                "Upper" => "A-Z",
                "Alpha" => "a-zA-Z",
                "Digit" => "0-9",
                "Alnum" => "a-zA-Z0-9",
                "Punct" => r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
                "Space" => r"\x20\t\n\x0B\f\r",
                "L" | "Lu" | "Ll" | "N" | "Nd" | "P" | "S" | "Z" => {
                    let _ = write!(out, "\\{c}{{{name}}}");
                    return Ok(after);
                }
                other => return Err(unsupported(&format!("{c}{{{other}}}"))),
            };
            set(out, members, c == 'P');
            return Ok(after);
        }
        c if !c.is_alphanumeric() => literal(out, c),
        c => return Err(unsupported(c.encode_utf8(&mut [0; 4]))),
    }
    Ok(after)
}

/// A replacement of `Matcher.replaceFirst` and `replaceAll`.
#[derive(Debug)]
pub(super) struct Replacement(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(char),
    Group(usize),
}

impl Replacement {
    /// Reads `$1` and backslash escapes; groups must exist in `from`.
    pub(super) fn parse(text: &str, from: &Regex) -> Result<Self, PatternError> {
        let groups = from.captures_len() - 1;
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => parts.push(Part::Text(chars.next().ok_or(PatternError::Backslash)?)),
                '$' => {
                    let digit = |c: Option<&char>| c.and_then(|c| c.to_digit(10));
                    let mut group = digit(chars.peek()).ok_or(PatternError::Group)? as usize;
                    chars.next();
                    if group > groups {
                        return Err(PatternError::Group);
                    }
                    // as Java: more digits belong to it as long as such a group exists
                    while let Some(d) = digit(chars.peek()) {
                        let longer = group * 10 + d as usize;
                        if longer > groups {
                            break;
                        }
                        group = longer;
                        chars.next();
                    }
                    parts.push(Part::Group(group));
                }
                other => parts.push(Part::Text(other)),
            }
        }
        Ok(Self(parts))
    }

    /// Replaces the first or all matches.
    ///
    /// Unlike Rust's own, Java's search finds an empty match right after another match:
    /// `s/.*/x/g` gives `xx`.
    pub(super) fn replace(
        &self,
        from: &Regex,
        text: &str,
        all: bool,
    ) -> Result<String, fancy_regex::Error> {
        let mut out = String::with_capacity(text.len());
        let (mut copied, mut search) = (0, 0);
        while search <= text.len()
            && let Some(found) = from.captures_from_pos(text, search)?
            && let Some(whole) = found.get(0)
        {
            out.push_str(&text[copied..whole.start()]);
            for part in &self.0 {
                match part {
                    Part::Text(c) => out.push(*c),
                    Part::Group(n) => out.push_str(found.get(*n).map_or("", |m| m.as_str())),
                }
            }
            copied = whole.end();
            let next = text[copied..].chars().next().map_or(1, char::len_utf8);
            search = if whole.start() == whole.end() {
                copied + next
            } else {
                copied
            };
            if !all {
                break;
            }
        }
        out.push_str(&text[copied..]);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(pattern: &str, text: &str) -> bool {
        compile_full(pattern).unwrap().is_match(text).unwrap()
    }

    #[test]
    fn classes_are_ascii_as_in_java() {
        assert!(full(r"\d+", "42") && !full(r"\d+", "٤٢"));
        assert!(full(r"\w+", "a_1") && !full(r"\w+", "é"));
        assert!(full(r"[\w.-]+", "a.b-c") && !full(r"[\w.-]+", "a@b"));
        assert!(full(r"[^\d]+", "ab") && full(r"\D+", "ab") && full(r"[\D]+", "ab"));
        assert!(full(r"\p{Alpha}+", "ab") && !full(r"\p{Alpha}+", "é"));
    }

    #[test]
    fn quoting_and_first_brackets_are_literal() {
        assert!(full(r"\Qa.b[c\E.*", "a.b[cd") && !full(r"\Qa.b\E", "axb"));
        assert!(full("[]a]+", "]a]") && full("[[:a]b]+", ":ab"));
        assert!(full("[a-z&&[^b]]", "c") && !full("[a-z&&[^b]]", "b"));
    }

    #[test]
    fn look_around_and_possessive_quantifiers_work() {
        assert!(full("(?!root).*", "alice") && !full("(?!root).*", "root"));
        assert!(!full("a*+a", "aaa"));
        assert!(full("(?i)ALICE", "alice"));
    }

    #[test]
    fn an_alternative_is_wholly_inside_the_full_match() {
        assert!(!full("a|b", "bc") && full("a|b", "b"));
    }

    #[test]
    fn what_differs_from_java_is_refused() {
        for pattern in [
            r"\h",
            r"\R",
            r"\K",
            r"\G",
            "(?s).",
            "(?x) a",
            "[a--b]",
            r"\p{IsGreek}",
        ] {
            assert!(
                matches!(compile(pattern), Err(PatternError::Unsupported(_))),
                "{pattern}"
            );
        }
    }

    #[test]
    fn replacements_read_groups_as_java_does() {
        let with = |pattern: &str, to: &str, text: &str| {
            let from = compile(pattern).unwrap();
            Replacement::parse(to, &from).map(|to| to.replace(&from, text, false).unwrap())
        };
        assert_eq!(with("(.)(.)", "$2$1", "ab").unwrap(), "ba");
        assert_eq!(with("(.)", "$12", "ab").unwrap(), "a2b");
        assert_eq!(with("a", r"\$1", "a").unwrap(), "$1");
        assert_eq!(with("(x)?a", "<$1>", "a").unwrap(), "<>");
        assert!(matches!(with("a", "$1", "a"), Err(PatternError::Group)));
        assert!(matches!(with("a", "$", "a"), Err(PatternError::Group)));
        assert!(matches!(with("a", "\\", "a"), Err(PatternError::Backslash)));
    }
}

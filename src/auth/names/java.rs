//! `java.util.regex` on top of `fancy-regex`.
//!
//! A pattern is parsed by Java's grammar (`pattern`, `class`) and written in the syntax of the engine,
//! with every character class expanded to ranges (`set`, `write`). A pattern that the two engines, or
//! two versions of Java, would read differently is refused, so that a rule copied from a cluster never
//! has another meaning here. `integration/tests/names.rs` compares the result with Hadoop's own
//! `KerberosName`.

use fancy_regex::Regex;

mod class;
mod error;
mod lexer;
pub(super) mod pattern;
pub(super) mod set;
mod write;

pub use error::PatternError;
use pattern::Pattern;

#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) regex: Regex,
    pub(super) pattern: Pattern,
}

/// Compiles for `Matcher.matches`, which has to match the whole text.
pub(super) fn compile_full(pattern: &str) -> Result<Compiled, PatternError> {
    compiled(pattern, r"\A(?:", r")\z")
}

/// Compiles for `Matcher.find`.
pub(super) fn compile(pattern: &str) -> Result<Compiled, PatternError> {
    compiled(pattern, "", "")
}

fn compiled(pattern: &str, before: &str, after: &str) -> Result<Compiled, PatternError> {
    let pattern = Pattern::parse(pattern)?;
    // The anchors go around a group: in `\Aa|b\z` each would belong to one alternative.
    let mut text = before.to_owned();
    pattern.node.write(&mut text);
    text.push_str(after);
    let regex = Regex::new(&text).map_err(|error| PatternError::Syntax(Box::new(error)))?;
    Ok(Compiled { regex, pattern })
}

/// A replacement, as in `Matcher.replaceFirst` and `replaceAll`.
#[derive(Debug)]
pub(super) struct Replacement(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(char),
    Group(usize),
}

impl Replacement {
    /// Reads `$1` and backslash escapes; a group must exist in `from`.
    pub(super) fn parse(text: &str, from: &Regex) -> Result<Self, PatternError> {
        let groups = from.captures_len() - 1;
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                // In Java a backslash makes any character literal; `\n` is the letter n.
                '\\' => parts.push(Part::Text(chars.next().ok_or(PatternError::Backslash)?)),
                '$' => {
                    let digit = |c: Option<&char>| c.and_then(|c| c.to_digit(10));
                    let mut group = digit(chars.peek()).ok_or(PatternError::Group)? as usize;
                    chars.next();
                    if group > groups {
                        return Err(PatternError::Group);
                    }
                    // As in Java, further digits belong to the number as long as such a group exists:
                    // `$12` is group 12, or group 1 and the digit 2.
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

    /// Whether the replacement's own text has a blank.
    pub(super) fn writes_blank(&self) -> bool {
        self.0.iter().any(|part| match part {
            Part::Text(c) => c.is_whitespace(),
            Part::Group(_) => false,
        })
    }

    /// Replaces the first match, or all matches.
    ///
    /// `Regex::replace_all` is not used because Java's search, unlike that of Rust's engines, finds an
    /// empty match right after another match: `s/.*/x/g` gives `xx`.
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
            // After an empty match the search continues one character later; it would not end
            // otherwise.
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
    use proptest::prelude::*;

    use super::*;

    fn full(pattern: &str, text: &str) -> bool {
        compile_full(pattern).unwrap().regex.is_match(text).unwrap()
    }

    fn refused(pattern: &str) -> bool {
        compile(pattern).is_err()
    }

    #[test]
    fn classes_are_ascii_as_in_java() {
        assert!(full(r"\d+", "42") && !full(r"\d+", "٤٢"));
        assert!(full(r"\w+", "a_1") && !full(r"\w+", "é"));
        assert!(full(r"\s", " ") && !full(r"\s", "\u{a0}"));
        assert!(full(r"[\w.-]+", "a.b-c") && !full(r"[\w.-]+", "a@b"));
        assert!(full(r"[^\d]+", "ab") && full(r"\D+", "ab") && full(r"[\D]+", "ab"));
        assert!(full(r"\p{Alpha}+", "ab") && !full(r"\p{Alpha}+", "é"));
        assert!(full(r"[\p{Punct}&&[^@]]+", "!~") && !full(r"[\p{Punct}&&[^@]]+", "@"));
    }

    #[test]
    fn a_posix_class_in_brackets_is_the_set_of_its_letters() {
        assert!(full("[[:alpha:]]+", ":alpha:") && !full("[[:alpha:]]", "b"));
        assert!(full("[^:alpha:]+", "bcd"));
    }

    #[test]
    fn the_case_of_ascii_letters_only_is_ignored() {
        assert!(full("(?i)ALICE", "alice") && full("(?i)[a-c]+", "AbC"));
        assert!(!full("(?i)k", "\u{212a}") && !full("(?i)[a-z]", "\u{17f}"));
        assert!(!full("(?i)é", "É"));
        // The flag applies up to the end of the group, and to its other alternatives.
        assert!(full("(?:(?i)a|b)c", "Bc") && !full("(?:(?i)a|b)c", "BC"));
        assert!(full("a(?i:b)c", "aBc") && !full("a(?i:b)c", "aBC"));
    }

    #[test]
    fn quoted_characters_and_a_first_bracket_are_literal() {
        assert!(full(r"\Qa.b[c\E.*", "a.b[cd") && !full(r"\Qa.b\E", "axb"));
        assert!(full(r"\Qab\E*", "abb") && full(r"[\Q^]\E]+", "^]") && full(r"a\\Qb", r"a\Qb"));
        assert!(full("[]a]+", "]a]") && full("[[:a]b]+", ":ab"));
        assert!(full("[a-z&&[^b]]", "c") && !full("[a-z&&[^b]]", "b"));
        assert!(full("[a-z&&bc]", "c") && !full("[a-z&&bc]", "d"));
        assert!(full("[a-]+", "a-") && full("[-a]+", "a-") && full("[--/]", "."));
        assert!(full("[a&b]+", "&") && full("[ab[c-e]]+", "abcde"));
        assert!(full("[a~~]+", "~") && full("]}", "]}"));
    }

    #[test]
    fn look_around_and_possessive_quantifiers_are_supported() {
        assert!(full("(?!root).*", "alice") && !full("(?!root).*", "root"));
        assert!(!full("a*+a", "aaa") && full("a*+b", "aab") && !full("a{1,3}+a", "aaa"));
    }

    #[test]
    fn a_full_match_applies_to_every_alternative() {
        assert!(!full("a|b", "bc") && full("a|b", "b"));
    }

    #[test]
    fn a_word_boundary_is_that_of_java_for_ascii() {
        assert!(full(r".*\bb\b.*", "a.b.c") && compile(r"\bb").unwrap().pattern.ascii_only);
    }

    #[test]
    fn a_pattern_that_differs_from_java_or_between_its_versions_is_refused() {
        for pattern in [
            r"\h",
            r"\R",
            r"\K",
            r"\G",
            r"\v",
            r"\X",
            r"\x+5",
            r"\x{41}",
            r"\012",
            r"\cA",
            r"\b{g}",
            r"\p{IsGreek}",
            r"\p{L}",
            r"\pL",
            r"(?i)\p{Lower}",
            r"(?i)(a)\1",
            r"(a\1)",
            r"\1",
            "(?s).",
            "(?x) a",
            "(?u)a",
            "(?m)^",
            "(?<n>a)",
            "(?#a)",
            "(*a)",
            "(?P<n>a)",
            "[^a&&b]",
            "[^a[b]]",
            "[a&&b&&c]",
            "[a&&]",
            "[&&a]",
            "[a&&b[c]]",
            "(a*)*",
            "(a|)+",
            "(?:a?){2,}",
            r"(a?)\1*",
            "(a)?+",
            "(?:b(a))++",
            "(?>(a))",
        ] {
            assert!(refused(pattern), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_java_refuses_is_refused() {
        for pattern in [
            "(", ")", "(a", "a)", "[", "[]", "[a", "[z-a]", "a**", "*", "a{", "a{x}", "a{2,1}",
            "{1}", "a{2}{3}", "^*", "(?=a)*", "(?i)*", "+", "a|*", r"\", r"a\", r"\y", r"[\b]",
            r"\E", r"[a-\d]",
        ] {
            assert!(refused(pattern), "{pattern}");
        }
    }

    #[test]
    fn replacements_refer_to_groups_as_in_java() {
        let with = |pattern: &str, to: &str, text: &str| {
            let from = compile(pattern).unwrap().regex;
            Replacement::parse(to, &from).map(|to| to.replace(&from, text, false).unwrap())
        };
        assert_eq!(with("(.)(.)", "$2$1", "ab").unwrap(), "ba");
        assert_eq!(with("(.)", "$12", "ab").unwrap(), "a2b");
        assert_eq!(with("b", "<$0>", "abc").unwrap(), "a<b>c");
        assert_eq!(with("a", r"\$1", "a").unwrap(), "$1");
        assert_eq!(with("(x)?a", "<$1>", "a").unwrap(), "<>");
        assert!(matches!(with("a", "$1", "a"), Err(PatternError::Group)));
        assert!(matches!(with("a", "$", "a"), Err(PatternError::Group)));
        assert!(matches!(with("a", "${n}", "a"), Err(PatternError::Group)));
        assert!(matches!(with("a", "\\", "a"), Err(PatternError::Backslash)));
    }

    proptest! {
        #[test]
        fn an_accepted_pattern_compiles_and_never_panics(
            pattern in r"([abAZ019.^$|()*+?{}\[\]&:,~_ -]|\\.|\(\?[i:=!<>]|\[\^|&&|\{[0-9],?[0-9]?\}){0,12}",
            any in ".{0,12}",
            text in "[abAZ0@. ]{0,8}",
        ) {
            for pattern in [pattern, any] {
                match compile(&pattern) {
                    Ok(compiled) => { let _ = compiled.regex.is_match(&text); }
                    // The engine itself refuses only look-behind, sizes and the like.
                    Err(PatternError::Syntax(error)) => {
                        prop_assert!(pattern.contains("(?<") || pattern.contains('{'), "{pattern} {error}");
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

//! Texts that are valid user names, independent of the rules.
//!
//! Names are sent in queries and headers and written to logs. A character that a server trims, drops,
//! does not show or writes in two ways could turn one user into another, so a name with one is refused.

/// Whether this is a valid name. With `simple`, it may not hold `/` and `@` either.
pub(super) fn is_name(text: &str, simple: bool) -> bool {
    // Servers trim header values and query fields: "alice " became alice.
    let trimmed = text.trim_matches(' ').len() == text.len();
    // A name may become a segment of a path, where these two have another meaning.
    let relative = matches!(text, "" | "." | "..");
    trimmed && !relative && text.chars().all(is_plain) && !(simple && text.contains(['/', '@']))
}

/// Whether a component or realm of a principal may become part of a name.
pub(super) fn is_part(text: &str) -> bool {
    is_name(text, true)
}

fn is_plain(c: char) -> bool {
    let odd = c == '\\' // the escape character of a principal's text form
        || c.is_control()
        || (c.is_whitespace() && c != ' ') // includes the line ends of Java's expressions
        || is_invisible(c)
        || matches!(c, '\u{FFFD}' | '\u{FDD0}'..='\u{FDEF}' | '\u{FFFE}' | '\u{FFFF}')
        // In Java these are two UTF-16 units, and an empty match can lie between the two.
        || c > '\u{FFFF}';
    !odd
}

/// Unicode's format characters: joiners, direction marks, soft hyphen, byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}'
        | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}')
}

/// `String.toLowerCase(Locale.ENGLISH)`; `None` where its result depends on the version of Java,
/// which brings its own version of Unicode.
pub(super) fn lower_case(text: &str) -> Option<String> {
    let known = |c: char| {
        let changes = !c.to_lowercase().eq([c]);
        // Letters whose lower case is the same in every version of Unicode that a supported Java has.
        let old = matches!(c, '\0'..='\u{24F}' | '\u{388}'..='\u{3CF}' | '\u{400}'..='\u{4FF}');
        // A capital sigma becomes one of two letters, depending on whether it ends a word, and the two
        // languages need not agree on where a word ends.
        !changes || (old && c != 'Σ')
    };
    text.chars().all(known).then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_character_that_servers_trim_or_hide_is_refused() {
        for name in ["alice", "John Smith", "müller", "a.b-c_d$", "дмитрий"] {
            assert!(is_name(name, true), "{name:?}");
        }
        for name in [
            "",
            " ",
            "alice ",
            " alice",
            "a\tb",
            "a\u{a0}b",
            "a\u{3000}",
            "a\u{200b}",
            "a\u{202e}b",
            "\u{feff}a",
            "a\u{fffd}",
            "a\\b",
            "a\0",
            "a\u{85}",
            "a\u{2028}",
            ".",
            "..",
            "😀",
            "soft\u{ad}",
        ] {
            assert!(!is_name(name, false), "{name:?}");
        }
        assert!(is_name("a/b@R", false) && !is_name("a/b", true) && !is_name("a@R", true));
    }

    #[test]
    fn lower_case_is_the_same_in_every_version_of_java_or_refused() {
        assert_eq!(lower_case("ÀLICE").as_deref(), Some("àlice"));
        assert_eq!(lower_case("ΑΣ"), None);
        assert_eq!(lower_case("\u{1C89}"), None);
        assert_eq!(lower_case("\u{13A0}"), None);
    }
}

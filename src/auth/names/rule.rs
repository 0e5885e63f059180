//! One rule of `auth_to_local`, as `KerberosName.ruleParser` reads it.

use super::{
    java::{self, Compiled, PatternError, Replacement},
    plain,
};

/// A compiled rule.
#[derive(Debug)]
pub(super) enum Rule {
    /// `DEFAULT`: the first component, where the realm is the default realm.
    Default,
    /// `RULE:…`
    Mapping(Box<Mapping>),
}

/// `RULE:[n:format](match)s/from/to/g/L`
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) components: usize,
    pub(super) format: Vec<Piece>,
    pub(super) full_match: Option<Compiled>,
    substitution: Option<Substitution>,
    lower_case: bool,
}

/// A piece of a format string.
#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    /// `$0` is the realm, `$1` the first component.
    Reference(usize),
}

/// `s/from/to/` with or without `g`.
#[derive(Debug)]
pub(super) struct Substitution {
    from: Compiled,
    to: Replacement,
    all: bool,
}

/// A rule of an entry as it was read, with its text.
#[derive(Debug)]
pub(super) struct ParsedRule {
    pub(super) text: Box<str>,
    pub(super) rule: Result<Rule, RuleErrorKind>,
}

/// Why it is not known what a rule makes of a principal.
#[derive(Debug)]
pub(super) enum Unapplied {
    /// The engine stopped at its limit of backtracking.
    Regex(Box<fancy_regex::Error>),
    /// The result differs between versions of Java.
    Ambiguous,
}

/// What is wrong with a rule.
#[derive(Debug, thiserror::Error)]
pub enum RuleErrorKind {
    /// It begins with neither `DEFAULT` nor `RULE:[`.
    #[error("write DEFAULT or RULE:[n:format](regexp)s/pattern/replacement/g")]
    NotARule,
    /// The number of components before the colon is missing or not a number.
    #[error("after `RULE:[` comes the number of components and a colon, as in RULE:[2:$1@$0]")]
    Components,
    /// `]` is missing.
    #[error("the format has no closing `]`")]
    Format,
    /// `$` without a number.
    #[error("`$` in the format needs a number: $0 is the realm, $1 the first component")]
    Reference,
    /// `$n` beyond the number of components.
    #[error("${reference} in the format, but the rule is for {components} component(s)")]
    ReferenceRange {
        /// The number after `$`.
        reference: usize,
        /// The number after `RULE:[`.
        components: usize,
    },
    /// `)` is missing.
    #[error("the regular expression has no closing `)`")]
    Match,
    /// The second or third `/` is missing.
    #[error("a substitution is s/pattern/replacement/ and must not contain another `/`")]
    Substitution,
    /// A group or look-around in the match.
    #[error(
        "Hadoop ends the regular expression at its first `)`, so it cannot have groups: \
         write several rules instead"
    )]
    GroupInMatch,
    /// A comma or semicolon between rules.
    #[error(
        "rules are separated by white space or written as separate entries, not separated by `{0}`"
    )]
    Separator(char),
    /// A blank before the expression or the substitution.
    #[error("a blank inside the rule: its parts must follow each other without one")]
    Blank,
    /// A letter other than `g` and `L` after the substitution.
    #[error("`{0}` is not a flag: a substitution ends in `/` or `/g`, a rule may end in `/L`")]
    Flag(char),
    /// A line end or another control character.
    #[error("a control character inside the rule")]
    Control,
    /// Other text after a complete rule.
    #[error("unexpected `{0}` after the end of the rule")]
    Trailing(Box<str>),
    /// A regular expression does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// Reads all rules of an entry, separated by white space, and continues after an invalid one.
pub(super) fn parse_all(entry: &str) -> Vec<ParsedRule> {
    let mut rules = Vec::new();
    let mut rest = entry.trim_matches(is_space);
    loop {
        let (rule, mut after) = match parse(rest) {
            Ok((rule, after)) => (trailing(after).map_or(Ok(rule), Err), after),
            Err(kind) => (Err(kind), rest),
        };
        if rule.is_err() {
            // Continue at the next word that begins a rule, so that one mistake does not hide others.
            after = next_rule(after);
        }
        let text = rest[..rest.len() - after.len()].trim_matches(is_space);
        rules.push(ParsedRule {
            text: text.into(),
            rule,
        });
        rest = after.trim_start_matches(is_space);
        if rest.is_empty() {
            return rules;
        }
    }
}

/// Java's `\s`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// The rest of the text from where the next rule seems to begin.
fn next_rule(text: &str) -> &str {
    let begins = |at: &usize| {
        let rest = &text[*at..];
        rest.starts_with(is_space)
            && ["RULE:", "DEFAULT"]
                .iter()
                .any(|word| rest.trim_start_matches(is_space).starts_with(word))
    };
    let at = text.char_indices().map(|(at, _)| at).find(begins);
    &text[at.unwrap_or(text.len())..]
}

/// What is wrong with the text after a rule, unless the next rule follows.
fn trailing(after: &str) -> Option<RuleErrorKind> {
    let rest = after.trim_start_matches(is_space);
    // Hadoop requires no white space between rules (`DEFAULTRULE:[1:$1]` is two).
    let next = ["RULE:[", "DEFAULT"]
        .iter()
        .any(|word| rest.starts_with(word));
    if rest.is_empty() || next {
        return None;
    }
    let first = rest.chars().next()?;
    Some(match first {
        ',' | ';' => RuleErrorKind::Separator(first),
        '(' | 's' | '/' if rest.len() < after.len() => RuleErrorKind::Blank,
        _ if rest.split(is_space).next()?.contains(')') => RuleErrorKind::GroupInMatch,
        's' if rest.starts_with("s/") => RuleErrorKind::Substitution,
        first if rest.len() == after.len() && first.is_ascii_alphabetic() => {
            RuleErrorKind::Flag(first)
        }
        _ if rest.len() < after.len() => RuleErrorKind::NotARule,
        _ => RuleErrorKind::Trailing(shortened(rest, 20)),
    })
}

/// The beginning of a text, for a message.
pub(super) fn shortened(text: &str, most: usize) -> Box<str> {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// Reads one rule from the front and returns the rest.
fn parse(text: &str) -> Result<(Rule, &str), RuleErrorKind> {
    if let Some(rest) = text.strip_prefix("DEFAULT") {
        return Ok((Rule::Default, suffix(rest).1));
    }
    let rest = text.strip_prefix("RULE:[").ok_or(RuleErrorKind::NotARule)?;
    let (count, rest) = rest.split_once(':').ok_or(RuleErrorKind::Components)?;
    if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RuleErrorKind::Components);
    }
    let components = count.parse().map_err(|_| RuleErrorKind::Components)?;
    let (format, mut rest) = rest.split_once(']').ok_or(RuleErrorKind::Format)?;
    let format = parse_format(format, components)?;
    let mut full_match = None;
    if let Some(inner) = rest.strip_prefix('(') {
        // `ruleParser` of Hadoop's KerberosName has `[^)]*` here, so the `)` of a group would end it.
        let (pattern, after) = inner.split_once(')').ok_or(RuleErrorKind::Match)?;
        full_match = Some(java::compile_full(pattern).map_err(|error| match error {
            PatternError::OpenGroup | PatternError::Flags(_) => RuleErrorKind::GroupInMatch,
            other => RuleErrorKind::Pattern(other),
        })?);
        rest = after;
    }
    let mut substitution = None;
    if let Some(inner) = rest.strip_prefix("s/") {
        let mut parts = inner.splitn(3, '/');
        let (Some(from), Some(to), Some(after)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(RuleErrorKind::Substitution);
        };
        let from = java::compile(from)?;
        let to = Replacement::parse(to, &from.regex)?;
        let (all, after) = flag(after, 'g');
        substitution = Some(Substitution { from, to, all });
        rest = after;
    }
    let (lower_case, rest) = suffix(rest);
    // Names have no control characters (`plain`), so one in a rule is a mistake, such as a line break.
    if text[..text.len() - rest.len()].contains(char::is_control) {
        return Err(RuleErrorKind::Control);
    }
    let rule = Mapping {
        components,
        format,
        full_match,
        substitution,
        lower_case,
    };
    Ok((Rule::Mapping(Box::new(rule)), rest))
}

/// An optional `/` and an optional `L`.
fn suffix(text: &str) -> (bool, &str) {
    flag(text.strip_prefix('/').unwrap_or(text), 'L')
}

fn flag(text: &str, flag: char) -> (bool, &str) {
    text.strip_prefix(flag)
        .map_or((false, text), |rest| (true, rest))
}

pub(super) fn parse_format(text: &str, components: usize) -> Result<Vec<Piece>, RuleErrorKind> {
    let mut parts = text.split('$');
    let mut pieces = vec![Piece::Text(parts.next().unwrap_or_default().to_owned())];
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, text) = part.split_at(digits);
        let reference: usize = number.parse().map_err(|_| RuleErrorKind::Reference)?;
        if reference > components {
            return Err(RuleErrorKind::ReferenceRange {
                reference,
                components,
            });
        }
        pieces.push(Piece::Reference(reference));
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(pieces)
}

impl Rule {
    /// The name that the rule makes, or `None` if it does not match.
    pub(super) fn apply(
        &self,
        parts: &[String],
        realm: &str,
        default_realm: &str,
    ) -> Result<Option<String>, Unapplied> {
        let mapping = match self {
            Self::Default => {
                let fits = realm == default_realm;
                return Ok(parts.first().filter(|_| fits).cloned());
            }
            Self::Mapping(mapping) => mapping,
        };
        if mapping.components != parts.len() {
            return Ok(None);
        }
        let mut name = String::new();
        for piece in &mapping.format {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Reference(0) => name.push_str(realm),
                Piece::Reference(n) => name.push_str(&parts[n - 1]),
            }
        }
        mapping.finish(name)
    }
}

impl Mapping {
    /// Applies match, substitution and lower case to the text that the format made.
    pub(super) fn finish(&self, mut name: String) -> Result<Option<String>, Unapplied> {
        let from = self.substitution.as_ref().map(|s| &s.from);
        let compiled = self.full_match.iter().chain(from);
        // Which letters beyond ASCII are part of a word (`\b`) changed in Java 19.
        if !name.is_ascii() && compiled.clone().any(|c| c.pattern.ascii_only) {
            return Err(Unapplied::Ambiguous);
        }
        if let Some(full_match) = &self.full_match
            && !full_match.regex.is_match(&name)?
        {
            return Ok(None);
        }
        if let Some(Substitution { from, to, all }) = &self.substitution {
            name = to.replace(&from.regex, &name, *all)?;
        }
        if self.lower_case {
            name = plain::lower_case(&name).ok_or(Unapplied::Ambiguous)?;
        }
        Ok(Some(name))
    }

    /// Whether the rule itself writes a blank into names.
    pub(super) fn writes_blank(&self) -> bool {
        let of_format = self.format.iter().any(|piece| match piece {
            Piece::Text(text) => text.contains(char::is_whitespace),
            Piece::Reference(_) => false,
        });
        match &self.substitution {
            Some(substitution) => substitution.to.writes_blank(),
            None => of_format,
        }
    }
}

impl From<fancy_regex::Error> for Unapplied {
    fn from(error: fancy_regex::Error) -> Self {
        Self::Regex(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> RuleErrorKind {
        let broken = parse_all(text).into_iter().find_map(|read| read.rule.err());
        broken.unwrap()
    }

    #[test]
    fn groups_in_the_match_are_refused_with_a_message_about_groups() {
        for rule in [
            "RULE:[1:$1@$0](.*@(A|B))s/@.*//",
            "RULE:[1:$1]((?!root).*)",
            "RULE:[1:$1](a)b)",
            "RULE:[1:$1]((?i)alice)",
        ] {
            let kind = kind(rule);
            assert!(
                matches!(kind, RuleErrorKind::GroupInMatch),
                "{rule}: {kind}"
            );
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        use RuleErrorKind as Kind;
        assert!(matches!(kind(""), Kind::NotARule));
        assert!(matches!(kind("default"), Kind::NotARule));
        assert!(matches!(kind("RULE:[:$1]"), Kind::Components));
        assert!(matches!(kind("RULE:[+1:$1]"), Kind::Components));
        assert!(matches!(kind("RULE:[1:$1"), Kind::Format));
        assert!(matches!(kind("RULE:[1:$]"), Kind::Reference));
        assert!(matches!(kind("RULE:[1:$3]"), Kind::ReferenceRange { .. }));
        assert!(matches!(kind("RULE:[1:$1](a"), Kind::Match));
        assert!(matches!(kind("RULE:[1:$1]s/a/b"), Kind::Substitution));
        assert!(matches!(kind("RULE:[1:$1]s/a/$1/"), Kind::Pattern(_)));
        assert!(matches!(kind("RULE:[1:$1](a\nb)"), Kind::Control));
        assert!(matches!(
            kind(r"RULE:[1:$1](\T.*)s/a/b/"),
            Kind::Pattern(PatternError::Unsupported(_))
        ));
        assert!(matches!(kind("RULE:[1:$1],DEFAULT"), Kind::Separator(',')));
        assert!(matches!(kind("RULE:[1:$1], DEFAULT"), Kind::Separator(',')));
        assert!(matches!(kind("RULE:[1:$1] (a)s/a/b/"), Kind::Blank));
        assert!(matches!(kind("RULE:[1:$1](a) s/a/b/"), Kind::Blank));
        assert!(matches!(kind("RULE:[1:$1]s/a/b/ /L"), Kind::Blank));
        assert!(matches!(kind("RULE:[1:$1]s/a/b/i"), Kind::Flag('i')));
        assert!(matches!(kind(r"RULE:[1:$1]s/a/b/\T"), Kind::Trailing(_)));
        assert!(matches!(kind("DEFAULT x"), Kind::NotARule));
        assert!(matches!(
            kind("RULE:[1:$1]\u{a0}DEFAULT"),
            Kind::Trailing(_)
        ));
    }

    #[test]
    fn an_invalid_rule_does_not_hide_others_and_is_reported_with_its_text() {
        let read = parse_all("RULE:[1:$1],\n DEFAULT RULE:[2:$9] DEFAULTRULE:[1:$1]/L");
        let texts: Vec<&str> = read.iter().map(|read| &*read.text).collect();
        let wanted = [
            "RULE:[1:$1],",
            "DEFAULT",
            "RULE:[2:$9]",
            "DEFAULT",
            "RULE:[1:$1]/L",
        ];
        assert_eq!(texts, wanted);
        let broken: Vec<bool> = read.iter().map(|read| read.rule.is_err()).collect();
        assert_eq!(broken, [true, false, true, false, false]);
    }
}

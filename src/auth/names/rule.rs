//! One rule of `auth_to_local`, as `KerberosName.ruleParser` reads it.

use super::java::{self, PatternError, Replacement};

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
    components: usize,
    format: Vec<Piece>,
    full_match: Option<fancy_regex::Regex>,
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
    from: fancy_regex::Regex,
    to: Replacement,
    all: bool,
}

/// What is wrong with a rule.
#[derive(Debug, thiserror::Error)]
pub enum RuleErrorKind {
    /// It starts with neither word.
    #[error("write DEFAULT or RULE:[n:format](regexp)s/pattern/replacement/g")]
    NotARule,
    /// The number before the colon.
    #[error("after `RULE:[` comes the number of components and a colon, as in RULE:[2:$1@$0]")]
    Components,
    /// `]` is missing.
    #[error("the format has no closing `]`")]
    Format,
    /// `$` without number.
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
    #[error("a substitution is s/pattern/replacement/ and holds no other `/`")]
    Substitution,
    /// Text after a complete rule; most often a `)` of a group.
    #[error(
        "unexpected text after the rule; Hadoop ends the regular expression at its first `)`, so \
         groups cannot be used there: write several rules instead"
    )]
    Trailing,
    /// A regular expression does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// Reads all rules of an entry, white space between them.
pub(super) fn parse_all(entry: &str) -> Result<Vec<Rule>, RuleErrorKind> {
    let mut rules = Vec::new();
    let mut rest = entry.trim();
    while !rest.is_empty() {
        let (rule, after) = parse(rest).map_err(|kind| match kind {
            RuleErrorKind::NotARule if !rules.is_empty() => RuleErrorKind::Trailing,
            other => other,
        })?;
        rules.push(rule);
        rest = after.trim_start();
    }
    if rules.is_empty() {
        return Err(RuleErrorKind::NotARule);
    }
    Ok(rules)
}

/// Reads one rule off the front.
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
        let (pattern, after) = inner.split_once(')').ok_or(RuleErrorKind::Match)?;
        full_match = Some(java::compile_full(pattern)?);
        rest = after;
    }
    let mut substitution = None;
    if let Some(inner) = rest.strip_prefix("s/") {
        let mut parts = inner.splitn(3, '/');
        let (Some(from), Some(to), Some(after)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(RuleErrorKind::Substitution);
        };
        let from = java::compile(from)?;
        let to = Replacement::parse(to, &from)?;
        let (all, after) = flag(after, 'g');
        substitution = Some(Substitution { from, to, all });
        rest = after;
    }
    let (lower_case, rest) = suffix(rest);
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

fn parse_format(text: &str, components: usize) -> Result<Vec<Piece>, RuleErrorKind> {
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
    /// The name it makes, or `None` where it does not fit.
    pub(super) fn apply(
        &self,
        parts: &[String],
        realm: &str,
        default_realm: &str,
    ) -> Result<Option<String>, fancy_regex::Error> {
        let mapping = match self {
            // KerberosName takes the first of two components as well; more never get here in Hadoop
            Self::Default => {
                let fits = realm == default_realm && parts.len() <= 2;
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
        if let Some(regex) = &mapping.full_match
            && !regex.is_match(&name)?
        {
            return Ok(None);
        }
        if let Some(Substitution { from, to, all }) = &mapping.substitution {
            name = to.replace(from, &name, *all)?;
        }
        Ok(Some(if mapping.lower_case {
            name.to_lowercase()
        } else {
            name
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_in_the_match_is_refused_with_words_about_groups() {
        // Hadoop: `[^)]*` ends at the first parenthesis
        let refused = parse_all("RULE:[1:$1@$0](.*@A|B)x)s/@.*//");
        assert!(
            matches!(refused, Err(RuleErrorKind::Trailing)),
            "{refused:?}"
        );
    }

    #[test]
    fn each_mistake_has_its_word() {
        let kind = |text: &str| parse_all(text).unwrap_err();
        assert!(matches!(kind(""), RuleErrorKind::NotARule));
        assert!(matches!(kind("default"), RuleErrorKind::NotARule));
        assert!(matches!(kind("RULE:[:$1]"), RuleErrorKind::Components));
        assert!(matches!(kind("RULE:[+1:$1]"), RuleErrorKind::Components));
        assert!(matches!(kind("RULE:[1:$1"), RuleErrorKind::Format));
        assert!(matches!(kind("RULE:[1:$]"), RuleErrorKind::Reference));
        assert!(matches!(
            kind("RULE:[1:$3]"),
            RuleErrorKind::ReferenceRange { .. }
        ));
        assert!(matches!(kind("RULE:[1:$1](a"), RuleErrorKind::Match));
        assert!(matches!(
            kind("RULE:[1:$1]s/a/b"),
            RuleErrorKind::Substitution
        ));
        assert!(matches!(
            kind("RULE:[1:$1]s/a/$1/"),
            RuleErrorKind::Pattern(_)
        ));
        assert!(matches!(kind("DEFAULT x"), RuleErrorKind::Trailing));
    }
}

//! Kerberos principal names (RFC 4120 section 6.2, MIT's text form).

use std::{fmt, str::FromStr};

/// A principal with its realm: `HTTP/nn1.example.com@EXAMPLE.COM`.
///
/// Components and realm are unescaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal {
    components: Vec<String>,
    realm: String,
}

/// Why a text is not a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// There is no name before the realm, or a component is empty.
    #[error("a principal needs a name: name/host@REALM")]
    Empty,
    /// `@REALM` is missing.
    #[error("the realm is missing: write name/host@REALM")]
    NoRealm,
    /// A second unescaped `@`, a NUL, or a backslash at the end.
    #[error("not a principal: unexpected `@`, NUL or final backslash")]
    Malformed,
}

impl Principal {
    /// Builds a principal from its parts, which are not escaped.
    pub fn new(
        components: impl IntoIterator<Item = impl Into<String>>,
        realm: impl Into<String>,
    ) -> Result<Self, PrincipalError> {
        let components: Vec<String> = components.into_iter().map(Into::into).collect();
        let realm = realm.into();
        if components.is_empty() || components.iter().any(String::is_empty) {
            return Err(PrincipalError::Empty);
        }
        if realm.is_empty() {
            return Err(PrincipalError::NoRealm);
        }
        if realm.contains('\0') || components.iter().any(|c| c.contains('\0')) {
            return Err(PrincipalError::Malformed);
        }
        Ok(Self { components, realm })
    }

    /// The parts before `@`, unescaped.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The service of `service/host@REALM`.
    pub fn service(&self) -> Option<&str> {
        (self.components.len() == 2).then(|| self.components[0].as_str())
    }

    /// The host of `service/host@REALM`.
    pub fn host(&self) -> Option<&str> {
        (self.components.len() == 2).then(|| self.components[1].as_str())
    }

    /// The host without the port that some clients ask for (`HTTP/host:50070`; .NET, and Chrome with
    /// `EnableAuthNegotiatePort`).
    pub fn host_name(&self) -> Option<&str> {
        self.host().map(|host| match host.rsplit_once(':') {
            Some((name, port))
                if !name.is_empty()
                    && !port.is_empty()
                    && port.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                name
            }
            Some(_) | None => host,
        })
    }

    /// A form in which all spellings of one service and host are equal: case and port are ignored, as
    /// in Active Directory. Other principals are returned unchanged.
    #[must_use]
    pub fn folded(&self) -> Self {
        let (Some(service), Some(host)) = (self.service(), self.host_name()) else {
            return self.clone();
        };
        Self {
            components: vec![service.to_ascii_lowercase(), host.to_ascii_lowercase()],
            realm: self.realm.clone(),
        }
    }
}

impl FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut components = vec![String::new()];
        let mut realm: Option<String> = None;
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let literal = match c {
                '\\' => match chars.next().ok_or(PrincipalError::Malformed)? {
                    't' => '\t',
                    'n' => '\n',
                    'b' => '\u{8}',
                    // MIT writes NUL as `\0`; no name may have it, because C texts end there.
                    '0' => return Err(PrincipalError::Malformed),
                    other => other,
                },
                '@' if realm.is_none() => {
                    realm = Some(String::new());
                    continue;
                }
                '@' => return Err(PrincipalError::Malformed),
                '/' if realm.is_none() => {
                    components.push(String::new());
                    continue;
                }
                other => other,
            };
            match (&mut realm, components.last_mut()) {
                (Some(realm), _) => realm.push(literal),
                (None, Some(last)) => last.push(literal),
                (None, None) => return Err(PrincipalError::Malformed),
            }
        }
        Self::new(components, realm.ok_or(PrincipalError::NoRealm)?)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |f: &mut fmt::Formatter<'_>, part: &str, slash: bool| {
            for c in part.chars() {
                match c {
                    '@' | '\\' => write!(f, "\\{c}")?,
                    '/' if slash => write!(f, "\\/")?,
                    '\t' => write!(f, "\\t")?,
                    '\n' => write!(f, "\\n")?,
                    '\u{8}' => write!(f, "\\b")?,
                    c => write!(f, "{c}")?,
                }
            }
            Ok::<(), fmt::Error>(())
        };
        for (i, part) in self.components.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            escaped(f, part, true)?;
        }
        f.write_str("@")?;
        escaped(f, &self.realm, false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_enterprise_name_keeps_its_escaped_at_sign() {
        let p: Principal = r"alice\@example.com@EXAMPLE.COM".parse().unwrap();
        assert_eq!(p.components(), ["alice@example.com"]);
        assert_eq!(p.to_string(), r"alice\@example.com@EXAMPLE.COM");
    }

    #[test]
    fn a_name_without_realm_is_refused() {
        assert_eq!("HTTP/a".parse::<Principal>(), Err(PrincipalError::NoRealm));
        assert_eq!("@R".parse::<Principal>(), Err(PrincipalError::Empty));
        assert_eq!("a@B@C".parse::<Principal>(), Err(PrincipalError::Malformed));
    }

    #[test]
    fn service_and_host_are_found_without_regard_to_case_and_port() {
        let folded = |text: &str| text.parse::<Principal>().unwrap().folded().to_string();
        assert_eq!(
            folded("HTTP/Proxy.example.com:50070@R"),
            "http/proxy.example.com@R"
        );
        assert_eq!(
            folded("http/proxy.example.com@R"),
            "http/proxy.example.com@R"
        );
        for other in [
            "Alice@R",
            "http/p@r",
            "http/:80@R",
            "http/p:@R",
            "http/p:x@R",
            "A/B/C@R",
        ] {
            assert_eq!(folded(other), other);
        }
    }

    proptest! {
        #[test]
        fn text_and_back(parts in prop::collection::vec("[^\0]{1,8}", 1..4), realm in "[^\0]{1,8}") {
            let p = Principal::new(parts, realm).unwrap();
            prop_assert_eq!(p.to_string().parse::<Principal>().unwrap(), p);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".*") {
            let _ = text.parse::<Principal>();
        }
    }
}

//! Links as browsers read them (WHATWG URL): which server does a link lead to?
//!
//! Used by every rewriter, and by kinds that read the target of a redirect.

use std::sync::Arc;

/// A link that names a server: `http://host:port/path?query#fragment` or `//host:port/…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// `http` or `https`, as written; `None` for a scheme-relative link.
    pub scheme: Option<&'a str>,
    /// Between `//` and the path.
    pub authority: &'a str,
    /// Path, query and fragment, as written; may be empty.
    pub rest: &'a str,
}

impl<'a> Link<'a> {
    /// Splits an absolute `http(s)` or scheme-relative link; `None` for relative links and other
    /// schemes (`hdfs:`).
    ///
    /// As browsers do, blanks around the link are ignored and a backslash is read as a slash. A stricter
    /// parser would leave a link alone that the browser follows to another host.
    pub fn split(link: &'a str) -> Option<Self> {
        let link = link.trim_matches(|c: char| c <= ' ');
        let slash = |c: char| c == '/' || c == '\\';
        let (scheme, after) = match link.find(':') {
            Some(colon)
                if link[..colon].eq_ignore_ascii_case("http")
                    || link[..colon].eq_ignore_ascii_case("https") =>
            {
                (Some(&link[..colon]), &link[colon + 1..])
            }
            Some(_) | None => (None, link),
        };
        let authority = after.trim_start_matches(slash);
        // after a scheme any number of slashes will do (`http:/host`), without one it takes two
        if scheme.is_none() && after.len() - authority.len() < 2 {
            return None;
        }
        let end = authority
            .find(|c| slash(c) || c == '?' || c == '#')
            .unwrap_or(authority.len());
        Some(Self {
            scheme,
            authority: &authority[..end],
            rest: &authority[end..],
        })
    }

    /// Host (with its brackets and case) and port (the scheme's if none is written). `None` if the
    /// authority is not `host`, `host:port` or `[v6]:port`: user information, invalid ports.
    pub fn host_port(&self) -> Option<(&'a str, u16)> {
        let bracket = self.authority.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match self.authority[bracket..].find(':') {
            Some(colon) => (
                &self.authority[..bracket + colon],
                &self.authority[bracket + colon + 1..],
            ),
            None => (self.authority, ""),
        };
        let port = if port.is_empty() {
            if self.is_tls() { 443 } else { 80 }
        // `parse` alone would accept `+80`, which no browser does
        } else if port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) {
            port.parse().ok()?
        } else {
            return None;
        };
        let plain = host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
        (plain && !host.is_empty() && port != 0).then_some((host, port))
    }

    /// Whether the scheme is `https`; false without one.
    pub fn is_tls(&self) -> bool {
        self.scheme
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// Whether the link leads to one of these `host:port`.
    pub fn is_one_of(&self, servers: &[Arc<str>]) -> bool {
        self.host_port().is_some_and(|(host, port)| {
            // without scheme and port it is the default port of the page's own scheme, which may be either
            let either = self.scheme.is_none() && self.authority.len() == host.len();
            servers.iter().any(|server| match server.rsplit_once(':') {
                Some((name, digits)) => {
                    name.eq_ignore_ascii_case(host)
                        && (digits.parse() == Ok(port) || (either && digits == "443"))
                }
                None => false,
            })
        })
    }
}

/// The link in a `Refresh` header: `4;url=http://…`.
pub(crate) fn refresh_target(value: &str) -> Option<&str> {
    let (_, target) = value.split_once([';', ','])?;
    let target = target.trim_start();
    let name = target.get(..4)?;
    name.eq_ignore_ascii_case("url=")
        .then(|| target[4..].trim_matches(['"', '\'', ' ']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servers(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn a_link_is_split_into_server_and_rest() {
        let link = Link::split("HTTP://nn1.example.com:50070/a?b#c").unwrap();
        assert_eq!(link.host_port(), Some(("nn1.example.com", 50070)));
        assert_eq!(link.rest, "/a?b#c");
        let link = Link::split("//nm1:8042?x").unwrap();
        assert_eq!((link.scheme, link.rest), (None, "?x"));
        assert_eq!(
            Link::split("https://a").unwrap().host_port(),
            Some(("a", 443))
        );
        assert_eq!(
            Link::split("http://[::1]:80/").unwrap().host_port(),
            Some(("[::1]", 80))
        );
    }

    #[test]
    fn relative_links_and_other_schemes_name_no_server() {
        for link in [
            "",
            "/",
            "/a//b",
            "a:b",
            "hdfs://mycluster/x",
            "?http://x",
            "javascript:x",
        ] {
            assert_eq!(Link::split(link), None, "{link}");
        }
    }

    #[test]
    fn a_link_names_a_server_if_a_browser_reads_one() {
        for link in [
            "\\\\evil/",
            "/\\evil/",
            "///evil/",
            " //evil/",
            "http:/evil/",
            "http:evil/",
        ] {
            let link = Link::split(link).unwrap();
            assert_eq!((link.authority, link.rest), ("evil", "/"));
        }
    }

    #[test]
    fn an_invalid_authority_has_no_host() {
        for link in [
            "http://u@a/",
            "http://a:b@c/",
            "http://a:+80/",
            "http://a:99999/",
            "http://",
        ] {
            assert_eq!(Link::split(link).unwrap().host_port(), None, "{link}");
        }
    }

    #[test]
    fn a_server_is_recognised_in_any_case_and_without_its_default_port() {
        let known = servers(&["rm1.example.com:8088", "web:80"]);
        let is = |link| Link::split(link).unwrap().is_one_of(&known);
        assert!(is("http://RM1.example.com:8088/cluster"));
        assert!(is("http://web/"));
        assert!(!is("https://web/"));
        let tls = servers(&["web:443"]);
        for link in ["https://web/", "https://Web:443/", "//web/"] {
            assert!(Link::split(link).unwrap().is_one_of(&tls), "{link}");
        }
        assert!(!Link::split("http://web/").unwrap().is_one_of(&tls));
        assert!(!Link::split("//web:80/").unwrap().is_one_of(&tls));
        assert!(!is("http://rm1.example.com:8089/"));
        assert!(!is("http://rm1.example.com.evil:8088/"));
        assert!(!is("http://x@rm1.example.com:8088/"));
    }

    #[test]
    fn the_link_of_a_refresh_header_is_read() {
        assert_eq!(
            refresh_target("4;url=http://rm2:8088/c?n=1"),
            Some("http://rm2:8088/c?n=1")
        );
        assert_eq!(refresh_target("3; URL='/x'"), Some("/x"));
        assert_eq!(refresh_target("10"), None);
        assert_eq!(refresh_target("10;é"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_split_without_loss(link in ".*") {
            if let Some(found) = Link::split(&link) {
                prop_assert!(link.contains(found.rest));
                let _ = found.host_port();
            }
            let _ = refresh_target(&link);
        }
    }
}

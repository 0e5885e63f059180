//! Signed links to the console itself: `/.spnegate/link/<path>?<query>&.spnegate=<signature>`.
//!
//! `HttpFS` responds to the first step of a write with a redirect to itself (`data=true`). A client that
//! streams the body cannot respond to a challenge there (Java's `HttpURLConnection` in streaming mode
//! throws `HttpRetryException`), so the link is a credential, like the one to a `DataNode`.

use super::link::{self, LinkFault, LinkGrant, LinkKey, LinkTarget, Signer};

/// Signed links to the console have their path below this one.
pub const PREFIX: &str = "/.spnegate/link";

/// The request that a signed link stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnLinkTarget<'a> {
    /// The console's path, with the first slash.
    pub path: &'a str,
    /// The query, without `?` and without the gateway's signature.
    pub query: String,
    /// The user that may follow the link.
    pub grant: LinkGrant,
}

/// The console's path in a signed link; `None` if `path` is not one.
pub(crate) fn inner_path(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX)
        .filter(|inner| inner.starts_with('/'))
}

/// Signs a reference within the console. `rest` is a path that begins with one slash, query and
/// fragment.
pub(crate) fn link(rest: &str, console: &str, signer: &Signer<'_>) -> String {
    let (rest, fragment) = match rest.find('#') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut written = format!("{PREFIX}{rest}");
    link::sign(
        &mut written,
        LinkTarget::Console(console),
        path,
        query,
        signer,
    );
    written.push_str(fragment);
    written
}

/// Reads the path and query (without `?`) of a request and verifies the signature. `now` is Unix time
/// in seconds.
///
/// # Errors
///
/// See `link::verify`.
pub fn open<'a>(
    path: &'a str,
    query: &str,
    console: &str,
    key: &LinkKey,
    now: u64,
) -> Result<OwnLinkTarget<'a>, LinkFault> {
    let path = inner_path(path).ok_or(LinkFault::Unsigned)?;
    let grant = link::verify(key, LinkTarget::Console(console), path, query, now)?;
    Ok(OwnLinkTarget {
        path,
        query: link::without_signature(query),
        grant,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::hmac;

    use super::*;
    use crate::rewrite::node;

    fn key() -> LinkKey {
        LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"secret"))
    }

    fn signed(rest: &str) -> String {
        let signer = Signer {
            key: &key(),
            user: "alice",
            session: &[7; 16],
            expires: 1000,
        };
        link(rest, "httpfs", &signer)
    }

    fn opened(link: &str, console: &str) -> Result<String, LinkFault> {
        let (path, query) = link.split_once('?').unwrap_or((link, ""));
        let target = open(path, query, console, &key(), 999)?;
        assert_eq!(target.grant.user, "alice");
        Ok(format!("{}?{}", target.path, target.query))
    }

    #[test]
    fn a_link_is_valid_for_one_console_and_only_unchanged() {
        let rest = "/webhdfs/v1/f?op=CREATE&data=true";
        let link = signed(rest);
        assert_eq!(opened(&link, "httpfs"), Ok(rest.to_owned()));
        assert_eq!(opened(&link, "other"), Err(LinkFault::Signature));
        for (from, to) in [("/f?", "/g?"), ("CREATE", "APPEND"), ("&data=true", "")] {
            let changed = link.replacen(from, to, 1);
            assert_eq!(opened(&changed, "httpfs"), Err(LinkFault::Signature));
        }
        for none in ["/.spnegate/linkx?a", "/.spnegate/link?a", "/webhdfs/v1/f?a"] {
            assert_eq!(opened(none, "httpfs"), Err(LinkFault::Unsigned));
        }
        assert!(!link.starts_with(node::PREFIX));
    }

    proptest! {
        #[test]
        fn any_reference_comes_back(path in "/[a-z%0-9/]{0,9}", query in "[a-z=&;%0-9]{0,20}") {
            let rest = format!("{path}?{query}");
            prop_assert_eq!(opened(&signed(&rest), "httpfs"), Ok(rest));
        }

        #[test]
        fn any_text_is_opened_or_refused(path in "/.spnegate/link.{0,30}", query in ".{0,30}") {
            prop_assert!(open(&path, &query, "httpfs", &key(), 1).is_err());
        }
    }
}

//! Rewrites `Location`, `Content-Location` and `Refresh` of a backend.
//!
//! On the request path: for every response that is sent to the client. The target of a link decides:
//!
//! 1. A backend of the console: the link becomes one to the console. The second step of a `WebHDFS`
//!    write at the console itself becomes a [signed link](super::own_link).
//! 2. A server of another console: the link leads to that [console](super::consoles).
//! 3. An allow-listed node, if the kind redirects to nodes: the link becomes a
//!    [node path](super::node).
//! 4. Anything else (`hdfs://`): the link stays. If it holds a delegation token, the response is
//!    refused: the token must not reach a host that is not allow-listed.
//!
//! The `Host` that the client sent decides nothing: it is not authenticated.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    consoles::{ClientOrigin, Consoles},
    link::Signer,
    node::{self, NodePolicy},
    own_link,
    url::{self, Link},
};
use crate::{identity::query, refusal::Refusal};

/// How the links of one response are rewritten.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkRewrite<'a> {
    /// `host:port` of all backends of the console, lower case.
    pub backends: &'a [Arc<str>],
    /// Lower-case names of parameters that are removed: the kind's identity parameters. A standby
    /// `ResourceManager` puts the gateway's own `doAs` into its redirect.
    pub parameters: &'a [&'a str],
    /// The allow-list of nodes.
    pub nodes: Option<&'a NodePolicy>,
    /// Signs node links, if the kind redirects to nodes.
    pub signer: Option<Signer<'a>>,
    /// The console's name and the signer of links to the console itself, if such a link is a credential.
    pub own: Option<(&'a str, Signer<'a>)>,
    /// All consoles of the gateway, and the origin that the client uses.
    pub consoles: Option<(&'a Consoles, ClientOrigin<'a>)>,
    /// `https://proxy.example.com:50470`, made from the *checked* host: links are written absolute, for
    /// `WebHDFS` and `HttpFS`, whose Java client accepts nothing else. `None`: links are relative.
    pub origin: Option<&'a str>,
}

/// Why a response must not reach the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A delegation token would be sent to a host that is not allow-listed, or in an unsigned link.
    #[error("redirect with a delegation token to a node that is not in `nodes`")]
    Secret,
    /// Control bytes, or not UTF-8.
    #[error("malformed redirect")]
    Malformed,
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Secret => Self::NodeDenied,
            LinkError::Malformed => Self::BackendBroken,
        }
    }
}

/// Whether there is any of the headers that [`apply`] rewrites.
pub(crate) fn has_links(headers: &HeaderMap) -> bool {
    // On the hot path: one pass over the few headers is cheaper than three hash look-ups.
    headers.keys().any(|name| {
        *name == header::LOCATION || *name == header::CONTENT_LOCATION || *name == header::REFRESH
    })
}

/// Rewrites the links in the headers of a response.
///
/// # Errors
///
/// `LinkError`: the response must not reach the client.
pub fn apply(headers: &mut HeaderMap, links: &LinkRewrite<'_>) -> Result<(), LinkError> {
    for name in [header::LOCATION, header::CONTENT_LOCATION, header::REFRESH] {
        if headers.contains_key(&name) {
            apply_one(headers, &name, links)?;
        }
    }
    Ok(())
}

fn apply_one(
    headers: &mut HeaderMap,
    name: &HeaderName,
    links: &LinkRewrite<'_>,
) -> Result<(), LinkError> {
    for value in headers.get_all(name) {
        // `to_str` refuses raw UTF-8, which servers send in paths
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_latin| LinkError::Malformed)?;
        let target = if *name == header::REFRESH {
            let Some(target) = url::refresh_target(text) else {
                continue;
            };
            target
        } else {
            text
        };
        let Some(rewritten) = rewrite(target, links)? else {
            continue;
        };
        let rewritten = if *name == header::REFRESH {
            text.replacen(target, &rewritten, 1)
        } else {
            rewritten
        };
        let rewritten =
            HeaderValue::from_str(&rewritten).map_err(|_control| LinkError::Malformed)?;
        // `insert` removes the others: of several headers the first is the one that browsers follow, if
        // they do not refuse the response.
        headers.insert(name, rewritten);
        return Ok(());
    }
    Ok(())
}

/// Rewrites one link. `None`: it stays as it is.
pub fn rewrite(link: &str, links: &LinkRewrite<'_>) -> Result<Option<String>, LinkError> {
    // Browsers drop tabs and newlines inside a URL (WHATWG), so `ht\ttp://` would be read differently here.
    if link.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(LinkError::Malformed);
    }
    let Some(target) = Link::split(link) else {
        let other_scheme = link
            .find(['/', '?', '#', ':'])
            .is_some_and(|at| link[at..].starts_with(':'));
        return Ok(if other_scheme { None } else { cut(link, links) });
    };
    if target.is_one_of(links.backends) {
        let rest = cut(target.rest, links);
        let rest = rest.as_deref().unwrap_or(target.rest);
        // a reference that begins with `//x` would name a host
        let rest = format!("/{}", rest.trim_start_matches(['/', '\\']));
        let rest = match &links.own {
            Some((console, signer)) if is_second_step(&rest) => {
                own_link::link(&rest, console, signer)
            }
            _ => rest,
        };
        return Ok(Some(format!("{}{rest}", links.origin.unwrap_or_default())));
    }
    let has_secret = query_of(target.rest).is_some_and(node::has_secret);
    if !has_secret
        && let Some((consoles, here)) = &links.consoles
        && let Some(origin) = consoles.origin(&target, here)
    {
        let rest = cut(target.rest, links);
        let rest = rest.as_deref().unwrap_or(target.rest);
        let slash = if rest.starts_with('/') { "" } else { "/" };
        return Ok(Some(format!("{origin}{slash}{rest}")));
    }
    let signer = links.signer.as_ref();
    if let Some((policy, signer)) = links.nodes.zip(signer) {
        // A link with a token keeps all its parameters: the token is one of them, and the node needs the
        // others (`namenoderpcaddress`).
        let rest = if has_secret {
            None
        } else {
            cut(target.rest, links)
        };
        let target = Link {
            rest: rest.as_deref().unwrap_or(target.rest),
            ..target
        };
        if let Some(path) = node::link(&target, policy, signer) {
            return Ok(Some(format!("{}{path}", links.origin.unwrap_or_default())));
        }
    }
    if has_secret {
        Err(LinkError::Secret)
    } else {
        Ok(cut(link, links))
    }
}

/// Whether a reference is the second step of a `WebHDFS` request at the same server, which `HttpFS` marks
/// with `data=true` (`HttpFSServer.createUploadRedirectionURL`).
fn is_second_step(rest: &str) -> bool {
    rest.starts_with("/webhdfs/")
        && query_of(rest).is_some_and(|query| {
            query
                .split('&')
                .any(|piece| piece.eq_ignore_ascii_case("data=true"))
        })
}

/// The authority that `Location` leads to after rewriting, if it is another port of a host that the
/// gateway knows. The browser leaves the gateway there, which is rarely intended, so the caller logs a
/// warning. `before` is the header as the backend sent it.
pub(crate) fn unpublished_target<'h>(
    before: &HeaderValue,
    after: &'h HeaderMap,
    links: &LinkRewrite<'_>,
) -> Option<&'h str> {
    let (consoles, here) = links.consoles.as_ref()?;
    let location = after.get(header::LOCATION)?.to_str().ok()?;
    let target = Link::split(location)?;
    let was = Link::split(before.to_str().ok()?)?;
    let leaves = was.authority == target.authority && !location.starts_with(here.origin);
    (leaves && consoles.knows_host(&target)).then_some(target.authority)
}

fn query_of(link: &str) -> Option<&str> {
    let link = link.split('#').next()?;
    link.split_once('?').map(|(_, query)| query)
}

/// Removes [`LinkRewrite::parameters`] from the query of a link. `None`: there were none.
fn cut(link: &str, links: &LinkRewrite<'_>) -> Option<String> {
    let query = query_of(link)?;
    let left = query::cut(query, links.parameters);
    if left == query {
        return None;
    }
    let start = link.find('?')?;
    let end = start + 1 + query.len();
    let mark = if left.is_empty() { "" } else { "?" };
    Some(format!("{}{mark}{left}{}", &link[..start], &link[end..]))
}

#[cfg(test)]
mod tests;

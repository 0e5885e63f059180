//! `Location`, `Content-Location` and `Refresh` of a backend, in the client's terms.
//!
//! In a request's way: on every answer that goes to the client. Where a link leads decides what
//! becomes of it:
//!
//! 1. to one of the console's own backends: it stays in the gateway; the second step of a `WebHDFS`
//!    write at the console itself becomes a [signed link](super::own_link),
//! 2. to a server of another console: it leads to that [console](super::consoles),
//! 3. to an allow-listed node, where the kind hands out links that nodes accept: it becomes a
//!    [node path](super::node),
//! 4. anywhere else (`hdfs://`): it stays as it is, except that a link with a delegation token never
//!    leaves for a host that is not allow-listed.
//!
//! The client's `Host` decides nothing.

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

/// What is known of links, for one answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkRewrite<'a> {
    /// `host:port` of all the console's backends, lower case.
    pub backends: &'a [Arc<str>],
    /// Lower-case names of parameters that do not leave: the kind's identity parameters, among
    /// them the gateway's own `doAs` (a standby `ResourceManager` puts it into its redirect).
    pub parameters: &'a [&'a str],
    /// Nodes that may be reached through the gateway.
    pub nodes: Option<&'a NodePolicy>,
    /// Signs node links, where the kind hands out nodes.
    pub signer: Option<Signer<'a>>,
    /// The console's name and what signs links to itself, where such a link is a credential.
    pub own: Option<(&'a str, Signer<'a>)>,
    /// The gateway's other consoles, and where the client is.
    pub consoles: Option<(&'a Consoles, ClientOrigin<'a>)>,
    /// `https://proxy.example.com:50470`, made from the *checked* host: links are written absolute.
    /// `None`: relative to the origin. For `WebHDFS` and `HttpFS`, whose Java client reads nothing
    /// but absolute links.
    pub origin: Option<&'a str>,
}

/// Why an answer must not go to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A delegation token would leave for a host that is not allow-listed, or unsigned.
    #[error("a redirect with a delegation token to a node that is not in `nodes`")]
    Secret,
    /// Control bytes, or a token in something that is not text.
    #[error("a redirect that cannot be read")]
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

/// Whether an answer has any of the headers that [`apply`] looks at.
pub(crate) fn leads_elsewhere(headers: &HeaderMap) -> bool {
    // one pass over the few that are there beats a look-up for each that may be
    headers.keys().any(|name| {
        *name == header::LOCATION || *name == header::CONTENT_LOCATION || *name == header::REFRESH
    })
}

/// Rewrites the redirecting headers of an answer.
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
        // raw UTF-8 is not `to_str`
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
        // Of several the first counts, as it does to browsers that do not refuse them.
        headers.insert(name, rewritten);
        return Ok(());
    }
    Ok(())
}

/// Rewrites one link; `None`: it stays as it is.
pub fn rewrite(link: &str, links: &LinkRewrite<'_>) -> Result<Option<String>, LinkError> {
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
        // `//x` at the start of a reference would be a host
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

/// Whether a reference is the second step of a `WebHDFS` request at the server that was asked:
/// `HttpFS` marks it by `data=true` (`HttpFSServer.createUploadRedirectionURL`).
fn is_second_step(rest: &str) -> bool {
    rest.starts_with("/webhdfs/")
        && query_of(rest).is_some_and(|query| {
            query
                .split('&')
                .any(|piece| piece.eq_ignore_ascii_case("data=true"))
        })
}

/// The authority that a rewritten `Location` still leads to, where it is another port of a host that
/// the gateway knows: a browser leaves the gateway there, which is hardly ever meant. `before` is the
/// header as the backend sent it.
pub(crate) fn leaves_for<'h>(
    before: &HeaderValue,
    after: &'h HeaderMap,
    links: &LinkRewrite<'_>,
) -> Option<&'h str> {
    let (consoles, here) = links.consoles.as_ref()?;
    let location = after.get(header::LOCATION)?.to_str().ok()?;
    let target = Link::split(location)?;
    let was = Link::split(before.to_str().ok()?)?;
    let leaves = was.authority == target.authority && !location.starts_with(here.origin);
    (leaves && consoles.know_host(&target)).then_some(target.authority)
}

fn query_of(link: &str) -> Option<&str> {
    let link = link.split('#').next()?;
    link.split_once('?').map(|(_, query)| query)
}

/// Cuts the parameters that do not leave out of a link's query; `None`: there were none.
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

//! How a request reached the gateway: at an address of a console, or through proxy mode.
//!
//! On the request path: set by the listener of a proxy, read by everything that translates between
//! addresses of the gateway and addresses of the cluster. A client of proxy mode uses the cluster's own
//! names, so nothing is rewritten, renamed or signed for it.

use http::Extensions;

/// An extension of a request. A request without it came to a console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Via {
    /// At an address of a console: addresses, links and cookies are translated.
    #[default]
    Console,
    /// Through proxy mode, by the server's own address: nothing is translated.
    Proxy,
}

/// How the request with these extensions came.
pub(crate) fn of(extensions: &Extensions) -> Via {
    extensions.get().copied().unwrap_or_default()
}

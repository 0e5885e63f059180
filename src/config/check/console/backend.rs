//! `backends` of a console.

use std::{net::IpAddr, sync::Arc};

use super::super::{
    super::{
        BackendConfig, IdentityMode,
        problem::{ConsoleProblem, ValueProblem, WarningKind},
        schema,
        tree::{Table, Value},
    },
    Environment,
    kerberos::{self, keytab_principal, service_principal},
    stream::backend::PROXY_WORDS,
};
use super::{
    backend_tls::{self, TlsSettings},
    hosts::is_host_name,
};
use crate::{gss::Principal, tls::client};

const NEED_BACKENDS: &str = "Write backends = [\"http://nn1.example.com:50070\", …]";
const NEED_URL: &str = "Write url = \"http://nn1.example.com:50070\"";

/// The backends of a console with the positions of their URLs.
pub(super) fn check<'a>(
    console: &Table<'a>,
    identity: Option<IdentityMode>,
    kerberos: &kerberos::CheckedKerberos,
    default_tls: Option<&TlsSettings>,
    environment: &Environment<'_>,
) -> Vec<(Value<'a>, BackendConfig)> {
    let Some(value) = console.require("backends", NEED_BACKENDS) else {
        return Vec::new();
    };
    let list = value.list();
    if list.as_ref().is_some_and(Vec::is_empty) {
        value.problem(ValueProblem::Empty {
            cure: NEED_BACKENDS,
        });
    }
    let mut backends: Vec<(Value<'a>, BackendConfig)> = Vec::new();
    for element in list.unwrap_or_default() {
        let Some((value, backend)) = one(&element, identity, kerberos, default_tls, environment)
        else {
            continue;
        };
        // A backend that is listed twice would get two shares of the requests.
        if backends.iter().any(|(_, other)| other.url == backend.url) {
            value.problem(ConsoleProblem::BackendTwice {
                url: backend.url.to_string(),
            });
        }
        backends.push((value, backend));
    }
    backends
}

fn one<'a>(
    element: &Value<'a>,
    identity: Option<IdentityMode>,
    kerberos: &kerberos::CheckedKerberos,
    default_tls: Option<&TlsSettings>,
    environment: &Environment<'_>,
) -> Option<(Value<'a>, BackendConfig)> {
    let table = if element.is_table() {
        Some(element.table(&schema::BACKEND)?)
    } else {
        None
    };
    let own = |name| table.as_ref().and_then(|table| table.get(name));
    let principal = own("principal").and_then(|n| keytab_principal(&n, kerberos.keytab.as_ref()));
    let realm = realm(principal.as_ref(), kerberos);
    let spn = own("spn").and_then(|value| service_principal(&value, realm));
    let value = match &table {
        Some(table) => table.require("url", NEED_URL)?,
        None => element.clone(),
    };
    let BackendUrl { tls, host, port } = url(&value)?;
    let scheme = if tls { "https" } else { "http" };
    let url: Arc<str> = format!("{scheme}://{host}:{port}").into();
    let own_tls = own("tls");
    if let (Some(own), false) = (&own_tls, tls) {
        own.problem(ConsoleProblem::TlsForPlainUrl {
            url: url.to_string(),
        });
    }
    let own_tls = own_tls.and_then(|value| backend_tls::of_backend(&value, environment));
    let tls = tls.then(|| backend_tls::resolve(&value, own_tls.as_ref(), default_tls));
    let logs_in = match identity {
        Some(IdentityMode::Service | IdentityMode::DoAs) => true,
        Some(IdentityMode::Simple | IdentityMode::None) | None => false,
    };
    if logs_in && !kerberos.has_principal && own("principal").is_none() {
        value.problem(ConsoleProblem::NoPrincipal {
            url: url.to_string(),
        });
    }
    // DEFAULT maps HTTP/any-host to `HTTP`, the short name that all SPNEGO servers of a cluster share.
    if let Some(shared) = principal.as_ref().or(kerberos.principal.as_ref())
        && identity == Some(IdentityMode::DoAs)
        && shared.service() == Some("HTTP")
    {
        value.warning(WarningKind::SharedProxyUser {
            principal: shared.to_string(),
        });
    }
    // The default SPN is made from the host, and KDCs rarely have one with an address.
    let by_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    if logs_in && by_address && own("spn").is_none() {
        value.warning(WarningKind::BackendByAddress { host: host.clone() });
    }
    let default_spn = || Principal::new(["HTTP", host.as_str()], realm?).ok();
    let spn = if logs_in {
        spn.or_else(default_spn)
    } else {
        spn
    };
    Some((
        value,
        BackendConfig {
            url,
            host: host.into(),
            port,
            spn,
            principal,
            tls,
            weight: own("weight")
                .and_then(|value| value.integer(0..=256))
                .and_then(|weight| u32::try_from(weight).ok())
                .unwrap_or(1),
            send_proxy: own("send_proxy").and_then(|value| value.keyword(&PROXY_WORDS, &[])),
            max_connections: own("max_connections")
                .and_then(|value| value.integer(1..=1_000_000))
                .and_then(|most| usize::try_from(most).ok()),
        },
    ))
}

/// The realm of an SPN that is written without one: `kerberos.default_realm` if it is set (the
/// cluster's realm may differ from the gateway's), else that of the principal that logs in.
fn realm<'k>(
    own: Option<&'k Principal>,
    kerberos: &'k kerberos::CheckedKerberos,
) -> Option<&'k str> {
    let principal = own.or(kerberos.principal.as_ref());
    kerberos
        .realm
        .as_deref()
        .or_else(|| principal.map(Principal::realm))
}

#[derive(Debug, PartialEq, Eq)]
struct BackendUrl {
    tls: bool,
    /// Lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

fn url(value: &Value<'_>) -> Option<BackendUrl> {
    let text = value.text()?;
    let address = split_url(text);
    if address.is_none() {
        value.problem(ConsoleProblem::Url {
            text: text.to_owned(),
        });
    }
    address
}

fn split_url(text: &str) -> Option<BackendUrl> {
    let (scheme, rest) = text.split_once("://")?;
    let tls = scheme.eq_ignore_ascii_case("https");
    if !tls && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        // The colon may be one inside of [::1].
        Some((host, port)) if !port.contains(']') => {
            // u16::from_str also accepts "+80".
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let port = port.parse().ok().filter(|port| digits && *port != 0);
            (host, port?)
        }
        Some(_) | None => (authority, if tls { 443 } else { 80 }),
    };
    let host = host.to_ascii_lowercase();
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address = inner.parse::<std::net::Ipv6Addr>().ok()?;
        let host = format!("[{address}]");
        return Some(BackendUrl { tls, host, port });
    }
    // rustls compares the certificate with the name, so it has to be one that rustls accepts.
    let named = is_host_name(&host) && (!tls || client::server_name(&host).is_some());
    named.then_some(BackendUrl { tls, host, port })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        let good = |text| split_url(text).map(|url| (url.host, url.port));
        assert_eq!(
            good("http://NN1.example.com:50070"),
            Some(("nn1.example.com".into(), 50070))
        );
        assert_eq!(good("http://nn1/"), Some(("nn1".into(), 80)));
        assert_eq!(good("http://[::1]:50070"), Some(("[::1]".into(), 50070)));
        assert_eq!(good("http://[::1]"), Some(("[::1]".into(), 80)));
        assert_eq!(good("http://10.0.0.1:80"), Some(("10.0.0.1".into(), 80)));
    }

    #[test]
    fn a_url_with_more_than_that_is_refused() {
        for text in [
            "nn1:50070",
            "ftp://nn1:21",
            "http://",
            "http://:80",
            "http://nn1:",
            "http://nn1:0",
            "http://nn1:+80",
            "http://nn1:70000",
            "http://nn1:80/dfs",
            "http://nn1:80?a",
            "http://u:p@nn1:80",
            "http://[::1:80",
            "http://::1:80",
            "http://nn1:80//",
        ] {
            assert_eq!(split_url(text), None, "{text}");
        }
    }

    #[test]
    fn https_is_tls_on_its_own_port() {
        let tls = |text| split_url(text).map(|url| (url.tls, url.host, url.port));
        assert_eq!(tls("https://NN1:50470"), Some((true, "nn1".into(), 50470)));
        assert_eq!(tls("HTTPS://nn1/"), Some((true, "nn1".into(), 443)));
        assert_eq!(tls("https://[::1]"), Some((true, "[::1]".into(), 443)));
        assert_eq!(tls("http://nn1"), Some((false, "nn1".into(), 80)));
    }

    proptest! {
        #[test]
        fn any_text_is_accepted_or_refused_without_panic(text in ".*", tail in "[:\\[\\]0-9a-z/.]*") {
            let _ = (split_url(&text), split_url(&format!("http://{tail}")));
        }
    }
}

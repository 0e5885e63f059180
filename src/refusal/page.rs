//! The response for a refusal: an HTML page, JSON or plain text.
//!
//! Each says what happened, on whose side it is and what to do now. Everything that came from the
//! client (its `Host`, its name) is escaped, and an invalid host name is not shown at all: the pages
//! have commands to copy into a terminal.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use maud::{DOCTYPE, Markup, html};

use super::Refusal;

mod context;
mod impersonation;
pub(crate) mod instead;

pub(crate) use context::{Format, PageContext};
pub(crate) use impersonation::{ImpersonationAdvice, response as impersonation};

/// The header with the reason word, for programs that do not read the page.
const REASON: HeaderName = HeaderName::from_static("x-spnegate-reason");

// The page is one file with an inline style. Should escaping ever fail, a browser still runs no script,
// loads nothing and submits nothing on behalf of the origin, which is that of every console.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);
const NEGOTIATE: HeaderValue = HeaderValue::from_static("Negotiate");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:3em auto;\
    padding:0 1em;color:#222;background:#fff}code{background:#eee;padding:.1em .3em;\
    overflow-wrap:anywhere}dt{font-weight:600;margin-top:1em}dd{margin:0}footer{margin-top:2em;\
    color:#666;font-size:.85em}";

/// The complete response, with `WWW-Authenticate: Negotiate` where the refusal
/// [challenges](Refusal::challenges), `Retry-After` where waiting helps, and `Cache-Control: no-store`.
/// The refusal itself is put into the extensions, for logs.
pub(crate) fn response<B: From<Bytes>>(refusal: Refusal, context: &PageContext<'_>) -> Response<B> {
    let body = if context.head {
        Bytes::new()
    } else {
        body(refusal, context)
    };
    with_headers(refusal, context, body)
}

fn with_headers<B: From<Bytes>>(
    refusal: Refusal,
    context: &PageContext<'_>,
    body: Bytes,
) -> Response<B> {
    let mut response = Response::new(B::from(body));
    *response.status_mut() = refusal.status();
    response.extensions_mut().insert(refusal);
    let headers = response.headers_mut();
    headers.insert(REASON, HeaderValue::from_static(refusal.reason()));
    headers.insert(header::CONTENT_TYPE, context.format.content_type());
    // A browser that cached this page would show it again after the login.
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    // Text and JSON contain bytes of the client, which a browser that guesses the type could take
    // for HTML.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    if refusal.challenges() {
        headers.insert(header::WWW_AUTHENTICATE, NEGOTIATE);
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if context.unread {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn body(refusal: Refusal, context: &PageContext<'_>) -> Bytes {
    match context.format {
        Format::Html => page(refusal, context).into_string().into(),
        Format::Json => json(refusal, context).into(),
        Format::Text => text(refusal, context).into(),
    }
}

/// Whether instructions for tickets and browser settings help.
fn needs_login_help(refusal: Refusal) -> bool {
    refusal.challenges() || refusal == Refusal::Ntlm
}

fn json(refusal: Refusal, context: &PageContext<'_>) -> String {
    format!("{}\n", json_value(refusal, context))
}

fn json_value(refusal: Refusal, context: &PageContext<'_>) -> serde_json::Value {
    serde_json::json!({
        "refusal": {
            "reason": refusal.reason(),
            "status": refusal.status().as_u16(),
            "message": refusal.sentence(),
            "advice": refusal.advice(),
            "console": context.console,
            "principal": context.principal,
            "detail": context.detail,
            "setting": refusal.setting(),
            "request_id": context.request_id,
            "instead": context.address_instead(),
        }
    })
}

fn text(refusal: Refusal, context: &PageContext<'_>) -> String {
    // What came from the client is escaped, because a terminal obeys control characters.
    let mut text = format!("{}\n{}\n", refusal.sentence(), refusal.advice());
    if let Some(url) = context.address_instead() {
        let _ = writeln!(text, "Use {url} instead.");
    }
    if let Some(detail) = context.detail {
        let _ = writeln!(text, "The gateway rejected {}.", detail.escape_debug());
    }
    if let Some(key) = refusal.setting() {
        let _ = writeln!(text, "The setting {key} of the gateway is the limit.");
    }
    if let Some(principal) = context.principal {
        let _ = writeln!(text, "You are logged in as {}.", principal.escape_debug());
    }
    if needs_login_help(refusal) {
        let authority = context
            .shown()
            .map_or("<this host>", |(authority, _)| authority);
        let _ = write!(
            text,
            "\n  kinit\n  curl --negotiate -u : {}://{authority}/\n",
            context.scheme
        );
    }
    text.push('\n');
    signature(&mut text, refusal, context);
    text
}

/// The last line of a text: the console, the reason word and the request id.
fn signature(text: &mut String, refusal: Refusal, context: &PageContext<'_>) {
    let _ = write!(text, "spnegate: {} {}", context.signer(), refusal.reason());
    if let Some(id) = context.request_id {
        let _ = write!(text, " {}", id.escape_debug());
    }
    text.push('\n');
}

fn page(refusal: Refusal, context: &PageContext<'_>) -> Markup {
    let middle = html! {
        p { (refusal.advice()) }
        @if let Some(url) = context.address_instead() {
            p { "Use " a href=(url) { (url) } " instead." }
        }
        @if let Some(detail) = context.detail {
            p { "The gateway rejected " (detail) "." }
        }
        @if let Some(key) = refusal.setting() {
            p { "The setting " code { (key) } " of the gateway is the limit." }
        }
        @if let Some(principal) = context.principal {
            p { "You are logged in as " code { (principal) } "." }
        }
        @if needs_login_help(refusal) { (login_help(context)) }
    };
    framed(refusal, context, &middle)
}

/// A page with `middle` between the headline and the footer.
fn framed(refusal: Refusal, context: &PageContext<'_>, middle: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (context.signer()) ": " (refusal.status()) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { (refusal.sentence()) }
                (middle)
                footer {
                    (context.signer()) " · " (refusal.reason())
                    @if let Some(id) = context.request_id { " · " (id) }
                }
            }
        }
    }
}

/// How to configure each client for a login to this host.
fn login_help(context: &PageContext<'_>) -> Markup {
    let (authority, name) = context.shown().unwrap_or(("<this host>", "<this host>"));
    let url = format!("{}://{authority}/", context.scheme);
    html! {
        p {
            code { (name) } " is a gateway to " code { (context.console) }
            ". It accepts your Kerberos ticket instead of a password. You need a ticket, and your browser "
            "has to be allowed to use it for this host. Use the full host name in the address."
        }
        dl {
            dt { "A ticket" }
            dd {
                "Run " code { "kinit" } " (" code { "klist" } " shows it). A member of a Windows domain "
                "has one from logging on."
            }
            dt { "Chrome, Edge" }
            dd {
                "Set the policy " code { "AuthServerAllowlist" } " to " code { (name) }
                ", or start with " code { "--auth-server-allowlist=" (name) }
                ". On Linux the policy is the file "
                code { "/etc/opt/chrome/policies/managed/spnegate.json" } " with "
                code { "{\"AuthServerAllowlist\": \"" (name) "\"}" }
                "; on macOS " code { "defaults write com.google.Chrome AuthServerAllowlist " (name) }
                ". On Linux a new profile tries Kerberos only after it has received a page like this "
                "one: reload it, and if that does not help, restart the browser."
            }
            dt { "Firefox" }
            dd {
                "In " code { "about:config" } " set " code { "network.negotiate-auth.trusted-uris" }
                " to " code { (name) } "."
            }
            dt { "Safari" }
            dd { "No setting is needed, only the ticket." }
            dt { "curl" }
            dd { code { "kinit; curl --negotiate -u : " (url) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context(format: Format) -> PageContext<'static> {
        PageContext {
            authority: "proxy.example.com:50070",
            scheme: "http",
            console: "namenode",
            format,
            head: false,
            unread: false,
            request_id: Some("7f"),
            principal: None,
            instead: None,
            detail: None,
        }
    }

    fn rendered(refusal: Refusal, context: &PageContext<'_>) -> (http::HeaderMap, String) {
        let response = response::<Bytes>(refusal, context);
        let (parts, body) = response.into_parts();
        assert_eq!(parts.status, refusal.status());
        (parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn the_login_page_has_the_settings_for_this_host() {
        let (headers, body) = rendered(Refusal::LoginRequired, &context(Format::Html));
        assert_eq!(headers[header::WWW_AUTHENTICATE], "Negotiate");
        for part in [
            "--auth-server-allowlist=proxy.example.com<",
            "{&quot;AuthServerAllowlist&quot;: &quot;proxy.example.com&quot;}",
            "restart the browser",
            "network.negotiate-auth.trusted-uris",
            "Safari",
            "curl --negotiate -u : http://proxy.example.com:50070/",
        ] {
            assert!(body.contains(part), "{part}\n{body}");
        }
    }

    #[test]
    fn ntlm_gets_an_explanation_and_no_challenge() {
        for format in [Format::Html, Format::Text] {
            let (headers, body) = rendered(Refusal::Ntlm, &context(format));
            assert!(!headers.contains_key(header::WWW_AUTHENTICATE));
            assert!(body.contains("NTLM") && body.contains("kinit"));
        }
    }

    #[test]
    fn every_refusal_has_its_reason_word_and_advice_in_every_format_and_is_never_stored() {
        for refusal in Refusal::ALL {
            for format in [Format::Html, Format::Json, Format::Text] {
                let (headers, body) = rendered(*refusal, &context(format));
                assert!(body.contains(refusal.reason()) && body.contains("7f"));
                let advice = maud::html! { (refusal.advice()) }.into_string();
                assert!(body.contains(refusal.advice()) || body.contains(&advice));
                assert_eq!(headers[header::CACHE_CONTROL], "no-store");
                assert_eq!(
                    headers.contains_key(header::WWW_AUTHENTICATE),
                    refusal.challenges()
                );
            }
        }
    }

    #[test]
    fn a_limit_is_shown_with_its_key_and_a_bad_request_with_its_bytes() {
        for format in [Format::Html, Format::Json, Format::Text] {
            let (_, body) = rendered(Refusal::BackendTimeout, &context(format));
            assert!(body.contains("timeouts.first_byte"), "{body}");
            let context = PageContext {
                detail: Some("a backslash at byte 2 of the path (`\\\\`)"),
                ..context(format)
            };
            let (_, body) = rendered(Refusal::BadPath, &context);
            assert!(body.contains("a backslash at byte 2"), "{body}");
        }
    }

    #[test]
    fn the_json_is_valid() {
        let (_, body) = rendered(Refusal::UserDenied, &context(Format::Json));
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["refusal"]["reason"], "user_denied");
        assert_eq!(value["refusal"]["status"], 403);
    }

    #[test]
    fn a_page_shows_the_address_that_would_work() {
        for format in [Format::Html, Format::Json, Format::Text] {
            let context = PageContext {
                authority: "proxy:50070",
                instead: Some("proxy.example.com"),
                console: "",
                ..context(format)
            };
            let (_, body) = rendered(Refusal::UnknownHost, &context);
            assert!(body.contains("http://proxy.example.com:50070/"), "{body}");
            assert!(
                !body.contains("spnegate:  ") && !body.contains("<title>:"),
                "{body}"
            );
        }
    }

    #[test]
    fn a_head_request_gets_no_body() {
        let context = PageContext {
            head: true,
            ..context(Format::Html)
        };
        assert!(rendered(Refusal::LoginRequired, &context).1.is_empty());
    }

    proptest! {
        #[test]
        fn no_input_of_the_client_becomes_markup(host in ".*", principal in ".*", tls: bool) {
            let context = PageContext {
                authority: &host,
                scheme: if tls { "https" } else { "http" },
                principal: Some(&principal),
                request_id: Some(&principal),
                detail: Some(&principal),
                ..context(Format::Html)
            };
            let plain = PageContext { authority: "h", principal: Some("p"), ..context };
            let plain = PageContext { detail: Some("d"), ..plain };
            let count = |context: &PageContext<'_>, c: char| {
                rendered(Refusal::LoginRequired, context).1.matches(c).count()
            };
            let plain = PageContext { request_id: Some("i"), ..plain };
            prop_assert_eq!(count(&context, '<'), count(&plain, '<'));
            prop_assert_eq!(count(&context, '>'), count(&plain, '>'));
        }

        #[test]
        fn text_has_no_control_characters_of_the_client(host in "\\PC*\\p{Cc}\\PC*", name in "\\PC*\\p{Cc}") {
            let context = PageContext {
                authority: &host, principal: Some(&name), request_id: Some(&name),
                detail: Some(&name),
                ..context(Format::Text)
            };
            let (_, body) = rendered(Refusal::LoginRequired, &context);
            prop_assert!(!body.contains(|c: char| c.is_control() && c != '\n'));
            prop_assert_eq!(body.lines().count(), 9);
        }
    }
}

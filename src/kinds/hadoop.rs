//! What the responses of all Hadoop servers have in common.

use http::{Method, StatusCode, header};
use serde_json::Value;

use super::{
    Health, ImpersonationCheck, ImpersonationDenial, ImpersonationProbe, Remedy, RequestInfo,
    ResponseInfo,
    impersonation::{self, MissingRule},
};

/// How the reason phrase begins when `AuthenticationFilter` rejects a *token*:
/// `sendError(403, exception.getMessage())`, where the message is the cause's `toString()`.
const EXCEPTIONS: [&[u8]; 5] = [
    b"GSSException",
    b"java.",
    b"javax.",
    b"org.ietf.jgss.",
    b"org.apache.hadoop.security.authentication.",
];

/// Whether this is the 403 by which Hadoop's `AuthenticationFilter` rejects a *token*: the reason phrase
/// is a Java exception, and there is no challenge and nothing about a user.
pub(super) fn token_rejected(head: &ResponseInfo<'_>) -> bool {
    // Only the beginning is compared: the reason phrase of a 403 about the user ends with text that the
    // user may have chosen (a path), and to log in again because of it would loop.
    head.status == StatusCode::FORBIDDEN
        && EXCEPTIONS
            .iter()
            .any(|start| head.reason.starts_with(start))
}

/// Whether the server refuses to let the gateway act for a user (`ProxyUsers.authorize`,
/// `DefaultImpersonationProvider`). That shows that it read the user.
pub(super) fn impersonation_refused(head: &ResponseInfo<'_>, body: &[u8]) -> bool {
    let says = |text: &[u8]| {
        contains(text, b"is not allowed to impersonate")
            || contains(text, b"Unauthorized connection for super-user")
    };
    head.status.is_client_error() && (says(head.reason) || says(body))
}

/// Reads the response to a probe with an *empty* user. Servers that read the parameter cannot create a
/// user from it (`UserGroupInformation`: "Null user", 500; Oozie: 400), servers that ignore it respond
/// with 200.
///
/// Sent only after a healthy response to [`super::IMPERSONATION_PROBE_USER`], so an error is about the
/// name.
pub(super) fn check_empty_user(head: &ResponseInfo<'_>) -> ImpersonationCheck {
    match head.status {
        StatusCode::OK => ImpersonationCheck::Ignored,
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::INTERNAL_SERVER_ERROR => {
            ImpersonationCheck::Honoured
        }
        _ => ImpersonationCheck::Inconclusive,
    }
}

/// Reads the response of a page that is behind `ProxyUserAuthenticationFilter` and does not show the
/// user.
pub(super) fn check_page(head: &ResponseInfo<'_>, body: &[u8], user: &str) -> ImpersonationCheck {
    if user.is_empty() {
        return check_empty_user(head);
    }
    if impersonation_refused(head, body) {
        ImpersonationCheck::Honoured
    } else if head.status == StatusCode::OK {
        // Either `doAs` was ignored, or a rule such as `hadoop.proxyuser.<gateway>.users = *` allows every
        // name. An empty name separates the two.
        ImpersonationCheck::RetryEmpty
    } else {
        ImpersonationCheck::Inconclusive
    }
}

/// Where `WebHDFS` and `HttpFS` return the user's home, without reading the file system.
pub(super) const HOME: ImpersonationProbe = ImpersonationProbe {
    path: "/webhdfs/v1/",
    query: "op=GETHOMEDIRECTORY",
};

/// Whether it is a request of `WebHDFS`, whose redirects lead to DataNodes. Those of `HttpFS` lead to
/// itself, without a secret, but its Java client too accepts only absolute ones.
pub(super) fn is_webhdfs(request: &RequestInfo<'_>) -> bool {
    request.path.starts_with("/webhdfs/")
}

/// Reads the health probe of a server without a standby: it serves if it responds with 200.
pub(super) fn health_without_standby(head: &ResponseInfo<'_>) -> Health {
    if head.status == StatusCode::OK {
        Health::Active
    } else {
        Health::Down
    }
}

/// Reads the response to [`HOME`]: `{"Path":"/user/<name>"}`.
pub(super) fn check_home_directory(
    head: &ResponseInfo<'_>,
    body: &[u8],
    user: &str,
) -> ImpersonationCheck {
    if user.is_empty() {
        return check_empty_user(head);
    }
    if impersonation_refused(head, body) {
        return ImpersonationCheck::Honoured;
    }
    if head.status != StatusCode::OK {
        return ImpersonationCheck::Inconclusive;
    }
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let home = json.as_ref().and_then(|value| value["Path"].as_str());
    // only the last component: `dfs.user.home.dir.prefix` may be another than `/user`
    match home.and_then(|path| path.rsplit('/').next()) {
        Some(name) if name == user => ImpersonationCheck::Honoured,
        Some(_) => ImpersonationCheck::Ignored,
        None => ImpersonationCheck::Inconclusive,
    }
}

/// The content of a `RemoteException` JSON (`JsonUtil.toJsonString`, `HttpExceptionUtils`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteException {
    /// The simple class name.
    pub(super) exception: String,
    /// The full class name; may be empty.
    pub(super) class: String,
    /// May be empty.
    pub(super) message: String,
}

pub(super) fn remote_exception(body: &[u8]) -> Option<RemoteException> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let fields = &value["RemoteException"];
    let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    Some(RemoteException {
        exception: fields["exception"].as_str()?.to_owned(),
        class: text("javaClassName"),
        message: text("message"),
    })
}

/// Whether [`denial()`] needs the body of this response.
pub(super) fn may_be_denial(head: &ResponseInfo<'_>) -> bool {
    let refuses = matches!(
        head.status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::INTERNAL_SERVER_ERROR
    );
    refuses && is_media_type(head, "application/json")
}

/// Reads a refusal to let the gateway act for the user (`ProxyUsers.authorize`,
/// `DefaultImpersonationProvider`) from the message of a `RemoteException`. The message is matched from
/// its beginning, so that the name of a file cannot be taken for a refusal.
pub(super) fn denial(head: &ResponseInfo<'_>, body: &[u8]) -> Option<ImpersonationDenial> {
    if !may_be_denial(head) {
        return None;
    }
    let said = remote_exception(body)?;
    let text = said.message.as_str();
    // `JspHelper.getUGI` puts its own text before it, and the name of the exception's class.
    let text = text
        .strip_prefix("Failed to obtain user group information: ")
        .unwrap_or(text);
    let text = text
        .strip_prefix("org.apache.hadoop.security.authorize.AuthorizationException: ")
        .unwrap_or(text);
    let (name, missing) = if let Some(rest) = text.strip_prefix("User: ") {
        let (name, _) = rest.split_once(" is not allowed to impersonate ")?;
        (name, MissingRule::User)
    } else {
        let rest = text.strip_prefix("Unauthorized connection for super-user: ")?;
        let (name, from) = rest.split_once(" from IP ")?;
        (name, MissingRule::Host(impersonation::host(from)))
    };
    Some(ImpersonationDenial {
        gateway: impersonation::short_name(name),
        missing,
        exception: Some((said.exception, said.class)),
        message: said.message,
        headers: None,
    })
}

/// The properties of Hadoop's own servers.
pub(super) fn remedy(
    file: &'static str,
    apply: &'static str,
    who: (&ImpersonationDenial, &str, &str),
) -> Remedy {
    Remedy::properties("hadoop.proxyuser.", true, file, apply, who)
}

/// Whether the body has that media type and is not compressed.
pub(super) fn is_media_type(head: &ResponseInfo<'_>, wanted: &str) -> bool {
    let value = head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media = value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    // A compressed body cannot be searched, and a prefix of it cannot be decompressed to the end.
    media.trim().eq_ignore_ascii_case(wanted)
        && !head.headers.contains_key(header::CONTENT_ENCODING)
}

pub(super) fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// Whether it is the first step of a `WebHDFS` write. The server responds with a redirect and ignores
/// the body.
pub(super) fn is_first_step_of_write(request: &RequestInfo<'_>) -> bool {
    let named = |wanted: &str, values: &[&str]| {
        request.query.split('&').any(|piece| {
            piece.split_once('=').is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case(wanted)
                    && values.iter().any(|known| value.eq_ignore_ascii_case(known))
            })
        })
    };
    is_webhdfs(request)
        && (*request.method == Method::PUT || *request.method == Method::POST)
        && named("op", &["CREATE", "APPEND"])
        // the second step at HttpFS, which takes the body
        && !named("data", &["true"])
}

/// Whether the JSON of the response has addresses that programs follow: YARN's REST interfaces
/// (`trackingUrl`, `amContainerLogs`, `logsLink`), those of an application master included. The
/// configuration of a job is data and stays as it is.
pub(super) fn body_names_addresses(request: &RequestInfo<'_>) -> bool {
    let rest = request.path.starts_with("/ws/")
        || (request.path.starts_with("/proxy/") && request.path.contains("/ws/v1/"));
    rest && !request.path.ends_with("/conf")
}

#[cfg(test)]
mod tests;

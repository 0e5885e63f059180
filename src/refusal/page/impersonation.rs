//! The response if the cluster does not allow the gateway to act for a user: on whose side that is, and
//! which configuration allows it.
//!
//! Clients of `WebHDFS`, in Java and in Python, read errors from a `RemoteException` JSON
//! (`WebHdfsFileSystem.validateResponse`), Oozie's from two headers. They get the server's message in
//! that form, followed by the explanation.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Response;
use maud::html;

use super::{Format, PageContext, Refusal};

#[derive(Clone, Copy, Debug)]
pub(crate) struct ImpersonationAdvice<'a> {
    /// Short name of the user.
    pub user: &'a str,
    /// Short name of the gateway at the server.
    pub gateway: &'a str,
    /// The file with the server's rules.
    pub file: &'a str,
    /// What the file must contain.
    pub rules: &'a [String],
    /// How to make the server read the file.
    pub apply: &'a str,
    /// The server's error message.
    pub message: &'a str,
    /// Simple and full class name of Hadoop's exception.
    pub exception: Option<(&'a str, &'a str)>,
}

impl ImpersonationAdvice<'_> {
    /// The explanation in one line.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "You are logged in; the server behind the gateway does not allow the gateway, {} there, to act for \
             {}. Its administrator can allow it: in {} {}; then {}",
            self.gateway,
            self.user,
            self.file,
            self.rules.join(", and "),
            self.apply
        )
    }
}

pub(crate) fn response<B: From<Bytes>>(
    advice: &ImpersonationAdvice<'_>,
    context: &PageContext<'_>,
) -> Response<B> {
    let refusal = Refusal::ImpersonationDenied;
    let body = match context.format {
        _ if context.head => String::new(),
        Format::Html => html(advice, context),
        Format::Json => json(advice, context),
        Format::Text => text(advice, context),
    };
    super::with_headers(refusal, context, body.into())
}

fn json(advice: &ImpersonationAdvice<'_>, context: &PageContext<'_>) -> String {
    let mut value = super::json_value(Refusal::ImpersonationDenied, context);
    let refusal = &mut value["refusal"];
    refusal["user"] = advice.user.into();
    refusal["gateway"] = advice.gateway.into();
    refusal["file"] = advice.file.into();
    refusal["rules"] = advice.rules.into();
    refusal["apply"] = advice.apply.into();
    let message = format!("{}. {}", advice.message, advice.sentence());
    if let Some((exception, class)) = advice.exception {
        // The three members that `JsonUtilClient.toRemoteException` of Hadoop reads.
        value["RemoteException"] = serde_json::json!({
            "exception": exception,
            "javaClassName": class,
            "message": message,
        });
    } else {
        value["errorMessage"] = message.into();
    }
    format!("{value}\n")
}

fn text(advice: &ImpersonationAdvice<'_>, context: &PageContext<'_>) -> String {
    // The message is the server's and contains the user's name; a terminal obeys control
    // characters in either.
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}\n\nYou are logged in, and the gateway works. The server does not allow the gateway, {} there, to \
         act for {}.\nIts administrator can allow it, in {}:\n",
        Refusal::ImpersonationDenied.sentence(),
        advice.gateway.escape_debug(),
        advice.user.escape_debug(),
        advice.file
    );
    for rule in advice.rules {
        let _ = writeln!(text, "  {}", rule.escape_debug());
    }
    let _ = writeln!(
        text,
        "\nthen: {}\n\nMessage of the server: {}\n",
        advice.apply,
        advice.message.escape_debug()
    );
    super::signature(&mut text, Refusal::ImpersonationDenied, context);
    text
}

fn html(advice: &ImpersonationAdvice<'_>, context: &PageContext<'_>) -> String {
    let middle = html! {
        p {
            "You are logged in, and the gateway works. The server behind it does not allow the gateway, "
            code { (advice.gateway) } " there, to act for " code { (advice.user) } "."
        }
        p { "Its administrator can allow it, in " (advice.file) ":" }
        ul { @for rule in advice.rules { li { code { (rule) } } } }
        p { "then: " (advice.apply) "." }
        p { "Message of the server: " code { (advice.message) } }
    };
    super::framed(Refusal::ImpersonationDenied, context, &middle).into_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context(format: Format) -> PageContext<'static> {
        PageContext {
            format,
            ..PageContext::plain("namenode")
        }
    }

    fn rendered(user: &str, message: &str, format: Format) -> (http::response::Parts, String) {
        let rules = [format!("hadoop.proxyuser.gw.users must name {user}")];
        let advice = ImpersonationAdvice {
            user,
            gateway: "gw",
            file: "core-site.xml of the NameNodes",
            rules: &rules,
            apply: "run it",
            message,
            exception: Some(("AuthorizationException", "org.x.AuthorizationException")),
        };
        let (parts, body) = response::<Bytes>(&advice, &context(format)).into_parts();
        (parts, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn each_format_shows_that_the_server_has_to_allow_it_and_by_which_lines() {
        for format in [Format::Html, Format::Json, Format::Text] {
            let (parts, body) = rendered("carol", "User: gw is not allowed", format);
            assert_eq!(parts.status, 403);
            assert_eq!(parts.headers["x-spnegate-reason"], "impersonation_denied");
            for part in [
                "hadoop.proxyuser.gw.users must name carol",
                "core-site.xml of the NameNodes",
                "run it",
                "User: gw is not allowed",
                "You are logged in",
                "impersonation_denied",
            ] {
                assert!(body.contains(part), "{part}: {body}");
            }
        }
    }

    #[test]
    fn clients_of_webhdfs_find_the_exception_they_read() {
        let (_, body) = rendered("carol", "User: gw is not allowed", Format::Json);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        let exception = &value["RemoteException"];
        assert_eq!(exception["exception"], "AuthorizationException");
        assert_eq!(exception["javaClassName"], "org.x.AuthorizationException");
        let message = exception["message"].as_str().unwrap();
        assert!(message.starts_with("User: gw is not allowed. You are logged in"));
        assert_eq!(value["refusal"]["reason"], "impersonation_denied");
    }

    proptest! {
        #[test]
        fn no_text_of_a_server_or_user_becomes_markup_or_control_characters(user in "\\PC{0,20}\\p{Cc}?", message in ".*") {
            let (_, page) = rendered(&user, &message, Format::Html);
            let (_, plain) = rendered("u", "m", Format::Html);
            prop_assert_eq!(page.matches('<').count(), plain.matches('<').count());
            let (_, text) = rendered(&user, &message, Format::Text);
            prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}

//! `backend_tls` of a console and `tls` of a backend: the certificates that the gateway trusts and
//! presents.

use std::sync::Arc;

use super::super::{
    super::{
        BackendTls,
        problem::{ConsoleProblem, ValueProblem},
        schema,
        tree::{Table, Value},
    },
    Environment,
    tls::{self, KeyNames, LeafCertificates},
};
use super::hosts;
use crate::tls::{KeySource, MinVersion, TrustSource, certificate::CertificateInfo, client, store};

const CLIENT_KEYS: KeyNames = KeyNames {
    cert: "client_cert",
    key: "client_key",
    keystore: "client_keystore",
    password_file: "client_password_file",
    alias: "client_alias",
};

/// The keys of one table. Those that a backend does not set are taken from the console.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsSettings {
    truststore: Option<Truststore>,
    client: Option<KeySource>,
    min_version: Option<MinVersion>,
    server_name: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Truststore {
    file: std::path::PathBuf,
    password_file: Option<std::path::PathBuf>,
}

pub(super) fn of_console(
    console: &Table<'_>,
    environment: &Environment<'_>,
) -> Option<TlsSettings> {
    let table = console.table("backend_tls", &schema::BACKEND_TLS)?;
    Some(settings(&table, environment))
}

pub(super) fn of_backend(value: &Value<'_>, environment: &Environment<'_>) -> Option<TlsSettings> {
    Some(settings(
        &value.table(&schema::OWN_BACKEND_TLS)?,
        environment,
    ))
}

fn settings(table: &Table<'_>, environment: &Environment<'_>) -> TlsSettings {
    let names = &CLIENT_KEYS;
    let of_client = [
        names.cert,
        names.key,
        names.keystore,
        names.password_file,
        names.alias,
    ];
    let has_client = of_client.iter().any(|name| table.get(name).is_some());
    TlsSettings {
        truststore: truststore(table, environment),
        client: has_client
            .then(|| tls::key_source(table, names, environment, &mut LeafCertificates::default()))
            .flatten(),
        min_version: table.get("min_version").map(|_| tls::min_version(table)),
        server_name: table
            .get("server_name")
            .and_then(|value| server_name(&value)),
    }
}

fn server_name(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    let name = text.to_ascii_lowercase();
    if hosts::is_host_name(&name) && client::server_name(&name).is_some() {
        return Some(name.into());
    }
    value.problem(ConsoleProblem::Host {
        text: text.to_owned(),
    });
    None
}

fn truststore(table: &Table<'_>, environment: &Environment<'_>) -> Option<Truststore> {
    let password = table.get("password_file");
    let Some(value) = table.get("truststore") else {
        if let Some(password) = password {
            password.problem(ValueProblem::Missing {
                cure: "Write truststore: this is its password; the password of client_keystore is \
                       client_password_file",
            });
        }
        return None;
    };
    let file = environment.path(value.text()?);
    let password_file = match &password {
        Some(password) => Some(environment.path(password.text()?)),
        None => None,
    };
    match store::trusted(&file, password_file.as_deref()) {
        Ok(certificates) => {
            // A bundle of CAs often contains expired ones that no server uses.
            if let [only] = &*certificates
                && let Some(info) = CertificateInfo::of(only)
            {
                tls::warn_of_time(&value, &file, &info);
            }
        }
        Err(error) => {
            let of_password = password.filter(|_| Some(&error.path) == password_file.as_ref());
            tls::report(&of_password.unwrap_or(value), error);
        }
    }
    Some(Truststore {
        file,
        password_file,
    })
}

/// The settings of one `https` backend; reports at `value` if it has no trusted CAs at all.
pub(super) fn resolve(
    value: &Value<'_>,
    own: Option<&TlsSettings>,
    default: Option<&TlsSettings>,
) -> BackendTls {
    let settings = || own.into_iter().chain(default);
    let truststore = settings().find_map(|table| table.truststore.clone());
    // Minimal container images have no CA certificates. Without this check, every connection
    // would fail, and only then would the cause be logged.
    if truststore.is_none() && client::system().is_err() {
        value.problem(ConsoleProblem::NoSystemRoots);
    }
    BackendTls {
        trust: TrustSource {
            password_file: truststore.as_ref().and_then(|t| t.password_file.clone()),
            truststore: truststore.map(|t| t.file),
            client: settings().find_map(|table| table.client.clone()),
            min_version: settings()
                .find_map(|table| table.min_version)
                .unwrap_or_default(),
        },
        server_name: settings().find_map(|table| table.server_name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::check::tests::{check, problems, with};

    const URL: &str = "backends = [\"http://NN1.example.com:50070\", { url = \"http://[::1]:50071\", spn = \"HTTP/nn2.example.com\" }]";

    #[test]
    fn the_settings_of_a_backend_override_those_of_its_console() {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let ca = ca.display();
        let text = format!(
            "backend_tls = {{ truststore = \"{ca}\", server_name = \"all\", min_version = \"1.3\" }}\n\
             backends = [\"https://a\", {{ url = \"https://b:1\", tls = {{ server_name = \"own\" }} }}]"
        );
        let (config, _) = check(&with(URL, &text)).unwrap();
        let backends = &config.consoles[0].backends;
        let (a, b) = (
            backends[0].tls.as_ref().unwrap(),
            backends[1].tls.as_ref().unwrap(),
        );
        assert_eq!(&*backends[0].url, "https://a:443");
        assert_eq!(a.server_name.as_deref(), Some("all"));
        assert_eq!(b.server_name.as_deref(), Some("own"));
        assert_eq!(a.trust, b.trust);
        assert!(a.trust.truststore.is_some());
    }

    #[test]
    fn contradictory_settings_are_refused() {
        let only = |text: &str, expected: &str| {
            let found = problems(&with(URL, text));
            assert!(
                found.iter().any(|p| p.contains(expected)),
                "{text}: {found:?}"
            );
        };
        let plain = "backends = [{ url = \"http://a:1\", tls = { server_name = \"a\" } }]";
        only(
            plain,
            "tls: `tls` is set, but the URL http://a:1 is plain HTTP",
        );
        let file = |table: &str| format!("backend_tls = {table}\nbackends = [\"https://a\"]");
        only(
            &file("{ truststore = \"none.jks\" }"),
            "truststore: cannot read",
        );
        only(&file("{ password_file = \"p\" }"), "password_file: missing");
        only(
            &file("{ server_name = \"a:b\" }"),
            "server_name: invalid host name `a:b`",
        );
        only(&file("{ client_cert = \"c\" }"), "client_key: missing");
        only(&file("{ client_alias = \"c\" }"), "client_cert: missing");
    }
}

//! `backend_tls` of a console and `tls` of a backend: whom the gateway believes there.

use std::sync::Arc;

use super::{
    super::{
        BackendTls,
        problem::{ConsoleFault, ValueFault},
        schema,
        tree::{Node, Table},
    },
    Surroundings,
    tls::{self, Leaves, Names},
};
use crate::tls::{KeySource, MinVersion, TrustSource, client, facts::Facts, store};

const CLIENT_KEYS: Names = Names {
    cert: "client_cert",
    key: "client_key",
    keystore: "client_keystore",
    password_file: "client_password_file",
    alias: "client_alias",
};

/// What one table says; what it does not say, the console's default may.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
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

/// The console's default.
pub(super) fn of_console(console: &Table<'_>, surroundings: &Surroundings<'_>) -> Option<Said> {
    let table = console.table("backend_tls", &schema::BACKEND_TLS)?;
    Some(said(&table, surroundings))
}

/// What a backend's own table says.
pub(super) fn of_backend(node: &Node<'_>, surroundings: &Surroundings<'_>) -> Option<Said> {
    Some(said(&node.table(&schema::OWN_BACKEND_TLS)?, surroundings))
}

fn said(table: &Table<'_>, surroundings: &Surroundings<'_>) -> Said {
    let names = &CLIENT_KEYS;
    let of_client = [
        names.cert,
        names.key,
        names.keystore,
        names.password_file,
        names.alias,
    ];
    let has_client = of_client.iter().any(|name| table.get(name).is_some());
    Said {
        truststore: truststore(table, surroundings),
        client: has_client
            .then(|| tls::key_source(table, names, surroundings, &mut Leaves::default()))
            .flatten(),
        min_version: table.get("min_version").map(|_| tls::min_version(table)),
        server_name: table.get("server_name").and_then(|node| server_name(&node)),
    }
}

fn server_name(node: &Node<'_>) -> Option<Arc<str>> {
    let text = node.text()?;
    let name = text.to_ascii_lowercase();
    if super::hosts::is_host_name(&name) && client::server_name(&name).is_some() {
        return Some(name.into());
    }
    node.problem(ConsoleFault::Host {
        text: text.to_owned(),
    });
    None
}

fn truststore(table: &Table<'_>, surroundings: &Surroundings<'_>) -> Option<Truststore> {
    let password = table.get("password_file");
    let Some(node) = table.get("truststore") else {
        if let Some(password) = password {
            password.problem(ValueFault::Missing {
                cure: "Write truststore: this is its password; that of a client_keystore is \
                       client_password_file",
            });
        }
        return None;
    };
    let file = surroundings.path(node.text()?);
    let password_file = match &password {
        Some(password) => Some(surroundings.path(password.text()?)),
        None => None,
    };
    match store::trusted(&file, password_file.as_deref()) {
        Ok(certificates) => {
            // the others may be old and unused
            if let [only] = &*certificates
                && let Some(facts) = Facts::of(only)
            {
                tls::warn_of_time(&node, &file, &facts);
            }
        }
        Err(error) => {
            let of_password = password.filter(|_| Some(&error.path) == password_file.as_ref());
            tls::report(&of_password.unwrap_or(node), error);
        }
    }
    Some(Truststore {
        file,
        password_file,
    })
}

/// What holds for an `https` backend; reports at `node` where there is nobody to believe.
pub(super) fn resolve(node: &Node<'_>, own: Option<&Said>, default: Option<&Said>) -> BackendTls {
    let said = || own.into_iter().chain(default);
    let truststore = said().find_map(|said| said.truststore.clone());
    if truststore.is_none() && client::system().is_err() {
        node.problem(ConsoleFault::NoSystemRoots);
    }
    BackendTls {
        trust: TrustSource {
            password_file: truststore.as_ref().and_then(|t| t.password_file.clone()),
            truststore: truststore.map(|t| t.file),
            client: said().find_map(|said| said.client.clone()),
            min_version: said().find_map(|said| said.min_version).unwrap_or_default(),
        },
        server_name: said().find_map(|said| said.server_name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, problems, with};

    const URL: &str = "backends = [\"http://NN1.example.com:50070\", { url = \"http://[::1]:50071\", spn = \"HTTP/nn2.example.com\" }]";

    #[test]
    fn a_backends_own_word_goes_before_the_consoles() {
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
    fn what_cannot_be_meant_is_refused() {
        let only = |text: &str, expected: &str| {
            let found = problems(&with(URL, text));
            assert!(
                found.iter().any(|p| p.contains(expected)),
                "{text}: {found:?}"
            );
        };
        let plain = "backends = [{ url = \"http://a:1\", tls = { server_name = \"a\" } }]";
        only(plain, "tls: http://a:1 is spoken to in plain HTTP");
        let file = |table: &str| format!("backend_tls = {table}\nbackends = [\"https://a\"]");
        only(
            &file("{ truststore = \"none.jks\" }"),
            "truststore: cannot read",
        );
        only(&file("{ password_file = \"p\" }"), "password_file: missing");
        only(
            &file("{ server_name = \"a:b\" }"),
            "server_name: `a:b` is no host name",
        );
        only(&file("{ client_cert = \"c\" }"), "client_key: missing");
        only(&file("{ client_alias = \"c\" }"), "client_cert: missing");
    }
}

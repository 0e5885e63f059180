//! Every key of the configuration file, by section.
//!
//! The checks can only read keys that are listed here, and a test compares the list with
//! `conf/reference.toml`, so that no key can be added without documentation.

#[derive(Debug)]
pub struct Section {
    /// Its path, as in problems.
    pub name: &'static str,
    /// Keys of this version.
    pub keys: &'static [&'static str],
    /// Keys that are documented for a later version, each with what to do until then.
    pub later: &'static [(&'static str, &'static str)],
}

pub(crate) static FILE: Section = Section {
    name: "",
    keys: &[
        "server",
        "timeouts",
        "kerberos",
        "session",
        "admin",
        "log",
        "console",
        "stream",
        "kdc_proxy",
    ],
    later: &[],
};

pub(crate) static SERVER: Section = Section {
    name: "server",
    keys: &[
        "workers",
        "max_connections",
        "max_connections_per_address",
        "requests_per_second_per_address",
    ],
    later: &[],
};

pub(crate) static TIMEOUTS: Section = Section {
    name: "timeouts",
    keys: &[
        "head",
        "idle",
        "body_idle",
        "min_upload_rate",
        "connect",
        "first_byte",
        "hold",
        "tunnel",
        "drain",
        "gss",
    ],
    later: &[],
};

pub(crate) static KERBEROS: Section = Section {
    name: "kerberos",
    keys: &[
        "keytab",
        "principal",
        "default_realm",
        "auth_to_local",
        "auth_to_local_mechanism",
        "replay_cache",
    ],
    later: &[],
};

pub(crate) static SESSION: Section = Section {
    name: "session",
    keys: &["lifetime", "idle", "secret_file", "capacity"],
    later: &[(
        "zookeeper",
        "Copy one `secret_file` to all replicas instead",
    )],
};

pub(crate) static ADMIN: Section = Section {
    name: "admin",
    keys: &["listen"],
    later: &[],
};

pub(crate) static LOG: Section = Section {
    name: "log",
    keys: &["level", "format", "access"],
    later: &[],
};

pub(crate) static CONSOLE: Section = Section {
    name: "console",
    keys: &[
        "name",
        "kind",
        "listen",
        "hosts",
        "path",
        "tls",
        "redirect_from",
        "accept_proxy",
        "trusted_proxies",
        "allow_from",
        "backends",
        "backend_tls",
        "balance",
        "slow_start",
        "queue",
        "identity",
        "become",
        "allow",
        "nodes",
        "forwarded",
        "pass_cookies",
        "retry",
        "probe",
        "allow_encoded_slash",
    ],
    later: &[],
};

pub(crate) static TLS: Section = Section {
    name: "console.tls",
    keys: &[
        "cert",
        "key",
        "keystore",
        "password_file",
        "alias",
        "certificates",
        "min_version",
        "http2",
    ],
    later: &[],
};

/// A table in `console.tls.certificates`
pub(crate) static CERTIFICATE: Section = Section {
    name: "console.tls.certificates",
    keys: &["cert", "key", "keystore", "password_file", "alias"],
    later: &[],
};

/// A table in `console.backends`
pub(crate) static BACKEND: Section = Section {
    name: "console.backends",
    keys: &[
        "url",
        "spn",
        "principal",
        "tls",
        "weight",
        "max_connections",
        "send_proxy",
    ],
    later: &[],
};

const BACKEND_TLS_KEYS: &[&str] = &[
    "truststore",
    "password_file",
    "server_name",
    "client_cert",
    "client_key",
    "client_keystore",
    "client_password_file",
    "client_alias",
    "min_version",
];

pub(crate) static BACKEND_TLS: Section = Section {
    name: "console.backend_tls",
    keys: BACKEND_TLS_KEYS,
    later: &[],
};

/// `tls` of a table in `console.backends`
pub(crate) static OWN_BACKEND_TLS: Section = Section {
    name: "console.backends.tls",
    keys: BACKEND_TLS_KEYS,
    later: &[],
};

pub(crate) static ALLOW: Section = Section {
    name: "console.allow",
    keys: &["users", "groups"],
    later: &[],
};

pub(crate) static NODES: Section = Section {
    name: "console.nodes",
    keys: &["hosts", "ports", "login"],
    later: &[],
};

pub(crate) static RETRY: Section = Section {
    name: "console.retry",
    keys: &["buffer"],
    later: &[],
};

/// A table in `console.become`
pub(crate) static BECOME: Section = Section {
    name: "console.become",
    keys: &["user", "as"],
    later: &[],
};

pub(crate) static QUEUE: Section = Section {
    name: "console.queue",
    keys: &["length", "timeout"],
    later: &[],
};

pub(crate) static PROBE: Section = Section {
    name: "console.probe",
    keys: &["interval", "timeout", "rise", "fall"],
    later: &[],
};

pub(crate) static STREAM: Section = Section {
    name: "stream",
    keys: &[
        "name",
        "kind",
        "listen",
        "protocols",
        "backends",
        "balance",
        "allow",
        "accept_proxy",
        "idle",
        "udp_idle",
        "udp_responses",
        "max_connections",
        "max_connections_per_source",
        "check",
        "slow_start",
        "resolve",
    ],
    later: &[],
};

/// A table in `stream.backends`, `kdc_proxy.backends` or `kdc_proxy.kpasswd`
pub(crate) static STREAM_BACKEND: Section = Section {
    name: "stream.backends",
    keys: &["address", "weight", "max_connections", "send_proxy"],
    later: &[],
};

pub(crate) static STREAM_CHECK: Section = Section {
    name: "stream.check",
    keys: &["interval", "rise", "fall", "timeout"],
    later: &[],
};

pub(crate) static KDC_PROXY: Section = Section {
    name: "kdc_proxy",
    keys: &[
        "listen",
        "tls",
        "realm",
        "backends",
        "kpasswd",
        "allow_from",
    ],
    later: &[],
};

/// All sections.
pub static SECTIONS: &[&Section] = &[
    &FILE,
    &SERVER,
    &TIMEOUTS,
    &KERBEROS,
    &SESSION,
    &ADMIN,
    &LOG,
    &CONSOLE,
    &TLS,
    &CERTIFICATE,
    &BACKEND_TLS,
    &OWN_BACKEND_TLS,
    &BACKEND,
    &ALLOW,
    &NODES,
    &RETRY,
    &QUEUE,
    &BECOME,
    &PROBE,
    &STREAM,
    &STREAM_BACKEND,
    &STREAM_CHECK,
    &KDC_PROXY,
];

//! Errors of files of keys and certificates, each with its remedy.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rustls::pki_types::pem;

#[derive(Debug)]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// The error.
    pub fault: StoreFault,
}

/// The error of a file. Each text continues a sentence that begins with the file's name.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// Neither PEM nor a keystore.
    #[error("is neither PEM nor PKCS#12 nor JKS")]
    Unknown,
    /// Java's successor of JKS.
    #[error("is a JCEKS keystore, which is not supported")]
    Jceks,
    /// PEM that cannot be decoded.
    #[error("is not readable as PEM: {0}")]
    Pem(#[source] pem::Error),
    /// A keystore that cannot be decoded.
    #[error("is not readable as {format}: {text}")]
    Damaged {
        /// `PKCS#12` or `JKS`.
        format: &'static str,
        /// The reason.
        text: String,
    },
    /// No certificate.
    #[error("contains no certificate")]
    NoCertificate,
    /// No key.
    #[error("contains no private key")]
    NoKey,
    /// An encrypted PEM key.
    #[error("contains an encrypted private key")]
    EncryptedKey,
    /// A key in a keystore without a configured password.
    #[error("is a {0} keystore, and no password is configured for it")]
    NoPassword(&'static str),
    /// Another password.
    #[error("cannot be opened with the configured password")]
    WrongPassword,
    /// The key's password is not the store's.
    #[error("can be opened, but the key `{0}` in it has another password")]
    KeyPassword(String),
    /// No entry has the configured alias.
    #[error("has no key `{alias}`; it has {}", known.join(", "))]
    NoAlias {
        /// The configured alias.
        alias: String,
        /// The aliases in the keystore.
        known: Vec<String>,
    },
    /// Several keys, and no alias is configured.
    #[error("contains several keys: {}", known.join(", "))]
    SeveralKeys {
        /// Their aliases.
        known: Vec<String>,
    },
    /// A key without its certificate.
    #[error("has no certificate chain for the key `{0}`")]
    NoChain(String),
    /// The key belongs to another certificate, or its type is not supported.
    #[error("{}do not work together: {source}", and(key.as_deref()))]
    Unusable {
        /// The key's file, if it is a separate one.
        key: Option<PathBuf>,
        /// The reason.
        #[source]
        source: rustls::Error,
    },
    /// A password file that is empty or not UTF-8.
    #[error("contains no password")]
    EmptyPassword,
}

fn and(key: Option<&Path>) -> String {
    match key {
        Some(key) => format!("and {} ", key.display()),
        None => "contains a key and a certificate that ".to_owned(),
    }
}

impl StoreFault {
    /// What to do, as a sentence without its full stop.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Read(_) => "Make it readable for the gateway's user, or correct the path",
            Self::Unknown => "Use a keystore or a PEM file",
            Self::Jceks => {
                "Convert it: `keytool -importkeystore -srckeystore OLD -destkeystore NEW.p12 \
                 -deststoretype pkcs12`"
            }
            Self::Pem(_) | Self::Damaged { .. } => "Export it again",
            Self::NoCertificate => "Use a file with a certificate in it, leaf first",
            Self::NoKey => {
                "Use a file with a private key in it; a truststore contains only certificates"
            }
            Self::EncryptedKey => "Decrypt it with `openssl pkey -in OLD -out NEW`",
            Self::NoPassword(_) => {
                "Set password_file to a file with the password in its first line"
            }
            Self::WrongPassword => {
                "Correct the file that `password_file` names; `keytool -list -keystore FILE` \
                 shows whether a password opens a keystore"
            }
            Self::KeyPassword(_) => {
                "Use the same password for both: `keytool -keypasswd -alias ALIAS -keystore FILE`"
            }
            Self::NoAlias { .. } => "Correct `alias`",
            Self::SeveralKeys { .. } => "Select one with `alias`",
            Self::NoChain(_) => {
                "Import the certificate beside its key: `keytool -importcert -alias ALIAS -file \
                 CHAIN.pem -keystore FILE`"
            }
            Self::Unusable { .. } => {
                "Use the key that belongs to the certificate, and put the leaf certificate first"
            }
            Self::EmptyPassword => "Write the password into it, in the first line, in UTF-8",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

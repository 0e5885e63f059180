//! What can be wrong with a file of keys or certificates, and what to do.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rustls::pki_types::pem;

/// What is wrong with a file, and which.
#[derive(Debug)]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: StoreFault,
}

/// What is wrong; each reads on after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// Neither PEM nor a keystore.
    #[error("is neither PEM nor PKCS#12 nor JKS")]
    Unknown,
    /// Java's JCEKS.
    #[error("is a JCEKS keystore, which is not read")]
    Jceks,
    /// PEM that cannot be decoded.
    #[error("is not readable as PEM: {0}")]
    Pem(#[source] pem::Error),
    /// A keystore that cannot be decoded.
    #[error("is not readable as {format}: {text}")]
    Damaged {
        /// `PKCS#12` or `JKS`.
        format: &'static str,
        /// Why.
        text: String,
    },
    /// No certificate.
    #[error("holds no certificate")]
    NoCertificate,
    /// No key.
    #[error("holds no private key")]
    NoKey,
    /// A PEM key under a password.
    #[error("holds a private key under a password")]
    EncryptedKey,
    /// A key in a keystore, and no password for it.
    #[error("is a {0} keystore, and there is no password for it")]
    NoPassword(&'static str),
    /// The password is another.
    #[error("does not open with the password that is given for it")]
    WrongPassword,
    /// The key's password is not the store's.
    #[error("opens, but the key `{0}` in it has another password")]
    KeyPassword(String),
    /// No entry of that name.
    #[error("has no key `{alias}`; it has {}", known.join(", "))]
    NoAlias {
        /// As asked for.
        alias: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Which of them?
    #[error("holds several keys: {}", known.join(", "))]
    SeveralKeys {
        /// Their names.
        known: Vec<String>,
    },
    /// A key without its certificate.
    #[error("has no certificate chain for the key `{0}`")]
    NoChain(String),
    /// The key is another certificate's, or of a kind that cannot be used.
    #[error("{}do not work together: {source}", and(key.as_deref()))]
    Unusable {
        /// The key's file, if it is another.
        key: Option<PathBuf>,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A password file that is empty or no text.
    #[error("holds no password")]
    EmptyPassword,
}

fn and(key: Option<&Path>) -> String {
    match key {
        Some(key) => format!("and {} ", key.display()),
        None => "holds a key and a certificate that ".to_owned(),
    }
}

impl StoreFault {
    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Read(_) => "Let the gateway's user read it, or correct the path",
            Self::Unknown => "Name a keystore, or a PEM file",
            Self::Jceks => {
                "Convert it: `keytool -importkeystore -srckeystore OLD -destkeystore NEW.p12 \
                 -deststoretype pkcs12`"
            }
            Self::Pem(_) | Self::Damaged { .. } => "Export it anew",
            Self::NoCertificate => "Name a file with a certificate in it, leaf first",
            Self::NoKey => {
                "Name a file with a private key in it; a truststore holds certificates only"
            }
            Self::EncryptedKey => "Decrypt it with `openssl pkey -in OLD -out NEW`",
            Self::NoPassword(_) => {
                "Write password_file: a file with the password in its first line"
            }
            Self::WrongPassword => {
                "Correct the file that `password_file` names; `keytool -list -keystore FILE` tells \
                 whether a password opens a keystore"
            }
            Self::KeyPassword(_) => {
                "Give both the same: `keytool -keypasswd -alias ALIAS -keystore FILE`"
            }
            Self::NoAlias { .. } => "Correct `alias`",
            Self::SeveralKeys { .. } => "Name one by `alias`",
            Self::NoChain(_) => {
                "Import the certificate beside its key: `keytool -importcert -alias ALIAS -file \
                 CHAIN.pem -keystore FILE`"
            }
            Self::Unusable { .. } => {
                "Name the key that belongs to the certificate, with the leaf certificate first"
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

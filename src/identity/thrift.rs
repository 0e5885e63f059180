//! Calls of `HiveServer2`'s Thrift protocol (`TCLIService`), which can say who the user is.
//!
//! On the request path: the body of a request to a kind that [speaks Thrift](crate::kinds::Kind::speaks_thrift)
//! goes through a [`CallReader`], piece by piece as it comes. Nothing is passed on before it has been
//! judged, the last byte not before the body's end is known to be the call's.
//!
//! - `OpenSession` is held as a whole, at most [`MAX_HELD`], and the user's name written into its
//!   `username` (field 2 of `TOpenSessionReq`), whatever stands there: impyla and impala-shell
//!   send the name of the local account. Impala takes it where the connection has no login
//!   (`ImpalaServer::OpenSession`).
//! - A key of any map of any call that names a user ([`KEYS`]) is refused unless its value is the
//!   user that the gateway tells; under `service` it tells none.
//! - `GetDelegationToken` is held too: its `owner` has to be that user. Under `service` calls for
//!   delegation tokens are refused, for the token would be the gateway's.
//! - What Java and C++ could read in two ways is refused, as is anything that is not a call.
//!
//! `SET` statements are text of a statement: neither server reads the keys from there.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};

use crate::refusal::Refusal;

mod read;
mod wire;

use wire::Encoding;

/// The most of a call that is held, in bytes.
pub(crate) const MAX_HELD: usize = 64 * 1024;

/// Configuration keys that name a user, in lower case: Impala reads its own in any case
/// (`boost::iequals`).
pub(crate) const KEYS: &[&str] = &["impala.doas.user", "hive.server2.proxy.user"];

/// The number of `username` in `TOpenSessionReq`.
const USERNAME: u8 = 2;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThriftError {
    /// It is compressed.
    #[error("a Thrift call that is compressed")]
    Encoded,
    /// Neither of the binary nor of the compact protocol, or not a call.
    #[error("a body that is not a Thrift call")]
    NotThrift,
    /// Two readers could read it in two ways.
    #[error("a Thrift call with {0}")]
    Ambiguous(&'static str),
    /// It ends before its end.
    #[error("a Thrift call that is cut short")]
    Short,
    /// It has to be held, and is larger than that.
    #[error("a Thrift call of more than {} KiB that has to be read as a whole", MAX_HELD / 1024)]
    Large,
    /// It names another user than the one that is logged in.
    #[error("a Thrift call that names another user")]
    Identity,
    /// It asks for a token of the gateway's own.
    #[error("a Thrift call for a delegation token of the gateway")]
    Credential,
}

impl From<ThriftError> for Refusal {
    fn from(error: ThriftError) -> Self {
        match error {
            ThriftError::Encoded
            | ThriftError::NotThrift
            | ThriftError::Ambiguous(_)
            | ThriftError::Short
            | ThriftError::Large => Self::BadThrift,
            ThriftError::Identity => Self::ThriftIdentity,
            ThriftError::Credential => Self::CredentialDenied,
        }
    }
}

/// What calls may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The server is sent the user, and the keys may name the same user.
    User,
    /// The server sees the gateway alone (`identity = "service"`).
    Gateway,
}

/// Reader of one body.
#[derive(Debug)]
pub struct CallReader {
    user: Arc<str>,
    rights: Rights,
    /// Bytes that have come and have not been passed on.
    held: BytesMut,
    /// How much of `held` has been read.
    at: usize,
    /// How many of the bytes that come next need not be read.
    skip: u64,
    begun: bool,
    encoding: Encoding,
    method: Method,
    levels: Vec<Level>,
    /// Range of `username` in an `OpenSession`, its length included.
    username: Option<Range<usize>>,
    /// Where the request of an `OpenSession` ends.
    end_of_request: Option<usize>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    OpenSession,
    GetDelegationToken,
    Other,
}

/// What the reader is in.
#[derive(Clone, Copy, Debug)]
enum Level {
    /// The last field's number, and which of the first 64 have been seen.
    Struct { last: i16, seen: u64 },
    /// This many strings are still to come.
    Strings(u32),
    /// This many keys with values are still to come.
    Pairs(u32),
}

// === impl Method ===

impl Method {
    fn named(name: &[u8], rights: Rights) -> Result<Self, ThriftError> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let tokens = [
            "GetDelegationToken",
            "CancelDelegationToken",
            "RenewDelegationToken",
        ];
        if rights == Rights::Gateway && tokens.into_iter().any(is) {
            return Err(ThriftError::Credential);
        }
        // Impala's, for planners it trusts: a plan names the user that it runs as
        if is("ExecutePlannedStatement") || is("InitQueryContext") {
            return Err(ThriftError::Identity);
        }
        Ok(if is("OpenSession") {
            Self::OpenSession
        } else if is("GetDelegationToken") {
            Self::GetDelegationToken
        } else {
            Self::Other
        })
    }

    /// Whether the whole call has to be there before a byte is passed on.
    fn is_held(self) -> bool {
        match self {
            Self::OpenSession | Self::GetDelegationToken => true,
            Self::Other => false,
        }
    }
}

// === impl CallReader ===

impl CallReader {
    /// A body of a request of that user.
    pub fn new(user: Arc<str>, rights: Rights) -> Self {
        Self {
            user,
            rights,
            held: BytesMut::new(),
            at: 0,
            skip: 0,
            begun: false,
            encoding: Encoding::Binary,
            method: Method::Other,
            levels: Vec::new(),
            username: None,
            end_of_request: None,
            ended: false,
        }
    }

    /// Takes what has come, and gives what may go on.
    pub fn feed(&mut self, data: Bytes) -> Result<Bytes, ThriftError> {
        let length = data.len() as u64;
        if self.held.is_empty() && self.skip >= length && !self.method.is_held() {
            // the middle of a long statement
            self.skip -= length;
            return Ok(data);
        }
        self.held.extend_from_slice(&data);
        self.read()?;
        if self.method.is_held() {
            return if self.held.len() > MAX_HELD {
                Err(ThriftError::Large)
            } else {
                Ok(Bytes::new())
            };
        }
        let judged = self.at - usize::from(self.ended);
        self.at -= judged;
        Ok(self.held.split_to(judged).freeze())
    }

    /// The body has ended; gives what is left of it. An empty body is not a call, and is passed on.
    pub fn finish(&mut self) -> Result<Bytes, ThriftError> {
        if !self.ended {
            return if self.begun || !self.held.is_empty() {
                Err(ThriftError::Short)
            } else {
                Ok(Bytes::new())
            };
        }
        let held = std::mem::take(&mut self.held).freeze();
        match self.method {
            Method::OpenSession => self.tell(&held),
            Method::GetDelegationToken | Method::Other => Ok(held),
        }
    }

    /// Writes the user's name into an `OpenSession`.
    fn tell(&self, call: &Bytes) -> Result<Bytes, ThriftError> {
        let end = self
            .end_of_request
            .ok_or(ThriftError::Ambiguous("an OpenSession without a request"))?;
        let (cut, field) = match &self.username {
            Some(name) => (name.clone(), false),
            None => (end..end, true),
        };
        let mut told = Vec::with_capacity(call.len() + self.user.len() + 8);
        told.extend_from_slice(&call[..cut.start]);
        if field {
            self.encoding.write_header(&mut told, USERNAME);
        }
        self.encoding.write_text(&mut told, &self.user);
        told.extend_from_slice(&call[cut.end..]);
        Ok(told.into())
    }
}

#[cfg(test)]
mod tests;

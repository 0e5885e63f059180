//! Kerberos messages of unauthenticated clients: their type and realm, and the `KRB-ERROR` that a client
//! understands. Nothing is decrypted, and nothing in a message is trusted.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use crate::der::{Der, element, integer};

/// A request of a client to a KDC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdcRequest<'a> {
    /// `AS-REQ` or `TGS-REQ`: may be sent to several KDCs, as clients do themselves.
    Ticket {
        /// The realm of the KDC.
        realm: &'a str,
    },
    /// A change of password (RFC 3244): must not be sent twice.
    Password,
}

/// Errors of RFC 4120 section 7.5.9 that the gateway sends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KrbErrorCode {
    /// `KDC_ERR_SVC_UNAVAILABLE`: no KDC replied.
    ServiceUnavailable,
    /// `KRB_ERR_GENERIC`: the text has the cause.
    Generic,
    /// `KRB_ERR_FIELD_TOOLONG`: the message is longer than the limit.
    FieldTooLong,
}

impl KrbErrorCode {
    /// The error code on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::ServiceUnavailable => 29,
            Self::Generic => 60,
            Self::FieldTooLong => 61,
        }
    }
}

/// The type of a message; `None` if it is not a request to a KDC.
pub fn classify(message: &[u8]) -> Option<KdcRequest<'_>> {
    match message {
        // [APPLICATION 10] and [APPLICATION 12]
        [0x6a | 0x6c, ..] => {
            let mut rest = Der(message);
            let (_, mut request) = rest.next()?;
            if !rest.0.is_empty() {
                return None;
            }
            // `req-body` [4] with `realm` [2] (RFC 4120 section 5.4.1).
            let mut body = request.expect(0x30)?.field(0xa4)?.expect(0x30)?;
            let realm = body.field(0xa2)?.string()?;
            Some(KdcRequest::Ticket { realm })
        }
        // Length, version (1; 0xff80 for set-password), length of an AP-REQ (RFC 3244 section 2).
        [high, low, 0x00, 0x01, ap_req @ ..] | [high, low, 0xff, 0x80, ap_req @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let whole = length == message.len() && ap_req.get(2) == Some(&0x6e);
            whole.then_some(KdcRequest::Password)
        }
        _ => None,
    }
}

/// Whether a reply is a `KRB-ERROR` with this code.
pub fn is_error(reply: &[u8], code: KrbErrorCode) -> bool {
    let read = || {
        let mut fields = Der(reply).expect(0x7e)?.expect(0x30)?;
        fields.field(0xa6)?.integer()
    };
    read() == Some(code.number())
}

/// A `KRB-ERROR` (RFC 4120 section 5.9.1) of the ticket-granting service of a realm.
pub fn error(code: KrbErrorCode, realm: &str, text: &str) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let string = |text: &str| element(0x1b, &[text.as_bytes()]);
    let name = element(
        0x30,
        &[
            // NT-SRV-INST
            &element(0xa0, &[&integer(2)]),
            &element(
                0xa1,
                &[&element(0x30, &[&string("krbtgt"), &string(realm)])],
            ),
        ],
    );
    let time = kerberos_time(now.as_secs());
    let fields = element(
        0x30,
        &[
            &element(0xa0, &[&integer(5)]),
            &element(0xa1, &[&integer(30)]),
            &element(0xa4, &[&element(0x18, &[time.as_bytes()])]),
            &element(0xa5, &[&integer(now.subsec_micros())]),
            &element(0xa6, &[&integer(code.number())]),
            &element(0xa9, &[&string(realm)]),
            &element(0xaa, &[&name]),
            &element(0xab, &[&string(text)]),
        ],
    );
    element(0x7e, &[&fields])
}

/// `YYYYMMDDHHMMSSZ`
fn kerberos_time(seconds: u64) -> String {
    let at = i64::try_from(seconds).map(OffsetDateTime::from_unix_timestamp);
    let at = at
        .ok()
        .and_then(Result::ok)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = at.to_hms();
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An `AS-REQ` with the part of the body that is read.
    pub(crate) fn as_req(realm: &str) -> Vec<u8> {
        let body = element(
            0x30,
            &[
                &element(0xa0, &[&element(0x03, &[&[0; 5]])]),
                &element(0xa2, &[&element(0x1b, &[realm.as_bytes()])]),
            ],
        );
        let fields = element(
            0x30,
            &[
                &element(0xa1, &[&integer(5)]),
                &element(0xa2, &[&integer(10)]),
                &element(0xa4, &[&body]),
            ],
        );
        element(0x6a, &[&fields])
    }

    #[test]
    fn the_realm_of_a_ticket_request_is_read() {
        let request = as_req("EXAMPLE.COM");
        let realm = "EXAMPLE.COM";
        assert_eq!(classify(&request), Some(KdcRequest::Ticket { realm }));
        let longer = [&request[..], b"x"].concat();
        assert_eq!(classify(&longer), None);
        assert_eq!(classify(&request[..request.len() - 1]), None);
    }

    #[test]
    fn a_change_of_password_is_recognised() {
        for version in [[0x00, 0x01], [0xff, 0x80]] {
            let mut message = vec![0, 9, version[0], version[1], 0, 3, 0x6e, 0x01, 0x00];
            assert_eq!(classify(&message), Some(KdcRequest::Password));
            message.push(0);
            assert_eq!(classify(&message), None, "the length is wrong");
        }
        assert_eq!(classify(b"GET / HTTP/1.1"), None);
        assert_eq!(classify(b""), None);
    }

    #[test]
    fn an_error_is_recognised_by_its_code() {
        let written = error(
            KrbErrorCode::ServiceUnavailable,
            "EXAMPLE.COM",
            "no KDC answers",
        );
        assert!(is_error(&written, KrbErrorCode::ServiceUnavailable));
        assert!(!is_error(&written, KrbErrorCode::Generic));
        assert!(!is_error(&as_req("A"), KrbErrorCode::Generic));
    }

    #[test]
    fn times_are_written_as_kerberos_time() {
        assert_eq!(kerberos_time(0), "19700101000000Z");
        assert_eq!(kerberos_time(951_782_400), "20000229000000Z");
        assert_eq!(kerberos_time(1_764_150_617), "20251126095017Z");
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), first in prop::sample::select(vec![0x6a_u8, 0x6c, 0x7e, 0x00])) {
            let tagged = [&[first], &bytes[..]].concat();
            let _ = (classify(&bytes), classify(&tagged), is_error(&tagged, KrbErrorCode::Generic));
        }

        #[test]
        fn a_damaged_request_is_classified_without_panic(at in 0_usize..80, byte: u8) {
            let mut request = as_req("EXAMPLE.COM");
            let length = request.len();
            request[at % length] = byte;
            let _ = classify(&request);
        }
    }
}

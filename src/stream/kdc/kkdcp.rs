//! MS-KKDCP: a Kerberos message in an HTTP body (`KDC-PROXY-MESSAGE`, section 2.2.2).

use crate::der::{Der, element};

use super::MAX_MESSAGE;

/// The longest body: the longest message, its realm, and the overhead of the encoding.
pub(crate) const MAX_BODY: usize = MAX_MESSAGE + 1024;

/// A message to be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyMessage<'a> {
    /// Without the length in front.
    pub message: &'a [u8],
    /// `target-domain`: the realm.
    pub realm: &'a str,
}

/// Reads a body; `None` if it is malformed or has no realm.
pub fn read(body: &[u8]) -> Option<ProxyMessage<'_>> {
    let mut rest = Der(body);
    let mut fields = rest.expect(0x30)?;
    if !rest.0.is_empty() {
        return None;
    }
    let framed = fields.expect(0xa0)?.expect(0x04)?.0;
    // Optional in the specification, but without it the KDCs are unknown. A `dclocator-hint` may follow; it
    // concerns domain controllers only and is ignored.
    let realm = fields.expect(0xa1)?.string()?;
    // The octets contain a message as on TCP, with its length before it.
    let (length, message) = framed.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (length == message.len() && length <= MAX_MESSAGE).then_some(ProxyMessage { message, realm })
}

/// The body of a response.
pub fn write(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let framed = element(0x04, &[&length.to_be_bytes(), message]);
    element(0x30, &[&element(0xa0, &[&framed])])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(message: &[u8], realm: &str) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        element(
            0x30,
            &[
                &element(0xa0, &[&element(0x04, &[&length.to_be_bytes(), message])]),
                &element(0xa1, &[&element(0x1b, &[realm.as_bytes()])]),
                // `dclocator-hint`, which Windows clients send
                &element(0xa2, &[&crate::der::integer(1)]),
            ],
        )
    }

    #[test]
    fn a_message_without_a_realm_or_with_a_wrong_length_is_malformed() {
        assert_eq!(read(&write(b"x")), None);
        let good = body(b"abc", "EXAMPLE.COM");
        assert!(read(&good).is_some());
        let at = good.windows(3).position(|w| w == b"abc").unwrap();
        let mut bad = good.clone();
        bad[at - 1] = 4;
        assert_eq!(read(&bad), None);
        assert_eq!(read(&[&good[..], b"x"].concat()), None);
        assert_eq!(read(b""), None);
    }

    proptest! {
        #[test]
        fn what_a_client_writes_is_read(message in prop::collection::vec(any::<u8>(), 0..70_000), realm in "[A-Z.]{1,40}") {
            let body = body(&message, &realm);
            let read = read(&body).unwrap();
            prop_assert_eq!(read, ProxyMessage { message: &message, realm: &realm });
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[&b"\x30\x82\x01\x00\xa0\x81\x80\x04\x7e"[..], &bytes].concat());
        }
    }
}

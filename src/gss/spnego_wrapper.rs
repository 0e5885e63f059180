//! SPNEGO's wrapper around a Kerberos token, removed and added again without GSSAPI.
//!
//! Where a client offers Kerberos first and sends the token with its offer, there is nothing to
//! negotiate: one token decides (RFC 4178 section 4.2), and no MIC is needed, since the first choice is
//! taken (section 5). GSSAPI then gets the bare Kerberos token: MIT's SPNEGO acceptor makes four more
//! krb5 contexts to pass the client's name between its layers, and without it a login costs 10 to 15 %
//! less CPU. Every other token is passed to GSSAPI unchanged.

use super::peek::{KRB5, KRB5_WRONG, SPNEGO};
use crate::der::{Der, element};

/// `[APPLICATION 0]` of a framed token.
const FRAME: u8 = 0x60;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;

/// A `NegTokenInit` with a Kerberos token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpnegoWrapper<'a> {
    /// Kerberos' OID as the client sent it: the response has to repeat it.
    mechanism: &'a [u8],
    /// The Kerberos token.
    pub token: &'a [u8],
}

impl<'a> SpnegoWrapper<'a> {
    /// Reads a `NegTokenInit` whose first choice is Kerberos and which has a token for it.
    pub fn read(token: &'a [u8]) -> Option<Self> {
        let mut rest = Der(token);
        let mut body = match token.first() {
            Some(&FRAME) => rest.expect(FRAME)?,
            Some(_) | None => return None,
        };
        if body.expect(OID)?.0 != SPNEGO {
            return None;
        }
        let mut fields = body.expect(0xa0)?.expect(SEQUENCE)?;
        let mut mechanisms = fields.expect(0xa0)?.expect(SEQUENCE)?;
        let mechanism = mechanisms.expect(OID)?.0;
        if mechanism != KRB5 && mechanism != KRB5_WRONG {
            return None;
        }
        let token = fields.field(0xa2)?.expect(OCTETS)?.0;
        Some(Self { mechanism, token })
    }

    /// The `NegTokenResp` that ends the login: `accept-completed`, with Kerberos' reply.
    pub fn response(self, reply: Option<&[u8]>) -> Vec<u8> {
        let state = [0xa0, 3, 0x0a, 1, 0];
        let mechanism = element(0xa1, &[&element(OID, &[self.mechanism])]);
        let token = reply.map_or(Vec::new(), |reply| {
            element(0xa2, &[&element(OCTETS, &[reply])])
        });
        element(0xa1, &[&element(SEQUENCE, &[&state, &mechanism, &token])])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn init(mechanisms: &[&[u8]], token: Option<&[u8]>) -> Vec<u8> {
        let list: Vec<u8> = mechanisms.iter().flat_map(|m| element(OID, &[m])).collect();
        let list = element(0xa0, &[&element(SEQUENCE, &[&list])]);
        // reqFlags, which old clients send
        let flags = element(0xa1, &[&element(0x03, &[&[1, 0]])]);
        let token = token.map_or(Vec::new(), |token| {
            element(0xa2, &[&element(OCTETS, &[token])])
        });
        let fields = element(SEQUENCE, &[&list, &flags, &token]);
        element(
            FRAME,
            &[&element(OID, &[SPNEGO]), &element(0xa0, &[&fields])],
        )
    }

    #[test]
    fn only_a_first_choice_with_its_token_is_read() {
        let read = |token: &[u8]| SpnegoWrapper::read(token).map(|wrapper| wrapper.token.to_vec());
        let ntlm = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a".as_slice();
        assert_eq!(read(&init(&[KRB5, ntlm], Some(b"t"))), Some(b"t".into()));
        assert_eq!(read(&init(&[KRB5_WRONG], Some(b"t"))), Some(b"t".into()));
        for other in [
            init(&[ntlm, KRB5], Some(b"t")),
            init(&[KRB5], None),
            element(FRAME, &[&element(OID, &[KRB5])]),
            b"\xa1\x00".into(),
            Vec::new(),
        ] {
            assert_eq!(read(&other), None);
        }
    }

    #[test]
    fn the_response_repeats_the_client_s_oid() {
        let token = init(&[KRB5_WRONG], Some(b"t"));
        let response = SpnegoWrapper::read(&token)
            .unwrap()
            .response(Some(&[7; 200]));
        let mut fields = Der(&response)
            .expect(0xa1)
            .unwrap()
            .expect(SEQUENCE)
            .unwrap();
        assert_eq!(fields.expect(0xa0).unwrap().0, [0x0a, 1, 0]);
        let mechanism = fields.expect(0xa1).unwrap().expect(OID).unwrap();
        assert_eq!(mechanism.0, KRB5_WRONG);
        assert_eq!(
            fields.expect(0xa2).unwrap().expect(OCTETS).unwrap().0,
            [7; 200]
        );
    }

    proptest! {
        #[test]
        fn a_token_survives_wrapping_and_reading(token in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let init = init(&[KRB5], Some(&token));
            let wrapper = SpnegoWrapper::read(&init).unwrap();
            prop_assert_eq!(wrapper.token, &token[..]);
            let response = wrapper.response(Some(&token));
            let mut fields = Der(&response).expect(0xa1).unwrap().expect(SEQUENCE).unwrap();
            let inside = fields.field(0xa2).unwrap().expect(OCTETS).unwrap();
            prop_assert_eq!(inside.0, &token[..]);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = SpnegoWrapper::read(&bytes);
        }
    }
}

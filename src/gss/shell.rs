//! SPNEGO's shell around a Kerberos token, taken off and put on again by hand.
//!
//! Where a client offers Kerberos first and brings the token along, there is nothing to negotiate:
//! one leg decides (RFC 4178 section 4.2), and no MIC is due, since the first choice is taken
//! (section 5). GSSAPI gets the bare token then, which spares it the contexts that its own SPNEGO makes
//! around it. Everything else goes to GSSAPI as it came.

use super::peek::{KRB5, KRB5_WRONG, SPNEGO};
use crate::der::Der;

/// `[APPLICATION 0]` of a framed token.
const FRAME: u8 = 0x60;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;

/// What the shell held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shell<'a> {
    /// Kerberos as the client spells it.
    mechanism: &'a [u8],
    /// Its token.
    pub token: &'a [u8],
}

impl<'a> Shell<'a> {
    /// Opens a `NegTokenInit` whose first choice is Kerberos and which brings a token for it.
    pub fn open(token: &'a [u8]) -> Option<Self> {
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

    /// The `NegTokenResp` that ends the login: `accept-completed`, with Kerberos' own answer.
    pub fn close(self, reply: Option<&[u8]>) -> Vec<u8> {
        let mut fields = vec![0xa0, 3, 0x0a, 1, 0];
        put(&mut fields, 0xa1, &element(OID, self.mechanism));
        if let Some(reply) = reply {
            put(&mut fields, 0xa2, &element(OCTETS, reply));
        }
        element(0xa1, &element(SEQUENCE, &fields))
    }
}

fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 6);
    put(&mut out, tag, value);
    out
}

/// Appends an element with a definite length.
fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let length = value.len().to_be_bytes();
    let skip = length.iter().take_while(|byte| **byte == 0).count();
    let digits = &length[skip..];
    match *digits {
        [] => out.push(0),
        [short @ 0..0x80] => out.push(short),
        #[expect(clippy::cast_possible_truncation, reason = "at most eight digits")]
        _ => {
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn init(mechanisms: &[&[u8]], token: Option<&[u8]>) -> Vec<u8> {
        let list: Vec<u8> = mechanisms.iter().flat_map(|m| element(OID, m)).collect();
        let mut fields = element(0xa0, &element(SEQUENCE, &list));
        // reqFlags, which old clients send
        put(&mut fields, 0xa1, &element(0x03, &[1, 0]));
        if let Some(token) = token {
            put(&mut fields, 0xa2, &element(OCTETS, token));
        }
        let mut body = element(OID, SPNEGO);
        put(&mut body, 0xa0, &element(SEQUENCE, &fields));
        element(FRAME, &body)
    }

    #[test]
    fn only_a_first_choice_that_brings_its_token_is_opened() {
        let opened = |token: &[u8]| Shell::open(token).map(|shell| shell.token.to_vec());
        let ntlm = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a".as_slice();
        assert_eq!(opened(&init(&[KRB5, ntlm], Some(b"t"))), Some(b"t".into()));
        assert_eq!(opened(&init(&[KRB5_WRONG], Some(b"t"))), Some(b"t".into()));
        for other in [
            init(&[ntlm, KRB5], Some(b"t")),
            init(&[KRB5], None),
            element(FRAME, &element(OID, KRB5)),
            b"\xa1\x00".into(),
            Vec::new(),
        ] {
            assert_eq!(opened(&other), None);
        }
    }

    #[test]
    fn the_answer_names_the_mechanism_as_the_client_did() {
        let token = init(&[KRB5_WRONG], Some(b"t"));
        let answer = Shell::open(&token).unwrap().close(Some(&[7; 200]));
        let mut fields = Der(&answer).expect(0xa1).unwrap().expect(SEQUENCE).unwrap();
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
        fn what_was_put_in_comes_out(token in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let init = init(&[KRB5], Some(&token));
            let shell = Shell::open(&init).unwrap();
            prop_assert_eq!(shell.token, &token[..]);
            let answer = shell.close(Some(&token));
            let mut fields = Der(&answer).expect(0xa1).unwrap().expect(SEQUENCE).unwrap();
            let inside = fields.field(0xa2).unwrap().expect(OCTETS).unwrap();
            prop_assert_eq!(inside.0, &token[..]);
        }

        #[test]
        fn any_bytes_are_looked_at_without_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Shell::open(&bytes);
        }
    }
}

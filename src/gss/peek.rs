//! Reads the unencrypted part of a token: its mechanisms and the ticket's outer fields.
//!
//! This runs before GSSAPI. Nothing that it reads is authenticated: it is used to choose a credential
//! (a direct key look-up instead of a search) and to explain failures. Reads `NegTokenInit` and
//! `NegTokenResp` (RFC 4178 section 4.2), `AP-REQ` (RFC 4120 section 5.5.1, framed as RFC 4121
//! section 4.1), and recognises the other Kerberos messages by their tags (RFC 4120 section 5.10).

use super::{Principal, keytab::Enctype};
use crate::der::Der;

pub(super) const SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";
pub(super) const KRB5: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// The krb5 OID as old Windows clients write it.
pub(super) const KRB5_WRONG: &[u8] = b"\x2a\x86\x48\x82\xf7\x12\x01\x02\x02";
const NTLMSSP: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";

/// The outer fields of a ticket, which are not encrypted and not authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The service it is for.
    pub service: Principal,
    /// The version of the key that it is encrypted with, if the ticket has one.
    pub kvno: Option<u32>,
    /// Encryption type.
    pub enctype: Enctype,
}

/// The kind of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peek {
    /// A Kerberos ticket, raw or as SPNEGO's first choice.
    Ticket(Ticket),
    /// SPNEGO that offers Kerberos, but not as its first choice: another token will follow.
    KerberosLater,
    /// SPNEGO that offers NTLM and no Kerberos, or a bare NTLM message.
    Ntlm,
    /// SPNEGO that offers neither.
    NoKerberos,
    /// A later token of SPNEGO (`NegTokenResp`), with its ticket if it has one.
    LaterToken(Option<Ticket>),
    /// A Kerberos error message in place of a ticket, with its code (RFC 4120 section 7.5.9).
    KrbError(Option<u32>),
    /// A server's reply (`AP-REP`) in place of a ticket.
    ApRep,
    /// Another Kerberos message, which no client sends to a server.
    NoTicket,
    /// None of these.
    Unreadable,
}

/// Reads a token of any content; never fails.
pub fn peek(token: &[u8]) -> Peek {
    if token.starts_with(b"NTLMSSP\0") {
        return Peek::Ntlm;
    }
    match token.first() {
        Some(0x60) => framed(token).unwrap_or(Peek::Unreadable),
        Some(0xa0) => negotiation(token).unwrap_or(Peek::Unreadable),
        Some(0xa1) => Peek::LaterToken(response(token)),
        Some(_) | None => bare(token).unwrap_or(Peek::Unreadable),
    }
}

/// `[APPLICATION 0] { OID, inner }` (RFC 2743 section 3.1).
fn framed(token: &[u8]) -> Option<Peek> {
    let mut body = Der(token).expect(0x60)?;
    let oid = body.expect(0x06)?.0;
    if oid == SPNEGO {
        negotiation(body.0)
    } else if oid == KRB5 || oid == KRB5_WRONG {
        kerberos(body)
    } else if oid == NTLMSSP {
        Some(Peek::Ntlm)
    } else {
        Some(Peek::NoKerberos)
    }
}

fn negotiation(bytes: &[u8]) -> Option<Peek> {
    let mut fields = Der(bytes).expect(0xa0)?.expect(0x30)?;
    let mut mechanisms = fields.expect(0xa0)?.expect(0x30)?;
    let first = mechanisms.expect(0x06)?.0;
    // The token belongs to the first mechanism (RFC 4178 section 4.2.1), so only that one counts for
    // it.
    let kerberos = |oid: &[u8]| oid == KRB5 || oid == KRB5_WRONG;
    if kerberos(first) {
        while let Some((tag, mut value)) = fields.next() {
            if tag == 0xa2 {
                return inner(value.expect(0x04)?.0).or(Some(Peek::KerberosLater));
            }
        }
        return Some(Peek::KerberosLater);
    }
    let mut ntlm = first == NTLMSSP;
    while let Some((_, oid)) = mechanisms.next() {
        if kerberos(oid.0) {
            return Some(Peek::KerberosLater);
        }
        ntlm |= oid.0 == NTLMSSP;
    }
    Some(if ntlm { Peek::Ntlm } else { Peek::NoKerberos })
}

/// The `mechToken` of Kerberos, framed or (some clients) bare.
fn inner(token: &[u8]) -> Option<Peek> {
    if token.first() != Some(&0x60) {
        return bare(token);
    }
    let mut body = Der(token).expect(0x60)?;
    let oid = body.expect(0x06)?.0;
    if oid != KRB5 && oid != KRB5_WRONG {
        return None;
    }
    kerberos(body)
}

/// A `NegTokenResp`: the ticket that a client sends once the server has chosen Kerberos.
fn response(token: &[u8]) -> Option<Ticket> {
    let mut fields = Der(token).expect(0xa1)?.expect(0x30)?;
    match inner(fields.field(0xa2)?.expect(0x04)?.0)? {
        Peek::Ticket(ticket) => Some(ticket),
        Peek::KerberosLater
        | Peek::Ntlm
        | Peek::NoKerberos
        | Peek::LaterToken(_)
        | Peek::KrbError(_)
        | Peek::ApRep
        | Peek::NoTicket
        | Peek::Unreadable => None,
    }
}

/// What follows Kerberos' OID: two bytes that name the message, and the message.
fn kerberos(body: Der<'_>) -> Option<Peek> {
    match *body.0 {
        [1, 0, ref message @ ..] => ap_req(message).map(Peek::Ticket),
        [2, 0, ..] => Some(Peek::ApRep),
        [3, 0, ref message @ ..] => Some(Peek::KrbError(error_code(message))),
        // Refused here because MIT's GSSAPI returns GSS_S_CONTINUE_NEEDED for every other number
        // (`G_WRONG_TOKID` in `kg_accept_krb5`), and the client would be asked for another token.
        [_, _, ..] => Some(Peek::NoTicket),
        [..] => None,
    }
}

/// A Kerberos message without a frame: `[APPLICATION n]` of a sequence.
fn bare(token: &[u8]) -> Option<Peek> {
    let (tag, mut message) = Der(token).next()?;
    message.expect(0x30)?;
    match tag {
        0x6e => ap_req(token).map(Peek::Ticket),
        0x6f => Some(Peek::ApRep),
        0x7e => Some(Peek::KrbError(error_code(token))),
        // Requests to a KDC and its replies, KRB-SAFE, KRB-PRIV, KRB-CRED.
        0x6a..=0x6d | 0x74..=0x76 => Some(Peek::NoTicket),
        _ => None,
    }
}

/// `error-code` of a `KRB-ERROR` (RFC 4120 section 5.9.1).
fn error_code(message: &[u8]) -> Option<u32> {
    let mut fields = Der(message).expect(0x7e)?.expect(0x30)?;
    fields.field(0xa6)?.integer()
}

fn ap_req(bytes: &[u8]) -> Option<Ticket> {
    let mut request = Der(bytes).expect(0x6e)?.expect(0x30)?;
    let mut ticket = request.field(0xa3)?.expect(0x61)?.expect(0x30)?;
    let realm = ticket.field(0xa1)?.string()?;
    let mut name = ticket.field(0xa2)?.expect(0x30)?;
    let mut parts = name.field(0xa1)?.expect(0x30)?;
    let mut components = Vec::with_capacity(2);
    while !parts.0.is_empty() {
        components.push(parts.string()?);
    }
    let mut encrypted = ticket.field(0xa3)?.expect(0x30)?;
    let enctype = encrypted.field(0xa0)?.integer()?;
    let kvno = match encrypted.next()? {
        (0xa1, mut kvno) => Some(kvno.integer()?),
        _ => None,
    };
    Some(Ticket {
        service: Principal::new(components, realm).ok()?,
        kvno,
        enctype: Enctype(u16::try_from(enctype).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let mut out = vec![tag];
        match value.len() {
            length @ 0..0x80 => out.push(u8::try_from(length).unwrap()),
            length => {
                out.push(0x82);
                out.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        out.extend(value);
        out
    }

    fn integer(number: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(number.to_be_bytes());
        der(0x02, &[&bytes])
    }

    fn request(realm: &str, parts: &[&str], kvno: Option<u32>, enctype: u32) -> Vec<u8> {
        let names: Vec<Vec<u8>> = parts.iter().map(|p| der(0x1b, &[p.as_bytes()])).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let name = der(
            0x30,
            &[
                &der(0xa0, &[&integer(2)]),
                &der(0xa1, &[&der(0x30, &names)]),
            ],
        );
        let kvno = kvno.map_or(Vec::new(), |kvno| der(0xa1, &[&integer(kvno)]));
        let cipher = der(0xa2, &[&der(0x04, &[&[0x55; 300]])]);
        let encrypted = der(0x30, &[&der(0xa0, &[&integer(enctype)]), &kvno, &cipher]);
        let ticket = der(
            0x61,
            &[&der(
                0x30,
                &[
                    &der(0xa0, &[&integer(5)]),
                    &der(0xa1, &[&der(0x1b, &[realm.as_bytes()])]),
                    &der(0xa2, &[&name]),
                    &der(0xa3, &[&encrypted]),
                ],
            )],
        );
        der(
            0x6e,
            &[&der(
                0x30,
                &[
                    &der(0xa0, &[&integer(5)]),
                    &der(0xa1, &[&integer(14)]),
                    &der(0xa2, &[&der(0x03, &[&[0; 5]])]),
                    &der(0xa3, &[&ticket]),
                    &der(0xa4, &[&encrypted]),
                ],
            )],
        )
    }

    fn krb5(request: &[u8]) -> Vec<u8> {
        der(0x60, &[&der(0x06, &[KRB5]), b"\x01\0", request])
    }

    fn spnego(mechanisms: &[&[u8]], token: Option<&[u8]>) -> Vec<u8> {
        let oids: Vec<Vec<u8>> = mechanisms.iter().map(|oid| der(0x06, &[oid])).collect();
        let oids: Vec<&[u8]> = oids.iter().map(Vec::as_slice).collect();
        let token = token.map_or(Vec::new(), |token| der(0xa2, &[&der(0x04, &[token])]));
        let list = der(0xa0, &[&der(0x30, &oids)]);
        der(
            0x60,
            &[
                &der(0x06, &[SPNEGO]),
                &der(0xa0, &[&der(0x30, &[&list, &token])]),
            ],
        )
    }

    #[test]
    fn a_ticket_is_found_raw_bare_and_in_spnego() {
        let request = request("EXAMPLE.COM", &["HTTP", "p.example.com"], Some(3), 18);
        let ticket = Peek::Ticket(Ticket {
            service: "HTTP/p.example.com@EXAMPLE.COM".parse().unwrap(),
            kvno: Some(3),
            enctype: Enctype(18),
        });
        let raw = krb5(&request);
        for token in [
            request.clone(),
            raw.clone(),
            spnego(&[KRB5], Some(&raw)),
            spnego(&[KRB5_WRONG, KRB5, NTLMSSP], Some(&raw)),
            spnego(&[KRB5], Some(&request)),
        ] {
            assert_eq!(peek(&token), ticket);
        }
    }

    #[test]
    fn a_ticket_may_have_no_kvno_or_a_large_one() {
        for kvno in [None, Some(65_539), Some(0x8000_0001)] {
            match peek(&request("R", &["alice"], kvno, 23)) {
                Peek::Ticket(ticket) => assert_eq!(ticket.kvno, kvno),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_order_of_mechanisms_decides() {
        assert_eq!(
            peek(&spnego(&[NTLMSSP, KRB5], Some(b"x"))),
            Peek::KerberosLater
        );
        assert_eq!(peek(&spnego(&[KRB5], None)), Peek::KerberosLater);
        assert_eq!(peek(&spnego(&[NTLMSSP], Some(b"NTLMSSP\0"))), Peek::Ntlm);
        assert_eq!(peek(&spnego(&[b"\x2a"], None)), Peek::NoKerberos);
        assert_eq!(peek(b"NTLMSSP\0\x01"), Peek::Ntlm);
        assert_eq!(peek(b"\xa1\x00"), Peek::LaterToken(None));
        assert_eq!(peek(b""), Peek::Unreadable);
        assert_eq!(peek(b"junk"), Peek::Unreadable);
    }

    #[test]
    fn the_ticket_of_a_later_token_is_read() {
        let request = request("R", &["HTTP", "p"], Some(3), 18);
        let response = |token: &[u8]| {
            let state = der(0xa0, &[&der(0x0a, &[&[1]])]);
            let token = der(0xa2, &[&der(0x04, &[token])]);
            der(0xa1, &[&der(0x30, &[&state, &token])])
        };
        for token in [krb5(&request), request.clone()] {
            match peek(&response(&token)) {
                Peek::LaterToken(Some(ticket)) => {
                    assert_eq!(ticket.service.to_string(), "HTTP/p@R");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(peek(&response(b"junk")), Peek::LaterToken(None));
    }

    #[test]
    fn other_kerberos_messages_are_recognised_bare_framed_and_in_spnego() {
        let framed =
            |number: u8, message: &[u8]| der(0x60, &[&der(0x06, &[KRB5]), &[number, 0], message]);
        let error = der(
            0x7e,
            &[&der(
                0x30,
                &[&der(0xa1, &[&integer(30)]), &der(0xa6, &[&integer(32)])],
            )],
        );
        let reply = der(0x6f, &[b"\x30\x00"]);
        for (message, number, what) in [
            (&error, 3, Peek::KrbError(Some(32))),
            (&reply, 2, Peek::ApRep),
        ] {
            let raw = framed(number, message);
            for token in [message.clone(), raw.clone(), spnego(&[KRB5], Some(&raw))] {
                assert_eq!(peek(&token), what, "{token:x?}");
            }
        }
        assert_eq!(peek(&framed(4, b"")), Peek::NoTicket);
        for tag in [0x6a, 0x6b, 0x6c, 0x6d, 0x76] {
            assert_eq!(peek(&[tag, 2, 0x30, 0]), Peek::NoTicket);
            assert_eq!(peek(&[tag, 0]), Peek::Unreadable);
        }
        assert_eq!(peek(&framed(3, b"junk")), Peek::KrbError(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = peek(&bytes);
        }

        #[test]
        fn a_damaged_token_is_read_without_a_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut token = spnego(&[KRB5], Some(&krb5(&request("R", &["a", "b"], Some(1), 18))));
            let length = token.len();
            token[at % length] = byte;
            let _ = peek(&token);
            let _ = peek(&token[..cut % length]);
        }
    }
}

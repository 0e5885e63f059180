//! A Kerberos token that can be read in one way only.
//!
//! This runs between [`peek`](super::peek) and GSSAPI. What the gateway concludes from a token by
//! itself (that its authenticator is new, which client the ticket belongs to) must be concluded from
//! the same bytes that GSSAPI reads; otherwise an attacker could present one authenticator to the
//! replay check and another one to GSSAPI. So only the canonical DER encoding (X.690) of an `AP-REQ`
//! (RFC 4120 section
//! 5.5.1, framed as in RFC 4121 section 4.1) is read: every field in its place and once, no other field,
//! no byte between or after them. Every other encoding is left to GSSAPI and MIT's replay cache.

use super::{
    keytab::Enctype,
    peek::{KRB5, KRB5_WRONG},
};
use crate::der::Exact;

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const STRING: u8 = 0x1b;
const SEQUENCE: u8 = 0x30;

/// Bytes of a [`AuthenticatorTag`].
pub(crate) const TAG_LEN: usize = 12;

/// The key of an authenticator in MIT's replay cache: the first bytes of its checksum.
pub(crate) type AuthenticatorTag = [u8; TAG_LEN];

/// The parts of a token that identify its ticket and its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApReq<'a> {
    /// The encoding of the whole `Ticket`; the same for all logins with it.
    pub ticket: &'a [u8],
    /// Identifies the authenticator, which is a new one for each login.
    pub tag: AuthenticatorTag,
}

impl<'a> ApReq<'a> {
    /// Reads a framed token; `None` for every other token, and for one that is not canonical.
    pub fn read(token: &'a [u8]) -> Option<Self> {
        let mut frame = Exact(Exact(token).only(0x60)?);
        let oid = frame.take(OID)?;
        if oid != KRB5 && oid != KRB5_WRONG {
            return None;
        }
        // TOK_ID 01 00 is an AP-REQ (RFC 4121 section 4.1).
        let request = frame.0.strip_prefix(b"\x01\0")?;
        let mut request = Exact(Exact(Exact(request).only(0x6e)?).only(SEQUENCE)?);
        Exact(request.take(0xa0)?).only(INTEGER)?;
        Exact(request.take(0xa1)?).only(INTEGER)?;
        Exact(request.take(0xa2)?).only(BITS)?;
        let ticket = request.take(0xa3)?;
        let authenticator = request.only(0xa4)?;
        check_ticket(ticket)?;
        let (enctype, cipher) = encrypted(authenticator)?;
        let tag = tag(enctype, cipher)?;
        Some(Self { ticket, tag })
    }
}

/// `Ticket` (RFC 4120 section 5.3).
fn check_ticket(ticket: &[u8]) -> Option<()> {
    let mut ticket = Exact(Exact(Exact(ticket).only(0x61)?).only(SEQUENCE)?);
    Exact(ticket.take(0xa0)?).only(INTEGER)?;
    Exact(ticket.take(0xa1)?).only(STRING)?;
    let mut name = Exact(Exact(ticket.take(0xa2)?).only(SEQUENCE)?);
    Exact(name.take(0xa0)?).only(INTEGER)?;
    let mut parts = Exact(Exact(name.only(0xa1)?).only(SEQUENCE)?);
    while !parts.0.is_empty() {
        parts.take(STRING)?;
    }
    encrypted(ticket.only(0xa3)?).map(drop)
}

/// `EncryptedData` (RFC 4120 section 5.2.9).
fn encrypted(data: &[u8]) -> Option<(Enctype, &[u8])> {
    let mut data = Exact(Exact(data).only(SEQUENCE)?);
    // One byte holds every encryption type that `tag` accepts.
    let enctype = match *Exact(data.take(0xa0)?).only(INTEGER)? {
        [number] => Enctype(number.into()),
        _ => return None,
    };
    let mut rest = data;
    if let Some(kvno) = rest.take(0xa1) {
        Exact(kvno).only(INTEGER)?;
        data = rest;
    }
    Some((enctype, Exact(data.only(0xa2)?).only(OCTETS)?))
}

/// The checksum is at the end of the ciphertext (RFC 3961 section 5.3). RC4 has it at the beginning,
/// but MIT takes the last bytes nevertheless (`k5_rc_tag_from_ciphertext` in `rc_base.c`). The tag has
/// to be the same here, so that each finds the records of the other.
fn tag(enctype: Enctype, cipher: &[u8]) -> Option<AuthenticatorTag> {
    let length = match enctype.0 {
        // aes128-cts and aes256-cts with hmac-sha1-96
        17 | 18 => 12,
        // aes128-cts-hmac-sha256-128, arcfour-hmac, camellia
        19 | 23 | 25 | 26 => 16,
        // aes256-cts-hmac-sha384-192
        20 => 24,
        _ => return None,
    };
    let checksum = cipher.get(cipher.len().checked_sub(length)?..)?;
    checksum.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::der::element;

    /// What an `AP-REQ` is made of, put together again.
    #[derive(Clone, Debug)]
    struct Parts {
        oid: Vec<u8>,
        integers: [Vec<u8>; 5],
        options: Vec<u8>,
        realm: Vec<u8>,
        name: Vec<Vec<u8>>,
        kvnos: [Option<Vec<u8>>; 2],
        ciphers: [Vec<u8>; 2],
        enctypes: [u8; 2],
    }

    impl Parts {
        fn encrypted(&self, at: usize) -> Vec<u8> {
            let kvno = self.kvnos[at].as_deref().map_or(Vec::new(), |kvno| {
                element(0xa1, &[&element(INTEGER, &[kvno])])
            });
            let enctype = element(0xa0, &[&element(INTEGER, &[&[self.enctypes[at]]])]);
            let cipher = element(0xa2, &[&element(OCTETS, &[&self.ciphers[at]])]);
            element(SEQUENCE, &[&enctype, &kvno, &cipher])
        }

        fn ticket(&self) -> Vec<u8> {
            let name: Vec<u8> = self
                .name
                .iter()
                .flat_map(|part| element(STRING, &[part]))
                .collect();
            let name = [
                element(0xa0, &[&element(INTEGER, &[&self.integers[3]])]),
                element(0xa1, &[&element(SEQUENCE, &[&name])]),
            ]
            .concat();
            let fields = [
                element(0xa0, &[&element(INTEGER, &[&self.integers[2]])]),
                element(0xa1, &[&element(STRING, &[&self.realm])]),
                element(0xa2, &[&element(SEQUENCE, &[&name])]),
                element(0xa3, &[&self.encrypted(0)]),
            ]
            .concat();
            element(0x61, &[&element(SEQUENCE, &[&fields])])
        }

        fn token(&self) -> Vec<u8> {
            let fields = [
                element(0xa0, &[&element(INTEGER, &[&self.integers[0]])]),
                element(0xa1, &[&element(INTEGER, &[&self.integers[1]])]),
                element(0xa2, &[&element(BITS, &[&self.options])]),
                element(0xa3, &[&self.ticket()]),
                element(0xa4, &[&self.encrypted(1)]),
            ]
            .concat();
            let request = element(0x6e, &[&element(SEQUENCE, &[&fields])]);
            let oid = element(OID, &[&self.oid]);
            element(0x60, &[&oid, b"\x01\0", &request])
        }
    }

    prop_compose! {
        fn parts()(
            wrong: bool,
            integers in prop::array::uniform5(prop::collection::vec(any::<u8>(), 1..5)),
            options in prop::collection::vec(any::<u8>(), 5),
            realm in prop::collection::vec(any::<u8>(), 0..200),
            name in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4),
            kvnos in prop::array::uniform2(prop::option::of(prop::collection::vec(any::<u8>(), 1..6))),
            ciphers in prop::array::uniform2(prop::collection::vec(any::<u8>(), 24..400)),
            enctypes in prop::array::uniform2(prop::sample::select(&[17u8, 18, 19, 20, 23][..])),
        ) -> Parts {
            let oid = if wrong { KRB5_WRONG } else { KRB5 }.to_vec();
            Parts { oid, integers, options, realm, name, kvnos, ciphers, enctypes }
        }
    }

    fn example() -> Parts {
        Parts {
            oid: KRB5.to_vec(),
            integers: [5, 14, 5, 1, 0].map(|number| vec![number]),
            options: vec![0; 5],
            realm: b"R".to_vec(),
            name: vec![b"HTTP".to_vec(), b"p".to_vec()],
            kvnos: [Some(vec![2]), None],
            ciphers: [vec![0x55; 300], (0..200).collect()],
            enctypes: [18, 18],
        }
    }

    #[test]
    fn the_tag_is_what_mit_takes_for_each_encryption_type() {
        for (enctype, first) in [(17, 188), (18, 188), (19, 184), (20, 176), (23, 184)] {
            let mut parts = example();
            parts.enctypes[1] = enctype;
            let token = parts.token();
            let tag: Vec<u8> = (first..first + 12).collect();
            assert_eq!(ApReq::read(&token).unwrap().tag[..], tag[..]);
        }
        let mut parts = example();
        parts.enctypes[1] = 3;
        assert_eq!(ApReq::read(&parts.token()), None, "single DES");
        parts = example();
        parts.ciphers[1].truncate(11);
        assert_eq!(ApReq::read(&parts.token()), None, "no whole checksum");
    }

    #[test]
    fn encodings_that_are_not_canonical_are_not_read() {
        let plain = example().token();
        assert!(ApReq::read(&plain).is_some());
        let behind = [&plain[..], &[0]].concat();
        assert_eq!(ApReq::read(&behind), None);
        // 0x82 and two digits are the shortest for these lengths; 0x83 and three are not
        assert_eq!(plain[1], 0x82);
        let long = [&[0x60, 0x83, 0], &plain[2..]].concat();
        assert_eq!(ApReq::read(&long), None);
        let endless = [&[0x60, 0x80], &plain[4..], &[0, 0]].concat();
        assert_eq!(ApReq::read(&endless), None);
        // a second ticket, in front of the first and behind it
        let ticket = element(0xa3, &[&example().ticket()]);
        let request = &plain[17..];
        let fields = Exact(Exact(request).only(0x6e).unwrap())
            .only(SEQUENCE)
            .unwrap();
        let at = fields.windows(2).position(|two| two[0] == 0xa3).unwrap();
        for place in [at, at + ticket.len(), fields.len()] {
            let fields = [&fields[..place], &ticket, &fields[place..]].concat();
            let request = element(0x6e, &[&element(SEQUENCE, &[&fields])]);
            let token = element(0x60, &[&element(OID, &[KRB5]), b"\x01\0", &request]);
            assert_eq!(ApReq::read(&token), None);
        }
    }

    proptest! {
        #[test]
        fn canonical_encodings_are_read(parts in parts()) {
            let token = parts.token();
            let ticket = parts.ticket();
            prop_assert_eq!(ApReq::read(&token).map(|r| r.ticket), Some(&ticket[..]));
        }

        // the ticket and the authenticator are integrity-protected by Kerberos as wholes; what
        // matters is that no other bytes around them are read as the same
        #[test]
        fn only_canonical_encodings_are_read(
            parts in parts(),
            at: prop::sample::Index,
            cut in 0usize..3,
            put in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut token = parts.token();
            let at = at.index(token.len());
            let end = (at + cut).min(token.len());
            token.splice(at..end, put);
            if let Some(read) = ApReq::read(&token) {
                let again = rewritten(&token).unwrap();
                prop_assert_eq!(&again, &token);
                prop_assert!(token.windows(read.ticket.len()).any(|part| part == read.ticket));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ApReq::read(&bytes);
        }
    }

    /// The token, read by the lenient reader and written again.
    fn rewritten(token: &[u8]) -> Option<Vec<u8>> {
        use crate::der::Der;
        let mut frame = Der(token).expect(0x60)?;
        let oid = frame.expect(OID)?.0.to_vec();
        let mut request = Der(frame.0.get(2..)?).expect(0x6e)?.expect(SEQUENCE)?;
        let pvno = request.field(0xa0)?.expect(INTEGER)?.0.to_vec();
        let kind = request.field(0xa1)?.expect(INTEGER)?.0.to_vec();
        let options = request.field(0xa2)?.expect(BITS)?.0.to_vec();
        let mut ticket = request.field(0xa3)?.expect(0x61)?.expect(SEQUENCE)?;
        let version = ticket.field(0xa0)?.expect(INTEGER)?.0.to_vec();
        let realm = ticket.field(0xa1)?.expect(STRING)?.0.to_vec();
        let mut principal = ticket.field(0xa2)?.expect(SEQUENCE)?;
        let name_type = principal.field(0xa0)?.expect(INTEGER)?.0.to_vec();
        let mut components = principal.field(0xa1)?.expect(SEQUENCE)?;
        let mut name = Vec::new();
        while !components.0.is_empty() {
            name.push(components.expect(STRING)?.0.to_vec());
        }
        let encrypted = |mut data: Der<'_>| {
            let enctype = *data.field(0xa0)?.expect(INTEGER)?.0.first()?;
            let (tag, mut value) = data.next()?;
            let (kvno, mut cipher) = match tag {
                0xa1 => (Some(value.expect(INTEGER)?.0.to_vec()), data.field(0xa2)?),
                _ => (None, value),
            };
            Some((enctype, kvno, cipher.expect(OCTETS)?.0.to_vec()))
        };
        let first = encrypted(ticket.field(0xa3)?.expect(SEQUENCE)?)?;
        let second = encrypted(request.field(0xa4)?.expect(SEQUENCE)?)?;
        let parts = Parts {
            oid,
            integers: [pvno, kind, version, name_type, Vec::new()],
            options,
            realm,
            name,
            kvnos: [first.1, second.1],
            ciphers: [first.2, second.2],
            enctypes: [first.0, second.0],
        };
        Some(parts.token())
    }
}

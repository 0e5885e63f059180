//! Reads Java's own keystore format, JKS (`sun.security.provider.JavaKeyStore`).
//!
//! It is big-endian. Certificates are not encrypted, each key is encrypted separately
//! (`sun.security.provider.KeyProtector`), and a digest of password and contents is at the end.

use ring::digest;
use zeroize::Zeroizing;

use crate::der::Der;

/// The first bytes of a JKS file.
pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// The first bytes of its successor JCEKS, which is not supported.
pub(super) const JCEKS_MAGIC: [u8; 4] = [0xce, 0xce, 0xce, 0xce];
/// Salt of the digest at the end, as in `JavaKeyStore.getPreKeyedHash`.
const WHITENER: &[u8] = b"Mighty Aphrodite";
/// The object identifier 1.3.6.1.4.1.42.2.17.1.1 of Sun's `KeyProtector`.
const PROTECTOR: &[u8] = &[0x2b, 6, 1, 4, 1, 42, 2, 17, 1, 1];
const SHA1: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JksError {
    /// Truncated, or with an invalid length or tag.
    #[error("it is truncated or damaged")]
    Damaged,
    /// The digest of password and contents differs.
    #[error("wrong password")]
    Password,
    /// A key that is not encrypted by Sun's `KeyProtector`.
    #[error("its key is encrypted by an unknown method")]
    Method,
}

#[derive(Debug, Default)]
pub(super) struct Jks {
    pub(super) keys: Vec<Key>,
    /// Aliases and certificates in DER.
    pub(super) trusted: Vec<(String, Vec<u8>)>,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) alias: String,
    /// Certificates in DER, leaf first.
    pub(super) chain: Vec<Vec<u8>>,
    encrypted: Vec<u8>,
}

/// With a password the digest is verified. Without one only the certificates can be read, as in Java.
pub(super) fn parse(data: &[u8], password: Option<&str>) -> Result<Jks, JksError> {
    let end = data.len().checked_sub(SHA1).ok_or(JksError::Damaged)?;
    let (body, seal) = data.split_at(end);
    let mut reader = Reader(body.strip_prefix(&MAGIC).ok_or(JksError::Damaged)?);
    let version = reader.u32()?;
    if !(1..=2).contains(&version) {
        return Err(JksError::Damaged);
    }
    let mut jks = Jks::default();
    for _ in 0..reader.u32()? {
        let tag = reader.u32()?;
        let alias = reader.text()?;
        let _created = reader.take(8)?;
        match tag {
            1 => {
                let encrypted = reader.long()?.to_vec();
                let mut chain = Vec::new();
                for _ in 0..reader.u32()? {
                    chain.push(reader.certificate(version)?);
                }
                jks.keys.push(Key {
                    alias,
                    chain,
                    encrypted,
                });
            }
            2 => jks.trusted.push((alias, reader.certificate(version)?)),
            // An entry of an unknown type has no length, so the next one cannot be found.
            _ => return Err(JksError::Damaged),
        }
    }
    if !reader.0.is_empty() {
        return Err(JksError::Damaged);
    }
    // Java computes the digest while it parses. Here the contents are parsed first, so that a truncated
    // file is reported as damaged and not as a wrong password.
    if let Some(password) = password
        && sha1(&[&utf16(password), WHITENER, body]) != seal
    {
        return Err(JksError::Password);
    }
    Ok(jks)
}

impl Key {
    /// Decrypts the key; the result is PKCS#8.
    pub(super) fn open(&self, password: &str) -> Result<Zeroizing<Vec<u8>>, JksError> {
        // An `EncryptedPrivateKeyInfo` (RFC 5208 section 6).
        let mut info = Der(&self.encrypted).expect(0x30).ok_or(JksError::Damaged)?;
        let mut algorithm = info.expect(0x30).ok_or(JksError::Damaged)?;
        let Der(method) = algorithm.expect(0x06).ok_or(JksError::Damaged)?;
        // Keys that other programs have encrypted with PKCS#5 have the object identifier of that.
        if method != PROTECTOR {
            return Err(JksError::Method);
        }
        let Der(sealed) = info.expect(0x04).ok_or(JksError::Damaged)?;
        if sealed.len() < 2 * SHA1 {
            return Err(JksError::Damaged);
        }
        let (salt, rest) = sealed.split_at(SHA1);
        let (hidden, check) = rest.split_at(rest.len() - SHA1);
        let password = utf16(password);
        let mut plain = Zeroizing::new(Vec::with_capacity(hidden.len()));
        // The key stream is the SHA-1 digest of the password and the previous block; the first block is
        // the salt (`KeyProtector.recover`).
        let mut stream = salt.to_vec();
        for block in hidden.chunks(SHA1) {
            stream = sha1(&[&password, &stream]);
            plain.extend(block.iter().zip(&stream).map(|(a, b)| a ^ b));
        }
        if sha1(&[&password, &plain]) != check {
            return Err(JksError::Password);
        }
        Ok(plain)
    }
}

fn utf16(password: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(password.encode_utf16().flat_map(u16::to_be_bytes).collect())
}

fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], JksError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(JksError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, JksError> {
        let bytes = self.take(4)?.try_into().map_err(|_| JksError::Damaged)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Bytes with a length of four bytes before them.
    fn long(&mut self) -> Result<&'a [u8], JksError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| JksError::Damaged)?)
    }

    /// Text with a length of two bytes before it, in Java's modified UTF-8.
    fn text(&mut self) -> Result<String, JksError> {
        let length = self.take(2)?;
        let text = self.take(usize::from(length[0]) << 8 | usize::from(length[1]))?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn certificate(&mut self, version: u32) -> Result<Vec<u8>, JksError> {
        // Version 1 wrote only X.509 certificates and did not say so.
        if version == 2 {
            let _x509 = self.text()?;
        }
        Ok(self.long()?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file of one trusted certificate, sealed with that password.
    fn file(password: &str) -> Vec<u8> {
        let mut data = MAGIC.to_vec();
        data.extend([0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        data.extend([0, 2, b'c', b'a']);
        data.extend([0; 8]);
        data.extend([0, 5, b'X', b'.', b'5', b'0', b'9', 0, 0, 0, 3, 1, 2, 3]);
        let seal = sha1(&[&utf16(password), WHITENER, &data]);
        data.extend(seal);
        data
    }

    #[test]
    fn a_trusted_certificate_is_read_with_and_without_the_password() {
        for password in [None, Some("grün")] {
            let jks = parse(&file("grün"), password).unwrap();
            assert_eq!(jks.trusted, [("ca".to_owned(), vec![1, 2, 3])]);
            assert!(jks.keys.is_empty());
        }
        assert_eq!(
            parse(&file("a"), Some("b")).unwrap_err(),
            JksError::Password
        );
    }

    #[test]
    fn a_file_that_is_truncated_or_too_long_is_damaged() {
        let whole = file("a");
        for end in 0..whole.len() {
            assert!(parse(&whole[..end], None).is_err(), "{end}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(parse(&longer, None).unwrap_err(), JksError::Damaged);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            at in 0_usize..60, byte in any::<u8>(), tail in prop::collection::vec(any::<u8>(), 0..80)
        ) {
            let mut data = file("a");
            let at = at.min(data.len() - 1);
            data[at] = byte;
            let _ = parse(&data, Some("a"));
            data.truncate(at.max(12));
            data.extend(&tail);
            let _ = parse(&data, None);
            let key = Key { alias: String::new(), chain: Vec::new(), encrypted: tail };
            let _ = key.open("a");
        }
    }
}

//! Why a KDC refuses a client's account: locked, disabled or expired. The error code is the same.
//!
//! MIT's KDC gives the reason in the text of its KRB-ERROR (`kdc_util.c` and the database modules),
//! Active Directory and Samba in the data: a `KERB_EXT_ERROR` ([MS-KILE] section 2.2.2) with an
//! NTSTATUS. The message is not authenticated, so the reason is used in messages only.

use std::fmt;

use crate::der::Der;

/// What is wrong with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// Too many wrong keys or passwords.
    Locked,
    /// An administrator has disabled it.
    Disabled,
    /// Its expiration date has passed.
    Expired,
    /// The KDC does not give the reason.
    Refused,
}

/// The data type of a `KERB_EXT_ERROR`, and of the PA-DATA that it is sent in.
const EXTENDED: u32 = 3;

impl AccountStatus {
    /// Reads `e-text` and `e-data` of a KRB-ERROR.
    pub fn read(text: &[u8], data: &[u8]) -> Self {
        match (text, status(data)) {
            (_, Some(0xc000_0234)) | (b"LOCKED_OUT", None) => Self::Locked,
            // This text of MIT's KDC means the flag DISALLOW_ALL_TIX (`-allow_tix`); a lockout is
            // LOCKED_OUT.
            (_, Some(0xc000_0072)) | (b"CLIENT LOCKED OUT", None) => Self::Disabled,
            (_, Some(0xc000_0193)) | (b"CLIENT EXPIRED", None) => Self::Expired,
            (_, Some(_) | None) => Self::Refused,
        }
    }
}

/// The NTSTATUS of a `KERB_EXT_ERROR`, bare (Active Directory) or among others in METHOD-DATA (Samba).
fn status(data: &[u8]) -> Option<u32> {
    let mut outer = Der(data).expect(0x30)?;
    if outer.0.first() != Some(&0x30) {
        return extended(outer);
    }
    while let Some(one) = outer.expect(0x30) {
        if let Some(status) = extended(one) {
            return Some(status);
        }
    }
    None
}

/// `PA-DATA` (RFC 4120 section 5.2.7).
fn extended(mut data: Der<'_>) -> Option<u32> {
    if data.expect(0xa1)?.integer()? != EXTENDED {
        return None;
    }
    let value = data.expect(0xa2)?.expect(0x04)?.0;
    value.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

impl fmt::Display for AccountStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Locked => {
                "is locked after too many wrong keys or passwords; unlock it (Unlock-ADAccount, \
                 samba-tool user unlock, kadmin: modprinc -unlock) and find out who sends them"
            }
            Self::Disabled => {
                "is disabled; enable it (Enable-ADAccount, samba-tool user enable, kadmin: modprinc \
                 +allow_tix)"
            }
            Self::Expired => {
                "has expired; give it a later date or none (Clear-ADAccountExpiration, samba-tool \
                 user setexpiry --noexpiry, kadmin: modprinc -expire never)"
            }
            Self::Refused => {
                "is locked, disabled or expired, and the KDC does not say which: unlock it \
                 (Unlock-ADAccount, samba-tool user unlock, kadmin: modprinc -unlock), enable it, or \
                 give it a later date"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Active Directory sends it, and as Samba does.
    fn data(status: u32) -> [Vec<u8>; 2] {
        let mut bare = b"\x30\x15\xa1\x03\x02\x01\x03\xa2\x0e\x04\x0c".to_vec();
        bare.extend_from_slice(&status.to_le_bytes());
        bare.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
        // an ETYPE-INFO2 before it
        let first = b"\x30\x0c\xa1\x03\x02\x01\x13\xa2\x05\x04\x03abc";
        let wrapped = [b"\x30\x25".as_slice(), first, &bare].concat();
        [bare, wrapped]
    }

    #[test]
    fn the_reason_is_read_from_text_and_data() {
        for (status, account) in [
            (0xc000_0234, AccountStatus::Locked),
            (0xc000_0072, AccountStatus::Disabled),
            (0xc000_0193, AccountStatus::Expired),
            (0xc000_006e, AccountStatus::Refused),
        ] {
            for data in data(status) {
                assert_eq!(AccountStatus::read(b"", &data), account);
            }
        }
        for (text, account) in [
            ("LOCKED_OUT", AccountStatus::Locked),
            ("CLIENT LOCKED OUT", AccountStatus::Disabled),
            ("CLIENT EXPIRED", AccountStatus::Expired),
            ("", AccountStatus::Refused),
        ] {
            assert_eq!(AccountStatus::read(text.as_bytes(), b""), account);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            text in prop::collection::vec(any::<u8>(), 0..40),
            data in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = AccountStatus::read(&text, &data);
        }

        #[test]
        fn any_status_is_found(status: u32, more in prop::collection::vec(any::<u8>(), 0..20)) {
            for data in data(status) {
                prop_assert_eq!(super::status(&data), Some(status));
                let _ = super::status(&[data, more.clone()].concat());
            }
        }
    }
}

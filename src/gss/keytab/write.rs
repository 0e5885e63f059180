//! Writes the bytes of a keytab file.

use zeroize::Zeroizing;

use super::{Entry, Keytab};

pub(super) fn to_bytes(keytab: &Keytab) -> Zeroizing<Vec<u8>> {
    // The exact capacity: a vector that grows leaves copies of keys in memory that is not zeroised.
    let room = keytab.entries.iter().map(size).sum::<usize>() + 2;
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    out.extend_from_slice(&[5, 2]);
    for entry in &keytab.entries {
        put(&mut out, entry);
    }
    out
}

fn size(entry: &Entry) -> usize {
    let names: usize = entry
        .principal
        .components()
        .iter()
        .map(|part| part.len() + 2)
        .sum();
    4 + 2 + 2 + entry.principal.realm().len() + names + 4 + 4 + 1 + 2 + 2 + entry.key.len() + 4
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "names and keys come from 16-bit lengths; the old kvno field is the low byte"
)]
fn put(out: &mut Vec<u8>, entry: &Entry) {
    let counted = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    out.extend_from_slice(&(size(entry) as u32 - 4).to_be_bytes());
    out.extend_from_slice(&(entry.principal.components().len() as u16).to_be_bytes());
    counted(out, entry.principal.realm().as_bytes());
    for part in entry.principal.components() {
        counted(out, part.as_bytes());
    }
    out.extend_from_slice(&entry.name_type.to_be_bytes());
    out.extend_from_slice(&entry.timestamp.to_be_bytes());
    out.push(entry.kvno as u8);
    out.extend_from_slice(&entry.enctype.0.to_be_bytes());
    counted(out, &entry.key);
    out.extend_from_slice(&entry.kvno.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gss::{Principal, keytab::Enctype};

    prop_compose! {
        fn entry()(
            parts in prop::collection::vec("[^\0]{1,12}", 1..4),
            realm in "[^\0]{1,12}",
            name_type: u32, timestamp: u32, kvno in 1u32.., enctype: u16,
            key in prop::collection::vec(any::<u8>(), 0..40),
        ) -> Entry {
            Entry {
                principal: Principal::new(parts, realm).unwrap(),
                name_type, timestamp, kvno,
                enctype: Enctype(enctype),
                key: Zeroizing::new(key),
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_and_back(entries in prop::collection::vec(entry(), 0..6)) {
            let keytab = Keytab { entries };
            let bytes = keytab.to_bytes();
            prop_assert_eq!(bytes.capacity(), bytes.len());
            prop_assert_eq!(Keytab::parse(&bytes).unwrap(), keytab);
        }
    }
}

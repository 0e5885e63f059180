//! Realms: MIT's KDC, Samba's Active Directory, and Hadoop's rules for names.

pub(crate) mod realm;
pub(crate) mod rules;
pub(crate) mod samba;

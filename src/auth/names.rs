//! `auth_to_local`: principals to short names, by Hadoop's and MIT's rules.

/// Compiled rules.
#[derive(Debug)]
pub struct AuthToLocal {}

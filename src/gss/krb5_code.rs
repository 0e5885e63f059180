//! Error codes of krb5, and how a failure is mapped to one of them.
//!
//! Both directions of a login classify failures with this: [`acceptor`](super::acceptor) and
//! [`initiator`](super::initiator). Each has its own list of texts, because the same text has another
//! cause there: a key that the keytab lacks is the ticket's in one and the gateway's in the other.

use super::Failure;

// Offsets in krb5_err.et from ERROR_TABLE_BASE_krb5, with MIT's names shortened by their prefix
// (KRB5KDC_ERR_, KRB5KRB_AP_ERR_, KRB5_). libgssapi-sys binds gssapi.h only, so they are written here.
pub(super) const NAME_EXP: i32 = -1_765_328_383;
pub(super) const SERVICE_EXP: i32 = -1_765_328_382;
pub(super) const C_PRINCIPAL_UNKNOWN: i32 = -1_765_328_378;
pub(super) const S_PRINCIPAL_UNKNOWN: i32 = -1_765_328_377;
pub(super) const ETYPE_NOSUPP: i32 = -1_765_328_370;
pub(super) const CLIENT_REVOKED: i32 = -1_765_328_366;
pub(super) const SERVICE_REVOKED: i32 = -1_765_328_365;
pub(super) const KEY_EXP: i32 = -1_765_328_361;
pub(super) const PREAUTH_FAILED: i32 = -1_765_328_360;
pub(super) const BAD_INTEGRITY: i32 = -1_765_328_353;
pub(super) const TKT_EXPIRED: i32 = -1_765_328_352;
pub(super) const TKT_NYV: i32 = -1_765_328_351;
pub(super) const REPEAT: i32 = -1_765_328_350;
pub(super) const NOT_US: i32 = -1_765_328_349;
pub(super) const SKEW: i32 = -1_765_328_347;
pub(super) const MODIFIED: i32 = -1_765_328_343;
pub(super) const BADKEYVER: i32 = -1_765_328_340;
pub(super) const NOKEY: i32 = -1_765_328_339;
pub(super) const KDCREP_SKEW: i32 = -1_765_328_236;
pub(super) const REALM_UNKNOWN: i32 = -1_765_328_230;
pub(super) const KDC_UNREACH: i32 = -1_765_328_228;
pub(super) const KT_NOTFOUND: i32 = -1_765_328_203;
pub(super) const REALM_CANT_RESOLVE: i32 = -1_765_328_164;
/// `G_BAD_TOK_HEADER` of MIT's generic GSSAPI errors (`gssapi_err_generic.et`).
pub(super) const BAD_TOK_HEADER: i32 = -2_045_022_964;

/// The krb5 code of a failure: that of the first text that its message contains, else its minor status.
///
/// The text comes first because the minor status of the SPNEGO mechanism is not a krb5 code: MIT's
/// mechanism glue maps minor codes to numbers of its own, which differ in every process. The texts are
/// English: MIT has translations (`src/po`), but a process that never calls `setlocale` gets none.
pub(super) fn of(failure: &Failure, texts: &[(&str, i32)]) -> i32 {
    texts
        .iter()
        .find(|(text, _)| failure.text.contains(text))
        .map_or(failure.minor, |(_, code)| *code)
}

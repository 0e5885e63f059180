//! Rendezvous hashing: each server has a score for each client, and the highest score wins.

/// FNV-1a with 64 bits, then the finalizer of `SplitMix64`.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    // Replicas and versions of the gateway must agree on it, which the standard library's hasher does not
    // promise. FNV-1a alone spreads short keys that differ in the last byte (addresses) badly; the
    // finalizer mends that.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(hash)
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The score of a server with `weight` for a client: `-weight / ln(u)` with `u` even in (0, 1), so
/// that a server wins in proportion to its weight and a change of one weight moves clients only to
/// or from that server.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits of a hash fit a double exactly"
)]
pub(super) fn score(client: u64, server: u64, weight: u32) -> f64 {
    let hash = mix(client ^ server.rotate_left(32));
    // The half keeps `even` away from 0 and 1, where the logarithm is infinite or zero.
    let even = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(weight) / even.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        assert_eq!(stable_hash(b""), mix(0xcbf2_9ce4_8422_2325));
        // FNV-1a's published test value of "a" before the finalizer
        assert_eq!(stable_hash(b"a"), mix(0xaf63_dc4c_8601_ec8c));
        assert_eq!(
            mix(0),
            0xe220_a839_7b1d_cdaf,
            "SplitMix64's first of seed 0"
        );
    }

    #[test]
    fn scores_are_finite_and_positive() {
        for hash in [0, 1, u64::MAX, 0x9e37_79b9] {
            assert!(score(hash, 0, 1) > 0.0);
            assert!(score(hash, 0, u32::MAX).is_finite());
        }
    }
}

//! Ids of requests: one from the access log to the backend.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderName, HeaderValue, Request};
use tower_http::request_id::{MakeRequestId, RequestId};

/// The header that has it.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken over: UUIDs, trace ids and what balancers make of both are shorter.
const MAX: usize = 128;

/// Drops an id that is not taken over: it would go into the log, the page and to the backend, whatever
/// a client writes. It has at most [`MAX`] letters, digits or one of `-_.~+/=:@`, and comes once.
pub(super) fn judge<B>(mut request: Request<B>) -> Request<B> {
    let mut values = request.headers().get_all(&REQUEST_ID).iter();
    let taken = match (values.next(), values.next()) {
        (None, _) => true,
        (Some(only), None) => is_plain(only.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    if !taken {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:@".contains(byte);
    (1..=MAX).contains(&id.len()) && id.iter().all(plain)
}

/// The last digits of a number; this runs for every request, and `format!` costs ten times as much.
fn hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// Makes ids: a random start and a counter; unique per worker and process, and cheap.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    start: u64,
    next: Arc<AtomicU64>,
}

impl Ids {
    pub(super) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self {
            start: RandomState::new().hash_one(std::thread::current().id()),
            next: Arc::default(),
        }
    }
}

impl MakeRequestId for Ids {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 20];
        hex(&mut id[..12], self.start);
        hex(&mut id[12..], number);
        HeaderValue::from_bytes(&id).ok().map(RequestId::new)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(ids: &[&[u8]]) -> bool {
        let mut request = Request::new(());
        for id in ids {
            let id = HeaderValue::from_bytes(id).unwrap();
            request.headers_mut().append(REQUEST_ID, id);
        }
        judge(request).headers().contains_key(&REQUEST_ID)
    }

    #[test]
    fn ids_of_balancers_and_traces_are_kept_and_others_dropped() {
        for id in [
            "7f",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "0A000001:C3E2_0A000002:01BB_65A1",
            "4bf92f3577b34da6a3ce929d0e0e4736/67667974448284343;o=1"
                .split(';')
                .next()
                .unwrap(),
            &"x".repeat(MAX),
        ] {
            assert!(kept(&[id.as_bytes()]), "{id}");
        }
        for id in ["", "a b", "a\"b", "<a>", "a,b", &"x".repeat(MAX + 1)] {
            assert!(!kept(&[id.as_bytes()]), "{id}");
        }
        assert!(!kept(&[b"a", b"b"]));
        assert!(!kept(&[b"\xff"]));
    }

    proptest! {
        #[test]
        fn what_is_kept_is_short_and_plain(id in prop::collection::vec(32_u8..=255, 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&id)
                && kept(&[value.as_bytes()])
            {
                prop_assert!(id.len() <= MAX);
                prop_assert!(id.iter().all(u8::is_ascii_graphic));
            }
        }

        #[test]
        fn our_own_ids_are_taken_over_by_another_gateway(number: u64) {
            let ids = Ids { start: number, next: Arc::new(AtomicU64::new(number)) };
            let id = ids.clone().make_request_id(&Request::new(())).unwrap();
            prop_assert!(kept(&[id.header_value().as_bytes()]));
        }
    }
}

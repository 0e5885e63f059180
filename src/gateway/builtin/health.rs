//! `/.spnegate/health`: for load balancers in front, without login and for any host name, because their
//! checks send the gateway's address as host.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Response, StatusCode};

use super::plain_text;
use crate::gateway::body::Body;

/// Whether load balancers may send new clients to this gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<AtomicBool>);

impl Health {
    pub(crate) fn drain(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn draining(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// 200 `ok` or 503 `draining`.
    pub(crate) fn response(&self) -> Response<Body> {
        let (status, text) = if self.draining() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else {
            (StatusCode::OK, "ok\n")
        };
        plain_text(status, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_balancers_get_503_while_it_drains() {
        let health = Health::default();
        assert_eq!(health.response().status(), StatusCode::OK);
        health.clone().drain();
        assert!(health.draining());
        assert_eq!(health.response().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

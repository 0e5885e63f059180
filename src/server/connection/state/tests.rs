//! Phases and the sweep, with a clock that the test advances.

use std::{net::SocketAddr, time::Duration};

use super::{parking::MAX_ACTIVE_CHECKS, *};
use crate::server::{ListenerId, ServerTimeouts};

fn limits() -> TickLimits {
    TickLimits::new(ServerTimeouts {
        head: Duration::from_secs(8),
        idle: Duration::from_secs(60),
        body_idle: Duration::from_secs(60),
        tunnel: Duration::from_secs(60),
        min_upload_rate: 0,
    })
}

fn state() -> ConnectionState {
    let any = SocketAddr::from(([127, 0, 0, 1], 1));
    let info = Arc::new(ConnInfo::new(any, any, ListenerId(0), false));
    ConnectionState::new(info, Rc::default(), Phase::Idle)
}

fn advance(state: &ConnectionState, by: Duration) {
    let ticks = u32::try_from(by.as_millis() / limits().tick.as_millis()).unwrap();
    state.clock.advance(ticks);
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_slow_head_gets_no_more_time_for_each_byte() {
    let state = state();
    for byte in b"GET / HT" {
        assert_eq!(state.overdue(&limits()), None);
        state.bytes_read(&[*byte]);
        advance(&state, SECOND);
    }
    advance(&state, SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::HeadTimeout));
}

#[test]
fn waiting_for_a_response_is_not_timed_but_a_stalled_upload_is() {
    let state = state();
    state.bytes_read(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
    assert_eq!(state.request_received(), FramingVerdict::Clean);
    state.read_pending();
    advance(&state, 61 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::BodyTimeout));
    state.bytes_read(b"cde");
    advance(&state, 600 * SECOND);
    assert_eq!(state.overdue(&limits()), None);
}

#[test]
fn an_upload_that_the_service_does_not_read_is_not_a_stall_of_the_client() {
    let state = state();
    state.bytes_read(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
    state.request_received();
    for _ in 0..10 {
        advance(&state, 50 * SECOND);
        assert_eq!(state.overdue(&limits()), None);
    }
    state.read_pending();
    advance(&state, 50 * SECOND);
    assert_eq!(state.overdue(&limits()), None);
    advance(&state, 11 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::BodyTimeout));
}

#[test]
fn a_silent_connection_has_the_head_timeout_until_its_first_request() {
    let state = state();
    state.bytes_read(b"\r\n");
    advance(&state, 9 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::Quiet));
    state.bytes_read(b"GET / HTTP/1.1\r\n\r\n");
    state.request_received();
    state.response_started();
    state.request_ended(true);
    state.flushed();
    advance(&state, 50 * SECOND);
    assert_eq!(state.overdue(&limits()), None);
}

#[test]
fn only_a_response_of_hyper_itself_is_withheld() {
    let state = state();
    state.bytes_read(b"GET / HTTP/1.1\r\n\r\nno request\r\n\r\n");
    state.request_received();
    assert!(!state.withholds_write(), "100 Continue");
    state.flushed();
    state.response_started();
    assert!(!state.withholds_write(), "the head of a response");
    state.request_ended(true);
    assert!(!state.withholds_write(), "the last bytes of a response");
    state.bytes_written();
    assert!(!state.is_unanswered());
    state.flushed();
    assert!(state.withholds_write());
    assert!(state.is_unanswered());
}

#[test]
fn a_stalled_download_is_timed_from_its_last_byte() {
    let state = state();
    state.bytes_read(b"GET / HTTP/1.1\r\n\r\n");
    state.request_received();
    state.response_started();
    advance(&state, 50 * SECOND);
    state.bytes_written();
    advance(&state, 50 * SECOND);
    assert_eq!(state.overdue(&limits()), None);
    advance(&state, 11 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::BodyTimeout));
}

#[test]
fn a_pipelined_part_of_a_head_is_timed_from_the_end_of_the_response_before_it() {
    let state = state();
    state.bytes_read(b"GET / HTTP/1.1\r\n\r\nGET /");
    state.request_received();
    state.response_started();
    advance(&state, 30 * SECOND);
    state.request_ended(true);
    assert_eq!(state.phase(), Phase::Head);
    assert_eq!(state.overdue(&limits()), None);
    advance(&state, 9 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::HeadTimeout));
}

#[test]
fn an_upload_that_ends_after_its_response_leads_to_idle() {
    let state = state();
    state.bytes_read(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    state.request_received();
    state.response_started();
    state.request_ended(true);
    assert_eq!(state.phase(), Phase::UploadTail);
    state.bytes_read(b"cde\r\n0\r\n\r\n");
    assert_eq!(state.phase(), Phase::Idle);
}

#[test]
fn a_drain_closes_idle_connections_after_the_grace_period() {
    let state = state();
    state.request_seen.set(true);
    advance(&state, 10 * SECOND);
    state.clock.start_drain();
    assert_eq!(state.overdue(&limits()), None);
    advance(&state, 2 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::Quiet));
}

#[test]
fn a_connection_that_was_just_resumed_is_parked_fast() {
    let state = state();
    assert!(state.resumed());
    let now = state.now();
    assert!(
        !state.check_fast_parking(now),
        "its request has not arrived"
    );
    state.read_pending();
    assert!(!state.check_fast_parking(now));
    state.bytes_read(b"GET / HTTP/1.1\r\n\r\n");
    assert!(!state.check_fast_parking(now) && !state.is_parkable());
    assert!(state.check_fast_parking(now) && state.is_parkable());
    // It is resumed soon after: it keeps its buffers until ordinary parking.
    assert!(!state.resumed());
    state.read_pending();
    assert!(!state.is_parkable());
    advance(&state, SECOND);
    assert!(state.is_parkable());
    assert!(state.resumed());
}

#[test]
fn a_connection_that_stays_active_is_left_to_ordinary_parking() {
    let state = state();
    assert!(state.resumed());
    let now = state.now();
    state.read_pending();
    // Quiet at one check, but not at two.
    assert!(!state.check_fast_parking(now));
    state.bytes_read(b"GET / HTTP/1.1\r\n");
    for _ in 1..MAX_ACTIVE_CHECKS {
        assert!(!state.check_fast_parking(now));
    }
    assert!(state.check_fast_parking(now) && !state.is_parkable());
}

#[test]
fn http2_streams_are_timed_by_what_they_wait_for() {
    let state = state();
    state.http2_agreed();
    state.bytes_read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x05\x01\x04\0\0\0\x01ab");
    advance(&state, 9 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::HeadTimeout));
    state.bytes_read(b"cde");
    state.request_received();
    state.request_received();
    assert_eq!(state.overdue(&limits()), None);
    advance(&state, 600 * SECOND);
    assert_eq!(state.overdue(&limits()), None);
    state.response_started();
    advance(&state, 61 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::BodyTimeout));
    state.bytes_written();
    state.request_ended(true);
    state.request_ended(false);
    assert_eq!(state.overdue(&limits()), None);
    advance(&state, 61 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::Goodbye));
}

#[test]
fn an_http2_connection_without_a_request_has_the_head_timeout() {
    let state = state();
    state.http2_agreed();
    state.bytes_read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    advance(&state, 7 * SECOND);
    assert_eq!(state.overdue(&limits()), None);
    advance(&state, 2 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::Goodbye));
}

#[test]
fn a_drain_sends_goodbye_immediately_and_waits_for_open_streams() {
    let state = state();
    state.http2_agreed();
    state.request_received();
    state.clock.start_drain();
    assert_eq!(state.overdue(&limits()), Some(CloseReason::Goodbye));
    state.http2().unwrap().goodbye_sent();
    advance(&state, 10 * SECOND);
    assert_eq!(state.overdue(&limits()), None);
    state.request_ended(false);
    assert_eq!(state.overdue(&limits()), None);
    advance(&state, 3 * SECOND);
    assert_eq!(state.overdue(&limits()), Some(CloseReason::Quiet));
}

#[test]
fn only_a_quiet_flushed_connection_is_parked() {
    let state = state();
    state.read_pending();
    assert!(!state.is_parkable());
    advance(&state, SECOND);
    assert!(state.is_parkable());
    state.write_started();
    assert!(!state.is_parkable());
    state.flushed();
    state.bytes_read(b"G");
    advance(&state, SECOND);
    assert!(!state.is_parkable());
}

#[test]
fn a_connection_yields_its_buffers_only_when_it_is_at_rest() {
    let state = state();
    state.resumed();
    assert!(!state.yield_buffers());
    state.read_pending();
    assert!(state.yield_buffers() && state.is_parkable());
}

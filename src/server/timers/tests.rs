//! Phases and the sweep, by ticks that pass at once.

use std::{net::SocketAddr, time::Duration};

use super::{parking::BUSY, *};
use crate::server::{ListenerId, ServerTimeouts};

fn limits() -> Limits {
    Limits::new(ServerTimeouts {
        head: Duration::from_secs(8),
        idle: Duration::from_secs(60),
        body_idle: Duration::from_secs(60),
        tunnel: Duration::from_secs(60),
        min_upload_rate: 0,
    })
}

fn state() -> State {
    let any = SocketAddr::from(([127, 0, 0, 1], 1));
    let info = Arc::new(ConnInfo::new(any, any, ListenerId(0), false));
    State::new(info, Rc::default(), Phase::Idle)
}

fn advance(state: &State, by: Duration) {
    let ticks = u32::try_from(by.as_millis() / limits().tick.as_millis()).unwrap();
    state.clock.now.set(state.clock.now.get() + ticks);
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_slow_head_gets_no_more_time_for_each_byte() {
    let state = state();
    for byte in b"GET / HT" {
        assert_eq!(state.judge(&limits()), None);
        state.on_read(&[*byte]);
        advance(&state, SECOND);
    }
    advance(&state, SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Head));
}

#[test]
fn waiting_for_an_answer_is_not_timed_but_a_stalled_upload_is() {
    let state = state();
    state.on_read(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
    assert_eq!(state.on_request(), Verdict::Clean);
    state.read_blocked.set(true);
    advance(&state, 61 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Body));
    state.on_read(b"cde");
    advance(&state, 600 * SECOND);
    assert_eq!(state.judge(&limits()), None);
}

#[test]
fn an_upload_that_the_service_does_not_take_is_not_the_clients_stall() {
    let state = state();
    state.on_read(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
    state.on_request();
    for _ in 0..10 {
        advance(&state, 50 * SECOND);
        assert_eq!(state.judge(&limits()), None);
    }
    state.read_blocked.set(true);
    advance(&state, 50 * SECOND);
    assert_eq!(state.judge(&limits()), None);
    advance(&state, 11 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Body));
}

#[test]
fn a_silent_connection_has_the_time_of_a_head_until_its_first_request() {
    let state = state();
    state.on_read(b"\r\n");
    advance(&state, 9 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Silent));
    state.on_read(b"GET / HTTP/1.1\r\n\r\n");
    state.on_request();
    state.on_answer();
    state.on_answered(true);
    state.on_flush();
    advance(&state, 50 * SECOND);
    assert_eq!(state.judge(&limits()), None);
}

#[test]
fn only_an_answer_of_hypers_own_is_withheld() {
    let state = state();
    state.on_read(b"GET / HTTP/1.1\r\n\r\nno request\r\n\r\n");
    state.on_request();
    assert!(!state.withholds(), "100 Continue");
    state.on_flush();
    state.on_answer();
    assert!(!state.withholds(), "the head of an answer");
    state.on_answered(true);
    assert!(!state.withholds(), "its last bytes");
    state.on_write();
    assert!(!state.is_unanswered());
    state.on_flush();
    assert!(state.withholds());
    assert!(state.is_unanswered());
}

#[test]
fn a_stalled_download_is_timed_from_its_last_byte() {
    let state = state();
    state.on_read(b"GET / HTTP/1.1\r\n\r\n");
    state.on_request();
    state.on_answer();
    advance(&state, 50 * SECOND);
    state.on_write();
    advance(&state, 50 * SECOND);
    assert_eq!(state.judge(&limits()), None);
    advance(&state, 11 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Body));
}

#[test]
fn a_pipelined_part_of_a_head_counts_from_the_answer_before_it() {
    let state = state();
    state.on_read(b"GET / HTTP/1.1\r\n\r\nGET /");
    state.on_request();
    state.on_answer();
    advance(&state, 30 * SECOND);
    state.on_answered(true);
    assert_eq!(state.phase(), Phase::Head);
    assert_eq!(state.judge(&limits()), None);
    advance(&state, 9 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Head));
}

#[test]
fn an_upload_that_outlives_its_answer_ends_in_idle() {
    let state = state();
    state.on_read(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    state.on_request();
    state.on_answer();
    state.on_answered(true);
    assert_eq!(state.phase(), Phase::Tail);
    state.on_read(b"cde\r\n0\r\n\r\n");
    assert_eq!(state.phase(), Phase::Idle);
}

#[test]
fn a_drain_ends_idle_connections_after_a_grace() {
    let state = state();
    state.asked.set(true);
    advance(&state, 10 * SECOND);
    state.clock.draining.set(Some(state.clock.now.get()));
    assert_eq!(state.judge(&limits()), None);
    advance(&state, 2 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Silent));
}

#[test]
fn a_connection_that_was_just_taken_up_is_parked_in_haste() {
    let state = state();
    assert!(state.take_up());
    let now = state.clock.now.get();
    assert!(!state.is_done_in_haste(now), "its request is yet to come");
    state.read_blocked.set(true);
    assert!(!state.is_done_in_haste(now));
    state.on_read(b"GET / HTTP/1.1\r\n\r\n");
    assert!(!state.is_done_in_haste(now) && !state.is_parkable());
    assert!(state.is_done_in_haste(now) && state.is_parkable());
    // it comes back at once: its buffers stay until it has been quiet for long
    assert!(!state.take_up());
    state.read_blocked.set(true);
    assert!(!state.is_parkable());
    advance(&state, SECOND);
    assert!(state.is_parkable());
    assert!(state.take_up());
}

#[test]
fn a_connection_that_never_rests_is_left_to_the_ordinary_ticks() {
    let state = state();
    assert!(state.take_up());
    let now = state.clock.now.get();
    state.read_blocked.set(true);
    // quiet at one look is not quiet at two
    assert!(!state.is_done_in_haste(now));
    state.on_read(b"GET / HTTP/1.1\r\n");
    for _ in 1..BUSY {
        assert!(!state.is_done_in_haste(now));
    }
    assert!(state.is_done_in_haste(now) && !state.is_parkable());
}

#[test]
fn streams_are_timed_by_what_they_wait_for() {
    let state = state();
    state.multiplex();
    state.on_read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x05\x01\x04\0\0\0\x01ab");
    advance(&state, 9 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Head));
    state.on_read(b"cde");
    state.on_request();
    state.on_request();
    assert_eq!(state.judge(&limits()), None);
    advance(&state, 600 * SECOND);
    assert_eq!(state.judge(&limits()), None);
    state.on_answer();
    advance(&state, 61 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Body));
    state.on_write();
    state.on_answered(true);
    state.on_answered(false);
    assert_eq!(state.judge(&limits()), None);
    advance(&state, 61 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Goodbye));
}

#[test]
fn an_http_2_connection_without_a_request_has_the_time_of_a_head() {
    let state = state();
    state.multiplex();
    state.on_read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    advance(&state, 7 * SECOND);
    assert_eq!(state.judge(&limits()), None);
    advance(&state, 2 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Goodbye));
}

#[test]
fn a_drain_says_goodbye_at_once_and_waits_for_open_streams() {
    let state = state();
    state.multiplex();
    state.on_request();
    state.clock.draining.set(Some(state.clock.now.get()));
    assert_eq!(state.judge(&limits()), Some(End::Goodbye));
    state.streams().unwrap().goodbye.set(true);
    advance(&state, 10 * SECOND);
    assert_eq!(state.judge(&limits()), None);
    state.on_answered(false);
    assert_eq!(state.judge(&limits()), None);
    advance(&state, 3 * SECOND);
    assert_eq!(state.judge(&limits()), Some(End::Silent));
}

#[test]
fn only_a_quiet_flushed_connection_is_parked() {
    let state = state();
    state.read_blocked.set(true);
    assert!(!state.is_parkable());
    advance(&state, SECOND);
    assert!(state.is_parkable());
    state.flushed.set(false);
    assert!(!state.is_parkable());
    state.flushed.set(true);
    state.on_read(b"G");
    advance(&state, SECOND);
    assert!(!state.is_parkable());
}

#[test]
fn a_connection_gives_way_to_others_only_when_it_rests() {
    let state = state();
    state.take_up();
    assert!(!state.gives_way());
    state.read_blocked.set(true);
    assert!(state.gives_way() && state.is_parkable());
}

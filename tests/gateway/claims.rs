//! Every reason word is covered by a test.

use std::collections::HashSet;

use spnegate::testing::Refusal;

use crate::{
    backend_login, backend_tls, balance, certificates, coordinators, failover, faults, framing,
    hold, impersonation, keys, link_logins, nodes, refusals, sessions, sources, thrift, tickets,
    uploads,
};

/// Where a reason word is tested.
enum Proof {
    /// By this test of this program.
    Here(fn()),
    /// Elsewhere, for this reason.
    Elsewhere(&'static str),
}

use Proof::{Elsewhere, Here};

const CLAIMS: &[(Refusal, Proof)] = &[
    (
        Refusal::LoginRequired,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::SessionEnded,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::BadAuthorization,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::DuplicateAuthorization,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::TokenTooLarge,
        Elsewhere(
            "a token above 48 KiB does not fit into a head of HTTP/1.1 (64 KiB, head_too_large); \
             auth::negotiate's unit tests, for HTTP/2 and other servers behind the layer",
        ),
    ),
    (
        Refusal::Ntlm,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::TokenMalformed,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::TokenKrbError,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::TokenApRep,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (Refusal::TokenReplayed, Here(tickets::a_token_is_accepted_only_once)),
    (
        Refusal::TicketExpired,
        Here(tickets::expired_tickets_and_clock_skew_are_distinguished),
    ),
    (
        Refusal::ClockSkew,
        Here(tickets::expired_tickets_and_clock_skew_are_distinguished),
    ),
    (
        Refusal::KeytabOutOfDate,
        Here(tickets::a_ticket_newer_than_the_keytab_is_reported_as_keytab_out_of_date),
    ),
    (
        Refusal::TicketOutOfDate,
        Here(tickets::a_ticket_older_than_the_keytab_is_reported_as_ticket_out_of_date),
    ),
    (Refusal::WrongKey, Here(tickets::a_key_that_differs_from_the_kdcs_is_reported_as_wrong_key)),
    (
        Refusal::NoKeyForService,
        Here(keys::a_service_without_a_key_is_reported_as_no_key_for_service),
    ),
    (
        Refusal::NoKeyOfEnctype,
        Here(keys::a_ticket_of_an_enctype_without_key_is_reported_as_no_key_of_enctype),
    ),
    (
        Refusal::TokenRejected,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::WrongService,
        Here(tickets::a_ticket_for_another_service_or_host_is_reported_as_wrong_service),
    ),
    (
        Refusal::LoginInterrupted,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::LoginBusy,
        Elsewhere(
            "1,024 logins would have to wait at one instant; tests/gss.rs fills a shorter queue, \
             and gss::AcceptError names the word",
        ),
    ),
    (
        Refusal::LoginFlood,
        Elsewhere(
            "one address would need 512 connections; tests/gss.rs fills half of a shorter queue, \
             and auth::spnego's tests see the answer",
        ),
    ),
    (
        Refusal::LoginTimeout,
        Here(tickets::a_login_that_takes_too_long_is_reported_as_login_timeout),
    ),
    (
        Refusal::ReplayCache,
        Here(tickets::a_missing_replay_cache_is_reported_and_recovers_without_restart),
    ),
    (
        Refusal::NameUnmapped,
        Here(sessions::a_principal_without_a_mapped_name_gets_no_session),
    ),
    (
        Refusal::UserDenied,
        Here(sessions::a_user_that_is_not_allowed_is_refused_with_user_denied),
    ),
    (
        Refusal::GroupsUnavailable,
        Elsewhere("the operating system's groups cannot be made to fail; auth::acl's unit tests"),
    ),
    (
        Refusal::CrossSite,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::SourceDenied,
        Here(sources::a_console_accepts_clients_of_its_networks_only),
    ),
    (
        Refusal::RateLimited,
        Here(sources::requests_above_the_rate_limit_receive_retry_after),
    ),
    (
        Refusal::TooManyConnections,
        Here(sources::a_connection_above_the_limit_is_closed_and_counted),
    ),
    (
        Refusal::ProxyHeader,
        Here(sources::a_connection_without_a_proxy_header_is_closed_and_counted),
    ),
    (
        Refusal::UnknownHost,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::BadHost,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::BadPath,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::BadQuery,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::BadForm,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::BadThrift,
        Here(thrift::an_invalid_thrift_call_never_reaches_the_server),
    ),
    (
        Refusal::ThriftIdentity,
        Here(thrift::a_call_that_names_another_user_never_reaches_the_server),
    ),
    (
        Refusal::BadMethod,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::BadRequest,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::PlainHttp,
        Here(certificates::plain_http_on_the_tls_port_receives_the_https_address),
    ),
    (
        Refusal::HeadTooLarge,
        Here(framing::a_head_above_the_limit_is_reported_as_head_too_large),
    ),
    (
        Refusal::HeadTimeout,
        Here(framing::an_incomplete_head_is_reported_as_head_timeout),
    ),
    (Refusal::BodyTimeout, Here(uploads::a_stalled_upload_is_reported_as_body_timeout)),
    (
        Refusal::NotFound,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::CredentialDenied,
        Here(impersonation::a_service_console_gives_out_no_credential_of_the_gateway),
    ),
    (
        Refusal::NotPublished,
        Here(coordinators::the_internal_interface_is_not_published),
    ),
    (
        Refusal::NodeDenied,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::NodeLink,
        Here(refusals::every_refusal_before_the_backend_has_its_page_count_and_status),
    ),
    (
        Refusal::NodeLinkUser,
        Here(nodes::a_link_is_valid_for_one_user_and_only_unchanged),
    ),
    (
        Refusal::NodeLinkExpired,
        Here(link_logins::an_expired_link_is_reported_as_node_link_expired),
    ),
    (
        Refusal::BackendDown,
        Here(failover::an_unreachable_backend_is_reported_as_backend_down),
    ),
    (
        Refusal::NoActive,
        Here(hold::waiting_too_long_for_an_active_backend_is_reported_as_no_active),
    ),
    (Refusal::HoldFull, Here(hold::too_many_waiting_requests_are_reported_as_hold_full)),
    (Refusal::QueueFull, Here(balance::a_full_queue_is_reported_as_queue_full)),
    (
        Refusal::QueueTimeout,
        Here(balance::waiting_too_long_in_the_queue_is_reported_as_queue_timeout),
    ),
    (
        Refusal::OwnerGone,
        Here(coordinators::a_query_whose_coordinator_is_down_is_reported_as_owner_gone),
    ),
    (
        Refusal::NotReplayable,
        Here(failover::a_large_body_is_not_sent_twice),
    ),
    (
        Refusal::BackendBroken,
        Here(failover::a_post_reaches_one_backend_once),
    ),
    (
        Refusal::BackendTimeout,
        Here(failover::a_response_that_does_not_start_is_reported_as_backend_timeout),
    ),
    (
        Refusal::BackendStalled,
        Here(failover::a_response_that_stalls_is_reported_as_backend_stalled),
    ),
    (
        Refusal::BackendLogin,
        Here(backend_login::a_backend_that_refuses_the_login_is_reported_as_backend_login),
    ),
    (
        Refusal::BackendTls,
        Here(backend_tls::an_untrusted_backend_certificate_closes_the_console_and_the_cure_is_reported),
    ),
    (
        Refusal::BackendMutual,
        Here(backend_login::a_backend_without_mutual_authentication_is_reported_as_backend_mutual),
    ),
    (
        Refusal::KdcUnavailable,
        Here(faults::a_kdc_that_hangs_at_start_is_reported_as_kdc_unavailable),
    ),
    (
        Refusal::IdentityIgnored,
        Here(backend_login::a_backend_that_ignores_impersonation_closes_the_console),
    ),
    (
        Refusal::IdentityUnproven,
        Here(backend_login::a_console_stays_closed_until_impersonation_is_verified),
    ),
    (
        Refusal::ImpersonationDenied,
        Here(impersonation::users_the_gateway_may_not_impersonate_are_reported_as_impersonation_denied),
    ),
    (
        Refusal::Draining,
        Elsewhere(
            "only requests that are cut while the threads end under them get it, and nobody is \
             left to read it; the drain itself is in tests/server.rs, its word on the health page \
             in src/gateway/health.rs",
        ),
    ),
];

#[test]
fn every_reason_word_has_a_test() {
    let claimed: HashSet<Refusal> = CLAIMS.iter().map(|(refusal, _)| *refusal).collect();
    assert_eq!(claimed.len(), CLAIMS.len(), "a word is claimed twice");
    for refusal in Refusal::ALL {
        assert!(
            claimed.contains(refusal),
            "no test claims {}",
            refusal.reason()
        );
    }
    let words: HashSet<_> = Refusal::ALL
        .iter()
        .map(|refusal| refusal.reason())
        .collect();
    assert_eq!(words.len(), Refusal::ALL.len());
    for (refusal, proof) in CLAIMS {
        match proof {
            // the compiler checks that the test exists; the test itself asserts the word
            Here(_test) => {}
            Elsewhere(why) => assert!(why.len() > 40, "{}: argue", refusal.reason()),
        }
    }
}

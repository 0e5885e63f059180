//! Every reason word has a test that shows it.

use std::collections::HashSet;

use spnegate::testing::Refusal;

use crate::{
    backend_login, backend_tls, balance, certificates, coordinators, failover, faults, framing,
    hold, impersonation, keys, link_logins, nodes, refusals, sessions, sources, thrift, tickets,
    uploads,
};

/// Where a reason word is proven.
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
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::SessionEnded,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::BadAuthorization,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::DuplicateAuthorization,
        Here(refusals::what_is_refused_before_any_backend),
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
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::TokenMalformed,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::TokenKrbError,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::TokenApRep,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (Refusal::TokenReplayed, Here(tickets::a_token_opens_once)),
    (
        Refusal::TicketExpired,
        Here(tickets::expired_tickets_and_skewed_clocks),
    ),
    (
        Refusal::ClockSkew,
        Here(tickets::expired_tickets_and_skewed_clocks),
    ),
    (
        Refusal::KeytabOutOfDate,
        Here(tickets::a_ticket_newer_than_the_keytab),
    ),
    (
        Refusal::TicketOutOfDate,
        Here(tickets::a_ticket_older_than_the_keytab),
    ),
    (Refusal::WrongKey, Here(tickets::a_key_that_is_not_the_kdcs)),
    (
        Refusal::NoKeyForService,
        Here(keys::a_service_without_a_key),
    ),
    (
        Refusal::NoKeyOfEnctype,
        Here(keys::a_ticket_of_another_encryption_type),
    ),
    (
        Refusal::TokenRejected,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::WrongService,
        Here(tickets::a_ticket_for_another_service_or_host),
    ),
    (
        Refusal::LoginInterrupted,
        Here(refusals::what_is_refused_before_any_backend),
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
        Here(tickets::a_login_that_takes_too_long),
    ),
    (
        Refusal::ReplayCache,
        Here(tickets::a_replay_cache_that_is_gone),
    ),
    (
        Refusal::NameUnmapped,
        Here(sessions::who_has_no_name_has_no_session),
    ),
    (
        Refusal::UserDenied,
        Here(sessions::who_is_not_allowed_is_told_so),
    ),
    (
        Refusal::GroupsUnavailable,
        Elsewhere("the operating system's groups cannot be made to fail; auth::acl's unit tests"),
    ),
    (
        Refusal::CrossSite,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::SourceDenied,
        Here(sources::a_console_is_open_to_its_networks_only),
    ),
    (
        Refusal::RateLimited,
        Here(sources::an_address_that_asks_too_often_is_told_to_wait),
    ),
    (
        Refusal::TooManyConnections,
        Here(sources::a_connection_too_many_is_closed_and_counted),
    ),
    (
        Refusal::ProxyHeader,
        Here(sources::a_connection_without_its_header_is_closed_and_counted),
    ),
    (
        Refusal::UnknownHost,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::BadHost,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::BadPath,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::BadQuery,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::BadForm,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::BadThrift,
        Here(thrift::a_body_that_is_no_thrift_call_never_reaches_the_server),
    ),
    (
        Refusal::ThriftIdentity,
        Here(thrift::a_call_that_names_another_user_never_reaches_the_server),
    ),
    (
        Refusal::BadMethod,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::BadRequest,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::PlainHttp,
        Here(certificates::plain_http_is_told_the_address_with_https),
    ),
    (
        Refusal::HeadTooLarge,
        Here(framing::a_head_that_is_too_large),
    ),
    (
        Refusal::HeadTimeout,
        Here(framing::a_head_that_does_not_end),
    ),
    (Refusal::BodyTimeout, Here(uploads::an_upload_that_stalls)),
    (
        Refusal::NotFound,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::CredentialDenied,
        Here(impersonation::a_service_console_gives_no_credential_of_its_own),
    ),
    (
        Refusal::NotPublished,
        Here(coordinators::the_internal_interface_is_not_published),
    ),
    (
        Refusal::NodeDenied,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::NodeLink,
        Here(refusals::what_is_refused_before_any_backend),
    ),
    (
        Refusal::NodeLinkUser,
        Here(nodes::a_link_is_for_one_user_and_not_to_be_changed),
    ),
    (
        Refusal::NodeLinkExpired,
        Here(link_logins::a_link_that_is_too_old_is_said_to_be),
    ),
    (
        Refusal::BackendDown,
        Here(failover::a_backend_that_is_not_there),
    ),
    (
        Refusal::NoActive,
        Here(hold::waiting_for_an_active_one_ends),
    ),
    (Refusal::HoldFull, Here(hold::waiting_has_a_limit)),
    (Refusal::QueueFull, Here(balance::a_full_queue)),
    (
        Refusal::QueueTimeout,
        Here(balance::a_queue_that_takes_too_long),
    ),
    (
        Refusal::OwnerGone,
        Here(coordinators::a_query_whose_coordinator_is_gone),
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
        Here(failover::an_answer_that_does_not_come),
    ),
    (
        Refusal::BackendStalled,
        Here(failover::an_answer_that_does_not_go_on),
    ),
    (
        Refusal::BackendLogin,
        Here(backend_login::a_backend_that_refuses_the_login),
    ),
    (
        Refusal::BackendTls,
        Here(backend_tls::an_unbelievable_backend_closes_the_console_with_the_cure),
    ),
    (
        Refusal::BackendMutual,
        Here(backend_login::a_backend_that_does_not_prove_itself),
    ),
    (
        Refusal::KdcUnavailable,
        Here(faults::a_kdc_that_hangs_from_the_start),
    ),
    (
        Refusal::IdentityIgnored,
        Here(backend_login::a_backend_that_ignores_the_user),
    ),
    (
        Refusal::IdentityUnproven,
        Here(backend_login::a_backend_that_has_not_proven_to_obey),
    ),
    (
        Refusal::ImpersonationDenied,
        Here(impersonation::whom_the_cluster_does_not_let_the_gateway_act_for),
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
fn every_reason_word_has_its_test() {
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
            // that it exists is the compiler's word; that it asserts is its own
            Here(_test) => {}
            Elsewhere(why) => assert!(why.len() > 40, "{}: argue", refusal.reason()),
        }
    }
}

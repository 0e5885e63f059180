use super::*;
use crate::kinds::{
    IMPERSONATION_PROBE_USER, named,
    tests::{json, remote, response},
};

#[test]
fn webhdfs_shows_whether_it_honours_the_user() {
    for kind in ["namenode", "httpfs"] {
        let home = |name: &str| json(200, &format!(r#"{{"Path":"/user/{name}"}}"#));
        for (proof, user, obeys) in [
            (
                home(IMPERSONATION_PROBE_USER),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Honoured,
            ),
            (
                home("HTTP"),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Ignored,
            ),
            (
                remote(403, "E", "User: gw is not allowed to impersonate x"),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Honoured,
            ),
            (
                remote(
                    403,
                    "E",
                    "Unauthorized connection for super-user: gw from IP 10.0.0.1",
                ),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Honoured,
            ),
            (
                remote(403, "StandbyException", "m"),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Inconclusive,
            ),
            (
                response(503),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Inconclusive,
            ),
            (
                response(200).body("<html>"),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Inconclusive,
            ),
            (response(500), "", ImpersonationCheck::Honoured),
            (home("HTTP"), "", ImpersonationCheck::Ignored),
        ] {
            assert_eq!(
                proof.check_impersonation(kind, user),
                obeys,
                "{} {}",
                proof.status,
                proof.body
            );
        }
    }
}

#[test]
fn a_denial_of_hadoop_names_the_gateway_and_the_missing_rule() {
    for kind in ["namenode", "httpfs", "resourcemanager", "jobhistory"] {
        for (exception, message, gateway, missing) in [
            (
                "AuthorizationException",
                "User: gw is not allowed to impersonate carol",
                Some("gw"),
                MissingRule::User,
            ),
            (
                "SecurityException",
                "Failed to obtain user group information: org.apache.hadoop.security.authorize.\
                 AuthorizationException: User: gw/h@R is not allowed to impersonate carol",
                Some("gw"),
                MissingRule::User,
            ),
            (
                "AuthorizationException",
                "Unauthorized connection for super-user: gw from IP /10.0.0.9",
                Some("gw"),
                MissingRule::Host("10.0.0.9".into()),
            ),
            (
                "AuthorizationException",
                "User: <b> is not allowed to impersonate carol",
                None,
                MissingRule::User,
            ),
        ] {
            let denial = remote(403, exception, message).denial(kind).unwrap();
            assert_eq!(denial.gateway.as_deref(), gateway, "{kind}: {message}");
            assert_eq!(denial.missing, missing, "{kind}: {message}");
            assert_eq!(denial.message, message);
        }
        // neither the name of a file nor a response with another status is a denial
        let file = "File User: gw is not allowed to impersonate carol not found";
        let refused = "User: gw is not allowed to impersonate carol";
        for other in [
            remote(403, "AccessControlException", file),
            remote(404, "AuthorizationException", refused),
            remote(200, "AuthorizationException", refused),
            response(403).body(refused),
        ] {
            assert_eq!(other.denial(kind), None, "{kind}: {}", other.body);
        }
    }
}

#[test]
fn the_remedy_names_the_properties_of_each_server() {
    let denial = remote(403, "E", "User: gw is not allowed to impersonate carol");
    for (kind, gateway, prefix, file) in [
        ("namenode", "gw", "hadoop.proxyuser.gw.", "NameNodes"),
        (
            "resourcemanager",
            "gw",
            "hadoop.proxyuser.gw.",
            "ResourceManagers",
        ),
        (
            "jobhistory",
            "gw",
            "hadoop.proxyuser.gw.",
            "JobHistoryServer",
        ),
        ("httpfs", "gw", "httpfs.proxyuser.gw.", "httpfs-site.xml"),
        ("httpfs", "httpfs", "hadoop.proxyuser.httpfs.", "NameNodes"),
    ] {
        let denial = denial.denial(kind).unwrap();
        let remedy = named(kind).unwrap().remedy(&denial, gateway, "carol");
        assert_eq!(
            remedy.rules,
            [
                format!(
                    "{prefix}groups must name a group of carol, or {prefix}users must name carol"
                ),
                format!("{prefix}hosts must name the gateway's host"),
            ]
        );
        assert!(remedy.file.contains(file), "{}", remedy.file);
    }
}

#[test]
fn a_page_that_does_not_show_the_user_needs_a_second_probe() {
    for kind in ["resourcemanager", "jobhistory"] {
        let refused = response(403).body("User: gw is not allowed to impersonate x");
        for (proof, user, obeys) in [
            (
                refused,
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Honoured,
            ),
            (
                response(200),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::RetryEmpty,
            ),
            (response(200), "", ImpersonationCheck::Ignored),
            (response(500), "", ImpersonationCheck::Honoured),
            (
                response(500),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Inconclusive,
            ),
            (response(503), "", ImpersonationCheck::Inconclusive),
            (
                response(307),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Inconclusive,
            ),
            (
                response(403).reason("Forbidden"),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Inconclusive,
            ),
        ] {
            assert_eq!(
                proof.check_impersonation(kind, user),
                obeys,
                "{kind} {} {user:?}",
                proof.status
            );
        }
    }
}

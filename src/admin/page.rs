//! The status page in HTML.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::status::{
    BackendState, BackendStatus, ConsoleStatus, LoginState, OwnLoginStatus, Status,
    StreamBackendStatus, StreamStatus,
};

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}\
h1{font-size:1.4em}h2{font-size:1.1em;margin:1.6em 0 .4em}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.3em .8em .3em 0;border-bottom:1px solid #ddd;vertical-align:top}\
.good{color:#176b2c}.bad{color:#a51d1d}.quiet{color:#666}code{font-size:.95em}";

/// `maud` escapes all values: names, errors and addresses may come from outside.
pub(super) fn render(status: &Status) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "spnegate" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "spnegate " (status.version) }
                (summary(status))
                @for console in &status.consoles { (table(console)) }
                @for stream in &status.streams { (stream_table(stream)) }
                p { a href="/metrics" { "Metrics" } " · " a href="/health" { "Health" } " · " a href="/?format=json" { "JSON" } }
            }
        }
    }
    .into_string()
}

fn summary(status: &Status) -> Markup {
    html! {
        @if status.draining { p.bad { "Shutting down: no new connections." } }
        table {
            tr { th { "Uptime" } td { (span(status.uptime_seconds)) } }
            tr { th { "Connections" } td { (status.connections) " on " (status.workers) " workers" } }
            tr { th { "Sessions" } td { (status.sessions) } }
            @if let Some(keytab) = &status.keytab {
                tr {
                    th { "Keytab" }
                    td {
                        code { (keytab.path) } " "
                        @if keytab.valid { span.good { "valid" } } @else { span.bad { "not valid" } }
                        @if let Some(problem) = &keytab.problem { br; span.bad { (problem) } }
                        @for principal in &keytab.principals { br; code.quiet { (principal) } }
                    }
                }
            }
            @for login in &status.own_logins { (own_login(login)) }
        }
    }
}

fn own_login(login: &OwnLoginStatus) -> Markup {
    html! {
        tr {
            th { "Gateway login" }
            td {
                code { (login.principal) } " "
                @if let Some(name) = &login.known_as { "as " code { (name) } " " }
                @if login.logged_in { span.good { "ok" } } @else { span.bad { "no ticket" } }
                @if let Some(problem) = &login.problem { br; span.bad { (problem) } }
                // The pause is deliberate: Active Directory locks an account to which wrong keys
                // are sent.
                @if login.next_try_seconds > 0 {
                    br; span.quiet { "next attempt in " (span(login.next_try_seconds)) ", or when the keytab has a new key" }
                }
            }
        }
    }
}

fn table(console: &ConsoleStatus) -> Markup {
    html! {
        h2 { (console.name) span.quiet {
            " · " (console.kind) " · identity " (console.identity) " · balance " (console.balance)
            @if console.queued > 0 { " · " (console.queued) " queued" }
        } }
        p.quiet { @for listen in &console.listen { code { (listen) } " " } }
        table {
            tr { th { "Backend" } th { "State" } th { "Admin state" } th { "Since" } th { "Login" } th { "In progress" } th { "Last error" } }
            @for backend in &console.backends { (row(backend)) }
        }
    }
}

fn row(backend: &BackendStatus) -> Markup {
    let state = match backend.state {
        BackendState::Active => "good",
        BackendState::Down | BackendState::IdentityIgnored => "bad",
        // A standby is healthy: in red, every HA pair would look broken.
        BackendState::Unknown | BackendState::Standby => "quiet",
    };
    let login = match backend.login {
        LoginState::Ok => "good",
        LoginState::Failed => "bad",
        LoginState::NotNeeded | LoginState::None => "quiet",
    };
    html! {
        tr {
            td { code { (backend.url) } }
            td class=(state) { (backend.state.as_str()) }
            td { (backend.duty) }
            td { (span(backend.since_seconds)) }
            td class=(login) { (backend.login.as_str()) }
            td { (backend.in_flight) }
            td { (backend.last_error.as_deref().unwrap_or_default()) }
        }
    }
}

fn stream_table(stream: &StreamStatus) -> Markup {
    html! {
        h2 { (stream.name) span.quiet { " · " (stream.kind) } }
        p.quiet {
            @for listen in &stream.listen { code { (listen) } " " }
            (stream.connections) " connections, " (stream.flows) " UDP flows"
        }
        table {
            tr { th { "Backend" } th { "Address" } th { "State" } th { "Since" } th { "Connections" } th { "Last error" } }
            @for backend in &stream.backends { (stream_row(backend)) }
        }
    }
}

fn stream_row(backend: &StreamBackendStatus) -> Markup {
    let state = match backend.state {
        "up" => "good",
        "down" => "bad",
        _ => "quiet",
    };
    html! {
        tr {
            td { code { (backend.backend) } }
            td { code { (backend.address) } }
            td class=(state) { (backend.state) }
            td { (span(backend.since_seconds)) }
            td { (backend.connections) }
            td { (backend.last_error.as_deref().unwrap_or_default()) }
        }
    }
}

/// A duration in its two largest units.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_their_two_largest_units() {
        for (seconds, text) in [
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3661, "1 h 1 min"),
            (90_061, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}

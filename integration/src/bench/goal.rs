//! The targets, and whether they are reached.

use super::{
    figures::Figures,
    series::Series,
    who::{Metric, Task, Who},
};

/// A line of the table of ratios.
#[derive(Debug)]
pub struct Goal {
    /// What is compared with what.
    pub what: String,
    /// The ratio (or the figure itself), one value per round.
    pub value: Series,
    /// The target.
    pub bound: Bound,
}

/// The target of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// No target, for information only.
    None,
}

impl Goal {
    /// Whether the median is within the bound; `None` where there is none.
    pub fn is_met(&self) -> Option<bool> {
        match self.bound {
            Bound::AtMost(most) => Some(self.value.median() <= most),
            Bound::AtLeast(least) => Some(self.value.median() >= least),
            Bound::None => None,
        }
    }
}

/// Every target for which figures exist.
pub fn all(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    relays(figures, &mut goals);
    logins(figures, &mut goals);
    sum_of_parts(figures, &mut goals);
    memory(figures, &mut goals);
    hdfs(figures, &mut goals);
    streams(figures, &mut goals);
    goals
}

fn relays(figures: &Figures, goals: &mut Vec<Goal>) {
    let gateway = Who::Gateway;
    for (task, connections) in [(Task::Get16, 16), (Task::Get64, 64)] {
        for (other, bound) in [
            (Who::Haproxy, Bound::AtMost(1.0)),
            (Who::Nginx, Bound::None),
            (Who::Httpd, Bound::None),
        ] {
            let what = format!("GET 4 KiB, {connections} connections: CPU a request / {other}'s");
            let get = |who| figures.get(task, who, Metric::Cpu);
            ratio(goals, what, get(gateway), get(other), bound);
        }
        let what = format!("GET 4 KiB, {connections} connections: requests/s / HAProxy's");
        let get = |who| figures.get(task, who, Metric::Rate);
        ratio(goals, what, get(gateway), get(Who::Haproxy), Bound::None);
        let what = format!("GET 4 KiB, {connections} connections: CPU with access log / without");
        let get = |who| figures.get(task, who, Metric::Cpu);
        ratio(
            goals,
            what,
            get(Who::GatewayLogged),
            get(gateway),
            Bound::None,
        );
    }
    for (metric, name, bound) in [
        (Metric::P50, "p50", Bound::None),
        (Metric::P99, "p99", Bound::AtMost(1.2)),
    ] {
        let get = |who| figures.get(Task::HalfLoad, who, metric);
        let added = |who| Some(get(who)?.less(get(Who::Direct)?));
        let (own, other) = (added(gateway), added(Who::Haproxy));
        let what = format!("half load: added {name} / HAProxy's");
        ratio(goals, what, own.as_ref(), other.as_ref(), bound);
        let what = format!("half load: whole {name} / HAProxy's");
        ratio(goals, what, get(gateway), get(Who::Haproxy), Bound::None);
    }
}

fn logins(figures: &Figures, goals: &mut Vec<Goal>) {
    let bare = |metric| figures.get(Task::LoginKept, Who::BareLoop, metric);
    for (task, name) in [
        (Task::LoginKept, "logins, kept alive"),
        (Task::LoginFirst, "logins, a ticket's first"),
        (Task::LoginFresh, "logins, new connection each"),
        (Task::LoginRelayed, "logins and GET of 4 KiB"),
    ] {
        let own = |metric| figures.get(task, Who::Gateway, metric);
        let httpd = |metric| figures.get(task, Who::Httpd, metric);
        // The target concerns the login alone; the other parts of a request are listed beside it.
        let is_target = task == Task::LoginKept;
        let least = |least| {
            if is_target {
                Bound::AtLeast(least)
            } else {
                Bound::None
            }
        };
        let what = format!("{name}: rate of the CPU left by the client / bare loop's");
        let metric = Metric::RateOfRest;
        ratio(goals, what, own(metric), bare(metric), least(0.9));
        let what = format!("{name}: logins per CPU second of the proxy / bare loop's");
        ratio(
            goals,
            what,
            bare(Metric::Cpu),
            own(Metric::Cpu),
            Bound::None,
        );
        let what = format!("{name}: rate as seen, client on the same cores / bare loop's");
        ratio(
            goals,
            what,
            own(Metric::Rate),
            bare(Metric::Rate),
            Bound::None,
        );
        let what = format!("{name}: rate / mod_auth_gssapi's");
        ratio(
            goals,
            what,
            own(Metric::Rate),
            httpd(Metric::Rate),
            least(2.0),
        );
        let what = format!("{name}: logins per CPU second / mod_auth_gssapi's");
        ratio(
            goals,
            what,
            httpd(Metric::Cpu),
            own(Metric::Cpu),
            Bound::None,
        );
    }
}

/// What both halves of a login with a GET cost elsewhere, over what it costs the gateway.
fn sum_of_parts(figures: &Figures, goals: &mut Vec<Goal>) {
    let bare = figures.get(Task::LoginKept, Who::BareLoop, Metric::Cpu);
    let relay = figures.get(Task::Get16, Who::Haproxy, Metric::Cpu);
    let own = figures.get(Task::LoginRelayed, Who::Gateway, Metric::Cpu);
    if let (Some(bare), Some(relay)) = (bare, relay) {
        let parts = bare.plus(relay);
        let what = "logins and GET: CPU of bare loop and HAProxy's relay / the gateway's";
        ratio(goals, what.to_owned(), Some(&parts), own, Bound::None);
    }
}

fn memory(figures: &Figures, goals: &mut Vec<Goal>) {
    if let Some(bytes) = figures.get(Task::Sessions, Who::Gateway, Metric::Bytes) {
        goals.push(Goal {
            what: "bytes a cached session".to_owned(),
            value: bytes.clone(),
            bound: Bound::AtMost(640.0),
        });
    }
    let idle = |who| figures.get(Task::Idle, who, Metric::Bytes);
    let what = "bytes an idle connection / HAProxy's".to_owned();
    let (own, other) = (idle(Who::Gateway), idle(Who::Haproxy));
    ratio(goals, what, own, other, Bound::AtMost(1.2));
}

fn hdfs(figures: &Figures, goals: &mut Vec<Goal>) {
    let get = |who| figures.get(Task::FileStatus, who, Metric::Rate);
    let what = "GETFILESTATUS with doAs: rate / HAProxy's with a NameNode cookie".to_owned();
    let (own, other) = (get(Who::Gateway), get(Who::Haproxy));
    ratio(goals, what, own, other, Bound::AtLeast(0.95));
    let what = "GETFILESTATUS, no proxy: rate with doAs / without".to_owned();
    let (told, own) = (get(Who::DirectDoAs), get(Who::Direct));
    ratio(goals, what, told, own, Bound::None);
    let what = "GETFILESTATUS, HAProxy: rate with doAs / without".to_owned();
    let (told, other) = (get(Who::HaproxyDoAs), get(Who::Haproxy));
    ratio(goals, what, told, other, Bound::None);
    let what = "GETFILESTATUS with doAs: rate / HAProxy's with doAs".to_owned();
    ratio(goals, what, get(Who::Gateway), told, Bound::None);
    for (task, name) in [(Task::Put, "PUT"), (Task::Read, "GET")] {
        let cpu = |who| figures.get(task, who, Metric::CpuPerGib);
        let what = format!("WebHDFS {name}: throughput per CPU / HAProxy's");
        let (own, other) = (cpu(Who::Gateway), cpu(Who::Haproxy));
        ratio(goals, what, other, own, Bound::AtLeast(0.9));
        let rate = |who| figures.get(task, who, Metric::Throughput);
        let what = format!("WebHDFS {name}: throughput / HAProxy's");
        let (own, other) = (rate(Who::Gateway), rate(Who::Haproxy));
        ratio(goals, what, own, other, Bound::None);
        if let Some(growth) = figures.get(task, Who::Gateway, Metric::Growth) {
            goals.push(Goal {
                what: format!("WebHDFS {name}: memory growth, MiB"),
                value: growth.clone(),
                bound: Bound::AtMost(16.0),
            });
        }
    }
}

fn streams(figures: &Figures, goals: &mut Vec<Goal>) {
    let gateway = Who::Gateway;
    for other in [Who::Haproxy, Who::Nginx] {
        let get = |who, metric| figures.get(Task::StreamTcp, who, metric);
        let what = format!("relayed TCP: CPU a GiB / {other}'s");
        let (own, others) = (
            get(gateway, Metric::CpuPerGib),
            get(other, Metric::CpuPerGib),
        );
        ratio(goals, what, own, others, Bound::None);
        let what = format!("relayed TCP: throughput / {other}'s");
        let (own, others) = (
            get(gateway, Metric::Throughput),
            get(other, Metric::Throughput),
        );
        ratio(goals, what, own, others, Bound::None);
    }
    let get = |who, metric| figures.get(Task::StreamUdp, who, metric);
    let nginx = Who::Nginx;
    let what = "relayed UDP: round trips/s / nginx's".to_owned();
    let (own, other) = (get(gateway, Metric::Rate), get(nginx, Metric::Rate));
    ratio(goals, what, own, other, Bound::None);
    let what = "relayed UDP: CPU a round trip / nginx's".to_owned();
    let (own, other) = (get(gateway, Metric::Cpu), get(nginx, Metric::Cpu));
    ratio(goals, what, own, other, Bound::None);
    for (task, name) in [
        (Task::RoundRobin, "roundrobin"),
        (Task::LeastConn, "leastconn"),
        (Task::Source, "source"),
    ] {
        for (metric, what) in [
            (Metric::Deviation, "largest deviation from the due share, %"),
            (
                Metric::Moved,
                "clients that move / that must, one server gone",
            ),
        ] {
            if let Some(value) = figures.get(task, gateway, metric) {
                goals.push(Goal {
                    what: format!("balance {name}: {what}"),
                    value: value.clone(),
                    bound: Bound::None,
                });
            }
        }
    }
}

fn ratio(
    goals: &mut Vec<Goal>,
    what: String,
    own: Option<&Series>,
    other: Option<&Series>,
    bound: Bound,
) {
    if let (Some(own), Some(other)) = (own, other) {
        goals.push(Goal {
            what,
            value: own.over(other),
            bound,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides() {
        let mut figures = Figures::default();
        for (own, other) in [(9.0, 10.0), (30.0, 10.0), (8.0, 10.0)] {
            figures.add(Task::Get16, Who::Gateway, Metric::Cpu, own);
            figures.add(Task::Get16, Who::Haproxy, Metric::Cpu, other);
        }
        let goals = all(&figures);
        let goal = &goals[0];
        assert_eq!(goal.bound, Bound::AtMost(1.0));
        assert!((goal.value.median() - 0.9).abs() < 1e-9);
        assert_eq!(goal.is_met(), Some(true));
    }

    #[test]
    fn what_was_not_measured_has_no_line() {
        assert!(all(&Figures::default()).is_empty());
    }
}

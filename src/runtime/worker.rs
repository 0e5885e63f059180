//! Builds the service of one worker; [`crate::gateway::stack`] has its layers.

use std::{
    cell::RefCell,
    collections::HashSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{GatewayParts, GssServices, groups, listeners::SitePlan, streams};
use crate::{
    auth::{
        Scheme,
        acl::{AclPolicy, Allowed},
        session::Session,
        spnego::SpnegoPolicy,
    },
    config::{self, Console},
    gateway::{
        self, Gateway, Route, Site,
        console::ReportedTargets,
        forward::Forward,
        record::Recorder,
        stack::{self, ConnectionStack},
    },
    identity::IdentityMode,
    rewrite::{
        consoles::{Consoles, PublishedConsole},
        node::NodePolicy,
    },
    upstream::{Timeouts, dispatch::Upstream, group::BackendGroup, pool},
};

/// How often a worker's pools are swept.
const SWEEP: Duration = pool::TICK;

/// Runs on the worker's own thread, because the services are not `Send`.
pub(super) fn service(shared: &GatewayParts, sites: &[SitePlan]) -> ConnectionStack {
    let consoles = Arc::new(consoles(shared));
    let sites = sites
        .iter()
        .map(|plan| site(shared, &consoles, plan))
        .collect();
    let gateway = Gateway::new(
        sites,
        shared.health.clone(),
        shared.sessions.clone(),
        Arc::clone(&shared.config.kerberos.auth_to_local),
        shared.rates.clone(),
    );
    // Pools belong to a worker, so that they need no lock; each worker sweeps its own.
    tokio::task::spawn_local({
        let gateway = gateway.clone();
        async move {
            let mut tick = tokio::time::interval(SWEEP);
            loop {
                tick.tick().await;
                gateway.sweep();
            }
        }
    });
    stack::connection(gateway)
}

/// What the consoles publish, and where.
fn consoles(shared: &GatewayParts) -> Consoles {
    let groups = shared.upstreams.iter();
    let published = shared.config.consoles.iter().zip(groups);
    let published = published.map(|(config, group)| PublishedConsole {
        servers: names(config, group),
        hosts: config.hosts.clone(),
        path: config.path.clone(),
        tls: config.tls.is_some(),
        listen: config.listen.clone(),
    });
    Consoles::new(published.collect())
}

fn site(shared: &GatewayParts, consoles: &Arc<Consoles>, plan: &SitePlan) -> Site {
    let mut routes: Vec<Route> = plan
        .consoles
        .iter()
        .filter_map(|index| Some(route(shared, consoles, shared.gss.as_ref()?, *index)))
        .collect();
    // The longest path first, so that `/oozie` is found before a console that serves all paths.
    routes.sort_by_key(|route| std::cmp::Reverse(route.path.as_ref().map_or(0, |p| p.len())));
    let mut hosts: Vec<Arc<str>> = routes
        .iter()
        .flat_map(|route| route.hosts.clone())
        .collect();
    hosts.sort();
    hosts.dedup();
    Site {
        hosts,
        routes,
        recorder: Recorder::new(Arc::from(""), shared.access.clone()),
        kdc_proxy: streams::kdc_proxy(shared, &plan.kdc_proxies),
    }
}

fn route(
    shared: &GatewayParts,
    consoles: &Arc<Consoles>,
    gss: &GssServices,
    index: usize,
) -> Route {
    let config = &shared.config.consoles[index];
    let group = &shared.upstreams[index];
    let console = Arc::new(gateway::console::Console {
        name: Arc::clone(&config.name),
        kind: config.kind,
        hosts: config.hosts.clone(),
        logged: shared.access.is_on(),
        identity: config.identity,
        become_rules: config.become_rules.clone(),
        backends: names(config, group),
        forwarded: config.forwarded,
        retry_buffer: config.retry_buffer,
        nodes: config.nodes.as_ref().map(NodePolicy::new),
        node_trust: shared.node_trusts[index].clone(),
        node_login: config.node_login,
        link_key: Arc::clone(&shared.link_key),
        listen: config.listen.clone(),
        consoles: Arc::clone(consoles),
        leaving: ReportedTargets::default(),
        sessions: shared.sessions.clone(),
        timeouts: backend_timeouts(&shared.config.timeouts),
        pass_cookies: Arc::clone(&config.pass_cookies),
        withheld: AtomicBool::new(false),
    });
    let upstream = Upstream::new(
        Arc::clone(group),
        groups::initiator(config, &gss.initiator),
        shared.control.clone(),
        backend_timeouts(&shared.config.timeouts),
        Arc::clone(&config.pass_cookies),
    );
    let forward = Forward::new(console, upstream);
    Route {
        hosts: config.hosts.clone(),
        path: config.path.clone(),
        // With `identity = "none"` there is no login: every request has this one session.
        anonymous: (config.identity == IdentityMode::None).then(|| Arc::new(Session::anonymous())),
        encoded_slash: config.allow_encoded_slash,
        allow_from: config.allow_from.clone(),
        name: Arc::clone(&config.name),
        recorder: Recorder::new(Arc::clone(&config.name), shared.access.clone()),
        forward: forward.clone(),
        // Requests borrow the stack. Cloning it for each one was among the costs whose removal
        // took a request from 45.8 to 38.2 thousand instructions (callgrind).
        stack: RefCell::new(stack::console(
            spnego_policy(shared, config),
            gss.acceptor.clone(),
            acl_policy(shared, config),
            forward,
        )),
    }
}

/// Every `host:port` by which the console's servers may call themselves.
fn names(config: &Console, group: &BackendGroup) -> Vec<Arc<str>> {
    // `server_name` is sent as `Host`, from which servers build redirects to themselves.
    let others = config.backends.iter().filter_map(|backend| {
        let name = backend.tls.as_ref()?.server_name.as_ref()?;
        Some(format!("{name}:{}", backend.port).into())
    });
    group.authorities.iter().cloned().chain(others).collect()
}

fn scheme(config: &Console) -> Scheme {
    if config.tls.is_some() {
        Scheme::Tls
    } else {
        Scheme::Plain
    }
}

fn spnego_policy(shared: &GatewayParts, config: &Console) -> SpnegoPolicy {
    SpnegoPolicy {
        console: Arc::clone(&config.name),
        scheme: scheme(config),
        services: config
            .kind
            .services()
            .iter()
            .map(|s| Arc::from(*s))
            .collect(),
        hosts: config.hosts.clone(),
        names: Arc::clone(&shared.config.kerberos.auth_to_local),
        sessions: shared.sessions.clone(),
        challenge_scripts: true,
        cookieless_agents: config.kind.cookieless_agents(),
        session_in_response: shared.access.is_on(),
    }
}

fn acl_policy(shared: &GatewayParts, config: &Console) -> AclPolicy {
    AclPolicy {
        console: Arc::clone(&config.name),
        scheme: scheme(config),
        hosts: config.hosts.clone(),
        allow: config.allow.as_ref().map(|allow| {
            let groups: HashSet<Arc<str>> = allow.groups.iter().cloned().collect();
            Allowed {
                users: allow.users.iter().cloned().collect(),
                // Without groups in `allow`, no user is looked up in the operating system.
                groups: shared
                    .groups
                    .clone()
                    .filter(|_| !groups.is_empty())
                    .map(|system| (groups, system)),
            }
        }),
    }
}

/// The part of `[timeouts]` that concerns backends.
fn backend_timeouts(timeouts: &config::Timeouts) -> Timeouts {
    // Copied for the reason given at `server_timeouts`: one section of the file, several modules.
    Timeouts {
        connect: timeouts.connect,
        first_byte: timeouts.first_byte,
        body_idle: timeouts.body_idle,
        min_upload_rate: timeouts.min_upload_rate,
        hold: timeouts.hold,
    }
}

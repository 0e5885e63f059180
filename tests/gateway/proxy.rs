//! A gateway in this process, started by a builder.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

use spnegate::{
    runtime::{self, Running, StartError},
    testing::Refusal,
};

use crate::{
    backend::Backend,
    client::{Client, RequestBuilder},
    world::{World, world},
};

/// The configuration of a gateway to be started.
pub struct Setup {
    world: &'static World,
    keytab: PathBuf,
    replay_cache: PathBuf,
    sections: Vec<(&'static str, String)>,
    consoles: Vec<Console>,
}

struct Console {
    kind: &'static str,
    name: &'static str,
    listen: String,
    identity: &'static str,
    backends: Vec<String>,
    lines: String,
}

/// A running gateway; it is drained when dropped.
pub struct Gateway {
    running: Option<Running>,
    pub world: &'static World,
}

/// A gateway in the common world.
pub fn gateway() -> Setup {
    gateway_in(world())
}

pub fn gateway_in(world: &'static World) -> Setup {
    Setup {
        world,
        keytab: world.keytab.clone(),
        replay_cache: world.file("rcache2"),
        sections: Vec::new(),
        consoles: Vec::new(),
    }
}

impl Setup {
    /// Adds a console of that kind and name; the following calls configure it.
    pub fn console(mut self, kind: &'static str) -> Self {
        self.consoles.push(Console {
            kind,
            name: kind,
            listen: "127.0.0.1:0".to_owned(),
            identity: "service",
            backends: Vec::new(),
            lines: String::new(),
        });
        self
    }

    fn last(&mut self) -> &mut Console {
        self.consoles.last_mut().unwrap()
    }

    pub fn name(mut self, name: &'static str) -> Self {
        self.last().name = name;
        self
    }

    pub fn identity(mut self, identity: &'static str) -> Self {
        self.last().identity = identity;
        self
    }

    pub fn listen(mut self, address: &str) -> Self {
        self.last().listen = address.to_owned();
        self
    }

    pub fn backend(mut self, backend: &Backend) -> Self {
        let line = format!(
            "{{ url = \"{}\", spn = \"{}\" }}",
            backend.url(),
            backend.spn()
        );
        self.last().backends.push(line);
        self
    }

    /// A backend behind another server, such as a TLS front.
    pub fn backend_at(mut self, backend: &Backend, url: &str) -> Self {
        let line = format!("{{ url = \"{url}\", spn = \"{}\" }}", backend.spn());
        self.last().backends.push(line);
        self
    }

    /// A backend with the principal `HTTP/nn1` at that URL.
    pub fn url(mut self, url: &str) -> Self {
        let spn = self.world.realm.spn("nn1");
        let line = format!("{{ url = \"{url}\", spn = \"{spn}\" }}");
        self.last().backends.push(line);
        self
    }

    /// Adds a line to the console.
    pub fn with(mut self, line: &str) -> Self {
        let _ = writeln!(self.last().lines, "{line}");
        self
    }

    /// Adds a line to a section, such as `timeouts`.
    pub fn set(mut self, section: &'static str, line: &str) -> Self {
        self.sections.push((section, line.to_owned()));
        self
    }

    pub fn keytab(mut self, keytab: PathBuf) -> Self {
        self.keytab = keytab;
        self
    }

    pub fn replay_cache(mut self, file: PathBuf) -> Self {
        self.replay_cache = file;
        self
    }

    fn text(&self) -> String {
        let World {
            proxy,
            realm,
            secret,
            ..
        } = self.world;
        let mut text = String::new();
        let fixed = [
            ("server", "workers = 2".to_owned()),
            ("timeouts", "drain = \"1s\"".to_owned()),
            (
                "kerberos",
                format!(
                    "keytab = \"{}\"\nprincipal = \"spnegate/{proxy}@{}\"\nreplay_cache = \"{}\"",
                    self.keytab.display(),
                    realm.name(),
                    self.replay_cache.display()
                ),
            ),
            ("session", format!("secret_file = \"{}\"", secret.display())),
            ("admin", "listen = \"127.0.0.1:0\"".to_owned()),
            ("log", "access = \"off\"".to_owned()),
        ];
        for (section, lines) in fixed {
            let mine = self.sections.iter().filter(|(name, _)| *name == section);
            let own: Vec<&str> = mine.map(|(_, line)| line.as_str()).collect();
            // a line of the test replaces the default one of the same key
            let key = |line: &str| line.split('=').next().map(str::trim).map(str::to_owned);
            let _ = writeln!(text, "[{section}]");
            for line in lines
                .lines()
                .filter(|l| own.iter().all(|o| key(o) != key(l)))
            {
                let _ = writeln!(text, "{line}");
            }
            for line in own {
                let _ = writeln!(text, "{line}");
            }
        }
        for console in &self.consoles {
            let Console {
                kind,
                name,
                listen,
                identity,
                backends,
                lines,
            } = console;
            let hosts = if lines.lines().any(|line| line.starts_with("hosts")) {
                String::new()
            } else {
                format!("hosts = [\"{proxy}\"]\n")
            };
            let backends = if lines.lines().any(|line| line.starts_with("backends")) {
                String::new()
            } else {
                format!("backends = [{}]\n", backends.join(", "))
            };
            let probe = if lines.contains("probe.") {
                ""
            } else {
                "probe.interval = \"50ms\"\n"
            };
            let _ = writeln!(
                text,
                "[[console]]\nname = \"{name}\"\nkind = \"{kind}\"\nlisten = \"{listen}\"\n{hosts}\
                 identity = \"{identity}\"\n{backends}{probe}{lines}"
            );
        }
        text
    }

    /// The error message of the configuration or of the start.
    fn try_run(self) -> Result<Gateway, String> {
        let file = self.world.realm.path("gateway.toml");
        let (config, _) =
            spnegate::parse(&self.text(), &file).map_err(|problems| problems.to_string())?;
        let running = runtime::start(config).map_err(|error: StartError| error.to_string())?;
        Ok(Gateway {
            running: Some(running),
            world: self.world,
        })
    }

    pub fn run(self) -> Gateway {
        let text = self.text();
        self.try_run()
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// The error of a start that has to fail.
    pub fn fails(self) -> String {
        match self.try_run() {
            Ok(_) => panic!("it started"),
            Err(error) => error,
        }
    }
}

impl Gateway {
    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.running().addresses()[0]
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        self.running().addresses()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Builds a request: `GET /x`.
    pub fn ask(&self, method_and_target: &str) -> RequestBuilder<'_> {
        self.ask_at(self.address(), method_and_target)
    }

    pub fn ask_at(&self, address: SocketAddr, method_and_target: &str) -> RequestBuilder<'_> {
        RequestBuilder::new(self.world, address, method_and_target)
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.running().admin_address().unwrap()
    }

    /// A page of the admin listener.
    pub fn admin(&self, path: &str) -> String {
        let address = self.admin_address();
        let mut client = Client::connect(address);
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        ));
        client.response().text()
    }

    /// The counter of a refusal. Gateways of one process share it, so it can only be compared with
    /// `>`.
    pub fn refusals(&self, refusal: Refusal) -> u64 {
        let line = format!(
            "spnegate_refusals_total{{reason=\"{}\"}} ",
            refusal.reason()
        );
        let metrics = self.admin("/metrics");
        let found = metrics.lines().find_map(|l| l.strip_prefix(&line));
        found.map_or(0, |count| count.parse().unwrap())
    }

    /// Drains the gateway.
    pub fn stop(mut self) {
        self.running.take().unwrap().stop();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// A `generic` console in front of this backend.
pub fn before(backend: &Backend) -> Gateway {
    gateway().console("generic").backend(backend).run()
}

/// The same, after the backend has served a request and forgotten it.
pub fn generic(backend: &Backend) -> Gateway {
    let gateway = before(backend);
    gateway
        .ask("GET /ready")
        .by("alice")
        .response()
        .is_ok("nobody");
    backend.forget();
    gateway
}

/// A `namenode` console with `doAs` in front of this backend.
pub fn namenode(backend: &Backend) -> Gateway {
    gateway()
        .console("namenode")
        .identity("doas")
        .backend(backend)
        .run()
}
